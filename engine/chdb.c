/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/chdb.c - finding and loading libchdb.so.
 *
 * Owns:    nothing but the handle, which is never closed: the library does not survive being unloaded.
 * Threads: start-up only.
 * Fails:   OX_E_NOT_FOUND, OX_E_UNIMPLEMENTED.
 * Flow:    engine_main.c -> here.
 */
#include "engine/chdb.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/engine.h"

#define LIB_BESIDE_EXE "../engine/npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"

struct symbol {
    const char *name;
    size_t offset;
};

static const struct symbol symbols[] = {
    {"chdb_connect", offsetof(struct ox__chdb, connect)},
    {"chdb_close_conn", offsetof(struct ox__chdb, close_conn)},
    {"chdb_query_n", offsetof(struct ox__chdb, query_n)},
    {"chdb_query_with_params_n", offsetof(struct ox__chdb, query_params)},
    {"chdb_stream_query_with_params_n", offsetof(struct ox__chdb, stream_params)},
    {"chdb_stream_fetch_result", offsetof(struct ox__chdb, stream_fetch)},
    {"chdb_stream_cancel_query", offsetof(struct ox__chdb, stream_cancel)},
    {"chdb_destroy_query_result", offsetof(struct ox__chdb, destroy)},
    {"chdb_result_buffer", offsetof(struct ox__chdb, buffer)},
    {"chdb_result_length", offsetof(struct ox__chdb, length)},
    {"chdb_result_error", offsetof(struct ox__chdb, error)},
    {"chdb_result_rows_read", offsetof(struct ox__chdb, rows_read)},
    {"chdb_result_storage_rows_read", offsetof(struct ox__chdb, storage_rows_read)},
    {"chdb_result_storage_bytes_read", offsetof(struct ox__chdb, storage_bytes_read)},
    {"chdb_result_rows_written", offsetof(struct ox__chdb, rows_written)},
    {"chdb_result_bytes_written", offsetof(struct ox__chdb, bytes_written)},
    {"chdb_set_signal_handlers_enabled", offsetof(struct ox__chdb, set_signal_handlers_enabled)},
};

ox_err
ox__chdb_load(const char *path, struct ox__chdb *out, struct ox_diag *diag)
{
    /* Local scope: the symbols of the many libraries inside must not meet ours. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "lib_path", -1, "cannot load the engine: %s", dlerror());
    for (size_t i = 0; i < OX_COUNT(symbols); i++) {
        void *found = dlsym(handle, symbols[i].name);
        if (found == NULL)
            return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "lib_path", -1,
                               "%s has no function %s: the version of engine/npm/package-lock.json is needed",
                               path, symbols[i].name);
        memcpy((char *)out + symbols[i].offset, &found, sizeof(found));
    }
    /* With its own handlers a fault would hang the process instead of ending it. */
    out->set_signal_handlers_enabled(0);
    return OX_OK;
}

static ox_err
beside_executable(char *out, size_t out_size, struct ox_diag *diag)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n <= 0)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "lib_path", -1, "cannot tell where the executable lies");
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash != NULL)
        *slash = '\0';
    int len = snprintf(out, out_size, "%s/%s", exe, LIB_BESIDE_EXE);
    if (len < 0 || (size_t)len >= out_size)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "lib_path", -1, "the path of the executable is too long");
    return OX_OK;
}

ox_err
ox_engine_find_library(const char *path, char *out, size_t out_size, struct ox_diag *diag)
{
    const char *named = path != NULL ? path : getenv("OBSERVE_X_LIBCHDB");
    if (named != NULL && *named != '\0') {
        if (strlen(named) >= out_size)
            return ox_diag_set(diag, OX_E_NOT_FOUND, "lib_path", -1, "the path of libchdb.so is too long");
        memcpy(out, named, strlen(named) + 1);
    } else {
        ox_err err = beside_executable(out, out_size, diag);
        if (err != OX_OK)
            return err;
    }
    if (access(out, R_OK) != 0)
        return ox_diag_set(
            diag, OX_E_NOT_FOUND, "lib_path", -1,
            "the engine library is not at %s: run `make setup`, or name it in OBSERVE_X_LIBCHDB", out);
    return OX_OK;
}
