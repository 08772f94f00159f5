/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/quarantine.c - the list of quarantined tenants and its file.
 *
 * Owns:    see include/ox/quarantine.h.
 * Threads: `lock` guards the list and is held while the file is written: a reader sees what is durable.
 * Bounds:  see there.
 * Fails:   see there.
 *
 * File: {"version":1,"tenants":[{"tenant","crashes","since_ns","last":{an obituary}}]}, written beside and renamed.
 */
#include "ox/quarantine.h"
#include "ox/lock.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION 1

struct ox_quarantine {
    struct ox_disk *disk;
    char path[OX_DISK_PATH_MAX];
    pthread_mutex_t lock;
    struct ox_quarantined *list[OX_QUARANTINE_MAX];
    size_t n;
};

/* ---- reading ---- */

static ox_err
read_file(struct ox_disk *disk, const char *path, char **text, size_t *n)
{
    uint64_t size = 0;
    int fd;
    *text = NULL;
    *n = 0;
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return err == OX_E_NOT_FOUND ? OX_OK : err;
    err = ox_disk_size(disk, fd, &size);
    *text = err == OX_OK ? malloc(size + 1) : NULL;
    if (err == OX_OK && *text == NULL)
        err = OX_E_NOMEM;
    if (err == OX_OK && size > 0)
        err = ox_disk_read_all(disk, fd, *text, size, 0);
    ox_disk_close(disk, fd);
    *n = size;
    return err;
}

static ox_err
parse_entry(const json_t *o, struct ox_quarantined *out)
{
    const char *name = json_string_value(json_object_get(o, "tenant"));
    const char *since = json_string_value(json_object_get(o, "since_ns"));
    json_int_t crashes = json_integer_value(json_object_get(o, "crashes"));
    if (name == NULL || since == NULL || crashes <= 0 || crashes > UINT32_MAX ||
        ox_tenant_id_parse(ox_str_of(name), &out->tenant, NULL) != OX_OK)
        return OX_E_CORRUPT;
    out->crashes = (uint32_t)crashes;
    out->since_ns = strtoull(since, NULL, 10);
    out->has_last = ox_crash_from_json(json_object_get(o, "last"), &out->last);
    return OX_OK;
}

static ox_err
parse(struct ox_quarantine *q, const char *text, size_t n)
{
    json_t *root = json_loadb(text, n, 0, NULL), *item;
    const json_t *tenants = json_object_get(root, "tenants");
    ox_err err = json_integer_value(json_object_get(root, "version")) == VERSION && json_is_array(tenants)
                     ? OX_OK
                     : OX_E_CORRUPT;
    size_t i;
    json_array_foreach(tenants, i, item)
    {
        if (err != OX_OK)
            break;
        struct ox_quarantined *entry = calloc(1, sizeof(*entry));
        if (entry == NULL || q->n == OX_QUARANTINE_MAX)
            err = OX_E_NOMEM;
        else
            err = parse_entry(item, entry);
        if (err == OX_OK)
            q->list[q->n++] = entry;
        else
            free(entry);
    }
    json_decref(root);
    return err;
}

ox_err
ox_quarantine_open(struct ox_disk *disk, const char *path, struct ox_quarantine **out, struct ox_diag *diag)
{
    char *text;
    size_t n;
    struct ox_quarantine *q = calloc(1, sizeof(*q));
    *out = q;
    if (q == NULL)
        return OX_E_NOMEM;
    q->disk = disk;
    snprintf(q->path, sizeof(q->path), "%s", path);
    pthread_mutex_init(&q->lock, NULL);
    ox_err err = read_file(disk, path, &text, &n);
    if (err == OX_OK && text != NULL)
        err = parse(q, text, n);
    free(text);
    if (err == OX_OK)
        return OX_OK;
    ox_quarantine_close(q);
    *out = NULL;
    return ox_diag_set(
        diag, err, "quarantine", -1,
        "the list of quarantined tenants cannot be read (%s): mend or restore the file; to remove it "
        "lifts every quarantine: %.160s",
        ox_err_text(err), path);
}

void
ox_quarantine_close(struct ox_quarantine *q)
{
    if (q == NULL)
        return;
    for (size_t i = 0; i < q->n; i++)
        free(q->list[i]);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* ---- writing; under the lock ---- */

static void
put_text(const struct ox_quarantine *q, struct ox_buf *out)
{
    ox_buf_printf(out, "{\"version\":%d,\"tenants\":[", VERSION);
    for (size_t i = 0; i < q->n; i++) {
        const struct ox_quarantined *e = q->list[i];
        ox_buf_printf(out, "%s\n{\"tenant\":\"%s\",\"crashes\":%u,\"since_ns\":\"%llu\"", i > 0 ? "," : "",
                      e->tenant.name, e->crashes, (unsigned long long)e->since_ns);
        if (e->has_last) {
            ox_buf_append_cstr(out, ",\"last\":");
            ox_crash_json(&e->last, out);
        }
        ox_buf_append_cstr(out, "}");
    }
    ox_buf_append_cstr(out, "]}\n");
}

static ox_err
write_file(struct ox_disk *disk, const char *path, const struct ox_buf *text)
{
    int fd;
    ox_err err = ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(disk, fd, text->data, text->len, 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, fd);
    ox_disk_close(disk, fd);
    return err;
}

static ox_err
save(const struct ox_quarantine *q)
{
    char tmp[OX_DISK_PATH_MAX], dir[OX_DISK_PATH_MAX];
    struct ox_buf text;
    snprintf(dir, sizeof(dir), "%s", q->path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL || snprintf(tmp, sizeof(tmp), "%s.new", q->path) >= (int)sizeof(tmp))
        return OX_E_INVALID;
    *slash = '\0';
    ox_buf_init(&text);
    put_text(q, &text);
    ox_err err = text.failed ? OX_E_NOMEM : write_file(q->disk, tmp, &text);
    if (err == OX_OK)
        err = ox_disk_rename(q->disk, tmp, q->path);
    ox_buf_fini(&text);
    return err == OX_OK ? ox_disk_fsync_dir(q->disk, dir) : err;
}

static size_t
index_of(const struct ox_quarantine *q, const char *tenant)
{
    size_t i = 0;
    while (i < q->n && strcmp(q->list[i]->tenant.name, tenant) != 0)
        i++;
    return i;
}

/* One entry more or another one at `at`; taken back when it cannot be kept. */
static ox_err
replace(struct ox_quarantine *q, size_t at, struct ox_quarantined *fresh)
{
    if (at == OX_QUARANTINE_MAX)
        return OX_E_OVERLOAD;
    struct ox_quarantined *old = at < q->n ? q->list[at] : NULL;
    q->list[at] = fresh;
    q->n += old == NULL;
    ox_err err = save(q);
    if (err == OX_OK) {
        free(old);
        return OX_OK;
    }
    q->n -= old == NULL;
    q->list[at] = old;
    return err;
}

ox_err
ox_quarantine_put(struct ox_quarantine *q, const struct ox_quarantined *entry)
{
    struct ox_quarantined *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return OX_E_NOMEM;
    *copy = *entry;
    ox_lock(&q->lock);
    ox_err err = replace(q, index_of(q, entry->tenant.name), copy);
    ox_unlock(&q->lock);
    if (err != OX_OK)
        free(copy);
    return err;
}

static ox_err
remove_at(struct ox_quarantine *q, size_t at)
{
    struct ox_quarantined *gone = q->list[at];
    size_t behind = (q->n - at - 1) * sizeof(struct ox_quarantined *);
    memmove(&q->list[at], &q->list[at + 1], behind);
    q->n--;
    ox_err err = save(q);
    if (err == OX_OK) {
        free(gone);
        return OX_OK;
    }
    memmove(&q->list[at + 1], &q->list[at], behind);
    q->list[at] = gone;
    q->n++;
    return err;
}

ox_err
ox_quarantine_remove(struct ox_quarantine *q, const char *tenant)
{
    ox_lock(&q->lock);
    size_t at = index_of(q, tenant);
    ox_err err = at < q->n ? remove_at(q, at) : OX_E_NOT_FOUND;
    ox_unlock(&q->lock);
    return err;
}

/* ---- looking ---- */

bool
ox_quarantine_find(struct ox_quarantine *q, const char *tenant, struct ox_quarantined *out)
{
    ox_lock(&q->lock);
    size_t at = index_of(q, tenant);
    bool found = at < q->n;
    if (found)
        *out = *q->list[at];
    ox_unlock(&q->lock);
    return found;
}

size_t
ox_quarantine_list(struct ox_quarantine *q, size_t from, struct ox_quarantined *out, size_t max)
{
    size_t n = 0;
    ox_lock(&q->lock);
    for (; from + n < q->n && n < max; n++)
        out[n] = *q->list[from + n];
    ox_unlock(&q->lock);
    return n;
}

size_t
ox_quarantine_count(struct ox_quarantine *q)
{
    ox_lock(&q->lock);
    size_t n = q->n;
    ox_unlock(&q->lock);
    return n;
}
