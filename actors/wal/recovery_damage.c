/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/recovery_damage.c - what damaged bytes of a journal mean for the records.
 *
 * Owns:    DIR/outbox/<segment>.<offset>.settled: empty files that say which damage was dealt with.
 * Threads: one; during recovery.
 * Bounds:  the findings of a report; HINTS_MAX entries and blocks that are named.
 * Fails:   NOMEM, IO of the journals. What cannot be set aside stays owed and is not replayed: the next start tries again.
 * Flow:    recovery.c -> here -> set_aside.c.
 *
 * An entry of the outbox says which records stand in its blocks. When it cannot be read any more, records appear to be
 * owed although their block may be in storage: replaying them could store them twice, giving them up could lose them. So
 * they are set aside, where an operator can look, ask storage, and send them again.
 *
 * Which ones? What the damaged bytes still seem to say is not trusted. But entries are appended in the order in which
 * records come out of the log, so whatever was disposed of there was in the log before the next whole entry was written:
 * owed entries of the log that are not newer than that are the ones; what was in flight at the end is newer and is
 * replayed as ever. A repaired journal has fillers in the place of the damage, and they mean the same.
 *
 * Pages of zeros in a gap of the last segment are not damage but a group that a power cut interrupted: it was never
 * durable, so none of its blocks was sent.
 *
 * A marker file per finding keeps the next start from taking newer entries for old ones.
 */
#include "actors/wal/recovery_damage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/wal/set_aside.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/outbox_entry.h"
#include "ox/schema.h"
#include "ox/wal_entry.h"

#define HINTS_MAX      256
#define PAGE           4096u
#define ENTRY_HEAD     OX_JOURNAL_ENTRY_OVERHEAD
#define HINT_BYTES_MAX (256u << 20)

/* A block that a damaged entry of the outbox seems to hold. */
struct lost_block {
    uint64_t block_id;
    uint32_t rows;
    uint16_t table;
    bool in_log; /* some of its records are still in the log, hence set aside */
    bool stored; /* a later entry says so */
};

/* A request that a damaged entry of the log seems to hold. */
struct lost_request {
    uint64_t seq;
    struct ox_tenant_id tenant;
    enum ox_signal signal;
    uint64_t records; /* less those that the outbox disposes of */
};

struct damage {
    struct ox_disk *disk;
    struct ox_recovery *rec;
    const struct ox_recovery_options *options;
    char aside_dir[OX_DISK_PATH_MAX];
    const struct ox_journal_finding *open[OX_JOURNAL_FINDINGS_MAX]; /* of the outbox, not dealt with yet */
    size_t n_open;
    bool more;                                 /* findings that the report does not hold */
    bool aside;                                /* some of them may have held dispositions */
    int64_t until_ns[OX_JOURNAL_FINDINGS_MAX]; /* of open[i]: the next whole entry; INT64_MAX = none */
    uint64_t until_seq[OX_JOURNAL_FINDINGS_MAX];
    struct lost_block blocks[HINTS_MAX];
    size_t n_blocks;
    struct lost_request requests[HINTS_MAX];
    size_t n_requests;
};

/* ---- bytes ---- */

static uint32_t
get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The bytes of a finding; false: they cannot be had. */
static bool
read_range(const struct damage *d, const char *sub, const struct ox_journal_finding *f, struct ox_buf *out)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    int n = snprintf(path, sizeof(path), "%s/%s/%016" PRIx64 ".seg", d->options->data_dir, sub, f->segment);
    if (n <= 0 || (size_t)n >= sizeof(path) || f->bytes > HINT_BYTES_MAX ||
        ox_disk_open(d->disk, path, OX_DISK_READ, 0, &fd) != OX_OK)
        return false;
    uint8_t *to = ox_buf_reserve(out, (size_t)f->bytes + 1);
    bool ok = to != NULL && ox_disk_read_all(d->disk, fd, to, (size_t)f->bytes, f->offset) == OX_OK;
    out->len = ok ? (size_t)f->bytes : 0;
    ox_disk_close(d->disk, fd);
    return ok;
}

/* Whether some page, as far as it lies in the range, was never written. The range begins with an entry, so its first bytes
 * are not zero when they were; and the page in which it ends holds the whole entry behind it, hence was written. */
static bool
has_unwritten_page(const struct ox_buf *bytes, uint64_t offset)
{
    static const uint8_t zeros[PAGE];
    for (size_t at = 0; at < bytes->len;) {
        size_t n = PAGE - (size_t)((offset + at) % PAGE);
        if (n > bytes->len - at)
            return false;
        if (memcmp(bytes->data + at, zeros, n) == 0)
            return true;
        at += n;
    }
    return false;
}

typedef bool (*hint_fn)(struct damage *d, uint64_t seq, struct ox_str payload);

/* Hands out what look like whole entries; true when the range consists of nothing else and fn took all of them. */
static bool
each_hint(struct damage *d, const struct ox_journal_finding *f, const struct ox_buf *bytes, hint_fn fn)
{
    size_t at = 0;
    while (bytes->len - at >= ENTRY_HEAD) {
        uint32_t len = get32(bytes->data + at + 4);
        if (len > bytes->len - at - ENTRY_HEAD ||
            !fn(d, f->seq_from + at, (struct ox_str){(const char *)bytes->data + at + ENTRY_HEAD, len}))
            return false;
        at += ENTRY_HEAD + len;
    }
    return at == bytes->len;
}

/* ---- the outbox ---- */

/* Notes the blocks of what looks like an entry. False: it may have disposed of records, or nobody can tell. */
static bool
outbox_hint(struct damage *d, uint64_t seq, struct ox_str payload)
{
    struct ox_outbox_entry e;
    uint64_t first = ox_journal_first_seq(d->rec->wal);
    bool in_log = false;
    (void)seq;
    if (ox_outbox_entry_decode(payload, &e, NULL) != OX_OK)
        return false;
    for (uint32_t i = 0; i < e.n_dispositions; i++)
        in_log = in_log || e.dispositions[i].wal_seq >= first;
    for (uint32_t i = 0; i < e.n_blocks && d->n_blocks < HINTS_MAX; i++)
        d->blocks[d->n_blocks++] =
            (struct lost_block){e.blocks[i].block_id, e.blocks[i].rows, e.blocks[i].table, in_log, false};
    bool notes_only =
        e.kind == OX_OUTBOX_STORED; /* forgotten news of stored blocks: they are sent again, and known */
    ox_outbox_entry_fini(&e);
    return notes_only;
}

static void
marker_path(const struct damage *d, const struct ox_journal_finding *f, char *path, size_t size)
{
    int n = f != NULL ? snprintf(path, size, "%s/outbox/%016" PRIx64 ".%016" PRIx64 ".settled",
                                 d->options->data_dir, f->segment, f->offset)
                      : snprintf(path, size, "%s/outbox/%" PRIu64 "-findings.settled", d->options->data_dir,
                                 d->rec->outbox_report.findings_total);
    OX_ASSERT(n > 0 && (size_t)n < size);
}

static bool
is_settled(const struct damage *d, const struct ox_journal_finding *f)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    marker_path(d, f, path, sizeof(path));
    if (ox_disk_open(d->disk, path, OX_DISK_READ, 0, &fd) != OX_OK)
        return false;
    ox_disk_close(d->disk, fd);
    return true;
}

/* Whether the finding may have taken dispositions with it. */
static bool
may_matter(struct damage *d, const struct ox_journal_finding *f)
{
    struct ox_buf bytes;
    bool matters = true;
    bool whole_file = f->kind == OX_JOURNAL_BAD_HEADER || f->kind == OX_JOURNAL_FOREIGN_SEGMENT ||
                      f->kind == OX_JOURNAL_MISSING_SEGMENT;
    if (whole_file || f->kind == OX_JOURNAL_FILLED)
        return true;
    if (f->kind != OX_JOURNAL_BAD_BYTES && f->kind != OX_JOURNAL_GAP_IN_TAIL)
        return false; /* unreadable sectors are bad bytes too, under that name */
    ox_buf_init(&bytes);
    if (read_range(d, "outbox", f, &bytes)) {
        if (f->kind == OX_JOURNAL_GAP_IN_TAIL && has_unwritten_page(&bytes, f->offset))
            matters = false;
        else
            matters = !each_hint(d, f, &bytes, outbox_hint);
    }
    ox_buf_fini(&bytes);
    return matters;
}

static void
find_open(struct damage *d)
{
    const struct ox_journal_report *r = &d->rec->outbox_report;
    for (uint32_t i = 0; i < r->n_findings; i++) {
        const struct ox_journal_finding *f = &r->findings[i];
        if (f->kind == OX_JOURNAL_TORN_TAIL || f->kind == OX_JOURNAL_ABORTED || is_settled(d, f))
            continue;
        if (!may_matter(d, f))
            continue;
        d->until_ns[d->n_open] = INT64_MAX;
        d->until_seq[d->n_open] = UINT64_MAX;
        d->open[d->n_open++] = f;
    }
    d->more = r->findings_total > r->n_findings && !is_settled(d, NULL);
    d->aside = d->n_open > 0 || d->more;
}

/* ---- the log ---- */

static bool
wal_hint(struct damage *d, uint64_t seq, struct ox_str payload)
{
    struct ox_wal_entry e;
    if (ox_wal_entry_decode(payload, &e, NULL) != OX_OK)
        return false;
    if (d->n_requests < HINTS_MAX)
        d->requests[d->n_requests++] = (struct lost_request){
            seq, e.tenant, e.signal, e.n_records - ox_ranges_count(&e.rejected, 0, e.n_records)};
    ox_wal_entry_fini(&e);
    return true;
}

/* Damage that this start is the first to see. */
static void
find_lost_requests(struct damage *d)
{
    const struct ox_journal_report *r = &d->rec->wal_report;
    for (uint32_t i = 0; i < r->n_findings; i++) {
        const struct ox_journal_finding *f = &r->findings[i];
        struct ox_buf bytes;
        if (f->kind != OX_JOURNAL_BAD_BYTES || f->known)
            continue;
        ox_buf_init(&bytes);
        if (read_range(d, "wal", f, &bytes) && !each_hint(d, f, &bytes, wal_hint))
            OX_LOG_ERROR("recovery", "what damaged bytes of the log held cannot be told",
                         OX_F_U64("segment", f->segment), OX_F_U64("offset", f->offset),
                         OX_F_U64("bytes", f->bytes));
        ox_buf_fini(&bytes);
    }
}

/* ---- what the whole entries say about them ---- */

static void
account_dispositions(struct damage *d, const struct ox_outbox_entry *e, uint64_t *highest)
{
    *highest = 0;
    for (uint32_t i = 0; i < e->n_dispositions; i++) {
        const struct ox_outbox_disposition *at = &e->dispositions[i];
        *highest = at->wal_seq > *highest ? at->wal_seq : *highest;
        for (size_t r = 0; r < d->n_requests; r++) {
            uint64_t n = at->to - at->from;
            if (d->requests[r].seq == at->wal_seq)
                d->requests[r].records -= n < d->requests[r].records ? n : d->requests[r].records;
        }
    }
}

static void
account_stored(struct damage *d, const struct ox_outbox_entry *e)
{
    for (uint32_t i = 0; i < e->n_stored; i++) {
        for (size_t b = 0; b < d->n_blocks; b++)
            d->blocks[b].stored = d->blocks[b].stored || d->blocks[b].block_id == e->stored[i];
    }
}

/* The first whole entry behind a finding bounds what was disposed of there. */
static void
bound_findings(struct damage *d, const struct ox_journal_entry *info, uint64_t highest_seq)
{
    for (size_t i = 0; i < d->n_open; i++) {
        const struct ox_journal_finding *f = d->open[i];
        if (info->segment < f->segment || (info->segment == f->segment && info->seq < f->seq_to))
            continue;
        if (d->until_ns[i] == INT64_MAX && info->timestamp_ns > 0)
            d->until_ns[i] = info->timestamp_ns;
        if (d->until_seq[i] == UINT64_MAX && highest_seq > 0)
            d->until_seq[i] = highest_seq;
    }
}

static ox_err
walk_outbox(struct damage *d)
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(d->rec->outbox, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    ox_err err = cursor != NULL ? OX_OK : OX_E_NOMEM;
    while (err == OX_OK || err == OX_E_CORRUPT) {
        struct ox_outbox_entry e;
        uint64_t highest;
        err = ox_journal_cursor_next(cursor, &info, &payload, &diag);
        if (err != OX_OK || ox_outbox_entry_decode(payload, &e, NULL) != OX_OK)
            continue;
        account_dispositions(d, &e, &highest);
        account_stored(d, &e);
        bound_findings(d, &info, highest);
        ox_outbox_entry_fini(&e);
    }
    ox_journal_cursor_free(cursor);
    return err == OX_E_END ? OX_OK : err;
}

/* ---- consequences ---- */

/* Whether the log's entry is old enough to have been disposed of in what is damaged. */
static bool
is_doubtful(const struct damage *d, uint64_t seq, int64_t timestamp_ns)
{
    if (d->more)
        return true;
    for (size_t i = 0; i < d->n_open; i++) {
        /* By either measure: a clock may have stepped, and the order of records is not exact. No bound by one of them when
         * nothing behind the damage gives it. */
        bool by_time = d->until_ns[i] == INT64_MAX || timestamp_ns <= d->until_ns[i];
        bool by_seq = d->until_seq[i] == UINT64_MAX ? by_time : seq <= d->until_seq[i];
        if (by_time || by_seq)
            return true;
    }
    return false;
}

/* Takes the doubtful ones out of the replay. False: some could not be set aside. */
static bool
set_aside_doubtful(struct damage *d)
{
    struct ox_recovery *rec = d->rec;
    size_t kept = 0, aside = 0, stuck = 0;
    struct ox_buf payload;
    ox_buf_init(&payload);
    for (size_t i = 0; i < rec->n_replay; i++) {
        struct ox_journal_entry info;
        uint64_t seq = rec->replay[i];
        bool read = ox_journal_read(rec->wal, seq, &payload, &info) == OX_OK;
        if (read && !is_doubtful(d, seq, info.timestamp_ns)) {
            rec->replay[kept++] = seq;
            continue;
        }
        struct ox_set_aside_note note = {
            .seq = seq,
            .time_ns = ox_clock_realtime_ns(d->options->clock != NULL ? d->options->clock : ox_clock_real()),
            .doubtful = true,
        };
        bool ok = read && ox__set_aside(d->disk, rec, d->aside_dir, &note) == OX_OK;
        aside += ok;
        stuck += !ok;
    }
    rec->n_replay = kept;
    ox_buf_fini(&payload);
    OX_LOG_ERROR("recovery",
                 "the outbox is damaged: requests that may be stored already are set aside, not replayed",
                 OX_F_U64("requests", aside), OX_F_U64("not_kept", stuck), OX_F_U64("replayed", kept),
                 OX_F_STR("dir", d->aside_dir));
    return stuck == 0;
}

static void
mark(struct damage *d, const struct ox_journal_finding *f)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    marker_path(d, f, path, sizeof(path));
    ox_err err = ox_disk_open(d->disk, path, OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd);
    if (err == OX_OK)
        ox_disk_close(d->disk, fd);
    else
        OX_LOG_WARN("recovery", "damage that was dealt with cannot be marked; the next start looks again",
                    OX_F_ERR(err));
}

static void
mark_all(struct damage *d)
{
    char dir[OX_DISK_PATH_MAX];
    for (size_t i = 0; i < d->n_open; i++)
        mark(d, d->open[i]);
    if (d->more)
        mark(d, NULL);
    snprintf(dir, sizeof(dir), "%s/outbox", d->options->data_dir);
    if (ox_disk_fsync_dir(d->disk, dir) != OX_OK)
        OX_LOG_WARN("recovery", "damage that was dealt with may be looked at again by the next start");
}

static void
count_lost(const struct damage *d)
{
    for (size_t i = 0; i < d->n_requests; i++) {
        const struct lost_request *r = &d->requests[i];
        if (r->records == 0)
            continue;
        OX_LOG_ERROR(
            "recovery",
            "acknowledged records stood in damaged bytes of the log and are lost, as far as can be told",
            OX_F_STR("tenant", r->tenant.name), OX_F_STR("signal", ox_signal_name(r->signal)),
            OX_F_U64("records", r->records), OX_F_U64("wal_seq", r->seq));
        OX_METRIC_ADD_L(OX_M_ingest_dropped, r->records, ox_str_of(r->tenant.name),
                        ox_str_of(ox_signal_name(r->signal)), OX_STR("wal_error"));
    }
    for (size_t i = 0; i < d->n_blocks; i++) {
        const struct lost_block *b = &d->blocks[i];
        if (b->stored || b->in_log)
            continue;
        const char *table = b->table < OX_TABLE__COUNT ? ox_table_name((enum ox_table)b->table) : "unknown";
        OX_LOG_ERROR("recovery",
                     "a block stood in damaged bytes of the outbox and may be lost, as far as can be told",
                     OX_F_STR("table", table), OX_F_U64("rows", b->rows), OX_F_U64("block_id", b->block_id));
        OX_METRIC_ADD_L(OX_M_ingest_dropped, b->rows, OX_STR(""), ox_str_of(table), OX_STR("wal_error"));
    }
}

ox_err
ox__recovery_damage(struct ox_disk *disk, struct ox_recovery *rec, const struct ox_recovery_options *options)
{
    const struct ox_journal_report *outbox = &rec->outbox_report, *wal = &rec->wal_report;
    if (outbox->findings_total == 0 && wal->damage_total == 0)
        return OX_OK;
    struct damage *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return OX_E_NOMEM;
    d->disk = disk;
    d->rec = rec;
    d->options = options;
    if (options->set_aside_dir != NULL)
        snprintf(d->aside_dir, sizeof(d->aside_dir), "%s", options->set_aside_dir);
    else
        snprintf(d->aside_dir, sizeof(d->aside_dir), "%s/set-aside", options->data_dir);
    find_open(d);
    find_lost_requests(d);
    ox_err err = d->aside || d->n_requests > 0 ? walk_outbox(d) : OX_OK;
    if (err == OX_OK && d->aside && set_aside_doubtful(d))
        mark_all(d);
    if (err == OX_OK)
        count_lost(d);
    free(d);
    return err;
}
