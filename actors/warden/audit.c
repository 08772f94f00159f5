/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/audit.c - one line of JSON per act or attempt, durable before the act, chained to the one before.
 *
 * Owns:    see include/ox/audit.h.
 * Threads: `lock` is held over the write: entries stand in the order in which they became durable.
 * Bounds:  see there.
 * Fails:   IO, DISK_FULL, NOMEM.
 *
 * First the line is durable, then the head that says that it is the newest one. After a crash the head may be one line
 * behind, never before; nor further behind, since a head that could not be written is written before the next line. A line whose write failed was never acknowledged: the next one takes its place. What is found at
 * the first write and is no line of the chain stays, and the next line says so (audit_chain.h).
 */
#include "ox/audit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/warden/audit_chain.h"
#include "ox/buf.h"
#include "ox/lock.h"
#include "ox/log.h"
#include "ox/otlp.h"

struct ox_audit {
    struct ox_disk *disk;
    const struct ox_clock *clock;
    char path[OX_DISK_PATH_MAX];
    pthread_mutex_t lock; /* of all that follows */
    bool resumed;         /* chain and size are those of the file */
    struct ox__audit_chain chain;
    bool head_owed;     /* it could not be written: the newest line is in no head */
    uint64_t size;      /* what was acknowledged */
    uint64_t window_ns; /* when the present window began */
    uint32_t refused;   /* lines in it */
    uint64_t suppressed;
};

struct ox_audit *
ox_audit_open(struct ox_disk *disk, const char *path, const struct ox_clock *clock)
{
    struct ox_audit *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->disk = disk;
    a->clock = clock;
    snprintf(a->path, sizeof(a->path), "%s", path);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void
ox_audit_close(struct ox_audit *a)
{
    if (a == NULL)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* False: this one is only counted. */
static bool
has_room(struct ox_audit *a)
{
    uint64_t now_ns = ox_clock_monotonic_ns(a->clock);
    if (a->window_ns == 0 || now_ns - a->window_ns >= (uint64_t)OX_AUDIT_WINDOW_S * 1000000000) {
        a->window_ns = now_ns;
        a->refused = 0;
    }
    if (a->refused >= OX_AUDIT_REFUSED_MAX) {
        a->suppressed++;
        return false;
    }
    a->refused++;
    return true;
}

static void
put_str(struct ox_buf *out, const char *key, const char *value)
{
    ox_buf_printf(out, ",\"%s\":", key);
    ox_json_string(out, ox_str_of(value != NULL ? value : ""));
}

static void
put_line(const struct ox_audit *a, const struct ox_audit_entry *e, struct ox_buf *out)
{
    char time[OX_RFC3339_LEN + 1];
    ox_clock_rfc3339(ox_clock_realtime_ns(a->clock), time);
    ox__audit_chain_open_line(&a->chain, out);
    ox_buf_printf(out, ",\"time\":\"%s\"", time);
    put_str(out, "who", e->who.credential);
    put_str(out, "peer", e->who.peer);
    put_str(out, "role", e->who.role);
    put_str(out, "action", e->action);
    put_str(out, "tenant", e->tenant);
    ox_buf_printf(out, ",\"count\":%u", e->count);
    put_str(out, "outcome", e->outcome);
    put_str(out, "detail", e->detail);
    if (e->before != NULL)
        put_str(out, "before", e->before);
    if (e->after != NULL)
        put_str(out, "after", e->after);
    if (a->suppressed > 0)
        ox_buf_printf(out, ",\"refused_before_and_not_listed\":%llu", (unsigned long long)a->suppressed);
    ox__audit_chain_close_line(out);
}

static ox_err
sync_dir(const struct ox_audit *a)
{
    char dir[OX_DISK_PATH_MAX];
    ox__audit_dir(a->path, dir);
    return ox_disk_fsync_dir(a->disk, dir);
}

/* ---- where the chain is ---- */

/* The head is ahead of the log when lines are gone: the chain goes on behind the head, so that the hole stays
 * visible. */
static void
mind_head(struct ox_audit *a)
{
    uint64_t seq;
    char hash[OX_AUDIT_HASH_LEN + 1];
    ox_err err = ox__audit_head_read(a->disk, a->path, &seq, hash);
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        OX_LOG_ERROR("audit",
                     "what says where the audit log ends cannot be read; observex audit verify tells more",
                     OX_F_ERR(err));
    if (err != OX_OK || seq <= a->chain.seq)
        return;
    OX_LOG_ERROR("audit", "the audit log lacks lines that were in it; observex audit verify tells more",
                 OX_F_U64("last", a->chain.seq), OX_F_U64("head", seq));
    a->chain.seq = seq;
    memcpy(a->chain.hash, hash, sizeof(hash));
}

static ox_err
write_head(struct ox_audit *a)
{
    char path[OX_DISK_PATH_MAX], text[OX__AUDIT_HEAD_BYTES + 1];
    int fd;
    uint64_t size = 0;
    ox__audit_head_path(a->path, path);
    ox__audit_head_print(a->chain.seq, a->chain.hash, text);
    ox_err err = ox_disk_open(a->disk, path, OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd);
    a->head_owed = err != OX_OK;
    if (err != OX_OK)
        return err;
    err = ox_disk_size(a->disk, fd, &size);
    if (err == OX_OK)
        err = ox_disk_write_all(a->disk, fd, text, OX__AUDIT_HEAD_BYTES, 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(a->disk, fd);
    ox_disk_close(a->disk, fd);
    if (err == OX_OK && size == 0)
        err = sync_dir(a);
    a->head_owed = err != OX_OK;
    return err;
}

static ox_err
resume(struct ox_audit *a)
{
    ox__audit_chain_init(&a->chain, false);
    ox_err err = ox__audit_resume(a->disk, a->path, &a->chain, &a->size);
    if (err != OX_OK)
        return err;
    mind_head(a);
    if (a->chain.seq == 0) /* there is one before there is a line, so that a lost one is always noticed */
        err = write_head(a);
    a->resumed = err == OX_OK;
    return err;
}

/* Also when somebody has changed the file meanwhile. */
static ox_err
find_end(struct ox_audit *a, int fd)
{
    uint64_t size = 0;
    ox_err err = ox_disk_size(a->disk, fd, &size);
    if (err == OX_OK && (!a->resumed || size < a->size))
        return resume(a);
    if (err == OX_OK && size > a->size) /* of a line whose write failed */
        err = ox_disk_ftruncate(a->disk, fd, a->size);
    return err;
}

/* Whether there is a file already of the name that this one would get: then no line of this one is in the chain. */
static bool
is_taken(struct ox_audit *a, const char *path)
{
    int fd;
    if (ox_disk_open(a->disk, path, OX_DISK_READ, 0, &fd) != OX_OK)
        return false;
    ox_disk_close(a->disk, fd);
    return true;
}

/* A file that is full gets another name, and the chain goes on in a new one. No file is lost for it: what somebody has filled
 * with other lines takes one of the chain first. */
static ox_err
rotate(struct ox_audit *a)
{
    char to[OX_DISK_PATH_MAX];
    ox__audit_segment_path(a->path, a->chain.seq, to);
    if (is_taken(a, to))
        return OX_OK;
    ox_err err = ox_disk_rename(a->disk, a->path, to);
    if (err == OX_OK)
        err = sync_dir(a);
    a->resumed = err == OX_OK;
    a->size = 0;
    return err;
}

/* ---- a line ---- */

static ox_err
open_end(struct ox_audit *a, int *fd)
{
    const unsigned flags = OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE;
    ox_err err = ox_disk_open(a->disk, a->path, flags, 0600, fd);
    if (err != OX_OK)
        return err;
    err = find_end(a, *fd);
    if (err == OX_OK && a->size < OX_AUDIT_SEGMENT_BYTES)
        return OX_OK;
    ox_disk_close(a->disk, *fd);
    if (err == OX_OK)
        err = rotate(a);
    return err == OX_OK ? ox_disk_open(a->disk, a->path, flags, 0600, fd) : err;
}

/* A cut-off line must not swallow this one: it gets its end, which is as much of no chain as the rest of it. */
static ox_err
end_cut_off(struct ox_audit *a, int fd)
{
    char last = '\n';
    ox_err err = a->chain.loose_bytes > 0 && a->size > 0
                     ? ox_disk_read_all(a->disk, fd, &last, 1, a->size - 1)
                     : OX_OK;
    if (err != OX_OK || last == '\n')
        return err;
    err = ox_disk_write_all(a->disk, fd, "\n", 1, a->size);
    if (err == OX_OK) /* first: the line that vouches for it must not be there without it */
        err = ox_disk_fdatasync(a->disk, fd);
    if (err != OX_OK)
        return err;
    a->size++;
    (void)ox__audit_chain_take(&a->chain, OX_STR(""), true);
    return OX_OK;
}

static ox_err
append(struct ox_audit *a, int fd, const struct ox_audit_entry *entry)
{
    struct ox_buf line;
    bool fresh = a->size == 0;
    ox_buf_init(&line);
    ox_err err = end_cut_off(a, fd);
    if (err == OX_OK) {
        put_line(a, entry, &line);
        err = line.failed ? OX_E_NOMEM : ox_disk_write_all(a->disk, fd, line.data, line.len, a->size);
    }
    if (err == OX_OK)
        err = ox_disk_fdatasync(a->disk, fd);
    if (err == OX_OK && fresh)
        err = sync_dir(a);
    if (err == OX_OK) {
        a->size += line.len;
        (void)ox__audit_chain_take(&a->chain, (struct ox_str){(const char *)line.data, line.len - 1}, true);
        err = write_head(a);
    }
    ox_buf_fini(&line);
    return err;
}

static ox_err
write_entry(struct ox_audit *a, const struct ox_audit_entry *entry)
{
    int fd;
    ox_err err = a->head_owed && a->resumed ? write_head(a) : OX_OK;
    if (err == OX_OK)
        err = open_end(a, &fd);
    if (err != OX_OK)
        return err;
    err = append(a, fd, entry);
    ox_disk_close(a->disk, fd);
    if (err == OX_OK)
        a->suppressed = 0;
    return err;
}

ox_err
ox_audit_write(struct ox_audit *a, const struct ox_audit_entry *entry)
{
    ox_err err = OX_OK;
    ox_lock(&a->lock);
    if (!entry->unauthorised || has_room(a))
        err = write_entry(a, entry);
    ox_unlock(&a->lock);
    return err;
}

ox_err
ox_audit_read_own(struct ox_audit *a, const struct ox_audit_known *known, struct ox_audit_report *report,
                  struct ox_diag *diag)
{
    return ox_audit_read(a->disk, a->path, known, report, diag);
}
