/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/journal_story.h - a writer with a memory: appends to a journal, remembers what it was
 * promised, and holds the journal against that after any accident.
 *
 * Owns:    the list of what was appended; payloads are made from their number and are never stored.
 * Threads: one at a time.
 */
#ifndef OX_TESTS_JOURNAL_STORY_H
#define OX_TESTS_JOURNAL_STORY_H

#include "ox/journal.h"

#define STORY_ENTRIES_MAX 4096
#define STORY_DIR         "data/wal"

enum story_fate {
    STORY_PENDING, /* appended, no answer yet */
    STORY_ACKED,   /* promised */
    STORY_REFUSED, /* the writer was told that it failed */
    STORY_GIVEN_UP /* its segment was released */
};

struct story {
    struct ox_disk *disk;
    struct ox_journal *j; /* NULL while closed */
    uint64_t segment_bytes;
    uint64_t salt;
    struct {
        uint64_t seq;
        uint64_t id;
        enum story_fate fate;
        uint32_t group;
    } entries[STORY_ENTRIES_MAX];
    size_t n;
    uint64_t next_id;
    uint32_t group;
    uint32_t last_good_group; /* refused entries of earlier groups must never come back */
    struct ox_journal_report report;
};

void story_init(struct story *s, struct ox_disk *disk, uint64_t segment_bytes);
void story_close(struct story *s);
/* Opens; false when the disk did not allow it. */
bool story_open(struct story *s);
/* Payload number id: its length (0..~1,500 bytes) and content follow from id. Fills `out`. */
size_t story_payload(uint64_t id, uint8_t *out, size_t cap);
/* Appends n entries as one group and commits. */
ox_err story_group(struct story *s, int n);
/* Releases the oldest segment. */
ox_err story_release(struct story *s);
/* Walks the journal: every acknowledged entry is there once and exact, in order; nothing is there that was
 * never written; nothing refused has come back once something later was promised. Returns NULL or what is
 * wrong. With `lossy`, acknowledged entries may be missing (bytes were damaged), but every one that is there
 * is exact. */
const char *story_check(struct story *s, bool lossy, size_t *missing);
/* The whole program: several groups, rotations, releases; goes on through errors like a patient caller. */
void story_run(struct story *s);

#endif
