/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/backlog.c - the directory and the journal of a tenant's backlog, and how far it has been read back.
 *
 * Owns:    DIR/backlog/<tenant>/.
 * Threads: one at a time per tenant; blocking, but for the marks.
 * Bounds:  see include/ox/backlog.h.
 * Fails:   those of the journal; OX_E_INVALID for a path that is too long.
 *
 * A tenant's name (ox_tenant_id_parse) has only characters that are harmless in a path, so it is the directory's name.
 */
#include "ox/backlog.h"

#include <stdio.h>
#include <stdlib.h>

#include "ox/log.h"

static ox_err
dir_of(const char *data_dir, const struct ox_tenant_id *tenant, char out[OX_DISK_PATH_MAX],
       struct ox_diag *diag)
{
    const char *slash = tenant->name[0] != '\0' ? "/" : "";
    if (snprintf(out, OX_DISK_PATH_MAX, "%s/backlog%s%s", data_dir, slash, tenant->name) >= OX_DISK_PATH_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "data", -1, "the path of the data directory is too long");
    return OX_OK;
}

static void
log_findings(const struct ox_tenant_id *tenant, const struct ox_journal_report *report)
{
    for (uint32_t i = 0; i < report->n_findings; i++) {
        const struct ox_journal_finding *f = &report->findings[i];
        bool normal = f->kind == OX_JOURNAL_TORN_TAIL || f->kind == OX_JOURNAL_ABORTED;
        OX_LOG_AT(normal ? OX_LOG_INFO : OX_LOG_ERROR, "spill", "journal finding",
                  OX_F_STR("tenant", tenant->name), OX_F_STR("kind", ox_journal_finding_name(f->kind)),
                  OX_F_U64("segment", f->segment), OX_F_U64("offset", f->offset), OX_F_U64("bytes", f->bytes),
                  OX_F_STR("text", f->text));
    }
}

ox_err
ox_backlog_open(struct ox_disk *disk, const char *data_dir, const struct ox_tenant_id *tenant,
                uint64_t segment_bytes, uint64_t next_seq, struct ox_journal **out, struct ox_diag *diag)
{
    static const struct ox_tenant_id none;
    char dir[OX_DISK_PATH_MAX];
    struct ox_journal_report *report = malloc(sizeof(*report));
    struct ox_journal_options options = {
        .kind = OX_JOURNAL_BACKLOG,
        .segment_bytes = segment_bytes != 0 ? segment_bytes : OX_BACKLOG_SEGMENT_BYTES,
    };
    ox_err err = report != NULL ? dir_of(data_dir, &none, dir, diag) : OX_E_NOMEM;
    if (err == OX_OK)
        err = ox_disk_ensure_dir(disk, dir);
    if (err == OX_OK)
        err = dir_of(data_dir, tenant, dir, diag);
    if (err == OX_OK)
        err = ox_journal_open(disk, dir, &options, out, report, diag);
    if (err == OX_OK) {
        log_findings(tenant, report);
        ox_journal_skip_to(*out, next_seq);
    }
    free(report);
    return err;
}

/* Segment files of a directory; their names sort by age. */
struct names {
    char (*at)[64];
    size_t n, cap;
    bool failed;
};

static bool
collect(void *arg, const char *name)
{
    struct names *names = arg;
    size_t len = strlen(name);
    if (len < 5 || len >= sizeof(*names->at) || strcmp(name + len - 4, ".seg") != 0)
        return true;
    if (names->n == names->cap) {
        size_t cap = names->cap != 0 ? names->cap * 2 : 16;
        void *more = realloc(names->at, cap * sizeof(*names->at));
        names->failed |= more == NULL;
        if (more == NULL)
            return false;
        names->at = more;
        names->cap = cap;
    }
    memcpy(names->at[names->n++], name, len + 1);
    return true;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

ox_err
ox_backlog_remove(struct ox_disk *disk, const char *data_dir, const struct ox_tenant_id *tenant)
{
    char dir[OX_DISK_PATH_MAX], path[OX_DISK_PATH_MAX + 64];
    struct names names = {0};
    ox_err err = dir_of(data_dir, tenant, dir, NULL);
    if (err == OX_OK)
        err = ox_disk_list(disk, dir, collect, &names);
    if (err == OX_OK && names.failed)
        err = OX_E_NOMEM;
    if (err == OX_OK && names.n > 0)
        qsort(names.at, names.n, sizeof(*names.at), by_name);
    for (size_t i = 0; i < names.n && err == OX_OK; i++) { /* the newest last: it carries the numbering on */
        snprintf(path, sizeof(path), "%s/%s", dir, names.at[i]);
        err = ox_disk_unlink(disk, path);
        if (err == OX_OK)
            err = ox_disk_fsync_dir(disk, dir);
    }
    free(names.at);
    return err;
}

ox_err
ox_backlog_trim(struct ox_journal *j, uint64_t noted)
{
    struct ox_journal_segment oldest;
    uint64_t keep = ox_journal_segment_of(j, noted);
    ox_err err = OX_OK;
    while (err == OX_OK && keep != 0 && ox_journal_segments(j, &oldest, 1) > 1 && oldest.number < keep)
        err = ox_journal_release(j, oldest.number, NULL);
    return err;
}

void
ox_backlog_consumed(struct ox_backlog_marks *m, uint64_t seq, uint64_t wal_segment)
{
    OX_ASSERT(seq > m->consumed && wal_segment != 0);
    m->consumed = seq;
    if (m->pin == 0)
        m->pin = wal_segment; /* log segments only grow, so the first is the lowest */
}

void
ox_backlog_passed(struct ox_backlog_marks *m, uint64_t seq)
{
    if (seq > m->consumed)
        m->consumed = seq;
}

void
ox_backlog_noted(struct ox_backlog_marks *m, uint64_t seq)
{
    OX_ASSERT(seq <= m->consumed);
    if (seq > m->noted)
        m->noted = seq;
    if (m->noted == m->consumed)
        m->pin = 0;
}
