/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/journal_entry.c - what an entry of a journal says, for people.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  one payload.
 * Fails:   NULL for a payload that is not understood.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cmd/journal.h"
#include "ox/clock.h"
#include "ox/outbox_entry.h"
#include "ox/schema.h"
#include "ox/wal_entry.h"

void
journal_time(int64_t ns, char *out, size_t size)
{
    char full[OX_RFC3339_LEN + 1];
    if (ns > 0)
        ox_clock_rfc3339((uint64_t)ns, full);
    snprintf(out, size, "%s", ns > 0 ? full : "-");
}

static json_t *
describe_request(struct ox_str payload, struct ox_diag *diag)
{
    struct ox_wal_entry e;
    if (ox_wal_entry_decode(payload, &e, diag) != OX_OK)
        return NULL;
    json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I}", "tenant", e.tenant.name, "signal",
                          ox_signal_name(e.signal), "records", (json_int_t)e.n_records, "rejected",
                          (json_int_t)ox_ranges_count(&e.rejected, 0, e.n_records), "policy_version",
                          (json_int_t)e.policy_version, "body_bytes", (json_int_t)e.body.n);
    ox_wal_entry_fini(&e);
    return o;
}

static json_t *
describe_blocks(const struct ox_outbox_entry *e)
{
    json_t *blocks = json_array();
    for (uint32_t i = 0; i < e->n_blocks; i++) {
        const struct ox_outbox_block *b = &e->blocks[i];
        char id[17];
        snprintf(id, sizeof(id), "%016" PRIx64, b->block_id);
        const char *table = b->table < OX_TABLE__COUNT ? ox_table_name((enum ox_table)b->table) : "unknown";
        (void)json_array_append_new(blocks,
                                    json_pack("{s:s,s:I,s:s,s:I,s:I}", "table", table, "rows",
                                              (json_int_t)b->rows, "block_id", id, "partition",
                                              (json_int_t)b->partition, "bytes", (json_int_t)b->bytes.n));
    }
    return blocks;
}

static json_t *
describe_outbox(struct ox_str payload, struct ox_diag *diag)
{
    struct ox_outbox_entry e;
    uint64_t records = 0, from = 0, to = 0;
    if (ox_outbox_entry_decode(payload, &e, diag) != OX_OK)
        return NULL;
    for (uint32_t i = 0; i < e.n_dispositions; i++) {
        const struct ox_outbox_disposition *d = &e.dispositions[i];
        records += d->to - d->from;
        from = from == 0 || d->wal_seq < from ? d->wal_seq : from;
        to = d->wal_seq > to ? d->wal_seq : to;
    }
    json_t *o =
        json_pack("{s:s,s:o,s:I,s:I,s:I,s:I}", "entry", e.kind == OX_OUTBOX_BLOCKS ? "blocks" : "stored",
                  "blocks", describe_blocks(&e), "disposed_records", (json_int_t)records, "wal_from",
                  (json_int_t)from, "wal_to", (json_int_t)to, "stored", (json_int_t)e.n_stored);
    ox_outbox_entry_fini(&e);
    return o;
}

json_t *
journal_describe(enum ox_journal_kind kind, struct ox_str payload, struct ox_diag *diag)
{
    if (kind == OX_JOURNAL_WAL)
        return describe_request(payload, diag);
    if (kind == OX_JOURNAL_OUTBOX)
        return describe_outbox(payload, diag);
    /* Other journals have payloads of their own; what they hold is at least counted. */
    return json_pack("{s:I}", "payload_bytes", (json_int_t)payload.n);
}

static void
block_words(const json_t *o, char *out, size_t size)
{
    const json_t *blocks = json_object_get(o, "blocks");
    size_t n = json_array_size(blocks), used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && used + 48 < size; i++) {
        const json_t *b = json_array_get(blocks, i);
        used += (size_t)snprintf(out + used, size - used, "%s%s %lld rows", i > 0 ? ", " : "",
                                 json_string_value(json_object_get(b, "table")),
                                 (long long)json_integer_value(json_object_get(b, "rows")));
    }
    snprintf(out + used, size - used, "%s%lld records of the log", n > 0 ? "; " : "",
             (long long)json_integer_value(json_object_get(o, "disposed_records")));
}

void
journal_words(const json_t *o, char *out, size_t size)
{
    const char *tenant = json_string_value(json_object_get(o, "tenant"));
    const char *entry = json_string_value(json_object_get(o, "entry"));
    if (tenant != NULL)
        snprintf(out, size, "tenant %s, %s, %lld records", tenant,
                 json_string_value(json_object_get(o, "signal")),
                 (long long)json_integer_value(json_object_get(o, "records")));
    else if (entry != NULL && strcmp(entry, "blocks") == 0)
        block_words(o, out, size);
    else if (entry != NULL)
        snprintf(out, size, "%lld blocks stored",
                 (long long)json_integer_value(json_object_get(o, "stored")));
    else
        snprintf(out, size, "%lld bytes", (long long)json_integer_value(json_object_get(o, "payload_bytes")));
}
