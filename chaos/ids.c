/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/ids.c - lanes of ids and what became of them.
 *
 * Owns:    see ids.h.
 * Threads: see ids.h.
 * Fails:   ends the process without memory: an account with holes proves nothing.
 */
#include "chaos/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TENANT_SHIFT 44
#define SIGNAL_SHIFT 40
#define CAP_FIRST    65536u
#define FILE_MAGIC   0x31736469u /* "ids1" */

void
chaos_ids_init(struct chaos_ids *ids, uint32_t tenants)
{
    memset(ids, 0, sizeof(*ids));
    ids->tenants = tenants;
    ids->n_lanes = tenants * OX_SIGNAL__COUNT;
    OX_ASSERT(ids->n_lanes <= CHAOS_LANES_MAX);
    for (uint32_t i = 0; i < ids->n_lanes; i++) {
        ids->lanes[i].tenant = i / OX_SIGNAL__COUNT;
        ids->lanes[i].signal = (enum ox_signal)(i % OX_SIGNAL__COUNT);
    }
}

void
chaos_ids_fini(struct chaos_ids *ids)
{
    for (uint32_t i = 0; i < ids->n_lanes; i++)
        free(ids->lanes[i].fates);
}

struct chaos_lane *
chaos_ids_lane(struct chaos_ids *ids, uint32_t tenant, enum ox_signal signal)
{
    return &ids->lanes[tenant * OX_SIGNAL__COUNT + (uint32_t)signal];
}

static void
reserve(struct chaos_lane *lane, uint64_t n)
{
    uint64_t cap = lane->cap != 0 ? lane->cap : CAP_FIRST;
    while (cap < n)
        cap *= 2;
    if (cap == lane->cap)
        return;
    uint8_t *fates = realloc(lane->fates, cap);
    OX_ASSERT(fates != NULL);
    lane->fates = fates;
    lane->cap = cap;
}

uint64_t
chaos_lane_take(struct chaos_lane *lane, uint32_t n)
{
    uint64_t first = lane->n;
    reserve(lane, first + n);
    lane->n += n;
    chaos_lane_set(lane, first, n, CHAOS_UNKNOWN);
    return first;
}

void
chaos_lane_set(struct chaos_lane *lane, uint64_t first, uint32_t n, enum chaos_fate fate)
{
    OX_ASSERT(first + n <= lane->n);
    memset(lane->fates + first, fate, n);
}

uint64_t
chaos_key(const struct chaos_lane *lane, uint64_t id)
{
    return (uint64_t)(lane->tenant + 1) << TENANT_SHIFT | (uint64_t)(lane->signal + 1) << SIGNAL_SHIFT | id;
}

struct chaos_lane *
chaos_ids_find(struct chaos_ids *ids, uint64_t key, uint64_t *id)
{
    uint64_t tenant = key >> TENANT_SHIFT, signal = key >> SIGNAL_SHIFT & 15;
    if (tenant == 0 || tenant > ids->tenants || signal == 0 || signal > OX_SIGNAL__COUNT)
        return NULL;
    struct chaos_lane *lane = chaos_ids_lane(ids, (uint32_t)tenant - 1, (enum ox_signal)(signal - 1));
    *id = key & ((UINT64_C(1) << SIGNAL_SHIFT) - 1);
    return *id < lane->n ? lane : NULL;
}

uint64_t
chaos_lane_count(const struct chaos_lane *lane, uint64_t from, enum chaos_fate fate)
{
    uint64_t n = 0;
    for (uint64_t i = from; i < lane->n; i++)
        n += lane->fates[i] == (uint8_t)fate;
    return n;
}

uint64_t
chaos_lane_unanswered(const struct chaos_lane *lane, uint64_t from)
{
    return chaos_lane_count(lane, from, CHAOS_UNKNOWN) + chaos_lane_count(lane, from, CHAOS_TORN);
}

static bool
write_lanes(FILE *f, const struct chaos_ids *ids)
{
    const uint32_t head[2] = {FILE_MAGIC, ids->tenants};
    if (fwrite(head, sizeof(head), 1, f) != 1)
        return false;
    for (uint32_t i = 0; i < ids->n_lanes; i++) {
        const struct chaos_lane *lane = &ids->lanes[i];
        if (fwrite(&lane->n, sizeof(lane->n), 1, f) != 1 ||
            (lane->n > 0 && fwrite(lane->fates, lane->n, 1, f) != 1))
            return false;
    }
    return fflush(f) == 0;
}

bool
chaos_ids_save(const struct chaos_ids *ids, const char *path)
{
    char temp[512];
    snprintf(temp, sizeof(temp), "%s.tmp", path);
    FILE *f = fopen(temp, "wbe");
    if (f == NULL)
        return false;
    bool ok = write_lanes(f, ids);
    ok &= fclose(f) == 0;
    return ok && rename(temp, path) == 0;
}

static bool
read_lanes(FILE *f, struct chaos_ids *ids)
{
    uint32_t head[2];
    if (fread(head, sizeof(head), 1, f) != 1 || head[0] != FILE_MAGIC || head[1] != ids->tenants)
        return false;
    for (uint32_t i = 0; i < ids->n_lanes; i++) {
        struct chaos_lane *lane = &ids->lanes[i];
        uint64_t n;
        if (fread(&n, sizeof(n), 1, f) != 1 || n > UINT64_C(1) << SIGNAL_SHIFT)
            return false;
        reserve(lane, n + 1);
        lane->n = lane->round_first = n;
        if (n > 0 && fread(lane->fates, n, 1, f) != 1)
            return false;
    }
    return true;
}

bool
chaos_ids_load(struct chaos_ids *ids, const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return false;
    bool ok = read_lanes(f, ids);
    fclose(f);
    return ok;
}
