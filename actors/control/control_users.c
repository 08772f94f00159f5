/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_users.c - the orders about users.
 *
 * Owns:    nothing; a password that is made here for the time of one order, wiped at its end.
 * Threads: query threads; the thread for secrets where a password is hashed.
 * Bounds:  OX_CONTROL_PAGE_MAX rows, OX_USERS_MAX.
 * Fails:   see include/ox/control_api.h.
 * Flow:    control_api.c -> here -> audit log -> store of users.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/control_call.h"
#include "ox/password.h"
#include "ox/user_store.h"

/* The password's hash stays where it is. */
static json_t *
user_json(const struct ox_user *u)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s*}", "tenant", u->tenant.name, "name",
                     u->name, "role", ox_role_name(u->role), "state", u->active ? "active" : "disabled",
                     "created", ox__control_time_json(u->created_s), "changed",
                     ox__control_time_json(u->changed_s), "password_changed",
                     ox__control_time_json(u->password_s), "last_login", ox__control_time_json(u->login_s),
                     "last_login_from", u->login_peer[0] != '\0' ? u->login_peer : NULL);
}

/* ---- lists ---- */

/* "tenant/name", as `next` of the answer before: '/' is in neither. */
static ox_err
read_after(struct ox__control_call *c, struct ox_user *out)
{
    struct ox_str text = ox__control_param(c, "after");
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    memset(out, 0, sizeof(*out));
    if (text.n == 0)
        return OX_OK;
    size_t n = slash != NULL ? (size_t)(slash - text.p) : 0;
    struct ox_str name = {text.p + n + 1, slash != NULL ? text.n - n - 1 : 0};
    if (slash == NULL || ox_tenant_id_parse((struct ox_str){text.p, n}, &out->tenant, NULL) != OX_OK ||
        !ox_user_name_ok(name))
        return ox__control_invalid(c, "after", "is the `next` of the answer before");
    memcpy(out->name, name.p, name.n);
    return OX_OK;
}

static ox_err
respond_list(struct ox__control_call *c, const struct ox_user *list, size_t n, bool more)
{
    char next[OX_TENANT_MAX + OX_USER_NAME_MAX + 2];
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(rows, user_json(&list[i]));
    if (more)
        snprintf(next, sizeof(next), "%s/%s", list[n - 1].tenant.name, list[n - 1].name);
    return ox__control_respond(c, 200, json_pack("{s:o, s:s*}", "users", rows, "next", more ? next : NULL));
}

ox_err
ox__control_users_list(struct ox__control_call *c)
{
    struct ox_tenant_id tenant;
    struct ox_user after;
    struct ox_str named = ox__control_param(c, "tenant");
    size_t n = 0;
    ox_err err = ox__control_read_limit(c, &n);
    if (err == OX_OK)
        err = read_after(c, &after);
    if (err == OX_OK)
        err = ox__control_read_tenant(c, named, &tenant);
    size_t limit = n;
    struct ox_user *list = err == OX_OK ? calloc(n, sizeof(*list)) : NULL;
    if (list == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    bool all = ox__control_is_operator(c) && named.n == 0;
    err = c->api->users->list(c->api->users, all ? NULL : &tenant, after.tenant.name, after.name, list, &n,
                              &c->diag);
    if (err == OX_OK)
        err = respond_list(c, list, n, n == limit && n > 0);
    free(list);
    return err;
}

/* ---- orders ---- */

/* Whose user: an admin's own tenant; an operator says which, since his own is the platform's. */
static ox_err
read_whom(struct ox__control_call *c, struct ox_user *u)
{
    struct ox_str tenant, name;
    ox_err err = ox__control_read_text(c, "tenant", &tenant);
    if (err == OX_OK && tenant.n == 0 && ox__control_is_operator(c))
        err = ox__control_invalid(c, "tenant", "say whose user it is");
    if (err == OX_OK)
        err = ox__control_read_tenant(c, tenant, &u->tenant);
    if (err == OX_OK)
        err = ox__control_read_text(c, "name", &name);
    if (err == OX_OK && !ox_user_name_ok(name))
        err = ox__control_invalid(c, "name", "has 1 to 64 of a-z, 0-9 and . _ @ + -");
    if (err == OX_OK) {
        memcpy(u->name, name.p, name.n);
        u->name[name.n] = '\0';
    }
    return err;
}

/* role "" = the usual one. */
static ox_err
read_role(struct ox__control_call *c, const struct ox_tenant_id *tenant, enum ox_role *out)
{
    struct ox_str role;
    bool platform = strcmp(tenant->name, OX_CONTROL_PLATFORM) == 0;
    ox_err err = ox__control_read_text(c, "role", &role);
    if (err == OX_OK && role.n == 0)
        role = platform ? OX_STR("operator") : OX_STR("viewer");
    if (err == OX_OK)
        err = ox_role_parse(role, out, &c->diag);
    if (err == OX_OK)
        err = ox_role_may_grant(c->req->role, *out, &c->diag);
    if (err == OX_OK && platform != (*out == OX_ROLE_OPERATOR))
        err = ox__control_invalid(
            c, "role", "operators are the users of tenant " OX_CONTROL_PLATFORM ", and it has no others");
    return err;
}

/* The password that the order names, or one that is made here; made: "" unless it was. */
static ox_err
read_password(struct ox__control_call *c, char made[OX_PASSWORD_MADE + 1], char hash[OX_KEY_FINGERPRINT_MAX])
{
    struct ox_str text;
    made[0] = '\0';
    ox_err err = ox__control_read_text(c, "password", &text);
    if (err == OX_OK && text.n == 0) {
        err = ox_password_make(made);
        text = ox_str_of(made);
    }
    if (err == OX_OK)
        err = ox_password_check(text, &c->diag);
    return err == OX_OK ? ox_password_hash(text, hash) : err;
}

/* With the password that was made, this once. */
static ox_err
respond_user(struct ox__control_call *c, int status, const struct ox_user *u, const char *made)
{
    json_t *answer = user_json(u);
    if (made[0] != '\0')
        json_object_set_new(answer, "password", json_string(made));
    return ox__control_respond(c, status, answer);
}

ox_err
ox__control_users_create(struct ox__control_call *c)
{
    static const char *const names[] = {"tenant", "name", "role", "password", NULL};
    struct ox_user u = {.active = true, .created_s = c->now_s, .changed_s = c->now_s, .password_s = c->now_s};
    char made[OX_PASSWORD_MADE + 1] = "", detail[160];
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = read_whom(c, &u);
    if (err == OX_OK)
        err = read_role(c, &u.tenant, &u.role);
    if (err == OX_OK)
        err = read_password(c, made, u.password);
    snprintf(detail, sizeof(detail), "create user %s, role %s", u.name, ox_role_name(u.role));
    if (err == OX_OK)
        err = ox__control_audit_granted(c, u.tenant.name, detail);
    if (err == OX_OK) {
        err = c->api->users->create(c->api->users, ox__control_asker(c), &u, &c->diag);
        err = err == OX_OK ? respond_user(c, 201, &u, made) : ox__control_audit_failed(c, u.tenant.name, err);
    }
    OPENSSL_cleanse(made, sizeof(made));
    return err;
}

/* Written down, done, and in force here at once. */
static ox_err
change(struct ox__control_call *c, const struct ox_user *whom, const struct ox_user_change *ch,
       const char *detail, const char *made)
{
    struct ox_user u;
    ox_err err = ox__control_audit_granted(c, whom->tenant.name, detail);
    if (err != OX_OK)
        return err;
    err = c->api->users->change(c->api->users, ox__control_asker(c), &whom->tenant, whom->name, ch, &u,
                                &c->diag);
    if (err != OX_OK)
        return ox__control_audit_failed(c, whom->tenant.name, err);
    if (c->api->users_changed != NULL)
        c->api->users_changed(c->api->ctx, &whom->tenant);
    return respond_user(c, 200, &u, made);
}

static ox_err
read_state(struct ox__control_call *c, bool *active)
{
    struct ox_str text;
    ox_err err = ox__control_read_text(c, "state", &text);
    if (err != OX_OK)
        return err;
    *active = ox_str_eq(text, OX_STR("active"));
    return *active || ox_str_eq(text, OX_STR("disabled"))
               ? OX_OK
               : ox__control_invalid(c, "state", "is active or disabled");
}

static void
describe(enum ox_role role, bool active, char out[48])
{
    snprintf(out, 48, "%s, %s", ox_role_name(role), active ? "active" : "disabled");
}

/* {"name":"anna","role":"admin"} or {"name":"anna","state":"disabled"} */
ox_err
ox__control_users_change(struct ox__control_call *c)
{
    static const char *const names[] = {"tenant", "name", "role", "state", NULL};
    struct ox_user was = {.active = false};
    struct ox_user_change ch = {.now_s = c->now_s};
    enum ox_role role = OX_ROLE_NONE;
    bool active = false;
    char detail[160], before[48], after[48];
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = read_whom(c, &was);
    if (err == OX_OK && json_object_get(c->body, "role") != NULL) {
        err = read_role(c, &was.tenant, &role);
        ch.role = &role;
    }
    if (err == OX_OK && json_object_get(c->body, "state") != NULL) {
        err = read_state(c, &active);
        ch.active = &active;
    }
    if (err == OX_OK && ch.role == NULL && ch.active == NULL)
        err = ox__control_invalid(c, "body", "has a role or a state");
    if (err == OX_OK)
        err = c->api->users->get(c->api->users, &was.tenant, was.name, &was, &c->diag);
    if (err != OX_OK)
        return err;
    snprintf(detail, sizeof(detail), "change user %s%s%s", was.name, ch.role != NULL ? ", role" : "",
             ch.active == NULL ? ""
             : active          ? ", enable"
                               : ", disable");
    describe(was.role, was.active, before);
    describe(ch.role != NULL ? role : was.role, ch.active != NULL ? active : was.active, after);
    c->before = before;
    c->after = after;
    return change(c, &was, &ch, detail, "");
}

/* {"name":"anna"}: a new password, which is shown, or the one that is named. */
ox_err
ox__control_users_password(struct ox__control_call *c)
{
    static const char *const names[] = {"tenant", "name", "password", NULL};
    struct ox_user whom = {.active = false};
    char made[OX_PASSWORD_MADE + 1] = "", hash[OX_KEY_FINGERPRINT_MAX], detail[120];
    struct ox_user_change ch = {.password = hash, .now_s = c->now_s};
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = read_whom(c, &whom);
    if (err == OX_OK)
        err = c->api->users->get(c->api->users, &whom.tenant, whom.name, &whom, &c->diag);
    if (err == OX_OK)
        err = read_password(c, made, hash);
    snprintf(detail, sizeof(detail), "set the password of user %s", whom.name);
    if (err == OX_OK)
        err = change(c, &whom, &ch, detail, made);
    OPENSSL_cleanse(made, sizeof(made));
    return err;
}
