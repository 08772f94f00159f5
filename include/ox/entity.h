/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/entity.h - EntityRef: which attributes of a resource identify which entity.
 *
 * Owns:    nothing; pure functions.
 * Threads: any.
 * Flow:    decoder (checks and keeps the wire bytes) -> writer: here -> column resource_entity_refs -> query.
 */
#ifndef OX_ENTITY_H
#define OX_ENTITY_H

#include "ox/base.h"
#include "ox/buf.h"

/*
 * Appends the stored form of n EntityRefs: nothing for none, else a JSON list with the members that OTLP names,
 * [{"schema_url":"","type":"host","id_keys":["host.id"],"description_keys":["host.name"]}].
 *
 * wires: lend; the bytes of each message, as the decoder accepted them (of damaged ones, what stands before the
 * damage). Of a member that occurs twice the last one wins, lists are joined. Memory shows as out->failed.
 */
void ox_entity_refs_render(const struct ox_str *wires, size_t n, struct ox_buf *out);

#endif
