/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/sim.h - one simulated world: a node of production code, its disk, its storage and its senders.
 *
 * Owns:    see each part; a world lives from sim_world_run's beginning to its end.
 * Threads: one.
 * Bounds:  SIM_REQUESTS_MAX requests, SIM_RECORDS_MAX records in each.
 * Fails:   a broken promise ends the program with the seed and a sentence.
 *
 * The world outlives its nodes: a node may be killed in any step, and the next one finds what the disk kept. Everything
 * that chance decides comes from the seed.
 */
#ifndef OX_SIM_H
#define OX_SIM_H

#include "ox/clock.h"
#include "ox/config.h"
#include "ox/outbox.h"
#include "ox/random.h"
#include "ox/runtime.h"
#include "ox/spine.h"
#include "ox/storage.h"
#include "ox/suspects.h"
#include "ox/wal.h"
#include "ox/warden.h"
#include "tests/harness/fault_disk.h"

#define SIM_REQUESTS_MAX 2048u
#define SIM_RECORDS_MAX  32u
#define SIM_TENANTS_MAX  6u
#define SIM_MS           UINT64_C(1000000)
#define SIM_S            UINT64_C(1000000000)

/* Ways of being wrong on purpose, each of which the simulation must find. */
enum sim_break {
    SIM_BREAK_NONE,
    SIM_BREAK_ACK_EARLY,    /* an acknowledgement before the commit */
    SIM_BREAK_NO_TOKEN,     /* a block that is sent again is taken for a new one */
    SIM_BREAK_DROP_PARCEL,  /* a parcel vanishes between tenant and writer */
    SIM_BREAK_NO_FSYNC,     /* fdatasync returns and does nothing */
    SIM_BREAK_LOST_WAKEUP,  /* a message arrives and its actor is not woken */
    SIM_BREAK_EAGER,        /* a supervisor restarts without counting */
    SIM_BREAK_FORGET_BLOCK, /* a block is called stored when its insert got no answer */
    SIM_BREAK_NO_REPEATS,   /* a repeated request is not recognised */
    SIM_BREAK_DOUBLE_OWNER, /* a parcel is handed on and kept */
    SIM_BREAK__COUNT
};
const char *sim_break_name(enum sim_break b);

struct sim_options {
    bool verbose;
    enum sim_break broken;
};

/* What a seed's run came to. */
struct sim_result {
    uint64_t hash; /* over every step and everything that left the node */
    uint64_t steps;
    uint64_t virtual_ns;
    uint32_t requests, acked, repeats, refused; /* of senders */
    uint64_t records, stored, kept;
    uint32_t kills, stops, panics, quarantines, inserts, resent, disk_faults;
};

/* What a seed makes of a world; all else follows by chance within it. */
struct sim_plan {
    uint64_t length_ns; /* of the senders' time */
    uint32_t tenants;
    uint32_t requests;
    uint32_t records; /* per request, at most */
    uint32_t repeat_permille;
    uint32_t panic_ppm;      /* of tenants' and gateways' messages */
    uint32_t cursed;         /* the tenant whose messages nearly all crash; SIM_TENANTS_MAX = none */
    uint32_t bookkeeper_ppm; /* of log's, outbox's and writers' */
    uint32_t slow_ppm;       /* of messages that hold their turn for long */
    uint32_t job_refused_ppm;
    bool storage_weather, disk_faults, disk_full, kills, graceful, floods, poison, clock_jumps;
    bool sampling; /* traces wait for a decision; by rules that may drop, and keep everything */
};

/* The node that lives now. */
struct sim_node {
    struct ox_node node;
    struct ox_config config;
    struct ox_recovery recovered;
    struct ox_journal *wal, *outbox;
    struct ox_wal_arg wal_arg;
    struct ox_outbox_arg outbox_arg;
    struct ox_writer_arg writer_args[OX_SIGNAL__COUNT];
    struct ox_suspects suspects;
    struct ox_warden warden;
    struct ox_gateway *gateway;
    struct ox_sampling_set *sampling;
    ox_pid root;
    bool open;    /* journals are */
    bool running; /* the runtime is */
};

struct sim_event;
struct ox_http_request;
struct ox_http_server_options;
struct sim_storage;
struct sim_clients;

struct sim {
    uint64_t seed;
    struct sim_options opt;
    struct sim_plan plan;
    struct sim_result result;
    struct ox_random rnd; /* what happens */
    struct ox_random os;  /* what the operating system's randomness gives */
    struct ox_clock_virtual clock;
    struct fault_disk *disk;
    struct sim_storage *storage;
    struct sim_clients *clients;
    struct sim_node n;
    uint32_t life;
    uint64_t born_ns;
    bool ghost; /* the node has died and is being cleared away: nothing of what it does counts */
    bool fell;  /* a bookkeeper has crashed */
    bool calm;  /* faults have ceased */
    struct sim_event *events;
    uint32_t n_events, cap_events;
    uint64_t event_seq;
};

extern struct sim *sim_now;

/* Ends the program: the seed, the time, the sentence, how to repeat it. */
OX_NORETURN void sim_fail(const char *fmt, ...) OX_PRINTF(1, 2);
void sim_note(const char *fmt, ...) OX_PRINTF(1, 2); /* a line when verbose */
void sim_hash(uint64_t value);
void sim_hash_bytes(const void *bytes, size_t n);
uint64_t sim_time(void);
/* True in `n` of a million cases. */
bool sim_chance(uint32_t ppm);
uint64_t sim_between(uint64_t from, uint64_t to); /* both included */

/* world.c: does fn(arg) at a time of the virtual clock, in some order with all else that is due. */
void sim_at(uint64_t at_ns, void (*fn)(uint64_t arg), uint64_t arg);
void sim_world_run(uint64_t seed, const struct sim_options *opt, struct sim_result *out);

/* node.c */
void sim_node_config(struct sim *s);
/* Opens the journals and starts the actors; false: the disk died meanwhile. */
bool sim_node_start(struct sim *s);
/* Its end without a word; the power goes with it, or only the process. */
void sim_node_kill(struct sim *s, bool power);
/* Asked to end: drains for its time, then ends in good order. */
void sim_node_stop(struct sim *s);
/* Ends every quarantine. */
void sim_node_revoke(struct sim *s);
/* Nothing may be left in an idle node: no permit, no byte of a request, no batch. */
void sim_node_check_idle(struct sim *s);
/* Nothing is on its way through the node. */
bool sim_node_idle(struct sim *s);
/* One step of the runtime, and the time that it takes; false: nothing is ready. */
bool sim_node_step(struct sim *s);

/* storage.c */
struct sim_storage *sim_storage_new(void);
void sim_storage_free(struct sim_storage *st);
ox_err sim_storage_insert(struct sim_storage *st, const struct ox_storage_insert *insert,
                          struct ox_diag *diag);
/* Answers the outbox's question which blocks arrived. */
ox_err sim_storage_query(struct sim_storage *st, struct ox_str sql, struct ox_buf *answer);
ox_err sim_storage_ping(struct sim_storage *st);
ox_err sim_storage_migrate(struct sim_storage *st);
void sim_storage_weather(struct sim_storage *st); /* changes it, and again after a while */
void sim_storage_calm(struct sim_storage *st);
/* How often record `uid` is stored. */
uint32_t sim_storage_count(const struct sim_storage *st, uint32_t uid);
/* Calls each(arg, uid) for the records of a block; none for tables that hold no records. */
void sim_block_uids(const char *table, const void *bytes, size_t n, bool zstd,
                    void (*each)(void *arg, uint32_t uid), void *arg);
/* The same for bytes of a file: those of a block that was seen before, whole, or none. */
void sim_file_uids(const void *bytes, size_t n, void (*each)(void *arg, uint32_t uid), void *arg);

/* clients.c */
struct sim_clients *sim_clients_new(struct sim *s);
void sim_clients_free(struct sim_clients *c);
void sim_clients_listen(const struct ox_http_server_options *options); /* the gateway's server stands */
void sim_clients_drain(void (*drained)(void *ctx), void *ctx);         /* tells when nobody waits */
void sim_clients_deaf(void);                                           /* it is gone, with all that it owed */
void sim_clients_charge(struct ox_http_request *req, struct ox_account *account); /* its body */
void sim_clients_answer(struct ox_http_request *req, int status);                 /* 0 = aborted */
bool sim_clients_waiting(void);           /* a request waits for its answer in this life */
void sim_clients_new_life(struct sim *s); /* after recovery, before anything is sent */
/* Whatever was not acknowledged is sent again until it is. */
void sim_clients_insist(void);
bool sim_clients_all_acked(void);
void sim_clients_check_end(struct sim *s);
/* What the disk holds of each record must be enough for what was acknowledged. */
void sim_audit(struct sim *s);
/* Every place of the disk that a record may be in. */
struct sim_where {
    uint8_t wal[SIM_REQUESTS_MAX];                      /* by request */
    uint8_t outbox[SIM_REQUESTS_MAX * SIM_RECORDS_MAX]; /* by record */
    uint8_t kept[SIM_REQUESTS_MAX * SIM_RECORDS_MAX];   /* refused or set aside, and kept */
    uint8_t backlog[SIM_REQUESTS_MAX];                  /* by request: waits for its tenant */
    uint8_t aside[SIM_REQUESTS_MAX];                    /* by request: set aside, at least in part */
};
void sim_look(struct sim *s, struct sim_where *w);

/* fakes.c: what is broken or crashes on purpose, in the middle of production code. */
/* Batches that are alive; those of a node that was cleared away are forgotten. */
uint32_t sim_batches(void);
void sim_batches_forget(void);
void sim_hooks(struct ox_runtime_hooks *hooks);
/* counters.c */
void sim_counters_begin(void);
void sim_counters_check(void);
/* supervision.c: restart intensity and backoff as the supervisors should keep them. */
void sim_supervision_reset(void);
void sim_supervision_step(const struct ox_step *step);
void sim_supervision_died(const struct ox_obituary *ob);
void sim_supervision_quarantined(ox_pid pid, const char *child);
void sim_supervision_progress(ox_pid pid);
void sim_supervision_trial(ox_pid pid, bool on);
void sim_supervision_revoked(ox_pid pid);

/* runtime_story.c: actors of its own, without the node. */
void sim_story_run(uint64_t seed, const struct sim_options *opt, struct sim_result *out);

#endif
