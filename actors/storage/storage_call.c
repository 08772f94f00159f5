/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/storage_call.c - one HTTP exchange with ClickHouse.
 *
 * Owns:    the URL and the error text of the call.
 * Threads: a dirty thread, blocking.
 * Bounds:  the call's time-out; ERROR_BYTES_MAX of an error's text.
 * Fails:   see include/ox/storage.h.
 * Flow:    storage_gate.c -> here -> libcurl.
 *
 * A statement that fails in the middle of its result ends the connection without the last chunk, with the
 * exception's text behind the rows: the last bytes are kept to read it from there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "actors/storage/storage.h"
#include "ox/lock.h"
#include "ox/metric.h"

#define ERROR_BYTES_MAX (64 * 1024)
#define CANCEL_POLL_MS  100

static bool
unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void
append_encoded(struct ox_buf *out, struct ox_str value)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (unreserved((char)c)) {
            ox_buf_append(out, &c, 1);
        } else {
            char hex[3] = {'%', digits[c >> 4], digits[c & 15]};
            ox_buf_append(out, hex, 3);
        }
    }
}

void
ox__call_param(struct ox__call *call, const char *prefix, const char *name, struct ox_str value)
{
    bool first = call->url.len > 0 && call->url.data[call->url.len - 1] == '?';
    ox_buf_append_cstr(&call->url, first ? "" : "&");
    append_encoded(&call->url, ox_str_of(prefix));
    append_encoded(&call->url, ox_str_of(name));
    ox_buf_append_cstr(&call->url, "=");
    append_encoded(&call->url, value);
}

void
ox__call_number(struct ox__call *call, const char *name, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    ox__call_param(call, "", name, (struct ox_str){text, (size_t)n});
}

void
ox__call_begin(struct ox__call *call, struct ox_storage *st, const struct ox_tenant_id *tenant)
{
    memset(call, 0, sizeof(*call));
    call->st = st;
    call->timeout_ms = st->request_timeout_ms;
    ox_buf_append_cstr(&call->url, st->base);
    ox_buf_append_cstr(&call->url, "?");
    if (st->database[0] != '\0')
        ox__call_param(call, "", "database", ox_str_of(st->database));
    if (st->plain)
        return;
    struct ox_buf comment = {0};
    ox_buf_append_cstr(&comment, tenant != NULL ? "t:" : "s:");
    ox_buf_append_cstr(&comment, tenant != NULL ? tenant->name : st->system_secret);
    if (tenant != NULL || st->system_secret[0] != '\0')
        ox__call_param(call, "", "log_comment", ox_buf_str(&comment));
    call->url.failed |= comment.failed;
    ox_buf_fini(&comment);
}

void
ox__call_fini(struct ox__call *call)
{
    ox_buf_fini(&call->url);
    ox_buf_fini(&call->error);
}

/* The status line comes before the body, so we know where its pieces belong. */
static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
    struct ox__call *call = arg;
    struct ox_str text = {line, size * n};
    static const char code[] = "x-clickhouse-exception-code:";
    static const char summary[] = "x-clickhouse-summary:";
    if (text.n > 9 && memcmp(line, "HTTP/", 5) == 0) {
        const char *space = memchr(line, ' ', text.n);
        call->status = space != NULL ? atol(space + 1) : 0;
    } else if (text.n > sizeof(code) && strncasecmp(line, code, sizeof(code) - 1) == 0) {
        call->code = atoi(line + sizeof(code) - 1);
    } else if (text.n > sizeof(summary) && strncasecmp(line, summary, sizeof(summary) - 1) == 0) {
        ox__storage_parse_summary(text, &call->stats);
    }
    return text.n;
}

static void
keep_tail(struct ox__call *call, const char *p, size_t n)
{
    size_t cap = sizeof(call->tail);
    if (n >= cap) {
        memcpy(call->tail, p + n - cap, cap);
        call->tail_len = cap;
        return;
    }
    size_t keep = call->tail_len < cap - n ? call->tail_len : cap - n;
    memmove(call->tail, call->tail + call->tail_len - keep, keep);
    memcpy(call->tail + keep, p, n);
    call->tail_len = keep + n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
    struct ox__call *call = arg;
    size_t len = size * n;
    if (call->status != 200) {
        size_t room = call->error.len < ERROR_BYTES_MAX ? ERROR_BYTES_MAX - call->error.len : 0;
        ox_buf_append(&call->error, p, len < room ? len : room);
        return len;
    }
    keep_tail(call, p, len);
    if (call->sink != NULL && !call->sink(call->sink_arg, p, len)) {
        call->sink_ended = true;
        return 0; /* ends the transfer, and with the connection the statement */
    }
    return len;
}

static bool
cancelled(const struct ox__call *call)
{
    if (atomic_load_explicit(&call->st->abandoned, memory_order_relaxed))
        return true;
    /* acquire: whoever asks to cancel may have written why before */
    return call->cancel != NULL && atomic_load_explicit(call->cancel, memory_order_acquire);
}

static struct curl_slist *
add_header(struct curl_slist *list, const char *name, const char *value, bool *failed)
{
    struct ox_buf line = {0};
    ox_buf_append_cstr(&line, name);
    ox_buf_append_cstr(&line, ": ");
    ox_buf_append(&line, value, strlen(value) + 1);
    struct curl_slist *longer = line.failed ? NULL : curl_slist_append(list, (const char *)line.data);
    ox_buf_fini(&line);
    *failed |= longer == NULL;
    return longer != NULL ? longer : list;
}

static struct curl_slist *
build_headers(const struct ox__call *call, bool *failed)
{
    const struct ox_storage *st = call->st;
    struct curl_slist *list = NULL;
    *failed = false;
    if (st->key[0] != '\0') {
        list = add_header(list, "X-ClickHouse-User", st->user, failed);
        list = add_header(list, "X-ClickHouse-Key", st->key, failed);
    }
    if (call->content_encoding != NULL)
        list = add_header(list, "Content-Encoding", call->content_encoding, failed);
    if (call->ping)
        return list;
    list = add_header(list, "Content-Type", "application/octet-stream", failed);
    /* Waiting for "100 Continue" costs a round trip per insert. */
    struct curl_slist *longer = curl_slist_append(list, "Expect:");
    *failed |= longer == NULL;
    return longer != NULL ? longer : list;
}

static void
set_options(const struct ox__call *call, CURL *curl, const struct curl_slist *headers)
{
    const struct ox_storage *st = call->st;
    curl_easy_reset(curl); /* keeps the connection */
    curl_easy_setopt(curl, CURLOPT_URL, (const char *)call->url.data);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)st->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 1024L * 1024);
    if (st->socket_path != NULL)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, st->socket_path);
    if (st->ca_file != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, st->ca_file);
    if (!call->ping) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body_len != 0 ? call->body : "");
    }
}

/* What became of the transfer, once it no longer runs. */
static CURLcode
outcome(struct ox__link link)
{
    CURLcode rc = CURLE_FAILED_INIT;
    int left;
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(link.multi, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE)
            rc = msg->data.result;
    }
    return rc;
}

/* Driven by hand, because curl_easy_perform looks at its progress callback but once a second. */
static CURLcode
perform(struct ox__call *call, struct ox__link link)
{
    CURLcode rc = CURLE_OK;
    int running = 1;
    if (curl_multi_add_handle(link.multi, link.easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (running != 0 && rc == CURLE_OK) {
        if (cancelled(call))
            rc = CURLE_ABORTED_BY_CALLBACK;
        else if (curl_multi_perform(link.multi, &running) != CURLM_OK)
            rc = CURLE_FAILED_INIT;
        else if (running != 0)
            curl_multi_poll(link.multi, NULL, 0, CANCEL_POLL_MS, NULL);
    }
    if (rc == CURLE_OK)
        rc = outcome(link);
    curl_multi_remove_handle(link.multi, link.easy);
    return rc;
}

/* libcurl sends a request once more, by itself, when a connection that was there already breaks before the answer
 * begins. From outside that looks like a connection that was found closed, which is harmless and as rare. */
static bool
sent_twice(struct ox__link link)
{
    long made = 0;
    return link.used && curl_easy_getinfo(link.easy, CURLINFO_NUM_CONNECTS, &made) == CURLE_OK && made > 0;
}

static void
note_damage(struct ox_storage *st, const struct ox_part *part)
{
    ox_metric_add(OX_M_storage_damage_answers, 1);
    ox_lock(&st->lock);
    st->damage_answers++;
    st->damaged = *part;
    ox_unlock(&st->lock);
}

/* The first line is enough; the version in brackets and stack traces do not help. */
static ox_err
exception(const struct ox__call *call, struct ox_str text, struct ox_diag *diag)
{
    int code = call->code != 0 ? call->code : ox__storage_code_of(text);
    const char *at = text.n != 0 ? memmem(text.p, text.n, "Code: ", 6) : NULL;
    struct ox_str shown = text;
    if (at != NULL)
        shown = (struct ox_str){at, text.n - (size_t)(at - text.p)};
    while (shown.n > 0 && (shown.p[shown.n - 1] == '\n' || shown.p[shown.n - 1] == '\r'))
        shown.n--;
    if (call->exception != NULL)
        ox_buf_append_str(call->exception, shown);
    if (shown.n > sizeof(diag->text) - 1)
        shown.n = sizeof(diag->text) - 1;
    ox_err err = ox_storage_err_of_code(code);
    struct ox_part part;
    /* Of an insert the same codes speak of the bytes that were sent. */
    if (!call->insert && ox_part_of_text(code, text, &part)) {
        note_damage(call->st, &part);
        err = OX_E_STORAGE_DAMAGED;
    }
    if (code == 0)
        err = call->status == 401   ? OX_E_UNAUTHENTICATED
              : call->status == 403 ? OX_E_FORBIDDEN
              : call->status == 413 ? OX_E_TOO_LARGE
              : call->status >= 500 ? OX_E_STORAGE_DOWN
                                    : OX_E_STORAGE_REFUSED;
    return ox_diag_set(diag, err, NULL, -1, "%.*s", (int)shown.n, shown.n != 0 ? shown.p : "");
}

static ox_err
transport_error(const struct ox__call *call, CURLcode rc, struct ox_diag *diag)
{
    const char *where = call->st->socket_path != NULL ? call->st->socket_path : call->st->base;
    switch (rc) {
    case CURLE_ABORTED_BY_CALLBACK:
        if (atomic_load_explicit(&call->st->abandoned, memory_order_relaxed))
            return ox_diag_set(diag, OX_E_STORAGE_DOWN, NULL, -1,
                               "the node stops and no longer waits for storage");
        return ox_diag_set(diag, OX_E_CANCELLED, NULL, -1, "the query was cancelled");
    case CURLE_OPERATION_TIMEDOUT:
        return ox_diag_set(diag, OX_E_TIMEOUT, NULL, -1, "storage at %s did not answer within %u ms", where,
                           call->timeout_ms);
    case CURLE_OUT_OF_MEMORY:
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory to talk to storage");
    default:
        return ox_diag_set(diag, OX_E_STORAGE_DOWN, NULL, -1, "storage at %s does not answer: %s", where,
                           curl_easy_strerror(rc));
    }
}

static ox_err
judge(struct ox__call *call, CURLcode rc, struct ox_diag *diag)
{
    struct ox_str tail = {call->tail, call->tail_len};
    call->stats.http_status = call->status;
    if (call->sink_ended) {
        call->stats.cut = true;
        return OX_OK;
    }
    if (call->status != 0 && call->status != 200 && rc == CURLE_OK) {
        call->stats.code = call->code != 0 ? call->code : ox__storage_code_of(ox_buf_str(&call->error));
        return exception(call, ox_buf_str(&call->error), diag);
    }
    bool broken = rc == CURLE_PARTIAL_FILE || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING;
    /* Servers before 2019 end such a reply as if it were complete. */
    static const char old_mark[] = ", e.displayText() = DB::Exception";
    if (call->st->plain && rc == CURLE_OK && tail.n != 0)
        broken = memmem(tail.p, tail.n, old_mark, sizeof(old_mark) - 1) != NULL;
    if (call->status == 200 && broken && ox__storage_code_of(tail) != 0) {
        call->stats.code = ox__storage_code_of(tail);
        return exception(call, tail, diag);
    }
    return rc == CURLE_OK ? OX_OK : transport_error(call, rc, diag);
}

ox_err
ox__call_perform(struct ox__call *call, struct ox_diag *diag)
{
    bool failed;
    ox_buf_append(&call->url, "", 1); /* libcurl wants a zero */
    struct ox__link link;
    struct curl_slist *headers = build_headers(call, &failed);
    ox_err err = ox__storage_acquire(call->st, &link);
    if (err != OX_OK || failed || call->url.failed) {
        if (err == OX_OK)
            ox__storage_release(call->st, link, true);
        curl_slist_free_all(headers);
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory to talk to storage");
    }
    set_options(call, link.easy, headers);
    err = judge(call, perform(call, link), diag);
    call->stats.retried = sent_twice(link);
    /* An exception leaves the connection in order; a cut or a time-out does not. */
    bool broken = (err != OX_OK && call->stats.code == 0) || call->sink_ended;
    ox__storage_release(call->st, link, broken);
    curl_slist_free_all(headers);
    return err;
}
