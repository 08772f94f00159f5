/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/fake_clickhouse.h - a scripted storage endpoint that remembers what it took.
 *
 * Owns:    its socket and threads, for the life of the process.
 * Threads: one per connection; every function may be called from any thread.
 * Bounds:  FAKE_IDS_MAX records, FAKE_TOKENS_MAX blocks.
 *
 * It speaks as much of ClickHouse's HTTP protocol as the storage client needs. Records are told by "uid=0000000;"
 * anywhere in an uncompressed block (writer.compression_level 0). A token that was taken before adds nothing, as in a
 * table with a deduplication window; if its bytes differ, that is counted. A part of a block has the block's token, a slash
 * and its rows. It says how many records it holds of a block, by the block's id in the token.
 */
#ifndef OX_TESTS_FAKE_CLICKHOUSE_H
#define OX_TESTS_FAKE_CLICKHOUSE_H

#include "ox/base.h"

#define FAKE_IDS_MAX    1000000u
#define FAKE_TOKENS_MAX 8192u

enum fake_mode {
    FAKE_OK,
    FAKE_SLOW,             /* as OK, 300 ms late */
    FAKE_GONE,             /* closes before it reads */
    FAKE_UNAVAILABLE,      /* 503 without taking anything */
    FAKE_BUSY,             /* exception 241, MEMORY_LIMIT_EXCEEDED */
    FAKE_REFUSE,           /* exception 27, CANNOT_PARSE_INPUT_ASSERTION_FAILED */
    FAKE_CUT_BODY,         /* closes in the middle of the request's body */
    FAKE_CUT_AFTER,        /* takes the block, then closes without an answer */
    FAKE_TOKEN_AGAIN_ONLY, /* OK, but the first new token that ends with -again is noted without rows */
    FAKE_TOKEN_ONLY_ONCE,  /* the same for one block, then OK */
    FAKE_TOKEN_ONLY, /* notes the token, takes no rows and closes: what a kill between the two leaves behind */
    FAKE_HALF_ANSWER, /* takes the block, closes in the middle of the answer */
    FAKE_HANG,        /* takes nothing and answers nothing until the mode changes, then closes */
    FAKE_LATE         /* takes the block FAKE_LATE_MS after it came: behind a client's time-out of a second */
};
#define FAKE_LATE_MS 2500

/* Listens on a free port of 127.0.0.1; returns it. */
uint16_t fake_start(void);
void fake_set(enum fake_mode mode);
/* Inserts into this table are refused (exception 241) whatever the mode; NULL = none. */
void fake_stuck_table(const char *table);
/* How often the record `id` stands in what was taken. */
unsigned fake_seen(uint32_t id);

/* A block with the record `id` is refused (exception 469, VIOLATED_CONSTRAINT), whatever the mode but those that do not
 * look at it. UINT32_MAX: no record is poison any more. */
void fake_poison(uint32_t id);
/* Questions for block ids get exception 241 from now on, or no more. */
void fake_forgetful(bool on);
/* The same with exception 246, CORRUPTED_DATA. */
void fake_damaged(bool on);
/* After `n` more blocks were taken or refused for poison, the mode becomes FAKE_HANG. 0 = never. */
void fake_hang_after(uint32_t n);

struct fake_counts {
    uint64_t inserts;   /* received whole */
    uint64_t blocks;    /* taken: different tokens */
    uint64_t repeats;   /* of a token that was taken before */
    uint64_t different; /* repeats with other bytes */
    uint64_t tokenless;
    uint64_t poisoned; /* refused for poison */
    uint64_t asked;    /* for block ids */
};
struct fake_counts fake_counts(void);

#endif
