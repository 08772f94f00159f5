/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_suspects.c - from the way the last node ended to the log entries that are suspected of it.
 *
 * Owns:    DIR/crash/suspects; DIR/crash/node.json becomes node.previous.json once it is charged.
 * Threads: main at the start; the scheduler that buries a bookkeeper, which ends the process right after.
 * Fails:   never: without the file an entry is replayed once more than it should be.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "cmd/node_internal.h"
#include "ox/log.h"

static void
path_in(const char *data, const char *name, char out[OX_DISK_PATH_MAX])
{
    snprintf(out, OX_DISK_PATH_MAX, "%s/crash/%s", data, name);
}

/* The crash record's first line names who ran; the rest is a backtrace for people. */
static bool
read_record(const char *path, uint64_t *wal_seq, char *tenant, size_t size)
{
    char line[4096];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool got = fgets(line, sizeof(line), f) != NULL;
    fclose(f);
    json_t *record = got ? json_loads(line, 0, NULL) : NULL;
    if (record == NULL)
        return false;
    *wal_seq = (uint64_t)json_integer_value(json_object_get(record, "wal_seq"));
    const char *name = json_string_value(json_object_get(record, "tenant"));
    snprintf(tenant, size, "%s", name != NULL ? name : "");
    json_decref(record);
    return true;
}

static void
charge_record(const char *data, struct ox_suspects *s)
{
    char path[OX_DISK_PATH_MAX], kept[OX_DISK_PATH_MAX], tenant[OX_TENANT_MAX + 1];
    uint64_t wal_seq = 0;
    path_in(data, "node.json", path);
    if (!read_record(path, &wal_seq, tenant, sizeof(tenant)))
        return;
    ox_suspects_charge(s, wal_seq, tenant);
    OX_LOG_ERROR("node", "the previous node died of a fault; its record is kept in crash/node.previous.json",
                 OX_F_STR("tenant", tenant), OX_F_U64("wal_seq", wal_seq));
    path_in(data, "node.previous.json", kept);
    if (rename(path, kept) != 0)
        OX_LOG_WARN("node", "the crash record cannot be put away", OX_F_STR("cause", strerror(errno)));
}

void
node_suspects_load(const struct ox_config *cfg, struct ox_suspects *out)
{
    char path[OX_DISK_PATH_MAX];
    path_in(cfg->data, "suspects", path);
    ox_err err = ox_suspects_load(ox_disk_real(), path, out);
    uint32_t before = out->n;
    charge_record(cfg->data, out);
    if (err == OX_OK && out->n > 0)
        err = ox_suspects_save(ox_disk_real(), path, out);
    if (err != OX_OK)
        OX_LOG_WARN("node", "the list of suspects cannot be kept", OX_F_ERR(err),
                    OX_F_U64("suspects", before));
}

void
node_suspects_charge(const struct ox_config *cfg, uint64_t wal_seq, const char *tenant)
{
    struct ox_suspects s;
    char path[OX_DISK_PATH_MAX];
    path_in(cfg->data, "suspects", path);
    ox_err err = ox_suspects_load(ox_disk_real(), path, &s);
    ox_suspects_charge(&s, wal_seq, tenant);
    if (err == OX_OK && wal_seq != 0)
        err = ox_suspects_save(ox_disk_real(), path, &s);
    if (err != OX_OK)
        OX_LOG_WARN("node", "the list of suspects cannot be kept", OX_F_ERR(err),
                    OX_F_U64("wal_seq", wal_seq));
}

void
node_suspects_settle(const struct ox_config *cfg, struct ox_suspects *s, uint64_t first_seq)
{
    char path[OX_DISK_PATH_MAX];
    uint32_t before = s->n;
    ox_suspects_forget_below(s, first_seq);
    if (s->n == before)
        return;
    path_in(cfg->data, "suspects", path);
    ox_err err = ox_suspects_save(ox_disk_real(), path, s);
    if (err != OX_OK)
        OX_LOG_WARN("node", "the list of suspects cannot be kept", OX_F_ERR(err));
}
