/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_parts.c - the node's smaller parts: who may send, the password of storage, the API.
 *
 * Owns:    DIR/dev.secret, made on first use.
 * Threads: main, before the actors run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/node_internal.h"
#include "ox/log.h"
#include "ox/random.h"

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
            "the development secret is damaged; remove the file to get a new one (keys change with it)");
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
    char path[OX_DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%s/dev.secret", data);
    ox_err err = read_secret(path, hex, diag);
    return err == OX_E_NOT_FOUND ? make_secret(path, hex, diag) : err;
}

ox_err
node_keystore(const struct ox_config *cfg, struct ox_keystore **out, struct ox_diag *diag)
{
    char hex[2 * DEV_SECRET_BYTES + 1];
    if (cfg->mode != OX_MODE_DEVELOPMENT)
        return ox_diag_set(
            diag, OX_E_CONFIG, "mode", -1,
            "production needs a key store in PostgreSQL, which this release does not have yet; "
            "use mode: development on a machine that you trust");
    ox_err err = node_dev_secret(cfg->data, hex, diag);
    if (err != OX_OK)
        return err;
    *out = ox_keystore_dev_new(ox_str_of(hex));
    OX_LOG_WARN("node",
                "development mode: requests from this machine need no key, keys derive from one secret");
    return *out != NULL ? OX_OK : OX_E_NOMEM;
}

ox_err
node_password(const struct ox_config *cfg, char *out, size_t size, struct ox_diag *diag)
{
    out[0] = '\0';
    if (cfg->storage_password_file[0] == '\0')
        return OX_OK;
    FILE *f = fopen(cfg->storage_password_file, "re");
    if (f == NULL)
        return ox_diag_set(diag, OX_E_CONFIG, "storage.password_file", -1, "%s cannot be opened: %s",
                           cfg->storage_password_file, strerror(errno));
    if (fgets(out, (int)size, f) == NULL)
        out[0] = '\0';
    fclose(f);
    out[strcspn(out, "\r\n")] = '\0';
    return OX_OK;
}
