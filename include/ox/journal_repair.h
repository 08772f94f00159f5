/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/journal_repair.h - makes the segments of a damaged journal whole again where that is possible.
 *
 * Owns:    nothing beyond the call.
 * Threads: the caller, who makes sure that nobody has the journal open.
 * Bounds:  OX_JOURNAL_STEPS_MAX steps are reported in full.
 * Fails:   OX_E_IO, OX_E_DISK_FULL, OX_E_EXISTS (the folder for originals holds such a file), OX_E_NOMEM.
 * Flow:    `observex journal repair` -> here -> the disk seam.
 *
 * A journal opens without it, whatever is damaged (runtime/journal/recover.c): it reports, and reads what is whole. A
 * repair is for what recovery must not guess: a segment under a wrong name gets the name that its header says; and for a
 * journal that is to be sound again: bytes that are no entry become a filler, the second copy of a header is written
 * anew. Nothing that can be read is changed, and before a file is replaced its original is durable in another folder.
 */
#ifndef OX_JOURNAL_REPAIR_H
#define OX_JOURNAL_REPAIR_H

#include "ox/journal.h"

#define OX_JOURNAL_STEPS_MAX 256

enum ox_journal_step_kind {
    OX_JOURNAL_STEP_RENAME, /* the file gets the number that its header says */
    OX_JOURNAL_STEP_HEADER, /* one copy of the header was damaged: written from the other */
    OX_JOURNAL_STEP_FILL,   /* bytes that are no entry become a filler */
    OX_JOURNAL_STEP_LEAVE   /* damage that stays; the text says why */
};

struct ox_journal_step {
    enum ox_journal_step_kind kind;
    uint64_t segment; /* as the file's name said before */
    uint64_t offset;
    uint64_t bytes;
    uint64_t seq_from; /* of what was there; 0,0 = not known */
    uint64_t seq_to;
    char text[200];
};

struct ox_journal_repair {
    uint64_t segments;
    uint64_t files_replaced; /* their originals are in the folder */
    uint64_t files_renamed;
    uint64_t filled_bytes;
    uint64_t left; /* LEAVE steps */
    uint64_t steps_total;
    uint32_t n_steps;
    struct ox_journal_step steps[OX_JOURNAL_STEPS_MAX];
};

/* "rename", "header", "fill", "leave" */
const char *ox_journal_step_name(enum ox_journal_step_kind kind);

/*
 * Repairs the journal in `dir`. aside: a folder for the originals of replaced files, on any file system, made when it is
 * missing; NULL = only say what would be done. disk, dir, aside: lend. report: filled, also after a failure, with what was
 * done until then; calling again goes on. Blocking.
 */
OX_MUST_USE ox_err ox_journal_repair(struct ox_disk *disk, const char *dir, enum ox_journal_kind kind,
                                     const char *aside, struct ox_journal_repair *report,
                                     struct ox_diag *diag);

#endif
