/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/files.c - what must lie on disk before libchdb is opened, and the socket.
 *
 * Owns:    DATA-config/lock (flock) until the process ends.
 * Threads: start-up only.
 * Fails:   OX_E_IO, OX_E_EXISTS, OX_E_CONFIG, OX_E_NOMEM.
 * Flow:    engine_main.c -> here.
 *
 * The engine is not under simulation, so it talks to the file system itself.
 */
#include "engine/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static ox_err
make_dir(const char *path, struct ox_diag *diag)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return OX_OK;
    return ox_diag_set(diag, OX_E_IO, "data_dir", -1, "cannot create the directory %s: %s", path,
                       strerror(errno));
}

static ox_err
absolute(const char *path, char *out, size_t size, struct ox_diag *diag)
{
    char resolved[PATH_MAX];
    if (realpath(path, resolved) == NULL || strlen(resolved) >= size)
        return ox_diag_set(diag, OX_E_IO, "data_dir", -1, "cannot use the directory %s: %s", path,
                           strerror(errno));
    memcpy(out, resolved, strlen(resolved) + 1);
    return OX_OK;
}

static ox_err
join(char *out, size_t size, const char *a, const char *b, struct ox_diag *diag)
{
    int n = snprintf(out, size, "%s%s", a, b);
    if (n < 0 || (size_t)n >= size)
        return ox_diag_set(diag, OX_E_CONFIG, "data_dir", -1, "the path %s%s is too long", a, b);
    return OX_OK;
}

/* Written anew at each start (the secret changes with each boot); nobody reads it while we write. */
static ox_err
write_file(const char *path, const struct ox_buf *text, struct ox_diag *diag)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text->data, text->len) == (ssize_t)text->len;
    int errnum = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        errnum = errno;
    }
    if (!ok)
        return ox_diag_set(diag, ox_err_from_errno(errnum), "config_dir", -1, "cannot write %s: %s", path,
                           strerror(errnum));
    return OX_OK;
}

/* libchdb would find out as well, but says so in the middle of its own log. */
static ox_err
take_lock(const struct ox__files *files, struct ox_diag *diag)
{
    char path[2064];
    ox_err err = join(path, sizeof(path), files->config_dir, "/lock", diag);
    if (err != OX_OK)
        return err;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return ox_diag_set(diag, OX_E_IO, "config_dir", -1, "cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return OX_OK; /* kept open: the lock lasts as long as the process */
    int errnum = errno;
    close(fd);
    if (errnum == EWOULDBLOCK)
        return ox_diag_set(diag, OX_E_EXISTS, "data_dir", -1,
                           "another engine is running on %s: stop it, or choose another data directory",
                           files->data_dir);
    return ox_diag_set(diag, OX_E_IO, "config_dir", -1, "cannot lock %s: %s", path, strerror(errnum));
}

static ox_err
write_config(const struct ox_engine_options *options, const struct ox__files *files, struct ox_diag *diag)
{
    struct ox_buf users = {0};
    struct ox_buf config = {0};
    ox_err err = ox_engine_users_xml(options->tables, options->tables_n, options->secret, &users, diag);
    if (err == OX_OK)
        err = ox_engine_config_xml(options, files->users_xml, &config);
    if (err == OX_OK)
        err = write_file(files->users_xml, &users, diag);
    if (err == OX_OK)
        err = write_file(files->engine_xml, &config, diag);
    ox_buf_fini(&users);
    ox_buf_fini(&config);
    return err;
}

static ox_err
make_dirs(const struct ox_engine_options *options, struct ox__files *out, struct ox_diag *diag)
{
    char metadata[2064];
    char config[2048];
    ox_err err = make_dir(options->data_dir, diag);
    if (err == OX_OK)
        err = absolute(options->data_dir, out->data_dir, sizeof(out->data_dir), diag);
    /* Without this directory a DROP TABLE ... SYNC on a fresh store hangs for ever. */
    if (err == OX_OK)
        err = join(metadata, sizeof(metadata), out->data_dir, "/metadata", diag);
    if (err == OX_OK)
        err = make_dir(metadata, diag);
    if (err == OX_OK)
        err = options->config_dir != NULL ? join(config, sizeof(config), options->config_dir, "", diag)
                                          : join(config, sizeof(config), out->data_dir, "-config", diag);
    if (err == OX_OK)
        err = make_dir(config, diag);
    if (err == OX_OK)
        err = absolute(config, out->config_dir, sizeof(out->config_dir), diag);
    return err;
}

ox_err
ox__files_prepare(const struct ox_engine_options *options, struct ox__files *out, struct ox_diag *diag)
{
    ox_err err = make_dirs(options, out, diag);
    if (err == OX_OK)
        err = join(out->engine_xml, sizeof(out->engine_xml), out->config_dir, "/engine.xml", diag);
    if (err == OX_OK)
        err = join(out->users_xml, sizeof(out->users_xml), out->config_dir, "/users.xml", diag);
    if (err == OX_OK)
        err = take_lock(out, diag);
    if (err == OX_OK)
        err = write_config(options, out, diag);
    return err;
}

ox_err
ox__files_listen(const struct ox_engine_options *options, int backlog, int *out, struct ox_diag *diag)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (options->listen_fd >= 0) {
        *out = options->listen_fd;
        return OX_OK;
    }
    const char *path = options->socket_path;
    if (strlen(path) >= sizeof(addr.sun_path))
        return ox_diag_set(diag, OX_E_CONFIG, "socket_path", -1,
                           "the socket's path %s is longer than %zu bytes: choose a shorter data directory",
                           path, sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* We hold the lock, so a socket that lies there belongs to nobody. */
    unlink(path);
    mode_t before = umask(0177);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, backlog) == 0;
    int errnum = errno;
    umask(before);
    if (ok) {
        *out = fd;
        return OX_OK;
    }
    if (fd >= 0)
        close(fd);
    return ox_diag_set(diag, OX_E_IO, "socket_path", -1, "cannot listen on %s: %s", path, strerror(errnum));
}
