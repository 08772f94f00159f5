/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_version.c - `observex version`.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 */
#include <stdio.h>

#include "cmd/cmd.h"

int
ox_cmd_version(int argc, char **argv)
{
    if (ox_flags_take_all(&argc, argv, NULL, 0, 0) != OX_OK)
        return OX_EXIT_USAGE;
    puts("observex " OX_VERSION);
    return OX_EXIT_OK;
}
