/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/breaker.h - when calls to an endpoint that is in trouble are no longer made.
 *
 * Owns:    its state, in place.
 * Threads: one at a time: the owner locks. Time and chance are passed in, so that a test has them in hand.
 * Bounds:  OX_BREAKER_BUCKETS counters.
 *
 *              failures in a row, or half of the window's calls
 *     CLOSED ──────────────────────────────────────────────────▶ OPEN ◀──────────┐
 *        ▲                                                         │ its wait    │ the probe fails: wait longer
 *        └───────────────── the probe is answered ─────────── HALF_OPEN ─────────┘
 *
 * CLOSED lets every call through, OPEN none, HALF_OPEN one at a time: the probe. A probe that does not come back
 * within the wait is given up, so that a hanging one holds nobody for longer than that.
 */
#ifndef OX_BREAKER_H
#define OX_BREAKER_H

#include "ox/base.h"

/* Also the values of observex_storage_breaker_state. */
enum ox_breaker_state { OX_BREAKER_CLOSED = 0, OX_BREAKER_HALF_OPEN = 1, OX_BREAKER_OPEN = 2 };
/* "closed", "half_open", "open" */
const char *ox_breaker_state_name(enum ox_breaker_state state);

/* What a call says about its endpoint. */
enum ox_breaker_result {
    OX_BREAKER_ANSWERED, /* it works; the answer itself may be an error */
    OX_BREAKER_TROUBLED, /* it answers that it cannot at present: counts in the window, not in the row */
    OX_BREAKER_FAILED,   /* no answer, or half of one */
    OX_BREAKER_UNKNOWN   /* nothing: we gave up by ourselves */
};

struct ox_breaker_config {
    uint32_t failures;    /* in a row: open */
    uint32_t calls_min;   /* calls within the window before their share counts */
    uint64_t window_ns;   /* half of the calls of so long: open */
    uint64_t wait_min_ns; /* OPEN the first time; doubles with each failed probe... */
    uint64_t wait_max_ns; /* ...up to this */
};
/* 5 failures, 20 calls in 30 s, waits of 0.5 s to 30 s. */
void ox_breaker_config_default(struct ox_breaker_config *config);

#define OX_BREAKER_BUCKETS 10

struct ox_breaker {
    struct ox_breaker_config config;
    enum ox_breaker_state state;
    uint32_t generation; /* counts changes of state; results of calls of an earlier one say nothing new */
    uint32_t row;        /* failures in a row */
    uint32_t openings;   /* since it was closed */
    uint64_t open_ns;    /* OPEN, HALF_OPEN: the present wait */
    uint64_t until_ns;   /* OPEN: its end. HALF_OPEN: when the probe is given up */
    bool probing;        /* HALF_OPEN: the probe is under way */
    struct ox_breaker_bucket {
        uint64_t slot; /* number of the time slice that is counted here */
        uint32_t calls, failures;
    } buckets[OX_BREAKER_BUCKETS];
};

/* config: lend, copied; NULL = the default. */
void ox_breaker_init(struct ox_breaker *b, const struct ox_breaker_config *config);
/* Whether a call may be made now. true: make it, and hand *ticket to ox_breaker_done, once. */
bool ox_breaker_allow(struct ox_breaker *b, uint64_t now_ns, uint32_t *ticket);
/* random: any 64 bits, the jitter of the wait. */
void ox_breaker_done(struct ox_breaker *b, uint32_t ticket, enum ox_breaker_result result, uint64_t now_ns,
                     uint64_t random);
/* How long until ox_breaker_allow may say yes; 0 = now. Takes no probe. */
uint64_t ox_breaker_wait_ns(const struct ox_breaker *b, uint64_t now_ns);
/* Somebody knows that the endpoint was started anew: OPEN lets its probe go at once. */
void ox_breaker_hint(struct ox_breaker *b, uint64_t now_ns);

#endif
