/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_boot.c - has this machine started anew since the last node ran on this data directory?
 *
 * Owns:    DIR/boot: the kernel's boot_id (random(4)) of the last run.
 * Threads: main, at the start.
 * Fails:   never: whoever cannot tell is told yes, which costs rows of views at worst, never records.
 * Flow:    here -> node->machine_restarted -> actors/writer/outbox_jobs.c.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/node_internal.h"
#include "ox/log.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX  64

static bool
read_line(const char *path, char line[BOOT_ID_MAX])
{
    FILE *f = fopen(path, "re");
    bool got = f != NULL && fgets(line, BOOT_ID_MAX, f) != NULL;
    if (f != NULL)
        fclose(f);
    if (got)
        line[strcspn(line, "\n")] = '\0';
    return got && line[0] != '\0';
}

/* Durable, so that a second loss of power does not bring back the boot before the last. */
static ox_err
keep(struct ox_disk *disk, const char *dir, const char *path, const char *boot)
{
    char tmp[OX_DISK_PATH_MAX];
    int fd;
    snprintf(tmp, sizeof(tmp), "%s.new", path);
    ox_err err = ox_disk_open(disk, tmp, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(disk, fd, boot, strlen(boot), 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, fd);
    ox_disk_close(disk, fd);
    if (err == OX_OK)
        err = ox_disk_rename(disk, tmp, path);
    return err == OX_OK ? ox_disk_fsync_dir(disk, dir) : err;
}

bool
node_machine_restarted(struct ox_disk *disk, const char *data)
{
    char path[OX_DISK_PATH_MAX - 8], now[BOOT_ID_MAX] = "", before[BOOT_ID_MAX] = "";
    snprintf(path, sizeof(path), "%s/boot", data);
    bool known = read_line(BOOT_ID_PATH, now), kept = read_line(path, before);
    if (known && kept && strcmp(now, before) == 0)
        return false;
    ox_err err = known ? keep(disk, data, path, now) : OX_OK;
    if (err != OX_OK)
        OX_LOG_WARN("node", "the boot that this node runs in cannot be noted", OX_F_STR("path", path),
                    OX_F_ERR(err));
    return true;
}
