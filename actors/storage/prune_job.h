/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/prune_job.h - one look at the tables and the data disk, and what is removed then.
 *
 * Owns:    nothing.
 * Threads: a dirty thread.
 */
#ifndef OX_PRUNE_JOB_H
#define OX_PRUNE_JOB_H

#include "ox/spine.h"

struct ox__prune_job {
    struct ox_node *node;
    const struct ox_config *config; /* in force when the job began */
    bool user_data;                 /* may be removed now */
    /* outcome */
    uint32_t partitions; /* of user data that were removed */
    bool short_of;       /* the disk is too full, and nothing that is old enough is left */
    ox_err err;
    struct ox_diag diag;
};
void ox__prune_job_run(void *job);

#endif
