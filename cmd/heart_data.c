/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_data.c - the data directory: made, locked, measured, and given this boot's secret.
 *
 * DIR/lock is a flock that the heart takes and its children inherit. While a heart's children outlive it by
 * the milliseconds that a kill takes, the lock is still theirs, and the next start waits for them instead of
 * opening the same store twice.
 *
 * Owns:    DIR, DIR/lock, DIR/secret.
 * Threads: the main thread, before the loop runs.
 * Bounds:  ORPHANS_MS of waiting for a dead heart's children.
 * Fails:   STATE (in use), IO, DISK_FULL; the sentence says what to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cmd/heart_internal.h"
#include "ox/log.h"
#include "ox/random.h"

#define ORPHANS_MS     10000 /* a killed engine lets go of its memory well within that */
#define ORPHAN_LOOK_MS 50

static ox_err
make_dir(const char *data, struct ox_diag *diag)
{
    struct stat st;
    if (mkdir(data, 0700) != 0 && errno != EEXIST)
        return ox_diag_set(
            diag, ox_err_from_errno(errno), "data", -1,
            "the data directory %s cannot be made: %s; its parent must exist and be writable (--data DIR)",
            data, strerror(errno));
    if (stat(data, &st) != 0 || !S_ISDIR(st.st_mode))
        return ox_diag_set(diag, OX_E_IO, "data", -1, "%s is not a directory; choose another with --data DIR",
                           data);
    if (access(data, R_OK | W_OK | X_OK) != 0)
        return ox_diag_set(diag, OX_E_IO, "data", -1,
                           "the data directory %s is not writable for this user: %s", data, strerror(errno));
    return OX_OK;
}

/* The pid that the holder wrote, or 0. */
static pid_t
holder_of(int fd)
{
    char text[32] = {0};
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

static bool
alive(pid_t pid)
{
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

/* Tries until it works, its holder proves alive, or a dead holder's children take too long. */
static ox_err
take_lock(int fd, const char *data, struct ox_diag *diag)
{
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += ORPHAN_LOOK_MS) {
        if (errno != EWOULDBLOCK)
            return ox_diag_set(diag, OX_E_IO, "data", -1, "%s/lock cannot be locked: %s", data,
                               strerror(errno));
        pid_t holder = holder_of(fd);
        if (alive(holder))
            return ox_diag_set(
                diag, OX_E_STATE, "data", -1,
                "ObserveX already runs on %s with pid %d; stop it (kill %d) or give this one a "
                "directory and ports of its own (--data DIR)",
                data, (int)holder, (int)holder);
        if (waited >= ORPHANS_MS)
            return ox_diag_set(
                diag, OX_E_STATE, "data", -1,
                "%s/lock is held by processes left over from pid %d; `fuser %s/lock` shows them", data,
                (int)holder, data);
        (void)poll(NULL, 0, ORPHAN_LOOK_MS);
    }
    return OX_OK;
}

ox_err
ox__data_lock(const char *data, int *lock_fd, struct ox_diag *diag)
{
    char path[OX_CONFIG_STRING_MAX + 16];
    char text[32];
    ox_err err = make_dir(data, diag);
    if (err != OX_OK)
        return err;
    snprintf(path, sizeof(path), "%s/lock", data);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return ox_diag_set(diag, ox_err_from_errno(errno), "data", -1, "%s cannot be opened: %s", path,
                           strerror(errno));
    err = take_lock(fd, data, diag);
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (err == OX_OK && (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n))
        err = ox_diag_set(diag, ox_err_from_errno(errno), "data", -1, "%s cannot be written: %s", path,
                          strerror(errno));
    if (err != OX_OK) {
        close(fd);
        return err;
    }
    *lock_fd = fd;
    return OX_OK;
}

bool
ox_data_held(const char *data)
{
    char path[OX_CONFIG_STRING_MAX + 16];
    snprintf(path, sizeof(path), "%s/lock", data);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd); /* and with it what was taken; a start that came upon it tries again */
    return held;
}

ox_err
ox__data_space(const struct ox_config *config, struct ox_diag *diag)
{
    struct statvfs vfs;
    if (statvfs(config->data, &vfs) != 0)
        return OX_OK; /* a file system without the call is not full */
    uint64_t free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    if (free_bytes < config->heart_disk_min_bytes)
        return ox_diag_set(
            diag, OX_E_DISK_FULL, "data", -1,
            "the disk of %s has %llu MiB free, less than heart.disk_min (%llu MiB): make room or choose "
            "another disk with --data DIR",
            config->data, (unsigned long long)(free_bytes >> 20),
            (unsigned long long)(config->heart_disk_min_bytes >> 20));
    if (free_bytes < config->heart_disk_warn_bytes)
        OX_LOG_WARN("heart", "little free space on the data disk", OX_F_STR("data", config->data),
                    OX_F_U64("free_bytes", free_bytes),
                    OX_F_U64("warn_below_bytes", config->heart_disk_warn_bytes));
    return OX_OK;
}

static bool
write_all(int fd, struct ox_str text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text.p += n;
        text.n -= (size_t)n;
    }
    return true;
}

ox_err
ox__file_replace(const char *path, unsigned mode, struct ox_str text, struct ox_diag *diag)
{
    char temp[OX_CONFIG_STRING_MAX + 48];
    snprintf(temp, sizeof(temp), "%s.%d.tmp", path, (int)getpid());
    (void)unlink(temp); /* O_EXCL below: never write through somebody's link */
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok = fd >= 0 && write_all(fd, text);
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        why = errno;
        ok = false;
    }
    if (ok && rename(temp, path) == 0)
        return OX_OK;
    if (ok)
        why = errno;
    (void)unlink(temp);
    return ox_diag_set(diag, ox_err_from_errno(why), path, -1, "%s cannot be written: %s", path,
                       strerror(why));
}

static void
secret_path(const char *data, char *out, size_t size)
{
    snprintf(out, size, "%s/secret", data);
}

ox_err
ox__secret_create(const char *data, struct ox_diag *diag)
{
    uint8_t bytes[OX_SECRET_HEX / 2];
    char text[OX_SECRET_HEX + 2];
    char path[OX_CONFIG_STRING_MAX + 16];
    if (ox_random_os(bytes, sizeof(bytes)) != OX_OK)
        return ox_diag_set(diag, OX_E_IO, "secret", -1, "the kernel gives no random bytes for the secret");
    ox_hex_encode(bytes, sizeof(bytes), text);
    text[OX_SECRET_HEX] = '\n';
    secret_path(data, path, sizeof(path));
    ox_err err = ox__file_replace(path, 0600, (struct ox_str){text, OX_SECRET_HEX + 1}, diag);
    explicit_bzero(text, sizeof(text));
    explicit_bzero(bytes, sizeof(bytes));
    return err;
}

ox_err
ox_secret_read(const char *data, char out[OX_SECRET_HEX + 1], struct ox_diag *diag)
{
    uint8_t bytes[OX_SECRET_HEX / 2];
    char path[OX_CONFIG_STRING_MAX + 16];
    secret_path(data, path, sizeof(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        return ox_diag_set(diag, OX_E_FORBIDDEN, "data", -1, "%s is readable for the owner of %s only", path,
                           data);
    if (fd < 0)
        return ox_diag_set(
            diag, OX_E_NOT_FOUND, "data", -1,
            "nothing runs on %s (no %s): start `observex serve --data %s`, or name the right directory", data,
            path, data);
    ssize_t n = read(fd, out, OX_SECRET_HEX);
    close(fd);
    out[OX_SECRET_HEX] = '\0';
    if (n != OX_SECRET_HEX ||
        ox_hex_decode((struct ox_str){out, OX_SECRET_HEX}, bytes, sizeof(bytes)) != OX_OK)
        return ox_diag_set(diag, OX_E_CORRUPT, "data", -1,
                           "%s does not hold a secret; restart `observex serve`", path);
    return OX_OK;
}
