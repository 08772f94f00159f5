/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/disk.c - the machine's file system behind the disk seam, and what is the same for every
 * disk.
 *
 * Owns:    nothing; handles are file descriptors.
 * Threads: any.
 * Bounds:  DISK_IOV_MAX parts per write.
 * Fails:   see include/ox/disk.h; errno keeps the cause.
 * Flow:    runtime/journal, dead letters -> here -> the kernel.
 */
#include "ox/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* IOV_MAX of Linux; more parts in one call are refused with EINVAL. */
#define DISK_IOV_MAX 1024

static ox_err
fail(void)
{
    switch (errno) {
    case ENOENT:
        return OX_E_NOT_FOUND;
    case EEXIST:
        return OX_E_EXISTS;
    case EFBIG:
        return OX_E_DISK_FULL;
    default:
        return ox_err_from_errno(errno);
    }
}

static ox_err
checked(int result)
{
    return result == 0 ? OX_OK : fail();
}

static int
open_flags(unsigned flags)
{
    int f = O_CLOEXEC;
    if ((flags & OX_DISK_READ) && (flags & OX_DISK_WRITE))
        f |= O_RDWR;
    else
        f |= (flags & OX_DISK_WRITE) ? O_WRONLY : O_RDONLY;
    f |= (flags & OX_DISK_CREATE) ? O_CREAT : 0;
    f |= (flags & OX_DISK_EXCLUSIVE) ? O_EXCL : 0;
    f |= (flags & OX_DISK_TRUNCATE) ? O_TRUNC : 0;
    f |= (flags & OX_DISK_APPEND) ? O_APPEND : 0;
    return f;
}

static ox_err
real_open(struct ox_disk *disk, const char *path, unsigned flags, unsigned mode, int *fd)
{
    int got;
    do {
        got = open(path, open_flags(flags), (mode_t)mode);
    } while (got < 0 && errno == EINTR); /* EINTR here means "not begun": the one error that may be retried */
    if (got < 0)
        return fail();
    *fd = got;
    return OX_OK;
}

static void
real_close(struct ox_disk *disk, int fd)
{
    /* The result says nothing that fdatasync has not said; Linux frees the number even on EINTR. */
    (void)close(fd);
}

static ox_err
real_pwritev(struct ox_disk *disk, int fd, const struct iovec *iov, int n, uint64_t offset, size_t *done)
{
    OX_ASSERT(n <= DISK_IOV_MAX);
    *done = 0;
    ssize_t got;
    do {
        got = pwritev(fd, iov, n, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail();
    *done = (size_t)got;
    return OX_OK;
}

static ox_err
real_pread(struct ox_disk *disk, int fd, void *to, size_t n, uint64_t offset, size_t *done)
{
    *done = 0;
    ssize_t got;
    do {
        got = pread(fd, to, n, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail();
    *done = (size_t)got;
    return OX_OK;
}

static ox_err
real_fdatasync(struct ox_disk *disk, int fd)
{
    return checked(fdatasync(fd));
}

static ox_err
real_fallocate(struct ox_disk *disk, int fd, uint64_t bytes)
{
    int got;
    do {
        got = fallocate(fd, 0, 0, (off_t)bytes);
    } while (got != 0 && errno == EINTR);
    if (got != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return OX_E_UNIMPLEMENTED;
    return checked(got);
}

static ox_err
real_ftruncate(struct ox_disk *disk, int fd, uint64_t bytes)
{
    return checked(ftruncate(fd, (off_t)bytes));
}

static ox_err
real_size(struct ox_disk *disk, int fd, uint64_t *bytes)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail();
    *bytes = (uint64_t)st.st_size;
    return OX_OK;
}

static ox_err
real_rename(struct ox_disk *disk, const char *from, const char *to)
{
    return checked(rename(from, to));
}

static ox_err
real_unlink(struct ox_disk *disk, const char *path)
{
    return checked(unlink(path));
}

static ox_err
real_mkdir(struct ox_disk *disk, const char *path, unsigned mode)
{
    return checked(mkdir(path, (mode_t)mode));
}

static ox_err
real_fsync_dir(struct ox_disk *disk, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail();
    ox_err err = checked(fsync(fd));
    int cause = errno;
    (void)close(fd);
    errno = cause;
    return err;
}

static ox_err
real_list(struct ox_disk *disk, const char *path, ox_disk_name_fn each, void *arg)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return fail();
    struct dirent *e;
    errno = 0;
    while ((e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !each(arg, e->d_name)) {
            errno = 0;
            break;
        }
        errno = 0;
    }
    ox_err err = errno != 0 ? fail() : OX_OK;
    int cause = errno;
    (void)closedir(dir);
    errno = cause;
    return err;
}

static ox_err
real_space(struct ox_disk *disk, const char *path, struct ox_disk_space *out)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return fail();
    out->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    out->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return OX_OK;
}

struct ox_disk *
ox_disk_real(void)
{
    static const struct ox_disk_ops ops = {
        .open = real_open,
        .close = real_close,
        .pwritev = real_pwritev,
        .pread = real_pread,
        .fdatasync = real_fdatasync,
        .fallocate = real_fallocate,
        .ftruncate = real_ftruncate,
        .size = real_size,
        .rename = real_rename,
        .unlink = real_unlink,
        .mkdir = real_mkdir,
        .fsync_dir = real_fsync_dir,
        .list = real_list,
        .space = real_space,
    };
    static struct ox_disk disk = {&ops};
    return &disk;
}

ox_err
ox_disk_write_all(struct ox_disk *disk, int fd, const void *bytes, size_t n, uint64_t offset)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        struct iovec iov = {(void *)(uintptr_t)p, n};
        size_t done;
        ox_err err = ox_disk_pwritev(disk, fd, &iov, 1, offset, &done);
        if (err != OX_OK)
            return err;
        if (done == 0) {
            errno = EIO; /* POSIX leaves open what this means; going on could go on for ever */
            return OX_E_IO;
        }
        p += done;
        n -= done;
        offset += done;
    }
    return OX_OK;
}

ox_err
ox_disk_read_all(struct ox_disk *disk, int fd, void *to, size_t n, uint64_t offset)
{
    uint8_t *p = to;
    while (n > 0) {
        size_t done;
        ox_err err = ox_disk_pread(disk, fd, p, n, offset, &done);
        if (err != OX_OK)
            return err;
        if (done == 0)
            return OX_E_TRUNCATED;
        p += done;
        n -= done;
        offset += done;
    }
    return OX_OK;
}

ox_err
ox_disk_ensure_dir(struct ox_disk *disk, const char *path)
{
    ox_err err = ox_disk_mkdir(disk, path, 0700);
    if (err != OX_OK && err != OX_E_EXISTS)
        return err;
    /* Also when it exists: whoever made it may have died before the name was durable. */
    char parent[OX_DISK_PATH_MAX];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return OX_E_IO;
    }
    snprintf(parent, sizeof(parent), "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : ".");
    return ox_disk_fsync_dir(disk, parent);
}
