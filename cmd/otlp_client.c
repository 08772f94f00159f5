/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/otlp_client.c - an OTLP/HTTP exporter on libcurl.
 *
 * Owns:    struct ox_otlp_client.
 * Threads: one.
 * Bounds:  REPLY_MAX bytes of an answer are kept.
 * Fails:   UNAVAILABLE, CANCELLED, INVALID.
 */
#include "cmd/otlp_client.h"

#include "cmd/client_tls.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/otlp_answer.h"

#define REPLY_MAX      65536
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000
#define TIMEOUT_S      60
#define NAP_MS         50 /* how often a wait looks at *stop */

struct ox_otlp_client {
    CURL *curl;
    char base[256];
    struct curl_slist *headers[2]; /* protobuf, JSON */
    enum ox_encoding encoding;
    struct ox_buf packed;
    bool waits; /* said so, and nothing was taken since */
};

struct ox_otlp_client *
ox_otlp_client_new(const char *base, const char *key)
{
    static const char *const types[2] = {"content-type: application/x-protobuf",
                                         "content-type: application/json"};
    struct ox_otlp_client *c = calloc(1, sizeof(*c));
    char line[512];
    if (c == NULL || (c->curl = curl_easy_init()) == NULL) {
        free(c);
        return NULL;
    }
    snprintf(c->base, sizeof(c->base), "%s", base);
    for (int i = 0; i < 2; i++) {
        c->headers[i] = curl_slist_append(NULL, types[i]);
        c->headers[i] = curl_slist_append(c->headers[i], "expect:"); /* no 100-continue: bodies are small */
        if (key != NULL) {
            snprintf(line, sizeof(line), "x-api-key: %s", key);
            c->headers[i] = curl_slist_append(c->headers[i], line);
        }
    }
    return c;
}

void
ox_otlp_client_free(struct ox_otlp_client *c)
{
    if (c == NULL)
        return;
    curl_slist_free_all(c->headers[0]);
    curl_slist_free_all(c->headers[1]);
    curl_easy_cleanup(c->curl);
    ox_buf_fini(&c->packed);
    free(c);
}

void
ox_otlp_client_encoding(struct ox_otlp_client *c, enum ox_encoding encoding)
{
    char line[64];
    c->encoding = encoding;
    snprintf(line, sizeof(line), "content-encoding: %s", ox_encoding_name(encoding));
    for (int i = 0; i < 2; i++)
        c->headers[i] = curl_slist_append(c->headers[i], line);
}

static size_t
keep_reply(char *bytes, size_t size, size_t n, void *arg)
{
    struct ox_buf *body = arg;
    size_t room = body->len < REPLY_MAX ? REPLY_MAX - body->len : 0;
    ox_buf_append(body, bytes, size * n < room ? size * n : room);
    return size * n;
}

ox_err
ox_otlp_client_post(struct ox_otlp_client *c, enum ox_signal signal, bool json, struct ox_str body,
                    struct ox_otlp_reply *reply, struct ox_diag *diag)
{
    char url[320];
    if (c->encoding != OX_ENCODING_IDENTITY) {
        ox_buf_reset(&c->packed);
        if (ox_compress(c->encoding, body.p, body.n, &c->packed) != OX_OK)
            return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory to compress a request");
        body = ox_buf_str(&c->packed);
    }
    snprintf(url, sizeof(url), "%s/v1/%s", c->base, ox_signal_name(signal));
    ox_buf_reset(&reply->body);
    reply->status = 0;
    reply->retry_after_s = 0;
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body.n > 0 ? body.p : "");
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers[json]);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, keep_reply);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &reply->body);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    ox_client_tls_apply(c->curl);
    CURLcode rc = curl_easy_perform(c->curl);
    reply->connected = rc != CURLE_COULDNT_CONNECT && rc != CURLE_COULDNT_RESOLVE_HOST;
    if (rc != CURLE_OK)
        return ox_diag_set(diag, OX_E_UNAVAILABLE, NULL, -1, "%s does not answer: %s", c->base,
                           curl_easy_strerror(rc));
    curl_off_t retry = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &reply->status);
    curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &retry);
    reply->retry_after_s = retry > 0 ? (uint32_t)retry : 0;
    return OX_OK;
}

static bool
is_retryable(long status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

static void
nap(uint32_t ms, const volatile sig_atomic_t *stop)
{
    for (uint32_t slept = 0; slept < ms && !*stop; slept += NAP_MS)
        poll(NULL, 0, NAP_MS);
}

ox_err
ox_otlp_reply_check(const char *base, const struct ox_otlp_reply *reply, struct ox_diag *diag)
{
    struct ox_otlp_answer answer;
    ox_otlp_answer_read(reply->status, &reply->body, &answer);
    if (reply->status != 200)
        return ox_diag_set(diag, OX_E_INVALID, NULL, -1, "%s refuses the request with %ld: %s", base,
                           reply->status, answer.why);
    if (answer.rejected > 0)
        return ox_diag_set(diag, OX_E_INVALID, NULL, -1, "%s refuses %" PRIu64 " of the records: %s", base,
                           answer.rejected, answer.why);
    return OX_OK;
}

/* Once until something is taken again: who started this by hand should not wonder why nothing happens. */
static void
say_waiting(struct ox_otlp_client *c, ox_err err, const struct ox_otlp_reply *reply,
            const struct ox_diag *diag)
{
    struct ox_diag refusal;
    if (!c->waits && err == OX_OK && ox_otlp_reply_check(c->base, reply, &refusal) != OX_OK)
        ox_complain("%s; trying again until it takes it", refusal.text);
    else if (!c->waits)
        ox_complain("%s; trying again until it does", diag->text);
    c->waits = true;
}

ox_err
ox_otlp_client_deliver(struct ox_otlp_client *c, enum ox_signal signal, bool json, struct ox_str body,
                       const volatile sig_atomic_t *stop, uint64_t *retries, struct ox_diag *diag)
{
    struct ox_otlp_reply reply = {0};
    uint32_t backoff_ms = BACKOFF_MIN_MS;
    ox_err err = OX_E_CANCELLED;
    while (!*stop) {
        err = ox_otlp_client_post(c, signal, json, body, &reply, diag);
        if (err == OX_OK && !is_retryable(reply.status)) {
            err = ox_otlp_reply_check(c->base, &reply, diag);
            c->waits = false;
            break;
        }
        say_waiting(c, err, &reply, diag);
        ++*retries;
        nap(reply.retry_after_s > 0 ? reply.retry_after_s * 1000 : backoff_ms, stop);
        backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
        err = OX_E_CANCELLED;
    }
    ox_buf_fini(&reply.body);
    return err;
}
