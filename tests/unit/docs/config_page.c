/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/docs/config_page.c - docs/configuration.md must say what include/ox/tbl/config.h says.
 */
#include <string.h>

#include "ox/config.h"
#include "page.h"

static const char head[] =
    "# Configuration\n\n"
    "Generated from `include/ox/tbl/config.h`; `observex config list` prints the same.\n\n"
    "Each key has a default, which the configuration file (`--config FILE` or `OBSERVE_X_CONFIG`, YAML)\n"
    "overrides, which the environment overrides, which a flag overrides. In the file the part of a key "
    "before\n"
    "the dot is a section:\n\n"
    "```yaml\n"
    "listen:\n"
    "  otlp_http: 0.0.0.0:4318\n"
    "log:\n"
    "  level: warn\n"
    "```\n\n"
    "`observex config check FILE` names the line of every mistake and what is allowed there, and\n"
    "`observex config show` prints what is in force and where each value came from. A key that does not "
    "exist\n"
    "and a value out of bounds stop the start. Durations are written `250ms`, `5s`, `1m30s`, `24h`, `7d`; "
    "sizes\n"
    "`64MiB`, `10MB`, `4096`. Bounds of a string are those of its length.\n\n"
    "While ObserveX runs, `observex config reload`, SIGHUP or `POST /api/v1/config/reload` reads file,\n"
    "environment and flags again (`docs/operations.md`). A changed key takes effect\n\n"
    "- `live`: at once, without dropping a connection or a record;\n"
    "- `engine`: at once, by a restart of the embedded engine alone: ingest goes on, questions wait a "
    "moment;\n"
    "- `restart`: when ObserveX is started again; until then the old value stays in force.\n";

/* The part of a key before its dot; of a key without one, nothing. */
static struct ox_str
section_of(const char *key)
{
    const char *dot = strchr(key, '.');
    return (struct ox_str){key, dot != NULL ? (size_t)(dot - key) : 0};
}

static void
put(struct ox_buf *page, const char *text)
{
    ox_buf_append(page, text, strlen(text));
}

/* A '|' would end the cell. */
static void
put_cell(struct ox_buf *page, const char *text)
{
    for (; *text != '\0'; text++)
        put(page, *text == '|' ? "\\|" : (char[]){*text, '\0'});
}

static void
put_allowed(struct ox_buf *page, const struct ox_config_key *row)
{
    if (row->type == OX_CONFIG_enum) {
        put_cell(page, row->unit);
        return;
    }
    put(page, ox_config_type_name(row->type));
    if (row->min[0] != '\0' && row->max[0] != '\0')
        put(page, ", "), put(page, row->min), put(page, " to "), put(page, row->max);
    else if (row->min[0] != '\0')
        put(page, ", at least "), put(page, row->min);
    else if (row->max[0] != '\0')
        put(page, ", at most "), put(page, row->max);
}

static void
put_row(struct ox_buf *page, const struct ox_config_key *row)
{
    put(page, "| `");
    put(page, row->key);
    put(page, row->def[0] != '\0' ? "` | `" : "` | ");
    put(page, row->def);
    put(page, row->def[0] != '\0' ? "` | " : "| ");
    put_allowed(page, row);
    put(page, " | ");
    put_cell(page, row->text);
    put(page, " | ");
    put(page, ox_config_effect_name(row->effect));
    put(page, " | `");
    ox_config_key_env(&ox_config_rows, row, page);
    put(page, "` `");
    ox_config_key_flag(row, page);
    put(page, "` |\n");
}

static void
put_section(struct ox_buf *page, struct ox_str section)
{
    put(page, "\n## ");
    if (section.n > 0)
        ox_buf_append(page, section.p, section.n);
    else
        put(page, "At the top of the file");
    put(page, "\n\n| key | default | allowed | meaning | takes effect | environment and flag "
              "|\n|---|---|---|---|---|---|\n");
}

int
main(int argc, char **argv)
{
    struct ox_buf page;
    struct ox_str last = {NULL, SIZE_MAX};
    ox_buf_init(&page);
    put(&page, head);
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        const struct ox_config_key *row = &ox_config_rows.keys[i];
        struct ox_str section = section_of(row->key);
        if (last.n == SIZE_MAX || !ox_str_eq(section, last))
            put_section(&page, section);
        put_row(&page, row);
        last = section;
    }
    return page_main(argc, argv, &page, "config_page");
}
