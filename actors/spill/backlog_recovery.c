/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/backlog_recovery.c - what the tenants' backlogs hold at a start, and which copies are still incomplete.
 *
 * Owns:    rec->backlogs while it is being built.
 * Threads: one; blocking.
 * Bounds:  the size of the backlogs on disk; in memory only what is incomplete.
 * Fails:   IO, DISK_FULL, NOMEM when a backlog cannot be opened at all. Damage is reported and passed over.
 * Flow:    actors/wal/recovery.c -> here -> actors/wal/wal_divert.c.
 *
 * The windows of a crash, in the order of an entry's life:
 *   - before its copy is durable: the log owes it, nothing is here.
 *   - the copy is durable, the outbox does not call it moved: the copy is completed. The log's entry is taken from the
 *     replay and becomes `pending`; the wal actor has the outbox note it. So a copy, once durable, is never given up
 *     for the original, and there is no such thing as an invalid copy that somebody might count later.
 *   - moved: the log may forget it, the copy is the record.
 *   - appended to the log again, no note yet: the log's entry names its sequence here; the log segment is kept until a
 *     note is durable. What is consumed is the larger of the two.
 *   - noted: it is not looked at again, its segment goes.
 * Entries are consumed strictly in order, so one number says it all.
 */
#include "actors/spill/backlog_recovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "ox/log.h"

static ox_err
grow(void *items, size_t *cap, size_t n, size_t size)
{
    void **at = items;
    if (n < *cap)
        return OX_OK;
    size_t next = *cap != 0 ? *cap * 2 : 16;
    void *more = realloc(*at, next * size);
    if (more == NULL)
        return OX_E_NOMEM;
    *at = more;
    *cap = next;
    return OX_OK;
}

/* The account of a tenant, made when it is new. Neighbours in the log often belong to one tenant: looked at from the
 * end, and what is found stays where it is. */
static ox_err
account_of(struct ox_recovery *rec, const struct ox_tenant_id *tenant, struct ox_recovered_backlog **out)
{
    for (size_t i = rec->n_backlogs; i > 0; i--) {
        *out = &rec->backlogs[i - 1];
        if (strcmp((*out)->tenant.name, tenant->name) == 0)
            return OX_OK;
    }
    ox_err err = grow(&rec->backlogs, &rec->cap_backlogs, rec->n_backlogs, sizeof(*rec->backlogs));
    if (err != OX_OK)
        return err;
    *out = &rec->backlogs[rec->n_backlogs++];
    **out = (struct ox_recovered_backlog){.tenant = *tenant};
    return OX_OK;
}

ox_err
ox__backlog_origin(struct ox_recovery *rec, const struct ox_wal_entry *entry)
{
    struct ox_recovered_backlog *b;
    if (entry->origin == OX_WAL_ORIGIN_NONE)
        return OX_OK;
    ox_err err = account_of(rec, &entry->tenant, &b);
    if (err == OX_OK && b->consumed[entry->origin] < entry->origin_seq)
        b->consumed[entry->origin] = entry->origin_seq;
    return err;
}

static void
take_note(struct ox_recovered_backlog *b, const struct ox_backlog_entry *entry)
{
    for (int o = OX_WAL_ORIGIN_NONE + 1; o < OX_WAL_ORIGIN__COUNT; o++) {
        if (b->noted[o] < entry->consumed[o])
            b->noted[o] = entry->consumed[o];
    }
}

static uint64_t
count(const struct ox_ranges *ranges)
{
    const struct ox_range *r = ox_ranges_at(ranges);
    uint64_t n = 0;
    for (uint32_t i = 0; i < ranges->n; i++)
        n += r[i].to - r[i].from;
    return n;
}

/* The copy whose log entry is still owed: owed by the log no longer, once the outbox says so. entry->owed: steal. */
static ox_err
take_pending(struct ox_recovered_backlog *b, uint64_t seq, struct ox_backlog_entry *entry)
{
    ox_err err = grow(&b->pending, &b->cap_pending, b->n_pending, sizeof(*b->pending));
    if (err != OX_OK)
        return err;
    b->pending[b->n_pending++] =
        (struct ox_pending_move){.wal_seq = entry->wal_seq, .backlog_seq = seq, .owed = entry->owed};
    entry->owed = (struct ox_ranges){0};
    return OX_OK;
}

static ox_err
take_entry(struct ox_recovery *rec, struct ox_recovered_backlog *b, const struct ox_journal_entry *info,
           struct ox_backlog_entry *entry)
{
    struct ox_ranges missing = {0};
    ox_err err = OX_OK;
    if (entry->wal_seq > rec->highest_wal_seq)
        rec->highest_wal_seq = entry->wal_seq;
    if (info->seq <= b->consumed[OX_WAL_ORIGIN_BACKLOG])
        return OX_OK;
    b->entries++;
    b->streamed += entry->kind == OX_BACKLOG_STREAMED;
    b->bytes += ox_backlog_cost(entry->kind == OX_BACKLOG_STREAMED ? entry->stream_len : info->len);
    b->records += count(&entry->owed);
    if (b->oldest_ns == 0)
        b->oldest_ns = info->timestamp_ns;
    if (ox_ledger_missing(rec->ledger, entry->wal_seq, &missing) == OX_OK && missing.n > 0)
        err = take_pending(b, info->seq, entry);
    ox_ranges_fini(&missing);
    return err;
}

/* One walk over a backlog: first for its notes, then for what they leave. */
static ox_err
walk(struct ox_recovery *rec, struct ox_recovered_backlog *b, struct ox_journal *journal, bool notes)
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(journal, 0);
    ox_err err = cursor != NULL ? OX_OK : OX_E_NOMEM;
    while (err == OX_OK) {
        struct ox_journal_entry info;
        struct ox_backlog_entry entry;
        struct ox_str payload;
        struct ox_diag diag;
        err = ox_journal_cursor_next(cursor, &info, &payload, &diag);
        if (err == OX_E_CORRUPT) { /* said when the journal was opened */
            err = OX_OK;
            continue;
        }
        if (err != OX_OK)
            break;
        b->last_seq = info.seq;
        if (ox_backlog_entry_decode(payload, &entry, &diag) != OX_OK) {
            if (notes)
                OX_LOG_ERROR("recovery", "a backlog entry cannot be read", OX_F_STR("tenant", b->tenant.name),
                             OX_F_U64("backlog_seq", info.seq), OX_F_DIAG(&diag));
            rec->bad_entries += notes;
            continue;
        }
        if (notes && entry.kind == OX_BACKLOG_NOTE)
            take_note(b, &entry);
        else if (!notes && entry.kind != OX_BACKLOG_NOTE)
            err = take_entry(rec, b, &info, &entry);
        ox_backlog_entry_fini(&entry);
    }
    ox_journal_cursor_free(cursor);
    return err == OX_E_END ? OX_OK : err;
}

static ox_err
read_backlog(struct ox_disk *disk, const char *data_dir, struct ox_recovery *rec,
             const struct ox_tenant_id *tenant, struct ox_diag *diag)
{
    struct ox_recovered_backlog *b;
    struct ox_journal *journal = NULL;
    ox_err err = account_of(rec, tenant, &b);
    if (err == OX_OK)
        err = ox_backlog_open(disk, data_dir, tenant, 0, 0, &journal, diag);
    if (err == OX_OK)
        err = walk(rec, b, journal, true);
    bool again = b->consumed[OX_WAL_ORIGIN_BACKLOG] != 0 || b->consumed[OX_WAL_ORIGIN_STREAM] != 0;
    for (int o = OX_WAL_ORIGIN_NONE + 1; o < OX_WAL_ORIGIN__COUNT && err == OX_OK; o++) {
        if (b->consumed[o] < b->noted[o])
            b->consumed[o] = b->noted[o];
    }
    if (err == OX_OK)
        err = walk(rec, b, journal, false);
    ox_journal_close(journal);
    if (err != OX_OK || b->entries > 0 || again)
        return err;
    /* Nothing here and nothing in the log that names a place here: its numbers may be given out again. */
    if (b->noted[OX_WAL_ORIGIN_STREAM] == 0 && ox_backlog_remove(disk, data_dir, tenant) == OX_OK)
        rec->n_backlogs--; /* the newest account: no other was made since */
    return OX_OK;
}

struct tenants {
    struct ox_tenant_id *at;
    size_t n, cap;
    ox_err err;
};

static bool
collect(void *arg, const char *name)
{
    struct tenants *list = arg;
    struct ox_tenant_id id;
    if (ox_tenant_id_parse(ox_str_of(name), &id, NULL) != OX_OK) {
        if (name[0] != '.')
            OX_LOG_WARN("recovery", "this is no tenant's backlog and is left alone", OX_F_STR("name", name));
        return true;
    }
    list->err = grow(&list->at, &list->cap, list->n, sizeof(*list->at));
    if (list->err == OX_OK)
        list->at[list->n++] = id;
    return list->err == OX_OK;
}

static int
by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Entries whose copies are being completed are not replayed. */
static ox_err
leave_out_pending(struct ox_recovery *rec)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < rec->n_backlogs; i++)
        n += rec->backlogs[i].n_pending;
    uint64_t *seqs = n > 0 ? malloc(n * sizeof(*seqs)) : NULL;
    if (seqs == NULL)
        return n > 0 ? OX_E_NOMEM : OX_OK;
    n = 0;
    for (size_t i = 0; i < rec->n_backlogs; i++) {
        for (size_t k = 0; k < rec->backlogs[i].n_pending; k++)
            seqs[n++] = rec->backlogs[i].pending[k].wal_seq;
    }
    qsort(seqs, n, sizeof(*seqs), by_number);
    for (size_t i = 0; i < rec->n_replay; i++) {
        if (bsearch(&rec->replay[i], seqs, n, sizeof(*seqs), by_number) == NULL)
            rec->replay[kept++] = rec->replay[i];
    }
    rec->n_replay = kept;
    free(seqs);
    return OX_OK;
}

ox_err
ox__backlogs_recover(struct ox_disk *disk, const char *data_dir, struct ox_recovery *rec,
                     struct ox_diag *diag)
{
    char dir[OX_DISK_PATH_MAX];
    struct tenants tenants = {0};
    if (snprintf(dir, sizeof(dir), "%s/backlog", data_dir) >= (int)sizeof(dir))
        return ox_diag_set(diag, OX_E_INVALID, "data", -1, "the path of the data directory is too long");
    ox_diag_clear(diag);
    ox_err err = ox_disk_list(disk, dir, collect, &tenants);
    if (err == OX_E_NOT_FOUND) /* nobody ever spilled */
        err = OX_OK;
    if (err == OX_OK)
        err = tenants.err;
    for (size_t i = 0; i < tenants.n && err == OX_OK; i++)
        err = read_backlog(disk, data_dir, rec, &tenants.at[i], diag);
    free(tenants.at);
    if (err == OX_OK)
        err = leave_out_pending(rec);
    if (err != OX_OK && diag != NULL && diag->text[0] == '\0')
        ox_diag_set(diag, err, "backlog", -1, "the tenants' backlogs cannot be read: %s", ox_err_text(err));
    return err;
}

void
ox__backlogs_free(struct ox_recovery *rec)
{
    for (size_t i = 0; i < rec->n_backlogs; i++) {
        for (size_t k = 0; k < rec->backlogs[i].n_pending; k++)
            ox_ranges_fini(&rec->backlogs[i].pending[k].owed);
        free(rec->backlogs[i].pending);
    }
    free(rec->backlogs);
}
