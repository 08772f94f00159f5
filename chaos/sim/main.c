/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/main.c - the simulation from the command line: seeds one after the other, one seed in full, or the proof
 * that it can fail.
 *
 * Threads: one.
 * Fails:   exit code 1 with the seed; 64 for the command line.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos/sim/sim.h"
#include "ox/log.h"

#define SELF_TEST_SEEDS 400u
#define PART            50u /* seeds of one process */

struct totals {
    uint64_t seeds, virtual_ns, steps, records, stored;
    uint64_t requests, acked, repeats, kills, stops, panics, quarantines, inserts, resent, disk_faults;
};

static uint64_t seed_now;

static void
on_abort(int sig)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "FAILED seed %llu: signal %d (above)\nrepeat: make sim SEED=%llu\n",
                     (unsigned long long)seed_now, sig, (unsigned long long)seed_now);
    (void)!write(2, text, (size_t)n);
    _exit(1);
}

static uint64_t
real_ns(void)
{
    return ox_clock_monotonic_ns(ox_clock_real());
}

/* What this process has cost: on a busy machine the clock on the wall says little. */
static uint64_t
cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * SIM_S + (uint64_t)ts.tv_nsec;
}

static void
add(struct totals *t, const struct sim_result *r)
{
    t->seeds++;
    t->virtual_ns += r->virtual_ns;
    t->steps += r->steps;
    t->records += r->records;
    t->stored += r->stored;
    t->requests += r->requests;
    t->acked += r->acked;
    t->repeats += r->repeats;
    t->kills += r->kills;
    t->stops += r->stops;
    t->panics += r->panics;
    t->quarantines += r->quarantines;
    t->inserts += r->inserts;
    t->resent += r->resent;
    t->disk_faults += r->disk_faults;
}

static void
print_totals(const struct totals *t, uint64_t took_ns, uint64_t spent_ns)
{
    double took_s = (double)took_ns / 1e9, cpu_s = (double)spent_ns / 1e9,
           virtual_s = (double)t->virtual_ns / 1e9;
    printf("%llu seeds in %.1f s, %.1f s of CPU: %.0f s of simulated time (%.0f per second of CPU), %llu "
           "steps\n",
           (unsigned long long)t->seeds, took_s, cpu_s, virtual_s, virtual_s / (cpu_s > 0 ? cpu_s : 1),
           (unsigned long long)t->steps);
    printf("  %llu requests with %llu records, %llu acknowledged, %llu repeats; %llu rows stored\n",
           (unsigned long long)t->requests, (unsigned long long)t->records, (unsigned long long)t->acked,
           (unsigned long long)t->repeats, (unsigned long long)t->stored);
    printf("  %llu kills, %llu stops, %llu panics, %llu quarantines, %llu disk faults, %llu inserts, %llu of "
           "them repeats\n",
           (unsigned long long)t->kills, (unsigned long long)t->stops, (unsigned long long)t->panics,
           (unsigned long long)t->quarantines, (unsigned long long)t->disk_faults,
           (unsigned long long)t->inserts, (unsigned long long)t->resent);
}

/* A seed is a story of the runtime alone, then a world with a node. */
static void
run(uint64_t seed, const struct sim_options *opt, struct sim_result *r)
{
    struct sim_result story;
    seed_now = seed;
    sim_story_run(seed, opt, &story);
    sim_world_run(seed, opt, r);
    r->hash ^= story.hash;
    r->steps += story.steps;
    r->virtual_ns += story.virtual_ns;
}

static bool
same(const struct sim_result *a, const struct sim_result *b)
{
    return a->hash == b->hash && a->steps == b->steps && a->virtual_ns == b->virtual_ns;
}

/* Every tenth seed runs twice: one seed is one run. */
static void
run_seeds(uint64_t from, uint64_t n, uint64_t limit_ns, const struct sim_options *opt, struct totals *t)
{
    uint64_t last_hash = 0;
    for (uint64_t seed = from; seed < from + n; seed++) {
        struct sim_result r, again;
        run(seed, opt, &r);
        add(t, &r);
        if (r.hash == last_hash) {
            fprintf(stderr, "FAILED: seeds %llu and %llu give the same run\n", (unsigned long long)seed - 1,
                    (unsigned long long)seed);
            exit(1);
        }
        last_hash = r.hash;
        if (seed % 10 == 0) {
            run(seed, opt, &again);
            if (!same(&r, &again)) {
                fprintf(stderr, "FAILED seed %llu: two runs of it differ (%016llx and %016llx)\n",
                        (unsigned long long)seed, (unsigned long long)r.hash, (unsigned long long)again.hash);
                exit(1);
            }
        }
        if (limit_ns != 0 && cpu_ns() > limit_ns)
            break;
    }
}

struct part {
    struct totals totals;
    uint64_t cpu_ns;
};

/* Some seeds at a time in a process of their own. A log, a writer or an outbox that panics ends its node, and a real one
 * its process: what it had is not given back, so a process that sees many of them grows. */
static void
run_in_parts(uint64_t from, uint64_t n, uint64_t limit_ns, const struct sim_options *opt, struct totals *t,
             uint64_t *spent_ns)
{
    struct part *part = mmap(NULL, sizeof(*part), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (part == MAP_FAILED) {
        perror("simulation: no memory to share");
        exit(1);
    }
    part->totals = *t;
    for (uint64_t done = 0; done < n && (limit_ns == 0 || part->cpu_ns < limit_ns); done += PART) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            uint64_t left_ns = limit_ns == 0 ? 0 : limit_ns - part->cpu_ns;
            run_seeds(from + done, n - done < PART ? n - done : PART, left_ns, opt, &part->totals);
            part->cpu_ns += cpu_ns();
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid) {
            perror("simulation: no process for seeds");
            exit(1);
        }
        if (WIFSIGNALED(status))
            fprintf(stderr, "FAILED: signal %d in one of the seeds %llu to %llu; --keep-going says which\n",
                    WTERMSIG(status), (unsigned long long)(from + done),
                    (unsigned long long)(from + done + PART - 1));
        if (status != 0)
            exit(1);
    }
    *t = part->totals;
    *spent_ns = part->cpu_ns;
    munmap(part, sizeof(*part));
}

/* Each seed in a process of its own: finds all that fail instead of the first. */
static void
run_apart(uint64_t from, uint64_t n, const struct sim_options *opt)
{
    uint64_t failed = 0;
    for (uint64_t seed = from; seed < from + n; seed++) {
        int status = 0;
        struct totals t = {0};
        pid_t pid = fork();
        if (pid == 0) {
            run_seeds(seed, 1, 0, opt, &t);
            _exit(0);
        }
        if (pid > 0 && waitpid(pid, &status, 0) == pid && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
            failed++;
    }
    printf("%llu of %llu seeds failed\n", (unsigned long long)failed, (unsigned long long)n);
    exit(failed > 0);
}

/* Seeds that failed once, one at the beginning of a line; '#' begins a comment. */
static void
run_regressions(const char *path, const struct sim_options *opt, struct totals *t)
{
    char line[256];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        fprintf(stderr, "simulation: %s cannot be opened\n", path);
        exit(1);
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (end != line)
            run_seeds(seed, 1, 0, opt, t);
    }
    fclose(f);
}

static int
run_one(uint64_t seed, struct sim_options *opt)
{
    struct sim_result r;
    struct totals t = {0};
    uint64_t began = real_ns();
    run(seed, opt, &r);
    add(&t, &r);
    print_totals(&t, real_ns() - began, cpu_ns());
    printf("trace %016llx\n", (unsigned long long)r.hash);
    return 0;
}

/* Each way of being wrong in a process of its own, which must fail. */
static bool
is_caught(enum sim_break broken)
{
    struct sim_options opt = {.broken = broken};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct totals t = {0};
        run_seeds(1, SELF_TEST_SEEDS, 0, &opt, &t);
        _exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    bool caught = WIFEXITED(status) && WEXITSTATUS(status) == 1;
    printf("%-14s %s\n", sim_break_name(broken), caught ? "caught" : "NOT CAUGHT");
    return caught;
}

static int
self_test(void)
{
    bool all = true;
    for (int b = SIM_BREAK_NONE + 1; b < SIM_BREAK__COUNT; b++)
        all = is_caught((enum sim_break)b) && all;
    return all ? 0 : 1;
}

static enum sim_break
break_of(const char *name)
{
    for (int b = 0; b < SIM_BREAK__COUNT; b++) {
        if (strcmp(name, sim_break_name((enum sim_break)b)) == 0)
            return (enum sim_break)b;
    }
    fprintf(stderr, "simulation: no way of being wrong is called '%s'\n", name);
    exit(64);
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"seeds", 1, NULL, 'n'},       {"from", 1, NULL, 'f'},
                                            {"seed", 1, NULL, 's'},        {"limit", 1, NULL, 'l'},
                                            {"regressions", 1, NULL, 'r'}, {"break", 1, NULL, 'b'},
                                            {"self-test", 0, NULL, 't'},   {"keep-going", 0, NULL, 'k'},
                                            {"verbose", 0, NULL, 'v'},     {0}};
    struct sim_options opt = {0};
    struct totals t = {0};
    uint64_t n = 100, from = 1, seed = 0, limit_s = 0, spent_ns = 0, began = real_ns();
    const char *regressions = NULL;
    bool one = false, test = false, keep_going = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'n':
            n = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            from = strtoull(optarg, NULL, 10);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 10);
            one = true;
            break;
        case 'l':
            limit_s = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            regressions = optarg;
            break;
        case 'b':
            opt.broken = break_of(optarg);
            break;
        case 't':
            test = true;
            break;
        case 'k':
            keep_going = true;
            break;
        case 'v':
            opt.verbose = true;
            break;
        default:
            fprintf(stderr,
                    "usage: sim [--seeds N] [--from SEED] [--limit SECONDS] [--regressions FILE] | --seed N "
                    "[--verbose] | --self-test\n");
            return 64;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    ox_log_set_fd(opt.verbose ? 1 : 2);
    ox_log_set_level(opt.verbose ? OX_LOG_INFO : OX_LOG_FATAL);
    signal(SIGABRT, on_abort);
    if (test)
        return self_test();
    if (one) {
        printf("seed %llu\n", (unsigned long long)seed);
        return run_one(seed, &opt);
    }
    if (n > 0)
        printf("seeds %llu to %llu\n", (unsigned long long)from, (unsigned long long)(from + n - 1));
    if (regressions != NULL)
        run_regressions(regressions, &opt, &t);
    if (keep_going)
        run_apart(from, n, &opt);
    run_in_parts(from, n, limit_s * SIM_S, &opt, &t, &spent_ns);
    print_totals(&t, real_ns() - began, spent_ns + cpu_ns());
    return 0;
}
