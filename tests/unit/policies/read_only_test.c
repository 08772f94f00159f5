/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the read-only state and the warning begin and end where they say, and do not flap in between.
 * Method:  numbers around each edge, downwards and upwards.
 */
#include <criterion/criterion.h>

#include "ox/read_only.h"

#define MIB (1024ull * 1024)

Test(read_only, space_has_a_quarter_of_the_reserve_as_hysteresis)
{
    uint64_t reserve = 256 * MIB;
    cr_assert_not(ox_read_only_space(false, reserve, reserve));
    cr_assert(ox_read_only_space(false, reserve - 1, reserve));
    cr_assert(ox_read_only_space(true, reserve, reserve));
    cr_assert(ox_read_only_space(true, 320 * MIB - 1, reserve));
    cr_assert_not(ox_read_only_space(true, 320 * MIB, reserve));
    cr_assert_not(ox_read_only_space(true, 0, 0), "no reserve: never");
}

Test(read_only, an_oscillation_within_the_band_changes_once)
{
    bool low = false;
    int changes = 0;
    for (int i = 0; i < 1000; i++) {
        bool now = ox_read_only_space(low, (i % 2 == 0 ? 255 : 319) * MIB, 256 * MIB);
        changes += now != low;
        low = now;
    }
    cr_assert_eq(changes, 1);
}

Test(read_only, the_warning_comes_at_80_and_goes_below_75_percent)
{
    cr_assert_not(ox_disk_nearly_full(false, 201 * MIB, 1000 * MIB));
    cr_assert(ox_disk_nearly_full(false, 200 * MIB, 1000 * MIB));
    cr_assert(ox_disk_nearly_full(true, 249 * MIB, 1000 * MIB));
    cr_assert_not(ox_disk_nearly_full(true, 251 * MIB, 1000 * MIB));
    cr_assert_not(ox_disk_nearly_full(false, 0, 0), "a size that is not known");
    cr_assert_not(ox_disk_nearly_full(false, 2000 * MIB, 1000 * MIB));
}

Test(read_only, every_reason_has_a_name_and_a_text_of_its_own)
{
    for (uint32_t a = 1; a < OX_READ_ONLY_ALL; a <<= 1) {
        for (uint32_t b = a << 1; b < OX_READ_ONLY_ALL; b <<= 1) {
            cr_assert_str_neq(ox_read_only_name((enum ox_read_only)a),
                              ox_read_only_name((enum ox_read_only)b));
            cr_assert_str_neq(ox_read_only_text((enum ox_read_only)a),
                              ox_read_only_text((enum ox_read_only)b));
        }
    }
}
