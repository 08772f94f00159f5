/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a token is verified once and then known until it ends; the issuer's keys come and go without a restart; whoever
 *          shows bad tokens makes nobody work for him.
 * Method:  the store in a file, development keys below, an issuer whose answers the test gives, a clock that it sets.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../../harness/jwt_maker.h"
#include "ox/jwt_keys.h"
#include "ox/key_cache.h"
#include "ox/metric.h"

#define SECRET "a secret of sixteen bytes and more"
#define START  1700000000

static char dir[64], path[96];
static struct ox_control_store *store;
static struct ox_keystore *keys;
static struct ox_diag diag;
static struct jwt_maker first, second;
static uint64_t now_ns;

static uint64_t
now(const struct ox_clock *c)
{
    return now_ns;
}

static const struct ox_clock clock_of_test = {.monotonic_ns = now, .realtime_ns = now};

/* What the issuer answers; NULL = he does not. */
static char *answer;
static unsigned asked;

static ox_err
fetch(const char *url, const char *ca_file, struct ox_buf *out, struct ox_diag *d)
{
    cr_assert_str_eq(url, "https://issuer.example/jwks");
    asked++;
    if (answer == NULL)
        return ox_diag_set(d, OX_E_IO, NULL, -1, "down");
    ox_buf_append_cstr(out, answer);
    return OX_OK;
}

static void
answer_with(const struct jwt_maker *a, const struct jwt_maker *b)
{
    char *x = jwt_maker_jwk(a), *y = b != NULL ? jwt_maker_jwk(b) : strdup("{}");
    free(answer);
    cr_assert(asprintf(&answer, "{\"keys\":[%s,%s]}", x, y) > 0);
    free(x);
    free(y);
}

static void
set_tenant(const char *name, bool active)
{
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE}, out;
    snprintf(t.id.name, sizeof(t.id.name), "%s", name);
    if (store->tenant_create(store, NULL, &t, &diag) != OX_OK)
        cr_assert_eq(store->tenant_set(store, NULL, &t.id, active ? OX_TENANT_ACTIVE : OX_TENANT_DISABLED, 1,
                                       &out, &diag),
                     OX_OK);
    ox_jwt_keys_changed(keys, &t.id);
}

static ox_err
take(const char *jwks, const char *url, const char *issuer)
{
    const struct ox_jwt_setup s = {.rules = {.issuer = issuer,
                                             .audience = "observex",
                                             .tenant_claim = "tenant",
                                             .role_claim = "role",
                                             .scope_claim = "",
                                             .roles = "",
                                             .leeway_s = 30},
                                   .jwks = ox_str_of(jwks),
                                   .jwks_url = url,
                                   .jwks_ca_file = "",
                                   .refresh_ms = 600000};
    return ox_jwt_keys_take(keys, &s, &diag);
}

static void
up(void)
{
    snprintf(dir, sizeof(dir), "/tmp/ox-jwt-keys-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    cr_assert_eq(ox_control_open_sqlite(path, &store, &diag), OX_OK, "%s", diag.text);
    now_ns = (uint64_t)START * 1000000000;
    jwt_maker_init(&first, "EdDSA", "first");
    jwt_maker_init(&second, "EdDSA", "second");
    answer_with(&first, NULL);
    const struct ox_jwt_keys_options o = {
        .store = store, .clock = &clock_of_test, .fetch = fetch, .tokens_max = 64, .unknown_max = 5};
    keys = ox_jwt_keys_new(ox_keystore_dev_new(OX_STR(SECRET), (struct ox_str){0}), &o);
    cr_assert_eq(take("", "https://issuer.example/jwks", "issuer"), OX_OK, "%s", diag.text);
    cr_assert(ox_jwt_keys_due(keys));
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_OK, "%s", diag.text);
    set_tenant("acme", true);
    set_tenant("globex", true);
}

static void
down(void)
{
    char file[128];
    keys->free(keys);
    store->close(store);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < OX_COUNT(ends); i++) {
        snprintf(file, sizeof(file), "%s%s", path, ends[i]);
        (void)unlink(file);
    }
    rmdir(dir);
    jwt_maker_fini(&first);
    jwt_maker_fini(&second);
    free(answer);
}

TestSuite(jwt_keys, .init = up, .fini = down);

static char *
token_of(const struct jwt_maker *m, const char *tenant, int64_t exp_s)
{
    char payload[256];
    snprintf(payload, sizeof(payload),
             "{\"iss\":\"issuer\",\"aud\":\"observex\",\"sub\":\"anna\",\"tenant\":\"%s\",\"role\":"
             "\"viewer\",\"exp\":%lld}",
             tenant, (long long)exp_s);
    return jwt_maker_sign(m, payload);
}

static struct ox_credential
credential(const char *token)
{
    return (struct ox_credential){.key = ox_str_of(token), .peer = "192.0.2.1"};
}

static ox_err
identify(const char *token, struct ox_identity *who)
{
    struct ox_credential c = credential(token);
    ox_diag_clear(&diag);
    return keys->identify(keys, &c, who, &diag);
}

static ox_err
look_up(const char *token, struct ox_identity *who)
{
    struct ox_credential c = credential(token);
    ox_diag_clear(&diag);
    return keys->look_up(keys, &c, who, &diag);
}

/* As a request would be. */
static ox_err
ask(const char *token, struct ox_identity *who)
{
    ox_err err = identify(token, who);
    return err == OX_E_AGAIN ? look_up(token, who) : err;
}

static double
verified(const char *result)
{
    struct ox_str label = ox_str_of(result);
    return ox_metric_value(OX_M_jwt_verified, &label);
}

Test(jwt_keys, a_token_is_verified_once_and_then_known)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 100);
    double before = verified("good");
    cr_assert_eq(identify(t, &who), OX_E_AGAIN, "a scheduler verifies nothing");
    cr_assert_eq(look_up(t, &who), OX_OK, "%s", diag.text);
    cr_assert_str_eq(who.tenant.name, "acme");
    cr_assert_eq(who.role, OX_ROLE_VIEWER);
    cr_assert_eq(who.way, OX_WAY_TOKEN);
    cr_assert_str_eq(who.subject, "anna");
    cr_assert_eq(identify(t, &who), OX_OK);
    cr_assert_eq(look_up(t, &who), OX_OK);
    cr_assert_eq(verified("good"), before + 1);
    now_ns += 129ull * 1000000000;
    cr_assert_eq(identify(t, &who), OX_OK, "within the leeway");
    now_ns += 1000000000;
    cr_assert_eq(ask(t, &who), OX_E_UNAUTHENTICATED, "it has ended");
    cr_assert_eq(verified("expired"), 1);
    free(t);
}

Test(jwt_keys, what_is_no_token_is_asked_below)
{
    struct ox_identity who;
    char key[OX_DEV_KEY_MAX];
    struct ox_tenant_id acme = {"acme"};
    ox_keystore_dev_key(OX_STR(SECRET), &acme, key);
    cr_assert_eq(ask(key, &who), OX_OK);
    cr_assert_eq(who.role, OX_ROLE_EDITOR);
    cr_assert_eq(who.way, OX_WAY_KEY);
}

Test(jwt_keys, without_an_issuer_no_token_is_one)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 100);
    cr_assert_eq(ask(t, &who), OX_OK);
    cr_assert_eq(take("", "", ""), OX_OK);
    cr_assert_eq(ask(t, &who), OX_E_UNAUTHENTICATED);
    cr_assert_not_null(strstr(diag.text, "API key"), "the store below says so: %s", diag.text);
    free(t);
}

Test(jwt_keys, its_tenant_has_to_be_there_and_active)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 100), *n = token_of(&first, "nobody", START + 100);
    cr_assert_eq(ask(n, &who), OX_E_FORBIDDEN);
    cr_assert_eq(ask(t, &who), OX_OK);
    set_tenant("acme", false);
    cr_assert_eq(ask(t, &who), OX_E_FORBIDDEN);
    set_tenant("acme", true);
    cr_assert_eq(ask(t, &who), OX_OK);
    free(t);
    free(n);
}

Test(jwt_keys, a_new_key_of_the_issuer_is_asked_for_once_in_a_while)
{
    struct ox_identity who;
    char *t = token_of(&second, "acme", START + 1000);
    cr_assert_eq(ask(t, &who), OX_E_UNAUTHENTICATED, "he was asked a moment ago");
    cr_assert_eq(asked, 1);
    now_ns += (uint64_t)OX_JWKS_AGAIN_S * 1000000000;
    answer_with(&first, &second);
    ox_jwt_keys_changed(keys, NULL);
    cr_assert_not(ox_jwt_keys_due(keys));
    cr_assert_eq(ask(t, &who), OX_E_UNAVAILABLE, "come again");
    cr_assert(ox_jwt_keys_due(keys));
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_OK);
    cr_assert_not(ox_jwt_keys_due(keys));
    cr_assert_eq(ask(t, &who), OX_OK, "%s", diag.text);
    cr_assert_eq(asked, 2);
    free(t);
}

Test(jwt_keys, what_a_key_signed_that_is_gone_is_good_no_more)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 10000);
    cr_assert_eq(ask(t, &who), OX_OK);
    now_ns += 600ull * 1000000000;
    cr_assert(ox_jwt_keys_due(keys), "every ten minutes");
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_OK);
    cr_assert_eq(identify(t, &who), OX_OK, "the same keys: nothing is forgotten");
    answer_with(&second, NULL);
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_OK);
    cr_assert_eq(ask(t, &who), OX_E_UNAUTHENTICATED);
    free(t);
}

Test(jwt_keys, an_issuer_that_is_away_is_asked_again_and_his_keys_go_on_for_a_day)
{
    struct ox_identity who;
    struct ox_str failed = OX_STR("failed"), taken = OX_STR("taken");
    char *t = token_of(&first, "acme", START + 1000000), *u = token_of(&first, "globex", START + 1000000);
    char *kept = answer;
    double failures = ox_metric_value(OX_M_jwks_fetched, &failed);
    cr_assert_eq(ox_metric_value(OX_M_jwks_fetched, &taken), 1);
    answer = NULL;
    now_ns += 601ull * 1000000000;
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_E_IO);
    cr_assert_eq(ox_metric_value(OX_M_jwks_fetched, &failed), failures + 1);
    cr_assert_not(ox_jwt_keys_due(keys));
    now_ns += 5ull * 1000000000;
    cr_assert(ox_jwt_keys_due(keys));
    cr_assert_eq(ask(t, &who), OX_OK);
    now_ns += (uint64_t)OX_JWKS_STALE_S * 1000000000;
    cr_assert_eq(ask(u, &who), OX_E_UNAVAILABLE, "nobody knows whether the key is good still");
    answer = kept;
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_OK);
    cr_assert_eq(ask(u, &who), OX_OK);
    free(t);
    free(u);
}

Test(jwt_keys, a_set_that_cannot_be_used_changes_nothing)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 1000);
    char *kept = answer;
    answer = (char *)"{\"keys\":[]}";
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_E_CONFIG);
    answer = (char *)"<html>";
    cr_assert_eq(ox_jwt_keys_refresh(keys, &diag), OX_E_CONFIG);
    answer = kept;
    cr_assert_eq(take("{", "", "issuer"), OX_E_CONFIG);
    cr_assert_eq(ask(t, &who), OX_OK);
    free(t);
}

Test(jwt_keys, a_file_needs_nobody_to_be_asked)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 1000), *s = token_of(&second, "acme", START + 1000);
    char *jwk = jwt_maker_jwk(&second), *file = NULL;
    cr_assert(asprintf(&file, "{\"keys\":[%s]}", jwk) > 0);
    cr_assert_eq(ask(t, &who), OX_OK);
    cr_assert_eq(take(file, "", "issuer"), OX_OK);
    cr_assert_eq(ask(t, &who), OX_E_UNAUTHENTICATED);
    cr_assert_eq(ask(s, &who), OX_OK);
    now_ns += 3600ull * 1000000000;
    cr_assert_not(ox_jwt_keys_due(keys));
    free(t);
    free(s);
    free(jwk);
    free(file);
}

Test(jwt_keys, reading_the_configuration_again_keeps_the_keys)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 1000);
    cr_assert_eq(take("", "https://issuer.example/jwks", "issuer"), OX_OK);
    cr_assert_eq(ask(t, &who), OX_OK, "%s", diag.text);
    cr_assert_eq(asked, 1);
    free(t);
}

Test(jwt_keys, who_shows_bad_tokens_makes_nobody_work_for_him)
{
    struct ox_identity who;
    char *t = token_of(&first, "acme", START + 1000), *bad = strdup(t), *sig = strrchr(bad, '.') + 1;
    cr_assert_eq(ask(bad, &who), OX_OK);
    *sig = *sig == 'A' ? 'B' : 'A';
    cr_assert_eq(ask(bad, &who), OX_E_UNAUTHENTICATED);
    cr_assert_eq(verified("forged"), 1);
    cr_assert_eq(identify(bad, &who), OX_E_UNAUTHENTICATED, "the same one is remembered");
    for (int i = 0; i < 5; i++) {
        sig[1] = (char)('a' + i);
        (void)ask(bad, &who);
    }
    sig[1] = 'z';
    double limited = verified("limited");
    cr_assert_eq(identify(bad, &who), OX_E_OVERLOAD);
    cr_assert_eq(verified("limited"), limited + 1);
    cr_assert_eq(identify(t, &who), OX_OK, "who is known goes on");
    char *big = malloc(OX_JWT_MAX + 10);
    memset(big, 'A', OX_JWT_MAX + 9);
    memcpy(big, "eyJ.A.A", 7);
    big[OX_JWT_MAX + 9] = '\0';
    cr_assert_eq(identify(big, &who), OX_E_UNAUTHENTICATED, "not even looked at");
    free(big);
    free(bad);
    free(t);
}

Test(jwt_keys, the_table_is_bounded)
{
    struct ox_identity who;
    char *all[200];
    for (size_t i = 0; i < OX_COUNT(all); i++) {
        all[i] = token_of(&first, "acme", START + 1000 + (int64_t)i);
        cr_assert_eq(ask(all[i], &who), OX_OK);
    }
    size_t known = 0;
    for (size_t i = 0; i < OX_COUNT(all); i++) {
        known += identify(all[i], &who) == OX_OK;
        free(all[i]);
    }
    cr_assert(known <= 64 && known >= 32, "%zu", known);
}
