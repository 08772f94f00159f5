/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/breaker.c - the circuit breaker's states, see include/ox/breaker.h.
 *
 * Owns:    nothing; the caller's struct.
 * Threads: one at a time.
 * Bounds:  the window is counted in OX_BREAKER_BUCKETS slices, so it is exact to a tenth.
 * Flow:    actors/storage/storage_gate.c -> here.
 */
#include "ox/breaker.h"

#include "ox/backoff.h"

#define FAILURES    5
#define CALLS_MIN   20
#define WINDOW_NS   30000000000ull
#define WAIT_MIN_NS 500000000ull
#define WAIT_MAX_NS 30000000000ull

const char *
ox_breaker_state_name(enum ox_breaker_state state)
{
    static const char *const names[] = {"closed", "half_open", "open"};
    OX_ASSERT((unsigned)state < OX_COUNT(names));
    return names[state];
}

void
ox_breaker_config_default(struct ox_breaker_config *config)
{
    *config = (struct ox_breaker_config){.failures = FAILURES,
                                         .calls_min = CALLS_MIN,
                                         .window_ns = WINDOW_NS,
                                         .wait_min_ns = WAIT_MIN_NS,
                                         .wait_max_ns = WAIT_MAX_NS};
}

void
ox_breaker_init(struct ox_breaker *b, const struct ox_breaker_config *config)
{
    memset(b, 0, sizeof(*b));
    if (config != NULL)
        b->config = *config;
    else
        ox_breaker_config_default(&b->config);
    OX_ASSERT(b->config.failures > 0 && b->config.window_ns >= OX_BREAKER_BUCKETS);
}

static void
enter(struct ox_breaker *b, enum ox_breaker_state state)
{
    b->state = state;
    b->generation++;
    b->probing = false;
}

static void
open_for_a_while(struct ox_breaker *b, uint64_t now_ns, uint64_t random)
{
    b->openings++;
    b->open_ns = ox_backoff(b->config.wait_min_ns, b->config.wait_max_ns, b->openings, random);
    b->until_ns = now_ns + b->open_ns;
    enter(b, OX_BREAKER_OPEN);
}

/* What was counted while it failed says nothing about the time after. */
static void
close_again(struct ox_breaker *b)
{
    b->row = b->openings = 0;
    memset(b->buckets, 0, sizeof(b->buckets));
    enter(b, OX_BREAKER_CLOSED);
}

static uint64_t
slot_of(const struct ox_breaker *b, uint64_t now_ns)
{
    return now_ns / (b->config.window_ns / OX_BREAKER_BUCKETS);
}

static void
count(struct ox_breaker *b, uint64_t now_ns, bool failed)
{
    uint64_t slot = slot_of(b, now_ns);
    struct ox_breaker_bucket *bucket = &b->buckets[slot % OX_BREAKER_BUCKETS];
    if (bucket->slot != slot)
        *bucket = (struct ox_breaker_bucket){.slot = slot};
    bucket->calls++;
    bucket->failures += failed;
}

static bool
half_failed(const struct ox_breaker *b, uint64_t now_ns)
{
    uint64_t slot = slot_of(b, now_ns), calls = 0, failures = 0;
    for (size_t i = 0; i < OX_BREAKER_BUCKETS; i++) {
        const struct ox_breaker_bucket *bucket = &b->buckets[i];
        if (bucket->slot + OX_BREAKER_BUCKETS <= slot)
            continue;
        calls += bucket->calls;
        failures += bucket->failures;
    }
    return calls >= b->config.calls_min && failures * 2 >= calls;
}

bool
ox_breaker_allow(struct ox_breaker *b, uint64_t now_ns, uint32_t *ticket)
{
    if (b->state != OX_BREAKER_CLOSED) {
        if (ox_breaker_wait_ns(b, now_ns) > 0)
            return false;
        /* A new state also for a probe that takes the place of one that hangs: that one's end says nothing. */
        enter(b, OX_BREAKER_HALF_OPEN);
        b->probing = true;
        b->until_ns = now_ns + b->open_ns;
    }
    *ticket = b->generation;
    return true;
}

void
ox_breaker_done(struct ox_breaker *b, uint32_t ticket, enum ox_breaker_result result, uint64_t now_ns,
                uint64_t random)
{
    if (ticket != b->generation || b->state == OX_BREAKER_OPEN)
        return;
    if (b->state == OX_BREAKER_HALF_OPEN) {
        b->probing = false;
        if (result == OX_BREAKER_ANSWERED)
            close_again(b);
        else if (result != OX_BREAKER_UNKNOWN)
            open_for_a_while(b, now_ns, random);
        return;
    }
    if (result == OX_BREAKER_UNKNOWN)
        return;
    count(b, now_ns, result != OX_BREAKER_ANSWERED);
    if (result == OX_BREAKER_ANSWERED)
        b->row = 0;
    if (result == OX_BREAKER_FAILED)
        b->row++;
    if (b->row >= b->config.failures || half_failed(b, now_ns))
        open_for_a_while(b, now_ns, random);
}

uint64_t
ox_breaker_wait_ns(const struct ox_breaker *b, uint64_t now_ns)
{
    bool waits = b->state == OX_BREAKER_OPEN || (b->state == OX_BREAKER_HALF_OPEN && b->probing);
    return waits && b->until_ns > now_ns ? b->until_ns - now_ns : 0;
}

void
ox_breaker_hint(struct ox_breaker *b, uint64_t now_ns)
{
    if (b->state != OX_BREAKER_OPEN)
        return;
    b->until_ns = now_ns;
    b->openings = 1;
    b->open_ns = b->config.wait_min_ns;
}
