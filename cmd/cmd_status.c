/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_status.c - `observex status`: the answer of /api/v1/status, for people.
 *
 * Objects become indented sections and lists of objects tables, whatever members the node reports, so that
 * this file does not have to know them.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  COLUMNS_MAX columns and WIDTH_MAX characters of a table's cell.
 * Fails:   OX_EXIT_FAILED when nothing answers or it answers an error.
 */
#include <jansson.h>
#include <stdio.h>

#include "cmd/api_client.h"
#include "cmd/cmd.h"

#define COLUMNS_MAX 16
#define WIDTH_MAX   60
#define DEPTH_MAX   8 /* deeper members are printed as JSON */

static void print_members(const json_t *object, int depth);

/* One scalar in at most WIDTH_MAX characters; control characters of a name must not reach the terminal. */
static void
scalar_text(const json_t *v, char *out, size_t size)
{
    if (json_is_string(v))
        snprintf(out, size, "%.*s", WIDTH_MAX, json_string_value(v));
    else if (json_is_integer(v))
        snprintf(out, size, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(out, size, "%.6g", json_real_value(v));
    else if (json_is_boolean(v))
        snprintf(out, size, "%s", json_is_true(v) ? "yes" : "no");
    else if (json_is_null(v))
        snprintf(out, size, "-");
    else
        snprintf(out, size, "...");
    for (char *p = out; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
}

static bool
is_table(const json_t *v)
{
    size_t i;
    json_t *row;
    if (!json_is_array(v) || json_array_size(v) == 0)
        return false;
    json_array_foreach(v, i, row)
    {
        if (!json_is_object(row) || json_object_size(row) == 0 || json_object_size(row) > COLUMNS_MAX)
            return false;
    }
    return true;
}

/* The columns are the members of the first row. */
static size_t
columns_of(const json_t *rows, const char *names[COLUMNS_MAX], int widths[COLUMNS_MAX])
{
    size_t n = 0, i;
    const char *key;
    json_t *value, *row;
    char text[WIDTH_MAX + 32];
    json_object_foreach(json_array_get(rows, 0), key, value)
    {
        if (n < COLUMNS_MAX)
            names[n++] = key;
    }
    for (size_t c = 0; c < n; c++) {
        widths[c] = (int)strlen(names[c]);
        json_array_foreach(rows, i, row)
        {
            scalar_text(json_object_get(row, names[c]), text, sizeof(text));
            if ((int)strlen(text) > widths[c])
                widths[c] = (int)strlen(text);
        }
    }
    return n;
}

static void
print_table(const json_t *rows, int depth)
{
    const char *names[COLUMNS_MAX];
    int widths[COLUMNS_MAX];
    char text[WIDTH_MAX + 32];
    size_t i;
    json_t *row;
    size_t n = columns_of(rows, names, widths);
    printf("%*s", depth * 2, "");
    for (size_t c = 0; c < n; c++)
        printf("%-*s%s", widths[c], names[c], c + 1 < n ? "  " : "\n");
    json_array_foreach(rows, i, row)
    {
        printf("%*s", depth * 2, "");
        for (size_t c = 0; c < n; c++) {
            const json_t *v = json_object_get(row, names[c]);
            scalar_text(v, text, sizeof(text));
            printf("%*s%s", json_is_number(v) ? widths[c] : -widths[c], text, c + 1 < n ? "  " : "\n");
        }
    }
}

static void
print_list(const json_t *list, int depth)
{
    size_t i;
    json_t *v;
    char text[WIDTH_MAX + 32];
    json_array_foreach(list, i, v)
    {
        scalar_text(v, text, sizeof(text));
        printf("%*s%s\n", depth * 2, "", text);
    }
}

static void
print_nested(const char *key, const json_t *value, int depth)
{
    if (json_is_object(value) ? json_object_size(value) == 0 : json_array_size(value) == 0) {
        printf("%*s%-22s none\n", depth * 2, "", key);
        return;
    }
    printf("%*s%s\n", depth * 2, "", key);
    if (depth >= DEPTH_MAX) {
        json_dumpf(value, stdout, JSON_COMPACT);
        fputc('\n', stdout);
    } else if (json_is_object(value)) {
        print_members(value, depth + 1);
    } else if (is_table(value)) {
        print_table(value, depth + 1);
    } else {
        print_list(value, depth + 1);
    }
}

static void
print_members(const json_t *object, int depth)
{
    const char *key;
    json_t *value;
    char text[WIDTH_MAX + 32];
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (json_is_object(value) || json_is_array(value)) {
            print_nested(key, value, depth);
            continue;
        }
        scalar_text(value, text, sizeof(text));
        printf("%*s%-22s %s\n", depth * 2, "", key, text);
    }
}

static int
print_answer(long status, const struct ox_buf *body, bool json)
{
    json_t *answer = json_loadb((const char *)body->data, body->len, 0, NULL);
    int code = status == 200 ? OX_EXIT_OK : OX_EXIT_FAILED;
    if (json) {
        fwrite(body->data, 1, body->len, stdout);
        fputc('\n', stdout);
    } else if (!json_is_object(answer)) {
        code = ox_complain("the answer (status %ld) is not the JSON of an ObserveX API; is --api right?",
                           status);
    } else if (status != 200) {
        const json_t *error = json_object_get(answer, "error");
        const char *message = json_string_value(json_object_get(error, "message"));
        code = ox_complain("status %ld: %s", status, message != NULL ? message : "no reason given");
    } else {
        print_members(answer, 0);
    }
    json_decref(answer);
    return code;
}

int
ox_cmd_status(int argc, char **argv)
{
    const char *api = NULL, *data = NULL, *key = NULL;
    bool json = false;
    char base[1024];
    long status = 0;
    struct ox_diag diag;
    const struct ox_flag flags[] = {
        {"api", &api, NULL}, {"data", &data, NULL}, {"key", &key, NULL}, {"json", NULL, &json}};
    ox_diag_clear(&diag);
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 0) != OX_OK)
        return OX_EXIT_USAGE;
    if (ox_api_find(api, data, base, sizeof(base), &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    struct ox_buf body;
    ox_buf_init(&body);
    ox_err err = ox_api_get(base, "/api/v1/status", key, &status, &body, &diag);
    int code = err == OX_OK && body.data != NULL
                   ? print_answer(status, &body, json)
                   : ox_complain("%s", err == OX_OK ? "empty answer" : diag.text);
    ox_buf_fini(&body);
    return code;
}
