/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/scenario.h - what a run does: chaos/scenarios/NAME.scn, a line per setting.
 *
 *   # a comment
 *   about TEXT                what is shown, in one line
 *   tenants N                 1..8; each sends all three signals
 *   records N                 per request
 *   pace MS                   between two requests of a sender
 *   rounds N                  when none are asked for
 *   strike MIN MAX            milliseconds of load before the fault
 *   after MS                  load behind the recovery
 *   down MS                   how long a fault lasts that has a duration
 *   fault NAME [WEIGHT]       several: one of them each round, by chance
 *   config KEY VALUE          configuration of the server (observex config list)
 *   retry yes|no              a request without an answer is sent again, the same bytes
 *   refusals none|some        none: an answer that refuses a record fails the round
 *   faults none|armed         the node takes faults on request (include/ox/fault.h)
 *   burst N                   how often panic-actor strikes in a round
 *   leaks allowed|none        none: descriptors, threads and bytes of heart and node are counted when all is quiet, and may not grow
 *   shim yes|no               heart, node and engine run with the shim preloaded
 *   control file|postgres     postgres: production mode, tenants and keys in a PostgreSQL of the run's own
 *   proxy none|client|storage between the clients and the server, or between node and engine
 *   names ordered|strict      what a power loss does to names, see power.h
 *   survivors none|some       whether a power loss spares some of what was not synced
 *   full-every N              rounds between two verifications of everything
 *
 * Owns:    nothing.
 * Threads: one.
 */
#ifndef CHAOS_SCENARIO_H
#define CHAOS_SCENARIO_H

#include "chaos/ids.h"

#define CHAOS_FAULTS_MAX 16
#define CHAOS_CONFIG_MAX 24

enum chaos_fault {
#define OX_FAULT(id, name, hits, needs, does, promise) CHAOS_##id,
#include "ox/tbl/faults.h"
#undef OX_FAULT
    CHAOS_FAULT__COUNT
};

struct chaos_fault_text {
    const char *name, *hits, *needs, *does, *promise;
};
extern const struct chaos_fault_text chaos_fault_texts[CHAOS_FAULT__COUNT];

struct chaos_scenario {
    char name[64];
    char about[256];
    uint32_t tenants, records, pace_ms, rounds;
    uint32_t strike_min_ms, strike_max_ms, after_ms, down_ms, full_every;
    struct {
        enum chaos_fault fault;
        uint32_t weight;
    } faults[CHAOS_FAULTS_MAX];
    uint32_t n_faults, weights;
    char config[CHAOS_CONFIG_MAX][2][96]; /* key, value */
    uint32_t n_config;
    bool retry, refusals_allowed;
    bool shim, names_strict, survivors;
    bool takes_faults, no_leaks, postgres;
    uint32_t burst;
    enum chaos_proxied { CHAOS_PROXY_NONE, CHAOS_PROXY_CLIENT, CHAOS_PROXY_STORAGE } proxy;
};

/* Reads DIR/NAME.scn; on failure says file, line and what would be right on stderr. */
OX_MUST_USE bool chaos_scenario_read(struct chaos_scenario *s, const char *dir, const char *name);

#endif
