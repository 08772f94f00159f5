/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/metric.c - counting: every thread for itself, summed when somebody asks.
 *
 * Owns:    one block of cells per thread that ever counted, kept when the thread ends and given to the next
 *          new thread, so that no count is ever lost; the gauges, which all threads share.
 * Threads: any. A block's table is changed by its thread only, under the block's lock; the thread itself
 *          reads it without (nobody else writes), others under the lock. Lock order: blocks_lock,
 *          series.lock, block->lock.
 * Bounds:  OX_METRIC_SERIES_MAX series per metric, OX_METRIC_TENANT_SERIES_MAX of one that is kept by tenant,
 *          OX_METRIC_TENANTS_TRACKED tenants, LABELS_BYTES of label text.
 * Fails:   without memory the change is lost and counted.
 */
#include "ox/lock.h"
#include "runtime/core/metric_internal.h"

#include <pthread.h>
#include <stdlib.h>

#define LABELS_BYTES OX__METRIC_LABELS_BYTES

static const struct ox_metric_info rows[OX_M__COUNT] = {
#define OX_METRIC(symbol_, type_, unit_, labels_, name_, help_)                                              \
    [OX_M_##symbol_] = {#symbol_, name_, OX_METER_##type_, OX_UNIT_##unit_, labels_, help_},
#include "runtime/tbl/metrics.h"

#include "ox/tbl/metrics.h"
#undef OX_METRIC
};

struct block {
    struct block *next;
    bool taken; /* under blocks_lock */
    pthread_mutex_t lock;
    struct ox__cell *plain[OX_M__COUNT]; /* series without labels; written under lock */
    struct ox__cells cells;
};

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks;
static pthread_key_t block_key;
static pthread_once_t block_once = PTHREAD_ONCE_INIT;
static __thread struct block *my_block;

static struct block shared = {.lock = PTHREAD_MUTEX_INITIALIZER}; /* gauges */

/* Which series and which tenants exist at all; only to keep within the bounds. */
static struct {
    pthread_mutex_t lock;
    struct ox__cells known;
    uint32_t per_metric[OX_M__COUNT];
    uint32_t tenants;
} series = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct {
    double (*fn)(void *arg);
    void *arg;
} probes[OX_M__COUNT]; /* under shared.lock */

const struct ox_metric_info *
ox_metric_info(enum ox_metric_id id)
{
    OX_ASSERT((unsigned)id < OX_M__COUNT);
    return &rows[id];
}

const double *
ox__metric_bounds(uint32_t id, uint32_t *n)
{
    static const double seconds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                     0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};
    static const double bytes[] = {256,     1024,    4096,     16384,    65536,     262144,
                                   1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30};
    static const double counts[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    _Static_assert(OX_COUNT(seconds) < METRIC_BUCKETS_MAX, "room for the last bucket");
    switch (rows[id].unit) {
    case OX_UNIT_seconds:
        *n = OX_COUNT(seconds);
        return seconds;
    case OX_UNIT_bytes:
        *n = OX_COUNT(bytes);
        return bytes;
    default:
        *n = OX_COUNT(counts);
        return counts;
    }
}

uint32_t
ox__metric_words(uint32_t id)
{
    uint32_t n;
    if (rows[id].type != OX_METER_histogram)
        return 1;
    ox__metric_bounds(id, &n);
    return n + 2;
}

/* ---- blocks ---- */

static void
block_release(void *block)
{
    ox_lock(&blocks_lock);
    ((struct block *)block)->taken = false;
    ox_unlock(&blocks_lock);
}

static void
make_key(void)
{
    OX_ASSERT(pthread_key_create(&block_key, block_release) == 0);
}

static struct block *
block_adopt(void)
{
    struct block *block = blocks;
    while (block != NULL && block->taken)
        block = block->next;
    if (block == NULL) {
        block = calloc(1, sizeof(*block));
        if (block == NULL)
            return NULL;
        pthread_mutex_init(&block->lock, NULL);
        block->next = blocks;
        blocks = block;
    }
    block->taken = true;
    return block;
}

static struct block *
block_get(void)
{
    if (OX_LIKELY(my_block != NULL))
        return my_block;
    pthread_once(&block_once, make_key);
    ox_lock(&blocks_lock);
    struct block *block = block_adopt();
    ox_unlock(&blocks_lock);
    if (block != NULL)
        pthread_setspecific(block_key, block);
    my_block = block;
    return block;
}

static void
count_lost(void)
{
    struct block *block = my_block;
    struct ox__cell *cell = block != NULL ? block->plain[OX_M_runtime_metric_lost] : NULL;
    if (cell != NULL)
        atomic_fetch_add_explicit(&cell->words[0], 1, memory_order_relaxed);
}

/* ---- label values ---- */

struct label_text {
    char text[LABELS_BYTES];
    size_t n;
};

static uint32_t
label_count(uint32_t id)
{
    const char *p = rows[id].labels;
    uint32_t n = *p != '\0';
    for (; *p != '\0'; p++)
        n += *p == ',';
    return n;
}

static void
join_value(struct label_text *out, struct ox_str value, size_t room)
{
    size_t n = value.n < room - 1 ? value.n : room - 1;
    for (size_t i = 0; i < n; i++)
        out->text[out->n++] = value.p[i] != '\0' ? value.p[i] : '?';
    out->text[out->n++] = '\0';
}

static void
join(struct label_text *out, const struct ox_str *values, uint32_t n)
{
    out->n = 0;
    for (uint32_t i = 0; i < n; i++)
        join_value(out, values[i], LABELS_BYTES / OX_METRIC_LABELS_MAX);
}

int
ox__metric_tenant_label(uint32_t id)
{
    int index = 0;
    for (const char *p = rows[id].labels; p != NULL && *p != '\0'; index++) {
        const char *comma = strchr(p, ',');
        size_t n = comma != NULL ? (size_t)(comma - p) : strlen(p);
        if (n == 6 && memcmp(p, "tenant", 6) == 0)
            return index;
        p = comma != NULL ? comma + 1 : NULL;
    }
    return -1;
}

/* True when the tenant may have series of its own. Under series.lock. */
static bool
tenant_admitted(struct ox_str name)
{
    if (ox__cells_find(&series.known, OX_M__COUNT, name.p, name.n) != NULL)
        return true;
    if (series.tenants >= OX_METRIC_TENANTS_TRACKED ||
        ox__cells_add(&series.known, OX_M__COUNT, name.p, name.n, 0) == NULL)
        return false;
    series.tenants++;
    return true;
}

/* Replaces by "other" what does not fit within the bounds. */
static void
canonical(uint32_t id, const struct ox_str *values, uint32_t n, struct label_text *out)
{
    struct ox_str kept[OX_METRIC_LABELS_MAX];
    int tenant = ox__metric_tenant_label(id);
    memcpy(kept, values, n * sizeof(*values));
    ox_lock(&series.lock);
    if (tenant >= 0 && !tenant_admitted(kept[tenant]))
        kept[tenant] = OX_STR("other");
    join(out, kept, n);
    if (ox__cells_find(&series.known, id, out->text, out->n) == NULL) {
        uint32_t most = tenant >= 0 ? OX_METRIC_TENANT_SERIES_MAX : OX_METRIC_SERIES_MAX;
        if (series.per_metric[id] >= most || ox__cells_add(&series.known, id, out->text, out->n, 0) == NULL) {
            for (uint32_t i = 0; i < n; i++)
                kept[i] = OX_STR("other");
            join(out, kept, n);
        } else {
            series.per_metric[id]++;
        }
    }
    ox_unlock(&series.lock);
}

/* ---- cells ---- */

static struct ox__cell *
plain_cell(struct block *block, uint32_t id)
{
    struct ox__cell *cell = block->plain[id];
    if (OX_LIKELY(cell != NULL))
        return cell;
    ox_lock(&block->lock);
    cell = ox__cells_add(&block->cells, id, "", 0, ox__metric_words(id));
    block->plain[id] = cell;
    ox_unlock(&block->lock);
    return cell;
}

static struct ox__cell *
labelled_cell(struct block *block, uint32_t id, const struct ox_str *values)
{
    struct label_text text;
    uint32_t n = label_count(id);
    OX_ASSERT(n > 0 && n <= OX_METRIC_LABELS_MAX);
    join(&text, values, n);
    struct ox__cell *cell = ox__cells_find(&block->cells, id, text.text, text.n);
    if (OX_LIKELY(cell != NULL))
        return cell;
    canonical(id, values, n, &text);
    cell = ox__cells_find(&block->cells, id, text.text, text.n);
    if (cell != NULL)
        return cell;
    ox_lock(&block->lock);
    cell = ox__cells_add(&block->cells, id, text.text, text.n, ox__metric_words(id));
    ox_unlock(&block->lock);
    return cell;
}

/* The calling thread's own cell of a series; NULL without memory. */
static struct ox__cell *
own_cell(uint32_t id, const struct ox_str *values)
{
    struct block *block = block_get();
    struct ox__cell *cell = NULL;
    if (block != NULL)
        cell = values == NULL ? plain_cell(block, id) : labelled_cell(block, id, values);
    if (cell == NULL)
        count_lost();
    return cell;
}

/* One writer per word, so load and store need not be one step. */
static void
bump(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

/* ---- gauges ---- */

static struct ox__cell *
gauge_cell(uint32_t id, const struct ox_str *values)
{
    struct label_text text = {.n = 0};
    if (values != NULL)
        canonical(id, values, label_count(id), &text);
    ox_lock(&shared.lock);
    struct ox__cell *cell = ox__cells_find(&shared.cells, id, text.text, text.n);
    if (cell == NULL)
        cell = ox__cells_add(&shared.cells, id, text.text, text.n, 1);
    ox_unlock(&shared.lock);
    if (cell == NULL)
        count_lost();
    return cell;
}

static void
gauge_add(uint32_t id, const struct ox_str *values, double n)
{
    struct ox__cell *cell = gauge_cell(id, values);
    if (cell == NULL)
        return;
    uint64_t old = atomic_load_explicit(&cell->words[0], memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&cell->words[0], &old, ox__bits_of(ox__double_of(old) + n),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void
gauge_set(uint32_t id, const struct ox_str *values, double value)
{
    OX_ASSERT(rows[id].type == OX_METER_gauge);
    struct ox__cell *cell = gauge_cell(id, values);
    if (cell != NULL)
        atomic_store_explicit(&cell->words[0], ox__bits_of(value), memory_order_relaxed);
}

/* ---- what callers use ---- */

static void
add(uint32_t id, const struct ox_str *values, uint64_t n)
{
    OX_ASSERT(id < OX_M__COUNT && rows[id].type != OX_METER_histogram);
    if (rows[id].type == OX_METER_gauge) {
        gauge_add(id, values, (double)(int64_t)n);
        return;
    }
    struct ox__cell *cell = own_cell(id, values);
    if (cell != NULL)
        bump(&cell->words[0], n);
}

static void
observe(uint32_t id, const struct ox_str *values, double value)
{
    OX_ASSERT(id < OX_M__COUNT && rows[id].type == OX_METER_histogram);
    struct ox__cell *cell = own_cell(id, values);
    if (cell == NULL)
        return;
    uint32_t n;
    uint32_t i = 0;
    const double *bounds = ox__metric_bounds(id, &n);
    while (i < n && value > bounds[i])
        i++;
    bump(&cell->words[i], 1);
    double sum = ox__double_of(atomic_load_explicit(&cell->words[n + 1], memory_order_relaxed));
    atomic_store_explicit(&cell->words[n + 1], ox__bits_of(sum + value), memory_order_relaxed);
}

void
ox_metric_add(enum ox_metric_id id, uint64_t n)
{
    add(id, NULL, n);
}

void
ox_metric_add_l(enum ox_metric_id id, const struct ox_str *values, uint64_t n)
{
    add(id, values, n);
}

void
ox_metric_set(enum ox_metric_id id, double value)
{
    gauge_set(id, NULL, value);
}

void
ox_metric_set_l(enum ox_metric_id id, const struct ox_str *values, double value)
{
    gauge_set(id, values, value);
}

void
ox_metric_observe(enum ox_metric_id id, double value)
{
    observe(id, NULL, value);
}

void
ox_metric_observe_l(enum ox_metric_id id, const struct ox_str *values, double value)
{
    observe(id, values, value);
}

void
ox_metric_probe(enum ox_metric_id id, double (*fn)(void *arg), void *arg)
{
    OX_ASSERT((unsigned)id < OX_M__COUNT && rows[id].type == OX_METER_gauge && label_count(id) == 0);
    ox_lock(&shared.lock);
    probes[id].fn = fn;
    probes[id].arg = arg;
    ox_unlock(&shared.lock);
}

static void (*_Atomic before_text)(void); /* release when set, acquire when called: what it looks at exists */

void
ox_metric_before(void (*fn)(void))
{
    atomic_store_explicit(&before_text, fn, memory_order_release);
}

void
ox__metric_look(void)
{
    void (*fn)(void) = atomic_load_explicit(&before_text, memory_order_acquire);
    if (fn != NULL)
        fn();
}

/* ---- summing ---- */

void
ox__metric_merge(struct ox__cell *into, const struct ox__cell *from)
{
    uint32_t id = into->id;
    uint32_t last = rows[id].type == OX_METER_histogram ? from->words_n - 1 : UINT32_MAX;
    for (uint32_t i = 0; i < from->words_n; i++) {
        uint64_t a = atomic_load_explicit(&into->words[i], memory_order_relaxed);
        uint64_t b = atomic_load_explicit(&from->words[i], memory_order_relaxed);
        uint64_t sum = a + b;
        if (i == last || rows[id].type == OX_METER_gauge)
            sum = ox__bits_of(ox__double_of(a) + ox__double_of(b));
        atomic_store_explicit(&into->words[i], sum, memory_order_relaxed);
    }
}

static bool
merge_block(uint32_t id, struct ox__cells *into, struct block *block)
{
    bool ok = true;
    ox_lock(&block->lock);
    for (uint32_t i = 0; i < block->cells.buckets_n; i++) {
        for (struct ox__cell *c = block->cells.buckets[i]; c != NULL; c = c->next) {
            if (c->id != id)
                continue;
            struct ox__cell *sum = ox__cells_find(into, id, c->labels, c->labels_n);
            if (sum == NULL)
                sum = ox__cells_add(into, id, c->labels, c->labels_n, c->words_n);
            if (sum == NULL)
                ok = false;
            else
                ox__metric_merge(sum, c);
        }
    }
    ox_unlock(&block->lock);
    return ok;
}

static void
ask_probe(uint32_t id)
{
    ox_lock(&shared.lock);
    double (*fn)(void *) = probes[id].fn;
    void *arg = probes[id].arg;
    ox_unlock(&shared.lock);
    if (fn != NULL)
        gauge_set(id, NULL, fn(arg));
}

bool
ox__metric_collect(uint32_t id, struct ox__cells *into)
{
    if (rows[id].type == OX_METER_gauge) {
        ask_probe(id);
        return merge_block(id, into, &shared);
    }
    bool ok = true;
    ox_lock(&blocks_lock);
    for (struct block *block = blocks; block != NULL; block = block->next)
        ok = merge_block(id, into, block) && ok;
    ox_unlock(&blocks_lock);
    return ok;
}

uint32_t
ox__metric_tenants(void)
{
    ox_lock(&series.lock);
    uint32_t n = series.tenants;
    ox_unlock(&series.lock);
    return n;
}

static double
cell_value(uint32_t id, const struct ox__cell *cell)
{
    if (rows[id].type == OX_METER_gauge)
        return ox__double_of(atomic_load_explicit(&cell->words[0], memory_order_relaxed));
    uint64_t sum = 0;
    uint32_t n = rows[id].type == OX_METER_histogram ? cell->words_n - 1 : 1;
    for (uint32_t i = 0; i < n; i++)
        sum += atomic_load_explicit(&cell->words[i], memory_order_relaxed);
    return (double)sum;
}

double
ox_metric_value(enum ox_metric_id id, const struct ox_str *values)
{
    OX_ASSERT((unsigned)id < OX_M__COUNT);
    struct ox__cells sums = {0};
    struct label_text text = {.n = 0};
    if (values != NULL)
        join(&text, values, label_count(id));
    (void)ox__metric_collect(id, &sums);
    const struct ox__cell *cell = ox__cells_find(&sums, id, text.text, text.n);
    double value = cell != NULL ? cell_value(id, cell) : 0;
    ox__cells_fini(&sums);
    return value;
}
