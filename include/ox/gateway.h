/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/gateway.h - starting the gateway: one actor and one HTTP server per loop.
 */
#ifndef OX_GATEWAY_H
#define OX_GATEWAY_H

#include "ox/spine.h"

struct ox_gateway;

/* Starts gateways on every loop under supervisor `sup`, serving both listening sockets. fds: lend, they stay
 * open. The runtime runs already. IO, NOMEM, or what on_start said. Not on a scheduler thread. */
OX_MUST_USE ox_err ox_gateway_start(struct ox_node *node, ox_pid sup, int fd_otlp_http, int fd_otlp_grpc,
                                    struct ox_gateway **out, struct ox_diag *diag);
/* Stops accepting and finishes what is there; ox_gateway_drained tells when. Call it again until then: a gateway whose
 * mailbox is full does not hear. One thread. */
void ox_gateway_drain(struct ox_gateway *gw);
bool ox_gateway_drained(struct ox_gateway *gw);
/* What a gateway had in hand when it crashed and had not taken out of its message: its request is answered by the end of its
 * connection. msg: lend, steals what hangs on it; any kind. The gateway's loop. */
void ox_gateway_set_aside(struct ox_msg *msg);
/* After ox_runtime_stop. */
void ox_gateway_free(struct ox_gateway *gw);

#endif
