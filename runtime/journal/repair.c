/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/repair.c - what an operator may do to a damaged journal, and a start must not guess.
 *
 * Owns:    nothing beyond the call.
 * Threads: the caller; nobody else has the journal open.
 * Bounds:  one entry or chunk in memory; OX_JOURNAL_STEPS_MAX steps in full.
 * Fails:   see include/ox/journal_repair.h.
 * Flow:    ox_journal_repair -> names -> contents -> the disk seam.
 *
 * Names first. A file whose header says another number goes to <number>.moved, and from there to <number>.seg, so that
 * two that were swapped can pass one another; a crash between leaves .moved files, which the next repair takes up, and
 * a gap in the numbers that every start reports.
 *
 * Then contents. A file that needs a change is written anew as .tmp (which a start removes), synced, and renamed over the
 * old one, after the old one was copied and synced elsewhere. At every moment one whole file has the name.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/crc32c.h"
#include "ox/journal_repair.h"
#include "runtime/journal/journal_internal.h"

/* Fillers are written in pieces of this size. */
#define ZEROS_BYTES 65536u

struct file {
    uint64_t name; /* the number that the file's name says */
    struct ox__seg seg;
    bool moved;       /* it is called .moved */
    bool sound;       /* seg is what its header says, and it is one of this journal's */
    bool half_header; /* the two copies are not the same */
};

struct repair {
    struct ox_journal j; /* for paths: disk, dir, options.kind */
    const char *aside;
    struct ox_journal_repair *report;
    struct ox_diag *diag;
    struct file *files; /* in the order of their names, later of their numbers */
    size_t n, cap;
    bool failed;
};

const char *
ox_journal_step_name(enum ox_journal_step_kind kind)
{
    static const char *const names[] = {"rename", "header", "fill", "leave"};
    OX_ASSERT((size_t)kind < OX_COUNT(names));
    return names[kind];
}

static void OX_PRINTF(6, 7) step(struct repair *r, enum ox_journal_step_kind kind, const struct file *f,
                                 uint64_t offset, uint64_t bytes, const char *fmt, ...)
{
    struct ox_journal_repair *report = r->report;
    report->steps_total++;
    report->left += kind == OX_JOURNAL_STEP_LEAVE;
    if (report->n_steps == OX_JOURNAL_STEPS_MAX)
        return;
    struct ox_journal_step *s = &report->steps[report->n_steps++];
    *s = (struct ox_journal_step){.kind = kind, .segment = f->name, .offset = offset, .bytes = bytes};
    if (bytes > 0 && f->sound) {
        s->seq_from = f->seg.first_seq + offset;
        s->seq_to = s->seq_from + bytes;
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->text, sizeof(s->text), fmt, ap);
    va_end(ap);
}

static ox_err
io_failed(struct repair *r, ox_err err, const char *what, const char *path)
{
    return ox_diag_set(r->diag, err == OX_E_NOT_FOUND ? OX_E_IO : err, "dir", -1, "cannot %s %s: %s", what,
                       path, strerror(errno));
}

/* ---- names ---- */

static bool
note_name(void *arg, const char *name)
{
    struct repair *r = arg;
    uint64_t number;
    bool moved = ox__segment_name(name, "moved", &number);
    if (!moved && !ox__segment_name(name, "seg", &number))
        return true;
    if (r->n == r->cap) {
        size_t cap = r->cap != 0 ? r->cap * 2 : 64;
        struct file *files = realloc(r->files, cap * sizeof(*files));
        if (files == NULL) {
            r->failed = true;
            return false;
        }
        r->files = files;
        r->cap = cap;
    }
    r->files[r->n++] = (struct file){.name = number, .moved = moved};
    return true;
}

static int
by_number(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    uint64_t m = x->sound ? x->seg.number : x->name, n = y->sound ? y->seg.number : y->name;
    return m < n ? -1 : m > n;
}

static ox_err
read_header(struct repair *r, struct file *f)
{
    struct ox_disk *disk = r->j.disk;
    char path[OX_DISK_PATH_MAX];
    uint8_t block[OX_JOURNAL_HEADER_BYTES] = {0}, whole[OX_JOURNAL_HEADER_BYTES];
    uint32_t kind = 0;
    uint64_t size = 0;
    size_t got;
    int fd;
    ox__segment_path(&r->j, f->name, f->moved ? "moved" : "seg", path, sizeof(path));
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return io_failed(r, err, "open", path);
    err = ox_disk_size(disk, fd, &size);
    if (ox_disk_read_all(disk, fd, block, sizeof(block), 0) != OX_OK)
        ox__ignore(ox_disk_pread(disk, fd, block, sizeof(block), 0, &got)); /* as damaged as it reads */
    ox_disk_close(disk, fd);
    if (err != OX_OK)
        return io_failed(r, err, "look at", path);
    err = ox__segment_header_decode(block, &f->seg, &kind);
    if (err == OX_E_UNIMPLEMENTED)
        return ox_diag_set(r->diag, err, "dir", -1, "%s was written by a newer version; use that one", path);
    f->seg.file_bytes = size;
    f->sound = err == OX_OK && kind == (uint32_t)r->j.options.kind;
    if (err != OX_OK)
        step(r, OX_JOURNAL_STEP_LEAVE, f, 0, size,
             "both copies of its header are damaged: the next start sets the file aside");
    else if (!f->sound)
        step(r, OX_JOURNAL_STEP_LEAVE, f, 0, size, "it belongs to a journal of another kind (%s)",
             ox_journal_kind_name(kind));
    if (!f->sound)
        return OX_OK;
    ox__segment_header_encode(&f->seg, r->j.options.kind, whole);
    f->half_header = memcmp(whole, block, 2048 + 72) != 0;
    return OX_OK;
}

static ox_err
find_files(struct repair *r)
{
    ox_err err = ox_disk_list(r->j.disk, r->j.dir, note_name, r);
    if (err != OX_OK)
        return io_failed(r, err, "list", r->j.dir);
    if (r->failed)
        return ox_diag_set(r->diag, OX_E_NOMEM, NULL, -1, "no memory for the list of segments");
    for (size_t i = 0; i < r->n && err == OX_OK; i++)
        err = read_header(r, &r->files[i]);
    r->report->segments = r->n;
    return err;
}

/* Whether another file has the better claim to the number of files[at], or holds a name that it would take. */
static bool
is_taken(const struct repair *r, size_t at)
{
    const struct file *f = &r->files[at];
    for (size_t i = 0; i < r->n; i++) {
        const struct file *o = &r->files[i];
        if (i == at)
            continue;
        if (o->name == f->seg.number && (o->moved || !o->sound || o->seg.number == o->name))
            return true;
        if (o->sound && o->seg.number == f->seg.number && i < at)
            return true; /* two copies under wrong names: the first */
    }
    return false;
}

static ox_err
rename_file(struct repair *r, struct file *f, uint64_t to_number, bool to_moved)
{
    char from[OX_DISK_PATH_MAX], to[OX_DISK_PATH_MAX];
    ox__segment_path(&r->j, f->name, f->moved ? "moved" : "seg", from, sizeof(from));
    ox__segment_path(&r->j, to_number, to_moved ? "moved" : "seg", to, sizeof(to));
    ox_err err = ox_disk_rename(r->j.disk, from, to);
    if (err != OX_OK)
        return io_failed(r, err, "rename", from);
    f->name = to_number;
    f->moved = to_moved;
    return OX_OK;
}

static bool
is_misnamed(const struct file *f)
{
    return f->sound && (f->moved || f->name != f->seg.number);
}

/* Leaves those that cannot have their own name. Each that stays where it is may be in the way of another: until none is. */
static void
leave_taken(struct repair *r)
{
    bool again = true;
    while (again) {
        again = false;
        for (size_t i = 0; i < r->n; i++) {
            struct file *f = &r->files[i];
            if (!is_misnamed(f) || !is_taken(r, i))
                continue;
            step(r, OX_JOURNAL_STEP_LEAVE, f, 0, f->seg.file_bytes,
                 "its header says that it is segment %llu, and the file of that name stays",
                 (unsigned long long)f->seg.number);
            f->sound = false;
            again = true;
        }
    }
}

/* All that are misnamed to .moved, or all that are .moved to their names. */
static ox_err
rename_all(struct repair *r, bool to_moved)
{
    ox_err err = OX_OK;
    for (size_t i = 0; i < r->n && err == OX_OK; i++) {
        struct file *f = &r->files[i];
        if (is_misnamed(f) && f->moved != to_moved)
            err = rename_file(r, f, f->seg.number, to_moved);
    }
    return err;
}

static ox_err
mend_names(struct repair *r)
{
    leave_taken(r);
    for (size_t i = 0; i < r->n; i++) {
        if (!is_misnamed(&r->files[i]))
            continue;
        step(r, OX_JOURNAL_STEP_RENAME, &r->files[i], 0, 0, "its header says that it is segment %llu",
             (unsigned long long)r->files[i].seg.number);
        r->report->files_renamed++;
    }
    if (r->aside == NULL || r->report->files_renamed == 0)
        return OX_OK;
    ox_err err = rename_all(r, true);
    if (err == OX_OK)
        err = rename_all(r, false);
    if (err == OX_OK && ox_disk_fsync_dir(r->j.disk, r->j.dir) != OX_OK)
        err = io_failed(r, OX_E_IO, "sync", r->j.dir);
    return err;
}

/* ---- contents ---- */

/* One filler over [from, to), which is as long as an entry may be. */
static ox_err
write_filler(struct ox_disk *disk, int fd, const struct ox__seg *seg, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[ZEROS_BYTES];
    uint8_t head[OX_JOURNAL_ENTRY_OVERHEAD];
    uint32_t len = (uint32_t)(to - from - OX_JOURNAL_ENTRY_OVERHEAD), magic = ox__segment_magic(seg->salt);
    uint32_t crc = ox__entry_crc_begin(seg->salt, seg->first_seq + from, magic, len, OX__FILLER_NS);
    for (uint32_t left = len; left > 0; left -= left < ZEROS_BYTES ? left : ZEROS_BYTES)
        crc = ox_crc32c(crc, zeros, left < ZEROS_BYTES ? left : ZEROS_BYTES);
    ox__put32(head, magic);
    ox__put32(head + 4, len);
    ox__put32(head + 8, crc);
    ox__put64(head + 12, (uint64_t)OX__FILLER_NS);
    ox_err err = ox_disk_write_all(disk, fd, head, sizeof(head), from);
    for (uint64_t off = from + sizeof(head); err == OX_OK && off < to;) {
        size_t n = to - off < ZEROS_BYTES ? (size_t)(to - off) : ZEROS_BYTES;
        err = ox_disk_write_all(disk, fd, zeros, n, off);
        off += n;
    }
    return err;
}

static ox_err
fill(struct ox_disk *disk, int fd, const struct ox__seg *seg, uint64_t from, uint64_t to)
{
    ox_err err = OX_OK;
    while (err == OX_OK && from < to) {
        uint64_t upto = to;
        /* In halves: neither is too short to be an entry. */
        while (upto - from > OX_JOURNAL_ENTRY_BYTES_MAX)
            upto = from + (upto - from) / 2;
        err = write_filler(disk, fd, seg, from, upto);
        from = upto;
    }
    return err;
}

/* What is wrong with one segment's content. */
struct plan {
    struct {
        uint64_t from, to;
    } * bad;
    size_t n, cap;
    bool header;
    uint64_t entries_end; /* behind the last entry */
    uint64_t size;        /* of the new file */
};

static ox_err
plan_add(struct repair *r, struct plan *p, uint64_t from, uint64_t to)
{
    if (p->n == p->cap) {
        size_t cap = p->cap != 0 ? p->cap * 2 : 16;
        void *bad = realloc(p->bad, cap * sizeof(*p->bad));
        if (bad == NULL)
            return ox_diag_set(r->diag, OX_E_NOMEM, NULL, -1, "no memory for a list of damage");
        p->bad = bad;
        p->cap = cap;
    }
    p->bad[p->n].from = from;
    p->bad[p->n++].to = to;
    return OX_OK;
}

/* A range that can be filled goes into the plan, another is left. */
static ox_err
judge_bad(struct repair *r, const struct file *f, struct plan *p, uint64_t from, uint64_t to)
{
    if (to - from < OX_JOURNAL_ENTRY_OVERHEAD) {
        step(r, OX_JOURNAL_STEP_LEAVE, f, from, to - from, "too few bytes for a filler");
        return OX_OK;
    }
    step(r, OX_JOURNAL_STEP_FILL, f, from, to - from, "%llu bytes that are no entry; what was there is lost",
         (unsigned long long)(to - from));
    r->report->filled_bytes += to - from;
    return plan_add(r, p, from, to);
}

/* The same walk as in recovery: where the next segment says that this one ends, everything before is entries. */
static ox_err
examine(struct repair *r, const struct file *f, const struct file *next, int fd, struct plan *p)
{
    struct ox__scan scan;
    struct ox__scan_item item;
    enum ox__scan_result got;
    const struct ox__seg *seg = &f->seg;
    bool known = next != NULL && next->seg.number == seg->number + 1 &&
                 next->seg.prev_end >= OX_JOURNAL_HEADER_BYTES && next->seg.prev_end <= seg->capacity;
    uint64_t size = seg->file_bytes, limit = known && next->seg.prev_end < size ? next->seg.prev_end : size;
    ox_err err = OX_OK;
    ox__scan_init(&scan, r->j.disk, fd, seg, OX_JOURNAL_HEADER_BYTES, limit);
    bool bad_tail = false;
    while (err == OX_OK && (got = ox__scan_next(&scan, &item)) != OX__SCAN_END) {
        bad_tail = got == OX__SCAN_BAD;
        if (bad_tail)
            p->entries_end = item.offset;
        if (got == OX__SCAN_FAILED)
            err = ox_diag_set(r->diag, OX_E_NOMEM, NULL, -1, "no memory to read a segment");
        else if (bad_tail && (item.bad_to < limit || (known && size >= next->seg.prev_end)))
            err = judge_bad(r, f, p, item.offset, item.bad_to);
        else if (bad_tail && !known && ox__tail_is_damage(r->j.disk, fd, seg, &item))
            err = judge_bad(r, f, p, item.offset, item.nonzero_to);
        else if (bad_tail && known) /* goes on into what is missing */
            err = judge_bad(r, f, p, item.offset, next->seg.prev_end);
    }
    if (!bad_tail)
        p->entries_end = scan.pos;
    if (err == OX_OK && known && size < next->seg.prev_end &&
        (p->n == 0 || p->bad[p->n - 1].to < next->seg.prev_end))
        err = judge_bad(r, f, p, size, next->seg.prev_end);
    p->size = known && size < next->seg.prev_end ? next->seg.prev_end : size;
    ox__scan_fini(&scan);
    return err;
}

/* Sector errors without a bad entry lie where nothing stands: nothing to mend. */
static bool
needs_writing(const struct plan *p)
{
    return p->n > 0 || p->header;
}

static ox_err
keep_original(struct repair *r, const struct file *f, int fd)
{
    struct ox_disk *disk = r->j.disk;
    char path[OX_DISK_PATH_MAX];
    int copy;
    int n = snprintf(path, sizeof(path), "%s/%016llx.seg", r->aside, (unsigned long long)f->seg.number);
    if (n <= 0 || (size_t)n >= sizeof(path))
        return ox_diag_set(r->diag, OX_E_TOO_LARGE, "aside", -1, "the path %s is too long", r->aside);
    ox_err err = ox_disk_ensure_dir(disk, r->aside);
    if (err == OX_OK)
        err = ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_EXCLUSIVE, 0600, &copy);
    if (err == OX_E_EXISTS)
        return ox_diag_set(r->diag, err, "aside", -1,
                           "%s is there already: name an empty folder, no original is replaced", path);
    if (err != OX_OK)
        return io_failed(r, err, "make", path);
    err = ox__copy_bytes(disk, fd, copy, 0, f->seg.file_bytes);
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, copy);
    ox_disk_close(disk, copy);
    if (err == OX_OK)
        err = ox_disk_fsync_dir(disk, r->aside);
    return err == OX_OK ? OX_OK : io_failed(r, err, "copy the original to", path);
}

/* Entries that can be read: here a refusal of the disk must not pass for zeros. */
static ox_err
copy_entries(struct ox_disk *disk, int fd, int to, uint64_t from, uint64_t upto)
{
    uint8_t *piece = malloc(ZEROS_BYTES);
    ox_err err = piece != NULL ? OX_OK : OX_E_NOMEM;
    while (from < upto && err == OX_OK) {
        size_t n = upto - from < ZEROS_BYTES ? (size_t)(upto - from) : ZEROS_BYTES;
        err = ox_disk_read_all(disk, fd, piece, n, from);
        if (err == OX_OK)
            err = ox_disk_write_all(disk, to, piece, n, from);
        from += n;
    }
    free(piece);
    return err;
}

/* Entries as they are, fillers over what is none. What lies behind the last entry means nothing and is not taken along. */
static ox_err
write_new(struct repair *r, const struct file *f, int fd, const struct plan *p, int to)
{
    struct ox_disk *disk = r->j.disk;
    uint8_t header[OX_JOURNAL_HEADER_BYTES];
    ox__segment_header_encode(&f->seg, r->j.options.kind, header);
    uint64_t at = sizeof(header);
    ox_err err = ox_disk_ftruncate(disk, to, p->size);
    if (err == OX_OK)
        err = ox_disk_write_all(disk, to, header, sizeof(header), 0);
    for (size_t i = 0; i < p->n && err == OX_OK; i++) {
        err = copy_entries(disk, fd, to, at, p->bad[i].from);
        if (err == OX_OK)
            err = fill(disk, to, &f->seg, p->bad[i].from, p->bad[i].to);
        at = p->bad[i].to;
    }
    if (err == OX_OK && at < p->entries_end)
        err = copy_entries(disk, fd, to, at, p->entries_end);
    return err == OX_OK ? ox_disk_fdatasync(disk, to) : err;
}

static ox_err
replace(struct repair *r, const struct file *f, int fd, const struct plan *p)
{
    struct ox_disk *disk = r->j.disk;
    char tmp[OX_DISK_PATH_MAX], path[OX_DISK_PATH_MAX];
    int to;
    ox__segment_path(&r->j, f->seg.number, "tmp", tmp, sizeof(tmp));
    ox__segment_path(&r->j, f->seg.number, "seg", path, sizeof(path));
    ox_err err = keep_original(r, f, fd);
    if (err != OX_OK)
        return err;
    err =
        ox_disk_open(disk, tmp, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &to);
    if (err != OX_OK)
        return io_failed(r, err, "make", tmp);
    err = write_new(r, f, fd, p, to);
    ox_disk_close(disk, to);
    if (err == OX_OK)
        err = ox_disk_rename(disk, tmp, path);
    if (err == OX_OK)
        err = ox_disk_fsync_dir(disk, r->j.dir);
    if (err != OX_OK)
        return io_failed(r, err, "replace", path);
    r->report->files_replaced++;
    return OX_OK;
}

static ox_err
mend_content(struct repair *r, const struct file *f, const struct file *next)
{
    char path[OX_DISK_PATH_MAX];
    struct plan p = {.header = f->half_header};
    int fd;
    /* Only said, not done, the file may still be under its old name. */
    ox__segment_path(&r->j, f->name, f->moved ? "moved" : "seg", path, sizeof(path));
    ox_err err = ox_disk_open(r->j.disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return io_failed(r, err, "open", path);
    if (p.header)
        step(r, OX_JOURNAL_STEP_HEADER, f, 0, 0, "one copy of its header is damaged; the other is whole");
    err = examine(r, f, next, fd, &p);
    if (err == OX_OK && needs_writing(&p) && r->aside != NULL)
        err = replace(r, f, fd, &p);
    ox_disk_close(r->j.disk, fd);
    free(p.bad);
    return err;
}

/* Segments that follow one another, sound ones only; those out of order are left. */
static ox_err
mend_contents(struct repair *r)
{
    struct file *prev = NULL;
    ox_err err = OX_OK;
    if (r->n > 0)
        qsort(r->files, r->n, sizeof(*r->files), by_number);
    for (size_t i = 0; i < r->n && err == OX_OK; i++) {
        struct file *f = &r->files[i];
        if (!f->sound)
            continue;
        if (prev != NULL && f->seg.first_seq < prev->seg.first_seq + prev->seg.capacity) {
            step(r, OX_JOURNAL_STEP_LEAVE, f, 0, f->seg.file_bytes,
                 "it begins at sequence %llu, inside the one before it: the next start sets it aside",
                 (unsigned long long)f->seg.first_seq);
            continue;
        }
        for (uint64_t gap = prev != NULL ? prev->seg.number + 1 : f->seg.number;
             gap < f->seg.number && r->report->steps_total < OX_JOURNAL_STEPS_MAX; gap++) {
            struct file missing = {.name = gap};
            step(r, OX_JOURNAL_STEP_LEAVE, &missing, 0, 0, "it is not there, and with it what it held");
        }
        if (prev != NULL)
            err = mend_content(r, prev, f);
        prev = f;
    }
    return err == OX_OK && prev != NULL ? mend_content(r, prev, NULL) : err;
}

ox_err
ox_journal_repair(struct ox_disk *disk, const char *dir, enum ox_journal_kind kind, const char *aside,
                  struct ox_journal_repair *report, struct ox_diag *diag)
{
    struct repair *r = calloc(1, sizeof(*r));
    memset(report, 0, sizeof(*report));
    if (r == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for a repair");
    r->j.disk = disk;
    r->j.options.kind = kind;
    r->aside = aside;
    r->report = report;
    r->diag = diag;
    int n = snprintf(r->j.dir, sizeof(r->j.dir), "%s", dir);
    ox_err err = n > 0 && (size_t)n + 40 < sizeof(r->j.dir)
                     ? OX_OK
                     : ox_diag_set(diag, OX_E_TOO_LARGE, "dir", -1, "the path %s is too long", dir);
    if (err == OX_OK)
        err = find_files(r);
    if (err == OX_OK)
        err = mend_names(r);
    if (err == OX_OK)
        err = mend_contents(r);
    free(r->files);
    free(r);
    return err;
}
