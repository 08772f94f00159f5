/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whatever is sent as a token, as its claims, or as an issuer's set of keys, is read to its end and no further; a token
 *          that is taken has the issuer, the audience and the time that it must have; base64url has one text per value.
 * Method:  the first byte chooses: a token as it is; a header and a payload, signed here, so that the claims are reached; a set of
 *          keys. What was taken is read again in another way.
 */
#include <jansson.h>
#include <stdlib.h>

#include "../harness/jwt_maker.h"
#include "ox/jwt.h"

#define NOW    1700000000
#define SECRET "thirty-two bytes that are secret"

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static const struct ox_jwt_rules rules = {.issuer = "issuer",
                                          .audience = "observex",
                                          .tenant_claim = "a.tenant",
                                          .role_claim = "role",
                                          .scope_claim = "scope",
                                          .roles = "dev=editor,ops=operator,x=viewer",
                                          .leeway_s = 30,
                                          .max_age_s = 3600,
                                          .secret = {SECRET, sizeof(SECRET) - 1}};

static const char keys[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\",\"x\":"
                           "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                           "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"p\",\"x\":"
                           "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
                           "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static void
verify(struct ox_str token)
{
    static struct ox_jwks *set;
    struct ox_jwt_who who;
    enum ox_jwt_result result;
    json_t *claims = NULL;
    if (set == NULL)
        must(ox_jwks_parse(ox_str_of(keys), &set, NULL) == OX_OK);
    ox_err err = ox_jwt_verify(token, &rules, set, NOW, &who, &result, &claims, NULL);
    must((err == OX_OK) == (result == OX_JWT_GOOD));
    if (err == OX_OK) {
        must(strcmp(json_string_value(json_object_get(claims, "iss")), "issuer") == 0);
        must(json_number_value(json_object_get(claims, "exp")) + 31 > NOW && who.until_s > NOW);
        must(who.role >= OX_ROLE_VIEWER && who.role <= OX_ROLE_OPERATOR && who.scopes != 0);
        must((who.scopes & ~ox_role_scopes(who.role)) == 0);
        must(ox_tenant_id_parse(ox_str_of(who.tenant.name), &who.tenant, NULL) == OX_OK);
    }
    json_decref(claims);
}

/* Up to the first line's end a header, then a payload. */
static void
verify_signed(char *text)
{
    char *end = strchr(text, '\n');
    if (end == NULL)
        return;
    *end = '\0';
    char *token = jwt_maker_hs256(SECRET, sizeof(SECRET) - 1, text, end + 1);
    verify(ox_str_of(token));
    free(token);
}

static void
check_base64url(struct ox_str text)
{
    size_t n;
    uint8_t *bytes = malloc(text.n + 1);
    char *again = malloc(text.n + 8);
    if (bytes != NULL && again != NULL && ox_base64url_decode(text, bytes, &n) == OX_OK) {
        ox_base64url_encode(bytes, n, again);
        must(strlen(again) == text.n && memcmp(again, text.p, text.n) == 0);
    }
    free(bytes);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ox_jwks *set = NULL;
    if (size < 1)
        return 0;
    char *text = malloc(size); /* with a zero in the place of the first byte, behind the others */
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct ox_str str = {text, size - 1};
    if (data[0] == 't')
        verify(str);
    else if (data[0] == 'p')
        verify_signed(text);
    else if (data[0] == 'k' && ox_jwks_parse(str, &set, NULL) == OX_OK)
        must(ox_jwks_count(set) <= OX_JWKS_KEYS_MAX);
    else if (data[0] == 'b')
        check_base64url(str);
    ox_jwks_free(set);
    free(text);
    return 0;
}
