/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_key.c - `observex key`: the keys that are kept, and the development key of a tenant.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_FAILED when nothing answers, it is refused, or a key that is verified is not good.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/cmd_supervision.h"
#include "cmd/node_internal.h"
#include "ox/api_key.h"

static const char usage[] = "say list, create, show ID, revoke ID, rotate ID, verify KEY or dev TENANT, for "
                            "instance `observex key dev team-a`";

struct wish {
    struct cmd_api_where where;
    const char *tenant, *name, *role, *scopes, *expires_in, *overlap, *after;
    bool json;
};

static bool is_good; /* the verified key */

static const char *
text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? value : "";
}

/* "ingest.traces,query" */
static void
print_scopes(const json_t *key, int width)
{
    const json_t *scope;
    char text[OX_SCOPES_TEXT_MAX] = "";
    size_t i;
    json_array_foreach(json_object_get(key, "scopes"), i, scope) snprintf(
        text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? "," : "", json_string_value(scope));
    printf("%-*s", width, text);
}

static void
print_list(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "keys"), *k;
    size_t i;
    if (json_array_size(list) == 0) {
        printf("there are no keys; `observex key create --tenant T` makes one\n");
        return;
    }
    printf("%-14s  %-20s  %-8s  %-8s  %-20s  %-20s  %s\n", "KEY", "TENANT", "ROLE", "STATE", "EXPIRES",
           "LAST USED", "NAME");
    json_array_foreach(list, i, k)
    {
        const char *expires = text_of(k, "expires"), *used = text_of(k, "last_used");
        printf("%-14s  %-20s  %-8s  %-8s  %-20s  %-20s  ", text_of(k, "id"), text_of(k, "tenant"),
               text_of(k, "role"), text_of(k, "state"), expires[0] != '\0' ? expires : "never",
               used[0] != '\0' ? used : "never");
        cmd_text_print(text_of(k, "name"), 40, false);
        fputc('\n', stdout);
    }
    if (json_object_get(answer, "next") != NULL)
        printf("\nThere are more: --after %s\n", text_of(answer, "next"));
}

static void
print_time(const char *label, const char *time)
{
    printf("%-12s %s\n", label, time[0] != '\0' ? time : "never");
}

static void
print_one(const json_t *k)
{
    printf("%-12s %s\n%-12s %s\n%-12s ", "key", text_of(k, "id"), "tenant", text_of(k, "tenant"), "name");
    cmd_text_print(text_of(k, "name"), 64, false);
    printf("\n%-12s %s\n%-12s ", "role", text_of(k, "role"), "scopes");
    print_scopes(k, 0);
    printf("\n%-12s %s\n", "state", text_of(k, "state"));
    print_time("created", text_of(k, "created"));
    print_time("expires", text_of(k, "expires"));
    print_time("revoked", text_of(k, "revoked"));
    print_time("last used", text_of(k, "last_used"));
    if (json_object_get(k, "rotated_from") != NULL)
        printf("%-12s %s\n", "rotated from", text_of(k, "rotated_from"));
}

static void
print_new(const json_t *k)
{
    print_one(k);
    printf("\n%s\n\nThis is the only time that the key is shown.\n", text_of(k, "key"));
}

static void
print_verified(const json_t *k)
{
    print_one(k);
    is_good = json_is_true(json_object_get(k, "good"));
    printf("%-12s %s\n%-12s %s\n%s\n", "fingerprint", text_of(k, "fingerprint"), "tenant is",
           text_of(k, "tenant_state"), is_good ? "The key is good." : "The key is not good.");
}

/* object: take. Sends it as the body of a POST. */
static int
post(const struct wish *w, const char *path, json_t *object, void (*print)(const json_t *))
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL)
        return ox_complain_usage("key", "texts are UTF-8");
    int code = cmd_api_order(&w->where, CMD_API_POST, path, text, w->json, print);
    free(text);
    return code;
}

static json_t *
split(const char *list)
{
    json_t *out = list != NULL ? json_array() : NULL;
    for (const char *p = list; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, ",");
        json_array_append_new(out, json_stringn(p, n));
        p += n + (p[n] == ',');
    }
    return out;
}

static int
create(const struct wish *w)
{
    json_t *body = json_pack("{s:s*, s:s*, s:s*, s:o*, s:s*}", "tenant", w->tenant, "name", w->name, "role",
                             w->role, "scopes", split(w->scopes), "expires_in", w->expires_in);
    return post(w, "/api/v1/keys", body, print_new);
}

static int
list(const struct wish *w)
{
    char path[192];
    struct ox_tenant_id tenant;
    struct ox_diag diag;
    if (w->tenant != NULL && ox_tenant_id_parse(ox_str_of(w->tenant), &tenant, &diag) != OX_OK)
        return ox_complain_usage("key", "%s", diag.text);
    snprintf(path, sizeof(path), "/api/v1/keys?limit=500%s%s%s%.16s", w->tenant != NULL ? "&tenant=" : "",
             w->tenant != NULL ? tenant.name : "", w->after != NULL ? "&after=" : "",
             w->after != NULL ? w->after : "");
    return cmd_api_order(&w->where, CMD_API_GET, path, NULL, w->json, print_list);
}

static int
verify(const struct wish *w, const char *key)
{
    char line[256];
    if (strcmp(key, "-") == 0) {
        if (fgets(line, sizeof(line), stdin) == NULL)
            return ox_complain("standard input has no key");
        line[strcspn(line, "\r\n")] = '\0';
        key = line;
    }
    int code = post(w, "/api/v1/keys/verify", json_pack("{s:s}", "key", key), print_verified);
    return code == OX_EXIT_OK && !w->json && !is_good ? OX_EXIT_FAILED : code;
}

static int
dev(const struct wish *w, const char *name)
{
    struct ox_tenant_id tenant;
    struct ox_diag diag;
    char secret[OX_DEV_SECRET_HEX + 1], key[OX_DEV_KEY_MAX];
    if (ox_tenant_id_parse(ox_str_of(name), &tenant, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    if (node_dev_secret(w->where.data != NULL ? w->where.data : "./observex-data", secret, &diag) != OX_OK)
        return ox_complain("%s: %s", diag.field, diag.text);
    ox_keystore_dev_key(ox_str_of(secret), &tenant, key);
    printf("%s\n", key);
    return OX_EXIT_OK;
}

static int
of_one(const struct wish *w, const char *verb, const char *id)
{
    char path[96];
    if (!ox_api_key_id_ok(ox_str_of(id)))
        return ox_complain_usage("key", "'%.40s' is no id of a key; `observex key list` shows them", id);
    bool show = strcmp(verb, "show") == 0;
    snprintf(path, sizeof(path), "/api/v1/keys/%s%s%s", id, show ? "" : "/", show ? "" : verb);
    if (show)
        return cmd_api_order(&w->where, CMD_API_GET, path, NULL, w->json, print_one);
    if (strcmp(verb, "revoke") == 0)
        return post(w, path, json_object(), print_one);
    if (strcmp(verb, "rotate") == 0)
        return post(w, path, json_pack("{s:s*}", "overlap", w->overlap), print_new);
    return ox_complain_usage("key", "%s", usage);
}

static int
run(const struct wish *w, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(w);
    if (argc == 2 && strcmp(argv[1], "create") == 0)
        return create(w);
    if (argc != 3)
        return ox_complain_usage("key", "%s", usage);
    if (strcmp(argv[1], "dev") == 0)
        return dev(w, argv[2]);
    return strcmp(argv[1], "verify") == 0 ? verify(w, argv[2]) : of_one(w, argv[1], argv[2]);
}

int
ox_cmd_key(int argc, char **argv)
{
    struct wish w = {.json = false};
    const struct ox_flag flags[] = {{"api", &w.where.api, NULL},   {"data", &w.where.data, NULL},
                                    {"key", &w.where.key, NULL},   {"tenant", &w.tenant, NULL},
                                    {"name", &w.name, NULL},       {"role", &w.role, NULL},
                                    {"scopes", &w.scopes, NULL},   {"expires-in", &w.expires_in, NULL},
                                    {"overlap", &w.overlap, NULL}, {"after", &w.after, NULL},
                                    {"json", NULL, &w.json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 2) != OX_OK)
        return OX_EXIT_USAGE;
    return run(&w, argc, argv);
}
