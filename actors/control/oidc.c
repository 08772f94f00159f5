/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/oidc.c - see include/ox/oidc.h (OpenID Connect Core 1.0, 3.1; RFC 7636).
 *
 * Owns:    see there.
 * Threads: see there; `lock` is held while the provider is read, so that many logins do not read it at once.
 * Bounds:  see there.
 * Fails:   see there.
 */
#include "ox/oidc.h"

#include <blake3.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/jwt_keys.h"
#include "ox/lock.h"
#include "ox/random.h"
#include "ox/user_store.h"

#define TEXT_LEN    43 /* 32 random bytes */
#define READ_S      3600
#define CODE_MAX    2048
#define ID_LEEWAY_S 60

struct ox_oidc {
    char *issuer, *client_id, *client_secret, *redirect_uri, *scopes, *ca_file, *user_claim;
    char *tenant_claim, *role_claim, *scope_claim, *roles;
    pthread_mutex_t lock; /* of what follows */
    char *authorize, *token, *jwks_uri;
    struct ox_jwks *keys;
    int64_t read_s; /* 0 = never */
};

struct ox_oidc *
ox_oidc_new(const struct ox_oidc_options *from)
{
    struct ox_oidc *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return NULL;
    pthread_mutex_init(&o->lock, NULL);
    const struct {
        char **to;
        const char *text;
    } texts[] = {{&o->issuer, from->issuer},
                 {&o->client_id, from->client_id},
                 {&o->client_secret, from->client_secret},
                 {&o->redirect_uri, from->redirect_uri},
                 {&o->scopes, from->scopes},
                 {&o->ca_file, from->ca_file},
                 {&o->user_claim, from->user_claim},
                 {&o->tenant_claim, from->rules.tenant_claim},
                 {&o->role_claim, from->rules.role_claim},
                 {&o->scope_claim, from->rules.scope_claim},
                 {&o->roles, from->rules.roles}};
    bool ok = true;
    for (size_t i = 0; i < OX_COUNT(texts); i++)
        ok &= (*texts[i].to = strdup(texts[i].text)) != NULL;
    if (ok)
        return o;
    ox_oidc_free(o);
    return NULL;
}

void
ox_oidc_free(struct ox_oidc *o)
{
    if (o == NULL)
        return;
    if (o->client_secret != NULL)
        explicit_bzero(o->client_secret, strlen(o->client_secret));
    char *const texts[] = {o->issuer,  o->client_id,  o->client_secret, o->redirect_uri, o->scopes,
                           o->ca_file, o->user_claim, o->tenant_claim,  o->role_claim,   o->scope_claim,
                           o->roles,   o->authorize,  o->token,         o->jwks_uri};
    for (size_t i = 0; i < OX_COUNT(texts); i++)
        free(texts[i]);
    ox_jwks_free(o->keys);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* ---- what the provider says of itself ---- */

/* A member that is an address; those of a provider elsewhere are https. */
static char *
address_of(const struct ox_oidc *o, const json_t *doc, const char *name)
{
    const char *text = json_string_value(json_object_get(doc, name));
    bool secure = strncmp(o->issuer, "https://", 8) == 0;
    if (text == NULL || strncmp(text, secure ? "https://" : "http", secure ? 8 : 4) != 0)
        return NULL;
    return strdup(text);
}

static ox_err
unusable(const struct ox_oidc *o, const char *what, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAVAILABLE, "oidc.issuer", -1, "the provider %.120s %s", o->issuer, what);
}

static ox_err
read_json(const struct ox_oidc *o, const char *url, json_t **out, struct ox_diag *diag)
{
    struct ox_buf text;
    ox_buf_init(&text);
    *out = NULL;
    ox_err err = ox_jwks_fetch(url, o->ca_file, &text, diag);
    if (err == OX_OK)
        *out = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    ox_buf_fini(&text);
    if (err != OX_OK)
        return OX_E_UNAVAILABLE;
    return *out != NULL ? OX_OK : unusable(o, "answers with what is no JSON", diag);
}

static ox_err
read_discovery(struct ox_oidc *o, struct ox_diag *diag)
{
    char url[1100];
    json_t *doc;
    size_t n = strlen(o->issuer);
    snprintf(url, sizeof(url), "%s%s.well-known/openid-configuration", o->issuer,
             o->issuer[n - 1] == '/' ? "" : "/");
    ox_err err = read_json(o, url, &doc, diag);
    if (err != OX_OK)
        return err;
    const char *issuer = json_string_value(json_object_get(doc, "issuer"));
    char *authorize = address_of(o, doc, "authorization_endpoint"),
         *token = address_of(o, doc, "token_endpoint"), *jwks_uri = address_of(o, doc, "jwks_uri");
    bool same = issuer != NULL && strcmp(issuer, o->issuer) == 0;
    json_decref(doc);
    if (same && authorize != NULL && token != NULL && jwks_uri != NULL) {
        free(o->authorize);
        free(o->token);
        free(o->jwks_uri);
        o->authorize = authorize;
        o->token = token;
        o->jwks_uri = jwks_uri;
        return OX_OK;
    }
    free(authorize);
    free(token);
    free(jwks_uri);
    return unusable(o, same ? "names no endpoints that can be used" : "calls itself otherwise", diag);
}

static ox_err
read_keys(struct ox_oidc *o, struct ox_diag *diag)
{
    struct ox_buf text;
    struct ox_jwks *keys = NULL;
    ox_buf_init(&text);
    ox_err err = ox_jwks_fetch(o->jwks_uri, o->ca_file, &text, diag);
    if (err == OX_OK)
        err = ox_jwks_parse(ox_buf_str(&text), &keys, diag);
    ox_buf_fini(&text);
    if (err != OX_OK)
        return OX_E_UNAVAILABLE;
    ox_jwks_free(o->keys);
    o->keys = keys;
    return OX_OK;
}

/* Under the lock. most_s: how old it may be. */
static ox_err
read_provider(struct ox_oidc *o, int64_t now_s, int64_t most_s, struct ox_diag *diag)
{
    if (o->read_s != 0 && now_s >= o->read_s && now_s - o->read_s < most_s)
        return OX_OK;
    ox_err err = read_discovery(o, diag);
    if (err == OX_OK)
        err = read_keys(o, diag);
    if (err == OX_OK)
        o->read_s = now_s;
    return err;
}

/* ---- beginning ---- */

static void
put_encoded(struct ox_buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        char c = *p;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~';
        if (plain)
            ox_buf_append(out, &c, 1);
        else
            ox_buf_printf(out, "%%%02X", (unsigned char)c);
    }
}

static void
put_param(struct ox_buf *out, const char *name, const char *value)
{
    ox_buf_printf(out, "&%s=", name);
    put_encoded(out, value);
}

/* The three texts of a login. */
struct pending {
    char state[TEXT_LEN + 1], nonce[TEXT_LEN + 1], verifier[TEXT_LEN + 1];
};

static bool
read_pending(struct ox_str text, struct pending *p)
{
    if (text.n != OX_OIDC_PENDING_LEN || text.p[TEXT_LEN] != '.' || text.p[2 * TEXT_LEN + 1] != '.')
        return false;
    snprintf(p->state, sizeof(p->state), "%.*s", TEXT_LEN, text.p);
    snprintf(p->nonce, sizeof(p->nonce), "%.*s", TEXT_LEN, text.p + TEXT_LEN + 1);
    snprintf(p->verifier, sizeof(p->verifier), "%.*s", TEXT_LEN, text.p + 2 * TEXT_LEN + 2);
    return true;
}

static ox_err
make_text(char out[TEXT_LEN + 1])
{
    uint8_t random[32];
    ox_err err = ox_random_os(random, sizeof(random));
    if (err == OX_OK)
        ox_base64url_encode(random, sizeof(random), out);
    return err;
}

static ox_err
put_challenge(struct ox_buf *url, const char *verifier)
{
    uint8_t sum[32];
    char text[OX_BASE64URL_LEN(sizeof(sum)) + 1];
    if (EVP_Q_digest(NULL, "SHA256", NULL, verifier, strlen(verifier), sum, NULL) != 1)
        return OX_E_NOMEM;
    ox_base64url_encode(sum, sizeof(sum), text);
    put_param(url, "code_challenge", text);
    put_param(url, "code_challenge_method", "S256");
    return url->failed ? OX_E_NOMEM : OX_OK;
}

ox_err
ox_oidc_begin(struct ox_oidc *o, char pending[OX_OIDC_PENDING_LEN + 1], struct ox_buf *url, int64_t now_s,
              struct ox_diag *diag)
{
    struct pending p;
    ox_err err = make_text(p.state);
    if (err == OX_OK)
        err = make_text(p.nonce);
    if (err == OX_OK)
        err = make_text(p.verifier);
    ox_lock(&o->lock);
    if (err == OX_OK)
        err = read_provider(o, now_s, READ_S, diag);
    if (err == OX_OK)
        ox_buf_printf(url, "%s%sresponse_type=code", o->authorize,
                      strchr(o->authorize, '?') != NULL ? "&" : "?");
    ox_unlock(&o->lock);
    if (err != OX_OK)
        return err;
    put_param(url, "client_id", o->client_id);
    put_param(url, "redirect_uri", o->redirect_uri);
    put_param(url, "scope", o->scopes);
    put_param(url, "state", p.state);
    put_param(url, "nonce", p.nonce);
    err = put_challenge(url, p.verifier);
    snprintf(pending, OX_OIDC_PENDING_LEN + 1, "%s.%s.%s", p.state, p.nonce, p.verifier);
    return err;
}

/* ---- finishing ---- */

static ox_err
refuse(const char *why, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "oidc", -1,
                       "the login through the provider is refused: %s", why);
}

/* As it stands in the query string, where it is encoded already: it goes on as it is. */
static bool
is_code(struct ox_str code)
{
    bool ok = code.n > 0 && code.n <= CODE_MAX;
    for (size_t i = 0; ok && i < code.n; i++)
        ok = code.p[i] > 0x20 && code.p[i] < 0x7f && strchr("&=#\"<>\\", code.p[i]) == NULL;
    return ok;
}

/* Gives the code, and takes the id_token. *out: free it. */
static ox_err
exchange(struct ox_oidc *o, const char *token_url, struct ox_str code, const char *verifier, char **out,
         struct ox_diag *diag)
{
    struct ox_buf form, answer;
    long status = 0;
    *out = NULL;
    ox_buf_init(&form);
    ox_buf_init(&answer);
    ox_buf_printf(&form, "grant_type=authorization_code&code=%.*s", (int)code.n, code.p);
    put_param(&form, "redirect_uri", o->redirect_uri);
    put_param(&form, "client_id", o->client_id);
    put_param(&form, "code_verifier", verifier);
    ox_buf_append(&form, "", 1);
    ox_err err = form.failed ? OX_E_NOMEM
                             : ox_oidc_post(token_url, o->ca_file, o->client_id, o->client_secret,
                                            (const char *)form.data, &status, &answer, diag);
    json_t *doc =
        err == OX_OK && status == 200 ? json_loadb((const char *)answer.data, answer.len, 0, NULL) : NULL;
    const char *id = json_string_value(json_object_get(doc, "id_token"));
    if (err == OX_OK && id != NULL)
        *out = strdup(id);
    json_decref(doc);
    ox_buf_fini(&form);
    ox_buf_fini(&answer);
    if (err != OX_OK)
        return OX_E_UNAVAILABLE;
    return *out != NULL ? OX_OK : refuse("it takes not the code", diag);
}

static const char *
text_of(const json_t *claims, const char *name)
{
    const char *text = json_string_value(json_object_get(claims, name));
    return text != NULL ? text : "";
}

/* The name under which he is kept here. A mail address of which the provider does not say that it is verified is nobody's. */
static ox_err
take_user(const struct ox_oidc *o, const json_t *claims, struct ox_oidc_who *out, struct ox_diag *diag)
{
    const char *name = text_of(claims, o->user_claim);
    size_t n = strlen(name);
    for (size_t i = 0; i <= n && n < sizeof(out->user); i++)
        out->user[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
    if (n >= sizeof(out->user) || !ox_user_name_ok(ox_str_of(out->user)))
        return ox_diag_set(diag, OX_E_FORBIDDEN, "oidc.user_claim", -1,
                           "its claim %.80s is no name of a user here (1 to 64 of a-z, 0-9 and . _ @ + -)",
                           o->user_claim);
    if (strcmp(o->user_claim, "email") == 0 && !json_is_true(json_object_get(claims, "email_verified")))
        return ox_diag_set(
            diag, OX_E_FORBIDDEN, "oidc.user_claim", -1,
            "the provider does not say that it has verified this mail address (claim email_verified)");
    return OX_OK;
}

static void
make_mark(const struct ox_oidc *o, const char *subject, char out[128])
{
    uint8_t digest[24];
    blake3_hasher hasher;
    blake3_hasher_init_derive_key(&hasher, "observex oidc subject 1");
    blake3_hasher_update(&hasher, o->issuer, strlen(o->issuer) + 1);
    blake3_hasher_update(&hasher, subject, strlen(subject));
    blake3_hasher_finalize(&hasher, digest, sizeof(digest));
    memcpy(out, "oidc:", 5);
    ox_hex_encode(digest, sizeof(digest), out + 5);
}

static ox_err
check_claims(const struct ox_oidc *o, const json_t *claims, const struct pending *p, struct ox_oidc_who *out,
             struct ox_diag *diag)
{
    const char *nonce = text_of(claims, "nonce"), *azp = text_of(claims, "azp"),
               *sub = text_of(claims, "sub");
    if (strlen(nonce) != TEXT_LEN || CRYPTO_memcmp(nonce, p->nonce, TEXT_LEN) != 0)
        return refuse("its token is of another login", diag);
    if ((azp[0] != '\0' || json_array_size(json_object_get(claims, "aud")) > 1) &&
        strcmp(azp, o->client_id) != 0)
        return refuse("its token is another client's", diag);
    if (sub[0] == '\0')
        return refuse("its token names nobody", diag);
    make_mark(o, sub, out->mark);
    return take_user(o, claims, out, diag);
}

/* Under the lock; a new key is asked for once. */
static ox_err
verify(struct ox_oidc *o, const char *token, int64_t now_s, struct ox_jwt_who *who, json_t **claims,
       struct ox_diag *diag)
{
    const struct ox_jwt_rules rules = {.issuer = o->issuer,
                                       .audience = o->client_id,
                                       .tenant_claim = o->tenant_claim,
                                       .role_claim = o->role_claim,
                                       .scope_claim = o->scope_claim,
                                       .roles = o->roles,
                                       .leeway_s = ID_LEEWAY_S};
    enum ox_jwt_result result;
    ox_err err = ox_jwt_verify(ox_str_of(token), &rules, o->keys, now_s, who, &result, claims, diag);
    if (result != OX_JWT_NO_KEY || read_provider(o, now_s, OX_JWKS_AGAIN_S, diag) != OX_OK)
        return err;
    return ox_jwt_verify(ox_str_of(token), &rules, o->keys, now_s, who, &result, claims, diag);
}

ox_err
ox_oidc_finish(struct ox_oidc *o, struct ox_str pending, struct ox_str state, struct ox_str code,
               int64_t now_s, struct ox_oidc_who *out, struct ox_diag *diag)
{
    struct pending p;
    char *token_url = NULL, *token = NULL;
    json_t *claims = NULL;
    memset(out, 0, sizeof(*out));
    if (!read_pending(pending, &p) || state.n != TEXT_LEN || CRYPTO_memcmp(state.p, p.state, TEXT_LEN) != 0)
        return refuse("it was not begun in this browser, or too long ago", diag);
    if (!is_code(code))
        return refuse("it gives no code", diag);
    ox_lock(&o->lock);
    ox_err err = read_provider(o, now_s, READ_S, diag);
    if (err == OX_OK && (token_url = strdup(o->token)) == NULL)
        err = OX_E_NOMEM;
    ox_unlock(&o->lock);
    if (err == OX_OK)
        err = exchange(o, token_url, code, p.verifier, &token, diag);
    if (err == OX_OK) {
        ox_lock(&o->lock);
        err = verify(o, token, now_s, &out->who, &claims, diag);
        ox_unlock(&o->lock);
    }
    if (err == OX_OK)
        err = check_claims(o, claims, &p, out, diag);
    json_decref(claims);
    free(token);
    free(token_url);
    return err;
}
