/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/password.h - what a password must be, its hash, and sessions' secrets.
 *
 * Owns:    nothing; a decoy hash, made once.
 * Threads: any that may block: Argon2id takes a tenth of a second and 64 MiB, one at a time with those of API keys.
 * Fails:   INVALID with a sentence that does not repeat the password; UNAUTHENTICATED; NOMEM, IO.
 */
#ifndef OX_PASSWORD_H
#define OX_PASSWORD_H

#include "ox/control.h"

#define OX_PASSWORD_MIN     12
#define OX_PASSWORD_MAX     256
#define OX_PASSWORD_MADE    20 /* characters of one that is made here: 119 bits */
#define OX_SESSION_TEXT_LEN 43 /* 32 random bytes in base64url */
#define OX_CSRF_LEN         32

/* Length, and that it is text without control characters. Pure. */
OX_MUST_USE ox_err ox_password_check(struct ox_str password, struct ox_diag *diag);
/* A new one, to be shown once; wipe it. */
OX_MUST_USE ox_err ox_password_make(char out[OX_PASSWORD_MADE + 1]);
OX_MUST_USE ox_err ox_password_hash(struct ox_str password, char out[OX_KEY_FINGERPRINT_MAX]);
/* hash NULL: of a user that does not exist; it takes the same time and is never right. */
OX_MUST_USE ox_err ox_password_verify(struct ox_str password, const char *hash);

/* A new session: what its cookie holds, and the digest that is kept. */
OX_MUST_USE ox_err ox_session_make(char text[OX_SESSION_TEXT_LEN + 1], uint8_t digest[OX_KEY_DIGEST_BYTES]);
/* False: it cannot be one. Pure. */
bool ox_session_digest(struct ox_str text, uint8_t digest[OX_KEY_DIGEST_BYTES]);
/* What orders of a session have to show beside its cookie; whoever has the cookie's text can make it, a page of another site has
 * neither. Pure. */
void ox_session_csrf(struct ox_str text, char out[OX_CSRF_LEN + 1]);

#endif
