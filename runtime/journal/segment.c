/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/segment.c - one segment file: its name, its header, its birth.
 *
 * Owns:    nothing; the journal does.
 * Threads: the writer; encode and decode any.
 * Bounds:  a segment is as large as options.segment_bytes, or as the one entry that is larger.
 * Fails:   OX_E_DISK_FULL, OX_E_IO; OX_E_CORRUPT, OX_E_UNIMPLEMENTED for a header.
 * Flow:    runtime/journal/append.c (full segment) -> here -> the disk seam.
 */
#include <errno.h>
#include <stdio.h>

#include "ox/crc32c.h"
#include "ox/lock.h"
#include "ox/random.h"
#include "runtime/journal/journal_internal.h"

#define HEADER_VERSION 1u
/* The second copy lies in another sector (512 or 4,096 bytes of the disk) where sectors are small. */
#define HEADER_COPY_AT 2048u
#define HEADER_USED    68u /* bytes under its checksum */

static const uint8_t header_magic[8] = {'O', 'X', 'J', 'R', 'N', 'L', '\r', '\n'};

void
ox__segment_path(const struct ox_journal *j, uint64_t number, const char *suffix, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s/%016llx.%s", j->dir, (unsigned long long)number, suffix);
    OX_ASSERT(n > 0 && (size_t)n < cap);
}

bool
ox__segment_name(const char *name, const char *suffix, uint64_t *number)
{
    uint8_t bytes[8];
    if (strlen(name) < 16 || ox_hex_decode((struct ox_str){name, 16}, bytes, 8) != OX_OK)
        return false;
    for (int i = 0; i < 16; i++) {
        if (name[i] >= 'A' && name[i] <= 'F')
            return false; /* never ours; two spellings would be two files of one number */
    }
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | bytes[i];
    *number = v;
    /* The upper half is never reached by counting: not ours, and it would leave no room for the next. */
    return v != 0 && v <= INT64_MAX && name[16] == '.' && strcmp(name + 17, suffix) == 0;
}

static void
encode_copy(const struct ox__seg *seg, enum ox_journal_kind kind, uint8_t *out)
{
    memcpy(out, header_magic, 8);
    ox__put32(out + 8, HEADER_VERSION);
    ox__put32(out + 12, (uint32_t)kind);
    ox__put64(out + 16, seg->number);
    ox__put64(out + 24, seg->first_seq);
    ox__put64(out + 32, seg->salt);
    ox__put64(out + 40, seg->capacity);
    ox__put64(out + 48, seg->prev_end);
    ox__put64(out + 56, 0); /* reserved */
    ox__put32(out + 64, 0);
    ox__put32(out + HEADER_USED, ox_crc32c(0, out, HEADER_USED));
}

void
ox__segment_header_encode(const struct ox__seg *seg, enum ox_journal_kind kind,
                          uint8_t out[OX_JOURNAL_HEADER_BYTES])
{
    memset(out, 0, OX_JOURNAL_HEADER_BYTES);
    encode_copy(seg, kind, out);
    encode_copy(seg, kind, out + HEADER_COPY_AT);
}

static ox_err
decode_copy(const uint8_t *in, struct ox__seg *seg, uint32_t *kind)
{
    if (memcmp(in, header_magic, 8) != 0 || ox__get32(in + HEADER_USED) != ox_crc32c(0, in, HEADER_USED))
        return OX_E_CORRUPT;
    if (ox__get32(in + 8) != HEADER_VERSION)
        return OX_E_UNIMPLEMENTED;
    *kind = ox__get32(in + 12);
    seg->number = ox__get64(in + 16);
    seg->first_seq = ox__get64(in + 24);
    seg->salt = ox__get64(in + 32);
    seg->capacity = ox__get64(in + 40);
    seg->prev_end = ox__get64(in + 48);
    /* Bounds that every header of ours keeps; a checksum alone is no proof of sense. */
    if (seg->first_seq > INT64_MAX || seg->capacity > INT64_MAX || seg->capacity < OX_JOURNAL_HEADER_BYTES)
        return OX_E_CORRUPT;
    return OX_OK;
}

ox_err
ox__segment_header_decode(const uint8_t in[OX_JOURNAL_HEADER_BYTES], struct ox__seg *seg, uint32_t *kind)
{
    memset(seg, 0, sizeof(*seg));
    ox_err err = decode_copy(in, seg, kind);
    if (err != OX_E_CORRUPT)
        return err;
    return decode_copy(in + HEADER_COPY_AT, seg, kind);
}

uint32_t
ox__segment_magic(uint64_t salt)
{
    uint32_t magic = (uint32_t)((salt * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    /* Zeroed and erased flash must not look like entries. */
    return magic == 0 || magic == UINT32_MAX ? 0x4f584a45u : magic;
}

uint32_t
ox__entry_crc_begin(uint64_t salt, uint64_t seq, uint32_t magic, uint32_t len, int64_t timestamp_ns)
{
    uint8_t key[32];
    ox__put64(key, salt);
    ox__put64(key + 8, seq);
    ox__put32(key + 16, magic);
    ox__put32(key + 20, len);
    ox__put64(key + 24, (uint64_t)timestamp_ns);
    return ox_crc32c(0, key, sizeof(key));
}

static ox_err
new_salt(const struct ox_journal *j, uint64_t *salt)
{
    if (j->options.random != NULL) {
        *salt = j->options.random(j->options.random_arg);
        return OX_OK;
    }
    return ox_random_os(salt, sizeof(*salt));
}

/* A file of full size under a name that recovery ignores. */
static ox_err
make_tmp(struct ox_journal *j, const char *path, uint64_t capacity, int *fd)
{
    ox_err err = ox_disk_open(j->disk, path, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE,
                              0600, fd);
    if (err != OX_OK)
        return err == OX_E_NOT_FOUND ? OX_E_IO : err; /* the directory is gone: nobody's "not found" */
    err = ox_disk_fallocate(j->disk, *fd, capacity);
    if (err == OX_OK || err == OX_E_UNIMPLEMENTED)
        return OX_OK; /* without preallocation a full disk shows up at the commit instead of here */
    int cause = errno;
    ox_disk_close(j->disk, *fd);
    ox__ignore(ox_disk_unlink(j->disk, path));
    errno = cause;
    return err;
}

/* Everything between the header's first byte and a durable name. */
static ox_err
publish(struct ox_journal *j, const struct ox__seg *seg, int fd, const char *tmp, const char *path)
{
    uint8_t header[OX_JOURNAL_HEADER_BYTES];
    ox__segment_header_encode(seg, j->options.kind, header);
    ox_err err = ox_disk_write_all(j->disk, fd, header, sizeof(header), 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(j->disk, fd);
    if (err == OX_OK)
        err = ox_disk_rename(j->disk, tmp, path);
    if (err == OX_OK)
        err = ox_disk_fsync_dir(j->disk, j->dir);
    if (err != OX_OK) {
        /* The same number is tried again with the same prev_end, so it does no harm if this file comes back.
         */
        int cause = errno;
        ox__ignore(ox_disk_unlink(j->disk, tmp));
        ox__ignore(ox_disk_unlink(j->disk, path));
        errno = cause;
    }
    return err == OX_E_NOT_FOUND ? OX_E_IO : err;
}

/* Gives the unused rest of the sealed segment back. Without effect on what is valid, so failures do not
 * matter. */
static void
cut_old(struct ox_journal *j, uint64_t number, uint64_t end)
{
    char path[OX_DISK_PATH_MAX];
    int fd = j->fd;
    if (fd < 0) {
        ox__segment_path(j, number, "seg", path, sizeof(path));
        if (ox_disk_open(j->disk, path, OX_DISK_WRITE, 0, &fd) != OX_OK)
            return;
    }
    ox_err err = ox_disk_ftruncate(j->disk, fd, end);
    ox_disk_close(j->disk, fd);
    j->fd = -1;
    ox_lock(&j->lock);
    struct ox__seg *old = ox__table_at(j, number);
    if (err == OX_OK && old != NULL && old->number == number)
        old->file_bytes = end;
    ox_unlock(&j->lock);
}

static void
seal_newest(struct ox_journal *j, struct ox__seg *old)
{
    ox_lock(&j->lock);
    struct ox__seg *newest = ox__table_newest(j);
    memset(old, 0, sizeof(*old));
    if (newest != NULL)
        *old = *newest;
    j->active = false;
    ox_unlock(&j->lock);
}

static ox_err
take_over(struct ox_journal *j, struct ox__seg *seg, int fd)
{
    ox_lock(&j->lock);
    ox_err err = ox__table_add(j, seg);
    if (err == OX_OK) {
        j->active = true;
        j->counts.segments_created++;
        j->next_seq = seg->first_seq + seg->end;
    }
    ox_unlock(&j->lock);
    if (err != OX_OK)
        return err;
    j->fd = fd;
    j->cur = *seg;
    j->write_off = j->next_off = seg->end;
    j->next_number = seg->number + 1;
    j->next_first_seq = seg->first_seq + seg->capacity;
    return OX_OK;
}

ox_err
ox__segment_next(struct ox_journal *j, uint64_t entry_bytes)
{
    char tmp[OX_DISK_PATH_MAX], path[OX_DISK_PATH_MAX];
    struct ox__seg seg = {.number = j->next_number, .first_seq = j->next_first_seq}, old;
    uint64_t least = OX_JOURNAL_HEADER_BYTES + entry_bytes;
    int fd;
    seg.capacity = j->options.segment_bytes > least ? j->options.segment_bytes : least;
    ox__segment_path(j, seg.number, "tmp", tmp, sizeof(tmp));
    ox__segment_path(j, seg.number, "seg", path, sizeof(path));
    /* First what a full disk refuses: nothing has changed then, and the old segment goes on. */
    ox_err err = new_salt(j, &seg.salt);
    if (err == OX_OK)
        err = make_tmp(j, tmp, seg.capacity, &fd);
    if (err != OX_OK)
        return err;
    err = ox__group_sync(j);
    if (err == OX_OK) {
        /* From here on the old segment is final, whatever becomes of the new one: a header that says where it
         * ends may already be on the disk, and what were appended behind that would count as aborted. */
        seal_newest(j, &old);
        seg.prev_end = old.end;
        seg.end = OX_JOURNAL_HEADER_BYTES;
        seg.file_bytes = seg.capacity;
        err = publish(j, &seg, fd, tmp, path);
    } else {
        ox__ignore(ox_disk_unlink(j->disk, tmp));
    }
    int cause = errno;
    if (err == OX_OK) {
        if (old.number != 0)
            cut_old(j, old.number, old.end);
        err = take_over(j, &seg, fd);
        cause = errno;
    }
    if (err != OX_OK)
        ox_disk_close(j->disk, fd);
    errno = cause;
    return err;
}

/* ---- whose segments these are ---- */

const char *
ox_journal_kind_name(uint32_t kind)
{
    switch (kind) {
    case OX_JOURNAL_WAL:
        return "wal";
    case OX_JOURNAL_OUTBOX:
        return "outbox";
    case OX_JOURNAL_BACKLOG:
        return "backlog";
    case OX_JOURNAL_TEST:
        return "test";
    default:
        return "unknown";
    }
}

struct kind_search {
    struct ox_disk *disk;
    const char *dir;
    bool found;
    uint32_t kind;
};

/* Listing callback: stops at the first header that can be read. */
static bool
look_at_header(void *arg, const char *name)
{
    struct kind_search *s = arg;
    char path[OX_DISK_PATH_MAX];
    uint8_t block[OX_JOURNAL_HEADER_BYTES] = {0};
    struct ox__seg seg;
    uint64_t number;
    int fd;
    if (!ox__segment_name(name, "seg", &number) && !ox__segment_name(name, "moved", &number))
        return true;
    int n = snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    if (n <= 0 || (size_t)n >= sizeof(path) || ox_disk_open(s->disk, path, OX_DISK_READ, 0, &fd) != OX_OK)
        return true;
    if (ox_disk_read_all(s->disk, fd, block, sizeof(block), 0) == OX_OK)
        s->found = ox__segment_header_decode(block, &seg, &s->kind) == OX_OK;
    ox_disk_close(s->disk, fd);
    return !s->found;
}

ox_err
ox_journal_kind_of(struct ox_disk *disk, const char *dir, enum ox_journal_kind *kind, struct ox_diag *diag)
{
    struct kind_search s = {.disk = disk, .dir = dir};
    ox_err err = ox_disk_list(disk, dir, look_at_header, &s);
    if (err != OX_OK)
        return ox_diag_set(diag, err, "dir", -1, "%s cannot be listed: %s", dir, strerror(errno));
    if (!s.found)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "dir", -1,
                           "%s holds no segment of a journal whose header can be read", dir);
    *kind = (enum ox_journal_kind)s.kind;
    return OX_OK;
}
