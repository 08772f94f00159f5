/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_journal.c - any bytes as the files of a journal: it opens, tells, and never returns an entry that was
 * not written.
 *
 * First byte: 0 = the rest is a segment file as it is; 1 = the rest follows a valid header; 2 = a journal is written,
 * then the rest edits it, four bytes per edit (file, two of offset, value), and every entry that comes back must be
 * one that was written.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ox/crc32c.h"
#include "ox/journal.h"
#include "tests/harness/fault_disk.h"

#define DIR     "j"
#define ENTRIES 24
#define SEGMENT 8192u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t
fixed_salt(void *arg)
{
    return UINT64_C(0x0123456789abcdef) + ++*(uint64_t *)arg;
}

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static size_t
payload(uint64_t id, uint8_t out[1500])
{
    size_t n = 8 + (size_t)(id * 389 % 1400);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(id * 17 + i * 3);
    memcpy(out, &id, 8);
    return n;
}

static const char *
path_of(unsigned number)
{
    static char path[64];
    snprintf(path, sizeof(path), DIR "/%016x.seg", number);
    return path;
}

/* Reads everything; with `known`, each entry is one that was written. */
static void
walk(struct ox_disk *disk, bool known, const uint64_t *seqs)
{
    struct ox_journal_options options = {.kind = OX_JOURNAL_TEST, .segment_bytes = SEGMENT};
    static struct ox_journal_report report;
    struct ox_journal_entry info;
    struct ox_journal *j;
    struct ox_diag diag;
    struct ox_str bytes;
    uint8_t expected[1500];
    uint64_t last = 0;
    ox_err err = ox_journal_open(disk, DIR, &options, &j, &report, &diag);
    if (err == OX_E_UNIMPLEMENTED)
        return; /* says that a newer version wrote it */
    must(err == OX_OK);
    struct ox_journal_cursor *c = ox_journal_cursor_new(j, 0);
    while ((err = ox_journal_cursor_next(c, &info, &bytes, &diag)) == OX_OK || err == OX_E_CORRUPT) {
        if (err == OX_E_CORRUPT)
            continue;
        must(info.seq > last && bytes.n == info.len);
        last = info.seq;
        if (!known)
            continue;
        uint64_t id = 0;
        must(bytes.n >= 8);
        memcpy(&id, bytes.p, 8);
        must(id < ENTRIES && seqs[id] == info.seq && info.timestamp_ns == (int64_t)id);
        must(bytes.n == payload(id, expected) && memcmp(bytes.p, expected, bytes.n) == 0);
    }
    must(err == OX_E_END);
    ox_journal_cursor_free(c);
    must(ox_journal_next_seq(j) > last);
    ox_journal_close(j);
}

static void
write_journal(struct ox_disk *disk, uint64_t *seqs)
{
    static uint8_t bytes[1500];
    uint64_t salt = 0;
    struct ox_journal_options options = {
        .kind = OX_JOURNAL_TEST, .segment_bytes = SEGMENT, .random = fixed_salt, .random_arg = &salt};
    struct ox_journal *j;
    must(ox_journal_open(disk, DIR, &options, &j, NULL, NULL) == OX_OK);
    for (uint64_t id = 0; id < ENTRIES; id++) {
        struct iovec part = {bytes, payload(id, bytes)};
        must(ox_journal_append(j, &part, 1, (int64_t)id, &seqs[id]) == OX_OK);
        must(ox_journal_commit(j, NULL) == OX_OK);
    }
    ox_journal_close(j);
}

static void
edit(struct fault_disk *f, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i + 4 <= n; i += 4) {
        bool exists;
        const char *path = path_of(1 + data[i] % 4);
        struct ox_str now = fault_disk_peek(f, path, &exists);
        if (!exists || now.n == 0)
            continue;
        uint8_t *copy = malloc(now.n);
        memcpy(copy, now.p, now.n);
        size_t len = now.n;
        copy[(size_t)(data[i + 1] | data[i + 2] << 8) % len] = data[i + 3];
        fault_disk_poke(f, path, copy, len);
        free(copy);
    }
}

/* The header of a first segment as it is written, by writing one. */
static void
behind_valid_header(struct fault_disk *f, const uint8_t *data, size_t n)
{
    uint64_t seqs[ENTRIES];
    bool exists;
    write_journal(fault_disk_seam(f), seqs);
    for (unsigned k = 2; k < 16; k++) {
        (void)fault_disk_peek(f, path_of(k), &exists);
        if (exists)
            fault_disk_remove(f, path_of(k));
    }
    struct ox_str first = fault_disk_peek(f, path_of(1), &exists);
    uint8_t *file = malloc(OX_JOURNAL_HEADER_BYTES + n);
    memcpy(file, first.p, OX_JOURNAL_HEADER_BYTES);
    memcpy(file + OX_JOURNAL_HEADER_BYTES, data, n);
    fault_disk_poke(f, path_of(1), file, OX_JOURNAL_HEADER_BYTES + n);
    free(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint64_t seqs[ENTRIES];
    if (n < 1)
        return 0;
    struct fault_disk *f = fault_disk_new(1);
    unsigned mode = data[0] % 3;
    if (mode == 0)
        fault_disk_poke(f, path_of(1), data + 1, n - 1);
    if (mode == 1)
        behind_valid_header(f, data + 1, n - 1);
    if (mode == 2) {
        write_journal(fault_disk_seam(f), seqs);
        edit(f, data + 1, n - 1);
    }
    walk(fault_disk_seam(f), mode == 2, seqs);
    walk(fault_disk_seam(f), mode == 2, seqs); /* what the first opening left behind */
    fault_disk_free(f);
    return 0;
}
