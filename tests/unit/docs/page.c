/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/docs/page.c - see page.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page.h"

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

static const char *
name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int
compare(const char *path, struct ox_str wanted, const char *program)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(PAGE_BYTES_MAX);
    struct ox_str have = {text, 0};
    if (file != NULL && text != NULL)
        have.n = fread(text, 1, PAGE_BYTES_MAX, file);
    bool same = file != NULL && ox_str_eq(have, wanted);
    if (!same)
        fprintf(stderr, "docs/%s differs from its table in line %zu: run build/tests/unit/docs/%s >docs/%s\n",
                name_of(path), differing_line(have, wanted), program, name_of(path));
    if (file != NULL)
        fclose(file);
    free(text);
    return same ? 0 : 1;
}

int
page_main(int argc, char **argv, struct ox_buf *page, const char *program)
{
    int code = page->failed ? 1 : 0;
    if (argc > 1)
        code |= compare(argv[1], ox_buf_str(page), program);
    else
        fwrite(page->data, 1, page->len, stdout);
    ox_buf_fini(page);
    return code;
}
