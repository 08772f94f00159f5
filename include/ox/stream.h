/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/stream.h - a stream of a NATS server that holds the bytes of tenants' backlogs.
 *
 * Owns:    the connection.
 * Threads: one at a time (the spill lane); every call blocks, at most timeout_ms or a few times that when it connects.
 * Bounds:  bytes_max in the stream; the server's largest message; job_ms of publishing in one job.
 * Fails:   OX_E_UNAVAILABLE: no server, a slow one, a full stream; it is then left alone for OX_STREAM_REST_MS, or ten
 *          times as long as it took to connect, since all tenants wait meanwhile.
 *          OX_E_OVERLOAD, OX_E_TOO_LARGE, OX_E_EXISTS, OX_E_NOT_FOUND, OX_E_NOMEM as said below.
 * Flow:    actors/spill/spill_jobs.c -> here -> nats.c -> the server.
 *
 * The order of entries, what was moved and what came back are not the stream's business: the tenant's journal
 * (ox/backlog.h) holds an entry per message, and a message that no entry names does not count.
 */
#ifndef OX_STREAM_H
#define OX_STREAM_H

#include "ox/base.h"
#include "ox/buf.h"

#define OX_STREAM_REST_MS     5000
#define OX_STREAM_REST_MAX_MS 60000
/* Jobs in a row whose time was not enough, after which the server is left alone. */
#define OX_STREAM_SLOW_JOBS   3
#define OX_STREAM_NODE_ID_HEX 16

struct ox_stream;

struct ox_stream_options {
    const char *url;
    const char *credentials; /* "" = none */
    const char *ca_file;     /* of tls://, "" or NULL = the system's authorities */
    const char *cert_file;   /* our own certificate and key in one file; "" or NULL = none */
    char node_id[OX_STREAM_NODE_ID_HEX + 1];
    uint64_t bytes_max;
    uint32_t replicas;
    uint32_t timeout_ms;
    uint32_t job_ms; /* of publishing in one job; what was begun within it may take as long again */
    bool
        empty; /* no entry names a message: whatever the stream holds goes when the server is first reached */
};

/* Connects to nobody yet. NULL without memory. options: lend, its strings for the life of the stream. */
struct ox_stream *ox_stream_new(const struct ox_stream_options *options);
void ox_stream_free(struct ox_stream *s);

/* A job begins: its time counts from now. */
void ox_stream_begin(struct ox_stream *s);
/* Whether the job's time is used up. */
bool ox_stream_spent(const struct ox_stream *s);

/* Whether a call may be tried; connects, and makes the stream, when it is time to. */
bool ox_stream_ready(struct ox_stream *s);
/* Stores a message; *seq is its sequence, acknowledged by the server. parts: lend. TOO_LARGE: for this server. OVERLOAD:
 * the job's time is used up. EXISTS: it remembers a message of this log entry, which may be gone. Store it elsewhere. */
OX_MUST_USE ox_err ox_stream_publish(struct ox_stream *s, const struct ox_tenant_id *tenant, uint64_t wal_seq,
                                     struct ox_str head, struct ox_str payload, uint64_t *seq,
                                     struct ox_diag *diag);
/* The bytes of a message replace the content of `out`. NOT_FOUND: the server has no such message. */
OX_MUST_USE ox_err ox_stream_read(struct ox_stream *s, uint64_t seq, struct ox_buf *out,
                                  struct ox_diag *diag);
/* Removes the tenant's messages up to `seq`; UINT64_MAX: all. */
OX_MUST_USE ox_err ox_stream_purge(struct ox_stream *s, const struct ox_tenant_id *tenant, uint64_t seq);

#endif
