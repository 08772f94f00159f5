/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/credential.c - the credential that an HTTP or gRPC request carries.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Flow:    gateway and API -> here -> key store.
 */
#include "ox/http.h"
#include "ox/keystore.h"

/* A browser names the page's origin with everything that it posts; what it only reads may be anybody's. */
static bool
may_be_a_page(const struct ox_http_request *req)
{
    return req->method == OX_HTTP_GET || req->method == OX_HTTP_HEAD ||
           ox_http_header(req, OX_STR("origin")).n > 0;
}

struct ox_credential
ox_credential_of(const struct ox_http_request *req)
{
    struct ox_credential cred = {ox_http_header(req, OX_STR("x-api-key")), req->is_loopback, req->peer,
                                 req->client, may_be_a_page(req) ? req->authority : (struct ox_str){0}};
    if (cred.key.n > 0)
        return cred;
    struct ox_str auth = ox_http_header(req, OX_STR("authorization")), scheme = OX_STR("Bearer ");
    if (auth.n > scheme.n && ox_str_caseeq((struct ox_str){auth.p, scheme.n}, scheme))
        auth = (struct ox_str){auth.p + scheme.n, auth.n - scheme.n};
    cred.key = auth;
    return cred;
}
