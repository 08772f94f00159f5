/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/docs/metrics_page.c - docs/metrics.md must say what the tables of metrics say.
 *
 * Without an argument it writes the page to standard output; with the page's file it compares and ends with 1
 * where they differ.
 *
 * Owns:    the page's text.
 * Threads: one.
 * Bounds:  PAGE_BYTES_MAX of the file.
 * Fails:   exit code 1 with a sentence.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ox/metric.h"

#define PAGE_BYTES_MAX (1024 * 1024)

/* The number of the line in which a and b first differ. */
static size_t
differing_line(struct ox_str a, struct ox_str b)
{
    size_t line = 1;
    for (size_t i = 0; i < a.n && i < b.n && a.p[i] == b.p[i]; i++)
        line += a.p[i] == '\n';
    return line;
}

static int
compare(const char *path, struct ox_str wanted)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(PAGE_BYTES_MAX);
    struct ox_str have = {text, 0};
    if (file != NULL && text != NULL)
        have.n = fread(text, 1, PAGE_BYTES_MAX, file);
    bool same = file != NULL && ox_str_eq(have, wanted);
    if (!same)
        fprintf(stderr,
                "docs/metrics.md differs from the tables of metrics in line %zu: run "
                "build/tests/unit/docs/metrics_page >docs/metrics.md\n",
                differing_line(have, wanted));
    if (file != NULL)
        fclose(file);
    free(text);
    return same ? 0 : 1;
}

int
main(int argc, char **argv)
{
    struct ox_buf page;
    ox_buf_init(&page);
    ox_metric_markdown(&page);
    int code = page.failed ? 1 : 0;
    if (argc > 1)
        code |= compare(argv[1], ox_buf_str(&page));
    else
        fwrite(page.data, 1, page.len, stdout);
    ox_buf_fini(&page);
    return code;
}
