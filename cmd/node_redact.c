/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_redact.c - the rules of redaction in force: read at the start and at each reload.
 *
 * Owns:    every set of rules that was in force; requests may be using any of them, so they go with the node.
 * Threads: _open and _close: main; reading again: the dirty thread of a reload, one at a time.
 * Bounds:  FILE_BYTES_MAX; a set per reload, of which the reloader takes so many.
 * Fails:   at the start the node does not start: what must not be stored would be. Later the old rules go on.
 * Flow:    redact.file -> here -> actors/gateway/intake.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/node_internal.h"
#include "ox/log.h"
#include "ox/redact.h"

#define FILE_BYTES_MAX (1u << 20)

struct kept {
    struct kept *next;
    struct ox_redact *redact;
};
static struct kept *all;

static ox_err
read_rules(const char *path, struct ox_buf *out, struct ox_diag *diag)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return ox_diag_set(diag, OX_E_CONFIG, "redact.file", -1, "%.200s cannot be opened: %s", path,
                           strerror(errno));
    uint8_t *to = ox_buf_reserve(out, FILE_BYTES_MAX);
    out->len += to != NULL ? fread(to, 1, FILE_BYTES_MAX, f) : 0;
    bool bad = ferror(f) != 0 || out->failed || fgetc(f) != EOF;
    fclose(f);
    return bad ? ox_diag_set(diag, OX_E_CONFIG, "redact.file", -1,
                             "%.200s cannot be read, or is larger than 1 MiB", path)
               : OX_OK;
}

/* The secret behind hashes: the same wherever equal values must look equal. */
static ox_err
read_secret(const struct ox_config *cfg, uint8_t secret[OX_REDACT_SECRET], struct ox_diag *diag)
{
    char hex[OX_DEV_SECRET_HEX + 1], text[256];
    if (cfg->redact_key_file[0] == '\0') {
        ox_err err = node_secret(cfg->data, "redact.secret", hex, diag);
        return err == OX_OK ? ox_hex_decode(ox_str_of(hex), secret, OX_REDACT_SECRET) : err;
    }
    ox_err err = node_password_of(cfg->redact_key_file, "redact.key_file", text, sizeof(text), diag);
    if (err == OX_OK && ox_hex_decode(ox_str_of(text), secret, OX_REDACT_SECRET) != OX_OK)
        err = ox_diag_set(diag, OX_E_CONFIG, "redact.key_file", -1,
                          "its first line is not 64 hex digits (openssl rand -hex 32)");
    explicit_bzero(text, sizeof(text));
    return err;
}

static ox_err
load(struct node_main *m, const struct ox_config *cfg, struct ox_diag *diag)
{
    uint8_t secret[OX_REDACT_SECRET];
    struct ox_redact *redact = NULL;
    struct ox_buf text = {0};
    ox_err err = OX_OK;
    if (cfg->redact_file[0] != '\0') {
        err = read_rules(cfg->redact_file, &text, diag);
        if (err == OX_OK)
            err = read_secret(cfg, secret, diag);
        if (err == OX_OK)
            err = ox_redact_parse(ox_buf_str(&text), secret, &redact, diag);
        explicit_bzero(secret, sizeof(secret));
        ox_buf_fini(&text);
    }
    struct kept *k = err == OX_OK ? calloc(1, sizeof(*k)) : NULL;
    if (k == NULL) {
        ox_redact_free(redact);
        return err != OX_OK ? err : OX_E_NOMEM;
    }
    *k = (struct kept){all, redact};
    all = k;
    /* release: whoever sees the rules sees what is in them */
    atomic_store_explicit(&m->node.redact, redact, memory_order_release);
    return OX_OK;
}

ox_err
node_redact_open(struct node_main *m, struct ox_diag *diag)
{
    return load(m, &m->config, diag);
}

void
node_redact_reload(struct node_main *m, const struct ox_config *cfg)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (load(m, cfg, &diag) != OX_OK)
        OX_LOG_ERROR("redact", "the new rules of redaction cannot be used; those before hold",
                     OX_F_DIAG(&diag));
}

void
node_redact_close(struct node_main *m)
{
    atomic_store_explicit(&m->node.redact, NULL, memory_order_relaxed);
    while (all != NULL) {
        struct kept *k = all;
        all = k->next;
        ox_redact_free(k->redact);
        free(k);
    }
}
