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
#include <sys/stat.h>

#include "cmd/node_internal.h"
#include "ox/log.h"

static void
path_in(const char *data, const char *name, char out[OX_DISK_PATH_MAX])
{
    snprintf(out, OX_DISK_PATH_MAX, "%s/crash/%s", data, name);
}

/* The crash record: its first line names who ran; the rest is a backtrace for people. NULL: there is none. */
static json_t *
read_record(const char *path, char *backtrace, size_t size, uint64_t *time_ns)
{
    char line[4096];
    struct stat st;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return NULL;
    json_t *record = fgets(line, sizeof(line), f) != NULL ? json_loads(line, 0, NULL) : NULL;
    backtrace[fread(backtrace, 1, size - 1, f)] = '\0';
    *time_ns = fstat(fileno(f), &st) == 0
                   ? (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec
                   : 0;
    fclose(f);
    return record;
}

static void
charge_record(struct node_main *m, struct ox_suspects *s)
{
    char path[OX_DISK_PATH_MAX], kept[OX_DISK_PATH_MAX], backtrace[2048];
    uint64_t time_ns;
    path_in(m->config.data, "node.json", path);
    json_t *record = read_record(path, backtrace, sizeof(backtrace), &time_ns);
    if (record == NULL)
        return;
    const char *tenant = json_string_value(json_object_get(record, "tenant"));
    uint64_t wal_seq = (uint64_t)json_integer_value(json_object_get(record, "wal_seq"));
    ox_suspects_charge(s, wal_seq, tenant != NULL ? tenant : "");
    node_crash_note_record(m, record, backtrace, time_ns);
    node_crash_save(m); /* now: the next end may come before anybody else does */
    if (tenant != NULL)
        ox_warden_faulted(&m->warden, tenant, (uint32_t)m->config.supervisor_max_restarts,
                          (uint64_t)m->config.supervisor_restart_window_ms * 1000000);
    OX_LOG_ERROR("node", "the previous node died of a fault; its record is kept in crash/node.previous.json",
                 OX_F_STR("tenant", tenant != NULL ? tenant : ""), OX_F_U64("wal_seq", wal_seq));
    json_decref(record);
    path_in(m->config.data, "node.previous.json", kept);
    if (rename(path, kept) != 0)
        OX_LOG_WARN("node", "the crash record cannot be put away", OX_F_STR("cause", strerror(errno)));
}

void
node_suspects_load(struct node_main *m, struct ox_suspects *out)
{
    char path[OX_DISK_PATH_MAX];
    path_in(m->config.data, "suspects", path);
    ox_err err = ox_suspects_load(ox_disk_real(), path, out);
    uint32_t before = out->n;
    charge_record(m, out);
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
