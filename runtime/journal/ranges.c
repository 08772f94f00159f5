/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/ranges.c - sets of ordinals as sorted, merged ranges.
 *
 * Owns:    the array of a set with more than one range.
 * Threads: one owner at a time.
 * Bounds:  one range per two ordinals at worst.
 * Fails:   OX_E_NOMEM.
 */
#include "ox/ranges.h"

#include <stdlib.h>

#define RANGES_CAP_FIRST 8

void
ox_ranges_fini(struct ox_ranges *r)
{
    free(r->many);
    memset(r, 0, sizeof(*r));
}

void
ox_ranges_reset(struct ox_ranges *r)
{
    r->n = 0;
}

static struct ox_range *
items(struct ox_ranges *r)
{
    return r->many != NULL ? r->many : &r->one;
}

static bool
make_room(struct ox_ranges *r)
{
    uint32_t cap = r->many != NULL ? r->cap : 1;
    if (r->n < cap)
        return true;
    uint32_t wanted = cap < RANGES_CAP_FIRST ? RANGES_CAP_FIRST : cap * 2;
    struct ox_range *many = realloc(r->many, wanted * sizeof(*many));
    if (many == NULL)
        return false;
    if (r->many == NULL && r->n == 1)
        many[0] = r->one;
    r->many = many;
    r->cap = wanted;
    return true;
}

/* Index of the first range that ends at or behind `ordinal`. */
static uint32_t
first_touching(const struct ox_ranges *r, uint32_t ordinal)
{
    const struct ox_range *at = ox_ranges_at(r);
    uint32_t lo = 0, hi = r->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (at[mid].to < ordinal)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

ox_err
ox_ranges_add(struct ox_ranges *r, uint32_t from, uint32_t to, uint32_t *added)
{
    OX_ASSERT(from < to);
    uint32_t fresh = to - from - ox_ranges_count(r, from, to);
    uint32_t i = first_touching(r, from);
    uint32_t end = i; /* one behind the last range that [from, to) touches */
    while (end < r->n && items(r)[end].from <= to)
        end++;
    if (end == i) {
        if (!make_room(r))
            return OX_E_NOMEM;
        struct ox_range *at = items(r);
        memmove(at + i + 1, at + i, (r->n - i) * sizeof(*at));
        at[i] = (struct ox_range){from, to};
        r->n++;
    } else {
        struct ox_range *at = items(r);
        at[i].from = from < at[i].from ? from : at[i].from;
        at[i].to = to > at[end - 1].to ? to : at[end - 1].to;
        memmove(at + i + 1, at + end, (r->n - end) * sizeof(*at));
        r->n -= end - i - 1;
    }
    if (added != NULL)
        *added = fresh;
    return OX_OK;
}

bool
ox_ranges_has(const struct ox_ranges *r, uint32_t ordinal)
{
    const struct ox_range *at = ox_ranges_at(r);
    uint32_t i = first_touching(r, ordinal);
    if (i < r->n && at[i].to == ordinal)
        i++; /* touches, but does not contain */
    return i < r->n && at[i].from <= ordinal;
}

uint32_t
ox_ranges_count(const struct ox_ranges *r, uint32_t from, uint32_t to)
{
    const struct ox_range *at = ox_ranges_at(r);
    uint32_t sum = 0;
    for (uint32_t i = first_touching(r, from); i < r->n && at[i].from < to; i++) {
        uint32_t a = at[i].from > from ? at[i].from : from;
        uint32_t b = at[i].to < to ? at[i].to : to;
        if (a < b)
            sum += b - a;
    }
    return sum;
}

ox_err
ox_ranges_complement(const struct ox_ranges *r, uint32_t n, struct ox_ranges *out)
{
    const struct ox_range *at = ox_ranges_at(r);
    uint32_t pos = 0;
    ox_err err = OX_OK;
    ox_ranges_reset(out);
    for (uint32_t i = 0; i < r->n && at[i].from < n && err == OX_OK; i++) {
        if (pos < at[i].from)
            err = ox_ranges_add(out, pos, at[i].from, NULL);
        pos = at[i].to;
    }
    if (err == OX_OK && pos < n)
        err = ox_ranges_add(out, pos, n, NULL);
    return err;
}
