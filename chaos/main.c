/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/main.c - `chaos SCENARIO [--seed N] [--rounds N] [--resume] [--exe FILE] [--scenarios DIR] [--reports DIR | --temporary]`.
 *
 * --temporary: in a new folder of /tmp that is removed when nothing was found.
 * `chaos --self-test` takes a server that was not harmed, removes, repeats and misplaces rows by SQL and expects the
 * verification to say so. `chaos --list-faults` prints include/ox/tbl/faults.h as a table in Markdown.
 *
 * Exit code: 0 when nothing was lost, doubled or miscounted, 1 when something was or the run could not go on,
 * 2 for a wrong call.
 *
 * Owns:    the run.
 * Threads: main.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/run.h"

static volatile sig_atomic_t interrupted;

static void
on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
}

bool
chaos_interrupted(void)
{
    return interrupted != 0;
}

static int
usage(void)
{
    fputs("chaos SCENARIO [--seed N] [--rounds N] [--resume] [--exe FILE] [--scenarios DIR] [--reports DIR | "
          "--temporary]\n"
          "chaos --self-test [--exe FILE] [--reports DIR | --temporary]\n"
          "chaos --list-faults\n",
          stderr);
    return 2;
}

/* The rows of a table in Markdown, as chaos/README.md shows it. */
static int
list_faults(void)
{
    puts("| fault | hits | what happens | what must hold all the same |\n|---|---|---|---|");
    for (int i = 0; i < CHAOS_FAULT__COUNT; i++) {
        const struct chaos_fault_text *t = &chaos_fault_texts[i];
        printf("| `%s` | %s | %s | %s |\n", t->name, t->hits, t->does, t->promise);
    }
    return 0;
}

struct options {
    const char *scenario, *scenarios, *reports;
    uint64_t seed;
    uint32_t rounds;
    bool resume, selftest, temporary;
};

static bool
take_options(int argc, char **argv, struct chaos_run *run, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--resume") == 0)
            o->resume = true;
        else if (strcmp(argv[i], "--temporary") == 0)
            o->temporary = true;
        else if (strcmp(argv[i], "--self-test") == 0)
            o->selftest = true, o->scenario = "selftest";
        else if (argv[i][0] != '-' && o->scenario == NULL)
            o->scenario = argv[i];
        else if (value == NULL)
            return false;
        else if (strcmp(argv[i], "--seed") == 0)
            o->seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0)
            o->rounds = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--exe") == 0)
            run->exe = argv[++i];
        else if (strcmp(argv[i], "--scenarios") == 0)
            o->scenarios = argv[++i];
        else if (strcmp(argv[i], "--reports") == 0)
            o->reports = argv[++i];
        else
            return false;
    }
    return o->scenario != NULL;
}

static bool
place(struct chaos_run *run, const struct options *o)
{
    char reports[PATH_MAX];
    if (mkdir(o->reports, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "chaos: %s cannot be made: %s\n", o->reports, strerror(errno));
        return false;
    }
    if (realpath(o->reports, reports) == NULL)
        return false;
    int n = snprintf(run->dir, sizeof(run->dir), "%s/%s-%llu", reports, run->scenario.name,
                     (unsigned long long)run->seed);
    /* The data directory below it holds a Unix socket. */
    if (n > 80) {
        fprintf(stderr, "chaos: %s is too long for a socket below it; choose a shorter --reports DIR\n",
                run->dir);
        return false;
    }
    return true;
}

static void
remove_all(const char *dir)
{
    char cmd[64];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    if (system(cmd) != 0)
        fprintf(stderr, "chaos: %s stays behind\n", dir);
}

int
main(int argc, char **argv)
{
    static struct chaos_run run;
    struct options o = {
        .scenarios = "chaos/scenarios", .reports = "chaos/reports", .seed = chaos_unix_ns() % 1000000};
    run.exe = "build/observex";
    if (argc == 2 && strcmp(argv[1], "--list-faults") == 0)
        return list_faults();
    if (!take_options(argc, argv, &run, &o))
        return usage();
    if (!chaos_scenario_read(&run.scenario, o.scenarios, o.scenario))
        return 2;
    run.seed = o.seed;
    run.rounds = o.rounds != 0 ? o.rounds : run.scenario.rounds;
    char temporary[] = "/tmp/ox-chaos-XXXXXX";
    if (o.temporary)
        o.reports = mkdtemp(temporary);
    if (o.reports == NULL || !place(&run, &o))
        return 2;
    printf("chaos: %s, seed %llu, %u rounds, in %s\n", run.scenario.name, (unsigned long long)run.seed,
           run.rounds, run.dir);
    fflush(stdout);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    int code = o.selftest ? chaos_selftest(&run) : chaos_run(&run, o.resume);
    if (o.temporary && code == 0)
        remove_all(temporary);
    return code;
}
