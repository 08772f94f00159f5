/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_journal.c - `observex journal verify|inspect|repair`.
 *
 * Owns:    the data directory's lock while it repairs.
 * Threads: the main thread.
 * Bounds:  JOURNALS_MAX journals at once.
 * Fails:   OX_EXIT_FAILED when bytes are damaged, or something cannot be repaired; OX_EXIT_USAGE.
 * Flow:    here -> journal_verify.c, journal_inspect.c, runtime/journal/repair.c.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart_internal.h"
#include "cmd/journal.h"
#include "ox/journal_repair.h"

#define JOURNALS_MAX 20000

struct journals {
    char **dirs;
    size_t n;
};

bool
journal_number(const char *text, uint64_t *out)
{
    char *rest;
    *out = strtoull(text, &rest, 10);
    return text[0] >= '0' && text[0] <= '9' && *rest == '\0' && *out != 0;
}

/* ---- which journals ---- */

static bool
add_dir(struct journals *list, const char *dir)
{
    if (list->n == JOURNALS_MAX || list->dirs == NULL)
        return false;
    list->dirs[list->n] = strdup(dir);
    return list->dirs[list->n++] != NULL;
}

static bool
is_dir(const char *path)
{
    DIR *d = opendir(path);
    if (d != NULL)
        closedir(d);
    return d != NULL;
}

/* Folders below `dir`, each a journal. */
static bool
add_below(struct journals *list, const char *dir)
{
    char path[OX_DISK_PATH_MAX];
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, alphasort);
    bool ok = true;
    for (int i = 0; i < n; i++) {
        int len = snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && len > 0 && (size_t)len < sizeof(path) && is_dir(path))
            ok = add_dir(list, path) && ok;
        free(names[i]);
    }
    free(names);
    return ok;
}

/* A journal's own folder, or a data directory, which stands for all of its journals. */
static bool
add_path(struct journals *list, const char *path)
{
    static const char *const own[] = {"wal", "outbox"};
    char below[OX_DISK_PATH_MAX];
    bool data = false, ok = true;
    for (size_t i = 0; i < OX_COUNT(own); i++) {
        snprintf(below, sizeof(below), "%s/%s", path, own[i]);
        if (is_dir(below)) {
            data = true;
            ok = add_dir(list, below) && ok;
        }
    }
    snprintf(below, sizeof(below), "%s/backlog", path);
    if (data && is_dir(below))
        ok = add_below(list, below) && ok;
    return data ? ok : add_dir(list, path) && ok;
}

static void
free_list(struct journals *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->dirs[i]);
    free(list->dirs);
}

static bool
has_segments(const char *dir)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, NULL);
    bool found = false;
    for (int i = 0; i < n; i++) {
        size_t len = strlen(names[i]->d_name);
        found = found || (len > 4 && strcmp(names[i]->d_name + len - 4, ".seg") == 0);
        free(names[i]);
    }
    free(names);
    return found;
}

/* What the folder's own name promises, for a journal none of whose headers can be read. */
static bool
kind_by_name(const char *dir, enum ox_journal_kind *kind)
{
    size_t n = strlen(dir);
    while (n > 0 && dir[n - 1] == '/')
        n--;
    for (uint32_t k = OX_JOURNAL_WAL; k <= OX_JOURNAL_OUTBOX; k++) {
        const char *name = ox_journal_kind_name(k);
        size_t len = strlen(name);
        if (n > len && dir[n - len - 1] == '/' && strncmp(dir + n - len, name, len) == 0) {
            *kind = (enum ox_journal_kind)k;
            return true;
        }
    }
    return false;
}

/* The kind of a journal; *empty when it has no segment at all, which is no damage. */
static ox_err
kind_of(const char *dir, enum ox_journal_kind *kind, bool *empty)
{
    struct ox_diag diag;
    ox_err err = ox_journal_kind_of(ox_disk_real(), dir, kind, &diag);
    bool none = err == OX_E_NOT_FOUND && is_dir(dir);
    *empty = none && !has_segments(dir);
    if (none && !*empty && kind_by_name(dir, kind))
        return OX_OK;
    if (err != OX_OK && !*empty)
        ox_complain("%s; name the folder of a journal (DIR/wal, DIR/outbox) or a data directory", diag.text);
    return err;
}

/* ---- verify ---- */

static void
print_finding(const json_t *f)
{
    const json_t *hits = json_object_get(f, "hits");
    printf("  %s: segment %" PRId64 ", offset %" PRId64 ", %" PRId64 " bytes",
           json_string_value(json_object_get(f, "kind")),
           (int64_t)json_integer_value(json_object_get(f, "segment")),
           (int64_t)json_integer_value(json_object_get(f, "offset")),
           (int64_t)json_integer_value(json_object_get(f, "bytes")));
    if (json_integer_value(json_object_get(f, "seq_to")) > 0)
        printf(", sequences %" PRId64 " to %" PRId64,
               (int64_t)json_integer_value(json_object_get(f, "seq_from")),
               (int64_t)json_integer_value(json_object_get(f, "seq_to")));
    printf("\n    %s\n", json_string_value(json_object_get(f, "text")));
    for (size_t i = 0; i < json_array_size(hits); i++)
        printf("    as far as it can be read: %s\n", json_string_value(json_array_get(hits, i)));
}

static void
print_report(const json_t *r)
{
    const json_t *findings = json_object_get(r, "findings");
    size_t n = json_array_size(findings);
    printf("%s: %s, %lld segments, %lld entries: %s\n", json_string_value(json_object_get(r, "dir")),
           json_string_value(json_object_get(r, "kind")),
           (long long)json_integer_value(json_object_get(r, "segments")),
           (long long)json_integer_value(json_object_get(r, "entries")),
           json_is_true(json_object_get(r, "sound")) ? "sound" : "DAMAGED");
    if (json_integer_value(json_object_get(r, "filled_bytes")) > 0)
        printf("  %lld bytes were lost before, and filled by a repair\n",
               (long long)json_integer_value(json_object_get(r, "filled_bytes")));
    for (size_t i = 0; i < n; i++)
        print_finding(json_array_get(findings, i));
    if ((size_t)json_integer_value(json_object_get(r, "findings_total")) > n)
        printf("  and %lld findings more\n",
               (long long)json_integer_value(json_object_get(r, "findings_total")) - (long long)n);
    if (json_integer_value(json_object_get(r, "not_understood")) > 0)
        printf("  %lld entries are whole but not understood; the first: %s\n",
               (long long)json_integer_value(json_object_get(r, "not_understood")),
               json_string_value(json_object_get(r, "first_not_understood")));
}

static int
verify(const struct journals *list, bool json)
{
    int code = OX_EXIT_OK;
    json_t *all = json_array();
    for (size_t i = 0; i < list->n; i++) {
        enum ox_journal_kind kind;
        bool empty, sound = true;
        ox_err err = kind_of(list->dirs[i], &kind, &empty);
        if (err != OX_OK && !json && empty)
            printf("%s: empty\n", list->dirs[i]);
        if (err != OX_OK) {
            code = empty ? code : OX_EXIT_FAILED;
            continue;
        }
        json_t *r = journal_verify(list->dirs[i], kind, &sound);
        if (r == NULL || !sound)
            code = OX_EXIT_FAILED;
        if (r != NULL && !json)
            print_report(r);
        (void)json_array_append_new(all, r != NULL ? r : json_null());
    }
    if (json) {
        (void)json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        putchar('\n');
    }
    json_decref(all);
    return code;
}

/* ---- repair ---- */

/* The data directory that a journal lies in: the nearest folder above with a lock. False: there is none. */
static bool
data_dir_of(const char *dir, char *out, size_t size)
{
    char path[OX_DISK_PATH_MAX];
    char *real = realpath(dir, NULL);
    bool found = false;
    for (int up = 0; real != NULL && up < 4 && !found; up++) {
        snprintf(path, sizeof(path), "%s/lock", real);
        found = access(path, F_OK) == 0;
        if (found)
            snprintf(out, size, "%s", real);
        char *slash = strrchr(real, '/');
        if (slash == NULL || slash == real)
            break;
        *slash = '\0';
    }
    free(real);
    return found;
}

/* "wal", "outbox", "backlog-team-a": the last parts of the journal's path. */
static void
folder_for(const char *originals, const char *dir, char *out, size_t size)
{
    char copy[OX_DISK_PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", dir);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    char *slash = strrchr(copy, '/');
    const char *last = slash != NULL ? slash + 1 : copy;
    if (slash != NULL)
        *slash = '\0';
    const char *above = strrchr(copy, '/') != NULL ? strrchr(copy, '/') + 1 : copy;
    bool backlog = slash != NULL && strcmp(above, "backlog") == 0;
    snprintf(out, size, "%s/%s%s", originals, backlog ? "backlog-" : "", last);
}

static json_t *
repair_json(const char *dir, const struct ox_journal_repair *r)
{
    json_t *steps = json_array();
    for (uint32_t i = 0; i < r->n_steps; i++) {
        const struct ox_journal_step *s = &r->steps[i];
        (void)json_array_append_new(
            steps,
            json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:s}", "step", ox_journal_step_name(s->kind), "segment",
                      (json_int_t)s->segment, "offset", (json_int_t)s->offset, "bytes", (json_int_t)s->bytes,
                      "seq_from", (json_int_t)s->seq_from, "seq_to", (json_int_t)s->seq_to, "text", s->text));
    }
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "dir", dir, "segments", (json_int_t)r->segments,
                     "files_replaced", (json_int_t)r->files_replaced, "files_renamed",
                     (json_int_t)r->files_renamed, "filled_bytes", (json_int_t)r->filled_bytes, "left",
                     (json_int_t)r->left, "steps_total", (json_int_t)r->steps_total, "steps", steps);
}

static void
print_repair(const char *dir, const struct ox_journal_repair *r, const char *aside)
{
    printf("%s: %llu segments, %s\n", dir, (unsigned long long)r->segments,
           r->steps_total == 0 ? "nothing to repair"
           : aside != NULL     ? "repaired:"
                               : "would be repaired:");
    for (uint32_t i = 0; i < r->n_steps; i++) {
        const struct ox_journal_step *s = &r->steps[i];
        printf("  %-6s segment %llu", ox_journal_step_name(s->kind), (unsigned long long)s->segment);
        if (s->bytes > 0)
            printf(", offset %llu, %llu bytes", (unsigned long long)s->offset, (unsigned long long)s->bytes);
        if (s->seq_to > 0)
            printf(", sequences %llu to %llu", (unsigned long long)s->seq_from,
                   (unsigned long long)s->seq_to);
        printf(": %s\n", s->text);
    }
    if (r->steps_total > r->n_steps)
        printf("  and %llu steps more\n", (unsigned long long)(r->steps_total - r->n_steps));
    if (r->files_replaced > 0)
        printf("  %llu files were replaced; their originals are in %s\n",
               (unsigned long long)r->files_replaced, aside);
    if (r->left > 0)
        printf("  %llu things stay as they are\n", (unsigned long long)r->left);
}

static int
repair_one(const char *dir, const char *originals, json_t *all)
{
    static struct ox_journal_repair report; /* large */
    char aside[OX_DISK_PATH_MAX];
    enum ox_journal_kind kind;
    struct ox_diag diag;
    bool empty;
    ox_err err = kind_of(dir, &kind, &empty);
    if (err != OX_OK)
        return empty ? OX_EXIT_OK : OX_EXIT_FAILED;
    if (originals != NULL) {
        folder_for(originals, dir, aside, sizeof(aside));
        if (ox_disk_ensure_dir(ox_disk_real(), originals) != OX_OK)
            return ox_complain("the folder %s cannot be made", originals);
    }
    err = ox_journal_repair(ox_disk_real(), dir, kind, originals != NULL ? aside : NULL, &report, &diag);
    if (all != NULL)
        (void)json_array_append_new(all, repair_json(dir, &report));
    else
        print_repair(dir, &report, originals != NULL ? aside : NULL);
    if (err != OX_OK)
        return ox_complain("%s", diag.text);
    return report.left > 0 ? OX_EXIT_FAILED : OX_EXIT_OK;
}

/* originals NULL: only say. Each journal under the lock of its data directory. */
static int
repair(const struct journals *list, const char *originals, bool json)
{
    char data[OX_DISK_PATH_MAX], held[OX_DISK_PATH_MAX] = "";
    int code = OX_EXIT_OK, fd = -1;
    json_t *all = json ? json_array() : NULL;
    for (size_t i = 0; i < list->n; i++) {
        struct ox_diag diag;
        if (originals != NULL && data_dir_of(list->dirs[i], data, sizeof(data)) && strcmp(data, held) != 0) {
            if (fd >= 0)
                close(fd);
            fd = -1;
            held[0] = '\0';
            if (ox__data_lock(data, &fd, &diag) != OX_OK) {
                code = ox_complain("nothing is repaired while a server may write: %s", diag.text);
                break;
            }
            snprintf(held, sizeof(held), "%s", data);
        }
        if (repair_one(list->dirs[i], originals, all) != OX_EXIT_OK)
            code = OX_EXIT_FAILED;
    }
    if (fd >= 0)
        close(fd);
    if (json) {
        (void)json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        putchar('\n');
    }
    json_decref(all);
    return code;
}

/* ---- arguments ---- */

static int
inspect(const struct journals *list, const struct journal_request *q)
{
    enum ox_journal_kind kind;
    bool empty;
    if (list->n != 1)
        return ox_complain_usage("journal", "`journal inspect` takes one journal: DIR/wal or DIR/outbox");
    if (kind_of(list->dirs[0], &kind, &empty) == OX_OK)
        return journal_inspect(q, list->dirs[0], kind);
    return empty ? ox_complain("%s holds no segment", list->dirs[0]) : OX_EXIT_FAILED;
}

static int
run(const char *what, const struct journals *list, const struct journal_request *q, const char *originals,
    bool dry_run)
{
    if (strcmp(what, "verify") == 0)
        return verify(list, q->json);
    if (strcmp(what, "inspect") == 0)
        return inspect(list, q);
    if (strcmp(what, "repair") != 0)
        return ox_complain_usage("journal", "there is no `journal %s`; it is verify, inspect or repair",
                                 what);
    if (originals == NULL && !dry_run)
        return ox_complain_usage(
            "journal",
            "`journal repair` needs --originals FOLDER, where it keeps what it replaces; or --dry-run");
    return repair(list, dry_run ? NULL : originals, q->json);
}

int
ox_cmd_journal(int argc, char **argv)
{
    struct journal_request q = {0};
    const char *segment = NULL, *originals = NULL;
    bool dry_run = false, ok = true;
    const struct ox_flag flags[] = {{"segment", &segment, NULL},
                                    {"json", NULL, &q.json},
                                    {"originals", &originals, NULL},
                                    {"dry-run", NULL, &dry_run}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), argc) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc < 2)
        return ox_complain_usage("journal", "say what to do: verify, inspect or repair");
    if (segment != NULL && !journal_number(segment, &q.segment))
        return ox_complain_usage("journal", "--segment takes a number from 1, not \"%s\"", segment);
    if (argc < 3)
        return ox_complain_usage("journal", "name a journal (DIR/wal, DIR/outbox) or a data directory");
    struct journals list = {.dirs = calloc(JOURNALS_MAX, sizeof(char *))};
    for (int i = 2; i < argc && ok; i++)
        ok = add_path(&list, argv[i]);
    int code = ok ? run(argv[1], &list, &q, originals, dry_run)
                  : ox_complain("no memory for a list of journals, or more than %d of them", JOURNALS_MAX);
    free_list(&list);
    return code;
}
