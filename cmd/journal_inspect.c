/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/journal_inspect.c - `observex journal inspect`: what lies in a journal, beside a running node or without one.
 *
 * Segments, then entries, then findings; nothing is changed. An entry that is appended meanwhile may be missing.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  SEGMENTS_MAX segments are listed; one entry in memory at a time.
 * Fails:   OX_EXIT_FAILED when the directory cannot be read, has no such segment, or bytes of it are damaged;
 *          OX_EXIT_USAGE.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/journal.h"
#include "cmd/text.h"

#define SEGMENTS_MAX 65536u

struct inspection {
    struct ox_journal *journal;
    struct ox_journal_report report;
    enum ox_journal_kind kind;
    uint64_t segment; /* only this one; 0 = all */
    bool json;
    bool first; /* of a JSON array */
    bool begun; /* the JSON object is open */
    uint64_t undecoded;
};

/* Prints one element of the array that is open, and gives it back. */
static void
emit(struct inspection *in, json_t *object)
{
    printf("%s\n    ", in->first ? "" : ",");
    in->first = false;
    (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(object);
}

static void
begin(struct inspection *in, const char *name, const char *columns, bool first)
{
    in->first = in->begun = true;
    if (in->json)
        printf("%s  \"%s\": [", first ? "{\n" : ",\n", name);
    else
        printf("%s%s\n", first ? "" : "\n", columns);
}

static void
end(const struct inspection *in)
{
    if (in->json)
        printf("\n  ]");
}

static void
show_segment(struct inspection *in, const struct ox_journal_segment *s)
{
    char oldest[48], newest[48];
    journal_time(s->oldest_ns, oldest, sizeof(oldest));
    journal_time(s->newest_ns, newest, sizeof(newest));
    if (!in->json) {
        printf("%8llu %20llu %10llu %12llu  %-30s  %s\n", (unsigned long long)s->number,
               (unsigned long long)s->first_seq, (unsigned long long)s->entries,
               (unsigned long long)s->file_bytes, oldest, newest);
        return;
    }
    emit(in, json_pack("{s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "segment", (json_int_t)s->number, "first_seq",
                       (json_int_t)s->first_seq, "end_seq", (json_int_t)s->end_seq, "entries",
                       (json_int_t)s->entries, "bytes", (json_int_t)s->file_bytes, "oldest", oldest, "newest",
                       newest));
}

/* One that cannot be opened stands among the findings alone. */
static bool
has_segment(const struct inspection *in, const struct ox_journal_segment *segs, size_t n)
{
    bool found = in->segment == 0;
    for (size_t i = 0; i < n && !found; i++)
        found = segs[i].number == in->segment;
    for (uint32_t i = 0; i < in->report.n_findings && !found; i++)
        found = in->report.findings[i].segment == in->segment;
    return found;
}

static int
complain_no_segment(const struct inspection *in, const struct ox_journal_segment *segs, size_t n)
{
    unsigned long long wanted = in->segment;
    if (n == 0)
        return ox_complain("there is no segment %llu: the journal has none at all", wanted);
    if (n == 1)
        return ox_complain("there is no segment %llu: the journal has only segment %llu", wanted,
                           (unsigned long long)segs[0].number);
    return ox_complain("there is no segment %llu: the journal has %zu, from %llu to %llu", wanted, n,
                       (unsigned long long)segs[0].number, (unsigned long long)segs[n - 1].number);
}

static int
show_segments(struct inspection *in)
{
    size_t n = ox_journal_segments(in->journal, NULL, 0);
    n = n < SEGMENTS_MAX ? n : SEGMENTS_MAX;
    struct ox_journal_segment *segs = calloc(n != 0 ? n : 1, sizeof(*segs));
    if (segs == NULL)
        return ox_complain("no memory for a list of %zu segments", n);
    size_t now = ox_journal_segments(in->journal, segs, n);
    now = now < n ? now : n;
    if (!has_segment(in, segs, now)) {
        int code = complain_no_segment(in, segs, now);
        free(segs);
        return code;
    }
    begin(in, "segments",
          " segment            first_seq    entries        bytes  oldest                          newest",
          true);
    for (size_t i = 0; i < now; i++) {
        if (in->segment == 0 || segs[i].number == in->segment)
            show_segment(in, &segs[i]);
    }
    end(in);
    free(segs);
    return OX_EXIT_OK;
}

/* The columns of a request in the log, which is what people look for most; words for all else. */
static void
print_entry(const struct inspection *in, const struct ox_journal_entry *info, const char *when,
            const json_t *o)
{
    char words[160];
    printf("%20llu %8llu  %-30s  ", (unsigned long long)info->seq, (unsigned long long)info->segment, when);
    if (in->kind == OX_JOURNAL_WAL) {
        cmd_text_print(json_string_value(json_object_get(o, "tenant")), 16, true);
        printf(" %-8s %8lld %8lld %10lld\n", json_string_value(json_object_get(o, "signal")),
               (long long)json_integer_value(json_object_get(o, "records")),
               (long long)json_integer_value(json_object_get(o, "rejected")),
               (long long)json_integer_value(json_object_get(o, "body_bytes")));
        return;
    }
    journal_words(o, words, sizeof(words));
    printf("%10u  %s\n", info->len, words);
}

static void
show_entry(struct inspection *in, const struct ox_journal_entry *info, struct ox_str payload)
{
    struct ox_diag diag;
    char when[48];
    journal_time(info->timestamp_ns, when, sizeof(when));
    json_t *o = journal_describe(in->kind, payload, &diag);
    if (o == NULL) {
        in->undecoded++;
        if (!in->json)
            printf("%20llu %8llu  %-30s  %s\n", (unsigned long long)info->seq,
                   (unsigned long long)info->segment, when, diag.text);
        o = json_pack("{s:s}", "error", diag.text);
    } else if (!in->json) {
        print_entry(in, info, when, o);
    }
    if (in->json) {
        json_t *head = json_pack("{s:I,s:I,s:s,s:I}", "seq", (json_int_t)info->seq, "segment",
                                 (json_int_t)info->segment, "time", when, "bytes", (json_int_t)info->len);
        if (head != NULL)
            (void)json_object_update(head, o);
        emit(in, head);
    }
    json_decref(o);
}

static int
show_entries(struct inspection *in)
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(in->journal, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    ox_err err;
    if (cursor == NULL)
        return ox_complain("no memory to read the journal");
    begin(in, "entries",
          in->kind == OX_JOURNAL_WAL
              ? "                 seq  segment  time                            tenant           signal    "
                "records "
                "rejected      bytes"
              : "                 seq  segment  time                                 bytes  content",
          false);
    while ((err = ox_journal_cursor_next(cursor, &info, &payload, &diag)) != OX_E_END) {
        if (err == OX_E_CORRUPT)
            continue; /* among the findings */
        if (err != OX_OK)
            break;
        if (in->segment == 0 || info.segment == in->segment)
            show_entry(in, &info, payload);
    }
    end(in);
    ox_journal_cursor_free(cursor);
    return err == OX_E_END ? OX_EXIT_OK : ox_complain("%s", diag.text);
}

static void
show_findings(struct inspection *in)
{
    const struct ox_journal_report *r = &in->report;
    if (!in->json && r->n_findings == 0) {
        printf("\n%llu entries in %llu segments, no damage\n", (unsigned long long)r->entries,
               (unsigned long long)r->segments);
        return;
    }
    begin(in, "findings", "finding          segment       offset        bytes  what", false);
    for (uint32_t i = 0; i < r->n_findings; i++) {
        const struct ox_journal_finding *f = &r->findings[i];
        if (in->json)
            emit(in, json_pack("{s:s,s:I,s:I,s:I,s:s}", "kind", ox_journal_finding_name(f->kind), "segment",
                               (json_int_t)f->segment, "offset", (json_int_t)f->offset, "bytes",
                               (json_int_t)f->bytes, "text", f->text));
        else
            printf("%-16s %7llu %12llu %12llu  %s\n", ox_journal_finding_name(f->kind),
                   (unsigned long long)f->segment, (unsigned long long)f->offset,
                   (unsigned long long)f->bytes, f->text);
    }
    end(in);
    if (!in->json && r->findings_total > r->n_findings)
        printf("and %llu more\n", (unsigned long long)(r->findings_total - r->n_findings));
}

int
journal_inspect(const struct journal_request *q, const char *dir, enum ox_journal_kind kind)
{
    static struct inspection in; /* a report is too large for some stacks */
    struct ox_diag diag;
    struct ox_journal_options options = {.kind = kind, .read_only = true};
    in = (struct inspection){.kind = kind, .segment = q->segment, .json = q->json};
    if (ox_journal_open(ox_disk_real(), dir, &options, &in.journal, &in.report, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    int code = show_segments(&in);
    if (code == OX_EXIT_OK)
        code = show_entries(&in);
    if (code == OX_EXIT_OK)
        show_findings(&in);
    if (in.json && in.begun)
        printf("\n}\n");
    ox_journal_close(in.journal);
    /* For scripts: a torn tail is what every crash leaves, damage is not. */
    return code == OX_EXIT_OK && (in.report.damage_total > 0 || in.undecoded > 0) ? OX_EXIT_FAILED : code;
}
