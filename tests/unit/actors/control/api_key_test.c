/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    keys have their fixed form, every change of one is noticed, and what is kept of them is what it should be.
 * Method:  known numbers written out; every character of a key changed to every other; the official vectors of BLAKE3;
 *          Argon2id's parameters read from its own notation.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ox/api_key.h"
#include "ox/random.h"

static struct ox_str
view(const char *text)
{
    return ox_str_of(text);
}

Test(api_key, numbers_are_written_in_base_62)
{
    uint8_t random[OX_API_KEY_RANDOM_BYTES] = {0};
    char text[OX_API_KEY_LEN + 1];
    ox_api_key_format(random, text);
    cr_assert_eq(strlen(text), 57);
    cr_assert_eq(strncmp(text, "ox_live_0000000000000000000000000000000000000000000", 51), 0, "%s", text);
    random[OX_API_KEY_RANDOM_BYTES - 1] = 61;
    ox_api_key_format(random, text);
    cr_assert_eq(text[50], 'z');
    random[OX_API_KEY_RANDOM_BYTES - 1] = 62;
    ox_api_key_format(random, text);
    cr_assert_eq(strncmp(text + 49, "10", 2), 0);
    memset(random, 0xff, sizeof(random));
    ox_api_key_format(random, text);
    cr_assert_eq(ox_api_key_check(view(text), NULL), OX_OK, "the largest number of 256 bits");
}

Test(api_key, what_is_written_is_accepted)
{
    struct ox_random rnd;
    uint8_t random[OX_API_KEY_RANDOM_BYTES];
    char text[OX_API_KEY_LEN + 1];
    ox_random_seed(&rnd, 5);
    for (int i = 0; i < 20000; i++) {
        ox_random_bytes(&rnd, random, sizeof(random));
        ox_api_key_format(random, text);
        cr_assert_eq(ox_api_key_check(view(text), NULL), OX_OK, "%s", text);
    }
}

Test(api_key, every_change_of_one_character_is_noticed)
{
    struct ox_control_key key;
    char text[OX_API_KEY_LEN + 1], bent[OX_API_KEY_LEN + 1];
    cr_assert_eq(ox_api_key_generate(text, &key), OX_OK);
    for (size_t i = 0; i < OX_API_KEY_LEN; i++) {
        for (int c = 0; c < 256; c++) {
            memcpy(bent, text, sizeof(bent));
            bent[i] = (char)c;
            ox_err err = ox_api_key_check((struct ox_str){bent, OX_API_KEY_LEN}, NULL);
            cr_assert_eq(err, bent[i] == text[i] ? OX_OK : OX_E_INVALID, "character %zu is %d", i, c);
        }
    }
    for (size_t n = 0; n < OX_API_KEY_LEN; n++)
        cr_assert_eq(ox_api_key_check((struct ox_str){text, n}, NULL), OX_E_INVALID);
}

Test(api_key, a_number_of_more_than_256_bits_is_none)
{
    struct ox_diag diag;
    char text[OX_API_KEY_LEN + 1] = OX_API_KEY_PREFIX;
    memset(text + OX_API_KEY_PREFIX_LEN, 'z', OX_API_KEY_BODY_LEN + OX_API_KEY_SUM_LEN);
    text[OX_API_KEY_LEN] = '\0';
    cr_assert_eq(ox_api_key_check(view(text), &diag), OX_E_INVALID);
    cr_assert_not_null(strstr(diag.text, "256 bits"));
}

Test(api_key, a_refusal_never_repeats_the_key)
{
    struct ox_control_key key;
    struct ox_diag diag;
    char text[OX_API_KEY_LEN + 1];
    cr_assert_eq(ox_api_key_generate(text, &key), OX_OK);
    text[OX_API_KEY_LEN - 1] = text[OX_API_KEY_LEN - 1] == 'a' ? 'b' : 'a';
    cr_assert_eq(ox_api_key_check(view(text), &diag), OX_E_INVALID);
    cr_assert_null(strstr(diag.text, text + OX_API_KEY_PREFIX_LEN + 30));
    cr_assert_null(strstr(diag.field, text + OX_API_KEY_PREFIX_LEN + 30));
}

Test(api_key, new_keys_differ_in_everything)
{
    struct ox_control_key a, b;
    char one[OX_API_KEY_LEN + 1], two[OX_API_KEY_LEN + 1];
    cr_assert_eq(ox_api_key_generate(one, &a), OX_OK);
    cr_assert_eq(ox_api_key_generate(two, &b), OX_OK);
    cr_assert_str_neq(one, two);
    cr_assert_str_neq(a.id, b.id);
    cr_assert_eq(strlen(a.id), 12);
    cr_assert(ox_api_key_id_ok(view(a.id)));
    cr_assert_eq(memcmp(a.id, "k_", 2), 0);
    cr_assert_neq(memcmp(a.digest, b.digest, sizeof(a.digest)), 0);
    cr_assert_null(strstr(one, a.id + 2), "an id tells nothing of its key");
    cr_assert_not(ox_api_key_id_ok(view("")));
    cr_assert_not(ox_api_key_id_ok(view("k_../../etc")));
    cr_assert_not(ox_api_key_id_ok(view("k_0123456789abcdef")));
}

/* From the test vectors that come with BLAKE3: the empty input, and bytes 0..250. */
Test(api_key, the_digest_is_blake3)
{
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    char hex[2 * OX_KEY_DIGEST_BYTES + 1], input[1024];
    ox_api_key_digest(view(""), digest);
    ox_hex_encode(digest, sizeof(digest), hex);
    cr_assert_str_eq(hex, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (char)(i % 251);
    ox_api_key_digest((struct ox_str){input, 1024}, digest);
    ox_hex_encode(digest, sizeof(digest), hex);
    cr_assert_str_eq(hex, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7");
}

Test(api_key, the_fingerprint_is_argon2id_with_the_promised_cost)
{
    char text[OX_API_KEY_LEN + 1], print[OX_KEY_FINGERPRINT_MAX], again[OX_KEY_FINGERPRINT_MAX];
    struct ox_control_key key;
    cr_assert_eq(ox_api_key_generate(text, &key), OX_OK);
    cr_assert_eq(ox_api_key_fingerprint(view(text), print), OX_OK);
    cr_assert_eq(strncmp(print, "$argon2id$v=19$m=65536,t=3,p=4$", 31), 0, "%s", print);
    cr_assert_eq(ox_api_key_fingerprint(view(text), again), OX_OK);
    cr_assert_str_neq(print, again, "each has a salt of its own");
    cr_assert_eq(ox_api_key_verify(view(text), print), OX_OK);
    text[20] = text[20] == 'a' ? 'b' : 'a';
    cr_assert_eq(ox_api_key_verify(view(text), print), OX_E_UNAUTHENTICATED);
    cr_assert_eq(ox_api_key_verify(view(text), "$argon2id$nonsense"), OX_E_CORRUPT);
    cr_assert_eq(ox_api_key_verify(view(text), ""), OX_E_CORRUPT);
}
