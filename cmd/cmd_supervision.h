/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_supervision.h - what the subcommands share that ask the API and print its answer.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 */
#ifndef OX_CMD_SUPERVISION_H
#define OX_CMD_SUPERVISION_H

#include <jansson.h>
#include <stdbool.h>

#include "cmd/text.h"

/* Which ObserveX, and as whom; each may be NULL. */
struct cmd_api_where {
    const char *api;
    const char *data;
    const char *key;
};

/* Asks the API (a POST when `post` is not NULL) and prints the answer: as it is with `json`, else by `print`. The exit code. */
int cmd_api_show(const struct cmd_api_where *where, const char *path, const char *post, bool json,
                 void (*print)(const json_t *answer));
/* The same with a method of one's own. */
int cmd_api_order(const struct cmd_api_where *where, enum cmd_api_method method, const char *path,
                  const char *body_json, bool json, void (*print)(const json_t *answer));
/* One crash as the API gives it, or as it stands in a file. */
void cmd_print_crash(const json_t *crash);

#endif
