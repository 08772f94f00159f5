/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/storage_text.c - escaping what goes out, reading the summary that comes back.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Flow:    storage.c, storage_call.c -> here.
 */
#include "actors/storage/storage.h"

static void
append_char(struct ox_buf *out, char c)
{
    ox_buf_append(out, &c, 1);
}

/* Parameters are read like a field of TabSeparated. A zero byte is written \0, the rest may stand as it is. */
void
ox__storage_escape_param(struct ox_buf *out, struct ox_str raw)
{
    static const char from[] = "\\\t\n\r\b\f\0";
    static const char to[] = "\\tnrbf0";
    for (size_t i = 0; i < raw.n; i++) {
        const char *at = memchr(from, raw.p[i], sizeof(from) - 1);
        if (at != NULL) {
            append_char(out, '\\');
            append_char(out, to[at - from]);
        } else {
            append_char(out, raw.p[i]);
        }
    }
}

static const char *
skip_spaces(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n'))
        p++;
    return p;
}

/* p stands behind '{': does "name : Array(..." follow? */
static bool
binds_compound(const char *p, const char *end, struct ox_str name)
{
    static const char *const types[] = {"Array(", "Map(", "Tuple("};
    p = skip_spaces(p, end);
    if ((size_t)(end - p) < name.n || memcmp(p, name.p, name.n) != 0)
        return false;
    p = skip_spaces(p + name.n, end);
    if (p == end || *p != ':')
        return false;
    p = skip_spaces(p + 1, end);
    for (size_t i = 0; i < OX_COUNT(types); i++) {
        size_t n = strlen(types[i]);
        if ((size_t)(end - p) >= n && memcmp(p, types[i], n) == 0)
            return true;
    }
    return false;
}

bool
ox__storage_param_is_compound(struct ox_str sql, const char *name)
{
    const char *end = sql.p + sql.n;
    for (const char *p = sql.p; p < end; p++) {
        p = memchr(p, '{', (size_t)(end - p));
        if (p == NULL)
            return false;
        if (binds_compound(p + 1, end, ox_str_of(name)))
            return true;
    }
    return false;
}

void
ox_storage_quote(struct ox_buf *out, struct ox_str value)
{
    append_char(out, '\'');
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\'' || value.p[i] == '\\')
            append_char(out, '\\');
        append_char(out, value.p[i]);
    }
    append_char(out, '\'');
}

/* "name":"123" or "name":123; 0 when it is not there. */
static uint64_t
number_of(struct ox_str json, const char *name)
{
    char mark[64];
    size_t n = strlen(name);
    OX_ASSERT(n + 3 < sizeof(mark));
    mark[0] = '"';
    memcpy(mark + 1, name, n);
    mark[n + 1] = '"';
    const char *at = json.n != 0 ? memmem(json.p, json.n, mark, n + 2) : NULL;
    if (at == NULL)
        return 0;
    const char *end = json.p + json.n;
    const char *p = at + n + 2;
    while (p < end && (*p == ':' || *p == '"' || *p == ' '))
        p++;
    uint64_t value = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    return value;
}

void
ox__storage_parse_summary(struct ox_str json, struct ox_storage_stats *stats)
{
    stats->read_rows = number_of(json, "read_rows");
    stats->read_bytes = number_of(json, "read_bytes");
    stats->written_rows = number_of(json, "written_rows");
    stats->written_bytes = number_of(json, "written_bytes");
    stats->result_rows = number_of(json, "result_rows");
    stats->elapsed_ns = number_of(json, "elapsed_ns");
}
