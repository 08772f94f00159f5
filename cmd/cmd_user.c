/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_user.c - `observex user`: who may log in to the console, and as what.
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
#include "cmd/node_internal.h"
#include "ox/password.h"
#include "ox/user_store.h"

static const char usage[] = "say list, create NAME, role NAME ROLE, passwd NAME, disable NAME or enable NAME";

struct wish {
    struct cmd_api_where where;
    const char *tenant, *role, *password_file, *after;
    bool json;
};

static const char *
text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? value : "";
}

static const char *
or_never(const char *time)
{
    return time[0] != '\0' ? time : "never";
}

static void
print_list(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "users"), *u;
    size_t i;
    if (json_array_size(list) == 0) {
        printf("there are no users; `observex user create NAME --tenant T` makes one\n");
        return;
    }
    printf("%-24s  %-20s  %-8s  %-8s  %-20s  %s\n", "USER", "TENANT", "ROLE", "STATE", "LAST LOGIN", "FROM");
    json_array_foreach(list, i, u)
    {
        printf("%-24s  %-20s  %-8s  %-8s  %-20s  %s\n", text_of(u, "name"), text_of(u, "tenant"),
               text_of(u, "role"), text_of(u, "state"), or_never(text_of(u, "last_login")),
               text_of(u, "last_login_from"));
    }
    if (json_object_get(answer, "next") != NULL)
        printf("\nThere are more: --after %s\n", text_of(answer, "next"));
}

static void
print_one(const json_t *u)
{
    printf("user              %s\ntenant            %s\nrole              %s\nstate             %s\n",
           text_of(u, "name"), text_of(u, "tenant"), text_of(u, "role"), text_of(u, "state"));
    printf("created           %s\npassword changed  %s\nlast login        %s %s\n", text_of(u, "created"),
           or_never(text_of(u, "password_changed")), or_never(text_of(u, "last_login")),
           text_of(u, "last_login_from"));
    if (json_object_get(u, "password") != NULL)
        printf("\n%s\n\nThis is the password, and the only time that it is shown.\n", text_of(u, "password"));
}

/* object: take. Sends it as the body of a POST. */
static int
post(const struct wish *w, const char *path, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL)
        return ox_complain_usage("user", "texts are UTF-8");
    int code = cmd_api_order(&w->where, CMD_API_POST, path, text, w->json, print_one);
    explicit_bzero(text, strlen(text)); /* a password may stand in it */
    free(text);
    return code;
}

static int
list(const struct wish *w)
{
    char path[256];
    struct ox_tenant_id tenant = {""};
    struct ox_diag diag;
    if (w->tenant != NULL && ox_tenant_id_parse(ox_str_of(w->tenant), &tenant, &diag) != OX_OK)
        return ox_complain_usage("user", "%s", diag.text);
    snprintf(path, sizeof(path), "/api/v1/users?limit=500%s%s%s%.130s", w->tenant != NULL ? "&tenant=" : "",
             tenant.name, w->after != NULL ? "&after=" : "", w->after != NULL ? w->after : "");
    return cmd_api_order(&w->where, CMD_API_GET, path, NULL, w->json, print_list);
}

/* With a password of one's own, when a file has one; "-" is standard input. */
static int
with_password(const struct wish *w, const char *path, json_t *body)
{
    char password[OX_CONFIG_STRING_MAX] = "";
    struct ox_diag diag;
    const char *file = w->password_file == NULL             ? ""
                       : strcmp(w->password_file, "-") == 0 ? "/dev/stdin"
                                                            : w->password_file;
    if (node_password_of(file, "--password-file", password, sizeof(password), &diag) != OX_OK) {
        json_decref(body);
        return ox_complain("%s: %s", diag.field, diag.text);
    }
    if (password[0] != '\0')
        json_object_set_new(body, "password", json_string(password));
    explicit_bzero(password, sizeof(password));
    return post(w, path, body);
}

static int
of_one(const struct wish *w, const char *verb, const char *name, const char *role)
{
    if (!ox_user_name_ok(ox_str_of(name)))
        return ox_complain_usage("user", "a user's name has 1 to 64 of a-z, 0-9 and . _ @ + -");
    json_t *body = json_pack("{s:s*, s:s}", "tenant", w->tenant, "name", name);
    if (strcmp(verb, "create") == 0 && role == NULL) {
        if (w->role != NULL)
            json_object_set_new(body, "role", json_string(w->role));
        return with_password(w, "/api/v1/users", body);
    }
    if (strcmp(verb, "passwd") == 0 && role == NULL)
        return with_password(w, "/api/v1/users/password", body);
    if (strcmp(verb, "role") == 0 && role != NULL) {
        json_object_set_new(body, "role", json_string(role));
        return post(w, "/api/v1/users/change", body);
    }
    bool enable = strcmp(verb, "enable") == 0;
    if ((enable || strcmp(verb, "disable") == 0) && role == NULL) {
        json_object_set_new(body, "state", json_string(enable ? "active" : "disabled"));
        return post(w, "/api/v1/users/change", body);
    }
    json_decref(body);
    return ox_complain_usage("user", "%s", usage);
}

int
ox_cmd_user(int argc, char **argv)
{
    struct wish w = {.json = false};
    const struct ox_flag flags[] = {{"api", &w.where.api, NULL}, {"data", &w.where.data, NULL},
                                    {"key", &w.where.key, NULL}, {"tenant", &w.tenant, NULL},
                                    {"role", &w.role, NULL},     {"password-file", &w.password_file, NULL},
                                    {"after", &w.after, NULL},   {"json", NULL, &w.json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 3) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(&w);
    if (argc != 3 && argc != 4)
        return ox_complain_usage("user", "%s", usage);
    return of_one(&w, argv[1], argv[2], argc == 4 ? argv[3] : NULL);
}
