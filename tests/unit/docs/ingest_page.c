/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    docs/ingest.md names every reason for which a record is refused, and every status of a refused request.
 * Method:  a row of the page for each name of the tables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ox/validate.h"

#define PAGE_BYTES_MAX (64 * 1024)

static char page[PAGE_BYTES_MAX];

static int
expect_row(const char *first)
{
    char row[64];
    snprintf(row, sizeof(row), "\n| %s |", first);
    if (strstr(page, row) != NULL)
        return 0;
    fprintf(stderr, "docs/ingest.md has no row for %s\n", first);
    return 1;
}

/* Those of include/ox/tbl/errors.h that a sender can meet. */
static int
expect_statuses(void)
{
    static const ox_err met[] = {OX_E_DECODE,   OX_E_UNAUTHENTICATED,  OX_E_FORBIDDEN,  OX_E_NO_ROUTE,
                                 OX_E_METHOD,   OX_E_REQUEST_TIMEOUT,  OX_E_TOO_LARGE,  OX_E_MEDIA_TYPE,
                                 OX_E_OVERLOAD, OX_E_HEADER_TOO_LARGE, OX_E_UNAVAILABLE};
    int missing = 0;
    for (size_t i = 0; i < OX_COUNT(met); i++) {
        char status[16];
        snprintf(status, sizeof(status), "%d", ox_err_info(met[i])->http_status);
        missing += expect_row(status);
    }
    return missing;
}

int
main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    int missing = 0;
    if (file == NULL) {
        fprintf(stderr, "usage: ingest_page docs/ingest.md\n");
        return 1;
    }
    page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
    fclose(file);
    for (int r = OX_REJECT_NONE + 1; r < OX_REJECT__COUNT; r++) {
        char name[40];
        snprintf(name, sizeof(name), "`%s`", ox_reject_name((enum ox_reject)r));
        if (r != OX_REJECT_DISPOSED) /* never told to a sender */
            missing += expect_row(name);
    }
    return missing + expect_statuses() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
