/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/read_only.h - when new data is refused while what is stored can be read, and when it is taken again.
 *
 * Owns:    nothing; pure decisions over numbers that others measure.
 * Threads: any.
 */
#ifndef OX_READ_ONLY_H
#define OX_READ_ONLY_H

#include "ox/base.h"

/* Reasons, bits of ox_node.read_only; any of them refuses new requests with 429. */
enum ox_read_only {
    OX_READ_ONLY_SPACE = 1,    /* less than the reserve is free on the data disk */
    OX_READ_ONLY_IO = 2,       /* the last write of the log failed, and no probe has succeeded since */
    OX_READ_ONLY_OPERATOR = 4, /* somebody wants it so; survives a restart */
    OX_READ_ONLY_ALL = 7
};
/* "space", "io", "operator": one bit. */
const char *ox_read_only_name(enum ox_read_only reason);
/* What it means, for /ready and for whoever is refused: one bit. */
const char *ox_read_only_text(enum ox_read_only reason);

/*
 * Whether the space is too low now, given whether it was before: below the reserve it is, and a quarter more than the
 * reserve must be free before it no longer is, so that it does not flap at the edge. reserve 0 = never.
 */
bool ox_read_only_space(bool was, uint64_t free_bytes, uint64_t reserve_bytes);

/* Whether the disk is nearly full, a warning only: from 80 % used on, and until less than 75 % are. */
bool ox_disk_nearly_full(bool was, uint64_t free_bytes, uint64_t total_bytes);

#endif
