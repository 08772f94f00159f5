/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/mender.h - the actor that has the embedded engine restarted when it holds parts that cannot be read.
 *
 * Owns:    see actors/storage/mender.c.
 * Threads: an actor.
 */
#ifndef OX_MENDER_H
#define OX_MENDER_H

#include "ox/actor.h"

struct ox_node;

/* Argument of ox_mender_class; outlives the actor. */
struct ox_mender_arg {
    struct ox_node *node;
    void (*restart)(void *ctx); /* asks whoever owns the engine to start it anew; any thread, does not wait */
    void *ctx;
};

/* `engine_up` tells it that the engine was started anew. */
extern const struct ox_actor_class ox_mender_class;

#endif
