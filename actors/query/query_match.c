/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_match.c - conditions on attributes: tags=k:v and label.k=v and their siblings.
 *
 * Owns:    nothing; views into the decoded parameters.
 * Threads: one at a time.
 * Bounds:  OX__PARAM_LIST_MAX conditions of each kind.
 * Fails:   INVALID with a sentence.
 * Flow:    query_traces.c, query_logs.c, query_metrics.c -> here.
 */
#include <ctype.h>

#include "actors/query/query_params.h"

static const char tag_hint[] = "pairs key:value, separated by commas or by repeating the parameter";

/* Whether a new pair begins at p: a key of the usual characters, then a colon. */
static bool
starts_pair(const char *p, const char *end)
{
    const char *from = p;
    while (p < end && (isalnum((unsigned char)*p) || strchr("_.-/", *p) != NULL))
        p++;
    return p > from && p < end && *p == ':';
}

/* Where the pair that begins at p ends: at the end, or at a comma behind which another pair begins. */
static const char *
pair_end(const char *p, const char *end)
{
    for (; p < end; p++)
        if (*p == ',' && starts_pair(p + 1, end))
            break;
    return p;
}

static bool
add_tags(struct ox_str list, struct ox__tag *tags, size_t *n)
{
    const char *p = list.p, *end = list.p + list.n;
    while (p < end) {
        const char *stop = pair_end(p, end);
        const char *colon = memchr(p, ':', (size_t)(stop - p));
        if (colon == NULL || colon == p || *n == OX__PARAM_LIST_MAX)
            return false;
        tags[*n].key = (struct ox_str){p, (size_t)(colon - p)};
        tags[(*n)++].value = (struct ox_str){colon + 1, (size_t)(stop - colon - 1)};
        p = stop < end ? stop + 1 : end;
    }
    return true;
}

ox_err
ox__params_tags(struct ox__params *ps, struct ox__tag *tags, size_t *n, struct ox_diag *diag)
{
    *n = 0;
    for (size_t i = 0; i < ps->n; i++) {
        struct ox__param *p = &ps->items[i];
        if (!ox_str_eq(p->name, OX_STR("tags")) && !ox_str_eq(p->name, OX_STR("tag")))
            continue;
        p->used = true;
        if (!add_tags(p->value, tags, n))
            return ox__param_bad(p, tag_hint, diag);
    }
    return OX_OK;
}

static bool
strip_suffix(struct ox_str *s, char c)
{
    if (s->n == 0 || s->p[s->n - 1] != c)
        return false;
    s->n--;
    return true;
}

/*
 * A query string knows only '=', so the operators arrive cut in two: label.k!=v as the name "label.k!",
 * label.k=~v as a value that begins with '~', label.k!~v as a name that holds everything.
 */
static struct ox__label
split_label(const struct ox__param *p)
{
    struct ox__label label = {.key = p->name, .value = p->value, .match = OX__MATCH_EQ};
    label.key.p += strlen("label.");
    label.key.n -= strlen("label.");
    for (size_t i = 0; i + 1 < label.key.n; i++) {
        if (label.key.p[i] != '!' || label.key.p[i + 1] != '~')
            continue;
        label.value = (struct ox_str){label.key.p + i + 2, label.key.n - i - 2};
        label.key.n = i;
        label.match = OX__MATCH_NRE;
        return label;
    }
    if (strip_suffix(&label.key, '!'))
        label.match = OX__MATCH_NE;
    if (label.value.n > 0 && label.value.p[0] == '~' && !p->escaped) {
        label.match = label.match == OX__MATCH_NE ? OX__MATCH_NRE : OX__MATCH_RE;
        label.value.p++;
        label.value.n--;
    }
    return label;
}

ox_err
ox__params_labels(struct ox__params *ps, struct ox__label *labels, size_t *n, struct ox_diag *diag)
{
    *n = 0;
    for (size_t i = 0; i < ps->n; i++) {
        struct ox__param *p = &ps->items[i];
        if (p->name.n <= strlen("label.") || memcmp(p->name.p, "label.", strlen("label.")) != 0)
            continue;
        p->used = true;
        if (*n == OX__PARAM_LIST_MAX)
            return ox_diag_set(diag, OX_E_INVALID, "label", -1, "more than %d label matchers",
                               OX__PARAM_LIST_MAX);
        labels[*n] = split_label(p);
        if (labels[(*n)++].key.n == 0)
            return ox__param_bad(p, "label.<name>=<value>, with = or !=, =~, !~", diag);
    }
    return OX_OK;
}
