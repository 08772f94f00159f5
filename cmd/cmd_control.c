/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_control.c - `observex control init`: a PostgreSQL database becomes a control plane.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_FAILED with the store's sentence.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/node_internal.h"
#include "ox/clock.h"
#include "ox/control_api.h"
#include "ox/password.h"
#include "ox/user_store.h"

#define CONNECT_TIMEOUT_MS   15000
#define STATEMENT_TIMEOUT_MS 60000 /* migrations of large tables take their time */

struct wish {
    const char *url, *password_file, *role, *role_password_file, *user;
    bool another, json;
};

static void
report(const struct wish *w, unsigned applied, bool made, const char *key, const char *user_password)
{
    if (w->json) {
        printf("{\"migrations_applied\":%u,\"role\":\"ready\",\"operator_key\":", applied);
        printf(made ? "\"%s\"" : "null", key);
        if (w->user != NULL)
            printf(",\"operator_user\":\"%s\",\"operator_password\":\"%s\"", w->user, user_password);
        printf("}\n");
        return;
    }
    printf("%u migrations were applied; nodes connect as %s\n", applied, w->role);
    if (made)
        printf("\n%s\n\nThis is an operator's key, and the only time that it is shown.\n", key);
    else
        printf("there is an operator's key already; --new-operator makes another one\n");
    if (w->user != NULL)
        printf("\n%s\n\nThis is the password of user %s, tenant " OX_CONTROL_PLATFORM
               ", and the only time that it is shown.\n",
               user_password, w->user);
}

static ox_err
make_user(const struct wish *w, const struct ox_control_postgres *owner, struct ox_control_store *store,
          int64_t now_s, char *password, struct ox_diag *diag)
{
    struct ox_user_store *users = NULL;
    if (w->user == NULL)
        return OX_OK;
    ox_err err = ox_user_store_postgres(owner, &users, diag);
    if (err == OX_OK) {
        err = ox_control_operator_user(store, users, w->user, now_s, password, diag);
        users->close(users);
    }
    return err;
}

static int
init(const struct wish *w, struct ox_control_postgres *owner, const char *role_password)
{
    char key[OX_API_KEY_LEN + 1] = "", user_password[OX_PASSWORD_MADE + 1] = "";
    struct ox_control_store *store = NULL;
    struct ox_control_key made_key;
    struct ox_diag diag;
    unsigned applied = 0;
    bool made = false;
    int64_t now_s = (int64_t)(ox_clock_realtime_ns(ox_clock_real()) / 1000000000);
    ox_diag_clear(&diag);
    ox_err err = ox_control_init_postgres(owner, w->role, role_password, &applied, &diag);
    owner->as_owner = true;
    if (err == OX_OK)
        err = ox_control_open_postgres(owner, &store, &diag);
    if (err == OX_OK)
        err = ox_control_first_operator(store, now_s, w->another, key, &made_key, &made, &diag);
    if (err == OX_OK)
        err = make_user(w, owner, store, now_s, user_password, &diag);
    if (store != NULL)
        store->close(store);
    if (err == OX_OK)
        report(w, applied, made, key, user_password);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(user_password, sizeof(user_password));
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
}

static int
run(const struct wish *w)
{
    char password[OX_CONFIG_STRING_MAX], role_password[OX_CONFIG_STRING_MAX];
    struct ox_diag diag;
    ox_err err = node_password_of(w->password_file != NULL ? w->password_file : "", "--password-file",
                                  password, sizeof(password), &diag);
    if (err == OX_OK)
        err = node_password_of(w->role_password_file != NULL ? w->role_password_file : "",
                               "--role-password-file", role_password, sizeof(role_password), &diag);
    if (err != OX_OK)
        return ox_complain("%s: %s", diag.field, diag.text);
    struct ox_control_postgres owner = {.url = w->url,
                                        .password = password,
                                        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                        .connections = 1};
    int code = init(w, &owner, role_password[0] != '\0' ? role_password : NULL);
    explicit_bzero(password, sizeof(password));
    explicit_bzero(role_password, sizeof(role_password));
    return code;
}

int
ox_cmd_control(int argc, char **argv)
{
    struct wish w = {.role = "observex_node"};
    const struct ox_flag flags[] = {{"url", &w.url, NULL},
                                    {"password-file", &w.password_file, NULL},
                                    {"role", &w.role, NULL},
                                    {"role-password-file", &w.role_password_file, NULL},
                                    {"operator-user", &w.user, NULL},
                                    {"new-operator", NULL, &w.another},
                                    {"json", NULL, &w.json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 1) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc != 2 || strcmp(argv[1], "init") != 0)
        return ox_complain_usage("control", "say init --url postgresql://owner@host/database");
    if (w.url == NULL)
        return ox_complain_usage("control", "say which database: --url postgresql://owner@host/database");
    return run(&w);
}
