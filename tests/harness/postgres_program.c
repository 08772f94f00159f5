/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/postgres_program.c - see postgres_program.h.
 *
 * Owns, Threads: see there.
 */
#include "tests/harness/postgres_program.h"

#include <glob.h>
#include <grp.h>
#include <stdio.h>
#include <unistd.h>

bool
postgres_program(const char *name, char *out, size_t size)
{
    glob_t found;
    char pattern[128];
    snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/*/bin/%s", name);
    bool ok = glob(pattern, 0, NULL, &found) == 0;
    if (ok)
        snprintf(out, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return ok;
}

void
postgres_become_ordinary(void)
{
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(POSTGRES_NOBODY) != 0 || setuid(POSTGRES_NOBODY) != 0))
        _exit(126);
    if (geteuid() == 0 || getuid() == 0)
        _exit(126);
}
