/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/audit.c - one line of JSON per act or attempt, durable before the act.
 *
 * Owns:    see include/ox/audit.h.
 * Threads: `lock` is held over the write: entries stand in the order in which they became durable.
 * Bounds:  see there.
 * Fails:   IO, DISK_FULL, NOMEM.
 */
#include "ox/audit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/buf.h"
#include "ox/lock.h"
#include "ox/otlp.h"

struct ox_audit {
    struct ox_disk *disk;
    const struct ox_clock *clock;
    char path[OX_DISK_PATH_MAX];
    pthread_mutex_t lock;
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
    ox_buf_printf(out, "{\"time\":\"%s\"", time);
    put_str(out, "who", e->who.credential);
    put_str(out, "peer", e->who.peer);
    put_str(out, "role", e->who.role);
    put_str(out, "action", e->action);
    put_str(out, "tenant", e->tenant);
    ox_buf_printf(out, ",\"count\":%u", e->count);
    put_str(out, "outcome", e->outcome);
    put_str(out, "detail", e->detail);
    if (a->suppressed > 0)
        ox_buf_printf(out, ",\"refused_before_and_not_listed\":%llu", (unsigned long long)a->suppressed);
    ox_buf_append_cstr(out, "}\n");
}

static ox_err
sync_dir(const struct ox_audit *a)
{
    char dir[OX_DISK_PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", a->path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        return ox_disk_fsync_dir(a->disk, ".");
    *slash = '\0';
    return ox_disk_fsync_dir(a->disk, dir);
}

static ox_err
append(struct ox_audit *a, const struct ox_buf *line)
{
    uint64_t size = 0;
    size_t n = 0;
    char last = '\n';
    int fd;
    ox_err err = ox_disk_open(a->disk, a->path, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(a->disk, fd, &size);
    bool fresh = size == 0;
    if (err == OX_OK && !fresh)
        err = ox_disk_pread(a->disk, fd, &last, 1, size - 1, &n);
    if (err == OX_OK && last != '\n') /* a write that failed halfway must not swallow this line */
        err = ox_disk_write_all(a->disk, fd, "\n", 1, size++);
    if (err == OX_OK)
        err = ox_disk_write_all(a->disk, fd, line->data, line->len, size);
    if (err == OX_OK)
        err = ox_disk_fdatasync(a->disk, fd);
    ox_disk_close(a->disk, fd);
    return err == OX_OK && fresh ? sync_dir(a) : err;
}

ox_err
ox_audit_write(struct ox_audit *a, const struct ox_audit_entry *entry)
{
    struct ox_buf line;
    ox_err err = OX_OK;
    ox_buf_init(&line);
    ox_lock(&a->lock);
    if (!entry->unauthorised || has_room(a)) {
        put_line(a, entry, &line);
        err = line.failed ? OX_E_NOMEM : append(a, &line);
        if (err == OX_OK)
            a->suppressed = 0;
    }
    ox_unlock(&a->lock);
    ox_buf_fini(&line);
    return err;
}
