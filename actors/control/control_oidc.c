/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_oidc.c - the two halves of a login through an OpenID provider.
 *
 * Owns:    nothing.
 * Threads: the thread for logins; the provider is waited for here.
 * Bounds:  ox/login_limit.h; the provider's time-outs.
 * Fails:   sends the browser back to the console with one word that says what to do; the reason stands in the log.
 * Flow:    console -> /api/v1/oidc/login -> provider -> /api/v1/oidc/callback -> store of users -> console.
 *
 * Whoever comes this way is kept as a user of his tenant, so that he is seen in lists, and can be disabled. His role is what the
 * provider says at each login. A user with a password, or of another subject, who has the same name is not he.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/control_call.h"
#include "actors/control/users_record.h"
#include "ox/log.h"
#include "ox/login_limit.h"
#include "ox/metric.h"
#include "ox/oidc.h"
#include "ox/password.h"

/* location: copied. */
static ox_err
redirect(struct ox__control_call *c, const char *location)
{
    c->res->status = 302;
    c->res->content_type = "text/plain";
    c->res->location = strdup(location);
    return c->res->location != NULL ? OX_OK : OX_E_NOMEM;
}

static ox_err
forget_pending(struct ox__control_call *c)
{
    c->res->pending = strdup("");
    return c->res->pending != NULL ? OX_OK : OX_E_NOMEM;
}

/* Nothing that came from outside goes into the address. */
static ox_err
send_back(struct ox__control_call *c, ox_err err)
{
    const char *word = "refused";
    if (err == OX_E_UNAVAILABLE)
        word = "unavailable";
    else if (err == OX_E_FORBIDDEN)
        word = "no-access";
    else if (err == OX_E_OVERLOAD)
        word = "later";
    char location[64];
    snprintf(location, sizeof(location), "/#login=%s", word);
    OX_LOG_INFO("oidc", "a login through the provider failed", OX_F_ERR(err), OX_F_DIAG(&c->diag));
    OX_METRIC_ADD_L(OX_M_logins, 1,
                    err == OX_E_UNAVAILABLE ? OX_STR("failed")
                    : err == OX_E_OVERLOAD  ? OX_STR("limited")
                                            : OX_STR("wrong"));
    return redirect(c, location);
}

ox_err
ox__control_oidc_login(struct ox__control_call *c)
{
    struct ox_buf url;
    char pending[OX_OIDC_PENDING_LEN + 1];
    ox_buf_init(&url);
    ox_err err = ox_oidc_begin(c->api->oidc, pending, &url, c->now_s, &c->diag);
    ox_buf_append(&url, "", 1);
    if (err != OX_OK || url.failed) {
        err = send_back(c, err != OX_OK ? err : OX_E_UNAVAILABLE);
    } else {
        c->res->pending = strdup(pending);
        err = c->res->pending != NULL ? redirect(c, (const char *)url.data) : OX_E_NOMEM;
    }
    ox_buf_fini(&url);
    return err;
}

/* He is kept with what the provider says of him; a user of the same name who is another is not he. */
static ox_err
keep_user(struct ox__control_call *c, const struct ox_oidc_who *w)
{
    struct ox_user u = {.tenant = w->who.tenant, .role = w->who.role, .active = true, .created_s = c->now_s};
    memcpy(u.name, w->user, sizeof(u.name));
    snprintf(u.password, sizeof(u.password), "%s", w->mark);
    return c->api->users->keep(c->api->users, &u, &c->diag);
}

static ox_err
begin_session(struct ox__control_call *c, const struct ox_oidc_who *w)
{
    char text[OX_SESSION_TEXT_LEN + 1], peer[OX_USER_PEER_MAX + 1];
    struct ox_session s = {.tenant = w->who.tenant,
                           .created_s = c->now_s,
                           .seen_s = c->now_s,
                           .expires_s = c->now_s + c->api->session_max_s};
    memcpy(s.user, w->user, sizeof(s.user));
    snprintf(peer, sizeof(peer), "%s", c->req->peer != NULL ? c->req->peer : "");
    ox_err err = ox_session_make(text, s.digest);
    if (err == OX_OK)
        err = ox__control_audit_granted(c, w->who.tenant.name, "log in through the provider");
    if (err == OX_OK)
        err = keep_user(c, w);
    if (err == OX_OK)
        err = c->api->users->login(c->api->users, &s, w->mark, peer, c->now_s - c->api->session_idle_s,
                                   &c->diag);
    if (err == OX_OK && (c->res->session = strdup(text)) == NULL)
        err = OX_E_NOMEM;
    explicit_bzero(text, sizeof(text));
    if (err != OX_OK)
        return ox__control_audit_failed(c, w->who.tenant.name, err);
    if (c->api->users_changed != NULL)
        c->api->users_changed(c->api->ctx, &w->who.tenant);
    return OX_OK;
}

static ox_err
finish(struct ox__control_call *c, char *who, size_t size)
{
    struct ox_oidc_who w;
    struct ox_control_tenant t;
    ox_err err =
        ox_login_limit_try(c->api->limits, c->req->peer, "", "through the provider", c->now_s, &c->diag);
    if (err == OX_OK)
        err = ox_oidc_finish(c->api->oidc, c->req->pending, ox__control_param(c, "state"),
                             ox__control_param(c, "code"), c->now_s, &w, &c->diag);
    if (err == OX_OK)
        err = c->api->store->tenant_get(c->api->store, &w.who.tenant, &t, &c->diag);
    if (err == OX_E_NOT_FOUND || (err == OX_OK && t.state != OX_TENANT_ACTIVE))
        err = ox_diag_set(&c->diag, OX_E_FORBIDDEN, "tenant", -1,
                          "its tenant does not exist here or is disabled");
    if (err != OX_OK)
        return err;
    snprintf(who, size, "user %s of tenant %s", w.user, w.who.tenant.name);
    c->who = who;
    err = begin_session(c, &w);
    if (err == OX_OK)
        ox_login_limit_right(c->api->limits, c->req->peer, "", "through the provider", c->now_s);
    return err;
}

ox_err
ox__control_oidc_callback(struct ox__control_call *c)
{
    char who[OX_TENANT_MAX + OX_USER_NAME_MAX + 32];
    ox_err err = finish(c, who, sizeof(who));
    ox_err forgot = forget_pending(c); /* it is good for one login */
    if (forgot != OX_OK)
        return forgot;
    if (err == OX_OK) {
        OX_METRIC_ADD_L(OX_M_logins, 1, OX_STR("right"));
        return redirect(c, "/");
    }
    if (c->who == NULL) {
        c->who = "somebody through the provider";
        ox__control_audit_refused(c, "", "log in through the provider");
    }
    return send_back(c, err);
}
