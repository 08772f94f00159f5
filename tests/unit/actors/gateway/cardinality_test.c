/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    known series go on, new ones beyond the bound are refused and counted, one label alone can be bounded, and what was
 *          known yesterday is known today.
 * Method:  batches decoded from JSON, days as numbers.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/cardinality.h"
#include "ox/otlp.h"

static struct ox_cardinality *card;

static void
up(void)
{
    card = ox_cardinality_new(8);
}

static void
down(void)
{
    ox_cardinality_free(card);
}

TestSuite(cardinality, .init = up, .fini = down);

/* Points of `metric` with the label values from..to-1; how many were refused. */
static uint32_t
send(uint32_t tenant, const char *metric, const char *label, int from, int to, uint64_t series,
     uint64_t values, uint32_t day, struct ox_validate_counts *counts)
{
    struct ox_buf json = {0};
    struct ox_decode_limits limits;
    struct ox_validate_counts own;
    struct ox_body *body = NULL;
    struct ox_diag diag;
    struct ox_batch *batch = ox_batch_new();
    const struct ox_cardinality_limits max = {series, values};
    counts = counts != NULL ? counts : &own;
    ox_buf_printf(
        &json,
        "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"%s\",\"gauge\":{\"dataPoints\":[",
        metric);
    for (int i = from; i < to; i++)
        ox_buf_printf(&json,
                      "%s{\"timeUnixNano\":\"1\",\"asInt\":\"1\",\"attributes\":[{\"key\":\"%s\",\"value\":{"
                      "\"stringValue\":"
                      "\"v%d\"}},{\"key\":\"fixed\",\"value\":{\"stringValue\":\"a\"}}]}",
                      i > from ? "," : "", label, i);
    ox_buf_append_cstr(&json, "]}}]}]}]}");
    ox_decode_limits_default(&limits);
    cr_assert_eq(ox_otlp_from_json(OX_SIGNAL_METRICS, ox_buf_str(&json), &limits, NULL, &body, &diag), OX_OK,
                 "%s", diag.text);
    cr_assert_eq(ox_otlp_decode(OX_SIGNAL_METRICS, body, &limits, batch, &diag), OX_OK, "%s", diag.text);
    memset(counts, 0, sizeof(*counts));
    counts->by_reject[OX_REJECT_NONE] = batch->n_points;
    ox_cardinality_judge(card, tenant, batch, &max, day, counts);
    uint32_t refused = batch->n_rejected;
    cr_assert_eq(counts->by_reject[OX_REJECT_SERIES] + counts->by_reject[OX_REJECT_LABEL_VALUES], refused);
    cr_assert_eq(counts->by_reject[OX_REJECT_NONE] + refused, (uint32_t)(to - from));
    ox_batch_free(batch);
    ox_body_drop(body);
    ox_buf_fini(&json);
    return refused;
}

Test(cardinality, known_series_go_on_and_new_ones_are_refused)
{
    struct ox_validate_counts counts;
    struct ox_cardinality_status status;
    cr_assert_eq(send(0, "m", "id", 0, 60, 100, 0, 1, NULL), 0);
    cr_assert_eq(send(0, "m", "id", 50, 150, 100, 0, 1, &counts), 50, "60 to 99 had room");
    cr_assert_eq(counts.by_reject[OX_REJECT_SERIES], 50);
    cr_assert_eq(send(0, "m", "id", 0, 100, 100, 0, 1, NULL), 0, "those that there are go on");
    cr_assert_eq(send(0, "other", "id", 0, 1, 100, 0, 1, NULL), 1,
                 "the bound is the tenant's, not a metric's");
    cr_assert_eq(send(1, "m", "id", 0, 100, 100, 0, 1, NULL), 0, "and not another tenant's");
    cr_assert_eq(send(0, "m", "id", 100, 110, 200, 0, 1, NULL), 0, "a higher quota holds at once");
    ox_cardinality_status(card, 0, &status);
    cr_assert_eq(status.series, 110);
    cr_assert_eq(status.refused_series, 51);
}

Test(cardinality, one_label_is_bounded_by_itself_and_named)
{
    struct ox_validate_counts counts;
    struct ox_cardinality_status status;
    cr_assert_eq(send(0, "m", "user.id", 0, 30, 0, 20, 1, &counts), 10);
    cr_assert_eq(counts.by_reject[OX_REJECT_LABEL_VALUES], 10);
    cr_assert_eq(send(0, "m", "host", 0, 20, 0, 20, 1, NULL), 0, "another label has its own");
    cr_assert_eq(send(0, "n", "user.id", 0, 20, 0, 20, 1, NULL), 0, "of another metric, too");
    cr_assert_eq(send(0, "m", "user.id", 0, 20, 0, 20, 1, NULL), 0, "known values go on");
    ox_cardinality_status(card, 0, &status);
    cr_assert_eq(status.refused_values, 10);
    cr_assert_str_eq(status.metric, "m");
    cr_assert_str_eq(status.label, "user.id");
}

Test(cardinality, what_was_known_yesterday_is_known_today_and_not_for_ever)
{
    cr_assert_eq(send(0, "m", "id", 0, 100, 100, 0, 1, NULL), 0);
    cr_assert_eq(send(0, "m", "id", 200, 290, 100, 0, 2, NULL), 0, "a new day has room");
    cr_assert_eq(send(0, "m", "id", 0, 100, 100, 0, 2, NULL), 0, "yesterday's go on beside them");
    cr_assert_eq(send(0, "m", "id", 300, 301, 100, 0, 2, NULL), 1);
    cr_assert_eq(send(0, "m", "id", 500, 600, 100, 0, 9, NULL), 0, "a week later");
    cr_assert_eq(send(0, "m", "id", 0, 10, 100, 0, 9, NULL), 10, "they are new again");
    cr_assert_eq(send(0, "m", "id", 500, 600, 100, 0, 8, NULL), 0, "a clock that went back changes nothing");
}

Test(cardinality, who_has_no_quota_costs_nothing)
{
    struct ox_cardinality_status status;
    cr_assert_eq(send(0, "m", "id", 0, 1000, 0, 0, 1, NULL), 0);
    ox_cardinality_status(card, 0, &status);
    cr_assert_eq(status.series, 0);
    cr_assert_eq(send(99, "m", "id", 0, 10, 1, 0, 1, NULL), 0,
                 "a tenant that the directory has no place for");
}

Test(cardinality, many_series_are_told_apart)
{
    for (int i = 0; i < 100; i++)
        cr_assert_eq(send(0, "m", "id", i * 1000, i * 1000 + 1000, 100000, 0, 1, NULL), 0, "%d", i);
    cr_assert_eq(send(0, "m", "id", 100000, 101000, 100000, 0, 1, NULL), 1000);
}
