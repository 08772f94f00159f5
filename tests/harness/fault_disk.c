/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/fault_disk.c - a disk in memory that can fail on demand and lose its power.
 *
 * Owns:    inodes (content seen and content durable), names (seen and durable), handles.
 * Threads: one at a time.
 * Flow:    tests, fuzz targets -> ox/disk.h -> here.
 */
#include "tests/harness/fault_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/buf.h"

#define FAULT_DISK_FILES_MAX   512
#define FAULT_DISK_HANDLES_MAX 64
#define PAGE                   512u

struct inode {
    unsigned refs; /* names (seen or durable) and handles */
    struct ox_buf seen;
    struct ox_buf durable;
    uint8_t *dirty; /* per page of PAGE bytes */
    size_t dirty_cap;
};

struct name {
    char path[OX_DISK_PATH_MAX];
    struct inode *seen;
    struct inode *durable;
};

struct handle {
    struct inode *inode;
    unsigned flags;
    char path[OX_DISK_PATH_MAX];
};

struct fault_disk {
    struct ox_disk seam;
    uint64_t rng;
    struct name names[FAULT_DISK_FILES_MAX];
    size_t n_names;
    struct handle handles[FAULT_DISK_HANDLES_MAX];
    uint64_t calls;
    uint64_t fail_at;
    int fail_errno;
    bool fail_partly;
    bool fail_for_good;
    bool fired;
    bool quiet;
    bool lie;
    size_t short_bytes;
    uint64_t limit;
    char bad_path[OX_DISK_PATH_MAX];
    uint64_t bad_from, bad_to;
};

static struct fault_disk *
of(struct ox_disk *disk)
{
    return (struct fault_disk *)disk; /* seam is its first member */
}

static uint64_t
next_random(struct fault_disk *d)
{
    d->rng ^= d->rng << 13;
    d->rng ^= d->rng >> 7;
    d->rng ^= d->rng << 17;
    return d->rng;
}

static ox_err
fail_with(int errnum)
{
    errno = errnum;
    if (errnum == ENOENT)
        return OX_E_NOT_FOUND;
    return errnum == EEXIST ? OX_E_EXISTS : ox_err_from_errno(errnum);
}

/* Counts a call; true when it is the one to fail. */
static bool
strikes(struct fault_disk *d)
{
    if (d->quiet)
        return false;
    d->calls++;
    if (d->fail_at == 0 || d->calls < d->fail_at || (d->calls > d->fail_at && !d->fail_for_good))
        return false;
    d->fired = true;
    return true;
}

static void
inode_drop(struct inode *n)
{
    if (n == NULL || --n->refs > 0)
        return;
    ox_buf_fini(&n->seen);
    ox_buf_fini(&n->durable);
    free(n->dirty);
    free(n);
}

static struct inode *
inode_hold(struct inode *n)
{
    if (n != NULL)
        n->refs++;
    return n;
}

static void
resize(struct ox_buf *b, uint64_t bytes)
{
    if (bytes > b->len) {
        uint8_t *to = ox_buf_reserve(b, (size_t)bytes - b->len);
        OX_ASSERT(to != NULL);
        memset(to, 0, (size_t)bytes - b->len);
    }
    b->len = (size_t)bytes;
}

static void
mark_dirty(struct inode *n, uint64_t from, uint64_t to)
{
    size_t pages = (size_t)((to + PAGE - 1) / PAGE);
    if (pages > n->dirty_cap) {
        n->dirty = realloc(n->dirty, pages);
        OX_ASSERT(n->dirty != NULL);
        memset(n->dirty + n->dirty_cap, 0, pages - n->dirty_cap);
        n->dirty_cap = pages;
    }
    for (uint64_t p = from / PAGE; p < pages; p++)
        n->dirty[p] = 1;
}

static struct name *
find(struct fault_disk *d, const char *path)
{
    for (size_t i = 0; i < d->n_names; i++) {
        if (strcmp(d->names[i].path, path) == 0)
            return &d->names[i];
    }
    return NULL;
}

static struct name *
find_or_add(struct fault_disk *d, const char *path)
{
    struct name *n = find(d, path);
    if (n != NULL)
        return n;
    for (size_t i = 0; i < d->n_names && n == NULL; i++) {
        if (d->names[i].seen == NULL && d->names[i].durable == NULL)
            n = &d->names[i];
    }
    if (n == NULL) {
        OX_ASSERT(d->n_names < FAULT_DISK_FILES_MAX);
        n = &d->names[d->n_names++];
    }
    memset(n, 0, sizeof(*n));
    snprintf(n->path, sizeof(n->path), "%s", path);
    return n;
}

static ox_err
fd_open(struct ox_disk *disk, const char *path, unsigned flags, unsigned mode, int *fd)
{
    struct fault_disk *d = of(disk);
    if (strikes(d))
        return fail_with(d->fail_errno);
    struct name *n = find(d, path);
    bool there = n != NULL && n->seen != NULL;
    if (!there && !(flags & OX_DISK_CREATE))
        return fail_with(ENOENT);
    if (there && (flags & OX_DISK_EXCLUSIVE))
        return fail_with(EEXIST);
    int h = 0;
    while (h < FAULT_DISK_HANDLES_MAX && d->handles[h].inode != NULL)
        h++;
    OX_ASSERT(h < FAULT_DISK_HANDLES_MAX);
    if (!there) {
        n = find_or_add(d, path);
        n->seen = calloc(1, sizeof(*n->seen));
        OX_ASSERT(n->seen != NULL);
        n->seen->refs = 1;
    }
    if (flags & OX_DISK_TRUNCATE) {
        mark_dirty(n->seen, 0, n->seen->seen.len);
        resize(&n->seen->seen, 0);
    }
    d->handles[h].inode = inode_hold(n->seen);
    d->handles[h].flags = flags;
    snprintf(d->handles[h].path, sizeof(d->handles[h].path), "%s", path);
    *fd = h + 1000; /* no descriptor of the machine: a mix-up shows at once */
    return OX_OK;
}

static struct handle *
handle(struct fault_disk *d, int fd)
{
    OX_ASSERT(fd >= 1000 && fd < 1000 + FAULT_DISK_HANDLES_MAX && d->handles[fd - 1000].inode != NULL);
    return &d->handles[fd - 1000];
}

static void
fd_close(struct ox_disk *disk, int fd)
{
    struct handle *h = handle(of(disk), fd);
    inode_drop(h->inode);
    h->inode = NULL;
}

static bool
over_limit(struct fault_disk *d, const struct inode *n, uint64_t bytes)
{
    uint64_t sum = bytes > n->seen.len ? bytes - n->seen.len : 0;
    for (size_t i = 0; i < d->n_names; i++)
        sum += d->names[i].seen != NULL ? d->names[i].seen->seen.len : 0;
    return d->limit != 0 && bytes > n->seen.len && sum > d->limit;
}

static ox_err
fd_pwritev(struct ox_disk *disk, int fd, const struct iovec *iov, int n, uint64_t offset, size_t *done)
{
    struct fault_disk *d = of(disk);
    struct inode *node = handle(d, fd)->inode;
    uint64_t total = 0, limit;
    *done = 0;
    OX_ASSERT(handle(d, fd)->flags & OX_DISK_WRITE);
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    bool struck = strikes(d);
    limit = struck ? (d->fail_partly ? total / 2 : 0) : total;
    if (!struck && d->short_bytes != 0 && limit > d->short_bytes)
        limit = d->short_bytes;
    if (handle(d, fd)->flags & OX_DISK_APPEND)
        offset = node->seen.len;
    if (over_limit(d, node, offset + limit))
        return fail_with(ENOSPC);
    uint64_t at = offset;
    if (limit > 0 && node->seen.len < offset + limit)
        resize(&node->seen, offset + limit);
    for (int i = 0; i < n && at < offset + limit; i++) {
        uint64_t part = iov[i].iov_len < offset + limit - at ? iov[i].iov_len : offset + limit - at;
        memcpy(node->seen.data + at, iov[i].iov_base, (size_t)part);
        at += part;
    }
    if (limit > 0)
        mark_dirty(node, offset, offset + limit);
    if (struck)
        return fail_with(d->fail_errno);
    *done = (size_t)limit;
    return OX_OK;
}

static ox_err
fd_pread(struct ox_disk *disk, int fd, void *to, size_t n, uint64_t offset, size_t *done)
{
    struct fault_disk *d = of(disk);
    const struct handle *h = handle(d, fd);
    *done = 0;
    if (strikes(d))
        return fail_with(d->fail_errno);
    if (strcmp(d->bad_path, h->path) == 0 && offset < d->bad_to && offset + n > d->bad_from)
        return fail_with(EIO);
    if (offset >= h->inode->seen.len)
        return OX_OK;
    *done = n < h->inode->seen.len - offset ? n : h->inode->seen.len - (size_t)offset;
    memcpy(to, h->inode->seen.data + offset, *done);
    return OX_OK;
}

static void
make_durable(struct inode *n)
{
    /* Pages that a failed sync marked clean stay behind: what is durable there is what was before. */
    resize(&n->durable, n->seen.len);
    for (size_t p = 0; p < n->dirty_cap; p++) {
        size_t at = p * PAGE;
        if (n->dirty[p] && at < n->seen.len)
            memcpy(n->durable.data + at, n->seen.data + at,
                   n->seen.len - at < PAGE ? n->seen.len - at : PAGE);
        n->dirty[p] = 0;
    }
}

static ox_err
fd_fdatasync(struct ox_disk *disk, int fd)
{
    struct fault_disk *d = of(disk);
    struct inode *n = handle(d, fd)->inode;
    if (strikes(d)) {
        if (n->dirty != NULL && !d->fail_for_good) /* a machine that goes down has not tried */
            memset(n->dirty, 0, n->dirty_cap);
        return fail_with(d->fail_errno);
    }
    if (!d->lie)
        make_durable(n);
    return OX_OK;
}

static ox_err
fd_ftruncate(struct ox_disk *disk, int fd, uint64_t bytes)
{
    struct fault_disk *d = of(disk);
    struct inode *n = handle(d, fd)->inode;
    if (strikes(d))
        return fail_with(d->fail_errno);
    if (over_limit(d, n, bytes))
        return fail_with(ENOSPC);
    mark_dirty(n, bytes < n->seen.len ? bytes : n->seen.len, bytes < n->seen.len ? n->seen.len : bytes);
    resize(&n->seen, bytes);
    return OX_OK;
}

static ox_err
fd_fallocate(struct ox_disk *disk, int fd, uint64_t bytes)
{
    struct inode *n = handle(of(disk), fd)->inode;
    return bytes > n->seen.len ? fd_ftruncate(disk, fd, bytes) : OX_OK;
}

static ox_err
fd_size(struct ox_disk *disk, int fd, uint64_t *bytes)
{
    struct fault_disk *d = of(disk);
    if (strikes(d))
        return fail_with(d->fail_errno);
    *bytes = handle(d, fd)->inode->seen.len;
    return OX_OK;
}

static ox_err
fd_rename(struct ox_disk *disk, const char *from, const char *to)
{
    struct fault_disk *d = of(disk);
    if (strikes(d))
        return fail_with(d->fail_errno);
    struct name *a = find(d, from);
    if (a == NULL || a->seen == NULL)
        return fail_with(ENOENT);
    struct name *b = find_or_add(d, to);
    a = find(d, from);
    inode_drop(b->seen);
    b->seen = a->seen;
    a->seen = NULL;
    return OX_OK;
}

static ox_err
fd_unlink(struct ox_disk *disk, const char *path)
{
    struct fault_disk *d = of(disk);
    if (strikes(d))
        return fail_with(d->fail_errno);
    struct name *n = find(d, path);
    if (n == NULL || n->seen == NULL)
        return fail_with(ENOENT);
    inode_drop(n->seen);
    n->seen = NULL;
    return OX_OK;
}

static ox_err
fd_mkdir(struct ox_disk *disk, const char *path, unsigned mode)
{
    struct fault_disk *d = of(disk);
    return strikes(d) ? fail_with(d->fail_errno) : OX_OK; /* directories are implied by the paths of files */
}

#define FAULT_DISK_PART_MAX 256

static bool
inside(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && path[n] == '/' && strchr(path + n + 1, '/') == NULL;
}

static void
settle_name(struct name *n)
{
    if (n->durable == n->seen)
        return;
    inode_drop(n->durable);
    n->durable = inode_hold(n->seen);
}

static ox_err
fd_fsync_dir(struct ox_disk *disk, const char *path)
{
    struct fault_disk *d = of(disk);
    if (strikes(d))
        return fail_with(d->fail_errno);
    for (size_t i = 0; i < d->n_names; i++) {
        if (inside(path, d->names[i].path))
            settle_name(&d->names[i]);
    }
    return OX_OK;
}

/* Whether name `at` lies below `path`; its part between the two, a directory when more follows. */
static bool
part_below(const char *path, const char *at, char part[FAULT_DISK_PART_MAX])
{
    size_t n = strlen(path);
    if (strncmp(at, path, n) != 0 || at[n] != '/')
        return false;
    snprintf(part, FAULT_DISK_PART_MAX, "%.*s", (int)strcspn(at + n + 1, "/"), at + n + 1);
    return true;
}

/* Whether a name behind the i-th lies in the same directory below `path`, so that it was listed already. */
static bool
listed_before(const struct fault_disk *d, const char *path, size_t i, const char *part)
{
    char other[FAULT_DISK_PART_MAX];
    for (size_t k = i + 1; k < d->n_names; k++) {
        if (d->names[k].seen != NULL && part_below(path, d->names[k].path, other) && strcmp(other, part) == 0)
            return true;
    }
    return false;
}

static ox_err
fd_list(struct ox_disk *disk, const char *path, ox_disk_name_fn each, void *arg)
{
    struct fault_disk *d = of(disk);
    if (strikes(d))
        return fail_with(d->fail_errno);
    for (size_t i = d->n_names; i > 0; i--) {
        char part[FAULT_DISK_PART_MAX];
        if (d->names[i - 1].seen == NULL || !part_below(path, d->names[i - 1].path, part) ||
            listed_before(d, path, i - 1, part))
            continue;
        if (!each(arg, part))
            break;
    }
    return OX_OK;
}

static ox_err
fd_space(struct ox_disk *disk, const char *path, struct ox_disk_space *out)
{
    struct fault_disk *d = of(disk);
    if (strikes(d))
        return fail_with(d->fail_errno);
    uint64_t sum = 0;
    for (size_t i = 0; i < d->n_names; i++)
        sum += d->names[i].seen != NULL ? d->names[i].seen->seen.len : 0;
    out->total_bytes = d->limit != 0 ? d->limit : UINT64_C(1) << 40;
    out->free_bytes = out->total_bytes > sum ? out->total_bytes - sum : 0;
    return OX_OK;
}

struct fault_disk *
fault_disk_new(uint64_t seed)
{
    static const struct ox_disk_ops ops = {
        .open = fd_open,
        .close = fd_close,
        .pwritev = fd_pwritev,
        .pread = fd_pread,
        .fdatasync = fd_fdatasync,
        .fallocate = fd_fallocate,
        .ftruncate = fd_ftruncate,
        .size = fd_size,
        .rename = fd_rename,
        .unlink = fd_unlink,
        .mkdir = fd_mkdir,
        .fsync_dir = fd_fsync_dir,
        .list = fd_list,
        .space = fd_space,
    };
    struct fault_disk *d = calloc(1, sizeof(*d));
    OX_ASSERT(d != NULL);
    d->seam.ops = &ops;
    d->rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    return d;
}

static void
drop_handles(struct fault_disk *d)
{
    for (int i = 0; i < FAULT_DISK_HANDLES_MAX; i++) {
        inode_drop(d->handles[i].inode);
        d->handles[i].inode = NULL;
    }
}

void
fault_disk_free(struct fault_disk *d)
{
    drop_handles(d);
    for (size_t i = 0; i < d->n_names; i++) {
        inode_drop(d->names[i].seen);
        inode_drop(d->names[i].durable);
    }
    free(d);
}

struct ox_disk *
fault_disk_seam(struct fault_disk *d)
{
    return &d->seam;
}

uint64_t
fault_disk_calls(const struct fault_disk *d)
{
    return d->calls;
}

void
fault_disk_fail(struct fault_disk *d, uint64_t n, int errnum, bool partly)
{
    d->fail_at = n == 0 ? 0 : d->calls + n;
    d->fail_errno = errnum;
    d->fail_partly = partly;
    d->fail_for_good = false;
    d->fired = false;
}

void
fault_disk_die(struct fault_disk *d, uint64_t n)
{
    fault_disk_fail(d, n, EIO, true);
    d->fail_for_good = true;
}

bool
fault_disk_fired(const struct fault_disk *d)
{
    return d->fired;
}

bool
fault_disk_dead(const struct fault_disk *d)
{
    return d->fail_at != 0 && d->fail_for_good && d->calls >= d->fail_at;
}

void
fault_disk_short_writes(struct fault_disk *d, size_t bytes)
{
    d->short_bytes = bytes;
}

void
fault_disk_limit(struct fault_disk *d, uint64_t bytes)
{
    d->limit = bytes;
}

/* Dirty pages reach the disk one by one or not at all, and so does the new length. */
static void
cut_inode(struct fault_disk *d, struct inode *n, enum fault_cut how)
{
    if (how == FAULT_CUT_RANDOM && (next_random(d) >> 20) % 2 == 0)
        resize(&n->durable, n->seen.len);
    for (size_t p = 0; p < n->dirty_cap; p++) {
        size_t at = p * PAGE, len = n->durable.len < n->seen.len ? n->durable.len : n->seen.len;
        if (how == FAULT_CUT_RANDOM && n->dirty[p] && at < len && (next_random(d) >> 20) % 2 == 0)
            memcpy(n->durable.data + at, n->seen.data + at, len - at < PAGE ? len - at : PAGE);
        n->dirty[p] = 0;
    }
    ox_buf_reset(&n->seen);
    ox_buf_append(&n->seen, n->durable.data, n->durable.len);
}

void
fault_disk_cut(struct fault_disk *d, enum fault_cut how)
{
    drop_handles(d);
    for (size_t i = 0; i < d->n_names; i++) {
        struct name *n = &d->names[i];
        if (how == FAULT_CUT_RANDOM && (next_random(d) >> 20) % 2 == 0)
            settle_name(n);
        inode_drop(n->seen);
        n->seen = inode_hold(n->durable);
    }
    for (size_t i = 0; i < d->n_names; i++) {
        if (d->names[i].seen != NULL)
            cut_inode(d, d->names[i].seen, how);
    }
    d->fail_at = 0;
}

void
fault_disk_restart(struct fault_disk *d)
{
    drop_handles(d);
    d->fail_at = 0;
}

void
fault_disk_quiet(struct fault_disk *d, bool quiet)
{
    d->quiet = quiet;
}

void
fault_disk_lie(struct fault_disk *d, bool lie)
{
    d->lie = lie;
}

void
fault_disk_each(struct fault_disk *d, void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0; i < d->n_names; i++) {
        if (d->names[i].seen != NULL)
            each(arg, d->names[i].path);
    }
}

void
fault_disk_bad_sector(struct fault_disk *d, const char *path, uint64_t from, uint64_t to)
{
    snprintf(d->bad_path, sizeof(d->bad_path), "%s", path != NULL ? path : "");
    d->bad_from = from;
    d->bad_to = to;
}

struct ox_str
fault_disk_peek(struct fault_disk *d, const char *path, bool *exists)
{
    const struct name *n = find(d, path);
    *exists = n != NULL && n->seen != NULL;
    return *exists ? ox_buf_str(&n->seen->seen) : (struct ox_str){NULL, 0};
}

void
fault_disk_poke(struct fault_disk *d, const char *path, const void *bytes, size_t n)
{
    struct name *name = find_or_add(d, path);
    if (name->seen == NULL) {
        name->seen = calloc(1, sizeof(*name->seen));
        OX_ASSERT(name->seen != NULL);
        name->seen->refs = 1;
    }
    struct inode *node = name->seen;
    ox_buf_reset(&node->seen);
    ox_buf_append(&node->seen, bytes, n);
    mark_dirty(node, 0, n);
    make_durable(node);
    settle_name(name);
}

void
fault_disk_remove(struct fault_disk *d, const char *path)
{
    struct name *n = find(d, path);
    OX_ASSERT(n != NULL);
    inode_drop(n->seen);
    inode_drop(n->durable);
    n->seen = n->durable = NULL;
}
