/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/letters.c - how the gateways keep refused records: lines to the disk, age, metrics.
 *
 * Owns:    lines that wait for the disk.
 * Threads: gateways hand over on their loops; the lane writes, one job after the other.
 * Bounds:  OX__LETTERS_REQUEST_MAX, OX__LETTERS_WAITING_MAX, LANE_JOBS.
 * Fails:   never for the request: what was refused is promised to nobody. What is not kept is counted by cause.
 * Flow:    intake.c (lines) -> here -> dead_letter.c.
 */
#include <stdlib.h>

#include "actors/gateway/gateway_internal.h"
#include "ox/dead_letter.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/runtime.h"

#define LANE_JOBS 1024
/* How often age and total are looked after; nothing depends on the minute. */
#define TICK_MS 60000

struct dead_letter_job {
    struct ox_letters *letters;
    struct ox_buf lines;
    uint32_t n;
};

static void
job_free(void *arg)
{
    struct dead_letter_job *job = arg;
    atomic_fetch_sub_explicit(&job->letters->waiting_bytes, job->lines.len, memory_order_relaxed);
    ox_buf_fini(&job->lines);
    free(job);
}

static void
not_kept(uint32_t n, const char *cause)
{
    if (n > 0)
        OX_METRIC_ADD_L(OX_M_dead_letter_lost, n, ox_str_of(cause));
}

/* The lane is the only one that removes: what went since the last look is the difference. */
static void
publish(struct ox_letters *letters)
{
    struct ox_dead_letter_stats stats;
    ox_dead_letter_stats(letters->node->dead_letters, &stats);
    ox_metric_set(OX_M_dead_letter_bytes, (double)stats.bytes);
    ox_metric_set(OX_M_dead_letter_files, (double)stats.files);
    ox_metric_add(OX_M_dead_letter_removed, stats.dropped_bytes - letters->removed_bytes);
    letters->removed_bytes = stats.dropped_bytes;
    atomic_store_explicit(&letters->oldest_ns, stats.oldest_ns, memory_order_relaxed);
}

/* Asked when somebody scrapes, on a scheduler: the file's own lock may be held over a flush. */
static double
oldest_age(void *arg)
{
    struct ox_letters *letters = arg;
    uint64_t oldest_ns = atomic_load_explicit(&letters->oldest_ns, memory_order_relaxed);
    uint64_t now_ns = ox_clock_realtime_ns(letters->node->clock);
    return oldest_ns == 0 || oldest_ns > now_ns ? 0 : (double)(now_ns - oldest_ns) / 1e9;
}

static void
job_run(void *arg)
{
    struct dead_letter_job *job = arg;
    struct ox_node *node = job->letters->node;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = ox_dead_letter_append(node->dead_letters, ox_buf_str(&job->lines),
                                       ox_clock_realtime_ns(node->clock), &diag);
    if (err == OX_OK) {
        ox_metric_add(OX_M_dead_letter_kept, job->n);
    } else {
        not_kept(job->n, "disk");
        OX_LOG_ERROR("gateway", "refused records cannot be written to the dead-letter file", OX_F_ERR(err),
                     OX_F_DIAG(&diag));
    }
    publish(job->letters);
}

/* The lines go to the job; false: no memory, no room. */
static bool
submit(struct ox_actor *self, struct ox_letters *letters, struct ox_intake *in)
{
    const size_t n = in->dead_letters.len;
    if (atomic_load_explicit(&letters->waiting_bytes, memory_order_relaxed) + n > OX__LETTERS_WAITING_MAX)
        return false;
    struct dead_letter_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return false;
    job->letters = letters;
    job->lines = in->dead_letters;
    job->n = in->n_letters;
    ox_buf_init(&in->dead_letters);
    atomic_fetch_add_explicit(&letters->waiting_bytes, n, memory_order_relaxed);
    if (ox_dirty_submit(self, letters->lane, job_run, job, OX_K_letters_written, job_free, NULL) == OX_OK)
        return true;
    job_free(job);
    return false;
}

void
ox__letters_write(struct ox_actor *self, struct ox_letters *letters, struct ox_intake *in)
{
    if (in->n_letters_left_out > 0) {
        not_kept(in->n_letters_left_out, "too_large");
        OX_LOG_WARN("gateway", "refused records are counted but not kept: too much from one request",
                    OX_F_STR("tenant", in->tenant->id.name), OX_F_U64("records", in->n_letters_left_out));
    }
    if (in->dead_letters.len == 0 || submit(self, letters, in))
        return;
    not_kept(in->n_letters, "behind");
    OX_LOG_WARN("gateway", "refused records are counted but not kept: the dead-letter file is behind",
                OX_F_STR("tenant", in->tenant->id.name), OX_F_U64("records", in->n_letters));
}

/* ---- age ---- */

static void
expire_run(void *arg)
{
    struct ox_letters *letters = arg;
    struct ox_node *node = letters->node;
    ox_err err = ox_dead_letter_expire(node->dead_letters, ox_clock_realtime_ns(node->clock));
    if (err != OX_OK)
        OX_LOG_WARN("gateway", "old dead letters cannot be removed; tried again in a minute", OX_F_ERR(err));
    publish(letters);
}

void
ox__letters_watch(struct ox_actor *self, struct ox_letters *letters)
{
    (void)letters;
    if (ox_timer_start(self, TICK_MS, OX_K_letters_tick, 0, NULL) != OX_OK)
        OX_LOG_WARN("gateway",
                    "no timer for the dead-letter file: its age is looked after when it is written");
}

void
ox__on_letters_tick(struct ox_actor *self, struct ox_letters *letters)
{
    if (ox_dirty_submit(self, letters->lane, expire_run, letters, OX_K_letters_aged, NULL, NULL) != OX_OK)
        ox__letters_watch(self, letters); /* the lane is full: later */
}

ox_err
ox__letters_init(struct ox_letters *letters, struct ox_node *node)
{
    letters->node = node;
    ox_err err = ox_lane_new("dead-letters", LANE_JOBS, &letters->lane);
    if (err == OX_OK)
        ox_metric_probe(OX_M_dead_letter_age, oldest_age, letters);
    return err;
}
