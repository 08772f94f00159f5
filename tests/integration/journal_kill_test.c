/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    on the real disk, what a process was told is durable is there after kill -9 at any moment, and
 *          exact.
 * Method:  a child appends and commits, and writes each durable number into a pipe; the parent reads a
 *          random count of them, kills, reopens, compares. 50 rounds in one directory, so that every round
 *          builds on the wreck of the last.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ox/journal.h"

#define ROUNDS      50
#define REPORTS_MAX 200 /* per round */
#define SEGMENT     (256u << 10)

struct report {
    uint64_t seq;
    uint64_t id;
};

static size_t
fill_payload(uint64_t id, uint8_t *out)
{
    size_t n = 8 + (size_t)(id * 2654435761u % 6000);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(id * 31 + i * 7 + (i >> 8));
    memcpy(out, &id, 8);
    return n;
}

static ox_err
open_journal(const char *dir, struct ox_journal **j, struct ox_journal_report *report)
{
    struct ox_journal_options options = {.kind = OX_JOURNAL_TEST, .segment_bytes = SEGMENT};
    struct ox_diag diag = {.text = ""};
    ox_err err = ox_journal_open(ox_disk_real(), dir, &options, j, report, &diag);
    if (err != OX_OK)
        fprintf(stderr, "%s\n", diag.text);
    return err;
}

/* Groups of one to eight entries until it is killed. */
static void
child(const char *dir, int pipe_fd, uint64_t id)
{
    static uint8_t bytes[8][8192];
    struct ox_journal *j;
    if (open_journal(dir, &j, NULL) != OX_OK)
        _exit(3);
    for (;;) {
        struct report r[8];
        uint64_t durable;
        int n = 1 + (int)(id % 8);
        for (int i = 0; i < n; i++) {
            r[i].id = id++;
            struct iovec part = {bytes[i], fill_payload(r[i].id, bytes[i])};
            if (ox_journal_append(j, &part, 1, (int64_t)r[i].id, &r[i].seq) != OX_OK)
                _exit(4);
        }
        if (ox_journal_commit(j, &durable) != OX_OK || durable <= r[n - 1].seq)
            _exit(5);
        if (write(pipe_fd, r, (size_t)n * sizeof(*r)) != (ssize_t)((size_t)n * sizeof(*r)))
            _exit(6);
    }
}

/* Reads until `wanted` reports are there, kills, reads what was still on its way; returns how many. */
static size_t
run_and_kill(const char *dir, uint64_t first_id, size_t wanted, useconds_t more_us, struct report *out,
             size_t cap)
{
    int fds[2];
    size_t bytes = 0;
    ssize_t got;
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        child(dir, fds[1], first_id);
    }
    close(fds[1]);
    while (bytes < wanted * sizeof(*out) &&
           (got = read(fds[0], (char *)out + bytes, wanted * sizeof(*out) - bytes)) > 0)
        bytes += (size_t)got;
    /* Not to wait for anything: to let the blow fall at another point of the child's loop each time. */
    usleep(more_us);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    while ((got = read(fds[0], (char *)out + bytes, cap * sizeof(*out) - bytes)) > 0)
        bytes += (size_t)got;
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself: %x", status);
    close(fds[0]);
    return bytes / sizeof(*out);
}

static void
check_entry(struct ox_journal *j, const struct report *r, struct ox_buf *buf)
{
    static uint8_t expected[8192];
    struct ox_journal_entry info;
    size_t n = fill_payload(r->id, expected);
    cr_assert_eq(ox_journal_read(j, r->seq, buf, &info), OX_OK, "entry %llu is not there",
                 (unsigned long long)r->id);
    cr_assert_eq(info.timestamp_ns, (int64_t)r->id);
    cr_assert(buf->len == n && memcmp(buf->data, expected, n) == 0, "entry %llu", (unsigned long long)r->id);
}

/* Every entry of the journal is one that a child wrote, each id at most once, in order. */
static uint64_t
check_order(struct ox_journal *j)
{
    static uint8_t expected[8192];
    struct ox_journal_cursor *c = ox_journal_cursor_new(j, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    uint64_t last = 0, id;
    ox_err err;
    while ((err = ox_journal_cursor_next(c, &info, &payload, &diag)) == OX_OK) {
        cr_assert_geq(payload.n, 8);
        memcpy(&id, payload.p, 8);
        cr_assert_gt(id, last);
        cr_assert(payload.n == fill_payload(id, expected) && memcmp(payload.p, expected, payload.n) == 0);
        last = id;
    }
    cr_assert_eq(err, OX_E_END, "%s", diag.text);
    ox_journal_cursor_free(c);
    return last;
}

static bool
remove_file(void *arg, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
    return unlink(path) == 0;
}

Test(journal_kill, what_was_reported_durable_survives_kill_9, .timeout = 120)
{
    static struct report reports[100000];
    static struct ox_journal_report found;
    char dir[] = "/tmp/ox-kill-test-XXXXXX";
    struct ox_buf buf;
    struct ox_journal *j;
    unsigned rng = 20261121;
    uint64_t next_id = 1;
    size_t total = 0;
    cr_assert_not_null(mkdtemp(dir));
    ox_buf_init(&buf);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = run_and_kill(dir, next_id, (size_t)rand_r(&rng) % REPORTS_MAX,
                                (useconds_t)rand_r(&rng) % 3000, reports, OX_COUNT(reports));
        cr_assert_eq(open_journal(dir, &j, &found), OX_OK);
        cr_assert_eq(found.damage_total, 0, "round %d: %s", round, found.findings[0].text);
        for (size_t i = 0; i < n; i++)
            check_entry(j, &reports[i], &buf);
        uint64_t last = check_order(j);
        cr_assert(n == 0 || last >= reports[n - 1].id);
        next_id = last + 1;
        total += n;
        /* Keep the directory small: all but the last few segments are no longer needed. */
        struct ox_journal_segment segs[64];
        size_t k = ox_journal_segments(j, segs, 64);
        for (size_t i = 0; i + 4 < k && i < 64; i++)
            cr_assert_eq(ox_journal_release(j, segs[i].number, NULL), OX_OK);
        ox_journal_close(j);
    }
    cr_assert_gt(total, ROUNDS * REPORTS_MAX / 4, "only %zu entries were ever reported", total);
    cr_assert_eq(ox_disk_list(ox_disk_real(), dir, remove_file, dir), OX_OK);
    cr_assert_eq(rmdir(dir), 0);
    ox_buf_fini(&buf);
}
