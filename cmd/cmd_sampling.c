/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_sampling.c - `observex sampling check FILE`: what is wrong with rules of sampling, and what they say.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   OX_EXIT_USAGE when the file has mistakes, OX_EXIT_FAILED when it cannot be read.
 */
#include <errno.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "ox/sampling.h"
#include "ox/yaml_tree.h"

static ox_err
read_file(const char *path, struct ox_buf *text)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        ox_complain("%s cannot be opened: %s", path, strerror(errno));
        return OX_E_IO;
    }
    uint8_t *to = ox_buf_reserve(text, OX_YAML_BYTES_MAX + 1); /* one more, so that too many are seen */
    text->len = to != NULL ? fread(to, 1, OX_YAML_BYTES_MAX + 1, f) : 0;
    bool bad = ferror(f) != 0 || text->failed;
    fclose(f);
    if (bad)
        ox_complain("%s cannot be read", path);
    return bad ? OX_E_IO : OX_OK;
}

static void
say(const char *path, const struct ox_sampling_set *set)
{
    static const struct ox_tenant_id nobody = {.name = ""};
    const struct ox_sampling *rules = ox_sampling_of(set, &nobody);
    struct ox_sampling_needs needs = ox_sampling_needs(rules);
    char budget[64] = "no budget";
    if (needs.budget_per_s > 0)
        snprintf(budget, sizeof(budget), "a budget of %g spans/s", needs.budget_per_s);
    printf("%s: correct\n%u tenants have rules of their own; for all others there are %u, %s%s\n", path,
           ox_sampling_tenants(set), ox_sampling_rules(rules), budget,
           ox_sampling_can_drop(rules) ? "" : ", and everything is kept");
}

static int
check(const char *path)
{
    struct ox_config_report report;
    struct ox_sampling_set *set = NULL;
    struct ox_buf text = {0};
    if (read_file(path, &text) != OX_OK) {
        ox_buf_fini(&text);
        return OX_EXIT_FAILED;
    }
    ox_config_report_init(&report);
    ox_err err = ox_sampling_read(ox_buf_str(&text), path, &set, &report);
    if (err == OX_OK)
        say(path, set);
    else if (err == OX_E_CONFIG)
        fprintf(stderr, "%.*s", (int)report.text.len,
                report.text.data != NULL ? (const char *)report.text.data : "");
    else
        ox_complain("%s: %s", path, ox_err_text(err));
    ox_sampling_free(set);
    ox_config_report_fini(&report);
    ox_buf_fini(&text);
    return err == OX_OK ? OX_EXIT_OK : err == OX_E_CONFIG ? OX_EXIT_USAGE : OX_EXIT_FAILED;
}

int
ox_cmd_sampling(int argc, char **argv)
{
    if (ox_flags_take_all(&argc, argv, NULL, 0, 2) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc != 3 || strcmp(argv[1], "check") != 0)
        return ox_complain_usage("sampling", "sampling needs `check` and the name of one file");
    return check(argv[2]);
}
