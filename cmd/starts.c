/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/starts.c - see starts.h.
 */
#include "cmd/starts.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cmd/cmd.h"

const char *
ox_start_name(enum ox_start start)
{
    static const char *const names[OX_START__COUNT] = {"first", "crash", "killed", "late", "exit", "asked"};
    return (size_t)start < OX_COUNT(names) ? names[start] : "unknown";
}

static bool
is_fault(int signum)
{
    return signum == SIGSEGV || signum == SIGBUS || signum == SIGILL || signum == SIGFPE || signum == SIGABRT;
}

enum ox_start
ox_start_after(int status, bool by_heart)
{
    if (by_heart)
        return OX_START_LATE;
    if (WIFSIGNALED(status))
        return is_fault(WTERMSIG(status)) ? OX_START_CRASH : OX_START_KILLED;
    return WIFEXITED(status) && WEXITSTATUS(status) == OX_EXIT_CRASHING ? OX_START_CRASH : OX_START_EXIT;
}

void
ox_starts_count(struct ox_starts *starts, enum ox_start start)
{
    starts->by[start]++;
    starts->last = start;
}

void
ox_starts_print(const struct ox_starts *starts, char out[OX_STARTS_TEXT_MAX])
{
    const unsigned *by = starts->by;
    _Static_assert(OX_START__COUNT == 6, "one number each, here and below");
    snprintf(out, OX_STARTS_TEXT_MAX, "%u,%u,%u,%u,%u,%u:%u", by[0], by[1], by[2], by[3], by[4], by[5],
             (unsigned)starts->last);
}

bool
ox_starts_parse(const char *text, struct ox_starts *out)
{
    unsigned *by = out->by, last = 0;
    int end = 0;
    int n =
        sscanf(text, "%u,%u,%u,%u,%u,%u:%u%n", &by[0], &by[1], &by[2], &by[3], &by[4], &by[5], &last, &end);
    out->last = (enum ox_start)last;
    return n == 7 && text[end] == '\0' && last < OX_START__COUNT;
}
