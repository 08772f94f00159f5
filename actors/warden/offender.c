/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/offender.c - a tenant whose requests end the whole node, again and again, goes into quarantine too.
 *
 * Owns:    nothing.
 * Threads: main, while the node starts.
 * Bounds:  the newest OX_CRASHES_MAX obituaries.
 * Fails:   without memory, or when the list cannot be written, the node starts as if nobody was an offender.
 *
 * Supervisors count the crashes of a tenant's actor, but a fault takes the supervisors along. What survives are the
 * obituaries: past the same intensity the tenant's entries stay in the log instead of being tried on everybody's node.
 * Each entry is suspected by itself as well; this is for tenants with ever new ones, before the heart gives up.
 */
#include <stdlib.h>

#include "ox/crashes.h"
#include "ox/log.h"
#include "ox/warden.h"

/* Ends of nodes charged to the tenant within `window_ns` before the newest of them. */
static uint32_t
faults_of(const struct ox_crash *crashes, size_t n, const char *tenant, uint64_t window_ns,
          const struct ox_crash **newest)
{
    uint32_t count = 0;
    *newest = NULL;
    for (size_t i = 0; i < n; i++) { /* newest first */
        if (crashes[i].scope != OX_CRASH_NODE || strcmp(crashes[i].tenant, tenant) != 0)
            continue;
        if (*newest == NULL)
            *newest = &crashes[i];
        count += crashes[i].time_ns + window_ns >= (*newest)->time_ns;
    }
    return count;
}

static void
put_away(struct ox_warden *w, const char *tenant, uint32_t count, const struct ox_crash *last)
{
    struct ox_quarantined *q = calloc(1, sizeof(*q));
    ox_err err = q != NULL ? ox_tenant_id_parse(ox_str_of(tenant), &q->tenant, NULL) : OX_E_NOMEM;
    if (err == OX_OK) {
        q->crashes = count;
        q->since_ns = ox_clock_realtime_ns(w->node->clock);
        q->has_last = true;
        q->last = *last;
        err = ox_quarantine_put(w->quarantine, q);
    }
    free(q);
    OX_LOG_ERROR("warden",
                 err == OX_OK ? "a tenant is quarantined: its requests ended the node again and again"
                              : "a tenant ends the node again and again and cannot be quarantined",
                 OX_F_STR("tenant", tenant), OX_F_U64("crashes", count), OX_F_ERR(err));
}

void
ox_warden_faulted(struct ox_warden *w, const char *tenant, uint32_t max_restarts, uint64_t window_ns)
{
    struct ox_quarantined *already = malloc(sizeof(*already));
    struct ox_crash *crashes = calloc(OX_CRASHES_MAX, sizeof(*crashes));
    const struct ox_crash *newest;
    if (already != NULL && crashes != NULL && tenant[0] != '\0' &&
        !ox_quarantine_find(w->quarantine, tenant, already)) {
        size_t n = ox_crashes_list(w->node->crashes, crashes, OX_CRASHES_MAX, NULL);
        uint32_t count = faults_of(crashes, n, tenant, window_ns, &newest);
        if (count > max_restarts)
            put_away(w, tenant, count, newest);
    }
    free(crashes);
    free(already);
}
