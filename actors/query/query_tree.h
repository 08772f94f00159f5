/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_tree.h - puts the spans of one trace into tree order.
 *
 * Owns:    the result's arrays until _fini.
 * Threads: any; pure.
 * Bounds:  linear memory; no recursion, so depth is not bounded by the stack.
 */
#ifndef OX_QUERY_TREE_H
#define OX_QUERY_TREE_H

#include "ox/base.h"

enum {
    OX__TREE_ROOT = 1,   /* says itself that it has no parent */
    OX__TREE_ORPHAN = 2, /* names a parent that is not in the trace: stands at the top */
    OX__TREE_CYCLE = 4   /* its ancestors lead back to itself: the circle is cut here */
};

struct ox__tree_in {
    uint8_t span_id[8];
    uint8_t parent_id[8]; /* all zero = none */
    uint64_t start_ns;
};

struct ox__tree_node {
    uint32_t index; /* into the input */
    uint32_t depth;
    uint32_t children; /* direct ones */
    uint32_t flags;    /* OX__TREE_* */
};

struct ox__tree {
    struct ox__tree_node *nodes; /* depth first, parents before children, siblings by start then id */
    uint32_t n;
    uint32_t duplicates; /* spans left out because another one has the same id */
    uint32_t roots;      /* nodes at the top for each reason */
    uint32_t orphans;
    uint32_t cycles;
};

/* in: lend, in any order. Of several spans with one id the first in time (then in the input) stays. NOMEM. */
OX_MUST_USE ox_err ox__tree_build(const struct ox__tree_in *in, uint32_t n, struct ox__tree *out);
void ox__tree_fini(struct ox__tree *tree);

#endif
