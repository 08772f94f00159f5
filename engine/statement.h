/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/statement.h - a statement while it runs; shared by statement.c and reply.c.
 *
 * Owns:    see statement.c.
 * Threads: the connection's.
 */
#ifndef OX_ENGINE_STATEMENT_H
#define OX_ENGINE_STATEMENT_H

#include "engine/engine.h"
#include "engine/sql.h"

struct ox__statement {
    struct ox__engine *engine;
    struct ox__conn *conn;
    struct ox__request *request;
    enum ox__role role;
    uint64_t id;
    ox__chdb_conn *session;

    struct ox_str body; /* mapped */
    struct ox_buf text; /* parameter and body together, when both are SQL */
    struct ox__sql sql; /* points into one of them, or into the URL */
    bool data_is_body;  /* INSERT_DATA: the body's own file can be read as it is */
    struct ox_buf rewritten;
    char format[64];

    const char *names[OX__HTTP_PARAMS_MAX];
    size_t name_lens[OX__HTTP_PARAMS_MAX];
    const char *values[OX__HTTP_PARAMS_MAX];
    size_t value_lens[OX__HTTP_PARAMS_MAX];
    size_t params_n;
};

/* Runs `sql` and replies with the whole result. */
void ox__statement_reply_whole(struct ox__statement *st, struct ox_str sql);
/* Runs `sql` and replies in pieces, in constant memory. */
void ox__statement_reply_stream(struct ox__statement *st, struct ox_str sql);

#endif
