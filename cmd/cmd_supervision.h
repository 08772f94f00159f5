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
/* The same for a question whose answer stands in files as well: they are asked when nothing runs on the data directory, which is
 * said on stderr. files: gives the same object as the API, *out: take. */
int cmd_api_or_files(const struct cmd_api_where *where, const char *path, bool json,
                     void (*print)(const json_t *answer),
                     ox_err (*files)(const char *data, json_t **out, struct ox_diag *diag));
/* crash_files.c: as /api/v1/crashes and /api/v1/quarantine answer. *out: take. NOT_FOUND, IO, CORRUPT, with a sentence. */
OX_MUST_USE ox_err cmd_crashes_of_files(const char *data, size_t limit, json_t **out, struct ox_diag *diag);
OX_MUST_USE ox_err cmd_quarantine_of_files(const char *data, json_t **out, struct ox_diag *diag);
/* What a hint repeats of the command line: " --data DIR", " --api URL" or "". Until the next call. */
const char *cmd_same_place(const struct cmd_api_where *where);
/* One crash as the API gives it, or as it stands in a file. */
void cmd_print_crash(const json_t *crash);

#endif
