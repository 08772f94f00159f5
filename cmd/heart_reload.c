/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_reload.c - the configuration in force: written down for the children, read again when asked.
 *
 * A reload reads the file once more, with the environment and flags of the start. Anything wrong in it, or in what
 * it makes of the values that cannot change now, refuses the whole. Otherwise the keys that need no restart are taken,
 * DIR/config.json says what is in force, the node is told to look there, and the engine is restarted when one of its
 * keys changed. A child that is started later gets the same from its environment.
 *
 * Owns:    DIR/config.json; struct ox__heart's `now`, `origins` and the environment of the children.
 * Threads: the main thread.
 * Fails:   never harmfully: what was in force stays so, and the log and the file say why.
 * Flow:    SIGHUP, or {"event":"reload"} of the node -> here -> DIR/config.json -> {"event":"reload"} to the node.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart_internal.h"
#include "ox/log.h"

#define KEYS_LOGGED 1024

/* One reading of the sources. */
struct reading {
    struct ox_config next;
    uint8_t *origins; /* one per row, as below */
    bool *changed;    /* against what was in force */
    struct ox_config_report report;
    size_t taken, waiting; /* keys that changed: in force now; only after a restart */
    bool engine;           /* one of them is the engine's */
    json_t *list;          /* of the changed keys */
};

static char *
text_of(const struct ox_config_key *row, const struct ox_config *config, bool shown)
{
    struct ox_buf text;
    ox_buf_init(&text);
    ox_config_key_print(row, config, &text);
    if (shown)
        ox_cmd_hide_password(&text);
    ox_buf_append(&text, "", 1);
    char *copy = text.failed ? NULL : strdup((const char *)text.data);
    ox_buf_fini(&text);
    return copy;
}

/* As the children need it. */
static char *
value_text(const struct ox_config_key *row, const struct ox_config *config)
{
    return text_of(row, config, false);
}

/* As it may leave this machine. */
static char *
shown_text(const struct ox_config_key *row, const struct ox_config *config)
{
    return text_of(row, config, true);
}

/* ---- DIR/config.json ---- */

static json_t *
values_json(const struct ox__heart *h)
{
    static const char *const from[] = {"default", "file", "environment", "flag"};
    json_t *values = json_object();
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        char *text = value_text(&ox_config_rows.keys[i], &h->now);
        json_object_set_new(
            values, ox_config_rows.keys[i].key,
            json_pack("{s:s, s:s}", "value", text != NULL ? text : "", "from", from[h->origins[i]]));
        free(text);
    }
    return values;
}

/* reload: take. What the last reload came to; at the start, that there was none. */
static void
write_down(struct ox__heart *h, json_t *reload)
{
    char path[OX_CONFIG_STRING_MAX + 16];
    struct ox_diag diag;
    json_t *o = json_pack("{s:I, s:o, s:o}", "version", (json_int_t)h->config_version, "reload", reload,
                          "values", values_json(h));
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    snprintf(path, sizeof(path), "%s/config.json", h->config->data);
    ox_diag_clear(&diag);
    ox_err err = text != NULL ? ox__file_replace(path, 0600, ox_str_of(text), &diag) : OX_E_NOMEM;
    if (err != OX_OK)
        OX_LOG_ERROR("heart", "the configuration in force is not written down", OX_F_STR("path", path),
                     OX_F_DIAG(&diag));
    free(text);
    json_decref(o);
}

void
ox__config_write(struct ox__heart *h)
{
    write_down(h, json_null());
}

void
ox__config_remove(struct ox__heart *h)
{
    char path[OX_CONFIG_STRING_MAX + 16];
    snprintf(path, sizeof(path), "%s/config.json", h->config->data);
    (void)unlink(path);
}

/* ---- a reload ---- */

static void
list_key(struct reading *r, size_t i, const struct ox_config *before)
{
    const struct ox_config_key *row = &ox_config_rows.keys[i];
    char *old = shown_text(row, before), *new = shown_text(row, &r->next);
    json_array_append_new(r->list, json_pack("{s:s, s:s, s:s, s:s}", "key", row->key, "before",
                                             old != NULL ? old : "", "after", new != NULL ? new : "",
                                             "effect", ox_config_effect_name(row->effect)));
    free(old);
    free(new);
    r->waiting += row->effect == OX_EFFECT_restart;
    r->engine = r->engine || row->effect == OX_EFFECT_engine;
}

/* OK: `merged` is what will be in force. CONFIG: the report says why not. */
static ox_err
read_again(struct ox__heart *h, struct reading *r, struct ox_config *merged)
{
    *merged = h->now;
    if (h->options->sources == NULL)
        return OX_E_STATE;
    ox_err err = ox_config_load(&r->next, h->options->sources, r->origins, &r->report);
    if (err != OX_OK)
        return err;
    r->taken = ox_config_take(merged, &r->next, r->changed);
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        if (r->changed[i])
            list_key(r, i, &h->now);
    }
    err = ox_config_check(merged, &r->report);
    if (err != OX_OK)
        ox_buf_append_cstr(&r->report.text, "these changes fit only together with keys that need a restart: "
                                            "start ObserveX again, or change them apart\n");
    return err;
}

static void
take(struct ox__heart *h, struct reading *r, const struct ox_config *merged)
{
    h->now = *merged;
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        if (ox_config_rows.keys[i].effect != OX_EFFECT_restart)
            h->origins[i] = r->origins[i];
    }
    h->config_version++;
    ox_cmd_set_log_level(&h->now);
    if (ox__heart_env(h) != OX_OK) /* a child that starts later would get the old values */
        OX_LOG_ERROR("heart", "no memory for the environment of the children");
}

static void
say(const struct ox__heart *h, const struct reading *r, const char *outcome)
{
    char keys[KEYS_LOGGED] = "";
    size_t at = 0, i;
    json_t *entry;
    json_array_foreach(r->list, i, entry)
    {
        int n = snprintf(keys + at, sizeof(keys) - at, "%s%s: %s -> %s", at > 0 ? "; " : "",
                         json_string_value(json_object_get(entry, "key")),
                         json_string_value(json_object_get(entry, "before")),
                         json_string_value(json_object_get(entry, "after")));
        at = (size_t)n < sizeof(keys) - at ? at + (size_t)n : sizeof(keys) - 1;
    }
    OX_LOG_INFO("heart", "configuration read again", OX_F_STR("outcome", outcome), OX_F_STR("changed", keys),
                OX_F_U64("in_force", r->taken), OX_F_U64("need_restart", r->waiting),
                OX_F_U64("version", h->config_version));
}

static void
refuse(struct ox__heart *h, const struct reading *r, ox_err err, uint64_t number)
{
    const char *text = r->report.text.len > 0 ? (const char *)r->report.text.data : ox_err_text(err);
    size_t n = r->report.text.len > 0 ? r->report.text.len : strlen(text);
    OX_LOG_ERROR("heart", "configuration read again and refused; nothing has changed",
                 OX_F_STRN("problems", ((struct ox_str){text, n})));
    json_t *problems = json_stringn(text, n);
    write_down(h, json_pack("{s:I, s:s, s:o}", "number", (json_int_t)number, "outcome", "refused", "problems",
                            problems != NULL ? problems : json_string("not printable")));
}

void
ox__heart_reload(struct ox__heart *h, uint64_t number)
{
    struct reading *r = calloc(1, sizeof(*r));
    struct ox_config *merged = calloc(1, sizeof(*merged));
    OX_UNHANDLED(r != NULL && merged != NULL); /* a few KiB */
    r->origins = calloc(ox_config_rows.count, 1);
    r->changed = calloc(ox_config_rows.count, sizeof(*r->changed));
    OX_UNHANDLED(r->origins != NULL && r->changed != NULL);
    r->list = json_array();
    ox_config_report_init(&r->report);
    ox_err err = read_again(h, r, merged);
    if (err != OX_OK) {
        refuse(h, r, err, number);
    } else {
        const char *outcome = r->taken > 0 ? "applied" : "unchanged";
        if (r->taken > 0)
            take(h, r, merged);
        say(h, r, outcome);
        write_down(h, json_pack("{s:I, s:s, s:O}", "number", (json_int_t)number, "outcome", outcome,
                                "changed", r->list));
        if (r->engine)
            ox__child_restart(&h->engine, "its configuration changed", h->config->heart_engine_stop_ms);
    }
    ox__child_send(&h->node, (struct ox_heart_line){.event = OX_HEART_RELOAD, .num = number});
    ox_config_report_fini(&r->report);
    json_decref(r->list);
    free(r->origins);
    free(r->changed);
    free(r);
    free(merged);
}
