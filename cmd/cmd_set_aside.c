/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_set_aside.c - `observex set-aside`: requests that were acknowledged and crashed what handled them.
 *
 * Owns:    nothing; replay renames DIR/set-aside/wal-N.entry to .replayed once the server has it.
 * Threads: the main thread.
 * Bounds:  FILES_MAX entries in one list; ENTRY_BYTES_MAX of one.
 * Fails:   OX_EXIT_FAILED.
 *
 * list and show read the files and need no server. replay sends the stored request again as its tenant, like any client, so
 * that it is judged, acknowledged and stored as a new one.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/cmd_supervision.h"
#include "cmd/node_internal.h"
#include "cmd/otlp_answer.h"
#include "cmd/otlp_client.h"
#include "cmd/text.h"
#include "ox/clock.h"
#include "ox/wal_entry.h"

#define FILES_MAX       100000
#define ENTRY_BYTES_MAX (256u << 20)

struct item {
    uint64_t seq;
    bool replayed;
};

struct stored {
    struct ox_buf payload;
    struct ox_wal_entry entry;
    json_t *note; /* NULL: set aside by a release that wrote none */
};

/* ---- files ---- */

static void
path_of(const char *data, uint64_t seq, const char *suffix, char out[OX_DISK_PATH_MAX])
{
    snprintf(out, OX_DISK_PATH_MAX, "%s/set-aside/wal-%020" PRIu64 ".%s", data, seq, suffix);
}

static int
compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

static bool
parse_name(const char *name, struct item *out)
{
    char *end;
    if (strncmp(name, "wal-", 4) != 0)
        return false;
    out->seq = strtoull(name + 4, &end, 10);
    out->replayed = strcmp(end, ".replayed") == 0;
    return out->replayed || strcmp(end, ".entry") == 0;
}

static bool
push(struct item **items, size_t *n, size_t *cap, struct item item)
{
    if (*n == *cap) {
        *cap = *cap != 0 ? *cap * 2 : 64;
        struct item *more = realloc(*items, *cap * sizeof(*more));
        if (more == NULL)
            return false;
        *items = more;
    }
    (*items)[(*n)++] = item;
    return true;
}

/* All entries, oldest first; NULL with *n 0 when there are none. */
static struct item *
list_items(const char *data, size_t *n)
{
    char path[OX_DISK_PATH_MAX];
    struct item *items = NULL, item;
    size_t cap = 0;
    *n = 0;
    snprintf(path, sizeof(path), "%s/set-aside", data);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL && *n < FILES_MAX;) {
        if (parse_name(e->d_name, &item) && !push(&items, n, &cap, item))
            break;
    }
    if (d != NULL)
        closedir(d);
    if (*n > 0)
        qsort(items, *n, sizeof(*items), compare_items);
    return items;
}

static ox_err
read_file(const char *path, struct ox_buf *out, struct ox_diag *diag)
{
    char chunk[65536];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return ox_diag_set(diag, errno == ENOENT ? OX_E_NOT_FOUND : OX_E_IO, NULL, -1,
                           "%s cannot be opened: %s", path, strerror(errno));
    for (size_t got; (got = fread(chunk, 1, sizeof(chunk), f)) > 0 && out->len < ENTRY_BYTES_MAX;)
        ox_buf_append(out, chunk, got);
    bool bad = ferror(f) != 0 || out->failed;
    fclose(f);
    return bad ? ox_diag_set(diag, OX_E_IO, NULL, -1, "%s cannot be read", path) : OX_OK;
}

/* Reads what is set aside as `seq`; on OK stored_fini follows. */
static ox_err
stored_read(const char *data, uint64_t seq, struct stored *out, struct ox_diag *diag)
{
    char path[OX_DISK_PATH_MAX];
    memset(out, 0, sizeof(*out));
    ox_buf_init(&out->payload);
    path_of(data, seq, "entry", path);
    ox_err err = read_file(path, &out->payload, diag);
    if (err == OX_E_NOT_FOUND) {
        path_of(data, seq, "replayed", path);
        err = read_file(path, &out->payload, diag);
    }
    if (err == OX_E_NOT_FOUND)
        err = ox_diag_set(diag, OX_E_NOT_FOUND, NULL, -1,
                          "nothing is set aside as %" PRIu64
                          " below %s; `observex set-aside list` shows what is",
                          seq, data);
    if (err == OX_OK)
        err = ox_wal_entry_decode(ox_buf_str(&out->payload), &out->entry, diag);
    if (err != OX_OK) {
        ox_buf_fini(&out->payload);
        return err;
    }
    path_of(data, seq, "json", path);
    out->note = json_load_file(path, 0, NULL);
    return OX_OK;
}

static void
stored_fini(struct stored *s)
{
    ox_wal_entry_fini(&s->entry);
    ox_buf_fini(&s->payload);
    json_decref(s->note);
}

static uint64_t
note_u64(const struct stored *s, const char *key)
{
    const json_t *v = json_object_get(s->note, key);
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : (uint64_t)json_integer_value(v);
}

static uint64_t
records_of(const struct stored *s)
{
    return s->note != NULL ? note_u64(s, "records") : s->entry.n_records;
}

static const char *
why(const struct stored *s)
{
    const char *text = json_string_value(json_object_get(json_object_get(s->note, "obituary"), "text"));
    if (json_is_true(json_object_get(s->note, "may_be_stored")))
        return "it may be stored: the outbox was damaged where it would say";
    return text != NULL ? text : "the node crashed with it in hand";
}

/* ---- list ---- */

static void
list_one(const char *data, const struct item *item, bool json)
{
    struct stored s;
    struct ox_diag diag;
    char time[OX_RFC3339_LEN + 1] = "-";
    if (stored_read(data, item->seq, &s, &diag) != OX_OK) {
        ox_complain("%" PRIu64 ": %s", item->seq, diag.text);
        return;
    }
    if (note_u64(&s, "set_aside_ns") != 0)
        ox_clock_rfc3339(note_u64(&s, "set_aside_ns"), time);
    if (json) {
        printf("{\"wal_seq\":\"%" PRIu64 "\",\"tenant\":\"%s\",\"signal\":\"%s\",\"records\":%" PRIu64
               ",\"records_in_request\":%u,\"set_aside\":\"%s\",\"replayed\":%s}\n",
               item->seq, s.entry.tenant.name, ox_signal_name(s.entry.signal), records_of(&s),
               s.entry.n_records, time, item->replayed ? "true" : "false");
    } else {
        printf("%-10" PRIu64 "  %-24s  %-7s  %7" PRIu64 "  %.19sZ  %-8s  ", item->seq, s.entry.tenant.name,
               ox_signal_name(s.entry.signal), records_of(&s), time, item->replayed ? "replayed" : "kept");
        cmd_text_print(why(&s), 80, false);
        fputc('\n', stdout);
    }
    stored_fini(&s);
}

static int
list(const char *data, bool json)
{
    size_t n;
    if (access(data, F_OK) != 0) {
        return ox_complain("%s: %s; --data names the data directory", data, strerror(errno));
    }
    struct item *items = list_items(data, &n);
    if (n == 0 && !json)
        printf("nothing is set aside below %s\n", data);
    else if (!json)
        printf("%-10s  %-24s  %-7s  %7s  %-20s  %-8s  %s\n", "ENTRY", "TENANT", "SIGNAL", "RECORDS",
               "SET ASIDE", "STATE", "WHY");
    for (size_t i = 0; i < n; i++)
        list_one(data, &items[i], json);
    free(items);
    return OX_EXIT_OK;
}

/* ---- show ---- */

static void
show_text(const struct stored *s, uint64_t seq)
{
    char received[OX_RFC3339_LEN + 1];
    ox_clock_rfc3339(s->entry.received_ns, received);
    printf("log entry %" PRIu64 ": %s of tenant %s, received %.19sZ\n", seq, ox_signal_name(s->entry.signal),
           s->entry.tenant.name, received);
    printf("  %u records in %zu bytes; %" PRIu64
           " of them are set aside, the others were stored or refused\n\n",
           s->entry.n_records, s->entry.body.n, records_of(s));
    const json_t *obituary = json_object_get(s->note, "obituary");
    if (obituary != NULL)
        cmd_print_crash(obituary);
    else
        printf("  %s\n\n", why(s));
    printf("`observex set-aside show %" PRIu64
           " --body` writes the request (OTLP protobuf) to standard output,\n"
           "`observex set-aside replay %" PRIu64 "` sends it again as its tenant.\n",
           seq, seq);
}

static int
show(const char *data, uint64_t seq, bool body)
{
    struct stored s;
    struct ox_diag diag;
    if (stored_read(data, seq, &s, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    if (body)
        fwrite(s.entry.body.p, 1, s.entry.body.n, stdout);
    else
        show_text(&s, seq);
    stored_fini(&s);
    return OX_EXIT_OK;
}

/* ---- replay ---- */

struct replay {
    const char *data;
    const char *otlp_http; /* NULL: where the server of `data` listens */
    const char *key;       /* NULL: the tenant's development key */
    bool all;              /* also records that are stored already */
};

static ox_err
find_server(const struct replay *r, char *base, size_t size, struct ox_diag *diag)
{
    char path[OX_DISK_PATH_MAX];
    if (r->otlp_http != NULL) {
        snprintf(base, size, "%s%s", strstr(r->otlp_http, "://") != NULL ? "" : "http://", r->otlp_http);
        return OX_OK;
    }
    snprintf(path, sizeof(path), "%s/ready.json", r->data);
    json_t *ready = json_load_file(path, 0, NULL);
    const char *address = json_string_value(json_object_get(ready, "otlp_http"));
    bool known = address != NULL;
    if (known)
        snprintf(base, size, "http://%s", address);
    json_decref(ready);
    return known ? OX_OK
                 : ox_diag_set(
                       diag, OX_E_NOT_FOUND, NULL, -1,
                       "nothing runs on %s (no %s): start `observex serve --data %s`, or use --otlp-http URL",
                       r->data, path, r->data);
}

static ox_err
find_key(const struct replay *r, const struct ox_tenant_id *tenant, char out[OX_DEV_KEY_MAX],
         struct ox_diag *diag)
{
    char secret[OX_DEV_SECRET_HEX + 1], path[OX_DISK_PATH_MAX];
    struct stat st;
    snprintf(path, sizeof(path), "%s/dev.secret", r->data);
    if (stat(path, &st) != 0)
        return ox_diag_set(
            diag, OX_E_NOT_FOUND, NULL, -1,
            "tenant %s's key is needed: pass it as --key (only a development server's can be derived)",
            tenant->name);
    ox_err err = node_dev_secret(r->data, secret, diag);
    if (err == OX_OK)
        ox_keystore_dev_key(ox_str_of(secret), tenant, out);
    return err;
}

static ox_err
post_to(const char *base, const char *key, const struct stored *s, struct ox_diag *diag)
{
    struct ox_otlp_reply reply = {0};
    struct ox_otlp_client *client = ox_otlp_client_new(base, key);
    if (client == NULL)
        return OX_E_NOMEM;
    ox_buf_init(&reply.body);
    ox_err err = ox_otlp_client_post(client, s->entry.signal, false, s->entry.body, &reply, diag);
    struct ox_otlp_answer answer;
    ox_otlp_answer_read(reply.status, &reply.body, &answer);
    if (err == OX_OK && reply.status != 200)
        err = ox_diag_set(diag, OX_E_INVALID, NULL, -1, "the server does not take it: status %ld: %s",
                          reply.status, answer.why);
    ox_buf_fini(&reply.body);
    ox_otlp_client_free(client);
    return err;
}

static ox_err
post(const struct replay *r, const struct stored *s, struct ox_diag *diag)
{
    char base[512], derived[OX_DEV_KEY_MAX];
    ox_err err = find_server(r, base, sizeof(base), diag);
    if (err == OX_OK && r->key == NULL)
        err = find_key(r, &s->entry.tenant, derived, diag);
    return err == OX_OK ? post_to(base, r->key != NULL ? r->key : derived, s, diag) : err;
}

/* What is stored already would be stored twice. */
static ox_err
check_whole(const struct replay *r, const struct stored *s, uint64_t seq, struct ox_diag *diag)
{
    uint64_t records = records_of(s), refused = 0;
    const struct ox_range *range = ox_ranges_at(&s->entry.rejected);
    for (uint32_t i = 0; i < s->entry.rejected.n; i++)
        refused += range[i].to - range[i].from;
    if (r->all || records + refused >= s->entry.n_records)
        return OX_OK;
    return ox_diag_set(
        diag, OX_E_STATE, NULL, -1,
        "%" PRIu64 " of the %u records of entry %" PRIu64
        " are stored already, and the request can only be sent as a whole: --all stores them twice",
        s->entry.n_records - refused - records, s->entry.n_records, seq);
}

static int
replay(const struct replay *r, uint64_t seq)
{
    struct stored s;
    struct ox_diag diag;
    char from[OX_DISK_PATH_MAX], to[OX_DISK_PATH_MAX];
    struct stat st;
    ox_diag_clear(&diag);
    path_of(r->data, seq, "entry", from);
    path_of(r->data, seq, "replayed", to);
    if (stat(from, &st) != 0 && stat(to, &st) == 0)
        return ox_complain("entry %" PRIu64 " was replayed already; rename %s to .entry to do it again", seq,
                           to);
    if (stored_read(r->data, seq, &s, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    ox_err err = check_whole(r, &s, seq, &diag);
    if (err == OX_OK)
        err = post(r, &s, &diag);
    if (err == OX_OK && rename(from, to) != 0)
        ox_complain("entry %" PRIu64
                    " is acknowledged again, but %s cannot be renamed (%s): do not replay it twice",
                    seq, from, strerror(errno));
    if (err == OX_OK)
        printf("entry %" PRIu64 " of tenant %s was acknowledged again: %u records\n", seq,
               s.entry.tenant.name, s.entry.n_records);
    stored_fini(&s);
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
}

int
ox_cmd_set_aside(int argc, char **argv)
{
    struct replay r = {.data = "./observex-data"};
    bool json = false, body = false;
    char *end = NULL;
    const struct ox_flag flags[] = {{"data", &r.data, NULL}, {"otlp-http", &r.otlp_http, NULL},
                                    {"key", &r.key, NULL},   {"all", NULL, &r.all},
                                    {"json", NULL, &json},   {"body", NULL, &body}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 2) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(r.data, json);
    uint64_t seq = argc == 3 ? strtoull(argv[2], &end, 10) : 0;
    if (argc == 3 && (*end != '\0' || seq == 0))
        return ox_complain_usage("set-aside",
                                 "%.40s is not the number of an entry; `observex set-aside list` shows them",
                                 argv[2]);
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return show(r.data, seq, body);
    if (argc == 3 && strcmp(argv[1], "replay") == 0)
        return replay(&r, seq);
    return ox_complain_usage("set-aside", "say list, show ENTRY or replay ENTRY");
}
