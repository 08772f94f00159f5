/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_sql.h - a statement being written: our text, their values bound.
 *
 * Owns:    text and values until _fini.
 * Threads: one at a time.
 * Bounds:  OX__SQL_PARAMS_MAX values.
 *
 * Whatever came from outside goes in by a bind function and appears in the text as {pN:Type} only.
 */
#ifndef OX_QUERY_SQL_H
#define OX_QUERY_SQL_H

#include "ox/buf.h"
#include "ox/storage.h"

#define OX__SQL_PARAMS_MAX 160

struct ox__sql {
    struct ox_buf text;
    struct ox_buf values;
    struct {
        char name[8];
        size_t offset;
        size_t len;
    } binds[OX__SQL_PARAMS_MAX];
    size_t n;
    bool failed; /* too many values, or no memory */
};

void ox__sql_init(struct ox__sql *sql);
void ox__sql_fini(struct ox__sql *sql);
/* Appends text of our own. */
void ox__sql_add(struct ox__sql *sql, const char *text);
/* Appends a number of our own. */
void ox__sql_u64(struct ox__sql *sql, uint64_t v);
/* Appends {pN:String} and binds `value` (lend, copied). */
void ox__sql_str(struct ox__sql *sql, struct ox_str value);
/* Appends a comparison value of type FixedString(n): toFixedString(unhex({pN:String}),n). */
void ox__sql_id(struct ox__sql *sql, const uint8_t *id, size_t n);
/* Appends a DateTime64(9) of that Unix time. */
void ox__sql_time(struct ox__sql *sql, uint64_t unix_ns);
/* Appends " AND column >= start AND column < end". */
void ox__sql_range(struct ox__sql *sql, const char *column, uint64_t start_ns, uint64_t end_ns);
/* Fills `params` (room for OX__SQL_PARAMS_MAX) with views into sql; valid until its next change. */
size_t ox__sql_params(const struct ox__sql *sql, struct ox_storage_param *params);

#endif
