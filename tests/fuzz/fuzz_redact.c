/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    taking attributes out of a request reads nothing behind it, leaves a request that means the same otherwise, and leaves no
 *          attribute that the rules name for the decoder to find, whatever the encoding.
 * Method:  the first byte selects the signal, the rest is the request. What comes out is decoded and looked through, and redacted
 *          again: nothing may be left to drop.
 */
#include <stdlib.h>

#include "ox/batch.h"
#include "ox/otlp.h"
#include "ox/redact.h"

static const char rules[] = "all * drop service*\nall * drop a*\nall * drop *.id\nall * hash user*\n";

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static bool
is_named(struct ox_str key)
{
    return (key.n >= 7 && memcmp(key.p, "service", 7) == 0) || (key.n >= 1 && key.p[0] == 'a') ||
           (key.n >= 3 && memcmp(key.p + key.n - 3, ".id", 3) == 0);
}

/* Decodes into the batch. False: the bytes are no request. */
static bool
decode(enum ox_signal signal, struct ox_str bytes, struct ox_batch *batch)
{
    struct ox_diag diag;
    struct ox_decode_limits limits;
    ox_decode_limits_default(&limits);
    struct ox_body *body = ox_body_new(bytes.n + 1, NULL);
    must(body != NULL);
    if (bytes.n > 0)
        memcpy(body->data, bytes.p, bytes.n);
    body->len = bytes.n;
    ox_err err = ox_otlp_decode(signal, body, &limits, batch, &diag);
    ox_body_drop(body);
    return err == OX_OK;
}

static void
check(const struct ox_redact *redact, const struct ox_tenant_id *tenant, enum ox_signal signal,
      struct ox_str out, const struct ox_batch *before)
{
    struct ox_redact_counts counts = {0};
    struct ox_diag diag;
    struct ox_buf again = {0};
    struct ox_batch *batch = ox_batch_new();
    must(batch != NULL && decode(signal, out, batch));
    must(batch->n_records == before->n_records);
    for (uint32_t i = 0; i < batch->n_attrs; i++)
        must(!is_named(ox_attr_key(&batch->attrs[i])));
    must(ox_redact_body(redact, tenant, signal, out, &again, &counts, &diag) == OX_OK);
    must(counts.dropped == 0);
    ox_buf_fini(&again);
    ox_batch_free(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t secret[OX_REDACT_SECRET] = {1};
    static struct ox_redact *redact;
    static const struct ox_tenant_id tenant = {.name = "acme"};
    struct ox_redact_counts counts = {0};
    struct ox_diag diag;
    if (n == 0)
        return 0;
    if (redact == NULL)
        must(ox_redact_parse(OX_STR(rules), secret, &redact, &diag) == OX_OK);
    enum ox_signal signal = (enum ox_signal)(data[0] % OX_SIGNAL__COUNT);
    struct ox_str request = {(const char *)data + 1, n - 1};
    struct ox_buf out = {0};
    struct ox_batch *batch = ox_batch_new();
    must(batch != NULL);
    bool fine = decode(signal, request, batch);
    ox_err err = ox_redact_body(redact, &tenant, signal, request, &out, &counts, &diag);
    must(err == OX_OK || err == OX_E_DECODE || err == OX_E_TOO_DEEP);
    must(!fine || err == OX_OK);
    if (fine)
        check(redact, &tenant, signal, ox_buf_str(&out), batch);
    ox_buf_fini(&out);
    ox_batch_free(batch);
    return 0;
}
