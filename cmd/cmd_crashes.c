/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_crashes.c - `observex crashes`: who crashed, on whose behalf, and how sure that is.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  FRAMES_SHOWN lines of a backtrace; --json has all.
 * Fails:   OX_EXIT_FAILED when neither the API nor the files answer, or it answers an error.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/cmd_supervision.h"
#include "cmd/text.h"
#include "ox/clock.h"

#define FRAMES_SHOWN 8

static const char *
text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? value : "";
}

/* Files write large numbers as text, the API as numbers. */
static unsigned long long
number_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10)
                             : (unsigned long long)json_integer_value(v);
}

static void
print_labelled(const char *label, const char *text)
{
    printf("  %-10s ", label);
    cmd_text_print(text, 500, false);
    fputc('\n', stdout);
}

static void
print_backtrace(const char *text)
{
    char frame[200];
    for (int shown = 0; *text != '\0' && shown < FRAMES_SHOWN; shown++) {
        int n = (int)strcspn(text, "\n");
        snprintf(frame, sizeof(frame), "%.*s", n, text);
        print_labelled(shown == 0 ? "where" : "", frame);
        text += n + (text[n] == '\n');
    }
}

static void
print_charge(const json_t *crash)
{
    char text[400];
    const char *tenant = text_of(crash, "tenant"), *means = text_of(crash, "charge_means");
    if (tenant[0] == '\0')
        snprintf(text, sizeof(text), "nobody: no tenant's message was in hand");
    else
        snprintf(text, sizeof(text), "tenant %s, log entry %llu%s%s%s", tenant, number_of(crash, "wal_seq"),
                 means[0] != '\0' ? " (" : "", means, means[0] != '\0' ? ")" : "");
    print_labelled("charged to", text);
}

static void
print_time(const json_t *crash)
{
    char time[OX_RFC3339_LEN + 1];
    if (text_of(crash, "time")[0] == '\0')
        ox_clock_rfc3339(number_of(crash, "time_ns"), time);
    else
        snprintf(time, sizeof(time), "%s", text_of(crash, "time"));
    printf("%.19sZ  ", time);
}

void
cmd_print_crash(const json_t *crash)
{
    char life[200], age[32];
    bool node = strcmp(text_of(crash, "scope"), "node") == 0;
    const char *message = text_of(crash, "message"), *name = text_of(crash, "name");
    print_time(crash);
    bool in_actor = text_of(crash, "kind")[0] != '\0';
    printf("%s %s%s%s: %s\n", node ? in_actor ? "NODE ended in actor" : "NODE ended" : "actor",
           name[0] != '\0' ? name : text_of(crash, "kind"), message[0] != '\0' ? ", while handling " : "",
           message, text_of(crash, "reason"));
    print_labelled("what", text_of(crash, "text"));
    print_charge(crash);
    if (!in_actor) {
        print_backtrace(text_of(crash, "backtrace"));
        fputc('\n', stdout);
        return;
    }
    cmd_text_duration((int64_t)number_of(crash, "age_ms") * 1000000, age, sizeof(age));
    snprintf(life, sizeof(life), "had run for %s, after %llu restarts", age, number_of(crash, "restarts"));
    print_labelled("life", life);
    print_backtrace(text_of(crash, "backtrace"));
    fputc('\n', stdout);
}

static size_t limit_wanted;
static const struct cmd_api_where *asked;

static ox_err
from_files(const char *data, json_t **out, struct ox_diag *diag)
{
    return cmd_crashes_of_files(data, limit_wanted, out, diag);
}

static void
print_crashes(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "crashes"), *crash;
    size_t i;
    if (json_array_size(list) == 0) {
        printf("no crash is known\n");
        return;
    }
    json_array_foreach(list, i, crash) cmd_print_crash(crash);
    printf(
        "%zu of %llu crashes, newest first. `observex quarantine list%s` shows who was put aside for them.\n",
        json_array_size(list), number_of(answer, "noted"), cmd_same_place(asked));
}

int
ox_cmd_crashes(int argc, char **argv)
{
    struct cmd_api_where where = {NULL, NULL, NULL};
    const char *limit = "10";
    bool json = false;
    char path[64], *end;
    const struct ox_flag flags[] = {{"api", &where.api, NULL},
                                    {"data", &where.data, NULL},
                                    {"key", &where.key, NULL},
                                    {"limit", &limit, NULL},
                                    {"json", NULL, &json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 0) != OX_OK)
        return OX_EXIT_USAGE;
    unsigned long n = strtoul(limit, &end, 10);
    if (*end != '\0' || n == 0 || n > 256)
        return ox_complain_usage("crashes", "--limit is 1 to 256, not %.32s", limit);
    snprintf(path, sizeof(path), "/api/v1/crashes?limit=%lu", n);
    limit_wanted = n;
    asked = &where;
    return cmd_api_or_files(&where, path, json, print_crashes, from_files);
}
