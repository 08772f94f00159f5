/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/api_client.c - how subcommands find and ask the API of a running ObserveX.
 *
 * Owns:    a libcurl handle per call.
 * Threads: the main thread.
 * Bounds:  OX_API_ANSWER_MAX, OX_API_TIMEOUT_S.
 * Fails:   IO (nothing answers), TIMEOUT, TOO_LARGE, NOT_FOUND (nothing runs on that directory).
 */
#include "cmd/api_client.h"

#include "cmd/client_tls.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#define DEFAULT_API       "http://127.0.0.1:8080"
#define CONNECT_TIMEOUT_S 5L

static void
with_scheme(const char *api, bool tls, char *out, size_t size)
{
    snprintf(out, size, "%s%s", strstr(api, "://") != NULL ? "" : tls ? "https://" : "http://", api);
    for (size_t n = strlen(out); n > 0 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
}

ox_err
ox_api_find(const char *api, const char *data, char *out, size_t size, struct ox_diag *diag)
{
    char path[1024];
    if (api != NULL) {
        with_scheme(api, false, out, size);
        return OX_OK;
    }
    snprintf(path, sizeof(path), "%s/ready.json", data != NULL ? data : "./observex-data");
    json_t *ready = json_load_file(path, 0, NULL);
    const char *address = json_string_value(json_object_get(ready, "api"));
    const char *cert = json_string_value(json_object_get(ready, "tls_cert_file"));
    if (cert != NULL)
        ox_client_tls_pin(strdup(cert)); /* for as long as the command runs */
    if (address != NULL)
        with_scheme(address, cert != NULL, out, size);
    else
        snprintf(out, size, "%s", DEFAULT_API);
    bool found = address != NULL || data == NULL;
    json_decref(ready);
    return found
               ? OX_OK
               : ox_diag_set(diag, OX_E_NOT_FOUND, "data", -1,
                             "nothing runs on %s (no %s): start `observex serve --data %s`, or use --api URL",
                             data, path, data);
}

static size_t
on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct ox_buf *body = arg;
    if (body->len + size * n > OX_API_ANSWER_MAX)
        return 0; /* curl ends the transfer with CURLE_WRITE_ERROR */
    ox_buf_append(body, bytes, size * n);
    return body->failed ? 0 : size * n;
}

static ox_err
explain(CURLcode code, const char *url, const char *detail, struct ox_diag *diag)
{
    switch (code) {
    case CURLE_OK:
        return OX_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return ox_diag_set(diag, OX_E_TIMEOUT, NULL, -1, "%s did not answer in time", url);
    case CURLE_WRITE_ERROR:
        return ox_diag_set(diag, OX_E_TOO_LARGE, NULL, -1,
                           "the answer of %s is larger than %u MiB; ask for less", url,
                           OX_API_ANSWER_MAX >> 20);
    default:
        return ox_diag_set(
            diag, OX_E_IO, NULL, -1,
            "%s does not answer (%s): is `observex serve` running there? --api URL names another", url,
            detail[0] != '\0' ? detail : curl_easy_strerror(code));
    }
}

/* NULL without a key or without memory. */
static struct curl_slist *
key_header(const char *key)
{
    char line[1024];
    if (key == NULL)
        return NULL;
    snprintf(line, sizeof(line), "x-api-key: %s", key);
    return curl_slist_append(NULL, line);
}

static ox_err
ask(const char *base, const char *method, const char *path, const char *key, const char *post, long *status,
    struct ox_buf *body, struct ox_diag *diag)
{
    char detail[CURL_ERROR_SIZE] = "";
    struct ox_buf url;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = key_header(key);
    ox_buf_init(&url);
    ox_buf_append_cstr(&url, base);
    ox_buf_append(&url, path, strlen(path) + 1);
    ox_err err = OX_E_NOMEM;
    if (post != NULL)
        headers = curl_slist_append(headers, "content-type: application/json");
    if (curl != NULL && !url.failed && (key == NULL || headers != NULL)) {
        curl_easy_setopt(curl, CURLOPT_URL, (const char *)url.data);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        ox_client_tls_apply(curl);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)OX_API_TIMEOUT_S);
        if (post != NULL)
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, post);
        if (method != NULL)
            curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        CURLcode code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
        err = explain(code, base, detail, diag);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    ox_buf_fini(&url);
    return err;
}

ox_err
ox_api_get(const char *base, const char *path, const char *key, long *status, struct ox_buf *body,
           struct ox_diag *diag)
{
    return ask(base, NULL, path, key, NULL, status, body, diag);
}

ox_err
ox_api_post(const char *base, const char *path, const char *key, const char *json, long *status,
            struct ox_buf *body, struct ox_diag *diag)
{
    return ask(base, NULL, path, key, json, status, body, diag);
}

ox_err
ox_api_patch(const char *base, const char *path, const char *key, const char *json, long *status,
             struct ox_buf *body, struct ox_diag *diag)
{
    return ask(base, "PATCH", path, key, json, status, body, diag);
}
