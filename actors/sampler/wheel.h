/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/wheel.h - what is due when: one place on a wheel of ticks for each of a fixed number of things.
 *
 * Owns:    three numbers per thing, and the wheel.
 * Threads: one at a time; the time is the caller's.
 * Bounds:  things given to _init. What is due beyond a turn of the wheel waits on its last tick, and is asked again
 *          there.
 * Fails:   NOMEM.
 */
#ifndef OX_SAMPLER_WHEEL_H
#define OX_SAMPLER_WHEEL_H

#include "ox/base.h"

#define OX__WHEEL_TICK_NS 10000000ull /* a decision may be so much late */
#define OX__WHEEL_TICKS   1024u       /* ten seconds: the default wait fits into a turn */
#define OX__WHEEL_NONE    UINT32_MAX

struct ox__wheel {
    uint32_t heads[OX__WHEEL_TICKS];
    uint32_t *next, *prev; /* of things on the same tick; prev of the first: OX__WHEEL_NONE */
    uint32_t *tick;        /* where a thing is, plus 1; 0 = nowhere */
    uint64_t now;          /* ticks that have passed; what is on them was taken */
    uint32_t n;            /* things on the wheel */
};

OX_MUST_USE ox_err ox__wheel_init(struct ox__wheel *wheel, uint32_t things, uint64_t now_ns);
/* Allowed on zeroed memory. */
void ox__wheel_fini(struct ox__wheel *wheel);
/* The thing is due then, and at no other time. */
void ox__wheel_set(struct ox__wheel *wheel, uint32_t thing, uint64_t due_ns);
void ox__wheel_clear(struct ox__wheel *wheel, uint32_t thing);
/* Takes one thing off a tick that has passed, or NONE. It may not be due yet: see above, and a caller who puts off
 * often only remembers the new time, and sets it when he gets the thing. */
uint32_t ox__wheel_take(struct ox__wheel *wheel, uint64_t now_ns);
/* When to look again; UINT64_MAX when it is empty. */
uint64_t ox__wheel_next_ns(const struct ox__wheel *wheel);

#endif
