/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/tls_internal.h - what the two TLS files share.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_NET_TLS_INTERNAL_H
#define OX_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "ox/tls.h"

/* A new connection's state with the certificate in force, or NULL without memory. */
SSL *ox__tls_session(struct ox_tls *tls);
/* The names of the peer's verified certificate, or NULL when it has shown none. */
struct ox_tls_names *ox__tls_names_of(SSL *ssl);

#endif
