/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/api_client.h - how subcommands find and ask the API of a running ObserveX.
 *
 * Owns:    a libcurl handle per call.
 * Threads: the main thread.
 * Bounds:  OX_API_ANSWER_MAX, OX_API_TIMEOUT_S.
 */
#ifndef OX_API_CLIENT_H
#define OX_API_CLIENT_H

#include "ox/buf.h"

#define OX_API_ANSWER_MAX (64u << 20)
#define OX_API_TIMEOUT_S  60

/*
 * The base URL without a slash at its end, "http://127.0.0.1:8080": `api` if given (a scheme is added when it
 * has none), else what DIR/ready.json of `data` says, else the default address.
 * NOT_FOUND with a sentence when `data` is given and nothing runs there.
 */
OX_MUST_USE ox_err ox_api_find(const char *api, const char *data, char *out, size_t size,
                               struct ox_diag *diag);

/* GET base + path. *status is the HTTP status, body the answer (appended). IO with a
 * sentence when nothing answers, TIMEOUT, TOO_LARGE. key: the API key or NULL. */
OX_MUST_USE ox_err ox_api_get(const char *base, const char *path, const char *key, long *status,
                              struct ox_buf *body, struct ox_diag *diag);

/* The same as a POST with a body of JSON. */
OX_MUST_USE ox_err ox_api_post(const char *base, const char *path, const char *key, const char *json,
                               long *status, struct ox_buf *body, struct ox_diag *diag);
/* The same as a PATCH. */
OX_MUST_USE ox_err ox_api_patch(const char *base, const char *path, const char *key, const char *json,
                                long *status, struct ox_buf *body, struct ox_diag *diag);

#endif
