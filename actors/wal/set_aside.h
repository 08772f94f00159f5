/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/set_aside.h - see set_aside.c.
 */
#ifndef OX_SET_ASIDE_H
#define OX_SET_ASIDE_H

#include "ox/recovery.h"

/* Keeps the entry's payload below `dir` and disposes of what it still owes. Blocking. IO, DISK_FULL, NOMEM, or
 * NOT_FOUND when nothing is owed. */
OX_MUST_USE ox_err ox__set_aside(struct ox_disk *disk, struct ox_recovery *rec, const char *dir,
                                 uint64_t seq);

#endif
