/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/fault.h - faults that a test asks for: which messages shall bring their actor down, and how.
 *
 * Owns:    a table of rules, filled once; some faults that are armed.
 * Threads: ox_fault_load before the actors run; ox_fault_arm on one thread at a time; the rest on any thread.
 * Bounds:  OX_FAULT_RULES_MAX rules, OX_FAULT_ARMED_MAX armed.
 * Fails:   INVALID, with a sentence that says what a rule looks like.
 *
 * For tests only: the node reads OBSERVE_X_TEST_FAULTS in development mode and nowhere else. Without rules the cost is
 * one load per request. Rules, separated by commas:
 *   marked                  a request whose bytes hold "observex.fault=FAULT", in a body or an attribute
 *   FAULT@tenant:NAME       every request of that tenant
 *   FAULT@tenant:NAME/N     every Nth of them
 *   armed                   none yet: ox_fault_arm says later which kind of actor is next (POST /debug/fault/KIND/FAULT)
 */
#ifndef OX_FAULT_H
#define OX_FAULT_H

#include "ox/actor.h"

#define OX_FAULT_RULES_MAX 16
#define OX_FAULT_ARMED_MAX 4

enum ox_fault {
    OX_FAULT_none,
#define OX_ACTOR_FAULT(symbol, text) OX_FAULT_##symbol,
#include "ox/tbl/actor_faults.h"
#undef OX_ACTOR_FAULT
    OX_FAULT__COUNT
};
/* "panic", "segv", ... */
const char *ox_fault_name(enum ox_fault fault);

/* Replaces the rules; "" or NULL = none. spec: lend. */
OX_MUST_USE ox_err ox_fault_load(const char *spec, struct ox_diag *diag);
/* What shall happen to the actor that holds this request in its hands. bytes: lend. */
enum ox_fault ox_fault_of(const char *tenant, struct ox_str bytes);
/* Whether the rules say `armed`. */
bool ox_fault_may_arm(void);
/* The next actor of this kind (class) that handles a message commits the fault. INVALID: there is no such fault. OVERLOAD:
 * OX_FAULT_ARMED_MAX are armed and have not struck. STATE: the rules do not say `armed`. */
OX_MUST_USE ox_err ox_fault_arm(struct ox_str kind, struct ox_str fault);
/* Whether one is armed for this kind and has not struck. */
bool ox_fault_is_armed(struct ox_str kind);
/* Hook of the runtime: commits the armed fault when it is this actor's. Own. */
void ox_fault_before(void *arg, struct ox_actor *self, const char *class_name);
/* Does it: returns for `none` and `slow` only. Own. */
void ox_fault_commit(struct ox_actor *self, enum ox_fault fault);

#endif
