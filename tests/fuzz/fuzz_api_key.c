/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the check of an API key's text reads nothing behind it, and accepts exactly what ox_api_key_format writes.
 * Method:  whatever is accepted is taken apart here in another way and written again: it must be the same text. The first
 *          32 bytes of the input are written as a key, which must be accepted.
 */
#include <stdlib.h>

#include "ox/api_key.h"

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static unsigned
digit(char c)
{
    if (c <= '9')
        return (unsigned)(c - '0');
    return c <= 'Z' ? (unsigned)(c - 'A') + 10 : (unsigned)(c - 'a') + 36;
}

/* Base 62 to 256 bits in limbs of 32. */
static void
take_apart(const char *body, uint8_t random[OX_API_KEY_RANDOM_BYTES])
{
    uint32_t limbs[8] = {0};
    for (size_t i = 0; i < OX_API_KEY_BODY_LEN; i++) {
        uint64_t carry = digit(body[i]);
        for (size_t l = 0; l < 8; l++) {
            carry += (uint64_t)limbs[l] * 62;
            limbs[l] = (uint32_t)carry;
            carry >>= 32;
        }
        must(carry == 0);
    }
    for (size_t i = 0; i < OX_API_KEY_RANDOM_BYTES; i++)
        random[OX_API_KEY_RANDOM_BYTES - 1 - i] = (uint8_t)(limbs[i / 4] >> (8 * (i % 4)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size > 0 ? size : 1), again[OX_API_KEY_LEN + 1];
    uint8_t random[OX_API_KEY_RANDOM_BYTES];
    if (exact == NULL)
        return 0;
    memcpy(exact, data, size);
    if (ox_api_key_check((struct ox_str){exact, size}, NULL) == OX_OK) {
        must(size == OX_API_KEY_LEN);
        take_apart(exact + OX_API_KEY_PREFIX_LEN, random);
        ox_api_key_format(random, again);
        must(memcmp(again, exact, OX_API_KEY_LEN) == 0);
    }
    (void)ox_api_key_id_ok((struct ox_str){exact, size});
    free(exact);
    if (size >= OX_API_KEY_RANDOM_BYTES) {
        ox_api_key_format(data, again);
        must(ox_api_key_check((struct ox_str){again, OX_API_KEY_LEN}, NULL) == OX_OK);
    }
    return 0;
}
