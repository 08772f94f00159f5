/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/fakes.c - what production code finds instead of the operating system, the network and storage.
 *
 * Owns:    nothing.
 * Threads: one.
 *
 * The linker turns each call of a function named here into a call of its __wrap_ namesake (--wrap in meson.build), so
 * the code under test is compiled as it ships and knows nothing of this. __real_ is the function itself. Most hand on
 * what they are asked and add chance: a panic, a refusal, a delay.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/gateway/gateway_internal.h"
#include "actors/storage/storage.h"
#include "chaos/sim/sim.h"
#include "ox/crashes.h"
#include "ox/gateway.h"
#include "ox/http.h"
#include "ox/log.h"
#include "runtime/core/internal.h"
#include "runtime/core/sup.h"

#define GATEWAY_RARER 10u    /* its restarts count against the whole node */
#define BEFORE_PPM    100000 /* of messages: what happens to a handler happens before it has seen its message */

/* ---- randomness ---- */

ox_err __wrap_ox_random_os(void *out, size_t n);
ox_err
__wrap_ox_random_os(void *out, size_t n)
{
    ox_random_bytes(&sim_now->os, out, n);
    return OX_OK;
}

/* ---- storage ---- */

/* The client and its circuit breaker are the node's own; only its calls go to the script. */
static const struct ox_storage_insert *insert_now;

ox_err __real_ox_storage_insert(struct ox_storage *st, const struct ox_storage_insert *insert,
                                struct ox_storage_stats *stats, struct ox_diag *diag);
ox_err __wrap_ox_storage_insert(struct ox_storage *st, const struct ox_storage_insert *insert,
                                struct ox_storage_stats *stats, struct ox_diag *diag);
ox_err
__wrap_ox_storage_insert(struct ox_storage *st, const struct ox_storage_insert *insert,
                         struct ox_storage_stats *stats, struct ox_diag *diag)
{
    insert_now = insert;
    ox_err err = __real_ox_storage_insert(st, insert, stats, diag);
    if (err == OX_E_STORAGE_DOWN && sim_now->opt.broken == SIM_BREAK_FORGET_BLOCK && !sim_now->ghost)
        return OX_OK;
    return err;
}

static const struct ox_storage_query *query_now;

ox_err __real_ox_storage_query(struct ox_storage *st, const struct ox_storage_query *query,
                               struct ox_buf *out, struct ox_storage_stats *stats, struct ox_diag *diag);
ox_err __wrap_ox_storage_query(struct ox_storage *st, const struct ox_storage_query *query,
                               struct ox_buf *out, struct ox_storage_stats *stats, struct ox_diag *diag);
ox_err
__wrap_ox_storage_query(struct ox_storage *st, const struct ox_storage_query *query, struct ox_buf *out,
                        struct ox_storage_stats *stats, struct ox_diag *diag)
{
    query_now = query;
    return __real_ox_storage_query(st, query, out, stats, diag);
}

static ox_err
answer_query(struct ox__call *call)
{
    struct ox_buf answer = {0};
    ox_err err = sim_storage_query(sim_now->storage, query_now->sql, &answer);
    if (err == OX_OK)
        call->sink(call->sink_arg, answer.data, answer.len);
    ox_buf_fini(&answer);
    return err;
}

ox_err __wrap_ox__call_perform(struct ox__call *call, struct ox_diag *diag);
ox_err
__wrap_ox__call_perform(struct ox__call *call, struct ox_diag *diag)
{
    if (call->ping)
        return sim_storage_ping(sim_now->storage);
    if (!call->insert)
        return answer_query(call);
    ox_err err = sim_storage_insert(sim_now->storage, insert_now, diag);
    call->stats.code = err == OX_E_STORAGE_BUSY ? 241 : 0; /* an answer, if not a good one */
    return err;
}

struct ox_migration;
ox_err __wrap_ox_storage_migrate(struct ox_storage *st, const struct ox_migration *migrations, size_t n,
                                 unsigned *applied, struct ox_diag *diag);
ox_err
__wrap_ox_storage_migrate(struct ox_storage *st, const struct ox_migration *migrations, size_t n,
                          unsigned *applied, struct ox_diag *diag)
{
    *applied = 0;
    return sim_storage_migrate(sim_now->storage);
}

/* ---- the HTTP server ---- */

ox_err __wrap_ox_http_server_start(struct uv_loop_s *loop, int fd,
                                   const struct ox_http_server_options *options,
                                   struct ox_http_server **server, struct ox_diag *diag);
ox_err
__wrap_ox_http_server_start(struct uv_loop_s *loop, int fd, const struct ox_http_server_options *options,
                            struct ox_http_server **server, struct ox_diag *diag)
{
    sim_clients_listen(options);
    *server = (struct ox_http_server *)sim_now->clients;
    return OX_OK;
}

ox_err __wrap_ox_http_server_listen(struct ox_http_server *server, int fd, struct ox_diag *diag);
ox_err
__wrap_ox_http_server_listen(struct ox_http_server *server, int fd, struct ox_diag *diag)
{
    return OX_OK;
}

void __wrap_ox_http_server_drain(struct ox_http_server *server, void (*on_drained)(void *ctx), void *ctx);
void
__wrap_ox_http_server_drain(struct ox_http_server *server, void (*on_drained)(void *ctx), void *ctx)
{
    sim_clients_drain(on_drained, ctx);
}

void __wrap_ox_http_server_close(struct ox_http_server *server, void (*on_closed)(void *ctx), void *ctx);
void
__wrap_ox_http_server_close(struct ox_http_server *server, void (*on_closed)(void *ctx), void *ctx)
{
    /* Requests stay until they are given back, or until the node is closed. */
}

void __wrap_ox_http_respond(struct ox_http_request *req, const struct ox_http_response *resp);
void
__wrap_ox_http_respond(struct ox_http_request *req, const struct ox_http_response *resp)
{
    if (resp->body != NULL)
        ox_buf_fini(resp->body);
    sim_clients_answer(req, resp->status);
}

void __wrap_ox_http_request_abort(struct ox_http_request *req);
void
__wrap_ox_http_request_abort(struct ox_http_request *req)
{
    sim_clients_answer(req, 0);
}

void __wrap_ox_http_request_account(struct ox_http_request *req, struct ox_account *account);
void
__wrap_ox_http_request_account(struct ox_http_request *req, struct ox_account *account)
{
    sim_clients_charge(req, account);
}

/* ---- chance inside handlers and jobs ---- */

static bool
is_bookkeeper(const char *class_name)
{
    return strcmp(class_name, "wal") == 0 || strcmp(class_name, "outbox") == 0 ||
           strcmp(class_name, "writer") == 0;
}

/* In the middle of a handler: it may go wrong here, or take long. */
static void
tempt(void)
{
    struct ox_actor *self = ox_self();
    if (sim_now == NULL || self == NULL || sim_now->ghost || ox__nopanic > 0)
        return;
    if (sim_chance(sim_now->plan.slow_ppm))
        ox_clock_virtual_advance(&sim_now->clock, sim_between(1, 400) * SIM_MS);
    const char *name = self->class->name;
    uint32_t ppm = is_bookkeeper(name)           ? sim_now->plan.bookkeeper_ppm
                   : strcmp(name, "tenant") == 0 ? sim_now->plan.panic_ppm
                   : strcmp(name, "gateway") == 0 || strcmp(name, "warden") == 0
                       ? sim_now->plan.panic_ppm / GATEWAY_RARER
                       : 0;
    if (strcmp(name, "tenant") == 0 &&
        ox_actor_name(self)[sizeof("tenant/tenant") - 1] == '0' + (char)sim_now->plan.cursed)
        ppm = 950000;
    if (!sim_chance(ppm))
        return;
    if (sim_chance(300000))
        (void)ox_arena_must(ox_actor_arena(self), 64u << 20); /* past its budget of memory */
    ox_panic("a panic of the simulation in %s", name);
}

void __real_ox_reductions(struct ox_actor *self, uint32_t n);
void __wrap_ox_reductions(struct ox_actor *self, uint32_t n);
void
__wrap_ox_reductions(struct ox_actor *self, uint32_t n)
{
    tempt();
    __real_ox_reductions(self, n);
}

uint64_t __real_ox_journal_segment_of(struct ox_journal *j, uint64_t seq);
uint64_t __wrap_ox_journal_segment_of(struct ox_journal *j, uint64_t seq);
uint64_t
__wrap_ox_journal_segment_of(struct ox_journal *j, uint64_t seq)
{
    tempt();
    return __real_ox_journal_segment_of(j, seq);
}

void __real_ox__gateway_reply_ok(struct ox_intake *in);
void __wrap_ox__gateway_reply_ok(struct ox_intake *in);
void
__wrap_ox__gateway_reply_ok(struct ox_intake *in)
{
    tempt();
    __real_ox__gateway_reply_ok(in);
}

ox_err __real_ox__intake_append(struct ox_intake *in, ox_pid reply_to);
ox_err __wrap_ox__intake_append(struct ox_intake *in, ox_pid reply_to);
ox_err
__wrap_ox__intake_append(struct ox_intake *in, ox_pid reply_to)
{
    tempt();
    ox_err err = __real_ox__intake_append(in, reply_to);
    tempt();
    return err;
}

ox_err __real_ox_permit_take(struct ox_tenants *dir, struct ox_tenant *tenant, uint32_t records, bool forced,
                             struct ox_permit *out, struct ox_diag *diag);
ox_err __wrap_ox_permit_take(struct ox_tenants *dir, struct ox_tenant *tenant, uint32_t records, bool forced,
                             struct ox_permit *out, struct ox_diag *diag);
ox_err
__wrap_ox_permit_take(struct ox_tenants *dir, struct ox_tenant *tenant, uint32_t records, bool forced,
                      struct ox_permit *out, struct ox_diag *diag)
{
    tempt();
    return __real_ox_permit_take(dir, tenant, records, forced, out, diag);
}

/* Small requests count as large ones now and then. */
bool __real_ox__intake_is_heavy(const struct ox_intake *in);
bool __wrap_ox__intake_is_heavy(const struct ox_intake *in);
bool
__wrap_ox__intake_is_heavy(const struct ox_intake *in)
{
    return __real_ox__intake_is_heavy(in) || sim_chance(200000);
}

void __real_ox__intake_prepare(void *arg);
void __wrap_ox__intake_prepare(void *arg);
void
__wrap_ox__intake_prepare(void *arg)
{
    __real_ox__intake_prepare(arg);
    if (ox_self() == NULL)
        ox_runtime_job_takes(sim_between(0, 300) * SIM_MS);
}

/* ---- who owns a batch: made once, freed once, and none is left in the end ---- */

#define BATCHES_MAX 65536u /* a power of two */
static const struct ox_batch *batches[BATCHES_MAX];
static uint32_t n_batches;

static uint32_t
batch_place(const struct ox_batch *batch)
{
    uint32_t i = (uint32_t)((uintptr_t)batch >> 4) * 2654435761u & (BATCHES_MAX - 1);
    while (batches[i] != NULL && batches[i] != batch)
        i = (i + 1) & (BATCHES_MAX - 1);
    return i;
}

struct ox_batch *__real_ox_batch_new(void);
struct ox_batch *__wrap_ox_batch_new(void);
struct ox_batch *
__wrap_ox_batch_new(void)
{
    struct ox_batch *batch = __real_ox_batch_new();
    if (batch == NULL || n_batches++ >= BATCHES_MAX / 2)
        sim_fail("more batches than the simulation can follow");
    batches[batch_place(batch)] = batch;
    return batch;
}

void __real_ox_batch_free(struct ox_batch *batch);
void __wrap_ox_batch_free(struct ox_batch *batch);
void
__wrap_ox_batch_free(struct ox_batch *batch)
{
    if (batch != NULL) {
        uint32_t i = batch_place(batch);
        if (batches[i] == NULL)
            sim_fail("a batch is freed that nobody owns");
        batches[i] = NULL;
        n_batches--;
        for (i = (i + 1) & (BATCHES_MAX - 1); batches[i] != NULL; i = (i + 1) & (BATCHES_MAX - 1)) {
            const struct ox_batch *moved = batches[i];
            batches[i] = NULL;
            batches[batch_place(moved)] = moved;
        }
    }
    __real_ox_batch_free(batch);
}

uint32_t
sim_batches(void)
{
    return n_batches;
}

void
sim_batches_forget(void)
{
    memset(batches, 0, sizeof(batches));
    n_batches = 0;
}

void __real_ox_actor_progress(struct ox_actor *self);
void __wrap_ox_actor_progress(struct ox_actor *self);
void
__wrap_ox_actor_progress(struct ox_actor *self)
{
    __real_ox_actor_progress(self);
    sim_supervision_progress(self->pid);
}

void __real_ox_actor_trial(struct ox_actor *self, bool on);
void __wrap_ox_actor_trial(struct ox_actor *self, bool on);
void
__wrap_ox_actor_trial(struct ox_actor *self, bool on)
{
    __real_ox_actor_trial(self, on);
    sim_supervision_trial(self->pid, on);
}

/* A commit takes the disk a while. */
ox_err __real_ox_journal_commit(struct ox_journal *j, uint64_t *durable_seq);
ox_err __wrap_ox_journal_commit(struct ox_journal *j, uint64_t *durable_seq);
ox_err
__wrap_ox_journal_commit(struct ox_journal *j, uint64_t *durable_seq)
{
    ox_err err = __real_ox_journal_commit(j, durable_seq);
    if (sim_now->n.running && sim_chance(800000))
        ox_runtime_job_takes(sim_chance(20000) ? sim_between(10, 2000) * SIM_MS
                                               : sim_between(10, 5000) * 1000);
    return err;
}

/* The pool's queue is full now and then. */
ox_err __real_ox_dirty_submit(struct ox_actor *self, struct ox_lane *lane, void (*fn)(void *arg), void *arg,
                              uint32_t kind, void (*drop)(void *arg), uint64_t *ref);
ox_err __wrap_ox_dirty_submit(struct ox_actor *self, struct ox_lane *lane, void (*fn)(void *arg), void *arg,
                              uint32_t kind, void (*drop)(void *arg), uint64_t *ref);
ox_err
__wrap_ox_dirty_submit(struct ox_actor *self, struct ox_lane *lane, void (*fn)(void *arg), void *arg,
                       uint32_t kind, void (*drop)(void *arg), uint64_t *ref)
{
    if (lane == NULL && sim_chance(sim_now->plan.job_refused_ppm))
        return OX_E_OVERLOAD;
    return __real_ox_dirty_submit(self, lane, fn, arg, kind, drop, ref);
}

/* ---- broken on purpose ---- */

ox_err __real_ox_send(ox_pid to, struct ox_msg **msg);
ox_err __wrap_ox_send(ox_pid to, struct ox_msg **msg);
ox_err
__wrap_ox_send(ox_pid to, struct ox_msg **msg)
{
    bool rows = (*msg)->kind == OX_K_rows;
    if (rows && sim_now->opt.broken == SIM_BREAK_DROP_PARCEL && sim_chance(10000)) {
        ox_msg_free(*msg);
        *msg = NULL;
        return OX_OK;
    }
    if (rows && sim_now->opt.broken == SIM_BREAK_DOUBLE_OWNER && sim_chance(10000)) {
        struct ox_msg *twin = ox_msg_new(OX_K_rows, (*msg)->data, (*msg)->bytes, (*msg)->drop);
        if (twin != NULL && __real_ox_send(to, &twin) != OX_OK)
            sim_fail("the twin of a parcel is refused");
    }
    return __real_ox_send(to, msg);
}

void __real_ox__wake_locked(struct ox_actor *actor);
void __wrap_ox__wake_locked(struct ox_actor *actor);
void
__wrap_ox__wake_locked(struct ox_actor *actor)
{
    if (sim_now->opt.broken == SIM_BREAK_LOST_WAKEUP && sim_chance(1000))
        return;
    __real_ox__wake_locked(actor);
}

bool __real_ox__intensity_admits(struct ox__intensity *in, const struct ox__restart_policy *policy,
                                 uint64_t now_ns, uint64_t *backoff_ms);
bool __wrap_ox__intensity_admits(struct ox__intensity *in, const struct ox__restart_policy *policy,
                                 uint64_t now_ns, uint64_t *backoff_ms);
bool
__wrap_ox__intensity_admits(struct ox__intensity *in, const struct ox__restart_policy *policy,
                            uint64_t now_ns, uint64_t *backoff_ms)
{
    bool admits = __real_ox__intensity_admits(in, policy, now_ns, backoff_ms);
    if (sim_now->opt.broken != SIM_BREAK_EAGER || admits)
        return admits;
    *backoff_ms = policy->backoff_max_ms;
    return true;
}

/* ---- what the runtime tells ---- */

static void
note_crash(struct sim *s, const struct ox_obituary *ob)
{
    struct ox_crash crash = {.time_ns = ox_clock_realtime_ns(s->n.node.clock),
                             .scope = OX_CRASH_ACTOR,
                             .charge = ob->cause.wal_seq != 0 ? OX_CHARGE_IN_HAND : OX_CHARGE_NONE,
                             .wal_seq = ob->cause.wal_seq,
                             .age_ns = ob->age_ns,
                             .restarts = ob->restarts};
    snprintf(crash.kind, sizeof(crash.kind), "%s", ob->class_name);
    snprintf(crash.name, sizeof(crash.name), "%s", ob->name);
    snprintf(crash.tenant, sizeof(crash.tenant), "%s", ox_tenant_name(ob->cause.tenant));
    ox_crashes_note(s->n.node.crashes, &crash);
    ox_warden_crashed(&s->n.warden);
}

/* As cmd_node.c: the crash of a bookkeeper ends the node; what was in hand is charged with it. */
static void
on_obituary(void *arg, const struct ox_obituary *ob)
{
    struct sim *s = arg;
    struct ox_suspects suspects;
    if (s->ghost)
        return;
    s->result.panics++;
    sim_note("%s %s crashes: %s", ob->class_name, ob->name, ob->text);
    if (strstr(ob->text, "of the simulation") == NULL && strstr(ob->text, "arena") == NULL)
        sim_fail("%s %s crashes by itself: %s\n%s", ob->class_name, ob->name, ob->text, ob->backtrace);
    sim_supervision_died(ob);
    if (s->n.node.crashes != NULL)
        note_crash(s, ob);
    if (!is_bookkeeper(ob->class_name))
        return;
    struct ox_disk *disk = fault_disk_seam(s->disk);
    ox_err err = ox_suspects_load(disk, "d/crash/suspects", &suspects);
    ox_suspects_charge(&suspects, ob->cause.wal_seq, ox_tenant_name(ob->cause.tenant));
    if (err == OX_OK && ob->cause.wal_seq != 0)
        err = ox_suspects_save(disk, "d/crash/suspects", &suspects);
    sim_note("the node ends: %s", ox_err_text(err));
    s->fell = s->ghost = true;
}

static void
on_undelivered(void *arg, ox_pid to, struct ox_msg *msg)
{
    struct sim *s = arg;
    if (!s->ghost && s->n.running) /* else it is one of runtime_story.c */
        ox_tenant_give_back(&s->n.node, msg, false);
}

/* As cmd_node.c. The peers of runtime_story.c have messages of their own. */
static void
on_set_aside(void *arg, const struct ox_obituary *ob, struct ox_msg *msg)
{
    struct sim *s = arg;
    if (s->ghost || !s->n.running)
        return;
    if (strcmp(ob->class_name, "tenant") == 0)
        ox_tenant_give_back(&s->n.node, msg, true);
    else if (strcmp(ob->class_name, "gateway") == 0)
        ox_gateway_set_aside(msg);
}

/* Before the handler has seen its message. */
static void
on_before(void *arg, struct ox_actor *self, const char *class_name)
{
    if (sim_chance(BEFORE_PPM))
        tempt();
}

static void
on_quarantined(void *arg, const char *supervisor, const char *child_id, ox_pid pid, uint32_t crashes,
               struct ox_cause cause)
{
    struct sim *s = arg;
    if (s->ghost)
        return;
    s->result.quarantines++;
    sim_note("%s is quarantined after %u crashes", child_id, crashes);
    sim_supervision_quarantined(pid, child_id);
    if (ox_tenant_of_child(child_id) != NULL)
        ox_warden_quarantined(&s->n.warden, ox_tenant_of_child(child_id), crashes);
}

/* Without this hook the process would end, and the heart start it anew. */
static void
on_root_failed(void *arg, const char *supervisor)
{
    struct sim *s = arg;
    if (s->ghost)
        return;
    sim_note("supervisor %s gives up", supervisor);
    s->fell = s->ghost = true;
}

static void
on_step(void *arg, const struct ox_step *step)
{
    struct sim *s = arg;
    if (s->ghost)
        return;
    sim_hash((uint64_t)step->what << 56 ^ (uint64_t)step->pid.slot << 32 ^ (uint64_t)step->msg_kind << 8 ^
             step->msgs);
    sim_hash(sim_time());
    sim_supervision_step(step);
    if (s->opt.verbose && step->what == OX_STEP_TURN)
        sim_note("turn of %s %s: %s, %u waiting", step->class_name, step->name, ox_kind_name(step->msg_kind),
                 step->msgs);
    else if (s->opt.verbose)
        sim_note("%s %s", step->what == OX_STEP_JOB ? "job of" : "timer", step->name);
}

void
sim_hooks(struct ox_runtime_hooks *hooks)
{
    *hooks = (struct ox_runtime_hooks){.arg = sim_now,
                                       .obituary = on_obituary,
                                       .before = on_before,
                                       .set_aside = on_set_aside,
                                       .undelivered = on_undelivered,
                                       .quarantined = on_quarantined,
                                       .root_failed = on_root_failed,
                                       .step = on_step};
}
