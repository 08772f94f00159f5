/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_debug.c - `observex debug tree`: the supervision tree of the running node, as a drawing.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  DEPTH_MAX levels.
 * Fails:   OX_EXIT_FAILED when nothing answers.
 *
 * With --specs it prints what the child specs say and nothing that changes while the node runs: that is the drawing in
 * docs/supervision.md, which tests/integration/supervision_test.c compares.
 */
#include <jansson.h>
#include <stdio.h>

#include "cmd/api_client.h"
#include "cmd/cmd.h"
#include "cmd/text.h"

#define DEPTH_MAX 8

static bool specs_only;

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
print_spec(const json_t *child)
{
    long long ms = number_of(child, "shutdown_ms");
    printf("%s, counts crashes %s, then ", text_of(child, "restart"), text_of(child, "crashes_count"));
    printf("%s; ", strcmp(text_of(child, "past_intensity"), "escalate") == 0 ? "the supervisor gives up"
                                                                             : "quarantine");
    if (ms == 0)
        printf("killed at once");
    else
        printf("%lld s to stop", ms / 1000);
}

static void
print_state(const json_t *child)
{
    const json_t *mailbox = json_object_get(child, "mailbox");
    printf("%s, %lld restarts, %lld crashes", text_of(child, "state"), number_of(child, "restarts"),
           number_of(child, "crashes"));
    if (mailbox != NULL)
        printf(", %lld messages waiting", number_of(mailbox, "messages"));
}

static void
print_children(const json_t *sup, char *indent, int depth)
{
    const json_t *list = json_object_get(sup, "children"), *child;
    size_t i, n = json_array_size(list), at = strlen(indent);
    if (depth == DEPTH_MAX)
        return;
    json_array_foreach(list, i, child)
    {
        bool last = i + 1 == n;
        int width = 28 - (int)at;
        printf("%s%s %-*s ", indent, last ? "`-" : "|-", width > 1 ? width : 1, text_of(child, "id"));
        if (specs_only)
            print_spec(child);
        else
            print_state(child);
        fputc('\n', stdout);
        if (json_object_get(child, "children") != NULL) {
            strcpy(indent + at, last ? "   " : "|  ");
            print_children(child, indent, depth + 1);
            indent[at] = '\0';
        }
    }
    if (json_is_true(json_object_get(sup, "truncated")))
        printf("%s   (and more)\n", indent);
}

static void
print_tree(const json_t *tree)
{
    char indent[3 * DEPTH_MAX + 4] = "";
    const json_t *backoff = json_object_get(tree, "backoff_ms");
    printf("%s  one for one; %lld restarts in %lld s; waits %lld ms, doubling to %lld s\n",
           text_of(tree, "supervisor"), number_of(tree, "max_restarts"), number_of(tree, "window_ms") / 1000,
           (long long)json_integer_value(json_array_get(backoff, 0)),
           (long long)json_integer_value(json_array_get(backoff, 1)) / 1000);
    print_children(tree, indent, 0);
}

/* "http://127.0.0.1:6066", from DIR/ready.json unless it is named. */
static ox_err
find_debug(const char *debug, const char *data, char *out, size_t size, struct ox_diag *diag)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/ready.json", data != NULL ? data : "./observex-data");
    json_t *ready = debug == NULL ? json_load_file(path, 0, NULL) : NULL;
    const char *address = debug != NULL ? debug : json_string_value(json_object_get(ready, "debug"));
    bool known = address != NULL && address[0] != '\0';
    if (known)
        snprintf(out, size, "%s%s", strstr(address, "://") != NULL ? "" : "http://", address);
    json_decref(ready);
    return known ? OX_OK
                 : ox_diag_set(diag, OX_E_NOT_FOUND, NULL, -1,
                               "no debug port is known (%s does not name one): use --debug URL", path);
}

int
ox_cmd_debug(int argc, char **argv)
{
    const char *debug = NULL, *data = NULL;
    bool json = false;
    char base[512];
    struct ox_diag diag;
    struct ox_buf body;
    json_t *tree = NULL;
    const struct ox_flag flags[] = {
        {"debug", &debug, NULL}, {"data", &data, NULL}, {"json", NULL, &json}, {"specs", NULL, &specs_only}};
    ox_diag_clear(&diag);
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 1) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc != 2 || strcmp(argv[1], "tree") != 0)
        return ox_complain_usage("debug", "say tree");
    ox_buf_init(&body);
    ox_err err = find_debug(debug, data, base, sizeof(base), &diag);
    if (err == OX_OK)
        err = cmd_api_json(base, "/debug/actors", NULL, &body, &tree, &diag);
    if (err == OX_OK && json)
        printf("%.*s\n", (int)body.len, (const char *)body.data);
    else if (err == OX_OK)
        print_tree(tree);
    json_decref(tree);
    ox_buf_fini(&body);
    return err == OX_OK ? OX_EXIT_OK : ox_complain("%s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
}
