/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/config/yaml.c - the configuration file: YAML mappings of scalars, read event by event.
 *
 * libyaml's events and not its documents, because an event carries its line, and a mistake without its line
 * is half a message. Sections nest ("wal: {segment_bytes: 64MiB}") or are dotted ("wal.segment_bytes:
 * 64MiB").
 *
 * Owns:    the parser and the file for the time of a load.
 * Threads: any; a load belongs to one thread.
 * Bounds:  OX_CONFIG_FILE_MAX bytes, DEPTH_MAX nested sections, one document.
 * Fails:   IO (cannot be read), CONFIG (reported, line by line), NOMEM.
 * Flow:    load.c -> here -> ox__config_apply.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "runtime/config/config_internal.h"

#define DEPTH_MAX 4 /* the keys have two levels; more is a mistake that deserves its own sentence */

struct walk {
    struct ox__config_load *load;
    const char *path;
    yaml_parser_t parser;
    char prefix[DEPTH_MAX][OX__CONFIG_KEY_MAX]; /* "wal." of each open section */
    unsigned depth;                             /* open mappings */
    unsigned skip;                              /* > 0: inside something already reported */
    bool have_key;
    char key[OX__CONFIG_KEY_MAX];
    size_t key_line;
};

static void
where_text(const struct walk *w, size_t line, const char *key, char *out, size_t size)
{
    if (key[0] != '\0')
        snprintf(out, size, "%s:%zu: %s", w->path, line, key);
    else
        snprintf(out, size, "%s:%zu", w->path, line);
}

static void
key_name(const struct ox_config_table *table, const struct ox_config_key *row, struct ox_buf *text)
{
    (void)table;
    ox_buf_append_cstr(text, row->key);
}

/* True when `key` is the section of some row: "wal" of "wal.segment_bytes". */
static bool
is_section(const struct ox_config_table *table, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < table->count; i++) {
        if (strncmp(table->keys[i].key, key, n) == 0 && table->keys[i].key[n] == '.')
            return true;
    }
    return false;
}

static void
take_value(struct walk *w, const yaml_event_t *ev)
{
    char where[OX_CONFIG_STRING_MAX];
    if (w->key[0] == '\0')
        return; /* the key itself was the mistake and is reported */
    where_text(w, w->key_line, w->key, where, sizeof(where));
    const struct ox_config_key *row = ox_config_table_find(w->load->table, w->key);
    struct ox_str value = {(const char *)ev->data.scalar.value, ev->data.scalar.length};
    if (row == NULL) {
        if (is_section(w->load->table, w->key))
            ox__config_problem(w->load->report, where, "is a section; its keys go below it, indented");
        else
            ox__config_unknown(w->load, where, ox_str_of(w->key), key_name);
        return;
    }
    uint32_t *line = &w->load->lines[ox__config_index(w->load->table, row)];
    if (*line != 0) {
        ox__config_problem(w->load->report, where, "already set in line %u; keep one of the two", *line);
        return;
    }
    *line = (uint32_t)w->key_line;
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (value.n == 0 || ox_str_eq(value, OX_STR("~")) || ox_str_eq(value, OX_STR("null")))) {
        ox__config_problem(w->load->report, where, "has no value; leave the line out to use the default (%s)",
                           row->def[0] != '\0' ? row->def : "empty");
        return;
    }
    ox__config_apply(w->load, row, value, OX_ORIGIN_FILE, where);
}

static void
take_key(struct walk *w, const yaml_event_t *ev)
{
    const char *prefix = w->prefix[w->depth - 1];
    w->key_line = ev->start_mark.line + 1;
    snprintf(w->key, sizeof(w->key), "%s%.*s", prefix,
             (int)(ev->data.scalar.length < 90 ? ev->data.scalar.length : 90),
             (const char *)ev->data.scalar.value);
    w->have_key = true;
    if (ev->data.scalar.length == 0) {
        char where[OX_CONFIG_STRING_MAX];
        where_text(w, w->key_line, "", where, sizeof(where));
        ox__config_problem(w->load->report, where, "a key is missing before the colon");
        w->key[0] = '\0';
    }
}

static void
on_scalar(struct walk *w, const yaml_event_t *ev)
{
    if (w->skip > 0)
        return;
    if (w->depth == 0) {
        char where[OX_CONFIG_STRING_MAX];
        where_text(w, ev->start_mark.line + 1, "", where, sizeof(where));
        if (ev->data.scalar.length > 0)
            ox__config_problem(w->load->report, where,
                               "keys with values are expected, such as `mode: development`");
    } else if (!w->have_key) {
        take_key(w, ev);
    } else {
        take_value(w, ev);
        w->have_key = false;
    }
}

/* A mapping begins: the file itself, or a section under the key just read. */
static void
on_mapping(struct walk *w, const yaml_event_t *ev)
{
    char where[OX_CONFIG_STRING_MAX];
    if (w->skip > 0) {
        w->skip++;
        return;
    }
    where_text(w, ev->start_mark.line + 1, w->have_key ? w->key : "", where, sizeof(where));
    if (w->depth == 0) {
        w->prefix[w->depth++][0] = '\0';
        return;
    }
    if (w->have_key && is_section(w->load->table, w->key) && w->depth < DEPTH_MAX) {
        snprintf(w->prefix[w->depth++], OX__CONFIG_KEY_MAX, "%.*s.", OX__CONFIG_KEY_MAX - 2, w->key);
        w->have_key = false;
        return;
    }
    if (w->have_key && ox_config_table_find(w->load->table, w->key) != NULL)
        ox__config_problem(w->load->report, where, "takes one value, not a section of keys");
    else if (w->have_key)
        ox__config_unknown(w->load, where, ox_str_of(w->key), key_name);
    else
        ox__config_problem(w->load->report, where, "a section cannot be a key");
    w->skip = 1;
}

static void
on_sequence(struct walk *w, const yaml_event_t *ev)
{
    char where[OX_CONFIG_STRING_MAX];
    if (w->skip++ > 0)
        return;
    where_text(w, ev->start_mark.line + 1, w->have_key ? w->key : "", where, sizeof(where));
    ox__config_problem(w->load->report, where, "a list is not expected here; every key takes one value");
}

/* A mapping or sequence ends. */
static void
on_end(struct walk *w)
{
    if (w->skip == 0) {
        w->depth--;
        w->have_key = false;
        return;
    }
    if (--w->skip > 0)
        return;
    if (!w->have_key)
        w->key[0] = '\0'; /* what was skipped stood in the place of a key */
    w->have_key = !w->have_key && w->depth > 0;
}

static void
on_alias(struct walk *w, const yaml_event_t *ev)
{
    char where[OX_CONFIG_STRING_MAX];
    if (w->skip > 0)
        return;
    where_text(w, ev->start_mark.line + 1, w->have_key ? w->key : "", where, sizeof(where));
    ox__config_problem(w->load->report, where, "aliases (*name) are not supported; write the value out");
    w->have_key = !w->have_key;
}

static void
on_event(struct walk *w, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        on_scalar(w, ev);
        break;
    case YAML_MAPPING_START_EVENT:
        on_mapping(w, ev);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_sequence(w, ev);
        break;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        on_end(w);
        break;
    case YAML_ALIAS_EVENT:
        on_alias(w, ev);
        break;
    default:
        break;
    }
}

static void
syntax_problem(struct walk *w)
{
    char where[OX_CONFIG_STRING_MAX];
    where_text(w, w->parser.problem_mark.line + 1, "", where, sizeof(where));
    ox__config_problem(w->load->report, where, "not valid YAML: %s%s%s (column %zu)",
                       w->parser.problem != NULL ? w->parser.problem : "unreadable",
                       w->parser.context ? ", " : "", w->parser.context != NULL ? w->parser.context : "",
                       w->parser.problem_mark.column + 1);
}

/* All events of the file; stops at its end or at the first syntax error, behind which lines mean nothing. */
static void
walk_events(struct walk *w)
{
    unsigned documents = 0;
    for (bool more = true; more;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&w->parser, &ev)) {
            syntax_problem(w);
            return;
        }
        if (ev.type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            char where[OX_CONFIG_STRING_MAX];
            where_text(w, ev.start_mark.line + 1, "", where, sizeof(where));
            ox__config_problem(w->load->report, where, "a second document (---) begins here; one is read");
            more = false;
        } else {
            on_event(w, &ev);
            more = ev.type != YAML_STREAM_END_EVENT;
        }
        yaml_event_delete(&ev);
    }
}

static ox_err
parse_text(struct ox__config_load *load, const char *path, const struct ox_buf *text)
{
    struct walk *w = calloc(1, sizeof(*w));
    if (w == NULL || !yaml_parser_initialize(&w->parser)) {
        free(w);
        return OX_E_NOMEM;
    }
    w->load = load;
    w->path = path;
    yaml_parser_set_input_string(&w->parser, text->data, text->len);
    walk_events(w);
    yaml_parser_delete(&w->parser);
    free(w);
    return OX_OK;
}

/* The start reads its file once, before there is a runtime, a simulation or a disk seam to go through. */
static ox_err
read_all(const char *path, struct ox_buf *text, struct ox_config_report *report)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        ox__config_problem(report, path, "cannot be opened: %s", strerror(errno));
        return OX_E_CONFIG;
    }
    size_t got = 0;
    do {
        uint8_t *room = ox_buf_reserve(text, 4096);
        got = room != NULL ? fread(room, 1, 4096, f) : 0;
        text->len += got;
    } while (got > 0 && text->len <= OX_CONFIG_FILE_MAX);
    bool failed = ferror(f) != 0;
    int why = errno;
    fclose(f);
    if (failed) {
        ox__config_problem(report, path, "cannot be read: %s", strerror(why));
        return OX_E_CONFIG;
    }
    if (text->len > OX_CONFIG_FILE_MAX) {
        ox__config_problem(report, path, "larger than %u bytes; this is not a configuration",
                           OX_CONFIG_FILE_MAX);
        return OX_E_CONFIG;
    }
    return text->failed ? OX_E_NOMEM : OX_OK;
}

ox_err
ox__config_load_file(struct ox__config_load *load, const char *path)
{
    struct ox_buf text;
    ox_buf_init(&text);
    ox_err err = read_all(path, &text, load->report);
    if (err == OX_OK)
        err = parse_text(load, path, &text);
    ox_buf_fini(&text);
    return err;
}
