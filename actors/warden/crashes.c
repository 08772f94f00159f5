/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/crashes.c - the ring of obituaries and its file.
 *
 * Owns:    see include/ox/crashes.h.
 * Threads: `lock` guards ring and numbers, for a copy each time; `save_lock` the file, and nothing waits for it but
 *          another save.
 * Bounds:  see there.
 * Fails:   IO, DISK_FULL.
 *
 * File: one JSON object per line. When it is full it becomes obituaries.1.jsonl and a new one begins.
 */
#include "ox/crashes.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/lock.h"
#include "ox/log.h"
#include "ox/otlp.h"

struct ox_crashes {
    struct ox_disk *disk;
    char dir[OX_DISK_PATH_MAX];
    pthread_mutex_t lock;
    struct ox_crash *ring[OX_CRASHES_MAX]; /* by id */
    uint64_t next_id;                      /* of the next record */
    uint64_t first_id;                     /* noted here, not read from the file */
    uint64_t saved_id;                     /* below it everything is in the file */
    pthread_mutex_t save_lock;
};

const char *
ox_crash_scope_name(enum ox_crash_scope scope)
{
    return scope == OX_CRASH_NODE ? "node" : "actor";
}

const char *
ox_crash_charge_name(enum ox_crash_charge charge)
{
    static const char *const names[] = {"none", "in_hand", "alone"};
    return (size_t)charge < OX_COUNT(names) ? names[charge] : "none";
}

const char *
ox_crash_charge_means(enum ox_crash_charge charge)
{
    static const char *const texts[] = {
        [OX_CHARGE_NONE] = "nobody's message was in hand",
        [OX_CHARGE_IN_HAND] = "its message was in hand; what runs is not always what is guilty",
        [OX_CHARGE_ALONE] = "its message was in hand and nothing else was: as sure as it gets",
    };
    return (size_t)charge < OX_COUNT(texts) ? texts[charge] : "";
}

/* ---- JSON ---- */

static void
put_str(struct ox_buf *out, const char *key, const char *value)
{
    ox_buf_printf(out, ",\"%s\":", key);
    ox_json_string(out, ox_str_of(value));
}

void
ox_crash_json(const struct ox_crash *c, struct ox_buf *out)
{
    ox_buf_printf(out, "{\"id\":%llu,\"time_ns\":\"%llu\"", (unsigned long long)c->id,
                  (unsigned long long)c->time_ns);
    put_str(out, "scope", ox_crash_scope_name(c->scope));
    put_str(out, "kind", c->kind);
    put_str(out, "name", c->name);
    put_str(out, "reason", c->reason);
    put_str(out, "message", c->message);
    put_str(out, "tenant", c->tenant);
    ox_buf_printf(out, ",\"wal_seq\":\"%llu\"", (unsigned long long)c->wal_seq);
    put_str(out, "charge", ox_crash_charge_name(c->charge));
    ox_buf_printf(out, ",\"age_ms\":%llu,\"restarts\":%u", (unsigned long long)(c->age_ns / 1000000),
                  c->restarts);
    put_str(out, "text", c->text);
    put_str(out, "backtrace", c->backtrace);
    ox_buf_append_cstr(out, "}");
}

static void
get_str(const json_t *o, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(o, key));
    snprintf(out, size, "%s", value != NULL ? value : "");
}

static uint64_t
get_u64_text(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? strtoull(value, NULL, 10) : 0;
}

bool
ox_crash_from_json(const json_t *o, struct ox_crash *c)
{
    char name[16];
    memset(c, 0, sizeof(*c));
    if (!json_is_object(o))
        return false;
    c->id = (uint64_t)json_integer_value(json_object_get(o, "id"));
    c->time_ns = get_u64_text(o, "time_ns");
    get_str(o, "scope", name, sizeof(name));
    c->scope = strcmp(name, "node") == 0 ? OX_CRASH_NODE : OX_CRASH_ACTOR;
    get_str(o, "charge", name, sizeof(name));
    c->charge = strcmp(name, "alone") == 0     ? OX_CHARGE_ALONE
                : strcmp(name, "in_hand") == 0 ? OX_CHARGE_IN_HAND
                                               : OX_CHARGE_NONE;
    get_str(o, "kind", c->kind, sizeof(c->kind));
    get_str(o, "name", c->name, sizeof(c->name));
    get_str(o, "reason", c->reason, sizeof(c->reason));
    get_str(o, "message", c->message, sizeof(c->message));
    get_str(o, "tenant", c->tenant, sizeof(c->tenant));
    c->wal_seq = get_u64_text(o, "wal_seq");
    c->age_ns = (uint64_t)json_integer_value(json_object_get(o, "age_ms")) * 1000000;
    c->restarts = (uint32_t)json_integer_value(json_object_get(o, "restarts"));
    get_str(o, "text", c->text, sizeof(c->text));
    get_str(o, "backtrace", c->backtrace, sizeof(c->backtrace));
    return c->id != 0;
}

static bool
parse(const char *line, struct ox_crash *c)
{
    json_t *o = json_loads(line, 0, NULL);
    bool ok = ox_crash_from_json(o, c);
    json_decref(o);
    return ok;
}

/* ---- the ring ---- */

/* Under the lock. crash->id is set. */
static bool
keep(struct ox_crashes *c, const struct ox_crash *crash)
{
    struct ox_crash **slot = &c->ring[crash->id % OX_CRASHES_MAX];
    if (*slot == NULL)
        *slot = malloc(sizeof(**slot));
    if (*slot == NULL)
        return false;
    **slot = *crash;
    return true;
}

void
ox_crashes_note(struct ox_crashes *c, const struct ox_crash *crash)
{
    struct ox_crash copy = *crash;
    ox_lock(&c->lock);
    copy.id = c->next_id;
    if (keep(c, &copy))
        c->next_id++;
    ox_unlock(&c->lock);
}

/* Under the lock: the record with this id, if the ring still has it. */
static const struct ox_crash *
at(const struct ox_crashes *c, uint64_t id)
{
    const struct ox_crash *crash = c->ring[id % OX_CRASHES_MAX];
    return crash != NULL && crash->id == id ? crash : NULL;
}

size_t
ox_crashes_list(struct ox_crashes *c, struct ox_crash *out, size_t max, uint64_t *total)
{
    size_t n = 0;
    ox_lock(&c->lock);
    for (uint64_t back = 1; back <= OX_CRASHES_MAX && back < c->next_id && n < max; back++) {
        const struct ox_crash *crash = at(c, c->next_id - back);
        if (crash != NULL)
            out[n++] = *crash;
    }
    if (total != NULL)
        *total = c->next_id - 1;
    ox_unlock(&c->lock);
    return n;
}

bool
ox_crashes_find(struct ox_crashes *c, uint64_t wal_seq, const char *tenant, struct ox_crash *out)
{
    bool found = false;
    ox_lock(&c->lock);
    for (uint64_t back = 1; back <= OX_CRASHES_MAX && back < c->next_id && !found; back++) {
        const struct ox_crash *crash = at(c, c->next_id - back);
        found = crash != NULL && (wal_seq != 0 ? crash->wal_seq == wal_seq
                                               : tenant != NULL && strcmp(crash->tenant, tenant) == 0);
        if (found)
            *out = *crash;
    }
    ox_unlock(&c->lock);
    return found;
}

/* ---- the file ---- */

static void
path_of(const struct ox_crashes *c, const char *name, char out[OX_DISK_PATH_MAX])
{
    snprintf(out, OX_DISK_PATH_MAX, "%.*s/%s", OX_DISK_PATH_MAX - 32, c->dir, name);
}

static void
load_text(struct ox_crashes *c, char *text)
{
    static const char newline = '\n';
    struct ox_crash crash;
    for (char *line = text, *end; (end = strchr(line, newline)) != NULL; line = end + 1) {
        *end = '\0';
        if (!parse(line, &crash) || crash.id < c->next_id)
            continue;
        keep(c, &crash);
        c->next_id = crash.id + 1;
    }
}

static void
load_file(struct ox_crashes *c, const char *name)
{
    char path[OX_DISK_PATH_MAX];
    size_t n = 0;
    int fd;
    path_of(c, name, path);
    if (ox_disk_open(c->disk, path, OX_DISK_READ, 0, &fd) != OX_OK)
        return;
    char *text = malloc(2 * OX_CRASHES_FILE_MAX + 1);
    uint64_t size = 0;
    ox_err err = text == NULL ? OX_E_NOMEM : ox_disk_size(c->disk, fd, &size);
    if (size > 2 * OX_CRASHES_FILE_MAX)
        size = 2 * OX_CRASHES_FILE_MAX;
    while (err == OX_OK && n < size) {
        size_t got = 0;
        err = ox_disk_pread(c->disk, fd, text + n, size - n, n, &got);
        n += got;
        if (got == 0)
            break;
    }
    ox_disk_close(c->disk, fd);
    if (text != NULL) {
        text[n] = '\0';
        load_text(c, text);
    }
    free(text);
}

struct ox_crashes *
ox_crashes_open(struct ox_disk *disk, const char *dir)
{
    struct ox_crashes *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->disk = disk;
    snprintf(c->dir, sizeof(c->dir), "%s", dir);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->save_lock, NULL);
    c->next_id = 1;
    load_file(c, "obituaries.1.jsonl");
    load_file(c, "obituaries.jsonl");
    c->first_id = c->saved_id = c->next_id;
    return c;
}

void
ox_crashes_close(struct ox_crashes *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < OX_CRASHES_MAX; i++)
        free(c->ring[i]);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->save_lock);
    free(c);
}

/* What is not in the file yet, as text. Returns the id behind the last. */
static uint64_t
unsaved(struct ox_crashes *c, struct ox_buf *out)
{
    ox_lock(&c->lock);
    uint64_t upto = c->next_id, lost = 0;
    for (uint64_t id = c->saved_id; id < upto; id++) {
        const struct ox_crash *crash = at(c, id);
        if (crash == NULL) {
            lost++;
            continue;
        }
        ox_crash_json(crash, out);
        ox_buf_append_cstr(out, "\n");
    }
    ox_unlock(&c->lock);
    if (lost > 0)
        OX_LOG_WARN("warden", "obituaries came faster than the disk takes them; some are only counted",
                    OX_F_U64("lost", lost));
    return upto;
}

/* A write that failed halfway must not swallow the next line. */
static bool
ends_in_a_line(struct ox_disk *disk, int fd, uint64_t size)
{
    char last = 0;
    size_t n = 0;
    return size == 0 || (ox_disk_pread(disk, fd, &last, 1, size - 1, &n) == OX_OK && n == 1 && last == '\n');
}

static ox_err
append(struct ox_crashes *c, const struct ox_buf *text)
{
    char path[OX_DISK_PATH_MAX], older[OX_DISK_PATH_MAX];
    uint64_t size = 0;
    int fd;
    path_of(c, "obituaries.jsonl", path);
    path_of(c, "obituaries.1.jsonl", older);
    ox_err err = ox_disk_open(c->disk, path, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(c->disk, fd, &size);
    if (err == OX_OK && !ends_in_a_line(c->disk, fd, size))
        err = ox_disk_write_all(c->disk, fd, "\n", 1, size++);
    if (err == OX_OK)
        err = ox_disk_write_all(c->disk, fd, text->data, text->len, size);
    if (err == OX_OK)
        err = ox_disk_fdatasync(c->disk, fd);
    ox_disk_close(c->disk, fd);
    if (err == OX_OK && size + text->len >= OX_CRASHES_FILE_MAX)
        err = ox_disk_rename(c->disk, path, older);
    return err == OX_OK && (size == 0 || size + text->len >= OX_CRASHES_FILE_MAX)
               ? ox_disk_fsync_dir(c->disk, c->dir)
               : err;
}

ox_err
ox_crashes_save(struct ox_crashes *c)
{
    struct ox_buf text;
    ox_buf_init(&text);
    ox_lock(&c->save_lock);
    uint64_t upto = unsaved(c, &text);
    ox_err err = text.failed ? OX_E_NOMEM : text.len > 0 ? append(c, &text) : OX_OK;
    if (err == OX_OK) {
        ox_lock(&c->lock);
        c->saved_id = upto;
        ox_unlock(&c->lock);
    }
    ox_unlock(&c->save_lock);
    ox_buf_fini(&text);
    return err;
}
