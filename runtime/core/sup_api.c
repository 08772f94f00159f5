/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/sup_api.c - the functions of ox/supervisor.h that others call.
 *
 * Owns:    a child until its supervisor has taken it.
 * Threads: any.
 * Fails:   INVALID, OVERLOAD, EXISTS, GONE, NOMEM.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/sup.h"

static ox_err
check_child(const struct ox_child_spec *spec, struct ox_diag *diag)
{
    if (spec->id == NULL || spec->id[0] == '\0' || strlen(spec->id) > OX_CHILD_ID_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "id", -1, "a child's id has 1 to %d bytes", OX_CHILD_ID_MAX);
    return OX_OK;
}

/* A child whose supervisor did not take it. */
static void
drop_child(void *data)
{
    struct ox__child *child = data;
    ox__actor_bury(child->pid);
    ox__child_free(child);
}

static ox_err
send_add(ox_pid sup, struct ox__child *child, struct ox_diag *diag)
{
    struct ox_msg *msg = ox_msg_new(OX__MSG_SUP_ADD, child, 0, drop_child);
    if (msg == NULL)
        return OX_E_NOMEM;
    msg->flags = OX_MSG_F_CONTROL;
    ox_err err = ox_send(sup, &msg);
    if (err != OX_OK) {
        msg->data = NULL;
        ox_msg_free(msg);
        return ox_diag_set(diag, err, child->id, -1, "the supervisor does not take the child: %s",
                           ox_err_text(err));
    }
    return OX_OK;
}

static ox_err
add(ox_pid sup, const struct ox_child_spec *spec, bool in_order, struct ox__start_waiter *waiter, ox_pid *pid,
    struct ox_diag *diag)
{
    ox_err err = check_child(spec, diag);
    if (err != OX_OK)
        return err;
    struct ox__child *child = ox__child_new(spec);
    if (child == NULL)
        return OX_E_NOMEM;
    child->in_order = in_order;
    child->drop_if_start_fails = waiter != NULL;
    err = ox__child_spawn(child, sup, waiter, diag);
    if (err == OX_OK) {
        ox_pid child_pid = child->pid;
        err = send_add(sup, child, diag); /* from here on the child is the supervisor's */
        if (err == OX_OK && pid != NULL)
            *pid = child_pid;
        if (err != OX_OK)
            ox__actor_bury(child_pid);
    }
    if (err != OX_OK)
        free(child); /* the arg stays the caller's */
    return err;
}

ox_err
ox_sup_add(ox_pid sup, const struct ox_child_spec *spec, bool in_order, ox_pid *pid, struct ox_diag *diag)
{
    return add(sup, spec, in_order, NULL, pid, diag);
}

ox_err
ox_sup_add_wait(ox_pid sup, const struct ox_child_spec *spec, ox_pid *pid, struct ox_diag *diag)
{
    struct ox__start_waiter waiter;
    OX_ASSERT(ox__loop_now == NULL);
    ox__waiter_init(&waiter);
    ox_err err = add(sup, spec, true, &waiter, pid, diag);
    return err == OX_OK ? ox__waiter_wait(&waiter, diag) : err;
}

static ox_err
start_root(struct ox__sup_arg *arg, ox_pid *pid, struct ox_diag *diag)
{
    struct ox_spawn spawn = {.class = &ox__sup_class, .arg = arg, .name = arg->name};
    ox_pid own_pid;
    struct ox__start_waiter waiter;
    bool may_wait = ox__loop_now == NULL;
    ox__waiter_init(&waiter);
    ox_err err = ox__spawn_in(&spawn, OX_PID_NONE, may_wait ? &waiter : NULL, &own_pid, diag);
    if (err == OX_OK && may_wait)
        err = ox__waiter_wait(&waiter, diag);
    if (err == OX_OK)
        err = ox__root_add(own_pid);
    if (err == OX_OK && pid != NULL)
        *pid = own_pid;
    return err;
}

ox_err
ox_sup_start(const struct ox_sup_spec *spec, ox_pid *pid, struct ox_diag *diag)
{
    if (spec->name == NULL || spec->name[0] == '\0' || strlen(spec->name) > OX_NAME_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "name", -1, "a supervisor's name has 1 to %d bytes",
                           OX_NAME_MAX);
    struct ox__sup_arg *arg = calloc(1, sizeof(*arg));
    if (arg == NULL)
        return OX_E_NOMEM;
    arg->spec = *spec;
    snprintf(arg->name, sizeof(arg->name), "%s", spec->name);
    ox_err err;
    if (ox_pid_is_none(spec->parent)) {
        OX_ASSERT(ox__loop_now ==
                  NULL); /* roots are started by the program, not by actors: arg lives on its stack */
        err = start_root(arg, pid, diag);
        free(arg); /* on_start has copied it */
        return err;
    }
    struct ox_child_spec child = {
        .id = arg->name,
        .class = &ox__sup_class,
        .arg = arg,
        .arg_free = free,
        .name = arg->name,
        .restart = OX_RESTART_PERMANENT,
        .type = OX_CHILD_SUPERVISOR,
        .shutdown_ms = 60000, /* its children need theirs first */
        .past_intensity = spec->past_intensity,
    };
    err = ox_sup_add(spec->parent, &child, true, pid, diag);
    if (err != OX_OK)
        free(arg);
    return err;
}

/* ---- requests ---- */

static struct ox_msg *
request_new(enum ox_sup_op op, const char *id, uint32_t crashes)
{
    struct ox__sup_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->op = op;
    request->crashes = crashes;
    snprintf(request->id, sizeof(request->id), "%s", id != NULL ? id : "");
    struct ox_msg *msg = ox_msg_new(OX__MSG_SUP_REQUEST, request, sizeof(*request), free);
    if (msg == NULL)
        free(request);
    return msg;
}

ox_err
ox_sup_request(struct ox_actor *self, ox_pid sup, enum ox_sup_op op, const char *id, uint32_t crashes,
               uint32_t timeout_ms, uint64_t *ref)
{
    struct ox_msg *msg = request_new(op, id, crashes);
    if (msg == NULL)
        return OX_E_NOMEM;
    ox_err err = ox_call(self, sup, &msg, timeout_ms, ref);
    ox_msg_free(msg);
    return err;
}

ox_err
ox_sup_ask(ox_pid sup, enum ox_sup_op op, const char *id, uint32_t crashes, uint32_t timeout_ms,
           struct ox_msg **reply)
{
    struct ox_msg *answer = NULL;
    struct ox_msg *msg = request_new(op, id, crashes);
    if (msg == NULL)
        return OX_E_NOMEM;
    ox_err err = ox_ask(sup, &msg, timeout_ms, &answer);
    ox_msg_free(msg);
    if (err == OX_OK)
        err = answer->err;
    if (err == OX_OK && reply != NULL)
        *reply = answer;
    else
        ox_msg_free(answer);
    return err;
}
