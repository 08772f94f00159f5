/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_mark.c - the marker of a split: what must be known of it after a crash.
 *
 * Owns:    DIR/dlq/blocks/TOKEN.split, from before the first part is sent until the block is noted as stored.
 * Threads: the dirty thread that has the block; unmark on any.
 * Bounds:  a line for each part that was refused.
 * Fails:   IO, DISK_FULL, NOMEM; nothing is sent then.
 * Flow:    outbox_split.c -> here -> the disk seam.
 *
 * The marker is text: the reason, then a line "FROM-TO reason" for each refused part. Half a line at its end was never
 * acted upon.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/writer/outbox_split.h"
#include "ox/disk.h"
#include "ox/log.h"

static void
marker_path(const char *dir, const char *token, char path[OX_DISK_PATH_MAX])
{
    snprintf(path, OX_DISK_PATH_MAX, "%s/%s.split", dir, token);
}

void
ox__outbox_split_unmark(struct ox_disk *disk, const char *dir, const char *token)
{
    char path[OX_DISK_PATH_MAX];
    marker_path(dir, token, path);
    ox_err err = ox_disk_unlink(disk, path);
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        OX_LOG_WARN("outbox", "the marker of a block that is settled stays behind", OX_F_STR("path", path),
                    OX_F_ERR(err));
}

/* Appends a line, durably; what an earlier failure left behind it is written over. */
static ox_err
marker_line(struct ox_outbox_send *send, const char *line)
{
    struct ox_disk *disk = send->node->disk;
    struct ox_outbox_split *s = send->block->split;
    char path[OX_DISK_PATH_MAX];
    int fd;
    marker_path(send->refused_dir, send->block->token, path);
    ox_err err = ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd);
    if (err != OX_OK)
        return ox_diag_set(&send->diag, err, path, -1, "the marker of a split cannot be opened");
    err = ox_disk_write_all(disk, fd, line, strlen(line), s->marker_bytes);
    if (err == OX_OK)
        err = ox_disk_ftruncate(disk, fd, s->marker_bytes + strlen(line));
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, fd);
    ox_disk_close(disk, fd);
    if (err != OX_OK)
        return ox_diag_set(&send->diag, err, path, -1, "the marker of a split cannot be written");
    s->marker_bytes += strlen(line);
    return OX_OK;
}

static void
one_line(char *text)
{
    for (; *text != '\0'; text++)
        *text = *text == '\n' || *text == '\r' ? ' ' : *text;
}

ox_err
ox__outbox_mark(struct ox_outbox_send *send)
{
    struct ox_outbox_split *s = send->block->split;
    char line[sizeof(s->reason) + 1];
    ox_err err = ox_disk_ensure_dir(send->node->disk, send->refused_dir);
    one_line(s->reason);
    snprintf(line, sizeof(line), "%s\n", s->reason);
    if (err == OX_OK)
        err = marker_line(send, line);
    if (err == OX_OK)
        err = ox_disk_fsync_dir(send->node->disk, send->refused_dir);
    s->marked = err == OX_OK;
    return err;
}

ox_err
ox__outbox_mark_refused(struct ox_outbox_send *send, struct ox__split_range r)
{
    char reason[sizeof(send->diag.text)], line[sizeof(reason) + 32];
    snprintf(reason, sizeof(reason), "%s", send->diag.text);
    one_line(reason);
    snprintf(line, sizeof(line), "%u-%u %s\n", r.from, r.to, reason);
    return marker_line(send, line);
}

static bool
parse_line(struct ox_outbox_split *s, char *line, bool first)
{
    struct ox__split_range r;
    int at = 0;
    if (first) {
        snprintf(s->reason, sizeof(s->reason), "%s", line);
        return true;
    }
    if (sscanf(line, "%u-%u %n", &r.from, &r.to, &at) != 2 || at == 0 || r.from >= r.to)
        return true; /* nothing that we wrote */
    if (!ox__split_grow(&s->refused, s->n_refused, &s->cap_refused, sizeof(*s->refused)))
        return false;
    char *reason = strdup(line + at);
    if (reason == NULL)
        return false;
    s->refused[s->n_refused++] = (struct ox__split_refused){r, reason};
    return true;
}

/* text: whole lines, changed. */
static bool
parse_marker(struct ox_outbox_split *s, char *text, size_t n)
{
    for (char *p = text; p < text + n;) {
        char *stop = memchr(p, '\n', (size_t)(text + n - p));
        if (stop == NULL)
            break;
        *stop = '\0';
        if (!parse_line(s, p, p == text))
            return false;
        p = stop + 1;
        s->marker_bytes = (uint64_t)(p - text);
    }
    s->marked = s->marker_bytes > 0; /* else it was not durable yet, and nothing was sent */
    return true;
}

static ox_err
read_marker(struct ox_disk *disk, int fd, struct ox_outbox_split *s)
{
    uint64_t n = 0;
    ox_err err = ox_disk_size(disk, fd, &n);
    char *text = err == OX_OK ? malloc((size_t)n + 1) : NULL;
    if (err == OX_OK && text == NULL)
        err = OX_E_NOMEM;
    if (err == OX_OK)
        err = ox_disk_read_all(disk, fd, text, (size_t)n, 0);
    if (err == OX_OK && !parse_marker(s, text, (size_t)n))
        err = OX_E_NOMEM;
    free(text);
    return err;
}

ox_err
ox__outbox_split_resume(struct ox_outbox_send *send, struct ox_outbox_split **out)
{
    struct ox_disk *disk = send->node->disk;
    char path[OX_DISK_PATH_MAX];
    int fd;
    marker_path(send->refused_dir, send->block->token, path);
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err == OX_E_NOT_FOUND)
        return OX_OK;
    if (err != OX_OK)
        return ox_diag_set(&send->diag, err, path, -1, "the marker of a split cannot be opened");
    struct ox_outbox_split *s = ox__outbox_split_new("refused before the restart");
    err = s != NULL ? read_marker(disk, fd, s) : OX_E_NOMEM;
    ox_disk_close(disk, fd);
    if (err != OX_OK) {
        ox__outbox_split_free(s);
        return ox_diag_set(&send->diag, err, path, -1, "the marker of a split cannot be read");
    }
    *out = s;
    return OX_OK;
}
