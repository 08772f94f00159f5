/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/suspects.c - the file of log entries that were in hand at a crash.
 *
 * Owns:    nothing between calls.
 * Threads: one at a time.
 * Bounds:  OX_SUSPECTS_MAX lines.
 * Fails:   IO, DISK_FULL. What cannot be read is forgotten: the worst that follows is one more replay.
 *
 * Format: one line per entry, "<sequence> <crashes> <tenant or ->\n".
 */
#include "ox/suspects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES (20 + 1 + 10 + 1 + OX_TENANT_MAX + 1)
#define FILE_MAX_BYTES (OX_SUSPECTS_MAX * LINE_MAX_BYTES)

static struct ox_suspect *
find(struct ox_suspects *s, uint64_t wal_seq)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->list[i].wal_seq == wal_seq)
            return &s->list[i];
    }
    return NULL;
}

static void
remove_at(struct ox_suspects *s, uint32_t at)
{
    memmove(&s->list[at], &s->list[at + 1], (s->n - at - 1) * sizeof(s->list[0]));
    s->n--;
}

void
ox_suspects_charge(struct ox_suspects *s, uint64_t wal_seq, const char *tenant)
{
    if (wal_seq == 0)
        return;
    struct ox_suspect *known = find(s, wal_seq);
    if (known != NULL) {
        known->crashes++;
        return;
    }
    if (s->n == OX_SUSPECTS_MAX)
        remove_at(s, 0);
    struct ox_suspect *fresh = &s->list[s->n++];
    *fresh = (struct ox_suspect){.wal_seq = wal_seq, .crashes = 1};
    snprintf(fresh->tenant.name, sizeof(fresh->tenant.name), "%s", tenant);
}

uint32_t
ox_suspects_crashes(const struct ox_suspects *s, uint64_t wal_seq)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->list[i].wal_seq == wal_seq)
            return s->list[i].crashes;
    }
    return 0;
}

void
ox_suspects_forget_below(struct ox_suspects *s, uint64_t first_seq)
{
    for (uint32_t i = 0; i < s->n;) {
        if (s->list[i].wal_seq < first_seq)
            remove_at(s, i);
        else
            i++;
    }
}

static void
read_line(struct ox_suspects *s, const char *line)
{
    uint64_t seq = 0;
    uint32_t crashes = 0;
    char tenant[OX_TENANT_MAX + 1] = "";
    if (sscanf(line, "%" SCNu64 " %" SCNu32 " %63s", &seq, &crashes, tenant) < 2 || seq == 0 || crashes == 0)
        return;
    ox_suspects_charge(s, seq, strcmp(tenant, "-") == 0 ? "" : tenant);
    find(s, seq)->crashes = crashes;
}

ox_err
ox_suspects_load(struct ox_disk *disk, const char *path, struct ox_suspects *out)
{
    char text[FILE_MAX_BYTES + 1];
    size_t n = 0;
    int fd;
    memset(out, 0, sizeof(*out));
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return err == OX_E_NOT_FOUND ? OX_OK : err;
    err = ox_disk_pread(disk, fd, text, FILE_MAX_BYTES, 0, &n);
    ox_disk_close(disk, fd);
    if (err != OX_OK)
        return err;
    text[n] = '\0';
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        read_line(out, line);
    }
    return OX_OK;
}

/* The directory part of a path. */
static void
directory_of(const char *path, char *dir, size_t size)
{
    snprintf(dir, size, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = '\0';
    else
        snprintf(dir, size, ".");
}

ox_err
ox_suspects_save(struct ox_disk *disk, const char *path, const struct ox_suspects *s)
{
    char text[FILE_MAX_BYTES + 1], tmp[OX_DISK_PATH_MAX], dir[OX_DISK_PATH_MAX];
    size_t n = 0;
    int fd;
    for (uint32_t i = 0; i < s->n; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%" PRIu64 " %" PRIu32 " %s\n", s->list[i].wal_seq,
                              s->list[i].crashes,
                              s->list[i].tenant.name[0] != '\0' ? s->list[i].tenant.name : "-");
    if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
        return OX_E_INVALID;
    directory_of(path, dir, sizeof(dir));
    ox_err err = ox_disk_open(disk, tmp, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(disk, fd, text, n, 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, fd);
    ox_disk_close(disk, fd);
    if (err == OX_OK)
        err = ox_disk_rename(disk, tmp, path);
    return err == OX_OK ? ox_disk_fsync_dir(disk, dir) : err;
}
