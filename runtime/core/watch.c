/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/watch.c - a thread that notices turns that take too long, while they still run.
 *
 * Owns:    the watchdog thread.
 * Threads: the watchdog reads what each loop says about its turn; it asks a slow loop for its backtrace by
 *          signal.
 * Bounds:  one log line per slow turn and threshold.
 * Fails:   without the thread the runtime still works; start then reports NOMEM.
 *
 * C is not preempted: a slow handler can only be seen, named and counted. One that never returns takes the process with
 * it (hung_ends): the hung thread gets SIGABRT, so that the crash record names its turn.
 *
 * What is slow is a question of time that passed, because others wait for it. What hangs is not: on a machine that is short
 * of processors, swaps, or was suspended, time passes honest turns by. Hence a turn is at fault when its thread has used
 * turn_fault_ms of its processor, which nobody else can make it do, or, if it waits for something, after the much longer
 * turn_hung_ms; and time in which this thread did not run either is nobody's.
 */
#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/core/internal.h"

#define TRACE_SIGNAL  (SIGRTMIN + 4)
#define TRACE_WAIT_NS (50 * NS_PER_MS)   /* for the slow thread to answer; it may be in the kernel */
#define ABORT_WAIT_NS (2000 * NS_PER_MS) /* for a hung thread to write its record and die */
#define TICK_FRACTION 4u                 /* four looks per threshold */
#define LATE_TICKS    4u                 /* a look so late: the process stood still, not only the turn */

/* Values of loop->trace_n beside a number of frames. The signal may arrive long after nobody waits for it any
 * more: only who moves TRACE_ASKED to TRACE_TAKEN may write loop->trace. */
enum trace_state { TRACE_NONE = 0, TRACE_ASKED = -1, TRACE_TAKEN = -2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static bool stop; /* under lock */

void
ox__watch_limits(struct ox__runtime *rt, uint32_t warn_ms, uint32_t fault_ms)
{
    atomic_store_explicit(&rt->turn_warn_ms, warn_ms, memory_order_relaxed);
    atomic_store_explicit(&rt->turn_fault_ms, fault_ms, memory_order_relaxed);
}

void
ox__watch_begin(struct ox__loop *loop, const struct ox_actor *actor, uint64_t now_ns)
{
    uint64_t pid = (uint64_t)actor->pid.gen << 32 | actor->pid.slot;
    atomic_store_explicit(&loop->turn_start_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&loop->turn_pid, pid, memory_order_relaxed);
    atomic_store_explicit(&loop->turn_class, actor->class, memory_order_relaxed);
    /* release: the fields above are visible to whoever sees the odd number */
    atomic_fetch_add_explicit(&loop->turn_seq, 1, memory_order_release);
}

void
ox__watch_end(struct ox__loop *loop)
{
    /* release: keeps the turn's end behind the turn */
    atomic_fetch_add_explicit(&loop->turn_seq, 1, memory_order_release);
}

static void
on_trace_signal(int signum)
{
    int saved = errno;
    struct ox__loop *loop = ox__loop_now;
    int asked = TRACE_ASKED;
    /* acquire: what the watchdog read of the last trace is read before this one is written */
    if (loop != NULL && atomic_compare_exchange_strong_explicit(&loop->trace_n, &asked, TRACE_TAKEN,
                                                                memory_order_acquire, memory_order_relaxed)) {
        int n = backtrace(loop->trace, (int)OX_COUNT(loop->trace));
        /* release: the frames are there for whoever sees their number */
        atomic_store_explicit(&loop->trace_n, n, memory_order_release);
    }
    errno = saved;
}

static void
trace_of(struct ox__loop *loop, char *out, size_t size)
{
    struct timespec pause = {0, NS_PER_MS};
    int left = TRACE_ASKED;
    out[0] = '\0';
    /* acquire: behind the handler's last write, if an earlier trace is only now complete */
    if (atomic_load_explicit(&loop->trace_n, memory_order_acquire) == TRACE_TAKEN)
        return;
    /* release: pairs with the handler */
    atomic_store_explicit(&loop->trace_n, TRACE_ASKED, memory_order_release);
    if (pthread_kill(loop->thread, TRACE_SIGNAL) != 0)
        return;
    for (uint64_t waited = 0; waited < TRACE_WAIT_NS; waited += NS_PER_MS) {
        int n = atomic_load_explicit(&loop->trace_n, memory_order_acquire);
        if (n > 0) {
            ox__backtrace_text(loop->trace, n, out, size);
            return;
        }
        nanosleep(&pause, NULL);
    }
    /* Whoever still comes is not waited for; a handler in the middle of it keeps its buffer. */
    atomic_compare_exchange_strong_explicit(&loop->trace_n, &left, TRACE_NONE, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* A turn as far as the watchdog has seen it. */
struct seen {
    uint64_t seq;
    uint64_t
        cpu_ns; /* what its thread had used when the watchdog first saw the turn, a tick after its start at most */
    uint64_t excuse_ns; /* of its time, not its own: the whole process stood still */
    bool warned, faulted;
    uint64_t aborted_ns; /* when its thread was told to die; 0 = it was not */
};

/* What a turn has taken. */
struct spent {
    uint64_t wall_ns, cpu_ns;
};

/* The thread that hangs writes the record; one that does not even take a signal leaves that to us. */
static void
end_hung(struct ox__loop *loop, struct seen *seen, struct spent spent)
{
    uint64_t now = ox_now_ns();
    if (seen->aborted_ns == 0) {
        OX_LOG_AT(OX_LOG_FATAL, "runtime", "a turn does not end; the process does",
                  OX_F_U64("loop", loop->index), OX_F_U64("turn_ms", spent.wall_ns / NS_PER_MS),
                  OX_F_U64("cpu_ms", spent.cpu_ns / NS_PER_MS));
        seen->aborted_ns = now;
        ox__crash_hung(spent.wall_ns / NS_PER_MS, spent.cpu_ns / NS_PER_MS);
        pthread_kill(loop->thread, SIGABRT);
    } else if (now - seen->aborted_ns > ABORT_WAIT_NS) {
        abort();
    }
}

static void
report(struct ox__runtime *rt, struct ox__loop *loop, struct spent spent, bool fault)
{
    char trace[2048], name[32];
    const struct ox_actor_class *class = atomic_load_explicit(&loop->turn_class, memory_order_relaxed);
    uint64_t packed = atomic_load_explicit(&loop->turn_pid, memory_order_relaxed);
    ox_pid pid = {(uint32_t)packed, (uint32_t)(packed >> 32)};
    uint32_t kind = atomic_load_explicit(&loop->turn_kind, memory_order_relaxed);
    trace_of(loop, trace, sizeof(trace));
    OX_METRIC_ADD_L(fault ? OX_M_runtime_turn_fault : OX_M_runtime_turn_long, 1, ox_str_of(class->name));
    OX_LOG_AT(fault ? OX_LOG_ERROR : OX_LOG_WARN, "runtime", "a turn takes too long",
              OX_F_STR("class", class->name), OX_F_U64("slot", pid.slot), OX_F_U64("loop", loop->index),
              OX_F_STR("message", ox__msg_kind_name(kind, name, sizeof(name))),
              OX_F_U64("turn_ms", spent.wall_ns / NS_PER_MS), OX_F_U64("cpu_ms", spent.cpu_ns / NS_PER_MS),
              OX_F_STR("backtrace", trace));
    const struct ox_runtime_hooks *hooks = &rt->opt.hooks;
    if (fault && hooks->stall != NULL)
        hooks->stall(hooks->arg, pid, class->name, kind, spent.wall_ns, trace);
}

static void
judge(struct ox__runtime *rt, struct ox__loop *loop, struct seen *seen, struct spent spent)
{
    uint64_t warn_ns = atomic_load_explicit(&rt->turn_warn_ms, memory_order_relaxed) * NS_PER_MS;
    uint64_t fault_ns = atomic_load_explicit(&rt->turn_fault_ms, memory_order_relaxed) * NS_PER_MS;
    uint64_t hung_ns = rt->opt.turn_hung_ms * NS_PER_MS;
    bool spun = spent.cpu_ns >= fault_ns, hangs = hung_ns != 0 && spent.wall_ns >= hung_ns;
    if ((spent.wall_ns >= fault_ns || spun) && !seen->faulted) {
        seen->faulted = seen->warned = true;
        report(rt, loop, spent, true);
    } else if (spent.wall_ns >= warn_ns && !seen->warned) {
        seen->warned = true;
        report(rt, loop, spent, false);
    }
    if (rt->opt.hung_ends && (spun || hangs))
        end_hung(loop, seen, spent);
}

/* now: of this look, which comes by late_ns later than it was to. One reading for both: a process that stands still
 * between two would be charged with it. */
static void
look_at(struct ox__runtime *rt, struct ox__loop *loop, struct seen *seen, uint64_t now, uint64_t late_ns)
{
    /* acquire: pairs with watch_begin */
    uint64_t seq = atomic_load_explicit(&loop->turn_seq, memory_order_acquire);
    if (seq % 2 == 0)
        return;
    uint64_t start = atomic_load_explicit(&loop->turn_start_ns, memory_order_relaxed);
    uint64_t cpu = ox_clock_thread_cpu_ns(rt->clock, loop->thread);
    uint64_t wall = now > start ? now - start : 0;
    if (atomic_load_explicit(&loop->turn_seq, memory_order_acquire) != seq)
        return;
    if (seq != seen->seq)
        *seen = (struct seen){.seq = seq, .cpu_ns = cpu};
    seen->excuse_ns += late_ns;
    judge(rt, loop, seen,
          (struct spent){wall > seen->excuse_ns ? wall - seen->excuse_ns : 0,
                         cpu > seen->cpu_ns ? cpu - seen->cpu_ns : 0});
}

/* Between two looks: short against the smaller threshold. */
static uint64_t
tick_ns(struct ox__runtime *rt)
{
    uint64_t warn_ms = atomic_load_explicit(&rt->turn_warn_ms, memory_order_relaxed);
    uint64_t fault_ms = atomic_load_explicit(&rt->turn_fault_ms, memory_order_relaxed);
    return (warn_ms < fault_ms ? warn_ms : fault_ms) * NS_PER_MS / TICK_FRACTION;
}

/* Under the lock: until `ns` have passed or the watchdog is to stop. */
static void
wait_ns(uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&wake, &lock, &until);
}

static void *
watch_main(void *arg)
{
    struct ox__runtime *rt = arg;
    struct seen seen[256] = {{0}};
    uint64_t last = ox_now_ns();
    ox__lock(&lock);
    while (!stop) {
        uint64_t tick = tick_ns(rt);
        wait_ns(tick);
        ox__unlock(&lock);
        uint64_t now = ox_now_ns(), passed = now - last;
        last = now;
        for (uint32_t i = 0; i < rt->loops_n && i < OX_COUNT(seen); i++)
            look_at(rt, &rt->loops[i], &seen[i], now, passed > LATE_TICKS * tick ? passed - tick : 0);
        ox__lock(&lock);
    }
    ox__unlock(&lock);
    return NULL;
}

ox_err
ox__watch_start(struct ox__runtime *rt)
{
    void *frame;
    pthread_condattr_t attr;
    struct sigaction action = {.sa_handler = on_trace_signal, .sa_flags = SA_RESTART};
    backtrace(&frame, 1); /* loads the unwinder now: not in a signal handler */
    sigemptyset(&action.sa_mask);
    sigaction(TRACE_SIGNAL, &action, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attr);
    pthread_condattr_destroy(&attr);
    stop = false;
    if (pthread_create(&rt->watchdog, NULL, watch_main, rt) != 0)
        return OX_E_NOMEM;
    rt->watchdog_runs = true;
    pthread_setname_np(rt->watchdog, "ox-watchdog");
    return OX_OK;
}

void
ox__watch_stop(struct ox__runtime *rt)
{
    if (!rt->watchdog_runs)
        return;
    ox__lock(&lock);
    stop = true;
    pthread_cond_signal(&wake);
    ox__unlock(&lock);
    pthread_join(rt->watchdog, NULL);
    pthread_cond_destroy(&wake);
    rt->watchdog_runs = false;
}
