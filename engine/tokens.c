/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/tokens.c - deduplication logs with synchronous writes.
 *
 * MergeTree notes the token of an insert in DATA/store/xxx/<table>/deduplication_logs/, then renames the part to its final
 * name and syncs it. The note itself it never syncs: after a power loss the part of a block in flight can be there and its
 * token gone, and the block is stored twice when it is sent again. The attribute S (chattr +S) makes the kernel sync each write to these files before it returns; new files
 * inherit it from their directory. The order is then the right one: whatever part is durable, its token is, too.
 *
 * The other way round stays possible, a token without its part; the outbox looks for that (actors/writer/outbox_jobs.c).
 *
 * Owns:    nothing.
 * Threads: see tokens.h.
 * Bounds:  one directory per table.
 * Fails:   a warning in the log, once; inserts go on.
 */
#include "engine/tokens.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ox/base.h"
#include "ox/log.h"

#define LOGS_DIR "deduplication_logs"

static atomic_bool warned;

static void
warn(const char *why)
{
    if (!atomic_exchange(&warned, true))
        OX_LOG_WARN("engine",
                    "this file system has no synchronous files (chattr +S): a power loss may store blocks "
                    "twice that were "
                    "being inserted",
                    OX_F_STR("why", why));
}

/* fd: take. */
static void
set_sync(int fd)
{
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) {
        warn(strerror(errno));
    } else if (!(flags & FS_SYNC_FL)) {
        flags |= FS_SYNC_FL;
        if (ioctl(fd, FS_IOC_SETFLAGS, &flags) != 0)
            warn(strerror(errno));
    }
    close(fd);
}

static DIR *
open_dir(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0)
        close(fd);
    return dir;
}

/* The next name that is none of "." and ".."; NULL at the end. */
static const char *
next_name(DIR *dir)
{
    struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] != '.')
            return e->d_name;
    }
    return NULL;
}

static void
sync_logs(int table)
{
    DIR *logs = open_dir(table, LOGS_DIR);
    const char *name;
    if (logs == NULL)
        return; /* a view, or a table without tokens */
    /* First the directory: a file that is made meanwhile inherits from it. */
    int fd = openat(table, LOGS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        set_sync(fd);
    while ((name = next_name(logs)) != NULL) {
        fd = openat(dirfd(logs), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
            set_sync(fd);
    }
    closedir(logs);
}

static void
each_table(DIR *group)
{
    const char *name;
    while ((name = next_name(group)) != NULL) {
        int table = openat(dirfd(group), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (table < 0)
            continue;
        sync_logs(table);
        close(table);
    }
}

void
ox__tokens_make_durable(const char *data_dir)
{
    char path[2080];
    const char *name;
    snprintf(path, sizeof(path), "%s/store", data_dir);
    DIR *store = opendir(path);
    if (store == NULL)
        return; /* nothing was ever created */
    while ((name = next_name(store)) != NULL) {
        DIR *group = open_dir(dirfd(store), name);
        if (group == NULL)
            continue;
        each_table(group);
        closedir(group);
    }
    closedir(store);
}
