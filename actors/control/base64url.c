/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/base64url.c - RFC 4648, section 5, without padding.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   INVALID. One value has one text: bits behind the last byte must be zero, or what was signed could be shown under
 *          several names.
 */
#include "ox/jwt.h"

static int
digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

ox_err
ox_base64url_decode(struct ox_str text, uint8_t *out, size_t *n)
{
    uint32_t bits = 0;
    unsigned have = 0;
    *n = 0;
    if (text.n % 4 == 1)
        return OX_E_INVALID;
    for (size_t i = 0; i < text.n; i++) {
        int d = digit(text.p[i]);
        if (d < 0)
            return OX_E_INVALID;
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[(*n)++] = (uint8_t)(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    return bits == 0 ? OX_OK : OX_E_INVALID;
}

void
ox_base64url_encode(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = bytes;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6)
            *out++ = digits[bits >> (have - 6) & 63];
        bits &= 63;
    }
    if (have > 0)
        *out++ = digits[bits << (6 - have) & 63];
    *out = '\0';
}
