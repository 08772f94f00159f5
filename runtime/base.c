/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/base.c - errors, diagnostics, hex and names: the functions of include/ox/base.h.
 *
 * Owns:    the error table's rows.
 * Threads: any; no state.
 */
#include "ox/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct ox_err_info err_rows[OX_ERR__COUNT] = {
#define OX_ERROR(symbol, class, retryable, grpc, http, text)                                                 \
    [OX_E_##symbol] = {#symbol, OX_CLASS_##class, retryable, grpc, http, text},
#include "ox/tbl/errors.h"
#undef OX_ERROR
};

const struct ox_err_info *
ox_err_info(ox_err err)
{
    if ((unsigned)err >= OX_ERR__COUNT)
        err = OX_E_INTERNAL;
    return &err_rows[err];
}

const char *
ox_err_text(ox_err err)
{
    return ox_err_info(err)->text;
}

ox_err
ox_err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return OX_OK;
    case ENOSPC:
    case EDQUOT:
        return OX_E_DISK_FULL;
    case ENOMEM:
        return OX_E_NOMEM;
    default:
        return OX_E_IO;
    }
}

void
ox_diag_clear(struct ox_diag *diag)
{
    if (diag == NULL)
        return;
    diag->field[0] = '\0';
    diag->offset = -1;
    diag->retry_ms = 0;
    diag->text[0] = '\0';
}

ox_err
ox_diag_set(struct ox_diag *diag, ox_err err, const char *field, int64_t offset, const char *fmt, ...)
{
    if (diag == NULL)
        return err;
    snprintf(diag->field, sizeof(diag->field), "%s", field != NULL ? field : "");
    diag->offset = offset;
    diag->retry_ms = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(diag->text, sizeof(diag->text), fmt, ap);
    va_end(ap);
    return err;
}

static unsigned char
ascii_lower(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= 'A' && u <= 'Z') ? (unsigned char)(u | 0x20) : u;
}

bool
ox_str_caseeq(struct ox_str a, struct ox_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    }
    return true;
}

void
ox_hex_encode(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char l = ascii_lower(c);
    return (l >= 'a' && l <= 'f') ? l - 'a' + 10 : -1;
}

ox_err
ox_hex_decode(struct ox_str hex, void *out, size_t n)
{
    uint8_t *o = out;
    if (hex.n != 2 * n)
        return OX_E_INVALID;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(hex.p[2 * i]);
        int lo = hex_digit(hex.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return OX_E_INVALID;
        o[i] = (uint8_t)(hi << 4 | lo);
    }
    return OX_OK;
}

const char *
ox_signal_name(enum ox_signal signal)
{
    static const char *const names[OX_SIGNAL__COUNT] = {"traces", "logs", "metrics"};
    OX_ASSERT((unsigned)signal < OX_SIGNAL__COUNT);
    return names[signal];
}

static bool
tenant_char(char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    return !first && (c == '_' || c == '-');
}

ox_err
ox_tenant_id_parse(struct ox_str name, struct ox_tenant_id *out, struct ox_diag *diag)
{
    if (name.n == 0 || name.n > OX_TENANT_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "tenant", -1,
                           "a tenant name has 1 to %d characters, this one %zu", OX_TENANT_MAX, name.n);
    for (size_t i = 0; i < name.n; i++) {
        if (!tenant_char(name.p[i], i == 0))
            return ox_diag_set(
                diag, OX_E_INVALID, "tenant", (int64_t)i,
                "a tenant name consists of a-z, 0-9, '_' and '-' and starts with a letter or digit");
    }
    memset(out, 0, sizeof(*out));
    memcpy(out->name, name.p, name.n);
    return OX_OK;
}
