/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/dlq_list.c - `observex dlq list`: files, counts by tenant, signal and reason, the newest records.
 *
 * Owns:    the counts, and copies of the newest records' heads.
 * Threads: the main thread.
 * Bounds:  GROUPS_MAX groups (the rest is counted as one), --limit records.
 * Fails:   what cannot be read is said; damaged lines are counted and do not end the list.
 */
#include <jansson.h>
#include <stdlib.h>

#include "cmd/dlq.h"
#include "cmd/text.h"

#define GROUPS_MAX 10000
#define LIMIT_MAX  100000

struct group {
    char *name; /* "tenant\nsignal\nreason" */
    uint64_t records, replayed;
    uint64_t oldest_ns, newest_ns;
};

struct recent {
    uint64_t number, time_ns;
    char id[OX_DEAD_LETTER_ID_LEN + 1];
    enum ox_replay_state state;
    char tenant[72], signal[16], reason[48], detail[160];
};

struct listing {
    const struct dlq_request *q;
    json_t *index; /* of groups, by name */
    struct group *groups;
    size_t n_groups;
    struct group rest;     /* past GROUPS_MAX */
    struct recent *recent; /* a ring */
    uint64_t n_matching, damaged;
};

static struct group *
group_of(struct listing *l, const struct ox_dead_letter_record *r)
{
    char name[512], tenant[200], signal[100], reason[100];
    dlq_copy(tenant, sizeof(tenant), r->tenant);
    dlq_copy(signal, sizeof(signal), r->signal);
    dlq_copy(reason, sizeof(reason), r->reason);
    snprintf(name, sizeof(name), "%s\n%s\n%s", tenant, signal, reason);
    json_t *at = json_object_get(l->index, name);
    if (at != NULL)
        return &l->groups[json_integer_value(at)];
    if (l->n_groups == GROUPS_MAX)
        return &l->rest;
    struct group *g = &l->groups[l->n_groups];
    g->name = strdup(name);
    if (g->name == NULL || json_object_set_new(l->index, name, json_integer((json_int_t)l->n_groups)) != 0) {
        free(g->name);
        g->name = NULL;
        return &l->rest;
    }
    l->n_groups++;
    return g;
}

static void
count_record(struct listing *l, const struct ox_dead_letter_record *r, enum ox_replay_state state)
{
    struct group *g = group_of(l, r);
    g->records++;
    g->replayed += state == OX_REPLAY_STORED || state == OX_REPLAY_REFUSED;
    if (g->oldest_ns == 0 || r->time_ns < g->oldest_ns)
        g->oldest_ns = r->time_ns;
    if (r->time_ns > g->newest_ns)
        g->newest_ns = r->time_ns;
    if (l->q->limit > 0) {
        struct recent *to = &l->recent[l->n_matching % l->q->limit];
        *to = (struct recent){.number = r->number, .time_ns = r->time_ns, .state = state};
        memcpy(to->id, r->id, sizeof(to->id));
        dlq_copy(to->tenant, sizeof(to->tenant), r->tenant);
        dlq_copy(to->signal, sizeof(to->signal), r->signal);
        dlq_copy(to->reason, sizeof(to->reason), r->reason);
        dlq_copy(to->detail, sizeof(to->detail), r->detail);
    }
    l->n_matching++;
}

static ox_err
gather(struct listing *l, struct dlq_walk *walk)
{
    struct ox_dead_letter_record record;
    enum ox_replay_state state;
    ox_err err;
    while ((err = dlq_next(walk, &record, &state)) == OX_OK) {
        if (record.damaged)
            l->damaged++;
        else if (dlq_matches(l->q, &record))
            count_record(l, &record, state);
    }
    return err == OX_E_END ? OX_OK : err;
}

/* ---- output ---- */

static void
show_files(const struct listing *l, const struct dlq_walk *walk)
{
    size_t n;
    char oldest[24], newest[24];
    const struct ox_dead_letter_file *files = ox_dead_letter_reader_files(walk->reader, &n);
    dlq_begin(l->q, "files",
              "file                                 bytes    records  oldest                newest");
    for (size_t i = 0; i < n; i++) {
        const struct ox_dead_letter_file *f = &files[i];
        dlq_time(f->oldest_ns, oldest);
        dlq_time(f->newest_ns, newest);
        if (l->q->json)
            dlq_emit(json_pack("{s:s,s:I,s:I,s:s,s:s}", "file", f->name, "bytes", (json_int_t)f->bytes,
                               "records", (json_int_t)f->lines, "oldest", oldest, "newest", newest));
        else
            printf("%-31s %10llu %10llu  %-20s  %s\n", f->name, (unsigned long long)f->bytes,
                   (unsigned long long)f->lines, oldest, newest);
    }
    dlq_end(l->q);
}

static int
by_records(const void *a, const void *b)
{
    uint64_t x = ((const struct group *)a)->records, y = ((const struct group *)b)->records;
    return x > y ? -1 : x < y;
}

static void
show_group(const struct listing *l, const struct group *g)
{
    char name[512], age[16], newest[24], oldest[24];
    snprintf(name, sizeof(name), "%s", g->name != NULL ? g->name : "(others)\n\n");
    char *signal = strchr(name, '\n');
    *signal++ = '\0';
    char *reason = strchr(signal, '\n');
    *reason++ = '\0';
    if (l->q->json) {
        dlq_emit(json_pack("{s:s,s:s,s:s,s:I,s:I,s:s,s:s}", "tenant", name, "signal", signal, "reason",
                           reason, "records", (json_int_t)g->records, "replayed", (json_int_t)g->replayed,
                           "oldest", dlq_time(g->oldest_ns, oldest), "newest",
                           dlq_time(g->newest_ns, newest)));
        return;
    }
    cmd_text_print(name, 24, true);
    printf(" %-8s ", signal);
    cmd_text_print(reason, 16, true);
    printf(" %10llu %10llu  %8s", (unsigned long long)g->records, (unsigned long long)g->replayed,
           dlq_age(g->oldest_ns, age));
    printf("  %8s\n", dlq_age(g->newest_ns, age));
}

static void
show_groups(struct listing *l)
{
    if (l->n_groups > 0)
        qsort(l->groups, l->n_groups, sizeof(*l->groups), by_records);
    dlq_begin(l->q, "counts",
              "tenant                   signal   reason              records   replayed    oldest    newest");
    for (size_t i = 0; i < l->n_groups; i++)
        show_group(l, &l->groups[i]);
    if (l->rest.records > 0)
        show_group(l, &l->rest);
    dlq_end(l->q);
}

static void
show_recent(const struct listing *l)
{
    uint64_t n = l->n_matching < l->q->limit ? l->n_matching : l->q->limit;
    char when[24];
    dlq_begin(l->q, "records",
              "       n  id                    time                  tenant           signal   reason        "
              " replayed");
    for (uint64_t i = l->n_matching - n; i < l->n_matching; i++) {
        const struct recent *r = &l->recent[i % l->q->limit];
        dlq_time(r->time_ns, when);
        if (l->q->json) {
            dlq_emit(json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "n", (json_int_t)r->number, "id", r->id,
                               "time", when, "tenant", r->tenant, "signal", r->signal, "reason", r->reason,
                               "detail", r->detail, "replayed", ox_replay_state_name(r->state)));
            continue;
        }
        printf("%8llu  %s  %-20s  ", (unsigned long long)r->number, r->id, when);
        cmd_text_print(r->tenant, 16, true);
        printf(" %-8s ", r->signal);
        cmd_text_print(r->reason, 14, true);
        printf(" %s\n", r->state == OX_REPLAY_NEVER ? "-" : ox_replay_state_name(r->state));
    }
    dlq_end(l->q);
    if (!l->q->json && n < l->n_matching)
        printf("the newest %llu of %llu; --limit N shows more\n", (unsigned long long)n,
               (unsigned long long)l->n_matching);
}

static void
show(struct listing *l, const struct dlq_walk *walk)
{
    show_files(l, walk);
    show_groups(l);
    show_recent(l);
    dlq_list_blocks(l->q);
    dlq_list_set_aside(l->q);
    if (l->q->json)
        return;
    if (l->damaged > 0)
        printf(
            "\n%llu lines are not what ObserveX writes; `observex dlq show N` shows such a line as it is\n",
            (unsigned long long)l->damaged);
    printf("\n`observex dlq show N` tells all of one and what would be right; `observex dlq replay` sends "
           "records again\n");
}

int
dlq_list(const struct dlq_request *q)
{
    struct listing l = {.q = q};
    struct dlq_walk walk;
    if (q->limit > LIMIT_MAX)
        return ox_complain_usage("dlq", "--limit is at most %d", LIMIT_MAX);
    if (dlq_open(q, false, &walk) != OX_OK)
        return OX_EXIT_FAILED;
    l.index = json_object();
    l.groups = calloc(GROUPS_MAX, sizeof(*l.groups));
    l.recent = calloc(q->limit + 1, sizeof(*l.recent));
    int code = OX_EXIT_FAILED;
    if (l.index == NULL || l.groups == NULL || l.recent == NULL) {
        ox_complain("no memory for the list");
    } else if (gather(&l, &walk) == OX_OK) {
        show(&l, &walk);
        code = OX_EXIT_OK;
    }
    for (size_t i = 0; i < l.n_groups; i++)
        free(l.groups[i].name);
    free(l.groups);
    free(l.recent);
    json_decref(l.index);
    dlq_close(&walk);
    return code;
}
