/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/config/yaml_tree.c - see include/ox/yaml_tree.h.
 *
 * Owns, Threads, Bounds, Fails, Flow: see there.
 */
#include "ox/yaml_tree.h"

#include <stdlib.h>
#include <yaml.h>

#include "ox/arena.h"

/* A node per two bytes of text is the most that YAML allows ("[,,,"); real files have one per ten. */
#define TREE_BYTES_MAX (64u * OX_YAML_BYTES_MAX)

struct ox_yaml {
    struct ox_arena *arena;
    struct ox_yaml_node *root;
};

struct walk {
    struct ox_yaml *yaml;
    struct ox_diag *diag;
    struct ox_yaml_node *open[OX_YAML_DEPTH_MAX]; /* maps and lists around the next event */
    struct ox_yaml_node *last[OX_YAML_DEPTH_MAX]; /* the last child of each */
    unsigned depth;
    bool have_key;
    struct ox_str key;
};

static ox_err
wrong(struct walk *w, const yaml_event_t *ev, const char *sentence)
{
    return ox_diag_set(w->diag, OX_E_CONFIG, NULL, (int64_t)ev->start_mark.line + 1, "%s", sentence);
}

static ox_err
copy(struct walk *w, const yaml_event_t *ev, struct ox_str *out)
{
    char *text = ox_arena_strdup(
        w->yaml->arena, (struct ox_str){(const char *)ev->data.scalar.value, ev->data.scalar.length});
    *out = (struct ox_str){text, ev->data.scalar.length};
    return text != NULL ? OX_OK : OX_E_NOMEM;
}

/* The next event is a key, not a value. */
static bool
at_key(const struct walk *w)
{
    return w->depth > 0 && w->open[w->depth - 1]->kind == OX_YAML_MAP && !w->have_key;
}

static ox_err
take_key(struct walk *w, const yaml_event_t *ev)
{
    ox_err err = copy(w, ev, &w->key);
    if (err != OX_OK)
        return err;
    if (w->key.n == 0)
        return wrong(w, ev, "a key is missing before the colon");
    if (w->open[w->depth - 1]->n == OX_YAML_KEYS_MAX)
        return wrong(w, ev, "more than 10000 keys in one section");
    for (const struct ox_yaml_node *c = w->open[w->depth - 1]->first; c != NULL; c = c->next) {
        if (ox_str_eq(c->key, w->key))
            return ox_diag_set(w->diag, OX_E_CONFIG, NULL, (int64_t)ev->start_mark.line + 1,
                               "%.60s: already set in line %u; keep one of the two", w->key.p, c->line);
    }
    w->have_key = true;
    return OX_OK;
}

static ox_err
add(struct walk *w, const yaml_event_t *ev, enum ox_yaml_kind kind, struct ox_yaml_node **out)
{
    struct ox_yaml_node *node = ox_arena_calloc(w->yaml->arena, 1, sizeof(*node));
    if (node == NULL)
        return OX_E_NOMEM;
    node->kind = kind;
    node->line = (uint32_t)ev->start_mark.line + 1;
    *out = node;
    if (w->depth == 0) {
        w->yaml->root = node;
        return OX_OK;
    }
    struct ox_yaml_node *parent = w->open[w->depth - 1], **last = &w->last[w->depth - 1];
    node->key = w->have_key ? w->key : (struct ox_str){NULL, 0};
    w->have_key = false;
    *(*last != NULL ? &(*last)->next : &parent->first) = node;
    *last = node;
    parent->n++;
    return OX_OK;
}

static ox_err
on_scalar(struct walk *w, const yaml_event_t *ev)
{
    struct ox_yaml_node *node;
    if (at_key(w))
        return take_key(w, ev);
    ox_err err = add(w, ev, OX_YAML_SCALAR, &node);
    if (err != OX_OK)
        return err;
    node->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return copy(w, ev, &node->text);
}

static ox_err
on_open(struct walk *w, const yaml_event_t *ev, enum ox_yaml_kind kind)
{
    struct ox_yaml_node *node;
    if (at_key(w))
        return wrong(w, ev, "a key is a word, not a list or a section");
    if (w->depth == OX_YAML_DEPTH_MAX)
        return wrong(w, ev, "nested deeper than 24 levels");
    ox_err err = add(w, ev, kind, &node);
    if (err != OX_OK)
        return err;
    w->open[w->depth] = node;
    w->last[w->depth++] = NULL;
    return OX_OK;
}
_Static_assert(OX_YAML_DEPTH_MAX == 24 && OX_YAML_KEYS_MAX == 10000, "the sentences above name them");

static ox_err
on_event(struct walk *w, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(w, ev);
    case YAML_MAPPING_START_EVENT:
        return on_open(w, ev, OX_YAML_MAP);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(w, ev, OX_YAML_LIST);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        w->depth--;
        return OX_OK;
    case YAML_ALIAS_EVENT:
        return wrong(w, ev, "aliases (*name) are not supported; write the value out");
    case YAML_DOCUMENT_START_EVENT:
        return w->yaml->root != NULL ? wrong(w, ev, "a second document (---) begins here; one is read")
                                     : OX_OK;
    default:
        return OX_OK;
    }
}

static ox_err
walk(struct walk *w, struct ox_str text)
{
    yaml_parser_t parser;
    ox_err err = OX_OK;
    if (!yaml_parser_initialize(&parser))
        return OX_E_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.n > 0 ? text.p : ""), text.n);
    for (bool more = true; more && err == OX_OK;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&parser, &ev)) {
            err = ox_diag_set(w->diag, OX_E_CONFIG, NULL, (int64_t)parser.problem_mark.line + 1,
                              "not valid YAML: %s (column %zu)",
                              parser.problem != NULL ? parser.problem : "unreadable",
                              parser.problem_mark.column + 1);
        } else {
            err = on_event(w, &ev);
            more = ev.type != YAML_STREAM_END_EVENT;
            yaml_event_delete(&ev);
        }
    }
    yaml_parser_delete(&parser);
    return err;
}

ox_err
ox_yaml_parse(struct ox_str text, struct ox_yaml **out, struct ox_diag *diag)
{
    *out = NULL;
    if (text.n > OX_YAML_BYTES_MAX)
        return ox_diag_set(diag, OX_E_CONFIG, NULL, -1, "larger than 1 MiB; this is no file of policies");
    struct ox_yaml *yaml = calloc(1, sizeof(*yaml));
    struct walk w = {.yaml = yaml, .diag = diag};
    if (yaml == NULL)
        return OX_E_NOMEM;
    yaml->arena = ox_arena_new(TREE_BYTES_MAX, NULL);
    ox_err err = yaml->arena != NULL ? walk(&w, text) : OX_E_NOMEM;
    if (err == OX_OK && yaml->root == NULL) {
        yaml->root = ox_arena_calloc(yaml->arena, 1, sizeof(*yaml->root));
        err = yaml->root != NULL ? OX_OK : OX_E_NOMEM;
        if (err == OX_OK)
            *yaml->root = (struct ox_yaml_node){.kind = OX_YAML_MAP, .line = 1};
    }
    if (err != OX_OK) {
        ox_yaml_free(yaml);
        return err;
    }
    *out = yaml;
    return OX_OK;
}

void
ox_yaml_free(struct ox_yaml *yaml)
{
    if (yaml == NULL)
        return;
    ox_arena_free(yaml->arena);
    free(yaml);
}

const struct ox_yaml_node *
ox_yaml_root(const struct ox_yaml *yaml)
{
    return yaml->root;
}

const struct ox_yaml_node *
ox_yaml_get(const struct ox_yaml_node *map, const char *key)
{
    OX_ASSERT(map->kind == OX_YAML_MAP);
    for (const struct ox_yaml_node *c = map->first; c != NULL; c = c->next) {
        if (ox_str_eq(c->key, ox_str_of(key)))
            return c;
    }
    return NULL;
}
