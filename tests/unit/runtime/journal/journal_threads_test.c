/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    readers and a releaser beside the writer see whole, durable entries only. (Worth most under
 *          TSan.)
 * Method:  one writer, two cursors, one releaser on the real disk in a new directory; each reader checks
 *          what it reads.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/journal.h"

#define GROUPS    150
#define PER_GROUP 8
#define PAYLOAD   700

static struct ox_journal *j;
static _Atomic bool written;
static _Atomic uint64_t wrong;

static void *
writer(void *arg)
{
    static uint64_t bytes[PER_GROUP][PAYLOAD / 8];
    uint64_t id = 0, seq;
    for (int g = 0; g < GROUPS; g++) {
        for (int i = 0; i < PER_GROUP; i++, id++) {
            for (size_t k = 0; k < OX_COUNT(bytes[i]); k++)
                bytes[i][k] = id;
            struct iovec part = {bytes[i], sizeof(bytes[i])};
            wrong += ox_journal_append(j, &part, 1, (int64_t)id, &seq) != OX_OK;
        }
        wrong += ox_journal_commit(j, NULL) != OX_OK;
    }
    written = true;
    return NULL;
}

static bool
exact(struct ox_str payload, int64_t id)
{
    uint64_t word;
    for (size_t k = 0; k + 8 <= payload.n; k += 8) {
        memcpy(&word, payload.p + k, 8);
        if (word != (uint64_t)id)
            return false;
    }
    return payload.n == PAYLOAD / 8 * 8;
}

static void *
reader(void *arg)
{
    struct ox_journal_cursor *c = ox_journal_cursor_new(j, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    uint64_t last = 0;
    int64_t last_id = -1;
    for (;;) {
        bool done = written; /* before the look: what is there then is all there will be */
        ox_err err = ox_journal_cursor_next(c, &info, &payload, NULL);
        if (err == OX_E_END && done)
            break;
        if (err == OX_E_END)
            continue;
        wrong += err != OX_OK || info.seq <= last || !exact(payload, info.timestamp_ns);
        last = info.seq;
        last_id = info.timestamp_ns;
    }
    wrong += last_id != GROUPS * PER_GROUP - 1;
    ox_journal_cursor_free(c);
    return NULL;
}

static void *
releaser(void *arg)
{
    while (!written) {
        struct ox_journal_segment segs[64];
        size_t n = ox_journal_segments(j, segs, 64);
        if (n > 6)
            wrong += ox_journal_release(j, segs[0].number, NULL) != OX_OK;
    }
    return NULL;
}

static bool
remove_file(void *arg, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
    return unlink(path) == 0;
}

Test(journal_threads, readers_beside_the_writer_see_whole_entries, .timeout = 60)
{
    char dir[] = "/tmp/ox-journal-threads-XXXXXX";
    struct ox_journal_options options = {.kind = OX_JOURNAL_TEST, .segment_bytes = 16384};
    void *(*const roles[])(void *) = {reader, reader, releaser, writer};
    pthread_t threads[OX_COUNT(roles)];
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(ox_journal_open(ox_disk_real(), dir, &options, &j, NULL, NULL), OX_OK);
    for (size_t i = 0; i < OX_COUNT(roles); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, roles[i], NULL), 0);
    for (size_t i = 0; i < OX_COUNT(roles); i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(wrong, 0);
    ox_journal_close(j);
    cr_assert_eq(ox_disk_list(ox_disk_real(), dir, remove_file, dir), OX_OK);
    cr_assert_eq(rmdir(dir), 0);
}
