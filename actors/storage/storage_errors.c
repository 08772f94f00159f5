/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/storage_errors.c - exception codes of ClickHouse, what they mean to us.
 *
 * Owns:    the table.
 * Threads: any; pure.
 * Flow:    storage_call.c -> here.
 *
 * The difference that matters is whether the same statement may succeed later. A code that is not listed is
 * taken for a refusal: repeating an unknown error for ever would stop the outbox.
 */
#include "actors/storage/storage.h"

struct row {
    int code;
    ox_err err;
};

static const struct row rows[] = {
    /* again later: nothing was done, or it can be repeated with the same token */
    {202, OX_E_STORAGE_BUSY}, /* TOO_MANY_SIMULTANEOUS_QUERIES */
    {203, OX_E_STORAGE_BUSY}, /* NO_FREE_CONNECTION */
    {241, OX_E_STORAGE_BUSY}, /* MEMORY_LIMIT_EXCEEDED */
    {252, OX_E_STORAGE_BUSY}, /* TOO_MANY_PARTS */
    {173, OX_E_STORAGE_BUSY}, /* CANNOT_ALLOCATE_MEMORY */
    {439, OX_E_STORAGE_BUSY}, /* CANNOT_SCHEDULE_TASK */
    {473, OX_E_STORAGE_BUSY}, /* DEADLOCK_AVOIDED */
    {745, OX_E_STORAGE_BUSY}, /* SERVER_OVERLOADED */
    {209, OX_E_STORAGE_DOWN}, /* SOCKET_TIMEOUT */
    {210, OX_E_STORAGE_DOWN}, /* NETWORK_ERROR */
    {225, OX_E_STORAGE_DOWN}, /* NO_ZOOKEEPER */
    {236, OX_E_STORAGE_DOWN}, /* ABORTED */
    {242, OX_E_STORAGE_DOWN}, /* TABLE_IS_READ_ONLY */
    {243, OX_E_STORAGE_BUSY}, /* NOT_ENOUGH_SPACE */
    {279, OX_E_STORAGE_DOWN}, /* ALL_CONNECTION_TRIES_FAILED */
    {285, OX_E_STORAGE_DOWN}, /* TOO_FEW_LIVE_REPLICAS */
    {286, OX_E_STORAGE_DOWN}, /* UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE */
    {319, OX_E_STORAGE_DOWN}, /* UNKNOWN_STATUS_OF_INSERT */
    {999, OX_E_STORAGE_DOWN}, /* KEEPER_EXCEPTION */
    {74, OX_E_STORAGE_DOWN},  /* CANNOT_READ_FROM_FILE_DESCRIPTOR */
    {75, OX_E_STORAGE_DOWN},  /* CANNOT_WRITE_TO_FILE_DESCRIPTOR */
    {76, OX_E_STORAGE_DOWN},  /* CANNOT_OPEN_FILE */
    {77, OX_E_STORAGE_DOWN},  /* CANNOT_CLOSE_FILE */
    {87, OX_E_STORAGE_DOWN},  /* CANNOT_SEEK_THROUGH_FILE */
    {88, OX_E_STORAGE_DOWN},  /* CANNOT_TRUNCATE_FILE */
    {204, OX_E_STORAGE_DOWN}, /* CANNOT_FSYNC */
    {594, OX_E_STORAGE_DOWN}, /* CANNOT_... of disks */
    /* the query's own budget */
    {158, OX_E_STORAGE_BUDGET}, /* TOO_MANY_ROWS */
    {159, OX_E_STORAGE_BUDGET}, /* TIMEOUT_EXCEEDED */
    {160, OX_E_STORAGE_BUDGET}, /* TOO_SLOW */
    {161, OX_E_STORAGE_BUDGET}, /* TOO_MANY_COLUMNS */
    {191, OX_E_STORAGE_BUDGET}, /* SET_SIZE_LIMIT_EXCEEDED */
    {307, OX_E_STORAGE_BUDGET}, /* TOO_MANY_BYTES */
    {396, OX_E_STORAGE_BUDGET}, /* TOO_MANY_ROWS_OR_BYTES */
    {394, OX_E_CANCELLED},      /* QUERY_WAS_CANCELLED */
    {734, OX_E_CANCELLED},      /* QUERY_WAS_CANCELLED_BY_CLIENT */
    /* who asks */
    {192, OX_E_UNAUTHENTICATED}, /* UNKNOWN_USER */
    {193, OX_E_UNAUTHENTICATED}, /* WRONG_PASSWORD */
    {194, OX_E_UNAUTHENTICATED}, /* REQUIRED_PASSWORD */
    {516, OX_E_UNAUTHENTICATED}, /* AUTHENTICATION_FAILED */
    {164, OX_E_FORBIDDEN},       /* READONLY */
    {195, OX_E_FORBIDDEN},       /* IP_ADDRESS_NOT_ALLOWED */
    {291, OX_E_FORBIDDEN},       /* DATABASE_ACCESS_DENIED */
    {452, OX_E_FORBIDDEN},       /* SETTING_CONSTRAINT_VIOLATION */
    {497, OX_E_FORBIDDEN},       /* ACCESS_DENIED */
    /* what is not there */
    {60, OX_E_NOT_FOUND}, /* UNKNOWN_TABLE */
    {81, OX_E_NOT_FOUND}, /* UNKNOWN_DATABASE */
    /* content: what most often comes, named so that a test sees them */
    {6, OX_E_STORAGE_REFUSED},   /* CANNOT_PARSE_TEXT */
    {16, OX_E_STORAGE_REFUSED},  /* NO_SUCH_COLUMN_IN_TABLE */
    {27, OX_E_STORAGE_REFUSED},  /* CANNOT_PARSE_INPUT_ASSERTION_FAILED */
    {33, OX_E_STORAGE_REFUSED},  /* CANNOT_READ_ALL_DATA */
    {44, OX_E_STORAGE_REFUSED},  /* ILLEGAL_COLUMN */
    {53, OX_E_STORAGE_REFUSED},  /* TYPE_MISMATCH */
    {62, OX_E_STORAGE_REFUSED},  /* SYNTAX_ERROR */
    {117, OX_E_STORAGE_REFUSED}, /* INCORRECT_DATA */
};

ox_err
ox_storage_err_of_code(int code)
{
    if (code == 0)
        return OX_OK;
    for (size_t i = 0; i < OX_COUNT(rows); i++) {
        if (rows[i].code == code)
            return rows[i].err;
    }
    return OX_E_STORAGE_REFUSED;
}

int
ox__storage_code_of(struct ox_str text)
{
    static const char mark[] = "Code: ";
    const char *at = text.n != 0 ? memmem(text.p, text.n, mark, sizeof(mark) - 1) : NULL;
    if (at == NULL)
        return 0;
    int code = 0;
    for (const char *p = at + sizeof(mark) - 1;
         p < text.p + text.n && *p >= '0' && *p <= '9' && code < 100000; p++)
        code = code * 10 + (*p - '0');
    return code;
}
