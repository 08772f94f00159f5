/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    no text of rules does harm: either it is refused with a line that says why, or its rules decide, with a probability
 *          that is one and a threshold that fits it.
 * Method:  the input is the file. Rules that are taken are asked of a span and of traces that match nothing, and everything.
 */
#include <stdlib.h>

#include "ox/sampling.h"
#include "ox/tracestate.h"

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static void
ask(const struct ox_sampling *rules)
{
    struct ox_attr attr = ox_attr_of(OX_STR("c"), (struct ox_any){.type = OX_ANY_INT, .i = 1});
    struct ox_resource resource = {.service_name = OX_STR("a"), .attrs = {0, 1}};
    struct ox_scope scope = {0};
    struct ox_span span = {.name = OX_STR("b"), .attrs = {0, 1}, .start_ns = 1, .end_ns = 9};
    struct ox_batch batch = {.attrs = &attr, .resources = &resource, .scopes = &scope};
    struct ox_sampling_trace t = {.spans = 1, .facts = OX_SAMPLING_UNKNOWN};
    struct ox_sampling_verdict v;
    for (int i = 0; i < 3; i++) {
        t.any = t.root = i == 0 ? 0 : i == 1 ? UINT64_MAX : ox_sampling_clauses(rules, &batch, &span, false);
        ox_sampling_decide(rules, &t, 0.5, &v);
        must(v.p >= 0 && v.p <= 1 && v.threshold <= OX_THRESHOLD_NEVER && v.winner < OX_WON__COUNT);
        must((v.threshold == OX_THRESHOLD_NEVER) == (v.p == 0));
        must(v.winner != OX_WON_KEEP || ox_sampling_rule_name(rules, v.rule)[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ox_tenant_id acme = {.name = "acme"}, other = {.name = "other"};
    struct ox_config_report report;
    struct ox_sampling_set *set;
    char *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        return 0;
    memcpy(exact, data, size);
    ox_config_report_init(&report);
    ox_err err = ox_sampling_read((struct ox_str){exact, size}, "f", &set, &report);
    free(exact);
    if (err == OX_OK) {
        ask(ox_sampling_of(set, &acme));
        ask(ox_sampling_of(set, &other));
    } else {
        must(set == NULL && (err == OX_E_NOMEM || (report.problems > 0 && report.text.len > 0)));
    }
    ox_sampling_free(set);
    ox_config_report_fini(&report);
    return 0;
}
