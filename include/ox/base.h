/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/base.h - what every room shares: errors, diagnostics, string views, assertions.
 *
 * Owns:    nothing; types, macros and pure functions only.
 * Threads: any.
 */
#ifndef OX_BASE_H
#define OX_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OX_MUST_USE          __attribute__((warn_unused_result))
#define OX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define OX_NORETURN          __attribute__((noreturn))
#define OX_LIKELY(x)         __builtin_expect(!!(x), 1)
#define OX_UNLIKELY(x)       __builtin_expect(!!(x), 0)
#define OX_COUNT(a)          (sizeof(a) / sizeof((a)[0]))

/* Errors: see tbl/errors.h. OX_OK is 0. */
typedef enum ox_err {
#define OX_ERROR(symbol, class, retryable, grpc, http, text) OX_E_##symbol,
#include "ox/tbl/errors.h"
#undef OX_ERROR
    OX_ERR__COUNT
} ox_err;
#define OX_OK OX_E_OK

enum ox_err_class { OX_CLASS_input, OX_CLASS_busy, OX_CLASS_io, OX_CLASS_corrupt, OX_CLASS_state };

struct ox_err_info {
    const char *symbol; /* "MAILBOX_FULL" */
    enum ox_err_class class;
    bool retryable;
    int grpc_status;
    int http_status;
    const char *text;
};

/* The row of `err` in tbl/errors.h; never NULL (an unknown value gives the row of INTERNAL). */
const struct ox_err_info *ox_err_info(ox_err err);
/* Shorthand for ox_err_info(err)->text. */
const char *ox_err_text(ox_err err);
/* The error that stands for an errno value: ENOSPC and EDQUOT give DISK_FULL, ENOMEM NOMEM, the rest IO. */
ox_err ox_err_from_errno(int errnum);

/* What was wrong with an input, where, and what would be right. Fixed size: usable without memory. */
struct ox_diag {
    char field[96]; /* path of the field, "resourceSpans[0].scopeSpans[1].spans[7].traceId"; may be empty */
    uint32_t retry_ms; /* of what may be tried again: when; 0 = nobody knows */
    int64_t offset;    /* byte offset in the input, or line number for files (1-based); -1 = unknown */
    char text[288];    /* one sentence */
};

/* Empties `diag`; NULL is allowed here and below, so callers without interest pass NULL. */
void ox_diag_clear(struct ox_diag *diag);
/* Fills `diag` (field may be NULL) and returns `err`, so that `return ox_diag_set(...)` reads well. */
ox_err ox_diag_set(struct ox_diag *diag, ox_err err, const char *field, int64_t offset, const char *fmt, ...)
    OX_PRINTF(5, 6);

/* A view of bytes that somebody else owns; not terminated; p may be NULL when n is 0. */
struct ox_str {
    const char *p;
    size_t n;
};

#define OX_STR(literal) ((struct ox_str){(literal), sizeof(literal) - 1})

static inline struct ox_str
ox_str_of(const char *cstr)
{
    return (struct ox_str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool
ox_str_eq(struct ox_str a, struct ox_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive equality (header names). */
bool ox_str_caseeq(struct ox_str a, struct ox_str b);

/* Lower-case hex. `out` receives 2*n characters and a terminating zero. */
void ox_hex_encode(const void *bytes, size_t n, char *out);
/* Reads exactly 2*n hex digits of either case. INVALID on anything else; `out` is then undefined. */
OX_MUST_USE ox_err ox_hex_decode(struct ox_str hex, void *out, size_t n);

/*
 * Assertions: only for our own bugs; what the outside can cause is a returned error.
 * In an actor's handler a failed assertion kills that actor (ox_panic, see ox/actor.h);
 * anywhere else, under a lock (ox/lock.h), and in runtime/ (OX_ASSERT_FATAL) whoever called it, it ends the process: what
 * actors share cannot be abandoned halfway.
 */
OX_NORETURN void ox_assert_failed(const char *file, int line, const char *expr);
/* Ends the process from anywhere. */
OX_NORETURN void ox_assert_fatal(const char *file, int line, const char *expr);
#ifdef OX_ASSERT_FATAL
#define OX_CHECK(x, text) (OX_LIKELY(x) ? (void)0 : ox_assert_fatal(__FILE__, __LINE__, text))
#else
#define OX_CHECK(x, text) (OX_LIKELY(x) ? (void)0 : ox_assert_failed(__FILE__, __LINE__, text))
#endif
#define OX_ASSERT(x)       OX_CHECK(x, #x)
#define OX_CHECK_OBJ(p, m) OX_ASSERT((p) != NULL && (p)->magic == (m))
/* The outside can cause this, so it should be a returned error and is not yet. The number of uses only falls:
 * tests/unit/runtime/core/rules_test.c. */
#define OX_UNHANDLED(x) OX_CHECK(x, "not handled yet: " #x)
#ifdef OX_DEBUG_CHECKS
#define OX_DCHECK(x) OX_ASSERT(x)
#else
#define OX_DCHECK(x) ((void)sizeof(x))
#endif

/* The three signals of OpenTelemetry, in the order of their tables. */
enum ox_signal { OX_SIGNAL_TRACES, OX_SIGNAL_LOGS, OX_SIGNAL_METRICS, OX_SIGNAL__COUNT };
/* "traces", "logs", "metrics". */
const char *ox_signal_name(enum ox_signal signal);

/* A tenant's name: 1 to 63 of [a-z0-9_-], starting with a letter or digit; zero-terminated. */
#define OX_TENANT_MAX 63
struct ox_tenant_id {
    char name[OX_TENANT_MAX + 1];
};
/* INVALID with a sentence in `diag` unless `name` is a legal tenant name. */
OX_MUST_USE ox_err ox_tenant_id_parse(struct ox_str name, struct ox_tenant_id *out, struct ox_diag *diag);

#endif
