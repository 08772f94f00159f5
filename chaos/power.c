/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/power.c - undoes what was not synced, newest first.
 *
 * One pass over the log finds what is still pending: a change that was done before a sync began which succeeded is
 * durable (content by a sync of its file; names see power.h). A second pass goes backwards over the pending ones:
 * written ranges get their old bytes, files their old length, names their old place. Directories and files are found by
 * inode, since they may have been renamed after the change; one that is gone for good needs no undoing.
 *
 * Owns:    descriptors of the directories and files concerned, for one call.
 * Threads: see power.h.
 */
#include "chaos/power.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/server.h"
#include "chaos/shim.h"

#define PAGE_BYTES 4096u
#define MAP_FIRST  4096u

/* A change that is in the log. */
struct change {
    const struct shim_record *r;
    uint64_t ino;  /* of the new thing, when it is known */
    uint64_t done; /* position of DONE; 0 = it never came */
    bool pending, kept;
};

/* inode -> descriptor, or id -> index. */
struct map {
    struct slot {
        uint64_t key;
        int64_t value;
    } * slots;
    size_t cap, n;
};

struct work {
    struct chaos_power *p;
    struct change *changes;
    size_t n, cap;
    struct map by_id; /* id of a change -> its index; id of a SYNC -> its position */
    struct map files; /* inode -> fd; -1 = wanted */
    struct map dirs;  /* inode -> fd */
    size_t first;     /* below it nothing is pending */
    int graves;
    uint64_t last_ns;
};

/* ---- map: open addressing, keys are never 0 ---- */

static struct slot *
slot_of(const struct map *m, uint64_t key)
{
    size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (m->cap - 1);
    while (m->slots[i].key != 0 && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void
map_set(struct map *m, uint64_t key, int64_t value)
{
    if (m->n * 2 >= m->cap) {
        struct map big = {.cap = m->cap != 0 ? m->cap * 2 : MAP_FIRST};
        big.slots = calloc(big.cap, sizeof(*big.slots));
        OX_ASSERT(big.slots != NULL);
        for (size_t i = 0; i < m->cap; i++) {
            if (m->slots[i].key != 0)
                *slot_of(&big, m->slots[i].key) = m->slots[i];
        }
        big.n = m->n;
        free(m->slots);
        *m = big;
    }
    struct slot *s = slot_of(m, key);
    m->n += s->key == 0;
    *s = (struct slot){key, value};
}

static bool
map_get(const struct map *m, uint64_t key, int64_t *value)
{
    struct slot *s = m->cap != 0 && key != 0 ? slot_of(m, key) : NULL;
    if (s == NULL || s->key == 0)
        return false;
    *value = s->value;
    return true;
}

static void
map_close(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].key != 0 && m->slots[i].value >= 0)
            close((int)m->slots[i].value);
    }
    free(m->slots);
}

/* ---- first pass: what is pending ---- */

static bool
is_content(const struct shim_record *r)
{
    return r->kind == SHIM_R_WRITE || r->kind == SHIM_R_TRUNCATE;
}

static bool
made_durable(const struct work *w, const struct change *c, const struct shim_record *sync)
{
    if (is_content(c->r))
        return c->r->ino == sync->ino;
    if (!w->p->strict)
        return true;
    bool two = c->r->kind == SHIM_R_RENAME || c->r->kind == SHIM_R_EXCHANGE;
    return sync->ino == (two ? c->r->off : c->r->ino);
}

static void
take_synced(struct work *w, uint64_t began, const struct shim_record *sync)
{
    for (size_t i = w->first; i < w->n; i++) {
        struct change *c = &w->changes[i];
        if (c->pending && c->done != 0 && c->done < began && made_durable(w, c, sync))
            c->pending = false;
    }
    while (w->first < w->n && !w->changes[w->first].pending)
        w->first++;
}

/* A new file with the number of one that is gone: what was pending for that one is moot. */
static void
forget_inode(struct work *w, uint64_t ino, size_t upto)
{
    for (size_t i = w->first; i < upto; i++) {
        struct change *c = &w->changes[i];
        if (is_content(c->r) && c->r->ino == ino)
            c->pending = false;
    }
}

static void
take_done(struct work *w, const struct shim_record *r, uint64_t pos)
{
    int64_t i;
    if (!map_get(&w->by_id, r->id, &i))
        return;
    struct change *c = &w->changes[i];
    c->done = pos;
    c->ino = r->ino;
    if (r->off != 0)
        c->pending = false; /* it failed */
    if (c->r->kind == SHIM_R_CREATE && r->ino != 0 && r->off == 0)
        forget_inode(w, r->ino, (size_t)i);
}

static void
take_change(struct work *w, const struct shim_record *r)
{
    if (w->n == w->cap) {
        w->cap = w->cap != 0 ? w->cap * 2 : MAP_FIRST;
        w->changes = realloc(w->changes, w->cap * sizeof(*w->changes));
        OX_ASSERT(w->changes != NULL);
    }
    map_set(&w->by_id, r->id, (int64_t)w->n);
    w->changes[w->n++] = (struct change){.r = r, .pending = true};
}

static void
take_record(struct work *w, const uint8_t *log, const struct shim_record *r)
{
    uint64_t pos = (uint64_t)((const uint8_t *)r - log) + 1;
    int64_t began;
    w->last_ns = r->time_ns;
    switch (r->kind) {
    case SHIM_R_DONE:
        take_done(w, r, pos);
        break;
    case SHIM_R_SYNC:
        map_set(&w->by_id, r->id, (int64_t)pos);
        break;
    case SHIM_R_SYNCED:
        if (map_get(&w->by_id, r->id, &began))
            take_synced(w, (uint64_t)began, (const struct shim_record *)(log + began - 1));
        break;
    default:
        take_change(w, r);
    }
}

static const char *
bytes_of(const struct shim_record *r)
{
    return (const char *)(r + 1);
}

/* False where the log is not one; a torn record at its end is none. */
static bool
read_log(struct work *w, const uint8_t *log, size_t n)
{
    size_t at = 0;
    while (at + sizeof(struct shim_record) <= n) {
        const struct shim_record *r = (const struct shim_record *)(log + at);
        if (r->magic != SHIM_MAGIC) {
            snprintf(w->p->why, sizeof(w->p->why), "%s/%s is broken at byte %zu", w->p->shim, SHIM_LOG, at);
            return false;
        }
        size_t all = sizeof(*r) + r->name_n + r->other_n + r->bytes_n;
        if (at + all > n)
            break;
        take_record(w, log, r);
        at += (all + 7) / 8 * 8;
    }
    return true;
}

/* ---- what survives by chance ---- */

static void
age(struct work *w)
{
    for (size_t i = w->first; i < w->n; i++) {
        struct change *c = &w->changes[i];
        if (c->pending && c->done != 0 &&
            w->last_ns - c->r->time_ns > CHAOS_WRITEBACK_MS * UINT64_C(1000000)) {
            c->pending = false;
            w->p->aged++;
        }
    }
}

/* Names survive up to some moment, in the order in which they were changed. */
static void
keep_names(struct work *w)
{
    uint64_t names = 0;
    for (size_t i = w->first; i < w->n; i++)
        names += w->changes[i].pending && !is_content(w->changes[i].r);
    uint64_t keep = w->p->rnd != NULL ? ox_random_below(w->p->rnd, names + 1) : 0;
    for (size_t i = w->first; i < w->n && keep > 0; i++) {
        struct change *c = &w->changes[i];
        if (!c->pending || is_content(c->r))
            continue;
        c->kept = true;
        w->p->kept++;
        keep--;
    }
}

static bool
page_survives(const struct work *w)
{
    return w->p->rnd != NULL && ox_random_below(w->p->rnd, 2) == 0;
}

/* ---- finding things by inode ---- */

static void
want(struct work *w)
{
    for (size_t i = w->first; i < w->n; i++) {
        if (w->changes[i].pending && is_content(w->changes[i].r))
            map_set(&w->files, w->changes[i].r->ino, -1);
    }
}

static void
walk(struct work *w, int fd)
{
    DIR *dir = fdopendir(dup(fd));
    struct dirent *e;
    int64_t value;
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (sub < 0)
                continue;
            map_set(&w->dirs, st.st_ino, sub);
            walk(w, sub);
        } else if (S_ISREG(st.st_mode) && map_get(&w->files, st.st_ino, &value) && value < 0) {
            map_set(&w->files, st.st_ino, openat(fd, e->d_name, O_RDWR | O_CLOEXEC));
        }
    }
    if (dir != NULL)
        closedir(dir);
}

static bool
open_all(struct work *w)
{
    char graves[512];
    struct stat st;
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
    snprintf(graves, sizeof(graves), "%s/%s", w->p->shim, SHIM_GRAVES);
    int data = open(w->p->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    w->graves = open(graves, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (data < 0 || w->graves < 0 || fstat(data, &st) != 0) {
        snprintf(w->p->why, sizeof(w->p->why), "%s or %s: %s", w->p->data, graves, strerror(errno));
        return false;
    }
    want(w);
    map_set(&w->dirs, st.st_ino, data);
    walk(w, data);
    walk(w, w->graves);
    return true;
}

/* ---- second pass ---- */

static uint64_t
size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void
put_back(int fd, const char *bytes, uint64_t off, size_t n)
{
    static const char zeros[PAGE_BYTES];
    while (n > 0) {
        size_t part = n < PAGE_BYTES ? n : PAGE_BYTES;
        ssize_t done = pwrite(fd, bytes != NULL ? bytes : zeros, part, (off_t)off);
        OX_ASSERT(done > 0);
        n -= (size_t)done;
        off += (uint64_t)done;
        bytes = bytes != NULL ? bytes + done : NULL;
    }
}

/* The pages of the range that stood in the file before. */
static void
undo_range(struct work *w, int fd, const struct shim_record *r, uint64_t to)
{
    const char *bytes = r->zeros ? NULL : bytes_of(r) + r->name_n + r->other_n;
    for (uint64_t at = r->off; at < to;) {
        uint64_t end = (at / PAGE_BYTES + 1) * PAGE_BYTES;
        end = end < to ? end : to;
        if (page_survives(w)) {
            w->p->kept++;
        } else {
            put_back(fd, bytes != NULL ? bytes + (at - r->off) : NULL, at, (size_t)(end - at));
            w->p->bytes_forgotten += end - at;
        }
        at = end;
    }
}

/* What was behind the old end: cut off, or holes where the new length survives or something later stands behind it. */
static void
undo_growth(struct work *w, int fd, const struct shim_record *r)
{
    uint64_t end = r->off + r->len, now = size_of(fd), from = r->size > r->off ? r->size : r->off;
    if (end <= r->size || now <= r->size)
        return;
    if (now <= end && !page_survives(w)) {
        OX_ASSERT(ftruncate(fd, (off_t)r->size) == 0);
        w->p->bytes_forgotten += end - from;
        return;
    }
    for (uint64_t at = from; at < end && at < now;) {
        uint64_t stop = (at / PAGE_BYTES + 1) * PAGE_BYTES;
        stop = stop < end ? stop : end;
        stop = stop < now ? stop : now;
        if (page_survives(w)) {
            w->p->kept++;
        } else {
            put_back(fd, NULL, at, (size_t)(stop - at));
            w->p->bytes_forgotten += stop - at;
        }
        at = stop;
    }
}

static void
undo_content(struct work *w, const struct change *c)
{
    const struct shim_record *r = c->r;
    int64_t fd;
    if (!map_get(&w->files, r->ino, &fd) || fd < 0)
        return;
    w->p->writes_forgotten++;
    if (r->kind == SHIM_R_WRITE) {
        uint64_t end = r->off + r->len;
        undo_growth(w, (int)fd, r);
        undo_range(w, (int)fd, r, end < r->size ? end : r->size);
    } else if (!page_survives(w)) {
        OX_ASSERT(ftruncate((int)fd, (off_t)r->size) == 0);
        if (r->off < r->size && !r->zeros)
            put_back((int)fd, bytes_of(r) + r->name_n + r->other_n, r->off, (size_t)(r->size - r->off));
    }
}

static void
name_of(const char *from, uint32_t n, char out[256])
{
    snprintf(out, 256, "%.*s", (int)n, from);
}

static bool
dir_of(const struct work *w, uint64_t ino, int *fd)
{
    int64_t value;
    bool ok = map_get(&w->dirs, ino, &value) && value >= 0;
    *fd = ok ? (int)value : -1;
    return ok;
}

/* The name still is what the change made of it. */
static bool
is_there(int dir, const char *name, uint64_t ino)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (ino == 0 || st.st_ino == ino);
}

static void
remove_tree(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_tree(fd, e->d_name);
    }
    if (d != NULL)
        closedir(d);
    if (unlinkat(dir, name, d != NULL ? AT_REMOVEDIR : 0) != 0)
        fprintf(stderr, "chaos: power: %s stays: %s\n", name, strerror(errno));
}

static void
raise_from_grave(struct work *w, uint64_t id, int dir, const char *name, bool must)
{
    char grave[32];
    snprintf(grave, sizeof(grave), "%016llx", (unsigned long long)id);
    if (renameat(w->graves, grave, dir, name) != 0 && must)
        w->p->files_gone++;
}

static void
undo_rename(struct work *w, const struct change *c, int dir, const char *name)
{
    char other[256];
    int to;
    name_of(bytes_of(c->r) + c->r->name_n, c->r->other_n, other);
    if (!dir_of(w, c->r->off, &to) || !is_there(to, other, c->ino))
        return;
    bool swap = c->r->kind == SHIM_R_EXCHANGE;
    if (renameat2(to, other, dir, name, swap ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0)
        fprintf(stderr, "chaos: power: %s does not go back to %s: %s\n", other, name, strerror(errno));
    if (!swap)
        raise_from_grave(w, c->r->id, to, other, false);
}

static void
undo_rmdir(struct work *w, const struct change *c, int dir, const char *name)
{
    if (mkdirat(dir, name, 0700) == 0)
        map_set(&w->dirs, c->r->off, openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void
undo_name(struct work *w, const struct change *c)
{
    char name[256];
    int dir;
    name_of(bytes_of(c->r), c->r->name_n, name);
    if (!dir_of(w, c->r->ino, &dir))
        return;
    w->p->names_forgotten++;
    switch (c->r->kind) {
    case SHIM_R_CREATE:
    case SHIM_R_MKDIR:
        if (is_there(dir, name, c->ino))
            remove_tree(dir, name);
        break;
    case SHIM_R_UNLINK:
        if (!is_there(dir, name, 0))
            raise_from_grave(w, c->r->id, dir, name, c->done != 0);
        break;
    case SHIM_R_RMDIR:
        undo_rmdir(w, c, dir, name);
        break;
    default:
        undo_rename(w, c, dir, name);
    }
}

static void
undo(struct work *w)
{
    for (size_t i = w->n; i-- > w->first;) {
        struct change *c = &w->changes[i];
        if (!c->pending || c->kept)
            continue;
        if (is_content(c->r))
            undo_content(w, c);
        else
            undo_name(w, c);
    }
}

/* ---- whole ---- */

void
chaos_power_forget(const char *shim)
{
    char cmd[1100];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s/%s' '%s/%s'; mkdir -p '%s/%s'", shim, SHIM_LOG, shim, SHIM_GRAVES,
             shim, SHIM_GRAVES);
    if (system(cmd) != 0)
        fprintf(stderr, "chaos: %s failed\n", cmd);
}

static bool
cut(struct work *w, const uint8_t *log, size_t n)
{
    if (!read_log(w, log, n))
        return false;
    age(w);
    keep_names(w);
    if (!open_all(w))
        return false;
    undo(w);
    return true;
}

bool
chaos_power_cut(struct chaos_power *p)
{
    struct work w = {.p = p, .graves = -1};
    char path[512];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", p->shim, SHIM_LOG);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(p->why, sizeof(p->why), "%s: %s; is the shim preloaded?", path, strerror(errno));
        return false;
    }
    void *log = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    OX_ASSERT(log != MAP_FAILED);
    bool ok = cut(&w, log, (size_t)st.st_size);
    if (log != NULL)
        munmap(log, (size_t)st.st_size);
    map_close(&w.files);
    map_close(&w.dirs);
    free(w.by_id.slots);
    free(w.changes);
    if (w.graves >= 0)
        close(w.graves);
    chaos_power_forget(p->shim);
    return ok;
}
