/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/dead_letter.h - refused records as JSON lines in DIR/dlq.
 *
 * Owns:    the open file and the sizes of the kept ones.
 * Threads: lines are built anywhere; a writer is for any thread that may block (one lock inside).
 * Bounds:  file_bytes_max, total_bytes_max, keep_ns; the oldest file goes first.
 * Fails:   OX_E_IO, OX_E_DISK_FULL, OX_E_NOMEM.
 *
 * A line: {"time":"RFC 3339","time_ns":"…","tenant":"…","signal":"traces","reason":"name","detail":"…",
 * "wal":"…","ordinal":3,"request":{OTLP/JSON of a request with this one record, its resource and scope}}. The
 * value of "request" can be posted to /v1/… again as it is. A record that is not UTF-8 also has "wire", its
 * bytes in base64. A row that storage refused (reason "refused_by_storage") has "table", "block", "row" and "columns", its
 * columns, instead of "wal", "ordinal" and "request". `observex dlq` reads them (cmd/cmd_dlq.c).
 */
#ifndef OX_DEAD_LETTER_H
#define OX_DEAD_LETTER_H

#include "ox/base.h"
#include "ox/batch.h"
#include "ox/buf.h"

/* Appends one line, newline included, for a row of the batch. reason, detail: lend, zero-terminated, detail
 * may be NULL; now_ns: Unix time. NOMEM; `out` then ends where it did. */
OX_MUST_USE ox_err ox_dead_letter_line(const struct ox_batch *batch, uint32_t row, const char *reason,
                                       const char *detail, uint64_t now_ns, struct ox_buf *out);
/* Lines for the marked rows of the batch (reason from its reject), until the next one would make `out` longer than
 * bytes_max: each line repeats its resource, so a small request could fill the memory otherwise. n, left_out: out, rows
 * with and without a line. NOMEM as above. */
OX_MUST_USE ox_err ox_dead_letter_lines(const struct ox_batch *batch, uint64_t now_ns, size_t bytes_max,
                                        struct ox_buf *out, uint32_t *n, uint32_t *left_out);

struct ox_disk; /* ox/disk.h */

struct ox_dead_letter_config {
    uint64_t file_bytes_max;  /* dlq.jsonl is renamed to dlq-<unix_ns>.jsonl past this; default 100 MB */
    uint64_t total_bytes_max; /* of all files; default 1 GB */
    uint64_t keep_ns;         /* files whose newest line is older than this go; default 7 days */
};
void ox_dead_letter_config_default(struct ox_dead_letter_config *config);

struct ox_dead_letter;
/* Opens DIR/dlq.jsonl for appending, makes `dir` when it is missing. disk: lend, outlives the writer; dir:
 * copied. out: the writer. IO, DISK_FULL, NOMEM with a sentence. */
OX_MUST_USE ox_err ox_dead_letter_open(struct ox_disk *disk, const char *dir,
                                       const struct ox_dead_letter_config *config,
                                       struct ox_dead_letter **out, struct ox_diag *diag);
/* Other bounds from now on; files beyond them go at the next append or expiry. config: lend. Any thread; waits
 * while the disk works. */
void ox_dead_letter_limit(struct ox_dead_letter *dl, const struct ox_dead_letter_config *config);
/* Appends lines and makes them durable (fdatasync) before it returns; rotates and expires as needed. A write
 * that failed leaves whole lines only: the file is cut back. lines: lend; must end with a newline. now_ns:
 * Unix time. */
OX_MUST_USE ox_err ox_dead_letter_append(struct ox_dead_letter *dl, struct ox_str lines, uint64_t now_ns,
                                         struct ox_diag *diag);
/* Closes the current file when its oldest line is older than a seventh of keep_ns, drops files past their age or the
 * total, oldest first. Append does the same; called now and then it makes files go when nothing is appended. */
OX_MUST_USE ox_err ox_dead_letter_expire(struct ox_dead_letter *dl, uint64_t now_ns);

struct ox_dead_letter_stats {
    uint64_t bytes;         /* in all files */
    uint64_t files;         /* that hold lines */
    uint64_t oldest_ns;     /* Unix time of the oldest line; 0 = there is none */
    uint64_t dropped_bytes; /* since opening: for age or total, or as a torn end */
};
void ox_dead_letter_stats(struct ox_dead_letter *dl, struct ox_dead_letter_stats *out);
/* Single fields of it. */
uint64_t ox_dead_letter_bytes(struct ox_dead_letter *dl);
uint64_t ox_dead_letter_dropped_bytes(struct ox_dead_letter *dl);
/* Closes; NULL is allowed. */
void ox_dead_letter_close(struct ox_dead_letter *dl);

#endif
