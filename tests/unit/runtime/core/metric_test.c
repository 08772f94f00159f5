/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    counts of all threads add up and survive their thread, label sets are bounded, the text is valid
 *          exposition.
 * Method:  threads that count and end; more tenants than the bound; the text searched for exact lines.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

#include "ox/metric.h"

#define THREADS 8
#define ROUNDS  5000

static void *
count(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        ox_metric_add(OX_M_runtime_turns, 1);
        OX_METRIC_ADD_L(OX_M_runtime_exits, 2, OX_STR("normal"));
        ox_metric_add(OX_M_ingest_queue_depth, i % 2 == 0 ? 3 : (uint64_t)-3);
        OX_METRIC_OBSERVE_L(OX_M_runtime_dirty_seconds, 0.25, OX_STR("pool"));
    }
    return NULL;
}

Test(metric, counts_of_all_threads_add_up_after_they_ended)
{
    pthread_t threads[THREADS];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < THREADS; i++)
            cr_assert_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
        struct ox_buf text;
        ox_buf_init(&text);
        ox_metric_text(&text); /* reading while they count */
        cr_assert_not(text.failed);
        ox_buf_fini(&text);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    cr_assert_eq(ox_metric_value(OX_M_runtime_turns, NULL), 2.0 * THREADS * ROUNDS);
    cr_assert_eq(ox_metric_value(OX_M_runtime_exits, (struct ox_str[]){OX_STR("normal")}),
                 4.0 * THREADS * ROUNDS);
    cr_assert_eq(ox_metric_value(OX_M_runtime_dirty_seconds, (struct ox_str[]){OX_STR("pool")}),
                 2.0 * THREADS * ROUNDS);
    cr_assert_eq(ox_metric_value(OX_M_ingest_queue_depth, NULL), 0);
}

static bool
has(const char *line)
{
    struct ox_buf text;
    ox_buf_init(&text);
    ox_metric_text(&text);
    ox_buf_append(&text, "", 1);
    bool found = strstr((const char *)text.data, line) != NULL;
    ox_buf_fini(&text);
    return found;
}

static double
answer(void *arg)
{
    return *(double *)arg;
}

Test(metric, exposition)
{
    double asked = 1.5;
    ox_metric_add(OX_M_runtime_turns, 3);
    OX_METRIC_ADD_L(OX_M_ingest_received, 7, OX_STR("a\"b\\c\n"), OX_STR("traces"));
    ox_metric_observe(OX_M_wal_write, 0.003);
    ox_metric_observe(OX_M_wal_write, 0.005);
    ox_metric_observe(OX_M_wal_write, 1000);
    ox_metric_set(OX_M_clickhouse_inflight, 4);
    ox_metric_probe(OX_M_ingest_queue_depth, answer, &asked);
    cr_assert(has("# TYPE observex_runtime_turns_total counter\nobservex_runtime_turns_total 3\n"));
    cr_assert(has("observex_ingest_signals_received_total{tenant=\"a\\\"b\\\\c\\n\",type=\"traces\"} 7\n"));
    cr_assert(has("observex_wal_write_seconds_bucket{le=\"0.0025\"} 0\n"));
    cr_assert(has("observex_wal_write_seconds_bucket{le=\"0.005\"} 2\n"), "a bound belongs to its bucket");
    cr_assert(has("observex_wal_write_seconds_bucket{le=\"60\"} 2\n"));
    cr_assert(has("observex_wal_write_seconds_bucket{le=\"+Inf\"} 3\n"));
    cr_assert(has("observex_wal_write_seconds_count 3\n"));
    cr_assert(has("observex_clickhouse_inflight_batches 4\n"));
    cr_assert(has("observex_ingest_pipeline_queue_depth 1.5\n"));
    cr_assert(has("observex_runtime_messages_total 0\n"), "without labels a series is there from the start");
}

static void
count_for(int tenant, uint64_t n)
{
    char name[32];
    snprintf(name, sizeof(name), "tenant-%d", tenant);
    OX_METRIC_ADD_L(OX_M_ingest_received, n, ox_str_of(name), OX_STR("logs"));
}

/* The shown series of the metric: their sum, how many, and those of one tenant and of "other" (-1: not shown). */
struct shown {
    double sum, own, other;
    int series;
};

static struct shown
shown_of(int tenant)
{
    struct shown s = {.own = -1, .other = -1};
    struct ox_buf text;
    char own[64], name[64];
    double value;
    snprintf(own, sizeof(own), "tenant-%d", tenant);
    ox_buf_init(&text);
    ox_metric_text(&text);
    ox_buf_append(&text, "", 1);
    cr_assert_not(text.failed);
    for (char *p = (char *)text.data;
         (p = strstr(p, "\nobservex_ingest_signals_received_total{tenant=\"")) != NULL; p++) {
        cr_assert_eq(sscanf(p,
                            "\nobservex_ingest_signals_received_total{tenant=\"%63[^\"]\",type=\"logs\"} %lf",
                            name, &value),
                     2);
        s.sum += value;
        s.series++;
        if (strcmp(name, own) == 0)
            s.own = value;
        if (strcmp(name, "other") == 0)
            s.other = value;
    }
    ox_buf_fini(&text);
    return s;
}

Test(metric, the_largest_tenants_are_named_and_the_rest_is_other)
{
    const int n = OX_METRIC_TENANTS_MAX + 50;
    double total = 0;
    for (int i = 0; i < n; i++, total += i)
        count_for(i, (uint64_t)i + 1);
    struct shown s = shown_of(n - 1);
    cr_assert_eq(s.series, OX_METRIC_TENANTS_MAX + 1);
    cr_assert_eq(s.sum, total);
    cr_assert_eq(s.own, n, "who came last is the largest");
    cr_assert_eq(s.other, 50 * 51 / 2);
    cr_assert_eq(shown_of(0).own, -1, "the smallest came first");

    /* A hidden one grows: his own series begins at 0, and "other" keeps what it had. */
    count_for(0, 100000);
    s = shown_of(0);
    cr_assert_eq(s.own, 0);
    cr_assert_eq(s.sum, total + 100000);
    cr_assert_eq(s.other, 50 * 51 / 2 + 100000 + 51, "with the one who gave way");
    count_for(0, 7);
    s = shown_of(0);
    cr_assert_eq(s.own, 7);
    cr_assert_eq(s.series, OX_METRIC_TENANTS_MAX + 1);
    cr_assert_eq(s.sum, total + 100007);
    cr_assert_eq(shown_of(50).own, -1);
}

Test(metric, shown_series_never_go_backwards_and_always_add_up)
{
    const int n = OX_METRIC_TENANTS_MAX + 200;
    double total = 0, other = 0;
    uint32_t seed = 12345;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 3000; i++) {
            seed = seed * 1664525 + 1013904223;
            int tenant = (int)(seed >> 8) % n;
            count_for(tenant, 1 + (seed >> 4) % (uint32_t)(1 + (tenant * 37 + round * 101) % 500));
            total += 1 + (seed >> 4) % (uint32_t)(1 + (tenant * 37 + round * 101) % 500);
        }
        struct shown s = shown_of(round);
        cr_assert_eq(s.sum, total, "round %d: %g is shown of %g", round, s.sum, total);
        cr_assert(s.series <= OX_METRIC_TENANTS_MAX + 1, "%d series", s.series);
        cr_assert(s.other < 0 || s.other >= other, "round %d: other went back from %g to %g", round, other,
                  s.other);
        other = s.other > 0 ? s.other : other;
    }
}

Test(metric, tenants_past_what_is_tracked_are_counted_as_other)
{
    for (int i = 0; i < OX_METRIC_TENANTS_TRACKED + 50; i++)
        count_for(i, 2);
    struct ox_str other[] = {OX_STR("other"), OX_STR("logs")};
    struct ox_str late[] = {OX_STR("tenant-4020"), OX_STR("logs")};
    cr_assert_eq(ox_metric_value(OX_M_ingest_received, other), 100);
    cr_assert_eq(ox_metric_value(OX_M_ingest_received, late), 0);
    cr_assert_eq(shown_of(0).sum, 2.0 * (OX_METRIC_TENANTS_TRACKED + 50));
}

Test(metric, label_sets_past_the_bound_are_counted_as_other)
{
    char class[32];
    for (int i = 0; i < OX_METRIC_SERIES_MAX + 10; i++) {
        snprintf(class, sizeof(class), "class-%d", i);
        OX_METRIC_ADD_L(OX_M_runtime_panics, 1, ox_str_of(class));
    }
    cr_assert_eq(ox_metric_value(OX_M_runtime_panics, (struct ox_str[]){OX_STR("other")}), 10);
    cr_assert_eq(ox_metric_value(OX_M_runtime_panics, (struct ox_str[]){OX_STR("class-9")}), 1);
}

Test(metric, every_row_is_named_once_and_by_the_rules)
{
    for (int a = 0; a < OX_M__COUNT; a++) {
        const struct ox_metric_info *info = ox_metric_info((enum ox_metric_id)a);
        size_t n = strlen(info->name);
        cr_assert_eq(strncmp(info->name, "observex_", 9), 0, "%s", info->name);
        if (info->type == OX_METER_counter)
            cr_assert(n > 6 && strcmp(info->name + n - 6, "_total") == 0, "%s", info->name);
        cr_assert_str_not_empty(info->help);
        for (int b = 0; b < a; b++)
            cr_assert_str_neq(info->name, ox_metric_info((enum ox_metric_id)b)->name);
    }
    struct ox_buf page;
    ox_buf_init(&page);
    ox_metric_markdown(&page);
    cr_assert_not(page.failed);
    ox_buf_append(&page, "", 1);
    cr_assert_not_null(
        strstr((const char *)page.data, "| `observex_wal_write_seconds` | histogram | seconds |"));
    ox_buf_fini(&page);
}
