/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/slots.c - how many statements may run at once.
 *
 * Owns:    two counters.
 * Threads: any; one short lock.
 * Bounds:  all_max; of those, all but the reserved ones for queries.
 * Fails:   a full house is refused at once, waiting is the client's business.
 * Flow:    statement.c -> here.
 */
#include "engine/engine.h"
#include "ox/lock.h"

void
ox__engine_slots_init(struct ox__slots *slots, unsigned all_max, unsigned for_inserts)
{
    memset(slots, 0, sizeof(*slots));
    pthread_mutex_init(&slots->lock, NULL);
    slots->all_max = all_max;
    slots->queries_max = for_inserts < all_max ? all_max - for_inserts : 1;
}

bool
ox__engine_slots_take(struct ox__slots *slots, bool insert)
{
    ox_lock(&slots->lock);
    bool ok =
        slots->inserts + slots->queries < slots->all_max && (insert || slots->queries < slots->queries_max);
    if (ok && insert)
        slots->inserts++;
    else if (ok)
        slots->queries++;
    ox_unlock(&slots->lock);
    return ok;
}

void
ox__engine_slots_give(struct ox__slots *slots, bool insert)
{
    ox_lock(&slots->lock);
    unsigned *count = insert ? &slots->inserts : &slots->queries;
    OX_ASSERT(*count > 0);
    (*count)--;
    ox_unlock(&slots->lock);
}

unsigned
ox__engine_slots_used(struct ox__slots *slots)
{
    ox_lock(&slots->lock);
    unsigned used = slots->inserts + slots->queries;
    ox_unlock(&slots->lock);
    return used;
}
