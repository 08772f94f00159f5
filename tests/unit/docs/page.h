/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/docs/page.h - a page of docs/ that is written from a table, and checked against it.
 *
 * Owns:    nothing.
 * Threads: one.
 * Bounds:  PAGE_BYTES_MAX of a page's file.
 * Fails:   exit code 1 with a sentence.
 */
#ifndef OX_TESTS_PAGE_H
#define OX_TESTS_PAGE_H

#include "ox/buf.h"

/*
 * The rest of main: without an argument it writes `page` to standard output; with a file it compares, and
 * where they differ names the line and how to write the page anew. page: steal. program: its name in the build.
 */
int page_main(int argc, char **argv, struct ox_buf *page, const char *program);

#endif
