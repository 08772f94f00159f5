/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whatever a tenant's actor crashes on and whenever: each of its requests reaches the writer once, in the order of
 *          the log, but for those that it crashed on twice, which are set aside once; a client's repeat of those is a new
 *          request as soon as, and not before, that is durable; no permit is lost.
 * Method:  the real tenant's actor under a real supervisor, the rooms of the log's actor in an actor of this test, writer and
 *          outbox played by this test; single-thread mode, a seed for the order of actors and one for what comes when.
 */
#include "tests/unit/runtime/core/kit.h"

#include "actors/wal/wal_internal.h"
#include "ox/fault.h"
#include "ox/outbox_entry.h"
#include "ox/random.h"
#include "ox/recovery.h"
#include "ox/supervisor.h"
#include "ox/wal.h"
#include "ox/wal_entry.h"
#include "tests/harness/fault_disk.h"

#define PARCELS 120
#define POISON  "observex.fault=panic"

enum { KIND_DELIVER = OX_K__COUNT + 1 };

static struct ox_node node;
static struct ox_config config = {.gateway_records_max = 65536};
static struct ox_recovery rec;
static struct fault_disk *disk;
static struct ox_tenant *tenant;
static uint32_t written[PARCELS], aside[PARCELS]; /* times, by parcel */
static bool poisoned[PARCELS];
static uint64_t seqs[PARCELS], last_written;
static bool writer_full;
static uint32_t out_of_order, trials;
static struct ox_recent *recent;

/* ---- the log's actor: nothing but the rooms under test ---- */

struct wal_stub {
    struct ox__returns returns;
};

static ox_err
wal_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct wal_stub *w = ox_actor_state(self);
    recent = ox_recent_new(2 * PARCELS, UINT64_MAX);
    w->returns = (struct ox__returns){
        .node = &node,
        .ledger = rec.ledger,
        .recent = recent,
        .options = {fault_disk_seam(disk), rec.wal, "d/set-aside", NULL},
    };
    return OX_OK;
}

static void
wal_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct wal_stub *w = ox_actor_state(self);
    ox__returns_fini(&w->returns);
    ox_recent_free(w->returns.recent);
}

/* As wal_actor.c: waits for a full or absent actor are the room's only after a crash, so they are retried here. */
static void
deliver(struct ox_actor *self, struct wal_stub *w, struct ox_parcel *parcel)
{
    if (ox__returns_take(self, &w->returns, parcel))
        return;
    cr_assert(ox__wal_forward(&node, parcel, OX_K_parcel));
}

static void
wal_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct wal_stub *w = ox_actor_state(self);
    switch (msg->kind) {
    case KIND_DELIVER:
        deliver(self, w, msg->data);
        msg->data = NULL;
        break;
    case OX_K_returned:
        ox__on_returned(self, &w->returns, msg);
        break;
    case OX_K_set_aside_written:
        ox__on_set_aside_written(self, &w->returns, msg);
        break;
    case OX_K_retry:
        ox__returns_retry(self, &w->returns);
        break;
    case OX_K_disposed:
        ox__aside_disposed(&w->returns, &((struct ox_disposed *)msg->data)->rows);
        break;
    default:
        cr_assert_fail("kind %u", msg->kind);
    }
}

/* ---- the writer and the outbox ---- */

static uint32_t
parcel_of(uint64_t seq)
{
    uint32_t n = 0;
    while (n < PARCELS && seqs[n] != seq)
        n++;
    cr_assert_lt(n, PARCELS);
    return n;
}

/* Whether a client's repeat of it would be stored. */
static bool
is_new_again(uint32_t n)
{
    return ox_recent_look(recent, ox_recent_key_of(&tenant->id, OX_SIGNAL_LOGS, n + 1, 7), ox_now_ns()) ==
           OX_RECENT_UNKNOWN;
}

static void
writer_message(struct ox_actor *self, struct ox_msg *msg)
{
    const struct ox_parcel *parcel = msg->data;
    uint64_t seq = parcel->batch->wal_seq;
    written[parcel_of(seq)]++;
    if (parcel->crashes > 0)
        trials++; /* a suspect comes last, out of order */
    else if (seq <= last_written)
        out_of_order++;
    else
        last_written = seq;
}

static void
outbox_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct ox_pack *pack = msg->data;
    cr_assert_eq(msg->kind, OX_K_outbox_put);
    cr_assert_eq(pack->how, OX_DISPOSED_SET_ASIDE);
    cr_assert_eq(pack->encoded.n_blocks, 0);
    struct ox_disposed *d = calloc(1, sizeof(*d));
    d->rows = pack->rows;
    d->how = pack->how;
    pack->rows = (struct ox_contributions){0};
    for (size_t i = 0; i < d->rows.n; i++) {
        const struct ox_contribution *c = &d->rows.items[i];
        cr_assert(c->from == parcel_of(c->seq) % 2 && c->to == 2, "what its parcel owes, and no more");
        cr_assert_eq(ox_ledger_disposed(rec.ledger, c->seq, c->from, c->to, OX_DISPOSED_SET_ASIDE, 1), OX_OK);
        aside[parcel_of(c->seq)]++;
        cr_assert_not(is_new_again(parcel_of(c->seq)), "a crash here would replay it");
    }
    struct ox_msg *reply = ox_msg_new(OX_K_disposed, d, 0, ox_disposed_free);
    reply->flags |= OX_MSG_F_CONTROL;
    cr_assert_eq(ox_send(node.wal, &reply), OX_OK);
}

static const struct ox_actor_class wal_class = {.name = "wal",
                                                .state_size = sizeof(struct wal_stub),
                                                .on_start = wal_start,
                                                .on_message = wal_message,
                                                .on_stop = wal_stop};
static const struct ox_actor_class writer_class = {.name = "writer", .on_message = writer_message};
static const struct ox_actor_class tight_class = {
    .name = "writer", .on_message = writer_message, .mailbox_msgs_max = 1};
static const struct ox_actor_class outbox_class = {.name = "outbox", .on_message = outbox_message};

/* ---- the story ---- */

/* What is left in the mailbox of an actor that is put aside comes back, as in cmd/cmd_node.c. */
static void
on_undelivered(void *arg, ox_pid to, struct ox_msg *msg)
{
    if (msg->kind != OX_K_parcel && msg->kind != OX_K_suspect)
        return;
    struct ox_parcel *parcel = msg->data;
    struct ox_msg *back = ox_returned_new(parcel->permit.tenant, OX_RETURNED_CRASHED);
    ox_parcel_taken(parcel);
    parcel->next = NULL;
    ((struct ox_returned *)back->data)->parcels = parcel;
    msg->data = NULL;
    if (ox_send(node.wal, &back) != OX_OK)
        ox_msg_free(back);
}

/* Two records, of every other request the first is with the writer. */
static void
give_rows(struct ox_batch *batch, uint32_t n)
{
    batch->logs = calloc(2, sizeof(*batch->logs));
    cr_assert_not_null(batch->logs);
    batch->n_logs = batch->n_records = 2;
    batch->logs[1].ordinal = 1;
    batch->logs[0].reject = n % 2 != 0 ? OX_REJECT_DISPOSED : OX_REJECT_NONE;
}

/* Logged as a request; its parcel. */
static struct ox_parcel *
request(uint32_t n)
{
    struct ox_diag diag;
    const char *text = poisoned[n] ? POISON : "fine";
    struct ox_wal_entry w = {.tenant = tenant->id,
                             .signal = OX_SIGNAL_LOGS,
                             .encoding = OX_WAL_OTLP_PROTOBUF,
                             .received_ns = 1,
                             .request_hash = {n + 1, 7},
                             .n_records = 2,
                             .body = ox_str_of(text)};
    struct ox_buf header;
    struct ox_parcel *parcel = calloc(1, sizeof(*parcel));
    ox_buf_init(&header);
    cr_assert_eq(ox_wal_entry_encode(&w, &header), OX_OK);
    struct iovec parts[2] = {{header.data, header.len}, {(void *)(uintptr_t)text, strlen(text)}};
    parcel->batch = ox_batch_new();
    cr_assert_eq(ox_journal_append(rec.wal, parts, 2, 1, &parcel->batch->wal_seq), OX_OK);
    cr_assert_eq(ox_journal_commit(rec.wal, NULL), OX_OK);
    ox_buf_fini(&header);
    uint64_t seq = parcel->batch->wal_seq;
    cr_assert_eq(ox_ledger_entry_logged(rec.ledger, seq, ox_journal_segment_of(rec.wal, seq), 2), OX_OK);
    seqs[n] = seq;
    ox_recent_put(recent, ox_recent_key_of(&tenant->id, OX_SIGNAL_LOGS, n + 1, 7), OX_RECENT_DURABLE,
                  ox_now_ns());
    parcel->batch->tenant = tenant->id;
    parcel->batch->signal = OX_SIGNAL_LOGS;
    give_rows(parcel->batch, n);
    parcel->batch->body = ox_body_new(strlen(text), NULL);
    memcpy(parcel->batch->body->data, text, strlen(text));
    parcel->batch->body->len = strlen(text);
    cr_assert_eq(ox_permit_take(node.tenants, tenant, 1, true, &parcel->permit, &diag), OX_OK);
    return parcel;
}

static void
begin(uint64_t seed)
{
    static const struct ox_tenants_limits limits = {10, 1000000, 1000000, 1000000};
    static const struct ox_recovery_options ro = {
        .data_dir = "d", .wal_segment_bytes = 1 << 20, .outbox_segment_bytes = 1 << 20};
    struct ox_diag diag;
    struct ox_tenant_id id = {"t"};
    memset(written, 0, sizeof(written));
    memset(aside, 0, sizeof(aside));
    last_written = out_of_order = trials = 0;
    disk = fault_disk_new(seed);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(disk), "d"), OX_OK);
    cr_assert_eq(ox_recover(fault_disk_seam(disk), &ro, &rec, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_fault_load("marked", NULL), OX_OK);
    kit_start_with((struct ox_runtime_options){.seed = seed, .hooks = {.undelivered = on_undelivered}});
    node = (struct ox_node){.config = &config, .clock = &kit_clock.clock, .tenants = ox_tenants_new(&limits)};
    atomic_store(&node.phase, OX_NODE_RUNNING);
    cr_assert_eq(ox_tenants_get(node.tenants, &id, &tenant), OX_OK);
    cr_assert_eq(
        ox_sup_start(&(struct ox_sup_spec){.name = "tenants", .max_restarts = writer_full ? 1000 : 5},
                     &node.tenants_sup, NULL),
        OX_OK);
    node.outbox = kit_spawn(&outbox_class, NULL);
    node.writers[OX_SIGNAL_LOGS] = kit_spawn(writer_full ? &tight_class : &writer_class, NULL);
    node.wal = kit_spawn(&wal_class, NULL);
}

static void
end(void)
{
    cr_assert_eq(ox_tenants_in_flight(node.tenants), 0, "each permit came back");
    ox_runtime_stop();
    ox_tenants_free(node.tenants);
    ox_recovery_fini(&rec);
    fault_disk_free(disk);
}

static bool
all_settled(void)
{
    for (uint32_t n = 0; n < PARCELS; n++) {
        if (written[n] + aside[n] == 0)
            return false;
    }
    return true;
}

/* Requests come, the runtime takes some steps, time passes now and then: in an order that the seed gives. */
static void
feed(struct ox_random *rnd)
{
    for (uint32_t n = 0; n < PARCELS; n++) {
        struct ox_msg *msg = ox_msg_new(KIND_DELIVER, request(n), 0, ox_parcel_free);
        cr_assert_eq(ox_send(node.wal, &msg), OX_OK);
        (void)ox_runtime_drain(ox_random_below(rnd, 12));
        if (ox_random_below(rnd, 8) == 0)
            ox_clock_virtual_advance(&kit_clock, ox_random_below(rnd, 400) * 1000000);
    }
}

static void
check(uint64_t seed)
{
    for (uint32_t n = 0; n < PARCELS; n++) {
        cr_assert_eq(written[n], !poisoned[n], "seed %d: request %u was written %u times", (int)seed, n,
                     written[n]);
        cr_assert_eq(aside[n], poisoned[n], "seed %d: request %u was set aside %u times", (int)seed, n,
                     aside[n]);
        cr_assert_eq(is_new_again(n), poisoned[n], "seed %d: request %u", (int)seed, n);
    }
    cr_assert_eq(out_of_order, 0, "seed %d", (int)seed);
}

static void
story(uint64_t seed, uint32_t one_in)
{
    struct ox_random rnd;
    ox_random_seed(&rnd, seed);
    for (uint32_t n = 0; n < PARCELS; n++)
        poisoned[n] = ox_random_below(&rnd, one_in) == 0;
    begin(seed);
    feed(&rnd);
    for (int i = 0; i < 20000 && !(all_settled() && ox_tenants_in_flight(node.tenants) == 0); i++)
        kit_advance_ms(100);
    check(seed);
    end();
}

Test(wal_returned, now_and_then_a_poisoned_request)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        story(seed, 20);
}

/* Many more crashes than the intensity of a supervisor allows, and a writer that takes one at a time. */
Test(wal_returned, every_other_request_poisoned_and_a_full_writer)
{
    writer_full = true;
    for (uint64_t seed = 1; seed <= 25; seed++)
        story(seed, 2);
}

/* Six crashes without progress: everything waits, and goes on in order when the quarantine is lifted. */
Test(wal_returned, quarantined_and_revoked)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct ox_random rnd;
        struct ox_msg *reply;
        ox_random_seed(&rnd, seed);
        for (uint32_t n = 0; n < PARCELS; n++)
            poisoned[n] = true;
        begin(seed);
        feed(&rnd);
        for (int i = 0; i < 1000; i++)
            kit_advance_ms(100);
        cr_assert_eq(ox_sup_ask(node.tenants_sup, OX_SUP_WHICH, NULL, 0, 1000, &reply), OX_OK);
        const struct ox_children *list = reply->data;
        cr_assert_eq(list->child[0].state, OX_CHILD_QUARANTINED);
        uint32_t crashes = list->child[0].crashes, lost = 0;
        cr_assert_geq(crashes, 6);
        ox_msg_free(reply);
        for (uint32_t n = 0; n < PARCELS; n++) {
            lost += aside[n];
            poisoned[n] = aside[n] > 0; /* the others are mended */
        }
        cr_assert_eq(crashes, 6 + lost, "six causes; the second try of each that is set aside is no other");
        cr_assert_leq(lost, 5);
        cr_assert_eq(ox_tenants_in_flight(node.tenants), PARCELS - lost);
        cr_assert_eq(ox_fault_load(NULL, NULL), OX_OK);
        cr_assert_eq(ox_sup_ask(node.tenants_sup, OX_SUP_REVOKE, "tenant/t", crashes, 1000, NULL), OX_OK);
        for (int i = 0; i < 1000 && ox_tenants_in_flight(node.tenants) > 0; i++)
            kit_advance_ms(100);
        check(seed);
        end();
    }
}
