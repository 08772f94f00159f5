/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/docs/errors_page.c - docs/errors.md must say what include/ox/tbl/errors.h says.
 */
#include "ox/base.h"
#include "page.h"

static const char head[] = "# Errors\n\n"
                           "Generated from `include/ox/tbl/errors.h`. Each error of the program stands there "
                           "once: whoever refuses something\n"
                           "names one of them, and from it come the status on both ports and whether sending "
                           "again can help. Beside it an answer\n"
                           "has a sentence of its own that says what was wrong, and where.\n\n"
                           "| class | meaning |\n|---|---|\n"
                           "| input | the sender's: sending the same again will not help |\n"
                           "| busy | a bound was reached: the same may succeed later |\n"
                           "| io | the machine refused: disk, network, storage |\n"
                           "| corrupt | bytes at rest are not what was written |\n"
                           "| state | asked at the wrong time, or of something that is not there |\n\n"
                           "| error | class | again | HTTP | gRPC | text |\n|---|---|---|---|---|---|\n";

/* Of https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
static const char *const grpc_names[] = {
    "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
};

struct row {
    const char *name, *class_name;
    bool retryable;
    int grpc, http;
    const char *text;
};

static const struct row rows[] = {
#define OX_ERROR(symbol, class, retryable, grpc, http, text) {#symbol, #class, retryable, grpc, http, text},
#include "ox/tbl/errors.h"
#undef OX_ERROR
};

int
main(int argc, char **argv)
{
    struct ox_buf page;
    ox_buf_init(&page);
    ox_buf_append_cstr(&page, head);
    for (size_t i = 0; i < OX_COUNT(rows); i++) {
        const struct row *r = &rows[i];
        OX_ASSERT((size_t)r->grpc < OX_COUNT(grpc_names));
        ox_buf_printf(&page, "| `%s` | %s | %s | %d | %d %s | %s |\n", r->name, r->class_name,
                      r->retryable ? "yes" : "no", r->http, r->grpc, grpc_names[r->grpc], r->text);
    }
    return page_main(argc, argv, &page, "errors_page");
}
