/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    buffers grow and remember failure; bodies are counted and charged.
 * Method:  grow across several reallocations; exhaust an account and give it back.
 */
#include <criterion/criterion.h>

#include "ox/buf.h"

Test(buf, appends_survive_growth)
{
    struct ox_buf b;
    ox_buf_init(&b);
    for (int i = 0; i < 10000; i++)
        ox_buf_printf(&b, "%d,", i % 10);
    cr_assert_not(b.failed);
    cr_assert_eq(b.len, 20000);
    for (size_t i = 0; i < b.len; i += 2)
        cr_assert_eq(b.data[i], '0' + (i / 2) % 10);
    ox_buf_fini(&b);
}

Test(buf, failure_sticks_until_reset)
{
    struct ox_buf b;
    ox_buf_init(&b);
    cr_assert_null(ox_buf_reserve(&b, SIZE_MAX));
    ox_buf_append_cstr(&b, "x");
    cr_assert(b.failed);
    cr_assert_eq(b.len, 0);
    ox_buf_reset(&b);
    ox_buf_append_cstr(&b, "x");
    cr_assert_eq(b.len, 1);
    ox_buf_fini(&b);
}

Test(buf, bodies_are_charged_to_their_account)
{
    struct ox_account acc = {.limit_bytes = 1000};
    struct ox_body *a = ox_body_new(600, &acc);
    cr_assert_not_null(a);
    cr_assert_null(ox_body_new(401, &acc));
    struct ox_body *b = ox_body_new(400, &acc);
    cr_assert_not_null(b);
    cr_assert_eq(ox_body_grow(b, 401), OX_E_NOMEM);
    cr_assert_eq(b->cap, 400);
    ox_body_drop(ox_body_hold(a));
    cr_assert_eq(atomic_load(&acc.used_bytes), 1000);
    ox_body_drop(a);
    cr_assert_eq(ox_body_grow(b, 1000), OX_OK);
    ox_body_drop(b);
    cr_assert_eq(atomic_load(&acc.used_bytes), 0);
}

Test(buf, a_part_takes_no_more_than_it_leaves_to_others)
{
    struct ox_account whole = {.limit_bytes = 1000};
    struct ox_account a = {.whole = &whole}, b = {.whole = &whole, .limit_bytes = 100};
    cr_assert_eq(ox_account_take(&a, 900), OX_OK, "the first piece may be as large as the whole");
    cr_assert_eq(ox_account_take(&a, 1), OX_E_NOMEM);
    cr_assert_eq(ox_account_take(&b, 101), OX_E_NOMEM);
    cr_assert_eq(ox_account_take(&b, 100), OX_OK);
    cr_assert_eq(ox_account_take(&b, 1), OX_E_NOMEM);
    cr_assert_eq(atomic_load(&whole.used_bytes), 1000, "what is refused is not charged");
    ox_account_give(&a, 900);
    ox_account_give(&b, 100);
    cr_assert_eq(atomic_load(&whole.used_bytes), 0);
    cr_assert_eq(atomic_load(&a.used_bytes), 0);
}
