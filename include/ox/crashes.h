/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/crashes.h - the obituaries of actors and nodes: the last ones in memory, more of them on disk.
 *
 * Owns:    a ring of OX_CRASHES_MAX records; the file, which is rotated once.
 * Threads: note, list and find on any thread, none of them blocks on the disk; save blocks: dirty threads, one at a time
 *          (it takes a lock of its own).
 * Bounds:  OX_CRASHES_MAX in memory, OX_CRASHES_FILE_MAX bytes in each of two files. A storm that is faster than the disk
 *          leaves records out of the file: counted.
 * Fails:   IO, DISK_FULL: the ring still has them.
 * Flow:    runtime hook, crash record of the last node -> note -> save -> DIR/crash/obituaries.jsonl; API -> list.
 */
#ifndef OX_CRASHES_H
#define OX_CRASHES_H

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/disk.h"

#define OX_CRASHES_MAX      256
#define OX_CRASHES_FILE_MAX (1u << 20)

/* What died: it says what was lost by it. */
enum ox_crash_scope {
    OX_CRASH_ACTOR, /* one actor; the node went on */
    OX_CRASH_NODE   /* the process, and all actors with it */
};

/* How sure it is that the cause named is the guilty one. */
enum ox_crash_charge {
    OX_CHARGE_NONE,    /* nobody's message was in hand */
    OX_CHARGE_IN_HAND, /* its message was being handled; what ran is not always what is guilty */
    OX_CHARGE_ALONE    /* nothing else was in hand or had been since the actor's start: as sure as it gets */
};

struct ox_crash {
    uint64_t id;      /* counts up for the life of the data directory's files */
    uint64_t time_ns; /* Unix time */
    enum ox_crash_scope scope;
    enum ox_crash_charge charge;
    char kind[32];   /* class of the actor: "tenant" */
    char name[96];   /* "tenant/acme" */
    char reason[32]; /* "panic", "SIGSEGV", "hung", ... */
    char message[32];
    char tenant[OX_TENANT_MAX + 1];
    uint64_t wal_seq; /* 0 = none */
    uint64_t age_ns;  /* of the incarnation */
    uint32_t restarts;
    char text[512];
    char backtrace[2048];
};

struct ox_crashes;

/* Opens the history in `dir` (made by the caller) and reads its newest records. A line that cannot be read is left out.
 * NULL without memory; no file is no failure. */
struct ox_crashes *ox_crashes_open(struct ox_disk *disk, const char *dir);
void ox_crashes_close(struct ox_crashes *c);
/* Takes a copy; fills in its id. */
void ox_crashes_note(struct ox_crashes *c, const struct ox_crash *crash);
/* Appends to the file, durably, what was noted since. */
OX_MUST_USE ox_err ox_crashes_save(struct ox_crashes *c);
/* Copies up to `max` records, newest first; returns how many. *total: how many were ever noted here. */
size_t ox_crashes_list(struct ox_crashes *c, struct ox_crash *out, size_t max, uint64_t *total);
/* The newest record about a log entry, or about a tenant when wal_seq is 0; false: none. */
bool ox_crashes_find(struct ox_crashes *c, uint64_t wal_seq, const char *tenant, struct ox_crash *out);

/* One JSON object, all on one line. */
void ox_crash_json(const struct ox_crash *crash, struct ox_buf *out);
/* The inverse, from a parsed object (json_t of jansson); false when it is none. */
struct json_t;
bool ox_crash_from_json(const struct json_t *object, struct ox_crash *out);
/* "actor", "node"; "none", "in_hand", "alone". */
const char *ox_crash_scope_name(enum ox_crash_scope scope);
const char *ox_crash_charge_name(enum ox_crash_charge charge);
/* What the charge means, for people. */
const char *ox_crash_charge_means(enum ox_crash_charge charge);

#endif
