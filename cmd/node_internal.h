/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_internal.h - what the files of the node's command share.
 *
 * Owns:    struct node_main is the main thread's; the control thread reads it and changes atomics only.
 */
#ifndef OX_CMD_NODE_INTERNAL_H
#define OX_CMD_NODE_INTERNAL_H

#include <jansson.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"
#include "ox/dead_letter.h"
#include "ox/gateway.h"
#include "ox/key_cache.h"
#include "ox/mender.h"
#include "ox/outbox.h"
#include "ox/query.h"
#include "ox/quotas.h"
#include "ox/runtime.h"
#include "ox/spine.h"
#include "ox/wal.h"
#include "ox/warden.h"

struct node_main {
    struct ox_config config;
    struct ox_child_args fds;
    struct ox_node node;
    struct ox_recovery recovered;
    struct ox_suspects suspects;
    char set_aside_dir[OX_DISK_PATH_MAX];
    struct ox_journal *wal;
    struct ox_journal *outbox;
    char refused_dir[OX_DISK_PATH_MAX];
    char doubts_path[OX_DISK_PATH_MAX];
    char password[OX_CONFIG_STRING_MAX];
    ox_pid root;
    struct ox_warden warden;
    struct ox_control_store *control; /* the key store owns it */
    struct ox_keystore *jwt;          /* the same */
    struct ox_keystore *sessions;     /* the same */
    struct ox_user_store *users;
    struct ox_login_limit *login_limit;
    struct ox_oidc *oidc; /* NULL = no provider */
    struct ox_control_arg control_arg;
    struct ox_wal_arg wal_arg;
    struct ox_outbox_arg outbox_arg;
    struct ox_writer_arg writer_args[OX_SIGNAL__COUNT];
    struct ox_gateway *gateway;
    struct ox_query query;
    struct ox_api *api;
    ox_pid reloader; /* the actor `config` */
    struct ox_mender_arg mender_arg;
    ox_pid mender;
    _Atomic int64_t engine_pid; /* 0 = there is none; relaxed: whoever reads a late one asks for nothing */
    struct ox_quota_store *quota_store;
    _Atomic bool quotas_wanted; /* they have changed: release by who heard of it, acquire by who reads them */
    bool quotas_failed;         /* of the job that reads them; then of the actor */
    bool runtime_started;
};

/* SIGTERM, SIGINT and SIGHUP are read by the control thread; SIGPIPE is ignored. Call before any thread starts. */
void node_block_signals(void);
/* Thread: says `ready`, listens to the heart and to signals, stops the node in good order, then quits the
 * runtime. arg: struct node_main. */
void *node_control(void *arg);

/* node_keys.c. Opens the control plane and the key store before it: m->control, m->node.keys. */
OX_MUST_USE ox_err node_keystore(struct node_main *m, struct ox_diag *diag);
/* The first line of `path`, or "" without a path; key: of the configuration, for the sentence. */
OX_MUST_USE ox_err node_password_of(const char *path, const char *key, char *out, size_t size,
                                    struct ox_diag *diag);
/* The secret behind development keys, DIR/dev.secret, made on first use. hex: OX_DEV_SECRET_HEX digits and a zero. */
#define OX_DEV_SECRET_HEX 64
OX_MUST_USE ox_err node_dev_secret(const char *data, char *hex, struct ox_diag *diag);
/* The same for another secret, DIR/name. */
OX_MUST_USE ox_err node_secret(const char *data, const char *name, char *hex, struct ox_diag *diag);
/* node_sampling.c. Which traces are kept: m->node.sampling. */
OX_MUST_USE ox_err node_sampling_open(struct node_main *m, struct ox_diag *diag);
/* After a reload; rules that cannot be used leave those before in force, which is said. */
void node_sampling_reload(struct node_main *m, const struct ox_config *cfg);
/* After the runtime has stopped. */
void node_sampling_close(struct node_main *m);

/* node_redact.c. What must not be stored: m->node.redact. */
OX_MUST_USE ox_err node_redact_open(struct node_main *m, struct ox_diag *diag);
/* Reads the rules again; those that cannot be used are logged and the old ones go on. May block. */
void node_redact_reload(struct node_main *m, const struct ox_config *cfg);
/* No request is on its way any more. */
void node_redact_close(struct node_main *m);
/* The first line of storage.password_file, or "". */
OX_MUST_USE ox_err node_password(const struct ox_config *cfg, char *out, size_t size, struct ox_diag *diag);

/* Notes the end of an actor. Any thread; does not block. */
void node_crash_note(struct node_main *m, const struct ox_obituary *ob);
/* Notes the end of the previous node from the first line of its crash record; rest: its backtrace. */
void node_crash_note_record(struct node_main *m, const json_t *record, const char *backtrace,
                            uint64_t time_ns);
/* Counts the starts that the heart tells of; an end that left no record becomes one. Main, when the list of crashes is open. */
void node_starts_note(struct node_main *m);
/* Makes durable what was noted. Blocks. */
void node_crash_save(struct node_main *m);

/* node_read_only.c. What an operator wanted before the restart; then answers his orders: GET, POST
 * /admin/storage/readonly. */
void node_read_only_load(struct node_main *m);
void node_read_only_answer(struct node_main *m, const struct ox_query_request *req,
                           struct ox_query_response *res);

/* node_boot.c: whether the machine has restarted since the last node ran on `data` (or nobody can tell); notes this boot. */
bool node_machine_restarted(struct ox_disk *disk, const char *data);

/* Whom the ends of earlier nodes are charged to, the last one's crash record included. DIR/crash exists. */
void node_suspects_load(struct node_main *m, struct ox_suspects *out);
/* Charges a crash while it happens. */
void node_suspects_charge(const struct ox_config *cfg, uint64_t wal_seq, const char *tenant);
/* Forgets suspects that the log no longer holds. */
void node_suspects_settle(const struct ox_config *cfg, struct ox_suspects *s, uint64_t first_seq);
/* What follows from the configuration for the directory of tenants and for dead letters. */
void node_tenants_limits(const struct ox_config *cfg, struct ox_tenants_limits *out);
/* tenant.weights in force from now on. */
void node_tenant_weights(const struct ox_config *cfg);
void node_dead_letter_config(const struct ox_config *cfg, struct ox_dead_letter_config *out);
void node_query_limits(const struct ox_config *cfg, struct ox_query_limits *out);
/* Starts the actor that takes new configurations; last, because it tells all the others. */
OX_MUST_USE ox_err node_reload_start(struct node_main *m, struct ox_diag *diag);
/* Answers POST /api/v1/config/reload. Blocks until all actors have taken it, at most half a minute. Not on a scheduler
 * thread. */
void node_reload_answer(struct node_main *m, const struct ox_query_request *req,
                        struct ox_query_response *res);
/* Prepares the stream of the backlogs, when spill.nats_url names a server; after recovery. */
OX_MUST_USE ox_err node_stream_open(struct node_main *m, struct ox_diag *diag);
/* node_tls.c. Reads the certificates that the configuration names: m->node.tls, and who clients are. */
OX_MUST_USE ox_err node_tls_open(struct node_main *m, struct ox_diag *diag);
/* Starts the actor that looks whether the files have changed. */
OX_MUST_USE ox_err node_tls_watch(struct node_main *m, struct ox_diag *diag);
/* Reads them again as `cfg` names them; what cannot be used is logged and what was in force goes on. May block. */
void node_tls_reload(struct node_main *m, const struct ox_config *cfg);
/* What connects to PostgreSQL as the configuration says; password: lent by *out, wipe it. */
OX_MUST_USE ox_err node_postgres_options(const struct ox_config *cfg, char *password, size_t size,
                                         struct ox_control_postgres *out, struct ox_diag *diag);
/* node_users.c. The store of users, which needs the control plane's: m->users, m->login_limit. */
OX_MUST_USE ox_err node_users_open(struct node_main *m, struct ox_diag *diag);
/* The store of sessions in front of `inner` (take, also on failure); NULL without memory. */
struct ox_keystore *node_session_keys(struct node_main *m, struct ox_keystore *inner);
void node_users_close(struct node_main *m);
/* node_jwt.c. The store of tokens in front of `inner` (take, also on failure); NULL without memory. Takes none yet. */
struct ox_keystore *node_jwt_keys(struct node_main *m, struct ox_keystore *inner);
/* Takes tokens as the configuration says: m->jwt. */
OX_MUST_USE ox_err node_jwt_open(struct node_main *m, struct ox_diag *diag);
/* As `cfg` says from now on; what cannot be used is logged and what was in force goes on. May block. */
void node_jwt_reload(struct node_main *m, const struct ox_config *cfg);
/* Starts the actor that asks the issuer for his keys. */
OX_MUST_USE ox_err node_jwt_watch(struct node_main *m, struct ox_diag *diag);
/* node_quotas.c. Makes m->node.quotas with what the control plane says, or the defaults while it does not answer. */
OX_MUST_USE ox_err node_quotas_open(struct node_main *m, struct ox_diag *diag);
void node_quotas_close(struct node_main *m);
/* Starts the actor that reads them again. */
OX_MUST_USE ox_err node_quotas_watch(struct node_main *m, struct ox_diag *diag);
/* They may have changed. Any thread. */
void node_quotas_wanted(struct node_main *m);
void node_quota_defaults(const struct ox_config *cfg, struct ox_quotas *q);
/* Starts the debug port, when there is one. */
OX_MUST_USE ox_err node_debug_start(struct node_main *m, struct ox_diag *diag);
/* Starts the API on every loop. */
OX_MUST_USE ox_err node_api_start(struct node_main *m, struct ox_diag *diag);

#endif
