/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/sampling_read.h - reading rules of sampling: walking the YAML (sampling_yaml.c), what is asked of traces
 * (sampling_ask.c), and the rules themselves (sampling_read.c).
 *
 * Owns:    nothing; a reading lends what it reads into.
 * Threads: a reading belongs to one thread.
 * Fails:   whatever is wrong is a line of the report, and the reading goes on.
 *
 * Each section has a table of its keys; a key's function reads its value into what the section is about.
 */
#ifndef OX_POLICIES_SAMPLING_READ_H
#define OX_POLICIES_SAMPLING_READ_H

#include "ox/yaml_tree.h"
#include "policies/sampling.h"

#define OX__READ_PATH_MAX 256
#define OX__READ_KEYS_MAX 16 /* of one section */

struct ox__reader {
    const char *file;
    struct ox_config_report *report;
    struct ox_sampling_set *set;
    struct ox_sampling *rules; /* of the tenant that is being read */
    char path[OX__READ_PATH_MAX];
    size_t path_n;
    bool failed; /* no memory */
};

struct ox__read_key {
    const char *name;
    void (*take)(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
};

/* ---- sampling_yaml.c ---- */

void ox__read_problem(struct ox__reader *r, const struct ox_yaml_node *at, const char *fmt, ...)
    OX_PRINTF(3, 4);
/* One step down, to a name or (without one) an item; what it returns brings ox__read_leave back. */
size_t ox__read_enter(struct ox__reader *r, struct ox_str name, uint32_t index);
void ox__read_leave(struct ox__reader *r, size_t was);
/* False with a problem. */
bool ox__read_is(struct ox__reader *r, const struct ox_yaml_node *value, enum ox_yaml_kind kind);
void ox__read_section(struct ox__reader *r, const struct ox_yaml_node *section,
                      const struct ox__read_key *keys, size_t n, void *into);
void ox__read_list(struct ox__reader *r, const struct ox_yaml_node *list,
                   void (*take)(struct ox__reader *r, const struct ox_yaml_node *item, void *into),
                   void *into);
/* what: "a probability from 0 to 1". False with a problem, and *out as it was. */
bool ox__read_number(struct ox__reader *r, const struct ox_yaml_node *value, double min, double max,
                     const char *what, double *out);
/* Position among the names; all: the names for people. */
void ox__read_name(struct ox__reader *r, const struct ox_yaml_node *value, const char *const *names, int n,
                   const char *all, int *out);
/* Functions of keys: into a double, a double, a uint32_t, a uint64_t of nanoseconds, an int of 0 or 1, a struct ox_str.
 * */
void ox__read_probability(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__read_points(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__read_count(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__read_duration(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__read_bool(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__read_text(struct ox__reader *r, const struct ox_yaml_node *value, void *into);

/* ---- sampling_ask.c ---- */

/* The keys that ask something of a span, for another section too: into begins with a struct ox__asked. */
struct ox__asked {
    struct ox__clause clause;
    bool span;      /* anything of the clause */
    uint32_t terms; /* pushed so far */
};
void ox__ask_service(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__ask_operation(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__ask_attribute(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
void ox__ask_values(struct ox__reader *r, const struct ox_yaml_node *value, void *into);
struct ox__clause ox__clause_empty(void);
/* The clause's bit, or 0 with a problem. */
uint64_t ox__read_clause(struct ox__reader *r, const struct ox_yaml_node *at, const struct ox__clause *c);
/* Adds the steps that push one truth: all of what the map asks. */
void ox__read_condition(struct ox__reader *r, const struct ox_yaml_node *map);

#endif
