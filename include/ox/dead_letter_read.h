/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/dead_letter_read.h - reads the dead-letter files of a directory, and remembers what was replayed.
 *
 * Owns:    a reader its open files, the marks their file while open for writing.
 * Threads: one owner each; beside a server that writes the same directory.
 * Bounds:  one line in memory (OX_DEAD_LETTER_LINE_MAX), OX_DEAD_LETTER_FILES_MAX files.
 * Fails:   OX_E_IO, OX_E_NOMEM, OX_E_NOT_FOUND (no such directory).
 * Flow:    `observex dlq` -> here. The lines: ox/dead_letter.h.
 *
 * A record is known by its id, the first 80 bits of the hash of its line, which names it wherever rotation moves it.
 */
#ifndef OX_DEAD_LETTER_READ_H
#define OX_DEAD_LETTER_READ_H

#include "ox/base.h"
#include "ox/buf.h"

#define OX_DEAD_LETTER_LINE_MAX  (256u << 20)
#define OX_DEAD_LETTER_FILES_MAX 4096
#define OX_DEAD_LETTER_ID_LEN    20
#define OX_DEAD_LETTER_NAME_MAX  64

struct ox_disk;

/* Strings are views, valid until the next call on the reader. What a line does not have is empty or 0. */
struct ox_dead_letter_record {
    uint64_t number; /* 1 = the oldest line that is still there */
    char id[OX_DEAD_LETTER_ID_LEN + 1];
    char file[OX_DEAD_LETTER_NAME_MAX];
    uint64_t offset;    /* in that file */
    struct ox_str line; /* without its newline */
    bool damaged;       /* not what the program writes: only the fields above are set */
    uint64_t time_ns;
    const char *tenant; /* never NULL; zero-terminated, as the two below */
    const char *signal;
    const char *reason;
    const char *detail;
    uint64_t wal;
    uint32_t ordinal;
    struct ox_str request; /* OTLP/JSON as it stands in the line */
    struct ox_str
        columns; /* of a row that storage refused: JSON; `request` is empty then, nothing can be replayed */
    bool wire;   /* its bytes were no UTF-8: `request` has U+FFFD in their place */
};

struct ox_dead_letter_file {
    char name[OX_DEAD_LETTER_NAME_MAX];
    uint64_t bytes; /* when the reader was opened */
    uint64_t lines; /* read so far */
    uint64_t oldest_ns, newest_ns;
};

struct ox_dead_letter_reader;
/* Opens what is there now; lines that are written later may or may not be seen. disk: lend; dir: copied. NOT_FOUND when
 * `dir` is not there. */
OX_MUST_USE ox_err ox_dead_letter_reader_open(struct ox_disk *disk, const char *dir,
                                              struct ox_dead_letter_reader **out, struct ox_diag *diag);
/* The next line, oldest file first. END after the last whole one: half a line at the end is one that is being written. */
OX_MUST_USE ox_err ox_dead_letter_reader_next(struct ox_dead_letter_reader *r,
                                              struct ox_dead_letter_record *out, struct ox_diag *diag);
/* The files, oldest first; *n of them. Lend. */
const struct ox_dead_letter_file *ox_dead_letter_reader_files(const struct ox_dead_letter_reader *r,
                                                              size_t *n);
/* NULL is allowed. */
void ox_dead_letter_reader_close(struct ox_dead_letter_reader *r);

/*
 * What became of records that were sent again: DIR/replayed.log, a line "ID STATE UNIX_NS" per change, the last one
 * counts. SENT is noted durably before a record leaves, so that no crash makes a replay send it twice unasked.
 */
enum ox_replay_state {
    OX_REPLAY_NEVER,
    OX_REPLAY_SENT,    /* on its way when the replay ended: whether it arrived is not known */
    OX_REPLAY_STORED,  /* accepted */
    OX_REPLAY_REFUSED, /* refused again, and in the dead-letter file again, as another line */
    OX_REPLAY_FAILED,  /* not taken for a reason that says nothing of the record: may be sent again */
    OX_REPLAY__COUNT
};
/* "never", "sent", ... */
const char *ox_replay_state_name(enum ox_replay_state state);

struct ox_replay_marks;
/* Reads the marks of `dir`; none when there is no file. write: also opens it for noting, and cuts half a line that a crash
 * left. Who writes makes sure to be alone. */
OX_MUST_USE ox_err ox_replay_marks_open(struct ox_disk *disk, const char *dir, bool write,
                                        struct ox_replay_marks **out, struct ox_diag *diag);
/* The state of a record; from then on its mark is one that is still needed. id: OX_DEAD_LETTER_ID_LEN digits. */
enum ox_replay_state ox_replay_marks_get(struct ox_replay_marks *m, const char *id);
/* Notes a state; durable after the next sync. */
OX_MUST_USE ox_err ox_replay_marks_put(struct ox_replay_marks *m, const char *id, enum ox_replay_state state,
                                       uint64_t now_ns);
OX_MUST_USE ox_err ox_replay_marks_sync(struct ox_replay_marks *m);
/* Forgets, durably, the marks that nobody asked for since opening: their lines have expired. Only after every line was
 * asked for. */
OX_MUST_USE ox_err ox_replay_marks_trim(struct ox_replay_marks *m);
/* NULL is allowed. Does not sync. */
void ox_replay_marks_close(struct ox_replay_marks *m);

#endif
