/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/recover.c - what opening does: finds the segments, checks every entry, tells what is not
 * right.
 *
 * Owns:    nothing beyond the call.
 * Threads: the opener; nobody else knows the journal yet.
 * Bounds:  OX_JOURNAL_FINDINGS_MAX findings in full, OX_JOURNAL_DAMAGED_FILES_MAX files kept.
 * Fails:   OX_E_IO, OX_E_NOMEM, OX_E_UNIMPLEMENTED (written by a newer version); never for damage.
 * Flow:    ox_journal_open -> here -> scan.c. The rules: runtime/journal/journal.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/journal/journal_internal.h"

/* Damaged bytes are copied in pieces of this size. */
#define COPY_BYTES 65536u
/* What a disk writes whole or not at all, in the view of an interrupted write. */
#define TAIL_SECTOR_BYTES 512u

struct numbers {
    uint64_t *at;
    size_t n, cap;
    bool failed;
};

struct recovery {
    struct ox_journal *j;
    struct ox_journal_report *report;
    struct ox_diag *diag;
    struct numbers found;     /* segments */
    struct numbers set_aside; /* numbers whose file was set aside, now or before */
    struct numbers leftovers; /* .tmp of a creation that was interrupted */
    uint64_t damaged_files;
    bool known; /* of the next finding */
    uint64_t highest_number;
    uint64_t uncertain; /* added to the next first sequence: space for what could not be read */
};

const char *
ox_journal_finding_name(enum ox_journal_finding_kind kind)
{
    static const char *const names[] = {"torn_tail",       "aborted",    "bad_bytes",
                                        "gap_in_tail",     "bad_header", "foreign_segment",
                                        "missing_segment", "unreadable", "filled"};
    OX_ASSERT((size_t)kind < OX_COUNT(names));
    return names[kind];
}

bool
ox_journal_finding_is_damage(enum ox_journal_finding_kind kind)
{
    return kind != OX_JOURNAL_TORN_TAIL && kind != OX_JOURNAL_ABORTED && kind != OX_JOURNAL_FILLED;
}

static void OX_PRINTF(6, 7)
    finding(struct recovery *r, enum ox_journal_finding_kind kind, const struct ox__seg *seg, uint64_t offset,
            uint64_t bytes, const char *fmt, ...)
{
    struct ox_journal_report *report = r->report;
    bool damage = ox_journal_finding_is_damage(kind);
    report->findings_total++;
    report->damage_total += damage && !r->known;
    report->damaged_bytes += damage ? bytes : 0;
    bool known = r->known;
    r->known = false;
    if (report->n_findings == OX_JOURNAL_FINDINGS_MAX)
        return;
    struct ox_journal_finding *f = &report->findings[report->n_findings++];
    *f = (struct ox_journal_finding){
        .kind = kind, .segment = seg->number, .offset = offset, .bytes = bytes, .known = known};
    if (kind != OX_JOURNAL_BAD_HEADER && kind != OX_JOURNAL_FOREIGN_SEGMENT &&
        kind != OX_JOURNAL_MISSING_SEGMENT) {
        f->seq_from = seg->first_seq + offset;
        f->seq_to = f->seq_from + bytes;
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof(f->text), fmt, ap);
    va_end(ap);
}

static void
numbers_add(struct numbers *list, uint64_t number)
{
    if (list->n == list->cap) {
        size_t cap = list->cap != 0 ? list->cap * 2 : 64;
        uint64_t *at = realloc(list->at, cap * sizeof(*at));
        if (at == NULL) {
            list->failed = true;
            return;
        }
        list->at = at;
        list->cap = cap;
    }
    list->at[list->n++] = number;
}

static bool
numbers_have(const struct numbers *list, uint64_t number)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->at[i] == number)
            return true;
    }
    return false;
}

static int
by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool
note_name(void *arg, const char *name)
{
    struct recovery *r = arg;
    uint64_t number;
    size_t n = strlen(name);
    if (ox__segment_name(name, "seg", &number))
        numbers_add(&r->found, number);
    else if (ox__segment_name(name, "seg.damaged", &number))
        numbers_add(&r->set_aside, number);
    else if (ox__segment_name(name, "tmp", &number))
        numbers_add(&r->leftovers, number);
    else
        number = 0;
    if (number > r->highest_number && !ox__segment_name(name, "tmp", &number))
        r->highest_number = number;
    if (n > 8 && strcmp(name + n - 8, ".damaged") == 0)
        r->damaged_files++;
    return true;
}

static void
set_aside_file(struct recovery *r, uint64_t number)
{
    char from[OX_DISK_PATH_MAX], to[OX_DISK_PATH_MAX];
    numbers_add(&r->set_aside, number);
    r->uncertain += OX__SEQ_GAP;
    if (r->j->options.read_only)
        return;
    ox__segment_path(r->j, number, "seg", from, sizeof(from));
    ox__segment_path(r->j, number, "seg.damaged", to, sizeof(to));
    /* If this fails, the next start finds and reports it again: nothing depends on it. */
    if (ox_disk_rename(r->j->disk, from, to) == OX_OK)
        ox__ignore(ox_disk_fsync_dir(r->j->disk, r->j->dir));
    r->damaged_files++;
}

/* A refusal that does not come again costs nothing; one that stays costs its sector. */
static void
read_lenient(struct ox_disk *disk, int fd, uint8_t *to, size_t n, uint64_t off)
{
    if (ox_disk_read_all(disk, fd, to, n, off) == OX_OK)
        return;
    for (size_t at = 0; at < n; at += OX__SECTOR_BYTES) {
        size_t part = n - at < OX__SECTOR_BYTES ? n - at : OX__SECTOR_BYTES;
        memset(to + at, 0, part);
        if (ox_disk_read_all(disk, fd, to + at, part, off + at) != OX_OK)
            memset(to + at, 0, part);
    }
}

ox_err
ox__copy_bytes(struct ox_disk *disk, int from_fd, int to_fd, uint64_t from, uint64_t to)
{
    uint8_t *piece = malloc(COPY_BYTES);
    ox_err err = piece != NULL ? OX_OK : OX_E_NOMEM;
    for (uint64_t off = from; off < to && err == OX_OK;) {
        size_t n = to - off < COPY_BYTES ? (size_t)(to - off) : COPY_BYTES;
        read_lenient(disk, from_fd, piece, n, off);
        err = ox_disk_write_all(disk, to_fd, piece, n, off - from);
        off += n;
    }
    free(piece);
    return err;
}

/* Keeps [from, to) of a segment in a file of its own, for whoever wants to look into it. True: an earlier start
 * has done so. Failing changes nothing: the finding is reported in any case. */
static bool
keep_bytes(struct recovery *r, int fd, const struct ox__seg *seg, uint64_t from, uint64_t to)
{
    struct ox_disk *disk = r->j->disk;
    char suffix[48], path[OX_DISK_PATH_MAX];
    int copy;
    snprintf(suffix, sizeof(suffix), "%016llx.damaged", (unsigned long long)from);
    ox__segment_path(r->j, seg->number, suffix, path, sizeof(path));
    if (ox_disk_open(disk, path, OX_DISK_READ, 0, &copy) == OX_OK) {
        ox_disk_close(disk, copy);
        return true;
    }
    if (r->j->options.read_only || r->damaged_files >= OX_JOURNAL_DAMAGED_FILES_MAX ||
        ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_EXCLUSIVE, 0600, &copy) != OX_OK)
        return false;
    r->damaged_files++;
    ox__ignore(ox__copy_bytes(disk, fd, copy, from, to));
    ox_disk_close(disk, copy);
    return false;
}

static void
count_entry(struct recovery *r, struct ox__seg *seg, const struct ox__scan_item *item)
{
    r->report->entries++;
    r->report->payload_bytes += item->len;
    if (seg->entries == 0 || item->timestamp_ns < seg->oldest_ns)
        seg->oldest_ns = item->timestamp_ns;
    if (seg->entries == 0 || item->timestamp_ns > seg->newest_ns)
        seg->newest_ns = item->timestamp_ns;
    seg->entries++;
    seg->end = item->offset + OX_JOURNAL_ENTRY_OVERHEAD + item->len;
}

/* An interrupted write leaves zeros where it did not come to, from some page or sector on; where there are none, something
 * else has changed the bytes, and an acknowledged entry must not be cut off as if it had never been finished. */
bool
ox__tail_is_damage(struct ox_disk *disk, int fd, const struct ox__seg *seg, const struct ox__scan_item *bad)
{
    uint8_t head[OX_JOURNAL_ENTRY_OVERHEAD], piece[TAIL_SECTOR_BYTES];
    uint64_t left = bad->bad_to - bad->offset;
    if (left < sizeof(head) || ox_disk_read_all(disk, fd, head, sizeof(head), bad->offset) != OX_OK ||
        ox__get32(head) != ox__segment_magic(seg->salt) || ox__get32(head + 4) > left - sizeof(head))
        return false;
    uint64_t at = bad->offset, end = at + sizeof(head) + ox__get32(head + 4);
    if (end > bad->nonzero_to) /* its last byte is zero */
        return false;
    while (at < end) {
        size_t n = TAIL_SECTOR_BYTES - (size_t)(at % TAIL_SECTOR_BYTES);
        bool counts = n == TAIL_SECTOR_BYTES && (end - at >= n || at % OX__SECTOR_BYTES == 0);
        n = n < end - at ? n : (size_t)(end - at);
        if (ox_disk_read_all(disk, fd, piece, n, at) != OX_OK)
            return false;
        bool zero = piece[0] == 0 && memcmp(piece, piece + 1, n - 1) == 0;
        if (zero && counts)
            return false;
        at += n;
    }
    return true;
}

/* Bytes without an entry. `limit_known`: the next segment says that entries went on to there. */
static void
judge_bad(struct recovery *r, int fd, const struct ox__seg *seg, const struct ox__scan_item *bad,
          bool limit_known, bool more_behind)
{
    uint64_t bytes = (limit_known || more_behind ? bad->bad_to : bad->nonzero_to) - bad->offset;
    if (limit_known || more_behind)
        r->known = keep_bytes(r, fd, seg, bad->offset, bad->bad_to);
    if (limit_known) {
        finding(r, OX_JOURNAL_BAD_BYTES, seg, bad->offset, bytes,
                "segment %llu: %llu bytes of entries that are not what was written",
                (unsigned long long)seg->number, (unsigned long long)bytes);
    } else if (more_behind) {
        finding(r, OX_JOURNAL_GAP_IN_TAIL, seg, bad->offset, bytes,
                "segment %llu: %llu bytes that are no entry, with valid entries behind them: an "
                "unacknowledged group "
                "or damage",
                (unsigned long long)seg->number, (unsigned long long)bytes);
    } else if (bytes > 0 && ox__tail_is_damage(r->j->disk, fd, seg, bad)) {
        r->known = keep_bytes(r, fd, seg, bad->offset, bad->nonzero_to);
        finding(r, OX_JOURNAL_BAD_BYTES, seg, bad->offset, bytes,
                "segment %llu ends in an entry that was written whole and has been changed since: %llu bytes "
                "are lost",
                (unsigned long long)seg->number, (unsigned long long)bytes);
    } else if (bytes > 0) {
        finding(r, OX_JOURNAL_TORN_TAIL, seg, bad->offset, bytes,
                "segment %llu ends in a write of %llu bytes that was interrupted",
                (unsigned long long)seg->number, (unsigned long long)bytes);
    }
}

/* What a repair has filled was damage once: whoever keeps accounts of the entries has to know. */
static void
note_filler(struct recovery *r, struct ox__seg *seg, const struct ox__scan_item *item)
{
    uint64_t bytes = OX_JOURNAL_ENTRY_OVERHEAD + (uint64_t)item->len;
    r->report->filled_bytes += bytes;
    seg->end = item->offset + bytes;
    finding(r, OX_JOURNAL_FILLED, seg, item->offset, bytes,
            "segment %llu: %llu bytes were damaged, and filled by a repair; what was there is lost",
            (unsigned long long)seg->number, (unsigned long long)bytes);
}

/* Walks [header, limit) and fills what the table wants to know. */
static ox_err
check_entries(struct recovery *r, int fd, struct ox__seg *seg, uint64_t limit, bool limit_known)
{
    struct ox__scan scan;
    struct ox__scan_item item;
    enum ox__scan_result got;
    ox__scan_init(&scan, r->j->disk, fd, seg, OX_JOURNAL_HEADER_BYTES, limit);
    seg->end = OX_JOURNAL_HEADER_BYTES;
    while ((got = ox__scan_next(&scan, &item)) != OX__SCAN_END && got != OX__SCAN_FAILED) {
        if (got == OX__SCAN_ENTRY)
            count_entry(r, seg, &item);
        else if (got == OX__SCAN_FILLER)
            note_filler(r, seg, &item);
        else
            judge_bad(r, fd, seg, &item, limit_known, item.bad_to < limit);
    }
    if (scan.unreadable > 0)
        finding(r, OX_JOURNAL_UNREADABLE, seg, OX_JOURNAL_HEADER_BYTES, 0,
                "segment %llu: the disk refused to read %llu bytes", (unsigned long long)seg->number,
                (unsigned long long)scan.unreadable);
    ox__scan_fini(&scan);
    return got == OX__SCAN_FAILED ? OX_E_NOMEM : OX_OK;
}

/* What stands behind the declared end of a segment was refused when it was written. */
static ox_err
check_aborted(struct recovery *r, int fd, struct ox__seg *seg, uint64_t limit, uint64_t size)
{
    struct ox__scan scan;
    struct ox__scan_item item;
    uint64_t upto = limit;
    enum ox__scan_result got;
    ox__scan_init(&scan, r->j->disk, fd, seg, limit, size);
    while ((got = ox__scan_next(&scan, &item)) != OX__SCAN_END && got != OX__SCAN_FAILED) {
        uint64_t to = got == OX__SCAN_BAD ? item.nonzero_to : scan.pos;
        upto = to > upto ? to : upto;
    }
    ox__scan_fini(&scan);
    if (got == OX__SCAN_FAILED)
        return OX_E_NOMEM;
    if (upto > limit)
        finding(r, OX_JOURNAL_ABORTED, seg, limit, upto - limit,
                "segment %llu: %llu bytes behind its end, whose commit had failed, are ignored",
                (unsigned long long)seg->number, (unsigned long long)(upto - limit));
    /* The space is better used; failing leaves only waste. */
    if (!r->j->options.read_only && ox_disk_ftruncate(r->j->disk, fd, limit) == OX_OK)
        seg->file_bytes = limit;
    return OX_OK;
}

static ox_err
check_segment(struct recovery *r, struct ox__seg *seg, const struct ox__seg *next)
{
    struct ox_journal *j = r->j;
    char path[OX_DISK_PATH_MAX];
    int fd;
    ox__segment_path(j, seg->number, "seg", path, sizeof(path));
    bool write = !j->options.read_only;
    ox_err err = ox_disk_open(j->disk, path, OX_DISK_READ | (write ? OX_DISK_WRITE : 0), 0, &fd);
    if (err != OX_OK)
        return ox_diag_set(r->diag, OX_E_IO, "dir", -1, "cannot open %s: %s", path, strerror(errno));
    bool known = next != NULL && next->number == seg->number + 1 && next->prev_end >= OX_JOURNAL_HEADER_BYTES;
    uint64_t size = seg->file_bytes, limit = known && next->prev_end < size ? next->prev_end : size;
    limit = limit < OX_JOURNAL_HEADER_BYTES ? OX_JOURNAL_HEADER_BYTES : limit;
    err = check_entries(r, fd, seg, limit, known);
    if (err == OX_OK && known) {
        if (next->prev_end > size)
            finding(r, OX_JOURNAL_BAD_BYTES, seg, size, next->prev_end - size,
                    "segment %llu: its last %llu bytes are missing", (unsigned long long)seg->number,
                    (unsigned long long)(next->prev_end - size));
        if (size > limit)
            err = check_aborted(r, fd, seg, limit, size);
        seg->end = limit;
    }
    /* What was found may so far be in the page cache only: after the next power cut it must still be there.
     */
    if (err == OX_OK && write && next == NULL && ox_disk_fdatasync(j->disk, fd) != OX_OK)
        err = ox_diag_set(r->diag, OX_E_IO, "dir", -1, "cannot sync %s: %s", path, strerror(errno));
    ox_disk_close(j->disk, fd);
    return err;
}

enum header_state { HEADER_GOOD, HEADER_NOT_OURS, HEADER_VANISHED };

static ox_err
load_header(struct recovery *r, uint64_t number, struct ox__seg *seg, enum header_state *state)
{
    struct ox_journal *j = r->j;
    char path[OX_DISK_PATH_MAX];
    uint8_t block[OX_JOURNAL_HEADER_BYTES] = {0};
    uint32_t kind = 0;
    uint64_t size = 0;
    size_t got = 0;
    int fd;
    ox__segment_path(j, number, "seg", path, sizeof(path));
    *state = HEADER_VANISHED;
    ox_err err = ox_disk_open(j->disk, path, OX_DISK_READ, 0, &fd);
    if (err == OX_E_NOT_FOUND)
        return OX_OK; /* a reader beside a running server: released since the listing */
    if (err != OX_OK)
        return ox_diag_set(r->diag, err, "dir", -1, "cannot open %s: %s", path, strerror(errno));
    err = ox_disk_size(j->disk, fd, &size);
    /* A block that cannot be read is like one that is damaged. */
    if (err == OX_OK && ox_disk_read_all(j->disk, fd, block, sizeof(block), 0) != OX_OK)
        ox__ignore(ox_disk_pread(j->disk, fd, block, sizeof(block), 0, &got));
    ox_disk_close(j->disk, fd);
    if (err != OX_OK)
        return ox_diag_set(r->diag, err, "dir", -1, "cannot look at %s: %s", path, strerror(errno));
    err = ox__segment_header_decode(block, seg, &kind);
    if (err == OX_E_UNIMPLEMENTED)
        return ox_diag_set(r->diag, err, "dir", -1,
                           "%s was written by a newer version; use that one to read it", path);
    const struct ox__seg *prev = ox__table_newest(j);
    struct ox__seg named = {.number = number};
    *state = HEADER_NOT_OURS;
    if (err != OX_OK)
        finding(r, OX_JOURNAL_BAD_HEADER, &named, 0, size,
                "segment %llu: both copies of its header are damaged", (unsigned long long)number);
    else if (kind != (uint32_t)j->options.kind || seg->number != number)
        finding(r, OX_JOURNAL_FOREIGN_SEGMENT, &named, 0, size,
                "the file of segment %llu says that it is segment %llu of a journal of kind %u",
                (unsigned long long)number, (unsigned long long)seg->number, kind);
    else if (prev != NULL && seg->first_seq < prev->first_seq + prev->capacity)
        finding(r, OX_JOURNAL_FOREIGN_SEGMENT, &named, 0, size,
                "segment %llu begins at sequence %llu, inside the one before it", (unsigned long long)number,
                (unsigned long long)seg->first_seq);
    else
        *state = HEADER_GOOD;
    seg->file_bytes = size;
    return OX_OK;
}

static void
report_missing(struct recovery *r, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        if (numbers_have(&r->set_aside, n))
            continue;
        struct ox__seg gone = {.number = n};
        finding(r, OX_JOURNAL_MISSING_SEGMENT, &gone, 0, 0,
                "segment %llu is missing, and with it all entries between segments %llu and %llu",
                (unsigned long long)n, (unsigned long long)(from - 1), (unsigned long long)to);
        if (r->report->findings_total > OX_JOURNAL_FINDINGS_MAX)
            return; /* a wild number in a name must not keep us here */
    }
}

static ox_err
load_headers(struct recovery *r)
{
    struct ox_journal *j = r->j;
    for (size_t i = 0; i < r->found.n; i++) {
        struct ox__seg seg;
        enum header_state state;
        ox_err err = load_header(r, r->found.at[i], &seg, &state);
        if (err != OX_OK)
            return err;
        if (state == HEADER_VANISHED)
            continue;
        if (state == HEADER_NOT_OURS) {
            set_aside_file(r, r->found.at[i]);
            continue;
        }
        const struct ox__seg *prev = ox__table_newest(j);
        if (prev != NULL)
            report_missing(r, prev->number + 1, seg.number);
        err = ox__table_add(j, &seg);
        if (err != OX_OK)
            return ox_diag_set(r->diag, err, NULL, -1, "no memory for the table of segments");
    }
    return OX_OK;
}

static void
remove_leftovers(struct recovery *r)
{
    char path[OX_DISK_PATH_MAX];
    for (size_t i = 0; i < r->leftovers.n && !r->j->options.read_only; i++) {
        ox__segment_path(r->j, r->leftovers.at[i], "tmp", path, sizeof(path));
        ox__ignore(ox_disk_unlink(r->j->disk, path)); /* comes again at the next start */
    }
}

static void
set_next(struct recovery *r)
{
    struct ox_journal *j = r->j;
    const struct ox__seg *newest = ox__table_newest(j);
    uint64_t after = newest != NULL ? newest->first_seq + newest->capacity : 0;
    j->next_number = r->highest_number + 1;
    j->next_first_seq = after + r->uncertain;
    if (r->set_aside.n > 0 && (newest == NULL || j->next_number != newest->number + 1))
        j->next_first_seq +=
            OX__SEQ_GAP; /* set aside by an earlier start: its sequences are not known either */
    j->next_seq = j->next_first_seq;
}

static ox_err
recover(struct recovery *r)
{
    struct ox_journal *j = r->j;
    ox_err err = ox_disk_list(j->disk, j->dir, note_name, r);
    if (err != OX_OK)
        return ox_diag_set(r->diag, err, "dir", -1, "cannot list the journal's directory %s: %s", j->dir,
                           strerror(errno));
    /* What is found, and what is not, may so far be known to the page cache only. */
    if (!j->options.read_only && ox_disk_fsync_dir(j->disk, j->dir) != OX_OK)
        return ox_diag_set(r->diag, OX_E_IO, "dir", -1, "cannot sync the journal's directory %s: %s", j->dir,
                           strerror(errno));
    if (r->found.failed || r->set_aside.failed || r->leftovers.failed)
        return ox_diag_set(r->diag, OX_E_NOMEM, NULL, -1, "no memory for the list of segments");
    if (r->found.n > 0)
        qsort(r->found.at, r->found.n, sizeof(*r->found.at), by_number);
    remove_leftovers(r);
    err = load_headers(r);
    for (size_t i = 0; i < j->n_segs && err == OX_OK; i++)
        err = check_segment(r, &j->segs[i], i + 1 < j->n_segs ? &j->segs[i + 1] : NULL);
    if (err == OX_E_NOMEM)
        ox_diag_set(r->diag, err, NULL, -1, "no memory to check the journal in %s", j->dir);
    r->report->segments = j->n_segs;
    if (err == OX_OK)
        set_next(r);
    return err;
}

ox_err
ox__recover(struct ox_journal *j, struct ox_journal_report *report, struct ox_diag *diag)
{
    struct recovery r = {.j = j, .report = report, .diag = diag};
    if (report == NULL)
        r.report = calloc(1, sizeof(*r.report));
    if (r.report == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the report of a recovery");
    ox_err err = recover(&r);
    free(r.found.at);
    free(r.set_aside.at);
    free(r.leftovers.at);
    if (r.report != report)
        free(r.report);
    return err;
}
