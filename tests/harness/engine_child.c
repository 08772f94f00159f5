/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/engine_child.c - the engine process for tests: options from the command line.
 *
 *   engine_child DATA_DIR SOCKET SECRET TABLES CONTROL_FD [name=number ...]
 *
 * TABLES: comma-separated, or "-" for the shipped schema; a leading '!' marks one that no tenant owns.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ox/engine.h"

#define TABLES_MAX 32

static size_t
parse_tables(char *list, struct ox_schema_table *out)
{
    size_t n = 0;
    for (char *t = strtok(list, ","); t != NULL && n < TABLES_MAX; t = strtok(NULL, ","), n++)
        out[n] = (struct ox_schema_table){.name = *t == '!' ? t + 1 : t, .tenant_owned = *t != '!'};
    return n;
}

static void
set_number(struct ox_engine_options *o, const char *text)
{
    const char *eq = strchr(text, '=');
    unsigned long long v = eq != NULL ? strtoull(eq + 1, NULL, 10) : 0;
    struct ox_str name = {text, eq != NULL ? (size_t)(eq - text) : 0};
    if (ox_str_eq(name, OX_STR("queries_max")))
        o->queries_max = (unsigned)v;
    else if (ox_str_eq(name, OX_STR("queries_for_inserts")))
        o->queries_for_inserts = (unsigned)v;
    else if (ox_str_eq(name, OX_STR("body_bytes_max")))
        o->body_bytes_max = v;
    else if (ox_str_eq(name, OX_STR("memory_bytes_max")))
        o->memory_bytes_max = v;
    else if (ox_str_eq(name, OX_STR("connections_max")))
        o->connections_max = (unsigned)v;
    else
        fprintf(stderr, "engine_child: unknown option %s\n", text);
}

int
main(int argc, char **argv)
{
    struct ox_schema_table tables[TABLES_MAX];
    struct ox_diag diag;
    if (argc < 6)
        return 64;
    struct ox_engine_options o = {
        .data_dir = argv[1],
        .socket_path = argv[2],
        .secret = argv[3],
        .listen_fd = -1,
        .control_fd = atoi(argv[5]),
        .die_with_parent = true,
    };
    if (strcmp(argv[4], "-") == 0) {
        o.tables = ox_schema_tables;
        o.tables_n = ox_schema_tables_count;
    } else {
        o.tables = tables;
        o.tables_n = parse_tables(argv[4], tables);
    }
    for (int i = 6; i < argc; i++)
        set_number(&o, argv[i]);
    return ox_engine_main(&o, &diag);
}
