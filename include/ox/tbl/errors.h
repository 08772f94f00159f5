/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/errors.h - every error of the program, once.
 *
 * OX_ERROR(symbol, class, retryable, grpc, http, text)
 *   class      input   the peer sent something wrong; sending it again will not help
 *              busy    a bound was reached; the same request may succeed later
 *              io      the machine refused (disk, network)
 *              corrupt bytes at rest are not what was written
 *              state   asked at the wrong time, or of something that is not there
 *   grpc       status of https://grpc.github.io/grpc/core/md_doc_statuscodes.html
 *   http       status of RFC 9110 / RFC 6585; which of them a client may retry is
 *              settled by the OTLP specification ("retryable response codes": 429, 502, 503, 504)
 *   text       one sentence fragment for people, lower case, no full stop
 */
/* clang-format off */
OX_ERROR(OK,                 state,   0,  0, 200, "ok")
OX_ERROR(INVALID,            input,   0,  3, 400, "invalid value")
OX_ERROR(DECODE,             input,   0,  3, 400, "malformed encoding")
OX_ERROR(TOO_LARGE,          input,   0,  3, 413, "larger than the limit")
OX_ERROR(TOO_DEEP,           input,   0,  3, 400, "nested deeper than the limit")
OX_ERROR(HEADER_TOO_LARGE,   input,   0,  3, 431, "request header larger than the limit")
OX_ERROR(LENGTH_REQUIRED,    input,   0,  3, 411, "a length is required")
OX_ERROR(MEDIA_TYPE,         input,   0,  3, 415, "unsupported content type or encoding")
OX_ERROR(METHOD,             input,   0, 12, 405, "method not allowed")
OX_ERROR(UNIMPLEMENTED,      input,   0, 12, 501, "not implemented")
OX_ERROR(NO_ROUTE,           input,   0, 12, 404, "no such path")
OX_ERROR(UNAUTHENTICATED,    input,   0, 16, 401, "missing or unknown credentials")
OX_ERROR(FORBIDDEN,          input,   0,  7, 403, "not permitted")
OX_ERROR(NOT_FOUND,          input,   0,  5, 404, "not found")
OX_ERROR(EXISTS,             input,   0,  6, 409, "already exists")
OX_ERROR(CONFIG,             input,   0,  3, 400, "invalid configuration")
OX_ERROR(REQUEST_TIMEOUT,    input,   0,  4, 408, "the request took too long to arrive")
OX_ERROR(OVERLOAD,           busy,    1,  8, 429, "overloaded, retry later")
OX_ERROR(MAILBOX_FULL,       busy,    1,  8, 429, "mailbox full, retry later")
OX_ERROR(QUOTA,              busy,    1,  8, 429, "quota exceeded, retry later")
OX_ERROR(QUARANTINED,        busy,    1,  8, 429, "tenant is quarantined")
OX_ERROR(UNAVAILABLE,        busy,    1, 14, 503, "starting or stopping, retry later")
OX_ERROR(AGAIN,              busy,    1, 14, 503, "not known yet, retry later")
OX_ERROR(TIMEOUT,            busy,    1,  4, 504, "timed out")
OX_ERROR(CANCELLED,          state,   0,  1, 499, "cancelled")
OX_ERROR(NOMEM,              busy,    1,  8, 429, "out of memory budget, retry later")
OX_ERROR(IO,                 io,      1, 14, 503, "input/output error")
OX_ERROR(DISK_FULL,          io,      1,  8, 429, "no space left on the data disk")
OX_ERROR(READ_ONLY,          busy,    1,  8, 429, "storage is read-only, retry later")
OX_ERROR(CORRUPT,            corrupt, 0, 15, 500, "stored bytes are damaged")
OX_ERROR(TRUNCATED,          corrupt, 0, 15, 500, "stored bytes end too early")
OX_ERROR(END,                state,   0,  5, 404, "no more entries")
OX_ERROR(GONE,               state,   1, 14, 503, "the receiver is gone")
OX_ERROR(STATE,              state,   0,  9, 409, "not possible in this state")
OX_ERROR(STORAGE_DOWN,       io,      1, 14, 503, "storage does not answer")
OX_ERROR(STORAGE_OPEN,       io,      1, 14, 503, "storage failed repeatedly and is not asked until it recovers")
OX_ERROR(STORAGE_BUSY,       busy,    1,  8, 503, "storage is out of memory or slots, retry later")
OX_ERROR(STORAGE_DAMAGED,    corrupt, 1, 14, 503, "storage cannot read a part of what it holds")
OX_ERROR(STORAGE_REFUSED,    input,   0,  3, 400, "storage refused the statement or its content")
OX_ERROR(STORAGE_BUDGET,     input,   0,  8, 400, "the query exceeded its budget of rows, bytes, memory or time")
OX_ERROR(INTERNAL,           state,   0, 13, 500, "internal error")
/* clang-format on */
