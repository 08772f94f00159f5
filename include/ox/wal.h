/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/wal.h - starting the wal actor, and what it is told by the outbox.
 *
 * Owns:    see each.
 * Threads: see each.
 */
#ifndef OX_WAL_H
#define OX_WAL_H

#include "ox/recovery.h"
#include "ox/spine.h"

/* Argument of ox_wal_class. The actor takes journal, ledger and replay list out of `recovered`; the outbox
 * journal is shared with the outbox actor, which closes nothing either: the node closes both at its end. */
struct ox_wal_arg {
    struct ox_node *node;
    struct ox_recovery *recovered;
    const char *set_aside_dir;  /* lend */
    struct ox_lane *lane;       /* fdatasync of the log runs here and nothing else */
    struct ox_lane *spill_lane; /* the tenants' backlogs are written and read here */
};

/* Looks at the data disk at once, without the hysteresis of the way back: for whoever has made room. Blocks. */
void ox_wal_look_again(struct ox_node *node);

/* A durable outbox entry: rows that no longer need the log. Payload of `disposed`. */
struct ox_disposed {
    uint64_t outbox_segment;
    enum ox_disposition how; /* of all of them */
    uint64_t tag;            /* that of the pack */
    struct ox_contributions rows;
    uint64_t block_ids[OX_ENCODED_BLOCKS_MAX];
    uint32_t n_blocks;
    bool decides; /* the entry remembers decisions: late spans need it for a while */
};
void ox_disposed_free(void *disposed);

/* Blocks that are durably in storage; may be told again. Payload of `stored`. */
struct ox_stored {
    uint64_t outbox_segment; /* of the durable note; 0 = the note could not be written yet */
    uint32_t n;
    uint64_t block_ids[];
};

#endif
