/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/panic.c - what happens when a check of our own fails.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   outside an actor's handler the process ends by abort().
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/actor.h"

void
ox_assert_failed(const char *file, int line, const char *expr)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}

void
ox_panic(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}
