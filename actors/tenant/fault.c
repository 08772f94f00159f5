/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/tenant/fault.c - faults on request: rules, and how each is committed.
 *
 * Owns:    the rules.
 * Threads: filled once before the actors run; the counters of "every Nth" are atomic.
 * Bounds:  OX_FAULT_RULES_MAX.
 * Fails:   INVALID.
 */
#include "ox/fault.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MARK       "observex.fault="
#define LEAK_BYTES 65536
#define SLOW_US    100000

struct rule {
    enum ox_fault fault;
    struct ox_tenant_id tenant;
    uint32_t every;
    _Atomic uint32_t seen; /* relaxed: counts, orders nothing */
};

static struct rule rules[OX_FAULT_RULES_MAX];
static uint32_t n_rules;
static bool marked, may_arm;

/* Filled by one thread, emptied by whoever commits the fault. */
static struct armed {
    /* release when kind and fault are set, acquire before they are read; who takes it back to false commits the fault */
    _Atomic bool is;
    char kind[32];
    enum ox_fault fault;
} armed[OX_FAULT_ARMED_MAX];

static const char *const names[OX_FAULT__COUNT] = {
    "none",
#define OX_ACTOR_FAULT(symbol, text) #symbol,
#include "ox/tbl/actor_faults.h"
#undef OX_ACTOR_FAULT
};

const char *
ox_fault_name(enum ox_fault fault)
{
    return fault < OX_FAULT__COUNT ? names[fault] : "unknown";
}

static enum ox_fault
fault_named(struct ox_str name)
{
    for (int i = 1; i < OX_FAULT__COUNT; i++) {
        if (ox_str_eq(name, ox_str_of(names[i])))
            return (enum ox_fault)i;
    }
    return OX_FAULT_none;
}

static ox_err
bad_rule(const char *text, struct ox_diag *diag)
{
    return ox_diag_set(
        diag, OX_E_INVALID, "OBSERVE_X_TEST_FAULTS", -1,
        "'%.80s' is no fault rule: write marked, FAULT@tenant:NAME or FAULT@tenant:NAME/N with "
        "FAULT one of panic, leak, segv, abort, slow, hang, stall; or armed",
        text);
}

/* text: one rule, its end is a zero byte. */
static ox_err
add_rule(const char *text, struct ox_diag *diag)
{
    static const char point[] = "@tenant:";
    if (strcmp(text, "marked") == 0) {
        marked = true;
        return OX_OK;
    }
    if (strcmp(text, "armed") == 0) {
        may_arm = true;
        return OX_OK;
    }
    const char *at = strstr(text, point);
    if (at == NULL || n_rules == OX_FAULT_RULES_MAX)
        return bad_rule(text, diag);
    struct rule *rule = &rules[n_rules];
    const char *name = at + sizeof(point) - 1;
    const char *slash = strchr(name, '/');
    size_t n = slash != NULL ? (size_t)(slash - name) : strlen(name);
    rule->fault = fault_named((struct ox_str){text, (size_t)(at - text)});
    rule->every = slash != NULL ? (uint32_t)strtoul(slash + 1, NULL, 10) : 1;
    if (rule->fault == OX_FAULT_none || rule->every == 0 ||
        ox_tenant_id_parse((struct ox_str){name, n}, &rule->tenant, NULL) != OX_OK)
        return bad_rule(text, diag);
    atomic_store_explicit(&rule->seen, 0, memory_order_relaxed);
    n_rules++;
    return OX_OK;
}

ox_err
ox_fault_load(const char *spec, struct ox_diag *diag)
{
    char text[256];
    n_rules = 0;
    marked = may_arm = false;
    for (size_t i = 0; i < OX_FAULT_ARMED_MAX; i++)
        atomic_store_explicit(&armed[i].is, false, memory_order_relaxed);
    while (spec != NULL && *spec != '\0') {
        size_t n = strcspn(spec, ",");
        if (n >= sizeof(text))
            return bad_rule(spec, diag);
        memcpy(text, spec, n);
        text[n] = '\0';
        ox_err err = add_rule(text, diag);
        if (err != OX_OK)
            return err;
        spec += n + (spec[n] == ',');
    }
    return OX_OK;
}

static enum ox_fault
mark_in(struct ox_str bytes)
{
    const char *p = memmem(bytes.p, bytes.n, MARK, sizeof(MARK) - 1);
    if (p == NULL)
        return OX_FAULT_none;
    p += sizeof(MARK) - 1;
    size_t left = (size_t)(bytes.p + bytes.n - p), n = 0;
    while (n < left && p[n] >= 'a' && p[n] <= 'z')
        n++;
    return fault_named((struct ox_str){p, n});
}

enum ox_fault
ox_fault_of(const char *tenant, struct ox_str bytes)
{
    for (uint32_t i = 0; i < n_rules; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->tenant.name, tenant) != 0)
            continue;
        uint32_t seen = atomic_fetch_add_explicit(&rule->seen, 1, memory_order_relaxed) + 1;
        if (seen % rule->every == 0)
            return rule->fault;
    }
    return marked ? mark_in(bytes) : OX_FAULT_none;
}

bool
ox_fault_may_arm(void)
{
    return may_arm;
}

bool
ox_fault_is_armed(struct ox_str kind)
{
    for (size_t i = 0; i < OX_FAULT_ARMED_MAX; i++) {
        if (atomic_load_explicit(&armed[i].is, memory_order_acquire) &&
            ox_str_eq(kind, ox_str_of(armed[i].kind)))
            return true;
    }
    return false;
}

static struct armed *
free_place(void)
{
    for (size_t i = 0; i < OX_FAULT_ARMED_MAX; i++) {
        if (!atomic_load_explicit(&armed[i].is, memory_order_acquire))
            return &armed[i];
    }
    return NULL;
}

ox_err
ox_fault_arm(struct ox_str kind, struct ox_str fault)
{
    enum ox_fault which = fault_named(fault);
    struct armed *a = free_place();
    if (!may_arm)
        return OX_E_STATE;
    if (which == OX_FAULT_none || kind.n == 0 || kind.n >= sizeof(a->kind))
        return OX_E_INVALID;
    if (a == NULL)
        return OX_E_OVERLOAD;
    memcpy(a->kind, kind.p, kind.n);
    a->kind[kind.n] = '\0';
    a->fault = which;
    atomic_store_explicit(&a->is, true, memory_order_release);
    return OX_OK;
}

void
ox_fault_before(void *arg, struct ox_actor *self, const char *class_name)
{
    for (size_t i = 0; i < OX_FAULT_ARMED_MAX; i++) {
        bool is = true;
        if (!atomic_load_explicit(&armed[i].is, memory_order_acquire) ||
            strcmp(armed[i].kind, class_name) != 0)
            continue;
        enum ox_fault fault = armed[i].fault; /* before the place is given back */
        if (atomic_compare_exchange_strong_explicit(&armed[i].is, &is, false, memory_order_acq_rel,
                                                    memory_order_relaxed))
            ox_fault_commit(self, fault);
    }
}

OX_NORETURN static void
leak(struct ox_actor *self)
{
    uint64_t bytes = 0;
    while (ox_arena_alloc(ox_actor_arena(self), LEAK_BYTES) != NULL)
        bytes += LEAK_BYTES;
    ox_panic("the memory budget of this actor is spent (%llu bytes leaked on request of a test)",
             (unsigned long long)bytes);
}

/* Spins where no optimiser can see an end. */
OX_NORETURN static void
hang(void)
{
    static volatile uint64_t turns;
    for (;;)
        turns++;
}

void
ox_fault_commit(struct ox_actor *self, enum ox_fault fault)
{
    switch (fault) {
    case OX_FAULT_panic:
        ox_panic("a test asked for this panic");
    case OX_FAULT_leak:
        leak(self);
    case OX_FAULT_segv:
        /* cppcheck-suppress nullPointer */
        *(volatile int *)(uintptr_t)0 = 1;
        abort(); /* the line above does not return */
    case OX_FAULT_abort:
        abort();
    case OX_FAULT_slow:
        usleep(SLOW_US);
        return;
    case OX_FAULT_hang:
        hang();
    case OX_FAULT_stall:
        for (;;)
            pause();
    default:
        return;
    }
}
