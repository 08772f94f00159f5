/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/batch_check.h - is this row of a Native block what the batch says?
 *
 * Owns:    nothing.
 * Threads: the test's.
 *
 * Each function compares every column of one row and fails the test at the first that differs.
 */
#ifndef HARNESS_BATCH_CHECK_H
#define HARNESS_BATCH_CHECK_H

#include "ox/batch.h"
#include "tests/harness/native_reader.h"

/* The batch that the functions below compare with. seed: for messages. */
void check_against(const struct ox_batch *batch, uint64_t seed);

void check_span(const struct native_block *block, size_t row, const struct ox_span *s);
void check_log(const struct native_block *block, size_t row, const struct ox_log *l);
/* point: its index in the batch, also below. */
void check_number(const struct native_block *block, size_t row, uint32_t point);
void check_histogram(const struct native_block *block, size_t row, uint32_t point);
void check_exemplar(const struct native_block *block, size_t row, uint32_t point,
                    const struct ox_exemplar *x);
void check_series(const struct native_block *block, size_t row, uint32_t point, uint32_t day);

#endif
