/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/api_key.c - writes, checks, digests and fingerprints API keys.
 *
 * Owns:    one lock, so that one Argon2 runs at a time: each takes ARGON2_KIB of memory.
 * Threads: see include/ox/api_key.h.
 * Bounds:  ARGON2_KIB, once.
 * Fails:   see there.
 */
#include "ox/api_key.h"

#include <argon2.h>
#include <blake3.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <zlib.h>

#include "ox/lock.h"
#include "ox/random.h"

#define ARGON2_KIB    (64u << 10)
#define ARGON2_PASSES 3
#define ARGON2_LANES  4
#define ARGON2_SALT   16
#define ARGON2_HASH   32
#define ID_RANDOM_LEN 10 /* base 62: sixty bits, so that ids of one store do not meet */

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static pthread_mutex_t argon2_lock = PTHREAD_MUTEX_INITIALIZER;

/* Divides the big-endian number by 62; returns the remainder. */
static uint32_t
divide(uint8_t *number, size_t n)
{
    uint32_t rest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t value = rest << 8 | number[i];
        number[i] = (uint8_t)(value / 62);
        rest = value % 62;
    }
    return rest;
}

static void
put_sum(const char *body, char out[OX_API_KEY_SUM_LEN])
{
    uint32_t sum = (uint32_t)crc32(0, (const Bytef *)body, OX_API_KEY_BODY_LEN);
    for (size_t i = OX_API_KEY_SUM_LEN; i > 0; i--) {
        out[i - 1] = digits[sum % 62];
        sum /= 62;
    }
}

void
ox_api_key_format(const uint8_t random[OX_API_KEY_RANDOM_BYTES], char out[OX_API_KEY_LEN + 1])
{
    uint8_t number[OX_API_KEY_RANDOM_BYTES];
    char *body = out + OX_API_KEY_PREFIX_LEN;
    memcpy(number, random, sizeof(number));
    memcpy(out, OX_API_KEY_PREFIX, OX_API_KEY_PREFIX_LEN);
    for (size_t i = OX_API_KEY_BODY_LEN; i > 0; i--)
        body[i - 1] = digits[divide(number, sizeof(number))];
    put_sum(body, body + OX_API_KEY_BODY_LEN);
    out[OX_API_KEY_LEN] = '\0';
    OPENSSL_cleanse(number, sizeof(number));
}

/* The value of a digit without a look-up that memory would tell of; -1 for anything else. */
static int
value_of(char c)
{
    int v = -1;
    v = c >= '0' && c <= '9' ? c - '0' : v;
    v = c >= 'A' && c <= 'Z' ? c - 'A' + 10 : v;
    return c >= 'a' && c <= 'z' ? c - 'a' + 36 : v;
}

/* Multiplies the big-endian number by 62 and adds; false on overflow. */
static bool
multiply_add(uint8_t *number, size_t n, uint32_t add)
{
    for (size_t i = n; i > 0; i--) {
        uint32_t value = number[i - 1] * 62u + add;
        number[i - 1] = (uint8_t)value;
        add = value >> 8;
    }
    return add == 0;
}

/* 43 digits that are a number of 256 bits. */
static bool
is_body(const char *body)
{
    uint8_t number[OX_API_KEY_RANDOM_BYTES] = {0};
    bool ok = true;
    for (size_t i = 0; i < OX_API_KEY_BODY_LEN; i++) {
        int v = value_of(body[i]);
        ok &= v >= 0;
        ok &= multiply_add(number, sizeof(number), (uint32_t)(v >= 0 ? v : 0));
    }
    OPENSSL_cleanse(number, sizeof(number));
    return ok;
}

ox_err
ox_api_key_check(struct ox_str text, struct ox_diag *diag)
{
    char sum[OX_API_KEY_SUM_LEN];
    if (text.n < OX_API_KEY_PREFIX_LEN || memcmp(text.p, OX_API_KEY_PREFIX, OX_API_KEY_PREFIX_LEN) != 0)
        return ox_diag_set(diag, OX_E_INVALID, "key", 0, "an API key begins with " OX_API_KEY_PREFIX);
    if (text.n != OX_API_KEY_LEN)
        return ox_diag_set(diag, OX_E_INVALID, "key", -1, "an API key has %zu characters, this has %zu",
                           OX_API_KEY_LEN, text.n);
    const char *body = text.p + OX_API_KEY_PREFIX_LEN;
    if (!is_body(body))
        return ox_diag_set(diag, OX_E_INVALID, "key", OX_API_KEY_PREFIX_LEN,
                           "behind its prefix an API key is a number of 256 bits in base 62");
    put_sum(body, sum);
    if (CRYPTO_memcmp(sum, body + OX_API_KEY_BODY_LEN, sizeof(sum)) != 0)
        return ox_diag_set(diag, OX_E_INVALID, "key", OX_API_KEY_PREFIX_LEN + OX_API_KEY_BODY_LEN,
                           "the key's checksum is not that of its other characters: one of them is mistyped");
    return OX_OK;
}

void
ox_api_key_digest(struct ox_str text, uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, text.p, text.n);
    blake3_hasher_finalize(&hasher, digest, OX_KEY_DIGEST_BYTES);
}

ox_err
ox_api_key_generate(char text[OX_API_KEY_LEN + 1], struct ox_control_key *out)
{
    uint8_t random[OX_API_KEY_RANDOM_BYTES], id[8];
    ox_err err = ox_random_os(random, sizeof(random));
    if (err == OX_OK)
        err = ox_random_os(id, sizeof(id));
    if (err != OX_OK)
        return err;
    ox_api_key_format(random, text);
    OPENSSL_cleanse(random, sizeof(random));
    ox_api_key_digest((struct ox_str){text, OX_API_KEY_LEN}, out->digest);
    memcpy(out->id, "k_", 2);
    for (size_t i = 0; i < ID_RANDOM_LEN; i++)
        out->id[2 + i] = digits[divide(id, sizeof(id))];
    out->id[2 + ID_RANDOM_LEN] = '\0';
    return OX_OK;
}

ox_err
ox_api_key_fingerprint(struct ox_str text, char out[OX_KEY_FINGERPRINT_MAX])
{
    uint8_t salt[ARGON2_SALT];
    ox_err err = ox_random_os(salt, sizeof(salt));
    if (err != OX_OK)
        return err;
    ox_lock(&argon2_lock);
    int code = argon2id_hash_encoded(ARGON2_PASSES, ARGON2_KIB, ARGON2_LANES, text.p, text.n, salt,
                                     sizeof(salt), ARGON2_HASH, out, OX_KEY_FINGERPRINT_MAX);
    ox_unlock(&argon2_lock);
    return code == ARGON2_OK ? OX_OK : OX_E_NOMEM;
}

ox_err
ox_api_key_verify(struct ox_str text, const char *fingerprint)
{
    ox_lock(&argon2_lock);
    int code = argon2id_verify(fingerprint, text.p, text.n);
    ox_unlock(&argon2_lock);
    switch (code) {
    case ARGON2_OK:
        return OX_OK;
    case ARGON2_VERIFY_MISMATCH:
        return OX_E_UNAUTHENTICATED;
    case ARGON2_MEMORY_ALLOCATION_ERROR:
    case ARGON2_THREAD_FAIL:
        return OX_E_NOMEM;
    default:
        return OX_E_CORRUPT;
    }
}

bool
ox_api_key_id_ok(struct ox_str text)
{
    bool ok = text.n > 0 && text.n <= OX_KEY_ID_MAX;
    for (size_t i = 0; ok && i < text.n; i++)
        ok = value_of(text.p[i]) >= 0 || text.p[i] == '_';
    return ok;
}
