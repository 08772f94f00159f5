/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_jwt.c - the node's issuer of tokens: what the configuration says of it, and its keys.
 *
 * Owns:    nothing; the key store of tokens is one of those in front of the key cache.
 * Threads: _open: main. Reading again: the dirty thread of a reload. Asking the issuer: a dirty thread, one at a time, since the
 *          actor `jwt` waits for it.
 * Bounds:  a look per LOOK_MS; OX_JWKS_BYTES_MAX.
 * Fails:   at the start the node does not start, except that an issuer who does not answer is asked again; later what was in
 *          force goes on, and the log says why.
 * Flow:    configuration -> here -> actors/control/jwt_keys.c.
 */
#include <errno.h>
#include <stdio.h>

#include "cmd/node_internal.h"
#include "ox/jwt_keys.h"
#include "ox/log.h"
#include "ox/supervisor.h"

#define LOOK_MS    250
#define SECRET_MIN 32 /* bytes; RFC 7518, 3.2 */

static ox_err
read_set(const char *path, struct ox_buf *out, struct ox_diag *diag)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return ox_diag_set(diag, OX_E_CONFIG, "jwt.jwks_file", -1, "%.200s cannot be opened: %s", path,
                           strerror(errno));
    uint8_t *to = ox_buf_reserve(out, OX_JWKS_BYTES_MAX);
    out->len += to != NULL ? fread(to, 1, OX_JWKS_BYTES_MAX, f) : 0;
    bool bad = ferror(f) != 0 || out->failed || out->len == 0 || fgetc(f) != EOF;
    fclose(f);
    return bad ? ox_diag_set(diag, OX_E_CONFIG, "jwt.jwks_file", -1,
                             "%.200s cannot be read, is empty, or is larger than 256 KiB", path)
               : OX_OK;
}

/* Production never comes here with one; it would not be read if it did. */
static ox_err
read_secret(const struct ox_config *cfg, char *text, size_t size, struct ox_diag *diag)
{
    text[0] = '\0';
    if (cfg->mode != OX_MODE_DEVELOPMENT || cfg->jwt_secret_file[0] == '\0')
        return OX_OK;
    ox_err err = node_password_of(cfg->jwt_secret_file, "jwt.secret_file", text, size, diag);
    if (err == OX_OK && strlen(text) < SECRET_MIN)
        err = ox_diag_set(diag, OX_E_CONFIG, "jwt.secret_file", -1,
                          "its first line has fewer than 32 bytes (openssl rand -hex 32)");
    return err;
}

static void
setup_of(const struct ox_config *cfg, const char *secret, const struct ox_buf *set, struct ox_jwt_setup *out)
{
    *out = (struct ox_jwt_setup){.rules = {.issuer = cfg->jwt_issuer,
                                           .audience = cfg->jwt_audience,
                                           .tenant_claim = cfg->jwt_tenant_claim,
                                           .role_claim = cfg->jwt_role_claim,
                                           .scope_claim = cfg->jwt_scope_claim,
                                           .roles = cfg->jwt_roles,
                                           .leeway_s = (int64_t)cfg->jwt_leeway_ms / 1000,
                                           .max_age_s = (int64_t)cfg->jwt_max_age_ms / 1000,
                                           .secret = ox_str_of(secret)},
                                 .jwks = ox_buf_str(set),
                                 .jwks_url = cfg->jwt_jwks_url,
                                 .jwks_ca_file = cfg->jwt_jwks_ca_file,
                                 .refresh_ms = (uint64_t)cfg->jwt_jwks_refresh_ms};
}

static ox_err
take(struct node_main *m, const struct ox_config *cfg, struct ox_diag *diag)
{
    char secret[OX_CONFIG_STRING_MAX];
    struct ox_buf set;
    struct ox_jwt_setup setup;
    ox_buf_init(&set);
    ox_err err = read_secret(cfg, secret, sizeof(secret), diag);
    if (err == OX_OK && cfg->jwt_jwks_file[0] != '\0')
        err = read_set(cfg->jwt_jwks_file, &set, diag);
    setup_of(cfg, secret, &set, &setup);
    if (err == OX_OK)
        err = ox_jwt_keys_take(m->jwt, &setup, diag);
    explicit_bzero(secret, sizeof(secret));
    ox_buf_fini(&set);
    return err;
}

struct ox_keystore *
node_jwt_keys(struct node_main *m, struct ox_keystore *inner)
{
    const struct ox_jwt_keys_options o = {.store = m->control,
                                          .clock = m->node.clock,
                                          .tokens_max = (uint32_t)m->config.jwt_tokens_cached,
                                          .unknown_max = (uint32_t)m->config.control_unknown_max};
    return ox_jwt_keys_new(inner, &o);
}

ox_err
node_jwt_open(struct node_main *m, struct ox_diag *diag)
{
    if (m->config.jwt_secret_file[0] != '\0')
        OX_LOG_WARN(
            "node",
            "tokens signed by HS256 are taken (jwt.secret_file): whoever learns the secret speaks for "
            "every tenant. Not for a machine that others reach");
    return take(m, &m->config, diag);
}

void
node_jwt_reload(struct node_main *m, const struct ox_config *cfg)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = take(m, cfg, &diag);
    if (err != OX_OK)
        OX_LOG_ERROR("jwt", "what the configuration says of tokens cannot be used; what was in force goes on",
                     OX_F_ERR(err), OX_F_DIAG(&diag));
}

/* ---- the actor ---- */

static void
ask(void *arg)
{
    struct node_main *m = arg;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = ox_jwt_keys_refresh(m->jwt, &diag);
    if (err != OX_OK)
        OX_LOG_WARN("jwt", "the issuer's keys cannot be read; those that are known go on", OX_F_ERR(err),
                    OX_F_DIAG(&diag));
}

static void
look_later(struct ox_actor *self)
{
    if (ox_timer_start(self, LOOK_MS, OX_K_retry, 0, NULL) != OX_OK)
        ox_panic("no timer to look at the issuer's keys by"); /* the next incarnation begins anew */
}

static ox_err
jwt_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    *(struct node_main **)ox_actor_state(self) = arg;
    look_later(self);
    return OX_OK;
}

static void
jwt_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct node_main *m = *(struct node_main **)ox_actor_state(self);
    if (msg->kind != OX_K_retry || !ox_jwt_keys_due(m->jwt) ||
        ox_dirty_submit(self, NULL, ask, m, OX_K_jwks_asked, NULL, NULL) != OX_OK)
        look_later(self);
}

static const struct ox_actor_class jwt_class = {
    .name = "jwt",
    .state_size = sizeof(struct node_main *),
    .on_start = jwt_start,
    .on_message = jwt_message,
};

ox_err
node_jwt_watch(struct node_main *m, struct ox_diag *diag)
{
    ox_pid pid;
    struct ox_child_spec spec = {
        .id = "jwt", .class = &jwt_class, .arg = m, .name = "jwt", .restart = OX_RESTART_PERMANENT};
    return ox_sup_add_wait(m->root, &spec, &pid, diag);
}
