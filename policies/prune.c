/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/prune.c - which stored data goes first when the disk fills up.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Flow:    actors/storage/pruner.c -> here.
 */
#include "ox/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOUR_S 3600
#define DAY_S  86400

uint64_t
ox_prune_excess(uint64_t free_bytes, uint64_t total_bytes, uint32_t above)
{
    uint64_t used = free_bytes < total_bytes ? total_bytes - free_bytes : 0, percent = total_bytes / 100;
    if (above == 0 || used <= percent * above)
        return 0;
    return used - percent * (above > OX_PRUNE_SLACK ? above - OX_PRUNE_SLACK : 0);
}

bool
ox_prune_partition_end(struct ox_str name, uint64_t *end_s)
{
    char text[32];
    struct tm tm = {0};
    int len = 0;
    bool day = name.n == sizeof("2026-11-25") - 1;
    if (!day && name.n != sizeof("2026-11-25 10:00:00") - 1)
        return false;
    int n = snprintf(text, sizeof(text), "%.*s%s", (int)name.n, name.p, day ? " 00:00:00" : "");
    sscanf(text, "%4d-%2d-%2d %2d:00:00%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &len);
    if (len != n || tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    *end_s = (uint64_t)timegm(&tm) + (day ? DAY_S : HOUR_S);
    return true;
}

/* Equal ends: the larger first, so that fewer go. */
static int
by_age(const void *a, const void *b)
{
    const struct ox_prune_partition *l = a, *r = b;
    if (l->end_s != r->end_s)
        return l->end_s < r->end_s ? -1 : 1;
    return (l->bytes < r->bytes) - (l->bytes > r->bytes);
}

size_t
ox_prune_choose(struct ox_prune_partition *parts, size_t n, uint64_t now_s, uint64_t min_age_s,
                uint64_t bytes)
{
    size_t chosen = 0;
    uint64_t freed = 0;
    if (n > 0)
        qsort(parts, n, sizeof(*parts), by_age);
    while (chosen < n && freed < bytes && parts[chosen].end_s + min_age_s <= now_s)
        freed += parts[chosen++].bytes;
    return chosen;
}
