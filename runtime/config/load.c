/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/config/load.c - from the sources to the filled struct: defaults < file < environment < flags.
 *
 * Owns:    the report's text while a load runs.
 * Threads: any; a load belongs to one thread.
 * Bounds:  OX_CONFIG_PROBLEMS_MAX lines in a report.
 * Fails:   CONFIG when the report has problems; IO, NOMEM.
 * Flow:    ox_config_load -> here -> yaml.c, value.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/config/config_internal.h"

void
ox_config_report_init(struct ox_config_report *report)
{
    ox_buf_init(&report->text);
    report->problems = 0;
}

void
ox_config_report_fini(struct ox_config_report *report)
{
    ox_buf_fini(&report->text);
}

void
ox__config_problem(struct ox_config_report *report, const char *where, const char *fmt, ...)
{
    char sentence[512];
    va_list ap;
    if (report->problems++ >= OX_CONFIG_PROBLEMS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, ap);
    va_end(ap);
    ox_buf_printf(&report->text, "%s: %s\n", where, sentence);
}

void
ox__config_apply(struct ox__config_load *load, const struct ox_config_key *row, struct ox_str value,
                 enum ox_config_origin origin, const char *where)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox_config_key_set(row, value, load->out, &diag) != OX_OK) {
        ox__config_problem(load->report, where, "%s", diag.text);
        return;
    }
    load->origins[ox__config_index(load->table, row)] = (uint8_t)origin;
}

/* The prefix and the alias in capitals, '_' for '-'. */
static bool
is_alias(const struct ox_config_table *table, const struct ox_config_key *row, struct ox_str name)
{
    size_t prefix = strlen(table->env_prefix);
    if (row->alias == NULL || name.n != prefix + strlen(row->alias))
        return false;
    for (size_t i = prefix; i < name.n; i++) {
        char c = row->alias[i - prefix];
        if (name.p[i] != (c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c))
            return false;
    }
    return true;
}

/* The row whose variable is spelt `name`; the buffer is scratch. */
static const struct ox_config_key *
row_by_env(const struct ox_config_table *table, struct ox_str name, struct ox_buf *scratch)
{
    for (size_t i = 0; i < table->count; i++) {
        ox_buf_reset(scratch);
        ox_config_key_env(table, &table->keys[i], scratch);
        if (ox_str_eq(ox_buf_str(scratch), name) || is_alias(table, &table->keys[i], name))
            return &table->keys[i];
    }
    return NULL;
}

static bool
ends_with(struct ox_str s, const char *tail)
{
    size_t n = strlen(tail);
    return s.n >= n && memcmp(s.p + s.n - n, tail, n) == 0;
}

/* Variables that a container platform makes up for a service called like the prefix
 * ("OBSERVE_X_PORT=tcp://..."), what tests use among themselves, and the name of the file, which our caller
 * reads. */
static bool
env_ignored(const struct ox_config_table *table, struct ox_str name)
{
    size_t prefix = strlen(table->env_prefix);
    struct ox_str rest = {name.p + prefix, name.n - prefix};
    if (ox_str_eq(rest, OX_STR("CONFIG")) || (rest.n >= 5 && memcmp(rest.p, "TEST_", 5) == 0))
        return true;
    if (ox_str_eq(rest, OX_STR("PORT")) || (rest.n >= 5 && memcmp(rest.p, "PORT_", 5) == 0))
        return true;
    return ends_with(rest, "SERVICE_HOST") || ends_with(rest, "SERVICE_PORT") ||
           memmem(rest.p, rest.n, "SERVICE_PORT_", 13) != NULL;
}

void
ox__config_load_env(struct ox__config_load *load, char *const *env)
{
    size_t prefix = strlen(load->table->env_prefix);
    struct ox_buf scratch;
    ox_buf_init(&scratch);
    for (; *env != NULL; env++) {
        const char *equals = strchr(*env, '=');
        if (equals == NULL || strncmp(*env, load->table->env_prefix, prefix) != 0)
            continue;
        struct ox_str name = {*env, (size_t)(equals - *env)};
        char where[OX__CONFIG_KEY_MAX + 32];
        snprintf(where, sizeof(where), "%.*s", (int)(name.n < 120 ? name.n : 120), name.p);
        const struct ox_config_key *row = row_by_env(load->table, name, &scratch);
        if (row != NULL)
            ox__config_apply(load, row, ox_str_of(equals + 1), OX_ORIGIN_ENV, where);
        else if (!env_ignored(load->table, name))
            ox__config_unknown(load, where, name, ox_config_key_env);
    }
    ox_buf_fini(&scratch);
}

static void
flag_name(const struct ox_config_table *table, const struct ox_config_key *row, struct ox_buf *text)
{
    (void)table;
    ox_config_key_flag(row, text);
}

/* "wal-commit-interval" or the alias; '-' in the flag stands for '.' and '_' of the key. */
static bool
flag_matches(const struct ox_config_key *row, struct ox_str name)
{
    if (row->alias != NULL && ox_str_eq(name, ox_str_of(row->alias)))
        return true;
    if (strlen(row->key) != name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = row->key[i] == '.' || row->key[i] == '_' ? '-' : row->key[i];
        if (c != name.p[i])
            return false;
    }
    return true;
}

static const struct ox_config_key *
row_by_flag(const struct ox_config_table *table, struct ox_str name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (flag_matches(&table->keys[i], name))
            return &table->keys[i];
    }
    return NULL;
}

/* Takes the flag at argv[i]; returns how many elements it used. */
static int
take_flag(struct ox__config_load *load, int argc, char *const *argv, int i)
{
    const char *equals = strchr(argv[i], '=');
    struct ox_str full = {argv[i], equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i])};
    char where[OX__CONFIG_KEY_MAX + 32];
    snprintf(where, sizeof(where), "%.*s", (int)(full.n < 120 ? full.n : 120), full.p);
    const struct ox_config_key *row = row_by_flag(load->table, (struct ox_str){full.p + 2, full.n - 2});
    bool next_is_value = i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0;
    if (row == NULL) {
        ox__config_unknown(load, where, full, flag_name);
        return equals == NULL && next_is_value ? 2 : 1; /* its value is no second mistake */
    }
    if (equals != NULL) {
        ox__config_apply(load, row, ox_str_of(equals + 1), OX_ORIGIN_FLAG, where);
        return 1;
    }
    if (row->type == OX_CONFIG_bool) {
        ox__config_apply(load, row, OX_STR("true"), OX_ORIGIN_FLAG, where);
        return 1;
    }
    if (!next_is_value) {
        ox__config_problem(load->report, where, "needs a value (%s: %s)", ox_config_type_name(row->type),
                           row->text);
        return 1;
    }
    ox__config_apply(load, row, ox_str_of(argv[i + 1]), OX_ORIGIN_FLAG, where);
    return 2;
}

void
ox__config_load_flags(struct ox__config_load *load, int argc, char *const *argv)
{
    for (int i = 0; i < argc;) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            i += take_flag(load, argc, argv, i);
            continue;
        }
        char where[64];
        snprintf(where, sizeof(where), "%.60s", argv[i]);
        ox__config_problem(load->report, where,
                           "not expected here; flags are written --name value or --name=value");
        i++;
    }
}

static ox_err
load_sources(struct ox__config_load *load, const struct ox_config_sources *sources)
{
    ox_err err = OX_OK;
    if (sources->file != NULL)
        err = ox__config_load_file(load, sources->file);
    if (err != OX_OK)
        return err;
    if (sources->env != NULL)
        ox__config_load_env(load, sources->env);
    if (sources->argv != NULL)
        ox__config_load_flags(load, sources->argc, sources->argv);
    return load->report->problems > 0 ? OX_E_CONFIG : OX_OK;
}

ox_err
ox_config_table_load(const struct ox_config_table *table, const struct ox_config_sources *sources, void *out,
                     uint8_t *origins, struct ox_config_report *report)
{
    struct ox__config_load load = {.table = table, .out = out, .report = report};
    load.lines = calloc(table->count, sizeof(*load.lines));
    load.origins = calloc(table->count, 1);
    ox_err err = OX_E_NOMEM;
    if (load.lines != NULL && load.origins != NULL) {
        ox_config_table_defaults(table, out);
        err = load_sources(&load, sources);
        if (origins != NULL)
            memcpy(origins, load.origins, table->count);
    }
    if (report->problems > OX_CONFIG_PROBLEMS_MAX)
        ox_buf_printf(&report->text, "and %u more\n", report->problems - OX_CONFIG_PROBLEMS_MAX);
    free(load.lines);
    free(load.origins);
    return report->text.failed ? OX_E_NOMEM : err;
}
