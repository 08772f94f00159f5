/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_schema.c - compares what a control store says of its schema with what this release brings.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   see control_schema.h.
 */
#include "actors/control/control_schema.h"

#include <blake3.h>

void
ox__control_migration_sum(const struct ox_migration *m, char sum[OX__MIGRATION_SUM_MAX])
{
    uint8_t digest[(OX__MIGRATION_SUM_MAX - 1) / 2];
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, m->sql, strlen(m->sql));
    blake3_hasher_finalize(&hasher, digest, sizeof(digest));
    ox_hex_encode(digest, sizeof(digest), sum);
}

ox_err
ox__control_migration_seen(const struct ox_migration *known, size_t n, long number, const char *name,
                           const char *sum, bool *done, struct ox_diag *diag)
{
    char ours[OX__MIGRATION_SUM_MAX];
    if (number < 1 || (size_t)number > n || strcmp(known[number - 1].name, name) != 0)
        return ox_diag_set(
            diag, OX_E_STATE, "schema_migrations", -1,
            "the control plane has migration %ld \"%.60s\", which this release does not know: run the "
            "release that made it, or a newer one",
            number, name);
    ox__control_migration_sum(&known[number - 1], ours);
    if (strcmp(ours, sum) != 0)
        return ox_diag_set(
            diag, OX_E_STATE, "schema_migrations", -1,
            "migration %ld \"%.60s\" of the control plane was applied with another text (%.32s, here %s): "
            "it comes from a release that was never published; restore the right one",
            number, name, sum, ours);
    done[number - 1] = true;
    return OX_OK;
}
