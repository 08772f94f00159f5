/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/lock.h - the only way to take a lock.
 *
 * Owns:    nothing.
 * Threads: as the lock.
 *
 * A panic abandons its turn where it stands; a lock that was held there would stay held for ever. So what fails under a lock
 * ends the process, which this is for: between lock and unlock panics do not unwind. For the same reason a handler
 * returns without locks (runtime/core/dispatch.c asserts it). A pthread_mutex_lock beside these would be
 * counted by nobody: tests/unit/runtime/core/rules_test.c looks for one.
 */
#ifndef OX_LOCK_H
#define OX_LOCK_H

#include <pthread.h>

#include "ox/actor.h"

/* lock: lend. Blocks: held for as long as it takes to copy, never over a call that waits for others. */
static inline void
ox_lock(pthread_mutex_t *lock)
{
    ox_nopanic_begin();
    pthread_mutex_lock(lock);
}

/* On the thread that locked. */
static inline void
ox_unlock(pthread_mutex_t *lock)
{
    pthread_mutex_unlock(lock);
    ox_nopanic_end();
}

/* The same for locks that many may hold for reading. */
static inline void
ox_lock_read(pthread_rwlock_t *lock)
{
    ox_nopanic_begin();
    pthread_rwlock_rdlock(lock);
}

static inline void
ox_lock_write(pthread_rwlock_t *lock)
{
    ox_nopanic_begin();
    pthread_rwlock_wrlock(lock);
}

static inline void
ox_unlock_rw(pthread_rwlock_t *lock)
{
    pthread_rwlock_unlock(lock);
    ox_nopanic_end();
}

#endif
