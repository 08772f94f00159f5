/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/rollup.h - does a view's target say what the rows say of which it is made, and if not: mend it.
 *
 * Owns:    nothing.
 * Threads: dirty threads; no insert of the raw table may be under way meanwhile.
 * Bounds:  the parts of a rollup that the rows of the given blocks fall into; a time limit for each statement.
 * Fails:   those of ox_storage_query, STATE when a view is not written as this file expects.
 */
#ifndef OX_ROLLUP_H
#define OX_ROLLUP_H

#include "ox/buf.h"
#include "ox/schema.h"

struct ox_storage;

/* What was found in one rollup. Rows are those that a question adds up to one: one for each key. */
struct ox__rollup_found {
    uint64_t wrong; /* rows that disagreed with what they are made of, and were mended */
    uint64_t
        left; /* rows that say more than what is there, and so old that rows may have left: not touched */
    uint64_t still; /* rows that disagreed after they were mended */
};

/* rollup: whose; ids: blocks of its raw table, n > 0 of them. young_s: what began less than so many seconds ago has all its
 * rows still. out: on OX_OK filled. Nothing is changed where nothing disagrees. Blocks. */
OX_MUST_USE ox_err ox__rollup_check(struct ox_storage *storage, const struct ox_schema_rollup *rollup,
                                    const uint64_t *ids, size_t n, uint64_t young_s,
                                    struct ox__rollup_found *out, struct ox_diag *diag);

/* For tests: puts the rows that `filter` lets through in the place of the view's source.
 * select: the view's statement as storage keeps it. STATE when it does not read exactly one table, `source`. */
OX_MUST_USE ox_err ox__rollup_narrow(struct ox_str select, const char *source, struct ox_str filter,
                                     struct ox_buf *out, struct ox_diag *diag);

#endif
