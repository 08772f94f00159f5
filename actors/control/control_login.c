/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_login.c - a user logs in and out, asks who he is, and changes his password.
 *
 * Owns:    nothing; a session's text for the time of one order, wiped at its end.
 * Threads: the thread for logins; who asks who he is: query threads. Argon2 runs here.
 * Bounds:  ox/login_limit.h, before anything is hashed.
 * Fails:   UNAUTHENTICATED with one sentence whatever is not right, after one hash whoever it is; OVERLOAD.
 * Flow:    control_api.c -> here -> login_limit.c, password.c, audit log -> store of users.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/control_call.h"
#include "actors/control/users_record.h"
#include "ox/login_limit.h"
#include "ox/metric.h"
#include "ox/password.h"

struct attempt {
    struct ox_tenant_id tenant; /* "" = it cannot be one */
    char user[OX_USER_NAME_MAX + 1];
    struct ox_str password;
    char who[OX_TENANT_MAX + OX_USER_NAME_MAX + 32]; /* for the audit log */
};

static void
count(const char *result)
{
    OX_METRIC_ADD_L(OX_M_logins, 1, ox_str_of(result));
}

/* Names are of small letters, whatever the keyboard of a telephone makes of them. */
static void
take_name(struct ox_str name, char out[OX_USER_NAME_MAX + 1])
{
    out[0] = '\0';
    if (name.n > OX_USER_NAME_MAX)
        return;
    for (size_t i = 0; i < name.n; i++)
        out[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i];
    out[name.n] = '\0';
    if (!ox_user_name_ok((struct ox_str){out, name.n}))
        out[0] = '\0';
}

static ox_err
read_attempt(struct ox__control_call *c, struct attempt *a)
{
    static const char *const names[] = {"tenant", "user", "password", NULL};
    struct ox_str tenant = {0}, user = {0};
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = ox__control_read_text(c, "tenant", &tenant);
    if (err == OX_OK)
        err = ox__control_read_text(c, "user", &user);
    if (err == OX_OK)
        err = ox__control_read_text(c, "password", &a->password);
    if (err == OX_OK && (tenant.n == 0 || user.n == 0 || a->password.n == 0))
        err = ox__control_invalid(c, "body", "has tenant, user and password");
    if (err != OX_OK)
        return err;
    if (ox_tenant_id_parse(tenant, &a->tenant, NULL) != OX_OK)
        a->tenant.name[0] = '\0';
    take_name(user, a->user);
    return OX_OK;
}

/* May he try once more? */
static ox_err
take_turn(struct ox__control_call *c, const char *tenant, const char *user)
{
    ox_err err = ox_login_limit_try(c->api->limits, c->req->peer, tenant, user, c->now_s, &c->diag);
    if (err == OX_E_OVERLOAD) {
        count("limited");
        c->said = true; /* the metric says it; who guesses fills no log */
        c->retry_s = c->diag.retry_ms / 1000;
    }
    return err;
}

/* The user whom the names name, and whether the password is his. What is not there takes as long as what is. */
static ox_err
verify(struct ox__control_call *c, const struct attempt *a, struct ox_user *u, bool *exists)
{
    struct ox_diag own;
    bool names = a->tenant.name[0] != '\0' && a->user[0] != '\0';
    ox_diag_clear(&own);
    ox_err err = names ? c->api->users->get(c->api->users, &a->tenant, a->user, u, &own) : OX_E_NOT_FOUND;
    *exists = err == OX_OK;
    if (err != OX_OK && err != OX_E_NOT_FOUND) {
        c->diag = own;
        return err;
    }
    bool has_password =
        *exists && strncmp(u->password, "$argon2id$", 10) == 0; /* else a provider vouches for him */
    bool may = has_password && u->active && a->password.n <= OX_PASSWORD_MAX;
    struct ox_str password = {a->password.p,
                              a->password.n < OX_PASSWORD_MAX ? a->password.n : OX_PASSWORD_MAX};
    err = ox_password_verify(password, may ? u->password : NULL);
    return err == OX_E_UNAUTHENTICATED ? ox__login_refused(&c->diag) : err;
}

/* Somebody may have typed his password where the name belongs: only a name that there is is written down. */
static void
describe(struct attempt *a, bool exists)
{
    if (exists)
        snprintf(a->who, sizeof(a->who), "user %s of tenant %s", a->user, a->tenant.name);
    else
        snprintf(a->who, sizeof(a->who), "somebody who is no user");
}

static ox_err
refuse(struct ox__control_call *c, const struct attempt *a, bool exists, ox_err err)
{
    count(err == OX_E_UNAUTHENTICATED ? "wrong" : "failed");
    if (err == OX_E_UNAUTHENTICATED)
        ox__control_audit_refused(c, exists ? a->tenant.name : "", "log in");
    return err;
}

static json_t *
session_json(const char *tenant, const char *user, enum ox_role role, const char *csrf)
{
    return json_pack("{s:b, s:s, s:s*, s:s, s:s*}", "authenticated", 1, "tenant", tenant, "user", user,
                     "role", ox_role_name(role), "csrf", csrf);
}

static ox_err
respond_session(struct ox__control_call *c, const struct ox_user *u, const struct ox_session *s,
                const char *text)
{
    char csrf[OX_CSRF_LEN + 1];
    ox_session_csrf(ox_str_of(text), csrf);
    c->res->session = strdup(text);
    if (c->res->session == NULL)
        return OX_E_NOMEM;
    json_t *answer = session_json(u->tenant.name, u->name, u->role, csrf);
    json_object_set_new(answer, "ends", ox__control_time_json(s->expires_s));
    json_object_set_new(answer, "last_login", ox__control_time_json(u->login_s));
    json_object_set_new(answer, "last_login_from",
                        u->login_peer[0] != '\0' ? json_string(u->login_peer) : json_null());
    return ox__control_respond(c, 200, answer);
}

static ox_err
begin_session(struct ox__control_call *c, const struct attempt *a, const struct ox_user *u)
{
    char text[OX_SESSION_TEXT_LEN + 1], peer[OX_USER_PEER_MAX + 1];
    struct ox_session s = {.tenant = a->tenant,
                           .created_s = c->now_s,
                           .seen_s = c->now_s,
                           .expires_s = c->now_s + c->api->session_max_s};
    memcpy(s.user, a->user, sizeof(s.user));
    snprintf(peer, sizeof(peer), "%s", c->req->peer != NULL ? c->req->peer : "");
    ox_err err = ox_session_make(text, s.digest);
    if (err == OX_OK)
        err = ox__control_audit_granted(c, a->tenant.name, "log in");
    if (err == OX_OK) {
        err = c->api->users->login(c->api->users, &s, u->password, peer, c->now_s - c->api->session_idle_s,
                                   &c->diag);
        err =
            err == OX_OK ? respond_session(c, u, &s, text) : ox__control_audit_failed(c, a->tenant.name, err);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

ox_err
ox__control_login(struct ox__control_call *c)
{
    struct attempt a = {.password = {0}};
    struct ox_user u;
    bool exists = false;
    ox_err err = read_attempt(c, &a);
    if (err == OX_OK)
        err = take_turn(c, a.tenant.name, a.user);
    if (err != OX_OK)
        return err;
    err = verify(c, &a, &u, &exists);
    describe(&a, exists);
    c->who = a.who;
    if (err != OX_OK)
        return refuse(c, &a, exists, err);
    err = begin_session(c, &a, &u);
    if (err == OX_OK) {
        ox_login_limit_right(c->api->limits, c->req->peer, a.tenant.name, a.user, c->now_s);
        count("right");
    } else {
        count(err == OX_E_UNAUTHENTICATED ? "wrong" : "failed");
    }
    return err;
}

static bool
has_session(const struct ox__control_call *c)
{
    return c->req->way == OX_WAY_SESSION && c->req->user != NULL && c->req->user[0] != '\0';
}

/* The browser is to forget its cookie. */
static ox_err
clear_cookie(struct ox__control_call *c)
{
    c->res->session = strdup("");
    return c->res->session != NULL ? OX_OK : OX_E_NOMEM;
}

static void
tell(struct ox__control_call *c)
{
    if (c->api->users_changed != NULL)
        c->api->users_changed(c->api->ctx, &c->req->tenant);
}

ox_err
ox__control_logout(struct ox__control_call *c)
{
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    if (has_session(c) && ox_session_digest(c->req->session, digest)) {
        ox_err err = ox__control_audit_granted(c, c->req->tenant.name, "log out");
        if (err == OX_OK)
            err = c->api->users->logout(c->api->users, &c->req->tenant, digest, &c->diag);
        if (err != OX_OK)
            return ox__control_audit_failed(c, c->req->tenant.name, err);
        tell(c);
    }
    ox_err err = clear_cookie(c);
    return err == OX_OK ? ox__control_respond(c, 200, json_pack("{s:b}", "authenticated", 0)) : err;
}

/* Who the asker is; also to nobody, whom it tells how to log in. */
ox_err
ox__control_session_show(struct ox__control_call *c)
{
    char csrf[OX_CSRF_LEN + 1] = "";
    bool somebody = c->req->role != OX_ROLE_NONE;
    if (has_session(c))
        ox_session_csrf(c->req->session, csrf);
    json_t *answer = somebody ? session_json(c->req->tenant.name, has_session(c) ? c->req->user : NULL,
                                             c->req->role, csrf[0] != '\0' ? csrf : NULL)
                              : json_pack("{s:b}", "authenticated", 0);
    json_object_set_new(answer, "mode", json_string(c->api->development ? "development" : "production"));
    if (c->api->oidc != NULL)
        json_object_set_new(answer, "provider", json_string(c->api->oidc_name));
    if (!has_session(c) && c->req->session.n > 0 && clear_cookie(c) != OX_OK) {
        json_decref(answer);
        return OX_E_NOMEM;
    }
    return ox__control_respond(c, 200, answer);
}

static ox_err
read_passwords(struct ox__control_call *c, struct ox_str *old, struct ox_str *fresh)
{
    static const char *const names[] = {"old", "new", NULL};
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = ox__control_read_text(c, "old", old);
    if (err == OX_OK)
        err = ox__control_read_text(c, "new", fresh);
    return err == OX_OK ? ox_password_check(*fresh, &c->diag) : err;
}

static ox_err
set_password(struct ox__control_call *c, struct ox_str fresh)
{
    char hash[OX_KEY_FINGERPRINT_MAX];
    struct ox_user u;
    struct ox_user_change change = {.password = hash, .now_s = c->now_s};
    ox_err err = ox_password_hash(fresh, hash);
    if (err == OX_OK)
        err = ox__control_audit_granted(c, c->req->tenant.name, "change the own password");
    if (err != OX_OK)
        return err;
    err = c->api->users->change(c->api->users, ox__control_asker(c), &c->req->tenant, c->req->user, &change,
                                &u, &c->diag);
    if (err != OX_OK)
        return ox__control_audit_failed(c, c->req->tenant.name, err);
    tell(c);
    err = clear_cookie(c); /* all of his sessions have ended */
    return err == OX_OK ? ox__control_respond(c, 200, json_pack("{s:b}", "authenticated", 0)) : err;
}

ox_err
ox__control_own_password(struct ox__control_call *c)
{
    struct attempt a = {.tenant = c->req->tenant};
    struct ox_str fresh;
    struct ox_user u;
    bool exists;
    if (!has_session(c))
        return ox_diag_set(&c->diag, OX_E_FORBIDDEN, "session", -1,
                           "a password is changed by the user who has logged in");
    memcpy(a.user, c->req->user, strlen(c->req->user) + 1);
    ox_err err = read_passwords(c, &a.password, &fresh);
    if (err == OX_OK)
        err = take_turn(c, a.tenant.name, a.user);
    if (err == OX_OK)
        err = verify(c, &a, &u, &exists);
    if (err == OX_E_UNAUTHENTICATED)
        err = ox_diag_set(&c->diag, OX_E_FORBIDDEN, "old", -1, "old: is not the password");
    if (err != OX_OK)
        return err;
    ox_login_limit_right(c->api->limits, c->req->peer, a.tenant.name, a.user, c->now_s);
    return set_password(c, fresh);
}
