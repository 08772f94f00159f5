/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/flags.c - a subcommand's own flags, and the sentences that go to stderr.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   INVALID, said on stderr.
 */
#include <stdarg.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "ox/log.h"

#define FLAGS_MAX 32

static void
say(const char *fmt, va_list ap)
{
    fputs("observex: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int
ox_complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return OX_EXIT_FAILED;
}

int
ox_complain_usage(const char *command, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    fprintf(stderr, "`observex help %s` shows how it is used.\n", command);
    return OX_EXIT_USAGE;
}

static const struct ox_flag *
find_flag(const struct ox_flag *flags, size_t count, struct ox_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (ox_str_eq(name, ox_str_of(flags[i].name)))
            return &flags[i];
    }
    return NULL;
}

/* Stores the flag at argv[i]. Returns how many elements it used, 0 after a complaint. */
static int
store_flag(const struct ox_flag *flag, int argc, char **argv, int i)
{
    const char *equals = strchr(argv[i], '=');
    if (flag->on != NULL && equals != NULL) {
        ox_complain("--%s takes no value", flag->name);
        return 0;
    }
    if (flag->on != NULL) {
        *flag->on = true;
        return 1;
    }
    if (equals != NULL) {
        *flag->value = equals + 1;
        return 1;
    }
    if (i + 1 >= argc) {
        ox_complain("--%s needs a value", flag->name);
        return 0;
    }
    *flag->value = argv[i + 1];
    return 2;
}

/* "--name" or "--name=value" gives "name"; anything else, "-" and "--" included, is no flag. */
static bool
flag_name(const char *arg, struct ox_str *name)
{
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
        return false;
    *name = (struct ox_str){arg + 2, strcspn(arg + 2, "=")};
    return true;
}

static void
complain_unknown(const struct ox_flag *flags, size_t count, const char *given)
{
    const char *names[FLAGS_MAX];
    struct ox_str name;
    size_t n = count < FLAGS_MAX ? count : FLAGS_MAX;
    for (size_t i = 0; i < n; i++)
        names[i] = flags[i].name;
    const char *nearest = flag_name(given, &name) ? ox_nearest_name(name, names, n) : NULL;
    if (nearest != NULL)
        ox_complain("%s: there is no such flag; did you mean --%s?", given, nearest);
    else
        ox_complain("%s: there is no such flag", given);
}

static ox_err
take(int *argc, char **argv, const struct ox_flag *flags, size_t count, bool all)
{
    int kept = 1;
    struct ox_str name;
    for (int i = 1; i < *argc;) {
        if (all && strcmp(argv[i], "--") == 0) {
            for (i++; i < *argc; i++)
                argv[kept++] = argv[i];
            break;
        }
        const struct ox_flag *flag = flag_name(argv[i], &name) ? find_flag(flags, count, name) : NULL;
        if (flag == NULL && all && argv[i][0] == '-' && argv[i][1] != '\0') {
            complain_unknown(flags, count, argv[i]);
            return OX_E_INVALID;
        }
        int used = flag != NULL ? store_flag(flag, *argc, argv, i) : 1;
        if (used == 0)
            return OX_E_INVALID;
        if (flag == NULL)
            argv[kept++] = argv[i];
        i += used;
    }
    *argc = kept;
    return OX_OK;
}

ox_err
ox_flags_take(int *argc, char **argv, const struct ox_flag *flags, size_t count)
{
    return take(argc, argv, flags, count, false);
}

ox_err
ox_flags_take_all(int *argc, char **argv, const struct ox_flag *flags, size_t count, int positional_max)
{
    ox_err err = take(argc, argv, flags, count, true);
    if (err == OX_OK && *argc - 1 > positional_max) {
        ox_complain("%s: not expected here", argv[positional_max + 1]);
        return OX_E_INVALID;
    }
    return err;
}

ox_err
ox_cmd_load(int argc, char **argv, struct ox_config *config)
{
    struct ox_config_sources sources;
    return ox_cmd_load_kept(argc, argv, config, &sources);
}

ox_err
ox_cmd_load_kept(int argc, char **argv, struct ox_config *config, struct ox_config_sources *kept)
{
    extern char **environ;
    const char *file = NULL;
    const struct ox_flag flags[] = {{"config", &file, NULL}};
    struct ox_config_report report;
    ox_err err = ox_flags_take(&argc, argv, flags, OX_COUNT(flags));
    if (err != OX_OK)
        return err;
    ox_config_report_init(&report);
    *kept = (struct ox_config_sources){.file = file, .env = environ, .argv = argv + 1, .argc = argc - 1};
    err = ox_config_load(config, kept, NULL, &report);
    if (err != OX_OK)
        fprintf(stderr, "observex: the configuration cannot be used:\n%.*s", (int)report.text.len,
                report.text.data != NULL ? (const char *)report.text.data : "");
    ox_config_report_fini(&report);
    return err;
}

void
ox_cmd_hide_password(struct ox_buf *value)
{
    char *colon, *at;
    ox_buf_append(value, "", 1);
    if (value->failed)
        return;
    value->len--;
    char *text = strstr((char *)value->data, "://");
    if (text == NULL)
        return;
    colon = strchr(text + 3, ':');
    at = strrchr(text, '@');
    if (colon == NULL || at == NULL || colon > at)
        return;
    memset(colon + 1, '*', (size_t)(at - colon - 1));
}

void
ox_cmd_set_log_level(const struct ox_config *config)
{
    static const enum ox_log_level levels[] = {
        [OX_CONFIG_DEBUG] = OX_LOG_DEBUG,
        [OX_CONFIG_INFO] = OX_LOG_INFO,
        [OX_CONFIG_WARN] = OX_LOG_WARN,
        [OX_CONFIG_ERROR] = OX_LOG_ERROR,
    };
    ox_log_set_level(levels[config->log_level]);
}
