/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/config.h - the configuration of ObserveX: one typed field per row of tbl/config.h.
 *
 * Durations are in milliseconds (int64_t), sizes in bytes (uint64_t); the field's name says so.
 * The struct holds no pointers: copy it freely.
 *
 * Owns:    nothing.
 * Threads: filled by one thread at the start, then read by all.
 */
#ifndef OX_CONFIG_H
#define OX_CONFIG_H

#include "ox/config_table.h"

#define OX_CONFIG_FIELD_string(id)   char id[OX_CONFIG_STRING_MAX];
#define OX_CONFIG_FIELD_int(id)      int64_t id;
#define OX_CONFIG_FIELD_bytes(id)    uint64_t id;
#define OX_CONFIG_FIELD_duration(id) int64_t id;
#define OX_CONFIG_FIELD_bool(id)     bool id;
#define OX_CONFIG_FIELD_enum(id)     int id;
#define OX_CONFIG_FIELD_address(id)  struct ox_net_addr id;

struct ox_config {
#define OX_CONFIG(id, key, type, def, min, max, unit, alias, effect, text) OX_CONFIG_FIELD_##type(id)
#include "ox/tbl/config.h"
#undef OX_CONFIG
};

/* Values of the enum fields, in the order of their choices in tbl/config.h. */
enum ox_config_mode { OX_MODE_DEVELOPMENT, OX_MODE_PRODUCTION };                           /* mode */
enum ox_config_level { OX_CONFIG_DEBUG, OX_CONFIG_INFO, OX_CONFIG_WARN, OX_CONFIG_ERROR }; /* log_level */
enum ox_config_ack { OX_ACK_DURABLE, OX_ACK_INTERVAL };                                    /* wal_ack */

/* All rows, in the order of tbl/config.h. */
extern const struct ox_config_table ox_config_rows;

/* Fills `config` with the defaults. */
void ox_config_defaults(struct ox_config *config);

/*
 * Loads the defaults, then file < environment < flags, then checks what spans several keys (production needs
 * PostgreSQL; minimum below maximum; ...). `sources.file` NULL: OBSERVE_X_CONFIG of the environment is used
 * if it is set. origins: NULL or one per row of ox_config_rows. Errors as ox_config_table_load.
 */
OX_MUST_USE ox_err ox_config_load(struct ox_config *config, const struct ox_config_sources *sources,
                                  uint8_t *origins, struct ox_config_report *report);

/* The rules between keys alone, for a configuration that was put together from two. CONFIG as above. */
OX_MUST_USE ox_err ox_config_check(const struct ox_config *config, struct ox_config_report *report);

/*
 * What a reload does: `into` (the configuration in force) takes from `next` (the one just read) every key whose
 * effect is not `restart`. changed: one per row of ox_config_rows, true where the two differed before, also for
 * keys that were not taken. Returns the number of keys taken.
 */
size_t ox_config_take(struct ox_config *into, const struct ox_config *next, bool *changed);

/*
 * The resolved configuration as environment "NAME=value", each ending in '\0', so that a child process loads
 * exactly what its parent resolved even when the file has changed meanwhile. Appended to `out`.
 */
void ox_config_export(const struct ox_config *config, struct ox_buf *out);

/* True when storage.url is "embedded", so that the heart starts one. */
bool ox_config_embedded(const struct ox_config *config);

/* The URL of storage that a client connects to: "unix:DIR/engine.sock" for the embedded engine, otherwise
 * storage.url. out: at least OX_CONFIG_STRING_MAX bytes. */
void ox_config_storage_url(const struct ox_config *config, char *out, size_t size);

#endif
