/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/doubts.c - the list of blocks whose rollups must be looked at, and its file.
 *
 * Owns:    see doubts.h.
 * Threads: see doubts.h.
 * Bounds:  see doubts.h.
 * Fails:   see doubts.h.
 * Flow:    outbox_verify.c keeps the list, outbox_jobs.c the file: before a block in doubt is noted as stored.
 */
#include "actors/writer/doubts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ox/buf.h"

#define HEAD "observex rollups in doubt 1\n"

void
ox__doubts_free(struct ox__doubts *doubts)
{
    free(doubts->items);
    *doubts = (struct ox__doubts){0};
}

ox_err
ox__doubts_add(struct ox__doubts *doubts, enum ox_table table, uint64_t block_id)
{
    for (size_t i = 0; i < doubts->n; i++) {
        if (doubts->items[i].table == table && doubts->items[i].block_id == block_id)
            return OX_OK;
    }
    if (doubts->n == OX__DOUBTS_MAX)
        return OX_E_OVERLOAD;
    if (doubts->n == doubts->cap) {
        size_t cap = doubts->cap != 0 ? 2 * doubts->cap : 16;
        struct ox__doubt *more = realloc(doubts->items, cap * sizeof(*more));
        if (more == NULL)
            return OX_E_NOMEM;
        doubts->items = more;
        doubts->cap = cap;
    }
    doubts->items[doubts->n++] = (struct ox__doubt){table, block_id};
    return OX_OK;
}

size_t
ox__doubts_count(const struct ox__doubts *doubts, enum ox_table table)
{
    size_t n = 0;
    for (size_t i = 0; i < doubts->n; i++)
        n += doubts->items[i].table == table;
    return n;
}

size_t
ox__doubts_ids(const struct ox__doubts *doubts, enum ox_table table, uint64_t *ids, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < doubts->n && n < max; i++) {
        if (doubts->items[i].table == table)
            ids[n++] = doubts->items[i].block_id;
    }
    return n;
}

static bool
is_one_of(uint64_t id, const uint64_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

void
ox__doubts_remove(struct ox__doubts *doubts, enum ox_table table, const uint64_t *ids, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < doubts->n; i++) {
        const struct ox__doubt d = doubts->items[i];
        if (d.table != table || !is_one_of(d.block_id, ids, n))
            doubts->items[kept++] = d;
    }
    doubts->n = kept;
}

ox_err
ox__doubts_copy(const struct ox__doubts *from, struct ox__doubts *to)
{
    *to = (struct ox__doubts){0};
    if (from->n == 0)
        return OX_OK;
    to->items = malloc(from->n * sizeof(*to->items));
    if (to->items == NULL)
        return OX_E_NOMEM;
    memcpy(to->items, from->items, from->n * sizeof(*to->items));
    to->n = to->cap = from->n;
    return OX_OK;
}

/* ---- the file ---- */

/* text: ends with a zero byte. */
static ox_err
parse(const char *text, const char *path, struct ox__doubts *out, struct ox_diag *diag)
{
    if (strncmp(text, HEAD, sizeof(HEAD) - 1) != 0)
        return ox_diag_set(diag, OX_E_CORRUPT, path, 0, "the list of rollups in doubt does not begin as one");
    for (const char *p = text + sizeof(HEAD) - 1; *p != '\0';) {
        unsigned table;
        uint64_t id;
        int n = 0;
        if (sscanf(p, "%u %" SCNu64 "%n", &table, &id, &n) != 2 || p[n] != '\n' || table >= OX_TABLE__COUNT)
            return ox_diag_set(diag, OX_E_CORRUPT, path, p - text,
                               "a line of the list of rollups in doubt is no table and block");
        ox_err err = ox__doubts_add(out, (enum ox_table)table, id);
        if (err != OX_OK)
            return ox_diag_set(diag, err, path, p - text, "the list of rollups in doubt does not fit");
        p += n + 1;
    }
    return OX_OK;
}

ox_err
ox__doubts_load(struct ox_disk *disk, const char *path, struct ox__doubts *out, struct ox_diag *diag)
{
    int fd;
    uint64_t n = 0;
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err == OX_E_NOT_FOUND)
        return OX_OK;
    if (err != OX_OK)
        return ox_diag_set(diag, err, path, -1, "the list of rollups in doubt cannot be opened");
    err = ox_disk_size(disk, fd, &n);
    char *text = err == OX_OK ? malloc((size_t)n + 1) : NULL;
    if (err == OX_OK)
        err = text != NULL ? ox_disk_read_all(disk, fd, text, (size_t)n, 0) : OX_E_NOMEM;
    ox_disk_close(disk, fd);
    if (err != OX_OK) {
        free(text);
        return ox_diag_set(diag, err, path, -1, "the list of rollups in doubt cannot be read");
    }
    text[n] = '\0';
    err = parse(text, path, out, diag);
    free(text);
    return err;
}

static ox_err
write_new(struct ox_disk *disk, const char *path, const struct ox__doubts *doubts)
{
    struct ox_buf text = {0};
    int fd;
    ox_buf_append_cstr(&text, HEAD);
    for (size_t i = 0; i < doubts->n; i++)
        ox_buf_printf(&text, "%u %" PRIu64 "\n", (unsigned)doubts->items[i].table, doubts->items[i].block_id);
    ox_err err = text.failed
                     ? OX_E_NOMEM
                     : ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err == OX_OK) {
        err = ox_disk_write_all(disk, fd, text.data, text.len, 0);
        if (err == OX_OK)
            err = ox_disk_fdatasync(disk, fd);
        ox_disk_close(disk, fd);
    }
    ox_buf_fini(&text);
    return err;
}

ox_err
ox__doubts_save(struct ox_disk *disk, const char *path, const struct ox__doubts *doubts)
{
    char tmp[OX_DISK_PATH_MAX], dir[OX_DISK_PATH_MAX];
    int n = snprintf(tmp, sizeof(tmp), "%s.new", path);
    const char *slash = strrchr(path, '/');
    if (n >= (int)sizeof(tmp) || slash == NULL)
        return OX_E_INVALID;
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
    ox_err err;
    if (doubts->n == 0) {
        err = ox_disk_unlink(disk, path);
        if (err == OX_E_NOT_FOUND)
            return OX_OK;
    } else {
        err = write_new(disk, tmp, doubts);
        if (err == OX_OK)
            err = ox_disk_rename(disk, tmp, path);
    }
    return err == OX_OK ? ox_disk_fsync_dir(disk, dir) : err;
}
