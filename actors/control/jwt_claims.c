/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/jwt_claims.c - what a genuine token says: for how long, from whom, for whom, and who somebody is.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  a claim within an object lies CLAIM_DEPTH deep at most.
 * Fails:   FORBIDDEN with the claim's name: a claim that is not there gives no access.
 * Flow:    jwt.c -> here.
 */
#include <math.h>
#include <stdio.h>

#include "actors/control/jwt_internal.h"
#include "ox/control.h"

#define CLAIM_DEPTH 4
#define CLAIM_MAX   256
#define TIME_MAX    253402300799ll /* the year 9999 */

/* ---- times ---- */

/* A NumericDate; false when there is none, or none that makes sense. */
static bool
time_of(const json_t *claims, const char *name, int64_t *out)
{
    const json_t *v = json_object_get(claims, name);
    double t = json_is_number(v) ? json_number_value(v) : -1;
    *out = t >= 0 && t <= (double)TIME_MAX ? (int64_t)floor(t) : 0;
    return t >= 0 && t <= (double)TIME_MAX;
}

static bool
in_time(const json_t *claims, const struct ox_jwt_rules *rules, int64_t now_s, int64_t *until_s)
{
    int64_t exp, nbf, iat;
    if (!time_of(claims, "exp", &exp))
        return false;
    if (json_object_get(claims, "nbf") != NULL &&
        (!time_of(claims, "nbf", &nbf) || nbf > now_s + rules->leeway_s))
        return false;
    bool has_iat = time_of(claims, "iat", &iat);
    if ((json_object_get(claims, "iat") != NULL || rules->max_age_s > 0) &&
        (!has_iat || iat > now_s + rules->leeway_s))
        return false;
    *until_s = exp + rules->leeway_s;
    if (rules->max_age_s > 0 && iat + rules->max_age_s + rules->leeway_s < *until_s)
        *until_s = iat + rules->max_age_s + rules->leeway_s;
    return now_s < *until_s;
}

static bool
is_text(const json_t *v, const char *text)
{
    return json_is_string(v) && json_string_length(v) == strlen(text) &&
           strcmp(json_string_value(v), text) == 0;
}

/* A text, or a list that has it. */
static bool
has_text(const json_t *v, const char *text)
{
    const json_t *one;
    size_t i;
    if (is_text(v, text))
        return true;
    json_array_foreach(v, i, one)
    {
        if (is_text(one, text))
            return true;
    }
    return false;
}

enum ox_jwt_result
ox__jwt_check(const json_t *claims, const struct ox_jwt_rules *rules, int64_t now_s, int64_t *until_s)
{
    if (!is_text(json_object_get(claims, "iss"), rules->issuer) ||
        !has_text(json_object_get(claims, "aud"), rules->audience))
        return OX_JWT_FOREIGN;
    return in_time(claims, rules, now_s, until_s) ? OX_JWT_GOOD : OX_JWT_EXPIRED;
}

/* ---- who ---- */

/* The claim of that name, or the one within objects that its dots lead to: names of claims may have dots themselves. */
static const json_t *
claim(const json_t *claims, const char *name)
{
    char part[CLAIM_MAX];
    const json_t *v = json_object_get(claims, name);
    for (int depth = 0; v == NULL && depth < CLAIM_DEPTH; depth++) {
        const char *dot = strchr(name, '.');
        if (dot == NULL || (size_t)(dot - name) >= sizeof(part))
            return NULL;
        snprintf(part, sizeof(part), "%.*s", (int)(dot - name), name);
        claims = json_object_get(claims, part);
        name = dot + 1;
        v = json_object_get(claims, name);
    }
    return v;
}

/* The role that a word of the issuer's stands for; false: none. */
static bool
role_of(struct ox_str word, const char *map, enum ox_role *out)
{
    if (map[0] == '\0')
        return ox_role_parse(word, out, NULL) == OX_OK;
    for (const char *p = map; *p != '\0';) {
        size_t n = strcspn(p, ",");
        const char *eq = memchr(p, '=', n);
        if (eq != NULL && ox_str_eq((struct ox_str){p, (size_t)(eq - p)}, word))
            return ox_role_parse((struct ox_str){eq + 1, n - (size_t)(eq + 1 - p)}, out, NULL) == OX_OK;
        p += n + (p[n] == ',');
    }
    return false;
}

/* Operators are those of the platform's tenant and nobody else; the highest of several roles counts. */
static void
take_role(const json_t *word, const struct ox_jwt_rules *rules, struct ox_jwt_who *out)
{
    enum ox_role role = OX_ROLE_NONE;
    struct ox_str text = {json_string_value(word), json_string_length(word)};
    bool platform = strcmp(out->tenant.name, OX_CONTROL_PLATFORM) == 0;
    if (text.p == NULL || !role_of(text, rules->roles, &role) || platform != (role == OX_ROLE_OPERATOR))
        return;
    if (role > out->role)
        out->role = role;
}

static void
read_role(const json_t *claims, const struct ox_jwt_rules *rules, struct ox_jwt_who *out)
{
    const json_t *v = claim(claims, rules->role_claim), *one;
    size_t i;
    take_role(v, rules, out);
    json_array_foreach(v, i, one)
    {
        take_role(one, rules, out);
    }
}

/* Words that are no scope of ours are somebody else's. */
static uint32_t
scopes_of(const json_t *v)
{
    uint32_t scopes = 0;
    const json_t *one;
    size_t i;
    const char *p = json_string_value(v);
    for (size_t n; p != NULL && *p != '\0'; p += n + (p[n] == ' ')) {
        n = strcspn(p, " ");
        (void)!ox_scope_parse((struct ox_str){p, n}, &scopes, NULL);
    }
    json_array_foreach(v, i, one)
    {
        if (json_is_string(one))
            (void)!ox_scope_parse((struct ox_str){json_string_value(one), json_string_length(one)}, &scopes,
                                  NULL);
    }
    return scopes;
}

static void
read_scopes(const json_t *claims, const struct ox_jwt_rules *rules, struct ox_jwt_who *out)
{
    out->scopes = ox_role_scopes(out->role);
    if (rules->scope_claim[0] != '\0')
        out->scopes &= scopes_of(claim(claims, rules->scope_claim));
}

/* For people: what could disturb a line of a log is replaced. */
static void
read_subject(const json_t *claims, struct ox_jwt_who *out)
{
    const char *sub = json_string_value(json_object_get(claims, "sub"));
    size_t n = 0;
    for (; sub != NULL && n < OX_JWT_SUBJECT_MAX && sub[n] != '\0'; n++)
        out->subject[n] = sub[n] > 0x20 && sub[n] < 0x7f ? sub[n] : '?';
    out->subject[n] = '\0';
}

ox_err
ox__jwt_who(const json_t *claims, const struct ox_jwt_rules *rules, struct ox_jwt_who *out,
            struct ox_diag *diag)
{
    const json_t *tenant = claim(claims, rules->tenant_claim);
    struct ox_str name = {json_string_value(tenant), json_string_length(tenant)};
    if (name.p == NULL || ox_tenant_id_parse(name, &out->tenant, NULL) != OX_OK)
        return ox_diag_set(diag, OX_E_FORBIDDEN, "jwt.tenant_claim", -1,
                           "this token names no tenant: its claim %.80s is to be the id of one",
                           rules->tenant_claim);
    read_role(claims, rules, out);
    if (out->role == OX_ROLE_NONE)
        return ox_diag_set(
            diag, OX_E_FORBIDDEN, "jwt.role_claim", -1,
            "this token gives no role in tenant %s: its claim %.80s names none that is known here",
            out->tenant.name, rules->role_claim);
    read_scopes(claims, rules, out);
    read_subject(claims, out);
    if (out->scopes == 0)
        return ox_diag_set(
            diag, OX_E_FORBIDDEN, "jwt.scope_claim", -1,
            "this token is for nothing that role %s may do: its claim %.80s names no scope for it",
            ox_role_name(out->role), rules->scope_claim);
    return OX_OK;
}
