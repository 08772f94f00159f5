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

#include "actors/query/query_gate.h"
#include "ox/actor.h"
#include "ox/http.h"
#include "ox/keystore.h"
#include "ox/query.h"
#include "ox/spine.h"

/* Messages to a port beside `configure`; no other actor sends it any. */
enum { OX__API_DONE = OX_K__COUNT, OX__API_DRAIN, OX__API_GO, OX__API_TICK };

struct api_lane {
    struct ox_lane *lane;
    _Atomic uint32_t jobs; /* waiting or running: any loop takes the least loaded lane */
};

struct ox_api {
    struct ox_api_options options;
    struct ox_http_census *census;
    struct api_lane *lanes;
    uint32_t n_lanes;
    struct api_lane slow;   /* for orders that hash secrets */
    struct api_lane logins; /* the same, of those who are nobody yet */
    struct api_port *ports;
    uint32_t n_ports;
    struct ox__gate *gate; /* tenants' turns, over all ports */
};

struct api_port {
    struct ox_api *api;
    ox_pid actor;
    struct ox_actor *self; /* while the actor lives; loop thread only */
    struct ox_http_server *server;
    struct ox_query query;   /* with the limits in force; loop thread only, each job has a copy */
    uint32_t jobs;           /* unanswered questions of this port; loop thread only */
    bool stopping;           /* on_stop waits for them */
    _Atomic bool drained;    /* release by the loop, acquire by whoever asks */
    struct api_job *waiting; /* for their turn; loop thread only */
    uint64_t tick;           /* timer that looks at them, 0 = none; loop thread only */
    pthread_mutex_t lock;    /* of what follows */
    struct api_job *orphans; /* pushed by a query thread when the actor had crashed */
    struct api_job *granted; /* pushed by another port: their turn has come */
};

/* One question on its way. */
struct api_job {
    struct api_port *port;
    struct ox_http_request *req; /* ours until answered; read-only on the query thread */
    struct api_lane *lane;
    struct ox_query query;
    struct ox_query_request question;
    bool stranger; /* its key is not known yet: the query thread has it looked up */
    bool found;    /* ... and knows it now: the question begins anew */
    bool is_order;
    bool passes;  /* an order, or a look-up: it stands in no row of questions */
    bool entered; /* it counts at the gate, running or waiting */
    bool waits;
    struct ox__gate_item turn;
    uint64_t give_up_ns; /* of a question that waits */
    struct api_job *wait_next, **wait_at;
    char key_id[OX_KEY_ID_MAX + 1];
    char user[OX_SUBJECT_MAX + 1];
    bool csrf; /* it shows what orders of its session have to */
    char credential[OX_TENANT_MAX + OX_TLS_NAME_BYTES_MAX + 48]; /* the question lends both */
    struct ox_query_response answer;
    _Atomic bool cancel; /* relaxed: a hint, the statement ends a moment later */
    struct api_job *next;
};

/* ---- api_actor.c ---- */

/* Query thread: answers it. */
void ox__api_run(void *job);
/* Query thread: its actor is gone, the request may only be touched on its loop. */
void ox__api_orphan(void *job);
/* job: take. Sends job->answer; the next one of its tenant may run. The port's loop. */
void ox__api_finish(struct api_job *job);

/* ---- api_wait.c, the port's loop ---- */

/* job: take. Whose question it is is known: it runs, waits, or is refused. */
void ox__api_admit(struct api_job *job);
/* It has run (or never will): the next of its tenant. */
void ox__api_leave(struct api_job *job);
/* Questions whose turn has come, as another port has seen. */
void ox__api_take_granted(struct api_port *port);
/* The timer: who has waited too long, or has gone. */
void ox__api_tick(struct api_port *port);
/* Answers all that wait: the port ends. */
void ox__api_turn_away(struct api_port *port);

#define OX__KEY_HINT "send the key as x-api-key or as Authorization: Bearer"

/* req: take. Sends an answer's status, headers and body (steal). */
void ox__api_send(const struct ox_api *api, struct ox_http_request *req, struct ox_query_response *answer);
/* What a request says of itself, its cookie included. Lend: the request's bytes. */
struct ox_credential ox__api_credential(const struct ox_api *api, const struct ox_http_request *req);
/* Whether it shows what goes with its cookie. */
bool ox__api_csrf_ok(const struct ox_api *api, const struct ox_http_request *req);
/* The value of set-cookie for `session`; "" = it ends. */
void ox__api_cookie(const struct ox_api *api, const char *session, char *out, size_t size);
/* The same of a login through a provider, which sends the browser back from its own site. */
void ox__api_pending_cookie(const struct ox_api *api, const char *pending, char *out, size_t size);
struct ox_str ox__api_pending(const struct ox_api *api, const struct ox_http_request *req);
enum ox_api_kind ox__api_kind(const struct ox_api *api, const struct ox_http_request *req);

/* req: take. An error in the API's own form. */
void ox__api_refuse(struct ox_http_request *req, ox_err err, const char *message, const char *hint);
/* req: take. The console. */
void ox__api_console(struct ox_http_request *req);
/* Generated by console/embed_console.py: the page, and the policy that goes with it. */
extern const uint8_t ox__console_page[];
extern const size_t ox__console_page_len;
extern const char ox__console_policy[];
/* req: take on true. Answers /, /health, /ready and /metrics without a query; false: it is none of them. */
bool ox__api_page(struct ox_api *api, struct ox_http_request *req);
/* Who asks. UNAUTHENTICATED and its like with a sentence; AGAIN: only a look-up can tell. */
OX_MUST_USE ox_err ox__api_identify(struct ox_api *api, const struct ox_http_request *req,
                                    struct ox_identity *who, struct ox_diag *diag);

#endif
