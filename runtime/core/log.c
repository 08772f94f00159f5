/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/log.c - one JSON object per line, one write per line.
 *
 * Owns:    level, fd and clock of the process's log.
 * Threads: any; lines of different threads never mix because each is one write.
 * Bounds:  OX_LOG_LINE_MAX bytes on the stack; OX_LOG_BURST lines per site and window.
 * Fails:   never; a lost line is counted.
 */
#include "ox/log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "ox/clock.h"
#include "ox/metric.h"

/* The closing part of a cut line always fits behind what was cut. */
#define TAIL_ROOM 64

/* relaxed: settings; a thread may see a change one line late. */
static _Atomic int log_level = OX_LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;
/* release/acquire: the clock's own fields must be there before it is used. */
static const struct ox_clock *_Atomic log_clock;

void
ox_log_set_level(enum ox_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

enum ox_log_level
ox_log_level(void)
{
    return (enum ox_log_level)atomic_load_explicit(&log_level, memory_order_relaxed);
}

void
ox_log_set_fd(int fd)
{
    atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
}

void
ox_log_set_clock(const struct ox_clock *clock)
{
    atomic_store_explicit(&log_clock, clock, memory_order_release);
}

static const struct ox_clock *
current_clock(void)
{
    const struct ox_clock *clock = atomic_load_explicit(&log_clock, memory_order_acquire);
    return clock != NULL ? clock : ox_clock_real();
}

static const char *const level_names[] = {"debug", "info", "warn", "error", "fatal"};

const char *
ox_log_level_name(enum ox_log_level level)
{
    OX_ASSERT((size_t)level < OX_COUNT(level_names));
    return level_names[level];
}

ox_err
ox_log_level_parse(struct ox_str name, enum ox_log_level *out)
{
    for (size_t i = 0; i < OX_COUNT(level_names); i++) {
        if (ox_str_caseeq(name, ox_str_of(level_names[i]))) {
            *out = (enum ox_log_level)i;
            return OX_OK;
        }
    }
    return OX_E_INVALID;
}

struct line {
    char text[OX_LOG_LINE_MAX];
    size_t n;
    bool cut;
};

/* All or nothing, so that a cut never splits an escape or a character. */
static void
put(struct line *line, const char *bytes, size_t n)
{
    if (line->cut || n > sizeof(line->text) - TAIL_ROOM - line->n) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->n, bytes, n);
    line->n += n;
}

static void
put_cstr(struct line *line, const char *s)
{
    put(line, s, strlen(s));
}

static void OX_PRINTF(2, 3) put_printf(struct line *line, const char *fmt, ...)
{
    char text[64];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    put(line, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Length of the UTF-8 character at p, 0 when it is malformed: JSON must be UTF-8 whatever a value holds. */
static size_t
utf8_length(const unsigned char *p, size_t n)
{
    static const unsigned char min_second[5] = {0, 0, 0x80, 0x80, 0x80};
    size_t len = p[0] < 0x80                    ? 1
                 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
                 : (p[0] & 0xf0) == 0xe0        ? 3
                 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    unsigned char low = min_second[len];
    unsigned char high = 0xbf;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf4)
        high = 0x8f;
    return len > 1 && (p[1] < low || p[1] > high) ? 0 : len;
}

static void
put_json(struct line *line, struct ox_str s)
{
    put(line, "\"", 1);
    if (line->cut)
        return;
    for (size_t i = 0; i < s.n && !line->cut;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = utf8_length((const unsigned char *)s.p + i, s.n - i);
        if (c == '"' || c == '\\') {
            char escaped[2] = {'\\', (char)c};
            put(line, escaped, 2);
        } else if (c == '\n') {
            put(line, "\\n", 2);
        } else if (c < 0x20 || c == 0x7f) {
            put_printf(line, "\\u%04x", c);
        } else if (len == 0) {
            put_cstr(line, "\\ufffd");
        } else {
            put(line, s.p + i, len);
        }
        i += len == 0 ? 1 : len;
    }
    line->text[line->n++] = '"'; /* TAIL_ROOM has space for it even when the value was cut */
}

static void
put_value(struct line *line, const struct ox_field *field)
{
    switch (field->type) {
    case OX_FIELD_STR:
        put_json(line, field->str);
        break;
    case OX_FIELD_U64:
        put_printf(line, "%" PRIu64, field->u64);
        break;
    case OX_FIELD_I64:
        put_printf(line, "%" PRId64, field->i64);
        break;
    case OX_FIELD_F64:
        if (isfinite(field->f64))
            put_printf(line, "%.17g", field->f64);
        else
            put_printf(line, "\"%f\"", field->f64); /* JSON has no NaN */
        break;
    case OX_FIELD_BOOL:
        put_cstr(line, field->b ? "true" : "false");
        break;
    }
}

/* One member; taken back whole when it is cut before its value began. */
static void
put_field(struct line *line, const struct ox_field *field)
{
    if (line->cut)
        return;
    size_t before = line->n;
    put(line, ",", 1);
    put_json(line, ox_str_of(field->key));
    put(line, ":", 1);
    bool cut_in_key = line->cut;
    size_t value_at = line->n;
    if (!cut_in_key)
        put_value(line, field);
    if (cut_in_key || line->n == value_at)
        line->n = before;
}

static void
write_line(const struct line *line)
{
    int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
    size_t done = 0;
    while (done < line->n) {
        ssize_t n = write(fd, line->text + done, line->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            ox_metric_add(OX_M_runtime_log_lost, 1);
            return;
        }
        done += (size_t)n;
    }
}

/* False when the site has used up its window. Races between threads may let a line or two more through, which
 * is why relaxed is enough. */
static bool
site_admits(struct ox_log_site *site, uint64_t now_ns, uint32_t *suppressed)
{
    uint64_t start = atomic_load_explicit(&site->window_start_ns, memory_order_relaxed);
    if (start == 0 || now_ns - start >= OX_LOG_WINDOW_S * 1000000000ull) {
        atomic_store_explicit(&site->window_start_ns, now_ns != 0 ? now_ns : 1, memory_order_relaxed);
        atomic_store_explicit(&site->written, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&site->written, 1, memory_order_relaxed) >= OX_LOG_BURST) {
        atomic_fetch_add_explicit(&site->suppressed, 1, memory_order_relaxed);
        ox_metric_add(OX_M_runtime_log_suppressed, 1);
        return false;
    }
    *suppressed = atomic_exchange_explicit(&site->suppressed, 0, memory_order_relaxed);
    return true;
}

void
ox_log_write(struct ox_log_site *site, enum ox_log_level level, const char *component, const char *msg,
             const struct ox_field *fields, size_t n)
{
    const struct ox_clock *clock = current_clock();
    uint32_t suppressed = 0;
    int saved_errno = errno;
    if (level < ox_log_level())
        return;
    if (site != NULL && !site_admits(site, ox_clock_monotonic_ns(clock), &suppressed))
        return;
    struct line line;
    char ts[OX_RFC3339_LEN + 1];
    line.n = 0;
    line.cut = false;
    ox_clock_rfc3339(ox_clock_realtime_ns(clock), ts);
    put_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\"", ts, ox_log_level_name(level));
    put_field(&line, &OX_F_STR("component", component));
    put_field(&line, &OX_F_STR("msg", msg));
    for (size_t i = 0; i < n; i++)
        put_field(&line, &fields[i]);
    if (suppressed > 0)
        put_field(&line, &OX_F_U64("suppressed", suppressed));
    const char *tail = line.cut ? ",\"truncated\":true}\n" : "}\n";
    memcpy(line.text + line.n, tail, strlen(tail));
    line.n += strlen(tail);
    write_line(&line);
    errno = saved_errno;
}
