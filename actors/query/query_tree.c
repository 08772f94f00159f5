/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_tree.c - puts the spans of one trace into tree order.
 *
 * Owns:    its working arrays, freed before it returns.
 * Threads: any; pure.
 * Bounds:  O(n log n) time, O(n) memory, no recursion.
 * Fails:   NOMEM.
 * Flow:    query_trace.c -> here.
 *
 * Working on positions in start order: `sorted[k]` is the input index of the k-th span. Parents are found by
 * a hash table over span ids. Children hang in lists first/next, pushed from the last span to the first, so
 * that each list is in start order. What the walk from the tops does not reach lies on, or hangs below, a
 * circle of parents; each circle is cut at its earliest span.
 */
#include "actors/query/query_tree.h"

#include <stdlib.h>

#define NONE UINT32_MAX

struct work {
    const struct ox__tree_in *in;
    uint32_t n;       /* spans without duplicates */
    uint32_t *sorted; /* position -> input index */
    uint32_t *parent; /* all below by position */
    uint32_t *first;
    uint32_t *next;
    uint32_t *depth;
    uint32_t *children;
    uint8_t *flags;
    uint8_t *visited;
    uint32_t *table; /* hash of span id -> position */
    uint32_t mask;
};

static int
compare(const void *a, const void *b, void *arg)
{
    const struct ox__tree_in *in = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (in[x].start_ns != in[y].start_ns)
        return in[x].start_ns < in[y].start_ns ? -1 : 1;
    int order = memcmp(in[x].span_id, in[y].span_id, sizeof(in[x].span_id));
    if (order != 0)
        return order;
    return x < y ? -1 : x > y;
}

static uint32_t
hash(const uint8_t id[8])
{
    uint64_t v;
    memcpy(&v, id, sizeof(v));
    v *= 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio: spreads ids that count up */
    return (uint32_t)(v >> 32);
}

/* The slot that holds the id, or the empty one where it belongs. The table is at most half full. */
static uint32_t *
find(const struct work *w, const uint8_t id[8])
{
    uint32_t at = hash(id) & w->mask;
    while (w->table[at] != NONE && memcmp(w->in[w->sorted[w->table[at]]].span_id, id, 8) != 0)
        at = (at + 1) & w->mask;
    return &w->table[at];
}

static bool
is_zero(const uint8_t id[8])
{
    static const uint8_t zero[8];
    return memcmp(id, zero, sizeof(zero)) == 0;
}

static void
work_fini(struct work *w)
{
    free(w->sorted);
    free(w->table);
    free(w->flags);
}

/* One block for all arrays of u32, one for those of bytes. */
static ox_err
work_init(struct work *w, const struct ox__tree_in *in, uint32_t n)
{
    uint32_t slots = 16;
    while (slots < 2 * (uint64_t)n && slots < (1u << 31))
        slots *= 2;
    w->in = in;
    w->mask = slots - 1;
    w->sorted = malloc(((size_t)n + 1) * 6 * sizeof(uint32_t));
    w->table = malloc((size_t)slots * sizeof(uint32_t));
    w->flags = calloc((size_t)n + 1, 2);
    if (w->sorted == NULL || w->table == NULL || w->flags == NULL) {
        work_fini(w);
        return OX_E_NOMEM;
    }
    w->parent = w->sorted + n;
    w->first = w->parent + n;
    w->next = w->first + n;
    w->depth = w->next + n;
    w->children = w->depth + n;
    w->visited = w->flags + n;
    memset(w->table, 0xff, (size_t)slots * sizeof(uint32_t));
    memset(w->parent, 0xff, 3 * (size_t)n * sizeof(uint32_t));
    memset(w->depth, 0, 2 * (size_t)n * sizeof(uint32_t));
    return OX_OK;
}

/* Sorts by start and keeps the first of each id. */
static void
sort_unique(struct work *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        w->sorted[i] = i;
    qsort_r(w->sorted, n, sizeof(w->sorted[0]), compare, (void *)(uintptr_t)w->in);
    w->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = w->sorted[i];
        uint32_t *slot = find(w, w->in[index].span_id);
        if (*slot != NONE)
            continue;
        w->sorted[w->n] = index;
        *slot = w->n++;
    }
}

static void
link_parents(struct work *w)
{
    for (uint32_t k = w->n; k-- > 0;) {
        const struct ox__tree_in *s = &w->in[w->sorted[k]];
        uint32_t parent = is_zero(s->parent_id) ? NONE : *find(w, s->parent_id);
        w->parent[k] = parent;
        if (parent == NONE) {
            w->flags[k] = is_zero(s->parent_id) ? OX__TREE_ROOT : OX__TREE_ORPHAN;
            continue;
        }
        w->next[k] = w->first[parent];
        w->first[parent] = k;
        w->children[parent]++;
    }
}

static void
visit(struct work *w, uint32_t k, uint32_t depth, struct ox__tree *out)
{
    w->visited[k] = 1;
    w->depth[k] = depth;
    out->nodes[out->n++] = (struct ox__tree_node){
        .index = w->sorted[k], .depth = depth, .children = w->children[k], .flags = w->flags[k]};
}

/* Depth first from a top, down by `first`, on by `next`, up by `parent`. */
static void
walk(struct work *w, uint32_t top, struct ox__tree *out)
{
    uint32_t k = top;
    visit(w, k, 0, out);
    for (;;) {
        if (w->first[k] != NONE) {
            uint32_t depth = w->depth[k] + 1;
            k = w->first[k];
            visit(w, k, depth, out);
            continue;
        }
        while (k != top && w->next[k] == NONE)
            k = w->parent[k];
        if (k == top)
            return;
        uint32_t depth = w->depth[k];
        k = w->next[k];
        visit(w, k, depth, out);
    }
}

/* The earliest span of the circle that the ancestors of k run into. */
static uint32_t
circle_of(const struct work *w, uint32_t k)
{
    uint32_t slow = k, fast = k;
    do {
        slow = w->parent[slow];
        fast = w->parent[w->parent[fast]];
    } while (slow != fast);
    uint32_t earliest = slow;
    for (uint32_t at = w->parent[slow]; at != slow; at = w->parent[at])
        if (at < earliest)
            earliest = at;
    return earliest;
}

static void
cut(struct work *w, uint32_t k)
{
    uint32_t *link = &w->first[w->parent[k]];
    while (*link != k)
        link = &w->next[*link];
    *link = w->next[k];
    w->children[w->parent[k]]--;
    w->next[k] = NONE;
    w->parent[k] = NONE;
    w->flags[k] |= OX__TREE_CYCLE;
}

ox_err
ox__tree_build(const struct ox__tree_in *in, uint32_t n, struct ox__tree *out)
{
    struct work w = {0};
    memset(out, 0, sizeof(*out));
    ox_err err = work_init(&w, in, n);
    if (err != OX_OK)
        return err;
    out->nodes = malloc(((size_t)n + 1) * sizeof(out->nodes[0]));
    if (out->nodes == NULL) {
        work_fini(&w);
        return OX_E_NOMEM;
    }
    sort_unique(&w, n);
    out->duplicates = n - w.n;
    link_parents(&w);
    for (uint32_t k = 0; k < w.n; k++) {
        out->roots += w.flags[k] == OX__TREE_ROOT;
        out->orphans += w.flags[k] == OX__TREE_ORPHAN;
        if (w.flags[k] != 0)
            walk(&w, k, out);
    }
    for (uint32_t k = 0; k < w.n; k++) {
        if (w.visited[k])
            continue;
        uint32_t top = circle_of(&w, k);
        cut(&w, top);
        out->cycles++;
        walk(&w, top, out);
    }
    work_fini(&w);
    return OX_OK;
}

void
ox__tree_fini(struct ox__tree *tree)
{
    free(tree->nodes);
    tree->nodes = NULL;
    tree->n = 0;
}
