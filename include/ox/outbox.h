/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/outbox.h - starting the outbox actor.
 */
#ifndef OX_OUTBOX_H
#define OX_OUTBOX_H

#include "ox/recovery.h"
#include "ox/spine.h"

/* Argument of ox_outbox_class. The actor takes the list of blocks; the journal is closed by the node. */
struct ox_outbox_arg {
    struct ox_node *node;
    struct ox_recovery *recovered;
    struct ox_journal *journal;
    struct ox_lane *lane;    /* fdatasync of the outbox runs here and nothing else */
    const char *refused_dir; /* blocks that storage refused for their content are kept there */
    const char *doubts_path; /* the file of blocks whose rollups must be looked at; its directory is there */
};

#endif
