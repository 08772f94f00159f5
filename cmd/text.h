/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/text.h - what `observex trace` and `observex logs` share: safe text for terminals, and JSON answers.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 */
#ifndef OX_CMD_TEXT_H
#define OX_CMD_TEXT_H

#include <jansson.h>

#include "ox/base.h"
#include "ox/buf.h"

/*
 * Prints `text` in at most `width` characters (an ellipsis marks a cut) and fills up with blanks when `pad` is
 * set. Control characters come out as '?': a record must not steer the reader's terminal.
 */
void cmd_text_print(const char *text, int width, bool pad);
/* "1.25s", "80.1ms", "12us", "5ns" */
void cmd_text_duration(int64_t ns, char *out, size_t size);

/*
 * Asks the API; an answer that is not 200 becomes an error with the answer's own sentence. body: appended;
 * *answer: take (json_decref).
 */
OX_MUST_USE ox_err cmd_api_json(const char *base, const char *path, const char *key, struct ox_buf *body,
                                json_t **answer, struct ox_diag *diag);

/* The same with a method; json: the body of what is no GET. An answer that is 201 is as good as 200. */
enum cmd_api_method { CMD_API_GET, CMD_API_POST, CMD_API_PATCH };
OX_MUST_USE ox_err cmd_api_ask(const char *base, enum cmd_api_method method, const char *path,
                               const char *key, const char *json, struct ox_buf *body, json_t **answer,
                               struct ox_diag *diag);

#endif
