/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_key.c - `observex key dev TENANT`: the development key of a tenant.
 *
 * Owns:    nothing.
 * Threads: main.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/node_internal.h"

int
ox_cmd_key(int argc, char **argv)
{
    const char *data = "./observex-data";
    const struct ox_flag flags[] = {{.name = "data", .value = &data}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 2) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc != 3 || strcmp(argv[1], "dev") != 0)
        return ox_complain_usage("key", "name one tenant, for instance `observex key dev team-a`");
    struct ox_tenant_id tenant;
    struct ox_diag diag;
    if (ox_tenant_id_parse(ox_str_of(argv[2]), &tenant, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    char secret[OX_DEV_SECRET_HEX + 1], key[OX_DEV_KEY_MAX];
    if (node_dev_secret(data, secret, &diag) != OX_OK)
        return ox_complain("%s: %s", diag.field, diag.text);
    ox_keystore_dev_key(ox_str_of(secret), &tenant, key);
    printf("%s\n", key);
    return OX_EXIT_OK;
}
