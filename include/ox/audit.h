/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/audit.h - the log of what operators did, and of what others tried.
 *
 * Owns:    DIR/audit.jsonl, which only grows: nobody's entry is removed by a program.
 * Threads: any that may block; entries are written one at a time.
 * Bounds:  refused attempts of the unauthorised: OX_AUDIT_REFUSED_MAX lines per OX_AUDIT_WINDOW_S, then only counted (the
 *          next line says how many), so that nobody fills the disk by being refused.
 * Fails:   IO, DISK_FULL: whoever wanted to act must not.
 */
#ifndef OX_AUDIT_H
#define OX_AUDIT_H

#include "ox/clock.h"
#include "ox/disk.h"

#define OX_AUDIT_REFUSED_MAX 100
#define OX_AUDIT_WINDOW_S    600

struct ox_audit;

/* Who asks, as far as the connection tells. Lends. */
struct ox_asker {
    const char *credential; /* "key of tenant acme", "no key, from this machine" */
    const char *peer;       /* address */
    const char *role;
};

struct ox_audit_entry {
    struct ox_asker who;
    const char *action;  /* "quarantine.revoke" */
    const char *tenant;  /* acted upon */
    uint32_t count;      /* the number that was repeated */
    const char *outcome; /* "granted", "refused", "failed" */
    const char *detail;  /* one sentence, or "" */
    bool unauthorised;   /* refused for the role: bounded */
};

/* NULL without memory. path: copied; clock: lend. */
struct ox_audit *ox_audit_open(struct ox_disk *disk, const char *path, const struct ox_clock *clock);
void ox_audit_close(struct ox_audit *a);
/* Durable when it returns OK. */
OX_MUST_USE ox_err ox_audit_write(struct ox_audit *a, const struct ox_audit_entry *entry);

#endif
