/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_otlp_json.c - any bytes as OTLP/JSON: refused with a sentence, or a request that decodes and that
 * keeps its meaning through JSON and back.
 *
 * The first byte chooses the signal, the rest is the JSON.
 */
#include <stdlib.h>

#include "ox/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

/* What was accepted is protobuf that the decoder takes; it may only exceed a bound. */
static struct ox_batch *
decoded(enum ox_signal signal, struct ox_body *body, const struct ox_decode_limits *limits)
{
    struct ox_diag diag;
    struct ox_batch *batch = ox_batch_new();
    must(batch != NULL);
    ox_err err = ox_otlp_decode(signal, body, limits, batch, &diag);
    must(err == OX_OK || err == OX_E_TOO_LARGE || err == OX_E_TOO_DEEP);
    if (err == OX_OK)
        return batch;
    ox_batch_free(batch);
    return NULL;
}

static void
same_counts(const struct ox_batch *a, const struct ox_batch *b)
{
    must((a == NULL) == (b == NULL));
    if (a == NULL)
        return;
    must(a->n_records == b->n_records && a->n_resources == b->n_resources && a->n_scopes == b->n_scopes);
    must(a->n_spans == b->n_spans && a->n_events == b->n_events && a->n_links == b->n_links);
    must(a->n_logs == b->n_logs && a->n_metrics == b->n_metrics && a->n_points == b->n_points);
    must(a->n_attrs == b->n_attrs && a->n_exemplars == b->n_exemplars);
    must(a->n_u64s == b->n_u64s && a->n_f64s == b->n_f64s);
}

static void
round_trip(enum ox_signal signal, struct ox_body *body, const struct ox_decode_limits *limits)
{
    struct ox_buf json, again;
    struct ox_body *back = NULL;
    ox_buf_init(&json);
    ox_buf_init(&again);
    struct ox_str wire = {(const char *)body->data, body->len};
    must(ox_otlp_to_json(signal, wire, &json, NULL) == OX_OK);
    ox_err err = ox_otlp_from_json(signal, ox_buf_str(&json), limits, NULL, &back, NULL);
    must(err == OX_OK || err == OX_E_TOO_LARGE); /* U+FFFD is longer than the byte that it stands for */
    if (err == OX_OK) {
        must(ox_otlp_to_json(signal, (struct ox_str){(const char *)back->data, back->len}, &again, NULL) ==
             OX_OK);
        must(ox_str_eq(ox_buf_str(&json), ox_buf_str(&again)));
        struct ox_batch *a = decoded(signal, body, limits), *b = decoded(signal, back, limits);
        same_counts(a, b);
        ox_batch_free(a);
        ox_batch_free(b);
    }
    ox_body_drop(back);
    ox_buf_fini(&json);
    ox_buf_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct ox_decode_limits limits;
    struct ox_diag diag;
    struct ox_body *body = NULL;
    if (n == 0)
        return 0;
    ox_decode_limits_default(&limits);
    ox_diag_clear(&diag);
    enum ox_signal signal = (enum ox_signal)(data[0] % OX_SIGNAL__COUNT);
    ox_err err = ox_otlp_from_json(signal, (struct ox_str){(const char *)data + 1, n - 1}, &limits, NULL,
                                   &body, &diag);
    if (err != OX_OK) {
        must(err == OX_E_DECODE || err == OX_E_TOO_DEEP || err == OX_E_TOO_LARGE);
        must(body == NULL && diag.text[0] != '\0');
        must(diag.offset >= 0 && (uint64_t)diag.offset <= n - 1);
        return 0;
    }
    round_trip(signal, body, &limits);
    ox_body_drop(body);
    return 0;
}
