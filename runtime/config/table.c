/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/config/table.c - the names of keys: finding a row, spelling it as variable and flag, guessing what
 * a misspelt one was meant to be.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  names longer than NAME_MAX_LEN are compared by their first characters only.
 * Flow:    load.c, yaml.c, cmd/ -> here.
 */
#include <stdlib.h>

#include "runtime/config/config_internal.h"

#define NAME_MAX_LEN 80

const struct ox_config_key *
ox_config_table_find(const struct ox_config_table *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->keys[i].key, key) == 0)
            return &table->keys[i];
    }
    return NULL;
}

void
ox_config_table_defaults(const struct ox_config_table *table, void *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct ox_config_key *row = &table->keys[i];
        OX_ASSERT(ox_config_key_set(row, ox_str_of(row->def), out, NULL) == OX_OK);
    }
}

const char *
ox_config_effect_name(enum ox_config_effect effect)
{
    static const char *const names[] = {
        [OX_EFFECT_restart] = "restart", [OX_EFFECT_engine] = "engine", [OX_EFFECT_live] = "live"};
    return names[effect];
}

static size_t
field_size(enum ox_config_type type)
{
    switch (type) {
    case OX_CONFIG_string:
        return OX_CONFIG_STRING_MAX;
    case OX_CONFIG_int:
    case OX_CONFIG_bytes:
    case OX_CONFIG_duration:
        return sizeof(int64_t);
    case OX_CONFIG_bool:
        return sizeof(bool);
    case OX_CONFIG_enum:
        return sizeof(int);
    case OX_CONFIG_address:
        return sizeof(struct ox_net_addr);
    }
    return 0;
}

/* An address has padding and a string a tail behind its zero: both are compared by what they mean. */
bool
ox_config_key_equal(const struct ox_config_key *row, const void *a, const void *b)
{
    const char *fa = (const char *)a + row->offset, *fb = (const char *)b + row->offset;
    if (row->type == OX_CONFIG_string)
        return strcmp(fa, fb) == 0;
    if (row->type != OX_CONFIG_address)
        return memcmp(fa, fb, field_size(row->type)) == 0;
    char ta[OX_NET_ADDR_MAX], tb[OX_NET_ADDR_MAX];
    ox_net_addr_format((const struct ox_net_addr *)(const void *)fa, ta);
    ox_net_addr_format((const struct ox_net_addr *)(const void *)fb, tb);
    return strcmp(ta, tb) == 0;
}

void
ox_config_key_copy(const struct ox_config_key *row, void *to, const void *from)
{
    memcpy((char *)to + row->offset, (const char *)from + row->offset, field_size(row->type));
}

void
ox_config_key_env(const struct ox_config_table *table, const struct ox_config_key *row, struct ox_buf *text)
{
    ox_buf_append_cstr(text, table->env_prefix);
    for (const char *p = row->key; *p != '\0'; p++) {
        char c = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        ox_buf_append(text, c == '.' ? "_" : &c, 1);
    }
}

void
ox_config_key_flag(const struct ox_config_key *row, struct ox_buf *text)
{
    ox_buf_append_cstr(text, "--");
    if (row->alias != NULL) {
        ox_buf_append_cstr(text, row->alias);
        return;
    }
    for (const char *p = row->key; *p != '\0'; p++)
        ox_buf_append(text, *p == '.' || *p == '_' ? "-" : p, 1);
}

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein distance of the first NAME_MAX_LEN characters, in one row of memory. */
static unsigned
edit_distance(struct ox_str a, struct ox_str b)
{
    unsigned row[NAME_MAX_LEN + 1];
    size_t an = a.n < NAME_MAX_LEN ? a.n : NAME_MAX_LEN;
    size_t bn = b.n < NAME_MAX_LEN ? b.n : NAME_MAX_LEN;
    for (size_t j = 0; j <= bn; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= an; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a.p[i - 1] != b.p[j - 1]));
            diagonal = above;
        }
    }
    return row[bn];
}

const char *
ox_nearest_name(struct ox_str given, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)(given.n / 3) + 2; /* beyond that a guess helps nobody */
    for (size_t i = 0; i < count; i++) {
        unsigned d = edit_distance(given, ox_str_of(names[i]));
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

/* The last part of a key: people often know the name and not its section. */
static const struct ox_config_key *
same_last_part(const struct ox_config_table *table, struct ox_str given)
{
    for (size_t i = given.n; i > 0; i--) {
        if (given.p[i - 1] == '.') {
            given.p += i;
            given.n -= i;
            break;
        }
    }
    for (size_t i = 0; i < table->count; i++) {
        const char *dot = strrchr(table->keys[i].key, '.');
        if (dot != NULL && ox_str_eq(ox_str_of(dot + 1), given))
            return &table->keys[i];
    }
    return NULL;
}

void
ox__config_unknown(struct ox__config_load *load, const char *where, struct ox_str given,
                   ox__config_name_fn render)
{
    const struct ox_config_table *table = load->table;
    struct ox_buf all;
    ox_buf_init(&all);
    const char **names = calloc(table->count, sizeof(*names));
    size_t *starts = calloc(table->count, sizeof(*starts));
    for (size_t i = 0; names != NULL && starts != NULL && i < table->count; i++) {
        starts[i] = all.len;
        render(table, &table->keys[i], &all);
        ox_buf_append(&all, "", 1);
    }
    const char *nearest = NULL;
    if (names != NULL && starts != NULL && !all.failed) {
        for (size_t i = 0; i < table->count; i++)
            names[i] = (const char *)all.data + starts[i];
        nearest = ox_nearest_name(given, names, table->count);
        const struct ox_config_key *row = nearest == NULL ? same_last_part(table, given) : NULL;
        if (row != NULL)
            nearest = names[ox__config_index(table, row)];
    }
    if (nearest != NULL)
        ox__config_problem(load->report, where, "unknown; did you mean %s?", nearest);
    else
        ox__config_problem(load->report, where, "unknown; `observex config list` shows what there is");
    free(names);
    free(starts);
    ox_buf_fini(&all);
}
