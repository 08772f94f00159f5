/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/certs.h - certificates for tests: an authority of one's own, and what it signs.
 *
 * Owns:    the files that it writes, until the test removes their directory.
 * Threads: one.
 */
#ifndef OX_TESTS_CERTS_H
#define OX_TESTS_CERTS_H

#include "ox/base.h"

#define CERTS_PATH_MAX 128

/* Paths below one directory. */
struct certs {
    char dir[64];
    char ca[CERTS_PATH_MAX];
    char cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX]; /* of the server: localhost, 127.0.0.1 */
};

/* Makes a directory below /tmp with an authority and a server's pair. Asserts. */
void certs_make(struct certs *c);
/* Removes the directory. */
void certs_remove(struct certs *c);
/* Another server's pair of the same authority in place of the present one, as a file that is moved there. cn: its name. */
void certs_renew(struct certs *c, const char *cn);
/* A pair of the authority for somebody else, DIR/<file>.crt and .key. cn: NULL = none; alternatives: "URI:a,DNS:b", NULL =
 * none. cert, key: CERTS_PATH_MAX bytes. */
void certs_client(const struct certs *c, const char *file, const char *cn, const char *alternatives,
                  char *cert, char *key);
/* The same, signed by itself. */
void certs_stranger(const struct certs *c, const char *file, const char *cn, char *cert, char *key);

#endif
