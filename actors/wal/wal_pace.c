/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_pace.c - how many bytes a group commit may hold, so that nobody waits long behind another's megabytes.
 *
 * Owns:    nothing; the caller keeps the struct.
 * Threads: the wal actor's turns.
 * Bounds:  OX_WAL_GROUP_MIN to OX_WAL_GROUP_MAX bytes.
 *
 * A group costs what a sync costs by itself, and so much per byte: seconds = sync + bytes * byte. Both are learnt from the
 * groups as they come, by a least-squares line whose past fades (FORGET); a group that took far longer than the line says,
 * as when a core was busy elsewhere, counts as LATE times that. The bytes shall cost OX_WAL_GROUP_SECONDS, or as much as
 * the sync, whichever is more: on a disk that syncs slowly a group that is bounded by time alone would spend it on syncs.
 *
 * Groups that are all of one size teach no line. So every PROBE_EVERYth is twice as large.
 */
#include "actors/wal/wal_internal.h"

#define FORGET      (1.0 / 64)
#define LATE        4.0
#define PROBE_EVERY 16u
#define MIB         1048576.0

void
ox__wal_pace_learn(struct ox__wal_pace *pace, uint64_t bytes, double seconds)
{
    double x = (double)bytes / MIB, y = seconds;
    double late = LATE * (pace->sync_s + x * pace->mib_s);
    if (pace->weight > 1 && y > late)
        y = late;
    pace->weight += 1 - FORGET * pace->weight;
    double gain = 1 / pace->weight, dx = x - pace->mean_x, dy = y - pace->mean_y;
    pace->mean_x += gain * dx;
    pace->mean_y += gain * dy;
    pace->var_x += gain * ((1 - gain) * dx * dx - pace->var_x);
    pace->cov_xy += gain * ((1 - gain) * dx * dy - pace->cov_xy);
    double through_zero = pace->mean_x > 0 ? pace->mean_y / pace->mean_x : 0; /* as if a sync cost nothing */
    double slope = pace->var_x > 0 ? pace->cov_xy / pace->var_x : through_zero;
    pace->mib_s = slope < 0 ? 0 : slope < through_zero ? slope : through_zero;
    pace->sync_s = pace->mean_y - pace->mib_s * pace->mean_x;
}

uint64_t
ox__wal_pace_bytes(struct ox__wal_pace *pace)
{
    double seconds = pace->sync_s > OX_WAL_GROUP_SECONDS ? pace->sync_s : OX_WAL_GROUP_SECONDS;
    double mib = pace->mib_s > 0 ? seconds / pace->mib_s : OX_WAL_GROUP_MAX / MIB;
    if (pace->weight == 0)
        mib = OX_WAL_GROUP_FIRST / MIB;
    if (++pace->groups % PROBE_EVERY == 0)
        mib *= 2;
    if (mib >= OX_WAL_GROUP_MAX / MIB)
        return OX_WAL_GROUP_MAX;
    return mib <= OX_WAL_GROUP_MIN / MIB ? OX_WAL_GROUP_MIN : (uint64_t)(mib * MIB);
}
