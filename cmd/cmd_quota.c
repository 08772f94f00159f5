/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_quota.c - `observex quota`: what tenants and keys may have, and how much of it is in use.
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
#include "ox/quota.h"

static const char *
text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? value : "";
}

static long long
number_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void
print_set(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "set"), *row;
    size_t i;
    if (json_array_size(list) == 0)
        printf("the defaults hold for everybody (observex config list)\n");
    else
        printf("%-32s  %-14s  %-18s  %18s  %s\n", "TENANT", "KEY", "QUOTA", "VALUE", "UNIT");
    json_array_foreach(list, i, row)
        printf("%-32s  %-14s  %-18s  %18lld  %s\n", text_of(row, "tenant"), text_of(row, "key"),
               text_of(row, "quota"), number_of(row, "value"), text_of(row, "unit"));
}

static void
print_force(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "in_force"), *row;
    size_t i;
    printf("tenant %s\n%-18s  %18s  %-10s  %-8s  %s\n", text_of(answer, "tenant"), "QUOTA", "VALUE", "UNIT",
           "FROM", "IN USE");
    json_array_foreach(list, i, row)
    {
        const json_t *used = json_object_get(row, "used_permille");
        char value[24] = "none", use[32] = "";
        if (number_of(row, "value") > 0)
            snprintf(value, sizeof(value), "%lld", number_of(row, "value"));
        if (used != NULL && number_of(row, "value") > 0)
            snprintf(use, sizeof(use), "%lld %%", (number_of(row, "used_permille") + 5) / 10);
        printf("%-18s  %18s  %-10s  %-8s  %s\n", text_of(row, "quota"), value, text_of(row, "unit"),
               json_is_true(json_object_get(row, "own")) ? "its own" : "default", use);
    }
    if (json_array_size(json_object_get(answer, "set")) > 0)
        printf("\n");
    print_set(answer);
}

static void
print_changed(const json_t *answer)
{
    if (json_object_get(answer, "cleared") != NULL)
        printf("tenant %s has the default of %s again\n", text_of(answer, "tenant"),
               text_of(answer, "cleared"));
    else
        printf("tenant %s%s%s: %s is %lld %s\n", text_of(answer, "tenant"),
               text_of(answer, "key")[0] != '\0' ? ", key " : "", text_of(answer, "key"),
               text_of(answer, "quota"), number_of(answer, "value"), text_of(answer, "unit"));
}

static int
order(const struct cmd_api_where *where, const char *path, json_t *body, bool json)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text == NULL)
        return ox_complain_usage("quota", "that is no name");
    int code = cmd_api_order(where, CMD_API_POST, path, text, json, print_changed);
    free(text);
    return code;
}

static int
set(const struct cmd_api_where *where, char **words, const char *key, bool json)
{
    char *end;
    long long value = strtoll(words[2], &end, 10);
    if (words[2][0] == '\0' || *end != '\0' || value < 0)
        return ox_complain_usage("quota", "%s is no whole number", words[2]);
    return order(where, "/api/v1/quotas",
                 json_pack("{s:s, s:s, s:I, s:s*}", "tenant", words[0], "quota", words[1], "value",
                           (json_int_t)value, "key", key),
                 json);
}

static int
show(const struct cmd_api_where *where, const char *tenant, bool json)
{
    char path[128];
    struct ox_tenant_id id;
    struct ox_diag diag;
    if (ox_tenant_id_parse(ox_str_of(tenant), &id, &diag) != OX_OK)
        return ox_complain_usage("quota", "%s", diag.text);
    snprintf(path, sizeof(path), "/api/v1/quotas?tenant=%s", id.name);
    return cmd_api_order(where, CMD_API_GET, path, NULL, json, print_force);
}

int
ox_cmd_quota(int argc, char **argv)
{
    struct cmd_api_where where = {NULL, NULL, NULL};
    const char *key_id = NULL;
    bool json = false;
    const struct ox_flag flags[] = {{"api", &where.api, NULL},
                                    {"data", &where.data, NULL},
                                    {"key", &where.key, NULL},
                                    {"of-key", &key_id, NULL},
                                    {"json", NULL, &json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 4) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return cmd_api_order(&where, CMD_API_GET, "/api/v1/quotas", NULL, json, print_set);
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return show(&where, argv[2], json);
    if (argc == 5 && strcmp(argv[1], "set") == 0)
        return set(&where, argv + 2, key_id, json);
    if (argc == 4 && strcmp(argv[1], "clear") == 0)
        return order(&where, "/api/v1/quotas/clear",
                     json_pack("{s:s, s:s, s:s*}", "tenant", argv[2], "quota", argv[3], "key", key_id), json);
    return ox_complain_usage("quota", "say list, show TENANT, set TENANT QUOTA VALUE or clear TENANT QUOTA");
}
