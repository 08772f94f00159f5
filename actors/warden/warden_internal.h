/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/warden_internal.h - what the files of the warden share.
 */
#ifndef OX_WARDEN_INTERNAL_H
#define OX_WARDEN_INTERNAL_H

#include "ox/warden.h"

/* The tenant is quarantined after `crashes` crashes, or no more when 0: its entry says so, the log's actor hears of it. Any
 * thread; does not block. */
void ox__warden_apply(struct ox_node *node, const char *tenant, uint32_t crashes);
/* The actor is told to look, unless it is told already. asked: set until its job looks. False: it does not hear of it. Any
 * thread; does not block. */
bool ox__warden_ask(struct ox_warden *w, _Atomic bool *asked, uint32_t kind);

/* ---- unkept.c: quarantines on their way into the list ---- */

/* NULL: no memory. */
struct ox__unkept *ox__unkept_new(void);
void ox__unkept_free(struct ox__unkept *u);
/* entry: lend, copied. False: no memory. Any thread. */
bool ox__unkept_add(struct ox__unkept *u, const struct ox_quarantined *entry);
/* Puts each into the list, then in force; those that cannot be written stay, and are in force all the same. The warden's lane:
 * nobody else takes any out. */
void ox__unkept_keep(struct ox__unkept *u, struct ox_node *node, struct ox_quarantine *list);
bool ox__unkept_empty(struct ox__unkept *u);
/* The i-th of them, 0 = first, copied; false: there are not so many. */
bool ox__unkept_at(struct ox__unkept *u, size_t i, struct ox_quarantined *out);

#endif
