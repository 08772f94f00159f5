/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_users.c - the node's users: their store, how often they may try, and their sessions.
 *
 * Owns:    m->users, m->login_limit.
 * Threads: main, before the actors run and after they have ended.
 * Fails:   CONFIG, CORRUPT, NOMEM with a sentence: the node does not start.
 */
#include <stdio.h>

#include "cmd/node_internal.h"
#include "ox/login_limit.h"
#include "ox/oidc.h"
#include "ox/session_keys.h"

static ox_err
open_store(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    char path[OX_DISK_PATH_MAX], password[OX_CONFIG_STRING_MAX];
    struct ox_control_postgres o;
    snprintf(path, sizeof(path), "%s/control.db", cfg->data);
    if (cfg->control_url[0] == '\0')
        return ox_user_store_sqlite(path, &m->users, diag);
    ox_err err = node_postgres_options(cfg, password, sizeof(password), &o, diag);
    if (err == OX_OK)
        err = ox_user_store_postgres(&o, &m->users, diag);
    explicit_bzero(password, sizeof(password));
    return err;
}

static ox_err
open_provider(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    char secret[OX_CONFIG_STRING_MAX];
    if (cfg->oidc_issuer[0] == '\0')
        return OX_OK;
    ox_err err = node_password_of(cfg->oidc_client_secret_file, "oidc.client_secret_file", secret,
                                  sizeof(secret), diag);
    const struct ox_oidc_options o = {.issuer = cfg->oidc_issuer,
                                      .client_id = cfg->oidc_client_id,
                                      .client_secret = secret,
                                      .redirect_uri = cfg->oidc_redirect_uri,
                                      .scopes = cfg->oidc_scopes,
                                      .ca_file = cfg->oidc_ca_file,
                                      .user_claim = cfg->oidc_user_claim,
                                      .rules = {.tenant_claim = cfg->jwt_tenant_claim,
                                                .role_claim = cfg->jwt_role_claim,
                                                .scope_claim = "",
                                                .roles = cfg->jwt_roles}};
    if (err == OX_OK && (m->oidc = ox_oidc_new(&o)) == NULL)
        err = OX_E_NOMEM;
    explicit_bzero(secret, sizeof(secret));
    return err;
}

ox_err
node_users_open(struct node_main *m, struct ox_diag *diag)
{
    m->login_limit = ox_login_limit_new();
    ox_err err = m->login_limit != NULL ? open_store(m, diag) : OX_E_NOMEM;
    return err == OX_OK ? open_provider(m, diag) : err;
}

struct ox_keystore *
node_session_keys(struct node_main *m, struct ox_keystore *inner)
{
    const struct ox_config *cfg = &m->config;
    const struct ox_session_keys_options o = {.users = m->users,
                                              .clock = m->node.clock,
                                              .idle_s = cfg->session_idle_ms / 1000,
                                              .sessions_max = (uint32_t)cfg->session_cached,
                                              .unknown_max = (uint32_t)cfg->control_unknown_max,
                                              .development = cfg->mode == OX_MODE_DEVELOPMENT};
    return ox_session_keys_new(inner, &o);
}

void
node_users_close(struct node_main *m)
{
    if (m->users != NULL)
        m->users->close(m->users);
    ox_login_limit_free(m->login_limit);
    ox_oidc_free(m->oidc);
}
