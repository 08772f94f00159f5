/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/dead_letter_read.c - reads dead-letter files line by line, oldest first, beside a server that writes.
 *
 * Owns:    one open file besides the current one, and the bytes read ahead.
 * Threads: one owner.
 * Bounds:  OX_DEAD_LETTER_LINE_MAX, OX_DEAD_LETTER_FILES_MAX.
 * Fails:   OX_E_NOT_FOUND, OX_E_IO, OX_E_NOMEM; a line that is not understood is handed out as damaged.
 * Flow:    `observex dlq` -> here -> the disk seam.
 *
 * The current file is opened before the directory is listed: if the server rotates it in between, it appears under its new
 * name as well. Its first line tells, and it is read once.
 */
#include "ox/dead_letter_read.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/dead_letter.h"
#include "ox/disk.h"
#include "ox/wal_entry.h"

#define NAME_CURRENT "dlq.jsonl"
#define CHUNK_BYTES  (256u << 10)
/* Where the head of a line ends: no JSON string can hold an unescaped quote, so the first place is the right one. */
#define REQUEST_MEMBER ",\"request\":"
#define COLUMNS_MEMBER ",\"columns\":"
#define WIRE_MEMBER    ",\"wire\":\""

struct ox_dead_letter_reader {
    struct ox_disk *disk;
    struct ox_dead_letter_file *files; /* oldest first; the current one last, when it is there */
    size_t n_files, cap_files;
    bool too_many, failed;
    int current_fd; /* -1: there is none */
    size_t at;      /* the file being read */
    int fd;
    uint64_t read_off; /* of `buf`'s end in the file */
    struct ox_buf buf;
    size_t taken; /* bytes of buf that were handed out */
    uint64_t number;
    json_t *head;
    char dir[OX_DISK_PATH_MAX];
};

static bool
path_of(const struct ox_dead_letter_reader *r, const char *name, char *path)
{
    int n = snprintf(path, OX_DISK_PATH_MAX, "%s/%s", r->dir, name);
    return n > 0 && n < OX_DISK_PATH_MAX;
}

/* dlq-<digits>.jsonl; gives the time in the name. */
static bool
rotated_time(const char *name, uint64_t *closed_ns)
{
    char ours[OX_DEAD_LETTER_NAME_MAX];
    if (sscanf(name, "dlq-%" SCNu64 ".jsonl", closed_ns) != 1)
        return false;
    snprintf(ours, sizeof(ours), "dlq-%" PRIu64 ".jsonl", *closed_ns);
    return strcmp(ours, name) == 0;
}

static void
add_file(struct ox_dead_letter_reader *r, const char *name)
{
    if (r->n_files == OX_DEAD_LETTER_FILES_MAX) {
        r->too_many = true;
        return;
    }
    if (r->n_files == r->cap_files) {
        size_t cap = r->cap_files != 0 ? r->cap_files * 2 : 16;
        struct ox_dead_letter_file *files = realloc(r->files, cap * sizeof(*files));
        if (files == NULL) {
            r->failed = true;
            return;
        }
        r->files = files;
        r->cap_files = cap;
    }
    struct ox_dead_letter_file *f = &r->files[r->n_files++];
    memset(f, 0, sizeof(*f));
    snprintf(f->name, sizeof(f->name), "%s", name);
}

static bool
note_name(void *arg, const char *name)
{
    uint64_t closed_ns;
    if (rotated_time(name, &closed_ns))
        add_file(arg, name);
    return true;
}

static int
by_age(const void *a, const void *b)
{
    uint64_t x = 0, y = 0;
    (void)rotated_time(((const struct ox_dead_letter_file *)a)->name, &x);
    (void)rotated_time(((const struct ox_dead_letter_file *)b)->name, &y);
    return x < y ? -1 : x > y;
}

/* The hash of an open file's first 4 KiB; 0 for an empty one. */
static uint64_t
beginning(struct ox_disk *disk, int fd)
{
    char bytes[4096];
    size_t n;
    if (ox_disk_pread(disk, fd, bytes, sizeof(bytes), 0, &n) != OX_OK || n == 0)
        return 0;
    const char *newline = memchr(bytes, '\n', n);
    return ox_wal_hash_of((struct ox_str){bytes, newline != NULL ? (size_t)(newline - bytes) : n}).lo | 1;
}

/* Whether the current file was rotated between its opening and the listing. */
static bool
is_listed_again(struct ox_dead_letter_reader *r)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    if (r->n_files == 0 || r->current_fd < 0 || !path_of(r, r->files[r->n_files - 1].name, path) ||
        ox_disk_open(r->disk, path, OX_DISK_READ, 0, &fd) != OX_OK)
        return false;
    uint64_t a = beginning(r->disk, fd), b = beginning(r->disk, r->current_fd);
    ox_disk_close(r->disk, fd);
    return a != 0 && a == b;
}

static ox_err
measure(struct ox_dead_letter_reader *r, struct ox_dead_letter_file *f)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    if (strcmp(f->name, NAME_CURRENT) == 0)
        return ox_disk_size(r->disk, r->current_fd, &f->bytes);
    if (!path_of(r, f->name, path))
        return OX_E_TOO_LARGE;
    ox_err err = ox_disk_open(r->disk, path, OX_DISK_READ, 0, &fd);
    if (err == OX_E_NOT_FOUND)
        return OX_OK; /* expired since the listing */
    if (err == OX_OK) {
        err = ox_disk_size(r->disk, fd, &f->bytes);
        ox_disk_close(r->disk, fd);
    }
    return err;
}

static ox_err
find_files(struct ox_dead_letter_reader *r)
{
    char path[OX_DISK_PATH_MAX];
    ox_err err = path_of(r, NAME_CURRENT, path) ? OX_OK : OX_E_TOO_LARGE;
    if (err == OX_OK)
        err = ox_disk_open(r->disk, path, OX_DISK_READ, 0, &r->current_fd);
    if (err == OX_E_NOT_FOUND) {
        r->current_fd = -1;
        err = OX_OK;
    }
    if (err == OX_OK)
        err = ox_disk_list(r->disk, r->dir, note_name, r);
    if (err != OX_OK)
        return err;
    if (r->n_files > 0)
        qsort(r->files, r->n_files, sizeof(*r->files), by_age);
    if (r->current_fd >= 0 && !is_listed_again(r))
        add_file(r, NAME_CURRENT);
    if (r->failed || r->too_many)
        return r->failed ? OX_E_NOMEM : OX_E_TOO_LARGE;
    for (size_t i = 0; i < r->n_files && err == OX_OK; i++)
        err = measure(r, &r->files[i]);
    return err;
}

ox_err
ox_dead_letter_reader_open(struct ox_disk *disk, const char *dir, struct ox_dead_letter_reader **out,
                           struct ox_diag *diag)
{
    struct ox_dead_letter_reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory to read %s", dir);
    r->disk = disk;
    r->current_fd = -1;
    r->fd = -1;
    ox_buf_init(&r->buf);
    int n = snprintf(r->dir, sizeof(r->dir), "%s", dir);
    ox_err err = n > 0 && (size_t)n < sizeof(r->dir) ? find_files(r) : OX_E_TOO_LARGE;
    if (err != OX_OK) {
        ox_dead_letter_reader_close(r);
        return ox_diag_set(diag, err, NULL, -1, "the dead-letter files in %s cannot be read: %s", dir,
                           ox_err_text(err));
    }
    *out = r;
    return OX_OK;
}

static void
leave_file(struct ox_dead_letter_reader *r)
{
    if (r->fd >= 0 && r->fd != r->current_fd)
        ox_disk_close(r->disk, r->fd);
    r->fd = -1;
    r->read_off = 0;
    r->taken = 0;
    ox_buf_reset(&r->buf);
}

void
ox_dead_letter_reader_close(struct ox_dead_letter_reader *r)
{
    if (r == NULL)
        return;
    leave_file(r);
    if (r->current_fd >= 0)
        ox_disk_close(r->disk, r->current_fd);
    json_decref(r->head);
    ox_buf_fini(&r->buf);
    free(r->files);
    free(r);
}

const struct ox_dead_letter_file *
ox_dead_letter_reader_files(const struct ox_dead_letter_reader *r, size_t *n)
{
    *n = r->n_files;
    return r->files;
}

/* ---- lines ---- */

/* Opens the file at `at`; END behind the last. */
static ox_err
settle(struct ox_dead_letter_reader *r)
{
    char path[OX_DISK_PATH_MAX];
    while (r->fd < 0 && r->at < r->n_files) {
        const char *name = r->files[r->at].name;
        if (strcmp(name, NAME_CURRENT) == 0) {
            r->fd = r->current_fd;
            return OX_OK;
        }
        if (!path_of(r, name, path))
            return OX_E_TOO_LARGE;
        ox_err err = ox_disk_open(r->disk, path, OX_DISK_READ, 0, &r->fd);
        if (err != OX_OK)
            r->fd = -1;
        if (err != OX_OK && err != OX_E_NOT_FOUND)
            return err;
        r->at += err == OX_E_NOT_FOUND; /* expired meanwhile */
    }
    return r->fd >= 0 ? OX_OK : OX_E_END;
}

/* More of the file behind what is held; *more false at its end. */
static ox_err
read_on(struct ox_dead_letter_reader *r, bool *more)
{
    size_t n;
    if (r->taken > 0) {
        memmove(r->buf.data, r->buf.data + r->taken, r->buf.len - r->taken);
        r->buf.len -= r->taken;
        r->taken = 0;
    }
    if (r->buf.len > OX_DEAD_LETTER_LINE_MAX)
        return OX_E_TOO_LARGE;
    uint8_t *to = ox_buf_reserve(&r->buf, CHUNK_BYTES);
    if (to == NULL)
        return OX_E_NOMEM;
    ox_err err = ox_disk_pread(r->disk, r->fd, to, CHUNK_BYTES, r->read_off, &n);
    if (err != OX_OK)
        return err;
    r->buf.len += n;
    r->read_off += n;
    *more = n > 0;
    return OX_OK;
}

/* The next whole line of the open file; *found false at its end. */
static ox_err
take_line(struct ox_dead_letter_reader *r, struct ox_str *line, uint64_t *offset, bool *found)
{
    size_t looked = r->taken;
    bool more = true;
    for (;;) {
        const uint8_t *newline =
            r->buf.len > looked ? memchr(r->buf.data + looked, '\n', r->buf.len - looked) : NULL;
        *found = newline != NULL;
        if (*found) {
            *line = (struct ox_str){(const char *)r->buf.data + r->taken,
                                    (size_t)(newline - r->buf.data) - r->taken};
            *offset = r->read_off - (r->buf.len - r->taken);
            r->taken += line->n + 1;
            return OX_OK;
        }
        looked = r->buf.len - r->taken; /* where it goes on once the rest has moved to the front */
        ox_err err = read_on(r, &more);
        if (err != OX_OK || !more)
            return err;
    }
}

static uint64_t
number_at(const json_t *head, const char *name)
{
    const char *text = json_string_value(json_object_get(head, name));
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

static const char *
text_at(const json_t *head, const char *name)
{
    const char *text = json_string_value(json_object_get(head, name));
    return text != NULL ? text : "";
}

/* The value of `request`: from behind its member to the line's brace, or to `wire`, which comes last. */
static struct ox_str
request_of(struct ox_str line, size_t at, bool *wire)
{
    struct ox_str rest = {line.p + at, line.n - at - 1};
    /* Base64 has no quotes: the last place where the member's name stands is the member. */
    *wire = false;
    if (rest.n > 0 && rest.p[rest.n - 1] == '"') {
        const char *quote = memrchr(rest.p, '"', rest.n - 1);
        size_t name = strlen(WIRE_MEMBER);
        if (quote != NULL && (size_t)(quote - rest.p) + 1 >= name &&
            memcmp(quote + 1 - name, WIRE_MEMBER, name) == 0) {
            *wire = true;
            rest.n = (size_t)(quote + 1 - rest.p) - name;
        }
    }
    return rest;
}

/* Where the head ends and the record begins; NULL: it is no line of ours. A key within the record may have the other
 * member's name, so the first one is it. */
static const char *
head_end(struct ox_str line, bool *columns)
{
    const char *request = memmem(line.p, line.n, REQUEST_MEMBER, strlen(REQUEST_MEMBER));
    const char *row = memmem(line.p, line.n, COLUMNS_MEMBER, strlen(COLUMNS_MEMBER));
    *columns = row != NULL && (request == NULL || row < request);
    return *columns ? row : request;
}

static bool
is_object(struct ox_str s)
{
    return s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}';
}

/* Fills what the head of the line says; false: it is not one of ours. */
static bool
parse(struct ox_dead_letter_reader *r, struct ox_dead_letter_record *out)
{
    struct ox_buf head;
    bool columns;
    const char *at = head_end(out->line, &columns);
    json_decref(r->head);
    r->head = NULL;
    if (at == NULL || out->line.p[out->line.n - 1] != '}')
        return false;
    ox_buf_init(&head);
    ox_buf_append(&head, out->line.p, (size_t)(at - out->line.p));
    ox_buf_append(&head, "}", 1);
    if (!head.failed)
        r->head = json_loadb((const char *)head.data, head.len, JSON_REJECT_DUPLICATES, NULL);
    ox_buf_fini(&head);
    if (!json_is_object(r->head))
        return false;
    out->time_ns = number_at(r->head, "time_ns");
    out->tenant = text_at(r->head, "tenant");
    out->signal = text_at(r->head, "signal");
    out->reason = text_at(r->head, "reason");
    out->detail = text_at(r->head, "detail");
    out->wal = number_at(r->head, "wal");
    out->ordinal = (uint32_t)json_integer_value(json_object_get(r->head, "ordinal"));
    size_t member = (size_t)(at - out->line.p) + strlen(columns ? COLUMNS_MEMBER : REQUEST_MEMBER);
    struct ox_str *record = columns ? &out->columns : &out->request;
    *record = columns ? (struct ox_str){out->line.p + member, out->line.n - member - 1}
                      : request_of(out->line, member, &out->wire);
    return out->time_ns != 0 && out->tenant[0] != '\0' && out->signal[0] != '\0' && is_object(*record);
}

static void
count_line(struct ox_dead_letter_file *f, const struct ox_dead_letter_record *record)
{
    f->lines++;
    if (record->damaged)
        return;
    if (f->oldest_ns == 0 || record->time_ns < f->oldest_ns)
        f->oldest_ns = record->time_ns;
    if (record->time_ns > f->newest_ns)
        f->newest_ns = record->time_ns;
}

static void
fill(struct ox_dead_letter_reader *r, struct ox_str line, uint64_t offset, struct ox_dead_letter_record *out)
{
    struct ox_wal_hash hash = ox_wal_hash_of(line);
    *out = (struct ox_dead_letter_record){.number = ++r->number, .offset = offset, .line = line};
    snprintf(out->id, sizeof(out->id), "%016" PRIx64 "%04x", hash.hi, (unsigned)(hash.lo >> 48));
    snprintf(out->file, sizeof(out->file), "%s", r->files[r->at].name);
    out->tenant = out->signal = out->reason = out->detail = "";
    out->damaged = !parse(r, out);
    count_line(&r->files[r->at], out);
}

ox_err
ox_dead_letter_reader_next(struct ox_dead_letter_reader *r, struct ox_dead_letter_record *out,
                           struct ox_diag *diag)
{
    struct ox_str line;
    uint64_t offset;
    bool found = false;
    ox_err err;
    while ((err = settle(r)) == OX_OK) {
        err = take_line(r, &line, &offset, &found);
        if (err != OX_OK)
            break;
        if (found) {
            fill(r, line, offset, out);
            return OX_OK;
        }
        leave_file(r);
        r->at++;
    }
    if (err == OX_E_END)
        return err;
    return ox_diag_set(diag, err, NULL, -1, "%s/%s cannot be read: %s", r->dir,
                       r->at < r->n_files ? r->files[r->at].name : "", ox_err_text(err));
}
