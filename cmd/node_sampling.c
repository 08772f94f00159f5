/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_sampling.c - the rules of sampling in force: read at the start and at each reload.
 *
 * Owns:    every set of rules that was in force, until the end: a tenant's actor may hold any of them.
 * Threads: main, and the reader of a reload.
 * Bounds:  files of OX_YAML_BYTES_MAX.
 * Fails:   CONFIG at the start; at a reload the rules before stay, which is said.
 * Flow:    sampling.file -> here -> actors/sampler/sampler.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/node_internal.h"
#include "ox/log.h"
#include "ox/sampling.h"
#include "ox/yaml_tree.h"

struct kept {
    struct kept *next;
    struct ox_sampling_set *set;
};
static struct kept *all;

static ox_err
read_file(const char *path, struct ox_buf *out, struct ox_diag *diag)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return ox_diag_set(diag, OX_E_CONFIG, "sampling.file", -1, "%.200s cannot be opened: %s", path,
                           strerror(errno));
    uint8_t *to = ox_buf_reserve(out, OX_YAML_BYTES_MAX + 1); /* one more, so that too many are seen */
    out->len = to != NULL ? fread(to, 1, OX_YAML_BYTES_MAX + 1, f) : 0;
    bool bad = ferror(f) != 0 || out->failed;
    fclose(f);
    return bad ? ox_diag_set(diag, OX_E_CONFIG, "sampling.file", -1, "%.200s cannot be read", path) : OX_OK;
}

/* The first mistake of the report; `observex sampling check` shows all. */
static ox_err
parse(const char *path, struct ox_sampling_set **out, struct ox_diag *diag)
{
    struct ox_config_report report;
    struct ox_buf text = {0};
    ox_err err = read_file(path, &text, diag);
    ox_config_report_init(&report);
    if (err == OX_OK) {
        err = ox_sampling_read(ox_buf_str(&text), path, out, &report);
        const char *said = report.text.data != NULL ? (const char *)report.text.data : "";
        size_t n = strcspn(said, "\n");
        if (err == OX_E_CONFIG)
            ox_diag_set(diag, err, "sampling.file", -1, "%.*s (`observex sampling check %.200s` shows all)",
                        (int)(n < 400 ? n : 400), said, path);
    }
    ox_config_report_fini(&report);
    ox_buf_fini(&text);
    return err;
}

static ox_err
load(struct node_main *m, const struct ox_config *cfg, struct ox_diag *diag)
{
    struct ox_sampling_set *set = NULL;
    ox_err err = cfg->sampling_file[0] != '\0' ? parse(cfg->sampling_file, &set, diag) : OX_OK;
    /* Tenants whose traces wait look for new rules; none at all would leave them waiting by the old ones. */
    if (err == OX_OK && set == NULL && all != NULL && (set = ox_sampling_default()) == NULL)
        err = OX_E_NOMEM;
    struct kept *k = err == OX_OK && set != NULL ? calloc(1, sizeof(*k)) : NULL;
    if (k == NULL) {
        ox_sampling_free(set);
        return err != OX_OK || set == NULL ? err : OX_E_NOMEM;
    }
    *k = (struct kept){all, set};
    all = k;
    /* release: whoever sees the rules sees what is in them */
    atomic_store_explicit(&m->node.sampling, set, memory_order_release);
    return OX_OK;
}

ox_err
node_sampling_open(struct node_main *m, struct ox_diag *diag)
{
    return load(m, &m->config, diag);
}

void
node_sampling_reload(struct node_main *m, const struct ox_config *cfg)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (load(m, cfg, &diag) != OX_OK)
        OX_LOG_ERROR("sampling", "the new rules of sampling cannot be used; those before hold",
                     OX_F_DIAG(&diag));
}

void
node_sampling_close(struct node_main *m)
{
    atomic_store_explicit(&m->node.sampling, NULL, memory_order_relaxed);
    while (all != NULL) {
        struct kept *k = all;
        all = k->next;
        ox_sampling_free(k->set);
        free(k);
    }
}
