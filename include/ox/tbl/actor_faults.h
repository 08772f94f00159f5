/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/actor_faults.h - every fault that a test may ask of an actor, once.
 *
 * OX_ACTOR_FAULT(symbol, text)
 */
/* clang-format off */
OX_ACTOR_FAULT(panic, "a failed check of our own: ends the actor")
OX_ACTOR_FAULT(leak,  "allocates from the actor's arena until its budget is spent: ends the actor")
OX_ACTOR_FAULT(segv,  "writes to address 0: ends the process")
OX_ACTOR_FAULT(abort, "calls abort(): ends the process")
OX_ACTOR_FAULT(slow,  "takes a tenth of a second for the request, and then goes on")
OX_ACTOR_FAULT(hang,  "never returns, computing: the watchdog ends the process")
OX_ACTOR_FAULT(stall, "never returns, waiting: the watchdog ends the process, later")
/* clang-format on */
