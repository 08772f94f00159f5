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

#endif
