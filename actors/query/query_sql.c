/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_sql.c - a statement being written: our text, their values bound.
 *
 * Owns:    text and values of one statement.
 * Threads: one at a time.
 * Bounds:  OX__SQL_PARAMS_MAX.
 * Fails:   `failed` sticks; query_call.c looks at it before it sends.
 * Flow:    the handlers -> here -> query_call.c -> actors/storage.
 */
#include "actors/query/query_sql.h"

#include <stdio.h>

void
ox__sql_init(struct ox__sql *sql)
{
    ox_buf_init(&sql->text);
    ox_buf_init(&sql->values);
    sql->n = 0;
    sql->failed = false;
}

void
ox__sql_fini(struct ox__sql *sql)
{
    ox_buf_fini(&sql->text);
    ox_buf_fini(&sql->values);
}

void
ox__sql_add(struct ox__sql *sql, const char *text)
{
    ox_buf_append_cstr(&sql->text, text);
}

void
ox__sql_u64(struct ox__sql *sql, uint64_t v)
{
    ox_buf_printf(&sql->text, "%llu", (unsigned long long)v);
}

void
ox__sql_str(struct ox__sql *sql, struct ox_str value)
{
    if (sql->n == OX__SQL_PARAMS_MAX) {
        sql->failed = true;
        return;
    }
    snprintf(sql->binds[sql->n].name, sizeof(sql->binds[0].name), "p%u", (unsigned)sql->n % 1000);
    sql->binds[sql->n].offset = sql->values.len;
    sql->binds[sql->n].len = value.n;
    ox_buf_append(&sql->values, value.p, value.n);
    ox_buf_printf(&sql->text, "{%s:String}", sql->binds[sql->n].name);
    sql->n++;
}

void
ox__sql_id(struct ox__sql *sql, const uint8_t *id, size_t n)
{
    char hex[33];
    OX_ASSERT(n <= 16);
    ox_hex_encode(id, n, hex);
    ox_buf_append_cstr(&sql->text, "toFixedString(unhex(");
    ox__sql_str(sql, (struct ox_str){hex, 2 * n});
    ox_buf_printf(&sql->text, "),%zu)", n);
}

void
ox__sql_time(struct ox__sql *sql, uint64_t unix_ns)
{
    if (unix_ns > INT64_MAX)
        unix_ns = INT64_MAX;
    ox_buf_printf(&sql->text, "fromUnixTimestamp64Nano(toInt64(%llu),'UTC')", (unsigned long long)unix_ns);
}

void
ox__sql_range(struct ox__sql *sql, const char *column, uint64_t start_ns, uint64_t end_ns)
{
    ox_buf_printf(&sql->text, " AND %s >= ", column);
    ox__sql_time(sql, start_ns);
    ox_buf_printf(&sql->text, " AND %s < ", column);
    ox__sql_time(sql, end_ns);
}

size_t
ox__sql_params(const struct ox__sql *sql, struct ox_storage_param *params)
{
    for (size_t i = 0; i < sql->n; i++) {
        params[i].name = sql->binds[i].name;
        params[i].value =
            (struct ox_str){(const char *)sql->values.data + sql->binds[i].offset, sql->binds[i].len};
    }
    return sql->n;
}
