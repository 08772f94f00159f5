/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/api_key.h - the text of an API key, and what is kept of it.
 *
 * Owns:    nothing.
 * Threads: any; ox_api_key_fingerprint and _verify take 64 MiB and a tenth of a second: dirty threads only, and they wait
 *          for one another, so that memory stays bounded.
 * Fails:   INVALID for what is no key; IO when the system gives no random bytes; NOMEM.
 * Flow:    API -> generate, fingerprint -> store; request -> parse, digest -> key cache.
 *
 *   ox_live_ | 43 characters: 256 random bits, base 62, most significant first | 6: CRC-32 of those 43, base 62
 *
 * The prefix lets scanners find keys that leaked into code; the checksum lets them, and us, tell a key from a likeness
 * without asking anybody. It is no secret and protects from typing errors only.
 */
#ifndef OX_API_KEY_H
#define OX_API_KEY_H

#include "ox/control.h"

#define OX_API_KEY_PREFIX       "ox_live_"
#define OX_API_KEY_PREFIX_LEN   (sizeof(OX_API_KEY_PREFIX) - 1)
#define OX_API_KEY_RANDOM_BYTES 32
#define OX_API_KEY_BODY_LEN     43 /* 62^43 > 2^256 > 62^42 */
#define OX_API_KEY_SUM_LEN      6  /* 62^6 > 2^32 */
#define OX_API_KEY_LEN          (OX_API_KEY_PREFIX_LEN + OX_API_KEY_BODY_LEN + OX_API_KEY_SUM_LEN)

/* The key of these random bytes. out: OX_API_KEY_LEN characters and a zero. Pure. */
void ox_api_key_format(const uint8_t random[OX_API_KEY_RANDOM_BYTES], char out[OX_API_KEY_LEN + 1]);
/* OK when `text` is a key as ox_api_key_format writes it, to the last bit; INVALID with what is wrong (never the text
 * itself). Pure; the time depends on the length only. diag may be NULL. */
OX_MUST_USE ox_err ox_api_key_check(struct ox_str text, struct ox_diag *diag);
/* BLAKE3-256 of the text: what a key is found by. Pure. */
void ox_api_key_digest(struct ox_str text, uint8_t digest[OX_KEY_DIGEST_BYTES]);

/* A new key with a new id: text, id and digest. The text is secret: wipe it after showing it once. */
OX_MUST_USE ox_err ox_api_key_generate(char text[OX_API_KEY_LEN + 1], struct ox_control_key *out);
/* Argon2id (64 MiB, t=3, p=4) of the text with a salt of its own, in Argon2's notation. Blocks. NOMEM, IO. */
OX_MUST_USE ox_err ox_api_key_fingerprint(struct ox_str text, char out[OX_KEY_FINGERPRINT_MAX]);
/* Whether the fingerprint is that of the text. Blocks. UNAUTHENTICATED when it is not, CORRUPT when it is none. */
OX_MUST_USE ox_err ox_api_key_verify(struct ox_str text, const char *fingerprint);

/* Whether `text` can be a key's id: 1 to OX_KEY_ID_MAX of [A-Za-z0-9_]. */
bool ox_api_key_id_ok(struct ox_str text);

#endif
