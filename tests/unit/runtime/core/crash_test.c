/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a process that dies by a fault leaves a record that names actor, message and cause, and still
 *          dies by that signal.
 * Method:  children of fork that fault in a handler, outside one, by overflowing a scheduler's stack, and by turns that do
 *          not end. For those a clock that goes on when the watchdog looks says what time and processor time they take.
 */
#include "kit.h"

#include <jansson.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KIND_FAULT = 9, KIND_OVERFLOW, KIND_HANG, KIND_WAIT };

static sem_t go_on;

static char path[] = "/tmp/ox-crash-XXXXXX";

static void
make_path(void)
{
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void
remove_path(void)
{
    unlink(path);
}

static int
deeper(volatile char *above)
{
    volatile char here[4096];
    here[0] = *above;
    return here[0] != 1 ? deeper(here) + here[4095] : 0;
}

static void
fault_message(struct ox_actor *self, struct ox_msg *msg)
{
    volatile char zero = 0;
    if (msg->kind == KIND_OVERFLOW)
        deeper(&zero);
    while (msg->kind == KIND_HANG)
        zero++;
    if (msg->kind == KIND_WAIT) {
        while (sem_wait(&go_on) != 0) {
        }
        _exit(0);
    }
    raise(SIGSEGV);
}

static const struct ox_actor_class fault_class = {.name = "fault", .on_message = fault_message};

static void
die_in_handler(void)
{
    struct ox_tenant_id acme = {"acme"};
    kit_start(1);
    ox_pid pid;
    struct ox_spawn spec = {.class = &fault_class, .name = "weak\"point"};
    cr_assert_eq(ox_spawn_wait(&spec, &pid, NULL), OX_OK);
    struct ox_msg *msg = ox_msg_new(KIND_FAULT, NULL, 0, NULL);
    msg->cause = (struct ox_cause){ox_tenant_index(&acme), 4711};
    cr_assert_eq(ox_send(pid, &msg), OX_OK);
    kit_settle();
}

static void
die_on_a_loop(void)
{
    struct ox_runtime_options options = {.loops = 1};
    ox_pid pid;
    cr_assert_eq(ox_runtime_start(&options, NULL), OX_OK);
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &fault_class}, &pid, NULL), OX_OK);
    cr_assert_eq(ox_cast(pid, KIND_OVERFLOW, 0), OX_OK);
    ox_runtime_run();
}

static void
never_return(uint32_t kind, const struct ox_clock *clock)
{
    struct ox_runtime_options options = {.loops = 1,
                                         .turn_warn_ms = 4, /* four looks in that: one in each millisecond */
                                         .turn_fault_ms = 100,
                                         .turn_hung_ms = 1000,
                                         .hung_ends = true,
                                         .clock = clock};
    ox_pid pid;
    ox_log_set_level(OX_LOG_FATAL);
    sem_init(&go_on, 0, 0);
    cr_assert_eq(ox_runtime_start(&options, NULL), OX_OK);
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &fault_class, .name = "h"}, &pid, NULL), OX_OK);
    cr_assert_eq(ox_cast(pid, kind, 0), OX_OK);
    ox_runtime_run();
}

static void
spin(void)
{
    never_return(KIND_HANG, NULL);
}

/* A clock that goes on with each look of the watchdog at a turn. */
static struct script {
    struct ox_clock_virtual v;
    uint64_t wall_ns, cpu_ns; /* per look */
    uint64_t leap_ns;         /* at the tenth */
    uint32_t looks, looks_max;
} script;

static uint64_t
scripted_cpu(const struct ox_clock *clock, pthread_t thread)
{
    uint64_t used = script.v.cpu_ns;
    script.looks++;
    ox_clock_virtual_advance(&script.v, script.looks == 10 ? script.leap_ns : script.wall_ns);
    ox_clock_virtual_spend(&script.v, script.cpu_ns);
    if (script.looks == script.looks_max)
        sem_post(&go_on);
    return used;
}

static void
wait_by_script(void)
{
    ox_clock_virtual_init(&script.v, 1000000000ull, 1700000000000000000ull);
    script.v.clock.thread_cpu_ns = scripted_cpu;
    never_return(KIND_WAIT, &script.v.clock);
}

static int
signal_of(void (*die)(void))
{
    int status;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        ox_err err = ox_crash_install(path);
        if (err == OX_OK)
            die();
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static json_t *
record(void)
{
    json_error_t error;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    json_t *json = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);
    cr_assert_not_null(json, "%s", error.text);
    fclose(file);
    return json;
}

Test(crash, names_actor_message_and_cause, .init = make_path, .fini = remove_path)
{
    cr_assert_eq(signal_of(die_in_handler), SIGSEGV);
    json_t *json = record();
    cr_assert_eq(json_integer_value(json_object_get(json, "signal")), SIGSEGV);
    cr_assert_str_eq(json_string_value(json_object_get(json, "class")), "fault");
    cr_assert_str_eq(json_string_value(json_object_get(json, "name")), "weak_point");
    cr_assert_str_eq(json_string_value(json_object_get(json, "tenant")), "acme");
    cr_assert_eq(json_integer_value(json_object_get(json, "wal_seq")), 4711);
    cr_assert_eq(json_integer_value(json_object_get(json, "message_kind")), KIND_FAULT);
    json_decref(json);
}

Test(crash, outside_a_handler_it_names_the_signal, .init = make_path, .fini = remove_path)
{
    cr_assert_eq(signal_of(abort), SIGABRT);
    json_t *json = record();
    cr_assert_eq(json_integer_value(json_object_get(json, "signal")), SIGABRT);
    cr_assert_null(json_object_get(json, "class"));
    json_decref(json);
}

Test(crash, a_stack_overflow_on_a_loop_is_written_too, .init = make_path, .fini = remove_path)
{
    cr_assert_eq(signal_of(die_on_a_loop), SIGSEGV);
    json_t *json = record();
    cr_assert_str_eq(json_string_value(json_object_get(json, "class")), "fault");
    cr_assert_eq(json_integer_value(json_object_get(json, "message_kind")), KIND_OVERFLOW);
    json_decref(json);
}

static void *
fail_too(void *arg)
{
    raise(SIGSEGV);
    return arg;
}

/* The first to fail waits for ever for somebody to read its record. */
static void
die_twice_into_a_pipe(void)
{
    pthread_t other;
    if (unlink(path) != 0 || mkfifo(path, 0600) != 0 || pthread_create(&other, NULL, fail_too, NULL) != 0)
        _exit(1);
    abort();
}

Test(crash, who_is_stuck_while_he_writes_dies_all_the_same, .init = make_path, .fini = remove_path,
     .timeout = 60)
{
    int sig = signal_of(die_twice_into_a_pipe);
    cr_assert(sig == SIGSEGV || sig == SIGABRT, "%d", sig);
}

/* As a fault in what reads the stack would be. */
static void
fail_while_writing(int signum)
{
    volatile int *nowhere = mmap(NULL, sizeof(int), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *nowhere = signum;
}

static void
die_while_dying(void)
{
    struct sigaction action;
    sigaction(SIGABRT, NULL, &action); /* what blocks in the handler, with another handler */
    action.sa_handler = fail_while_writing;
    sigaction(SIGABRT, &action, NULL);
    abort();
}

Test(crash, a_fault_in_the_handler_ends_the_process, .init = make_path, .fini = remove_path, .timeout = 60)
{
    cr_assert_eq(signal_of(die_while_dying), SIGSEGV);
}

static int64_t
hung_number(const char *key)
{
    json_t *json = record();
    cr_assert(json_is_true(json_object_get(json, "hung")));
    cr_assert_str_eq(json_string_value(json_object_get(json, "name")), "h");
    int64_t n = json_integer_value(json_object_get(json, key));
    json_decref(json);
    return n;
}

Test(crash, a_turn_that_spins_is_ended_and_named, .init = make_path, .fini = remove_path)
{
    cr_assert_eq(signal_of(spin), SIGABRT);
    cr_assert_eq(hung_number("message_kind"), KIND_HANG);
    cr_assert_geq(hung_number("cpu_ms"), 100);
}

Test(crash, processor_time_ends_a_turn_however_little_time_has_passed, .init = make_path, .fini = remove_path)
{
    script.cpu_ns = 2000000;
    cr_assert_eq(signal_of(wait_by_script), SIGABRT);
    cr_assert_eq(hung_number("cpu_ms"), 100);
    cr_assert_eq(hung_number("turn_ms"), 0);
}

Test(crash, a_turn_that_waits_has_ten_times_as_long, .init = make_path, .fini = remove_path)
{
    script.wall_ns = script.leap_ns = 2000000;
    cr_assert_eq(signal_of(wait_by_script), SIGABRT);
    cr_assert_eq(hung_number("cpu_ms"), 0);
    cr_assert_geq(hung_number("turn_ms"), 1000);
    cr_assert_lt(hung_number("turn_ms"), 1010);
}

/* As after SIGSTOP, a suspended machine, or a hypervisor that was busy elsewhere. */
Test(crash, time_in_which_the_process_stood_still_ends_no_turn, .init = make_path, .fini = remove_path)
{
    script.leap_ns = 3600000000000ull;
    script.looks_max = 30;
    cr_assert_eq(signal_of(wait_by_script), 0);
}
