/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_engine.c - `observex engine`: what the heart starts to become the storage engine's process.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   the engine's exit codes (ox/engine.h); OX_EXIT_USAGE for wrong arguments.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"
#include "ox/engine.h"
#include "ox/schema.h"

static int
run(const struct ox_config *config, const struct ox_child_args *args, const char *secret)
{
    char engine_dir[OX_CONFIG_STRING_MAX + 16];
    struct ox_diag diag;
    ox_diag_clear(&diag);
    snprintf(engine_dir, sizeof(engine_dir), "%s/engine", config->data);
    const struct ox_engine_options options = {
        .data_dir = engine_dir,
        .tables = ox_schema_tables,
        .tables_n = ox_schema_tables_count,
        .listen_fd = -1,
        .control_fd = args->fd_control,
        .secret = secret,
        .socket_path = args->socket,
        .die_with_parent = args->fd_control >= 0,
        .memory_bytes_max = config->engine_memory_bytes,
        .queries_max = (unsigned)config->engine_concurrency,
        .stop_timeout_ms = (unsigned)(config->heart_engine_stop_ms / 2),
        .lib_path = config->libchdb[0] != '\0' ? config->libchdb : NULL,
    };
    return ox_engine_main(&options, &diag);
}

int
ox_cmd_engine(int argc, char **argv)
{
    static struct ox_config config;
    static char secret[OX_SECRET_HEX + 1];
    struct ox_child_args args;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox_child_args_take(&argc, argv, &args) != OX_OK || ox_cmd_load(argc, argv, &config) != OX_OK)
        return OX_EXIT_USAGE;
    ox_cmd_set_log_level(&config);
    if (args.socket == NULL)
        return ox_complain_usage("engine", "--socket PATH is missing");
    if (ox_secret_read(config.data, secret, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    return run(&config, &args, secret);
}
