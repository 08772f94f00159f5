/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/log.h - structured log lines: one JSON object each.
 *
 * Owns:    nothing; the fd stays the caller's.
 * Threads: any; one line is one write.
 * Bounds:  a line has at most OX_LOG_LINE_MAX bytes, longer values are cut (and the line says
 *          "truncated":true); one call site writes at most OX_LOG_BURST lines in OX_LOG_WINDOW_S seconds,
 *          the next line that it writes carries the number left out ("suppressed").
 * Fails:   never; no allocation. A line that cannot be written is counted (runtime_log_lost).
 *
 *   OX_LOG_INFO("wal", "segment sealed", OX_F_U64("segment", id), OX_F_STR("path", path));
 *   {"ts":"2026-01-02T03:04:05.123456789Z","level":"info","component":"wal","msg":"segment sealed",...}
 *
 * What is secret is for the caller to leave out.
 */
#ifndef OX_LOG_H
#define OX_LOG_H

#include <stdatomic.h>

#include "ox/base.h"

#define OX_LOG_LINE_MAX 8192
#define OX_LOG_BURST    10
#define OX_LOG_WINDOW_S 10

enum ox_log_level { OX_LOG_DEBUG, OX_LOG_INFO, OX_LOG_WARN, OX_LOG_ERROR, OX_LOG_FATAL };

/* Least level that is written (default INFO). */
void ox_log_set_level(enum ox_log_level level);
enum ox_log_level ox_log_level(void);
/* "debug", "info", "warn", "error", "fatal"; INVALID otherwise. */
OX_MUST_USE ox_err ox_log_level_parse(struct ox_str name, enum ox_log_level *out);
const char *ox_log_level_name(enum ox_log_level level);
/* Where lines go (default 2, stderr). */
void ox_log_set_fd(int fd);
struct ox_clock;
/* Whose time stands in the lines (default the real clock; the runtime sets its own). NULL = real. */
void ox_log_set_clock(const struct ox_clock *clock);

enum ox_field_type { OX_FIELD_STR, OX_FIELD_U64, OX_FIELD_I64, OX_FIELD_F64, OX_FIELD_BOOL };
struct ox_field {
    const char *key;
    enum ox_field_type type;
    union {
        struct ox_str str;
        uint64_t u64;
        int64_t i64;
        double f64;
        bool b;
    };
};
#define OX_F_STR(k, cstr)  ((struct ox_field){.key = (k), .type = OX_FIELD_STR, .str = ox_str_of(cstr)})
#define OX_F_STRN(k, view) ((struct ox_field){.key = (k), .type = OX_FIELD_STR, .str = (view)})
#define OX_F_U64(k, v)     ((struct ox_field){.key = (k), .type = OX_FIELD_U64, .u64 = (v)})
#define OX_F_I64(k, v)     ((struct ox_field){.key = (k), .type = OX_FIELD_I64, .i64 = (v)})
#define OX_F_F64(k, v)     ((struct ox_field){.key = (k), .type = OX_FIELD_F64, .f64 = (v)})
#define OX_F_BOOL(k, v)    ((struct ox_field){.key = (k), .type = OX_FIELD_BOOL, .b = (v)})
/* An error of tbl/errors.h by its symbol, and the sentence of a diag. */
#define OX_F_ERR(err)   OX_F_STR("error", ox_err_info(err)->symbol)
#define OX_F_DIAG(diag) OX_F_STR("detail", (diag)->text)

/* One per place in the source; limits repeats. */
struct ox_log_site {
    _Atomic uint64_t window_start_ns;
    _Atomic uint32_t written;
    _Atomic uint32_t suppressed;
};

/* Writes one line unless the level is off or the site has spoken too often. fields: lend. */
void ox_log_write(struct ox_log_site *site, enum ox_log_level level, const char *component, const char *msg,
                  const struct ox_field *fields, size_t n);

#define OX_LOG_AT(level_, component_, msg_, ...)                                                             \
    do {                                                                                                     \
        static struct ox_log_site ox_site_;                                                                  \
        if ((level_) >= ox_log_level()) {                                                                    \
            const struct ox_field ox_fields_[] = {{NULL}, ##__VA_ARGS__};                                    \
            ox_log_write(&ox_site_, (level_), (component_), (msg_), ox_fields_ + 1,                          \
                         OX_COUNT(ox_fields_) - 1);                                                          \
        }                                                                                                    \
    } while (0)
#define OX_LOG_DEBUG(component, msg, ...) OX_LOG_AT(OX_LOG_DEBUG, component, msg, ##__VA_ARGS__)
#define OX_LOG_INFO(component, msg, ...)  OX_LOG_AT(OX_LOG_INFO, component, msg, ##__VA_ARGS__)
#define OX_LOG_WARN(component, msg, ...)  OX_LOG_AT(OX_LOG_WARN, component, msg, ##__VA_ARGS__)
#define OX_LOG_ERROR(component, msg, ...) OX_LOG_AT(OX_LOG_ERROR, component, msg, ##__VA_ARGS__)
#define OX_LOG_FATAL(component, msg, ...) OX_LOG_AT(OX_LOG_FATAL, component, msg, ##__VA_ARGS__)

#endif
