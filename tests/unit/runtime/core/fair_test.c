/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    tenants share the scheduler and shared mailboxes in proportion to their weights, whoever floods; who is
 *          quiet waits for a few turns at most; who is alone has everything.
 * Method:  single-thread mode in the schedulers' order; work is counted in reductions, the clock stands still.
 */
#include "kit.h"
#include "ox/random.h"
#include "ox/share.h"

enum { KIND_WORK = 1, KIND_FLOOD };

#define REDUCTIONS 1000u /* of one message; four are a slice */
#define ORDER_MAX  4096u

static uint32_t served[16];       /* messages by tenant */
static uint32_t order[ORDER_MAX]; /* tenants as they were served */
static uint32_t order_n;

static void
forget(void)
{
    memset(served, 0, sizeof(served));
    order_n = 0;
}

static void
work(struct ox_actor *self, struct ox_msg *msg)
{
    uint32_t tenant = msg->cause.tenant;
    ox_reductions(self, REDUCTIONS - 1);
    served[tenant]++;
    if (order_n < ORDER_MAX)
        order[order_n++] = tenant;
    if (msg->kind == KIND_FLOOD) {
        ox_err err = ox_cast(ox_actor_pid(self), KIND_FLOOD, 0);
        (void)err;
    }
}

static const struct ox_actor_class worker = {.name = "worker", .on_message = work, .turn_msgs_max = 4};
static const struct ox_actor_class shared = {.name = "shared",
                                             .on_message = work,
                                             .flags = OX_ACTOR_FAIR,
                                             .turn_msgs_max = 1,
                                             .mailbox_msgs_max = 100};
static const struct ox_actor_class shared_bytes = {
    .name = "shared_bytes", .on_message = work, .flags = OX_ACTOR_FAIR, .mailbox_bytes_max = 1000};

static uint32_t
tenant(const char *name)
{
    struct ox_tenant_id id = {{0}};
    snprintf(id.name, sizeof(id.name), "%s", name);
    uint32_t index = ox_tenant_index(&id);
    cr_assert_lt(index, OX_COUNT(served));
    return index;
}

static ox_pid
spawn_for(uint32_t tenant_index)
{
    ox_pid pid;
    struct ox_spawn spec = {.class = &worker, .cause = {.tenant = tenant_index}};
    cr_assert_eq(ox_spawn_wait(&spec, &pid, NULL), OX_OK);
    return pid;
}

static ox_err
send_for(ox_pid to, uint32_t kind, uint32_t tenant_index, size_t bytes)
{
    struct ox_msg *msg = ox_msg_new(kind, NULL, bytes, NULL);
    msg->cause.tenant = tenant_index;
    ox_err err = ox_send(to, &msg);
    ox_msg_free(msg);
    return err;
}

static void
start(uint64_t seed)
{
    kit_start_with((struct ox_runtime_options){.seed = seed, .fair_order = true});
    forget();
}

Test(fair, equal_weights_have_equal_parts_whoever_has_more_actors)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        start(seed);
        uint32_t a = tenant("a"), b = tenant("b");
        for (int i = 0; i < 10; i++)
            cr_assert_eq(send_for(spawn_for(a), KIND_FLOOD, a, 0), OX_OK);
        cr_assert_eq(send_for(spawn_for(b), KIND_FLOOD, b, 0), OX_OK);
        forget();
        cr_assert_eq(ox_runtime_drain(400), 400);
        cr_assert_leq(abs((int)served[a] - (int)served[b]), 8, "a %u, b %u", served[a], served[b]);
        ox_runtime_stop();
    }
}

Test(fair, weights_are_the_ratio)
{
    start(3);
    uint32_t a = tenant("a"), b = tenant("b");
    cr_assert_eq(ox_tenant_set_weight(a, 3), OX_OK);
    cr_assert_eq(send_for(spawn_for(a), KIND_FLOOD, a, 0), OX_OK);
    cr_assert_eq(send_for(spawn_for(b), KIND_FLOOD, b, 0), OX_OK);
    forget();
    cr_assert_eq(ox_runtime_drain(400), 400);
    cr_assert_float_eq((double)served[a] / served[b], 3, 0.1);
    cr_assert_eq(ox_tenant_set_weight(a, 0), OX_E_INVALID);
    cr_assert_eq(ox_tenant_set_weight(a, OX_TENANT_WEIGHT_MAX + 1), OX_E_INVALID);
    cr_assert_eq(ox_tenant_set_weight(0, 1), OX_E_INVALID, "nobody has no weight");
    ox_runtime_stop();
}

Test(fair, a_tenant_alone_has_everything_and_owes_nothing_for_it)
{
    start(4);
    uint32_t a = tenant("a"), b = tenant("b");
    ox_pid pid_a = spawn_for(a), pid_b = spawn_for(b);
    cr_assert_eq(send_for(pid_a, KIND_FLOOD, a, 0), OX_OK);
    cr_assert_eq(ox_runtime_drain(1000), 1000);
    cr_assert_eq(served[a], order_n, "nobody else is there");
    cr_assert_eq(send_for(pid_b, KIND_FLOOD, b, 0), OX_OK);
    forget();
    cr_assert_eq(ox_runtime_drain(200), 200);
    cr_assert_leq(abs((int)served[a] - (int)served[b]), 8, "a %u, b %u", served[a], served[b]);
    ox_runtime_stop();
}

Test(fair, who_was_idle_comes_next_but_saved_nothing_up)
{
    start(5);
    uint32_t a = tenant("a"), b = tenant("b");
    ox_pid pid_b = spawn_for(b);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(send_for(spawn_for(a), KIND_FLOOD, a, 0), OX_OK);
    cr_assert_eq(ox_runtime_drain(500), 500);
    for (int round = 0; round < 20; round++) {
        forget();
        cr_assert_eq(send_for(pid_b, KIND_WORK, b, 0), OX_OK);
        uint32_t turns = 0;
        while (served[b] == 0 && ox_runtime_step())
            turns++;
        cr_assert_leq(turns, 2, "the quiet tenant waited for %u turns", turns);
    }
    cr_assert_eq(send_for(pid_b, KIND_FLOOD, b, 0), OX_OK);
    forget();
    cr_assert_eq(ox_runtime_drain(200), 200);
    cr_assert_leq(abs((int)served[a] - (int)served[b]), 8, "a %u, b %u", served[a], served[b]);
    ox_runtime_stop();
}

Test(fair, actors_of_nobody_have_half_beside_any_number_of_tenants)
{
    start(6);
    cr_assert_eq(send_for(kit_spawn(&worker, NULL), KIND_FLOOD, 0, 0), OX_OK);
    for (char name[2] = "c"; name[0] <= 'h'; name[0]++)
        cr_assert_eq(send_for(spawn_for(tenant(name)), KIND_FLOOD, tenant(name), 0), OX_OK);
    forget();
    cr_assert_eq(ox_runtime_drain(400), 400);
    cr_assert_float_eq((double)served[0] / order_n, 0.5, 0.03);
    ox_runtime_stop();
}

Test(fair, work_of_a_shared_actor_is_charged_to_the_tenant_it_is_for)
{
    start(7);
    uint32_t a = tenant("a"), b = tenant("b");
    ox_pid gate = kit_spawn(&shared, NULL);
    cr_assert_eq(send_for(gate, KIND_FLOOD, a, 0), OX_OK); /* inherits the cause */
    cr_assert_eq(send_for(spawn_for(a), KIND_FLOOD, a, 0), OX_OK);
    cr_assert_eq(send_for(spawn_for(b), KIND_FLOOD, b, 0), OX_OK);
    forget();
    cr_assert_eq(ox_runtime_drain(600), 600);
    /* The gate has half, all of it for a, who therefore has nothing of the other half until b has had as much. */
    cr_assert_float_eq((double)served[b] / order_n, 0.5, 0.05);
    ox_runtime_stop();
}

Test(fair, a_shared_mailbox_is_served_by_turns)
{
    start(8);
    uint32_t a = tenant("a"), b = tenant("b");
    ox_pid gate = kit_spawn(&shared, NULL);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(send_for(gate, KIND_WORK, a, 0), OX_OK);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(send_for(gate, KIND_WORK, b, 0), OX_OK);
    forget();
    kit_settle();
    cr_assert_eq(order_n, 45);
    for (uint32_t i = 0, of_b = 0; i < 11; i++) {
        of_b += order[i] == b;
        cr_assert_geq(of_b * 2 + 1, i, "b waits no longer than for one message of a");
    }
    ox_runtime_stop();
}

Test(fair, a_tenant_has_no_more_in_a_shared_mailbox_than_what_is_free)
{
    start(9);
    uint32_t a = tenant("a"), b = tenant("b"), n = 0;
    ox_pid gate = kit_spawn(&shared, NULL);
    while (send_for(gate, KIND_WORK, a, 0) == OX_OK)
        n++;
    cr_assert_eq(n, 50);
    for (n = 0; send_for(gate, KIND_WORK, b, 0) == OX_OK;)
        n++;
    cr_assert_eq(n, 25, "who comes later finds room");
    kit_settle();
    cr_assert_eq(send_for(gate, KIND_WORK, a, 0), OX_OK);
    ox_runtime_stop();
}

Test(fair, bytes_are_shared_like_messages)
{
    start(10);
    uint32_t a = tenant("a"), b = tenant("b");
    ox_pid gate = kit_spawn(&shared_bytes, NULL);
    cr_assert_eq(send_for(gate, KIND_WORK, a, 300), OX_OK);
    cr_assert_eq(send_for(gate, KIND_WORK, a, 300), OX_OK);
    cr_assert_eq(send_for(gate, KIND_WORK, a, 1), OX_E_MAILBOX_FULL);
    cr_assert_eq(send_for(gate, KIND_WORK, b, 400), OX_OK);
    uint32_t msgs;
    uint64_t bytes;
    cr_assert_eq(ox_mailbox_depth(gate, &msgs, &bytes), OX_OK);
    cr_assert_eq(msgs, 3);
    cr_assert_eq(bytes, 1000);
    kit_settle();
    cr_assert_eq(order_n, 3);
    ox_runtime_stop();
}

static uint32_t undelivered_n;

static void
on_undelivered(void *arg, ox_pid to, struct ox_msg *msg)
{
    undelivered_n++;
}

Test(fair, what_a_shared_mailbox_held_at_its_end_is_handed_on)
{
    kit_start_with((struct ox_runtime_options){.seed = 11, .hooks = {.undelivered = on_undelivered}});
    ox_pid gate = kit_spawn(&shared, NULL);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(send_for(gate, KIND_WORK, i % 2 ? tenant("a") : tenant("b"), 0), OX_OK);
    cr_assert_eq(ox_kill(gate), OX_OK);
    kit_settle();
    cr_assert_eq(undelivered_n, 7);
    ox_runtime_stop();
}

/* ---- the queue itself ---- */

struct item {
    uint32_t tenant, serial;
    struct item *next;
};

static void
flat_share(struct ox_share *share)
{
    cr_assert_eq(ox_share_init(share, offsetof(struct item, next)), OX_OK);
}

Test(share, every_item_comes_out_once_in_the_order_of_its_tenant)
{
    static struct item items[20000];
    static uint32_t last[512];
    struct ox_share share;
    flat_share(&share);
    struct ox_random random;
    ox_random_seed(&random, 77);
    uint32_t pushed = 0, popped = 0, tenant_index;
    while (popped < OX_COUNT(items)) {
        if (pushed < OX_COUNT(items) && ox_random_below(&random, 5) < 3) {
            items[pushed] = (struct item){(uint32_t)ox_random_below(&random, 500), pushed + 1, NULL};
            ox_share_push(&share, items[pushed].tenant, &items[pushed], 0);
            pushed++;
            continue;
        }
        struct item *item = ox_share_pop(&share, &tenant_index, NULL);
        cr_assert_eq(item == NULL, pushed == popped);
        if (item == NULL)
            continue;
        cr_assert_eq(item->tenant, tenant_index);
        cr_assert_gt(item->serial, last[item->tenant]);
        last[item->tenant] = item->serial;
        popped++;
        ox_share_spent(&share, tenant_index == 0, 1000);
        ox_share_charge(&share, tenant_index, ox_random_below(&random, 5000));
    }
    cr_assert_eq(share.n, 0);
    ox_share_fini(&share);
}

Test(share, a_seeded_choice_reaches_every_item)
{
    struct item items[12];
    for (uint32_t nth = 0; nth < OX_COUNT(items); nth++) {
        struct ox_share share;
        uint32_t seen = 0, tenant_index;
        flat_share(&share);
        for (uint32_t i = 0; i < OX_COUNT(items); i++) {
            items[i] = (struct item){i % 4, i, NULL};
            ox_share_push(&share, i % 4, &items[i], 0);
        }
        for (struct item *item; (item = ox_share_pick(&share, nth % share.n, &tenant_index)) != NULL;) {
            cr_assert_eq(seen & 1u << item->serial, 0);
            seen |= 1u << item->serial;
            if (share.n == 0)
                break;
        }
        cr_assert_eq(seen, (1u << OX_COUNT(items)) - 1);
        cr_assert_null(ox_share_pop(&share, &tenant_index, NULL));
        ox_share_fini(&share);
    }
}

Test(share, flows_that_say_nothing_are_swept_out)
{
    struct ox_share share;
    struct item item = {0};
    uint32_t tenant_index;
    flat_share(&share);
    for (uint32_t i = 1; i <= 50000; i++) {
        ox_share_push(&share, i, &item, 0);
        cr_assert_eq(ox_share_pop(&share, &tenant_index, NULL), &item);
        ox_share_charge(&share, i, 100);
    }
    cr_assert_lt(share.flows_n, 50000 / 2, "%u flows for one tenant that waits", share.flows_n);
    ox_share_fini(&share);
}

Test(share, a_debt_is_bounded)
{
    struct ox_share share;
    struct item a = {.tenant = 1}, b = {.tenant = 2};
    uint32_t tenant_index, turns = 0;
    flat_share(&share);
    ox_share_push(&share, 1, &a, 0);
    ox_share_push(&share, 2, &b, 0);
    ox_share_charge(&share, 1, 3600ull * 1000000000); /* an hour of somebody else's loop */
    while (ox_share_pop(&share, &tenant_index, NULL) == &b) {
        ox_share_charge(&share, 2, 1000000);
        ox_share_push(&share, 2, &b, 0);
        cr_assert_lt(++turns, 200, "tenant 1 is never served");
    }
    cr_assert_gt(turns, 50, "the debt was forgotten");
    cr_assert_eq(ox_share_pop(&share, &tenant_index, NULL), &b);
    ox_share_fini(&share);
}

/* ---- the pool of dirty threads ---- */

enum { KIND_SUBMIT = 10, KIND_DONE };

static void
job(void *arg)
{
    order[order_n++] = (uint32_t)(uintptr_t)arg;
}

static void
submit(struct ox_actor *self, struct ox_msg *msg)
{
    if (msg->kind != KIND_SUBMIT)
        return;
    void *arg = (void *)(uintptr_t)msg->cause.tenant; /* never freed: it is a number */
    cr_assert_eq(ox_dirty_submit(self, NULL, job, arg, KIND_DONE, NULL, NULL), OX_OK);
}

static const struct ox_actor_class submitter = {
    .name = "submitter", .on_message = submit, .flags = OX_ACTOR_FAIR, .mailbox_msgs_max = 1000};

Test(fair, jobs_of_a_shared_actor_begin_by_turns)
{
    kit_start_with((struct ox_runtime_options){.seed = 12, .dirty_threads = 1});
    uint32_t a = tenant("a"), b = tenant("b");
    ox_pid gate = kit_spawn(&submitter, NULL);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(send_for(gate, KIND_SUBMIT, i < 36 ? a : b, 0), OX_OK);
    uint32_t msgs = 1;
    uint64_t bytes;
    order_n = 0;
    while (msgs > 0 && ox_runtime_step()) /* some jobs run meanwhile, as the seed has it */
        cr_assert_eq(ox_mailbox_depth(gate, &msgs, &bytes), OX_OK);
    kit_settle();
    cr_assert_eq(order_n, 40);
    uint32_t last_b = 0;
    for (uint32_t i = 0; i < order_n; i++)
        last_b = order[i] == b ? i : last_b;
    cr_assert_lt(last_b, 24, "the last job of b came at %u of 40", last_b);
    ox_runtime_stop();
}
