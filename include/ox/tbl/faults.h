/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/faults.h - every fault that is injected into live processes, once.
 *
 * OX_FAULT(id, name, hits, needs, does, promise)
 *   id       strike_<id> in chaos/faults.c injects it
 *   name     in scenario files, reports and docs
 *   hits     whose trouble it is: node, engine, heart, disk, network, storage, clock
 *   needs    what the scenario must switch on: "" nothing, "shim" the preloaded shim, "faults" faults on request inside the
 *            node, "proxy client", "proxy storage"
 *   does     what happens
 *   promise  what must hold all the same
 *
 * Used by chaos/ (`chaos --list-faults` prints it); only harm that we promise to survive stands here.
 */
/* clang-format off */
OX_FAULT(kill_node,    "kill-node",    "node",    "",
         "kill -9 of the node",
         "acknowledged = stored once; the heart starts it again")
OX_FAULT(kill_engine,  "kill-engine",  "engine",  "",
         "kill -9 of the engine",
         "acknowledged = stored once; ingest goes on meanwhile")
OX_FAULT(kill_both,    "kill-both",    "node",    "",
         "kill -9 of node and engine at once",
         "acknowledged = stored once")
OX_FAULT(kill_heart,   "kill-heart",   "heart",   "",
         "kill -9 of the heart; node and engine end with it; started again",
         "acknowledged = stored once")
OX_FAULT(kill_all,     "kill-all",     "heart",   "",
         "kill -9 of heart, node and engine at once; started again",
         "acknowledged = stored once")
OX_FAULT(stop_engine,  "stop-engine",  "engine",  "",
         "SIGSTOP of the engine for `down` milliseconds, then SIGCONT",
         "acknowledged = stored once; ingest goes on meanwhile")
OX_FAULT(stop_node,    "stop-node",    "node",    "",
         "SIGSTOP of the node for `down` milliseconds, then SIGCONT",
         "acknowledged = stored once")
OX_FAULT(panic_actor,  "panic-actor",  "node",    "faults",
         "`burst` times, one after the other, an actor of a kind that is drawn (tenant, gateway, api, debug, config, warden) fails a check of our own",
         "that actor is restarted, the node goes on; acknowledged = stored once")
OX_FAULT(panic_keeper, "panic-keeper", "node",    "faults",
         "the same in wal, outbox, a writer or a supervisor",
         "the node ends and its successor replays; acknowledged = stored once")
OX_FAULT(fault_actor,  "fault-actor",  "node",    "faults",
         "an actor of any kind writes to address 0, calls abort(), spins, or waits for ever",
         "the node ends, by the watchdog if need be; acknowledged = stored once")
OX_FAULT(torn_tail,    "torn-tail",    "disk",    "",
         "node and engine are killed; the end of the log that nobody was told of, and what follows the last entry of the outbox, is cut off, zeroed or overwritten with rubbish",
         "acknowledged = stored once; a torn end is normal")
OX_FAULT(bit_flip,     "bit-flip",     "disk",    "",
         "the engine stands still for `down` ms, then all are killed and one bit of an entry in a sealed segment is flipped",
         "only records of that entry may be missing, and the log says where; nothing is stored twice")
OX_FAULT(power_loss,   "power-loss",   "disk",    "shim",
         "all three are killed at once and everything that was not synced is forgotten: written bytes, lengths, names",
         "acknowledged = stored once")
OX_FAULT(disk_slow,    "disk-slow",    "disk",    "shim",
         "for `down` ms a third of all writes and syncs of node and engine take 40 ms longer",
         "acknowledged = stored once; requests wait")
OX_FAULT(sync_fails,   "sync-fails",   "disk",    "shim",
         "for `down` ms half of the node's fsync and fdatasync calls in its journals fail with EIO",
         "what could not be synced is refused or stays owed; acknowledged = stored once")
OX_FAULT(write_fails,  "write-fails",  "disk",    "shim",
         "for `down` ms half of the node's writes to its journals fail with EIO",
         "what could not be written is refused or stays owed; acknowledged = stored once")
OX_FAULT(store_fails,  "store-fails",  "disk",    "shim",
         "for `down` ms half of the engine's writes and syncs fail with EIO",
         "inserts are tried again; acknowledged = stored once")
OX_FAULT(disk_full,    "disk-full",    "disk",    "shim",
         "files may grow by another 0..256 KiB, then ENOSPC, for `down` ms; then there is room again",
         "429 instead of an acknowledgement; acknowledged = stored once; it goes on by itself")
OX_FAULT(clock_jump,   "clock-jump",   "clock",   "shim",
         "the node's wall clock jumps by up to 20 minutes in either direction, and back after `down` ms",
         "acknowledged = stored once")
OX_FAULT(reply_lost,   "reply-lost",   "network", "proxy client",
         "for `down` ms a third of the replies to clients are cut off behind the commit; clients send the same bytes again",
         "the repeat is recognised: acknowledged = stored once")
OX_FAULT(request_cut,  "request-cut",  "network", "proxy client",
         "for `down` ms a third of the requests are cut in their middle; clients send the same bytes again",
         "acknowledged = stored once")
OX_FAULT(network_slow, "network-slow", "network", "proxy client",
         "for `down` ms bytes trickle in both directions",
         "acknowledged = stored once")
OX_FAULT(storage_down, "storage-down", "storage", "proxy storage",
         "for `down` ms the engine cannot be reached: connections are closed at once",
         "ingest goes on up to the bound of the outbox, then 429; acknowledged = stored once")
OX_FAULT(storage_hang, "storage-hang", "storage", "proxy storage",
         "for `down` ms nothing moves between node and engine; then it arrives, late",
         "as storage-down")
OX_FAULT(storage_cut,  "storage-cut",  "storage", "proxy storage",
         "for `down` ms half of the engine's replies are lost behind the insert",
         "the block is sent again under its token: stored once")
OX_FAULT(insert_cut,   "insert-cut",   "storage", "proxy storage",
         "for `down` ms half of the requests to the engine are cut in their middle",
         "the block is sent again under its token: stored once")
OX_FAULT(kill_postgres, "kill-postgres", "control", "control postgres",
         "kill -9 of all of PostgreSQL; for `down` ms it is away, then it starts again",
         "known keys go on, no other key gets in; acknowledged = stored once")
OX_FAULT(halt_postgres, "halt-postgres", "control", "control postgres",
         "PostgreSQL is restarted as an operator does it, away for `down` ms",
         "as kill-postgres")
OX_FAULT(stop_postgres, "stop-postgres", "control", "control postgres",
         "all of PostgreSQL stands still for `down` ms, its sockets open",
         "as kill-postgres")
OX_FAULT(kill_node_postgres, "kill-node-postgres", "control", "control postgres",
         "kill -9 of the node and of PostgreSQL, which is away for `down` ms",
         "nobody gets in whom the new node cannot ask for; acknowledged = stored once")
/* clang-format on */
