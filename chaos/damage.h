/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/damage.h - harm to journals at rest: torn tails and flipped bits.
 *
 * Owns:    nothing between calls.
 * Threads: main, while nothing runs on the directory and the load is paused.
 */
#ifndef CHAOS_DAMAGE_H
#define CHAOS_DAMAGE_H

#include "chaos/ids.h"
#include "ox/random.h"

struct chaos_damage {
    const char *data;
    struct chaos_ids *ids;
    struct ox_random *rnd;
    char what[400];   /* what was done, for the report */
    uint64_t segment; /* of the flipped bit */
};

/*
 * What an interrupted write leaves behind: the last segment of the log ends somewhere behind the last entry whose client has an
 * answer, in zeros, rubbish or the end of the file; that of the outbox in rubbish behind its last entry.
 */
void chaos_damage_tail(struct chaos_damage *d);

/*
 * Flips one bit of one entry in a sealed segment of log or outbox. Records that the entry holds may be gone now: those that
 * were acknowledged get the fate DAMAGED. False when there is no sealed segment with an entry.
 */
bool chaos_damage_flip(struct chaos_damage *d);

/*
 * What the start behind a flip set aside because the flipped bytes may have disposed of it (recovery_damage.c): whether it is
 * stored is for an operator to find out, so its acknowledged records get the fate DAMAGED, too; how many.
 */
uint64_t chaos_damage_aside(struct chaos_damage *d);

#endif
