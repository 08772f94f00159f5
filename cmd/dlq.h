/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/dlq.h - what the files of `observex dlq` share.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 */
#ifndef OX_CMD_DLQ_H
#define OX_CMD_DLQ_H

#include <stdio.h>

#include "cmd/cmd.h"
#include "ox/dead_letter_read.h"

/* What was asked for. Strings point into argv. */
struct dlq_request {
    const char *data;
    const char *tenant, *reason, *signal; /* NULL = all */
    uint64_t since_ns;                    /* Unix time; 0 = all */
    uint64_t limit;                       /* records that `list` shows */
    bool json, dry_run, in_doubt;
    const char *url, *key;
    char **which; /* numbers, ids, beginnings of ids; or files for `show` */
    int n_which;
};

int dlq_list(const struct dlq_request *q);
int dlq_show(const struct dlq_request *q);
int dlq_replay(const struct dlq_request *q);

/* The records of DIR/dlq, one after the other. */
struct dlq_walk {
    struct ox_dead_letter_reader *reader;
    struct ox_replay_marks *marks;
};
/* write: for noting. Complains when it fails. */
OX_MUST_USE ox_err dlq_open(const struct dlq_request *q, bool write, struct dlq_walk *walk);
void dlq_close(struct dlq_walk *walk);
/* The next record and its replay state; END after the last. */
OX_MUST_USE ox_err dlq_next(struct dlq_walk *walk, struct ox_dead_letter_record *record,
                            enum ox_replay_state *state);

/* Whether the record is meant by the filters, and by the words of `which` if there are any. */
bool dlq_matches(const struct dlq_request *q, const struct ox_dead_letter_record *record);
/* Whether the word names the record: its number, its id, or at least four digits of the id's beginning. */
bool dlq_named(const char *word, const struct ox_dead_letter_record *record);

/* Files beside the dead letters: blocks that storage refused, requests that were set aside. */
void dlq_list_blocks(const struct dlq_request *q);
void dlq_list_set_aside(const struct dlq_request *q);
/* Shows a file of either kind by its name; false: there is none of that name. *code is then the exit code. */
bool dlq_show_file(const struct dlq_request *q, const char *name, int *code);

/* A table: its heading, and "[" of JSON; rows are either printed lines or dlq_emit. */
void dlq_begin(const struct dlq_request *q, const char *name, const char *columns);
struct json_t;
/* object: take. */
void dlq_emit(struct json_t *object);
void dlq_end(const struct dlq_request *q);

/* Copies and cuts, never inside a character. */
void dlq_copy(char *to, size_t size, const char *from);
/* "2026-01-02T03:04:05Z", or "-" for 0. */
const char *dlq_time(uint64_t ns, char out[24]);
/* "3d", "2h", "5m", "12s" before now. */
const char *dlq_age(uint64_t ns, char out[16]);

#endif
