/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_tls.c - the node's certificates: read at the start, at a reload, and whenever their files change.
 *
 * Owns:    struct ox_node's tls.
 * Threads: _open: main. Reading again: a dirty thread, one at a time (`lock`). The actor `tls` only looks at the clock.
 * Bounds:  a look per LOOK_MS; CLIENTS_FILE_MAX bytes.
 * Fails:   at the start the node does not start; later what was in force goes on, and the log says why.
 * Flow:    configuration -> here -> runtime/net/tls.c, actors/control/cert_keys.c.
 *
 * Files are looked at, not listened to: secrets of container platforms change by links to other folders.
 */
#include <errno.h>
#include <stdio.h>

#include "cmd/node_internal.h"
#include "ox/cert_keys.h"
#include "ox/lock.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/supervisor.h"

#define LOOK_MS          1000
#define CLIENTS_FILE_MAX (4u << 20)
#define EXPIRES_SOON_S   (7 * 24 * 3600)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* one reading at a time */

static struct ox_tls_options
options_of(const struct ox_config *cfg)
{
    enum ox_tls_client client =
        cfg->tls_client_certificate == 0 ? OX_TLS_CLIENT_REQUIRED : OX_TLS_CLIENT_OPTIONAL;
    return (struct ox_tls_options){
        .cert_file = cfg->tls_cert_file,
        .key_file = cfg->tls_key_file,
        .ca_file = cfg->tls_ca_file,
        .client = cfg->tls_ca_file[0] != '\0' ? client : OX_TLS_CLIENT_NONE,
        .only_1_3 = cfg->tls_min_version == 1,
        .also = cfg->tls_clients_file,
    };
}

static ox_err
read_text(const char *path, struct ox_buf *out, struct ox_diag *diag)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return ox_diag_set(diag, OX_E_CONFIG, "tls.clients_file", -1, "%.200s cannot be opened: %s", path,
                           strerror(errno));
    size_t n = 1;
    while (n > 0 && out->len <= CLIENTS_FILE_MAX) {
        uint8_t *to = ox_buf_reserve(out, 65536);
        n = to != NULL ? fread(to, 1, 65536, f) : 0;
        out->len += n;
    }
    bool bad = ferror(f) != 0 || out->failed || out->len > CLIENTS_FILE_MAX;
    fclose(f);
    return bad ? ox_diag_set(diag, OX_E_CONFIG, "tls.clients_file", -1,
                             "%.200s cannot be read, or is larger than 4 MiB", path)
               : OX_OK;
}

/* A file that cannot be used leaves the table as it was. */
static ox_err
read_clients(struct node_main *m, const struct ox_config *cfg, struct ox_diag *diag)
{
    struct ox_client_map map = {0, NULL};
    struct ox_buf text = {0};
    ox_err err = OX_OK;
    if (cfg->tls_clients_file[0] != '\0') {
        err = read_text(cfg->tls_clients_file, &text, diag);
        if (err == OX_OK)
            err = ox_client_map_parse(ox_buf_str(&text), &map, diag);
        ox_buf_fini(&text);
    }
    if (err == OX_OK)
        ox_cert_keys_take(m->node.keys, &map);
    return err;
}

static void
note_expiry(struct node_main *m)
{
    int64_t now_s = (int64_t)(ox_clock_realtime_ns(m->node.clock) / 1000000000);
    int64_t left_s = ox_tls_expires_s(m->node.tls) - now_s;
    ox_metric_set(OX_M_tls_expires, (double)ox_tls_expires_s(m->node.tls));
    if (left_s < EXPIRES_SOON_S)
        OX_LOG_WARN("tls", left_s > 0 ? "the certificate ends soon" : "the certificate has ended",
                    OX_F_I64("hours_left", left_s / 3600));
}

ox_err
node_tls_open(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    if (cfg->tls_cert_file[0] == '\0') {
        if (cfg->mode == OX_MODE_PRODUCTION)
            OX_LOG_WARN("node",
                        "the ports speak plain: keys and telemetry can be read on the way to them. Set "
                        "tls.cert_file and tls.key_file, unless a proxy on this machine ends TLS");
        return OX_OK;
    }
    const struct ox_tls_options o = options_of(cfg);
    ox_err err = ox_tls_new(&o, &m->node.tls, diag);
    if (err == OX_OK)
        err = read_clients(m, cfg, diag);
    if (err == OX_OK)
        note_expiry(m);
    return err;
}

static void
say(ox_err err, const struct ox_diag *diag)
{
    OX_METRIC_ADD_L(OX_M_tls_reloads, 1, err == OX_OK ? OX_STR("taken") : OX_STR("refused"));
    if (err == OX_OK)
        OX_LOG_INFO("tls", "certificate and key are read again; connections that there are go on");
    else
        OX_LOG_ERROR("tls", "what the files hold now cannot be used; what was in force goes on",
                     OX_F_ERR(err), OX_F_DIAG(diag));
}

void
node_tls_reload(struct node_main *m, const struct ox_config *cfg)
{
    struct ox_diag diag;
    bool wanted = cfg->tls_cert_file[0] != '\0';
    ox_diag_clear(&diag);
    if (wanted != (m->node.tls != NULL))
        OX_LOG_WARN("tls", "TLS is switched on and off by a restart; until then nothing changes");
    if (!wanted || m->node.tls == NULL)
        return;
    const struct ox_tls_options o = options_of(cfg);
    ox_lock(&lock);
    ox_err err = ox_tls_reload(m->node.tls, &o, &diag);
    if (err == OX_OK)
        err = read_clients(m, cfg, &diag);
    ox_unlock(&lock);
    say(err, &diag);
    note_expiry(m);
}

/* ---- the actor ---- */

static void
look(void *arg)
{
    struct node_main *m = arg;
    if (ox_tls_changed(m->node.tls))
        node_tls_reload(m, ox_node_config(&m->node));
}

static void
look_later(struct ox_actor *self)
{
    if (ox_timer_start(self, LOOK_MS, OX_K_retry, 0, NULL) != OX_OK)
        ox_panic("no timer to look at the certificates by"); /* the next incarnation begins anew */
}

static ox_err
tls_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    *(struct node_main **)ox_actor_state(self) = arg;
    look_later(self);
    return OX_OK;
}

static void
tls_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct node_main *m = *(struct node_main **)ox_actor_state(self);
    if (msg->kind != OX_K_retry || ox_dirty_submit(self, NULL, look, m, OX_K_tls_looked, NULL, NULL) != OX_OK)
        look_later(self);
}

static const struct ox_actor_class tls_class = {
    .name = "tls",
    .state_size = sizeof(struct node_main *),
    .on_start = tls_start,
    .on_message = tls_message,
};

ox_err
node_tls_watch(struct node_main *m, struct ox_diag *diag)
{
    ox_pid pid;
    struct ox_child_spec spec = {
        .id = "tls", .class = &tls_class, .arg = m, .name = "tls", .restart = OX_RESTART_PERMANENT};
    return m->node.tls != NULL ? ox_sup_add_wait(m->root, &spec, &pid, diag) : OX_OK;
}
