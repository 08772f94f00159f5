/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/fault_disk.h - a disk in memory that can fail on demand and lose its power.
 *
 * Owns:    its files, in two states: what the system sees, and what a power cut would leave.
 * Threads: one at a time.
 * Bounds:  512 names, 64 open handles (asserted).
 *
 * A write changes what is seen; fdatasync makes a file's content durable, fsync_dir the names of a directory.
 * Cutting the power forgets the rest, or keeps any part of it: each dirty page and each changed name by
 * itself. Every call counts; the one that is chosen fails instead of doing its work.
 */
#ifndef OX_TESTS_FAULT_DISK_H
#define OX_TESTS_FAULT_DISK_H

#include "ox/disk.h"

struct fault_disk;

/* What survives a power cut of what was not synced. */
enum fault_cut {
    FAULT_CUT_CLEAN, /* nothing */
    FAULT_CUT_RANDOM /* any subset of dirty pages, lengths and names */
};

struct fault_disk *fault_disk_new(uint64_t seed);
void fault_disk_free(struct fault_disk *fd);
struct ox_disk *fault_disk_seam(struct fault_disk *fd);

/* Calls that can fail, so far. */
uint64_t fault_disk_calls(const struct fault_disk *fd);
/* The n-th call from now on (1 = next) fails with errnum; a write does half of its work first when `partly`.
 * A failed fdatasync makes nothing durable and marks the pages clean, as the kernel does. 0 = none. */
void fault_disk_fail(struct fault_disk *fd, uint64_t n, int errnum, bool partly);
/* From the n-th call on every call fails with EIO, as for a program whose machine is going down. */
void fault_disk_die(struct fault_disk *fd, uint64_t n);
/* Whether the chosen call has come. */
bool fault_disk_fired(const struct fault_disk *fd);
/* Whether the disk died, and every call fails. */
bool fault_disk_dead(const struct fault_disk *fd);
/* Every write does at most `bytes` (0 = all). */
void fault_disk_short_writes(struct fault_disk *fd, size_t bytes);
/* Bytes that files may hold together; past them DISK_FULL. 0 = no limit. */
void fault_disk_limit(struct fault_disk *fd, uint64_t bytes);
/* Power off and on: open handles are gone, so are (parts of) what was not synced. */
void fault_disk_cut(struct fault_disk *fd, enum fault_cut how);
/* The program was killed and starts again on the same machine: open handles are gone, all that was written stays, synced
 * or not, and no call is chosen to fail any more. */
void fault_disk_restart(struct fault_disk *fd);
/* While quiet, calls neither count nor fail: for whoever looks from outside. */
void fault_disk_quiet(struct fault_disk *fd, bool quiet);
/* fdatasync from now on says that all is well and does nothing, as some disks do. */
void fault_disk_lie(struct fault_disk *fd, bool lie);
/* Calls each(arg, path) for every file that is seen. */
void fault_disk_each(struct fault_disk *fd, void (*each)(void *arg, const char *path), void *arg);
/* Reads of this file's range fail with EIO. path NULL = none. */
void fault_disk_bad_sector(struct fault_disk *fd, const char *path, uint64_t from, uint64_t to);

/* Behind the back of the program: what a file holds. NULL when there is none. The view lasts until the next
 * call. */
struct ox_str fault_disk_peek(struct fault_disk *fd, const char *path, bool *exists);
/* Replaces a file durably. */
void fault_disk_poke(struct fault_disk *fd, const char *path, const void *bytes, size_t n);
void fault_disk_remove(struct fault_disk *fd, const char *path);

#endif
