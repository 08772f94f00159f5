/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/fault.h - faults that a test asks for: which messages shall bring their actor down, and how.
 *
 * Owns:    a table of rules, filled once.
 * Threads: ox_fault_load before the actors run; the rest on any thread.
 * Bounds:  OX_FAULT_RULES_MAX rules.
 * Fails:   INVALID, with a sentence that says what a rule looks like.
 *
 * For tests only: the node reads OBSERVE_X_TEST_FAULTS in development mode and nowhere else. Without rules the cost is
 * one load per request. Rules, separated by commas:
 *   marked                  a request whose bytes hold "observex.fault=FAULT", in a body or an attribute
 *   FAULT@tenant:NAME       every request of that tenant
 *   FAULT@tenant:NAME/N     every Nth of them
 */
#ifndef OX_FAULT_H
#define OX_FAULT_H

#include "ox/actor.h"

#define OX_FAULT_RULES_MAX 16

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
/* Does it: returns for `none` and `slow` only. Own. */
void ox_fault_commit(struct ox_actor *self, enum ox_fault fault);

#endif
