/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/jwks_fetch.c - reads an issuer's document over HTTP.
 *
 * Owns:    a libcurl handle per call.
 * Threads: dirty threads.
 * Bounds:  CONNECT_S, WHOLE_S, OX_JWKS_BYTES_MAX. Redirects are not followed: where keys come from stands in the configuration.
 * Fails:   IO, TOO_LARGE, with the address and what ails it.
 */
#include <curl/curl.h>

#include "ox/jwt_keys.h"
#include "ox/oidc.h"

#define CONNECT_S 5L
#define WHOLE_S   10L

static size_t
on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct ox_buf *out = arg;
    if (out->len + size * n > OX_JWKS_BYTES_MAX)
        return 0; /* curl ends the transfer with CURLE_WRITE_ERROR */
    ox_buf_append(out, bytes, size * n);
    return out->failed ? 0 : size * n;
}

static void
set_up(CURL *curl, const char *url, const char *ca_file, char *detail, struct ox_buf *out)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, WHOLE_S);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "observex");
    if (ca_file != NULL && ca_file[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
}

ox_err
ox_jwks_fetch(const char *url, const char *ca_file, struct ox_buf *out, struct ox_diag *diag)
{
    char detail[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return OX_E_NOMEM;
    set_up(curl, url, ca_file, detail, out);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (code == CURLE_WRITE_ERROR)
        return ox_diag_set(diag, OX_E_TOO_LARGE, "jwt.jwks_url", -1, "%.200s has more than 256 KiB", url);
    if (code != CURLE_OK)
        return ox_diag_set(diag, OX_E_IO, "jwt.jwks_url", -1, "%.200s does not answer: %.120s", url,
                           detail[0] != '\0' ? detail : curl_easy_strerror(code));
    if (status != 200)
        return ox_diag_set(diag, OX_E_IO, "jwt.jwks_url", -1,
                           "%.200s answers with status %ld and not with 200", url, status);
    return OX_OK;
}

ox_err
ox_oidc_post(const char *url, const char *ca_file, const char *client_id, const char *client_secret,
             const char *form, long *status, struct ox_buf *out, struct ox_diag *diag)
{
    char detail[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return OX_E_NOMEM;
    set_up(curl, url, ca_file, detail, out);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
    char *user = curl_easy_escape(curl, client_id, 0), *password = curl_easy_escape(curl, client_secret, 0);
    if (client_secret[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, user != NULL ? user : "");
        curl_easy_setopt(curl, CURLOPT_PASSWORD, password != NULL ? password : "");
    }
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_free(user);
    curl_free(password);
    curl_easy_cleanup(curl);
    return code == CURLE_OK ? OX_OK
                            : ox_diag_set(diag, OX_E_IO, "oidc.issuer", -1, "%.200s does not answer: %.120s",
                                          url, detail[0] != '\0' ? detail : curl_easy_strerror(code));
}
