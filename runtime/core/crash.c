/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/crash.c - what a dying process writes down: which actor, which message, on whose behalf.
 *
 * Owns:    the handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT; an alternate stack per scheduler thread.
 * Threads: the handler runs on the thread that failed; the first one writes, others wait for the end.
 * Bounds:  one record of RECORD_MAX bytes plus a backtrace.
 * Fails:   silently: the process is ending anyway.
 *
 * Nothing is caught: after the record the signal takes its default course. The handler uses only functions that
 * POSIX allows there, and backtrace and backtrace_symbols_fd, the first of which was called once before so that it need not
 * load anything. Should they fail in turn (a stack that is no stack any more), the fault within the handler is blocked there,
 * and the kernel ends the process at once; should they wait for ever, any other thread that fails ends it after WAIT_S.
 * File: one line of JSON, then the frames of the backtrace, one per line.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/core/internal.h"

#define RECORD_MAX 1024u
#define WAIT_S     2
#define STACK_SIZE 65536u /* backtrace needs some ten KiB */

static char crash_path[PATH_MAX];
static _Atomic bool writing; /* relaxed: only decides who writes */
/* relaxed: set before the signal that makes them read */
static _Atomic bool hung;
static _Atomic uint64_t hung_turn_ms, hung_cpu_ms;

void
ox__crash_hung(uint64_t turn_ms, uint64_t cpu_ms)
{
    atomic_store_explicit(&hung_turn_ms, turn_ms, memory_order_relaxed);
    atomic_store_explicit(&hung_cpu_ms, cpu_ms, memory_order_relaxed);
    atomic_store_explicit(&hung, true, memory_order_relaxed);
}

struct record {
    char text[RECORD_MAX];
    size_t n;
};

static void
put(struct record *r, const char *s)
{
    while (*s != '\0' && r->n < RECORD_MAX - 1)
        r->text[r->n++] = *s++;
}

static void
put_u64(struct record *r, const char *key, uint64_t value)
{
    char digits[24];
    size_t i = sizeof(digits) - 1;
    digits[i] = '\0';
    do {
        digits[--i] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(r, key);
    put(r, digits + i);
}

static void
put_name(struct record *r, const char *key, const char *value)
{
    put(r, key);
    put(r, "\"");
    for (; *value != '\0'; value++) {
        bool plain =
            (unsigned char)*value >= 0x20 && (unsigned char)*value < 0x7f && *value != '"' && *value != '\\';
        char c[2] = {plain ? *value : '_', '\0'};
        put(r, c);
    }
    put(r, "\"");
}

static void
describe(struct record *r, int signum)
{
    const struct ox__turn *turn = ox__turn_now;
    put_u64(r, "{\"signal\":", (uint64_t)signum);
    put_u64(r, ",\"process\":", (uint64_t)getpid());
    if (atomic_load_explicit(&hung, memory_order_relaxed)) {
        put(r, ",\"hung\":true");
        put_u64(r, ",\"turn_ms\":", atomic_load_explicit(&hung_turn_ms, memory_order_relaxed));
        put_u64(r, ",\"cpu_ms\":", atomic_load_explicit(&hung_cpu_ms, memory_order_relaxed));
    }
    if (turn != NULL) {
        const struct ox_actor *actor = turn->actor;
        struct ox_cause cause = turn->msg != NULL ? turn->msg->cause : actor->cause;
        put_name(r, ",\"class\":", actor->class->name);
        put_name(r, ",\"name\":", actor->name);
        put_u64(r, ",\"slot\":", actor->pid.slot);
        put_u64(r, ",\"gen\":", actor->pid.gen);
        put_u64(r, ",\"restarts\":", actor->restarts);
        put_u64(r, ",\"age_ms\":", (turn->start_ns - actor->born_ns) / NS_PER_MS);
        put_u64(r, ",\"message_kind\":", turn->msg != NULL ? turn->msg->kind : 0);
        put_name(r, ",\"tenant\":", ox_tenant_name(cause.tenant));
        put_u64(r, ",\"wal_seq\":", cause.wal_seq);
    }
    put(r, "}\n");
}

static void
write_record(int signum)
{
    struct record record = {.n = 0};
    void *frames[48];
    describe(&record, signum);
    int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    ssize_t written = write(fd, record.text, record.n);
    int n = backtrace(frames, (int)OX_COUNT(frames));
    if (written > 0)
        backtrace_symbols_fd(frames, n, fd);
    fsync(fd);
    close(fd);
}

/* Another thread writes, and ends the process for all; or is stuck, and this one does. */
static void
wait_for_writer(void)
{
    struct timespec left = {.tv_sec = WAIT_S};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void
on_fault(int signum)
{
    if (!atomic_exchange_explicit(&writing, true, memory_order_relaxed))
        write_record(signum);
    else
        wait_for_writer();
    signal(signum, SIG_DFL);
    raise(signum);
}

ox_err
ox_crash_install(const char *path)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    void *frame;
    if (strlen(path) >= sizeof(crash_path))
        return OX_E_TOO_LARGE;
    snprintf(crash_path, sizeof(crash_path), "%s", path);
    backtrace(&frame, 1);
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < OX_COUNT(signals); i++)
        sigaddset(&action.sa_mask, signals[i]);
    for (size_t i = 0; i < OX_COUNT(signals); i++) {
        if (sigaction(signals[i], &action, NULL) != 0)
            return ox_err_from_errno(errno);
    }
    return OX_OK;
}

void *
ox__crash_stack_new(void)
{
    stack_t old;
    if (sigaltstack(NULL, &old) != 0 || (old.ss_flags & SS_DISABLE) == 0)
        return NULL; /* there is one already: a sanitizer's */
    stack_t stack = {.ss_sp = malloc(STACK_SIZE), .ss_size = STACK_SIZE};
    if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) != 0) {
        free(stack.ss_sp);
        return NULL;
    }
    return stack.ss_sp;
}

void
ox__crash_stack_free(void *stack)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    if (stack == NULL)
        return;
    sigaltstack(&off, NULL);
    free(stack);
}
