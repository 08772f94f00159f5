/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_tenant.c - `observex tenant`: which tenants there are, and whether they may send and ask.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_FAILED when nothing answers or it is refused.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/cmd_supervision.h"

static const char *
text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? value : "";
}

static void
print_row(const json_t *t)
{
    printf("%-32s  %-8s  %-20s  ", text_of(t, "id"), text_of(t, "state"), text_of(t, "created"));
    cmd_text_print(text_of(t, "name"), 64, false);
    fputc('\n', stdout);
}

static void
print_list(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "tenants"), *t;
    size_t i;
    if (json_array_size(list) == 0) {
        printf("there are no tenants; `observex tenant create ID` makes one\n");
        return;
    }
    printf("%-32s  %-8s  %-20s  %s\n", "TENANT", "STATE", "CREATED", "NAME");
    json_array_foreach(list, i, t) print_row(t);
    if (json_object_get(answer, "next") != NULL)
        printf("\nThere are more: --after %s\n", text_of(answer, "next"));
}

static void
print_one(const json_t *t)
{
    printf("tenant   %s\nstate    %s\ncreated  %s\nchanged  %s\nname     ", text_of(t, "id"),
           text_of(t, "state"), text_of(t, "created"), text_of(t, "changed"));
    cmd_text_print(text_of(t, "name"), 64, false);
    fputc('\n', stdout);
}

static int
create(const struct cmd_api_where *where, const char *id, const char *name, bool json)
{
    json_t *body = json_pack("{s:s, s:s*}", "id", id, "name", name);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text == NULL)
        return ox_complain_usage("tenant", "a name is text in UTF-8");
    int code = cmd_api_order(where, CMD_API_POST, "/api/v1/tenants", text, json, print_one);
    free(text);
    return code;
}

static int
of_one(const struct cmd_api_where *where, const char *verb, const char *id, const char *name, bool json)
{
    char path[128];
    struct ox_tenant_id tenant;
    struct ox_diag diag;
    if (ox_tenant_id_parse(ox_str_of(id), &tenant, &diag) != OX_OK)
        return ox_complain_usage("tenant", "%s", diag.text);
    snprintf(path, sizeof(path), "/api/v1/tenants/%s", tenant.name);
    if (strcmp(verb, "create") == 0)
        return create(where, tenant.name, name, json);
    if (strcmp(verb, "show") == 0)
        return cmd_api_order(where, CMD_API_GET, path, NULL, json, print_one);
    if (strcmp(verb, "disable") == 0)
        return cmd_api_order(where, CMD_API_PATCH, path, "{\"state\":\"disabled\"}", json, print_one);
    if (strcmp(verb, "enable") == 0)
        return cmd_api_order(where, CMD_API_PATCH, path, "{\"state\":\"active\"}", json, print_one);
    return ox_complain_usage("tenant", "say list, create ID, show ID, disable ID or enable ID");
}

static int
list(const struct cmd_api_where *where, const char *after, bool json)
{
    char path[128];
    snprintf(path, sizeof(path), "/api/v1/tenants?limit=500%s%.63s", after != NULL ? "&after=" : "",
             after != NULL ? after : "");
    return cmd_api_order(where, CMD_API_GET, path, NULL, json, print_list);
}

int
ox_cmd_tenant(int argc, char **argv)
{
    struct cmd_api_where where = {NULL, NULL, NULL};
    const char *name = NULL, *after = NULL;
    bool json = false;
    const struct ox_flag flags[] = {{"api", &where.api, NULL}, {"data", &where.data, NULL},
                                    {"key", &where.key, NULL}, {"name", &name, NULL},
                                    {"after", &after, NULL},   {"json", NULL, &json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 2) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(&where, after, json);
    if (argc != 3)
        return ox_complain_usage("tenant", "say list, create ID, show ID, disable ID or enable ID");
    return of_one(&where, argv[1], argv[2], name, json);
}
