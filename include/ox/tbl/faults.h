/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/faults.h - every fault that is injected into live processes, once.
 *
 * OX_FAULT(id, name, hits, needs, does, promise)
 *   id       strike_<id> in chaos/faults.c injects it
 *   name     in scenario files, reports and docs
 *   hits     whose trouble it is: node, engine, heart, disk, network, storage, clock
 *   needs    what the scenario must switch on: "" nothing, "shim" the preloaded shim, "proxy client",
 *            "proxy storage"
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
/* clang-format on */
