/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/dlq_show.c - `observex dlq show`: one record with its reason and what would be right.
 *
 * Owns:    nothing beyond a record.
 * Threads: the main thread.
 * Bounds:  one record in memory.
 * Fails:   OX_EXIT_FAILED when nothing is named so, or several are.
 */
#include <jansson.h>
#include <stdlib.h>

#include "cmd/dlq.h"
#include "cmd/text.h"
#include "ox/validate.h"

static const char *
remedy_of(const char *reason)
{
    enum ox_reject why;
    if (strcmp(reason, "refused_by_storage") == 0)
        return "what storage says; the row is complete below, and cannot be replayed";
    return ox_reject_of_name(reason, &why) ? ox_reject_remedy(why) : "see the reason";
}

static void
line(const char *name, const char *value)
{
    printf("%-10s ", name);
    cmd_text_print(value, 1000, false);
    putchar('\n');
}

/* The request, or the row that storage refused. */
static json_t *
record_json(const struct ox_dead_letter_record *r)
{
    struct ox_str s = r->columns.n > 0 ? r->columns : r->request;
    return json_loadb(s.p != NULL ? s.p : "", s.n, 0, NULL);
}

static void
show_text(const struct ox_dead_letter_record *r, enum ox_replay_state state)
{
    char when[24], age[16], place[128];
    snprintf(place, sizeof(place), "%llu, in %s at byte %llu", (unsigned long long)r->number, r->file,
             (unsigned long long)r->offset);
    line("id", r->id);
    line("n", place);
    if (r->damaged) {
        line("damaged", "this line is not what ObserveX writes:");
        char *text = strndup(r->line.p, r->line.n < 4096 ? r->line.n : 4096);
        cmd_text_print(text != NULL ? text : "", 4096, false);
        putchar('\n');
        free(text);
        return;
    }
    snprintf(place, sizeof(place), "%s (%s ago)", dlq_time(r->time_ns, when), dlq_age(r->time_ns, age));
    line("time", place);
    line("tenant", r->tenant);
    line("signal", r->signal);
    line("reason", r->reason);
    if (r->detail[0] != '\0')
        line("", r->detail);
    line("right", remedy_of(r->reason));
    line("replayed", ox_replay_state_name(state));
    if (r->wire)
        line("note", "U+FFFD stands in the request where bytes were no UTF-8; `wire` of the line has them");
    json_t *request = record_json(r);
    fputs(r->columns.n > 0 ? "columns    " : "request    ", stdout);
    if (request == NULL ||
        json_dumpf(request, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII) != 0)
        fputs("cannot be read", stdout);
    putchar('\n');
    json_decref(request);
}

static void
show_json(const struct ox_dead_letter_record *r, enum ox_replay_state state)
{
    char when[24];
    json_t *request = r->damaged ? NULL : record_json(r);
    dlq_emit(json_pack("{s:I,s:s,s:s,s:I,s:b,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:o}", "n",
                       (json_int_t)r->number, "id", r->id, "file", r->file, "offset", (json_int_t)r->offset,
                       "damaged", r->damaged, "time", dlq_time(r->time_ns, when), "tenant", r->tenant,
                       "signal", r->signal, "reason", r->reason, "detail", r->detail, "right",
                       r->damaged ? "" : remedy_of(r->reason), "replayed", ox_replay_state_name(state),
                       "not_utf8", r->wire, r->columns.n > 0 ? "columns" : "request",
                       request != NULL ? request : json_null()));
}

/* All records that `word` names; *n of them. */
static ox_err
show_named(const struct dlq_request *q, const char *word, uint64_t *n)
{
    struct dlq_walk walk;
    struct ox_dead_letter_record record;
    enum ox_replay_state state;
    ox_err err = dlq_open(q, false, &walk);
    if (err != OX_OK)
        return err;
    while ((err = dlq_next(&walk, &record, &state)) == OX_OK) {
        if (!dlq_named(word, &record))
            continue;
        if ((*n)++ > 0 && !q->json)
            putchar('\n');
        if (q->json)
            show_json(&record, state);
        else
            show_text(&record, state);
    }
    dlq_close(&walk);
    return err == OX_E_END ? OX_OK : err;
}

int
dlq_show(const struct dlq_request *q)
{
    int code = OX_EXIT_OK;
    for (int i = 0; i < q->n_which && code == OX_EXIT_OK; i++) {
        uint64_t n = 0;
        int file_code;
        if (q->json && i == 0)
            dlq_begin(q, "records", "");
        else if (i > 0 && !q->json)
            putchar('\n');
        if (dlq_show_file(q, q->which[i], &file_code))
            code = file_code;
        else if (show_named(q, q->which[i], &n) != OX_OK)
            code = OX_EXIT_FAILED;
        else if (n == 0)
            code = ox_complain("no dead letter is named %s: `observex dlq list` shows numbers, ids and files",
                               q->which[i]);
    }
    if (q->json)
        dlq_end(q);
    return code;
}
