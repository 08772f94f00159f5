/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/tbl_commands.h - every subcommand, once.
 *
 * OX_COMMAND(name, hidden, usage, text): int ox_cmd_<name>(int argc, char **argv) runs it.
 *   hidden   1 = started by the heart, not by people; left out of the list
 *   usage    what follows "observex "
 *   text     help, lines separated by \n; the first line is the summary
 */
/* clang-format off */
OX_COMMAND(serve,  0, "serve [--data DIR] [--config FILE] [--KEY VALUE ...]",
    "Run ObserveX: receive, store and answer until it is stopped.\n"
    "\n"
    "  --data DIR              where everything is stored (./observex-data)\n"
    "  --otlp-grpc HOST:PORT   OTLP over gRPC (127.0.0.1:4317)\n"
    "  --otlp-http HOST:PORT   OTLP over HTTP (127.0.0.1:4318)\n"
    "  --api HOST:PORT         queries, console, /metrics (127.0.0.1:8080)\n"
    "  --debug HOST:PORT       internals (127.0.0.1:6066)\n"
    "  --ready-file FILE       written as JSON once traffic is accepted\n"
    "  --config FILE           YAML; `observex config list` shows every key\n"
    "\n"
    "Port 0 picks a free port. Every key of the configuration is a flag, too.\n"
    "SIGTERM and SIGINT end it in good order.\n")
OX_COMMAND(status, 0, "status [--api URL | --data DIR] [--json]",
    "Show how the running ObserveX is doing.\n")
OX_COMMAND(sql,    0, "sql [--data DIR] [--format FORMAT] [--write] 'SELECT ...'",
    "Run SQL on the running embedded engine, as the owner of DIR; read-only without --write.\n"
    "\n"
    "  --data DIR        the directory that `observex serve` runs on (./observex-data)\n"
    "  --format FORMAT   a ClickHouse format: TSV, JSON, JSONEachRow, CSV, PrettyCompact ...\n"
    "                    (PrettyCompact on a terminal, otherwise TSV)\n"
    "  --write           let the statement change data and tables; settings may be changed without it\n"
    "\n"
    "`-` instead of the statement reads it from standard input. All tenants are visible.\n")
OX_COMMAND(trace,  0, "trace ID [--limit N] [--api URL | --data DIR] [--key KEY] [--json]",
    "Show one trace as a tree with bars.\n"
    "\n"
    "  ID         32 hex digits\n"
    "  --limit N  only the first N spans of the tree (100000)\n"
    "  --json     the API's answer as it is\n")
OX_COMMAND(logs,   0, "logs [--service NAME] [--level LEVEL] [--q WORDS] [--trace ID] [--since 1h] [--limit N] [--follow] [--json]",
    "Search log records, oldest first.\n"
    "\n"
    "  --level LEVEL   trace, debug, info, warn, error, fatal; several with commas\n"
    "  --q WORDS       every word must occur in the body; \"words in quotes\" side by side\n"
    "  --since 1h      how far to look back (1h; while following 1m)\n"
    "  --follow        keep showing what arrives, until Ctrl-C\n"
    "  --api URL, --data DIR, --key KEY   which ObserveX, and as whom\n")
OX_COMMAND(journal, 0, "journal verify PATH... | journal inspect PATH [--segment N] | journal repair PATH... --originals FOLDER [--dry-run]  [--json]",
    "Check, look into and repair the journals: the write-ahead log, the outbox, backlogs.\n"
    "\n"
    "  PATH      a journal's folder (DIR/wal, DIR/outbox), or a data directory for all of its journals\n"
    "  verify    read every segment and every entry; say what is damaged: segment, offset, bytes, sequences, and\n"
    "            whose it was as far as it can be read. Exit code 1 when there is any\n"
    "  inspect   segments, entries and findings; --segment N only of this one\n"
    "  repair    give misnamed segments their names, write a damaged copy of a header anew, put fillers where bytes\n"
    "            are no entry. Nothing readable is changed, and the original of every file that is replaced is put into\n"
    "            FOLDER first. Exit code 1 when something stays damaged\n"
    "  --dry-run only say what a repair would do\n"
    "\n"
    "verify and inspect may be run beside a server and change nothing. repair takes the lock of the data directory and\n"
    "refuses while a server has it. A server starts without a repair: it reports damage and goes on with what is whole.\n"
    "Repair before the first start after the damage when segments were renamed: a start sets such files aside.\n")
OX_COMMAND(wal,    0, "wal inspect [--data DIR] [--segment N] [--json]",
    "Show what lies in the write-ahead log; the same as `observex journal inspect DIR/wal`.\n"
    "\n"
    "  --data DIR    the data directory (./observex-data); `observex serve` may be running on it\n"
    "  --segment N   only this segment\n"
    "\n"
    "Changes nothing. Exit code 1 when bytes are damaged.\n")
OX_COMMAND(dlq,    0, "dlq list | dlq show N|ID|FILE... | dlq replay [N|ID...]  [--data DIR] [--tenant T] [--reason R] [--signal S] [--since 24h] [--json]",
    "Look at what was refused, and send it again.\n"
    "\n"
    "  list      files, counts by tenant, signal and reason, the newest records; also the blocks that storage refused\n"
    "            (DIR/dlq/blocks) and the requests that crashed the node (DIR/set-aside)\n"
    "  show      all of one: its number or id (or the beginning of it) or file, the reason, what would be right\n"
    "  replay    post the kept requests to the server that runs on DIR, each under its own tenant\n"
    "\n"
    "  --data DIR        the data directory (./observex-data); a server may be running on it, replay needs one\n"
    "  --tenant, --reason, --signal   only those\n"
    "  --since 24h       only the last 24 hours, or since a UTC time such as 2026-01-02T03:04:05Z\n"
    "  --limit N         how many records `list` shows (20)\n"
    "  --dry-run         say what would be sent\n"
    "  --in-doubt        also what was on its way when an earlier replay was cut off, and may be stored already\n"
    "  --otlp-http URL --key KEY --tenant T   replay one tenant's records to another server\n"
    "\n"
    "A record is sent once: DIR/dlq/replayed.log remembers it, and a second replay passes it over. One that is refused\n"
    "again is in the dead-letter file again as a new record. Old records are refused for their age again unless the\n"
    "server runs with a longer validate.past. Equal records that follow one another within gateway.duplicate_window are\n"
    "taken for a retry and stored once. Exit code 1 when any was refused again or failed.\n")
OX_COMMAND(crashes, 0, "crashes [--limit N] [--api URL | --data DIR] [--key KEY] [--json]",
    "Show what crashed: actors and whole nodes, on whose behalf, and how sure that is.\n"
    "\n"
    "  --limit N   how many, newest first (10, at most 256)\n"
    "\n"
    "Needs role operator: in development mode a request from this machine without a key.\n")
OX_COMMAND(quarantine, 0, "quarantine list | show TENANT | revoke TENANT --crashes N  [--api URL | --data DIR] [--key KEY] [--json]",
    "Show tenants whose code kept crashing, and let one of them go on.\n"
    "\n"
    "  list               who is quarantined\n"
    "  show TENANT        why, and what to do\n"
    "  revoke TENANT --crashes N   lift it; N is the number of crashes that `show` tells: who repeats it has looked\n"
    "\n"
    "What a quarantined tenant was acknowledged for is kept, and goes on in order afterwards. Needs role operator.\n"
    "Each attempt is written to DIR/audit.jsonl.\n")
OX_COMMAND(set_aside, 0, "set-aside list | show ENTRY [--body] | replay ENTRY [--otlp-http URL] [--key KEY] [--all]  [--data DIR] [--json]",
    "Look at acknowledged requests that crashed what handled them, and send them again.\n"
    "\n"
    "  list           what is kept in DIR/set-aside\n"
    "  show ENTRY     whose it is and how it crashed; --body writes the request (OTLP protobuf) to standard output\n"
    "  replay ENTRY   post it to the running server as its tenant, once; --all also when a part of it is stored already\n"
    "\n"
    "  --data DIR          the data directory (./observex-data); only replay needs a server\n"
    "  --otlp-http URL     another server than the one that runs on DIR\n"
    "  --key KEY           the tenant's key; a development server's is derived\n")
OX_COMMAND(debug,  0, "debug tree [--specs] [--debug URL | --data DIR] [--json]",
    "Draw the supervision tree of the running node: states, restarts, crashes, waiting messages.\n"
    "\n"
    "  --specs      what each child's spec says instead: restart, what counts, what follows, time to stop\n"
    "  --debug URL  the debug port (from DIR/ready.json), which answers this machine only\n")
OX_COMMAND(config, 0, "config check FILE | config list [--json] | config show [--data DIR | --config FILE ...] | config reload [--data DIR | --api URL]",
    "Check a configuration file, list every key, show what is in force, or have it read again.\n"
    "\n"
    "  check FILE       every mistake with its line and what is allowed there; exit code 64 if there are any\n"
    "  list [--json]    all keys: default, bounds, unit, environment variable, flag, when a change takes effect\n"
    "  show             the values that `observex serve` would use with the same arguments, and where from\n"
    "  show --data DIR  the values in force where `observex serve` runs on DIR\n"
    "  reload           the running ObserveX reads its file again, as on SIGHUP; says what changed and what needs a\n"
    "                   restart. Exit code 64 when the file has mistakes: then nothing has changed\n")
OX_COMMAND(sampling, 0, "sampling check FILE",
    "Check rules of sampling: every mistake with its line, its place and what would be right (docs/sampling.md).\n"
    "\n"
    "Exit code 64 if there are any.\n")
OX_COMMAND(tenant, 0, "tenant list | create ID [--name NAME] | show ID | disable ID | enable ID  [--api URL | --data DIR] [--key KEY] [--json]",
    "See, create, disable and enable tenants.\n"
    "\n"
    "  list                 all of them\n"
    "  create ID            ID is 1 to 63 of a-z, 0-9, '_' and '-'; --name is for people\n"
    "  disable ID           its keys are refused on every node within a second; what it sent stays\n"
    "  enable ID            the same keys are good again\n"
    "\n"
    "Needs a key of role operator; in development mode a request from this machine without a key is one.\n"
    "Each change is written to DIR/audit.jsonl of the node that makes it.\n")
OX_COMMAND(quota,  0, "quota list | show TENANT | set TENANT QUOTA VALUE [--of-key ID] | clear TENANT QUOTA [--of-key ID]  [--api URL | --data DIR] [--key KEY] [--json]",
    "See and change what tenants and single keys may have.\n"
    "\n"
    "  list                       what differs from the defaults, of all tenants\n"
    "  show TENANT                what is in force for it on this node, and how much of its rates is in use\n"
    "  set TENANT QUOTA VALUE     in force on every node within a second; --of-key ID: for this key alone, beside the\n"
    "                             tenant's. 0 = no bound\n"
    "  clear TENANT QUOTA         the default again (quota.* of the configuration)\n"
    "\n"
    "Quotas: traces.records, logs.records, metrics.records (per second), traces.bytes, logs.bytes, metrics.bytes (per\n"
    "second, uncompressed), series, label_values (within a day), query.concurrency, query.rows, query.bytes, query.memory,\n"
    "query.time (ms). Admins see those of their own tenant, operators see and change all.\n")
OX_COMMAND(key,    0, "key list [--tenant T] | create [--tenant T] [--name N] [--role R] [--scopes S,...] [--expires-in 90d] | show ID | revoke ID | rotate ID [--overlap 1h] | verify KEY | dev TENANT  [--api URL | --data DIR] [--key KEY] [--json]",
    "See, create, rotate and revoke API keys; print the development key of a tenant.\n"
    "\n"
    "  create            shows the key once, and nobody can show it again\n"
    "    --role R        viewer, editor (the default) or admin; operator for tenant `platform`\n"
    "    --scopes S,...  what the key is for: ingest (or ingest.traces, ingest.logs, ingest.metrics), query, admin;\n"
    "                    without it what the role may\n"
    "    --expires-in T  after 90s, 15m, 1h, 7d; without it never\n"
    "  revoke ID         refused on every node within a second, for ever\n"
    "  rotate ID         a new key like the old one, which ends after --overlap (1h)\n"
    "  verify KEY        whose it is, whether it is good, and whether its fingerprint is right; `-` reads it from\n"
    "                    standard input, where no list of processes and no history of a shell shows it\n"
    "  dev TENANT        the key that derives from one secret in DIR, in development mode only. Without a key, requests\n"
    "                    from this machine belong to tenant `default`\n"
    "\n"
    "An admin's key acts for its own tenant; an operator's for any. Send a key as `x-api-key: KEY` or\n"
    "`Authorization: Bearer KEY`.\n")
OX_COMMAND(user,   0, "user list [--tenant T] | create NAME [--role R] | role NAME ROLE | passwd NAME | disable NAME | enable NAME  [--tenant T] [--password-file FILE] [--api URL | --data DIR] [--key KEY] [--json]",
    "See, create and change who may log in to the console.\n"
    "\n"
    "  list              role, state, and when and from where they logged in last\n"
    "  create NAME       role viewer unless --role says editor or admin (operator for tenant `platform`); the password is\n"
    "                    made and shown once, unless --password-file has one\n"
    "  role NAME ROLE    from now on; who is logged in logs in again\n"
    "  passwd NAME       a new password, likewise\n"
    "  disable NAME      his sessions end on every node within a second\n"
    "  enable NAME       he may log in again\n"
    "  --tenant T        whose user; operators say it, admins have their own only\n"
    "  --password-file FILE   its first line; - is standard input\n"
    "\n"
    "A name is of a-z, 0-9 and . _ @ + -; with tenant and password it is what one logs in with.\n")
OX_COMMAND(audit,  0, "audit list [--after N] [--limit N] [--tenant T] | verify [--first N] [--head N:HASH] | export [--after N] [--data DIR] [--json]",
    "Show who ordered what, and whether anybody has changed the log that says so.\n"
    "\n"
    "  list                 the newest 100 lines; --after N: those behind line N\n"
    "  verify               looks at every line; exit code 1 and the first bad one when the log does not stand\n"
    "  export               all of it as JSON lines, to be verified elsewhere\n"
    "  --first N            lines before N were put away on purpose\n"
    "  --head N:HASH        the newest line as an earlier verify printed it: it must still be there\n"
    "\n"
    "Reads DIR/audit*.jsonl (./observex-data), whether a server runs on it or not. Each line has the hash of the one\n"
    "before. Who can write to DIR can write another log: keep what verify prints as newest somewhere else.\n")
OX_COMMAND(control, 0, "control init --url URL [--password-file FILE] [--role NAME] [--role-password-file FILE] [--new-operator] [--json]",
    "Prepare a PostgreSQL database for tenants and API keys.\n"
    "\n"
    "  --url URL                  postgresql://owner@host/database: a role that may create there\n"
    "  --password-file FILE       its password; or PGPASSWORD, or ~/.pgpass, as for psql\n"
    "  --role NAME                as which the nodes will connect (observex_node); made when there is none\n"
    "  --role-password-file FILE  and its password\n"
    "  --operator-user NAME       also make a user of that name, role operator, and show its password once\n"
    "  --new-operator             make an operator's key though there is one: for who has lost it\n"
    "\n"
    "Applies what is missing of the schema, and may be repeated. The role may do what a node needs and is held by\n"
    "row-level security. The first time it also makes a key of role operator and shows it once.\n")
OX_COMMAND(send,   0, "send [--otlp-http URL] [--key KEY] [--signal traces|logs|metrics] FILE... | send --generate N [--seed N]",
    "Send OTLP requests from files, or made-up ones.\n"
    "\n"
    "  FILE...           requests as JSON, or as protobuf with --signal; `-` is standard input\n"
    "  --generate N      N traces of the demo shop with their logs and metrics, just past\n"
    "  --seed N          the same seed gives the same shop (1)\n"
    "  --otlp-http URL   where to send to (http://127.0.0.1:4318)\n"
    "  --key KEY         API key; none is needed from this machine in development mode\n"
    "\n"
    "Exit code 1 when a request or some of its records were refused. While nothing answers --generate tries again.\n")
OX_COMMAND(demo,   0, "demo [--otlp-http URL] [--key KEY] [--rate N] [--seed N] [--story S] [--history S] [--seconds S]",
    "Play a shop of twelve services whose checkout goes slow, and send its telemetry.\n"
    "\n"
    "  --otlp-http URL   where to send to (http://127.0.0.1:4318)\n"
    "  --rate N          traces per second (20)\n"
    "  --seed N          the same seed gives the same shop (1)\n"
    "  --story S         seconds of one round: healthy, the payment database's pool fills, is exhausted, recovers (600)\n"
    "  --history S       begin so many seconds ago, and catch up at once (0)\n"
    "  --seconds S       stop after so many seconds (0: when it is stopped)\n"
    "  --quiet           say nothing at the end\n")
OX_COMMAND(version, 0, "version",
    "Print the version.\n")
OX_COMMAND(engine, 1, "engine --data DIR --socket PATH --fd-control N",
    "The storage engine's process; `observex serve` starts it.\n")
OX_COMMAND(node,   1, "node --data DIR --fd-otlp-grpc N --fd-otlp-http N --fd-api N --fd-control N",
    "The node's process: all actors and connections; `observex serve` starts it.\n")
/* clang-format on */
