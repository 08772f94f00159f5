/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/damage.c - finds entries with the journal's own reader (read only), then writes past it.
 *
 * Owns:    see damage.h.
 * Threads: see damage.h.
 * Fails:   ends the process when a journal that was not harmed yet cannot be read.
 */
#include "chaos/damage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "chaos/body.h"
#include "ox/journal.h"
#include "ox/outbox_entry.h"
#include "ox/schema.h"
#include "ox/wal_entry.h"
#include "tests/harness/native_reader.h"

#define SEGMENTS_MAX    4096
#define RUBBISH_BYTES   8192u
#define ASIDE_BYTES_MAX (64u << 20)

struct entry {
    uint64_t segment, offset, bytes; /* head included */
    bool answered;                   /* a client was told of a record in it */
    struct ox_buf keys;              /* of its records, unless answered */
};

/* A journal as it lies there. */
struct rest {
    char dir[300];
    struct ox_journal *j;
    struct ox_journal_segment segments[SEGMENTS_MAX];
    size_t n_segments;
    struct entry *entries;
    size_t n, cap;
};

/* ---- whose records ---- */

static void
wal_keys(struct ox_str payload, struct ox_buf *keys)
{
    struct ox_wal_entry e;
    struct ox_diag diag;
    OX_ASSERT(ox_wal_entry_decode(payload, &e, &diag) == OX_OK);
    OX_ASSERT(chaos_body_keys(e.signal, e.body, keys));
    ox_wal_entry_fini(&e);
}

static uint64_t
key_of_cell(const char *cell, bool hex)
{
    return hex ? strtoull(cell, NULL, 16) : (uint64_t)strtod(cell, NULL);
}

static void
block_keys(const struct ox_outbox_block *b, struct ox_buf *keys)
{
    bool hex;
    const char *column = chaos_key_column((enum ox_table)b->table, &hex);
    if (column == NULL)
        return;
    struct ox_str raw = b->bytes;
    void *room = NULL;
    if (b->compression == OX_OUTBOX_ZSTD) {
        room = malloc(b->raw_len);
        OX_ASSERT(room != NULL && ZSTD_decompress(room, b->raw_len, raw.p, raw.n) == b->raw_len);
        raw = (struct ox_str){room, b->raw_len};
    }
    struct native_block *block = native_read(raw.p, raw.n);
    for (size_t i = 0; i < block->n_rows; i++) {
        uint64_t key = key_of_cell(native_cell(block, column, i), hex);
        ox_buf_append(keys, &key, sizeof(key));
    }
    native_free(block);
    free(room);
}

static void
outbox_keys(struct ox_str payload, struct ox_buf *keys)
{
    struct ox_outbox_entry e;
    struct ox_diag diag;
    OX_ASSERT(ox_outbox_entry_decode(payload, &e, &diag) == OX_OK);
    for (uint32_t i = 0; i < e.n_blocks; i++)
        block_keys(&e.blocks[i], keys);
    ox_outbox_entry_fini(&e);
}

static bool
any_answered(struct chaos_ids *ids, const struct ox_buf *keys)
{
    for (size_t at = 0; at + 8 <= keys->len; at += 8) {
        uint64_t key, id;
        memcpy(&key, keys->data + at, 8);
        struct chaos_lane *lane = chaos_ids_find(ids, key, &id);
        if (lane == NULL || lane->fates[id] == CHAOS_ACKED)
            return true;
    }
    return false;
}

static uint64_t
mark(struct chaos_ids *ids, const struct ox_buf *keys, enum chaos_fate from, enum chaos_fate to)
{
    uint64_t n = 0;
    for (size_t at = 0; at + 8 <= keys->len; at += 8) {
        uint64_t key, id;
        memcpy(&key, keys->data + at, 8);
        struct chaos_lane *lane = chaos_ids_find(ids, key, &id);
        if (lane == NULL || lane->fates[id] != (uint8_t)from)
            continue;
        lane->fates[id] = (uint8_t)to;
        n++;
    }
    return n;
}

static uint64_t
mark_damaged(struct chaos_ids *ids, const struct ox_buf *keys)
{
    return mark(ids, keys, CHAOS_ACKED, CHAOS_DAMAGED);
}

/* ---- reading ---- */

static bool
open_rest(struct rest *r, const struct chaos_damage *d, const char *sub, enum ox_journal_kind kind)
{
    struct ox_diag diag;
    struct ox_journal_options options = {.kind = kind, .read_only = true};
    memset(r, 0, sizeof(*r));
    snprintf(r->dir, sizeof(r->dir), "%s/%s", d->data, sub);
    if (ox_journal_open(ox_disk_real(), r->dir, &options, &r->j, NULL, &diag) != OX_OK)
        return false;
    r->n_segments = ox_journal_segments(r->j, r->segments, SEGMENTS_MAX);
    return r->n_segments > 0 && r->n_segments <= SEGMENTS_MAX;
}

static void
close_rest(struct rest *r)
{
    ox_journal_close(r->j);
    for (size_t i = 0; i < r->n; i++)
        ox_buf_fini(&r->entries[i].keys);
    free(r->entries);
}

/* keys: steal. */
static void
add_entry(struct rest *r, const struct ox_journal_entry *info, bool answered, struct ox_buf *keys)
{
    if (r->n == r->cap) {
        r->cap = r->cap != 0 ? r->cap * 2 : 1024;
        r->entries = realloc(r->entries, r->cap * sizeof(*r->entries));
        OX_ASSERT(r->entries != NULL);
    }
    for (size_t i = 0; i < r->n_segments; i++) {
        if (r->segments[i].number != info->segment)
            continue;
        r->entries[r->n++] = (struct entry){info->segment, info->seq - r->segments[i].first_seq,
                                            info->len + OX_JOURNAL_ENTRY_OVERHEAD, answered, *keys};
        *keys = (struct ox_buf){0};
    }
}

/* The entries of one segment (0 = of all but the newest). */
static void
read_entries(struct rest *r, struct chaos_damage *d, uint64_t segment, bool wal)
{
    struct ox_journal_cursor *c = ox_journal_cursor_new(r->j, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    uint64_t newest = r->segments[r->n_segments - 1].number;
    ox_err err;
    OX_ASSERT(c != NULL);
    while ((err = ox_journal_cursor_next(c, &info, &payload, &diag)) != OX_E_END) {
        if (err != OX_OK || (segment != 0 ? info.segment != segment : info.segment == newest))
            continue;
        struct ox_buf keys = {0};
        if (wal && segment != 0)
            wal_keys(payload, &keys);
        bool answered = any_answered(d->ids, &keys);
        if (answered)
            ox_buf_fini(&keys);
        add_entry(r, &info, answered, &keys);
        ox_buf_fini(&keys);
    }
    ox_journal_cursor_free(c);
}

static void
segment_file(const struct rest *r, uint64_t number, char *out, size_t n)
{
    snprintf(out, n, "%s/%016llx.seg", r->dir, (unsigned long long)number);
}

/* ---- tails ---- */

static void
rubbish(int fd, uint64_t from, uint64_t n, struct ox_random *rnd, bool zeros)
{
    uint8_t bytes[RUBBISH_BYTES] = {0};
    while (n > 0) {
        size_t part = n < sizeof(bytes) ? (size_t)n : sizeof(bytes);
        if (!zeros)
            ox_random_bytes(rnd, bytes, part);
        OX_ASSERT(pwrite(fd, bytes, part, (off_t)from) == (ssize_t)part);
        from += part;
        n -= part;
    }
}

/* Where the last segment may be cut: behind the last entry that somebody was told of. */
static uint64_t
first_loose(const struct rest *r, uint64_t end)
{
    for (size_t i = r->n; i-- > 0;) {
        if (r->entries[i].answered)
            return r->entries[i].offset + r->entries[i].bytes;
    }
    return r->n > 0 ? r->entries[0].offset : end;
}

/* Rubbish where an entry was is damage to whoever reads it: only we know that nobody was told of that one. */
static void
mark_torn(struct chaos_damage *d, const struct rest *r, uint64_t cut)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->entries[i].offset + r->entries[i].bytes > cut)
            mark(d->ids, &r->entries[i].keys, CHAOS_UNKNOWN, CHAOS_TORN);
    }
}

/* from: nothing before it is touched. end: behind the last entry. */
static void
tear(struct chaos_damage *d, const struct rest *r, uint64_t number, uint64_t from, uint64_t end)
{
    char path[340];
    size_t at = strlen(d->what);
    segment_file(r, number, path, sizeof(path));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    OX_ASSERT(fd >= 0);
    uint64_t cut = from + ox_random_below(d->rnd, end - from + 1), how = ox_random_below(d->rnd, 3);
    uint64_t n = 1 + ox_random_below(d->rnd, RUBBISH_BYTES);
    if (how == 0)
        OX_ASSERT(ftruncate(fd, (off_t)cut) == 0);
    else if (cut < end)
        rubbish(fd, cut, end - cut + n, d->rnd, how == 1);
    else
        rubbish(fd, cut, n, d->rnd, false);
    close(fd);
    if (how == 2)
        mark_torn(d, r, cut);
    snprintf(d->what + at, sizeof(d->what) - at,
             "%s segment %llu torn at %llu (%llu bytes of entries without an answer "
             "behind it), %s; ",
             strrchr(r->dir, '/') + 1, (unsigned long long)number, (unsigned long long)cut,
             (unsigned long long)(end - cut),
             how == 0   ? "cut off"
             : how == 1 ? "zeros"
                        : "rubbish");
}

void
chaos_damage_tail(struct chaos_damage *d)
{
    static struct rest r; /* large */
    d->what[0] = '\0';
    if (open_rest(&r, d, "wal", OX_JOURNAL_WAL)) {
        const struct ox_journal_segment *last = &r.segments[r.n_segments - 1];
        uint64_t end = last->end_seq - last->first_seq;
        read_entries(&r, d, last->number, true);
        tear(d, &r, last->number, first_loose(&r, end), end);
        close_rest(&r);
    }
    if (open_rest(&r, d, "outbox", OX_JOURNAL_OUTBOX)) {
        const struct ox_journal_segment *last = &r.segments[r.n_segments - 1];
        uint64_t end = last->end_seq - last->first_seq;
        tear(d, &r, last->number, end, end);
        close_rest(&r);
    }
}

/* ---- bits ---- */

static void
flip(const struct rest *r, const struct entry *e, uint64_t bit)
{
    char path[340];
    uint8_t byte;
    off_t at = (off_t)(e->offset + bit / 8);
    segment_file(r, e->segment, path, sizeof(path));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    OX_ASSERT(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= (uint8_t)(1u << bit % 8);
    OX_ASSERT(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

/* By bytes, as chance would hit them. */
static const struct entry *
pick(struct chaos_damage *d, const struct rest *r)
{
    uint64_t all = 0;
    for (size_t i = 0; i < r->n; i++)
        all += r->entries[i].bytes;
    uint64_t at = ox_random_below(d->rnd, all);
    size_t i = 0;
    for (; at >= r->entries[i].bytes; i++)
        at -= r->entries[i].bytes;
    return &r->entries[i];
}

static void
flip_in(struct chaos_damage *d, struct rest *r, bool wal)
{
    const struct entry *e = pick(d, r);
    struct ox_buf payload = {0}, keys = {0};
    uint64_t first_seq = 0;
    for (size_t i = 0; i < r->n_segments; i++)
        first_seq = r->segments[i].number == e->segment ? r->segments[i].first_seq : first_seq;
    OX_ASSERT(ox_journal_read(r->j, first_seq + e->offset, &payload, NULL) == OX_OK);
    if (wal)
        wal_keys(ox_buf_str(&payload), &keys);
    else
        outbox_keys(ox_buf_str(&payload), &keys);
    uint64_t bit = ox_random_below(d->rnd, e->bytes * 8), hit = mark_damaged(d->ids, &keys);
    flip(r, e, bit);
    d->segment = e->segment;
    snprintf(d->what, sizeof(d->what),
             "%s segment %llu: bit %llu of the entry at %llu (%llu bytes, %zu records, %llu of them "
             "acknowledged)",
             strrchr(r->dir, '/') + 1, (unsigned long long)e->segment, (unsigned long long)bit,
             (unsigned long long)e->offset, (unsigned long long)e->bytes, keys.len / 8,
             (unsigned long long)hit);
    ox_buf_fini(&payload);
    ox_buf_fini(&keys);
}

bool
chaos_damage_flip(struct chaos_damage *d)
{
    static struct rest r;
    bool wal_first = ox_random_below(d->rnd, 2) == 0, done = false;
    for (int i = 0; i < 2 && !done; i++) {
        bool wal = (i == 0) == wal_first;
        if (!open_rest(&r, d, wal ? "wal" : "outbox", wal ? OX_JOURNAL_WAL : OX_JOURNAL_OUTBOX))
            continue;
        read_entries(&r, d, 0, wal);
        done = r.n > 0;
        if (done)
            flip_in(d, &r, wal);
        close_rest(&r);
    }
    return done;
}

/* DIR/set-aside/wal-<sequence>.entry holds the payload as it stood in the log. */
static uint64_t
mark_aside(struct chaos_damage *d, const char *path)
{
    struct ox_buf payload = {0}, keys = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    OX_ASSERT(fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size <= ASIDE_BYTES_MAX);
    uint8_t *room = ox_buf_reserve(&payload, (size_t)st.st_size);
    OX_ASSERT(room != NULL && pread(fd, room, (size_t)st.st_size, 0) == st.st_size);
    payload.len = (size_t)st.st_size;
    close(fd);
    wal_keys(ox_buf_str(&payload), &keys);
    uint64_t n = mark_damaged(d->ids, &keys);
    ox_buf_fini(&payload);
    ox_buf_fini(&keys);
    return n;
}

uint64_t
chaos_damage_aside(struct chaos_damage *d)
{
    char dir[300], path[600];
    struct dirent *e;
    uint64_t n = 0;
    snprintf(dir, sizeof(dir), "%s/set-aside", d->data);
    DIR *list = opendir(dir);
    while (list != NULL && (e = readdir(list)) != NULL) {
        const char *end = strrchr(e->d_name, '.');
        if (end == NULL || strcmp(end, ".entry") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        n += mark_aside(d, path);
    }
    if (list != NULL)
        closedir(list);
    return n;
}
