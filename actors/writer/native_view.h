/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/native_view.h - reads a block in ClickHouse's Native format: parts of it as blocks of their own, rows
 * as JSON.
 *
 * Owns:    the shape of each column; its bytes are the caller's.
 * Threads: one owner; a finished view may be read by several.
 * Bounds:  NATIVE_COLUMNS_MAX columns, types nested NATIVE_DEPTH_MAX deep.
 * Fails:   OX_E_UNIMPLEMENTED (a type that no table of ours has), OX_E_CORRUPT, OX_E_NOMEM.
 *
 * For blocks that storage refuses: the encoder writes them, this reads them back, and what is sent is again an ordinary
 * INSERT of Native, whatever server is on the other side.
 */
#ifndef OX_WRITER_NATIVE_VIEW_H
#define OX_WRITER_NATIVE_VIEW_H

#include "ox/base.h"
#include "ox/buf.h"

struct ox__native_view;

/* bytes: lend, until ox__native_view_free; exactly one block. */
OX_MUST_USE ox_err ox__native_view_new(struct ox_str bytes, struct ox__native_view **out,
                                       struct ox_diag *diag);
/* NULL is allowed. */
void ox__native_view_free(struct ox__native_view *view);
uint32_t ox__native_view_rows(const struct ox__native_view *view);
/* Appends rows [from, to), from < to, as a block with the same columns. The same rows give the same bytes. Memory:
 * out->failed. */
void ox__native_view_slice(const struct ox__native_view *view, uint32_t from, uint32_t to,
                           struct ox_buf *out);
/* The text of a String or LowCardinality(String) cell: a view into the bytes. false: no such column. */
bool ox__native_view_text(const struct ox__native_view *view, const char *column, uint32_t row,
                          struct ox_str *out);
/* Appends a row as a JSON object: 64-bit integers as strings, DateTime64 as RFC 3339, Date as YYYY-MM-DD, FixedString in
 * hexadecimal unless it is one printable character. Memory: out->failed. */
void ox__native_view_json(const struct ox__native_view *view, uint32_t row, struct ox_buf *out);

#endif
