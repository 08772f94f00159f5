/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/user_suite.c - see user_suite.h.
 */
#include "tests/harness/user_suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW 1700000000

static struct ox_diag diag;

static void
make_tenant(struct ox_control_store *control, const char *name)
{
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE, .created_s = 1, .changed_s = 1};
    snprintf(t.id.name, sizeof(t.id.name), "%s", name);
    snprintf(t.name, sizeof(t.name), "%s", name);
    cr_assert_eq(control->tenant_create(control, NULL, &t, &diag), OX_OK, "%s", diag.text);
}

static void
set_tenant(struct ox_control_store *control, const char *name, enum ox_tenant_state state)
{
    struct ox_control_tenant t;
    struct ox_tenant_id id;
    snprintf(id.name, sizeof(id.name), "%s", name);
    cr_assert_eq(control->tenant_set(control, NULL, &id, state, NOW, &t, &diag), OX_OK, "%s", diag.text);
}

static struct ox_user
user_of(const char *tenant, const char *name, enum ox_role role)
{
    struct ox_user u = {.role = role, .active = true, .created_s = NOW};
    snprintf(u.tenant.name, sizeof(u.tenant.name), "%s", tenant);
    snprintf(u.name, sizeof(u.name), "%s", name);
    snprintf(u.password, sizeof(u.password), "hash of %s", name);
    return u;
}

static ox_err
create(struct ox_user_store *users, const char *tenant, const char *name, enum ox_role role)
{
    struct ox_user u = user_of(tenant, name, role);
    return users->create(users, NULL, &u, &diag);
}

/* "acme/anna globex/anna" */
static const char *
listed(struct ox_user_store *users, const char *tenant, const char *after_tenant, const char *after_name,
       size_t room)
{
    static char text[512];
    struct ox_tenant_id id = {0};
    struct ox_user page[16];
    size_t n = room, at = 0;
    snprintf(id.name, sizeof(id.name), "%s", tenant != NULL ? tenant : "");
    cr_assert_eq(users->list(users, tenant != NULL ? &id : NULL, after_tenant, after_name, page, &n, &diag),
                 OX_OK, "%s", diag.text);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s/%s", i > 0 ? " " : "", page[i].tenant.name,
                               page[i].name);
    return text;
}

/* Whole-tenant changes behind the cursor. */
static size_t
changes(struct ox_control_store *control, uint64_t *cursor)
{
    struct ox_control_change c[16];
    size_t n = 16, whole = 0;
    bool lost;
    cr_assert_eq(control->changes(control, cursor, c, &n, &lost, &diag), OX_OK, "%s", diag.text);
    for (size_t i = 0; i < n; i++)
        whole += c[i].whole_tenant && strcmp(c[i].tenant.name, "acme") == 0;
    return whole;
}

static void
changing(struct ox_control_store *control, struct ox_user_store *users)
{
    const struct ox_tenant_id acme = {"acme"}, globex = {"globex"};
    uint64_t cursor = OX_CONTROL_FROM_NOW;
    const enum ox_role admin = OX_ROLE_ADMIN;
    const bool off = false;
    struct ox_user u;
    struct ox_user_change c = {.role = &admin, .now_s = NOW + 1};
    (void)changes(control, &cursor);
    cr_assert_eq(users->change(users, NULL, &acme, "anna", &c, &u, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(u.role, OX_ROLE_ADMIN);
    cr_assert(u.active && u.changed_s == NOW + 1 && u.password_s == NOW);
    cr_assert_eq(changes(control, &cursor), 1, "nodes hear of it");
    c = (struct ox_user_change){.active = &off, .password = "another", .now_s = NOW + 2};
    cr_assert_eq(users->change(users, NULL, &acme, "anna", &c, &u, &diag), OX_OK, "%s", diag.text);
    cr_assert(!u.active && u.role == OX_ROLE_ADMIN && u.password_s == NOW + 2);
    cr_assert_str_eq(u.password, "another");
    cr_assert_eq(users->change(users, NULL, &acme, "nobody", &c, &u, &diag), OX_E_NOT_FOUND);
    cr_assert_eq(users->get(users, &globex, "anna", &u, &diag), OX_OK);
    cr_assert(u.active && u.role == OX_ROLE_EDITOR, "another tenant's of the same name is another");
}

/* For whom somebody else vouches. */
static void
keeping(struct ox_user_store *users)
{
    const struct ox_tenant_id acme = {"acme"};
    const bool off = false;
    struct ox_user u = user_of("acme", "dora", OX_ROLE_VIEWER), got;
    snprintf(u.password, sizeof(u.password), "oidc:1");
    cr_assert_eq(users->keep(users, &u, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(users->get(users, &acme, "dora", &got, &diag), OX_OK);
    cr_assert(got.active && got.role == OX_ROLE_VIEWER && strcmp(got.password, "oidc:1") == 0);
    u.role = OX_ROLE_ADMIN;
    cr_assert_eq(users->keep(users, &u, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(users->get(users, &acme, "dora", &got, &diag), OX_OK);
    cr_assert_eq(got.role, OX_ROLE_ADMIN, "as is said now");
    snprintf(u.password, sizeof(u.password), "oidc:2");
    cr_assert_eq(users->keep(users, &u, &diag), OX_E_FORBIDDEN, "another person");
    snprintf(u.name, sizeof(u.name), "bob@acme.example");
    cr_assert_eq(users->keep(users, &u, &diag), OX_E_FORBIDDEN, "who has a password");
    snprintf(u.name, sizeof(u.name), "dora");
    snprintf(u.password, sizeof(u.password), "oidc:1");
    struct ox_user_change c = {.active = &off, .now_s = NOW};
    cr_assert_eq(users->change(users, NULL, &acme, "dora", &c, &got, &diag), OX_OK);
    cr_assert_eq(users->keep(users, &u, &diag), OX_E_FORBIDDEN, "disabled");
    snprintf(u.tenant.name, sizeof(u.tenant.name), "nobody");
    cr_assert_eq(users->keep(users, &u, &diag), OX_E_NOT_FOUND);
}

void
user_story(struct ox_control_store *control, struct ox_user_store *users)
{
    const struct ox_tenant_id acme = {"acme"};
    struct ox_user u;
    cr_assert_eq(create(users, "acme", "anna", OX_ROLE_VIEWER), OX_E_NOT_FOUND, "there is no such tenant");
    make_tenant(control, "acme");
    make_tenant(control, "globex");
    cr_assert_eq(create(users, "acme", "anna", OX_ROLE_VIEWER), OX_OK, "%s", diag.text);
    cr_assert_eq(create(users, "acme", "anna", OX_ROLE_ADMIN), OX_E_EXISTS);
    cr_assert_eq(create(users, "globex", "anna", OX_ROLE_EDITOR), OX_OK, "%s", diag.text);
    cr_assert_eq(create(users, "acme", "bob@acme.example", OX_ROLE_ADMIN), OX_OK, "%s", diag.text);
    cr_assert_eq(create(users, "acme", "'; DROP TABLE users; --", OX_ROLE_ADMIN), OX_OK, "%s", diag.text);
    cr_assert_eq(users->get(users, &acme, "anna", &u, &diag), OX_OK, "%s", diag.text);
    cr_assert_str_eq(u.password, "hash of anna");
    cr_assert(u.active && u.role == OX_ROLE_VIEWER && u.created_s == NOW && u.password_s == NOW &&
              u.login_s == 0);
    cr_assert_eq(users->get(users, &acme, "nobody", &u, &diag), OX_E_NOT_FOUND);
    cr_assert_str_eq(listed(users, NULL, "", "", 16),
                     "acme/'; DROP TABLE users; -- acme/anna acme/bob@acme.example globex/anna");
    cr_assert_str_eq(listed(users, "globex", "", "", 16), "globex/anna");
    cr_assert_str_eq(listed(users, "nobody", "", "", 16), "");
    cr_assert_str_eq(listed(users, NULL, "acme", "anna", 1), "acme/bob@acme.example");
    cr_assert_str_eq(listed(users, NULL, "acme", "zoe", 16), "globex/anna");
    set_tenant(control, "acme", OX_TENANT_DISABLED);
    cr_assert_eq(create(users, "acme", "carol", OX_ROLE_VIEWER), OX_E_STATE);
    set_tenant(control, "acme", OX_TENANT_ACTIVE);
    changing(control, users);
    keeping(users);
}

/* ---- sessions ---- */

static struct ox_session
session_of(uint8_t which, const char *user, int64_t created_s)
{
    struct ox_session s = {.tenant = {"acme"}, .created_s = created_s, .expires_s = created_s + 1000};
    memset(s.digest, which, sizeof(s.digest));
    snprintf(s.user, sizeof(s.user), "%s", user);
    return s;
}

static ox_err
login(struct ox_user_store *users, uint8_t which, const char *user, int64_t now_s)
{
    char password[96];
    struct ox_session s = session_of(which, user, now_s);
    snprintf(password, sizeof(password), "hash of %s", user);
    return users->login(users, &s, password, "192.0.2.7", now_s - 300, &diag);
}

static ox_err
look(struct ox_user_store *users, uint8_t which, int64_t now_s)
{
    struct ox_session s;
    struct ox_user u;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    memset(digest, which, sizeof(digest));
    ox_err err = users->session(users, digest, now_s, now_s - 300, &s, &u, &diag);
    if (err == OX_OK)
        cr_assert(strcmp(s.user, u.name) == 0 && strcmp(u.tenant.name, "acme") == 0 && u.active);
    return err;
}

static void
ending(struct ox_control_store *control, struct ox_user_store *users)
{
    const struct ox_tenant_id acme = {"acme"}, globex = {"globex"};
    const bool on = true, off = false;
    uint64_t cursor = OX_CONTROL_FROM_NOW;
    struct ox_user u;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    (void)changes(control, &cursor);
    memset(digest, 2, sizeof(digest));
    cr_assert_eq(users->logout(users, &globex, digest, &diag), OX_OK);
    cr_assert_eq(look(users, 2, NOW + 500), OX_OK, "it is not another tenant's to end");
    cr_assert_eq(users->logout(users, &acme, digest, &diag), OX_OK);
    cr_assert_eq(look(users, 2, NOW + 500), OX_E_NOT_FOUND);
    cr_assert_eq(users->logout(users, &acme, digest, &diag), OX_OK, "again");
    cr_assert(changes(control, &cursor) >= 1, "nodes hear of it");

    cr_assert_eq(login(users, 4, "anna", NOW + 500), OX_OK);
    set_tenant(control, "acme", OX_TENANT_DISABLED);
    cr_assert_eq(look(users, 4, NOW + 500), OX_E_NOT_FOUND);
    cr_assert_eq(login(users, 5, "anna", NOW + 500), OX_E_UNAUTHENTICATED);
    set_tenant(control, "acme", OX_TENANT_ACTIVE);
    cr_assert_eq(look(users, 4, NOW + 500), OX_OK);
    struct ox_user_change c = {.active = &off, .now_s = NOW + 500};
    cr_assert_eq(users->change(users, NULL, &acme, "anna", &c, &u, &diag), OX_OK);
    cr_assert_eq(look(users, 4, NOW + 500), OX_E_NOT_FOUND);
    cr_assert_eq(login(users, 5, "anna", NOW + 500), OX_E_UNAUTHENTICATED);
    c.active = &on;
    cr_assert_eq(users->change(users, NULL, &acme, "anna", &c, &u, &diag), OX_OK);
    cr_assert_eq(look(users, 4, NOW + 500), OX_E_NOT_FOUND, "it does not come back");
    c = (struct ox_user_change){.password = "another", .now_s = NOW + 500};
    cr_assert_eq(users->change(users, NULL, &acme, "anna", &c, &u, &diag), OX_OK);
    cr_assert_eq(login(users, 5, "anna", NOW + 500), OX_E_UNAUTHENTICATED,
                 "the password that was verified is another's by now");
}

void
session_story(struct ox_control_store *control, struct ox_user_store *users)
{
    const struct ox_tenant_id acme = {"acme"};
    struct ox_user u;
    make_tenant(control, "acme");
    make_tenant(control, "globex");
    cr_assert_eq(create(users, "acme", "anna", OX_ROLE_VIEWER), OX_OK);
    cr_assert_eq(login(users, 1, "nobody", NOW), OX_E_UNAUTHENTICATED);
    cr_assert_eq(look(users, 1, NOW), OX_E_NOT_FOUND);
    cr_assert_eq(login(users, 1, "anna", NOW), OX_OK, "%s", diag.text);
    cr_assert_eq(look(users, 1, NOW), OX_OK, "%s", diag.text);
    cr_assert_eq(users->get(users, &acme, "anna", &u, &diag), OX_OK);
    cr_assert_eq(u.login_s, NOW);
    cr_assert_str_eq(u.login_peer, "192.0.2.7");
    cr_assert_eq(look(users, 1, NOW + 301), OX_E_NOT_FOUND, "not seen for so long");
    cr_assert_eq(look(users, 1, NOW + 299), OX_OK);
    cr_assert_eq(look(users, 1, NOW + 301), OX_OK, "it was seen a moment ago");
    cr_assert_eq(look(users, 1, NOW + 590), OX_OK);
    cr_assert_eq(look(users, 1, NOW + 880), OX_OK);
    cr_assert_eq(look(users, 1, NOW + 1000), OX_E_NOT_FOUND, "its time is over, however often it was seen");
    cr_assert_eq(login(users, 2, "anna", NOW + 400), OX_OK);
    ending(control, users);
    cr_assert_eq(create(users, "acme", "bob", OX_ROLE_VIEWER), OX_OK);
    for (int i = 0; i <= OX_SESSIONS_MAX; i++)
        cr_assert_eq(login(users, (uint8_t)(100 + i), "bob", NOW + 500 + i), OX_OK, "%s", diag.text);
    cr_assert_eq(look(users, 100, NOW + 530), OX_E_NOT_FOUND, "the oldest has made room");
    cr_assert_eq(look(users, 101, NOW + 530), OX_OK);
}

/* ---- orders ---- */

static ox_err
order(struct ox_control_store *control, const struct ox_control_asker *asker)
{
    const struct ox_tenant_id acme = {"acme"};
    struct ox_control_tenant t;
    return control->tenant_set(control, asker, &acme, OX_TENANT_ACTIVE, NOW, &t, &diag);
}

void
user_asker_story(struct ox_control_store *control, struct ox_user_store *users)
{
    const struct ox_tenant_id boss = {"boss"};
    struct ox_control_asker by_user = {.tenant = boss, .user = "anna", .role = OX_ROLE_ADMIN, .now_s = NOW};
    struct ox_control_asker by_token = {.tenant = boss, .now_s = NOW};
    struct ox_user u, carol = user_of("boss", "carol", OX_ROLE_VIEWER);
    const bool off = false;
    const enum ox_role viewer = OX_ROLE_VIEWER, admin = OX_ROLE_ADMIN;
    struct ox_user_change c = {.role = &viewer, .now_s = NOW};
    make_tenant(control, "acme");
    make_tenant(control, "boss");
    cr_assert_eq(create(users, "boss", "anna", OX_ROLE_ADMIN), OX_OK);
    cr_assert_eq(order(control, &by_user), OX_OK, "%s", diag.text);
    cr_assert_eq(users->change(users, NULL, &boss, "anna", &c, &u, &diag), OX_OK);
    cr_assert_eq(order(control, &by_user), OX_E_UNAUTHENTICATED, "admin no more");
    cr_assert_eq(users->create(users, &by_user, &carol, &diag), OX_E_UNAUTHENTICATED);
    cr_assert_eq(users->change(users, &by_user, &boss, "anna", &c, &u, &diag), OX_E_UNAUTHENTICATED);
    c.role = &admin;
    cr_assert_eq(users->change(users, NULL, &boss, "anna", &c, &u, &diag), OX_OK);
    cr_assert_eq(users->create(users, &by_user, &carol, &diag), OX_OK, "%s", diag.text);
    c = (struct ox_user_change){.active = &off, .now_s = NOW};
    cr_assert_eq(users->change(users, &by_user, &boss, "anna", &c, &u, &diag), OX_OK, "%s",
                 "a user may disable himself");
    cr_assert_eq(order(control, &by_user), OX_E_UNAUTHENTICATED);
    cr_assert_eq(order(control, &by_token), OX_OK, "%s", diag.text);
    set_tenant(control, "boss", OX_TENANT_DISABLED);
    cr_assert_eq(order(control, &by_token), OX_E_UNAUTHENTICATED);
}
