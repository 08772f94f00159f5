/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/starts.h - how often the heart has started a child, and what for; handed to the child in its argv.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_STARTS_H
#define OX_STARTS_H

#include "ox/base.h"

#define OX_STARTS_TEXT_MAX 96

/* What came before a start. */
enum ox_start {
    OX_START_FIRST,  /* the heart itself started */
    OX_START_CRASH,  /* a fault, or a failed check of our own that ends the node */
    OX_START_KILLED, /* a signal from outside: kill -9, the kernel without memory */
    OX_START_LATE,   /* the heart killed it, because it was not ready, or did not stop, in time */
    OX_START_EXIT,   /* it ended by itself, with an exit code of its own */
    OX_START_ASKED,  /* a key of its configuration changed, or it could not read a part of what it holds */
    OX_START__COUNT
};
struct ox_starts {
    unsigned by[OX_START__COUNT];
    enum ox_start last;
};

/* "first", "crash", ... */
const char *ox_start_name(enum ox_start start);
/* What a start behind this end is for. status: of waitpid. by_heart: the heart sent the signal. */
enum ox_start ox_start_after(int status, bool by_heart);
/* One more start. */
void ox_starts_count(struct ox_starts *starts, enum ox_start start);
/* As one argument, and back; false when the text is none. */
void ox_starts_print(const struct ox_starts *starts, char out[OX_STARTS_TEXT_MAX]);
bool ox_starts_parse(const char *text, struct ox_starts *out);

#endif
