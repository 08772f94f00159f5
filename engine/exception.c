/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/exception.c - exceptions as ClickHouse's HTTP interface shows them.
 *
 * Owns:    the table from exception code to HTTP status.
 * Threads: any.
 * Flow:    server.c, statement.c -> here -> http.c.
 */
#include "engine/engine.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct status_row {
    int code;
    int status;
};

/* As in ClickHouse; what is not named here is 500. */
static const struct status_row status_rows[] = {
    {6, 400},   /* CANNOT_PARSE_TEXT */
    {25, 400},  /* CANNOT_PARSE_ESCAPE_SEQUENCE */
    {26, 400},  /* CANNOT_PARSE_QUOTED_STRING */
    {27, 400},  /* CANNOT_PARSE_INPUT_ASSERTION_FAILED */
    {36, 400},  /* BAD_ARGUMENTS */
    {38, 400},  /* CANNOT_PARSE_DATE */
    {41, 400},  /* CANNOT_PARSE_DATETIME */
    {43, 400},  /* ILLEGAL_TYPE_OF_ARGUMENT */
    {44, 400},  /* ILLEGAL_COLUMN */
    {46, 404},  /* UNKNOWN_FUNCTION */
    {47, 404},  /* UNKNOWN_IDENTIFIER */
    {48, 501},  /* NOT_IMPLEMENTED */
    {50, 404},  /* UNKNOWN_TYPE */
    {53, 400},  /* TYPE_MISMATCH */
    {57, 400},  /* TABLE_ALREADY_EXISTS */
    {60, 404},  /* UNKNOWN_TABLE */
    {62, 400},  /* SYNTAX_ERROR */
    {69, 400},  /* ARGUMENT_OUT_OF_BOUND */
    {70, 400},  /* CANNOT_CONVERT_TYPE */
    {72, 400},  /* CANNOT_PARSE_NUMBER */
    {73, 404},  /* UNKNOWN_FORMAT */
    {81, 404},  /* UNKNOWN_DATABASE */
    {108, 400}, /* NO_DATA_TO_INSERT */
    {115, 404}, /* UNKNOWN_SETTING */
    {117, 400}, /* INCORRECT_DATA */
    {130, 400}, /* CANNOT_READ_ARRAY_FROM_TEXT */
    {164, 500}, /* READONLY */
    {202, 503}, /* TOO_MANY_SIMULTANEOUS_QUERIES */
    {236, 503}, /* ABORTED */
    {241, 500}, /* MEMORY_LIMIT_EXCEEDED */
    {321, 400}, /* VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE */
    {386, 400}, /* NO_COMMON_TYPE */
    {452, 403}, /* SETTING_CONSTRAINT_VIOLATION */
    {456, 400}, /* UNKNOWN_QUERY_PARAMETER */
    {457, 400}, /* BAD_QUERY_PARAMETER */
    {497, 403}, /* ACCESS_DENIED */
    {516, 403}, /* AUTHENTICATION_FAILED */
};

int
ox__exception_status(int code)
{
    for (size_t i = 0; i < OX_COUNT(status_rows); i++) {
        if (status_rows[i].code == code)
            return status_rows[i].status;
    }
    return 500;
}

int
ox__exception_code(const char *text)
{
    const char *at = strstr(text, "Code: ");
    return at != NULL && isdigit((unsigned char)at[6]) ? atoi(at + 6) : 0;
}

void
ox__reply_exception(struct ox__conn *conn, int code, const char *text)
{
    struct ox_buf headers = {0};
    struct ox_buf body = {0};
    ox_buf_printf(&headers, "X-ClickHouse-Exception-Code: %d\r\n", code);
    if (code == OX__CODE_TOO_MANY_QUERIES)
        ox_buf_append_cstr(&headers, "Retry-After: 1\r\n");
    ox_buf_append_cstr(&body, text);
    ox_buf_append_cstr(&body, "\n");
    ox__conn_reply(conn, ox__exception_status(code), "text/plain; charset=UTF-8", &headers,
                   ox_buf_str(&body));
    ox_buf_fini(&headers);
    ox_buf_fini(&body);
}

void
ox__reply_refusal(struct ox__conn *conn, int code, const char *name, const char *fmt, ...)
{
    char sentence[512];
    char text[640];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, ap);
    va_end(ap);
    snprintf(text, sizeof(text), "Code: %d. DB::Exception: %s. (%s)", code, sentence, name);
    ox__reply_exception(conn, code, text);
}
