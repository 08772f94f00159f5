/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/shim.h - what the harness and the preloaded shim share: the control page and the log of what is not
 * synced yet.
 *
 * Owns:    nothing.
 * Threads: the control page is written by the harness and read by every thread of the processes under test; each
 *          field stands for itself, so relaxed order is enough. The log is appended with one write per record.
 */
#ifndef CHAOS_SHIM_H
#define CHAOS_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#define SHIM_MAGIC 0x6f786368u
#define SHIM_CONTROL                                                                                         \
    "OX_SHIM_CONTROL" /* environment: path of the control page; SHIM_LOG and SHIM_GRAVES beside it */
#define SHIM_DATA   "OX_SHIM_DATA" /* environment: the data directory; nothing outside of it is touched */
#define SHIM_LOG    "unsynced.log"
#define SHIM_GRAVES "graves"

/* Who: bits of shim_control.who. */
enum { SHIM_HEART = 1, SHIM_NODE = 2, SHIM_ENGINE = 4 };
/* Where: bits of shim_control.where and of an open file. */
enum { SHIM_WAL = 1, SHIM_OUTBOX = 2, SHIM_STORE = 4, SHIM_OTHER = 8 };
/* What: bits of shim_control.what. */
enum { SHIM_WRITE = 1, SHIM_SYNC = 2 };

struct shim_control {
    uint32_t magic;
    _Atomic uint32_t track; /* log what is not synced, for power loss */
    /* A call that matches who, where and what is late and fails by this chance. */
    _Atomic uint32_t who, where, what;
    _Atomic uint32_t percent;
    _Atomic int32_t error; /* errno; 0 = it only is late */
    _Atomic uint32_t delay_us;
    _Atomic uint64_t fired;
    /* Bytes by which the files of the data directory may still grow; below 0 = no limit. */
    _Atomic int64_t room;
    _Atomic uint64_t refused_growth;
    /* Added to the wall clock of who_clock. */
    _Atomic uint32_t who_clock;
    _Atomic int64_t clock_ns;
};

/*
 * The log. Before a change the shim writes what undoes it, after it DONE; a sync is SYNC before and SYNCED after it.
 * What was DONE before a SYNC that was SYNCED is durable. A torn record at the end is a change that did not happen.
 */
enum shim_kind {
    SHIM_R_WRITE =
        1, /* ino: file; off, len: range; size: of the file before; bytes: what stood there up to size */
    SHIM_R_TRUNCATE, /* ino: file; off: new size; size: before; bytes: what is cut off */
    SHIM_R_CREATE,   /* ino: directory; name. DONE: ino of the file */
    SHIM_R_MKDIR,    /* ino: directory; name. DONE: ino of the new one */
    SHIM_R_UNLINK,   /* ino: directory; name; the file lives on as SHIM_GRAVES/<id> */
    SHIM_R_RMDIR,    /* ino: directory; name; off: ino of the one that goes */
    SHIM_R_RENAME,   /* ino: directory; name; off: other directory; other name; what it replaces lives on */
    SHIM_R_EXCHANGE, /* as RENAME */
    SHIM_R_DONE,     /* id of the change; ino; off: 1 = it failed and changed nothing */
    SHIM_R_SYNC,     /* ino: file or directory */
    SHIM_R_SYNCED    /* id of the SYNC */
};

struct shim_record {
    uint32_t magic;
    uint32_t kind;
    uint64_t id; /* pid in the upper half, so unique over processes */
    uint64_t time_ns;
    uint64_t ino, off, len, size;
    uint32_t name_n,
        other_n; /* bytes that follow: name, other name, bytes_n of content, zeros up to a multiple of 8 */
    uint32_t bytes_n;
    uint32_t zeros; /* the content is bytes up to `size`, all zero, and is left out */
};

#endif
