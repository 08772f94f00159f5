/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_keys.c - who may send: the control plane's store, the cache before it, and in development the derived keys.
 *
 * Owns:    DIR/dev.secret, made on first use; DIR/control.db, when there is no PostgreSQL; in development its tenant.
 * Threads: main, before the actors run.
 * Fails:   CONFIG, STATE, IO with a sentence: the node does not start. A store that does not answer yet is no reason:
 *          the log on disk is replayed meanwhile, and who sends hears 503.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/node_internal.h"
#include "ox/cert_keys.h"
#include "ox/jwt_keys.h"
#include "ox/log.h"
#include "ox/net.h"
#include "ox/random.h"
#include "ox/session_keys.h"

#define DEV_SECRET_BYTES 32

static ox_err
read_secret(const char *path, char *hex, struct ox_diag *diag)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT
                   ? OX_E_NOT_FOUND
                   : ox_diag_set(diag, OX_E_IO, path, -1, "cannot be opened: %s", strerror(errno));
    ssize_t n = read(fd, hex, 2 * DEV_SECRET_BYTES);
    close(fd);
    if (n != 2 * DEV_SECRET_BYTES)
        return ox_diag_set(
            diag, OX_E_CORRUPT, path, -1,
            "the secret is damaged; remove the file to get a new one (what derives from it changes)");
    hex[n] = '\0';
    return OX_OK;
}

static ox_err
make_secret(const char *path, char *hex, struct ox_diag *diag)
{
    uint8_t bytes[DEV_SECRET_BYTES];
    char tmp[OX_DISK_PATH_MAX + 8];
    if (ox_random_os(bytes, sizeof(bytes)) != OX_OK)
        return ox_diag_set(diag, OX_E_IO, path, -1, "the system gives no random bytes");
    ox_hex_encode(bytes, sizeof(bytes), hex);
    snprintf(tmp, sizeof(tmp), "%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, hex, 2 * DEV_SECRET_BYTES) != 2 * DEV_SECRET_BYTES || fsync(fd) != 0 ||
        rename(tmp, path) != 0) {
        int errnum = errno;
        if (fd >= 0)
            close(fd);
        return ox_diag_set(diag, ox_err_from_errno(errnum), path, -1, "cannot be written: %s",
                           strerror(errnum));
    }
    close(fd);
    return OX_OK;
}

ox_err
node_dev_secret(const char *data, char *hex, struct ox_diag *diag)
{
    return node_secret(data, "dev.secret", hex, diag);
}

ox_err
node_secret(const char *data, const char *name, char *hex, struct ox_diag *diag)
{
    char path[OX_DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", data, name);
    ox_err err = read_secret(path, hex, diag);
    return err == OX_E_NOT_FOUND ? make_secret(path, hex, diag) : err;
}

/* A password that stands in the first line of a file; "" without a file. */
ox_err
node_password_of(const char *path, const char *key, char *out, size_t size, struct ox_diag *diag)
{
    out[0] = '\0';
    if (path[0] == '\0')
        return OX_OK;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return ox_diag_set(diag, OX_E_CONFIG, key, -1, "%s cannot be opened: %s", path, strerror(errno));
    if (fgets(out, (int)size, f) == NULL)
        out[0] = '\0';
    fclose(f);
    out[strcspn(out, "\r\n")] = '\0';
    return OX_OK;
}

ox_err
node_postgres_options(const struct ox_config *cfg, char *password, size_t size,
                      struct ox_control_postgres *out, struct ox_diag *diag)
{
    *out = (struct ox_control_postgres){.url = cfg->control_url,
                                        .password = password,
                                        .connect_timeout_ms = (uint32_t)cfg->control_connect_timeout_ms,
                                        .statement_timeout_ms = (uint32_t)cfg->control_statement_timeout_ms,
                                        .connections = (uint32_t)cfg->control_connections};
    return node_password_of(cfg->control_password_file, "control.password_file", password, size, diag);
}

static ox_err
open_postgres(struct node_main *m, struct ox_diag *diag)
{
    char password[OX_CONFIG_STRING_MAX];
    struct ox_control_postgres o;
    ox_err err = node_postgres_options(&m->config, password, sizeof(password), &o, diag);
    if (err == OX_OK)
        err = ox_control_open_postgres(&o, &m->control, diag);
    explicit_bzero(password, sizeof(password));
    return err;
}

static ox_err
open_store(struct node_main *m, struct ox_diag *diag)
{
    char path[OX_DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%s/control.db", m->config.data);
    ox_err err = m->config.control_url[0] != '\0' ? open_postgres(m, diag)
                                                  : ox_control_open_sqlite(path, &m->control, diag);
    if (err != OX_E_UNAVAILABLE || m->control == NULL)
        return err;
    OX_LOG_WARN("node", "the control plane does not answer: no key is known until it does", OX_F_DIAG(diag));
    ox_diag_clear(diag);
    return OX_OK;
}

/* Whom requests without a key belong to is a tenant like others, which can be given keys and quotas. A store that does not
 * answer gets it with the next start. */
static void
keep_dev_tenant(struct node_main *m)
{
    int64_t now_s = (int64_t)(ox_clock_realtime_ns(m->node.clock) / 1000000000);
    struct ox_control_tenant t = {.id = {OX_DEV_TENANT},
                                  .name = "Requests from this machine",
                                  .state = OX_TENANT_ACTIVE,
                                  .created_s = now_s,
                                  .changed_s = now_s};
    struct ox_control_tenant there;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = m->control->tenant_get(m->control, &t.id, &there, &diag);
    if (err == OX_E_NOT_FOUND)
        err = m->control->tenant_create(m->control, NULL, &t, &diag);
    if (err != OX_OK && err != OX_E_EXISTS) /* another node was faster */
        OX_LOG_WARN("node", "tenant " OX_DEV_TENANT " is not in the control plane: no key can be made for it",
                    OX_F_ERR(err), OX_F_DIAG(&diag));
}

/* Under which a browser on this machine may ask without a key. */
static void
write_own_names(const struct ox_config *cfg, struct ox_buf *names)
{
    const struct ox_net_addr *const own[] = {&cfg->listen_api, &cfg->listen_otlp_http,
                                             &cfg->listen_otlp_grpc};
    char text[OX_NET_ADDR_MAX];
    ox_buf_append_cstr(names, cfg->listen_hosts);
    for (size_t i = 0; i < OX_COUNT(own); i++) {
        ox_net_addr_format(own[i], text);
        ox_buf_printf(names, ",%s", text);
    }
}

/* The stateless validator of development; production has none, whatever stands in DIR. */
static ox_err
open_dev(const struct ox_config *cfg, struct ox_keystore **out, struct ox_diag *diag)
{
    char hex[2 * DEV_SECRET_BYTES + 1];
    *out = NULL;
    if (cfg->mode != OX_MODE_DEVELOPMENT)
        return OX_OK;
    ox_err err = node_dev_secret(cfg->data, hex, diag);
    if (err != OX_OK)
        return err;
    struct ox_buf names = {0};
    write_own_names(cfg, &names);
    *out = names.failed ? NULL : ox_keystore_dev_new(ox_str_of(hex), ox_buf_str(&names));
    ox_buf_fini(&names);
    /* The heart's banner says it to people. */
    OX_LOG_INFO(
        "node",
        "development mode: requests from this machine need no key, keys derive from one secret; whoever "
        "learns DIR/dev.secret speaks for every tenant. Not for a machine that others reach: mode: "
        "production");
    return *out != NULL ? OX_OK : OX_E_NOMEM;
}

/* On the lane that watches the control plane. */
static void
tenant_changed(void *ctx, const struct ox_tenant_id *tenant)
{
    struct node_main *m = ctx;
    node_quotas_wanted(m);
    if (m->node.keys == NULL)
        return;
    ox_jwt_keys_changed(m->jwt, tenant);
    ox_session_keys_changed(m->sessions, tenant);
    ox_cert_keys_changed(m->node.keys, tenant);
}

ox_err
node_keystore(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    struct ox_keystore *dev;
    /* ox_config_check says it with the file's line; this is for who comes past it. */
    if (cfg->mode != OX_MODE_DEVELOPMENT && cfg->control_url[0] == '\0')
        return ox_diag_set(diag, OX_E_CONFIG, "control.url", -1,
                           "production mode keeps tenants and keys in PostgreSQL: set control.url");
    ox_err err = open_dev(cfg, &dev, diag);
    if (err == OX_OK)
        err = open_store(m, diag);
    if (err == OX_OK)
        err = node_users_open(m, diag);
    if (err != OX_OK) {
        if (dev != NULL)
            dev->free(dev);
        return err;
    }
    m->control->keys_max = (uint32_t)cfg->control_keys_per_tenant;
    if (dev != NULL)
        keep_dev_tenant(m);
    struct ox_key_cache_options o = {.store = m->control,
                                     .dev = dev,
                                     .clock = m->node.clock,
                                     .keys_max = (uint32_t)cfg->control_keys_max,
                                     .unknown_max = (uint32_t)cfg->control_unknown_max,
                                     .stale_max_ms = (uint64_t)cfg->control_stale_max_ms,
                                     .on_change = tenant_changed,
                                     .ctx = m};
    m->control_arg.cache = ox_key_cache_new(&o);
    if (m->control_arg.cache != NULL)
        m->jwt = node_jwt_keys(m, m->control_arg.cache);
    if (m->jwt != NULL)
        m->sessions = node_session_keys(m, m->jwt);
    if (m->sessions != NULL)
        m->node.keys = ox_cert_keys_new(m->sessions, m->control);
    return m->node.keys != NULL ? OX_OK : OX_E_NOMEM;
}

ox_err
node_password(const struct ox_config *cfg, char *out, size_t size, struct ox_diag *diag)
{
    return node_password_of(cfg->storage_password_file, "storage.password_file", out, size, diag);
}
