/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/config_table.h - loading a struct from a table of keys: YAML file, environment, flags.
 *
 * The loader knows nothing of the program that uses it: a program hands in its rows, each with the
 * offset of a field in the struct that is to be filled. The product's own rows are in tbl/config.h.
 *
 * A key "wal.commit_interval" is set by, the later winning over the earlier:
 *     the file        wal: {commit_interval: 5ms}     (or the dotted form "wal.commit_interval: 5ms")
 *     environment     OBSERVE_X_WAL_COMMIT_INTERVAL=5ms
 *     flag            --wal-commit-interval 5ms       (or --wal-commit-interval=5ms, or the row's alias)
 *
 * Owns:    nothing beyond a call; the filled struct holds no pointers.
 * Threads: any; a struct is filled by one thread, then read by all.
 * Bounds:  OX_CONFIG_FILE_MAX, OX_CONFIG_STRING_MAX, OX_CONFIG_PROBLEMS_MAX.
 */
#ifndef OX_CONFIG_TABLE_H
#define OX_CONFIG_TABLE_H

#include "ox/buf.h"
#include "ox/net.h"

#define OX_CONFIG_STRING_MAX   512        /* bytes of a string value with its terminating zero */
#define OX_CONFIG_FILE_MAX     (1u << 20) /* a configuration file larger than this is a mistake */
#define OX_CONFIG_PROBLEMS_MAX 50         /* problems written out in one report; the rest are counted */

/*
 * Types and the C type of their field:
 *   string    char[OX_CONFIG_STRING_MAX]   min and max bound its length
 *   int       int64_t
 *   bytes     uint64_t                     "64MiB", "10MB", "4096"; kB MB GB TB are powers of 1000
 *   duration  int64_t milliseconds         "250ms", "5s", "1m30s", "24h", "7d"; a bare number only for 0
 *   bool      bool                         true/false, yes/no, on/off, 1/0
 *   enum      int, the index of the choice in the row's unit column ("development|production")
 *   address   struct ox_net_addr (ox/net.h)
 */
enum ox_config_type {
    OX_CONFIG_string,
    OX_CONFIG_int,
    OX_CONFIG_bytes,
    OX_CONFIG_duration,
    OX_CONFIG_bool,
    OX_CONFIG_enum,
    OX_CONFIG_address,
};

/* When a changed value takes effect in a program that reads its configuration again. */
enum ox_config_effect {
    OX_EFFECT_restart, /* at the program's next start */
    OX_EFFECT_engine,  /* at once, by restarting the part of it that needs the value */
    OX_EFFECT_live,    /* at once */
};

struct ox_config_key {
    const char *key; /* "wal.commit_interval": sections and names are [a-z][a-z0-9_]* */
    enum ox_config_type type;
    size_t offset;         /* of the field in the struct */
    const char *def;       /* the default, in the notation of the file */
    const char *min, *max; /* in the notation of the file; "" = unbounded on that side */
    const char *unit;      /* for people; of an enum: its choices separated by '|' */
    const char
        *alias; /* a second flag without dashes, "otlp-grpc", and with it a second variable; NULL = none */
    const char *text; /* one line for people */
    enum ox_config_effect effect;
};

struct ox_config_table {
    const struct ox_config_key *keys;
    size_t count;
    const char *env_prefix; /* "OBSERVE_X_" */
};

/* Where the value of a key came from. */
enum ox_config_origin { OX_ORIGIN_DEFAULT, OX_ORIGIN_FILE, OX_ORIGIN_ENV, OX_ORIGIN_FLAG };

struct ox_config_sources {
    const char *file;  /* path, or NULL. A file that is named must exist. */
    char *const *env;  /* as environ, or NULL for none */
    char *const *argv; /* flags only, no program name; or NULL */
    int argc;
};

/* What was wrong: one line per problem, "FILE:LINE: key: sentence" or "OBSERVE_X_...: sentence". */
struct ox_config_report {
    struct ox_buf text; /* lines, each ending in '\n' */
    unsigned problems;
};

void ox_config_report_init(struct ox_config_report *report);
void ox_config_report_fini(struct ox_config_report *report);

/*
 * Fills `out` (lend; all fields of the table are written) from the defaults and the sources.
 * origins: NULL or room for one value per key.
 * CONFIG when anything is unknown, malformed or out of bounds: `report` then has every problem found, not
 * only the first, and `out` must not be used. IO/NOMEM likewise. report: lend, must be initialised.
 * Variables that start with the prefix and name no key are problems, except those that container
 * platforms invent for a service of that name (..._SERVICE_HOST, ..._SERVICE_PORT*, ..._PORT, ..._PORT_*)
 * and those below <prefix>TEST_.
 */
OX_MUST_USE ox_err ox_config_table_load(const struct ox_config_table *table,
                                        const struct ox_config_sources *sources, void *out, uint8_t *origins,
                                        struct ox_config_report *report);

/* Fills `out` with the defaults alone. The defaults of a table are checked by its test. */
void ox_config_table_defaults(const struct ox_config_table *table, void *out);

/* The row of `key`, or NULL. */
const struct ox_config_key *ox_config_table_find(const struct ox_config_table *table, const char *key);

/* Sets one key in `out` from text. CONFIG with what is allowed in `diag` when it does not fit. */
OX_MUST_USE ox_err ox_config_key_set(const struct ox_config_key *row, struct ox_str text, void *out,
                                     struct ox_diag *diag);

/* Writes the value of the row's field in `in` in the notation of the file. */
void ox_config_key_print(const struct ox_config_key *row, const void *in, struct ox_buf *text);

/* The names of a row: "OBSERVE_X_WAL_COMMIT_INTERVAL" and "--wal-commit-interval". */
void ox_config_key_env(const struct ox_config_table *table, const struct ox_config_key *row,
                       struct ox_buf *text);
void ox_config_key_flag(const struct ox_config_key *row, struct ox_buf *text);

/* "string", "int", ... */
const char *ox_config_type_name(enum ox_config_type type);
/* "restart", "engine", "live". */
const char *ox_config_effect_name(enum ox_config_effect effect);

/* True when the row's field holds the same in `a` and `b`. */
bool ox_config_key_equal(const struct ox_config_key *row, const void *a, const void *b);
/* Copies the row's field. */
void ox_config_key_copy(const struct ox_config_key *row, void *to, const void *from);

/* The name in `names` nearest to `given` by edit distance, or NULL when none is near. Pure. */
const char *ox_nearest_name(struct ox_str given, const char *const *names, size_t count);

#endif
