/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_params.c - what an order of the control plane's API says: body, query string, tenant.
 *
 * Owns:    nothing.
 * Threads: query threads.
 * Bounds:  OX_CONTROL_NAME_MAX, OX_CONTROL_PAGE_MAX.
 * Fails:   INVALID, FORBIDDEN with a sentence that names the member.
 */
#include "actors/control/control_call.h"

#include <stdio.h>

#define PAGE_DEFAULT 100

ox_err
ox__control_invalid(struct ox__control_call *c, const char *field, const char *sentence)
{
    return ox_diag_set(&c->diag, OX_E_INVALID, field, -1, "%s: %s", field, sentence);
}

/* An object with no member but these; a body that is none is an error, no body is an empty object. */
ox_err
ox__control_read_body(struct ox__control_call *c, const char *const *names)
{
    const char *key;
    json_t *value;
    json_error_t error;
    if (c->req->body.n == 0)
        c->body = json_object();
    else
        c->body = json_loadb(c->req->body.p, c->req->body.n, JSON_REJECT_DUPLICATES, &error);
    if (c->body == NULL || !json_is_object(c->body))
        return ox__control_invalid(c, "body", "is not an object of JSON");
    json_object_foreach(c->body, key, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], key) != 0)
            i++;
        if (names[i] == NULL)
            return ox_diag_set(&c->diag, OX_E_INVALID, "body", -1, "%.40s: there is no such member", key);
    }
    return OX_OK;
}

/* The text of a member; "" without it. */
ox_err
ox__control_read_text(struct ox__control_call *c, const char *name, struct ox_str *out)
{
    const json_t *value = json_object_get(c->body, name);
    *out = OX_STR("");
    if (value == NULL)
        return OX_OK;
    if (!json_is_string(value))
        return ox__control_invalid(c, name, "is not a text");
    *out = (struct ox_str){json_string_value(value), json_string_length(value)};
    return OX_OK;
}

/* A name for people: no control characters, so that no list of names is disturbed by one. */
ox_err
ox__control_read_name(struct ox__control_call *c, char out[OX_CONTROL_NAME_MAX + 1])
{
    struct ox_str text;
    ox_err err = ox__control_read_text(c, "name", &text);
    if (err != OX_OK)
        return err;
    if (text.n > OX_CONTROL_NAME_MAX)
        return ox__control_invalid(c, "name", "has at most 64 bytes");
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return ox__control_invalid(c, "name", "has no control characters");
    }
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return OX_OK;
}

/* "90s", "15m", "1h", "7d"; most: seconds. */
ox_err
ox__control_read_duration(struct ox__control_call *c, const char *name, int64_t most_s, int64_t *out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct ox_str text;
    int64_t n = 0;
    size_t i = 0;
    ox_err err = ox__control_read_text(c, name, &text);
    if (err != OX_OK)
        return err;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && n <= most_s; i++)
        n = n * 10 + (text.p[i] - '0');
    for (size_t u = 0; i > 0 && i + 1 == text.n && u < OX_COUNT(units); u++) {
        if (units[u].unit != text.p[i] || n > most_s / units[u].seconds)
            continue;
        *out = n * units[u].seconds;
        return OX_OK;
    }
    return ox_diag_set(&c->diag, OX_E_INVALID, name, -1,
                       "%s: is a time such as 90s, 15m, 1h or 7d, at most %lldd", name,
                       (long long)(most_s / 86400));
}

/* One parameter of the query string, not percent-decoded: what is read here is of letters, digits, '_' and '-'. */
struct ox_str
ox__control_param(const struct ox__control_call *c, const char *name)
{
    struct ox_str rest = c->req->query, key = ox_str_of(name);
    while (rest.n > 0) {
        const char *stop = memchr(rest.p, '&', rest.n);
        struct ox_str pair = {rest.p, stop != NULL ? (size_t)(stop - rest.p) : rest.n};
        if (pair.n > key.n && memcmp(pair.p, key.p, key.n) == 0 && pair.p[key.n] == '=')
            return (struct ox_str){pair.p + key.n + 1, pair.n - key.n - 1};
        size_t used = pair.n + (stop != NULL);
        rest = (struct ox_str){rest.p + used, rest.n - used};
    }
    return OX_STR("");
}

ox_err
ox__control_read_limit(struct ox__control_call *c, size_t *out)
{
    struct ox_str text = ox__control_param(c, "limit");
    size_t n = 0;
    *out = PAGE_DEFAULT;
    if (text.n == 0)
        return OX_OK;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || n > OX_CONTROL_PAGE_MAX)
            return ox__control_invalid(c, "limit", "is a number from 1 to 500");
        n = n * 10 + (size_t)(text.p[i] - '0');
    }
    *out = n;
    return n >= 1 && n <= OX_CONTROL_PAGE_MAX ? OX_OK
                                              : ox__control_invalid(c, "limit", "is a number from 1 to 500");
}

ox_err
ox__control_read_after(struct ox__control_call *c, char *out, size_t size)
{
    struct ox_str text = ox__control_param(c, "after");
    for (size_t i = 0; i < text.n; i++) {
        char ch = text.p[i];
        bool ok = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                  ch == '_' || ch == '-';
        if (!ok || text.n >= size)
            return ox__control_invalid(c, "after", "is the `next` of the answer before");
    }
    memcpy(out, text.n > 0 ? text.p : "", text.n);
    out[text.n] = '\0';
    return OX_OK;
}

bool
ox__control_is_operator(const struct ox__control_call *c)
{
    return ox_role_is_operator(c->req->role);
}

/* The tenant that an order names; an admin's own when it names none, and no other. */
ox_err
ox__control_read_tenant(struct ox__control_call *c, struct ox_str name, struct ox_tenant_id *out)
{
    if (name.n == 0) {
        *out = c->req->tenant;
        return OX_OK;
    }
    ox_err err = ox_tenant_id_parse(name, out, &c->diag);
    if (err == OX_OK && !ox__control_is_operator(c) && strcmp(out->name, c->req->tenant.name) != 0)
        err = ox_diag_set(&c->diag, OX_E_FORBIDDEN, "tenant", -1,
                          "role %s acts for its own tenant %s only; for others that needs role operator",
                          ox_role_name(c->req->role), c->req->tenant.name);
    return err;
}
