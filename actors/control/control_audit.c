/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_audit.c - what an asker may see of the audit log.
 *
 * Owns:    nothing.
 * Threads: query threads; reads files.
 * Bounds:  OX_CONTROL_PAGE_MAX lines of one answer, SCAN_MAX lines looked at for it.
 * Fails:   see include/ox/control_api.h; IO.
 * Flow:    control_api.c -> here -> actors/warden/audit_read.c.
 *
 * An admin sees what was done to his own tenant, without the hashes: they depend on what others did.
 */
#include <stdio.h>

#include "actors/control/control_call.h"

#define SCAN_MAX 20000

struct page {
    const char *tenant; /* NULL: of all */
    bool hashes;
    uint64_t after;
    size_t room, looked_at;
    uint64_t last; /* line that was looked at */
    bool more;
    json_t *entries;
};

static bool
is_of(const json_t *entry, const char *tenant)
{
    const char *of = json_string_value(json_object_get(entry, "tenant"));
    return tenant == NULL || (of != NULL && strcmp(of, tenant) == 0);
}

static bool
take(void *arg, const struct ox_audit_line *line)
{
    struct page *p = arg;
    if (line->seq == 0 || line->seq <= p->after)
        return true;
    p->more = p->room == 0 || p->looked_at == SCAN_MAX;
    if (p->more)
        return false;
    p->looked_at++;
    p->last = line->seq;
    json_t *entry = json_loadb(line->text.p, line->text.n, 0, NULL);
    if (entry == NULL || !is_of(entry, p->tenant)) {
        json_decref(entry);
        return true;
    }
    if (!p->hashes) {
        json_object_del(entry, "prev");
        json_object_del(entry, "unchained");
        json_object_del(entry, "hash");
    }
    p->room--;
    return json_array_append_new(p->entries, entry) == 0;
}

static ox_err
read_after(struct ox__control_call *c, uint64_t *out)
{
    struct ox_str text = ox__control_param(c, "after");
    *out = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || i == 18)
            return ox__control_invalid(c, "after", "is the `next` of the answer before");
        *out = *out * 10 + (uint64_t)(text.p[i] - '0');
    }
    return OX_OK;
}

static ox_err
respond(struct ox__control_call *c, struct page *p)
{
    struct ox_audit_report report;
    const struct ox_audit_known known = {.behind = p->after, .each = take, .arg = p};
    p->entries = json_array();
    if (p->entries == NULL)
        return OX_E_NOMEM;
    ox_err err = ox_audit_read_own(c->api->audit, &known, &report, &c->diag);
    if (err == OX_OK || err == OX_E_NOT_FOUND) /* nothing was ordered yet */
        err = ox__control_respond(
            c, 200,
            json_pack("{s:O, s:o}", "entries", p->entries, "next",
                      p->more ? json_sprintf("%llu", (unsigned long long)p->last) : json_null()));
    json_decref(p->entries);
    return err;
}

ox_err
ox__control_audit_list(struct ox__control_call *c)
{
    struct ox_tenant_id tenant;
    struct ox_str name = ox__control_param(c, "tenant");
    bool all = name.n == 0 && ox__control_is_operator(c);
    struct page page = {.tenant = all ? NULL : tenant.name, .hashes = ox__control_is_operator(c)};
    ox_err err = all ? OX_OK : ox__control_read_tenant(c, name, &tenant);
    if (err == OX_OK)
        err = read_after(c, &page.after);
    if (err == OX_OK)
        err = ox__control_read_limit(c, &page.room);
    return err == OX_OK ? respond(c, &page) : err;
}
