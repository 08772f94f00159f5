/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whatever stands in tls.clients_file is read to its end and no further; what is taken is found under its name, has a role
 *          that its tenant can have, and scopes.
 * Method:  the input is the file; each line of an accepted one is looked for by the name that it is for.
 */
#include <stdlib.h>

#include "ox/client_map.h"
#include "ox/tls.h"

static void
must(bool ok)
{
    if (!ok)
        abort();
}

/* Of a line that names one. */
static void
check(const struct ox_client_map *map, const struct ox_client *c)
{
    const struct ox_client *found = NULL;
    struct ox_tls_names names = {.n = 1, .name = {c->name}};
    must(ox_client_map_find(map, &names, &found, NULL) == OX_OK && found == c);
    must(strlen(c->name) > 3);
    must(c->role >= OX_ROLE_VIEWER && c->role <= OX_ROLE_OPERATOR && c->scopes != 0);
    must(ox_tenant_id_parse(ox_str_of(c->tenant.name), &(struct ox_tenant_id){{0}}, NULL) == OX_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ox_client_map map = {0, NULL};
    struct ox_diag diag;
    char *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        return 0;
    memcpy(exact, data, size);
    ox_diag_clear(&diag);
    ox_err err = ox_client_map_parse((struct ox_str){exact, size}, &map, &diag);
    free(exact); /* it must have copied what it keeps */
    must(err == OX_OK || map.n == 0);
    must(err != OX_E_CONFIG || diag.text[0] != '\0');
    for (size_t i = 0; i < map.n; i++)
        check(&map, &map.of[i]);
    ox_client_map_fini(&map);
    return 0;
}
