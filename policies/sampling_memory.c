/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/sampling_memory.c - what is known of a tenant's services, operations and edges: how often, how long. See
 * include/ox/sampling.h.
 *
 * Owns:    three tables, which grow with what is learned.
 * Threads: one at a time.
 * Bounds:  records per table; what does not fit stays unknown. What was not seen for two windows makes room.
 * Fails:   CORRUPT for saved bytes; without memory it learns nothing new.
 *
 * "Of late" is the window that runs and, weighed by how much of it still lies within one window's length, the one
 * before. Names come from outside and may be without end: were the unknown taken for rare, an id in each name would
 * keep everything.
 */
#include <endian.h>
#include <math.h>
#include <stdlib.h>

#include "ox/baseline.h"
#include "ox/crc32c.h"
#include "ox/exphist.h"
#include "ox/mix.h"
#include "ox/sampling.h"

#define SLOTS_FIRST 64u

/* Durations of one operation: the highest of 256 buckets move up with the longest call, and what falls off the low end
 * is counted in the lowest. 16 doublings are a microsecond to 65 ms, or a millisecond to a minute. */
#define BUCKETS   256
#define TOTAL_MAX 16384u /* then every count is halved: 4,096 calls ago counts half, and 16 bits are enough */
/* The bucket of a quantile counts as slow unless it holds more than so many times what lies above the quantile: calls
 * that all take equally long are not slow. */
#define CROWD 5.0

/* Every record begins like this. */
struct known {
    uint64_t key;
    uint64_t window; /* in which it was last seen */
    uint64_t trace;  /* the last that was counted: once each */
    uint32_t seen, before, kept;
};

struct operation {
    struct known known;
    uint32_t total;
    int32_t lowest; /* bucket of counts[0] */
    uint16_t counts[BUCKETS];
};

struct service {
    struct known known;
    struct ox_baseline baseline;
};

struct table {
    uint8_t *records;
    size_t size; /* of a record */
    uint32_t n, cap, max;
    uint32_t *slots; /* position + 1, 0 = free; open addressing, at most half full */
    uint32_t n_slots;
    uint64_t swept; /* the window in which room was last made */
    uint64_t seed;
};

struct ox_sampling_memory {
    struct table operations, services, edges;
    uint64_t traces;
};

/* ---- tables ---- */

static struct known *
record(const struct table *t, uint32_t position)
{
    return (struct known *)(void *)(t->records + position * t->size);
}

static uint32_t
slot_of(const struct table *t, uint64_t key)
{
    uint32_t at = (uint32_t)ox_mix64(key ^ t->seed) & (t->n_slots - 1);
    while (t->slots[at] != 0 && record(t, t->slots[at] - 1)->key != key)
        at = (at + 1) & (t->n_slots - 1);
    return at;
}

static struct known *
find(const struct table *t, uint64_t key)
{
    if (t->n == 0)
        return NULL;
    uint32_t at = t->slots[slot_of(t, key)];
    return at != 0 ? record(t, at - 1) : NULL;
}

static void
index_all(struct table *t)
{
    memset(t->slots, 0, t->n_slots * sizeof(*t->slots));
    for (uint32_t i = 0; i < t->n; i++)
        t->slots[slot_of(t, record(t, i)->key)] = i + 1;
}

static bool
grow(struct table *t)
{
    uint32_t n_slots = t->n_slots != 0 ? 2 * t->n_slots : SLOTS_FIRST;
    uint32_t cap = n_slots / 2 < t->max ? n_slots / 2 : t->max;
    uint32_t *slots = calloc(n_slots, sizeof(*slots));
    uint8_t *records = slots != NULL ? realloc(t->records, cap * t->size) : NULL;
    if (records == NULL) {
        free(slots);
        return false;
    }
    free(t->slots);
    t->records = records;
    t->slots = slots;
    t->n_slots = n_slots;
    t->cap = cap;
    index_all(t);
    return true;
}

/* Lets go what was not seen in this window and the one before. */
static void
sweep(struct table *t, uint64_t window)
{
    uint32_t n = 0;
    if (t->swept == window)
        return;
    t->swept = window;
    for (uint32_t i = 0; i < t->n; i++) {
        if (record(t, i)->window + 1 >= window)
            memmove(record(t, n++), record(t, i), t->size);
    }
    t->n = n;
    index_all(t);
}

static struct known *
find_or_add(struct table *t, uint64_t key, uint64_t window)
{
    struct known *k = find(t, key);
    if (k != NULL)
        return k;
    if (t->n == t->max)
        sweep(t, window);
    if (t->n == t->max || (t->n == t->cap && !grow(t)))
        return NULL;
    uint32_t at = slot_of(t, key);
    t->slots[at] = ++t->n;
    k = record(t, t->n - 1);
    memset(k, 0, t->size);
    k->key = key;
    k->window = window;
    return k;
}

static void
init_table(struct table *t, size_t size, uint32_t max, uint64_t seed)
{
    *t = (struct table){.size = size, .max = max, .seed = seed};
}

static void
fini_table(struct table *t)
{
    free(t->records);
    free(t->slots);
}

static size_t
table_bytes(const struct table *t)
{
    return t->cap * t->size + t->n_slots * sizeof(*t->slots);
}

/* ---- of late ---- */

struct late {
    uint64_t window;
    double before; /* how much of the window before still counts */
};

static struct late
late_at(const struct ox_sampling_needs *needs, uint64_t now_ns)
{
    uint64_t length = needs->window_ns > 0 ? needs->window_ns : 1;
    return (struct late){now_ns / length, 1 - (double)(now_ns % length) / (double)length};
}

/* Clocks may jump back: a record from the future is taken as it is. */
static double
seen_of(const struct known *k, struct late late)
{
    if (k->window >= late.window)
        return k->seen + k->before * late.before;
    return k->window + 1 == late.window ? k->seen * late.before : 0;
}

static uint32_t
kept_of(const struct known *k, struct late late)
{
    return k->window >= late.window ? k->kept : 0;
}

/* Once per trace, however often it is in it. */
static void
count(struct known *k, struct late late, uint64_t trace, bool kept)
{
    if (k->window < late.window) {
        k->before = k->window + 1 == late.window ? k->seen : 0;
        k->seen = k->kept = 0;
        k->window = late.window;
    }
    if (k->trace == trace)
        return;
    k->trace = trace;
    k->seen += k->seen < UINT32_MAX;
    k->kept += kept && k->kept < UINT32_MAX;
}

/* ---- durations ---- */

static int32_t
bucket_of(uint64_t duration_ns)
{
    return duration_ns == 0 ? -1 : ox_exphist_index(duration_ns);
}

/* The share of calls that took as long as this one, as far as so many calls can tell. */
static double
slow_share(const struct operation *op, uint64_t duration_ns)
{
    int32_t at = bucket_of(duration_ns) - op->lowest;
    uint32_t above = 0;
    if (op->total == 0)
        return 1;
    for (int32_t i = at < 0 ? 1 : at + 1; i < BUCKETS; i++)
        above += op->counts[i];
    uint32_t same = at >= BUCKETS ? 0 : op->counts[at < 0 ? 0 : at];
    return fmax((above + 1.0) / (op->total + 1.0), (above + same) / (CROWD * op->total));
}

static void
move_up(struct operation *op, int32_t by)
{
    uint32_t fallen = 0;
    for (int32_t i = 0; i < BUCKETS && i <= by; i++)
        fallen += op->counts[i];
    for (int32_t i = 0; i < BUCKETS; i++)
        op->counts[i] = i + by < BUCKETS ? op->counts[i + by] : 0;
    op->counts[0] = (uint16_t)fallen;
    op->lowest += by;
}

static void
halve(struct operation *op)
{
    op->total = 0;
    for (int32_t i = 0; i < BUCKETS; i++)
        op->total += op->counts[i] /= 2;
}

static void
add_duration(struct operation *op, uint64_t duration_ns)
{
    int32_t bucket = bucket_of(duration_ns);
    if (op->total == 0)
        op->lowest = bucket - BUCKETS / 2;
    if (bucket - op->lowest >= BUCKETS)
        move_up(op, bucket - op->lowest - BUCKETS + 1);
    op->counts[bucket < op->lowest ? 0 : bucket - op->lowest]++;
    if (++op->total == TOTAL_MAX)
        halve(op);
}
_Static_assert(TOTAL_MAX <= UINT16_MAX, "a bucket can hold all");

static double
baseline_value(const struct ox_sampling_needs *needs, uint64_t duration_ns)
{
    return needs->log_baseline ? log2((double)duration_ns + 1) : (double)duration_ns;
}

/* ---- traces ---- */

static void
look_entry(const struct ox_sampling_memory *m, const struct ox_sampling_needs *needs,
           const struct ox_sampling_entry *e, struct late late, struct ox_sampling_facts *out)
{
    const struct operation *op = (const struct operation *)(void *)find(&m->operations, e->operation);
    const struct service *service = (const struct service *)(void *)find(&m->services, e->service);
    bool room = m->operations.n < m->operations.max;
    if (op != NULL || room) {
        out->ops_seen = fmin(out->ops_seen, op != NULL ? seen_of(&op->known, late) : 0);
        uint32_t kept = op != NULL ? kept_of(&op->known, late) : 0;
        out->ops_kept = kept < out->ops_kept ? kept : out->ops_kept;
    }
    if (op != NULL)
        out->slow = fmin(out->slow, slow_share(op, e->duration_ns));
    if (service != NULL || m->services.n < m->services.max) {
        uint32_t kept = service != NULL ? kept_of(&service->known, late) : 0;
        out->services_kept = kept < out->services_kept ? kept : out->services_kept;
    }
    if (service != NULL)
        out->z = fmax(out->z, ox_baseline_z(&service->baseline, baseline_value(needs, e->duration_ns)));
}

void
ox_sampling_memory_look(const struct ox_sampling_memory *memory, const struct ox_sampling_needs *needs,
                        const struct ox_sampling_seen *seen, uint64_t now_ns, struct ox_sampling_facts *out)
{
    struct late late = late_at(needs, now_ns);
    *out = OX_SAMPLING_UNKNOWN;
    for (uint32_t i = 0; i < seen->n_entries; i++)
        look_entry(memory, needs, &seen->entries[i], late, out);
    for (uint32_t i = 0; i < seen->n_edges; i++) {
        const struct known *edge = find(&memory->edges, seen->edges[i]);
        if (edge != NULL || memory->edges.n < memory->edges.max)
            out->edges_seen = fmin(out->edges_seen, edge != NULL ? seen_of(edge, late) : 0);
    }
}

static void
learn_entry(struct ox_sampling_memory *m, const struct ox_sampling_needs *needs,
            const struct ox_sampling_entry *e, struct late late, bool kept)
{
    struct operation *op = (struct operation *)(void *)find_or_add(&m->operations, e->operation, late.window);
    struct service *service = (struct service *)(void *)find_or_add(&m->services, e->service, late.window);
    if (op != NULL) {
        count(&op->known, late, m->traces, kept);
        add_duration(op, e->duration_ns);
    }
    if (service != NULL) {
        count(&service->known, late, m->traces, kept);
        ox_baseline_add(&service->baseline, baseline_value(needs, e->duration_ns));
    }
}

void
ox_sampling_memory_learn(struct ox_sampling_memory *memory, const struct ox_sampling_needs *needs,
                         const struct ox_sampling_seen *seen, uint64_t now_ns, bool kept)
{
    struct late late = late_at(needs, now_ns);
    memory->traces++;
    for (uint32_t i = 0; i < seen->n_entries; i++)
        learn_entry(memory, needs, &seen->entries[i], late, kept);
    for (uint32_t i = 0; i < seen->n_edges; i++) {
        struct known *edge = find_or_add(&memory->edges, seen->edges[i], late.window);
        if (edge != NULL)
            count(edge, late, memory->traces, kept);
    }
}

struct ox_sampling_memory *
ox_sampling_memory_new(uint32_t operations_max, uint64_t seed)
{
    struct ox_sampling_memory *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return NULL;
    init_table(&m->operations, sizeof(struct operation), operations_max, seed);
    init_table(&m->services, sizeof(struct service), operations_max / 4 + 1, seed);
    init_table(&m->edges, sizeof(struct known), operations_max, seed);
    return m;
}

void
ox_sampling_memory_free(struct ox_sampling_memory *memory)
{
    if (memory == NULL)
        return;
    fini_table(&memory->operations);
    fini_table(&memory->services);
    fini_table(&memory->edges);
    free(memory);
}

size_t
ox_sampling_memory_bytes(const struct ox_sampling_memory *memory)
{
    return sizeof(*memory) + table_bytes(&memory->operations) + table_bytes(&memory->services) +
           table_bytes(&memory->edges);
}

/* ---- saving: "OXB1", then key and baseline of each service, then a CRC-32C of all before ---- */

#define SAVE_MAGIC  "OXB1"
#define SAVE_RECORD (8 + OX_BASELINE_BYTES)

void
ox_sampling_memory_save(const struct ox_sampling_memory *memory, struct ox_buf *out)
{
    size_t from = out->len;
    uint8_t bytes[SAVE_RECORD];
    ox_buf_append_cstr(out, SAVE_MAGIC);
    for (uint32_t i = 0; i < memory->services.n; i++) {
        const struct service *s = (const struct service *)(void *)record(&memory->services, i);
        uint64_t key = htole64(s->known.key);
        memcpy(bytes, &key, 8);
        ox_baseline_save(&s->baseline, bytes + 8);
        ox_buf_append(out, bytes, sizeof(bytes));
    }
    if (out->failed)
        return;
    uint32_t crc = htole32(ox_crc32c(0, out->data + from, out->len - from));
    ox_buf_append(out, &crc, sizeof(crc));
}

static bool
is_saved(struct ox_str bytes)
{
    uint32_t crc;
    if (bytes.n < 8 || (bytes.n - 8) % SAVE_RECORD != 0 || memcmp(bytes.p, SAVE_MAGIC, 4) != 0)
        return false;
    memcpy(&crc, bytes.p + bytes.n - 4, 4);
    return le32toh(crc) == ox_crc32c(0, bytes.p, bytes.n - 4);
}

ox_err
ox_sampling_memory_load(struct ox_sampling_memory *memory, struct ox_str bytes)
{
    struct ox_baseline baseline;
    uint64_t key;
    if (!is_saved(bytes))
        return OX_E_CORRUPT;
    for (size_t at = 4; at + 4 < bytes.n; at += SAVE_RECORD) { /* all, before any is taken */
        if (ox_baseline_load((const uint8_t *)bytes.p + at + 8, &baseline) != OX_OK)
            return OX_E_CORRUPT;
    }
    for (size_t at = 4; at + 4 < bytes.n; at += SAVE_RECORD) {
        memcpy(&key, bytes.p + at, 8);
        struct service *s = (struct service *)(void *)find_or_add(&memory->services, le64toh(key), 0);
        if (s != NULL && ox_baseline_load((const uint8_t *)bytes.p + at + 8, &baseline) == OX_OK)
            ox_baseline_merge(&s->baseline, &baseline);
    }
    return OX_OK;
}
