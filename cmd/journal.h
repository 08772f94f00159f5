/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/journal.h - what the files of `observex journal` share.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 */
#ifndef OX_CMD_JOURNAL_H
#define OX_CMD_JOURNAL_H

#include <jansson.h>

#include "ox/journal.h"

struct journal_request {
    uint64_t segment; /* `inspect`: only this one; 0 = all */
    bool json;
};

/* Prints segments, entries and findings of the journal in `dir`. Returns the exit code; 1 when bytes are damaged. */
int journal_inspect(const struct journal_request *q, const char *dir, enum ox_journal_kind kind);
/* Reads every segment of the journal and every entry's payload. report: out, take; NULL after a complaint. *sound: out. */
json_t *journal_verify(const char *dir, enum ox_journal_kind kind, bool *sound);

/* What a payload says, as the members of an object; NULL when it is not understood, and `diag` says why. */
json_t *journal_describe(enum ox_journal_kind kind, struct ox_str payload, struct ox_diag *diag);
/* The same in a few words: "tenant default, logs, 12 records". out: cut to its size. */
void journal_words(const json_t *described, char *out, size_t size);

/* A whole number from 1. */
bool journal_number(const char *text, uint64_t *out);
/* "2026-01-02T03:04:05.000000000Z", or "-". */
void journal_time(int64_t ns, char *out, size_t size);

#endif
