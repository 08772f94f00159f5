/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/replay_marks.c - which dead letters were sent again, and what came of it.
 *
 * Owns:    DIR/replayed.log while open for writing, and a table of its ids.
 * Threads: one owner.
 * Bounds:  FILE_MAX bytes of marks are read; some 40 bytes each.
 * Fails:   OX_E_IO, OX_E_DISK_FULL, OX_E_NOMEM, OX_E_TOO_LARGE.
 * Flow:    `observex dlq replay` -> here -> the disk seam.
 *
 * A line is "<id> <state> <unix ns>\n". The last line of an id counts. Lines that are not understood are passed over: a mark
 * that cannot be read makes a record appear as never sent, so nothing but half a line at the end is ever expected.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/dead_letter_read.h"
#include "ox/disk.h"

#define NAME     "replayed.log"
#define FILE_MAX (1u << 30)

struct mark {
    char id[OX_DEAD_LETTER_ID_LEN + 1]; /* "" = free */
    uint8_t state;
    bool needed;
    uint64_t time_ns;
};

struct ox_replay_marks {
    struct ox_disk *disk;
    int fd; /* -1: only to read */
    uint64_t bytes;
    bool damaged;       /* half a line could not be cut back yet */
    struct mark *table; /* open addressing; cap is a power of two, at most half full */
    size_t n, cap;
    char dir[OX_DISK_PATH_MAX - 32]; /* the name and ".tmp" fit behind it */
    char path[OX_DISK_PATH_MAX];
};

const char *
ox_replay_state_name(enum ox_replay_state state)
{
    static const char *const names[OX_REPLAY__COUNT] = {"never", "sent", "stored", "refused", "failed"};
    OX_ASSERT((unsigned)state < OX_REPLAY__COUNT);
    return names[state];
}

static bool
state_of(const char *name, uint8_t *out)
{
    for (int s = OX_REPLAY_SENT; s < OX_REPLAY__COUNT; s++) {
        if (strcmp(name, ox_replay_state_name((enum ox_replay_state)s)) == 0) {
            *out = (uint8_t)s;
            return true;
        }
    }
    return false;
}

/* Ids are hashes already. */
static struct mark *
slot_of(struct mark *table, size_t cap, const char *id)
{
    char front[17];
    memcpy(front, id, 16);
    front[16] = '\0';
    size_t at = (size_t)strtoull(front, NULL, 16) & (cap - 1);
    while (table[at].id[0] != '\0' && strcmp(table[at].id, id) != 0)
        at = (at + 1) & (cap - 1);
    return &table[at];
}

static ox_err
grow(struct ox_replay_marks *m)
{
    size_t cap = m->cap != 0 ? m->cap * 2 : 1024;
    struct mark *table = calloc(cap, sizeof(*table));
    if (table == NULL)
        return OX_E_NOMEM;
    for (size_t i = 0; i < m->cap; i++) {
        if (m->table[i].id[0] != '\0')
            *slot_of(table, cap, m->table[i].id) = m->table[i];
    }
    free(m->table);
    m->table = table;
    m->cap = cap;
    return OX_OK;
}

static ox_err
set_mark(struct ox_replay_marks *m, const char *id, uint8_t state, uint64_t time_ns, bool needed)
{
    if (2 * (m->n + 1) > m->cap) {
        ox_err err = grow(m);
        if (err != OX_OK)
            return err;
    }
    struct mark *slot = slot_of(m->table, m->cap, id);
    m->n += slot->id[0] == '\0';
    bool was_needed = slot->needed;
    *slot = (struct mark){.state = state, .needed = needed || was_needed, .time_ns = time_ns};
    memcpy(slot->id, id, OX_DEAD_LETTER_ID_LEN);
    return OX_OK;
}

static ox_err
read_line(struct ox_replay_marks *m, const char *line)
{
    char id[OX_DEAD_LETTER_ID_LEN + 1], name[16];
    uint64_t time_ns;
    uint8_t state;
    int end = 0;
    if (sscanf(line, "%20[0-9a-f] %15[a-z] %" SCNu64 "%n", id, name, &time_ns, &end) != 3 ||
        strlen(id) != OX_DEAD_LETTER_ID_LEN || line[end] != '\0' || !state_of(name, &state))
        return OX_OK;
    return set_mark(m, id, state, time_ns, false);
}

/* Reads whole lines of `text` (which it changes); *end is behind the last. */
static ox_err
read_lines(struct ox_replay_marks *m, char *text, size_t n, uint64_t *end)
{
    char *line = text, *newline;
    ox_err err = OX_OK;
    while (err == OX_OK && (newline = memchr(line, '\n', n - (size_t)(line - text))) != NULL) {
        *newline = '\0';
        err = read_line(m, line);
        line = newline + 1;
    }
    *end = (uint64_t)(line - text);
    return err;
}

static ox_err
load(struct ox_replay_marks *m, int fd)
{
    struct ox_buf text;
    uint64_t size, end = 0;
    ox_err err = ox_disk_size(m->disk, fd, &size);
    if (err != OX_OK || size == 0)
        return err;
    if (size > FILE_MAX)
        return OX_E_TOO_LARGE;
    ox_buf_init(&text);
    uint8_t *to = ox_buf_reserve(&text, (size_t)size);
    err = to != NULL ? ox_disk_read_all(m->disk, fd, to, (size_t)size, 0) : OX_E_NOMEM;
    if (err == OX_OK)
        err = read_lines(m, (char *)to, (size_t)size, &end);
    ox_buf_fini(&text);
    m->bytes = end;
    if (err == OX_OK && m->fd >= 0 && end < size)
        err = ox_disk_ftruncate(m->disk, fd, end);
    return err;
}

static ox_err
open_file(struct ox_replay_marks *m, bool write)
{
    int fd;
    unsigned flags = write ? OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE : OX_DISK_READ;
    ox_err err = ox_disk_open(m->disk, m->path, flags, 0600, &fd);
    if (err == OX_E_NOT_FOUND && !write)
        return OX_OK;
    if (err != OX_OK)
        return err;
    m->fd = write ? fd : -1;
    err = load(m, fd);
    if (err == OX_OK && write)
        err = ox_disk_fsync_dir(m->disk, m->dir);
    if (!write)
        ox_disk_close(m->disk, fd);
    return err;
}

ox_err
ox_replay_marks_open(struct ox_disk *disk, const char *dir, bool write, struct ox_replay_marks **out,
                     struct ox_diag *diag)
{
    struct ox_replay_marks *m = calloc(1, sizeof(*m));
    ox_err err = m != NULL ? grow(m) : OX_E_NOMEM;
    if (err == OX_OK) {
        m->disk = disk;
        m->fd = -1;
        int n = snprintf(m->dir, sizeof(m->dir), "%s", dir);
        snprintf(m->path, sizeof(m->path), "%s/" NAME, m->dir);
        err = n > 0 && (size_t)n < sizeof(m->dir) ? open_file(m, write) : OX_E_TOO_LARGE;
    }
    if (err == OX_OK) {
        *out = m;
        return OX_OK;
    }
    ox_replay_marks_close(m);
    return ox_diag_set(diag, err, NULL, -1,
                       "%s/" NAME ", which says what was replayed before, cannot be %s: %s", dir,
                       write ? "opened for writing" : "read", ox_err_text(err));
}

void
ox_replay_marks_close(struct ox_replay_marks *m)
{
    if (m == NULL)
        return;
    if (m->disk != NULL && m->fd >= 0)
        ox_disk_close(m->disk, m->fd);
    free(m->table);
    free(m);
}

enum ox_replay_state
ox_replay_marks_get(struct ox_replay_marks *m, const char *id)
{
    struct mark *slot = slot_of(m->table, m->cap, id);
    if (slot->id[0] == '\0')
        return OX_REPLAY_NEVER;
    slot->needed = true;
    return (enum ox_replay_state)slot->state;
}

static ox_err
cut_back(struct ox_replay_marks *m)
{
    ox_err err = ox_disk_ftruncate(m->disk, m->fd, m->bytes);
    m->damaged = err != OX_OK;
    return err;
}

ox_err
ox_replay_marks_put(struct ox_replay_marks *m, const char *id, enum ox_replay_state state, uint64_t now_ns)
{
    char line[64];
    OX_ASSERT(m->fd >= 0 && strlen(id) == OX_DEAD_LETTER_ID_LEN);
    int n = snprintf(line, sizeof(line), "%s %s %" PRIu64 "\n", id, ox_replay_state_name(state), now_ns);
    ox_err err = m->damaged ? cut_back(m) : OX_OK;
    if (err == OX_OK) {
        err = ox_disk_write_all(m->disk, m->fd, line, (size_t)n, m->bytes);
        if (err != OX_OK)
            (void)cut_back(m); /* the first error is the one to tell */
    }
    if (err == OX_OK) {
        m->bytes += (uint64_t)n;
        err = set_mark(m, id, (uint8_t)state, now_ns, true);
    }
    return err;
}

ox_err
ox_replay_marks_sync(struct ox_replay_marks *m)
{
    return ox_disk_fdatasync(m->disk, m->fd);
}

static void
print_needed(const struct ox_replay_marks *m, struct ox_buf *text)
{
    for (size_t i = 0; i < m->cap; i++) {
        const struct mark *mark = &m->table[i];
        if (mark->needed)
            ox_buf_printf(text, "%s %s %" PRIu64 "\n", mark->id,
                          ox_replay_state_name((enum ox_replay_state)mark->state), mark->time_ns);
    }
}

/* Under another name first, so that at every moment one whole file is there. */
static ox_err
replace_file(struct ox_replay_marks *m, struct ox_str text)
{
    char tmp[OX_DISK_PATH_MAX];
    int fd;
    snprintf(tmp, sizeof(tmp), "%s/" NAME ".tmp", m->dir);
    ox_err err = ox_disk_open(m->disk, tmp, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE,
                              0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(m->disk, fd, text.p, text.n, 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(m->disk, fd);
    if (err == OX_OK)
        err = ox_disk_rename(m->disk, tmp, m->path);
    if (err != OX_OK) {
        ox_disk_close(m->disk, fd);
        return err;
    }
    ox_disk_close(m->disk, m->fd);
    m->fd = fd;
    m->bytes = text.n;
    return ox_disk_fsync_dir(m->disk, m->dir);
}

ox_err
ox_replay_marks_trim(struct ox_replay_marks *m)
{
    struct ox_buf text;
    size_t needed = 0;
    OX_ASSERT(m->fd >= 0);
    for (size_t i = 0; i < m->cap; i++)
        needed += m->table[i].needed;
    if (needed == m->n)
        return OX_OK;
    ox_buf_init(&text);
    print_needed(m, &text);
    ox_err err = text.failed ? OX_E_NOMEM : replace_file(m, ox_buf_str(&text));
    ox_buf_fini(&text);
    for (size_t i = 0; i < m->cap && err == OX_OK; i++) {
        if (m->table[i].id[0] != '\0' && !m->table[i].needed)
            m->table[i].state = OX_REPLAY_NEVER; /* its place in the table is not worth moving the others */
    }
    return err;
}
