/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/stranger.c - a request whose key is not known yet waits here until the key store has been asked.
 *
 * Owns:    struct stranger with its request, while the lane has it.
 * Threads: begins and ends on the loop of the request's server; the lane only reads the request.
 * Bounds:  the queue of the lane: beyond it 429. Bodies: node->strangers.
 * Fails:   what the key store says.
 * Flow:    gateway_actor.c -> here -(node->keys_lane)-> keys->look_up -> `identified` -> gateway_actor.c.
 */
#include <stdlib.h>

#include "actors/gateway/gateway_internal.h"

struct stranger {
    struct ox_node *node;
    ox_pid gateway;
    struct ox_http_request *req;
    struct ox_identity who;
    ox_err err;
    struct ox_diag diag;
};

static void
look_up(void *arg)
{
    struct stranger *s = arg;
    struct ox_credential cred = ox_credential_of(s->req);
    s->err = s->node->keys->look_up(s->node->keys, &cred, &s->who, &s->diag);
}

/* Found for an actor that has crashed meanwhile: its next incarnation, which has its pid, goes on with it. */
static void
found_late(void *arg)
{
    struct stranger *s = arg;
    struct ox_msg *msg = ox_msg_new(OX_K_identified, s, 0, free);
    if (msg == NULL) {
        free(s);
        return;
    }
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_send(s->gateway, &msg) != OX_OK) /* it is gone for good: the node stops */
        ox_msg_free(msg);
}

void
ox__stranger_ask(struct ox_actor *self, struct ox_node *node, struct ox_http_request *req)
{
    struct ox_diag diag;
    struct stranger *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        ox__gateway_reply_error(node, req, OX_E_NOMEM, NULL);
        return;
    }
    s->node = node;
    s->gateway = ox_actor_pid(self);
    s->req = req;
    ox_diag_clear(&s->diag);
    if (ox_dirty_submit(self, node->keys_lane, look_up, s, OX_K_identified, found_late, NULL) == OX_OK)
        return;
    free(s);
    ox_diag_set(&diag, OX_E_OVERLOAD, "x-api-key", -1, "too many keys are being looked up; retry later");
    ox__gateway_reply_error(node, req, OX_E_OVERLOAD, &diag);
}

ox_err
ox__stranger_found(void *stranger, struct ox_http_request **req, struct ox_identity *who,
                   struct ox_diag *diag)
{
    struct stranger *s = stranger;
    ox_err err = s->err;
    *req = s->req;
    *who = s->who;
    *diag = s->diag;
    free(s);
    return err;
}

void
ox__stranger_abort(void *stranger)
{
    struct stranger *s = stranger;
    ox_http_request_abort(s->req);
    free(s);
}
