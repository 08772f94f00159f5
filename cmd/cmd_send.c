/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_send.c - `observex send`: OTLP requests from files, standard input, or made up.
 *
 * Owns:    one file's bytes at a time.
 * Threads: main.
 * Bounds:  FILE_MAX bytes per file.
 *
 * A file is one Export…ServiceRequest, JSON or protobuf (told by its first byte: JSON begins with '{'). The
 * signal is read from the JSON's first member, or named by --signal for protobuf.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/demo.h"
#include "cmd/otlp_answer.h"
#include "cmd/otlp_client.h"
#include "ox/clock.h"

#define FILE_MAX     (64u << 20)
#define GENERATE_MAX 4000
#define SECOND_NS    1000000000ull

static ox_err
read_file(const char *path, struct ox_buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (f == NULL) {
        ox_complain("%s cannot be opened: %s", path, strerror(errno));
        return OX_E_IO;
    }
    size_t n = 1;
    while (n > 0 && out->len < FILE_MAX) {
        uint8_t *to = ox_buf_reserve(out, 65536);
        n = to != NULL ? fread(to, 1, 65536, f) : 0;
        out->len += n;
    }
    bool bad = ferror(f) != 0 || out->failed;
    if (f != stdin)
        fclose(f);
    if (bad || out->len >= FILE_MAX) {
        ox_complain("%s cannot be read, or is larger than %u MiB", path, FILE_MAX >> 20);
        return OX_E_TOO_LARGE;
    }
    return OX_OK;
}

/* The signal by the request's only member. */
static bool
json_signal(struct ox_str json, enum ox_signal *out)
{
    static const char *const members[OX_SIGNAL__COUNT][2] = {{"\"resourceSpans\"", "\"resource_spans\""},
                                                             {"\"resourceLogs\"", "\"resource_logs\""},
                                                             {"\"resourceMetrics\"", "\"resource_metrics\""}};
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        for (int i = 0; i < 2; i++) {
            if (memmem(json.p, json.n, members[s][i], strlen(members[s][i])) != NULL) {
                *out = (enum ox_signal)s;
                return true;
            }
        }
    }
    return false;
}

static bool
named_signal(const char *name, enum ox_signal *out)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        if (strcmp(name, ox_signal_name((enum ox_signal)s)) == 0) {
            *out = (enum ox_signal)s;
            return true;
        }
    }
    return false;
}

static bool
is_json(struct ox_str body)
{
    size_t i = 0;
    while (i < body.n && (body.p[i] == ' ' || body.p[i] == '\n' || body.p[i] == '\r' || body.p[i] == '\t'))
        i++;
    return i < body.n && body.p[i] == '{';
}

static int
send_one(struct ox_otlp_client *client, const char *path, const char *signal_name)
{
    struct ox_buf body = {0};
    struct ox_otlp_reply reply = {0};
    struct ox_diag diag;
    enum ox_signal signal;
    int code = OX_EXIT_FAILED;
    if (read_file(path, &body) != OX_OK)
        goto out;
    struct ox_str view = ox_buf_str(&body);
    bool json = is_json(view);
    if (signal_name != NULL ? !named_signal(signal_name, &signal) : !json || !json_signal(view, &signal)) {
        ox_complain("%s: which signal is it? Name it: --signal traces, logs or metrics", path);
        goto out;
    }
    if (ox_otlp_client_post(client, signal, json, view, &reply, &diag) != OX_OK) {
        ox_complain("%s", diag.text);
        goto out;
    }
    struct ox_otlp_answer answer;
    ox_otlp_answer_read(reply.status, &reply.body, &answer);
    bool whole = reply.status == 200 && answer.rejected == 0;
    printf("%s: %ld %s, %s\n", path, reply.status, ox_signal_name(signal),
           whole ? "all of it acknowledged" : answer.why);
    code = whole ? OX_EXIT_OK : OX_EXIT_FAILED;
out:
    ox_buf_fini(&reply.body);
    ox_buf_fini(&body);
    return code;
}

/* N traces of the demo shop, with their logs and one round of metrics. */
static int
send_generated(struct ox_otlp_client *client, const char *count, const char *seed)
{
    char *end, *seed_end = NULL;
    unsigned long long n = strtoull(count, &end, 10);
    unsigned long long s = seed != NULL ? strtoull(seed, &seed_end, 10) : 1;
    if (count[0] == '\0' || *end != '\0' || n < 1 || n > GENERATE_MAX || (seed != NULL && *seed_end != '\0'))
        return ox_complain_usage(
            "send", "--generate takes a number of traces from 1 to %u, --seed a whole number", GENERATE_MAX);
    struct ox_demo_options shop = {.seed = s, .traces_per_s = (double)n, .story_s = 600};
    struct ox_demo *demo = ox_demo_new(&shop);
    struct ox_demo_output out = {0};
    uint64_t from_ns = ox_clock_realtime_ns(ox_clock_real()) - 2 * SECOND_NS, retries = 0;
    volatile sig_atomic_t stop = 0;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = demo != NULL ? ox_demo_tick(demo, from_ns, from_ns, from_ns + SECOND_NS, &out) : OX_E_NOMEM;
    for (int i = 0; i < OX_SIGNAL__COUNT && err == OX_OK; i++) {
        if (out.records[i] == 0)
            continue;
        err = ox_otlp_client_deliver(client, (enum ox_signal)i, false, ox_buf_str(&out.requests[i]), &stop,
                                     &retries, &diag);
        if (err == OX_OK)
            printf("%s: %llu records acknowledged\n", ox_signal_name((enum ox_signal)i),
                   (unsigned long long)out.records[i]);
    }
    ox_demo_output_fini(&out);
    ox_demo_free(demo);
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
}

int
ox_cmd_send(int argc, char **argv)
{
    const char *url = "http://127.0.0.1:4318", *key = NULL, *signal = NULL, *generate = NULL, *seed = NULL;
    const struct ox_flag flags[] = {{.name = "otlp-http", .value = &url},
                                    {.name = "key", .value = &key},
                                    {.name = "signal", .value = &signal},
                                    {.name = "generate", .value = &generate},
                                    {.name = "seed", .value = &seed}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), argc) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc < 2 && generate == NULL)
        return ox_complain_usage("send", "name at least one file, `-` for standard input, or --generate N");
    struct ox_otlp_client *client = ox_otlp_client_new(url, key);
    int code = client != NULL ? OX_EXIT_OK : OX_EXIT_FAILED;
    if (client != NULL && generate != NULL)
        code = send_generated(client, generate, seed);
    for (int i = 1; i < argc && client != NULL; i++) {
        if (send_one(client, argv[i], signal) != OX_EXIT_OK)
            code = OX_EXIT_FAILED;
    }
    ox_otlp_client_free(client);
    return code;
}
