/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_config.c - `observex config check|list|show|reload`.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_USAGE when a file has mistakes.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/api_client.h"
#include "cmd/cmd.h"
#include "cmd/heart.h"

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
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s, s:s}", "key", row->key, "type",
                          ox_config_type_name(row->type), "env", env != NULL ? env : "", "flag",
                          flag != NULL ? flag : "", "default", row->def, "min", row->min[0] ? row->min : NULL,
                          "max", row->max[0] ? row->max : NULL, choice ? "choices" : "unit", row->unit,
                          "effect", ox_config_effect_name(row->effect), "text", row->text);
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
    printf(" [%s]; takes effect: %s\n    %s  %s\n\n", ox_config_type_name(row->type),
           ox_config_effect_name(row->effect), env != NULL ? env : "", flag != NULL ? flag : "");
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

static void
print_effective(const struct ox_config *config, const uint8_t *origins)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        struct ox_buf value;
        ox_buf_init(&value);
        ox_config_key_print(&ox_config_rows.keys[i], config, &value);
        ox_cmd_hide_password(&value);
        printf("%-32s %-24.*s %s\n", ox_config_rows.keys[i].key, (int)value.len,
               value.data != NULL ? (const char *)value.data : "", names[origins[i]]);
        ox_buf_fini(&value);
    }
}

/* What is in force where `observex serve` runs on DIR, as the heart wrote it down. */
static int
show_running(const char *data)
{
    char path[OX_CONFIG_STRING_MAX + 16];
    const char *key;
    json_t *row;
    snprintf(path, sizeof(path), "%s/config.json", data);
    /* A killed ObserveX leaves the file. */
    json_t *file = ox_data_held(data) ? json_load_file(path, 0, NULL) : NULL;
    if (file == NULL)
        return ox_complain(
            "nothing runs on %s, or not for you (%s cannot be read); without --data this shows what "
            "`observex serve` would use",
            data, path);
    json_object_foreach(json_object_get(file, "values"), key, row)
    {
        struct ox_buf value;
        ox_buf_init(&value);
        const char *text = json_string_value(json_object_get(row, "value"));
        const char *from = json_string_value(json_object_get(row, "from"));
        ox_buf_append_cstr(&value, text != NULL ? text : "");
        ox_cmd_hide_password(&value);
        printf("%-32s %-24.*s %s\n", key, (int)value.len, (const char *)value.data, from != NULL ? from : "");
        ox_buf_fini(&value);
    }
    json_decref(file);
    return OX_EXIT_OK;
}

static int
show(int argc, char **argv)
{
    /* `--data DIR` alone asks a running ObserveX; beside other flags it is one of the configuration's. */
    if (argc == 3 && strcmp(argv[1], "--data") == 0)
        return show_running(argv[2]);
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

static void
print_reload(const char *text)
{
    size_t i;
    json_t *o = json_loads(text, 0, NULL), *row;
    const char *outcome = json_string_value(json_object_get(o, "outcome"));
    printf("%s; version %lld of the configuration is in force\n", outcome != NULL ? outcome : "?",
           (long long)json_integer_value(json_object_get(o, "version")));
    json_array_foreach(json_object_get(o, "changed"), i, row)
    {
        const char *effect = json_string_value(json_object_get(row, "effect"));
        const char *when = "in force now";
        if (effect != NULL && strcmp(effect, "restart") == 0)
            when = "takes effect when ObserveX is started again";
        else if (effect != NULL && strcmp(effect, "engine") == 0)
            when = "in force now; the engine restarts for it";
        printf("  %s: %s -> %s  (%s)\n", json_string_value(json_object_get(row, "key")),
               json_string_value(json_object_get(row, "before")),
               json_string_value(json_object_get(row, "after")), when);
    }
    json_array_foreach(json_object_get(o, "late"), i, row)
        printf("  %s is busy and takes it later\n", json_string_value(row));
    json_decref(o);
}

/* 0 when the file was read and is in force, 64 when it has mistakes. */
static int
reload(int argc, char **argv)
{
    const char *data = NULL, *api = NULL, *key = NULL;
    const struct ox_flag flags[] = {{"data", &data, NULL}, {"api", &api, NULL}, {"key", &key, NULL}};
    char base[512];
    long status = 0;
    struct ox_buf body;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 0) != OX_OK)
        return OX_EXIT_USAGE;
    if (ox_api_find(api, data, base, sizeof(base), &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    ox_buf_init(&body);
    ox_err err = ox_api_post(base, "/api/v1/config/reload", key, "", &status, &body, &diag);
    ox_buf_append(&body, "", 1);
    int code = err == OX_OK && status == 200 ? OX_EXIT_OK : status == 400 ? OX_EXIT_USAGE : OX_EXIT_FAILED;
    json_t *o = err == OX_OK && !body.failed ? json_loads((const char *)body.data, 0, NULL) : NULL;
    const char *message = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    if (code == OX_EXIT_OK)
        print_reload((const char *)body.data);
    else if (err != OX_OK)
        ox_complain("%s", diag.text);
    else
        ox_complain("not reloaded, nothing has changed:\n%s",
                    message != NULL ? message : "(no sentence came back)");
    json_decref(o);
    ox_buf_fini(&body);
    return code;
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
    if (argc > 1 && strcmp(argv[1], "reload") == 0)
        return reload(argc - 1, argv + 1);
    return ox_complain_usage("config", "config needs one of: check, list, show, reload");
}
