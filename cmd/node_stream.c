/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_stream.c - the stream of the tenants' backlogs, when a NATS server is configured.
 *
 * Owns:    DIR/node-id, made on first use: whose stream it is, over all restarts.
 * Threads: main, before the actors run.
 * Fails:   IO, CORRUPT, NOMEM; a server that does not answer is no failure.
 */
#include <stdio.h>

#include "cmd/node_internal.h"
#include "ox/disk.h"
#include "ox/log.h"
#include "ox/random.h"
#include "ox/stream.h"

static ox_err
make_id(struct ox_disk *disk, const char *dir, const char *path, char id[OX_STREAM_NODE_ID_HEX + 1],
        struct ox_diag *diag)
{
    uint8_t bytes[OX_STREAM_NODE_ID_HEX / 2];
    char next[OX_DISK_PATH_MAX];
    int fd;
    ox_err err = ox_random_os(bytes, sizeof(bytes));
    ox_hex_encode(bytes, sizeof(bytes), id);
    if (snprintf(next, sizeof(next), "%s.new", path) >= (int)sizeof(next))
        err = OX_E_INVALID;
    if (err == OX_OK)
        err = ox_disk_open(disk, next, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err == OX_OK) {
        err = ox_disk_write_all(disk, fd, id, OX_STREAM_NODE_ID_HEX, 0);
        if (err == OX_OK)
            err = ox_disk_fdatasync(disk, fd);
        ox_disk_close(disk, fd);
    }
    if (err == OX_OK)
        err = ox_disk_rename(disk, next, path);
    if (err == OX_OK)
        err = ox_disk_fsync_dir(disk, dir);
    return err == OX_OK ? err : ox_diag_set(diag, err, path, -1, "cannot be written: %s", ox_err_text(err));
}

static ox_err
node_id(struct ox_disk *disk, const char *dir, char id[OX_STREAM_NODE_ID_HEX + 1], struct ox_diag *diag)
{
    char path[OX_DISK_PATH_MAX];
    uint8_t bytes[OX_STREAM_NODE_ID_HEX / 2];
    int fd;
    snprintf(path, sizeof(path), "%s/node-id", dir);
    ox_err err = ox_disk_open(disk, path, OX_DISK_READ, 0, &fd);
    if (err == OX_E_NOT_FOUND)
        return make_id(disk, dir, path, id, diag);
    if (err == OX_OK) {
        err = ox_disk_read_all(disk, fd, id, OX_STREAM_NODE_ID_HEX, 0);
        ox_disk_close(disk, fd);
    }
    id[OX_STREAM_NODE_ID_HEX] = '\0';
    if (err == OX_OK && ox_hex_decode(ox_str_of(id), bytes, sizeof(bytes)) != OX_OK)
        err = OX_E_CORRUPT;
    return err == OX_OK
               ? err
               : ox_diag_set(diag, err, path, -1,
                             "cannot be read: %s; it names this node's stream (spill.nats_url) and holds %d "
                             "hex digits",
                             ox_err_text(err), OX_STREAM_NODE_ID_HEX);
}

ox_err
node_stream_open(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    struct ox_stream_options options = {
        .url = cfg->spill_nats_url,
        .credentials = cfg->spill_nats_credentials,
        .ca_file = cfg->spill_nats_ca_file,
        .cert_file = cfg->spill_nats_cert_file,
        .bytes_max = cfg->spill_nats_bytes,
        .replicas = (uint32_t)cfg->spill_nats_replicas,
        .timeout_ms = (uint32_t)cfg->spill_nats_timeout_ms,
        .job_ms = (uint32_t)cfg->spill_nats_job_time_ms,
    };
    uint64_t streamed = 0;
    for (size_t i = 0; i < m->recovered.n_backlogs; i++)
        streamed += m->recovered.backlogs[i].streamed;
    if (cfg->spill_nats_url[0] == '\0') {
        if (streamed > 0)
            OX_LOG_ERROR("node",
                         "backlogs have entries in the stream of a NATS server, and spill.nats_url is empty: "
                         "they wait until it names the server",
                         OX_F_U64("entries", streamed));
        return OX_OK;
    }
    options.empty = streamed == 0;
    ox_err err = node_id(m->node.disk, cfg->data, options.node_id, diag);
    if (err != OX_OK)
        return err;
    m->node.stream = ox_stream_new(&options);
    return m->node.stream != NULL ? OX_OK
                                  : ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the stream");
}
