/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_call.h - one question being answered: what its handlers share.
 *
 * Owns:    the decoded parameters and the notes for `meta`.
 * Threads: one dirty thread.
 * Bounds:  struct ox_query_limits.
 */
#ifndef OX_QUERY_CALL_H
#define OX_QUERY_CALL_H

#include "actors/query/query_json.h"
#include "actors/query/query_params.h"
#include "actors/query/query_rows.h"
#include "actors/query/query_sampled.h"
#include "actors/query/query_sql.h"
#include "actors/query/query_time.h"
#include "ox/query.h"

#define OX__PARTIAL_MAX 8

struct ox__call {
    const struct ox_query *q;
    const struct ox_query_request *req;
    struct ox_query_limits limits;
    struct ox__params params;
    struct ox_str path_arg; /* what stands for {…} in the route's pattern */
    uint64_t now_ns;        /* wall clock when the question arrived */
    uint64_t started_ns;    /* monotonic */
    struct ox_diag diag;
    const char *hint; /* for the error answer; NULL = none */
    /* meta */
    uint64_t rows;  /* in the answer's main list */
    uint64_t limit; /* 0 = none applies */
    struct ox__range range;
    bool has_range;
    bool truncated;
    bool exact;           /* counted before sampling */
    struct ox__sums sums; /* of the spans that were looked at, if the answer is made of spans */
    bool sums_bounded;    /* ...and they are grouped by trace */
    char partial[OX__PARTIAL_MAX][160];
    size_t n_partial;
    uint64_t read_rows;
    uint64_t read_bytes;
    struct ox_buf cursor; /* for the next question; empty = none */
};

/* Writes the members of the answer's object, except meta. Errors leave a sentence in c->diag. */
typedef ox_err (*ox__handler_fn)(struct ox__call *c, struct ox__json *j);

/* Runs a statement as the asking tenant within what is left of the budget and appends RowBinary to `out`. */
OX_MUST_USE ox_err ox__call_query(struct ox__call *c, const struct ox__sql *sql, struct ox_buf *out);
/* Notes that something is missing from the answer, and why. */
void ox__call_partial(struct ox__call *c, const char *what, const struct ox_diag *why);
/* The error for a result that was not what the statement asks for. */
ox_err ox__call_damaged(struct ox__call *c);
/* Reads `limit`: 1..max, default limits.results_default. Notes it for meta. */
OX_MUST_USE ox_err ox__call_limit(struct ox__call *c, uint32_t max, uint32_t fallback);
/* Reads start, end, time. Notes them for meta. */
OX_MUST_USE ox_err ox__call_range(struct ox__call *c);
/* INVALID when the question has parameters that the handler did not read. names: the legal ones. */
OX_MUST_USE ox_err ox__call_done_params(struct ox__call *c, const char *const *names);
/* The "meta" member; says whether the spans that were looked at (c->sums) were sampled, and how. */
void ox__call_meta(struct ox__call *c, struct ox__json *j);
/* Appends "tenant_id = <the asking tenant>". */
void ox__call_tenant(struct ox__call *c, struct ox__sql *sql);

/* The handlers, one per endpoint. */
ox_err ox__handle_trace(struct ox__call *c, struct ox__json *j);       /* query_trace.c */
ox_err ox__handle_traces(struct ox__call *c, struct ox__json *j);      /* query_traces.c */
ox_err ox__handle_logs(struct ox__call *c, struct ox__json *j);        /* query_logs.c */
ox_err ox__handle_metrics(struct ox__call *c, struct ox__json *j);     /* query_metrics.c */
ox_err ox__handle_services(struct ox__call *c, struct ox__json *j);    /* query_services.c */
ox_err ox__handle_cardinality(struct ox__call *c, struct ox__json *j); /* query_cardinality.c */
ox_err ox__handle_service_stats(struct ox__call *c, struct ox__json *j);
ox_err ox__handle_operations(struct ox__call *c, struct ox__json *j); /* query_operations.c */
ox_err ox__handle_status(struct ox__call *c, struct ox__json *j);
ox_err ox__handle_crashes(struct ox__call *c, struct ox__json *j); /* query_warden.c */
ox_err ox__handle_quarantine(struct ox__call *c, struct ox__json *j);
ox_err ox__handle_revoke(struct ox__call *c, struct ox__json *j);

#endif
