/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/gateway_internal.h - what the files of the gateway share.
 *
 * Owns:    struct ox_gateway_port lives as long as the process; struct ox_intake belongs to whoever holds the
 *          request: the gateway's turn, a dirty thread, or (as ticket) the wal.
 * Threads: everything that touches the HTTP request runs on the loop of its server.
 */
#ifndef OX_GATEWAY_INTERNAL_H
#define OX_GATEWAY_INTERNAL_H

#include "ox/http.h"
#include "ox/otlp.h"
#include "ox/spine.h"
#include "ox/validate.h"

/* How the request came, which is how it is answered. */
enum ox_intake_form { OX_FORM_PROTOBUF, OX_FORM_JSON, OX_FORM_GRPC };

/* One ingest request from complete body to answer. */
struct ox_intake {
    struct ox_node *node;
    ox_pid gateway;
    struct ox_http_request *req;
    bool received; /* counted as such */
    bool logged;   /* durable, or a repeat of what is */
    enum ox_signal signal;
    enum ox_intake_form form;
    struct ox_tenant *tenant;
    struct ox_decode_limits limits; /* copied: a reload changes the port's while a dirty thread prepares */
    struct ox_validate_policy window;
    size_t body_bytes_max;
    /* filled by ox__intake_prepare */
    struct ox_body *body; /* protobuf */
    struct ox_batch *batch;
    struct ox_validate_counts counts;
    struct ox_buf dead_letters; /* lines for the refused records */
    uint32_t n_letters;
    uint32_t n_letters_left_out; /* refused, and too much to keep */
    struct ox_wal_hash_bits {
        uint64_t lo, hi;
    } hash;
    uint32_t n_records; /* as received */
    uint32_t n_accepted;
    /* What it was admitted with. Here, and not in the turn's variables, so that it goes back however the turn ends. */
    struct ox_permit permit;
    uint64_t reserved;        /* bytes of the tenant's backlog */
    struct ox_append *append; /* from then on it holds both; NULL once it is sent */
    char partial[256];        /* message of the partial success; empty = all accepted */
    const char *warned;       /* the quota that it comes near to; NULL = none */
    ox_err err;
    struct ox_diag diag;
};
void ox__intake_free(void *intake);
/* Bytes to a judged batch: frame, decompression, JSON, decoding, validation, dead letters. Touches the request
 * only by reading it; any thread. The outcome is in intake->err and diag. */
void ox__intake_prepare(void *intake);
/* Whether preparing would take long enough to hold up the loop. */
bool ox__intake_is_heavy(const struct ox_intake *intake);
/* From a judged batch to what the wal appends, in intake->append, which gets batch, permit and reservation. NOMEM. */
OX_MUST_USE ox_err ox__intake_append(struct ox_intake *intake, ox_pid reply_to);

/* The signal of an ingest path (/v1/traces, /opentelemetry.proto.collector.trace.v1.TraceService/Export ...). */
bool ox__gateway_route(struct ox_str path, enum ox_signal *signal, bool *grpc);

/* req: take. Answers in the form of the request. */
void ox__gateway_reply_ok(struct ox_intake *intake);
void ox__gateway_reply_error(struct ox_node *node, struct ox_http_request *req, ox_err err,
                             const struct ox_diag *diag);

/* ---- keys that are not known yet, stranger.c ---- */

/* Has the request's key looked up; afterwards `identified` comes. req: take; it is answered when that is refused. Own. */
void ox__stranger_ask(struct ox_actor *self, struct ox_node *node, struct ox_http_request *req);
/* The message `identified`: what was found, and the request; nothing is left of `stranger`. */
ox_err ox__stranger_found(void *stranger, struct ox_http_request **req, struct ox_identity *who,
                          struct ox_diag *diag);

/* The same when nobody will look at it: the request is given back unanswered. On its loop. */
void ox__stranger_abort(void *stranger);

/* ---- dead letters, letters.c ---- */

/* Bytes of lines that one request may cause, and that may wait for the disk: all of it is memory. */
#define OX__LETTERS_REQUEST_MAX (32u << 20)
#define OX__LETTERS_WAITING_MAX (64u << 20)

/* One per process. */
struct ox_letters {
    struct ox_node *node;
    struct ox_lane *lane;
    _Atomic uint64_t waiting_bytes; /* relaxed: a bound, not an order */
    uint64_t removed_bytes;         /* the lane only */
    _Atomic uint64_t oldest_ns;     /* of the oldest line kept; by the lane, relaxed: for the metric */
};
OX_MUST_USE ox_err ox__letters_init(struct ox_letters *letters, struct ox_node *node);
/* Hands the lines of a judged request to the lane, or counts them as not kept. Own. */
void ox__letters_write(struct ox_actor *self, struct ox_letters *letters, struct ox_intake *in);
/* Begins to look after age and total, once per incarnation of the actor that does so. Own. */
void ox__letters_watch(struct ox_actor *self, struct ox_letters *letters);
/* The message letters_tick: looks now. */
void ox__on_letters_tick(struct ox_actor *self, struct ox_letters *letters);

/* Servers of one loop. */
struct ox_gateway_port {
    struct ox_node *node;
    const struct ox_config *config; /* in force; changed between callbacks only */
    ox_pid actor;
    int fds[2]; /* listening: OTLP/HTTP, OTLP/gRPC */
    struct ox_http_census *census;
    struct ox_decode_limits limits;
    struct ox_letters *letters;
    bool keeps_letters; /* this one of all looks after their age */
    struct ox_http_server *server;
    bool asked; /* to drain; by the thread that stops the node */
    _Atomic bool drained;
};

#endif
