/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_logs.c - `observex logs`: search log records, and follow them.
 *
 * Owns:    the answer in hand and the cursor, for one run.
 * Threads: the main thread.
 * Bounds:  one answer at a time; following asks every POLL_MS.
 * Fails:   OX_EXIT_FAILED when nothing answers or it answers an error. While following, an API that does not
 *          answer is asked again: a restart of the server must not end the reading.
 *
 * Following hands meta.cursor back (actors/query/query_follow.c), so nothing is missed and nothing comes twice.
 */
#include <curl/curl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/api_client.h"
#include "cmd/cmd.h"
#include "cmd/text.h"

#define POLL_MS     1000
#define BODY_WIDTH  4000
#define RETRIES_MAX 60 /* answers that may fail in a row while following */

#define RED    "\x1b[31m"
#define YELLOW "\x1b[33m"
#define DIM    "\x1b[2m"
#define NORMAL "\x1b[0m"

struct options {
    const char *api, *data, *key;
    const char *service, *level, *q, *trace_id, *since, *limit;
    bool follow, json;
};

static volatile sig_atomic_t stopped;

static void
on_signal(int signum)
{
    stopped = 1;
}

static void
add(struct ox_buf *path, const char *name, const char *value)
{
    if (value == NULL)
        return;
    char *escaped = curl_easy_escape(NULL, value, 0);
    if (escaped == NULL) {
        path->failed = true;
        return;
    }
    ox_buf_printf(path, "%c%s=%s", memchr(path->data, '?', path->len) != NULL ? '&' : '?', name, escaped);
    curl_free(escaped);
}

static void
build_path(const struct options *o, const char *cursor, struct ox_buf *path)
{
    ox_buf_reset(path);
    ox_buf_append_cstr(path, "/api/v1/logs");
    add(path, "service", o->service);
    add(path, "level", o->level);
    add(path, "q", o->q);
    add(path, "trace_id", o->trace_id);
    add(path, "time", o->since);
    add(path, "limit", o->limit);
    add(path, "after", cursor);
    ox_buf_append(path, "", 1);
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "";
}

static const char *
colour_of(const char *level)
{
    if (strcmp(level, "ERROR") == 0 || strcmp(level, "FATAL") == 0)
        return RED;
    return strcmp(level, "WARN") == 0 ? YELLOW : "";
}

static void
print_body(const json_t *body)
{
    if (json_is_string(body)) {
        cmd_text_print(json_string_value(body), BODY_WIDTH, false);
        return;
    }
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    cmd_text_print(text != NULL ? text : "", BODY_WIDTH, false);
    free(text);
}

static void
print_record(const struct options *o, const json_t *record, bool colour)
{
    if (o->json) {
        json_dumpf(record, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        return;
    }
    const char *level = text_of(record, "level");
    printf("%s%.23sZ%s %s", colour ? DIM : "", text_of(record, "time"), colour ? NORMAL : "",
           colour ? colour_of(level) : "");
    cmd_text_print(level[0] != '\0' ? level : "-", 5, true);
    printf("%s ", colour ? NORMAL : "");
    cmd_text_print(text_of(record, "service_name"), 20, true);
    fputc(' ', stdout);
    print_body(json_object_get(record, "body"));
    if (text_of(record, "trace_id")[0] != '\0')
        printf("%s  trace=%s%s", colour ? DIM : "", text_of(record, "trace_id"), colour ? NORMAL : "");
    fputc('\n', stdout);
}

static int
by_time(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t tx = json_integer_value(json_object_get(x, "time_unix_nano"));
    json_int_t ty = json_integer_value(json_object_get(y, "time_unix_nano"));
    return tx < ty ? -1 : tx > ty;
}

/* Oldest first, as a terminal is read. */
static ox_err
print_records(const struct options *o, const json_t *answer)
{
    const json_t *logs = json_object_get(answer, "logs");
    size_t n = json_array_size(logs);
    bool colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    json_t **sorted = malloc((n + 1) * sizeof(*sorted));
    if (sorted == NULL)
        return OX_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(logs, n - 1 - i);
    if (o->follow)
        qsort(sorted, n, sizeof(*sorted), by_time);
    for (size_t i = 0; i < n; i++)
        print_record(o, sorted[i], colour);
    fflush(stdout);
    free(sorted);
    return ferror(stdout) ? OX_E_IO : OX_OK;
}

static bool
is_truncated(const json_t *answer)
{
    return json_is_true(json_object_get(json_object_get(answer, "meta"), "truncated"));
}

static int
search(const struct options *o, const char *base)
{
    struct ox_diag diag = {0};
    struct ox_buf path, body;
    json_t *answer = NULL;
    ox_buf_init(&path);
    ox_buf_init(&body);
    build_path(o, NULL, &path);
    ox_err err = cmd_api_json(base, (const char *)path.data, o->key, &body, &answer, &diag);
    if (err == OX_OK)
        err = print_records(o, answer);
    if (err == OX_OK && is_truncated(answer))
        fprintf(stderr, "observex: there are more; --limit or a shorter --since chooses which\n");
    json_decref(answer);
    ox_buf_fini(&path);
    ox_buf_fini(&body);
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s", diag.text[0] != 0 ? diag.text : ox_err_text(err));
}

static void
wait_a_moment(void)
{
    const struct timespec ts = {.tv_sec = POLL_MS / 1000, .tv_nsec = POLL_MS % 1000 * 1000000};
    (void)nanosleep(&ts, NULL);
}

/* One question of a follower. On OK *cursor is the new one. */
static ox_err
poll_once(const struct options *o, const char *base, char **cursor, bool *more, struct ox_diag *diag)
{
    struct ox_buf path, body;
    json_t *answer = NULL;
    ox_buf_init(&path);
    ox_buf_init(&body);
    build_path(o, *cursor, &path);
    ox_err err = cmd_api_json(base, (const char *)path.data, o->key, &body, &answer, diag);
    if (err == OX_OK)
        err = print_records(o, answer);
    if (err == OX_OK) {
        char *next = strdup(text_of(json_object_get(answer, "meta"), "cursor"));
        free(*cursor);
        *cursor = next;
        *more = is_truncated(answer);
    }
    json_decref(answer);
    ox_buf_fini(&path);
    ox_buf_fini(&body);
    return err;
}

static int
follow(const struct options *o, const char *base)
{
    struct ox_diag diag = {0};
    char *cursor = strdup("start");
    int failures = 0;
    ox_err err = OX_OK;
    while (!stopped && cursor != NULL) {
        bool more = false;
        err = poll_once(o, base, &cursor, &more, &diag);
        failures = err == OX_OK ? 0 : failures + 1;
        /* A wrong question stays wrong; no answer may be a restart. */
        if (err == OX_E_INVALID || (err != OX_OK && ferror(stdout)) || failures > RETRIES_MAX)
            break;
        if (!more)
            wait_a_moment();
    }
    free(cursor);
    if (stopped || err == OX_OK)
        return OX_EXIT_OK;
    return ferror(stdout) ? OX_EXIT_FAILED : ox_complain("%s", diag.text);
}

int
ox_cmd_logs(int argc, char **argv)
{
    struct options o = {0};
    const struct ox_flag flags[] = {
        {"api", &o.api, NULL},         {"data", &o.data, NULL},   {"key", &o.key, NULL},
        {"service", &o.service, NULL}, {"level", &o.level, NULL}, {"q", &o.q, NULL},
        {"since", &o.since, NULL},     {"limit", &o.limit, NULL}, {"follow", NULL, &o.follow},
        {"trace", &o.trace_id, NULL},  {"json", NULL, &o.json}};
    struct ox_diag diag = {0};
    char base[256];
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 0) != OX_OK)
        return OX_EXIT_USAGE;
    if (ox_api_find(o.api, o.data, base, sizeof(base), &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    const struct sigaction action = {.sa_handler = on_signal};
    if (!o.follow)
        return search(&o, base);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (o.since == NULL)
        o.since = "1m";
    return follow(&o, base);
}
