/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_demo.c - `observex demo`: the shop of cmd/demo.h, sent over OTLP/HTTP as it happens.
 *
 * Owns:    the connection and the shop while it runs.
 * Threads: main.
 * Bounds:  one tick of telemetry in memory; a server that refuses is waited for, so nothing piles up.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/demo.h"
#include "cmd/otlp_client.h"
#include "ox/clock.h"

#define TICK_NS    1000000000ull
#define HISTORY_NS 10000000000ull /* ticks of the past are longer: fewer, larger requests */

static volatile sig_atomic_t stopped;

static void
on_stop_signal(int sig)
{
    stopped = 1;
}

struct demo_args {
    struct ox_demo_options shop;
    const char *url;
    const char *key;
    uint64_t history_s;
    uint64_t seconds; /* 0 = until it is stopped */
    bool quiet;
};

static bool
parse_u64(const char *text, const char *flag, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    if (text == NULL)
        return true;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] == '\0' || text[0] == '-' || *end != '\0' || v < min || v > max) {
        ox_complain_usage("demo", "--%s takes a whole number from %" PRIu64 " to %" PRIu64 ", not `%s`", flag,
                          min, max, text);
        return false;
    }
    *out = v;
    return true;
}

static bool
parse_args(int argc, char **argv, struct demo_args *a)
{
    const char *seed = NULL, *rate = NULL, *story = NULL, *history = NULL, *seconds = NULL;
    uint64_t rate_n = 20, story_n = 600;
    *a = (struct demo_args){.shop = {.seed = 1}, .url = "http://127.0.0.1:4318"};
    const struct ox_flag flags[] = {
        {.name = "otlp-http", .value = &a->url}, {.name = "key", .value = &a->key},
        {.name = "seed", .value = &seed},        {.name = "rate", .value = &rate},
        {.name = "story", .value = &story},      {.name = "history", .value = &history},
        {.name = "seconds", .value = &seconds},  {.name = "quiet", .on = &a->quiet},
    };
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 0) != OX_OK ||
        !parse_u64(seed, "seed", 0, UINT64_MAX, &a->shop.seed) ||
        !parse_u64(rate, "rate", 1, 4000, &rate_n) || !parse_u64(story, "story", 10, 86400, &story_n) ||
        !parse_u64(history, "history", 0, 80000, &a->history_s) ||
        !parse_u64(seconds, "seconds", 0, UINT32_MAX, &a->seconds))
        return false;
    a->shop.traces_per_s = (double)rate_n;
    a->shop.story_s = (uint32_t)story_n;
    return true;
}

static ox_err
deliver(struct ox_otlp_client *client, struct ox_demo_output *out, uint64_t sent[], uint64_t *retries,
        struct ox_diag *diag)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        if (out->records[s] == 0)
            continue;
        ox_err err = ox_otlp_client_deliver(client, (enum ox_signal)s, false, ox_buf_str(&out->requests[s]),
                                            &stopped, retries, diag);
        if (err != OX_OK)
            return err;
        sent[s] += out->records[s];
    }
    return OX_OK;
}

static void
wait_until(const struct ox_clock *clock, uint64_t at_ns)
{
    while (!stopped) {
        uint64_t now_ns = ox_clock_realtime_ns(clock);
        if (now_ns >= at_ns)
            return;
        uint64_t left_ms = (at_ns - now_ns) / 1000000 + 1;
        poll(NULL, 0, left_ms < 100 ? (int)left_ms : 100);
    }
}

/* The past first, as fast as it is taken, then second by second. */
static ox_err
run(const struct demo_args *a, struct ox_demo *demo, struct ox_otlp_client *client, uint64_t sent[],
    uint64_t *retries, struct ox_diag *diag)
{
    const struct ox_clock *clock = ox_clock_real();
    struct ox_demo_output out = {0};
    uint64_t start_ns = ox_clock_realtime_ns(clock);
    uint64_t begin_ns = start_ns - a->history_s * TICK_NS;
    uint64_t end_ns = a->seconds != 0 ? start_ns + a->seconds * TICK_NS : UINT64_MAX;
    ox_err err = OX_OK;
    for (uint64_t at_ns = begin_ns; !stopped && at_ns < end_ns && err == OX_OK;) {
        uint64_t step_ns = at_ns + HISTORY_NS <= start_ns ? HISTORY_NS : TICK_NS;
        wait_until(clock, at_ns + step_ns); /* telemetry is sent when it has happened */
        if (stopped)
            break;
        err = ox_demo_tick(demo, begin_ns, at_ns, at_ns + step_ns, &out);
        if (err == OX_OK)
            err = deliver(client, &out, sent, retries, diag);
        at_ns += step_ns;
    }
    ox_demo_output_fini(&out);
    return err == OX_E_CANCELLED ? OX_OK : err;
}

int
ox_cmd_demo(int argc, char **argv)
{
    struct demo_args args;
    if (!parse_args(argc, argv, &args))
        return OX_EXIT_USAGE;
    struct sigaction sa = {.sa_handler = on_stop_signal};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    struct ox_demo *demo = ox_demo_new(&args.shop);
    struct ox_otlp_client *client = ox_otlp_client_new(args.url, args.key);
    uint64_t sent[OX_SIGNAL__COUNT] = {0}, retries = 0;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = OX_E_NOMEM;
    if (demo != NULL && client != NULL)
        err = run(&args, demo, client, sent, &retries, &diag);
    ox_otlp_client_free(client);
    ox_demo_free(demo);
    if (!args.quiet)
        printf("sent and acknowledged: %" PRIu64 " spans, %" PRIu64 " log records, %" PRIu64
               " metric points (%" PRIu64 " retries)\n",
               sent[OX_SIGNAL_TRACES], sent[OX_SIGNAL_LOGS], sent[OX_SIGNAL_METRICS], retries);
    if (err != OX_OK)
        return ox_complain("the demo ends: %s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
    return OX_EXIT_OK;
}
