/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/metric.h - counters, gauges and histograms, each defined once in a table.
 *
 * Owns:    all values, for the life of the process.
 * Threads: any. Counters and histograms are counted privately per thread and summed when asked for; gauges
 *          are shared.
 * Bounds:  OX_METRIC_SERIES_MAX label sets per metric (OX_METRIC_TENANT_SERIES_MAX where one label is the tenant); what
 *          comes later is counted under "other". Of the tenants the exposition names the OX_METRIC_TENANTS_MAX largest
 *          and sums up the rest as "other"; OX_METRIC_TENANTS_TRACKED of them are counted apart, first come.
 * Fails:   never for the caller; without memory a labelled change is counted in runtime_metric_lost.
 *
 * The tables: runtime/tbl/metrics.h (the runtime's own) and include/ox/tbl/metrics.h (the product's).
 * OX_METRIC(symbol, type, unit, labels, "name", "help") gives OX_M_<symbol>.
 */
#ifndef OX_METRIC_H
#define OX_METRIC_H

#include "ox/base.h"
#include "ox/buf.h"

#define OX_METRIC_SERIES_MAX  4096
#define OX_METRIC_TENANTS_MAX 1000
/* Each costs a few hundred bytes per thread that counts for him. */
#define OX_METRIC_TENANTS_TRACKED   4000
#define OX_METRIC_TENANT_SERIES_MAX 32768
#define OX_METRIC_LABELS_MAX        4

enum ox_meter_type { OX_METER_counter, OX_METER_gauge, OX_METER_histogram };
/* Units: histograms take their buckets from them (seconds 0.1 ms..60 s, bytes 256..1 GiB, else 1..1 M). */
enum ox_meter_unit { OX_UNIT_none, OX_UNIT_seconds, OX_UNIT_bytes };

enum ox_metric_id {
#define OX_METRIC(symbol, type, unit, labels, name, help) OX_M_##symbol,
#include "runtime/tbl/metrics.h"

#include "ox/tbl/metrics.h"
#undef OX_METRIC
    OX_M__COUNT
};

struct ox_metric_info {
    const char *symbol;
    const char *name; /* of the exposition */
    enum ox_meter_type type;
    enum ox_meter_unit unit;
    const char *labels; /* "tenant,type"; "" = none */
    const char *help;
};
/* The row of `id`. */
const struct ox_metric_info *ox_metric_info(enum ox_metric_id id);

/* Counters: n more. Gauges: n more (wraps, so (uint64_t)-1 is one less). Without labels. */
void ox_metric_add(enum ox_metric_id id, uint64_t n);
/* Gauges without labels. */
void ox_metric_set(enum ox_metric_id id, double value);
/* Histograms without labels, in the row's unit (seconds as seconds). */
void ox_metric_observe(enum ox_metric_id id, double value);

/* The same with label values in the order of the row; exactly as many as the row names. values: lend. */
void ox_metric_add_l(enum ox_metric_id id, const struct ox_str *values, uint64_t n);
void ox_metric_set_l(enum ox_metric_id id, const struct ox_str *values, double value);
void ox_metric_observe_l(enum ox_metric_id id, const struct ox_str *values, double value);
/* Shorthand: OX_METRIC_ADD_L(OX_M_x, 1, OX_STR("default"), OX_STR("traces")). */
#define OX_METRIC_ADD_L(id, n, ...)     ox_metric_add_l((id), (const struct ox_str[]){__VA_ARGS__}, (n))
#define OX_METRIC_SET_L(id, v, ...)     ox_metric_set_l((id), (const struct ox_str[]){__VA_ARGS__}, (v))
#define OX_METRIC_OBSERVE_L(id, v, ...) ox_metric_observe_l((id), (const struct ox_str[]){__VA_ARGS__}, (v))

/* A gauge that is asked when somebody scrapes, instead of being set. fn(arg) from the scraping thread. */
void ox_metric_probe(enum ox_metric_id id, double (*fn)(void *arg), void *arg);

/* Called before each exposition, on the scraping thread, to set gauges that only a look can know; one at a time, NULL =
 * none. */
void ox_metric_before(void (*fn)(void));

/* Present value: a counter's sum, a gauge's value, a histogram's count. values NULL = without labels. As counted: a tenant
 * whom the exposition sums up as "other" has his own value here, as long as he is tracked. */
double ox_metric_value(enum ox_metric_id id, const struct ox_str *values);

/* Prometheus text exposition 0.0.4 of everything, appended. Any thread. */
void ox_metric_text(struct ox_buf *out);
/* The same tables as a Markdown page (docs/metrics.md). */
void ox_metric_markdown(struct ox_buf *out);

#endif
