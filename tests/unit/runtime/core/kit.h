/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/runtime/core/kit.h - the runtime in single-thread mode on a virtual clock, for tests.
 */
#ifndef OX_TEST_CORE_KIT_H
#define OX_TEST_CORE_KIT_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/actor.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/runtime.h"

#define KIT_STEPS_MAX 1000000u

static struct ox_clock_virtual kit_clock;

static inline void
kit_start_with(struct ox_runtime_options options)
{
    struct ox_diag diag;
    ox_clock_virtual_init(&kit_clock, 1000000000ull, 1700000000000000000ull);
    options.single_thread = true;
    options.clock = &kit_clock.clock;
    ox_log_set_level(OX_LOG_FATAL);
    cr_assert_eq(ox_runtime_start(&options, &diag), OX_OK, "%s", diag.text);
}

static inline void
kit_start(uint64_t seed)
{
    kit_start_with((struct ox_runtime_options){.seed = seed});
}

/* Runs all that is ready now. */
static inline void
kit_settle(void)
{
    cr_assert_lt(ox_runtime_drain(KIT_STEPS_MAX), KIT_STEPS_MAX, "the runtime never comes to rest");
}

static inline void
kit_advance_ms(uint64_t ms)
{
    ox_clock_virtual_advance(&kit_clock, ms * 1000000ull);
    kit_settle();
}

static inline ox_pid
kit_spawn(const struct ox_actor_class *class, void *arg)
{
    ox_pid pid = OX_PID_NONE;
    struct ox_diag diag;
    ox_err err = ox_spawn_wait(&(struct ox_spawn){.class = class, .arg = arg}, &pid, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    return pid;
}

static inline void
kit_cast(ox_pid to, uint32_t kind, uint64_t num)
{
    cr_assert_eq(ox_cast(to, kind, num), OX_OK);
}

#endif
