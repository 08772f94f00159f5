/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    both ways of computing CRC-32C are right, whatever the length, the alignment and the cuts.
 * Method:  vectors of RFC 3720 B.4, then one way against the other, and whole against pieces.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/crc32c.h"

Test(crc32c, knows_the_published_vectors)
{
    uint8_t b[32];
    cr_assert_eq(ox_crc32c(0, "123456789", 9), 0xe3069283u);
    memset(b, 0, sizeof(b));
    cr_assert_eq(ox_crc32c(0, b, 32), 0x8a9136aau);
    memset(b, 0xff, sizeof(b));
    cr_assert_eq(ox_crc32c(0, b, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    cr_assert_eq(ox_crc32c(0, b, 32), 0x46dd794eu);
    cr_assert_eq(ox_crc32c_soft(0, b, 32), 0x46dd794eu);
    cr_assert_eq(ox_crc32c(0, "", 0), 0);
}

Test(crc32c, both_ways_agree_for_any_length_and_alignment)
{
    size_t cap = 20000;
    uint8_t *b = malloc(cap);
    unsigned seed = 7;
    for (size_t i = 0; i < cap; i++)
        b[i] = (uint8_t)(rand_r(&seed) >> 7);
    for (int round = 0; round < 2000; round++) {
        size_t from = (size_t)rand_r(&seed) % 64;
        size_t n = (size_t)rand_r(&seed) % (round % 2 ? 100 : cap - 64);
        size_t cut = n > 0 ? (size_t)rand_r(&seed) % n : 0;
        uint32_t whole = ox_crc32c_soft(0, b + from, n);
        cr_assert_eq(ox_crc32c(0, b + from, n), whole, "n=%zu", n);
        cr_assert_eq(ox_crc32c(ox_crc32c(0, b + from, cut), b + from + cut, n - cut), whole, "n=%zu cut=%zu",
                     n, cut);
    }
    free(b);
}
