/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/messages.h - every message between the product's actors, once.
 *
 * OX_MESSAGE(symbol, payload, sender, receiver, when refused)
 *   symbol    gives the kind OX_K_<symbol>; the handler is called on_<symbol>
 *   payload   type behind msg->data, "num" for a number only, "-" for neither
 */
/* clang-format off */
/* ingest: gateway, wal, tenant, writer */
OX_MESSAGE(request,       "struct ox_http_request", "the HTTP server of the loop", "gateway", "429 with Retry-After")
OX_MESSAGE(identified,    "struct stranger",        "the lane of keys",            "gateway", "owed, never")
OX_MESSAGE(prepared,      "struct ox_intake",       "a dirty thread (large bodies)", "gateway", "owed, never")
OX_MESSAGE(append,        "struct ox_append",       "gateway, replay",             "wal",     "429 with Retry-After")
OX_MESSAGE(appended,      "struct ox_append",       "wal",                         "gateway", "control; the client retries")
OX_MESSAGE(letters_written, "struct dead_letter_job", "the dead-letter lane",     "gateway", "owed, never")
OX_MESSAGE(letters_tick,  "num",                    "gateway (timer)",             "gateway", "owed, never")
OX_MESSAGE(letters_aged,  "struct ox_letters",      "the dead-letter lane",        "gateway", "owed, never")
OX_MESSAGE(drain,         "-",                      "the node, when it stops",     "gateway", "repeated by the node")
OX_MESSAGE(parcel,        "struct ox_parcel",       "wal",                         "tenant",  "kept by the wal and sent again")
OX_MESSAGE(suspect,       "struct ox_parcel",       "wal",                         "tenant",  "kept by the wal and sent again")
OX_MESSAGE(resume,        "num",                    "wal",                         "tenant",  "control; asked again by the next incarnation")
OX_MESSAGE(returned,      "struct ox_returned",     "tenant, the node",            "wal",     "control; said in the log, the entries wait for the next start")
OX_MESSAGE(traces_due,    "-",                      "tenant (timer)",              "tenant",  "owed, never")
OX_MESSAGE(traces_read,   "struct ox__trace_job",   "a dirty thread",              "tenant",  "owed, never")
OX_MESSAGE(held_read,     "struct ox_wal_replay",   "a dirty thread",              "wal",     "owed, never")
OX_MESSAGE(rows,          "struct ox_parcel",       "tenant",                      "writer",  "kept by the tenant and sent again")
/* wal: its own work */
OX_MESSAGE(wal_committed, "struct ox_wal_group",    "the wal lane",                "wal",     "owed, never")
OX_MESSAGE(wal_released,  "struct ox_wal_release",  "a dirty thread",              "wal",     "owed, never")
OX_MESSAGE(wal_sealed,    "struct ox__wal_seal",    "the wal lane",                "wal",     "owed, never")
OX_MESSAGE(wal_space,     "struct ox_wal_space",    "a dirty thread",              "wal",     "owed, never")
OX_MESSAGE(wal_replay,    "-",                      "wal (timer)",                 "wal",     "owed, never")
OX_MESSAGE(wal_replayed,  "struct ox_wal_replay",   "a dirty thread",              "wal",     "owed, never")
OX_MESSAGE(disposed,      "struct ox_disposed",     "outbox",                      "wal",     "control")
OX_MESSAGE(stored,        "struct ox_stored",       "outbox",                      "wal",     "control")
OX_MESSAGE(set_aside_written, "-",                  "a dirty thread",              "wal",     "owed, never")
OX_MESSAGE(quarantine_changed, "num",               "the node",                    "wal",     "control; said in the log, the flag of the tenant counts")
OX_MESSAGE(spill_done,    "struct ox__spill_job",   "the spill lane",              "wal",     "owed, never")
OX_MESSAGE(spill_tick,    "-",                      "wal (timer)",                 "wal",     "owed, never")
/* control */
OX_MESSAGE(control_watched, "struct ox_control_arg", "the control lane",           "control", "owed, never")
OX_MESSAGE(jwks_asked,    "-",                      "a dirty thread",              "jwt",     "owed, never")
/* warden */
OX_MESSAGE(obituary,      "-",                      "the node (a hook)",           "warden",  "control; asked again with the next crash")
OX_MESSAGE(quarantined,   "-",                      "the node (a hook)",           "warden",  "control; in force at once, and said in the log")
OX_MESSAGE(quarantine_kept, "-",                    "the warden's lane",           "warden",  "owed, never")
OX_MESSAGE(obituaries_saved, "-",                   "the warden's lane",           "warden",  "owed, never")
/* writer and outbox */
OX_MESSAGE(flush,         "num",                    "writer (timer)",              "writer",  "owed, never")
OX_MESSAGE(packed,        "struct ox_pack",         "a dirty thread",              "writer",  "owed, never")
OX_MESSAGE(outbox_put,    "struct ox_pack",         "writer, wal (moved entries)", "outbox",  "kept by the sender and sent again")
OX_MESSAGE(outboxed,      "struct ox_pack",         "outbox",                      "writer",  "control")
OX_MESSAGE(outbox_committed, "struct ox_outbox_group", "the outbox lane",          "outbox",  "owed, never")
OX_MESSAGE(outbox_sent,   "struct ox_outbox_send",  "a dirty thread",              "outbox",  "owed, never")
OX_MESSAGE(outbox_tick,   "num",                    "outbox (timer)",              "outbox",  "owed, never")
OX_MESSAGE(outbox_checked, "struct ox_outbox_check", "a dirty thread",            "outbox",  "owed, never")
OX_MESSAGE(outbox_verified, "struct ox_outbox_verify", "a dirty thread",          "outbox",  "owed, never")
OX_MESSAGE(outbox_migrated, "struct ox_outbox_migration", "a dirty thread",       "outbox",  "owed, never")
/* pruner */
OX_MESSAGE(prune_tick,    "-",                      "pruner (timer)",              "pruner",  "owed, never")
OX_MESSAGE(pruned,        "struct ox__prune_job",   "a dirty thread",              "pruner",  "owed, never")
/* mender */
OX_MESSAGE(mend_tick,     "-",                      "mender (timer)",              "mender",  "owed, never")
OX_MESSAGE(mend_looked,   "struct ox__mend_job",    "a dirty thread",              "mender",  "owed, never")
OX_MESSAGE(engine_up,     "num",                    "the node (heart's line)",     "mender, outbox", "control; what it would hasten comes with the next tick")
OX_MESSAGE(retry,         "num",                    "any actor (timer)",           "itself",  "owed, never")
/* certificates */
OX_MESSAGE(tls_looked,    "struct node_main",       "a dirty thread",              "tls",     "owed, never")
OX_MESSAGE(quotas_read,   "struct node_main",       "a dirty thread",              "quotas",  "owed, never")
/* a reload of the configuration */
OX_MESSAGE(configure,     "num, the version",       "config (call)",               "gateway, wal, writer, outbox, api", "sent again by config")
OX_MESSAGE(configured,    "num, the version",       "who was configured",          "config",  "owed, never")
OX_MESSAGE(reload,        "num, of the request",    "the node's ear",              "config",  "logged; SIGHUP or POST again")
OX_MESSAGE(reload_asked,  "struct ox_http_request", "the API port",                "config",  "429 with Retry-After")
OX_MESSAGE(reload_read,   "struct reading",         "a dirty thread",              "config",  "owed, never")
/* clang-format on */
