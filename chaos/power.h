/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/power.h - what a power loss does to a directory: takes back whatever was not synced, by the shim's log.
 *
 * Owns:    nothing between calls.
 * Threads: main, while no process runs on the directory.
 * Bounds:  the log must fit into memory; as many directories and files as descriptors may be open.
 */
#ifndef CHAOS_POWER_H
#define CHAOS_POWER_H

#include "ox/base.h"
#include "ox/random.h"

/* Older than that the kernel has written it by itself (30 s until a page expires, 5 s between two looks, and room). */
#define CHAOS_WRITEBACK_MS 40000

struct chaos_power {
    const char *data; /* the directory */
    const char *shim; /* where the shim's log and graves are */
    /* A name is durable by a sync of its own directory only. False: the file system keeps changes of names in the order
     * in which they were made, and any sync makes all earlier ones durable, as the journals of ext4 and XFS do. */
    bool strict;
    /* NULL: nothing unsynced survives. Else any part may: each page of 4 KiB by itself, names up to some moment. */
    struct ox_random *rnd;
    /* what was done */
    uint64_t writes_forgotten, bytes_forgotten, names_forgotten, kept, aged;
    uint64_t
        files_gone; /* removed files that could not be brought back: the model was milder than a power loss */
    char why[1200];
};

/* Undoes, and leaves log and graves empty. False: the log cannot be read or the directory not be changed. */
OX_MUST_USE bool chaos_power_cut(struct chaos_power *p);
/* Makes log and graves empty without undoing anything: what is there counts as durable from now on. */
void chaos_power_forget(const char *shim);

#endif
