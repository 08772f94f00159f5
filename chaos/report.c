/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/report.c - what a run has shown, for people and for programs.
 *
 * Owns:    nothing.
 * Threads: main.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "chaos/run.h"

static int
ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

struct times {
    uint32_t p50, p99, max;
};

static struct times
recovery(const struct chaos_run *run)
{
    uint32_t n = run->n_recovery;
    uint32_t *v = n > 0 ? malloc(n * sizeof(*v)) : NULL;
    if (v == NULL)
        return (struct times){0};
    memcpy(v, run->recovery_ms, n * sizeof(*v));
    qsort(v, n, sizeof(*v), ascending);
    struct times t = {v[n / 2], v[n - 1 - n / 100], v[n - 1]};
    free(v);
    return t;
}

static void
put_faults(const struct chaos_run *run, FILE *f)
{
    for (int i = 0; i < CHAOS_FAULT__COUNT; i++) {
        if (run->totals.struck[i] > 0)
            fprintf(f, "  %-14s %u times\n", chaos_fault_texts[i].name, run->totals.struck[i]);
    }
}

static void
put_holds(const char *who, const struct chaos_holds *a, const struct chaos_holds *b, FILE *f)
{
    fprintf(f,
            "%s: threads %u -> %u, descriptors %u -> %u, sockets %u -> %u, files of the data directory %u -> "
            "%u\n",
            who, a->threads, b->threads, a->descriptors, b->descriptors, a->sockets, b->sockets, a->files,
            b->files);
}

static void
put_leaks(const struct chaos_run *run, FILE *f)
{
    const struct chaos_census *a = &run->first_census, *b = &run->last_census;
    fprintf(f, "held at rest, after the first of %u counts and after the last:\n", run->censuses);
    put_holds("  heart", &a->heart, &b->heart, f);
    put_holds("  node", &a->node, &b->node, f);
    fprintf(f, "  node: bytes given out by malloc %llu -> %llu; set aside and replayed: %u requests\n",
            (unsigned long long)a->node_bytes, (unsigned long long)b->node_bytes, run->n_aside);
}

static void
put_text(const struct chaos_run *run, FILE *f)
{
    const struct chaos_totals *t = &run->totals;
    struct times r = recovery(run);
#define N(x) (unsigned long long)(x)
    fprintf(f, "scenario %s, seed %llu: %s\n%u rounds in %llu s, everything verified %u times\n",
            run->scenario.name, N(run->seed), run->scenario.about, t->rounds, N(t->seconds),
            t->full_verifications);
    put_faults(run, f);
    fprintf(f,
            "records: acknowledged %llu, refused %llu, unanswered %llu (of these stored %llu, of the refused "
            "%llu)\n"
            "requests: %llu without an answer, %llu sent again, %llu partly rejected\n",
            N(t->acked), N(t->refused), N(t->unknown), N(t->unanswered_stored), N(t->refused_stored),
            N(t->broken), N(t->retried), N(t->partial));
    fprintf(
        f,
        "lost %llu, doubled %llu, misplaced %llu, damaged by harm outside the promise %llu, delayed %llu\n"
        "views that disagree %llu, counters that do not add up %llu\n"
        "hit by the faults, where that is counted: %llu calls, changes, connections or entries\n",
        N(t->lost), N(t->doubled), N(t->misplaced), N(t->damaged), N(t->delayed), N(t->views), N(t->counters),
        N(t->hits));
    fprintf(f,
            "acknowledged again after p50 %u ms, p99 %u ms, max %u ms; slowest answer %llu ms; everything "
            "stored at "
            "most %llu ms after the load paused\n",
            r.p50, r.p99, r.max, N(t->answer_max_ms), N(t->settle_max_ms));
    if (run->censuses > 0)
        put_leaks(run, f);
#undef N
    if (run->failure[0] != '\0')
        fprintf(f, "STOPPED: %s\n", run->failure);
    if (run->findings.len > 0)
        fprintf(f, "%.*s", (int)run->findings.len, (const char *)run->findings.data);
}

static void
set(json_t *j, const char *name, uint64_t v)
{
    json_object_set_new(j, name, json_integer((json_int_t)v));
}

static json_t *
as_json(const struct chaos_run *run)
{
    const struct chaos_totals *t = &run->totals;
    struct times r = recovery(run);
    json_t *j = json_object(), *faults = json_object();
    json_object_set_new(j, "scenario", json_string(run->scenario.name));
    set(j, "seed", run->seed);
    set(j, "rounds", t->rounds);
    set(j, "rounds_wanted", run->rounds);
    set(j, "rounds_failed", t->failed_rounds);
    set(j, "verified_everything", t->full_verifications);
    set(j, "seconds", t->seconds);
    set(j, "acknowledged", t->acked);
    set(j, "refused", t->refused);
    set(j, "unanswered", t->unknown);
    set(j, "unanswered_stored", t->unanswered_stored);
    set(j, "refused_stored", t->refused_stored);
    set(j, "lost", t->lost);
    set(j, "doubled", t->doubled);
    set(j, "misplaced", t->misplaced);
    set(j, "damaged", t->damaged);
    set(j, "delayed", t->delayed);
    set(j, "hits", t->hits);
    set(j, "views", t->views);
    set(j, "counters", t->counters);
    set(j, "requests_broken", t->broken);
    set(j, "requests_retried", t->retried);
    set(j, "recovery_p50_ms", r.p50);
    set(j, "recovery_p99_ms", r.p99);
    set(j, "recovery_max_ms", r.max);
    set(j, "settle_max_ms", t->settle_max_ms);
    for (int i = 0; i < CHAOS_FAULT__COUNT; i++) {
        if (t->struck[i] > 0)
            set(faults, chaos_fault_texts[i].name, t->struck[i]);
    }
    json_object_set_new(j, "faults", faults);
    json_object_set_new(j, "stopped", json_string(run->failure));
    json_object_set_new(j, "findings", json_stringn((const char *)run->findings.data, run->findings.len));
    return j;
}

void
chaos_report(const struct chaos_run *run, bool aloud)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/report.txt", run->dir);
    FILE *f = fopen(path, "we");
    if (f != NULL) {
        put_text(run, f);
        fclose(f);
    }
    json_t *j = as_json(run);
    snprintf(path, sizeof(path), "%s/report.json", run->dir);
    if (json_dump_file(j, path, JSON_INDENT(1) | JSON_PRESERVE_ORDER) != 0)
        fprintf(stderr, "chaos: %s cannot be written\n", path);
    json_decref(j);
    if (aloud)
        put_text(run, stdout);
    fflush(stdout);
}
