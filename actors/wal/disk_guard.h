/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/disk_guard.h - watches the data disk and makes the node read-only while it takes no more.
 *
 * Owns:    the bits SPACE and IO of ox_node.read_only.
 * Threads: dirty threads, several at once.
 */
#ifndef OX_WAL_DISK_GUARD_H
#define OX_WAL_DISK_GUARD_H

#include "ox/spine.h"

/* Looks at the free space of the data disk. reserve_bytes: what must stay free. Blocks. IO when it is not known. */
OX_MUST_USE ox_err ox__disk_guard_look(struct ox_node *node, uint64_t reserve_bytes);
/* A write of the log failed with `err`; other classes than io are ignored. */
void ox__disk_guard_failed(struct ox_node *node, ox_err err);
/* After a failed write: writes a small file and takes the bit back when that works. Blocks. */
void ox__disk_guard_probe(struct ox_node *node);

#endif
