/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/quarantine.h - the list of quarantined tenants, durable across restarts.
 *
 * Owns:    its entries, and the file, which is replaced as a whole with each change.
 * Threads: any that may block; one change at a time.
 * Bounds:  one entry per tenant, OX_QUARANTINE_MAX in all.
 * Fails:   IO, DISK_FULL, NOMEM, OVERLOAD, NOT_FOUND; CORRUPT when the file cannot be understood: an unreadable list is
 *          never taken for an empty one.
 */
#ifndef OX_QUARANTINE_H
#define OX_QUARANTINE_H

#include "ox/crashes.h"

#define OX_QUARANTINE_MAX 4096

struct ox_quarantined {
    struct ox_tenant_id tenant;
    uint32_t crashes;  /* what whoever lifts it must repeat */
    uint64_t since_ns; /* Unix time */
    bool has_last;
    struct ox_crash last; /* the crash that was one too many */
};

struct ox_quarantine;

/* Reads `path`; a file that is not there is an empty list. *out is NULL on failure. */
OX_MUST_USE ox_err ox_quarantine_open(struct ox_disk *disk, const char *path, struct ox_quarantine **out,
                                      struct ox_diag *diag);
void ox_quarantine_close(struct ox_quarantine *q);
/* Adds the tenant, or replaces its entry; durable when it returns OK, else nothing is changed. */
OX_MUST_USE ox_err ox_quarantine_put(struct ox_quarantine *q, const struct ox_quarantined *entry);
/* Likewise. NOT_FOUND. */
OX_MUST_USE ox_err ox_quarantine_remove(struct ox_quarantine *q, const char *tenant);
/* A copy of the tenant's entry; false: it has none. */
bool ox_quarantine_find(struct ox_quarantine *q, const char *tenant, struct ox_quarantined *out);
/* Copies up to max entries from the `from`th on, in the order of quarantine; returns how many. */
size_t ox_quarantine_list(struct ox_quarantine *q, size_t from, struct ox_quarantined *out, size_t max);
size_t ox_quarantine_count(struct ox_quarantine *q);

#endif
