/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_call.h - one order of the control plane's API: what its handlers share.
 *
 * Owns:    the body, until the order is answered.
 * Threads: one query thread.
 */
#ifndef OX_CONTROL_CALL_H
#define OX_CONTROL_CALL_H

#include <jansson.h>

#include "ox/control_api.h"

struct ox__control_call {
    const struct ox_control_api *api;
    const struct ox_query_request *req;
    struct ox_query_response *res;
    struct ox_str arg; /* what stands for {} in the route's pattern */
    enum ox_action action;
    bool writes;
    struct ox_control_asker asker; /* see ox__control_asker */
    json_t *body;                  /* an object, also when there was none; NULL until it was read */
    int64_t now_s;
    struct ox_diag diag;
    const char *hint;
    const char *before, *after; /* of the value that an order changes, for the audit log; NULL = of none */
    const char *who;            /* for the audit log, when what he showed does not say it; NULL = it does */
    uint32_t retry_s;           /* of an OVERLOAD: when; 0 = soon */
    bool said;                  /* what ails the store stands in the log */
};

/* Answers by ox__control_respond, or returns an error with its sentence in c->diag. */
typedef ox_err (*ox__control_handler)(struct ox__control_call *c);

/* answer: take. */
ox_err ox__control_respond(struct ox__control_call *c, int status, json_t *answer);
/* RFC 3339 in whole seconds; null for never. */
json_t *ox__control_time_json(int64_t time_s);
/* Whom the store has to look at before it writes; NULL: he showed no key that is kept. */
const struct ox_control_asker *ox__control_asker(const struct ox__control_call *c);
/* Before an act: what cannot be written down must not happen. */
OX_MUST_USE ox_err ox__control_audit_granted(struct ox__control_call *c, const char *tenant,
                                             const char *detail);
/* What somebody tried who may not; bounded, and what cannot be written down is refused all the same. */
void ox__control_audit_refused(struct ox__control_call *c, const char *tenant, const char *detail);
/* After an act that failed, so that the log does not claim it. Returns err. */
ox_err ox__control_audit_failed(struct ox__control_call *c, const char *tenant, ox_err err);

/* ---- control_params.c ---- */

/* INVALID: "<field>: <sentence>". */
ox_err ox__control_invalid(struct ox__control_call *c, const char *field, const char *sentence);
/* An object with no member but `names` (NULL at their end); no body is an empty object. */
OX_MUST_USE ox_err ox__control_read_body(struct ox__control_call *c, const char *const *names);
/* The text of a member; "" without it. Lends. */
OX_MUST_USE ox_err ox__control_read_text(struct ox__control_call *c, const char *name, struct ox_str *out);
/* The member `name`. */
OX_MUST_USE ox_err ox__control_read_name(struct ox__control_call *c, char out[OX_CONTROL_NAME_MAX + 1]);
/* "90s", "15m", "1h", "7d", at most most_s seconds. */
OX_MUST_USE ox_err ox__control_read_duration(struct ox__control_call *c, const char *name, int64_t most_s,
                                             int64_t *out);
/* A parameter of the query string as it stands there; "" without it. Lends. */
struct ox_str ox__control_param(const struct ox__control_call *c, const char *name);
OX_MUST_USE ox_err ox__control_read_limit(struct ox__control_call *c, size_t *out);
OX_MUST_USE ox_err ox__control_read_after(struct ox__control_call *c, char *out, size_t size);
/* Whether the asker acts for all tenants. */
bool ox__control_is_operator(const struct ox__control_call *c);
/* The tenant that an order names; the asker's own when it names none; an admin's own and no other. */
OX_MUST_USE ox_err ox__control_read_tenant(struct ox__control_call *c, struct ox_str name,
                                           struct ox_tenant_id *out);

/* ---- the handlers: control_tenants.c, control_keys.c ---- */

ox_err ox__control_tenants_list(struct ox__control_call *c);
ox_err ox__control_tenants_create(struct ox__control_call *c);
ox_err ox__control_tenants_show(struct ox__control_call *c);
ox_err ox__control_tenants_change(struct ox__control_call *c);
ox_err ox__control_keys_list(struct ox__control_call *c);
ox_err ox__control_keys_show(struct ox__control_call *c);
ox_err ox__control_keys_create(struct ox__control_call *c);
ox_err ox__control_keys_revoke(struct ox__control_call *c);
ox_err ox__control_keys_rotate(struct ox__control_call *c);
ox_err ox__control_keys_verify(struct ox__control_call *c);
ox_err ox__control_quotas_list(struct ox__control_call *c); /* control_quotas.c */
ox_err ox__control_quotas_set(struct ox__control_call *c);
ox_err ox__control_quotas_clear(struct ox__control_call *c);
ox_err ox__control_audit_list(struct ox__control_call *c); /* control_audit.c */
ox_err ox__control_users_list(struct ox__control_call *c); /* control_users.c */
ox_err ox__control_users_create(struct ox__control_call *c);
ox_err ox__control_users_change(struct ox__control_call *c);
ox_err ox__control_users_password(struct ox__control_call *c);
ox_err ox__control_login(struct ox__control_call *c); /* control_login.c */
ox_err ox__control_logout(struct ox__control_call *c);
ox_err ox__control_session_show(struct ox__control_call *c);
ox_err ox__control_own_password(struct ox__control_call *c);
ox_err ox__control_oidc_login(struct ox__control_call *c); /* control_oidc.c */
ox_err ox__control_oidc_callback(struct ox__control_call *c);

#endif
