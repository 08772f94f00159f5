/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a rate lets through what it says, in bursts of what it says, says when to come again, and no thread takes more by
 *          being one of many.
 * Method:  a clock that the test moves; threads.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "ox/quota.h"

#define SECOND 1000000000ull

Test(quota, every_name_is_found_and_others_are_told_the_names)
{
    enum ox_quota q;
    struct ox_diag diag;
    for (int i = 0; i < OX_QUOTA__COUNT; i++) {
        cr_assert_eq(ox_quota_parse(ox_str_of(ox_quota_name((enum ox_quota)i)), &q, &diag), OX_OK);
        cr_assert_eq((int)q, i);
        cr_assert_not_null(ox_quota_unit(q));
        cr_assert_not_null(ox_quota_text(q));
    }
    cr_assert_eq(ox_quota_parse(OX_STR("logs"), &q, &diag), OX_E_INVALID);
    cr_assert_not_null(strstr(diag.text, "logs.records"), "%s", diag.text);
    cr_assert_eq(OX_QUOTA_BYTES_OF(OX_SIGNAL_LOGS), OX_QUOTA_LOGS_BYTES);
    cr_assert(ox_quota_of_key(OX_QUOTA_METRICS_RECORDS));
    cr_assert_not(ox_quota_of_key(OX_QUOTA_SERIES));
}

Test(quota, a_burst_and_then_the_rate)
{
    struct ox_rate rate = {0};
    uint64_t now = 1000 * SECOND, retry = 0, taken = 0;
    uint32_t used = 0;
    while (ox_rate_take(&rate, 10, 100, 2 * SECOND, now, &used, &retry))
        taken += 10;
    cr_assert_eq(taken, 200, "two seconds of a hundred: %llu", (unsigned long long)taken);
    cr_assert_eq(used, 1000);
    cr_assert_eq(retry, 1, "%llu", (unsigned long long)retry);
    cr_assert_not(ox_rate_look(&rate, 100, 2 * SECOND, now, &retry));
    for (int i = 0; i < 100; i++) {
        now += SECOND / 10;
        while (ox_rate_take(&rate, 10, 100, 2 * SECOND, now, NULL, NULL))
            taken += 10;
    }
    cr_assert_eq(taken, 200 + 1000, "ten seconds later: %llu", (unsigned long long)taken);
    now += 100 * SECOND;
    cr_assert(ox_rate_take(&rate, 100, 100, 2 * SECOND, now, &used, NULL));
    cr_assert_eq(used, 500, "who was idle has a burst and no more");
}

Test(quota, one_larger_than_the_burst_passes_and_is_paid_for)
{
    struct ox_rate rate = {0};
    uint64_t now = 5 * SECOND, retry = 0;
    cr_assert(ox_rate_take(&rate, 1000, 10, SECOND, now, NULL, NULL));
    cr_assert_not(ox_rate_take(&rate, 1, 10, SECOND, now, NULL, &retry));
    cr_assert_eq(retry, 99 * SECOND + 1);
    cr_assert_not(ox_rate_take(&rate, 1, 10, SECOND, now + retry - 2, NULL, NULL));
    cr_assert(ox_rate_take(&rate, 1, 10, SECOND, now + retry, NULL, NULL));
}

Test(quota, what_is_given_back_was_not_taken)
{
    struct ox_rate rate = {0};
    uint64_t now = 5 * SECOND;
    cr_assert(ox_rate_take(&rate, 10, 10, SECOND, now, NULL, NULL));
    cr_assert_not(ox_rate_look(&rate, 10, SECOND, now, NULL));
    ox_rate_give(&rate, 10, 10);
    cr_assert(ox_rate_look(&rate, 10, SECOND, now, NULL));
}

Test(quota, large_numbers_do_not_wrap)
{
    struct ox_rate rate = {0};
    uint64_t now = 5 * SECOND, taken = 0;
    for (int i = 0; i < 100 && ox_rate_take(&rate, 1ull << 40, OX_QUOTA_VALUE_MAX, SECOND, now, NULL, NULL);
         i++)
        taken++;
    cr_assert_eq(taken, 100, "a tenth of what a second allows");
}

static struct ox_rate shared;
static _Atomic uint64_t all_taken;

static void *
take_much(void *arg)
{
    for (int i = 0; i < 100000; i++) {
        if (ox_rate_take(&shared, 1, 1000, 10 * SECOND, 7 * SECOND, NULL, NULL))
            atomic_fetch_add(&all_taken, 1);
    }
    return NULL;
}

Test(quota, many_threads_take_no_more_than_one)
{
    pthread_t threads[4];
    for (size_t i = 0; i < OX_COUNT(threads); i++)
        pthread_create(&threads[i], NULL, take_much, NULL);
    for (size_t i = 0; i < OX_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&all_taken), 10000);
}
