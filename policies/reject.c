/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/reject.c - names, texts, drop reasons and bitmaps of refused records.
 *
 * Owns:    the table below, one row per enum ox_reject.
 * Threads: any.
 */
#include <stdarg.h>
#include <stdio.h>

#include "ox/validate.h"

struct reject_row {
    const char *name;
    const char *text;
    const char *remedy;
    enum ox_drop_reason drop;
};

static const struct reject_row rows[OX_REJECT__COUNT] = {
    [OX_REJECT_NONE] = {"none", "accepted", "nothing is wrong with it", OX_DROP_INVALID},
    [OX_REJECT_TRACE_ID] = {"trace_id", "a trace id is not 16 bytes, or is all zero",
                            "a trace id of 16 bytes (32 hex digits in JSON) that is not all zero",
                            OX_DROP_INVALID},
    [OX_REJECT_SPAN_ID] = {"span_id", "a span id is not 8 bytes, or is all zero",
                           "a span id of 8 bytes (16 hex digits in JSON) that is not all zero",
                           OX_DROP_INVALID},
    [OX_REJECT_PARENT_ID] = {"parent_id", "the parent span id is not 8 bytes, or is the span's own",
                             "no parent span id, or one of 8 bytes that names another span", OX_DROP_INVALID},
    [OX_REJECT_NAME] = {"name", "a span or metric has no name", "a name of at least one character",
                        OX_DROP_INVALID},
    [OX_REJECT_TIME_MISSING] = {"time_missing", "a required timestamp is zero",
                                "start and end of a span, time of a point, in Unix nanoseconds",
                                OX_DROP_INVALID},
    [OX_REJECT_TIME_TOO_OLD] = {"time_too_old", "the timestamp is older than the accepted window",
                                "a timestamp no older than validate.past; to take old records after all, "
                                "start the server with a longer one and replay",
                                OX_DROP_LATE},
    [OX_REJECT_TIME_FUTURE] =
        {"time_future", "the timestamp is later than the accepted window",
         "a timestamp no later than validate.future from now: the sender's clock may be "
         "wrong, or seconds were sent as nanoseconds",
         OX_DROP_INVALID},
    [OX_REJECT_TIME_REVERSED] = {"time_reversed", "the end lies before the start",
                                 "an end time at or after the start time", OX_DROP_INVALID},
    [OX_REJECT_VALUE] = {"value", "a value is missing, NaN or infinite", "a finite number", OX_DROP_INVALID},
    [OX_REJECT_HISTOGRAM] =
        {"histogram", "buckets, bounds, quantiles and count do not fit together",
         "one bucket more than bounds, bounds that rise, quantiles from 0 to 1, and a count "
         "that is the sum of the buckets",
         OX_DROP_INVALID},
    [OX_REJECT_ATTRIBUTES] = {"attributes",
                              "there are more attributes or parts, or longer ones, than the limit",
                              "fewer or shorter ones, or a higher limit (decode.*) in the server's "
                              "configuration",
                              OX_DROP_INVALID},
    [OX_REJECT_UTF8] = {"utf8", "a string is not UTF-8",
                        "text in UTF-8; other bytes belong into a bytesValue", OX_DROP_DECODE},
    [OX_REJECT_SERIES] =
        {"series", "a new series is one more than the tenant may have today",
         "fewer different attribute values (GET /api/v1/cardinality shows which grew), or a higher "
         "quota `series`",
         OX_DROP_QUOTA},
    [OX_REJECT_LABEL_VALUES] =
        {"label_values", "an attribute has more different values than it may have today",
         "fewer different values of that attribute (GET /api/v1/cardinality shows which "
         "grew), or a higher quota `label_values`",
         OX_DROP_QUOTA},
    [OX_REJECT_DISPOSED] = {"disposed", "the record is accounted for already", "nothing is wrong with it",
                            OX_DROP_INVALID},
};

static const struct reject_row *
row_of(enum ox_reject reject)
{
    OX_ASSERT((unsigned)reject < OX_REJECT__COUNT);
    return &rows[reject];
}

const char *
ox_reject_name(enum ox_reject reject)
{
    return row_of(reject)->name;
}

const char *
ox_reject_text(enum ox_reject reject)
{
    return row_of(reject)->text;
}

const char *
ox_reject_remedy(enum ox_reject reject)
{
    return row_of(reject)->remedy;
}

bool
ox_reject_of_name(const char *name, enum ox_reject *out)
{
    for (int i = 0; i < OX_REJECT__COUNT; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            *out = (enum ox_reject)i;
            return true;
        }
    }
    return false;
}

enum ox_drop_reason
ox_reject_drop_reason(enum ox_reject reject)
{
    OX_ASSERT(reject != OX_REJECT_NONE);
    return row_of(reject)->drop;
}

bool
ox_reject_is_kept(enum ox_reject reject)
{
    return reject != OX_REJECT_NONE && row_of(reject)->drop != OX_DROP_QUOTA;
}

const char *
ox_drop_reason_name(enum ox_drop_reason reason)
{
    static const char *const names[OX_DROP__COUNT] = {"decode", "invalid", "late", "quota"};
    OX_ASSERT((unsigned)reason < OX_DROP__COUNT);
    return names[reason];
}

static void
mark(struct ox_batch *b, uint32_t row, enum ox_reject why)
{
    if (b->signal == OX_SIGNAL_TRACES)
        b->spans[row].reject = (uint8_t)why;
    else if (b->signal == OX_SIGNAL_LOGS)
        b->logs[row].reject = (uint8_t)why;
    else
        b->points[row].reject = (uint8_t)why;
}

void
ox_reject_bitmap_write(const struct ox_batch *batch, uint8_t *bits)
{
    memset(bits, 0, ((size_t)batch->n_records + 7) / 8);
    const uint32_t n = ox_batch_rows(batch);
    for (uint32_t row = 0; row < n; row++) {
        uint32_t o = ox_batch_row_ordinal(batch, row);
        if (ox_batch_row_reject(batch, row) != OX_REJECT_NONE)
            bits[o / 8] |= (uint8_t)(1u << (o % 8));
    }
}

uint32_t
ox_reject_bitmap_apply(struct ox_batch *batch, const uint8_t *bits, enum ox_reject as)
{
    OX_ASSERT(as != OX_REJECT_NONE);
    uint32_t disagree = 0;
    const uint32_t n = ox_batch_rows(batch);
    batch->n_rejected = 0;
    for (uint32_t row = 0; row < n; row++) {
        uint32_t o = ox_batch_row_ordinal(batch, row);
        bool refused = (bits[o / 8] >> (o % 8) & 1) != 0;
        bool marked = ox_batch_row_reject(batch, row) != OX_REJECT_NONE;
        if (refused && !marked)
            mark(batch, row, as);
        disagree += marked && !refused;
        batch->n_rejected += marked || refused;
    }
    return disagree;
}

/* Appends to a text of n bytes of which *used are taken; what does not fit is left out. */
OX_PRINTF(4, 5)
static void
add(char *text, size_t n, size_t *used, const char *fmt, ...)
{
    va_list ap;
    if (*used + 1 >= n)
        return;
    va_start(ap, fmt);
    int more = vsnprintf(text + *used, n - *used, fmt, ap);
    va_end(ap);
    *used += more > 0 ? (size_t)more : 0;
}

void
ox_validate_message(const struct ox_batch *batch, const struct ox_validate_counts *counts, char *text,
                    size_t n)
{
    static const char *const plural[OX_SIGNAL__COUNT] = {"spans", "log records", "data points"};
    size_t used = 0;
    const char *sep = ":";
    if (n == 0)
        return;
    text[0] = '\0';
    add(text, n, &used, "%u of %u %s refused", batch->n_rejected, batch->n_records, plural[batch->signal]);
    for (unsigned i = OX_REJECT_NONE + 1; i < OX_REJECT__COUNT; i++) {
        if (counts->by_reject[i] == 0)
            continue;
        add(text, n, &used, "%s %u %s (%s)", sep, counts->by_reject[i], rows[i].name, rows[i].text);
        sep = ",";
    }
}
