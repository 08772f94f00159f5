/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/main.c - the command line's entry: finds the subcommand and runs it.
 */
#include <stdio.h>

int
main(int argc, char **argv)
{
    fprintf(stderr, "observex: no subcommands are built yet (argc=%d, %s)\n", argc, argv[0]);
    return 2;
}
