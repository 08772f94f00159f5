/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/journal_story.c - a writer with a memory; see the header.
 */
#include "tests/harness/journal_story.h"

#include <stdlib.h>

#define PAYLOAD_MAX 2048

static uint64_t
mix(uint64_t x)
{
    x ^= x >> 31;
    x *= UINT64_C(0x7fb5d329728ea185);
    x ^= x >> 27;
    x *= UINT64_C(0x81dadef4bc2dd44d);
    return x ^ x >> 33;
}

static uint64_t
story_random(void *arg)
{
    struct story *s = arg;
    return mix(++s->salt);
}

void
story_init(struct story *s, struct ox_disk *disk, uint64_t segment_bytes)
{
    memset(s, 0, sizeof(*s));
    s->disk = disk;
    s->segment_bytes = segment_bytes;
    s->next_id = 1;
    s->group = 1;
}

void
story_close(struct story *s)
{
    ox_journal_close(s->j);
    s->j = NULL;
}

/* Refused entries that recovery found whole before anything later was promised are entries from now on. */
static void
adopt(struct story *s)
{
    struct ox_journal_cursor *c = ox_journal_cursor_new(s->j, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    ox_err err;
    size_t at = 0;
    while ((err = ox_journal_cursor_next(c, &info, &payload, NULL)) == OX_OK || err == OX_E_CORRUPT) {
        while (err == OX_OK && at < s->n && s->entries[at].seq < info.seq)
            at++;
        if (err == OX_OK && at < s->n && s->entries[at].seq == info.seq &&
            s->entries[at].fate == STORY_REFUSED && s->entries[at].group >= s->last_good_group)
            s->entries[at].fate = STORY_ACKED;
    }
    ox_journal_cursor_free(c);
}

bool
story_open(struct story *s)
{
    struct ox_journal_options options = {
        .kind = OX_JOURNAL_TEST, .segment_bytes = s->segment_bytes, .random = story_random, .random_arg = s};
    struct ox_diag diag;
    if (ox_journal_open(s->disk, STORY_DIR, &options, &s->j, &s->report, &diag) != OX_OK)
        return false;
    adopt(s);
    return true;
}

size_t
story_payload(uint64_t id, uint8_t *out, size_t cap)
{
    uint64_t h = mix(id);
    /* Mostly small, some empty, some that take a good part of a test's segment. */
    size_t n = h % 16 == 0 ? 0 : h % 8 == 1 ? 1000 + (h >> 8) % 500 : (h >> 8) % 120;
    OX_ASSERT(n <= cap);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(mix(id + i * 977) >> 11);
    if (n >= 8)
        memcpy(out, &id, 8);
    return n;
}

static void
settle(struct story *s, size_t from, uint64_t durable)
{
    for (size_t i = from; i < s->n; i++) {
        s->entries[i].fate = s->entries[i].seq < durable ? STORY_ACKED : STORY_REFUSED;
        if (s->entries[i].fate == STORY_ACKED)
            s->last_good_group = s->group;
    }
}

ox_err
story_group(struct story *s, int n)
{
    static uint8_t bytes[64][PAYLOAD_MAX];
    size_t from = s->n;
    uint64_t durable = 0;
    OX_ASSERT(n <= 64 && s->n + (size_t)n <= STORY_ENTRIES_MAX);
    for (int i = 0; i < n; i++) {
        uint64_t id = s->next_id++, seq;
        size_t len = story_payload(id, bytes[i], PAYLOAD_MAX);
        struct iovec parts[3] = {{bytes[i], len / 3}, {NULL, 0}, {bytes[i] + len / 3, len - len / 3}};
        if (ox_journal_append(s->j, parts, 3, (int64_t)id * 1000, &seq) != OX_OK)
            continue; /* not in the group: it must never be seen */
        s->entries[s->n].seq = seq;
        s->entries[s->n].id = id;
        s->entries[s->n].fate = STORY_PENDING;
        s->entries[s->n++].group = s->group;
    }
    ox_err err = ox_journal_commit(s->j, &durable);
    settle(s, from, durable);
    s->group++;
    return err;
}

ox_err
story_release(struct story *s)
{
    struct ox_journal_segment seg;
    uint64_t below;
    if (ox_journal_segments(s->j, &seg, 1) < 2)
        return OX_OK;
    /* Given up before the removal is tried: a crash may come at any moment in it. */
    for (size_t i = 0; i < s->n; i++) {
        if (s->entries[i].seq < seg.end_seq)
            s->entries[i].fate = STORY_GIVEN_UP;
    }
    return ox_journal_release(s->j, seg.number, &below);
}

static const char *
check_entry(struct story *s, const struct ox_journal_entry *info, struct ox_str payload, size_t *at)
{
    uint8_t expected[PAYLOAD_MAX];
    while (*at < s->n && s->entries[*at].seq != info->seq)
        (*at)++;
    if (*at == s->n)
        return "an entry that was never written, or twice, or out of order";
    size_t i = (*at)++;
    size_t len = story_payload(s->entries[i].id, expected, sizeof(expected));
    if (payload.n != len || (len > 0 && memcmp(payload.p, expected, len) != 0))
        return "a payload that is not what was written";
    if (info->timestamp_ns != (int64_t)s->entries[i].id * 1000)
        return "a wrong timestamp";
    if (s->entries[i].fate == STORY_REFUSED && s->entries[i].group < s->last_good_group)
        return "a refused entry came back after something later was promised";
    return NULL;
}

const char *
story_check(struct story *s, bool lossy, size_t *missing)
{
    struct ox_journal_cursor *c = ox_journal_cursor_new(s->j, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    const char *wrong = NULL;
    size_t at = 0, lost = 0;
    for (;;) {
        size_t before = at;
        ox_err err = ox_journal_cursor_next(c, &info, &payload, &diag);
        if (err == OX_E_CORRUPT && (lossy || s->report.findings_total > 0))
            continue;
        if (err == OX_OK)
            wrong = check_entry(s, &info, payload, &at);
        else if (err != OX_E_END)
            wrong = "the cursor failed";
        for (size_t i = before; i + (err == OX_OK) < (err == OX_OK ? at : s->n); i++)
            lost += s->entries[i].fate == STORY_ACKED;
        if (err != OX_OK || wrong != NULL)
            break;
    }
    ox_journal_cursor_free(c);
    if (missing != NULL)
        *missing = lost;
    return wrong == NULL && lost > 0 && !lossy ? "an acknowledged entry is missing" : wrong;
}

void
story_run(struct story *s)
{
    static const int sizes[] = {1, 3, 7, 1, 12, 2, 20, 1, 5, 9, 1, 30, 4};
    if (s->j == NULL && !story_open(s))
        return;
    for (size_t i = 0; i < OX_COUNT(sizes); i++) {
        ox_err err = story_group(s, sizes[i]);
        if (i % 4 == 3)
            err = story_release(s);
        if (i == 8)
            err = ox_journal_rotate(s->j);
        if (err != OX_OK && i % 5 == 0) { /* once in a while the caller gives up and starts anew */
            story_close(s);
            if (!story_open(s))
                return;
        }
    }
}
