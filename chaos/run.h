/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/run.h - one run of a scenario: rounds of load, harm, recovery and verification.
 *
 * Owns:    the server, the load and the account; the directory chaos/reports/SCENARIO-SEED stays behind.
 * Threads: main.
 * Bounds:  CHAOS_RECOVER_S until requests are acknowledged again after a fault.
 */
#ifndef CHAOS_RUN_H
#define CHAOS_RUN_H

#include "chaos/verify.h"
#include "ox/random.h"

#define CHAOS_RECOVER_S 120

struct chaos_totals {
    uint32_t rounds, failed_rounds, full_verifications;
    uint64_t acked, refused, unknown; /* records */
    uint64_t lost, doubled, misplaced, views, counters, delayed, damaged;
    uint64_t unanswered_stored, refused_stored; /* as of the last verification of everything */
    uint64_t retried, broken, partial;          /* requests */
    uint64_t
        hits; /* calls, connections, changes or entries that the faults have hit, where that can be counted */
    uint64_t answer_max_ms, settle_max_ms;
    uint64_t seconds;
    uint32_t struck[CHAOS_FAULT__COUNT];
};

#define CHAOS_ASIDE_MAX 4096

/* What a process holds. */
struct chaos_holds {
    uint32_t threads;
    uint32_t sockets;     /* connected or listening; connections come and go */
    uint32_t files;       /* below the data directory; segments come and go */
    uint32_t descriptors; /* all others */
};
struct chaos_census {
    struct chaos_holds heart, node;
    uint64_t node_bytes; /* that malloc has given out */
};

struct chaos_run {
    struct chaos_scenario scenario;
    uint64_t seed;
    uint32_t rounds;
    const char *exe;
    char dir[256];
    struct chaos_server server;
    struct chaos_ids ids;
    struct chaos_load load;
    struct ox_random rnd; /* of this round */
    uint32_t round;
    enum chaos_fault fault;
    uint64_t struck_ns;
    struct chaos_totals totals;
    uint32_t *recovery_ms; /* of each round */
    uint32_t n_recovery;
    struct chaos_census first_census, last_census; /* leaks none */
    uint32_t censuses;
    uint64_t aside[CHAOS_ASIDE_MAX]; /* entries replayed already */
    uint32_t n_aside;
    struct ox_buf findings;
    char failure[1400]; /* why the run could not go on; empty = it did */
};

/* Lets the next actor of the kind commit the fault (include/ox/fault.h) and returns when it has; gives kinds that have little to
 * do a message. Defined in arm.c. */
OX_MUST_USE bool chaos_arm(struct chaos_run *run, const char *kind, const char *fault);
/* What crashed its actor twice was set aside: replays it, so that what was acknowledged is stored. Defined in arm.c. */
OX_MUST_USE bool chaos_replay_set_aside(struct chaos_run *run);

/* Counts heart and node, at rest, and holds it against the first count of this run; what has grown is a finding. Defined in
 * leaks.c. */
void chaos_leaks(struct chaos_run *run, struct chaos_verdict *v);

/* Injects run->fault; returns when it is over and the server has been told to live. Defined in faults.c. */
OX_MUST_USE bool chaos_strike(struct chaos_run *run);

/* Makes the directory (or loads its state) and starts the server; false with run->failure. */
OX_MUST_USE bool chaos_run_begin(struct chaos_run *run, bool resume);
/* Stops the server and gives memory back; keep: the data stays for whoever looks into it or goes on. */
void chaos_run_end(struct chaos_run *run, bool keep);
/* Does harm to stored rows by SQL and expects each to be found. Exit code. */
int chaos_selftest(struct chaos_run *run);

/* Runs what is left of the rounds. resume: goes on where the directory's state stands. Exit code. */
int chaos_run(struct chaos_run *run, bool resume);

/* Writes report.txt and report.json into the run's directory; aloud: the text to stdout, too. */
void chaos_report(const struct chaos_run *run, bool aloud);
/* Whether SIGINT or SIGTERM came: the run ends behind its round. Defined in main.c. */
bool chaos_interrupted(void);

#endif
