/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/run.c - the rounds.
 *
 * The state of a run lies in its directory: `ids` (what clients were told), `state.json` (rounds done, totals) and
 * `data/` (the server's). Each round takes its chance from seed and number of the round, so a run that goes on
 * later draws what it would have drawn.
 *
 * Owns:    see run.h.
 * Threads: main.
 */
#include "chaos/run.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOOK_MS      5
#define FIRST_LOAD_S 60
#define ROUND_MIX    UINT64_C(0x9e3779b97f4a7c15)

OX_PRINTF(2, 3) static bool give_up(struct chaos_run *run, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(run->failure, sizeof(run->failure), fmt, ap);
    va_end(ap);
    return false;
}

static void
path_of(const struct chaos_run *run, const char *name, char *out, size_t n)
{
    snprintf(out, n, "%s/%s", run->dir, name);
}

/* ---- state ---- */

#define TOTALS(X)                                                                                            \
    X(acked)                                                                                                 \
    X(refused)                                                                                               \
    X(unknown)                                                                                               \
    X(lost)                                                                                                  \
    X(doubled)                                                                                               \
    X(misplaced)                                                                                             \
    X(views)                                                                                                 \
    X(counters)                                                                                              \
    X(delayed)                                                                                               \
    X(damaged)                                                                                               \
    X(hits)                                                                                                  \
    X(retried)                                                                                               \
    X(broken)                                                                                                \
    X(partial)                                                                                               \
    X(answer_max_ms)                                                                                         \
    X(settle_max_ms)                                                                                         \
    X(seconds)

static bool
save_state(const struct chaos_run *run)
{
    char path[300], temp[310];
    path_of(run, "ids", path, sizeof(path));
    if (!chaos_ids_save(&run->ids, path))
        return false;
    json_t *j = json_object(), *times = json_array();
    json_object_set_new(j, "rounds", json_integer(run->totals.rounds));
    json_object_set_new(j, "failed_rounds", json_integer(run->totals.failed_rounds));
    json_object_set_new(j, "full_verifications", json_integer(run->totals.full_verifications));
#define SAVE(field) json_object_set_new(j, #field, json_integer((json_int_t)run->totals.field));
    TOTALS(SAVE)
#undef SAVE
    for (int i = 0; i < CHAOS_FAULT__COUNT; i++)
        json_object_set_new(j, chaos_fault_texts[i].name, json_integer(run->totals.struck[i]));
    for (uint32_t i = 0; i < run->n_recovery; i++)
        json_array_append_new(times, json_integer(run->recovery_ms[i]));
    json_object_set_new(j, "recovery_ms", times);
    json_object_set_new(j, "findings", json_stringn((const char *)run->findings.data, run->findings.len));
    path_of(run, "state.json", path, sizeof(path));
    snprintf(temp, sizeof(temp), "%s.tmp", path);
    bool ok = json_dump_file(j, temp, JSON_INDENT(1)) == 0 && rename(temp, path) == 0;
    json_decref(j);
    return ok;
}

static uint64_t
number(const json_t *j, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(j, name));
}

static bool
load_state(struct chaos_run *run)
{
    char path[300];
    path_of(run, "ids", path, sizeof(path));
    if (!chaos_ids_load(&run->ids, path))
        return false;
    path_of(run, "state.json", path, sizeof(path));
    json_t *j = json_load_file(path, 0, NULL);
    if (j == NULL)
        return false;
    run->totals.rounds = (uint32_t)number(j, "rounds");
    run->totals.failed_rounds = (uint32_t)number(j, "failed_rounds");
    run->totals.full_verifications = (uint32_t)number(j, "full_verifications");
#define LOAD(field) run->totals.field = number(j, #field);
    TOTALS(LOAD)
#undef LOAD
    for (int i = 0; i < CHAOS_FAULT__COUNT; i++)
        run->totals.struck[i] = (uint32_t)number(j, chaos_fault_texts[i].name);
    json_t *times = json_object_get(j, "recovery_ms");
    for (size_t i = 0; i < json_array_size(times) && run->n_recovery < run->rounds; i++)
        run->recovery_ms[run->n_recovery++] = (uint32_t)json_integer_value(json_array_get(times, i));
    const char *findings = json_string_value(json_object_get(j, "findings"));
    ox_buf_append_cstr(&run->findings, findings != NULL ? findings : "");
    json_decref(j);
    return true;
}

/* ---- a round ---- */

static void
draw(struct chaos_run *run)
{
    ox_random_seed(&run->rnd, run->seed + ROUND_MIX * (run->round + 1));
    uint64_t at = ox_random_below(&run->rnd, run->scenario.weights);
    for (uint32_t i = 0; i < run->scenario.n_faults; i++) {
        run->fault = run->scenario.faults[i].fault;
        if (at < run->scenario.faults[i].weight)
            break;
        at -= run->scenario.faults[i].weight;
    }
}

/* The server is there and takes nothing: what it says is the only hint that a later start does not wipe out. */
static bool
nothing_acknowledged(struct chaos_run *run, unsigned limit_s, uint64_t refused, uint64_t broken)
{
    char why[300];
    chaos_load_why(&run->load, why, sizeof(why));
    return give_up(run, "no request was acknowledged within %u s; %llu were refused, %llu got no answer; %s",
                   limit_s, (unsigned long long)(atomic_load(&run->load.refused) - refused),
                   (unsigned long long)(atomic_load(&run->load.broken) - broken), why);
}

static bool
wait_acks(struct chaos_run *run, uint64_t after_ns, unsigned limit_s)
{
    uint64_t end = chaos_now_ns() + limit_s * UINT64_C(1000000000);
    uint64_t refused = atomic_load(&run->load.refused), broken = atomic_load(&run->load.broken);
    while (atomic_load(&run->load.last_ack_ns) <= after_ns) {
        if (chaos_now_ns() > end)
            return nothing_acknowledged(run, limit_s, refused, broken);
        chaos_nap_ms(LOOK_MS);
    }
    return true;
}

static bool
harm(struct chaos_run *run)
{
    const struct chaos_scenario *s = &run->scenario;
    chaos_load_resume(&run->load);
    if (!wait_acks(run, chaos_now_ns(), FIRST_LOAD_S))
        return false;
    chaos_nap_ms(s->strike_min_ms + ox_random_below(&run->rnd, s->strike_max_ms - s->strike_min_ms + 1));
    run->struck_ns = chaos_now_ns();
    if (!chaos_strike(run))
        return give_up(run, "%s: %s", chaos_fault_texts[run->fault].name, run->server.why);
    uint64_t over = chaos_now_ns();
    if (!wait_acks(run, over, CHAOS_RECOVER_S))
        return false;
    run->recovery_ms[run->n_recovery++] =
        (uint32_t)((atomic_load(&run->load.last_ack_ns) - run->struck_ns) / 1000000);
    chaos_nap_ms(s->after_ms);
    return true;
}

static void
add_verdict(struct chaos_run *run, struct chaos_verdict *v)
{
    struct chaos_totals *t = &run->totals;
    t->lost += v->lost;
    t->doubled += v->doubled;
    t->misplaced += v->misplaced;
    t->views += v->views;
    t->counters += v->counters;
    t->delayed += v->delayed;
    if (v->settle_ms > t->settle_max_ms)
        t->settle_max_ms = v->settle_ms;
    if (v->lost + v->doubled + v->misplaced + v->views + v->counters > 0)
        t->failed_rounds++;
    if (v->lines.len > 0)
        fprintf(stderr, "%.*s", (int)v->lines.len, (const char *)v->lines.data);
    ox_buf_append(&run->findings, v->lines.data, v->lines.len);
}

static void
verify_everything(struct chaos_run *run, const struct chaos_verify *v)
{
    struct chaos_verdict all = {0};
    chaos_verify_all(v, &all);
    run->totals.full_verifications++;
    run->totals.unanswered_stored = all.unanswered_stored;
    run->totals.refused_stored = all.refused_stored;
    run->totals.damaged = all.damaged;
    add_verdict(run, &all);
    printf("  round %u: everything: %llu ids, %llu rows, settled in %llu ms\n", run->round,
           (unsigned long long)all.checked, (unsigned long long)all.rows, (unsigned long long)all.settle_ms);
    chaos_verdict_fini(&all);
}

static void
count_fates(struct chaos_run *run, uint64_t *acked, uint64_t *refused, uint64_t *unknown)
{
    *acked = *refused = *unknown = 0;
    for (uint32_t i = 0; i < run->ids.n_lanes; i++) {
        const struct chaos_lane *lane = &run->ids.lanes[i];
        *acked += chaos_lane_count(lane, lane->round_first, CHAOS_ACKED);
        *refused += chaos_lane_count(lane, lane->round_first, CHAOS_REFUSED);
        *unknown += chaos_lane_unanswered(lane, lane->round_first);
    }
    run->totals.acked += *acked;
    run->totals.refused += *refused;
    run->totals.unknown += *unknown;
}

static void
check_refusals(struct chaos_run *run, uint64_t refused, struct chaos_verdict *v)
{
    if (run->scenario.refusals_allowed || refused == 0)
        return;
    char why[300];
    chaos_load_why(&run->load, why, sizeof(why));
    v->counters++;
    ox_buf_printf(&v->lines, "round %u: %llu records were refused, and this scenario allows none; %s\n",
                  run->round, (unsigned long long)refused, why);
}

static bool
round_once(struct chaos_run *run)
{
    struct chaos_verify v = {&run->server, &run->ids, run->round, 0};
    struct chaos_verdict verdict = {0};
    struct chaos_counts before[CHAOS_LANES_MAX];
    uint64_t acked, refused, unknown, began = chaos_now_ns(), since = chaos_unix_ns();
    draw(run);
    for (uint32_t i = 0; i < run->ids.n_lanes; i++)
        run->ids.lanes[i].round_first = run->ids.lanes[i].n;
    chaos_server_refresh(&run->server);
    pid_t node = run->server.node;
    bool counted = chaos_counts_read(&v, before);
    bool ok = harm(run);
    chaos_load_pause(&run->load);
    ok = ok && (!run->scenario.takes_faults || chaos_replay_set_aside(run));
    count_fates(run, &acked, &refused, &unknown);
    chaos_verify_round(&v, since, &verdict);
    chaos_server_refresh(&run->server);
    chaos_verify_counters(&v, counted && node == run->server.node ? before : NULL, &verdict);
    check_refusals(run, refused, &verdict);
    if (ok && run->scenario.no_leaks)
        chaos_leaks(run, &verdict);
    uint64_t answer_ms = atomic_load(&run->load.wait_max_ns) / 1000000;
    run->totals.answer_max_ms = answer_ms > run->totals.answer_max_ms ? answer_ms : run->totals.answer_max_ms;
    uint64_t ms = (chaos_now_ns() - began) / 1000000;
    printf("  round %u: %s: acknowledged %llu, refused %llu, unanswered %llu, lost %llu, doubled %llu, back "
           "after %u "
           "ms, settled in %llu ms, round %llu ms\n",
           run->round, chaos_fault_texts[run->fault].name, (unsigned long long)acked,
           (unsigned long long)refused, (unsigned long long)unknown, (unsigned long long)verdict.lost,
           (unsigned long long)verdict.doubled,
           run->n_recovery > 0 ? run->recovery_ms[run->n_recovery - 1] : 0,
           (unsigned long long)verdict.settle_ms, (unsigned long long)ms);
    add_verdict(run, &verdict);
    chaos_verdict_fini(&verdict);
    run->round++;
    run->totals.rounds = run->round;
    if (ok && (run->round % run->scenario.full_every == 0 || run->round == run->rounds))
        verify_everything(run, &v);
    fflush(stdout);
    return ok;
}

/* ---- the run ---- */

bool
chaos_run_begin(struct chaos_run *run, bool resume)
{
    char cmd[600];
    chaos_ids_init(&run->ids, run->scenario.tenants);
    run->recovery_ms = calloc(run->rounds + 1, sizeof(*run->recovery_ms));
    OX_ASSERT(run->recovery_ms != NULL);
    snprintf(run->server.dir, sizeof(run->server.dir), "%s", run->dir);
    snprintf(run->server.data, sizeof(run->server.data), "%s/data", run->dir);
    run->server.exe = run->exe;
    run->server.scenario = &run->scenario;
    run->load = (struct chaos_load){.scenario = &run->scenario, .server = &run->server, .ids = &run->ids};
    if (resume && !load_state(run))
        return give_up(run, "%s holds no state to go on from; run it without RESUME=1", run->dir);
    run->round = run->totals.rounds;
    if (!resume) {
        snprintf(cmd, sizeof(cmd), "rm -rf '%s'", run->dir);
        if (system(cmd) != 0 || mkdir(run->dir, 0755) != 0)
            return give_up(run, "%s cannot be made: %s", run->dir, strerror(errno));
    }
    return (chaos_server_prepare(&run->server) && chaos_server_start(&run->server)) ||
           give_up(run, "%s", run->server.why);
}

static bool
failed(const struct chaos_run *run)
{
    const struct chaos_totals *t = &run->totals;
    return run->failure[0] != '\0' || t->lost + t->doubled + t->misplaced + t->views + t->counters > 0;
}

void
chaos_run_end(struct chaos_run *run, bool keep)
{
    char cmd[600];
    chaos_server_fini(&run->server);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s/data'", run->dir);
    if (!keep && system(cmd) != 0)
        fprintf(stderr, "chaos: %s/data stays behind\n", run->dir);
    ox_buf_fini(&run->findings);
    chaos_ids_fini(&run->ids);
    free(run->recovery_ms);
}

int
chaos_run(struct chaos_run *run, bool resume)
{
    uint64_t began = chaos_now_ns();
    bool ok = chaos_run_begin(run, resume);
    uint64_t before = run->totals.seconds;
    if (ok) {
        chaos_load_start(&run->load);
        while (ok && run->round < run->rounds && !chaos_interrupted()) {
            ok = round_once(run);
            run->totals.seconds = before + (chaos_now_ns() - began) / 1000000000;
            run->totals.retried += atomic_exchange(&run->load.retried, 0);
            run->totals.broken += atomic_exchange(&run->load.broken, 0);
            run->totals.partial += atomic_exchange(&run->load.partial, 0);
            if (!save_state(run))
                ok = give_up(run, "the state in %s cannot be written: %s", run->dir, strerror(errno));
            chaos_report(run, run->round % run->scenario.full_every == 0);
        }
        chaos_load_stop(&run->load);
    }
    if (run->server.heart > 0 && !chaos_server_stop(&run->server) && run->failure[0] == '\0')
        give_up(run, "the server did not end in good order");
    chaos_report(run, true);
    /* The evidence, or what a resumed run needs. */
    chaos_run_end(run, failed(run) || run->round < run->rounds);
    return failed(run) ? 1 : 0;
}
