/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    thresholds, probabilities and counts are those of OpenTelemetry's specification; of a tracestate exactly
 *          what is well-formed is used; what is written again differs in `th` alone.
 * Method:  the specification's table and examples, counterexamples of each kind, random thresholds there and back.
 */
#include "ox/tracestate.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "ox/random.h"

static struct ox_tracestate state;

static void
reads(const char *text)
{
    ox_tracestate_read(ox_str_of(text), &state);
}

static const char *
written(const char *text, uint64_t threshold)
{
    static char out[4096];
    size_t n;
    reads(text);
    cr_assert_eq(ox_tracestate_write(&state, threshold, out, sizeof(out), &n), OX_OK, "%s", text);
    cr_assert_eq(n, strlen(out));
    return out;
}

/* The table of "Converting floating-point probability to threshold value", precision 3, 4 and 5. */
Test(tracestate, thresholds_of_the_specification)
{
    static const struct {
        double one_in;
        const char *th[3];
        double count[3];
    } rows[] = {
        {1, {"0", "0", "0"}, {1, 1, 1}},
        {2, {"8", "8", "8"}, {2, 2, 2}},
        {3, {"aab", "aaab", "aaaab"}, {3.0007326007326007, 3.00004577706569, 3.0000028610256777}},
        {4, {"c", "c", "c"}, {4, 4, 4}},
        {5, {"ccd", "cccd", "ccccd"}, {5.001221001221001, 5.0000762951094835, 5.0000047683761295}},
        {8, {"e", "e", "e"}, {8, 8, 8}},
        {10, {"e66", "e666", "e6666"}, {9.990243902439024, 9.99938968568813, 9.999961853172863}},
        {16, {"f", "f", "f"}, {16, 16, 16}},
        {100, {"fd71", "fd70a", "fd70a4"}, {100.05496183206107, 99.99771123402633, 100.00009536752259}},
        {1000, {"ffbe7", "ffbe77", "ffbe76d"}, {999.5958055290753, 1000.012874769029, 1000.0016987352618}},
        {10000, {"fff972", "fff9724", "fff97247"}, {9998.340882002383, 9999.830725674266, 9999.99370426336}},
        {100000,
         {"ffff584", "ffff583a", "ffff583a5"},
         {100013.21013412817, 99999.238556461, 99999.96614643588}},
        {1000000,
         {"ffffef4", "ffffef39", "ffffef391"},
         {1.0016248358208955e+06, 999992.38556461, 1.0000069374699865e+06}},
    };
    for (size_t i = 0; i < OX_COUNT(rows); i++) {
        for (unsigned k = 0; k < 3; k++) {
            char want[32];
            uint64_t th = ox_threshold_round(ox_threshold_of(1 / rows[i].one_in), 3 + k);
            snprintf(want, sizeof(want), "ot=th:%s", rows[i].th[k]);
            cr_assert_str_eq(written("", th), want);
            cr_assert_float_eq(ox_threshold_count(th), rows[i].count[k], rows[i].count[k] * 1e-15);
            cr_assert_float_eq(ox_threshold_probability(th) * rows[i].count[k], 1, 1e-15);
            reads(want);
            cr_assert(state.has_th && state.th == th, "%s", want);
        }
    }
}

Test(tracestate, thresholds_at_the_ends)
{
    cr_assert_eq(ox_threshold_of(1), OX_THRESHOLD_ALL);
    cr_assert_eq(ox_threshold_of(7), OX_THRESHOLD_ALL);
    cr_assert_eq(ox_threshold_of(0), OX_THRESHOLD_NEVER);
    cr_assert_eq(ox_threshold_of(1e-300), OX_THRESHOLD_NEVER - 1, "2^-56 is the least probability");
    cr_assert_eq(ox_threshold_count(OX_THRESHOLD_NEVER - 1), ldexp(1, 56));
    cr_assert_eq(ox_threshold_round(OX_THRESHOLD_NEVER - 1, 1), OX_THRESHOLD_NEVER - 1);
    cr_assert_eq(ox_threshold_round(OX_THRESHOLD_NEVER, 1), OX_THRESHOLD_NEVER);
    cr_assert_eq(ox_threshold_round(0xfeffffffffffffull, 1), 0xff000000000000ull, "a carry into the digit");
    cr_assert_not(ox_threshold_keeps(OX_THRESHOLD_NEVER, OX_THRESHOLD_NEVER - 1));
    cr_assert(ox_threshold_keeps(OX_THRESHOLD_ALL, 0));
}

Test(tracestate, rounding_keeps_the_probability_to_a_digit)
{
    struct ox_random rnd;
    ox_random_seed(&rnd, 20260101);
    for (int i = 0; i < 100000; i++) {
        uint64_t th = ox_random_u64(&rnd) >> 8;
        th |= ~(uint64_t)0 >> 8 << (ox_random_below(&rnd, 57)) & (OX_THRESHOLD_NEVER - 1); /* leading ones */
        uint64_t r = ox_threshold_round(th, OX_THRESHOLD_DIGITS);
        double p = ox_threshold_probability(th), q = ox_threshold_probability(r);
        cr_assert(r < OX_THRESHOLD_NEVER);
        cr_assert(fabs(q / p - 1) <= 1.0 / 8192 + 1e-9, "%llx %llx", (unsigned long long)th,
                  (unsigned long long)r);
        cr_assert_eq(ox_threshold_round(r, OX_THRESHOLD_DIGITS), r);
        char text[64];
        snprintf(text, sizeof(text), "%s", written("", th));
        reads(text);
        cr_assert(state.has_th && state.th == th, "%s", text);
    }
}

Test(tracestate, what_is_read)
{
    reads("ot=th:fd70a4;rv:abcdef12345678,vendor=x");
    cr_assert(state.fault == OX_TRACESTATE_OK && state.has_th && state.has_rv && state.members == 2);
    cr_assert_eq(state.th, 0xfd70a400000000ull);
    cr_assert_eq(state.rv, 0xabcdef12345678ull);
    cr_assert_float_eq(ox_threshold_probability(state.th), 0.01, 1e-8);
    reads(" a=1 ,, 0z@ven=b c\t,ot=p:8;r:62;k1:13;TH:x");
    cr_assert_eq(state.fault, OX_TRACESTATE_BAD_OT, "sub-keys are lower case");
    reads(" a=1 ,, 0z@ven=b c\t,ot=p:8;r:62;k1:13");
    cr_assert(state.fault == OX_TRACESTATE_OK && !state.has_th && !state.has_rv && state.members == 3);
    reads("ot=th:0");
    cr_assert(state.has_th && state.th == 0);
    reads("ot=th:C");
    cr_assert(state.has_th && state.th == 0xc0000000000000ull, "either case is read");
    reads("vendor=x");
    cr_assert(state.ot.p == NULL && state.fault == OX_TRACESTATE_OK);
    reads("");
    cr_assert(state.members == 0 && state.fault == OX_TRACESTATE_OK);
}

Test(tracestate, what_is_malformed_is_not_used)
{
    char long_ot[400] = "ot=th:8;x:";
    memset(long_ot + 10, 'a', 260);
    static const struct {
        const char *text;
        enum ox_tracestate_fault fault;
    } cases[] = {
        {"ot=th:8,ot=th:4", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,a", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,A=1", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,a=", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,a=b=c", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,a=\x01", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,@a=1", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,a.b=1", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8,a=1,a=2", OX_TRACESTATE_BAD_LIST},
        {"ot=th:8;th:4", OX_TRACESTATE_BAD_OT},
        {"ot=th:8;", OX_TRACESTATE_BAD_OT},
        {"ot=th:8;x", OX_TRACESTATE_BAD_OT},
        {"ot=th:8;x:~", OX_TRACESTATE_BAD_OT},
        {"ot=th:8;1x:a", OX_TRACESTATE_BAD_OT},
        {"ot=th:", OX_TRACESTATE_BAD_TH},
        {"ot=th:8g", OX_TRACESTATE_BAD_TH},
        {"ot=th:0x8", OX_TRACESTATE_BAD_TH},
        {"ot=th:123456789abcdef", OX_TRACESTATE_BAD_TH},
        {"ot=th:-1", OX_TRACESTATE_BAD_TH},
        {"ot=th:8;rv:1234567890abc", OX_TRACESTATE_BAD_RV},
        {"ot=rv:x;th:8", OX_TRACESTATE_BAD_RV},
        {"ot=th:8;rv:1234567890abcde", OX_TRACESTATE_BAD_RV},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        reads(cases[i].text);
        cr_assert_eq(state.fault, cases[i].fault, "%s: %s", cases[i].text,
                     ox_tracestate_fault_name(state.fault));
        cr_assert_not(state.has_th, "%s", cases[i].text);
    }
    reads(long_ot);
    cr_assert_eq(state.fault, OX_TRACESTATE_BAD_LIST, "a value has at most 256 bytes");
    reads("ot=th:x;rv:abcdef12345678");
    cr_assert(state.has_rv && !state.has_th, "the number is still the trace's");
}

Test(tracestate, no_more_than_32_members)
{
    char text[512] = "ot=th:8";
    size_t n = strlen(text), len;
    for (int i = 1; i < 32; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, ",k%d=%d", i, i);
    reads(text);
    cr_assert(state.has_th && state.members == 32);
    snprintf(text + n, sizeof(text) - n, ",one=more");
    reads(text);
    cr_assert_eq(state.fault, OX_TRACESTATE_BAD_LIST);
    /* 32 of others and a new `ot`: the last one leaves */
    text[n] = '\0';
    memcpy(text, "xy", 2);
    char out[600];
    reads(text);
    cr_assert_eq(ox_tracestate_write(&state, 0, out, sizeof(out), &len), OX_OK);
    cr_assert_eq(strncmp(out, "ot=th:0,xy=th:8,k1=1,", 21), 0, "%s", out);
    cr_assert_str_eq(out + len - 6, "k30=30");
}

Test(tracestate, randomness_and_consistency)
{
    static const uint8_t id[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7};
    cr_assert_eq(ox_trace_randomness(id), 0x01020304050607ull);
    reads("ot=th:01");
    cr_assert_eq(ox_tracestate_check(&state, id), 0x01020304050607ull);
    cr_assert(state.has_th);
    reads("ot=th:8");
    ox_tracestate_check(&state, id);
    cr_assert(!state.has_th && state.fault == OX_TRACESTATE_INCONSISTENT);
    reads("ot=th:8;rv:80000000000000");
    cr_assert_eq(ox_tracestate_check(&state, id), 0x80000000000000ull);
    cr_assert(state.has_th, "R >= th keeps");
}

Test(tracestate, what_is_not_ours_stays)
{
    static const uint64_t half = 0x80000000000000ull;
    cr_assert_str_eq(written("a=1,ot=p:8;th:c;r:62, b=2", half), "ot=p:8;th:8;r:62,a=1,b=2");
    cr_assert_str_eq(written("a=1,ot=p:8;r:62,b=2", half), "ot=p:8;r:62;th:8,a=1,b=2");
    cr_assert_str_eq(written("ot=th:c;rv:abcdef12345678", half), "ot=th:8;rv:abcdef12345678");
    cr_assert_str_eq(written("a=1,ot=th:c,b=2", OX_THRESHOLD_NEVER), "a=1,b=2");
    cr_assert_str_eq(written("ot=th:xyz;k:1", half), "ot=th:8;k:1",
                     "a bad threshold gives way to a good one");
    cr_assert_str_eq(written("", OX_THRESHOLD_NEVER), "");
    char out[16];
    size_t n;
    reads("ot=th:c,broken");
    cr_assert_eq(ox_tracestate_write(&state, half, out, sizeof(out), &n), OX_E_INVALID);
    reads("vendor=0123456789");
    cr_assert_eq(ox_tracestate_write(&state, half, out, sizeof(out), &n), OX_E_TOO_LARGE);
    char full[300] = "ot=x:";
    memset(full + 5, 'a', OX_TRACESTATE_OT_MAX - 2 - 3);
    reads(full);
    cr_assert_eq(state.fault, OX_TRACESTATE_OK);
    char big[1000];
    cr_assert_eq(ox_tracestate_write(&state, half, big, sizeof(big), &n), OX_E_TOO_LARGE);
}
