/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/spine.h - what the actors of the ingest path hand to one another, and the node that they share.
 *
 * Owns:    see each payload: it belongs to the message that carries it, then to the receiver.
 * Threads: struct ox_node is filled before the first actor starts and is read-only afterwards, except for
 *          its atomics.
 * Flow:    gateway -> (append) -> wal -> (parcel) -> tenant -> (rows) -> writer -> (outbox_put) -> outbox -> storage.
 *
 * docs/flow.md walks the path; include/ox/tbl/messages.h lists the messages.
 */
#ifndef OX_SPINE_H
#define OX_SPINE_H

#include <stdatomic.h>

#include "ox/actor.h"
#include "ox/batch.h"
#include "ox/clock.h"
#include "ox/config.h"
#include "ox/encode.h"
#include "ox/keystore.h"
#include "ox/outbox_entry.h"
#include "ox/ranges.h"
#include "ox/schema.h"
#include "ox/tenants.h"
#include "ox/wal_entry.h"

enum ox_kind {
    OX_K__NONE,
#define OX_MESSAGE(symbol, payload, sender, receiver, refused) OX_K_##symbol,
#include "ox/tbl/messages.h"
#undef OX_MESSAGE
    OX_K__COUNT
};
/* "append", "parcel", ...; "runtime" for kinds of the runtime. */
const char *ox_kind_name(uint32_t kind);

struct ox_arena;
struct ox_custody;
struct ox_storage;
struct ox_disk;
struct ox_dead_letter;
struct ox_stream;
struct ox_crashes;

/* How far the node is; new work is taken only in RUNNING. */
enum ox_node_phase { OX_NODE_STARTING, OX_NODE_RUNNING, OX_NODE_STOPPING };

/* One per process. */
struct ox_cardinality;
struct ox_quotas;
struct ox_redact;
struct ox_sampling_set;
struct ox_journal;

struct ox_node {
    const struct ox_config *config; /* as it was at the start: for keys whose effect is `restart` */
    _Atomic(const struct ox_config *) config_now; /* see ox_node_config */
    const struct ox_clock *clock;
    struct ox_disk *disk;
    struct ox_storage *storage;
    struct ox_keystore *keys;
    struct ox_lane
        *keys_lane; /* where keys that are not known yet are looked up; NULL = the common dirty threads */
    struct ox_tenants *tenants;
    struct ox_crashes *crashes;          /* obituaries; NULL = none are kept */
    struct ox_dead_letter *dead_letters; /* any thread that may block */
    struct ox_stream *stream;            /* of the backlogs, used on the spill lane only; NULL = none */
    struct ox_quotas
        *quotas; /* what each tenant and key may send; NULL = there are none (simulation, benchmarks) */
    /* Attributes that must not be stored; NULL = none. acquire: pairs with the release of who published it; never freed
     * while the node runs. */
    _Atomic(const struct ox_redact *) redact;
    /* Which traces each tenant keeps; NULL = all of them. As `redact`. */
    _Atomic(const struct ox_sampling_set *) sampling;
    struct ox_journal
        *log; /* entries whose records are still owed may be read on dirty threads (ox_journal_read) */
    _Atomic uint64_t sampler_held;      /* spans that wait for the rest of their trace; relaxed, for people */
    struct ox_cardinality *cardinality; /* series of the tenants that have such a quota; NULL with quotas */
    struct ox_tls *tls;                 /* of the listeners; NULL = they speak plain */
    struct ox_account bodies;           /* request bytes in memory, of all gateways */
    struct ox_account strangers; /* those of them whose key is not known yet: one part, like a tenant's */
    struct ox_account replayed;  /* those of the log that go through the pipeline again; no limit: the wal
                                            feeds no more while there are many */
    _Atomic int phase;           /* enum ox_node_phase; release on change, acquire on read */
    ox_pid wal;
    ox_pid outbox;
    ox_pid writers[OX_SIGNAL__COUNT];
    ox_pid tenants_sup;
    /* Fill of the journals in permille, by their actors, for admission: above 950 new work is refused. Relaxed:
     * a late reader refuses a moment later. */
    _Atomic uint32_t wal_fill;
    _Atomic uint32_t outbox_fill;
    /* Ids of blocks count up, which compresses, from a number that no earlier run can have reached: the next
     * sequence of the outbox, where each block costs more bytes than ids. The nonce keeps the tokens apart even
     * when an operator has removed the outbox. */
    _Atomic uint64_t next_block_id;
    uint64_t boot_nonce;
    /* Since the last run; or nobody can tell. Storage syncs its rows and not its memory of tokens, so a block that
     * it has is not sent again. Filled before the actors start. */
    bool machine_restarted;
    /* Why new work is refused although there may be room in the journals: bits of ox/read_only.h. Relaxed, as above. */
    _Atomic uint32_t read_only;
    _Atomic bool disk_low;         /* SPACE of them: for those who would write more by themselves */
    _Atomic bool disk_nearly_full; /* a warning was given */
    _Atomic bool storage_migrated;
    /* Bits of ox_schema_tables that were not there when the pruner looked last; for /ready and status. Relaxed. */
    _Atomic uint32_t tables_missing;
    /* By the outbox: blocks of a table that may be in storage and are not counted yet, and blocks whose rollups are
     * in doubt; and the rows of all that ever were, since the start. By the mender: parts that are damaged beyond
     * mending, and Unix time of the last answer of a server elsewhere that it cannot read a part. Relaxed: whoever
     * waits looks again. */
    _Atomic uint64_t outbox_unsure[OX_TABLE__COUNT], outbox_unsure_rows[OX_TABLE__COUNT];
    _Atomic uint32_t damaged_parts;
    _Atomic uint32_t damaged_active; /* of these: not set aside, and a restart did not mend them */
    /* ox_parts_errors of the embedded engine when somebody asked last; 0 for a new one. An insert that reads it
     * before it begins and the same number behind it met no trouble. */
    _Atomic uint64_t engine_errors;
    _Atomic uint64_t damage_told_ns;
    /* Removed to make room since the start, and when last (Unix time, 0 = never); by the pruner, for status. */
    _Atomic uint64_t pruned_rows, pruned_bytes, pruned_ns;
    _Atomic bool replay_done;
    _Atomic uint64_t writer_records; /* in blocks that are not durable yet */
    _Atomic uint64_t outbox_blocks;  /* not yet stored */
    _Atomic uint64_t outbox_notes;   /* stored, and not noted as such yet: a stop waits for them too */
    _Atomic uint64_t outbox_rows;
    /* Backlogs of tenants, by the wal actor, for /ready and status. */
    _Atomic uint32_t spill_tenants; /* whose entries go to their backlog, or come back from it */
    _Atomic uint64_t spill_entries;
    _Atomic uint64_t spill_oldest_ns; /* Unix time of the oldest entry of all, 0 = none */
};

/*
 * The configuration in force: an immutable snapshot. A reload puts another in its place as a whole and sends
 * `configure` to the actors that live by one; each looks here in that turn (and when it starts) and keeps the
 * pointer, so that no turn sees two configurations. A snapshot is never freed while the node runs, so a job on
 * another thread may use the one that it was given. acquire: pairs with the release of who published it.
 */
static inline const struct ox_config *
ox_node_config(struct ox_node *node)
{
    const struct ox_config *now = atomic_load_explicit(&node->config_now, memory_order_acquire);
    return now != NULL ? now : node->config;
}

/* Runs over both journals, for /ready and status. */
static inline enum ox_node_phase
ox_node_phase(struct ox_node *node)
{
    return (enum ox_node_phase)atomic_load_explicit(&node->phase, memory_order_acquire);
}

/* The mark and the ordinal of row `row` of the batch's signal (see ox_encode_rows); the mark may be changed. */
uint8_t *ox_batch_row(struct ox_batch *batch, uint32_t row, uint32_t *ordinal);
/* The ordinals of its rows that nobody refused and that are not accounted for elsewhere are added to *owed. NOMEM. */
OX_MUST_USE ox_err ox_batch_owed(struct ox_batch *batch, struct ox_ranges *owed);

/* ---- payloads ---- */

/* A decision of the sampler on its way into the outbox. */
struct ox_decided {
    const struct ox_tenant *tenant;
    struct ox_outbox_decision decision;
};
struct ox_decided_list {
    struct ox_decided *items;
    size_t n, cap;
};
/* Appends. NOMEM. */
OX_MUST_USE ox_err ox_decided_add(struct ox_decided_list *list, const struct ox_decided *item);

/* An acknowledged request on its way to the writer. */
struct ox_parcel {
    struct ox_batch *batch; /* its wal_seq is set; refused rows and rows already disposed of are marked */
    struct ox_permit permit;
    uint32_t crashes;   /* of its tenant's actor while it was in hand; the wal actor counts */
    uint64_t reserved;  /* bytes in the tenant's backlog, given back with the permit */
    uint64_t parked_ns; /* since when the tenant's actor did not take it; 0 = it was not offered in vain */
    bool queued;        /* its records count as queued (struct ox_tenant) */
    bool again;         /* read back from the tenant's backlog: goes in front of what waits there */
    bool charged;       /* in hand at the crash that it comes back from */
    /* Others that belong into the same entry of the outbox, since spans of one trace stand in them; and, in the first, what
     * was decided of the traces of all. */
    struct ox_parcel *together;
    struct ox_decided_list decided;
    struct ox_arena *texts; /* that its batch's views point into and that no request held; NULL = none */
    struct ox_parcel *next; /* queue link of the present owner */
};
/* With those that belong together with it. */
void ox_parcel_free(void *parcel);
/* The parcel leaves the mailbox that it was sent to: its records are no longer queued. */
void ox_parcel_taken(struct ox_parcel *parcel);

/* What a tenant's actor says to the log's about parcels that it gives back. Payload of `returned`. */
enum ox_returned_why {
    OX_RETURNED_CRASHED, /* its incarnation ended; the parcel that was being processed, if any, is charged */
    OX_RETURNED_RESTARTED, /* a new incarnation holds everything until it hears `resume` with its number */
    OX_RETURNED_RESUMED,   /* what it held; from now on it processes what comes */
    OX_RETURNED_TRIED      /* the suspect was processed without a crash */
};
struct ox_returned {
    struct ox_tenant *tenant;
    enum ox_returned_why why;
    uint32_t incarnation;
    struct ox_parcel *parcels; /* owned */
    struct ox_custody
        *held; /* CRASHED: records that waited for a decision, to be read again; owned, NULL = none */
};
/* A message that carries one, or NULL. */
struct ox_msg *ox_returned_new(struct ox_tenant *tenant, enum ox_returned_why why);
void ox_returned_free(void *returned);
/* A message that a tenant's actor did not come to: gives its parcel back to the log's actor as the tenant's actor
 * would, and steals it from the message. Other kinds of message are left alone. in_hand: it crashed with this one,
 * which is charged. For the runtime's hooks. */
void ox_tenant_give_back(struct ox_node *node, struct ox_msg *msg, bool in_hand);

/* One request on its way into the log and back. The gateway makes it, the wal fills seq and err. */
struct ox_append {
    ox_pid reply_to;          /* gets `appended` */
    void *ticket;             /* the gateway's own, untouched by others */
    struct ox_parcel *parcel; /* taken by the wal when the append succeeded, else still here */
    uint32_t n_records;
    uint32_t n_ranges; /* refused ordinals as [from,to) pairs */
    uint32_t *ranges;
    uint64_t hash[2]; /* of the request bytes */
    /* Read back from the tenant's store, as in ox/wal_entry.h; nobody waits for an answer then. */
    enum ox_wal_origin origin;
    uint64_t origin_seq;
    uint64_t origin_cost;   /* bytes that it took there */
    uint64_t origin_stream; /* the message that held it; 0 = none */
    uint64_t seq;
    bool
        duplicate; /* the same request is logged already: acknowledged, not stored again; the parcel stays here */
    ox_err err;
    struct ox_diag diag;
    struct ox_append *next;
};
void ox_append_free(void *append);

/* Ordinals [from,to) of one log entry that stand in a block, or that it disposes of. */
struct ox_contribution {
    uint64_t seq;
    uint32_t from;
    uint32_t to;
    uint32_t tenant;         /* index in the directory */
    enum ox_disposition how; /* 0 = as the pack says */
};

struct ox_contributions {
    struct ox_contribution *items;
    size_t n;
    size_t cap;
};
/* Appends, merging with the last range of the same fate where it adjoins. NOMEM. */
OX_MUST_USE ox_err ox_contributions_add(struct ox_contributions *list, struct ox_contribution item);

/* The blocks of one builder from `full` to `durable`. */
struct ox_pack {
    enum ox_signal signal;
    int level;                  /* zstd; 0 = uncompressed */
    uint64_t block_id;          /* in the rows; the blocks of one pack have block_id + their index */
    struct ox_builder *builder; /* until encoded; goes back to the writer for reuse */
    struct ox_encoded encoded;
    uint64_t raw_len[OX_ENCODED_BLOCKS_MAX];     /* Native bytes of each block */
    struct ox_buf packed[OX_ENCODED_BLOCKS_MAX]; /* compressed bytes of each block; empty when level is 0 */
    struct ox_contributions rows;
    struct ox_decided_list decided; /* of traces with spans in it */
    uint64_t chain;                 /* the writer's */
    uint64_t records;               /* that `rows` stands for */
    enum ox_disposition
        how;      /* what becomes of them; 0 = stored. A pack without blocks only disposes of them */
    uint64_t tag; /* comes back in `disposed` */
    ox_pid writer;
    ox_err err;
    struct ox_pack *next;
};
void ox_pack_free(void *pack);

/* ---- the actors ---- */

extern const struct ox_actor_class ox_gateway_class;
extern const struct ox_actor_class ox_wal_class;
extern const struct ox_actor_class ox_tenant_class;
extern const struct ox_actor_class ox_writer_class;
extern const struct ox_actor_class ox_outbox_class;

/* How a tenant's actor stands below node->tenants_sup. id: filled in, and lent to *out. */
#define OX_TENANT_CHILD_ID_MAX 96
struct ox_child_spec;
void ox_tenant_child_spec(struct ox_node *node, const struct ox_tenant *tenant,
                          char id[OX_TENANT_CHILD_ID_MAX], struct ox_child_spec *out);
/* The tenant's name in such an id (lend), or NULL when it is another child's. */
const char *ox_tenant_of_child(const char *id);

/* Argument of ox_writer_class. */
struct ox_writer_arg {
    struct ox_node *node;
    enum ox_signal signal;
};

#endif
