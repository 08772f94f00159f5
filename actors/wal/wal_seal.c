/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_seal.c - the end of a segment that nothing else would end.
 *
 * Owns:    nothing; struct ox__wal_seal while the job runs.
 * Threads: the decision on the wal actor's turns; the job on the log's lane, which is the journal's writer.
 * Bounds:  one segment per look at the house.
 * Fails:   IO, DISK_FULL: said in the log, tried again with the next look.
 * Flow:    wal_actor.c (keeping house) -> here -wal_sealed-> wal_actor.c -> segments go.
 *
 * A segment goes when it is sealed, and new entries seal it. A node whose journals are full takes none, or hardly any: the
 * log's newest segment, settled long ago, would stay, and with it all blocks in the outbox that it accounts for. Single
 * records make seven bytes of outbox from one of the log and more, so an outbox of eight segments' size fills up that way
 * although storage has everything. While there is room segments stay: they remember which requests came lately.
 */
#include <stdlib.h>

#include "actors/wal/wal_internal.h"

ox_err
ox__wal_seal_newest(struct ox_journal *j, uint64_t *newest)
{
    ox_err err = ox_journal_rotate(j);
    size_t n = ox_journal_segments(j, NULL, 0);
    struct ox_journal_segment *all = err == OX_OK && n > 0 ? calloc(n, sizeof(*all)) : NULL;
    if (all == NULL)
        return err != OX_OK ? err : n > 0 ? OX_E_NOMEM : OX_E_END;
    ox_journal_segments(j, all, n);
    *newest = all[n - 1].number;
    free(all);
    return OX_OK;
}

bool
ox__wal_must_seal(const struct ox_ledger *ledger, uint32_t wal_fill, uint32_t outbox_fill)
{
    bool pins = false;
    if (!ox_ledger_wal_newest_only(ledger, &pins))
        return false;
    return wal_fill >= OX_WAL_FILL_SEAL || (pins && outbox_fill >= OX_WAL_FILL_SEAL);
}

void
ox__wal_seal_job(void *arg)
{
    struct ox__wal_seal *job = arg;
    job->err = ox__wal_seal_newest(job->journal, &job->newest);
}
