/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/journal_verify.c - `observex journal verify`: reads all of a journal and says what is damaged, where, and whose it was.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  one entry in memory; OX_JOURNAL_FINDINGS_MAX findings in full.
 * Fails:   a sentence on stderr and NULL.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/journal.h"

/* Entries of a damaged range that are named. */
#define HITS_MAX 4
/* Of a damaged entry so much is read to tell whose it was. */
#define LOOK_BYTES (64u << 20)

static uint32_t
get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The damaged entry at `offset`, as far as its bytes still make sense. Returns where the next one would begin, 0 = not
 * known. Its checksum does not fit, so what it says is a hint and no more. */
static uint64_t
look_at(int fd, uint64_t offset, uint64_t end, enum ox_journal_kind kind, char *words, size_t size)
{
    uint8_t head[OX_JOURNAL_ENTRY_OVERHEAD];
    struct ox_buf payload;
    struct ox_disk *disk = ox_disk_real();
    words[0] = '\0';
    if (end - offset < sizeof(head) || ox_disk_read_all(disk, fd, head, sizeof(head), offset) != OX_OK)
        return 0;
    uint32_t len = get32(head + 4);
    if (len > end - offset - sizeof(head) || len > LOOK_BYTES)
        return 0;
    ox_buf_init(&payload);
    uint8_t *to = ox_buf_reserve(&payload, (size_t)len + 1);
    if (to != NULL && ox_disk_read_all(disk, fd, to, len, offset + sizeof(head)) == OX_OK) {
        json_t *o = journal_describe(kind, (struct ox_str){(const char *)to, len}, NULL);
        if (o != NULL)
            journal_words(o, words, size);
        json_decref(o);
    }
    ox_buf_fini(&payload);
    return offset + sizeof(head) + len;
}

static json_t *
hits_of(const char *dir, enum ox_journal_kind kind, const struct ox_journal_finding *f)
{
    char path[OX_DISK_PATH_MAX], words[200];
    json_t *hits = json_array();
    int fd;
    bool ranged = f->kind == OX_JOURNAL_BAD_BYTES || f->kind == OX_JOURNAL_GAP_IN_TAIL;
    int n = snprintf(path, sizeof(path), "%s/%016llx.seg", dir, (unsigned long long)f->segment);
    if (!ranged || n <= 0 || (size_t)n >= sizeof(path) ||
        ox_disk_open(ox_disk_real(), path, OX_DISK_READ, 0, &fd) != OX_OK)
        return hits;
    uint64_t end = f->offset + f->bytes, at = f->offset;
    for (int i = 0; i < HITS_MAX && at != 0 && at < end; i++) {
        at = look_at(fd, at, end, kind, words, sizeof(words));
        if (words[0] != '\0')
            (void)json_array_append_new(hits, json_string(words));
    }
    ox_disk_close(ox_disk_real(), fd);
    return hits;
}

static json_t *
findings_of(const char *dir, enum ox_journal_kind kind, const struct ox_journal_report *report, bool *sound)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < report->n_findings; i++) {
        const struct ox_journal_finding *f = &report->findings[i];
        *sound = *sound && !ox_journal_finding_is_damage(f->kind);
        json_t *o =
            json_pack("{s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:b,s:s,s:o}", "kind", ox_journal_finding_name(f->kind),
                      "damage", ox_journal_finding_is_damage(f->kind), "segment", (json_int_t)f->segment,
                      "offset", (json_int_t)f->offset, "bytes", (json_int_t)f->bytes, "seq_from",
                      (json_int_t)f->seq_from, "seq_to", (json_int_t)f->seq_to, "known", f->known, "text",
                      f->text, "hits", hits_of(dir, kind, f));
        (void)json_array_append_new(all, o);
    }
    return all;
}

/* Whole entries whose payload is not understood: the first of them, and how many. */
static uint64_t
check_payloads(struct ox_journal *j, enum ox_journal_kind kind, char *first, size_t size)
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(j, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    uint64_t n = 0;
    ox_err err = cursor != NULL ? OX_OK : OX_E_END;
    first[0] = '\0';
    while (err != OX_E_END) {
        err = ox_journal_cursor_next(cursor, &info, &payload, &diag);
        if (err != OX_OK && err != OX_E_CORRUPT)
            break;
        json_t *o = err == OX_OK ? journal_describe(kind, payload, &diag) : NULL;
        if (err == OX_OK && o == NULL && n++ == 0)
            snprintf(first, size, "entry %llu in segment %llu: %s", (unsigned long long)info.seq,
                     (unsigned long long)info.segment, diag.text);
        json_decref(o);
    }
    ox_journal_cursor_free(cursor);
    return n;
}

json_t *
journal_verify(const char *dir, enum ox_journal_kind kind, bool *sound)
{
    static struct ox_journal_report report; /* large */
    struct ox_journal_options options = {.kind = kind, .read_only = true};
    struct ox_journal *j;
    struct ox_diag diag;
    char first[400];
    *sound = true;
    if (ox_journal_open(ox_disk_real(), dir, &options, &j, &report, &diag) != OX_OK) {
        ox_complain("%s", diag.text);
        return NULL;
    }
    uint64_t not_understood = check_payloads(j, kind, first, sizeof(first));
    ox_journal_close(j);
    json_t *findings = findings_of(dir, kind, &report, sound);
    *sound = *sound && not_understood == 0;
    return json_pack("{s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:s,s:I,s:o}", "dir", dir, "kind",
                     ox_journal_kind_name(kind), "sound", *sound, "segments", (json_int_t)report.segments,
                     "entries", (json_int_t)report.entries, "damaged_bytes", (json_int_t)report.damaged_bytes,
                     "filled_bytes", (json_int_t)report.filled_bytes, "not_understood",
                     (json_int_t)not_understood, "first_not_understood", first, "findings_total",
                     (json_int_t)report.findings_total, "findings", findings);
}
