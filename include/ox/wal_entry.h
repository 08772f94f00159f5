/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/wal_entry.h - the payload of one entry of the write-ahead log: one accepted request.
 *
 * Owns:    nothing but the ranges of rejected ordinals.
 * Threads: any; pure.
 * Bounds:  OX_WAL_RECORDS_MAX records per request; body below the journal's largest entry.
 * Fails:   OX_E_DECODE, OX_E_UNIMPLEMENTED (a newer version), OX_E_TRUNCATED, OX_E_NOMEM.
 * Flow:    actors/wal appends it; replay and actors/tenant read it. Layout: actors/wal/wal_entry.c.
 */
#ifndef OX_WAL_ENTRY_H
#define OX_WAL_ENTRY_H

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/ranges.h"

/* Version 2 carries an origin and is written only for entries that have one, so that a version that knows no origins
 * reads everything else. */
#define OX_WAL_ENTRY_VERSION        1
#define OX_WAL_ENTRY_VERSION_ORIGIN 2
#define OX_WAL_RECORDS_MAX          (1u << 24)

enum ox_wal_encoding { OX_WAL_OTLP_PROTOBUF = 1 };

/* Where an entry waited before it came into the log (again). */
enum ox_wal_origin { OX_WAL_ORIGIN_NONE, OX_WAL_ORIGIN_BACKLOG, OX_WAL_ORIGIN_STREAM, OX_WAL_ORIGIN__COUNT };

/* 128 bits that tell requests apart (XXH3 of the bytes). */
struct ox_wal_hash {
    uint64_t lo;
    uint64_t hi;
};

struct ox_wal_entry {
    struct ox_tenant_id tenant;
    enum ox_signal signal;
    enum ox_wal_encoding encoding;
    uint64_t received_ns; /* Unix time */
    struct ox_wal_hash request_hash;
    uint32_t policy_version;
    /* The tenant's store that the entry was read back from, and its sequence there: whatever that store holds of the
     * tenant up to it is in the log. NONE and 0 for a request as it arrived. */
    enum ox_wal_origin origin;
    uint64_t origin_seq;
    uint32_t n_records; /* rejected ones counted: ordinals are 0..n_records-1 */
    /* Ordinals refused before the append (they are not part of the promise). Decoding allocates it when there
     * is more than one range: ox_wal_entry_fini. */
    struct ox_ranges rejected;
    struct ox_str body; /* the request's bytes, in `encoding` */
};

/* The hash of a request's bytes. bytes: lend. */
struct ox_wal_hash ox_wal_hash_of(struct ox_str bytes);

/* Appends everything but the body to `header`; header bytes followed by entry->body are the payload, so that
 * the body is written from where it lies. entry: lend. INVALID when a field is out of its bounds. */
OX_MUST_USE ox_err ox_wal_entry_encode(const struct ox_wal_entry *entry, struct ox_buf *header);

/* Reads a payload, every field checked. out->body is a view into `payload`. On OX_OK call ox_wal_entry_fini.
 */
OX_MUST_USE ox_err ox_wal_entry_decode(struct ox_str payload, struct ox_wal_entry *out, struct ox_diag *diag);
void ox_wal_entry_fini(struct ox_wal_entry *entry);

#endif
