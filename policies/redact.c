/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/redact.c - the rules of redaction: reading and finding them. See include/ox/redact.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Fails:   CONFIG, NOMEM.
 */
#include "policies/redact.h"

#include <openssl/hmac.h>
#include <stdlib.h>

#include "policies/pattern.h"

#define BLANKS " \t\r"

struct rule {
    uint32_t signals;           /* a bit each */
    struct ox_tenant_id tenant; /* "" = every one */
    enum ox__redact_action action;
    char *pattern;
    size_t pattern_n;
};

struct ox_redact {
    uint8_t secret[OX_REDACT_SECRET];
    size_t n;
    struct rule rules[OX_REDACT_RULES_MAX];
};

/* ---- reading ---- */

static struct ox_str
word(struct ox_str *line)
{
    while (line->n > 0 && memchr(BLANKS, line->p[0], sizeof(BLANKS) - 1) != NULL)
        *line = (struct ox_str){line->p + 1, line->n - 1};
    struct ox_str w = {line->p, 0};
    while (w.n < line->n && memchr(BLANKS, w.p[w.n], sizeof(BLANKS) - 1) == NULL)
        w.n++;
    *line = (struct ox_str){line->p + w.n, line->n - w.n};
    return w;
}

static bool
read_signal(struct ox_str name, uint32_t *signals)
{
    if (ox_str_eq(name, OX_STR("all"))) {
        *signals |= (1u << OX_SIGNAL__COUNT) - 1;
        return true;
    }
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        if (ox_str_eq(name, ox_str_of(ox_signal_name((enum ox_signal)s)))) {
            *signals |= 1u << s;
            return true;
        }
    }
    return false;
}

static ox_err
read_signals(struct ox_str list, uint32_t *signals, struct ox_diag *diag)
{
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma != NULL ? (size_t)(comma - list.p) : list.n;
        if (!read_signal((struct ox_str){list.p, n}, signals))
            return ox_diag_set(diag, OX_E_CONFIG, "signals", -1,
                               "'%.*s' is none of traces, logs, metrics, all", (int)(n < 40 ? n : 40),
                               list.p);
        n += comma != NULL;
        list = (struct ox_str){list.p + n, list.n - n};
    }
    return OX_OK;
}

static ox_err
read_rule(struct ox_str line, struct rule *r, struct ox_diag *diag)
{
    struct ox_str signals = word(&line), tenant = word(&line), action = word(&line), pattern = word(&line);
    ox_err err = OX_OK;
    memset(r, 0, sizeof(*r));
    if (pattern.n == 0 || word(&line).n > 0)
        return ox_diag_set(diag, OX_E_CONFIG, "line", -1,
                           "a line is SIGNALS TENANT ACTION PATTERN, such as `traces,logs acme hash user.*`");
    err = read_signals(signals, &r->signals, diag);
    if (err == OX_OK && !ox_str_eq(tenant, OX_STR("*")))
        err = ox_tenant_id_parse(tenant, &r->tenant, diag);
    if (err != OX_OK)
        return err;
    r->action = ox_str_eq(action, OX_STR("drop"))   ? OX__REDACT_DROP
                : ox_str_eq(action, OX_STR("hash")) ? OX__REDACT_HASH
                                                    : OX__REDACT_KEEP;
    if (r->action == OX__REDACT_KEEP)
        return ox_diag_set(diag, OX_E_CONFIG, "action", -1, "'%.*s' is neither drop nor hash",
                           (int)(action.n < 40 ? action.n : 40), action.p);
    r->pattern = strndup(pattern.p, pattern.n);
    r->pattern_n = pattern.n;
    return r->pattern != NULL ? OX_OK : OX_E_NOMEM;
}

static ox_err
add(struct ox_redact *redact, struct ox_str line, unsigned number, struct ox_diag *diag)
{
    struct ox_diag why;
    ox_diag_clear(&why);
    ox_err err = redact->n < OX_REDACT_RULES_MAX
                     ? read_rule(line, &redact->rules[redact->n], &why)
                     : ox_diag_set(&why, OX_E_CONFIG, NULL, -1, "is one rule more than there may be (%d)",
                                   OX_REDACT_RULES_MAX);
    redact->n += err == OX_OK;
    if (err == OX_OK || err == OX_E_NOMEM)
        return err;
    return ox_diag_set(diag, OX_E_CONFIG, "redact.file", -1, "line %u: %.200s", number, why.text);
}

ox_err
ox_redact_parse(struct ox_str text, const uint8_t *secret, struct ox_redact **out, struct ox_diag *diag)
{
    struct ox_redact *redact = calloc(1, sizeof(*redact));
    ox_err err = redact != NULL ? OX_OK : OX_E_NOMEM;
    *out = NULL;
    for (unsigned number = 1; err == OX_OK && text.n > 0; number++) {
        const char *end = memchr(text.p, '\n', text.n);
        struct ox_str line = {text.p, end != NULL ? (size_t)(end - text.p) : text.n};
        text = (struct ox_str){text.p + line.n + (end != NULL), text.n - line.n - (end != NULL)};
        const char *comment = memchr(line.p, '#', line.n);
        if (comment != NULL)
            line.n = (size_t)(comment - line.p);
        struct ox_str rest = line;
        if (word(&rest).n > 0)
            err = add(redact, line, number, diag);
    }
    if (err != OX_OK || redact->n == 0) {
        ox_redact_free(redact);
        return err;
    }
    memcpy(redact->secret, secret, OX_REDACT_SECRET);
    *out = redact;
    return OX_OK;
}

void
ox_redact_free(struct ox_redact *redact)
{
    if (redact == NULL)
        return;
    for (size_t i = 0; i < redact->n; i++)
        free(redact->rules[i].pattern);
    explicit_bzero(redact->secret, sizeof(redact->secret));
    free(redact);
}

/* ---- finding ---- */

static bool
concerns(const struct rule *r, const struct ox_tenant_id *tenant, enum ox_signal signal)
{
    return (r->signals >> signal & 1) != 0 &&
           (r->tenant.name[0] == '\0' || strcmp(r->tenant.name, tenant->name) == 0);
}

bool
ox_redact_applies(const struct ox_redact *redact, const struct ox_tenant_id *tenant, enum ox_signal signal)
{
    for (size_t i = 0; redact != NULL && i < redact->n; i++) {
        if (concerns(&redact->rules[i], tenant, signal))
            return true;
    }
    return false;
}

enum ox__redact_action
ox__redact_of(const struct ox_redact *redact, const struct ox_tenant_id *tenant, enum ox_signal signal,
              struct ox_str key)
{
    for (size_t i = 0; i < redact->n; i++) {
        const struct rule *r = &redact->rules[i];
        if (concerns(r, tenant, signal) &&
            ox__pattern_matches((struct ox_str){r->pattern, r->pattern_n}, key))
            return r->action;
    }
    return OX__REDACT_KEEP;
}

void
ox__redact_hash(const struct ox_redact *redact, struct ox_str value, char out[OX__REDACT_HASH_LEN + 1])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const uint8_t *ok = HMAC(EVP_sha256(), redact->secret, OX_REDACT_SECRET,
                             (const uint8_t *)(value.n > 0 ? value.p : ""), value.n, digest, &n);
    OX_ASSERT(ok != NULL && n >= 16);
    memcpy(out, "h:", 2);
    ox_hex_encode(digest, 16, out + 2);
}
