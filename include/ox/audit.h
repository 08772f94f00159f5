/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/audit.h - the log of what operators did, and of what others tried: a chain of lines.
 *
 * Owns:    DIR/audit.jsonl, which only grows; DIR/audit-N.jsonl, its name once it is full, N being its last line's
 *          number; DIR/audit.head, number and hash of the newest line. Nobody's entry is removed by a program.
 * Threads: any that may block; entries are written one at a time. Reading needs no writer, and goes on beside one.
 * Bounds:  OX_AUDIT_SEGMENT_BYTES of one file; refused attempts of the unauthorised: OX_AUDIT_REFUSED_MAX lines
 *          per OX_AUDIT_WINDOW_S, then only counted (the next line says how many), so that nobody fills the disk by
 *          being refused.
 * Fails:   IO, DISK_FULL: whoever wanted to act must not.
 */
#ifndef OX_AUDIT_H
#define OX_AUDIT_H

#include "ox/clock.h"
#include "ox/disk.h"

#define OX_AUDIT_REFUSED_MAX 100
#define OX_AUDIT_WINDOW_S    600
/* Small enough to be read as a whole: so much is what a reader holds, and what a start looks through. */
#define OX_AUDIT_SEGMENT_BYTES (1u << 20)
#define OX_AUDIT_HASH_LEN      64 /* hex digits of BLAKE3-256 */

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
    const char *
        before; /* what a value was when the order was looked at, and what it is to be; NULL = it is none of a value */
    const char *after;
    bool unauthorised; /* refused for the role: bounded */
};

/* NULL without memory. path: copied; clock: lend. */
struct ox_audit *ox_audit_open(struct ox_disk *disk, const char *path, const struct ox_clock *clock);
void ox_audit_close(struct ox_audit *a);
/* Durable when it returns OK. */
OX_MUST_USE ox_err ox_audit_write(struct ox_audit *a, const struct ox_audit_entry *entry);

/* ---- reading ---- */

/* One line. Lends, until the callback returns. */
struct ox_audit_line {
    struct ox_str text; /* without its newline */
    uint64_t seq; /* 0: it stands in no chain: cut off by a crash, changed, or of a release that knew none */
    const char *file;
    uint64_t number; /* in its file, from 1 */
};
/* False: that is enough. */
typedef bool (*ox_audit_each_fn)(void *arg, const struct ox_audit_line *line);

/* What a reader knows from elsewhere. */
struct ox_audit_known {
    uint64_t first;     /* what came before was put away on purpose; 0 = from the beginning */
    uint64_t seq;       /* a line that somebody wrote down; 0 = nobody has */
    struct ox_str hash; /* ... and its hash */
    uint64_t
        behind; /* files that end with this line or before are not looked at, the rest is not verified; 0 = all */
    ox_audit_each_fn each; /* NULL: nobody wants the lines */
    void *arg;
};

struct ox_audit_report {
    uint64_t lines;       /* in the chain */
    uint64_t first, last; /* their numbers */
    char hash[OX_AUDIT_HASH_LEN + 1];
    uint64_t unchained; /* lines in no chain whose bytes the chain vouches for */
    bool cut_off;       /* the end is no whole line: a write that a crash ended, or that is going on */
    bool broken;        /* what follows says where, and why */
    char file[OX_DISK_PATH_MAX];
    uint64_t number; /* of the first line that does not stand; 0: none does, at the end of `file` */
    char why[160];
};

/* Reads the log at `path` and verifies it. OK also when it is broken, which the report says; NOT_FOUND: there is
 * none. */
OX_MUST_USE ox_err ox_audit_read(struct ox_disk *disk, const char *path, const struct ox_audit_known *known,
                                 struct ox_audit_report *report, struct ox_diag *diag);
/* The same log as a writer has it. */
OX_MUST_USE ox_err ox_audit_read_own(struct ox_audit *a, const struct ox_audit_known *known,
                                     struct ox_audit_report *report, struct ox_diag *diag);

#endif
