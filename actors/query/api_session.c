/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/api_session.c - the cookie of a session: reads it, sets it, and sees that orders come from its page.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Flow:    api_actor.c, api_pages.c -> here.
 *
 * The cookie is HttpOnly and SameSite=Strict: no script reads it and no page of another site sends it. Under TLS its name begins
 * with __Host-, so that neither a neighbour's domain nor plain HTTP can put another in its place. Orders also show a header that
 * only a page of ours can know (ox/password.h), for browsers that keep less of this.
 */
#include <openssl/crypto.h>
#include <stdio.h>

#include "actors/query/api_internal.h"
#include "ox/password.h"

#define PENDING_S 600 /* for as long as somebody takes at the provider */

static struct ox_str
trim(struct ox_str s)
{
    while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
        s = (struct ox_str){s.p + 1, s.n - 1};
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* The first cookie of that name; a browser sends the one that fits best first. */
static struct ox_str
cookie_of(struct ox_str header, struct ox_str name)
{
    while (header.n > 0) {
        const char *stop = memchr(header.p, ';', header.n);
        size_t n = stop != NULL ? (size_t)(stop - header.p) : header.n;
        struct ox_str pair = trim((struct ox_str){header.p, n});
        if (pair.n > name.n && memcmp(pair.p, name.p, name.n) == 0 && pair.p[name.n] == '=')
            return (struct ox_str){pair.p + name.n + 1, pair.n - name.n - 1};
        n += stop != NULL;
        header = (struct ox_str){header.p + n, header.n - n};
    }
    return (struct ox_str){0};
}

struct ox_credential
ox__api_credential(const struct ox_api *api, const struct ox_http_request *req)
{
    struct ox_credential cred = ox_credential_of(req);
    struct ox_str name = api->options.secure ? OX_STR(OX_COOKIE_SECURE) : OX_STR(OX_COOKIE_PLAIN);
    if (cred.key.n == 0)
        cred.session = cookie_of(ox_http_header(req, OX_STR("cookie")), name);
    return cred;
}

bool
ox__api_csrf_ok(const struct ox_api *api, const struct ox_http_request *req)
{
    char want[OX_CSRF_LEN + 1];
    struct ox_str shown = ox_http_header(req, OX_STR(OX_CSRF_HEADER));
    ox_session_csrf(ox__api_credential(api, req).session, want);
    return shown.n == OX_CSRF_LEN && CRYPTO_memcmp(shown.p, want, OX_CSRF_LEN) == 0;
}

void
ox__api_cookie(const struct ox_api *api, const char *session, char *out, size_t size)
{
    bool secure = api->options.secure;
    snprintf(out, size, "%s=%s; Path=/; HttpOnly; SameSite=Strict%s%s",
             secure ? OX_COOKIE_SECURE : OX_COOKIE_PLAIN, session, secure ? "; Secure" : "",
             session[0] == '\0' ? "; Max-Age=0" : "");
}

void
ox__api_pending_cookie(const struct ox_api *api, const char *pending, char *out, size_t size)
{
    bool secure = api->options.secure;
    snprintf(out, size, "%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s",
             secure ? OX_COOKIE_SECURE OX_COOKIE_OIDC : OX_COOKIE_PLAIN OX_COOKIE_OIDC, pending,
             pending[0] != '\0' ? PENDING_S : 0, secure ? "; Secure" : "");
}

struct ox_str
ox__api_pending(const struct ox_api *api, const struct ox_http_request *req)
{
    return cookie_of(ox_http_header(req, OX_STR("cookie")), api->options.secure
                                                                ? OX_STR(OX_COOKIE_SECURE OX_COOKIE_OIDC)
                                                                : OX_STR(OX_COOKIE_PLAIN OX_COOKIE_OIDC));
}

enum ox_api_kind
ox__api_kind(const struct ox_api *api, const struct ox_http_request *req)
{
    const struct ox_api_options *o = &api->options;
    return o->kind != NULL ? o->kind(o->ctx, req->method_name, req->path) : OX_API_ORDINARY;
}
