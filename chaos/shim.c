/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/shim.c - preloaded into heart, node and engine: stands between them and the C library's calls on files and on
 * the wall clock.
 *
 * Makes calls late or lets them fail, bounds the growth of files, shifts the clock, and keeps the log from which
 * chaos/power.c takes back whatever was not synced. The engine's library takes these calls from the C library like
 * everybody else, so it is reached as well; renameat2 it calls through syscall(), which stands here for that reason.
 * Not seen, and not used by the programs below the data directory: stdio for writing, shared writable mappings,
 * io_uring, direct system calls.
 *
 * Owns:    one descriptor of the log, one mapping of the control page.
 * Threads: any.
 * Bounds:  FDS_MAX descriptors are followed; GRAVES_MAX removed files kept.
 * Fails:   without its environment it does nothing; out of memory it ends the process, since a log with holes
 *          would make a power loss milder than it is.
 */
/* Both names of a call stand here, open and open64: the one must not be a macro for the other. */
#undef _FILE_OFFSET_BITS
#include "chaos/shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS_MAX      65536
#define GRAVES_MAX   65536
#define LOG_FD_MIN   800 /* out of the way of programs that close or count low descriptors */
#define NS           INT64_C(1000000000)
#define RENAME_EXCH  2u
#define EXPORT       __attribute__((visibility("default")))
#define TMPFILE_FLAG (O_TMPFILE & ~O_DIRECTORY)

static long (*real_syscall)(long, ...);
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct shim_control *control;
static uint32_t who;
static char data_dir[PATH_MAX], graves_dir[PATH_MAX];
static size_t data_n;
static int log_fd = -1;
static _Atomic uint64_t next_id;
static _Atomic uint8_t places[FDS_MAX]; /* SHIM_WAL, ...; 0 = not ours */

/* Removed files whose removal is not durable yet. */
static pthread_mutex_t graves_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t graves[GRAVES_MAX];
static size_t n_graves;

#define RAW(...) real_syscall(__VA_ARGS__)

/* ---- start ---- */

static uint32_t
who_am_i(void)
{
    char line[4096];
    long fd = RAW(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
    long n = fd >= 0 ? RAW(SYS_read, fd, line, sizeof(line) - 1) : 0;
    if (fd >= 0)
        RAW(SYS_close, fd);
    line[n > 0 ? n : 0] = '\0';
    const char *verb = n > 0 ? line + strlen(line) + 1 : "";
    if (verb >= line + n)
        return 0;
    return strcmp(verb, "node") == 0 ? SHIM_NODE : strcmp(verb, "engine") == 0 ? SHIM_ENGINE : SHIM_HEART;
}

static void
open_log(const char *path)
{
    char file[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash != NULL ? (int)(slash - path) : 0;
    if (snprintf(graves_dir, sizeof(graves_dir), "%.*s/%s", n, path, SHIM_GRAVES) >= PATH_MAX ||
        snprintf(file, sizeof(file), "%.*s/%s", n, path, SHIM_LOG) >= PATH_MAX)
        return;
    long fd = RAW(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    log_fd = (int)RAW(SYS_fcntl, fd, F_DUPFD_CLOEXEC, LOG_FD_MIN);
    RAW(SYS_close, fd);
}

static void
start(void)
{
    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
    const char *path = getenv(SHIM_CONTROL), *data = getenv(SHIM_DATA);
    if (path == NULL || data == NULL || strlen(data) >= sizeof(data_dir))
        return;
    long fd = RAW(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(struct shim_control), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    RAW(SYS_close, fd);
    if (p == MAP_FAILED || ((struct shim_control *)p)->magic != SHIM_MAGIC)
        return;
    strcpy(data_dir, data);
    data_n = strlen(data_dir);
    atomic_store(&next_id, (uint64_t)getpid() << 32);
    who = who_am_i();
    open_log(path);
    control = p;
}

static void
init(void)
{
    pthread_once(&once, start);
}

__attribute__((constructor)) static void
on_load(void)
{
    init();
}

/* ---- what is ours ---- */

static uint32_t
place_of(const char *path)
{
    if (strncmp(path, data_dir, data_n) != 0 || path[data_n] != '/')
        return 0;
    const char *rest = path + data_n;
    while (*rest == '/')
        rest++;
    return strncmp(rest, "wal/", 4) == 0      ? SHIM_WAL
           : strncmp(rest, "outbox/", 7) == 0 ? SHIM_OUTBOX
           : strncmp(rest, "engine/", 7) == 0 ? SHIM_STORE
                                              : SHIM_OTHER;
}

/* The absolute path of a name, and where it lies; 0 when it is none of our business. */
static uint32_t
resolve(int dir, const char *path, char out[PATH_MAX])
{
    init();
    if (control == NULL || path == NULL)
        return 0;
    out[0] = '\0';
    if (path[0] != '/') {
        char link[64];
        if (dir == AT_FDCWD)
            strcpy(link, "/proc/self/cwd");
        else
            snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
        long n = RAW(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
        if (n <= 0)
            return 0;
        out[n] = '\0';
        if ((size_t)n + strlen(path) + 2 > PATH_MAX)
            return 0;
        strcat(out, "/");
    } else if (strlen(path) + 1 > PATH_MAX) {
        return 0;
    }
    strcat(out, path);
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        out[--n] = '\0';
    return place_of(out);
}

static uint32_t
place(int fd)
{
    init();
    return control != NULL && fd >= 0 && fd < FDS_MAX
               ? atomic_load_explicit(&places[fd], memory_order_relaxed)
               : 0;
}

static void
follow(long fd, uint32_t where)
{
    if (fd >= 0 && fd < FDS_MAX)
        atomic_store_explicit(&places[fd], (uint8_t)where, memory_order_relaxed);
}

static bool
tracked(void)
{
    return log_fd >= 0 && atomic_load_explicit(&control->track, memory_order_relaxed) != 0;
}

/* ---- the log ---- */

static uint64_t
new_id(void)
{
    return atomic_fetch_add(&next_id, 1);
}

static void
put(struct shim_record *r, const char *name, const char *other, const void *bytes)
{
    struct timespec now;
    RAW(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    r->magic = SHIM_MAGIC;
    r->time_ns = (uint64_t)(now.tv_sec * NS + now.tv_nsec);
    r->name_n = name != NULL ? (uint32_t)strlen(name) : 0;
    r->other_n = other != NULL ? (uint32_t)strlen(other) : 0;
    static const char padding[8];
    size_t all = sizeof(*r) + r->name_n + r->other_n + r->bytes_n, pad = (8 - all % 8) % 8;
    struct iovec v[5] = {{r, sizeof(*r)},
                         {(void *)(uintptr_t)name, r->name_n},
                         {(void *)(uintptr_t)other, r->other_n},
                         {(void *)(uintptr_t)bytes, r->bytes_n},
                         {(void *)(uintptr_t)padding, pad}};
    if (RAW(SYS_writev, log_fd, v, 5) != (long)(all + pad))
        abort(); /* the harness's own disk is full */
}

static void
put_done(uint64_t id, uint64_t ino, bool failed)
{
    struct shim_record r = {.kind = SHIM_R_DONE, .id = id, .ino = ino, .off = failed};
    put(&r, NULL, NULL, NULL);
}

static bool
stat_at(int dir, const char *path, struct stat *st)
{
    return RAW(SYS_newfstatat, dir, path, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static uint64_t
ino_of_parent(const char *path)
{
    char dir[PATH_MAX];
    struct stat st;
    strcpy(dir, path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        return 0;
    slash[slash == dir] = '\0';
    return RAW(SYS_newfstatat, AT_FDCWD, dir, &st, 0) == 0 ? st.st_ino : 0;
}

static const char *
base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static bool
all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* What stands in [off, off + n) of the file, for who wants it back. */
static uint8_t *
old_bytes(int fd, uint64_t off, size_t n)
{
    char link[64];
    uint8_t *p = malloc(n);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    long in = RAW(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    size_t got = 0;
    while (p != NULL && in >= 0 && got < n) {
        long r = RAW(SYS_pread64, in, p + got, n - got, off + got);
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    if (p == NULL || in < 0)
        abort();
    memset(p + got, 0, n - got);
    RAW(SYS_close, in);
    return p;
}

static void
put_content(struct shim_record *r, int fd, uint64_t from, uint64_t to)
{
    if (to <= from) {
        put(r, NULL, NULL, NULL);
        return;
    }
    uint8_t *bytes = old_bytes(fd, from, (size_t)(to - from));
    r->zeros = all_zero(bytes, (size_t)(to - from));
    r->bytes_n = r->zeros ? 0 : (uint32_t)(to - from);
    put(r, NULL, NULL, bytes);
    free(bytes);
}

/* Before a write of n bytes at off; 0 = nothing is kept of it. */
static uint64_t
before_write(int fd, uint64_t off, uint64_t n)
{
    struct stat st;
    if (!tracked() || n == 0 || RAW(SYS_fstat, fd, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    struct shim_record r = {.kind = SHIM_R_WRITE,
                            .id = new_id(),
                            .ino = st.st_ino,
                            .off = off,
                            .len = n,
                            .size = (uint64_t)st.st_size};
    put_content(&r, fd, off, off + n < r.size ? off + n : r.size);
    return r.id;
}

static uint64_t
before_resize(int fd, uint64_t size)
{
    struct stat st;
    if (!tracked() || RAW(SYS_fstat, fd, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    struct shim_record r = {
        .kind = SHIM_R_TRUNCATE, .id = new_id(), .ino = st.st_ino, .off = size, .size = (uint64_t)st.st_size};
    put_content(&r, fd, size, r.size);
    return r.id;
}

static uint64_t
before_name(enum shim_kind kind, const char *path, uint64_t off)
{
    if (!tracked())
        return 0;
    struct shim_record r = {.kind = kind, .id = new_id(), .ino = ino_of_parent(path), .off = off};
    put(&r, base(path), NULL, NULL);
    return r.id;
}

/* errno is the call's own. */
static long
after(uint64_t id, long result, uint64_t ino)
{
    int why = errno;
    if (id != 0)
        put_done(id, ino, result < 0);
    errno = why;
    return result;
}

static long
after_name(uint64_t id, long result, const char *path)
{
    struct stat st = {0};
    int why = errno;
    if (id != 0 && result >= 0)
        stat_at(AT_FDCWD, path, &st);
    errno = why;
    return after(id, result, st.st_ino);
}

/* Whether each write to the file is synced before it returns: O_SYNC, O_DSYNC, or the attribute S. */
static bool
writes_through(int fd)
{
    int attributes = 0;
    long flags = RAW(SYS_fcntl, fd, F_GETFL);
    return (flags >= 0 && (flags & O_DSYNC)) ||
           (RAW(SYS_ioctl, fd, FS_IOC_GETFLAGS, &attributes) == 0 && (attributes & FS_SYNC_FL));
}

static long
after_write(int fd, uint64_t id, long result)
{
    struct stat st;
    int why = errno;
    after(id, result, 0);
    if (id != 0 && result > 0 && writes_through(fd) && RAW(SYS_fstat, fd, &st) == 0) {
        struct shim_record r = {.kind = SHIM_R_SYNC, .id = new_id(), .ino = st.st_ino};
        struct shim_record s = {.kind = SHIM_R_SYNCED, .id = r.id};
        put(&r, NULL, NULL, NULL);
        put(&s, NULL, NULL, NULL);
    }
    errno = why;
    return result;
}

/* ---- graves: a removed file lives on under the number of its removal until the removal is durable ---- */

static void
grave_path(uint64_t id, char *out, size_t n)
{
    snprintf(out, n, "%s/%016llx", graves_dir, (unsigned long long)id);
}

static void
bury(uint64_t id, const char *path)
{
    char grave[PATH_MAX + 32];
    grave_path(id, grave, sizeof(grave));
    if (id == 0 || RAW(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0) != 0)
        return;
    pthread_mutex_lock(&graves_lock);
    if (n_graves < GRAVES_MAX)
        graves[n_graves++] = id;
    pthread_mutex_unlock(&graves_lock);
}

/* What was removed before a sync began is gone for good. (Where names are durable by directory only, graves stay until the
 * harness clears them: it asks for that by track = 2.) */
static void
clear_graves(size_t upto)
{
    char grave[PATH_MAX + 32];
    if (upto == 0)
        return;
    pthread_mutex_lock(&graves_lock);
    if (upto > n_graves)
        upto = n_graves;
    for (size_t i = 0; i < upto; i++) {
        grave_path(graves[i], grave, sizeof(grave));
        RAW(SYS_unlinkat, AT_FDCWD, grave, 0);
    }
    memmove(graves, graves + upto, (n_graves - upto) * sizeof(graves[0]));
    n_graves -= upto;
    pthread_mutex_unlock(&graves_lock);
}

/* ---- trouble ---- */

static bool
strikes(uint32_t where, uint32_t what)
{
    struct shim_control *c = control;
    uint32_t percent = atomic_load_explicit(&c->percent, memory_order_relaxed);
    static __thread uint32_t chance;
    if (percent == 0 || !(atomic_load_explicit(&c->who, memory_order_relaxed) & who) ||
        !(atomic_load_explicit(&c->where, memory_order_relaxed) & where) ||
        !(atomic_load_explicit(&c->what, memory_order_relaxed) & what))
        return false;
    chance = chance * 1103515245u + 12345u + (uint32_t)(uintptr_t)&chance;
    if ((chance >> 16) % 100 >= percent)
        return false;
    atomic_fetch_add_explicit(&c->fired, 1, memory_order_relaxed);
    uint32_t us = atomic_load_explicit(&c->delay_us, memory_order_relaxed);
    struct timespec nap = {us / 1000000, (long)(us % 1000000) * 1000};
    if (us > 0)
        RAW(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &nap, NULL);
    errno = atomic_load_explicit(&c->error, memory_order_relaxed);
    return errno != 0;
}

/* Room for a file to grow to `end`: the bytes of [off, end) that fit; 0 with ENOSPC. */
static uint64_t
fits(int fd, uint64_t off, uint64_t end)
{
    struct stat st;
    int64_t room = atomic_load_explicit(&control->room, memory_order_relaxed);
    if (room < 0 || RAW(SYS_fstat, fd, &st) != 0 || end <= (uint64_t)st.st_size)
        return end - off;
    int64_t growth = (int64_t)(end - (uint64_t)st.st_size);
    if (growth <= room) {
        atomic_fetch_sub(&control->room, growth);
        return end - off;
    }
    atomic_fetch_add(&control->refused_growth, 1);
    uint64_t upto = (uint64_t)st.st_size + (uint64_t)room;
    atomic_store(&control->room, 0);
    errno = ENOSPC;
    return upto > off ? upto - off : 0;
}

/* ---- writing ---- */

static uint64_t
position(int fd)
{
    struct stat st;
    long flags = RAW(SYS_fcntl, fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) && RAW(SYS_fstat, fd, &st) == 0)
        return (uint64_t)st.st_size;
    long at = RAW(SYS_lseek, fd, 0, SEEK_CUR);
    return at > 0 ? (uint64_t)at : 0;
}

EXPORT ssize_t
write(int fd, const void *p, size_t n)
{
    uint32_t where = place(fd);
    if (where == 0)
        return RAW(SYS_write, fd, p, n);
    if (strikes(where, SHIM_WRITE))
        return -1;
    uint64_t off = position(fd), can = fits(fd, off, off + n);
    if (can == 0 && n > 0)
        return -1;
    uint64_t id = before_write(fd, off, can);
    return after_write(fd, id, RAW(SYS_write, fd, p, can));
}

EXPORT ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
    uint32_t where = place(fd);
    if (where == 0)
        return RAW(SYS_pwrite64, fd, p, n, off);
    if (strikes(where, SHIM_WRITE))
        return -1;
    uint64_t can = fits(fd, (uint64_t)off, (uint64_t)off + n);
    if (can == 0 && n > 0)
        return -1;
    uint64_t id = before_write(fd, (uint64_t)off, can);
    return after_write(fd, id, RAW(SYS_pwrite64, fd, p, can, off));
}

EXPORT ssize_t
pwrite64(int fd, const void *p, size_t n, off_t off)
{
    return pwrite(fd, p, n, off);
}

static size_t
sum(const struct iovec *v, int n)
{
    size_t all = 0;
    for (int i = 0; i < n; i++)
        all += v[i].iov_len;
    return all;
}

/* As much of the parts as fits: a short write is the honest answer of a disk that fills up. */
static ssize_t
write_parts(int fd, const struct iovec *v, int n, uint64_t off, bool at)
{
    size_t all = sum(v, n);
    uint64_t can = fits(fd, off, off + all);
    if (can == 0 && all > 0)
        return -1;
    uint64_t id = before_write(fd, off, can);
    if (can == all)
        return after_write(fd, id, at ? RAW(SYS_pwritev, fd, v, n, off, 0) : RAW(SYS_writev, fd, v, n));
    size_t done = 0;
    long r = 0;
    for (int i = 0; i < n && done < can; i++) {
        size_t part = v[i].iov_len < can - done ? v[i].iov_len : can - done;
        r = at ? RAW(SYS_pwrite64, fd, v[i].iov_base, part, off + done)
               : RAW(SYS_write, fd, v[i].iov_base, part);
        if (r <= 0)
            break;
        done += (size_t)r;
    }
    return after_write(fd, id, done > 0 ? (long)done : r);
}

EXPORT ssize_t
writev(int fd, const struct iovec *v, int n)
{
    uint32_t where = place(fd);
    if (where == 0)
        return RAW(SYS_writev, fd, v, n);
    return strikes(where, SHIM_WRITE) ? -1 : write_parts(fd, v, n, position(fd), false);
}

EXPORT ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t off)
{
    uint32_t where = place(fd);
    if (where == 0)
        return RAW(SYS_pwritev, fd, v, n, off, 0);
    return strikes(where, SHIM_WRITE) ? -1 : write_parts(fd, v, n, (uint64_t)off, true);
}

EXPORT ssize_t
pwritev64(int fd, const struct iovec *v, int n, off_t off)
{
    return pwritev(fd, v, n, off);
}

EXPORT int
ftruncate(int fd, off_t size)
{
    uint32_t where = place(fd);
    if (where == 0)
        return (int)RAW(SYS_ftruncate, fd, size);
    if (strikes(where, SHIM_WRITE))
        return -1;
    uint64_t id = before_resize(fd, (uint64_t)size);
    return (int)after(id, RAW(SYS_ftruncate, fd, size), 0);
}

EXPORT int
ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

EXPORT int
truncate(const char *path, off_t size)
{
    char full[PATH_MAX];
    if (resolve(AT_FDCWD, path, full) == 0)
        return (int)RAW(SYS_truncate, path, size);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int r = ftruncate(fd, size), why = errno;
    close(fd);
    errno = why;
    return r;
}

EXPORT int
fallocate(int fd, int mode, off_t off, off_t n)
{
    uint32_t where = place(fd);
    if (where == 0)
        return (int)RAW(SYS_fallocate, fd, mode, off, n);
    if (strikes(where, SHIM_WRITE))
        return -1;
    if (fits(fd, (uint64_t)off, (uint64_t)(off + n)) < (uint64_t)n) {
        errno = ENOSPC; /* all or nothing */
        return -1;
    }
    uint64_t id = mode == 0 ? before_resize(fd, (uint64_t)(off + n)) : 0;
    return (int)after(id, RAW(SYS_fallocate, fd, mode, off, n), 0);
}

EXPORT int
fallocate64(int fd, int mode, off_t off, off_t n)
{
    return fallocate(fd, mode, off, n);
}

/* ---- syncing ---- */

static int
synced(long number, int fd)
{
    uint32_t where = place(fd);
    struct stat st;
    if (where == 0)
        return (int)RAW(number, fd);
    if (strikes(where, SHIM_SYNC))
        return -1;
    if (!tracked() || RAW(SYS_fstat, fd, &st) != 0)
        return (int)RAW(number, fd);
    pthread_mutex_lock(&graves_lock);
    size_t buried = n_graves;
    pthread_mutex_unlock(&graves_lock);
    struct shim_record r = {.kind = SHIM_R_SYNC, .id = new_id(), .ino = st.st_ino};
    put(&r, NULL, NULL, NULL);
    long result = RAW(number, fd);
    int why = errno;
    if (result == 0) {
        struct shim_record s = {.kind = SHIM_R_SYNCED, .id = r.id};
        put(&s, NULL, NULL, NULL);
        clear_graves(atomic_load(&control->track) == 2 ? 0 : buried);
    }
    errno = why;
    return (int)result;
}

EXPORT int
fsync(int fd)
{
    return synced(SYS_fsync, fd);
}

EXPORT int
fdatasync(int fd)
{
    return synced(SYS_fdatasync, fd);
}

/* ---- names ---- */

static long
open_at(int dir, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    struct stat st;
    uint32_t where = resolve(dir, path, full);
    if (where == 0)
        return RAW(SYS_openat, dir, path, flags, mode);
    bool there = stat_at(AT_FDCWD, full, &st);
    uint64_t id = 0;
    if ((flags & O_CREAT) && !there)
        id = before_name(SHIM_R_CREATE, full, 0);
    bool cuts = there && (flags & O_TRUNC) && S_ISREG(st.st_mode) && st.st_size > 0 && tracked();
    long fd = RAW(SYS_openat, dir, path, cuts ? flags & ~O_TRUNC : flags, mode);
    follow(fd, fd >= 0 ? where : 0);
    after_name(id, fd, full);
    if (cuts && fd >= 0 && ftruncate((int)fd, 0) != 0)
        abort();
    return fd;
}

#define OPEN_MODE(flags, mode)                                                                               \
    mode_t mode = 0;                                                                                         \
    if ((flags) & (O_CREAT | TMPFILE_FLAG)) {                                                                \
        va_list ap;                                                                                          \
        va_start(ap, flags);                                                                                 \
        mode = (mode_t)va_arg(ap, int);                                                                      \
        va_end(ap);                                                                                          \
    }

EXPORT int
open(const char *path, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return (int)open_at(AT_FDCWD, path, flags, mode);
}

EXPORT int
open64(const char *path, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return (int)open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int
openat(int dir, const char *path, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return (int)open_at(dir, path, flags, mode);
}

EXPORT int
openat64(int dir, const char *path, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return (int)open_at(dir, path, flags | O_LARGEFILE, mode);
}

EXPORT int
creat(const char *path, mode_t mode)
{
    return (int)open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int
close(int fd)
{
    init();
    follow(fd, 0);
    return (int)RAW(SYS_close, fd);
}

EXPORT int
dup(int fd)
{
    init();
    long to = RAW(SYS_dup, fd);
    follow(to, to >= 0 ? place(fd) : 0);
    return (int)to;
}

EXPORT int
dup2(int fd, int to)
{
    init();
    long r = RAW(SYS_dup2, fd, to);
    if (r >= 0)
        follow(to, place(fd));
    return (int)r;
}

EXPORT int
mkdirat(int dir, const char *path, mode_t mode)
{
    char full[PATH_MAX];
    uint64_t id = resolve(dir, path, full) != 0 ? before_name(SHIM_R_MKDIR, full, 0) : 0;
    return (int)after_name(id, RAW(SYS_mkdirat, dir, path, mode), full);
}

EXPORT int
mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

EXPORT int
unlinkat(int dir, const char *path, int flags)
{
    char full[PATH_MAX];
    struct stat st;
    uint64_t id = 0;
    if (resolve(dir, path, full) != 0 && stat_at(AT_FDCWD, full, &st)) {
        id = before_name(flags & AT_REMOVEDIR ? SHIM_R_RMDIR : SHIM_R_UNLINK, full, st.st_ino);
        if (!(flags & AT_REMOVEDIR))
            bury(id, full);
    }
    return (int)after(id, RAW(SYS_unlinkat, dir, path, flags), 0);
}

EXPORT int
unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int
rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORT int
remove(const char *path)
{
    int r = unlink(path);
    return r != 0 && (errno == EISDIR || errno == EPERM) ? rmdir(path) : r;
}

EXPORT int
linkat(int from_dir, const char *from, int dir, const char *path, int flags)
{
    char full[PATH_MAX];
    uint64_t id = resolve(dir, path, full) != 0 ? before_name(SHIM_R_CREATE, full, 0) : 0;
    return (int)after_name(id, RAW(SYS_linkat, from_dir, from, dir, path, flags), full);
}

EXPORT int
link(const char *from, const char *path)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, path, 0);
}

EXPORT int
symlink(const char *target, const char *path)
{
    char full[PATH_MAX];
    uint64_t id = resolve(AT_FDCWD, path, full) != 0 ? before_name(SHIM_R_CREATE, full, 0) : 0;
    return (int)after_name(id, RAW(SYS_symlinkat, target, AT_FDCWD, path), full);
}

static long
rename_at(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    char full_from[PATH_MAX], full_to[PATH_MAX];
    struct stat st;
    uint64_t id = 0;
    uint32_t where = resolve(from_dir, from, full_from), there = resolve(to_dir, to, full_to);
    if (where != 0 && there != 0 && tracked()) {
        struct shim_record r = {.kind = flags & RENAME_EXCH ? SHIM_R_EXCHANGE : SHIM_R_RENAME,
                                .id = new_id(),
                                .ino = ino_of_parent(full_from),
                                .off = ino_of_parent(full_to)};
        put(&r, base(full_from), base(full_to), NULL);
        id = r.id;
        if (r.kind == SHIM_R_RENAME && stat_at(AT_FDCWD, full_to, &st) && !S_ISDIR(st.st_mode))
            bury(id, full_to);
    }
    return after_name(id, RAW(SYS_renameat2, from_dir, from, to_dir, to, flags), full_to);
}

EXPORT int
rename(const char *from, const char *to)
{
    return (int)rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return (int)rename_at(from_dir, from, to_dir, to, 0);
}

EXPORT int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return (int)rename_at(from_dir, from, to_dir, to, flags);
}

EXPORT long
syscall(long number, ...)
{
    va_list ap;
    long a[6];
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    init();
    if (number == SYS_renameat2)
        return rename_at((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (unsigned)a[4]);
    return RAW(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- room and time ---- */

EXPORT int
statvfs(const char *path, struct statvfs *out)
{
    static int (*real)(const char *, struct statvfs *);
    char full[PATH_MAX];
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "statvfs");
    int r = real(path, out);
    bool ours = resolve(AT_FDCWD, path, full) != 0 || (control != NULL && strcmp(full, data_dir) == 0);
    int64_t room = ours ? atomic_load(&control->room) : -1;
    if (r == 0 && room >= 0)
        out->f_bavail = out->f_bfree = (fsblkcnt_t)room / (out->f_frsize != 0 ? out->f_frsize : 1);
    return r;
}

EXPORT int
statvfs64(const char *path, struct statvfs64 *out)
{
    return statvfs(path, (struct statvfs *)out); /* the same on 64 bits */
}

static int64_t
clock_shift(void)
{
    init();
    return control != NULL && (atomic_load_explicit(&control->who_clock, memory_order_relaxed) & who)
               ? atomic_load_explicit(&control->clock_ns, memory_order_relaxed)
               : 0;
}

EXPORT int
clock_gettime(clockid_t id, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, out);
    int64_t shift = r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) ? clock_shift() : 0;
    if (shift != 0) {
        int64_t ns = out->tv_sec * NS + out->tv_nsec + shift;
        out->tv_sec = ns / NS;
        out->tv_nsec = ns % NS;
    }
    return r;
}

EXPORT int
gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    int r = clock_gettime(CLOCK_REALTIME, &ts);
    out->tv_sec = ts.tv_sec;
    out->tv_usec = ts.tv_nsec / 1000;
    return r;
}

EXPORT time_t
time(time_t *out)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
