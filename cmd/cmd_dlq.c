/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_dlq.c - `observex dlq`: what was refused, why, and sending it again.
 *
 * Reads DIR itself, so a server may run on it or not; only `replay` needs one.
 *
 * Owns:    nothing between calls.
 * Threads: the main thread.
 * Bounds:  one record in memory.
 * Fails:   OX_EXIT_FAILED with a sentence, OX_EXIT_USAGE.
 * Flow:    here -> dlq_list.c, dlq_show.c, dlq_replay.c -> actors/gateway/dead_letter_read.c.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "cmd/dlq.h"
#include "ox/clock.h"
#include "ox/config_table.h"
#include "ox/disk.h"

#define LIMIT_DEFAULT 20

/* ---- tables ---- */

static bool first_row, first_table = true;

void
dlq_begin(const struct dlq_request *q, const char *name, const char *columns)
{
    first_row = true;
    if (q->json)
        printf("%s  \"%s\": [", first_table ? "{\n" : ",\n", name);
    else
        printf("%s%s\n", first_table ? "" : "\n", columns);
    first_table = false;
}

void
dlq_emit(struct json_t *object)
{
    printf("%s\n    ", first_row ? "" : ",");
    first_row = false;
    if (object == NULL) /* no memory, or text that is not UTF-8 */
        fputs("null", stdout);
    else
        (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(object);
}

void
dlq_copy(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);
    if (n >= size) {
        n = size - 1;
        while (n > 0 && (from[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(to, from, n);
    to[n] = '\0';
}

void
dlq_end(const struct dlq_request *q)
{
    if (q->json)
        printf("\n  ]");
}

const char *
dlq_time(uint64_t ns, char out[24])
{
    char full[OX_RFC3339_LEN + 1];
    if (ns == 0)
        return memcpy(out, "-", 2);
    ox_clock_rfc3339(ns, full);
    snprintf(out, 24, "%.19sZ", full);
    return out;
}

const char *
dlq_age(uint64_t ns, char out[16])
{
    static const struct {
        uint64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    uint64_t now = ox_clock_realtime_ns(ox_clock_real());
    uint64_t s = ns != 0 && now > ns ? (now - ns) / 1000000000 : 0;
    size_t u = 0;
    while (u + 1 < OX_COUNT(units) && s < 2 * units[u].seconds)
        u++;
    snprintf(out, 16, "%llu%c", (unsigned long long)(s / units[u].seconds), units[u].unit);
    return ns != 0 ? out : memcpy(out, "-", 2);
}

/* ---- records ---- */

ox_err
dlq_open(const struct dlq_request *q, bool write, struct dlq_walk *walk)
{
    char dir[OX_DISK_PATH_MAX];
    struct ox_diag diag;
    *walk = (struct dlq_walk){0};
    if ((size_t)snprintf(dir, sizeof(dir), "%s/dlq", q->data) >= sizeof(dir)) {
        ox_complain("the path %s is too long", q->data);
        return OX_E_INVALID;
    }
    ox_err err = ox_dead_letter_reader_open(ox_disk_real(), dir, &walk->reader, &diag);
    if (err == OX_E_NOT_FOUND) {
        ox_complain("there is no %s: --data names the directory that `observex serve` runs or ran on", dir);
        return err;
    }
    if (err == OX_OK)
        err = ox_replay_marks_open(ox_disk_real(), dir, write, &walk->marks, &diag);
    if (err == OX_OK)
        return OX_OK;
    ox_complain("%s", diag.text);
    dlq_close(walk);
    return err;
}

void
dlq_close(struct dlq_walk *walk)
{
    ox_dead_letter_reader_close(walk->reader);
    ox_replay_marks_close(walk->marks);
    *walk = (struct dlq_walk){0};
}

ox_err
dlq_next(struct dlq_walk *walk, struct ox_dead_letter_record *record, enum ox_replay_state *state)
{
    struct ox_diag diag;
    ox_err err = ox_dead_letter_reader_next(walk->reader, record, &diag);
    if (err == OX_OK)
        *state = ox_replay_marks_get(walk->marks, record->id);
    else if (err != OX_E_END)
        ox_complain("%s", diag.text);
    return err;
}

bool
dlq_named(const char *word, const struct ox_dead_letter_record *record)
{
    char *end;
    size_t n = strlen(word);
    unsigned long long number = strtoull(word, &end, 10);
    if (*end == '\0' && n <= 9)
        return number == record->number;
    return n >= 4 && strncasecmp(word, record->id, n) == 0;
}

bool
dlq_matches(const struct dlq_request *q, const struct ox_dead_letter_record *record)
{
    bool named = q->n_which == 0;
    for (int i = 0; i < q->n_which && !named; i++)
        named = dlq_named(q->which[i], record);
    return named && (q->tenant == NULL || strcmp(q->tenant, record->tenant) == 0) &&
           (q->reason == NULL || strcmp(q->reason, record->reason) == 0) &&
           (q->signal == NULL || strcmp(q->signal, record->signal) == 0) && record->time_ns >= q->since_ns;
}

/* ---- arguments ---- */

/* "90m" before now, or a time as the lists print it. */
static bool
parse_since(const char *text, uint64_t *out)
{
    static const struct ox_config_key row = {.type = OX_CONFIG_duration, .min = "", .max = ""};
    int64_t ms;
    struct tm tm = {0};
    if (text == NULL)
        return true;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (end != NULL && (*end == '\0' || strcmp(end, "Z") == 0)) {
        *out = (uint64_t)timegm(&tm) * 1000000000;
        return true;
    }
    if (ox_config_key_set(&row, ox_str_of(text), &ms, NULL) != OX_OK)
        return false;
    *out = ox_clock_realtime_ns(ox_clock_real()) - (uint64_t)ms * 1000000;
    return true;
}

static bool
parse_limit(const char *text, uint64_t *out)
{
    char *end;
    *out = LIMIT_DEFAULT;
    if (text == NULL)
        return true;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static int
run(const char *what, const struct dlq_request *q)
{
    if (strcmp(what, "list") == 0)
        return q->n_which == 0 ? dlq_list(q)
                               : ox_complain_usage("dlq", "`dlq list` takes filters; `dlq show %s` shows one",
                                                   q->which[0]);
    if (strcmp(what, "show") == 0)
        return q->n_which > 0
                   ? dlq_show(q)
                   : ox_complain_usage("dlq", "`dlq show` needs a number, an id or a file of `dlq list`");
    if (strcmp(what, "replay") == 0)
        return dlq_replay(q);
    return ox_complain_usage("dlq", "there is no `dlq %s`; it is list, show or replay", what);
}

int
ox_cmd_dlq(int argc, char **argv)
{
    struct dlq_request q = {.data = "./observex-data"};
    const char *since = NULL, *limit = NULL;
    const struct ox_flag flags[] = {
        {"data", &q.data, NULL},     {"tenant", &q.tenant, NULL},   {"reason", &q.reason, NULL},
        {"signal", &q.signal, NULL}, {"since", &since, NULL},       {"limit", &limit, NULL},
        {"json", NULL, &q.json},     {"dry-run", NULL, &q.dry_run}, {"in-doubt", NULL, &q.in_doubt},
        {"otlp-http", &q.url, NULL}, {"key", &q.key, NULL}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), argc) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc < 2)
        return ox_complain_usage("dlq", "say what to do: list, show or replay");
    if (!parse_since(since, &q.since_ns))
        return ox_complain_usage("dlq",
                                 "--since takes a time span such as 90m, 24h, 7d, or a UTC time such as "
                                 "2026-01-02T03:04:05Z, not \"%s\"",
                                 since);
    if (!parse_limit(limit, &q.limit))
        return ox_complain_usage("dlq", "--limit takes a whole number, not \"%s\"", limit);
    q.which = argv + 2;
    q.n_which = argc - 2;
    int code = run(argv[1], &q);
    if (q.json && !first_table)
        printf("\n}\n");
    return fflush(stdout) == 0 ? code : ox_complain("the output cannot be written: %s", strerror(errno));
}
