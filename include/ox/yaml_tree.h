/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/yaml_tree.h - a YAML text as maps, lists and scalars that know their lines.
 *
 * Owns:    the tree and copies of its scalars, until ox_yaml_free.
 * Threads: one at a time while it is read; any afterwards.
 * Bounds:  OX_YAML_BYTES_MAX of text, OX_YAML_DEPTH_MAX levels, OX_YAML_KEYS_MAX keys of a map; one document; no
 *          aliases (a line of text may stand for a billion).
 * Fails:   CONFIG with the line (diag->offset) and a sentence, NOMEM.
 * Flow:    a file of policies -> here -> policies/sampling_read.c.
 *
 * For the configuration itself see ox/config_table.h: its keys stand in a table, and its mistakes can all be found in
 * one walk.
 */
#ifndef OX_YAML_TREE_H
#define OX_YAML_TREE_H

#include "ox/base.h"

#define OX_YAML_BYTES_MAX (1u << 20)
#define OX_YAML_DEPTH_MAX 24
#define OX_YAML_KEYS_MAX  10000 /* of one map: each is compared with those before it */

enum ox_yaml_kind { OX_YAML_SCALAR, OX_YAML_MAP, OX_YAML_LIST };

struct ox_yaml_node {
    enum ox_yaml_kind kind;
    uint32_t line;      /* 1-based */
    uint32_t n;         /* children */
    struct ox_str key;  /* in a map: what it is the value of */
    struct ox_str text; /* SCALAR: zero-terminated as well */
    bool quoted;        /* SCALAR: not plain, so that `null` is a word */
    struct ox_yaml_node *first, *next;
};

struct ox_yaml;

/* text: lend. A text without content gives an empty map. A key twice in one map is a mistake. */
OX_MUST_USE ox_err ox_yaml_parse(struct ox_str text, struct ox_yaml **out, struct ox_diag *diag);
void ox_yaml_free(struct ox_yaml *yaml);
/* Lend, as long as the tree. */
const struct ox_yaml_node *ox_yaml_root(const struct ox_yaml *yaml);
/* The value of a key of a map, or NULL. */
const struct ox_yaml_node *ox_yaml_get(const struct ox_yaml_node *map, const char *key);

#endif
