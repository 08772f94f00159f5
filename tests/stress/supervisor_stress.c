/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/stress/supervisor_stress.c - supervision with real threads.
 *
 * Goal:    children that crash at any moment come back behind the same pid, no message is both handled and
 *          refused, lanes keep their order, and a stop in the middle of all that ends.
 * Method:  two supervisors with crashing children, flooded by other actors; stopped twice in full flight. No
 *          Criterion, so that it runs under TSan.
 * Threads: main waits; all else is the runtime's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ox/log.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"

enum { KIND_WORK = 1, KIND_FLOOD, KIND_DONE, KIND_ASK, KIND_ASKED };

#define CHILDREN 24u
#define FLOODERS 4u
#define ENOUGH   20000u

static ox_pid children[CHILDREN];
static struct ox_lane *lane;
static _Atomic uint64_t accepted, handled, set_aside, undelivered, lane_last;
static _Atomic uint32_t quarantined;

static void
check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "supervisor stress: %s\n", what);
        abort();
    }
}

static void
add(_Atomic uint64_t *n)
{
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static uint64_t
get(_Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static void
on_set_aside(void *arg, const struct ox_obituary *ob, struct ox_msg *msg)
{
    if (msg->kind == KIND_WORK)
        add(&set_aside);
}

static void
on_undelivered(void *arg, ox_pid to, struct ox_msg *msg)
{
    if (msg->kind == KIND_WORK)
        add(&undelivered);
}

static void
on_quarantined(void *arg, const char *sup, const char *id, ox_pid pid, uint32_t crashes,
               struct ox_cause cause)
{
    atomic_fetch_add_explicit(&quarantined, 1, memory_order_relaxed);
}

/* One thread runs the lane, so plain load and store are one step here. */
static void
lane_job(void *arg)
{
    uint64_t *n = arg;
    *n = get(&lane_last) + 1;
    atomic_store_explicit(&lane_last, *n, memory_order_relaxed);
}

struct child {
    uint64_t seen, lane_seen;
};

static void
child_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct child *c = ox_actor_state(self);
    if (msg->kind == KIND_DONE) {
        uint64_t n = *(uint64_t *)msg->data;
        check(n > c->lane_seen, "a lane's completions are out of order");
        c->lane_seen = n;
        return;
    }
    if (msg->kind == KIND_ASK) {
        ox_reply_num(ox_call_from(msg), KIND_ASKED, OX_OK, c->seen);
        return;
    }
    if (msg->num % 97 == 0)
        ox_panic("message %u", (unsigned)msg->num);
    c->seen++;
    add(&handled);
    if (msg->num % 5 == 0) {
        uint64_t *n = malloc(sizeof(*n));
        check(n != NULL, "memory");
        if (ox_dirty_submit(self, lane, lane_job, n, KIND_DONE, free, NULL) != OX_OK)
            free(n);
    }
}

static void
flooder_message(struct ox_actor *self, struct ox_msg *msg)
{
    if (msg->kind != KIND_FLOOD)
        return;
    uint64_t *n = ox_actor_state(self);
    for (uint32_t i = 0; i < CHILDREN; i++) {
        ox_err err = ox_cast(children[i], KIND_WORK, ++*n);
        if (err == OX_OK)
            add(&accepted);
        else
            check(err == OX_E_MAILBOX_FULL || err == OX_E_QUARANTINED || err == OX_E_GONE,
                  "an unexpected refusal");
    }
    uint64_t ref;
    struct ox_msg *ask = ox_msg_new(KIND_ASK, NULL, 0, NULL);
    check(ask != NULL, "memory");
    if (ox_call(self, children[*n % CHILDREN], &ask, 50, &ref) != OX_OK)
        ox_msg_free(ask);
    check(ox_cast(ox_actor_pid(self), KIND_FLOOD, 0) == OX_OK, "own mailbox");
}

static const struct ox_actor_class child_class = {.name = "child",
                                                  .state_size = sizeof(struct child),
                                                  .on_message = child_message,
                                                  .mailbox_msgs_max = 256};
static const struct ox_actor_class flooder_class = {
    .name = "flooder", .state_size = sizeof(uint64_t), .on_message = flooder_message};

static void
start_children(ox_pid root)
{
    for (uint32_t s = 0; s < 2; s++) {
        char name[32];
        ox_pid sup;
        snprintf(name, sizeof(name), "sup-%u", s);
        /* One half may crash as it likes, the other soon passes its intensity. */
        struct ox_sup_spec spec = {.name = name,
                                   .parent = root,
                                   .max_restarts = s == 0 ? 64 : 4,
                                   .window_ms = s == 0 ? 1 : 60000,
                                   .backoff_min_ms = 1,
                                   .backoff_max_ms = 2};
        check(ox_sup_start(&spec, &sup, NULL) == OX_OK, "supervisor");
        for (uint32_t i = s; i < CHILDREN; i += 2) {
            snprintf(name, sizeof(name), "child-%u", i);
            struct ox_child_spec child = {.id = name, .class = &child_class, .name = name};
            check(ox_sup_add_wait(sup, &child, &children[i], NULL) == OX_OK, "child");
        }
    }
}

static void
once(void)
{
    ox_pid root;
    struct ox_runtime_options options = {
        .loops = 2,
        .dirty_threads = 1,
        .hooks = {.set_aside = on_set_aside, .undelivered = on_undelivered, .quarantined = on_quarantined}};
    accepted = handled = set_aside = undelivered = 0;
    quarantined = 0;
    check(ox_runtime_start(&options, NULL) == OX_OK, "start");
    check(ox_lane_new("lane", 64, &lane) == OX_OK, "lane");
    check(ox_sup_start(&(struct ox_sup_spec){.name = "root"}, &root, NULL) == OX_OK, "root");
    start_children(root);
    for (uint32_t i = 0; i < FLOODERS; i++) {
        ox_pid pid;
        check(ox_spawn_wait(&(struct ox_spawn){.class = &flooder_class}, &pid, NULL) == OX_OK, "flooder");
        check(ox_cast(pid, KIND_FLOOD, 0) == OX_OK, "flood");
    }
    while (get(&handled) < ENOUGH ||
           atomic_load_explicit(&quarantined, memory_order_relaxed) < CHILDREN / 2) {
        struct ox_msg *reply = NULL;
        check(ox_sup_ask(root, OX_SUP_COUNT, NULL, 0, 20000, &reply) == OX_OK, "the root answers under load");
        ox_msg_free(reply);
    }
    ox_runtime_stop(); /* in full flight */
    printf("accepted %lu handled %lu set aside %lu undelivered %lu\n", (unsigned long)accepted,
           (unsigned long)handled, (unsigned long)set_aside, (unsigned long)undelivered);
    check(accepted == handled + set_aside + undelivered, "every accepted message has one fate");
}

int
main(void)
{
    ox_log_set_level(OX_LOG_FATAL);
    once();
    once();
    return 0;
}
