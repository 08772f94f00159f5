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

struct ox_credential
ox_credential_of(const struct ox_http_request *req)
{
    struct ox_credential cred = {ox_http_header(req, OX_STR("x-api-key")), req->is_loopback, req->peer,
                                 req->client};
    if (cred.key.n > 0)
        return cred;
    struct ox_str auth = ox_http_header(req, OX_STR("authorization")), scheme = OX_STR("Bearer ");
    if (auth.n > scheme.n && ox_str_caseeq((struct ox_str){auth.p, scheme.n}, scheme))
        auth = (struct ox_str){auth.p + scheme.n, auth.n - scheme.n};
    cred.key = auth;
    return cred;
}
