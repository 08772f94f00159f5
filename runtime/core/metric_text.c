/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/metric_text.c - metrics as Prometheus text and as a page of documentation.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   through the buffer's sticky `failed`.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/metric_internal.h"

static void
put_escaped(struct ox_buf *out, const char *s, size_t n, bool quotes)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\')
            ox_buf_append_cstr(out, "\\\\");
        else if (s[i] == '\n')
            ox_buf_append_cstr(out, "\\n");
        else if (s[i] == '"' && quotes)
            ox_buf_append_cstr(out, "\\\"");
        else
            ox_buf_append(out, s + i, 1);
    }
}

/* {a="x",b="y",le="z"} or nothing. */
static void
put_labels(struct ox_buf *out, const struct ox_metric_info *info, const struct ox__cell *cell, const char *le)
{
    const char *name = info->labels;
    const char *value = cell->labels;
    const char *end = cell->labels + cell->labels_n;
    const char *separator = "{";
    while (value < end && *name != '\0') {
        size_t name_n = strcspn(name, ",");
        ox_buf_append_cstr(out, separator);
        ox_buf_append(out, name, name_n);
        ox_buf_append_cstr(out, "=\"");
        put_escaped(out, value, strlen(value), true);
        ox_buf_append_cstr(out, "\"");
        separator = ",";
        value += strlen(value) + 1;
        name += name_n + (name[name_n] == ',');
    }
    if (le != NULL)
        ox_buf_printf(out, "%sle=\"%s\"", separator, le);
    if (le != NULL || *separator == ',')
        ox_buf_append_cstr(out, "}");
}

static void
put_number(struct ox_buf *out, double value)
{
    if (isnan(value))
        ox_buf_append_cstr(out, "NaN");
    else if (isinf(value))
        ox_buf_append_cstr(out, value > 0 ? "+Inf" : "-Inf");
    else
        ox_buf_printf(out, "%.17g", value);
}

static uint64_t
word(const struct ox__cell *cell, uint32_t i)
{
    return atomic_load_explicit(&cell->words[i], memory_order_relaxed);
}

static void
put_histogram(struct ox_buf *out, const struct ox_metric_info *info, const struct ox__cell *cell)
{
    uint32_t n;
    uint64_t count = 0;
    const double *bounds = ox__metric_bounds(cell->id, &n);
    for (uint32_t i = 0; i <= n; i++) {
        char le[32] = "+Inf";
        if (i < n)
            snprintf(le, sizeof(le), "%.12g", bounds[i]);
        count += word(cell, i);
        ox_buf_printf(out, "%s_bucket", info->name);
        put_labels(out, info, cell, le);
        ox_buf_printf(out, " %" PRIu64 "\n", count);
    }
    ox_buf_printf(out, "%s_sum", info->name);
    put_labels(out, info, cell, NULL);
    ox_buf_append_cstr(out, " ");
    put_number(out, ox__double_of(word(cell, n + 1)));
    ox_buf_printf(out, "\n%s_count", info->name);
    put_labels(out, info, cell, NULL);
    ox_buf_printf(out, " %" PRIu64 "\n", count);
}

static void
put_cell(struct ox_buf *out, const struct ox_metric_info *info, const struct ox__cell *cell)
{
    if (info->type == OX_METER_histogram) {
        put_histogram(out, info, cell);
        return;
    }
    ox_buf_append_cstr(out, info->name);
    put_labels(out, info, cell, NULL);
    if (info->type == OX_METER_counter) {
        ox_buf_printf(out, " %" PRIu64 "\n", word(cell, 0));
        return;
    }
    ox_buf_append_cstr(out, " ");
    put_number(out, ox__double_of(word(cell, 0)));
    ox_buf_append_cstr(out, "\n");
}

static int
by_labels(const void *a, const void *b)
{
    const struct ox__cell *x = *(struct ox__cell *const *)a;
    const struct ox__cell *y = *(struct ox__cell *const *)b;
    size_t n = x->labels_n < y->labels_n ? x->labels_n : y->labels_n;
    int order = memcmp(x->labels, y->labels, n);
    return order != 0 ? order : (x->labels_n > y->labels_n) - (x->labels_n < y->labels_n);
}

static void
put_sorted(struct ox_buf *out, const struct ox_metric_info *info, const struct ox__cells *sums)
{
    struct ox__cell **list = malloc(sums->n * sizeof(struct ox__cell *));
    uint32_t n = 0;
    if (list == NULL) {
        out->failed = true;
        return;
    }
    for (uint32_t i = 0; i < sums->buckets_n; i++) {
        for (struct ox__cell *cell = sums->buckets[i]; cell != NULL; cell = cell->next)
            list[n++] = cell;
    }
    qsort(list, n, sizeof(struct ox__cell *), by_labels);
    for (uint32_t i = 0; i < n; i++)
        put_cell(out, info, list[i]);
    free(list);
}

static const char *const type_names[] = {"counter", "gauge", "histogram"};

static void
put_metric(struct ox_buf *out, enum ox_metric_id id)
{
    const struct ox_metric_info *info = ox_metric_info(id);
    struct ox__cells sums = {0};
    ox_buf_printf(out, "# HELP %s ", info->name);
    put_escaped(out, info->help, strlen(info->help), false);
    ox_buf_printf(out, "\n# TYPE %s %s\n", info->name, type_names[info->type]);
    if (!ox__metric_collect(id, &sums) || !ox__metric_cut(id, &sums))
        out->failed = true;
    /* A series without labels is there from the start, so that a rate over it has a first point. */
    if (info->labels[0] == '\0' && ox__cells_find(&sums, id, "", 0) == NULL &&
        ox__cells_add(&sums, id, "", 0, ox__metric_words(id)) == NULL)
        out->failed = true;
    if (sums.n > 0)
        put_sorted(out, info, &sums);
    ox__cells_fini(&sums);
}

void
ox_metric_text(struct ox_buf *out)
{
    ox__metric_look();
    ox__metric_rank();
    for (int id = 0; id < OX_M__COUNT; id++)
        put_metric(out, (enum ox_metric_id)id);
}

void
ox_metric_markdown(struct ox_buf *out)
{
    static const char *const units[] = {"", "seconds", "bytes"};
    ox_buf_append_cstr(
        out, "# Metrics\n\nGenerated from `runtime/tbl/metrics.h` and `include/ox/tbl/metrics.h`.\n\n"
             "| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for (int id = 0; id < OX_M__COUNT; id++) {
        const struct ox_metric_info *info = ox_metric_info((enum ox_metric_id)id);
        ox_buf_printf(out, "| `%s` | %s | %s | %s | %s |\n", info->name, type_names[info->type],
                      units[info->unit], info->labels, info->help);
    }
}
