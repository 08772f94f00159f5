/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/backoff.c - exponential backoff with jitter.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Flow:    policies/breaker.c, actors/writer/outbox_send.c -> here.
 */
#include "ox/backoff.h"

uint64_t
ox_backoff(uint64_t min, uint64_t max, uint32_t failures, uint64_t random)
{
    OX_ASSERT(min > 0 && min <= max);
    uint64_t wait = min;
    for (uint32_t i = 1; i < failures && wait < max; i++)
        wait = wait <= max / 2 ? wait * 2 : max;
    uint64_t half = wait / 2;
    return wait - half + random % (half + 1);
}
