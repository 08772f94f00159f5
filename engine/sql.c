/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/sql.c - a scanner of ClickHouse's tokens, deep enough to tell statements apart.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  one pass over the text.
 * Flow:    statement.c -> here.
 *
 * This decides how a statement is run, not whether it is allowed: what a tenant may do is enforced by
 * readonly and the row policies. Only the refusals of several statements and of INTO OUTFILE rest on it
 * alone.
 */
#include "engine/sql.h"

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_STRING, TOKEN_NUMBER, TOKEN_PUNCT };

struct token {
    enum token_kind kind;
    const char *p;
    const char *end;
};

struct scanner {
    const char *p;
    const char *end;
};

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes above 127 count as letters: better one odd word than a broken one. */
static bool
is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || (c & 0x80) != 0;
}

static const char *
skip_line(const char *p, const char *end)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    return nl != NULL ? nl + 1 : end;
}

static const char *
skip_block_comment(const char *p, const char *end)
{
    const char *close = memmem(p + 2, (size_t)(end - p - 2), "*/", 2);
    return close != NULL ? close + 2 : end;
}

static void
skip_blank(struct scanner *s)
{
    while (s->p < s->end) {
        char next = s->p + 1 < s->end ? s->p[1] : '\0';
        if (is_space(*s->p))
            s->p++;
        else if (*s->p == '-' && next == '-')
            s->p = skip_line(s->p, s->end);
        else if (*s->p == '#' && (next == ' ' || next == '!'))
            s->p = skip_line(s->p, s->end);
        else if (*s->p == '/' && next == '*')
            s->p = skip_block_comment(s->p, s->end);
        else
            return;
    }
}

/* Behind the closing quote; a backslash escapes, a doubled quote stands for itself. */
static const char *
skip_quoted(const char *p, const char *end)
{
    char quote = *p++;
    while (p < end) {
        if (*p == '\\' && p + 1 < end)
            p += 2;
        else if (*p == quote && p + 1 < end && p[1] == quote)
            p += 2;
        else if (*p++ == quote)
            return p;
    }
    return end;
}

/* $tag$ text $tag$; NULL when it is none. */
static const char *
skip_heredoc(const char *p, const char *end)
{
    const char *q = p + 1;
    while (q < end && is_word(*q))
        q++;
    if (q >= end || *q != '$')
        return NULL;
    size_t tag = (size_t)(q + 1 - p);
    const char *close = memmem(q + 1, (size_t)(end - q - 1), p, tag);
    return close != NULL ? close + tag : NULL;
}

static struct token
take(struct scanner *s, enum token_kind kind, const char *to)
{
    struct token t = {kind, s->p, to};
    s->p = to;
    return t;
}

static struct token
next_token(struct scanner *s)
{
    skip_blank(s);
    if (s->p >= s->end)
        return take(s, TOKEN_END, s->end);
    char c = *s->p;
    if (c == '\'')
        return take(s, TOKEN_STRING, skip_quoted(s->p, s->end));
    if (c == '`' || c == '"')
        return take(s, TOKEN_QUOTED, skip_quoted(s->p, s->end));
    if (c == '$') {
        const char *to = skip_heredoc(s->p, s->end);
        if (to != NULL)
            return take(s, TOKEN_STRING, to);
    }
    if (!is_word(c))
        return take(s, TOKEN_PUNCT, s->p + 1);
    const char *q = s->p;
    while (q < s->end && is_word(*q))
        q++;
    return take(s, is_digit(c) ? TOKEN_NUMBER : TOKEN_WORD, q);
}

static bool
is_keyword(struct token t, const char *word)
{
    return t.kind == TOKEN_WORD &&
           ox_str_caseeq((struct ox_str){t.p, (size_t)(t.end - t.p)}, ox_str_of(word));
}

static bool
is_punct(struct token t, char c)
{
    return t.kind == TOKEN_PUNCT && *t.p == c;
}

static bool
is_name(struct token t)
{
    return t.kind == TOKEN_WORD || t.kind == TOKEN_QUOTED;
}

static struct ox_str
span(const char *from, const char *to)
{
    return (struct ox_str){from, (size_t)(to - from)};
}

static enum ox__sql_kind
kind_of_first(struct token t)
{
    static const char *const read_words[] = {"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK"};
    if (t.kind == TOKEN_END)
        return OX__SQL_EMPTY;
    if (is_keyword(t, "SELECT") || is_keyword(t, "WITH") || is_punct(t, '('))
        return OX__SQL_SELECT;
    if (is_keyword(t, "INSERT"))
        return OX__SQL_INSERT;
    for (size_t i = 0; i < OX_COUNT(read_words); i++) {
        if (is_keyword(t, read_words[i]))
            return OX__SQL_READ;
    }
    return OX__SQL_OTHER;
}

/* Data begin behind the first line break after the format's name; blanks before it do not count. */
static struct ox_str
data_behind(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\f'))
        p++;
    if (p < end && *p == '\r')
        p++;
    if (p < end && *p == '\n')
        p++;
    return span(p, end);
}

/* table, db.table; false when something else stands there (FUNCTION f(...)). */
static bool
scan_target(struct scanner *s, struct ox__sql *out, struct token *next)
{
    struct token t = next_token(s);
    if (is_keyword(t, "INTO"))
        t = next_token(s);
    if (is_keyword(t, "TABLE"))
        t = next_token(s);
    if (is_keyword(t, "FUNCTION") || !is_name(t))
        return false;
    const char *from = t.p;
    const char *to = t.end;
    t = next_token(s);
    if (is_punct(t, '.')) {
        t = next_token(s);
        if (!is_name(t))
            return false;
        to = t.end;
        t = next_token(s);
    }
    out->target = span(from, to);
    *next = t;
    return true;
}

/* (a, b.c, `d`): names only; an expression like * EXCEPT is left to ClickHouse. */
static bool
scan_columns(struct scanner *s, struct ox__sql *out, struct token *next)
{
    if (!is_punct(*next, '('))
        return true;
    const char *from = next->end;
    for (;;) {
        struct token t = next_token(s);
        if (is_punct(t, ')')) {
            out->columns = span(from, t.p);
            *next = next_token(s);
            return true;
        }
        if (!is_name(t) && !is_punct(t, ',') && !is_punct(t, '.'))
            return false;
    }
}

/* INSERT INTO t [(cols)] [SETTINGS ...] FORMAT name: fills `out`; anything else leaves it an INSERT. */
static bool
scan_insert_data(struct scanner s, struct ox__sql *out)
{
    struct token t;
    if (!scan_target(&s, out, &t) || !scan_columns(&s, out, &t))
        return false;
    if (is_keyword(t, "SETTINGS")) {
        const char *from = t.end;
        const char *to = from;
        for (t = next_token(&s); t.kind != TOKEN_END && !is_keyword(t, "FORMAT"); t = next_token(&s)) {
            if (is_keyword(t, "VALUES") || is_keyword(t, "SELECT") || is_punct(t, ';'))
                return false;
            to = t.end;
        }
        out->settings = span(from, to);
    }
    if (!is_keyword(t, "FORMAT"))
        return false;
    t = next_token(&s);
    if (t.kind != TOKEN_WORD)
        return false;
    out->format = span(t.p, t.end);
    out->text = span(out->text.p, t.end);
    out->data = data_behind(t.end, s.end);
    out->kind = OX__SQL_INSERT_DATA;
    return true;
}

/* The rest of a statement: FORMAT at its end, OUTFILE, further statements. */
static void
scan_rest(struct scanner *s, struct ox__sql *out)
{
    struct token before = {TOKEN_END, NULL, NULL};
    struct token t = next_token(s);
    for (; t.kind != TOKEN_END && !is_punct(t, ';'); t = next_token(s)) {
        if (is_keyword(t, "OUTFILE") && is_keyword(before, "INTO"))
            out->outfile = true;
        if (t.kind == TOKEN_WORD && is_keyword(before, "FORMAT"))
            out->format = span(t.p, t.end);
        else if (out->format.n != 0 && before.end == out->format.p + out->format.n &&
                 !is_keyword(t, "SETTINGS"))
            out->format.n = 0; /* it was a column called format */
        before = t;
    }
    out->text = span(out->text.p, t.p);
    while (t.kind != TOKEN_END) {
        if (!is_punct(t, ';'))
            out->several = true;
        t = next_token(s);
    }
}

void
ox__sql_scan(struct ox_str text, struct ox__sql *out)
{
    memset(out, 0, sizeof(*out));
    struct scanner s = {text.p, text.p + text.n};
    struct token first = next_token(&s);
    out->text = span(first.p, s.end);
    out->kind = kind_of_first(first);
    if (out->kind == OX__SQL_EMPTY)
        return;
    if (out->kind == OX__SQL_INSERT && scan_insert_data(s, out))
        return;
    if (out->kind == OX__SQL_INSERT) {
        out->target = out->columns = out->settings = (struct ox_str){NULL, 0};
    }
    scan_rest(&s, out);
}

static bool
one_of(struct ox_str format, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ox_str_caseeq(format, ox_str_of(names[i])))
            return true;
    }
    return false;
}

bool
ox__sql_format_streams(struct ox_str format)
{
    static const char *const names[] = {
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "NDJSON",
        "JSONLines",
        "JSONCompactEachRow",
        "RowBinary",
        "Native",
        "JSONStringsEachRow",
        "TSKV",
        "LineAsString",
        "RawBLOB",
        "JSONCompactStringsEachRow",
    };
    return one_of(format, names, OX_COUNT(names));
}
