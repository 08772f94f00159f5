/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_time.h - how times and durations are written by people.
 *
 * Owns:    nothing; pure functions, the caller brings the clock's reading.
 * Threads: any.
 */
#ifndef OX_QUERY_TIME_H
#define OX_QUERY_TIME_H

#include "ox/base.h"

#define OX__NS_PER_S 1000000000ull

/* "2026-11-21T03:30:04.123456789Z" and its end. */
#define OX__TIME_TEXT 32

/* RFC 3339 in UTC with nine decimals. */
void ox__time_format(uint64_t unix_ns, char out[OX__TIME_TEXT]);

/*
 * RFC 3339 ("2026-11-21T03:30:04Z", "+01:00", decimals), Unix time as a number (its size tells s, ms, us or
 * ns; decimals are seconds), "now", "now-15m", "-15m". INVALID otherwise. A '+' that a URL turned into a
 * space is read as a '+'.
 */
OX_MUST_USE ox_err ox__time_parse(struct ox_str text, uint64_t now_ns, uint64_t *unix_ns);

/* "100ms", "1.5s", "1h30m", units ns us ms s m h d w; "0" needs none. INVALID otherwise. */
OX_MUST_USE ox_err ox__duration_parse(struct ox_str text, uint64_t *ns);

/* A duration, or "last_hour", "last_15m", "last_15_minutes", "past_day". INVALID otherwise. */
OX_MUST_USE ox_err ox__time_range_parse(struct ox_str text, uint64_t *ns);

#endif
