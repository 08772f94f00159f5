/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_quarantine.c - `observex quarantine`: who is put aside, why, and how an operator lets him go.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_FAILED when neither the API nor the files answer, or the number of crashes is not the right one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/api_client.h"
#include "cmd/cmd.h"
#include "cmd/cmd_supervision.h"
#include "cmd/text.h"

static const char *wanted; /* of `show` */
static bool found;

static const struct cmd_api_where *here; /* for hints */

const char *
cmd_same_place(const struct cmd_api_where *where)
{
    static char text[600];
    text[0] = '\0';
    if (where->data != NULL)
        snprintf(text, sizeof(text), " --data %s", where->data);
    else if (where->api != NULL)
        snprintf(text, sizeof(text), " --api %s", where->api);
    return text;
}

int
cmd_api_order(const struct cmd_api_where *where, enum cmd_api_method method, const char *path,
              const char *body_json, bool json, void (*print)(const json_t *answer))
{
    struct ox_diag diag;
    char base[1024];
    struct ox_buf body;
    json_t *answer = NULL;
    ox_diag_clear(&diag);
    ox_buf_init(&body);
    ox_err err = ox_api_find(where->api, where->data, base, sizeof(base), &diag);
    if (err == OX_OK)
        err = cmd_api_ask(base, method, path, where->key, body_json, &body, &answer, &diag);
    if (err == OX_OK && json)
        printf("%.*s\n", (int)body.len, (const char *)body.data);
    else if (err == OX_OK)
        print(answer);
    json_decref(answer);
    ox_buf_fini(&body);
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
}

int
cmd_api_show(const struct cmd_api_where *where, const char *path, const char *post, bool json,
             void (*print)(const json_t *answer))
{
    return cmd_api_order(where, post != NULL ? CMD_API_POST : CMD_API_GET, path, post, json, print);
}

/* Nobody answers: what do the files say? diag: of the question that came to nothing. */
static ox_err
ask_files(const struct cmd_api_where *where, ox_err (*files)(const char *, json_t **, struct ox_diag *),
          json_t **answer, struct ox_diag *diag)
{
    struct ox_diag of_files;
    const char *data = where->data != NULL ? where->data : "./observex-data";
    ox_diag_clear(&of_files);
    ox_err err = files(data, answer, &of_files);
    if (err == OX_OK)
        fprintf(stderr, "observex: nothing runs on %s; this is what its files say\n", data);
    else if (where->data != NULL)
        *diag = of_files;
    return err;
}

static void
print_json(const json_t *answer)
{
    json_dumpf(answer, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', stdout);
}

int
cmd_api_or_files(const struct cmd_api_where *where, const char *path, bool json,
                 void (*print)(const json_t *answer),
                 ox_err (*files)(const char *data, json_t **out, struct ox_diag *diag))
{
    struct ox_diag diag;
    char base[1024];
    struct ox_buf body;
    json_t *answer = NULL;
    here = where;
    ox_diag_clear(&diag);
    ox_buf_init(&body);
    ox_err err = ox_api_find(where->api, where->data, base, sizeof(base), &diag);
    if (err == OX_OK)
        err = cmd_api_ask(base, CMD_API_GET, path, where->key, NULL, &body, &answer, &diag);
    if (err != OX_OK && body.len == 0 && where->api == NULL)
        err = ask_files(where, files, &answer, &diag);
    if (err == OX_OK)
        (json ? print_json : print)(answer);
    json_decref(answer);
    ox_buf_fini(&body);
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
}

static const char *
text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value != NULL ? value : "";
}

static long long
crashes_of(const json_t *q)
{
    return (long long)json_integer_value(json_object_get(q, "crashes"));
}

static void
print_list(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "quarantine"), *q;
    size_t i;
    if (json_array_size(list) == 0) {
        printf("no tenant is quarantined\n");
        return;
    }
    printf("%-32s  %7s  %-20s  %s\n", "TENANT", "CRASHES", "SINCE", "LAST CRASH");
    json_array_foreach(list, i, q)
    {
        printf("%-32s  %7lld  %.19sZ  ", text_of(q, "tenant"), crashes_of(q), text_of(q, "since"));
        cmd_text_print(text_of(json_object_get(q, "last"), "text"), 80, false);
        fputc('\n', stdout);
    }
    printf("\n`observex quarantine show TENANT%s` tells why and how to go on.\n", cmd_same_place(here));
}

static void
print_one(const json_t *answer)
{
    const json_t *q;
    size_t i;
    json_array_foreach(json_object_get(answer, "quarantine"), i, q)
    {
        if (strcmp(text_of(q, "tenant"), wanted) != 0)
            continue;
        found = true;
        printf("tenant %s is quarantined since %.19sZ, after %lld crashes of its actor. The last one:\n\n",
               wanted, text_of(q, "since"), crashes_of(q));
        if (json_object_get(q, "last") != NULL)
            cmd_print_crash(json_object_get(q, "last"));
        if (json_is_false(json_object_get(q, "on_disk")))
            printf("It could not be written down yet, and cannot be lifted before it is: see the node's log "
                   "for what "
                   "ails the disk.\n\n");
        printf("What it was acknowledged for is kept and goes on after the quarantine. When the cause is "
               "known:\n\n"
               "  observex quarantine revoke %s --crashes %lld%s\n",
               wanted, crashes_of(q), cmd_same_place(here));
    }
    if (!found)
        printf("tenant %s is not quarantined\n", wanted);
}

static void
print_lifted(const json_t *answer)
{
    printf("the quarantine of tenant %s is lifted; what was kept goes on in order\n",
           text_of(answer, "tenant"));
}

static int
revoke(const struct cmd_api_where *where, const char *tenant, const char *crashes, bool json)
{
    char path[160], body[64], *end;
    unsigned long n = crashes != NULL ? strtoul(crashes, &end, 10) : 0;
    if (crashes == NULL || *end != '\0' || n == 0 || n > UINT32_MAX)
        return ox_complain_usage(
            "quarantine",
            "say how many crashes you answer for: observex quarantine revoke %s --crashes N "
            "(`observex quarantine show %s%s` tells the number)",
            tenant, tenant, cmd_same_place(where));
    snprintf(path, sizeof(path), "/api/v1/quarantine/%s/revoke", tenant);
    snprintf(body, sizeof(body), "{\"acknowledge_crashes\":%lu}", n);
    return cmd_api_show(where, path, body, json, print_lifted);
}

static int
run(const struct cmd_api_where *where, int argc, char **argv, const char *crashes, bool json)
{
    static const char path[] = "/api/v1/quarantine";
    struct ox_tenant_id tenant;
    struct ox_diag diag;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return cmd_api_or_files(where, path, json, print_list, cmd_quarantine_of_files);
    if (argc != 3 || (strcmp(argv[1], "show") != 0 && strcmp(argv[1], "revoke") != 0))
        return ox_complain_usage("quarantine", "say list, show TENANT or revoke TENANT --crashes N");
    if (ox_tenant_id_parse(ox_str_of(argv[2]), &tenant, &diag) != OX_OK)
        return ox_complain_usage("quarantine", "%s", diag.text);
    if (strcmp(argv[1], "revoke") == 0)
        return revoke(where, tenant.name, crashes, json);
    wanted = tenant.name;
    int code = cmd_api_or_files(where, path, json, print_one, cmd_quarantine_of_files);
    return code == OX_EXIT_OK && !json && !found ? OX_EXIT_FAILED : code;
}

int
ox_cmd_quarantine(int argc, char **argv)
{
    struct cmd_api_where where = {NULL, NULL, NULL};
    const char *crashes = NULL;
    bool json = false;
    const struct ox_flag flags[] = {{"api", &where.api, NULL},
                                    {"data", &where.data, NULL},
                                    {"key", &where.key, NULL},
                                    {"crashes", &crashes, NULL},
                                    {"json", NULL, &json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 2) != OX_OK)
        return OX_EXIT_USAGE;
    return run(&where, argc, argv, crashes, json);
}
