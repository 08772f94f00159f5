/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/api_internal.h - what the API port's files share.
 *
 * Owns:    see struct api_job and struct api_port.
 * Threads: a port belongs to its loop; a job to its loop, then to one query thread, then to its loop again.
 */
#ifndef OX_API_INTERNAL_H
#define OX_API_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "ox/actor.h"
#include "ox/http.h"
#include "ox/query.h"

struct api_lane {
    struct ox_lane *lane;
    _Atomic uint32_t jobs; /* waiting or running: any loop takes the least loaded lane */
};

struct ox_api {
    struct ox_api_options options;
    struct ox_http_census *census;
    struct api_lane *lanes;
    uint32_t n_lanes;
    struct api_port *ports;
    uint32_t n_ports;
};

struct api_port {
    struct ox_api *api;
    ox_pid actor;
    struct ox_actor *self; /* while the actor lives; loop thread only */
    struct ox_http_server *server;
    uint32_t jobs;        /* unanswered questions of this port; loop thread only */
    bool stopping;        /* on_stop waits for them */
    _Atomic bool drained; /* release by the loop, acquire by whoever asks */
    pthread_mutex_t lock; /* of `orphans`: pushed by a query thread when the actor had crashed */
    struct api_job *orphans;
};

/* One question on its way. */
struct api_job {
    struct api_port *port;
    struct ox_http_request *req; /* ours until answered; read-only on the query thread */
    struct api_lane *lane;
    struct ox_query_request question;
    struct ox_query_response answer;
    _Atomic bool cancel; /* relaxed: a hint, the statement ends a moment later */
    struct api_job *next;
};

/* req: take. Sends an answer's status, headers and body (steal). */
void ox__api_send(struct ox_http_request *req, struct ox_query_response *answer);
/* req: take. An error in the API's own form. */
void ox__api_refuse(struct ox_http_request *req, ox_err err, const char *message, const char *hint);
/* req: take on true. Answers /, /health, /ready and /metrics without a query; false: it is none of them. */
bool ox__api_page(struct ox_api *api, struct ox_http_request *req);
/* The tenant who asks. UNAUTHENTICATED with a sentence. */
OX_MUST_USE ox_err ox__api_identify(struct ox_api *api, const struct ox_http_request *req,
                                    struct ox_tenant_id *tenant, struct ox_diag *diag);

#endif
