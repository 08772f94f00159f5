/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/tokens.h - the logs of insert tokens, made to survive a power loss.
 *
 * Owns:    nothing.
 * Threads: any; calls may run beside one another and beside inserts.
 */
#ifndef OX_ENGINE_TOKENS_H
#define OX_ENGINE_TOKENS_H

/*
 * Makes every write to the token logs below the store durable when it returns. data_dir: of the library. Repeat it after tables
 * were created; what is so already stays so. Says it once in the log when the file system cannot.
 */
void ox__tokens_make_durable(const char *data_dir);

#endif
