/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/api_wait.c - a question on its way to a query thread: at once, later, or not at all.
 *
 * Owns:    a port's questions that wait for their turn.
 * Threads: the port's loop, except that any port may let a question of another one go on: it puts it on that port's list
 *          `granted` and sends it a message.
 * Bounds:  query.tenant_concurrency, query.tenant_waiting, query.wait of each tenant; a lane's queue.
 * Fails:   429 with the name of the bound.
 * Flow:    api_actor.c -> ox__api_admit -> query_gate.c -> lane -> ox__api_leave -> the next one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/query/api_internal.h"
#include "ox/lock.h"
#include "ox/log.h"
#include "ox/metric.h"

/* How often a port looks at who has waited too long or has gone, while somebody waits. */
#define TICK_MS 50

static struct api_lane *
least_loaded(struct ox_api *api)
{
    struct api_lane *best = &api->lanes[0];
    for (uint32_t i = 1; i < api->n_lanes; i++)
        if (atomic_load_explicit(&api->lanes[i].jobs, memory_order_relaxed) <
            atomic_load_explicit(&best->jobs, memory_order_relaxed))
            best = &api->lanes[i];
    return best;
}

/* Whose key is not known yet is looked up first, like everybody. */
static struct api_lane *
lane_for(const struct api_job *job)
{
    struct ox_api *api = job->port->api;
    enum ox_api_kind kind = job->stranger ? OX_API_ORDINARY : ox__api_kind(api, job->req);
    if (kind == OX_API_LOGIN)
        return &api->logins;
    return kind == OX_API_SLOW ? &api->slow : least_loaded(api);
}

static ox_err
submit(struct api_job *job)
{
    struct api_port *port = job->port;
    job->lane = lane_for(job);
    atomic_fetch_add_explicit(&job->lane->jobs, 1, memory_order_relaxed);
    ox_err err = port->self == NULL ? OX_E_UNAVAILABLE
                                    : ox_dirty_submit(port->self, job->lane->lane, ox__api_run, job,
                                                      OX__API_DONE, ox__api_orphan, NULL);
    if (err != OX_OK) {
        atomic_fetch_sub_explicit(&job->lane->jobs, 1, memory_order_relaxed);
        job->lane = NULL;
    }
    return err;
}

static void
refused(struct api_job *job, const char *budget)
{
    OX_METRIC_ADD_L(OX_M_query_refused, 1, ox_str_of(job->question.tenant.name), ox_str_of(budget));
}

/* Too many in all: no lane takes one more. */
static void
refuse_busy(struct api_job *job, ox_err err)
{
    refused(job, "concurrency");
    ox_query_respond_error(&job->answer, err == OX_E_UNAVAILABLE ? err : OX_E_OVERLOAD,
                           "query.concurrency: too many questions or orders at one time",
                           "ask again in a second; query.concurrency says how many run at once");
}

static void
refuse_full(struct api_job *job)
{
    char text[200];
    refused(job, "tenant_waiting");
    snprintf(
        text, sizeof(text),
        "query.tenant_waiting: tenant %s has %u questions running and %u waiting, which is what it may have",
        job->question.tenant.name, job->query.limits.tenant_running_max,
        job->query.limits.tenant_waiting_max);
    ox_query_respond_error(&job->answer, OX_E_QUOTA, text, "ask again when some of them are answered");
}

static void
refuse_late(struct api_job *job)
{
    char text[200];
    refused(job, "wait");
    snprintf(text, sizeof(text),
             "query.wait: the question waited %u ms for one of the %u that tenant %s may run at once "
             "(query.tenant_concurrency)",
             job->query.limits.wait_ms, job->query.limits.tenant_running_max, job->question.tenant.name);
    ox_query_respond_error(&job->answer, OX_E_QUOTA, text, "ask again when some of them are answered");
}

/* ---- who waits ---- */

static struct api_job *
job_of(struct ox__gate_item *item)
{
    return item == NULL ? NULL : (struct api_job *)(void *)((char *)item - offsetof(struct api_job, turn));
}

static void
wait_push(struct api_job *job)
{
    struct api_port *port = job->port;
    job->wait_next = port->waiting;
    job->wait_at = &port->waiting;
    if (job->wait_next != NULL)
        job->wait_next->wait_at = &job->wait_next;
    port->waiting = job;
}

static void
wait_drop(struct api_job *job)
{
    if (job->wait_at == NULL)
        return;
    *job->wait_at = job->wait_next;
    if (job->wait_next != NULL)
        job->wait_next->wait_at = job->wait_at;
    job->wait_at = NULL;
}

static void
want_tick(struct api_port *port)
{
    if (port->self == NULL || port->tick != 0 || port->waiting == NULL)
        return;
    if (ox_timer_start(port->self, TICK_MS, OX__API_TICK, 0, &port->tick) != OX_OK)
        OX_LOG_WARN("api", "no timer for questions that wait: they are looked at with the next one");
}

/* Its turn has come. */
static void
go(struct api_job *job)
{
    wait_drop(job);
    job->waits = false;
    ox_err err = submit(job);
    if (err == OX_OK)
        return;
    refuse_busy(job, err);
    ox__api_finish(job);
}

/* Runs on the loop of whoever's question has ended; `job` may be another port's. */
static void
grant(struct api_port *here, struct api_job *job)
{
    struct api_port *port = job->port;
    if (port == here) {
        go(job);
        return;
    }
    ox_lock(&port->lock);
    job->next = port->granted;
    port->granted = job;
    ox_unlock(&port->lock);
    /* Refused as full: that port's tick finds it, since it has somebody who waits. */
    (void)!ox_cast(port->actor, OX__API_GO, 0);
}

static void
let_in(struct api_port *here, const struct ox_tenant_id *tenant, uint32_t running_max)
{
    struct ox__gate *gate = here->api->gate;
    struct api_job *job;
    while ((job = job_of(ox__gate_next(gate, tenant, running_max))) != NULL)
        grant(here, job);
}

void
ox__api_take_granted(struct api_port *port)
{
    ox_lock(&port->lock);
    struct api_job *job = port->granted;
    port->granted = NULL;
    ox_unlock(&port->lock);
    while (job != NULL) {
        struct api_job *next = job->next;
        go(job);
        job = next;
    }
}

void
ox__api_admit(struct api_job *job)
{
    struct api_port *port = job->port;
    const struct ox_query_limits *l = &job->query.limits;
    enum ox__gate_answer answer = OX__GATE_RUN;
    job->turn.tenant = job->question.tenant;
    if (!job->passes)
        answer = ox__gate_enter(port->api->gate, &job->turn, l->tenant_running_max, l->tenant_waiting_max);
    job->entered = !job->passes && answer != OX__GATE_FULL;
    if (answer == OX__GATE_FULL) {
        refuse_full(job);
        ox__api_finish(job);
    } else if (answer == OX__GATE_WAIT) {
        job->waits = true;
        job->give_up_ns = ox_now_ns() + (uint64_t)l->wait_ms * 1000000;
        wait_push(job);
        want_tick(port);
        let_in(port, &job->turn.tenant, l->tenant_running_max);
    } else {
        go(job);
    }
}

void
ox__api_leave(struct api_job *job)
{
    if (!job->entered)
        return;
    job->entered = false;
    ox__gate_leave(job->port->api->gate, &job->turn.tenant);
    let_in(job->port, &job->turn.tenant, job->query.limits.tenant_running_max);
}

/* Takes it out of its row and answers it; false when its turn has come meanwhile. */
static bool
give_up(struct api_job *job, void (*refuse)(struct api_job *job))
{
    if (!ox__gate_remove(job->port->api->gate, &job->turn))
        return false;
    wait_drop(job);
    job->entered = job->waits = false;
    if (refuse != NULL)
        refuse(job);
    ox__api_finish(job);
    return true;
}

void
ox__api_tick(struct api_port *port)
{
    uint64_t now_ns = ox_now_ns();
    port->tick = 0;
    ox__api_take_granted(port);
    for (struct api_job *job = port->waiting, *next; job != NULL; job = next) {
        next = job->wait_next;
        if (atomic_load_explicit(&job->cancel, memory_order_relaxed))
            (void)give_up(job, NULL); /* nobody hears the answer */
        else if (now_ns >= job->give_up_ns)
            (void)give_up(job, refuse_late);
    }
    want_tick(port);
}

static void
refuse_stopping(struct api_job *job)
{
    ox_query_respond_error(&job->answer, OX_E_UNAVAILABLE, NULL, NULL);
}

void
ox__api_turn_away(struct api_port *port)
{
    ox__api_take_granted(port);
    for (struct api_job *job = port->waiting, *next; job != NULL; job = next) {
        next = job->wait_next;
        (void)give_up(job, refuse_stopping);
    }
}
