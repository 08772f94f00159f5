/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/journal_internal.h - what the files of the journal share.
 *
 * Owns:    nothing; see runtime/journal/journal.c for the format and the threads.
 */
#ifndef OX_JOURNAL_INTERNAL_H
#define OX_JOURNAL_INTERNAL_H

#include <pthread.h>

#include "ox/journal.h"

#define OX__JOURNAL_MAGIC 0x4f584a4cu

/* Parts that a group collects before it is handed to the kernel: two calls' worth (IOV_MAX is 1,024). */
#define OX__GROUP_IOV_MAX 2048
/* Entries of a group before it is written out (not synced): bounds the memory of their headers. */
#define OX__GROUP_ENTRIES_MAX 1024
/* Parts per write call (IOV_MAX of Linux). */
#define OX__WRITE_IOV_MAX 1024
/* What a scan reads at once. */
#define OX__SCAN_CHUNK_BYTES (1u << 20)
/* The unit in which a disk that refuses to read is tried again. */
#define OX__SECTOR_BYTES 4096u
/* Sequences left out where the numbering is in doubt; 64 bits have room for 16 million such gaps. */
#define OX__SEQ_GAP (UINT64_C(1) << 40)

/* Timestamp of a filler: an entry that stands where a repair found bytes that were none. No clock gives it. */
#define OX__FILLER_NS INT64_MIN

struct ox__seg {
    uint64_t number;
    uint64_t first_seq;
    uint64_t salt;
    uint64_t capacity; /* no entry ends behind it */
    uint64_t prev_end; /* logical end of segment number-1, 0 = not known */
    uint64_t end;      /* one behind the last durable byte */
    uint64_t file_bytes;
    uint64_t entries;
    int64_t oldest_ns;
    int64_t newest_ns;
    bool released;
};

struct ox__group {
    struct iovec iov[OX__GROUP_IOV_MAX];
    int n_iov;
    uint8_t heads[OX__GROUP_ENTRIES_MAX][OX_JOURNAL_ENTRY_OVERHEAD];
    int n_heads;
    uint64_t entries; /* since the last sync, written out or not */
    uint64_t bytes;
    uint64_t payload_bytes;
    int64_t oldest_ns;
    int64_t newest_ns;
    ox_err failed; /* a write failed: nothing more is taken until a commit has said so */
    int failed_errno;
};

struct ox_journal {
    uint32_t magic;
    struct ox_disk *disk; /* lend */
    struct ox_journal_options options;
    char dir[OX_DISK_PATH_MAX];

    /* Writer only. */
    int fd;             /* of the newest segment while it may be appended to, else -1 */
    struct ox__seg cur; /* the newest as it was created: its sequence, salt and capacity, without the lock */
    uint64_t write_off; /* where the first part of `group` belongs */
    uint64_t next_off;  /* where the next entry will begin */
    uint64_t next_number;
    uint64_t next_first_seq; /* of the next segment */
    struct ox__group group;

    /* Under `lock`: taken briefly by every thread, never over input or output. Last in the order of locks. */
    pthread_mutex_t lock;
    struct ox__seg *segs; /* oldest first */
    size_t n_segs, cap_segs;
    bool active; /* the newest may still grow */
    uint64_t next_seq;
    struct ox_journal_stats counts; /* since open */

    /* Held over the removal of files, taken before `lock`. */
    pthread_mutex_t release_lock;
};

/* segment.c: names, headers, creation */

/* The path of a file of the journal; suffix "seg" or "tmp". */
void ox__segment_path(const struct ox_journal *j, uint64_t number, const char *suffix, char *out, size_t cap);
/* Whether `name` is <16 hex digits><suffix>; gives the number. */
bool ox__segment_name(const char *name, const char *suffix, uint64_t *number);
/* Both copies of the header, as they lie at the beginning of the file. */
void ox__segment_header_encode(const struct ox__seg *seg, enum ox_journal_kind kind,
                               uint8_t out[OX_JOURNAL_HEADER_BYTES]);
/* Reads whichever copy is whole. CORRUPT: neither. UNIMPLEMENTED: a newer version. *kind as written. */
OX_MUST_USE ox_err ox__segment_header_decode(const uint8_t in[OX_JOURNAL_HEADER_BYTES], struct ox__seg *seg,
                                             uint32_t *kind);
/* The magic number of the entries of a segment: secret like its salt, never 0 and never all ones. */
uint32_t ox__segment_magic(uint64_t salt);
/* Checksum of an entry: keyed by salt and sequence, over magic, length, timestamp and payload. */
uint32_t ox__entry_crc_begin(uint64_t salt, uint64_t seq, uint32_t magic, uint32_t len, int64_t timestamp_ns);
/* Makes the next segment durable, big enough for an entry of `entry_bytes`, and the old one final (its group
 * is committed first). */
OX_MUST_USE ox_err ox__segment_next(struct ox_journal *j, uint64_t entry_bytes);

/* append.c */

/* Writes out and syncs the group; on failure seals the segment. Leaves group.failed set on failure. */
OX_MUST_USE ox_err ox__group_sync(struct ox_journal *j);

/* table of segments, journal.c; the lock is held */
struct ox__seg *ox__table_newest(struct ox_journal *j);
OX_MUST_USE ox_err ox__table_add(struct ox_journal *j, const struct ox__seg *seg);
/* The segment whose entries can have sequence seq, or NULL. */
struct ox__seg *ox__table_find(struct ox_journal *j, uint64_t seq);
/* The first segment with number >= `number`, or NULL. */
struct ox__seg *ox__table_at(struct ox_journal *j, uint64_t number);

/* scan.c: entries of one open segment file */
struct ox__scan {
    struct ox_disk *disk;
    int fd;
    uint64_t salt;
    uint64_t first_seq;
    uint64_t pos;
    uint64_t end;
    struct ox_buf window;
    uint64_t window_off;
    uint64_t unreadable; /* bytes that the disk refused; read as zero */
};

enum ox__scan_result { OX__SCAN_ENTRY, OX__SCAN_FILLER, OX__SCAN_BAD, OX__SCAN_END, OX__SCAN_FAILED };

struct ox__scan_item {
    /* ENTRY, FILLER */
    uint64_t offset;
    uint32_t len;
    int64_t timestamp_ns;
    const uint8_t *payload; /* until the next call */
    /* BAD: [offset, bad_to) holds no entry; nonzero_to is behind its last byte that is not zero. */
    uint64_t bad_to;
    uint64_t nonzero_to;
};

void ox__scan_init(struct ox__scan *s, struct ox_disk *disk, int fd, const struct ox__seg *seg, uint64_t from,
                   uint64_t end);
void ox__scan_fini(struct ox__scan *s);
/* FAILED: out of memory. Otherwise moves behind what it reports. */
enum ox__scan_result ox__scan_next(struct ox__scan *s, struct ox__scan_item *item);
/* Whether a whole entry, or a filler, lies at `offset`. */
OX_MUST_USE ox_err ox__scan_at(struct ox__scan *s, uint64_t offset, struct ox__scan_item *item, bool *found);

/* recover.c */

/* Whether the bad bytes at the end of the last segment are an entry that was written to its end and is wrong all the same.
 * In doubt: no, an interrupted write. */
bool ox__tail_is_damage(struct ox_disk *disk, int fd, const struct ox__seg *seg,
                        const struct ox__scan_item *bad);
/* Copies [from, to) to the beginning of another file; what the disk refuses to read becomes zeros. */
OX_MUST_USE ox_err ox__copy_bytes(struct ox_disk *disk, int from_fd, int to_fd, uint64_t from, uint64_t to);
OX_MUST_USE ox_err ox__recover(struct ox_journal *j, struct ox_journal_report *report, struct ox_diag *diag);

/* For calls whose failure changes nothing that anybody relies on; the caller says why. */
static inline void
ox__ignore(ox_err err)
{
    (void)err;
}

static inline void
ox__put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void
ox__put64(uint8_t *p, uint64_t v)
{
    ox__put32(p, (uint32_t)v);
    ox__put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint32_t
ox__get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
ox__get64(const uint8_t *p)
{
    return (uint64_t)ox__get32(p) | (uint64_t)ox__get32(p + 4) << 32;
}

#endif
