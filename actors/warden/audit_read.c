/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/audit_read.c - the audit log from its first line to its head: does every line stand?
 *
 * Owns:    nothing; what one reading holds.
 * Threads: any that may block. A writer may be at work: what it writes meanwhile is seen or not.
 * Bounds:  one segment is in memory.
 * Fails:   IO, NOMEM, NOT_FOUND. A log that does not stand is no failure but a report.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/warden/audit_chain.h"

/* ---- names and the head ---- */

void
ox__audit_dir(const char *path, char out[OX_DISK_PATH_MAX])
{
    snprintf(out, OX_DISK_PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        snprintf(out, OX_DISK_PATH_MAX, ".");
    else
        *slash = '\0';
}

static void
beside(const char *path, const char *name, char out[OX_DISK_PATH_MAX])
{
    char dir[OX_DISK_PATH_MAX];
    ox__audit_dir(path, dir);
    snprintf(out, OX_DISK_PATH_MAX, "%.*s/%s", (int)(OX_DISK_PATH_MAX - 48), dir, name);
}

void
ox__audit_head_path(const char *path, char out[OX_DISK_PATH_MAX])
{
    beside(path, "audit.head", out);
}

static void
segment_name(uint64_t seq, char out[40])
{
    snprintf(out, 40, "audit-%012" PRIu64 ".jsonl", seq);
}

void
ox__audit_segment_path(const char *path, uint64_t seq, char out[OX_DISK_PATH_MAX])
{
    char name[40];
    segment_name(seq, name);
    beside(path, name, out);
}

void
ox__audit_head_print(uint64_t seq, const char *hash, char out[OX__AUDIT_HEAD_BYTES + 1])
{
    char text[OX__AUDIT_HEAD_BYTES];
    snprintf(text, sizeof(text), "%" PRIu64 ":%s", seq, hash);
    snprintf(out, OX__AUDIT_HEAD_BYTES + 1, "%-*s\n", OX__AUDIT_HEAD_BYTES - 1, text);
}

ox_err
ox__audit_head_read(struct ox_disk *disk, const char *path, uint64_t *seq, char hash[OX_AUDIT_HASH_LEN + 1])
{
    char head[OX_DISK_PATH_MAX], text[OX__AUDIT_HEAD_BYTES + 1] = "", again[OX__AUDIT_HEAD_BYTES + 1];
    uint64_t size = 0;
    int fd;
    ox__audit_head_path(path, head);
    ox_err err = ox_disk_open(disk, head, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(disk, fd, &size);
    if (err == OX_OK && size != OX__AUDIT_HEAD_BYTES)
        err = size == 0 ? OX_E_NOT_FOUND : OX_E_CORRUPT;
    if (err == OX_OK)
        err = ox_disk_read_all(disk, fd, text, OX__AUDIT_HEAD_BYTES, 0);
    ox_disk_close(disk, fd);
    if (err != OX_OK)
        return err;
    if (sscanf(text, "%18" SCNu64 ":%64[0-9a-f]", seq, hash) != 2)
        return OX_E_CORRUPT;
    ox__audit_head_print(*seq, hash, again);
    return strcmp(text, again) == 0 && strlen(hash) == OX_AUDIT_HASH_LEN ? OX_OK : OX_E_CORRUPT;
}

/* ---- files ---- */

static ox_err
read_file(struct ox_disk *disk, const char *path, struct ox_buf *out)
{
    uint64_t size = 0;
    int fd;
    ox_buf_reset(out);
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(disk, fd, &size);
    uint8_t *to = err == OX_OK && size > 0 ? ox_buf_reserve(out, size) : NULL;
    if (err == OX_OK && size > 0 && to == NULL)
        err = OX_E_NOMEM;
    if (to != NULL)
        err = ox_disk_read_all(disk, fd, to, size, 0);
    if (err == OX_OK)
        out->len = size;
    ox_disk_close(disk, fd);
    return err;
}

struct segments {
    uint64_t *last; /* the number in each name, ascending */
    size_t n, room;
    bool failed;
};

static bool
note_segment(void *arg, const char *name)
{
    struct segments *s = arg;
    char own[40];
    uint64_t seq;
    if (sscanf(name, "audit-%18" SCNu64 ".jsonl", &seq) != 1)
        return true;
    segment_name(seq, own);
    if (strcmp(name, own) != 0)
        return true;
    if (s->n == s->room) {
        size_t room = s->room > 0 ? 2 * s->room : 16;
        uint64_t *more = realloc(s->last, room * sizeof(*more));
        s->failed = more == NULL;
        if (more == NULL)
            return false;
        s->last = more;
        s->room = room;
    }
    s->last[s->n++] = seq;
    return true;
}

static int
ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static ox_err
list_segments(struct ox_disk *disk, const char *path, struct segments *out)
{
    char dir[OX_DISK_PATH_MAX];
    *out = (struct segments){0};
    ox__audit_dir(path, dir);
    ox_err err = ox_disk_list(disk, dir, note_segment, out);
    if (err == OX_OK && out->failed)
        err = OX_E_NOMEM;
    if (err == OX_OK && out->n > 1)
        qsort(out->last, out->n, sizeof(*out->last), ascending);
    return err;
}

/* Each line of `text`, the last one perhaps without an end. */
static bool
next_line(struct ox_str *text, struct ox_str *line, bool *ended)
{
    if (text->n == 0)
        return false;
    const char *end = memchr(text->p, '\n', text->n);
    *ended = end != NULL;
    *line = (struct ox_str){text->p, end != NULL ? (size_t)(end - text->p) : text->n};
    *text = (struct ox_str){text->p + line->n + *ended, text->n - line->n - *ended};
    return true;
}

static void
take_all(struct ox__audit_chain *c, struct ox_str text)
{
    struct ox_str line;
    bool ended;
    while (next_line(&text, &line, &ended))
        (void)ox__audit_chain_take(c, line, ended);
}

/* ---- for the writer ---- */

/* The chain's newest line is in another file. */
static ox_err
resume_from_segment(struct ox_disk *disk, const char *path, struct ox__audit_chain *c)
{
    char name[OX_DISK_PATH_MAX];
    struct segments s;
    struct ox_buf text;
    ox_buf_init(&text);
    ox_err err = list_segments(disk, path, &s);
    if (err == OX_OK && s.n > 0) {
        ox__audit_segment_path(path, s.last[s.n - 1], name);
        err = read_file(disk, name, &text);
        if (err == OX_OK)
            take_all(c, ox_buf_str(&text));
    }
    ox_buf_fini(&text);
    free(s.last);
    return err;
}

ox_err
ox__audit_resume(struct ox_disk *disk, const char *path, struct ox__audit_chain *c, uint64_t *size)
{
    struct ox_buf text;
    ox_buf_init(&text);
    ox_err err = read_file(disk, path, &text);
    *size = text.len;
    if (err == OX_OK)
        take_all(c, ox_buf_str(&text));
    if (err == OX_OK && !c->begun) {
        ox__audit_chain_init(c, false);
        err = resume_from_segment(disk, path, c);
        take_all(c, ox_buf_str(&text));
    }
    ox_buf_fini(&text);
    return err;
}

/* ---- reading and verifying ---- */

struct reading {
    struct ox_disk *disk;
    const char *path;
    const struct ox_audit_known *known;
    struct ox_audit_report *report;
    struct ox__audit_chain chain;
    struct segments segments;
    char file[OX_DISK_PATH_MAX]; /* that is read now */
    uint64_t number;             /* of its line */
    char loose_file[OX_DISK_PATH_MAX];
    uint64_t loose_number,
        loose_lines; /* the first one that is in no chain since the last one that is, and how many */
    bool loose_ended;
    ox_err head_err;
    uint64_t head_seq;
    char head_hash[OX_AUDIT_HASH_LEN + 1];
    bool enough;
};

/* Only the first one counts. */
static void OX_PRINTF(4, 5) broken(struct reading *r, const char *file, uint64_t number, const char *fmt, ...)
{
    va_list args;
    if (r->report->broken)
        return;
    r->report->broken = true;
    r->report->number = number;
    snprintf(r->report->file, sizeof(r->report->file), "%s", file);
    va_start(args, fmt);
    vsnprintf(r->report->why, sizeof(r->report->why), fmt, args);
    va_end(args);
}

static void
broken_loose(struct reading *r)
{
    broken(r, r->loose_file, r->loose_number,
           "it was changed, or put in: its hash is not that of its text, and no later line vouches for it");
}

static void
take_loose(struct reading *r, bool ended)
{
    if (r->loose_lines++ == 0) {
        snprintf(r->loose_file, sizeof(r->loose_file), "%s", r->file);
        r->loose_number = r->number;
    }
    r->loose_ended = ended;
}

static void
judge(struct reading *r, enum ox__audit_verdict verdict, uint64_t before)
{
    if (verdict == OX__AUDIT_UNCLAIMED && r->loose_lines > 0)
        broken_loose(r);
    else if (verdict == OX__AUDIT_UNCLAIMED)
        broken(r, r->file, r->number, "before it stood bytes that are gone");
    else if (verdict == OX__AUDIT_GAP)
        broken(r, r->file, r->number, "it is line %" PRIu64 " and follows line %" PRIu64, r->chain.seq,
               before);
    else if (verdict == OX__AUDIT_FOREIGN)
        broken(r, r->file, r->number, "it follows another line %" PRIu64 " than the one before it", before);
}

static bool
contradicts(const struct reading *r, uint64_t seq, struct ox_str hash)
{
    return r->chain.seq == seq && !ox_str_eq(hash, ox_str_of(r->chain.hash));
}

static void
take_chained(struct reading *r)
{
    struct ox_audit_report *out = r->report;
    if (out->lines++ == 0)
        out->first = r->chain.seq;
    if (out->lines == 1 && r->known->first > 0 && r->chain.seq != r->known->first)
        broken(r, r->file, r->number, "it is line %" PRIu64 " and should be line %" PRIu64, r->chain.seq,
               r->known->first);
    out->last = r->chain.seq;
    memcpy(out->hash, r->chain.hash, sizeof(out->hash));
    out->unchained += r->loose_lines;
    r->loose_lines = 0;
    if (r->head_err == OX_OK && contradicts(r, r->head_seq, ox_str_of(r->head_hash)))
        broken(r, r->file, r->number, "audit.head has another hash for it");
    if (r->known->seq > 0 && contradicts(r, r->known->seq, r->known->hash))
        broken(r, r->file, r->number, "its hash is not the one that was noted");
}

static void
read_text(struct reading *r, struct ox_str text)
{
    struct ox_str line;
    bool ended;
    r->number = 0;
    while (!r->enough && next_line(&text, &line, &ended)) {
        uint64_t before = r->chain.seq;
        r->number++;
        enum ox__audit_verdict verdict = ox__audit_chain_take(&r->chain, line, ended);
        bool chained = verdict != OX__AUDIT_LOOSE;
        if (chained) {
            judge(r, verdict, before);
            take_chained(r);
        } else {
            take_loose(r, ended);
        }
        struct ox_audit_line out = {line, chained ? r->chain.seq : 0, r->file, r->number};
        r->enough = r->known->each != NULL && !r->known->each(r->known->arg, &out);
    }
}

/* Whether what was read as the newest file has got a segment's name meanwhile, and is read under that. */
static bool
was_rotated(const struct reading *r, struct ox_str newest)
{
    struct ox__audit_chain probe;
    if (r->segments.n == 0)
        return false;
    ox__audit_chain_init(&probe, false);
    take_all(&probe, newest);
    uint64_t last = r->segments.last[r->segments.n - 1];
    return probe.seq > 0 ? probe.seq <= last : last == 0 && newest.n > 0;
}

/* The newest file is read first: it may get another name at any time, and must not be missed for it. */
static ox_err
read_files(struct reading *r)
{
    struct ox_buf newest, text;
    ox_buf_init(&newest);
    ox_buf_init(&text);
    ox_err err = read_file(r->disk, r->path, &newest);
    bool none = err == OX_E_NOT_FOUND;
    if (err == OX_OK || none)
        err = list_segments(r->disk, r->path, &r->segments);
    if (err == OX_OK && none && r->segments.n == 0 && r->head_err == OX_E_NOT_FOUND)
        err = OX_E_NOT_FOUND;
    for (size_t i = 0; err == OX_OK && !r->enough && i < r->segments.n; i++) {
        if (r->known->behind > 0 && r->segments.last[i] <= r->known->behind)
            continue;
        ox__audit_segment_path(r->path, r->segments.last[i], r->file);
        err = read_file(r->disk, r->file, &text);
        if (err == OX_OK)
            read_text(r, ox_buf_str(&text));
    }
    if (err == OX_OK && !was_rotated(r, ox_buf_str(&newest))) {
        snprintf(r->file, sizeof(r->file), "%s", r->path);
        read_text(r, ox_buf_str(&newest));
    }
    ox_buf_fini(&newest);
    ox_buf_fini(&text);
    return err;
}

/* Lines at the end that stand in no chain: what a crash cut off, or what somebody wrote there. */
static void
check_tail(struct reading *r)
{
    if (r->loose_lines == 0)
        return;
    if (r->loose_ended || r->loose_lines > 1)
        broken_loose(r);
    else
        r->report->cut_off = true;
}

static void
check_head(struct reading *r, uint64_t seq_now)
{
    const struct ox_audit_report *out = r->report;
    uint64_t wanted = r->head_seq > r->known->seq ? r->head_seq : r->known->seq;
    if (r->head_err == OX_E_NOT_FOUND && r->known->seq == 0)
        broken(r, r->path, 0, "audit.head is gone, which says how the log ends: lines may be missing there");
    else if (r->head_err != OX_OK && r->head_err != OX_E_NOT_FOUND)
        broken(r, r->path, 0, "audit.head cannot be read, which says how the log ends");
    else if (out->last < wanted && r->loose_lines > 0)
        broken(r, r->loose_file, r->loose_number, "it was line %" PRIu64 ", and was changed or cut",
               out->last + 1);
    else if (out->last < wanted)
        broken(r, r->path, 0, "it ends with line %" PRIu64 ", and line %" PRIu64 " was in it", out->last,
               wanted);
    else if (r->head_err == OX_OK && out->last > seq_now + 1)
        broken(r, r->path, 0, "it goes on behind line %" PRIu64 ", which is the last one written", seq_now);
}

static void
check_end(struct reading *r)
{
    uint64_t seq_now = r->head_seq;
    char hash[OX_AUDIT_HASH_LEN + 1];
    if (r->report->lines == 0 && r->head_err == OX_E_NOT_FOUND && r->known->seq == 0) {
        r->report->unchained = r->loose_lines; /* of a release that knew no chain, or none yet */
        return;
    }
    if (r->head_err == OX_OK) /* the writer may have gone on */
        (void)!ox__audit_head_read(r->disk, r->path, &seq_now, hash);
    check_head(r, seq_now);
    check_tail(r);
}

ox_err
ox_audit_read(struct ox_disk *disk, const char *path, const struct ox_audit_known *known,
              struct ox_audit_report *report, struct ox_diag *diag)
{
    struct reading *r = calloc(1, sizeof(*r)); /* names: large for a stack */
    if (r == NULL)
        return OX_E_NOMEM;
    *report = (struct ox_audit_report){0};
    r->disk = disk;
    r->path = path;
    r->known = known;
    r->report = report;
    ox__audit_chain_init(&r->chain, known->first == 0 && known->behind == 0);
    r->head_err = ox__audit_head_read(disk, path, &r->head_seq, r->head_hash);
    ox_err err = read_files(r);
    if (err == OX_OK && !r->enough)
        check_end(r);
    if (err != OX_OK)
        err = ox_diag_set(diag, err, NULL, -1, "the audit log %s cannot be read: %s", path, ox_err_text(err));
    free(r->segments.last);
    free(r);
    return err;
}
