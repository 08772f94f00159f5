/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_audit.c - `observex audit`: who did what, and whether the log that says so stands.
 *
 * Owns:    nothing. Reads the files of the data directory, whether a server runs on it or not.
 * Threads: the main thread.
 * Bounds:  list: --limit lines.
 * Fails:   OX_EXIT_FAILED: there is no log, it cannot be read, or it does not stand.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/text.h"
#include "ox/audit.h"

#define LIMIT_DEFAULT "100"
/* While a server writes, what was read may not fit together: it is read again. */
#define TRIES 3

struct wish {
    const char *data, *after, *limit, *tenant, *first, *head;
    bool json;
    char path[OX_DISK_PATH_MAX];
};

/* ---- verify ---- */

static void
print_report(const struct ox_audit_report *r)
{
    if (r->lines > 0)
        printf("lines %" PRIu64 " to %" PRIu64 " of the chain\nnewest: %" PRIu64 ":%s\n", r->first, r->last,
               r->last, r->hash);
    else
        printf("no line of a chain\n");
    if (r->unchained > 0)
        printf("%" PRIu64 " lines in no chain, of a write that was cut off or of an older release%s\n",
               r->unchained, r->lines > 0 ? ": unchanged since" : "");
    if (r->cut_off)
        printf("the last line is not whole: its write was cut off, or goes on now\n");
    if (r->broken && r->number > 0)
        printf("BROKEN at %s, line %" PRIu64 ": %s\n", r->file, r->number, r->why);
    else if (r->broken)
        printf("BROKEN at the end of %s: %s\n", r->file, r->why);
    else
        printf("the log stands\n");
}

static void
print_report_json(const struct ox_audit_report *r)
{
    char head[OX_AUDIT_HASH_LEN + 24];
    snprintf(head, sizeof(head), "%" PRIu64 ":%s", r->last, r->hash);
    json_t *o = json_pack("{s:b, s:I, s:I, s:I, s:s, s:I, s:b}", "stands", !r->broken, "lines",
                          (json_int_t)r->lines, "first", (json_int_t)r->first, "last", (json_int_t)r->last,
                          "newest", head, "unchained", (json_int_t)r->unchained, "cut_off", r->cut_off);
    if (o != NULL && r->broken)
        json_object_set_new(
            o, "broken",
            json_pack("{s:s, s:I, s:s}", "file", r->file, "line", (json_int_t)r->number, "why", r->why));
    (void)json_dumpf(o, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(o);
}

static int
complain_broken(const struct ox_audit_report *r)
{
    if (r->number == 0)
        return ox_complain("the audit log does not stand at the end of %s: %s", r->file, r->why);
    return ox_complain("the audit log does not stand at %s, line %" PRIu64 ": %s", r->file, r->number,
                       r->why);
}

static int
unreadable(ox_err err, const struct ox_diag *diag)
{
    return ox_complain("%s", diag->text[0] != '\0' ? diag->text : ox_err_text(err));
}

static int
verify(const struct wish *w, const struct ox_audit_known *known)
{
    struct ox_audit_report report;
    struct ox_diag diag;
    ox_err err = OX_OK;
    ox_diag_clear(&diag);
    for (int i = 0; i < TRIES; i++) {
        err = ox_audit_read(ox_disk_real(), w->path, known, &report, &diag);
        /* A writer may be at work, who also cuts off what he could not write. */
        if (err == OX_E_NOT_FOUND || (err == OX_OK && !report.broken))
            break;
    }
    if (err != OX_OK)
        return unreadable(err, &diag);
    if (w->json)
        print_report_json(&report);
    else
        print_report(&report);
    return report.broken ? OX_EXIT_FAILED : OX_EXIT_OK;
}

/* ---- list, export ---- */

struct listing {
    const struct wish *wish;
    uint64_t after, left;
    bool whole; /* also what is in no chain */
};

static const char *
text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? value : "";
}

static void
print_line(const json_t *o, uint64_t seq)
{
    printf("%8" PRIu64 "  %.19sZ  ", seq, text_of(o, "time"));
    cmd_text_print(text_of(o, "outcome"), 8, true);
    fputs("  ", stdout);
    cmd_text_print(text_of(o, "action"), 18, true);
    fputs("  ", stdout);
    cmd_text_print(text_of(o, "tenant"), 16, true);
    fputs("  ", stdout);
    cmd_text_print(text_of(o, "who"), 60, false);
    fputs(" from ", stdout);
    cmd_text_print(text_of(o, "peer"), 60, false);
    if (text_of(o, "detail")[0] != '\0') {
        fputs(": ", stdout);
        cmd_text_print(text_of(o, "detail"), 300, false);
    }
    fputc('\n', stdout);
}

static bool
show(void *arg, const struct ox_audit_line *line)
{
    struct listing *l = arg;
    if (line->seq == 0 ? !l->whole : line->seq <= l->after)
        return true;
    json_t *o = l->whole ? NULL : json_loadb(line->text.p, line->text.n, 0, NULL);
    bool wanted = l->whole || l->wish->tenant == NULL || strcmp(text_of(o, "tenant"), l->wish->tenant) == 0;
    if (wanted && (l->whole || l->wish->json))
        printf("%.*s\n", (int)line->text.n, line->text.p);
    else if (wanted)
        print_line(o, line->seq);
    json_decref(o);
    l->left -= wanted;
    return l->left > 0;
}

static int
each_line(struct listing *l)
{
    struct ox_audit_report report;
    struct ox_diag diag;
    struct ox_audit_known known = {.behind = l->after, .each = show, .arg = l};
    ox_diag_clear(&diag);
    ox_err err = ox_audit_read(ox_disk_real(), l->wish->path, &known, &report, &diag);
    if (err != OX_OK)
        return unreadable(err, &diag);
    return l->whole && l->after == 0 && report.broken ? complain_broken(&report) : OX_EXIT_OK;
}

/* Without --after, and of all tenants: the newest ones. */
static ox_err
find_newest(const struct wish *w, struct listing *l, struct ox_diag *diag)
{
    struct ox_audit_report report;
    ox_err err = OX_OK;
    if (w->after != NULL || w->tenant != NULL)
        return OX_OK;
    err = ox_audit_read(ox_disk_real(), w->path, &(struct ox_audit_known){0}, &report, diag);
    if (err == OX_OK && report.last > l->left)
        l->after = report.last - l->left;
    return err;
}

static int
list(const struct wish *w, uint64_t after, uint64_t limit)
{
    struct listing l = {.wish = w, .after = after, .left = limit};
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = find_newest(w, &l, &diag);
    return err == OX_OK ? each_line(&l) : unreadable(err, &diag);
}

static int
export_all(const struct wish *w, uint64_t after)
{
    struct listing l = {.wish = w, .after = after, .left = UINT64_MAX, .whole = true};
    return each_line(&l);
}

/* ---- the command line ---- */

static bool
read_number(const char *flag, const char *text, uint64_t *out, int *code)
{
    char *end = NULL;
    *out = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || (text[0] >= '0' && text[0] <= '9' && *end == '\0'))
        return true;
    *code = ox_complain_usage("audit", "--%s takes the number of a line, got '%.40s'", flag, text);
    return false;
}

/* 12:0f3a...: as verify prints it. */
static bool
read_head(const char *text, struct ox_audit_known *known, int *code)
{
    char *end = NULL;
    if (text == NULL)
        return true;
    known->seq = strtoull(text, &end, 10);
    known->hash = ox_str_of(*end == ':' ? end + 1 : "");
    if (known->seq > 0 && known->hash.n == OX_AUDIT_HASH_LEN)
        return true;
    *code = ox_complain_usage("audit", "--head takes NUMBER:HASH as `observex audit verify` prints it");
    return false;
}

int
ox_cmd_audit(int argc, char **argv)
{
    struct wish w = {.data = "./observex-data", .limit = LIMIT_DEFAULT};
    struct ox_audit_known known = {0};
    uint64_t after, limit;
    int code = OX_EXIT_USAGE;
    const struct ox_flag flags[] = {{"data", &w.data, NULL},   {"after", &w.after, NULL},
                                    {"limit", &w.limit, NULL}, {"tenant", &w.tenant, NULL},
                                    {"first", &w.first, NULL}, {"head", &w.head, NULL},
                                    {"json", NULL, &w.json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 1) != OX_OK)
        return OX_EXIT_USAGE;
    if (!read_number("after", w.after, &after, &code) || !read_number("limit", w.limit, &limit, &code) ||
        !read_number("first", w.first, &known.first, &code) || !read_head(w.head, &known, &code))
        return code;
    snprintf(w.path, sizeof(w.path), "%s/audit.jsonl", w.data);
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(&w, after, limit > 0 ? limit : 1);
    if (argc == 2 && strcmp(argv[1], "verify") == 0)
        return verify(&w, &known);
    if (argc == 2 && strcmp(argv[1], "export") == 0)
        return export_all(&w, after);
    return ox_complain_usage("audit", "say list, verify or export");
}
