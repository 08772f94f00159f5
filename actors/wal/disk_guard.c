/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/disk_guard.c - see disk_guard.h.
 *
 * Owns:    DIR/disk-probe while it tries whether the disk takes a write.
 * Threads: dirty threads: after each commit of the log, and once a second.
 * Bounds:  one small file.
 * Fails:   a disk that says nothing leaves the state as it is.
 * Flow:    wal_jobs.c -> here -> policies/read_only.c; ox_node.read_only -> gateway, /ready, /metrics.
 *
 * Refusing by a failed write must not wait for the next request to find out that the disk works again, since none is let
 * through: hence the probe.
 */
#include "actors/wal/disk_guard.h"

#include <stdio.h>

#include "ox/disk.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/read_only.h"

#define PROBE_BYTES 4096

/* Relaxed: a late reader refuses, or accepts, a moment later. */
static bool
set_reason(struct ox_node *node, enum ox_read_only reason, bool on)
{
    uint32_t was = on ? atomic_fetch_or_explicit(&node->read_only, reason, memory_order_relaxed)
                      : atomic_fetch_and_explicit(&node->read_only, ~(uint32_t)reason, memory_order_relaxed);
    OX_METRIC_SET_L(OX_M_storage_read_only, on ? 1 : 0, ox_str_of(ox_read_only_name(reason)));
    return ((was & reason) != 0) != on;
}

static bool
has_reason(struct ox_node *node, enum ox_read_only reason)
{
    return (atomic_load_explicit(&node->read_only, memory_order_relaxed) & reason) != 0;
}

static void
warn_nearly_full(struct ox_node *node, const struct ox_disk_space *space)
{
    bool was = atomic_load_explicit(&node->disk_nearly_full, memory_order_relaxed);
    bool now = ox_disk_nearly_full(was, space->free_bytes, space->total_bytes);
    if (atomic_exchange_explicit(&node->disk_nearly_full, now, memory_order_relaxed) == now)
        return;
    if (now)
        OX_LOG_WARN("wal", "the data disk is more than 80 % full: make room, or shorten what is kept",
                    OX_F_U64("free_bytes", space->free_bytes), OX_F_U64("total_bytes", space->total_bytes));
    else
        OX_LOG_INFO("wal", "the data disk is less than 75 % full again",
                    OX_F_U64("free_bytes", space->free_bytes));
}

ox_err
ox__disk_guard_look(struct ox_node *node, uint64_t reserve_bytes)
{
    struct ox_disk_space space;
    ox_err err = ox_disk_space(node->disk, node->config->data, &space);
    if (err != OX_OK)
        return err;
    ox_metric_set(OX_M_disk_free, (double)space.free_bytes);
    ox_metric_set(OX_M_disk_total, (double)space.total_bytes);
    warn_nearly_full(node, &space);
    bool low = ox_read_only_space(has_reason(node, OX_READ_ONLY_SPACE), space.free_bytes, reserve_bytes);
    atomic_store_explicit(&node->disk_low, low, memory_order_relaxed);
    if (set_reason(node, OX_READ_ONLY_SPACE, low))
        OX_LOG_WARN("wal",
                    low ? "the data disk is nearly full: new requests are refused, stored data can be read"
                        : "the data disk has room again",
                    OX_F_U64("free_bytes", space.free_bytes), OX_F_U64("reserve_bytes", reserve_bytes));
    return OX_OK;
}

void
ox__disk_guard_failed(struct ox_node *node, ox_err err)
{
    if (err == OX_OK || ox_err_info(err)->class != OX_CLASS_io)
        return;
    if (set_reason(node, OX_READ_ONLY_IO, true))
        OX_LOG_ERROR("wal",
                     "the data disk refuses writes: new requests are refused until a test write succeeds",
                     OX_F_ERR(err));
}

static ox_err
try_write(struct ox_node *node)
{
    static const char zeros[PROBE_BYTES];
    char path[OX_DISK_PATH_MAX];
    int fd;
    snprintf(path, sizeof(path), "%s/disk-probe", node->config->data);
    ox_err err = ox_disk_open(node->disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(node->disk, fd, zeros, sizeof(zeros), 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(node->disk, fd);
    ox_disk_close(node->disk, fd);
    ox_err gone = ox_disk_unlink(node->disk, path);
    return err != OX_OK ? err : gone;
}

void
ox__disk_guard_probe(struct ox_node *node)
{
    if (has_reason(node, OX_READ_ONLY_IO) && try_write(node) == OX_OK &&
        set_reason(node, OX_READ_ONLY_IO, false))
        OX_LOG_WARN("wal", "the data disk takes writes again");
}
