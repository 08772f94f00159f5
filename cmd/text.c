/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/text.c - safe text for terminals, durations, and JSON answers of the API.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  as cmd/api_client.h.
 * Fails:   what the API answered, in its own words.
 */
#include "cmd/text.h"

#include <stdio.h>

#include "cmd/api_client.h"

/* Bytes of the UTF-8 sequence at p; 1 for what is none. */
static size_t
sequence(const unsigned char *p)
{
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 1;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 1;
    return n;
}

static int
count(const char *text)
{
    int n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p += sequence(p))
        n++;
    return n;
}

/* C0, DEL, C1 (as U+0080..U+009F) and stray bytes. */
static bool
is_control(const unsigned char *p, size_t n)
{
    return (n == 1 && (p[0] < 0x20 || p[0] >= 0x7f)) || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

void
cmd_text_print(const char *text, int width, bool pad)
{
    bool cut = count(text) > width;
    int left = cut ? width - 1 : width;
    for (const unsigned char *p = (const unsigned char *)text; *p != 0 && left > 0; left--) {
        size_t n = sequence(p);
        if (is_control(p, n))
            fputc('?', stdout);
        else
            fwrite(p, 1, n, stdout);
        p += n;
    }
    if (cut)
        fputs("\xe2\x80\xa6", stdout);
    for (; pad && !cut && left > 0; left--)
        fputc(' ', stdout);
}

void
cmd_text_duration(int64_t ns, char *out, size_t size)
{
    double v = (double)ns;
    if (v >= 1e9)
        snprintf(out, size, "%.2fs", v / 1e9);
    else if (v >= 1e6)
        snprintf(out, size, "%.1fms", v / 1e6);
    else if (v >= 1e3)
        snprintf(out, size, "%.0fus", v / 1e3);
    else
        snprintf(out, size, "%.0fns", v);
}

static ox_err
refused(long status, const json_t *answer, struct ox_diag *diag)
{
    const json_t *error = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *hint = json_string_value(json_object_get(error, "hint"));
    return ox_diag_set(diag, OX_E_INVALID, NULL, -1, "%s%s%s (status %ld)",
                       message != NULL ? message : "refused", hint != NULL ? ": " : "",
                       hint != NULL ? hint : "", status);
}

ox_err
cmd_api_ask(const char *base, enum cmd_api_method method, const char *path, const char *key, const char *json,
            struct ox_buf *body, json_t **answer, struct ox_diag *diag)
{
    long status = 0;
    json_error_t why;
    size_t from = body->len;
    ox_err err = OX_OK;
    *answer = NULL;
    switch (method) {
    case CMD_API_GET:
        err = ox_api_get(base, path, key, &status, body, diag);
        break;
    case CMD_API_POST:
        err = ox_api_post(base, path, key, json, &status, body, diag);
        break;
    case CMD_API_PATCH:
        err = ox_api_patch(base, path, key, json, &status, body, diag);
        break;
    }
    if (err != OX_OK)
        return err;
    *answer = json_loadb((const char *)body->data + from, body->len - from, JSON_ALLOW_NUL, &why);
    if (*answer == NULL)
        return ox_diag_set(diag, OX_E_DECODE, NULL, -1,
                           "%s answered status %ld without JSON: is it ObserveX?", base, status);
    if (status == 200 || status == 201)
        return OX_OK;
    err = refused(status, *answer, diag);
    json_decref(*answer);
    *answer = NULL;
    return err;
}

ox_err
cmd_api_json(const char *base, const char *path, const char *key, struct ox_buf *body, json_t **answer,
             struct ox_diag *diag)
{
    return cmd_api_ask(base, CMD_API_GET, path, key, NULL, body, answer, diag);
}
