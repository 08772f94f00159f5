/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/password.c - see include/ox/password.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Fails:   see there.
 */
#include "ox/password.h"

#include <blake3.h>
#include <openssl/crypto.h>
#include <pthread.h>

#include "ox/api_key.h"
#include "ox/jwt.h"
#include "ox/random.h"

static char decoy[OX_KEY_FINGERPRINT_MAX];
static pthread_once_t decoy_once = PTHREAD_ONCE_INIT;

ox_err
ox_password_check(struct ox_str p, struct ox_diag *diag)
{
    if (p.n < OX_PASSWORD_MIN || p.n > OX_PASSWORD_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "password", -1, "password: has %d to %d bytes, this has %zu",
                           OX_PASSWORD_MIN, OX_PASSWORD_MAX, p.n);
    for (size_t i = 0; i < p.n; i++) {
        if ((unsigned char)p.p[i] < 0x20 || p.p[i] == 0x7f)
            return ox_diag_set(diag, OX_E_INVALID, "password", -1, "password: has no control characters");
    }
    return OX_OK;
}

ox_err
ox_password_make(char out[OX_PASSWORD_MADE + 1])
{
    /* Of 62; what looks alike is left in, since it is copied. 256 - 256 % 62: no letter is likelier. */
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = 0;
    while (n < OX_PASSWORD_MADE) {
        uint8_t b;
        ox_err err = ox_random_os(&b, 1);
        if (err != OX_OK)
            return err;
        if (b < 248)
            out[n++] = letters[b % 62];
    }
    out[n] = '\0';
    return OX_OK;
}

ox_err
ox_password_hash(struct ox_str password, char out[OX_KEY_FINGERPRINT_MAX])
{
    return ox_api_key_fingerprint(password, out);
}

static void
make_decoy(void)
{
    char text[OX_PASSWORD_MADE + 1];
    if (ox_password_make(text) != OX_OK || ox_password_hash(ox_str_of(text), decoy) != OX_OK)
        decoy[0] = '\0'; /* the machine has no memory for any login then */
    OPENSSL_cleanse(text, sizeof(text));
}

ox_err
ox_password_verify(struct ox_str password, const char *hash)
{
    if (hash != NULL)
        return ox_api_key_verify(password, hash);
    pthread_once(&decoy_once, make_decoy);
    ox_err err = ox_api_key_verify(password, decoy);
    return err == OX_E_NOMEM ? err : OX_E_UNAUTHENTICATED;
}

/* ---- sessions ---- */

ox_err
ox_session_make(char text[OX_SESSION_TEXT_LEN + 1], uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    uint8_t random[32];
    _Static_assert(OX_BASE64URL_LEN(sizeof(random)) == OX_SESSION_TEXT_LEN, "as promised");
    ox_err err = ox_random_os(random, sizeof(random));
    if (err != OX_OK)
        return err;
    ox_base64url_encode(random, sizeof(random), text);
    OPENSSL_cleanse(random, sizeof(random));
    return ox_session_digest(ox_str_of(text), digest) ? OX_OK : OX_E_INTERNAL;
}

bool
ox_session_digest(struct ox_str text, uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    uint8_t bytes[OX_SESSION_TEXT_LEN];
    size_t n;
    if (text.n != OX_SESSION_TEXT_LEN || ox_base64url_decode(text, bytes, &n) != OX_OK)
        return false;
    blake3_hasher hasher;
    blake3_hasher_init_derive_key(&hasher, "observex session 1");
    blake3_hasher_update(&hasher, text.p, text.n);
    blake3_hasher_finalize(&hasher, digest, OX_KEY_DIGEST_BYTES);
    return true;
}

void
ox_session_csrf(struct ox_str text, char out[OX_CSRF_LEN + 1])
{
    uint8_t bytes[OX_CSRF_LEN / 2];
    blake3_hasher hasher;
    blake3_hasher_init_derive_key(&hasher, "observex csrf 1");
    blake3_hasher_update(&hasher, text.p, text.n);
    blake3_hasher_finalize(&hasher, bytes, sizeof(bytes));
    ox_hex_encode(bytes, sizeof(bytes), out);
}
