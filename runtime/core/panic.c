/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/panic.c - what happens when a check of our own fails.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   outside an actor's handler the process ends by abort().
 */
#include <stdio.h>
#include <stdlib.h>

#include "ox/base.h"

void
ox_assert_failed(const char *file, int line, const char *expr)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}
