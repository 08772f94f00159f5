/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/sup_child.c - the children of one supervisor: in order, by id and by pid.
 *
 * Owns:    the child records and their args.
 * Threads: the supervisor's own; ox__child_new and ox__child_spawn from any, before it is told.
 * Bounds:  children_max.
 * Fails:   EXISTS, OVERLOAD, NOMEM.
 */
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "runtime/core/sup.h"

#define BUCKETS_MIN 16u
#define LIST_MAX    4096u /* children with details in one answer */

const char *
ox_child_state_name(enum ox_child_state state)
{
    static const char *const names[] = {"starting", "running", "backoff",
                                        "stopping", "stopped", "quarantined"};
    return (size_t)state < OX_COUNT(names) ? names[state] : "unknown";
}

const char *
ox_restart_name(enum ox_restart restart)
{
    static const char *const names[] = {"permanent", "transient", "temporary"};
    return (size_t)restart < OX_COUNT(names) ? names[restart] : "unknown";
}

struct ox__child *
ox__child_new(const struct ox_child_spec *spec)
{
    struct ox__child *child = calloc(1, sizeof(*child));
    if (child == NULL)
        return NULL;
    child->spec = *spec;
    snprintf(child->id, sizeof(child->id), "%s", spec->id);
    child->spec.id = child->id;
    if (spec->name != NULL) {
        snprintf(child->name, sizeof(child->name), "%s", spec->name);
        child->spec.name = child->name;
    }
    child->last_cause = spec->cause;
    return child;
}

void
ox__child_free(struct ox__child *child)
{
    if (child->spec.arg_free != NULL)
        child->spec.arg_free(child->spec.arg);
    free(child);
}

ox_err
ox__child_spawn(struct ox__child *child, ox_pid sup, struct ox__start_waiter *waiter, struct ox_diag *diag)
{
    struct ox_spawn spawn = {
        .class = child->spec.class,
        .arg = child->spec.arg,
        .name = child->spec.name,
        .loop = child->spec.loop,
        .account = child->spec.account,
        .cause = child->spec.cause,
    };
    child->state = OX_CHILD_STARTING;
    return ox__spawn_in(&spawn, sup, waiter, &child->pid, diag);
}

/* ---- tables ---- */

static struct ox__child **
id_bucket(const struct ox__sup *sup, const char *id)
{
    return &sup->by_id[XXH64(id, strlen(id), 0) & (sup->buckets_n - 1)];
}

static struct ox__child **
slot_bucket(const struct ox__sup *sup, ox_pid pid)
{
    return &sup->by_slot[pid.slot & (sup->buckets_n - 1)];
}

static void
index_child(struct ox__sup *sup, struct ox__child *child)
{
    struct ox__child **by_id = id_bucket(sup, child->id);
    struct ox__child **by_slot = slot_bucket(sup, child->pid);
    child->id_next = *by_id;
    *by_id = child;
    child->slot_next = *by_slot;
    *by_slot = child;
}

static ox_err
grow(struct ox__sup *sup)
{
    uint32_t n = sup->buckets_n == 0 ? BUCKETS_MIN : sup->buckets_n * 2;
    struct ox__child **by_id = calloc(n, sizeof(struct ox__child *));
    struct ox__child **by_slot = calloc(n, sizeof(struct ox__child *));
    if (by_id == NULL || by_slot == NULL) {
        free(by_id);
        free(by_slot);
        return OX_E_NOMEM;
    }
    free(sup->by_id);
    free(sup->by_slot);
    sup->by_id = by_id;
    sup->by_slot = by_slot;
    sup->buckets_n = n;
    for (struct ox__child *child = sup->first; child != NULL; child = child->next)
        index_child(sup, child);
    return OX_OK;
}

ox_err
ox__children_add(struct ox__sup *sup, struct ox__child *child)
{
    if (sup->n >= sup->spec.children_max)
        return OX_E_OVERLOAD;
    if (ox__children_by_id(sup, child->id) != NULL)
        return OX_E_EXISTS;
    ox_err err = sup->n >= sup->buckets_n ? grow(sup) : OX_OK;
    if (err != OX_OK)
        return err;
    index_child(sup, child);
    child->prev = sup->last;
    if (sup->last != NULL)
        sup->last->next = child;
    else
        sup->first = child;
    sup->last = child;
    sup->n++;
    return OX_OK;
}

static void
unindex_slot(struct ox__sup *sup, struct ox__child *child)
{
    struct ox__child **at = slot_bucket(sup, child->pid);
    while (*at != child)
        at = &(*at)->slot_next;
    *at = child->slot_next;
}

void
ox__children_remove(struct ox__sup *sup, struct ox__child *child)
{
    struct ox__child **at = id_bucket(sup, child->id);
    while (*at != child)
        at = &(*at)->id_next;
    *at = child->id_next;
    unindex_slot(sup, child);
    if (child->prev != NULL)
        child->prev->next = child->next;
    else
        sup->first = child->next;
    if (child->next != NULL)
        child->next->prev = child->prev;
    else
        sup->last = child->prev;
    sup->n--;
}

void
ox__children_repid(struct ox__sup *sup, struct ox__child *child, ox_pid pid)
{
    unindex_slot(sup, child);
    child->pid = pid;
    struct ox__child **by_slot = slot_bucket(sup, pid);
    child->slot_next = *by_slot;
    *by_slot = child;
}

struct ox__child *
ox__children_by_id(const struct ox__sup *sup, const char *id)
{
    struct ox__child *child = sup->buckets_n > 0 ? *id_bucket(sup, id) : NULL;
    while (child != NULL && strcmp(child->id, id) != 0)
        child = child->id_next;
    return child;
}

struct ox__child *
ox__children_by_pid(const struct ox__sup *sup, ox_pid pid)
{
    struct ox__child *child = sup->buckets_n > 0 ? *slot_bucket(sup, pid) : NULL;
    while (child != NULL && !ox_pid_eq(child->pid, pid))
        child = child->slot_next;
    return child;
}

/* ---- answers ---- */

static void
describe(const struct ox__child *child, struct ox_child_info *info)
{
    memcpy(info->id, child->id, sizeof(info->id));
    info->class_name = child->spec.class->name;
    info->pid = child->pid;
    info->type = child->spec.type;
    info->state = child->state;
    info->restarts = child->restarts;
    info->crashes = child->crashes;
    info->restart = child->spec.restart;
    info->shutdown_ms =
        child->spec.shutdown_ms == OX_SHUTDOWN_DEFAULT ? SHUTDOWN_MS_DEFAULT : child->spec.shutdown_ms;
    info->past_intensity = child->spec.past_intensity;
    info->intensity = child->spec.intensity;
    info->cause = child->last_cause;
}

struct ox_children *
ox__children_list(const struct ox__sup *sup, bool details)
{
    uint32_t room = !details ? 0 : sup->n < LIST_MAX ? sup->n : LIST_MAX;
    struct ox_children *list = calloc(1, sizeof(*list) + room * sizeof(list->child[0]));
    if (list == NULL)
        return NULL;
    for (const struct ox__child *child = sup->first; child != NULL; child = child->next) {
        bool active = child->state != OX_CHILD_STOPPED && child->state != OX_CHILD_QUARANTINED;
        list->counts.specs++;
        list->counts.active += active;
        list->counts.supervisors += child->spec.type == OX_CHILD_SUPERVISOR;
        list->counts.workers += child->spec.type == OX_CHILD_WORKER;
        list->counts.quarantined += child->state == OX_CHILD_QUARANTINED;
        if (list->n < room)
            describe(child, &list->child[list->n++]);
    }
    return list;
}
