/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/audit_chain.h - how each line of the audit log vouches for those before it.
 *
 * Owns:    nothing.
 * Threads: any; a chain belongs to one at a time.
 * Bounds:  none; a line is its caller's.
 * Flow:    audit.c writes by it, audit_read.c verifies by it.
 *
 *   {"seq":7,"prev":"<hash of line 6>",["unchained":{"bytes":N,"blake3":"..."},]"time":...,"hash":"<of all before>"}
 *
 * `hash` is BLAKE3-256 of the line's text up to its own comma; `prev` of the first line is zeros. What stands between
 * two lines of the chain and is none (a line cut off by a crash, lines of a release that knew no chain) is not removed:
 * the next line says in `unchained` how many bytes that is, and their hash.
 */
#ifndef OX_AUDIT_CHAIN_H
#define OX_AUDIT_CHAIN_H

#include <blake3.h>

#include "ox/audit.h"
#include "ox/buf.h"

struct ox__audit_chain {
    bool begun; /* false: whatever the first line says is taken for the beginning */
    uint64_t seq;
    char hash[OX_AUDIT_HASH_LEN + 1];
    blake3_hasher loose; /* of what has come since that is no line of the chain */
    uint64_t loose_bytes;
};

enum ox__audit_verdict {
    OX__AUDIT_FITS,
    OX__AUDIT_LOOSE,    /* no line of a chain, or one whose hash is not that of its text */
    OX__AUDIT_GAP,      /* another number than the next one */
    OX__AUDIT_FOREIGN,  /* the next number behind another line */
    OX__AUDIT_UNCLAIMED /* what stands before it is not what it says stands there */
};

/* from_start: the first line is number 1. */
void ox__audit_chain_init(struct ox__audit_chain *c, bool from_start);
/* Whatever the verdict, the chain goes on behind a line that is one. line: lend, without its newline; ended: it has
 * one. */
enum ox__audit_verdict ox__audit_chain_take(struct ox__audit_chain *c, struct ox_str line, bool ended);
/* The next line up to its first member of meaning, and from behind its last one to its newline. out: lend, holds
 * the line alone. */
void ox__audit_chain_open_line(const struct ox__audit_chain *c, struct ox_buf *out);
void ox__audit_chain_close_line(struct ox_buf *out);

/* ---- audit_read.c: names and the head, for the writer ---- */

#define OX__AUDIT_HEAD_BYTES 96

void ox__audit_dir(const char *path, char out[OX_DISK_PATH_MAX]);
void ox__audit_head_path(const char *path, char out[OX_DISK_PATH_MAX]);
/* Where a segment that ends with line `seq` goes. */
void ox__audit_segment_path(const char *path, uint64_t seq, char out[OX_DISK_PATH_MAX]);
void ox__audit_head_print(uint64_t seq, const char *hash, char out[OX__AUDIT_HEAD_BYTES + 1]);
/* NOT_FOUND; CORRUPT: it is not what was written. */
OX_MUST_USE ox_err ox__audit_head_read(struct ox_disk *disk, const char *path, uint64_t *seq,
                                       char hash[OX_AUDIT_HASH_LEN + 1]);
/* Takes the lines of the segment that is written now; of the newest one when that one has none. *size: of the
 * former. */
OX_MUST_USE ox_err ox__audit_resume(struct ox_disk *disk, const char *path, struct ox__audit_chain *c,
                                    uint64_t *size);

#endif
