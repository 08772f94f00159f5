/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/control_suite.c - see control_suite.h.
 *
 * Goal:    tenants and keys are kept as given, found by whom they belong to and by nobody else, and every change is
 *          told once, in order.
 * Method:  short stories over the store's own interface, with the times made up.
 */
#include "control_suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define NOW 1700000000

static struct ox_diag diag;

static struct ox_tenant_id
tenant(const char *name)
{
    struct ox_tenant_id id = {""};
    snprintf(id.name, sizeof(id.name), "%s", name);
    return id;
}

static void
ok(ox_err err, const char *what)
{
    cr_assert_eq(err, OX_OK, "%s: %s: %s", what, ox_err_info(err)->symbol, diag.text);
}

void
control_add_tenant(struct ox_control_store *st, const char *id)
{
    struct ox_control_tenant t = {
        .id = tenant(id), .state = OX_TENANT_ACTIVE, .created_s = NOW, .changed_s = NOW};
    snprintf(t.name, sizeof(t.name), "The tenant %.40s", id);
    ok(st->tenant_create(st, NULL, &t, &diag), "tenant_create");
}

struct ox_control_key
control_key_of(const char *owner, const char *id)
{
    struct ox_control_key key = {.tenant = tenant(owner),
                                 .fingerprint = "$argon2id$made-up",
                                 .scopes = OX_SCOPE_INGEST | OX_SCOPE_QUERY,
                                 .role = OX_ROLE_EDITOR,
                                 .created_s = NOW};
    snprintf(key.id, sizeof(key.id), "%s", id);
    snprintf(key.name, sizeof(key.name), "key %s", id);
    memset(key.digest, 0xd1, sizeof(key.digest));
    memcpy(key.digest, id, strlen(id));
    return key;
}

static void
add_key(struct ox_control_store *st, const char *owner, const char *id)
{
    struct ox_control_key key = control_key_of(owner, id);
    ok(st->key_create(st, NULL, &key, &diag), "key_create");
}

void
control_story_tenants(struct ox_control_store *st)
{
    struct ox_control_tenant t;
    struct ox_tenant_id acme = tenant("acme"), nobody = tenant("nobody");
    control_add_tenant(st, "acme");
    ok(st->tenant_get(st, &acme, &t, &diag), "tenant_get");
    cr_assert_str_eq(t.id.name, "acme");
    cr_assert_str_eq(t.name, "The tenant acme");
    cr_assert_eq(t.state, OX_TENANT_ACTIVE);
    cr_assert_eq(t.created_s, NOW);
    cr_assert_eq(st->tenant_create(st, NULL, &t, &diag), OX_E_EXISTS);
    cr_assert_str_eq(diag.text, "there is a tenant acme already");
    cr_assert_eq(st->tenant_get(st, &nobody, &t, &diag), OX_E_NOT_FOUND);
    cr_assert_str_eq(diag.text, "there is no tenant nobody");

    ok(st->tenant_set(st, NULL, &acme, OX_TENANT_DISABLED, NOW + 5, &t, &diag), "tenant_set");
    cr_assert_eq(t.state, OX_TENANT_DISABLED);
    cr_assert_eq(t.changed_s, NOW + 5);
    cr_assert_eq(t.created_s, NOW, "only what was to change did");
    struct ox_control_key key = control_key_of("acme", "k_late");
    cr_assert_eq(st->key_create(st, NULL, &key, &diag), OX_E_STATE, "a disabled tenant gets no keys");
    ok(st->tenant_set(st, NULL, &acme, OX_TENANT_ACTIVE, NOW + 6, &t, &diag), "tenant_set");
    ok(st->key_create(st, NULL, &key, &diag), "key_create");
    cr_assert_eq(st->tenant_set(st, NULL, &nobody, OX_TENANT_ACTIVE, NOW, &t, &diag), OX_E_NOT_FOUND);
}

void
control_story_tenant_pages(struct ox_control_store *st)
{
    struct ox_control_tenant page[2];
    const char *after = "";
    char seen[64] = "";
    control_add_tenant(st, "c");
    control_add_tenant(st, "a");
    control_add_tenant(st, "e");
    control_add_tenant(st, "b");
    control_add_tenant(st, "d");
    for (size_t n = 2; n == 2;) {
        ok(st->tenant_list(st, after, page, &n, &diag), "tenant_list");
        for (size_t i = 0; i < n; i++)
            strcat(seen, page[i].id.name);
        after = n > 0 ? page[n - 1].id.name : after;
        static char kept[64];
        snprintf(kept, sizeof(kept), "%s", after);
        after = kept;
    }
    cr_assert_str_eq(seen, "abcde", "each once and in order");
}

void
control_story_keys(struct ox_control_store *st)
{
    struct ox_control_key key = control_key_of("acme", "k_one"), got, page[4];
    struct ox_tenant_id acme = tenant("acme");
    size_t n = 4;
    cr_assert_eq(st->key_create(st, NULL, &key, &diag), OX_E_NOT_FOUND, "its tenant does not exist");
    cr_assert_str_eq(diag.text, "there is no tenant acme");
    control_add_tenant(st, "acme");
    key.expires_s = NOW + 100;
    ok(st->key_create(st, NULL, &key, &diag), "key_create");
    ok(st->key_get(st, &acme, "k_one", &got, &diag), "key_get");
    cr_assert_str_eq(got.id, "k_one");
    cr_assert_str_eq(got.tenant.name, "acme");
    cr_assert_str_eq(got.name, "key k_one");
    cr_assert_arr_eq(got.digest, key.digest, sizeof(key.digest));
    cr_assert_str_eq(got.fingerprint, "$argon2id$made-up");
    cr_assert_eq(got.scopes, key.scopes);
    cr_assert_eq(got.role, OX_ROLE_EDITOR);
    cr_assert_eq(got.created_s, NOW);
    cr_assert_eq(got.expires_s, NOW + 100);
    cr_assert_eq(got.revoked_s, 0);
    cr_assert_eq(got.last_used_s, 0);
    cr_assert_str_eq(got.rotated_from, "");
    cr_assert_eq(st->key_create(st, NULL, &key, &diag), OX_E_EXISTS);
    struct ox_control_key same_digest = control_key_of("acme", "k_two");
    memcpy(same_digest.digest, key.digest, sizeof(key.digest));
    cr_assert_eq(st->key_create(st, NULL, &same_digest, &diag), OX_E_EXISTS, "a digest stands for one key");
    add_key(st, "acme", "k_two");
    ok(st->key_list(st, &acme, "", page, &n, &diag), "key_list");
    cr_assert_eq(n, 2);
    cr_assert_str_eq(page[1].id, "k_two");
    n = 1;
    ok(st->key_list(st, &acme, "k_one", page, &n, &diag), "key_list");
    cr_assert_eq(n, 1);
    cr_assert_str_eq(page[0].id, "k_two");
}

void
control_story_keys_of_others(struct ox_control_store *st)
{
    struct ox_control_key got, page[4];
    struct ox_tenant_id acme = tenant("acme"), other = tenant("other");
    size_t n = 4;
    control_add_tenant(st, "acme");
    control_add_tenant(st, "other");
    add_key(st, "acme", "k_acme");
    add_key(st, "other", "k_other");
    cr_assert_eq(st->key_get(st, &acme, "k_other", &got, &diag), OX_E_NOT_FOUND);
    cr_assert_str_eq(diag.text, "there is no key k_other", "the same as for one that never was");
    cr_assert_eq(st->key_revoke(st, NULL, &acme, "k_other", NOW, &got, &diag), OX_E_NOT_FOUND);
    struct ox_control_key fresh = control_key_of("acme", "k_fresh");
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "k_other");
    cr_assert_eq(st->key_rotate(st, NULL, &fresh, NOW, NOW + 1, &diag), OX_E_NOT_FOUND);
    cr_assert_eq(st->key_get(st, &acme, "k_fresh", &got, &diag), OX_E_NOT_FOUND, "nothing is left of it");
    ok(st->key_get(st, &other, "k_other", &got, &diag), "key_get");
    cr_assert_eq(got.revoked_s, 0);
    cr_assert_eq(got.expires_s, 0);
    ok(st->key_list(st, &acme, "", page, &n, &diag), "key_list");
    cr_assert_eq(n, 1);
    n = 4;
    ok(st->key_list(st, NULL, "", page, &n, &diag), "key_list of all");
    cr_assert_eq(n, 2);
    ok(st->key_get(st, NULL, "k_other", &got, &diag), "key_get of all");
    cr_assert_str_eq(got.tenant.name, "other");
}

void
control_story_revocation(struct ox_control_store *st)
{
    struct ox_control_key got;
    struct ox_tenant_id acme = tenant("acme");
    control_add_tenant(st, "acme");
    add_key(st, "acme", "k_one");
    ok(st->key_revoke(st, NULL, &acme, "k_one", NOW + 7, &got, &diag), "key_revoke");
    cr_assert_eq(got.revoked_s, NOW + 7);
    ok(st->key_revoke(st, NULL, &acme, "k_one", NOW + 9, &got, &diag), "key_revoke again");
    cr_assert_eq(got.revoked_s, NOW + 7, "the first time counts");
    cr_assert_eq(st->key_revoke(st, NULL, &acme, "k_none", NOW, &got, &diag), OX_E_NOT_FOUND);
}

void
control_story_rotation(struct ox_control_store *st)
{
    struct ox_control_key got, fresh = control_key_of("acme", "k_new");
    struct ox_tenant_id acme = tenant("acme");
    control_add_tenant(st, "acme");
    add_key(st, "acme", "k_old");
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "k_old");
    ok(st->key_rotate(st, NULL, &fresh, NOW, NOW + 3600, &diag), "key_rotate");
    ok(st->key_get(st, &acme, "k_old", &got, &diag), "key_get");
    cr_assert_eq(got.expires_s, NOW + 3600, "the old one ends after the overlap");
    ok(st->key_get(st, &acme, "k_new", &got, &diag), "key_get");
    cr_assert_str_eq(got.rotated_from, "k_old");
    cr_assert_eq(got.expires_s, 0);

    fresh = control_key_of("acme", "k_newer");
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "k_old");
    ok(st->key_rotate(st, NULL, &fresh, NOW, NOW + 7200, &diag), "key_rotate");
    ok(st->key_get(st, &acme, "k_old", &got, &diag), "key_get");
    cr_assert_eq(got.expires_s, NOW + 3600, "no rotation makes a key live longer");

    fresh = control_key_of("acme", "k_newest");
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "k_old");
    cr_assert_eq(st->key_rotate(st, NULL, &fresh, NOW + 3600, NOW + 9999, &diag), OX_E_STATE,
                 "it has expired");
    ok(st->key_revoke(st, NULL, &acme, "k_new", NOW, &got, &diag), "key_revoke");
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "k_new");
    cr_assert_eq(st->key_rotate(st, NULL, &fresh, NOW, NOW + 1, &diag), OX_E_STATE);
    cr_assert_str_eq(diag.text, "key k_new is revoked; create a new one");
}

/* Each of the writing calls on the order of `asker`; how many were refused for him. */
static int
orders_refused(struct ox_control_store *st, const struct ox_control_asker *asker)
{
    static int turn;
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE}, got_tenant;
    struct ox_control_key key, fresh, got;
    struct ox_tenant_id acme = tenant("acme");
    char id[OX_KEY_ID_MAX + 1];
    int n = 0;
    snprintf(t.id.name, sizeof(t.id.name), "fresh-%d", ++turn);
    n += st->tenant_create(st, asker, &t, &diag) == OX_E_UNAUTHENTICATED;
    n += st->tenant_set(st, asker, &acme, OX_TENANT_ACTIVE, NOW, &got_tenant, &diag) == OX_E_UNAUTHENTICATED;
    snprintf(id, sizeof(id), "k_by_%d", turn);
    key = control_key_of("acme", id);
    n += st->key_create(st, asker, &key, &diag) == OX_E_UNAUTHENTICATED;
    snprintf(id, sizeof(id), "k_turned_%d", turn);
    fresh = control_key_of("acme", id);
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "k_old");
    n += st->key_rotate(st, asker, &fresh, NOW, NOW + 60, &diag) == OX_E_UNAUTHENTICATED;
    n += st->key_revoke(st, asker, &acme, "k_none", NOW, &got, &diag) == OX_E_UNAUTHENTICATED;
    n += st->may_still(st, asker, &diag) == OX_E_UNAUTHENTICATED;
    return n;
}

void
control_story_askers(struct ox_control_store *st)
{
    struct ox_control_asker asker = {.tenant = tenant("boss"), .key_id = "k_boss", .now_s = NOW};
    struct ox_control_key got, boss = control_key_of("boss", "k_boss"), page[16];
    struct ox_control_tenant t;
    struct ox_tenant_id acme = tenant("acme"), boss_id = tenant("boss");
    size_t n = OX_COUNT(page);
    control_add_tenant(st, "acme");
    control_add_tenant(st, "boss");
    add_key(st, "acme", "k_old");
    boss.expires_s = NOW + 100;
    ok(st->key_create(st, NULL, &boss, &diag), "key_create");
    cr_assert_eq(orders_refused(st, &asker), 0, "a good key's orders are carried out: %s", diag.text);
    ok(st->key_list(st, &acme, "", page, &n, &diag), "key_list");
    cr_assert_eq(n, 3, "the old one, one made and one rotated to");

    asker.now_s = NOW + 100;
    cr_assert_eq(orders_refused(st, &asker), 6, "it has expired");
    cr_assert_not_null(strstr(diag.text, "nothing has changed"), "%s", diag.text);
    asker.now_s = NOW;
    snprintf(asker.tenant.name, sizeof(asker.tenant.name), "acme");
    cr_assert_eq(orders_refused(st, &asker), 6, "it is not that tenant's");
    asker.tenant = boss_id;
    ok(st->tenant_set(st, NULL, &boss_id, OX_TENANT_DISABLED, NOW, &t, &diag), "tenant_set");
    cr_assert_eq(orders_refused(st, &asker), 6, "its tenant is disabled");
    ok(st->tenant_set(st, NULL, &boss_id, OX_TENANT_ACTIVE, NOW, &t, &diag), "tenant_set");
    cr_assert_eq(orders_refused(st, &asker), 0, "%s", diag.text);
    ok(st->key_revoke(st, &asker, &boss_id, "k_boss", NOW, &got, &diag), "a key may revoke itself");
    cr_assert_eq(orders_refused(st, &asker), 6, "it is revoked");
    snprintf(asker.key_id, sizeof(asker.key_id), "k_neverwas");
    cr_assert_eq(orders_refused(st, &asker), 6, "it never was");
    n = OX_COUNT(page);
    ok(st->key_list(st, &acme, "", page, &n, &diag), "key_list");
    cr_assert_eq(n, 5, "nothing is left of what was refused");
}

void
control_story_key_limit(struct ox_control_store *st)
{
    struct ox_control_key key, got, page[8];
    struct ox_tenant_id acme = tenant("acme");
    size_t n = OX_COUNT(page);
    control_add_tenant(st, "acme");
    control_add_tenant(st, "other");
    st->keys_max = 2;
    add_key(st, "acme", "k_one");
    add_key(st, "acme", "k_two");
    add_key(st, "other", "k_other");
    key = control_key_of("acme", "k_three");
    cr_assert_eq(st->key_create(st, NULL, &key, &diag), OX_E_STATE);
    cr_assert_not_null(strstr(diag.text, "tenant acme has 2 keys"), "%s", diag.text);
    ok(st->key_revoke(st, NULL, &acme, "k_one", NOW, &got, &diag), "key_revoke");
    cr_assert_eq(st->key_create(st, NULL, &key, &diag), OX_E_STATE, "what was made today counts all day");
    key.created_s = NOW + 86400;
    ok(st->key_create(st, NULL, &key, &diag), "a day later");
    key = control_key_of("acme", "k_four");
    key.created_s = NOW + 86400;
    snprintf(key.rotated_from, sizeof(key.rotated_from), "k_two");
    cr_assert_eq(st->key_rotate(st, NULL, &key, NOW + 86400, NOW + 86460, &diag), OX_E_STATE);
    ok(st->key_get(st, &acme, "k_two", &got, &diag), "key_get");
    cr_assert_eq(got.expires_s, 0, "the old one goes on");
    ok(st->key_list(st, &acme, "", page, &n, &diag), "key_list");
    cr_assert_eq(n, 3);
}

void
control_story_digests(struct ox_control_store *st)
{
    struct ox_control_key key = control_key_of("acme", "k_one"), got;
    struct ox_control_tenant t;
    struct ox_tenant_id acme = tenant("acme");
    enum ox_tenant_state state;
    uint8_t near[OX_KEY_DIGEST_BYTES];
    control_add_tenant(st, "acme");
    control_add_tenant(st, "other");
    add_key(st, "acme", "k_one");
    add_key(st, "other", "k_two");
    ok(st->key_by_digest(st, key.digest, &got, &state, &diag), "key_by_digest");
    cr_assert_str_eq(got.id, "k_one");
    cr_assert_str_eq(got.tenant.name, "acme");
    cr_assert_eq(state, OX_TENANT_ACTIVE);
    memcpy(near, key.digest, sizeof(near));
    near[OX_KEY_DIGEST_BYTES - 1] ^= 1;
    cr_assert_eq(st->key_by_digest(st, near, &got, &state, &diag), OX_E_NOT_FOUND);
    ok(st->tenant_set(st, NULL, &acme, OX_TENANT_DISABLED, NOW, &t, &diag), "tenant_set");
    ok(st->key_revoke(st, NULL, &acme, "k_one", NOW + 1, &got, &diag), "key_revoke");
    ok(st->key_by_digest(st, key.digest, &got, &state, &diag), "key_by_digest");
    cr_assert_eq(state, OX_TENANT_DISABLED);
    cr_assert_eq(got.revoked_s, NOW + 1, "who asks decides what to make of it");
}

void
control_story_same_keys(struct ox_control_store *st)
{
    static const char *const ids[] = {"k_same", "k_ends", "k_revoked", "k_disabled", "k_gone"};
    struct ox_control_seen seen[OX_COUNT(ids)];
    struct ox_control_key key, got;
    struct ox_control_tenant t;
    struct ox_tenant_id acme = tenant("acme"), other = tenant("other");
    bool same[OX_COUNT(ids)];
    control_add_tenant(st, "acme");
    control_add_tenant(st, "other");
    for (size_t i = 0; i < OX_COUNT(ids); i++) {
        key = control_key_of(i == 3 ? "other" : "acme", ids[i]);
        key.expires_s = i == 1 ? NOW + 60 : 0;
        if (i != 4)
            ok(st->key_create(st, NULL, &key, &diag), "key_create");
        memcpy(seen[i].digest, key.digest, sizeof(key.digest));
        seen[i].expires_s = key.expires_s;
    }
    ok(st->keys_same(st, seen, 4, same, &diag), "keys_same");
    for (size_t i = 0; i < 4; i++)
        cr_assert(same[i], "%s", ids[i]);
    seen[1].expires_s = 0;
    ok(st->key_revoke(st, NULL, &acme, "k_revoked", NOW, &got, &diag), "key_revoke");
    ok(st->tenant_set(st, NULL, &other, OX_TENANT_DISABLED, NOW, &t, &diag), "tenant_set");
    ok(st->keys_same(st, seen, OX_COUNT(ids), same, &diag), "keys_same");
    for (size_t i = 0; i < OX_COUNT(ids); i++)
        cr_assert_eq(same[i], i == 0, "%s", ids[i]);
    ok(st->keys_same(st, seen, 0, same, &diag), "keys_same of none");
}

void
control_story_last_used(struct ox_control_store *st)
{
    struct ox_control_key got;
    struct ox_tenant_id acme = tenant("acme"), other = tenant("other");
    control_add_tenant(st, "acme");
    control_add_tenant(st, "other");
    add_key(st, "acme", "k_a");
    add_key(st, "acme", "k_b");
    add_key(st, "other", "k_c");
    struct ox_control_use uses[] = {{acme, "k_a", NOW + 60},
                                    {acme, "k_b", NOW + 61},
                                    {acme, "k_gone", NOW + 62},
                                    {acme, "k_c", NOW + 63}, /* not acme's */
                                    {other, "k_c", NOW + 30}};
    ok(st->keys_used(st, uses, OX_COUNT(uses), &diag), "keys_used");
    uses[0].used_s = NOW;
    ok(st->keys_used(st, uses, 1, &diag), "keys_used");
    ok(st->key_get(st, NULL, "k_a", &got, &diag), "key_get");
    cr_assert_eq(got.last_used_s, NOW + 60, "time goes one way");
    ok(st->key_get(st, NULL, "k_b", &got, &diag), "key_get");
    cr_assert_eq(got.last_used_s, NOW + 61);
    ok(st->key_get(st, NULL, "k_c", &got, &diag), "key_get");
    cr_assert_eq(got.last_used_s, NOW + 30);
    ok(st->keys_used(st, uses, 0, &diag), "keys_used of none");
}

void
control_story_change_log(struct ox_control_store *st)
{
    struct ox_control_change c[3];
    struct ox_control_key got, key = control_key_of("acme", "k_one");
    struct ox_tenant_id acme = tenant("acme");
    uint64_t cursor = OX_CONTROL_FROM_NOW;
    bool lost;
    size_t n = 3;
    control_add_tenant(st, "before");
    ok(st->changes(st, &cursor, c, &n, &lost, &diag), "changes from now");
    cr_assert_eq(n, 0);
    cr_assert_not(lost);
    control_add_tenant(st, "acme");
    add_key(st, "acme", "k_one");
    ok(st->key_revoke(st, NULL, &acme, "k_one", NOW, &got, &diag), "key_revoke");
    ok(st->key_revoke(st, NULL, &acme, "k_one", NOW + 1, &got, &diag),
       "key_revoke again, which tells of no change");
    cr_assert_eq(st->key_revoke(st, NULL, &acme, "k_none", NOW, &got, &diag), OX_E_NOT_FOUND,
                 "and tells of no change");
    n = 2;
    ok(st->changes(st, &cursor, c, &n, &lost, &diag), "changes");
    cr_assert_eq(n, 2);
    cr_assert(c[0].whole_tenant);
    cr_assert_str_eq(c[0].tenant.name, "acme");
    cr_assert_not(c[1].whole_tenant);
    cr_assert_arr_eq(c[1].digest, key.digest, sizeof(key.digest));
    n = 3;
    ok(st->changes(st, &cursor, c, &n, &lost, &diag), "the rest");
    cr_assert_eq(n, 1);
    ok(st->wait(st, 0, &diag), "wait");
    n = 3;
    ok(st->changes(st, &cursor, c, &n, &lost, &diag), "nothing more");
    cr_assert_eq(n, 0);
    uint64_t newest = cursor;
    cursor += 5; /* of a store that was put back to an earlier state */
    n = 3;
    ok(st->changes(st, &cursor, c, &n, &lost, &diag), "changes");
    cr_assert(lost, "who has seen more than there is has missed something");
    cr_assert_eq(cursor, newest);
}

void
control_story_strange_names(struct ox_control_store *st)
{
    static const char *const names[] = {"'; DROP TABLE tenants; --", "\"quoted\" \\ and %s",
                                        "\xc3\xa4\xf0\x9f\x90\x98", "app.operator=on", ""};
    struct ox_control_tenant t = {.id = tenant("acme"), .state = OX_TENANT_ACTIVE}, got;
    struct ox_control_key key, read;
    for (size_t i = 0; i < OX_COUNT(names); i++) {
        char id[8];
        snprintf(id, sizeof(id), "t%zu", i);
        t.id = tenant(id);
        snprintf(t.name, sizeof(t.name), "%s", names[i]);
        ok(st->tenant_create(st, NULL, &t, &diag), "tenant_create");
        ok(st->tenant_get(st, &t.id, &got, &diag), "tenant_get");
        cr_assert_str_eq(got.name, names[i]);
        snprintf(id, sizeof(id), "k_%zu", i);
        key = control_key_of(t.id.name, id);
        snprintf(key.name, sizeof(key.name), "%s", names[i]);
        ok(st->key_create(st, NULL, &key, &diag), "key_create");
        ok(st->key_get(st, &t.id, id, &read, &diag), "key_get");
        cr_assert_str_eq(read.name, names[i]);
    }
    cr_assert_eq(st->key_get(st, &t.id, "' OR '1'='1", &read, &diag), OX_E_NOT_FOUND);
}
