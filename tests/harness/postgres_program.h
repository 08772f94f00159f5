/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/postgres_program.h - where PostgreSQL's programs are, and who may run them: it refuses to be root.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_TEST_POSTGRES_PROGRAM_H
#define OX_TEST_POSTGRES_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#define POSTGRES_NOBODY 65534

/* The newest installed one below /usr/lib/postgresql. False: there is none. */
bool postgres_program(const char *name, char *out, size_t size);
/* In a child: nobody from here on, or the end. */
void postgres_become_ordinary(void);

#endif
