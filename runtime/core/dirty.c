/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/dirty.c - threads for what blocks: a common pool, and lanes with a thread and a queue of their
 * own.
 *
 * Owns:    jobs that wait or run; their arg, until the completion was delivered.
 * Threads: submit from any loop; jobs run on the lane's threads.
 * Bounds:  dirty_queue_max, a lane's queue_max; LANES_MAX lanes. The pool's jobs begin by turns among tenants
 *          (ox/share.h), a lane's in order.
 * Fails:   OVERLOAD, NOMEM, UNAVAILABLE while stopping.
 *
 * In single-thread mode a lane has no threads but as many places as it would have threads. A job runs whole, in one
 * step; what it said to take (ox_runtime_job_takes) holds its place and its completion until that time has come.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/internal.h"

#define LANES_MAX   64u
#define THREADS_MAX 64u

struct job {
    struct job *next;
    void (*fn)(void *arg);
    void *arg;
    void (*drop)(void *arg);
    ox_pid owner;
    uint64_t ref;
    uint32_t tenant; /* whose turn it takes; 0 = nobody's */
    uint64_t due_ns; /* single-thread mode: when its completion is delivered */
};

struct ox_lane {
    char name[32];
    pthread_mutex_t lock;
    pthread_cond_t work;
    /* under lock */
    struct ox_share jobs; /* of the pool by tenant; a lane keeps the order of nobody */
    uint32_t n, max;
    bool stop;
    struct job *held; /* single-thread mode: done, and not yet completed */
    uint32_t held_n;
    uint32_t width; /* threads, or places of single-thread mode */
    /* start and stop only */
    pthread_t threads[THREADS_MAX];
    uint32_t threads_n;
};

static pthread_mutex_t lanes_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf: nothing is locked under it */
static struct ox_lane *lanes[LANES_MAX];
static uint32_t lanes_n;

static uint64_t job_takes_ns; /* single-thread mode: what the job that runs has said */

/* The owner hears of it, or nobody does. */
static void
job_complete(struct job *job)
{
    if (!ox__pend_fire(job->owner, job->ref, OX_OK, 0, job->arg) && job->drop != NULL)
        job->drop(job->arg);
    free(job);
}

static void
job_do(struct ox_lane *lane, struct job *job)
{
    uint64_t began = ox_now_ns();
    job->fn(job->arg);
    OX_METRIC_OBSERVE_L(OX_M_runtime_dirty_seconds, (double)(ox_now_ns() - began) * 1e-9,
                        ox_str_of(lane->name));
    OX_METRIC_ADD_L(OX_M_runtime_dirty_jobs, 1, ox_str_of(lane->name));
}

static void
job_run(struct ox_lane *lane, struct job *job)
{
    job_do(lane, job);
    job_complete(job);
}

/* Under lane->lock. */
static struct job *
job_take(struct ox_lane *lane)
{
    uint32_t tenant;
    struct job *job = ox_share_pop(&lane->jobs, &tenant, NULL);
    lane->n -= job != NULL;
    return job;
}

/* Under lane->lock. */
static void
charge(struct ox_lane *lane, uint32_t tenant, uint64_t ns)
{
    ox_share_spent(&lane->jobs, tenant == 0, ns);
    ox_share_charge(&lane->jobs, tenant, ns);
}

static void *
lane_main(void *arg)
{
    struct ox_lane *lane = arg;
    ox__lock(&lane->lock);
    for (;;) {
        struct job *job = lane->stop ? NULL : job_take(lane);
        if (job != NULL) {
            uint32_t tenant = job->tenant;
            uint64_t began = ox_now_ns();
            ox__unlock(&lane->lock);
            job_run(lane, job);
            ox__lock(&lane->lock);
            charge(lane, tenant, ox_now_ns() - began);
        } else if (lane->stop) {
            break;
        } else {
            pthread_cond_wait(&lane->work, &lane->lock);
        }
    }
    ox__unlock(&lane->lock);
    return NULL;
}

static void
job_drop(struct job *job)
{
    if (job->drop != NULL)
        job->drop(job->arg);
    free(job);
}

static void
lane_stop(struct ox_lane *lane)
{
    ox__lock(&lane->lock);
    lane->stop = true;
    pthread_cond_broadcast(&lane->work);
    ox__unlock(&lane->lock);
    for (uint32_t i = 0; i < lane->threads_n; i++)
        pthread_join(lane->threads[i], NULL);
    for (struct job *job = job_take(lane); job != NULL; job = job_take(lane))
        job_drop(job);
    while (lane->held != NULL) {
        struct job *job = lane->held;
        lane->held = job->next;
        job_drop(job);
    }
    if (lane->jobs.heap != NULL)
        ox_share_fini(&lane->jobs);
    pthread_mutex_destroy(&lane->lock);
    pthread_cond_destroy(&lane->work);
    free(lane);
}

static ox_err
lane_threads(struct ox_lane *lane, uint32_t threads)
{
    for (uint32_t i = 0; i < threads && !ox__rt->opt.single_thread; i++) {
        if (pthread_create(&lane->threads[i], NULL, lane_main, lane) != 0)
            return OX_E_NOMEM;
        char name[16];
        snprintf(name, sizeof(name), "ox-%.9s-%u", lane->name, i % 100);
        pthread_setname_np(lane->threads[i], name);
        lane->threads_n++;
    }
    return OX_OK;
}

static ox_err
lane_add(struct ox_lane *lane)
{
    ox__lock(&lanes_lock);
    ox_err err = lanes_n < LANES_MAX ? OX_OK : OX_E_OVERLOAD;
    if (err == OX_OK)
        lanes[lanes_n++] = lane;
    ox__unlock(&lanes_lock);
    return err;
}

static ox_err
lane_new(const char *name, uint32_t queue_max, uint32_t threads, struct ox_lane **out)
{
    struct ox_lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return OX_E_NOMEM;
    snprintf(lane->name, sizeof(lane->name), "%s", name);
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->work, NULL);
    lane->max = queue_max;
    lane->width = threads;
    ox_err err = ox_share_init(&lane->jobs, offsetof(struct job, next));
    if (err == OX_OK)
        err = lane_threads(lane, threads);
    if (err == OX_OK)
        err = lane_add(lane);
    if (err != OX_OK)
        lane_stop(lane);
    else
        *out = lane;
    return err;
}

ox_err
ox_lane_new(const char *name, uint32_t queue_max, struct ox_lane **lane)
{
    OX_ASSERT(ox__rt != NULL && queue_max > 0);
    return lane_new(name, queue_max, 1, lane);
}

static ox_err
enqueue(struct ox_lane *lane, struct job *job)
{
    ox__lock(&lane->lock);
    ox_err err = lane->stop ? OX_E_UNAVAILABLE : lane->n >= lane->max ? OX_E_OVERLOAD : OX_OK;
    if (err == OX_OK) {
        ox_share_push(&lane->jobs, job->tenant, job, 0);
        lane->n++;
        pthread_cond_signal(&lane->work);
    }
    ox__unlock(&lane->lock);
    if (err != OX_OK)
        OX_METRIC_ADD_L(OX_M_runtime_dirty_refused, 1, ox_str_of(lane->name));
    return err;
}

ox_err
ox_dirty_submit(struct ox_actor *self, struct ox_lane *lane, void (*fn)(void *arg), void *arg, uint32_t kind,
                void (*drop)(void *arg), uint64_t *ref)
{
    struct job *job = calloc(1, sizeof(*job));
    struct ox_msg *msg = ox_msg_new(kind, NULL, 0, drop);
    uint64_t own_ref = 0;
    ox_err err = job != NULL && msg != NULL ? OX_OK : OX_E_NOMEM;
    if (err == OX_OK) {
        if (ox__turn_now != NULL && ox__turn_now->msg != NULL)
            msg->cause = ox__turn_now->msg->cause;
        err = ox__pend_new(self, OX__PEND_JOB, OX_PID_NONE, msg, &own_ref);
    }
    if (err != OX_OK) {
        ox_msg_free(msg);
        free(job);
        return err;
    }
    *job = (struct job){.fn = fn, .arg = arg, .drop = drop, .owner = self->pid, .ref = own_ref};
    if (lane == NULL) /* who serves tenants by turns has its jobs done so as well */
        job->tenant = self->fair != NULL ? msg->cause.tenant : self->cause.tenant;
    if (ref != NULL)
        *ref = own_ref;
    err = enqueue(lane != NULL ? lane : ox__rt->pool, job);
    if (err != OX_OK) {
        ox__pend_cancel(self, own_ref, OX__PEND_JOB);
        free(job);
    }
    return err;
}

/* ---- start and stop ---- */

ox_err
ox__lanes_init(struct ox__runtime *rt)
{
    uint32_t threads = rt->opt.dirty_threads < THREADS_MAX ? rt->opt.dirty_threads : THREADS_MAX;
    return lane_new("pool", rt->opt.dirty_queue_max, threads, &rt->pool);
}

void
ox__lanes_stop(void)
{
    while (lanes_n > 0)
        lane_stop(lanes[--lanes_n]);
}

/* ---- single-thread mode ---- */

void
ox_runtime_job_takes(uint64_t ns)
{
    OX_ASSERT(ox__rt != NULL && ox__rt->opt.single_thread);
    job_takes_ns += ns;
}

/* Jobs that may begin, then jobs that may complete: what there is to choose from. */
static uint32_t
may_begin(const struct ox_lane *lane)
{
    uint32_t places = lane->held_n < lane->width ? lane->width - lane->held_n : 0;
    return lane->n < places ? lane->n : places;
}

static uint32_t
may_complete(const struct ox_lane *lane, uint64_t now_ns)
{
    uint32_t n = 0;
    for (const struct job *job = lane->held; job != NULL; job = job->next)
        n += job->due_ns <= now_ns;
    return n;
}

uint32_t
ox__lanes_ready(void)
{
    uint32_t n = 0;
    uint64_t now_ns = ox_now_ns();
    for (uint32_t i = 0; i < lanes_n; i++)
        n += may_begin(lanes[i]) + may_complete(lanes[i], now_ns);
    return n;
}

uint64_t
ox__lanes_next_ns(void)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < lanes_n; i++) {
        for (const struct job *job = lanes[i]->held; job != NULL; job = job->next)
            next = job->due_ns < next ? job->due_ns : next;
    }
    return next;
}

static void
begin(struct ox_lane *lane, uint32_t nth)
{
    uint32_t tenant;
    struct job *job = ox__rt->opt.fair_order ? ox_share_pop(&lane->jobs, &tenant, NULL)
                                             : ox_share_pick(&lane->jobs, nth, &tenant);
    lane->n--;
    job_takes_ns = 0;
    tenant = job->tenant;
    job_do(lane, job);
    charge(lane, tenant, job_takes_ns + 1);
    if (job_takes_ns == 0) {
        job_complete(job);
        return;
    }
    job->due_ns = ox_now_ns() + job_takes_ns;
    job->next = lane->held;
    lane->held = job;
    lane->held_n++;
}

static void
complete(struct ox_lane *lane, uint32_t nth, uint64_t now_ns)
{
    struct job **at = &lane->held;
    while ((*at)->due_ns > now_ns || nth-- > 0)
        at = &(*at)->next;
    struct job *job = *at;
    *at = job->next;
    lane->held_n--;
    job_complete(job);
}

const char *
ox__lanes_run(uint32_t nth)
{
    uint64_t now_ns = ox_now_ns();
    for (uint32_t i = 0; i < lanes_n; i++) {
        uint32_t begins = may_begin(lanes[i]), completes = may_complete(lanes[i], now_ns);
        if (nth < begins)
            begin(lanes[i], nth);
        else if (nth < begins + completes)
            complete(lanes[i], nth - begins, now_ns);
        else {
            nth -= begins + completes;
            continue;
        }
        return lanes[i]->name;
    }
    return "";
}
