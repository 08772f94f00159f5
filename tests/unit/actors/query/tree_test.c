/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    each span stands once, below its parent, siblings in start order, whatever the trace looks like.
 * Method:  known traces shuffled by a seeded generator; invariants over random ones; a chain of 100,000.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "actors/query/query_tree.h"

static struct ox__tree_in
span(uint64_t id, uint64_t parent, uint64_t start)
{
    struct ox__tree_in s = {.start_ns = start};
    memcpy(s.span_id, &id, 8);
    memcpy(s.parent_id, &parent, 8);
    return s;
}

static uint64_t
id_of(const struct ox__tree_in *in, const struct ox__tree_node *node)
{
    uint64_t id;
    memcpy(&id, in[node->index].span_id, 8);
    return id;
}

static uint64_t seed = 42;

static uint32_t
roll(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static void
shuffle(struct ox__tree_in *in, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = roll(i);
        struct ox__tree_in t = in[i - 1];
        in[i - 1] = in[k];
        in[k] = t;
    }
}

TestSuite(tree, .timeout = 60);

Test(tree, depth_first_in_start_order_however_shuffled)
{
    struct ox__tree_in in[] = {span(1, 0, 10), span(2, 1, 30), span(3, 1, 20),
                               span(4, 3, 25), span(5, 2, 40), span(6, 3, 22)};
    static const uint64_t wanted[] = {1, 3, 6, 4, 2, 5};
    static const uint32_t depth[] = {0, 1, 2, 2, 1, 2};
    for (int round = 0; round < 50; round++) {
        struct ox__tree t;
        shuffle(in, 6);
        cr_assert_eq(ox__tree_build(in, 6, &t), OX_OK);
        cr_assert_eq(t.n, 6);
        for (uint32_t i = 0; i < 6; i++) {
            cr_assert_eq(id_of(in, &t.nodes[i]), wanted[i]);
            cr_assert_eq(t.nodes[i].depth, depth[i]);
        }
        cr_assert_eq(t.nodes[0].children, 2);
        cr_assert_eq(t.nodes[0].flags, OX__TREE_ROOT);
        ox__tree_fini(&t);
    }
}

Test(tree, orphans_and_several_roots_stand_at_the_top_in_start_order)
{
    struct ox__tree_in in[] = {span(1, 0, 10), span(2, 99, 5), span(3, 2, 6), span(4, 0, 1)};
    struct ox__tree t;
    cr_assert_eq(ox__tree_build(in, 4, &t), OX_OK);
    cr_assert_eq(t.roots, 2);
    cr_assert_eq(t.orphans, 1);
    cr_assert_eq(id_of(in, &t.nodes[0]), 4);
    cr_assert_eq(id_of(in, &t.nodes[1]), 2);
    cr_assert_eq(t.nodes[1].flags, OX__TREE_ORPHAN);
    cr_assert_eq(id_of(in, &t.nodes[2]), 3);
    cr_assert_eq(t.nodes[2].depth, 1);
    ox__tree_fini(&t);
}

Test(tree, duplicates_are_left_out_and_counted)
{
    struct ox__tree_in in[] = {span(1, 0, 10), span(2, 1, 12), span(1, 0, 10), span(2, 1, 11)};
    struct ox__tree t;
    cr_assert_eq(ox__tree_build(in, 4, &t), OX_OK);
    cr_assert_eq(t.n, 2);
    cr_assert_eq(t.duplicates, 2);
    cr_assert_eq(in[t.nodes[1].index].start_ns, 11, "the first in time stays");
    ox__tree_fini(&t);
}

Test(tree, circles_are_cut_at_their_earliest_span)
{
    /* 1 -> 2 -> 3 -> 1, with 4 and the earlier 5 hanging below, and 6 its own parent. */
    struct ox__tree_in in[] = {span(1, 3, 30), span(2, 1, 20), span(3, 2, 40),
                               span(4, 3, 50), span(5, 4, 1),  span(6, 6, 2)};
    for (int round = 0; round < 50; round++) {
        struct ox__tree t;
        shuffle(in, 6);
        cr_assert_eq(ox__tree_build(in, 6, &t), OX_OK);
        cr_assert_eq(t.n, 6);
        cr_assert_eq(t.cycles, 2);
        static const uint64_t wanted[] = {2, 3, 1, 4, 5, 6};
        for (uint32_t i = 0; i < 6; i++)
            cr_assert_eq(id_of(in, &t.nodes[i]), wanted[i], "place %u holds %llu", i,
                         (unsigned long long)id_of(in, &t.nodes[i]));
        cr_assert(t.nodes[0].flags & OX__TREE_CYCLE);
        ox__tree_fini(&t);
    }
}

Test(tree, random_traces_hold_the_invariants)
{
    enum { N = 200 };
    for (int round = 0; round < 300; round++) {
        struct ox__tree_in in[N];
        uint32_t at[N], n = 1 + roll(N), seen = 0;
        struct ox__tree t;
        for (uint32_t i = 0; i < n; i++)
            in[i] = span(i + 1, roll(n + 3), roll(50));
        shuffle(in, n);
        cr_assert_eq(ox__tree_build(in, n, &t), OX_OK);
        cr_assert_eq(t.n + t.duplicates, n);
        memset(at, 0xff, sizeof(at));
        for (uint32_t i = 0; i < t.n; i++) {
            const struct ox__tree_node *node = &t.nodes[i];
            uint64_t parent;
            cr_assert_eq(at[id_of(in, node) - 1], UINT32_MAX, "a span stands twice");
            at[id_of(in, node) - 1] = i;
            seen++;
            if (node->flags != 0) {
                cr_assert_eq(node->depth, 0);
                continue;
            }
            memcpy(&parent, in[node->index].parent_id, 8);
            cr_assert(parent >= 1 && parent <= n && at[parent - 1] < i, "a parent stands behind its child");
            cr_assert_eq(node->depth, t.nodes[at[parent - 1]].depth + 1);
        }
        cr_assert_eq(seen, t.n);
        ox__tree_fini(&t);
    }
}

Test(tree, a_chain_of_a_hundred_thousand_and_none_at_all)
{
    enum { N = 100000 };
    struct ox__tree_in *in = malloc(N * sizeof(*in));
    struct ox__tree t;
    for (uint32_t i = 0; i < N; i++)
        in[i] = span(i + 1, i, N - i); /* children start before their parents: skewed clocks */
    shuffle(in, N);
    cr_assert_eq(ox__tree_build(in, N, &t), OX_OK);
    cr_assert_eq(t.n, N);
    cr_assert_eq(t.nodes[N - 1].depth, N - 1);
    ox__tree_fini(&t);
    cr_assert_eq(ox__tree_build(in, 0, &t), OX_OK);
    cr_assert_eq(t.n, 0);
    ox__tree_fini(&t);
    free(in);
}
