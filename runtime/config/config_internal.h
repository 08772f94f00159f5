/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/config/config_internal.h - what the files of this room share.
 *
 * Owns:    nothing.
 * Threads: one load belongs to one thread.
 */
#ifndef OX_CONFIG_INTERNAL_H
#define OX_CONFIG_INTERNAL_H

#include "ox/config_table.h"

#define OX__CONFIG_KEY_MAX 96 /* longest "section.name"; longer ones in a file are unknown keys anyway */

/* One ox_config_table_load under way. */
struct ox__config_load {
    const struct ox_config_table *table;
    void *out;
    uint8_t *origins; /* never NULL */
    uint32_t *lines;  /* per key: the line in the file that set it, 0 = none yet */
    struct ox_config_report *report;
};

/* Appends "where: sentence" to the report, or only counts it past OX_CONFIG_PROBLEMS_MAX. */
void ox__config_problem(struct ox_config_report *report, const char *where, const char *fmt, ...)
    OX_PRINTF(3, 4);

/* Sets the row's field and origin, or reports what is wrong. `where` names the place for people. */
void ox__config_apply(struct ox__config_load *load, const struct ox_config_key *row, struct ox_str value,
                      enum ox_config_origin origin, const char *where);

/* "did you mean X?" with the nearest key, flag or variable; `render` names a row as the source writes it. */
typedef void (*ox__config_name_fn)(const struct ox_config_table *table, const struct ox_config_key *row,
                                   struct ox_buf *text);
void ox__config_unknown(struct ox__config_load *load, const char *where, struct ox_str given,
                        ox__config_name_fn render);

/* The three sources. Problems go to the report; the result is an error only for I/O and memory. */
OX_MUST_USE ox_err ox__config_load_file(struct ox__config_load *load, const char *path);
void ox__config_load_env(struct ox__config_load *load, char *const *env);
void ox__config_load_flags(struct ox__config_load *load, int argc, char *const *argv);

/* Index of a row in its table. */
static inline size_t
ox__config_index(const struct ox_config_table *table, const struct ox_config_key *row)
{
    return (size_t)(row - table->keys);
}

#endif
