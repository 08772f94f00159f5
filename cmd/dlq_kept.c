/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/dlq_kept.c - the other things that were taken out of the way: blocks that storage refused (DIR/dlq/blocks) and
 * requests that crashed the node (DIR/set-aside).
 *
 * Owns:    one file's bytes at a time.
 * Threads: the main thread.
 * Bounds:  FILES_MAX files of each kind; FILE_MAX bytes of one.
 * Fails:   a file that cannot be read is listed with what is known of it.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/dlq.h"
#include "cmd/text.h"
#include "ox/disk.h"
#include "ox/otlp.h"
#include "ox/wal_entry.h"

#define FILES_MAX 100000
#define FILE_MAX  ((size_t)1 << 30)
#define BLOCKS    "dlq/blocks"
#define SET_ASIDE "set-aside"

static bool
ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

static ox_err
read_file(const char *path, struct ox_buf *out)
{
    int fd;
    uint64_t size = 0;
    struct ox_disk *disk = ox_disk_real();
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_size(disk, fd, &size);
    if (err == OX_OK && size > FILE_MAX)
        err = OX_E_TOO_LARGE;
    uint8_t *to = err == OX_OK ? ox_buf_reserve(out, (size_t)size + 1) : NULL;
    if (err == OX_OK)
        err = to != NULL ? ox_disk_read_all(disk, fd, to, (size_t)size, 0) : OX_E_NOMEM;
    if (err == OX_OK) {
        out->len = (size_t)size;
        to[size] = '\0';
    }
    ox_disk_close(disk, fd);
    return err;
}

/* ---- blocks ---- */

/* "member value" of the text that stands beside a block; "" when it does not say. */
static void
text_of(const struct ox_buf *text, const char *member, char *out, size_t size)
{
    size_t n = strlen(member);
    const char *at = text->len > 0 ? (const char *)text->data : "";
    out[0] = '\0';
    while (*at != '\0') {
        size_t len = strcspn(at, "\n");
        if (len > n && strncmp(at, member, n) == 0 && at[n] == ' ') {
            char *value = strndup(at + n + 1, len - n - 1);
            dlq_copy(out, size, value != NULL ? value : "");
            free(value);
            return;
        }
        at += len + (at[len] == '\n');
    }
}

static void
list_block(const struct dlq_request *q, const char *dir, const char *name)
{
    char path[OX_DISK_PATH_MAX], table[64], rows[32], reason[512], when[24];
    struct stat st;
    struct ox_buf text;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (stat(path, &st) != 0)
        return;
    ox_buf_init(&text);
    snprintf(path, sizeof(path), "%s/%s.txt", dir, name);
    if (read_file(path, &text) != OX_OK)
        ox_buf_reset(&text); /* there is less to tell */
    text_of(&text, "table", table, sizeof(table));
    text_of(&text, "rows", rows, sizeof(rows));
    text_of(&text, "reason", reason, sizeof(reason));
    dlq_time((uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec, when);
    if (q->json) {
        dlq_emit(json_pack("{s:s,s:s,s:I,s:I,s:s,s:s}", "file", name, "table", table, "rows",
                           (json_int_t)strtoll(rows, NULL, 10), "bytes", (json_int_t)st.st_size, "time", when,
                           "reason", reason));
    } else {
        printf("%-44s %-20s %8s %10lld  %-20s ", name, table, rows, (long long)st.st_size, when);
        cmd_text_print(reason, 60, false);
        putchar('\n');
    }
    ox_buf_fini(&text);
}

/* Calls fn for the files of DIR/`below` in the order of their names. */
static void
each_file(const struct dlq_request *q, const char *below, bool (*wanted)(const char *name),
          void (*fn)(const struct dlq_request *q, const char *dir, const char *name), const char *table,
          const char *columns)
{
    char dir[OX_DISK_PATH_MAX];
    struct dirent **names = NULL;
    snprintf(dir, sizeof(dir), "%s/%s", q->data, below);
    int n = scandir(dir, &names, NULL, alphasort), left = 0;
    for (int i = 0; i < n; i++)
        left += wanted(names[i]->d_name);
    if (left > 0 || q->json)
        dlq_begin(q, table, columns);
    for (int i = 0; i < n && i < FILES_MAX; i++) {
        if (wanted(names[i]->d_name))
            fn(q, dir, names[i]->d_name);
    }
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    if (left > 0 || q->json)
        dlq_end(q);
    if (n < 0 && errno != ENOENT)
        ox_complain("%s cannot be listed: %s", dir, strerror(errno));
}

static bool
is_block(const char *name)
{
    return name[0] != '.' && !ends_with(name, ".txt");
}

void
dlq_list_blocks(const struct dlq_request *q)
{
    each_file(
        q, BLOCKS, is_block, list_block, "blocks",
        "refused by storage (dlq/blocks)              table                    rows      bytes  time    "
        "             reason");
}

static int
show_block(const struct dlq_request *q, const char *name)
{
    char path[OX_DISK_PATH_MAX];
    struct ox_buf text;
    ox_buf_init(&text);
    snprintf(path, sizeof(path), "%s/" BLOCKS "/%s.txt", q->data, name);
    ox_err err = read_file(path, &text);
    if (q->json)
        dlq_emit(json_pack("{s:s,s:s}", "file", name, "text", err == OX_OK ? (const char *)text.data : ""));
    else if (err == OX_OK)
        printf("%s/" BLOCKS "/%s\n%s", q->data, name, (const char *)text.data);
    if (!q->json)
        printf("right      rows that fit the table's columns: after the cause is mended, insert the file as "
               "%s\n",
               ends_with(name, ".zst") ? "`zstd -dc FILE`, FORMAT Native" : "it is, FORMAT Native");
    ox_buf_fini(&text);
    return OX_EXIT_OK;
}

/* ---- set aside ---- */

static bool
is_entry(const char *name)
{
    return ends_with(name, ".entry");
}

/* The file's bytes and what they say; the entry's body is a view into them. */
static ox_err
read_entry(const char *path, struct ox_buf *bytes, struct ox_wal_entry *entry, struct ox_diag *diag)
{
    ox_err err = read_file(path, bytes);
    if (err != OX_OK)
        return ox_diag_set(diag, err, NULL, -1, "%s", ox_err_text(err));
    return ox_wal_entry_decode(ox_buf_str(bytes), entry, diag);
}

static void
list_entry(const struct dlq_request *q, const char *dir, const char *name)
{
    char path[OX_DISK_PATH_MAX], when[24];
    struct ox_buf bytes;
    struct ox_wal_entry e;
    struct ox_diag diag;
    ox_buf_init(&bytes);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ox_err err = read_entry(path, &bytes, &e, &diag);
    if (q->json && err == OX_OK)
        dlq_emit(json_pack("{s:s,s:s,s:s,s:I,s:I,s:s}", "file", name, "tenant", e.tenant.name, "signal",
                           ox_signal_name(e.signal), "records", (json_int_t)e.n_records, "bytes",
                           (json_int_t)e.body.n, "time", dlq_time(e.received_ns, when)));
    else if (q->json)
        dlq_emit(json_pack("{s:s,s:s}", "file", name, "error", diag.text));
    else if (err == OX_OK)
        printf("%-34s %-24s %-8s %8u %10zu  %s\n", name, e.tenant.name, ox_signal_name(e.signal), e.n_records,
               e.body.n, dlq_time(e.received_ns, when));
    else
        printf("%-34s %s\n", name, diag.text);
    if (err == OX_OK)
        ox_wal_entry_fini(&e);
    ox_buf_fini(&bytes);
}

void
dlq_list_set_aside(const struct dlq_request *q)
{
    each_file(
        q, SET_ASIDE, is_entry, list_entry, "set_aside",
        "set aside (set-aside)              tenant                   signal    records      bytes  received");
}

static void
print_entry(const struct dlq_request *q, const char *name, const struct ox_wal_entry *e)
{
    char when[24];
    struct ox_buf text;
    ox_buf_init(&text);
    ox_err err = ox_otlp_to_json(e->signal, e->body, &text, NULL);
    json_t *request = err == OX_OK ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
    dlq_time(e->received_ns, when);
    if (q->json) {
        dlq_emit(json_pack("{s:s,s:s,s:s,s:I,s:s,s:o}", "file", name, "tenant", e->tenant.name, "signal",
                           ox_signal_name(e->signal), "records", (json_int_t)e->n_records, "time", when,
                           "request", request != NULL ? request : json_null()));
    } else {
        printf("file       %s\ntenant     %s\nsignal     %s\nrecords    %u\nreceived   %s\n", name,
               e->tenant.name, ox_signal_name(e->signal), e->n_records, when);
        fputs("reason     it was in hand when the node crashed, twice, and is not stored; or the outbox was "
              "damaged where it\n"
              "           would say whether it is stored: the log of that start says which\nrequest    ",
              stdout);
        if (request == NULL ||
            json_dumpf(request, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII) != 0)
            fputs("cannot be read", stdout);
        putchar('\n');
        json_decref(request);
    }
    ox_buf_fini(&text);
}

static int
show_entry(const struct dlq_request *q, const char *name)
{
    char path[OX_DISK_PATH_MAX];
    struct ox_buf bytes;
    struct ox_wal_entry e;
    struct ox_diag diag;
    ox_buf_init(&bytes);
    snprintf(path, sizeof(path), "%s/" SET_ASIDE "/%s", q->data, name);
    ox_err err = read_entry(path, &bytes, &e, &diag);
    if (err == OX_OK) {
        print_entry(q, name, &e);
        ox_wal_entry_fini(&e);
    }
    ox_buf_fini(&bytes);
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s: %s", path, diag.text);
}

bool
dlq_show_file(const struct dlq_request *q, const char *name, int *code)
{
    char path[OX_DISK_PATH_MAX];
    if (strchr(name, '/') != NULL)
        return false;
    snprintf(path, sizeof(path), "%s/" BLOCKS "/%s", q->data, name);
    if (access(path, F_OK) == 0) {
        *code = show_block(q, name);
        return true;
    }
    snprintf(path, sizeof(path), "%s/" SET_ASIDE "/%s", q->data, name);
    if (access(path, F_OK) == 0) {
        *code = show_entry(q, name);
        return true;
    }
    return false;
}
