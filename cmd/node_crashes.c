/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_crashes.c - from the end of an actor, or of the previous node, to a record that people can read.
 *
 * Owns:    nothing; node.crashes holds the records (ox/crashes.h).
 * Threads: note: any; save: those that may block.
 * Fails:   never: what cannot be kept is said in the log.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>

#include "cmd/node_internal.h"
#include "ox/crashes.h"
#include "ox/log.h"
#include "ox/metric.h"

#define OUTSIDE        "outside any actor"
#define COPY(to, from) snprintf(to, sizeof(to), "%s", (from) != NULL ? (from) : "")

/* A suspect is the only message of its tenant that is in the actor's hands. */
static enum ox_crash_charge
charge_of(uint64_t wal_seq, const char *tenant, uint32_t kind)
{
    if (wal_seq == 0 && tenant[0] == '\0')
        return OX_CHARGE_NONE;
    return kind == OX_K_suspect ? OX_CHARGE_ALONE : OX_CHARGE_IN_HAND;
}

void
node_crash_note(struct node_main *m, const struct ox_obituary *ob)
{
    const char *tenant = ox_tenant_name(ob->cause.tenant);
    struct ox_crash crash = {
        .time_ns = ox_clock_realtime_ns(m->node.clock),
        .scope = OX_CRASH_ACTOR,
        .charge = charge_of(ob->cause.wal_seq, tenant, ob->msg_kind),
        .wal_seq = ob->cause.wal_seq,
        .age_ns = ob->age_ns,
        .restarts = ob->restarts,
    };
    COPY(crash.kind, ob->class_name);
    COPY(crash.name, ob->name);
    COPY(crash.reason, ox_exit_name(ob->reason));
    COPY(crash.message, ob->msg_kind != 0 ? ox_kind_name(ob->msg_kind) : "");
    COPY(crash.tenant, tenant);
    COPY(crash.text, ob->text);
    COPY(crash.backtrace, ob->backtrace);
    ox_crashes_note(m->node.crashes, &crash);
}

void
node_starts_note(struct node_main *m)
{
    static const char *const texts[OX_START__COUNT] = {
        [OX_START_KILLED] = "a signal from outside ended the node: kill -9, or a machine without memory",
        [OX_START_LATE] = "the heart ended the node: it was not ready, or did not stop, in time",
        [OX_START_EXIT] = "the node ended by itself; the log of the heart has its exit code",
    };
    const struct ox_starts *starts = &m->fds.starts;
    for (int i = 0; i < OX_START__COUNT; i++) {
        if (starts->by[i] > 0)
            OX_METRIC_ADD_L(OX_M_node_starts, starts->by[i], ox_str_of(ox_start_name((enum ox_start)i)));
    }
    if (texts[starts->last] == NULL) /* no end, or one that left its own record */
        return;
    struct ox_crash crash = {.time_ns = ox_clock_realtime_ns(m->node.clock), .scope = OX_CRASH_NODE};
    snprintf(crash.name, sizeof(crash.name), "%s", OUTSIDE);
    COPY(crash.reason, ox_start_name(starts->last));
    COPY(crash.text, texts[starts->last]);
    ox_crashes_note(m->node.crashes, &crash);
    node_crash_save(m);
}

static const char *
signal_name(int signum)
{
    switch (signum) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGILL:
        return "SIGILL";
    case SIGFPE:
        return "SIGFPE";
    case SIGABRT:
        return "SIGABRT";
    default:
        return "signal";
    }
}

void
node_crash_note_record(struct node_main *m, const json_t *record, const char *backtrace, uint64_t time_ns)
{
    uint32_t kind = (uint32_t)json_integer_value(json_object_get(record, "message_kind"));
    bool hung = json_is_true(json_object_get(record, "hung"));
    struct ox_crash crash = {
        .time_ns = time_ns,
        .scope = OX_CRASH_NODE,
        .wal_seq = (uint64_t)json_integer_value(json_object_get(record, "wal_seq")),
        .age_ns = (uint64_t)json_integer_value(json_object_get(record, "age_ms")) * 1000000,
        .restarts = (uint32_t)json_integer_value(json_object_get(record, "restarts")),
    };
    const char *class_name = json_string_value(json_object_get(record, "class"));
    COPY(crash.kind, class_name);
    COPY(crash.name, class_name != NULL ? json_string_value(json_object_get(record, "name")) : OUTSIDE);
    COPY(crash.tenant, json_string_value(json_object_get(record, "tenant")));
    COPY(crash.reason,
         hung ? "hung" : signal_name((int)json_integer_value(json_object_get(record, "signal"))));
    COPY(crash.message, kind != 0 ? ox_kind_name(kind) : "");
    const long long turn_ms = json_integer_value(json_object_get(record, "turn_ms"));
    const long long cpu_ms = json_integer_value(json_object_get(record, "cpu_ms"));
    if (hung)
        snprintf(
            crash.text, sizeof(crash.text),
            "a turn did not end: after %lld ms, %lld of them on its processor, the watchdog ended the node",
            turn_ms, cpu_ms);
    else
        snprintf(crash.text, sizeof(crash.text), "a fault ended the node");
    COPY(crash.backtrace, backtrace);
    crash.charge = charge_of(crash.wal_seq, crash.tenant, kind);
    ox_crashes_note(m->node.crashes, &crash);
}

void
node_crash_save(struct node_main *m)
{
    ox_err err = ox_crashes_save(m->node.crashes);
    if (err != OX_OK)
        OX_LOG_WARN("node", "obituaries cannot be kept; crash/obituaries.jsonl lacks the latest",
                    OX_F_ERR(err));
}
