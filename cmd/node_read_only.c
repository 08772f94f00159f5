/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_read_only.c - an operator makes storage read-only, and takes it back.
 *
 * Owns:    DIR/storage-read-only, which is there while an operator wants it so, and the bit OPERATOR of
 *          ox_node.read_only.
 * Threads: load on the main thread; the answer on query threads, several at once.
 * Fails:   IO when the wish cannot be made durable; the state is then as before.
 * Flow:    POST /admin/storage/readonly?enable=true|disable=true -> here; policies/read_only.c has the reasons.
 *
 * disable also ends the reasons that end by themselves, as far as the disk allows it: room for the reserve is enough,
 * without the quarter more that the way back usually wants, and a failed write is tried again at once.
 */
#include <stdio.h>
#include <unistd.h>

#include "cmd/node_internal.h"
#include "ox/disk.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/permission.h"
#include "ox/read_only.h"

static void
marker_path(const struct node_main *m, char path[OX_DISK_PATH_MAX])
{
    snprintf(path, OX_DISK_PATH_MAX, "%s/storage-read-only", m->config.data);
}

static void
set_operator(struct ox_node *node, bool on)
{
    if (on)
        atomic_fetch_or_explicit(&node->read_only, OX_READ_ONLY_OPERATOR, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&node->read_only, ~(uint32_t)OX_READ_ONLY_OPERATOR, memory_order_relaxed);
    OX_METRIC_SET_L(OX_M_storage_read_only, on ? 1 : 0, ox_str_of(ox_read_only_name(OX_READ_ONLY_OPERATOR)));
}

void
node_read_only_load(struct node_main *m)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    for (uint32_t reason = 1; reason < OX_READ_ONLY_ALL; reason <<= 1)
        OX_METRIC_SET_L(OX_M_storage_read_only, 0, ox_str_of(ox_read_only_name((enum ox_read_only)reason)));
    marker_path(m, path);
    if (ox_disk_open(m->node.disk, path, OX_DISK_READ, 0, &fd) != OX_OK)
        return;
    ox_disk_close(m->node.disk, fd);
    set_operator(&m->node, true);
    OX_LOG_WARN("node", "storage is read-only, as an operator wanted it before the restart",
                OX_F_STR("file", path));
}

/* The wish is durable before it is in force, and before it is said to be. */
static ox_err
keep_wish(struct node_main *m, bool on)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    ox_err err;
    marker_path(m, path);
    if (on) {
        err = ox_disk_open(m->node.disk, path, OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd);
        if (err == OX_OK)
            ox_disk_close(m->node.disk, fd);
    } else {
        err = ox_disk_unlink(m->node.disk, path);
        err = err == OX_E_NOT_FOUND ? OX_OK : err;
    }
    return err == OX_OK ? ox_disk_fsync_dir(m->node.disk, m->config.data) : err;
}

static void
write_state(struct ox_node *node, struct ox_query_response *res)
{
    uint32_t reasons = atomic_load_explicit(&node->read_only, memory_order_relaxed);
    const char *comma = "";
    ox_buf_printf(&res->body, "{\"read_only\":%s,\"reasons\":[", reasons != 0 ? "true" : "false");
    for (uint32_t reason = 1; reason < OX_READ_ONLY_ALL; reason <<= 1) {
        if ((reasons & reason) == 0)
            continue;
        ox_buf_printf(&res->body, "%s\"%s\"", comma, ox_read_only_name((enum ox_read_only)reason));
        comma = ",";
    }
    ox_buf_append_cstr(&res->body, "]}");
}

/* Written before the act, as for every order. */
static ox_err
audit(struct node_main *m, const struct ox_query_request *req, bool on, bool granted)
{
    struct ox_audit_entry entry = {.who = {req->credential, req->peer, ox_role_name(req->role)},
                                   .action = ox_action_name(OX_ACTION_STORAGE_READ_ONLY),
                                   .tenant = "",
                                   .outcome = granted ? "granted" : "refused",
                                   .detail = on ? "enable" : "disable",
                                   .unauthorised = !granted};
    return ox_audit_write(m->warden.audit, &entry);
}

static void
disable(struct node_main *m, struct ox_query_response *res)
{
    struct ox_node *node = &m->node;
    set_operator(node, false);
    ox_wal_look_again(node);
    uint32_t left = atomic_load_explicit(&node->read_only, memory_order_relaxed);
    OX_LOG_WARN("node", "an operator takes back that storage is read-only", OX_F_U64("reasons_left", left));
    if ((left & OX_READ_ONLY_SPACE) != 0)
        ox_query_respond_error(res, OX_E_STATE, "less than wal.disk_reserve is free on the data disk",
                               "make room, or lower wal.disk_reserve; it ends by itself then");
    else if ((left & OX_READ_ONLY_IO) != 0)
        ox_query_respond_error(res, OX_E_STATE, "the data disk still refuses a test write",
                               "see the log for the error; it ends by itself once the disk works");
    else
        write_state(node, res);
}

static void
enable(struct node_main *m, struct ox_query_response *res)
{
    set_operator(&m->node, true);
    OX_LOG_WARN("node", "an operator makes storage read-only: new requests are refused");
    write_state(&m->node, res);
}

void
node_read_only_answer(struct node_main *m, const struct ox_query_request *req, struct ox_query_response *res)
{
    bool on = ox_str_eq(req->query, OX_STR("enable=true"));
    bool off = ox_str_eq(req->query, OX_STR("disable=true"));
    struct ox_diag diag;
    if (ox_may(req->role, req->scopes, OX_ACTION_STORAGE_READ_ONLY, &diag) != OX_OK) {
        if (on || off)
            (void)!audit(m, req, on, false); /* refused all the same */
        ox_query_respond_error(res, OX_E_FORBIDDEN, diag.text,
                               "in development mode a request from this machine without a key has it");
        return;
    }
    if (ox_str_eq(req->method, OX_STR("GET"))) {
        write_state(&m->node, res);
        return;
    }
    if (!ox_str_eq(req->method, OX_STR("POST"))) {
        ox_query_respond_error(res, OX_E_METHOD, "this path is asked with GET and changed with POST", NULL);
        res->allow = "GET, POST";
        return;
    }
    if (!on && !off) {
        ox_query_respond_error(res, OX_E_INVALID, "say what is to become of the read-only state",
                               "POST /admin/storage/readonly?enable=true or ?disable=true");
        return;
    }
    ox_err err = audit(m, req, on, true);
    if (err == OX_OK)
        err = keep_wish(m, on);
    if (err != OX_OK)
        ox_query_respond_error(
            res, err, "the order cannot be written to the data directory; nothing has changed", NULL);
    else if (on)
        enable(m, res);
    else
        disable(m, res);
}
