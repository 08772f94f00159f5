/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/panic.c - what happens when a check of our own fails.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   in a handler: the turn is abandoned (dispatch.c goes on). Elsewhere, under a lock (ox/lock.h), between
 *          ox_nopanic_begin and _end, and for a failed check of runtime/ itself: abort().
 */
#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/internal.h"

#define FRAMES_MAX 32

__thread uint32_t ox__nopanic;

void
ox_nopanic_begin(void)
{
    ox__nopanic++;
}

void
ox_nopanic_end(void)
{
    OX_ASSERT(ox__nopanic > 0);
    ox__nopanic--;
}

void
ox__backtrace_text(void *const *frames, int n, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    char **names = backtrace_symbols(frames, n);
    for (int i = 0; names != NULL && i < n; i++) {
        const char *slash = strrchr(names[i], '/');
        int put = snprintf(out + used, size - used, "%s%s", i > 0 ? "\n" : "",
                           slash != NULL ? slash + 1 : names[i]);
        if (put < 0 || (size_t)put >= size - used)
            break;
        used += (size_t)put;
    }
    free(names);
}

void
ox__backtrace(char *out, size_t size)
{
    void *frames[FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX);
    int skip = n > 2 ? 2 : 0; /* this function and the one that panics */
    ox__backtrace_text(frames + skip, n - skip, out, size);
}

static bool
may_unwind(void)
{
    return ox__turn_now != NULL && ox__turn_now->armed && ox__nopanic == 0;
}

OX_NORETURN static void
die(const char *text)
{
    char trace[4096];
    ox__backtrace(trace, sizeof(trace));
    /* Plain text besides the log line: a broken process should not depend on its own log. */
    fprintf(stderr, "fatal: %s\n%s\n", text, trace);
    abort();
}

OX_NORETURN static void
panic_with(const char *text)
{
    struct ox__turn *turn = ox__turn_now;
    if (!may_unwind())
        die(text);
    turn->armed = false;
    snprintf(turn->text, sizeof(turn->text), "%s", text);
    ox__backtrace(turn->trace, sizeof(turn->trace));
    siglongjmp(turn->env, 1);
}

void
ox_panic(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    panic_with(text);
}

static void
describe(const char *file, int line, const char *expr, char *out, size_t size)
{
    const char *slash = strrchr(file, '/');
    snprintf(out, size, "%s:%d: assertion failed: %s", slash != NULL ? slash + 1 : file, line, expr);
}

void
ox_assert_failed(const char *file, int line, const char *expr)
{
    char text[512];
    describe(file, line, expr, text, sizeof(text));
    panic_with(text);
}

void
ox_assert_fatal(const char *file, int line, const char *expr)
{
    char text[512];
    describe(file, line, expr, text, sizeof(text));
    die(text);
}
