/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a token is taken when its issuer signed it, for us, in time, and for nobody else's reasons; whatever else it is, the
 *          answer is one sentence.
 * Method:  the examples of RFC 7515 and RFC 8037; tokens of an issuer made here, each changed in one thing.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../../harness/jwt_maker.h"
#include "ox/jwt.h"

#define NOW 1700000000

static const struct ox_jwt_rules rules = {.issuer = "https://issuer.example",
                                          .audience = "observex",
                                          .tenant_claim = "tenant",
                                          .role_claim = "role",
                                          .scope_claim = "",
                                          .roles = "",
                                          .leeway_s = 30,
                                          .max_age_s = 3600};
static struct ox_diag diag;

static struct ox_jwks *
parse(const char *text)
{
    struct ox_jwks *set = NULL;
    cr_assert_eq(ox_jwks_parse(ox_str_of(text), &set, &diag), OX_OK, "%s", diag.text);
    return set;
}

static struct ox_jwks *
set_of(const struct jwt_maker *a, const struct jwt_maker *b)
{
    char *x = jwt_maker_jwk(a), *y = b != NULL ? jwt_maker_jwk(b) : NULL, *text = NULL;
    cr_assert(asprintf(&text, "{\"keys\":[%s%s%s]}", x, y != NULL ? "," : "", y != NULL ? y : "") > 0);
    struct ox_jwks *set = parse(text);
    free(x);
    free(y);
    free(text);
    return set;
}

static enum ox_jwt_result
verify_by(const char *token, const struct ox_jwt_rules *r, const struct ox_jwks *set, struct ox_jwt_who *who)
{
    enum ox_jwt_result result;
    ox_diag_clear(&diag);
    ox_err err = ox_jwt_verify(ox_str_of(token), r, set, NOW, who, &result, NULL, &diag);
    if (result == OX_JWT_GOOD)
        cr_assert_eq(err, OX_OK);
    else
        cr_assert_eq(err, result == OX_JWT_NO_ACCESS ? OX_E_FORBIDDEN : OX_E_UNAUTHENTICATED, "%d", err);
    return result;
}

static enum ox_jwt_result
verify(const char *token, const struct ox_jwks *set)
{
    struct ox_jwt_who who;
    return verify_by(token, &rules, set, &who);
}

/* The usual payload, with `change` in the place of what has the same name, or behind all. */
static char *
payload(const char *change)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "iss", "https://issuer.example", "aud",
                          "observex", "sub", "anna", "tenant", "acme", "role", "editor", "iat",
                          (json_int_t)NOW - 60, "exp", (json_int_t)NOW + 600);
    json_t *c = json_loads(change, JSON_ALLOW_NUL, NULL);
    const char *name;
    json_t *value;
    cr_assert_not_null(c, "%s", change);
    json_object_foreach(c, name, value)
    {
        if (json_is_null(value))
            json_object_del(o, name);
        else
            json_object_set(o, name, value);
    }
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    json_decref(c);
    return text;
}

static enum ox_jwt_result
changed_by(const char *change, const struct ox_jwt_rules *r, struct ox_jwt_who *who)
{
    struct jwt_maker m;
    jwt_maker_init(&m, "EdDSA", "k");
    struct ox_jwks *set = set_of(&m, NULL);
    char *p = payload(change), *token = jwt_maker_sign(&m, p);
    enum ox_jwt_result result = verify_by(token, r, set, who);
    free(token);
    free(p);
    ox_jwks_free(set);
    jwt_maker_fini(&m);
    return result;
}

static enum ox_jwt_result
changed(const char *change)
{
    struct ox_jwt_who who;
    return changed_by(change, &rules, &who);
}

/* ---- the RFCs' own ---- */

#define PAYLOAD_7515                                                                                         \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

/* Its signature is right when only its claims are foreign; one other byte of the signature, and it is forged. */
static void
expect_right(const char *token, const struct ox_jwt_rules *r, const struct ox_jwks *set,
             enum ox_jwt_result right)
{
    struct ox_jwt_who who;
    cr_assert_eq(verify_by(token, r, set, &who), right, "%s", token);
    char *bad = strdup(token), *sig = strrchr(bad, '.') + 5;
    *sig = *sig == 'A' ? 'B' : 'A';
    cr_assert_eq(verify_by(bad, r, set, &who), OX_JWT_FORGED);
    free(bad);
}

Test(jwt, rfc7515_a1_hs256)
{
    uint8_t secret[64 + 2];
    size_t n;
    cr_assert_eq(ox_base64url_decode(
                     OX_STR("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1"
                            "Z9CAow"),
                     secret, &n),
                 OX_OK);
    struct ox_jwt_rules r = rules;
    r.secret = (struct ox_str){(const char *)secret, n};
    const char *token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD_7515
                        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    expect_right(token, &r, NULL, OX_JWT_FOREIGN);
    cr_assert_eq(verify(token, NULL), OX_JWT_MALFORMED, "without a secret HS256 is none of ours");
}

Test(jwt, rfc7515_a2_rs256)
{
    struct ox_jwks *set = parse("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":"
                                "\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHm"
                                "fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
                                "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63k"
                                "paSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
                                "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK"
                                "-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}");
    expect_right("eyJhbGciOiJSUzI1NiJ9." PAYLOAD_7515
                 ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
                 "O8W2Fp5jujGbds9"
                 "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
                 "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN"
                 "9383LcOLn6_dO--xi12jzDwusC-"
                 "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIh"
                 "WkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
                 &rules, set, OX_JWT_FOREIGN);
    ox_jwks_free(set);
}

Test(jwt, rfc7515_a3_es256)
{
    struct ox_jwks *set =
        parse("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvR"
              "VEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}");
    expect_right("eyJhbGciOiJFUzI1NiJ9." PAYLOAD_7515
                 ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
                 &rules, set, OX_JWT_FOREIGN);
    ox_jwks_free(set);
}

/* What it signs is no JSON, so with the right signature it is malformed and not forged. */
Test(jwt, rfc8037_a4_eddsa)
{
    struct ox_jwks *set = parse(
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPc"
        "HURo\"}]}");
    expect_right("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                 "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
                 &rules, set, OX_JWT_MALFORMED);
    ox_jwks_free(set);
}

Test(jwt, rfc7515_appendix_c_base64url)
{
    uint8_t out[8];
    char text[12];
    size_t n;
    const uint8_t bytes[] = {3, 236, 255, 224, 193};
    ox_base64url_encode(bytes, sizeof(bytes), text);
    cr_assert_str_eq(text, "A-z_4ME");
    cr_assert_eq(ox_base64url_decode(OX_STR("A-z_4ME"), out, &n), OX_OK);
    cr_assert(n == 5 && memcmp(out, bytes, 5) == 0);
    static const char *const bad[] = {"A-z_4MF", "A-z_4ME=", "A+z/4ME", "A", "A-z_4", "A z_", "A-z_4M\n"};
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        cr_assert_eq(ox_base64url_decode(ox_str_of(bad[i]), out, &n), OX_E_INVALID, "%s", bad[i]);
}

/* ---- each algorithm ---- */

Test(jwt, each_algorithm_verifies_its_own)
{
    static const char *const algs[] = {"RS256", "ES256", "EdDSA"};
    for (size_t i = 0; i < OX_COUNT(algs); i++) {
        struct jwt_maker m, other;
        struct ox_jwt_who who;
        jwt_maker_init(&m, algs[i], "k1");
        jwt_maker_init(&other, algs[i], "k1");
        struct ox_jwks *set = set_of(&m, NULL);
        char *p = payload("{}"), *token = jwt_maker_sign(&m, p), *foreign = jwt_maker_sign(&other, p);
        cr_assert_eq(verify_by(token, &rules, set, &who), OX_JWT_GOOD, "%s: %s", algs[i], diag.text);
        cr_assert_str_eq(who.tenant.name, "acme");
        cr_assert_eq(who.role, OX_ROLE_EDITOR);
        cr_assert_eq(who.scopes, OX_SCOPE_INGEST | OX_SCOPE_QUERY);
        cr_assert_str_eq(who.subject, "anna");
        cr_assert_eq(who.until_s, NOW + 600 + 30);
        cr_assert_eq(verify(foreign, set), OX_JWT_FORGED, "%s", algs[i]);
        for (size_t at = 3; token[at] != '\0'; at++) { /* no letter of it is another */
            char was = token[at];
            if (was == '.')
                continue;
            token[at] = was == 'A' ? 'B' : 'A';
            cr_assert_neq(verify(token, set), OX_JWT_GOOD, "%s at %zu", algs[i], at);
            token[at] = was;
        }
        free(token);
        free(foreign);
        free(p);
        ox_jwks_free(set);
        jwt_maker_fini(&m);
        jwt_maker_fini(&other);
    }
}

/* ---- algorithm confusion ---- */

Test(jwt, a_public_key_is_no_secret)
{
    struct jwt_maker m;
    jwt_maker_init(&m, "RS256", "k");
    struct ox_jwks *set = set_of(&m, NULL);
    char *jwk = jwt_maker_jwk(&m), *p = payload("{}");
    char *token = jwt_maker_hs256(jwk, strlen(jwk), "{\"alg\":\"HS256\",\"kid\":\"k\"}", p);
    cr_assert_eq(verify(token, set), OX_JWT_MALFORMED, "HS256 is not taken at all");
    struct ox_jwt_rules r = rules;
    struct ox_jwt_who who;
    r.secret = OX_STR("the secret of development, 32 by.");
    cr_assert_eq(verify_by(token, &r, set, &who), OX_JWT_FORGED, "nor under another secret than ours");
    free(token);
    token = jwt_maker_hs256(r.secret.p, r.secret.n, "{\"alg\":\"HS256\"}", p);
    cr_assert_eq(verify_by(token, &r, set, &who), OX_JWT_GOOD);
    free(token);
    free(p);
    free(jwk);
    ox_jwks_free(set);
    jwt_maker_fini(&m);
}

Test(jwt, the_header_chooses_no_key_of_another_kind)
{
    struct jwt_maker ec, ed;
    jwt_maker_init(&ec, "ES256", "k");
    jwt_maker_init(&ed, "EdDSA", "k");
    struct ox_jwks *only_ec = set_of(&ec, NULL), *both = set_of(&ec, &ed);
    char *p = payload("{}");
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"\"}",
        "{}",
        "{\"alg\":\"RS384\"}",
        "{\"alg\":\"es256\"}",
        "{\"alg\":\"ES256K\"}",
        "{\"alg\":null}",
        "{\"alg\":[\"EdDSA\"]}",
        "[\"EdDSA\"]",
        "{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}",
        "{\"alg\":\"EdDSA\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"EdDSA\",\"crit\":[]}",
        "{\"alg\":\"EdDSA\",\"b64\":false}",
        "{\"alg\":\"EdDSA\",\"kid\":7}",
        "{\"alg\":\"EdDSA\",\"typ\":\"secevent+jwt\"}",
        "{\"alg\":\"EdDSA\\u0000\"}",
    };
    for (size_t i = 0; i < OX_COUNT(headers); i++) {
        char *token = jwt_maker_sign_as(&ed, headers[i], p);
        cr_assert_eq(verify(token, both), OX_JWT_MALFORMED, "%s", headers[i]);
        free(token);
    }
    char *token = jwt_maker_sign_as(
        &ed, "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"jwk\":{},\"jku\":\"https://evil.example\"}", p);
    cr_assert_eq(verify(token, only_ec), OX_JWT_NO_KEY, "the key of that name is of another kind");
    cr_assert_eq(verify(token, both), OX_JWT_GOOD, "what it points at is not looked at");
    free(token);
    token = jwt_maker_sign_as(&ed, "{\"alg\":\"ES256\",\"kid\":\"k\"}", p);
    cr_assert_eq(verify(token, both), OX_JWT_FORGED);
    free(token);
    free(p);
    ox_jwks_free(only_ec);
    ox_jwks_free(both);
    jwt_maker_fini(&ec);
    jwt_maker_fini(&ed);
}

Test(jwt, an_unsigned_token_is_none)
{
    struct jwt_maker m;
    jwt_maker_init(&m, "EdDSA", NULL);
    struct ox_jwks *set = set_of(&m, NULL);
    char *p = payload("{}"), *token = jwt_maker_sign(&m, p);
    char *dot = strrchr(token, '.');
    dot[1] = '\0';
    cr_assert_eq(verify(token, set), OX_JWT_FORGED);
    dot[0] = '\0';
    cr_assert_eq(verify(token, set), OX_JWT_MALFORMED);
    cr_assert_eq(verify("eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.", set), OX_JWT_MALFORMED);
    cr_assert_eq(verify("", set), OX_JWT_MALFORMED);
    cr_assert_eq(verify("eyJ..", set), OX_JWT_MALFORMED);
    cr_assert_eq(verify("eyJhbGciOiJFZERTQSJ9.e30.AA.AA", set), OX_JWT_MALFORMED, "four parts");
    free(token);
    free(p);
    ox_jwks_free(set);
    jwt_maker_fini(&m);
}

Test(jwt, a_token_that_is_too_long_is_not_looked_at)
{
    struct jwt_maker m;
    jwt_maker_init(&m, "EdDSA", NULL);
    struct ox_jwks *set = set_of(&m, NULL);
    char *long_name = malloc(OX_JWT_MAX), *change = NULL;
    memset(long_name, 'x', OX_JWT_MAX - 1);
    long_name[OX_JWT_MAX - 1] = '\0';
    cr_assert(asprintf(&change, "{\"more\":\"%s\"}", long_name) > 0);
    char *p = payload(change), *token = jwt_maker_sign(&m, p);
    cr_assert_eq(verify(token, set), OX_JWT_MALFORMED);
    free(token);
    free(p);
    free(change);
    free(long_name);
    ox_jwks_free(set);
    jwt_maker_fini(&m);
}

/* ---- which key ---- */

Test(jwt, without_a_kid_there_must_be_one_key_only)
{
    struct jwt_maker a, b, ec;
    jwt_maker_init(&a, "EdDSA", "a");
    jwt_maker_init(&b, "EdDSA", "b");
    jwt_maker_init(&ec, "ES256", "a");
    struct ox_jwks *one = set_of(&a, &ec), *two = set_of(&a, &b);
    char *p = payload("{}"), *no_kid = jwt_maker_sign_as(&a, "{\"alg\":\"EdDSA\"}", p),
         *named = jwt_maker_sign(&a, p);
    char *other = jwt_maker_sign_as(&a, "{\"alg\":\"EdDSA\",\"kid\":\"c\"}", p);
    cr_assert_eq(verify(no_kid, one), OX_JWT_GOOD, "the other one is for another algorithm");
    cr_assert_eq(verify(no_kid, two), OX_JWT_NO_KEY);
    cr_assert_eq(verify(named, two), OX_JWT_GOOD);
    cr_assert_eq(verify(other, two), OX_JWT_NO_KEY);
    cr_assert_eq(verify(named, NULL), OX_JWT_NO_KEY);
    free(p);
    free(no_kid);
    free(named);
    free(other);
    ox_jwks_free(one);
    ox_jwks_free(two);
    jwt_maker_fini(&a);
    jwt_maker_fini(&b);
    jwt_maker_fini(&ec);
}

static ox_err
parses(const char *text, size_t *n)
{
    struct ox_jwks *set = NULL;
    ox_err err = ox_jwks_parse(ox_str_of(text), &set, &diag);
    *n = ox_jwks_count(set);
    ox_jwks_free(set);
    return err;
}

Test(jwt, a_set_with_what_must_not_be_there_is_refused)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"keys\":[],\"keys\":[]}",
        /* RSA of 1024 bits, an even modulus, e = 1 */
        ("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
         "wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
         "Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
         "bSf63kpaSHSX\"}]}"),
        ("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQ\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
         "wWJcyQoTbji9k0l8W26mPddxHm"
         "fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
         "7OMg0LOL-bSf63k"
         "paSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_"
         "I5IhlJH7aGhyxXFvUK"
         "-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}"),
        /* a point that is on no curve, and one of 31 bytes */
        ("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"f83OJ3D2xF1B"
         "g8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}"),
        ("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVA\","
         "\"y\":\"x_FEzRu9m36HLN"
         "_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"),
        /* a private one */
        ("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_"
         "9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"x\":\"11qYAYKxCr"
         "fVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
        /* a kid twice */
        ("{\"keys\":[{\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{"
         "\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
        ("{\"keys\":[{\"kid\":7,\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
    };
    size_t n;
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        cr_assert_eq(parses(bad[i], &n), OX_E_CONFIG, "%s", bad[i]);
}

Test(jwt, keys_that_are_for_something_else_are_passed_over)
{
    static const char *const other[] = {
        "{\"keys\":[]}",
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1\"},{\"kty\":\"EC\",\"crv\":\"P-521\"},{\"kty\":\"OKP\","
         "\"crv\":\"X25519\"},{}]}"),
        ("{\"keys\":[{\"use\":\"enc\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
        ("{\"keys\":[{\"key_ops\":[\"sign\"],\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo"
         "\"}]}"),
        ("{\"keys\":[{\"alg\":\"ES512\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
    };
    size_t n;
    for (size_t i = 0; i < OX_COUNT(other); i++) {
        cr_assert_eq(parses(other[i], &n), OX_OK, "%s: %s", other[i], diag.text);
        cr_assert_eq(n, 0, "%s", other[i]);
    }
}

/* ---- claims ---- */

Test(jwt, times_have_a_small_leeway)
{
    cr_assert_eq(changed("{\"exp\":1699999971}"), OX_JWT_GOOD, "29 s ago");
    cr_assert_eq(changed("{\"exp\":1699999970}"), OX_JWT_EXPIRED);
    cr_assert_eq(changed("{\"exp\":1699999971.9}"), OX_JWT_GOOD);
    cr_assert_eq(changed("{\"exp\":null}"), OX_JWT_EXPIRED, "one that never ends is none");
    cr_assert_eq(changed("{\"exp\":\"1800000000\"}"), OX_JWT_EXPIRED);
    cr_assert_eq(changed("{\"exp\":-1}"), OX_JWT_EXPIRED);
    cr_assert_eq(changed("{\"exp\":1e300}"), OX_JWT_EXPIRED);
    cr_assert_eq(changed("{\"nbf\":1700000030}"), OX_JWT_GOOD);
    cr_assert_eq(changed("{\"nbf\":1700000031}"), OX_JWT_EXPIRED);
    cr_assert_eq(changed("{\"nbf\":\"soon\"}"), OX_JWT_EXPIRED);
    cr_assert_eq(changed("{\"iat\":1700000031}"), OX_JWT_EXPIRED, "made in the future");
}

Test(jwt, what_is_older_than_max_age_is_good_no_more)
{
    struct ox_jwt_who who;
    struct ox_jwt_rules any = rules;
    any.max_age_s = 0;
    cr_assert_eq(changed("{\"iat\":1699996371,\"exp\":1800000000}"), OX_JWT_GOOD);
    cr_assert_eq(changed("{\"iat\":1699996370,\"exp\":1800000000}"), OX_JWT_EXPIRED);
    cr_assert_eq(changed("{\"iat\":null}"), OX_JWT_EXPIRED, "its age is not known");
    cr_assert_eq(changed_by("{\"iat\":null}", &any, &who), OX_JWT_GOOD);
    cr_assert_eq(changed_by("{\"iat\":1,\"exp\":1800000000}", &any, &who), OX_JWT_GOOD);
    cr_assert_eq(who.until_s, 1800000030);
}

Test(jwt, issuer_and_audience_are_compared_whole)
{
    cr_assert_eq(changed("{\"iss\":\"https://issuer.example/\"}"), OX_JWT_FOREIGN);
    cr_assert_eq(changed("{\"iss\":\"https://issuer.example\\u0000\"}"), OX_JWT_MALFORMED);
    cr_assert_eq(changed("{\"iss\":null}"), OX_JWT_FOREIGN);
    cr_assert_eq(changed("{\"iss\":[\"https://issuer.example\"]}"), OX_JWT_FOREIGN);
    cr_assert_eq(changed("{\"aud\":\"observe\"}"), OX_JWT_FOREIGN);
    cr_assert_eq(changed("{\"aud\":null}"), OX_JWT_FOREIGN);
    cr_assert_eq(changed("{\"aud\":[\"other\",\"observex\"]}"), OX_JWT_GOOD);
    cr_assert_eq(changed("{\"aud\":[\"other\",[\"observex\"]]}"), OX_JWT_FOREIGN);
}

Test(jwt, no_tenant_or_role_is_no_access)
{
    cr_assert_eq(changed("{\"tenant\":null}"), OX_JWT_NO_ACCESS);
    cr_assert_not_null(strstr(diag.text, "claim tenant"), "%s", diag.text);
    cr_assert_eq(changed("{\"tenant\":\"\"}"), OX_JWT_NO_ACCESS);
    cr_assert_eq(changed("{\"tenant\":\"../acme\"}"), OX_JWT_NO_ACCESS);
    cr_assert_eq(changed("{\"tenant\":\"acme\\u0000\"}"), OX_JWT_MALFORMED);
    cr_assert_eq(changed("{\"tenant\":[\"acme\"]}"), OX_JWT_NO_ACCESS);
    cr_assert_eq(changed("{\"role\":null}"), OX_JWT_NO_ACCESS);
    cr_assert_not_null(strstr(diag.text, "claim role"), "%s", diag.text);
    cr_assert_eq(changed("{\"role\":\"Editor\"}"), OX_JWT_NO_ACCESS);
    cr_assert_eq(changed("{\"role\":\"local operator\"}"), OX_JWT_NO_ACCESS);
    cr_assert_eq(changed("{\"role\":[]}"), OX_JWT_NO_ACCESS);
}

Test(jwt, operators_are_those_of_the_platform_alone)
{
    struct ox_jwt_who who;
    cr_assert_eq(changed("{\"role\":\"operator\"}"), OX_JWT_NO_ACCESS);
    cr_assert_eq(changed("{\"tenant\":\"platform\"}"), OX_JWT_NO_ACCESS,
                 "an editor there would read its telemetry");
    cr_assert_eq(changed_by("{\"role\":[\"viewer\",\"operator\",7,\"admin\"]}", &rules, &who), OX_JWT_GOOD);
    cr_assert_eq(who.role, OX_ROLE_ADMIN, "the highest that it can be");
    cr_assert_eq(changed_by("{\"tenant\":\"platform\",\"role\":[\"operator\",\"admin\"]}", &rules, &who),
                 OX_JWT_GOOD);
    cr_assert_eq(who.role, OX_ROLE_OPERATOR);
    cr_assert_eq(who.scopes, OX_SCOPE_ADMIN);
}

Test(jwt, claims_have_the_names_that_the_issuer_gives_them)
{
    struct ox_jwt_who who;
    struct ox_jwt_rules r = rules;
    r.tenant_claim = "https://observex.example/org";
    r.role_claim = "realm_access.roles";
    r.roles = "obs=viewer,obs-rw=editor";
    cr_assert_eq(
        changed_by(
            "{\"https://observex.example/org\":\"acme\",\"realm_access\":{\"roles\":[\"obs-rw\",\"obs\"]}}",
            &r, &who),
        OX_JWT_GOOD, "%s", diag.text);
    cr_assert_eq(who.role, OX_ROLE_EDITOR);
    cr_assert_eq(
        changed_by("{\"https://observex.example/org\":\"acme\",\"realm_access\":{\"roles\":[\"editor\"]}}",
                   &r, &who),
        OX_JWT_NO_ACCESS, "a word that is not in the list is none");
    cr_assert_eq(changed_by("{\"https://observex.example/org\":\"acme\",\"realm_access\":7}", &r, &who),
                 OX_JWT_NO_ACCESS);
}

Test(jwt, scopes_narrow_and_never_widen)
{
    struct ox_jwt_who who;
    struct ox_jwt_rules r = rules;
    r.scope_claim = "scope";
    cr_assert_eq(changed_by("{\"scope\":\"openid ingest.traces profile admin\"}", &r, &who), OX_JWT_GOOD);
    cr_assert_eq(who.scopes, OX_SCOPE_INGEST_TRACES, "an editor is no admin");
    cr_assert_eq(changed_by("{\"scope\":[\"query\",\"ingest.logs\",1]}", &r, &who), OX_JWT_GOOD);
    cr_assert_eq(who.scopes, OX_SCOPE_QUERY | OX_SCOPE_INGEST_LOGS);
    cr_assert_eq(changed_by("{\"scope\":\"openid\"}", &r, &who), OX_JWT_NO_ACCESS);
    cr_assert_eq(changed_by("{}", &r, &who), OX_JWT_NO_ACCESS);
}

Test(jwt, a_subject_disturbs_no_line)
{
    struct ox_jwt_who who;
    cr_assert_eq(changed_by("{\"sub\":\"a\\n\\\"b\\u00e9\"}", &rules, &who), OX_JWT_GOOD);
    cr_assert_str_eq(who.subject, "a?\"b??");
    cr_assert_eq(changed_by("{\"sub\":null}", &rules, &who), OX_JWT_GOOD);
    cr_assert_str_eq(who.subject, "");
}

Test(jwt, a_refusal_is_one_sentence)
{
    char first[OX_COUNT(diag.text)];
    (void)changed("{\"exp\":1}");
    snprintf(first, sizeof(first), "%s", diag.text);
    (void)changed("{\"iss\":\"other\"}");
    cr_assert_str_eq(diag.text, first);
    (void)verify("eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.", NULL);
    cr_assert_str_eq(diag.text, first);
}
