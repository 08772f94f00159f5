/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/wheel.c - see wheel.h.
 *
 * Owns, Threads, Bounds, Fails: see there.
 */
#include "actors/sampler/wheel.h"

#include <stdlib.h>

ox_err
ox__wheel_init(struct ox__wheel *wheel, uint32_t things, uint64_t now_ns)
{
    memset(wheel, 0, sizeof(*wheel));
    memset(wheel->heads, 0xff, sizeof(wheel->heads));
    wheel->now = now_ns / OX__WHEEL_TICK_NS;
    wheel->next = malloc(things * sizeof(*wheel->next));
    wheel->prev = malloc(things * sizeof(*wheel->prev));
    wheel->tick = calloc(things, sizeof(*wheel->tick));
    if (wheel->next == NULL || wheel->prev == NULL || wheel->tick == NULL) {
        ox__wheel_fini(wheel);
        return OX_E_NOMEM;
    }
    return OX_OK;
}

void
ox__wheel_fini(struct ox__wheel *wheel)
{
    free(wheel->next);
    free(wheel->prev);
    free(wheel->tick);
    memset(wheel, 0, sizeof(*wheel));
}

void
ox__wheel_clear(struct ox__wheel *wheel, uint32_t thing)
{
    if (wheel->tick[thing] == 0)
        return;
    uint32_t next = wheel->next[thing], prev = wheel->prev[thing];
    if (next != OX__WHEEL_NONE)
        wheel->prev[next] = prev;
    *(prev != OX__WHEEL_NONE ? &wheel->next[prev] : &wheel->heads[wheel->tick[thing] - 1]) = next;
    wheel->tick[thing] = 0;
    wheel->n--;
}

void
ox__wheel_set(struct ox__wheel *wheel, uint32_t thing, uint64_t due_ns)
{
    uint64_t due = due_ns / OX__WHEEL_TICK_NS + (due_ns % OX__WHEEL_TICK_NS != 0);
    ox__wheel_clear(wheel, thing);
    if (due <= wheel->now)
        due = wheel->now + 1;
    if (due >= wheel->now + OX__WHEEL_TICKS)
        due = wheel->now + OX__WHEEL_TICKS - 1;
    uint32_t tick = (uint32_t)(due % OX__WHEEL_TICKS), first = wheel->heads[tick];
    wheel->tick[thing] = tick + 1;
    wheel->next[thing] = first;
    wheel->prev[thing] = OX__WHEEL_NONE;
    if (first != OX__WHEEL_NONE)
        wheel->prev[first] = thing;
    wheel->heads[tick] = thing;
    wheel->n++;
}

uint32_t
ox__wheel_take(struct ox__wheel *wheel, uint64_t now_ns)
{
    uint64_t until = now_ns / OX__WHEEL_TICK_NS;
    if (wheel->n == 0) {
        wheel->now = until > wheel->now ? until : wheel->now;
        return OX__WHEEL_NONE;
    }
    while (wheel->now < until) {
        uint32_t first = wheel->heads[(wheel->now + 1) % OX__WHEEL_TICKS];
        if (first != OX__WHEEL_NONE) {
            ox__wheel_clear(wheel, first);
            return first;
        }
        wheel->now++;
    }
    return OX__WHEEL_NONE;
}

uint64_t
ox__wheel_next_ns(const struct ox__wheel *wheel)
{
    if (wheel->n == 0)
        return UINT64_MAX;
    uint64_t tick = wheel->now + 1;
    while (wheel->heads[tick % OX__WHEEL_TICKS] == OX__WHEEL_NONE)
        tick++;
    return tick * OX__WHEEL_TICK_NS;
}
