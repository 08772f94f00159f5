/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/sql.h - what must be known of a statement before it runs: its kind, its FORMAT, where data begins.
 *
 * Owns:    nothing; views into the text.
 * Threads: any; pure.
 */
#ifndef OX_ENGINE_SQL_H
#define OX_ENGINE_SQL_H

#include "ox/base.h"

enum ox__sql_kind {
    OX__SQL_EMPTY,
    OX__SQL_SELECT,      /* SELECT, WITH or a parenthesis: may be streamed */
    OX__SQL_READ,        /* SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK */
    OX__SQL_INSERT_DATA, /* INSERT INTO table ... FORMAT name: data follow */
    OX__SQL_INSERT,      /* any other INSERT: VALUES, SELECT, FUNCTION */
    OX__SQL_OTHER        /* DDL, SET, SYSTEM, KILL ... */
};

struct ox__sql {
    enum ox__sql_kind kind;
    struct ox_str text;     /* the statement without closing semicolon; for INSERT_DATA without the data */
    struct ox_str format;   /* the name behind FORMAT; empty = none */
    struct ox_str target;   /* INSERT_DATA: table, as written */
    struct ox_str columns;  /* INSERT_DATA: what stood between the parentheses; empty = none */
    struct ox_str settings; /* INSERT_DATA: behind SETTINGS */
    struct ox_str data;     /* INSERT_DATA: what follows in the same text */
    bool several;           /* more than one statement */
    bool outfile;           /* INTO OUTFILE: writes a file of the engine's machine */
};

/* Looks at `text` (lend; the views in `out` point into it). Never fails: what is not understood is OTHER. */
void ox__sql_scan(struct ox_str text, struct ox__sql *out);

/* Whether results in this format may be sent in pieces: each block by itself is valid output. */
bool ox__sql_format_streams(struct ox_str format);

#endif
