/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/dead_letter.c - the dead-letter file: append, rotate, expire. Lines: dead_letter_line.c.
 *
 * Owns:    DIR/dlq/dlq.jsonl while open, and the list of rotated files.
 * Threads: one dirty thread at a time.
 * Bounds:  file_bytes_max, total_bytes_max, keep_ns, FILES_MAX.
 * Fails:   OX_E_IO, OX_E_DISK_FULL, OX_E_NOMEM.
 * Flow:    gateway and writer -> dirty thread -> here; before the request is acknowledged, since the reply says that
 *          the record was refused and kept.
 *
 * A rotated file is dlq-<unix_ns>.jsonl, unix_ns being when it was closed, so that name order is age order.
 */
#include "ox/dead_letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/disk.h"

#define NS_PER_DAY (86400ull * 1000000000ull)
/* More rotated files than this are not kept: a bound for the list, far above total / file size. */
#define FILES_MAX    1024
#define NAME_CURRENT "dlq.jsonl"
#define CHUNK_BYTES  16384

struct rotated {
    uint64_t closed_ns;
    uint64_t bytes;
};

struct ox_dead_letter {
    struct ox_disk *disk;
    struct ox_dead_letter_config config;
    int fd;
    uint64_t bytes;                  /* of the current file */
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
insert_file(struct ox_dead_letter *dl, uint64_t closed_ns, uint64_t bytes)
{
    if (dl->n_files == FILES_MAX) {
        /* The oldest stays on disk until the next start finds it among fewer; the newest must be known, since
         * the next name is made from it. */
        if (closed_ns < dl->files[0].closed_ns)
            return;
        dl->n_files--;
        memmove(dl->files, dl->files + 1, dl->n_files * sizeof(dl->files[0]));
    }
    uint32_t at = dl->n_files;
    while (at > 0 && dl->files[at - 1].closed_ns > closed_ns) {
        dl->files[at] = dl->files[at - 1];
        at--;
    }
    dl->files[at] = (struct rotated){closed_ns, bytes};
    dl->n_files++;
}

static ox_err
file_bytes(struct ox_disk *disk, const char *path, uint64_t *bytes)
{
    int fd;
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(disk, fd, bytes);
    ox_disk_close(disk, fd);
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
        insert_file(dl, closed_ns, 0);
    return true;
}

static ox_err
find_files(struct ox_dead_letter *dl)
{
    char path[OX_DISK_PATH_MAX];
    ox_err err = ox_disk_list(dl->disk, dl->dir, note_name, dl);
    for (uint32_t i = 0; i < dl->n_files && err == OX_OK; i++) {
        if (!rotated_path(dl, dl->files[i].closed_ns, path))
            return OX_E_INTERNAL;
        err = file_bytes(dl->disk, path, &dl->files[i].bytes);
    }
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
    free(dl);
}

uint64_t
ox_dead_letter_bytes(const struct ox_dead_letter *dl)
{
    uint64_t total = dl->bytes;
    for (uint32_t i = 0; i < dl->n_files; i++)
        total += dl->files[i].bytes;
    return total;
}

uint64_t
ox_dead_letter_dropped_bytes(const struct ox_dead_letter *dl)
{
    return dl->dropped_bytes;
}

/* Makes room for `more` bytes and forgets what is too old. */
static ox_err
expire(struct ox_dead_letter *dl, uint64_t now_ns, uint64_t more)
{
    bool removed = false;
    while (dl->n_files > 0) {
        const struct rotated *oldest = &dl->files[0];
        bool old = now_ns > oldest->closed_ns && now_ns - oldest->closed_ns > dl->config.keep_ns;
        bool full = dl->n_files == FILES_MAX || ox_dead_letter_bytes(dl) + more > dl->config.total_bytes_max;
        if (!old && !full)
            break;
        ox_err err = remove_oldest(dl);
        if (err != OX_OK)
            return err;
        removed = true;
    }
    return removed ? ox_disk_fsync_dir(dl->disk, dl->dir) : OX_OK;
}

ox_err
ox_dead_letter_expire(struct ox_dead_letter *dl, uint64_t now_ns)
{
    return expire(dl, now_ns, 0);
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
    insert_file(dl, closed_ns, dl->bytes);
    dl->bytes = 0;
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

static ox_err
append(struct ox_dead_letter *dl, struct ox_str lines, uint64_t now_ns)
{
    ox_err err = OX_OK;
    if (dl->fd < 0)
        err = open_current(dl); /* an earlier rotation got only half way */
    else if (dl->damaged)
        err = cut_back(dl);
    bool past = dl->bytes != 0 && dl->bytes + lines.n > dl->config.file_bytes_max;
    if (err == OX_OK && past)
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
    dl->bytes += lines.n;
    return OX_OK;
}

ox_err
ox_dead_letter_append(struct ox_dead_letter *dl, struct ox_str lines, uint64_t now_ns, struct ox_diag *diag)
{
    if (lines.n == 0)
        return OX_OK;
    OX_ASSERT(lines.p[lines.n - 1] == '\n');
    ox_err err = append(dl, lines, now_ns);
    if (err == OX_OK)
        return OX_OK;
    return ox_diag_set(diag, err, NULL, -1, "%zu bytes of dead letters could not be written to \"%s\": %s",
                       lines.n, dl->path, ox_err_text(err));
}
