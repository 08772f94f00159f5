/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/pack.h - from a full builder to the bytes that outbox and storage take.
 *
 * Owns:    nothing; the pack is the job's while it runs.
 * Threads: dirty threads.
 */
#ifndef OX_WRITER_PACK_H
#define OX_WRITER_PACK_H

#include "ox/spine.h"

/* pack: struct ox_pack, lend. Finishes its builder; the blocks are compressed when pack->level is not 0. The outcome
 * is pack->err: NOMEM, INTERNAL (the compressor's). */
void ox__pack_job(void *pack);

#endif
