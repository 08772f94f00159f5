/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/read_only.c - the edges of the read-only state, with their hysteresis.
 *
 * Owns:    the names and texts of the reasons.
 * Threads: any; pure.
 * Flow:    actors/wal/disk_guard.c, the gateway, cmd/node_read_only.c -> here.
 */
#include "ox/read_only.h"

#define WARN_PERCENT 80
#define CALM_PERCENT 75

const char *
ox_read_only_name(enum ox_read_only reason)
{
    return reason == OX_READ_ONLY_SPACE ? "space" : reason == OX_READ_ONLY_IO ? "io" : "operator";
}

const char *
ox_read_only_text(enum ox_read_only reason)
{
    switch (reason) {
    case OX_READ_ONLY_SPACE:
        return "less than wal.disk_reserve is free on the data disk: questions work, ingest does not";
    case OX_READ_ONLY_IO:
        return "the data disk refuses writes: questions work, ingest does not until a test write succeeds";
    default:
        return "an operator has made storage read-only: questions work, ingest does not "
               "(POST /admin/storage/readonly?disable=true)";
    }
}

bool
ox_read_only_space(bool was, uint64_t free_bytes, uint64_t reserve_bytes)
{
    return free_bytes < (was ? reserve_bytes + reserve_bytes / 4 : reserve_bytes);
}

bool
ox_disk_nearly_full(bool was, uint64_t free_bytes, uint64_t total_bytes)
{
    uint64_t used = free_bytes < total_bytes ? total_bytes - free_bytes : 0;
    return total_bytes != 0 && used >= total_bytes / 100 * (was ? CALM_PERCENT : WARN_PERCENT);
}
