/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_serve.c - `observex serve`: checks that this machine can run ObserveX, then becomes the heart.
 *
 * Owns:    nothing; cmd/heart.c does the work.
 * Threads: the main thread.
 * Fails:   OX_EXIT_USAGE (configuration), OX_EXIT_FAILED (this machine, directory, ports), OX_EXIT_CRASHING.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"
#include "ox/engine.h"

static bool
processor_fits(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
#else
    return false;
#endif
}

static int
check_machine(const struct ox_config *config)
{
    char path[OX_CONFIG_STRING_MAX * 8];
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (!processor_fits())
        return ox_complain(
            "this machine's processor is not supported: ObserveX needs x86-64 with SSE4.2 (x86-64-v2)");
    if (!ox_config_embedded(config))
        return OX_EXIT_OK;
    const char *given = config->libchdb[0] != '\0' ? config->libchdb : NULL;
    if (ox_engine_find_library(given, path, sizeof(path), &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    return OX_EXIT_OK;
}

int
ox_cmd_serve(int argc, char **argv)
{
    static struct ox_config config;   /* large, and needed until the end */
    struct ox_config_sources sources; /* read again at each reload */
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox_cmd_load_kept(argc, argv, &config, &sources) != OX_OK)
        return OX_EXIT_USAGE;
    ox_cmd_set_log_level(&config);
    int code = check_machine(&config);
    if (code != OX_EXIT_OK)
        return code;
    const struct ox_heart_options options = {.config = &config,
                                             .sources = &sources,
                                             .exe = "/proc/self/exe",
                                             .banner = config.mode == OX_MODE_DEVELOPMENT};
    code = ox_heart_run(&options, &diag);
    if (code != OX_EXIT_OK && diag.text[0] != '\0')
        ox_complain("%s", diag.text);
    return code;
}
