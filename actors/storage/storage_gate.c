/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/storage_gate.c - the circuit breaker before the endpoint: who may call, and what a call's end says.
 *
 * Owns:    the client's breaker.
 * Threads: dirty threads; the breaker is behind the client's lock, which is never held during a call.
 * Bounds:  PING_MS more for a call that ran out of time.
 * Fails:   OX_E_STORAGE_OPEN when the call was not made, else as storage_call.c.
 * Flow:    storage.c, insert.c -> here -> storage_call.c; states: policies/breaker.c.
 *
 * What counts is whether the endpoint answers, not whether it likes the statement. An exception that asks for another
 * try later (out of memory, too many parts, a table in read-only mode) is trouble when an insert gets it; a question may
 * provoke it by itself, and must not close storage for the other tenants. Nor does a statement that ran out of
 * time say who is to blame: that one is asked of /ping.
 */
#include "actors/storage/storage.h"
#include "ox/lock.h"
#include "ox/log.h"
#include "ox/metric.h"

#define PING_MS 2000

static struct ox_str
endpoint(const struct ox_storage *st)
{
    return ox_str_of(st->socket_path != NULL ? st->socket_path : st->base);
}

void
ox__gate_init(struct ox_storage *st, const struct ox_storage_options *options)
{
    uint64_t seed = 0;
    st->clock = options->clock != NULL ? options->clock : ox_clock_real();
    if (ox_random_os(&seed, sizeof(seed)) != OX_OK)
        seed = ox_clock_realtime_ns(st->clock); /* only jitter */
    ox_random_seed(&st->random, seed);
    ox_breaker_init(&st->breaker, options->breaker);
    if (st->socket_path != NULL || st->base != NULL)
        OX_METRIC_SET_L(OX_M_storage_breaker_state, st->breaker.state, endpoint(st));
}

/* Outside the lock: two changes at once may be told in either order, the next one sets the gauge right. */
static void
tell_change(const struct ox_storage *st, enum ox_breaker_state from, enum ox_breaker_state to,
            uint64_t wait_ns, const struct ox_diag *diag)
{
    if (from == to)
        return;
    OX_METRIC_SET_L(OX_M_storage_breaker_state, to, endpoint(st));
    OX_METRIC_ADD_L(OX_M_storage_breaker_changes, 1, endpoint(st), ox_str_of(ox_breaker_state_name(to)));
    if (to == OX_BREAKER_OPEN)
        OX_LOG_WARN("storage", "storage is not called for a while: the circuit breaker is open",
                    OX_F_U64("wait_ms", wait_ns / 1000000), OX_F_STR("reason", diag->text));
    if (to == OX_BREAKER_CLOSED)
        OX_LOG_INFO("storage", "storage answers again: the circuit breaker is closed");
}

static ox_err
enter(struct ox_storage *st, uint32_t *ticket, struct ox_diag *diag)
{
    ox_lock(&st->lock);
    uint64_t now_ns = ox_clock_monotonic_ns(st->clock);
    enum ox_breaker_state from = st->breaker.state;
    bool allowed = ox_breaker_allow(&st->breaker, now_ns, ticket);
    enum ox_breaker_state to = st->breaker.state;
    uint64_t wait_ns = ox_breaker_wait_ns(&st->breaker, now_ns);
    ox_unlock(&st->lock);
    tell_change(st, from, to, wait_ns, diag);
    if (allowed)
        return OX_OK;
    OX_METRIC_ADD_L(OX_M_storage_breaker_refused, 1, endpoint(st));
    return ox_diag_set(
        diag, OX_E_STORAGE_OPEN, NULL, -1,
        "storage failed repeatedly and is not asked at present (circuit breaker %s); the next try is "
        "in %llu ms",
        ox_breaker_state_name(to), (unsigned long long)(wait_ns / 1000000 + 1));
}

static enum ox_breaker_result
result_of(const struct ox__call *call, ox_err err)
{
    bool later = err == OX_E_STORAGE_BUSY || err == OX_E_STORAGE_DOWN;
    if (err == OX_E_CANCELLED || err == OX_E_NOMEM)
        return OX_BREAKER_UNKNOWN;
    if (err == OX_E_TIMEOUT)
        return ox_storage_ping(call->st, PING_MS, NULL) != OX_OK ? OX_BREAKER_FAILED
               : call->insert                                    ? OX_BREAKER_TROUBLED
                                                                 : OX_BREAKER_ANSWERED;
    if (later && call->stats.code != 0)
        return call->insert ? OX_BREAKER_TROUBLED : OX_BREAKER_ANSWERED;
    return later ? OX_BREAKER_FAILED : OX_BREAKER_ANSWERED;
}

ox_err
ox__gate_perform(struct ox__call *call, struct ox_diag *diag)
{
    struct ox_storage *st = call->st;
    struct ox_diag own;
    uint32_t ticket;
    if (diag == NULL)
        diag = &own; /* the log wants the reason */
    ox_err err = enter(st, &ticket, diag);
    if (err != OX_OK)
        return err;
    ox_diag_clear(diag);
    err = ox__call_perform(call, diag);
    enum ox_breaker_result result = result_of(call, err);
    ox_lock(&st->lock);
    uint64_t now_ns = ox_clock_monotonic_ns(st->clock);
    enum ox_breaker_state from = st->breaker.state;
    ox_breaker_done(&st->breaker, ticket, result, now_ns, ox_random_u64(&st->random));
    enum ox_breaker_state to = st->breaker.state;
    uint64_t wait_ns = ox_breaker_wait_ns(&st->breaker, now_ns);
    ox_unlock(&st->lock);
    tell_change(st, from, to, wait_ns, diag);
    return err;
}

enum ox_breaker_state
ox_storage_breaker(struct ox_storage *st)
{
    ox_lock(&st->lock);
    enum ox_breaker_state state = st->breaker.state;
    ox_unlock(&st->lock);
    return state;
}

uint64_t
ox_storage_wait_ns(struct ox_storage *st)
{
    ox_lock(&st->lock);
    uint64_t wait_ns = ox_breaker_wait_ns(&st->breaker, ox_clock_monotonic_ns(st->clock));
    ox_unlock(&st->lock);
    return wait_ns;
}

uint64_t
ox_storage_damage(struct ox_storage *st, struct ox_part *last)
{
    ox_lock(&st->lock);
    uint64_t answers = st->damage_answers;
    if (last != NULL)
        *last = st->damaged;
    ox_unlock(&st->lock);
    return answers;
}

void
ox_storage_hint(struct ox_storage *st)
{
    ox_lock(&st->lock);
    ox_breaker_hint(&st->breaker, ox_clock_monotonic_ns(st->clock));
    ox_unlock(&st->lock);
}
