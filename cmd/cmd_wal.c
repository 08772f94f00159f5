/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_wal.c - `observex wal inspect`: `observex journal inspect` for the write-ahead log of a data directory.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_FAILED when the directory cannot be read or bytes of it are damaged, OX_EXIT_USAGE.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/journal.h"

int
ox_cmd_wal(int argc, char **argv)
{
    struct journal_request q = {0};
    const char *data = "./observex-data", *segment = NULL;
    char dir[OX_DISK_PATH_MAX];
    const struct ox_flag flags[] = {
        {"data", &data, NULL}, {"segment", &segment, NULL}, {"json", NULL, &q.json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 1) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc != 2 || strcmp(argv[1], "inspect") != 0)
        return ox_complain_usage("wal",
                                 "the only thing to do is `wal inspect`; `observex journal` does more");
    if (segment != NULL && !journal_number(segment, &q.segment))
        return ox_complain_usage("wal", "--segment takes a number from 1, not \"%s\"", segment);
    if ((size_t)snprintf(dir, sizeof(dir), "%s/wal", data) >= sizeof(dir))
        return ox_complain("the path %s is too long", data);
    return journal_inspect(&q, dir, OX_JOURNAL_WAL);
}
