/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/dead_letter.c - the dead-letter file: append, rotate, expire. Lines: dead_letter_line.c.
 *
 * Owns:    DIR/dlq/dlq.jsonl while open, and the list of rotated files.
 * Threads: any that may block: one lock around each call.
 * Bounds:  file_bytes_max, total_bytes_max, keep_ns, FILES_MAX.
 * Fails:   OX_E_IO, OX_E_DISK_FULL, OX_E_NOMEM.
 * Flow:    gateway and writer -> dirty thread -> here; before the request is acknowledged, since the reply says that
 *          the record was refused and kept.
 *
 * A rotated file is dlq-<unix_ns>.jsonl, unix_ns being when it was closed, so that name order is age order. It goes
 * when its newest line may be older than keep_ns. The current file is closed once its oldest line is older than a
 * seventh of that, so a line is kept for keep_ns at least and, when ox_dead_letter_expire is called now and then, for
 * 8/7 of it at most, also when no new ones come.
 */
#include "ox/dead_letter.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/disk.h"
#include "ox/lock.h"

#define NS_PER_DAY (86400ull * 1000000000ull)
/* More rotated files than this are not kept: a bound for the list, far above total / file size. */
#define FILES_MAX    1024
#define NAME_CURRENT "dlq.jsonl"
#define CHUNK_BYTES  16384
/* Parts of keep_ns after which the current file is closed: a day of the week that is the default. */
#define KEEP_PARTS 7
/* Bytes of a line that hold its time; see dead_letter_line.c. */
#define HEAD_BYTES 128

struct rotated {
    uint64_t closed_ns;
    uint64_t oldest_ns; /* time of the first line; closed_ns when it names none */
    uint64_t bytes;
};

struct ox_dead_letter {
    struct ox_disk *disk;
    struct ox_dead_letter_config config;
    pthread_mutex_t lock; /* over everything below, also while the disk works */
    int fd;
    uint64_t bytes;                  /* of the current file */
    uint64_t oldest_ns;              /* time of its first line; 0 = empty, or not known yet */
    bool damaged;                    /* a failed write was not cut back yet: nothing is appended before */
    struct rotated files[FILES_MAX]; /* oldest first */
    uint32_t n_files;
    uint64_t dropped_bytes;
    char dir[OX_DISK_PATH_MAX];
    char path[OX_DISK_PATH_MAX];
};

void
ox_dead_letter_config_default(struct ox_dead_letter_config *config)
{
    *config = (struct ox_dead_letter_config){
        .file_bytes_max = 100ull * 1000 * 1000,
        .total_bytes_max = 1000ull * 1000 * 1000,
        .keep_ns = 7 * NS_PER_DAY,
    };
}

static bool
rotated_path(const struct ox_dead_letter *dl, uint64_t closed_ns, char *path)
{
    int n = snprintf(path, OX_DISK_PATH_MAX, "%s/dlq-%" PRIu64 ".jsonl", dl->dir, closed_ns);
    return n > 0 && n < OX_DISK_PATH_MAX;
}

static ox_err
remove_oldest(struct ox_dead_letter *dl)
{
    char path[OX_DISK_PATH_MAX];
    OX_ASSERT(dl->n_files > 0);
    if (!rotated_path(dl, dl->files[0].closed_ns, path))
        return OX_E_INTERNAL;
    ox_err err = ox_disk_unlink(dl->disk, path);
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        return err;
    dl->dropped_bytes += dl->files[0].bytes;
    dl->n_files--;
    memmove(dl->files, dl->files + 1, dl->n_files * sizeof(dl->files[0]));
    return OX_OK;
}

static void
insert_file(struct ox_dead_letter *dl, struct rotated file)
{
    if (dl->n_files == FILES_MAX) {
        /* The oldest stays on disk until the next start finds it among fewer; the newest must be known, since
         * the next name is made from it. */
        if (file.closed_ns < dl->files[0].closed_ns)
            return;
        dl->n_files--;
        memmove(dl->files, dl->files + 1, dl->n_files * sizeof(dl->files[0]));
    }
    uint32_t at = dl->n_files;
    while (at > 0 && dl->files[at - 1].closed_ns > file.closed_ns) {
        dl->files[at] = dl->files[at - 1];
        at--;
    }
    dl->files[at] = file;
    dl->n_files++;
}

/* The time of the first line of an open file of `bytes`; 0 when it names none. */
static ox_err
first_time(struct ox_disk *disk, int fd, uint64_t bytes, uint64_t *time_ns)
{
    static const char member[] = "\"time_ns\":\"";
    char head[HEAD_BYTES + 1];
    size_t n = bytes < HEAD_BYTES ? (size_t)bytes : HEAD_BYTES;
    *time_ns = 0;
    if (n == 0)
        return OX_OK;
    ox_err err = ox_disk_read_all(disk, fd, head, n, 0);
    if (err != OX_OK)
        return err;
    head[n] = '\0'; /* a line holds no zero of its own */
    const char *at = strstr(head, member);
    if (at != NULL)
        *time_ns = strtoull(at + strlen(member), NULL, 10);
    return OX_OK;
}

static ox_err
measure(struct ox_dead_letter *dl, struct rotated *file)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    if (!rotated_path(dl, file->closed_ns, path))
        return OX_E_INTERNAL;
    ox_err err = ox_disk_open(dl->disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(dl->disk, fd, &file->bytes);
    if (err == OX_OK)
        err = first_time(dl->disk, fd, file->bytes, &file->oldest_ns);
    ox_disk_close(dl->disk, fd);
    if (file->oldest_ns == 0 || file->oldest_ns > file->closed_ns)
        file->oldest_ns = file->closed_ns;
    return err;
}

/* Listing callback: notes the names that are ours; sizes are read afterwards. Ours is only what we would write
 * ourselves: "dlq-007.jsonl", put there by somebody, would be looked for as dlq-7.jsonl and keep the program
 * from starting; a time that no clock shows would leave no later name for the next file. */
static bool
note_name(void *arg, const char *name)
{
    struct ox_dead_letter *dl = arg;
    char ours[OX_DISK_PATH_MAX];
    uint64_t closed_ns;
    if (sscanf(name, "dlq-%" SCNu64 ".jsonl", &closed_ns) != 1 || closed_ns > INT64_MAX)
        return true;
    if (rotated_path(dl, closed_ns, ours) && strcmp(strrchr(ours, '/') + 1, name) == 0)
        insert_file(dl, (struct rotated){.closed_ns = closed_ns});
    return true;
}

static ox_err
find_files(struct ox_dead_letter *dl)
{
    ox_err err = ox_disk_list(dl->disk, dl->dir, note_name, dl);
    for (uint32_t i = 0; i < dl->n_files && err == OX_OK; i++)
        err = measure(dl, &dl->files[i]);
    return err;
}

static ox_err
open_current(struct ox_dead_letter *dl)
{
    ox_err err =
        ox_disk_open(dl->disk, dl->path, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE, 0600, &dl->fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(dl->disk, dl->fd, &dl->bytes);
    if (err == OX_OK)
        err = ox_disk_fsync_dir(dl->disk, dl->dir);
    if (err != OX_OK) {
        ox_disk_close(dl->disk, dl->fd);
        dl->fd = -1;
    }
    return err;
}

/* A crash may have left half a line, or zeros where pages of the last append did not reach the disk (no line
 * holds a zero): what stands from there on was never acknowledged and is cut off. */
static ox_err
cut_torn_line(struct ox_dead_letter *dl)
{
    uint64_t end = 0;
    char chunk[CHUNK_BYTES];
    for (uint64_t at = 0; at < dl->bytes; at += sizeof(chunk)) {
        size_t n = dl->bytes - at < sizeof(chunk) ? (size_t)(dl->bytes - at) : sizeof(chunk);
        ox_err err = ox_disk_read_all(dl->disk, dl->fd, chunk, n, at);
        if (err != OX_OK)
            return err;
        const char *zero = memchr(chunk, '\0', n);
        const char *newline = memrchr(chunk, '\n', zero != NULL ? (size_t)(zero - chunk) : n);
        if (newline != NULL)
            end = at + (uint64_t)(newline - chunk) + 1;
        if (zero != NULL)
            break;
    }
    if (end == dl->bytes)
        return OX_OK;
    dl->dropped_bytes += dl->bytes - end;
    dl->bytes = end;
    return ox_disk_ftruncate(dl->disk, dl->fd, end);
}

ox_err
ox_dead_letter_open(struct ox_disk *disk, const char *dir, const struct ox_dead_letter_config *config,
                    struct ox_dead_letter **out, struct ox_diag *diag)
{
    struct ox_dead_letter *dl = calloc(1, sizeof(*dl));
    if (dl == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the dead-letter file of \"%s\"", dir);
    dl->disk = disk;
    dl->config = *config;
    dl->fd = -1;
    pthread_mutex_init(&dl->lock, NULL);
    int n = snprintf(dl->path, sizeof(dl->path), "%s/" NAME_CURRENT, dir);
    /* Room for the longer names of rotated files too. */
    ox_err err = n > 0 && (size_t)n + 32 < sizeof(dl->path) ? OX_OK : OX_E_TOO_LARGE;
    if (err == OX_OK) {
        memcpy(dl->dir, dir, strlen(dir) + 1);
        err = ox_disk_ensure_dir(disk, dir);
    }
    if (err == OX_OK)
        err = find_files(dl);
    if (err == OX_OK)
        err = open_current(dl);
    if (err == OX_OK)
        err = cut_torn_line(dl);
    if (err == OX_OK)
        err = first_time(disk, dl->fd, dl->bytes, &dl->oldest_ns);
    if (err != OX_OK) {
        ox_dead_letter_close(dl);
        return ox_diag_set(diag, err, NULL, -1, "the dead-letter file in \"%s\" cannot be opened: %s", dir,
                           ox_err_text(err));
    }
    *out = dl;
    return OX_OK;
}

void
ox_dead_letter_close(struct ox_dead_letter *dl)
{
    if (dl == NULL)
        return;
    if (dl->fd >= 0)
        ox_disk_close(dl->disk, dl->fd);
    pthread_mutex_destroy(&dl->lock);
    free(dl);
}

static uint64_t
total_bytes(const struct ox_dead_letter *dl)
{
    uint64_t total = dl->bytes;
    for (uint32_t i = 0; i < dl->n_files; i++)
        total += dl->files[i].bytes;
    return total;
}

void
ox_dead_letter_stats(struct ox_dead_letter *dl, struct ox_dead_letter_stats *out)
{
    ox_lock(&dl->lock);
    *out = (struct ox_dead_letter_stats){
        .bytes = total_bytes(dl),
        .files = dl->n_files + (dl->bytes > 0),
        .oldest_ns = dl->n_files > 0 ? dl->files[0].oldest_ns : dl->oldest_ns,
        .dropped_bytes = dl->dropped_bytes,
    };
    ox_unlock(&dl->lock);
}

uint64_t
ox_dead_letter_bytes(struct ox_dead_letter *dl)
{
    struct ox_dead_letter_stats stats;
    ox_dead_letter_stats(dl, &stats);
    return stats.bytes;
}

uint64_t
ox_dead_letter_dropped_bytes(struct ox_dead_letter *dl)
{
    struct ox_dead_letter_stats stats;
    ox_dead_letter_stats(dl, &stats);
    return stats.dropped_bytes;
}

/* Makes room for `more` bytes and forgets what is too old. */
static ox_err
expire(struct ox_dead_letter *dl, uint64_t now_ns, uint64_t more)
{
    bool removed = false;
    while (dl->n_files > 0) {
        const struct rotated *oldest = &dl->files[0];
        bool old = now_ns > oldest->closed_ns && now_ns - oldest->closed_ns > dl->config.keep_ns;
        bool full = dl->n_files == FILES_MAX || total_bytes(dl) + more > dl->config.total_bytes_max;
        if (!old && !full)
            break;
        ox_err err = remove_oldest(dl);
        if (err != OX_OK)
            return err;
        removed = true;
    }
    return removed ? ox_disk_fsync_dir(dl->disk, dl->dir) : OX_OK;
}

static ox_err
rotate(struct ox_dead_letter *dl, uint64_t now_ns)
{
    char path[OX_DISK_PATH_MAX];
    uint64_t closed_ns = now_ns;
    /* Names are unique and in order even when the clock stands still or steps back. */
    if (dl->n_files > 0 && closed_ns <= dl->files[dl->n_files - 1].closed_ns)
        closed_ns = dl->files[dl->n_files - 1].closed_ns + 1;
    if (!rotated_path(dl, closed_ns, path))
        return OX_E_INTERNAL;
    ox_err err = ox_disk_rename(dl->disk, dl->path, path);
    if (err != OX_OK)
        return err;
    ox_disk_close(dl->disk, dl->fd);
    dl->fd = -1;
    insert_file(dl, (struct rotated){closed_ns, dl->oldest_ns, dl->bytes});
    dl->bytes = 0;
    dl->oldest_ns = 0;
    return open_current(dl);
}

/* After a failed write: back to whole lines. Tried again before the next append when it does not work. */
static ox_err
cut_back(struct ox_dead_letter *dl)
{
    ox_err err = ox_disk_ftruncate(dl->disk, dl->fd, dl->bytes);
    dl->damaged = err != OX_OK;
    return err;
}

/* What an earlier failure left undone. */
static ox_err
mend(struct ox_dead_letter *dl)
{
    if (dl->fd < 0)
        return open_current(dl); /* a rotation got only half way */
    return dl->damaged ? cut_back(dl) : OX_OK;
}

/* Whether the current file has been open long enough. One whose first line names no time counts from now on. */
static bool
aged(struct ox_dead_letter *dl, uint64_t now_ns)
{
    if (dl->bytes > 0 && dl->oldest_ns == 0)
        dl->oldest_ns = now_ns;
    return dl->bytes > 0 && now_ns > dl->oldest_ns &&
           now_ns - dl->oldest_ns > dl->config.keep_ns / KEEP_PARTS;
}

static ox_err
append(struct ox_dead_letter *dl, struct ox_str lines, uint64_t now_ns)
{
    ox_err err = mend(dl);
    bool past = dl->bytes != 0 && dl->bytes + lines.n > dl->config.file_bytes_max;
    if (err == OX_OK && (past || aged(dl, now_ns)))
        err = rotate(dl, now_ns);
    if (err == OX_OK)
        err = expire(dl, now_ns, lines.n);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(dl->disk, dl->fd, lines.p, lines.n, dl->bytes);
    if (err == OX_OK)
        err = ox_disk_fdatasync(dl->disk, dl->fd);
    if (err != OX_OK) {
        (void)cut_back(dl); /* the first error is the one to tell */
        return err;
    }
    if (dl->bytes == 0)
        dl->oldest_ns = now_ns;
    dl->bytes += lines.n;
    return OX_OK;
}

ox_err
ox_dead_letter_expire(struct ox_dead_letter *dl, uint64_t now_ns)
{
    ox_lock(&dl->lock);
    ox_err err = mend(dl);
    if (err == OX_OK && aged(dl, now_ns))
        err = rotate(dl, now_ns);
    if (err == OX_OK)
        err = expire(dl, now_ns, 0);
    ox_unlock(&dl->lock);
    return err;
}

void
ox_dead_letter_limit(struct ox_dead_letter *dl, const struct ox_dead_letter_config *config)
{
    ox_lock(&dl->lock);
    dl->config = *config;
    ox_unlock(&dl->lock);
}

ox_err
ox_dead_letter_append(struct ox_dead_letter *dl, struct ox_str lines, uint64_t now_ns, struct ox_diag *diag)
{
    if (lines.n == 0)
        return OX_OK;
    OX_ASSERT(lines.p[lines.n - 1] == '\n');
    ox_lock(&dl->lock);
    ox_err err = append(dl, lines, now_ns);
    ox_unlock(&dl->lock);
    if (err == OX_OK)
        return OX_OK;
    return ox_diag_set(diag, err, NULL, -1, "%zu bytes of dead letters could not be written to \"%s\": %s",
                       lines.n, dl->path, ox_err_text(err));
}
