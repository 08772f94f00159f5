/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/config.c - the product's configuration: the rows of tbl/config.h, and the rules between keys.
 *
 * Owns:    the table of rows.
 * Threads: any.
 * Fails:   CONFIG, with every problem in the report.
 * Flow:    cmd/ -> here -> runtime/config/.
 */
#include "ox/config.h"

#include <stdio.h>

#include "ox/permission.h"
#include "ox/weights.h"

static const struct ox_config_key rows[] = {
#define OX_CONFIG(id, key, type, def, min, max, unit, alias, effect, text)                                   \
    {key,  OX_CONFIG_##type,  offsetof(struct ox_config, id), def, min, max, unit, alias,                    \
     text, OX_EFFECT_##effect},
#include "ox/tbl/config.h"
#undef OX_CONFIG
};

const struct ox_config_table ox_config_rows = {
    .keys = rows,
    .count = OX_COUNT(rows),
    .env_prefix = "OBSERVE_X_",
};

void
ox_config_defaults(struct ox_config *config)
{
    memset(config, 0, sizeof(*config));
    ox_config_table_defaults(&ox_config_rows, config);
}

static void
broken_rule(struct ox_config_report *report, const char *keys, const char *sentence)
{
    ox_buf_printf(&report->text, "%s: %s\n", keys, sentence);
    report->problems++;
}

static bool
known_scheme(const char *url)
{
    static const char *const schemes[] = {"unix:/", "http://", "https://"};
    for (size_t i = 0; i < OX_COUNT(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (strncmp(url, schemes[i], n) == 0 && url[n] != '\0')
            return true;
    }
    return false;
}

static void
check_storage(const struct ox_config *c, struct ox_config_report *report)
{
    if (!ox_config_embedded(c) && !known_scheme(c->storage_url))
        broken_rule(report, "storage.url",
                    "is neither `embedded` nor unix:/path, http://host:8123 or https://host:8443");
    if (ox_config_embedded(c) && strcmp(c->storage_database, "observex") != 0)
        broken_rule(report, "storage.database", "is always observex in the embedded engine");
    for (const char *p = c->storage_database; *p != '\0'; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        if (!letter && !(*p >= '0' && *p <= '9' && p > c->storage_database)) {
            broken_rule(report, "storage.database",
                        "consists of letters, digits and '_', and does not start with a digit");
            return;
        }
    }
}

static bool
is_postgres(const char *url)
{
    return strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0;
}

static void
check_control(const struct ox_config *c, struct ox_config_report *report)
{
    if (c->control_url[0] != '\0' && !is_postgres(c->control_url))
        broken_rule(report, "control.url", "is neither empty nor postgresql://user@host/database");
    else if (strstr(c->control_url, "password=") !=
             NULL) /* lists of the configuration hide user:PASSWORD@ only */
        broken_rule(report, "control.url",
                    "has a password among its parameters; put it into control.password_file");
    else if (c->mode == OX_MODE_PRODUCTION && c->control_url[0] == '\0')
        broken_rule(report, "control.url",
                    "production mode keeps tenants, keys and roles in PostgreSQL: set control.url "
                    "(OBSERVE_X_CONTROL_URL or OBSERVE_X_POSTGRES_URL, --control-url) to "
                    "postgresql://user@host/database, or use mode: development");
}

static void
check_tls(const struct ox_config *c, struct ox_config_report *report)
{
    bool on = c->tls_cert_file[0] != '\0';
    if (on != (c->tls_key_file[0] != '\0'))
        broken_rule(report, on ? "tls.key_file" : "tls.cert_file",
                    "is empty: a certificate and its key come together");
    if (!on && c->tls_ca_file[0] != '\0')
        broken_rule(report, "tls.ca_file", "has no meaning without tls.cert_file");
    if (c->tls_clients_file[0] != '\0' && c->tls_ca_file[0] == '\0')
        broken_rule(report, "tls.clients_file",
                    "has no meaning without tls.ca_file, which client certificates are verified with");
    bool here = ox_net_addr_is_loopback(&c->listen_otlp_grpc) &&
                ox_net_addr_is_loopback(&c->listen_otlp_http) && ox_net_addr_is_loopback(&c->listen_api);
    if (c->mode == OX_MODE_PRODUCTION && !on && !here && !c->tls_plaintext)
        broken_rule(
            report, "tls.cert_file",
            "production mode listens beyond this machine with TLS only: set tls.cert_file and "
            "tls.key_file (OBSERVE_X_TLS_CERT_FILE, OBSERVE_X_TLS_KEY_FILE), or tls.plaintext: true when a "
            "proxy in front ends TLS");
}

/* The keys of an issuer come by a way on which nobody can change them. */
static bool
is_safe_url(const char *url)
{
    static const char *const here[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    if (strncmp(url, "https://", 8) == 0)
        return true;
    for (size_t i = 0; i < OX_COUNT(here); i++) {
        size_t n = strlen(here[i]);
        if (strncmp(url, here[i], n) == 0 && (url[n] == ':' || url[n] == '/'))
            return true;
    }
    return false;
}

/* Each word stands for a role: "sre=operator,devs=editor". */
static bool
are_roles(const char *map)
{
    enum ox_role role;
    for (const char *p = map; *p != '\0';) {
        size_t n = strcspn(p, ",");
        const char *eq = memchr(p, '=', n);
        if (eq == NULL || eq == p ||
            ox_role_parse((struct ox_str){eq + 1, n - (size_t)(eq + 1 - p)}, &role, NULL) != OX_OK)
            return false;
        p += n + (p[n] == ',');
    }
    return true;
}

static void
check_jwt(const struct ox_config *c, struct ox_config_report *report)
{
    bool file = c->jwt_jwks_file[0] != '\0', url = c->jwt_jwks_url[0] != '\0',
         secret = c->jwt_secret_file[0] != '\0';
    if (c->jwt_issuer[0] == '\0' && (file || url || secret))
        broken_rule(report, "jwt.issuer", "is empty: say whose tokens are taken");
    if (c->jwt_issuer[0] != '\0' && c->jwt_audience[0] == '\0')
        broken_rule(report, "jwt.audience",
                    "is empty: a token that its issuer gave for another service must not open this one");
    if (c->jwt_issuer[0] != '\0' && !file && !url && !secret)
        broken_rule(report, "jwt.jwks_url",
                    "is empty, as is jwt.jwks_file: one of them has the issuer's keys");
    if (file && url)
        broken_rule(report, "jwt.jwks_file", "and jwt.jwks_url cannot both be set");
    if (url && !is_safe_url(c->jwt_jwks_url))
        broken_rule(report, "jwt.jwks_url", "begins with https://, or with http:// on this machine");
    if (secret && c->mode == OX_MODE_PRODUCTION)
        broken_rule(report, "jwt.secret_file",
                    "is for development mode: in production whoever can verify must not be able to sign");
    if (!are_roles(c->jwt_roles))
        broken_rule(report, "jwt.roles",
                    "is of the form word=role,word=role with viewer, editor, admin or operator");
}

static void
check_oidc(const struct ox_config *c, struct ox_config_report *report)
{
    static const char end[] = "/api/v1/oidc/callback";
    size_t n = strlen(c->oidc_redirect_uri);
    if (c->oidc_issuer[0] == '\0')
        return;
    if (!is_safe_url(c->oidc_issuer) && strncmp(c->oidc_issuer, "http://127.0.0.1:", 17) != 0)
        broken_rule(report, "oidc.issuer", "begins with https://, or with http:// on this machine");
    if (c->oidc_client_id[0] == '\0')
        broken_rule(report, "oidc.client_id", "is empty: as whom is ObserveX known to the provider?");
    if (!is_safe_url(c->oidc_redirect_uri) || n < sizeof(end) ||
        strcmp(c->oidc_redirect_uri + n - (sizeof(end) - 1), end) != 0)
        broken_rule(
            report, "oidc.redirect_uri",
            "is https://NAME/api/v1/oidc/callback (or http:// on this machine), as the provider knows it");
    if (strstr(c->oidc_scopes, "openid") == NULL)
        broken_rule(report, "oidc.scopes", "has openid among them");
}

static void
check_weights(const struct ox_config *c, struct ox_config_report *report)
{
    struct ox_weights weights;
    struct ox_diag diag;
    if (ox_weights_parse(c->tenant_weights, &weights, &diag) != OX_OK)
        broken_rule(report, "tenant.weights", diag.text);
}

/* What one row's bounds cannot say. */
static void
check_rules(const struct ox_config *c, struct ox_config_report *report)
{
    check_storage(c, report);
    check_control(c, report);
    check_weights(c, report);
    check_tls(c, report);
    check_jwt(c, report);
    check_oidc(c, report);
    if (c->supervisor_backoff_min_ms > c->supervisor_backoff_max_ms)
        broken_rule(report, "supervisor.backoff_min", "is longer than supervisor.backoff_max");
    if (c->heart_backoff_min_ms > c->heart_backoff_max_ms)
        broken_rule(report, "heart.backoff_min", "is longer than heart.backoff_max");
    if (c->runtime_turn_warn_ms > c->runtime_turn_fault_ms)
        broken_rule(report, "runtime.turn_warn", "is longer than runtime.turn_fault");
    if (c->heart_disk_min_bytes > c->heart_disk_warn_bytes)
        broken_rule(report, "heart.disk_min", "is larger than heart.disk_warn");
    if (c->gateway_memory_bytes < c->gateway_body_bytes_max)
        broken_rule(report, "gateway.memory",
                    "is smaller than gateway.body_max, so no large request could be read");
    if (c->wal_total_bytes < 2 * c->wal_segment_bytes)
        broken_rule(report, "wal.total_bytes", "is smaller than two segments (wal.segment_bytes)");
    if (c->outbox_total_bytes < 2 * c->outbox_segment_bytes)
        broken_rule(report, "outbox.total_bytes", "is smaller than two segments (outbox.segment_bytes)");
    if (c->dlq_total_bytes < c->dlq_file_bytes)
        broken_rule(report, "dlq.total_bytes", "is smaller than one file (dlq.file_bytes)");
    if (c->query_limit_default > c->query_traces_limit_max ||
        c->query_limit_default > c->query_logs_limit_max)
        broken_rule(report, "query.limit_default", "is larger than query.traces_limit or query.logs_limit");
}

ox_err
ox_config_check(const struct ox_config *config, struct ox_config_report *report)
{
    check_rules(config, report);
    return report->problems > 0 ? OX_E_CONFIG : OX_OK;
}

size_t
ox_config_take(struct ox_config *into, const struct ox_config *next, bool *changed)
{
    size_t taken = 0;
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        changed[i] = !ox_config_key_equal(&rows[i], into, next);
        if (changed[i] && rows[i].effect != OX_EFFECT_restart) {
            ox_config_key_copy(&rows[i], into, next);
            taken++;
        }
    }
    return taken;
}

static const char *
file_from_env(char *const *env)
{
    static const char name[] = "OBSERVE_X_CONFIG=";
    for (; env != NULL && *env != NULL; env++) {
        if (strncmp(*env, name, sizeof(name) - 1) == 0 && (*env)[sizeof(name) - 1] != '\0')
            return *env + sizeof(name) - 1;
    }
    return NULL;
}

ox_err
ox_config_load(struct ox_config *config, const struct ox_config_sources *sources, uint8_t *origins,
               struct ox_config_report *report)
{
    struct ox_config_sources s = *sources;
    if (s.file == NULL)
        s.file = file_from_env(s.env);
    memset(config, 0, sizeof(*config));
    ox_err err = ox_config_table_load(&ox_config_rows, &s, config, origins, report);
    if (err != OX_OK)
        return err;
    return ox_config_check(config, report);
}

void
ox_config_export(const struct ox_config *config, struct ox_buf *out)
{
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        const char *string = (const char *)config + rows[i].offset;
        if (rows[i].type == OX_CONFIG_string && string[0] == '\0')
            continue; /* empty is the default of every string that may be empty */
        ox_config_key_env(&ox_config_rows, &rows[i], out);
        ox_buf_append_cstr(out, "=");
        ox_config_key_print(&rows[i], config, out);
        ox_buf_append(out, "", 1);
    }
}

bool
ox_config_embedded(const struct ox_config *config)
{
    return strcmp(config->storage_url, "embedded") == 0;
}

void
ox_config_storage_url(const struct ox_config *config, char *out, size_t size)
{
    if (ox_config_embedded(config))
        snprintf(out, size, "unix:%s/engine.sock", config->data);
    else
        snprintf(out, size, "%s", config->storage_url);
}
