/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/set_aside.h - see set_aside.c.
 */
#ifndef OX_SET_ASIDE_H
#define OX_SET_ASIDE_H

#include "ox/crashes.h"
#include "ox/recovery.h"

/* Why an entry is set aside; becomes the JSON beside it. */
struct ox_set_aside_note {
    uint64_t seq;
    uint64_t records; /* of it that are set aside: less than it holds when the others are stored */
    uint32_t crashes;
    uint64_t time_ns;          /* Unix time */
    struct ox_crashes *deaths; /* where its obituary is found; NULL = nowhere */
    bool
        doubtful; /* it crashed nobody: its records may be stored already, the outbox is damaged where it would say */
};

/* Copies the entry out of the log to `dir`, with the note beside it, both durable. hash (may be NULL): of the request, as
 * in the entry. Blocking. IO, DISK_FULL, NOMEM, CORRUPT. */
OX_MUST_USE ox_err ox__set_aside_write(struct ox_disk *disk, struct ox_journal *wal, const char *dir,
                                       const struct ox_set_aside_note *note, uint64_t hash[2]);
/* The same for an entry of the log that is being recovered, and disposes of what it still owes. Blocking. As above, or
 * NOT_FOUND when nothing is owed. */
OX_MUST_USE ox_err ox__set_aside(struct ox_disk *disk, struct ox_recovery *rec, const char *dir,
                                 const struct ox_set_aside_note *note);

#endif
