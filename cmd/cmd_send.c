/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_send.c - `observex send`: OTLP requests from files or standard input.
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
#include "cmd/otlp_client.h"

#define FILE_MAX (64u << 20)

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
    printf("%s: %ld %s %.*s\n", path, reply.status, ox_signal_name(signal), json ? (int)reply.body.len : 0,
           reply.body.data != NULL ? (const char *)reply.body.data : "");
    code = reply.status == 200 ? OX_EXIT_OK : OX_EXIT_FAILED;
out:
    ox_buf_fini(&reply.body);
    ox_buf_fini(&body);
    return code;
}

int
ox_cmd_send(int argc, char **argv)
{
    const char *url = "http://127.0.0.1:4318", *key = NULL, *signal = NULL;
    const struct ox_flag flags[] = {{.name = "otlp-http", .value = &url},
                                    {.name = "key", .value = &key},
                                    {.name = "signal", .value = &signal}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), argc) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc < 2)
        return ox_complain_usage("send", "name at least one file, or `-` for standard input");
    struct ox_otlp_client *client = ox_otlp_client_new(url, key);
    int code = client != NULL ? OX_EXIT_OK : OX_EXIT_FAILED;
    for (int i = 1; i < argc && client != NULL; i++) {
        if (send_one(client, argv[i], signal) != OX_EXIT_OK)
            code = OX_EXIT_FAILED;
    }
    ox_otlp_client_free(client);
    return code;
}
