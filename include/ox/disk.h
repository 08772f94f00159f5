/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/disk.h - the one seam through which files are reached.
 *
 * Owns:    nothing; a disk owns its open files until they are closed.
 * Threads: any; calls on different files run in parallel, calls on one file only where POSIX allows it.
 * Fails:   OX_E_NOT_FOUND (ENOENT), OX_E_EXISTS (EEXIST), OX_E_DISK_FULL (ENOSPC, EDQUOT, EFBIG), OX_E_NOMEM,
 *          OX_E_IO (all others). errno keeps the cause after every failure, in each implementation.
 *
 * Implementations: ox_disk_real() (runtime/journal/disk.c) and the faulty one of the tests
 * (tests/harness/fault_disk.c), which forgets what was not synced when its power is cut.
 * Paths are zero-terminated; what is relative, is relative to the process's working directory.
 */
#ifndef OX_DISK_H
#define OX_DISK_H

#include <sys/uio.h>

#include "ox/base.h"

/* Longest path that the program builds, with its terminating zero. */
#define OX_DISK_PATH_MAX 1024

enum {
    OX_DISK_READ = 1,
    OX_DISK_WRITE = 2,
    OX_DISK_CREATE = 4,    /* make it when it is not there */
    OX_DISK_EXCLUSIVE = 8, /* with CREATE: EXISTS when it is there */
    OX_DISK_TRUNCATE = 16,
    OX_DISK_APPEND = 32 /* every write goes to the end, whatever its offset says */
};

struct ox_disk_space {
    uint64_t total_bytes;
    uint64_t free_bytes; /* what an unprivileged process may still use */
};

struct ox_disk;

/* Calls once per name; `name` is lend. Return false to stop the listing. */
typedef bool (*ox_disk_name_fn)(void *arg, const char *name);

/* What an implementation provides; callers use the functions below. */
struct ox_disk_ops {
    ox_err (*open)(struct ox_disk *disk, const char *path, unsigned flags, unsigned mode, int *fd);
    void (*close)(struct ox_disk *disk, int fd);
    ox_err (*pwritev)(struct ox_disk *disk, int fd, const struct iovec *iov, int n, uint64_t offset,
                      size_t *done);
    ox_err (*pread)(struct ox_disk *disk, int fd, void *to, size_t n, uint64_t offset, size_t *done);
    ox_err (*fdatasync)(struct ox_disk *disk, int fd);
    ox_err (*fallocate)(struct ox_disk *disk, int fd, uint64_t bytes);
    ox_err (*ftruncate)(struct ox_disk *disk, int fd, uint64_t bytes);
    ox_err (*size)(struct ox_disk *disk, int fd, uint64_t *bytes);
    ox_err (*rename)(struct ox_disk *disk, const char *from, const char *to);
    ox_err (*unlink)(struct ox_disk *disk, const char *path);
    ox_err (*mkdir)(struct ox_disk *disk, const char *path, unsigned mode);
    ox_err (*fsync_dir)(struct ox_disk *disk, const char *path);
    ox_err (*list)(struct ox_disk *disk, const char *path, ox_disk_name_fn each, void *arg);
    ox_err (*space)(struct ox_disk *disk, const char *path, struct ox_disk_space *out);
};

struct ox_disk {
    const struct ox_disk_ops *ops;
};

/* The machine's file system. Never NULL, never freed. */
struct ox_disk *ox_disk_real(void);

/* Opens a file. flags: OX_DISK_*; mode: permission bits for a new file. *fd is a handle of this disk only. */
OX_MUST_USE static inline ox_err
ox_disk_open(struct ox_disk *disk, const char *path, unsigned flags, unsigned mode, int *fd)
{
    return disk->ops->open(disk, path, flags, mode, fd);
}

/* Closes; does not sync. */
static inline void
ox_disk_close(struct ox_disk *disk, int fd)
{
    disk->ops->close(disk, fd);
}

/* One write call: *done may be less than asked (short write) even on OX_OK. iov: lend, at most 1,024 parts.
 */
OX_MUST_USE static inline ox_err
ox_disk_pwritev(struct ox_disk *disk, int fd, const struct iovec *iov, int n, uint64_t offset, size_t *done)
{
    return disk->ops->pwritev(disk, fd, iov, n, offset, done);
}

/* One read call; *done 0 at the end of the file, less than n near it. */
OX_MUST_USE static inline ox_err
ox_disk_pread(struct ox_disk *disk, int fd, void *to, size_t n, uint64_t offset, size_t *done)
{
    return disk->ops->pread(disk, fd, to, n, offset, done);
}

/* Returns when content and size are durable. After a failure nothing written since the last success is
 * certain, and calling again proves nothing (the kernel may have dropped the pages): never retry. */
OX_MUST_USE static inline ox_err
ox_disk_fdatasync(struct ox_disk *disk, int fd)
{
    return disk->ops->fdatasync(disk, fd);
}

/* Reserves blocks for 0..bytes and grows the file to it; new bytes read as zero. OX_E_UNIMPLEMENTED where the
 * file system cannot. */
OX_MUST_USE static inline ox_err
ox_disk_fallocate(struct ox_disk *disk, int fd, uint64_t bytes)
{
    return disk->ops->fallocate(disk, fd, bytes);
}

OX_MUST_USE static inline ox_err
ox_disk_ftruncate(struct ox_disk *disk, int fd, uint64_t bytes)
{
    return disk->ops->ftruncate(disk, fd, bytes);
}

/* The file's length in bytes. */
OX_MUST_USE static inline ox_err
ox_disk_size(struct ox_disk *disk, int fd, uint64_t *bytes)
{
    return disk->ops->size(disk, fd, bytes);
}

/* Replaces `to` atomically. Durable only after ox_disk_fsync_dir of the directory. */
OX_MUST_USE static inline ox_err
ox_disk_rename(struct ox_disk *disk, const char *from, const char *to)
{
    return disk->ops->rename(disk, from, to);
}

/* Removes a name; open handles keep the bytes. Durable only after ox_disk_fsync_dir. */
OX_MUST_USE static inline ox_err
ox_disk_unlink(struct ox_disk *disk, const char *path)
{
    return disk->ops->unlink(disk, path);
}

/* One directory; EXISTS when it is there. */
OX_MUST_USE static inline ox_err
ox_disk_mkdir(struct ox_disk *disk, const char *path, unsigned mode)
{
    return disk->ops->mkdir(disk, path, mode);
}

/* Makes creations, renames and removals in the directory durable. */
OX_MUST_USE static inline ox_err
ox_disk_fsync_dir(struct ox_disk *disk, const char *path)
{
    return disk->ops->fsync_dir(disk, path);
}

/* Calls each(arg, name) for every entry except "." and "..", in no order. The callback changes nothing there.
 */
OX_MUST_USE static inline ox_err
ox_disk_list(struct ox_disk *disk, const char *path, ox_disk_name_fn each, void *arg)
{
    return disk->ops->list(disk, path, each, arg);
}

/* Size and free space of the file system that holds `path`. */
OX_MUST_USE static inline ox_err
ox_disk_space(struct ox_disk *disk, const char *path, struct ox_disk_space *out)
{
    return disk->ops->space(disk, path, out);
}

/* Writes all n bytes at offset, over as many calls as it takes; a failed call ends it, nothing is retried. */
OX_MUST_USE ox_err ox_disk_write_all(struct ox_disk *disk, int fd, const void *bytes, size_t n,
                                     uint64_t offset);
/* Reads exactly n bytes; TRUNCATED when the file ends before. */
OX_MUST_USE ox_err ox_disk_read_all(struct ox_disk *disk, int fd, void *to, size_t n, uint64_t offset);
/* Makes `path` with mode 0700 and its name durable (fsync of the parent); OX_OK when it is already there. */
OX_MUST_USE ox_err ox_disk_ensure_dir(struct ox_disk *disk, const char *path);

#endif
