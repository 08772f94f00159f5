/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/native_reader.h - reads a block in ClickHouse's Native format, written apart from the
 * encoder.
 *
 * Owns:    the cells of a block, each as text.
 * Threads: one owner at a time.
 *
 * Text of a cell: numbers in decimal (DateTime64 in its ticks, DateTime in seconds, Date in days), Float64 as %.17g, FixedString
 * in hex, String between apostrophes, Array as [a,b], Map as {k=v,k=v}.
 */
#ifndef HARNESS_NATIVE_READER_H
#define HARNESS_NATIVE_READER_H

#include "ox/base.h"

struct native_column {
    char *name;
    char *type;
    char **cells;
};

struct native_block {
    size_t n_columns;
    size_t n_rows;
    struct native_column *columns;
};

/* Reads exactly one block of `n` bytes; ends the test with a message when the bytes are not one. */
struct native_block *native_read(const void *bytes, size_t n);
void native_free(struct native_block *block);
/* The text of a cell; ends the test when there is no such column or row. */
const char *native_cell(const struct native_block *block, const char *column, size_t row);

#endif
