/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    mailboxes are bounded as documented, refused messages stay with their sender, order holds, pids
 *          go stale, names are unique, calls are answered exactly once.
 * Method:  a probe actor that records what it gets, in single-thread mode on a virtual clock.
 */
#include "kit.h"

enum { KIND_NOTE = 1, KIND_ASK, KIND_ANSWER, KIND_HOLD, KIND_RELEASE, KIND_LEAVE, KIND_CALL, KIND_CANCEL };

#define SEEN_MAX 64

struct probe {
    uint32_t n;
    uint64_t seen[SEEN_MAX];
    uint32_t kinds[SEEN_MAX];
    ox_err errs[SEEN_MAX];
    uint64_t refs[SEEN_MAX];
    struct ox_from held;
    ox_pid peer;
    uint64_t call;
    ox_err call_err;
    struct ox_cause cause;
};

static struct probe *last_probe; /* valid while its actor lives */
static uint32_t drops, undelivered;

static void
count_drop(void *data)
{
    drops++;
    free(data);
}

static ox_err
probe_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct probe *p = ox_actor_state(self);
    if (arg != NULL)
        p->peer = *(ox_pid *)arg;
    last_probe = p;
    return OX_OK;
}

static void
record(struct probe *p, const struct ox_msg *msg)
{
    cr_assert_lt(p->n, SEEN_MAX);
    p->seen[p->n] = msg->num;
    p->kinds[p->n] = msg->kind;
    p->errs[p->n] = msg->err;
    p->refs[p->n] = msg->ref;
    p->cause = msg->cause;
    p->n++;
}

static void
probe_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct probe *p = ox_actor_state(self);
    switch (msg->kind) {
    case KIND_ASK:
        ox_reply_num(ox_call_from(msg), KIND_ANSWER, OX_OK, msg->num + 1);
        ox_reply_num(ox_call_from(msg), KIND_ANSWER, OX_OK, 99); /* the second answer must vanish */
        break;
    case KIND_HOLD:
        p->held = ox_call_from(msg);
        break;
    case KIND_RELEASE:
        ox_reply_num(p->held, KIND_ANSWER, OX_OK, 7);
        break;
    case KIND_LEAVE:
        ox_exit(self, OX_EXIT_NORMAL);
        break;
    case KIND_CALL: {
        struct ox_msg *call = ox_msg_new((uint32_t)msg->num, NULL, 0, NULL);
        p->call_err = ox_call(self, p->peer, &call, 1000, &p->call);
        ox_msg_free(call);
        break;
    }
    case KIND_CANCEL:
        ox_call_cancel(self, p->call);
        break;
    default:
        record(p, msg);
    }
}

static const struct ox_actor_class probe_class = {.name = "probe",
                                                  .state_size = sizeof(struct probe),
                                                  .on_start = probe_start,
                                                  .on_message = probe_message,
                                                  .mailbox_msgs_max = 4,
                                                  .mailbox_bytes_max = 100,
                                                  .control_msgs_max = 2,
                                                  .pending_max = 2};

static ox_err
send_bytes(ox_pid to, size_t bytes, uint32_t flags)
{
    struct ox_msg *msg = ox_msg_new(KIND_NOTE, malloc(1), bytes, count_drop);
    struct ox_msg *same = msg;
    msg->flags = flags;
    ox_err err = ox_send(to, &msg);
    if (err == OX_OK) {
        cr_assert_null(msg);
    } else {
        cr_assert_eq(msg, same, "a refused message stays with its sender");
        cr_assert_eq(msg->flags, flags);
        cr_assert(ox_pid_is_none(msg->from));
        ox_msg_free(msg);
    }
    return err;
}

Test(actor, mailbox_is_bounded_in_messages)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&probe_class, NULL);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(send_bytes(pid, 0, 0), OX_OK);
    cr_assert_eq(send_bytes(pid, 0, 0), OX_E_MAILBOX_FULL);
    cr_assert_float_eq(ox_mailbox_fill(pid), 1, 1e-9);
    kit_settle();
    cr_assert_eq(send_bytes(pid, 0, 0), OX_OK);
    cr_assert_float_eq(ox_mailbox_fill(pid), 0.25, 1e-9);
    ox_runtime_stop();
    cr_assert_eq(drops, 6);
}

Test(actor, mailbox_is_bounded_in_bytes_but_takes_one_large_message)
{
    uint32_t msgs;
    uint64_t bytes;
    kit_start(1);
    ox_pid pid = kit_spawn(&probe_class, NULL);
    cr_assert_eq(send_bytes(pid, 60, 0), OX_OK);
    cr_assert_eq(send_bytes(pid, 41, 0), OX_E_MAILBOX_FULL);
    cr_assert_eq(send_bytes(pid, 40, 0), OX_OK);
    cr_assert_eq(send_bytes(pid, 1, 0), OX_E_MAILBOX_FULL);
    cr_assert_eq(ox_mailbox_depth(pid, &msgs, &bytes), OX_OK);
    cr_assert_eq(msgs, 2);
    cr_assert_eq(bytes, 100);
    kit_settle();
    cr_assert_eq(send_bytes(pid, 5000, 0), OX_OK, "an empty mailbox takes any one message");
    cr_assert_eq(send_bytes(pid, 1, 0), OX_E_MAILBOX_FULL);
    ox_runtime_stop();
}

Test(actor, control_messages_have_their_own_bound)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&probe_class, NULL);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(send_bytes(pid, 0, 0), OX_OK);
    cr_assert_eq(send_bytes(pid, 1000, OX_MSG_F_CONTROL), OX_OK);
    cr_assert_eq(send_bytes(pid, 1000, OX_MSG_F_CONTROL), OX_OK);
    cr_assert_eq(send_bytes(pid, 0, OX_MSG_F_CONTROL), OX_E_MAILBOX_FULL);
    kit_settle();
    cr_assert_eq(last_probe->n, 6);
    ox_runtime_stop();
}

Test(actor, a_sender_cannot_forge_an_owed_message)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&probe_class, NULL);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(send_bytes(pid, 0, 0), OX_OK);
    cr_assert_eq(send_bytes(pid, 0, OX_MSG_F_OWED), OX_E_MAILBOX_FULL);
    ox_runtime_stop();
}

Test(actor, messages_of_one_sender_keep_their_order)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&probe_class, NULL);
    for (uint64_t i = 1; i <= 12; i++) {
        kit_cast(pid, KIND_NOTE, i);
        if (i % 3 == 0)
            kit_settle();
    }
    cr_assert_eq(last_probe->n, 12);
    for (uint64_t i = 0; i < 12; i++)
        cr_assert_eq(last_probe->seen[i], i + 1);
    ox_runtime_stop();
}

Test(actor, a_stale_pid_reaches_nobody)
{
    kit_start(1);
    ox_pid old = kit_spawn(&probe_class, NULL);
    kit_cast(old, KIND_LEAVE, 0);
    kit_settle();
    ox_pid fresh = kit_spawn(&probe_class, NULL);
    cr_assert_eq(fresh.slot, old.slot, "the slot is used again");
    cr_assert_neq(fresh.gen, old.gen);
    cr_assert_eq(ox_cast(old, KIND_NOTE, 0), OX_E_GONE);
    cr_assert_eq(ox_cast(OX_PID_NONE, KIND_NOTE, 0), OX_E_GONE);
    cr_assert_eq(ox_cast((ox_pid){1u << 30, 1}, KIND_NOTE, 0), OX_E_GONE);
    cr_assert_not(ox_alive(old));
    cr_assert_eq(ox_stop(old), OX_E_GONE);
    cr_assert_float_eq(ox_mailbox_fill(old), 1, 1e-9);
    ox_runtime_stop();
}

Test(actor, the_number_of_actors_is_bounded)
{
    kit_start_with((struct ox_runtime_options){.actors_max = 3});
    ox_pid pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] = kit_spawn(&probe_class, NULL);
    struct ox_diag diag;
    ox_pid more;
    cr_assert_eq(ox_spawn(&(struct ox_spawn){.class = &probe_class}, &more, &diag), OX_E_OVERLOAD);
    cr_assert_str_not_empty(diag.text);
    ox_kill(pids[1]);
    kit_settle();
    kit_spawn(&probe_class, NULL);
    ox_runtime_stop();
}

static void
count_undelivered(void *arg, ox_pid to, struct ox_msg *msg)
{
    undelivered++;
    cr_assert_eq(msg->kind, KIND_NOTE);
    free(msg->data);
    msg->data = NULL; /* stolen: must not be dropped too */
}

Test(actor, what_a_dead_mailbox_held_is_handed_on)
{
    kit_start_with((struct ox_runtime_options){.hooks = {.undelivered = count_undelivered}});
    ox_pid pid = kit_spawn(&probe_class, NULL);
    kit_cast(pid, KIND_LEAVE, 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(send_bytes(pid, 10, 0), OX_OK);
    kit_settle();
    cr_assert_eq(undelivered, 3);
    cr_assert_eq(drops, 0);
    cr_assert_eq(ox_metric_value(OX_M_runtime_undelivered, NULL), 3);
    ox_runtime_stop();
}

Test(actor, names_belong_to_one_and_go_with_him)
{
    ox_pid a;
    struct ox_diag diag;
    kit_start(1);
    struct ox_spawn spec = {.class = &probe_class, .name = "gateway/0"};
    cr_assert_eq(ox_spawn(&spec, &a, &diag), OX_OK);
    cr_assert(ox_pid_eq(ox_whereis("gateway/0"), a));
    cr_assert_eq(ox_spawn(&spec, NULL, &diag), OX_E_EXISTS);
    cr_assert_eq(ox_runtime_actors(), 1, "the refused one left nothing behind");
    ox_stop(a);
    kit_settle();
    cr_assert(ox_pid_is_none(ox_whereis("gateway/0")));
    cr_assert_eq(ox_spawn(&spec, &a, &diag), OX_OK);
    cr_assert_eq(ox_register("second", a), OX_OK);
    ox_unregister("second");
    cr_assert(ox_pid_is_none(ox_whereis("second")));
    cr_assert_eq(ox_register("", a), OX_E_INVALID);
    ox_runtime_stop();
}

static ox_pid
caller_of(ox_pid peer)
{
    ox_pid pid = kit_spawn(&probe_class, &peer);
    return pid;
}

Test(actor, a_call_is_answered_once)
{
    kit_start(1);
    ox_pid server = kit_spawn(&probe_class, NULL);
    ox_pid caller = caller_of(server);
    kit_cast(caller, KIND_CALL, KIND_ASK);
    kit_settle();
    kit_advance_ms(5000);
    cr_assert_eq(last_probe->n, 1);
    cr_assert_eq(last_probe->kinds[0], KIND_ANSWER);
    cr_assert_eq(last_probe->seen[0], 1);
    cr_assert_eq(last_probe->refs[0], last_probe->call);
    ox_runtime_stop();
}

Test(actor, a_call_times_out_and_its_late_answer_vanishes)
{
    kit_start(1);
    ox_pid server = kit_spawn(&probe_class, NULL);
    ox_pid caller = caller_of(server);
    kit_cast(caller, KIND_CALL, KIND_HOLD);
    kit_settle();
    kit_advance_ms(999);
    cr_assert_eq(last_probe->n, 0);
    kit_advance_ms(1);
    cr_assert_eq(last_probe->n, 1);
    cr_assert_eq(last_probe->kinds[0], OX_MSG_CALL_FAILED);
    cr_assert_eq(last_probe->errs[0], OX_E_TIMEOUT);
    kit_cast(server, KIND_RELEASE, 0);
    kit_settle();
    cr_assert_eq(last_probe->n, 1);
    ox_runtime_stop();
}

Test(actor, a_call_to_one_who_leaves_unread_fails_as_gone)
{
    kit_start(1);
    ox_pid server = kit_spawn(&probe_class, NULL);
    ox_pid caller = caller_of(server);
    kit_cast(caller, KIND_CALL, KIND_HOLD);
    kit_cast(caller, KIND_CALL, KIND_ASK);
    /* The server ends before it reads either: stop goes ahead of messages. */
    while (ox_runtime_step()) {
        uint32_t msgs;
        uint64_t bytes;
        if (ox_mailbox_depth(server, &msgs, &bytes) == OX_OK && msgs == 2)
            ox_stop(server);
    }
    cr_assert_eq(last_probe->n, 2);
    cr_assert_eq(last_probe->kinds[0], OX_MSG_CALL_FAILED);
    cr_assert_eq(last_probe->errs[0], OX_E_GONE);
    cr_assert_eq(last_probe->errs[1], OX_E_GONE);
    kit_cast(caller, KIND_CALL, KIND_ASK);
    kit_settle();
    cr_assert_eq(last_probe->call_err, OX_E_GONE);
    ox_runtime_stop();
}

Test(actor, pending_places_are_bounded_and_given_back)
{
    kit_start(1);
    ox_pid server = kit_spawn(&probe_class, NULL);
    ox_pid caller = caller_of(server);
    for (int i = 0; i < 3; i++)
        kit_cast(caller, KIND_CALL, KIND_HOLD);
    kit_settle();
    cr_assert_eq(last_probe->call_err, OX_E_OVERLOAD, "pending_max is two");
    kit_advance_ms(1000);
    cr_assert_eq(last_probe->n, 2);
    kit_cast(caller, KIND_CALL, KIND_HOLD);
    kit_settle();
    cr_assert_eq(last_probe->call_err, OX_OK);
    kit_cast(caller, KIND_CANCEL, 0);
    kit_settle();
    kit_advance_ms(5000);
    cr_assert_eq(last_probe->n, 2, "a cancelled call is not heard of again");
    ox_runtime_stop();
}

Test(actor, a_flooded_actor_still_gets_its_answers)
{
    kit_start(1);
    ox_pid server = kit_spawn(&probe_class, NULL);
    ox_pid caller = caller_of(server);
    kit_cast(caller, KIND_CALL, KIND_HOLD);
    kit_settle();
    for (int i = 0; i < 4; i++)
        kit_cast(caller, KIND_NOTE, 0);
    cr_assert_eq(ox_cast(caller, KIND_NOTE, 0), OX_E_MAILBOX_FULL);
    ox_clock_virtual_advance(&kit_clock, 2000000000ull);
    kit_settle();
    cr_assert_eq(last_probe->n, 5);
    uint32_t answers = 0;
    for (uint32_t i = 0; i < last_probe->n; i++)
        answers += last_probe->kinds[i] == OX_MSG_CALL_FAILED;
    cr_assert_eq(answers, 1);
    ox_runtime_stop();
}

Test(actor, ask_from_outside)
{
    kit_start(1);
    ox_pid server = kit_spawn(&probe_class, NULL);
    struct ox_msg *msg = ox_msg_new(KIND_ASK, NULL, 0, NULL);
    struct ox_msg *reply;
    msg->num = 41;
    cr_assert_eq(ox_ask(server, &msg, 1000, &reply), OX_OK);
    cr_assert_eq(reply->num, 42);
    ox_msg_free(reply);
    msg = ox_msg_new(KIND_HOLD, NULL, 0, NULL);
    cr_assert_eq(ox_ask(server, &msg, 1000, &reply), OX_E_TIMEOUT);
    cr_assert_null(reply);
    kit_cast(server, KIND_RELEASE, 0); /* to a caller who has left */
    kit_settle();
    ox_runtime_stop();
}

Test(actor, the_cause_travels_with_what_it_causes)
{
    struct ox_tenant_id acme = {"acme"};
    kit_start(1);
    cr_assert_eq(ox_tenant_index(&acme), ox_tenant_index(&acme));
    cr_assert_str_eq(ox_tenant_name(ox_tenant_index(&acme)), "acme");
    cr_assert_str_eq(ox_tenant_name(0), "");
    cr_assert_str_eq(ox_tenant_name(12345), "");
    ox_pid server = kit_spawn(&probe_class, NULL);
    ox_pid caller = caller_of(server);
    struct ox_msg *msg = ox_msg_new(KIND_CALL, NULL, 0, NULL);
    msg->num = KIND_ASK;
    msg->cause = (struct ox_cause){ox_tenant_index(&acme), 77};
    cr_assert_eq(ox_send(caller, &msg), OX_OK);
    kit_settle();
    cr_assert_eq(last_probe->kinds[0], KIND_ANSWER);
    cr_assert_eq(last_probe->cause.wal_seq, 77);
    cr_assert_str_eq(ox_tenant_name(last_probe->cause.tenant), "acme");
    ox_runtime_stop();
}

static char order[256];

static void
letter_message(struct ox_actor *self, struct ox_msg *msg)
{
    size_t n = strlen(order);
    order[n] = (char)('a' + (char)msg->num);
    if (msg->num < 25 && n < 200)
        cr_assert_eq(ox_cast(ox_actor_pid(self), KIND_NOTE, msg->num), OX_OK);
}

static const struct ox_actor_class letter_class = {
    .name = "letter", .on_message = letter_message, .turn_msgs_max = 1};

static void
run_letters(uint64_t seed, char *out)
{
    memset(order, 0, sizeof(order));
    kit_start(seed);
    for (uint64_t i = 0; i < 6; i++) {
        ox_pid pid = kit_spawn(&letter_class, NULL);
        kit_cast(pid, KIND_NOTE, i);
    }
    (void)ox_runtime_drain(120);
    strcpy(out, order);
    ox_runtime_stop();
}

Test(actor, one_seed_one_order_many_seeds_many_orders)
{
    char first[256];
    char again[256];
    char other[256];
    uint32_t different = 0;
    run_letters(1, first);
    run_letters(1, again);
    cr_assert_str_eq(first, again);
    cr_assert_gt(strlen(first), 50);
    for (uint64_t seed = 2; seed < 12; seed++) {
        run_letters(seed, other);
        different += strcmp(first, other) != 0;
    }
    cr_assert_eq(different, 10);
}

static uint32_t yields;

static void
long_message(struct ox_actor *self, struct ox_msg *msg)
{
    cr_assert_not(ox_yield_due(self));
    ox_reductions(self, 5000);
    yields += ox_yield_due(self);
}

static const struct ox_actor_class long_class = {.name = "long", .on_message = long_message};

Test(actor, a_long_handler_is_told_to_yield)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&long_class, NULL);
    kit_cast(pid, KIND_NOTE, 0);
    kit_cast(pid, KIND_NOTE, 0);
    uint64_t steps = ox_runtime_drain(100);
    cr_assert_eq(yields, 2);
    cr_assert_eq(steps, 2, "each message took a turn of its own");
    ox_runtime_stop();
}

static void
exit_stop(struct ox_actor *self, enum ox_exit reason)
{
    order[strlen(order)] = reason == OX_EXIT_SHUTDOWN ? 'S' : reason == OX_EXIT_NORMAL ? 'N' : '?';
    if (*(uint32_t *)ox_actor_state(self) == 1)
        ox_stop_hold(self);
}

static void
exit_message(struct ox_actor *self, struct ox_msg *msg)
{
    *(uint32_t *)ox_actor_state(self) = (uint32_t)msg->num;
    if (msg->num == 2)
        ox_stop_done(self);
    if (msg->num == 3)
        ox_exit(self, OX_EXIT_NORMAL);
}

static const struct ox_actor_class exit_class = {
    .name = "exit", .state_size = 4, .on_message = exit_message, .on_stop = exit_stop};

Test(actor, stop_can_be_held_until_the_work_is_done)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&exit_class, NULL);
    kit_cast(pid, KIND_NOTE, 1);
    kit_settle();
    ox_stop(pid);
    kit_settle();
    cr_assert(ox_alive(pid));
    cr_assert_str_eq(order, "S");
    kit_cast(pid, KIND_NOTE, 2);
    kit_settle();
    cr_assert_not(ox_alive(pid));
    cr_assert_str_eq(order, "S", "on_stop runs once");
    pid = kit_spawn(&exit_class, NULL);
    kit_cast(pid, KIND_NOTE, 3);
    kit_settle();
    cr_assert_str_eq(order, "SN");
    pid = kit_spawn(&exit_class, NULL);
    ox_kill(pid);
    kit_settle();
    cr_assert_not(ox_alive(pid));
    cr_assert_str_eq(order, "SN", "a kill runs no on_stop");
    ox_runtime_stop();
}

Test(actor, start_twice_is_refused_and_a_second_runtime_after_stop_works)
{
    kit_start(1);
    cr_assert_eq(ox_runtime_start(&(struct ox_runtime_options){.loops = 1}, NULL), OX_E_STATE);
    ox_runtime_stop();
    kit_start(2);
    kit_spawn(&probe_class, NULL);
    ox_runtime_stop();
    cr_assert_eq(ox_runtime_actors(), 0);
}
