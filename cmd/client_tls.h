/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/client_tls.h - how our own command line trusts a server, and shows who it is: --ca-file, --cert-file, --key-file.
 *
 * Owns:    nothing; the paths are those of argv.
 * Threads: the main thread.
 */
#ifndef OX_CLIENT_TLS_H
#define OX_CLIENT_TLS_H

#include "ox/base.h"

/* Takes the three flags out of argv, wherever they stand before "--"; the rest moves up. INVALID after a complaint. */
OX_MUST_USE ox_err ox_client_tls_take(int *argc, char **argv);
/* The server was found by its data directory: it is on this machine and has this certificate, whatever name it is for.
 * path: lend, for ever. */
void ox_client_tls_pin(const char *path);
/* Applies them to a libcurl handle. */
void ox_client_tls_apply(void *curl);

#endif
