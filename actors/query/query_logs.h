/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_logs.h - a log search: its conditions, and following what arrives.
 *
 * Owns:    nothing; views into the question.
 * Threads: one dirty thread.
 */
#ifndef OX_QUERY_LOGS_H
#define OX_QUERY_LOGS_H

#include "actors/query/query_call.h"

struct ox__log_search {
    struct ox_str service;
    struct ox_str words;
    struct {
        uint8_t from, to;
    } levels[8];
    size_t n_levels;
    uint8_t min_severity;
    bool has_trace, has_span;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    struct ox__tag tags[OX__PARAM_LIST_MAX];
    size_t n_tags;
    struct ox__param *after; /* cursor of the last answer, or "now"; NULL = not following */
};

OX_MUST_USE ox_err ox__logs_parse(struct ox__call *c, struct ox__log_search *s);
/* Appends the WHERE conditions of the search within `w`. */
void ox__logs_conditions(struct ox__call *c, struct ox__sql *sql, const struct ox__log_search *s,
                         const struct ox__range *w);
/* Writes what arrived since the cursor, oldest first, and sets meta's cursor. */
OX_MUST_USE ox_err ox__logs_follow(struct ox__call *c, struct ox__json *j, const struct ox__log_search *s);

#define OX__CURSOR_BLOCKS_MAX 512

/*
 * Where a follower stands. Rows become visible block by block, each block at once, so a list of the blocks
 * that he has is exact: no gaps, nothing twice. Only the last block of an answer that was cut by its limit
 * can be half delivered: it is open, with the time of its last delivered record and how many records of just
 * that time he has.
 */
struct ox__cursor {
    uint64_t since_ns; /* catching up: records before it are of no interest any more */
    /*
     * From `low` on what arrives is followed, whatever the time of its records. Ids of blocks rise, and what lies
     * before `low` was visible LATE_NS ago: it was delivered then, or not asked for. 0 = not known (no node), the
     * time of the records then has to do.
     */
    uint64_t low;
    uint64_t first;    /* blocks from here on were made after the follower began */
    uint64_t start_ns; /* of the range that was asked for: holds for older blocks */
    uint64_t mark;     /* what `low` will be when mark_ns is LATE_NS ago */
    uint64_t mark_ns;
    bool caught_up; /* everything before `low` was delivered */
    bool open;
    uint64_t open_block_id;
    uint64_t open_time_ns;
    uint64_t open_skip;
    size_t n;
    struct ox__cursor_block {
        uint64_t block_id;
        uint64_t last_ns; /* time of its newest record */
    } blocks[OX__CURSOR_BLOCKS_MAX];
};

/* INVALID unless `text` is one of ours. */
OX_MUST_USE ox_err ox__cursor_parse(struct ox_str text, struct ox__cursor *cursor);
void ox__cursor_format(const struct ox__cursor *cursor, struct ox_buf *out);
/* Notes a block that was delivered whole. Without room the block with the oldest records is forgotten; since_ns moves
 * behind it, and `low` too. */
void ox__cursor_note(struct ox__cursor *cursor, uint64_t block_id, uint64_t last_ns);
/* Moves since_ns and `low` forward and forgets blocks that neither asks for any more. */
void ox__cursor_advance(struct ox__cursor *cursor, uint64_t since_ns, uint64_t low);

#endif
