/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/validate.h - judging single records: which of a decoded batch go on, and why not the others.
 *
 * Owns:    nothing; pure: the time is an argument, the rows are marked in place.
 * Threads: the batch's owner.
 * Flow:    gateway: ox_otlp_decode -> ox_validate_batch -> dead letters for the marked rows -> WAL with the
 *          bitmap of ox_reject_bitmap_write -> ox_batch_compact. Replay: ox_otlp_decode ->
 *          ox_reject_bitmap_apply.
 *
 * Missing times are not an error where OTLP allows them: a log with time 0 keeps 0 here and is stored under
 * its observed time, or under the time of arrival (batch->received_ns) when that is 0 too. See
 * policies/validate.yaml for the defaults in words.
 */
#ifndef OX_VALIDATE_H
#define OX_VALIDATE_H

#include "ox/base.h"
#include "ox/batch.h"

struct ox_validate_policy {
    uint64_t past_max_ns;   /* older than now minus this is late; default 1 day */
    uint64_t future_max_ns; /* newer than now plus this is invalid; default 1 hour */
    bool check_window;      /* false accepts any non-zero time (imports of old data) */
};

/* The values of policies/validate.yaml. */
void ox_validate_policy_default(struct ox_validate_policy *policy);

struct ox_validate_counts {
    uint32_t by_reject[OX_REJECT__COUNT]; /* [OX_REJECT_NONE] = accepted */
};

/* Judges every row not yet marked by the decoder, sets row->reject and batch->n_rejected, fills counts (may
 * be NULL) with all rows, the decoder's included. now_ns: Unix time. */
void ox_validate_batch(struct ox_batch *batch, const struct ox_validate_policy *policy, uint64_t now_ns,
                       struct ox_validate_counts *counts);

/* Removes marked rows from spans, logs or points; the others keep order and ordinal. n_records stays,
 * n_rejected too; attributes and other parts of removed rows stay behind unused. */
void ox_batch_compact(struct ox_batch *batch);

/* Rows of the batch's signal, marked ones included. */
uint32_t ox_batch_rows(const struct ox_batch *batch);
/* enum ox_reject and ordinal of a row. */
enum ox_reject ox_batch_row_reject(const struct ox_batch *batch, uint32_t row);
uint32_t ox_batch_row_ordinal(const struct ox_batch *batch, uint32_t row);

/* Bit o (LSB first) is set when the record with ordinal o is refused. bits: (n_records + 7) / 8 bytes. */
void ox_reject_bitmap_write(const struct ox_batch *batch, uint8_t *bits);
/* Marks exactly the rows of the bitmap. A row newly marked gets `as`; one that the decoder marked but the
 * bitmap has not keeps its mark and is counted in the return value: 0 unless limits were lowered between. */
uint32_t ox_reject_bitmap_apply(struct ox_batch *batch, const uint8_t *bits, enum ox_reject as);

/* "time_too_old": for dead letters and logs. */
const char *ox_reject_name(enum ox_reject reject);
/* A sentence fragment for people: "the timestamp is older than the accepted window". */
const char *ox_reject_text(enum ox_reject reject);
/* What would be right instead: "an end time at or after the start time". */
const char *ox_reject_remedy(enum ox_reject reject);
/* The reject with that name; false when there is none. name: lend. */
bool ox_reject_of_name(const char *name, enum ox_reject *out);

/* The closed list of reasons in observex_ingest_signals_dropped_total that a record itself can cause. */
enum ox_drop_reason { OX_DROP_DECODE, OX_DROP_INVALID, OX_DROP_LATE, OX_DROP_QUOTA, OX_DROP__COUNT };
/* utf8 gives decode, time_too_old gives late, series and label_values give quota, everything else invalid. Not for
 * OX_REJECT_NONE. */
enum ox_drop_reason ox_reject_drop_reason(enum ox_reject reject);
/* Whether a record refused for this is kept as a dead letter. One beyond a quota is not: who makes new series without end
 * would push out what others want back. */
bool ox_reject_is_kept(enum ox_reject reject);
/* "decode", "invalid", "late", "quota". */
const char *ox_drop_reason_name(enum ox_drop_reason reason);

/* The message of a partial success: counts by reason, "2 of 10 spans refused: 1 name (…), 1 trace_id (…)".
 * Writes at most n bytes including the zero. */
void ox_validate_message(const struct ox_batch *batch, const struct ox_validate_counts *counts, char *text,
                         size_t n);

#endif
