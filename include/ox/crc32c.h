/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/crc32c.h - CRC-32C (Castagnoli), the checksum of bytes at rest.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 */
#ifndef OX_CRC32C_H
#define OX_CRC32C_H

#include "ox/base.h"

/* Continues `crc` (0 to begin) over n bytes: crc32c(crc32c(0, a), b) is the checksum of a followed by b.
 * bytes: lend. Uses the CPU's instruction where there is one. */
uint32_t ox_crc32c(uint32_t crc, const void *bytes, size_t n);
/* The same by tables, on any CPU; here so that tests can hold one against the other. */
uint32_t ox_crc32c_soft(uint32_t crc, const void *bytes, size_t n);

#endif
