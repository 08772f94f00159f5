/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_config.c - `observex config check|list|show`.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_USAGE when a file has mistakes.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"

/* "OBSERVE_X_WAL_ACK" or "--wal-ack" as a string of its own; NULL without memory. */
static char *
name_of(const struct ox_config_key *row, bool env)
{
    struct ox_buf text;
    ox_buf_init(&text);
    if (env)
        ox_config_key_env(&ox_config_rows, row, &text);
    else
        ox_config_key_flag(row, &text);
    ox_buf_append(&text, "", 1);
    char *copy = text.failed ? NULL : strdup((const char *)text.data);
    ox_buf_fini(&text);
    return copy;
}

static json_t *
row_json(const struct ox_config_key *row)
{
    bool choice = row->type == OX_CONFIG_enum;
    char *env = name_of(row, true);
    char *flag = name_of(row, false);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s}", "key", row->key, "type",
                  ox_config_type_name(row->type), "env", env != NULL ? env : "", "flag",
                  flag != NULL ? flag : "", "default", row->def, "min", row->min[0] ? row->min : NULL, "max",
                  row->max[0] ? row->max : NULL, choice ? "choices" : "unit", row->unit, "text", row->text);
    free(env);
    free(flag);
    return o;
}

static int
list_json(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ox_config_rows.count; i++)
        json_array_append_new(list, row_json(&ox_config_rows.keys[i]));
    int failed = json_dumpf(list, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', stdout);
    json_decref(list);
    return failed == 0 ? OX_EXIT_OK : ox_complain("the list cannot be written");
}

static void
list_row(const struct ox_config_key *row)
{
    char *env = name_of(row, true);
    char *flag = name_of(row, false);
    printf("%s\n    %s\n", row->key, row->text);
    printf("    default %s", row->def[0] ? row->def : "(empty)");
    if (row->type == OX_CONFIG_enum)
        printf(", one of %s", row->unit);
    else if (row->min[0] && row->max[0])
        printf(", %s to %s%s", row->min, row->max, row->type == OX_CONFIG_string ? " characters" : "");
    else if (row->min[0])
        printf(", %s or more%s", row->min, row->type == OX_CONFIG_string ? " characters" : "");
    printf(" [%s]\n    %s  %s\n\n", ox_config_type_name(row->type), env != NULL ? env : "",
           flag != NULL ? flag : "");
    free(env);
    free(flag);
}

static int
list(int argc, char **argv)
{
    bool json = false;
    const struct ox_flag flags[] = {{"json", NULL, &json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 0) != OX_OK)
        return OX_EXIT_USAGE;
    if (json)
        return list_json();
    for (size_t i = 0; i < ox_config_rows.count; i++)
        list_row(&ox_config_rows.keys[i]);
    return OX_EXIT_OK;
}

static int
check(int argc, char **argv)
{
    struct ox_config config;
    struct ox_config_report report;
    if (ox_flags_take_all(&argc, argv, NULL, 0, 1) != OX_OK || argc < 2)
        return ox_complain_usage("config", "config check takes the name of one file");
    ox_config_report_init(&report);
    struct ox_config_sources sources = {.file = argv[1]};
    ox_err err = ox_config_load(&config, &sources, NULL, &report);
    if (err == OX_OK)
        printf("%s: correct\n", argv[1]);
    else
        fprintf(stderr, "%.*s", (int)report.text.len,
                report.text.data != NULL ? (const char *)report.text.data : "");
    ox_config_report_fini(&report);
    return err == OX_OK ? OX_EXIT_OK : OX_EXIT_USAGE;
}

/* postgresql://user:PASSWORD@host must not end up in a terminal's history. */
static void
hide_password(struct ox_buf *value)
{
    char *colon, *at;
    ox_buf_append(value, "", 1);
    value->len--;
    char *text = (char *)value->data;
    if (value->failed || (text = strstr(text, "://")) == NULL)
        return;
    colon = strchr(text + 3, ':');
    at = strrchr(text, '@');
    if (colon == NULL || at == NULL || colon > at)
        return;
    memset(colon + 1, '*', (size_t)(at - colon - 1));
}

static void
print_effective(const struct ox_config *config, const uint8_t *origins)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        struct ox_buf value;
        ox_buf_init(&value);
        ox_config_key_print(&ox_config_rows.keys[i], config, &value);
        hide_password(&value);
        printf("%-32s %-24.*s %s\n", ox_config_rows.keys[i].key, (int)value.len,
               value.data != NULL ? (const char *)value.data : "", names[origins[i]]);
        ox_buf_fini(&value);
    }
}

static int
show(int argc, char **argv)
{
    extern char **environ;
    const char *file = NULL;
    const struct ox_flag flags[] = {{"config", &file, NULL}};
    if (ox_flags_take(&argc, argv, flags, OX_COUNT(flags)) != OX_OK)
        return OX_EXIT_USAGE;
    struct ox_config config;
    struct ox_config_report report;
    uint8_t *origins = calloc(ox_config_rows.count, 1);
    ox_config_report_init(&report);
    struct ox_config_sources sources = {.file = file, .env = environ, .argv = argv + 1, .argc = argc - 1};
    ox_err err = origins == NULL ? OX_E_NOMEM : ox_config_load(&config, &sources, origins, &report);
    if (err == OX_OK)
        print_effective(&config, origins);
    else
        fprintf(stderr, "%.*s", (int)report.text.len,
                report.text.data != NULL ? (const char *)report.text.data : "");
    ox_config_report_fini(&report);
    free(origins);
    return err == OX_OK ? OX_EXIT_OK : OX_EXIT_USAGE;
}

int
ox_cmd_config(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "check") == 0)
        return check(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "list") == 0)
        return list(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "show") == 0)
        return show(argc - 1, argv + 1);
    return ox_complain_usage("config", "config needs one of: check, list, show");
}
