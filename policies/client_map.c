/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/client_map.c - see include/ox/client_map.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Fails:   CONFIG, NOMEM.
 */
#include "ox/client_map.h"

#include <stdlib.h>

#include "ox/control.h"

#define BLANKS " \t\r"

/* The next word of a line, which is cut off; empty at its end. */
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
is_name(struct ox_str w)
{
    static const char *const kinds[] = {"dns:", "uri:", "email:", "cn:"};
    for (size_t i = 0; i < OX_COUNT(kinds); i++) {
        size_t n = strlen(kinds[i]);
        /* A zero would end the name before what stands in the line. */
        if (w.n > n && w.n < OX_TLS_NAME_BYTES_MAX && memcmp(w.p, kinds[i], n) == 0)
            return memchr(w.p, '\0', w.n) == NULL;
    }
    return false;
}

/* "ingest,query" */
static ox_err
read_scopes(struct ox_str list, uint32_t *scopes, struct ox_diag *diag)
{
    ox_err err = OX_OK;
    *scopes = 0;
    while (err == OX_OK && list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma != NULL ? (size_t)(comma - list.p) : list.n;
        err = ox_scope_parse((struct ox_str){list.p, n}, scopes, diag);
        n += comma != NULL;
        list = (struct ox_str){list.p + n, list.n - n};
    }
    return err;
}

/* Operators are of the platform's tenant and nobody else is, as with keys. */
static ox_err
check_role(const struct ox_client *c, struct ox_diag *diag)
{
    bool platform = strcmp(c->tenant.name, OX_CONTROL_PLATFORM) == 0;
    if (platform == ox_role_is_operator(c->role))
        return OX_OK;
    return ox_diag_set(diag, OX_E_CONFIG, "role", -1,
                       "operators are of tenant platform, and everybody there is an operator");
}

static ox_err
read_line(struct ox_str line, struct ox_client *c, struct ox_diag *diag)
{
    struct ox_str name = word(&line), tenant = word(&line), role = word(&line), scopes = word(&line);
    if (scopes.n == 0 || word(&line).n > 0)
        return ox_diag_set(diag, OX_E_CONFIG, "line", -1,
                           "a line is NAME TENANT ROLE SCOPES, such as `uri:spiffe://prod/acme acme viewer "
                           "ingest,query`");
    if (!is_name(name))
        return ox_diag_set(
            diag, OX_E_CONFIG, "name", -1,
            "'%.*s' does not begin with dns:, uri:, email: or cn:", (int)(name.n < 60 ? name.n : 60), name.p);
    ox_err err = ox_tenant_id_parse(tenant, &c->tenant, diag);
    if (err == OX_OK)
        err = ox_role_parse(role, &c->role, diag);
    if (err == OX_OK)
        err = read_scopes(scopes, &c->scopes, diag);
    if (err == OX_OK)
        err = check_role(c, diag);
    if (err != OX_OK)
        return err;
    c->name = strndup(name.p, name.n);
    return c->name != NULL ? OX_OK : OX_E_NOMEM;
}

static ox_err
add(struct ox_client_map *map, size_t *cap, struct ox_str line, struct ox_diag *diag)
{
    if (map->n == OX_CLIENT_MAP_MAX)
        return ox_diag_set(diag, OX_E_CONFIG, "line", -1, "is one name more than there may be (%d)",
                           OX_CLIENT_MAP_MAX);
    if (map->n == *cap) {
        size_t more = *cap != 0 ? *cap * 2 : 16;
        struct ox_client *grown = realloc(map->of, more * sizeof(*grown));
        if (grown == NULL)
            return OX_E_NOMEM;
        map->of = grown;
        *cap = more;
    }
    ox_err err = read_line(line, &map->of[map->n], diag);
    map->n += err == OX_OK;
    return err;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct ox_client *)a)->name, ((const struct ox_client *)b)->name);
}

static ox_err
sort(struct ox_client_map *map, struct ox_diag *diag)
{
    if (map->n > 1)
        qsort(map->of, map->n, sizeof(*map->of), by_name);
    for (size_t i = 1; i < map->n; i++) {
        if (strcmp(map->of[i - 1].name, map->of[i].name) == 0)
            return ox_diag_set(diag, OX_E_CONFIG, "name", -1, "'%.100s' stands in two lines",
                               map->of[i].name);
    }
    return OX_OK;
}

/* "line 7: role: ..." */
static ox_err
at_line(ox_err err, unsigned line, struct ox_diag *diag)
{
    struct ox_diag why = *diag;
    return ox_diag_set(diag, err == OX_E_NOMEM ? err : OX_E_CONFIG, "tls.clients_file", -1, "line %u: %.200s",
                       line, why.text[0] != '\0' ? why.text : ox_err_text(err));
}

ox_err
ox_client_map_parse(struct ox_str text, struct ox_client_map *out, struct ox_diag *diag)
{
    struct ox_diag own = {0};
    size_t cap = 0;
    ox_err err = OX_OK;
    diag = diag != NULL ? diag : &own;
    ox_diag_clear(diag);
    *out = (struct ox_client_map){0, NULL};
    for (unsigned number = 1; err == OX_OK && text.n > 0; number++) {
        const char *end = memchr(text.p, '\n', text.n);
        struct ox_str line = {text.p, end != NULL ? (size_t)(end - text.p) : text.n};
        text = (struct ox_str){text.p + line.n + (end != NULL), text.n - line.n - (end != NULL)};
        const char *comment = memchr(line.p, '#', line.n);
        if (comment != NULL)
            line.n = (size_t)(comment - line.p);
        struct ox_str rest = line;
        if (word(&rest).n == 0)
            continue;
        err = add(out, &cap, line, diag);
        if (err != OX_OK)
            err = at_line(err, number, diag);
    }
    if (err == OX_OK)
        err = sort(out, diag);
    if (err != OX_OK)
        ox_client_map_fini(out);
    return err;
}

void
ox_client_map_fini(struct ox_client_map *map)
{
    for (size_t i = 0; i < map->n; i++)
        free(map->of[i].name);
    free(map->of);
    *map = (struct ox_client_map){0, NULL};
}

ox_err
ox_client_map_find(const struct ox_client_map *map, const struct ox_tls_names *names,
                   const struct ox_client **out, struct ox_diag *diag)
{
    *out = NULL;
    for (uint32_t i = 0; names != NULL && map->n > 0 && i < names->n; i++) {
        const struct ox_client wanted = {.name = names->name[i]};
        const struct ox_client *found = bsearch(&wanted, map->of, map->n, sizeof(*map->of), by_name);
        if (found == NULL)
            continue;
        if (*out != NULL && (strcmp((*out)->tenant.name, found->tenant.name) != 0 ||
                             (*out)->role != found->role || (*out)->scopes != found->scopes))
            return ox_diag_set(diag, OX_E_FORBIDDEN, "tls.clients_file", -1,
                               "names of this certificate stand for different clients");
        *out = found;
    }
    return OX_OK;
}
