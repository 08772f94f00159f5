/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/mend_job.h - one look at the parts of the embedded engine.
 *
 * Owns:    nothing but what the job carries.
 * Threads: a dirty thread.
 */
#ifndef OX_MEND_JOB_H
#define OX_MEND_JOB_H

#include "ox/parts.h"
#include "ox/spine.h"

/* What is thought of a part that was found broken, or set aside. */
enum ox__mend_verdict {
    OX__MEND_NONE,
    OX__MEND_WAITS, /* rows are missing, perhaps of blocks in doubt: these go in again and are counted first */
    OX__MEND_LOST   /* its rows are nowhere else, or nobody can tell */
};

struct ox__mend_known {
    struct ox_part part;
    enum ox__mend_verdict verdict;
    uint64_t missing; /* WAITS: rows; UINT64_MAX: nobody knows */
};

struct ox__mend_list {
    struct ox__mend_known items[OX_PARTS_MAX];
    size_t n;
};

struct ox__mend_job {
    struct ox_node *node;
    bool judge; /* the engine is new: look at what it has set aside; else look for parts that are broken */
    bool scan;  /* look at the parts, whatever the number of errors */
    uint32_t engine; /* whose parts: of another one nothing is said */
    uint64_t errors_before;
    struct ox_parts named;
    struct ox__mend_list known; /* judge: as it was; then as it is. Look: out, what is broken */
    /* Rows of blocks that were in doubt since the trouble began, by table, less those that explain what was missing. */
    uint64_t doubted[OX_TABLE__COUNT], explained[OX_TABLE__COUNT];
    /* outcome */
    uint64_t errors;
    bool scanned;
    uint32_t lost, waiting;
    ox_err err;
    struct ox_diag diag;
};
void ox__mend_job_run(void *job);
struct ox__mend_known *ox__mend_find(struct ox__mend_list *list, const struct ox_part *part);

#endif
