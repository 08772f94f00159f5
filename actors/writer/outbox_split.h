/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_split.h - a block that storage refuses for its content is taken apart until the bad rows are alone.
 *
 * Owns:    how far that is; it hangs on the block and outlives a try that storage ended.
 * Threads: one dirty thread at a time, the one that has the block.
 * Bounds:  OX__SPLIT_CALLS_MAX inserts per block; dead letters in pieces of LETTERS_BYTES.
 */
#ifndef OX_OUTBOX_SPLIT_H
#define OX_OUTBOX_SPLIT_H

#include "actors/writer/outbox_internal.h"

/* Inserts for one block. Some 25 find one bad row among 100,000, so this is enough for dozens; and with what may be
 * sent beside it (outbox_send.c) it stays below the tables' deduplication window, which makes a repetition harmless. */
#define OX__SPLIT_CALLS_MAX 600
/* ... and after so many without a single row taken, the fault is not in single rows. */
#define OX__SPLIT_HOPELESS 200

/* Rows [from, to) of the block. */
struct ox__split_range {
    uint32_t from, to;
};

struct ox__split_refused {
    struct ox__split_range range;
    char *reason;
};

struct ox__split_bad {
    uint32_t row;
    char *reason;
};

struct ox_outbox_split {
    bool marked; /* the marker is durable: parts may be in storage, the whole may never be sent again */
    bool begun;
    char reason[320]; /* of the refusal of the whole */
    /* What the marker says of an earlier run: these parts were refused, and smaller ones were sent instead. */
    struct ox__split_refused *refused;
    size_t n_refused, cap_refused;
    uint64_t marker_bytes;
    struct ox__split_range *todo;
    size_t next, n_todo, cap_todo; /* a queue: the largest parts first */
    struct ox__split_bad *bad;
    size_t n_bad, cap_bad;
    size_t n_written; /* of `bad`, durable in the dead-letter file */
    bool counted;     /* what is not stored is in the metrics */
    uint32_t calls;
    uint64_t stored;
};

/* A split that has not begun, or NULL. */
struct ox_outbox_split *ox__outbox_split_new(const char *reason);
/* NULL is allowed. */
void ox__outbox_split_free(struct ox_outbox_split *split);

/*
 * Goes on with the split of send->block, whose bytes are loaded. send->err: OK = every row is in storage or durably kept
 * apart, send->dropped says how many; anything else = again later, nothing is lost.
 */
void ox__outbox_split_run(struct ox_outbox_send *send);
/* outbox_mark.c. The split begins: durable before a part is sent. Then: this part was refused, send->diag says why;
 * durable before a smaller one is sent. */
OX_MUST_USE ox_err ox__outbox_mark(struct ox_outbox_send *send);
OX_MUST_USE ox_err ox__outbox_mark_refused(struct ox_outbox_send *send, struct ox__split_range r);
/* Room for one more item of `size` bytes in the array at *array; false = no memory. */
bool ox__split_grow(void *array, size_t n, size_t *cap, size_t size);
/* Whether an earlier run of the program has begun to split this block, whose token is known: its split as far as it got,
 * or NULL. */
OX_MUST_USE ox_err ox__outbox_split_resume(struct ox_outbox_send *send, struct ox_outbox_split **out);

#endif
