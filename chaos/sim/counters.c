/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/counters.c - what was received is acknowledged, a repeat of something acknowledged, or dropped under a
 * reason.
 *
 * Owns:    the counters' values when the world began: they belong to the process and outlive worlds.
 * Threads: one.
 *
 * Only of a node that was not killed: with it goes what it had received and not answered.
 */
#include <stdio.h>

#include "chaos/sim/sim.h"
#include "ox/metric.h"

static const char *const reasons[] = {"overload",  "no_tenant",   "decode", "actor_full", "sampled_out",
                                      "wal_error", "quarantined", "quota",  "late",       "invalid"};

struct sums {
    double received, accepted, repeated, dropped;
};
static struct sums before[SIM_TENANTS_MAX][OX_SIGNAL__COUNT];

static struct sums
read_sums(uint32_t tenant, enum ox_signal signal)
{
    char name[16];
    snprintf(name, sizeof(name), "tenant%u", tenant);
    struct ox_str labels[3] = {ox_str_of(name), ox_str_of(ox_signal_name(signal))};
    struct sums s = {.received = ox_metric_value(OX_M_ingest_received, labels),
                     .accepted = ox_metric_value(OX_M_ingest_accepted, labels),
                     .repeated = ox_metric_value(OX_M_ingest_duplicate, labels)};
    for (size_t i = 0; i < OX_COUNT(reasons); i++) {
        labels[2] = ox_str_of(reasons[i]);
        s.dropped += ox_metric_value(OX_M_ingest_dropped, labels);
    }
    return s;
}

void
sim_counters_begin(void)
{
    for (uint32_t t = 0; t < SIM_TENANTS_MAX; t++) {
        for (int i = 0; i < OX_SIGNAL__COUNT; i++)
            before[t][i] = read_sums(t, (enum ox_signal)i);
    }
}

static void
check_one(uint32_t tenant, enum ox_signal signal)
{
    struct sums now = read_sums(tenant, signal), was = before[tenant][signal];
    double received = now.received - was.received, accepted = now.accepted - was.accepted,
           repeated = now.repeated - was.repeated, dropped = now.dropped - was.dropped;
    sim_note("counters of tenant %u, %s: %.0f received, %.0f acknowledged, %.0f repeats, %.0f dropped",
             tenant, ox_signal_name(signal), received, accepted, repeated, dropped);
    /* A request whose answer a crash of the gateway prevented counts as received only; its repeat comes in full. */
    if (received < accepted + repeated + dropped ||
        (sim_now->result.panics == 0 && received != accepted + repeated + dropped))
        sim_fail("the counters of tenant %u, %s, do not add up: %.0f received, %.0f acknowledged, %.0f "
                 "repeats, %.0f dropped",
                 tenant, ox_signal_name(signal), received, accepted, repeated, dropped);
}

void
sim_counters_check(void)
{
    if (sim_now->result.kills > 0 ||
        sim_now->plan.poison) /* rows that storage refuses are dropped after they were acknowledged */
        return;
    for (uint32_t t = 0; t < SIM_TENANTS_MAX; t++) {
        for (int i = 0; i < OX_SIGNAL__COUNT; i++)
            check_one(t, (enum ox_signal)i);
    }
}
