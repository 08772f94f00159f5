/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what was taken and not given is in custody, and nothing else; whole after every step.
 * Method:  a plain table of booleans beside it, from seeds; sequences that share a home in the table.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/custody.h"

#define SEQS     300
#define ORDINALS 700

static bool model[SEQS + 1][ORDINALS];

static void
compare(const struct ox_custody *c, uint64_t step)
{
    uint64_t records = 0, seqs[SEQS];
    size_t entries = 0;
    for (uint32_t s = 1; s <= SEQS; s++) {
        bool any = false;
        for (uint32_t o = 0; o < ORDINALS; o++) {
            cr_assert_eq(ox_custody_has(c, s * step, o), model[s][o], "record %u of entry %u", o, s);
            records += model[s][o];
            any |= model[s][o];
        }
        seqs[entries] = s * step;
        entries += any;
    }
    uint64_t *listed = malloc((entries + 1) * sizeof(*listed));
    cr_assert_eq(ox_custody_records(c), records);
    cr_assert_eq(ox_custody_entries(c), entries);
    ox_custody_seqs(c, listed);
    cr_assert_arr_eq(listed, seqs, entries * sizeof(*seqs));
    free(listed);
}

Test(custody, holds_what_was_taken_and_not_given)
{
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct ox_custody *c = ox_custody_new();
        uint64_t step =
            seed % 2 == 0 ? 1 : 1ull << 33; /* the upper half of the product: homes crowd together */
        unsigned rng = seed;
        memset(model, 0, sizeof(model));
        for (int i = 0; i < 60000; i++) {
            uint32_t s = 1 + (uint32_t)rand_r(&rng) % SEQS, o = (uint32_t)rand_r(&rng) % ORDINALS;
            bool take = (uint32_t)rand_r(&rng) % 100 < (i < 30000 ? 60u : 20u); /* fills, then empties */
            if (take)
                cr_assert_eq(ox_custody_take(c, s * step, o), model[s][o] ? OX_E_EXISTS : OX_OK);
            else
                cr_assert_eq(ox_custody_give(c, s * step, o), model[s][o]);
            model[s][o] = take;
            if (i % 10000 == 9999)
                compare(c, step);
        }
        for (uint32_t s = 1; s <= SEQS; s++) {
            for (uint32_t o = 0; o < ORDINALS; o++)
                cr_assert_eq(ox_custody_give(c, s * step, o), model[s][o]);
        }
        cr_assert_eq(ox_custody_records(c), 0);
        cr_assert_eq(ox_custody_entries(c), 0);
        ox_custody_free(c);
    }
}

Test(custody, costs_a_bit_for_each_record_of_large_requests)
{
    struct ox_custody *c = ox_custody_new();
    for (uint32_t o = 0; o < 100000; o++)
        cr_assert_eq(ox_custody_take(c, 9, o), OX_OK);
    cr_assert_lt(ox_custody_bytes(c), 100000 / 8 * 3);
    for (uint32_t o = 0; o < 100000; o++)
        cr_assert(ox_custody_give(c, 9, o));
    cr_assert_lt(ox_custody_bytes(c), 8000, "nothing is kept for entries that are gone");
    ox_custody_free(c);
}

Test(custody, nothing_is_in_an_empty_one)
{
    struct ox_custody *c = ox_custody_new();
    uint64_t none;
    cr_assert_not(ox_custody_has(c, 1, 0));
    cr_assert_not(ox_custody_give(c, 1, 0));
    ox_custody_seqs(c, &none);
    ox_custody_free(c);
    ox_custody_free(NULL);
}
