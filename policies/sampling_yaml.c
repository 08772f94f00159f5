/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/sampling_yaml.c - walking a YAML tree by tables of keys, and reading its values. See sampling_read.h.
 *
 * Owns, Threads, Fails: see there.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policies/sampling_read.h"

/* ---- problems, places ---- */

void
ox__read_problem(struct ox__reader *r, const struct ox_yaml_node *at, const char *fmt, ...)
{
    char sentence[512];
    va_list ap;
    if (r->report->problems++ >= OX_CONFIG_PROBLEMS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, ap);
    va_end(ap);
    ox_buf_printf(&r->report->text, "%s:%u: %s: %s\n", r->file, at->line, r->path, sentence);
}

/* Goes one step down; what it returns brings `leave` back. */
size_t
ox__read_enter(struct ox__reader *r, struct ox_str name, uint32_t index)
{
    size_t was = r->path_n, room = sizeof(r->path) - was;
    int n = name.n > 0 ? snprintf(r->path + was, room, "%s%.*s", was > 0 ? "." : "",
                                  (int)(name.n < 60 ? name.n : 60), name.p)
                       : snprintf(r->path + was, room, "[%u]", index);
    r->path_n = (size_t)n < room ? was + (size_t)n : sizeof(r->path) - 1;
    return was;
}

void
ox__read_leave(struct ox__reader *r, size_t was)
{
    r->path_n = was;
    r->path[was] = '\0';
}

bool
ox__read_is(struct ox__reader *r, const struct ox_yaml_node *value, enum ox_yaml_kind kind)
{
    static const char *const wanted[] = {"one value is expected here", "a section of keys is expected here",
                                         "a list is expected here"};
    if (value->kind == kind)
        return true;
    ox__read_problem(r, value, "%s", wanted[kind]);
    return false;
}

static void
unknown_key(struct ox__reader *r, const struct ox_yaml_node *at, const struct ox__read_key *keys, size_t n)
{
    const char *names[OX__READ_KEYS_MAX];
    char all[256];
    size_t used = 0;
    OX_ASSERT(n <= OX__READ_KEYS_MAX);
    for (size_t i = 0; i < n; i++) {
        names[i] = keys[i].name;
        used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "", names[i]);
        OX_ASSERT(used < sizeof(all));
    }
    const char *nearest = ox_nearest_name(at->key, names, n);
    if (nearest != NULL)
        ox__read_problem(r, at, "unknown; did you mean %s? (there are %s)", nearest, all);
    else
        ox__read_problem(r, at, "unknown; there are %s", all);
}

void
ox__read_section(struct ox__reader *r, const struct ox_yaml_node *section, const struct ox__read_key *keys,
                 size_t n, void *into)
{
    if (!ox__read_is(r, section, OX_YAML_MAP))
        return;
    for (const struct ox_yaml_node *c = section->first; c != NULL; c = c->next) {
        size_t i = 0, was = ox__read_enter(r, c->key, 0);
        while (i < n && !ox_str_eq(c->key, ox_str_of(keys[i].name)))
            i++;
        if (i < n)
            keys[i].take(r, c, into);
        else
            unknown_key(r, c, keys, n);
        ox__read_leave(r, was);
    }
}

void
ox__read_list(struct ox__reader *r, const struct ox_yaml_node *list,
              void (*take)(struct ox__reader *r, const struct ox_yaml_node *item, void *into), void *into)
{
    uint32_t i = 0;
    if (!ox__read_is(r, list, OX_YAML_LIST))
        return;
    for (const struct ox_yaml_node *c = list->first; c != NULL; c = c->next) {
        size_t was = ox__read_enter(r, (struct ox_str){NULL, 0}, i++);
        take(r, c, into);
        ox__read_leave(r, was);
    }
}

/* ---- values ---- */

bool
ox__read_number(struct ox__reader *r, const struct ox_yaml_node *value, double min, double max,
                const char *what, double *out)
{
    char *end;
    if (!ox__read_is(r, value, OX_YAML_SCALAR))
        return false;
    double v = strtod(value->text.p, &end);
    if (value->text.n == 0 || end != value->text.p + value->text.n || !(v >= min && v <= max)) {
        ox__read_problem(r, value, "'%.40s' is not %s", value->text.p, what);
        return false;
    }
    *out = v;
    return true;
}

void
ox__read_probability(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_number(r, value, 0, 1, "a probability from 0 to 1, such as 0.1", into);
}

void
ox__read_points(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_number(r, value, 0, 1e6, "a number of points, 0 or more", into);
}

void
ox__read_count(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    double v;
    uint32_t *out = into;
    if (!ox__read_number(r, value, 0, 1e6, "a whole number of traces from 0 to 1000000", &v))
        return;
    if (v != floor(v))
        ox__read_problem(r, value, "'%.40s' is not a whole number", value->text.p);
    else
        *out = (uint32_t)v;
}

void
ox__read_duration(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const struct ox_config_key row = {
        .key = "", .type = OX_CONFIG_duration, .def = "0", .min = "", .max = ""};
    struct ox_diag diag;
    int64_t ms = 0;
    uint64_t *out = into;
    ox_diag_clear(&diag);
    if (!ox__read_is(r, value, OX_YAML_SCALAR))
        return;
    if (ox_config_key_set(&row, value->text, &ms, &diag) != OX_OK || ms <= 0 || ms > 86400000)
        ox__read_problem(r, value, "'%.40s' is not a duration up to 24h, such as 500ms, 2s or 1h",
                         value->text.p);
    else
        *out = (uint64_t)ms * 1000000;
}

void
ox__read_bool(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    int *out = into;
    if (!ox__read_is(r, value, OX_YAML_SCALAR))
        return;
    if (ox_str_eq(value->text, OX_STR("true")))
        *out = 1;
    else if (ox_str_eq(value->text, OX_STR("false")))
        *out = 0;
    else
        ox__read_problem(r, value, "'%.40s' is neither true nor false", value->text.p);
}

/* One of names; its position plus `base`. */
void
ox__read_name(struct ox__reader *r, const struct ox_yaml_node *value, const char *const *names, int n,
              const char *all, int *out)
{
    if (!ox__read_is(r, value, OX_YAML_SCALAR))
        return;
    for (int i = 0; i < n; i++) {
        if (ox_str_eq(value->text, ox_str_of(names[i]))) {
            *out = i;
            return;
        }
    }
    ox__read_problem(r, value, "'%.40s' is none of %s", value->text.p, all);
}

void
ox__read_text(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    struct ox_str *out = into;
    if (!ox__read_is(r, value, OX_YAML_SCALAR))
        return;
    if (value->text.n == 0 || value->text.n > 1024) {
        ox__read_problem(r, value, "a text of 1 to 1024 bytes is expected here; * stands for any characters");
        return;
    }
    char *copy = ox_arena_strdup(r->set->arena, value->text);
    r->failed |= copy == NULL;
    *out = (struct ox_str){copy, value->text.n};
}
