/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the heart starts, watches, restarts and stops its children as cmd/heart.h says, and says what is
 *          wrong when it cannot.
 * Method:  the real heart in a process of its own, tests/harness/fake_child.c as node and engine, a fresh
 *          directory and free ports per test. This process adopts orphans, so that it sees every end.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"

#define PATIENCE_MS 20000
#define FLAGS_MAX   32

static char dir[64];
static char ready_path[128];
static pid_t heart;

static struct {
    pid_t node, engine;
    char http[64];
} ready;

static int64_t
now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Looks until the condition holds; the test fails when it never does. */
#define eventually(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = now_ms() + PATIENCE_MS;                                                             \
        while (!(condition) && now_ms() < until_)                                                            \
            poll(NULL, 0, 5);                                                                                \
        cr_assert(condition, "never: %s", #condition);                                                       \
    } while (0)

static void
setup(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    strcpy(dir, "/tmp/ox-heart-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(ready_path, sizeof(ready_path), "%s/ready-for-tests", dir);
    heart = 0;
    memset(&ready, 0, sizeof(ready));
}

static void
remove_tree(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char name[512];
        snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)remove(name);
    }
    if (d != NULL)
        closedir(d);
    (void)rmdir(path);
}

/* Ends what a failed test left; children of a killed heart are ours now. */
static void
teardown(void)
{
    if (heart > 0)
        kill(heart, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    remove_tree(dir);
}

TestSuite(heart, .init = setup, .fini = teardown, .timeout = 60);

static void
behave(const char *who, const char *how)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/behaviour.%s", dir, who);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fprintf(f, "%s\n", how);
    fclose(f);
}

/* In the forked process: becomes the heart; its last sentence goes to DIR/sentence. */
static void
be_heart(const char *const *flags, int n)
{
    static struct ox_config config;
    struct ox_config_report report;
    struct ox_diag diag;
    char path[128];
    struct ox_config_sources sources = {.argv = (char *const *)flags, .argc = n};
    ox_diag_clear(&diag);
    ox_config_report_init(&report);
    if (ox_config_load(&config, &sources, NULL, &report) != OX_OK)
        _exit(111);
    const struct ox_heart_options options = {.config = &config, .exe = OX_FAKE_CHILD};
    int code = ox_heart_run(&options, &diag);
    snprintf(path, sizeof(path), "%s/sentence", dir);
    FILE *f = fopen(path, "w");
    fputs(diag.text, f);
    fclose(f);
    _exit(code);
}

/* Starts a heart with further flags (NULL-terminated); quick times unless the flags say otherwise. */
static pid_t
start_heart(const char *const *more)
{
    const char *const base[] = {
        "--data",       dir,        "--otlp-grpc",   "127.0.0.1:0", "--otlp-http",
        "127.0.0.1:0",  "--api",    "127.0.0.1:0",   "--debug",     "127.0.0.1:0",
        "--ready-file", ready_path, "--heart-quiet", "100ms",       "--heart-backoff-min",
        "10ms"};
    const char *flags[FLAGS_MAX];
    int n = 0;
    for (size_t i = 0; i < OX_COUNT(base); i++)
        flags[n++] = base[i];
    for (; more != NULL && *more != NULL; more++)
        flags[n++] = *more;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the test, however that ends */
        be_heart(flags, n);
    }
    cr_assert_gt(pid, 0);
    heart = pid;
    return pid;
}

/* True when the ready file is there, whole, and names this heart. */
static bool
read_ready(void)
{
    json_t *o = json_load_file(ready_path, 0, NULL);
    bool mine = o != NULL && json_integer_value(json_object_get(o, "pid")) == heart;
    if (mine) {
        ready.node = (pid_t)json_integer_value(json_object_get(o, "node_pid"));
        ready.engine = (pid_t)json_integer_value(json_object_get(o, "engine_pid"));
        snprintf(ready.http, sizeof(ready.http), "%s", json_string_value(json_object_get(o, "otlp_http")));
    }
    json_decref(o);
    return mine;
}

static bool
node_is_new(pid_t old)
{
    return read_ready() && ready.node != old;
}

static bool
engine_is_new(pid_t old)
{
    return read_ready() && ready.engine != old;
}

static char *
read_text(const char *name)
{
    static char text[65536];
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    size_t n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    return text;
}

static unsigned
count_events(const char *line_start)
{
    unsigned n = 0;
    for (const char *p = read_text("events"); (p = strstr(p, line_start)) != NULL; p++)
        n++;
    return n;
}

static bool
event_seen(const char *fmt, long number)
{
    char line[128];
    snprintf(line, sizeof(line), fmt, number);
    strcat(line, "\n");
    return count_events(line) > 0;
}

/* The exit code of the heart, which must end by itself. */
static int
heart_ended(void)
{
    int status = 0;
    int64_t until = now_ms() + PATIENCE_MS;
    while (waitpid(heart, &status, WNOHANG) != heart) {
        cr_assert_lt(now_ms(), until, "the heart does not end");
        poll(NULL, 0, 5);
    }
    heart = 0;
    cr_assert(WIFEXITED(status), "the heart was killed by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int
stop_heart(int signum)
{
    kill(heart, signum);
    return heart_ended();
}

static bool
file_exists(const char *name)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, &st) == 0;
}

/* Connects to "127.0.0.1:port" and reads the pid that the fake node answers with; 0 on failure. */
static pid_t
ask_node(const char *address)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[32] = {0};
    sin.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ssize_t n = connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 ? read(fd, text, sizeof(text) - 1) : 0;
    close(fd);
    return n > 0 ? (pid_t)atoi(text) : 0;
}

Test(heart, says_where_it_listens_once_both_are_ready)
{
    struct stat st;
    char path[128];
    start_heart(NULL);
    eventually(read_ready());
    json_t *o = json_load_file(ready_path, 0, NULL);
    static const char *const names[] = {"otlp_grpc", "otlp_http", "api"};
    for (size_t i = 0; i < OX_COUNT(names); i++) {
        const char *address = json_string_value(json_object_get(o, names[i]));
        cr_assert_not_null(address);
        cr_assert_eq(strncmp(address, "127.0.0.1:", 10), 0, "%s", address);
        cr_assert_gt(atoi(address + 10), 0);
    }
    snprintf(path, sizeof(path), "%s/engine.sock", dir);
    cr_assert_str_eq(json_string_value(json_object_get(o, "engine_socket")), path);
    json_decref(o);
    cr_assert_eq(kill(ready.node, 0), 0);
    cr_assert_eq(kill(ready.engine, 0), 0);
    cr_assert_eq(ask_node(ready.http), ready.node);
    snprintf(path, sizeof(path), "%s/secret", dir);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    char secret[OX_SECRET_HEX + 1];
    cr_assert_eq(ox_secret_read(dir, secret, NULL), OX_OK);
    cr_assert_eq(count_events("shares its process group"), 0);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

static bool
told(int fd, const char *wanted)
{
    char text[256];
    struct pollfd p = {fd, POLLIN, 0};
    ssize_t n = poll(&p, 1, PATIENCE_MS) == 1 ? recv(fd, text, sizeof(text) - 1, 0) : -1;
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, wanted) != NULL;
}

Test(heart, tells_a_service_manager)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", dir);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    start_heart(NULL);
    cr_assert(told(fd, "READY=1"));
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
    cr_assert(told(fd, "STOPPING=1"));
    close(fd);
}

/* The clock runs from the kill to the answer of the next node: what a client that connects meanwhile waits for. */
Test(heart, has_a_new_node_in_under_a_second)
{
    int64_t worst_ms = 0, all_ms = 0;
    start_heart(NULL);
    eventually(read_ready());
    for (int i = 0; i < 5; i++) {
        pid_t old = ready.node;
        poll(NULL, 0, 150); /* longer than heart.quiet of these tests: each kill is the first in a row */
        int64_t before = now_ms();
        kill(old, SIGKILL);
        eventually(node_is_new(old));
        int64_t took = now_ms() - before;
        all_ms += took;
        worst_ms = took > worst_ms ? took : worst_ms;
    }
    printf("from the kill to the next node's ready: %lld ms on average, %lld ms at worst\n",
           (long long)(all_ms / 5), (long long)worst_ms);
    cr_assert_lt(worst_ms, 5000, "a busy machine may be slow, but not this slow");
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, stops_the_node_before_the_engine_and_leaves_nothing)
{
    start_heart(NULL);
    eventually(read_ready());
    cr_assert_eq(stop_heart(SIGINT), OX_EXIT_OK);
    const char *events = read_text("events");
    const char *node_end = strstr(events, "node end"), *engine_term = strstr(events, "engine term");
    cr_assert_not_null(strstr(events, "node stop"));
    cr_assert_not_null(node_end);
    cr_assert_not_null(engine_term);
    cr_assert_lt(node_end, engine_term);
    cr_assert_not_null(strstr(events, "engine end"));
    cr_assert_not(file_exists("ready-for-tests"));
    cr_assert_not(file_exists("ready.json"));
    cr_assert_not(file_exists("secret"));
    cr_assert_not(file_exists("engine.sock"));
}

Test(heart, restarts_a_killed_node_alone)
{
    start_heart(NULL);
    eventually(read_ready());
    for (int round = 0; round < 3; round++) {
        pid_t node = ready.node, engine = ready.engine;
        kill(node, SIGKILL);
        eventually(node_is_new(node));
        cr_assert_eq(ready.engine, engine);
        cr_assert_eq(ask_node(ready.http), ready.node);
    }
    cr_assert_eq(count_events("engine start"), 1);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, restarts_a_killed_engine_and_tells_the_node)
{
    start_heart(NULL);
    eventually(read_ready());
    pid_t node = ready.node, engine = ready.engine;
    eventually(event_seen("node engine %ld", engine));
    kill(engine, SIGKILL);
    eventually(engine_is_new(engine));
    cr_assert_eq(ready.node, node);
    eventually(event_seen("node engine %ld", ready.engine));
    cr_assert(event_seen("node engine %ld", 0));
    cr_assert_eq(count_events("node start"), 1);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, a_connection_waits_for_the_next_node)
{
    start_heart((const char *[]){"--heart-backoff-min=500ms", NULL});
    eventually(read_ready());
    pid_t node = ready.node;
    kill(node, SIGKILL);
    eventually(kill(node, 0) != 0); /* the heart has reaped it; the next one is half a second away */
    pid_t answered_by = ask_node(ready.http);
    cr_assert_gt(answered_by, 0);
    cr_assert_neq(answered_by, node);
    eventually(node_is_new(node));
    cr_assert_eq(answered_by, ready.node);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, gives_up_on_a_node_that_fails_at_every_start)
{
    behave("node", "crash");
    start_heart((const char *[]){"--heart-max-restarts=3", NULL});
    cr_assert_eq(heart_ended(), OX_EXIT_CRASHING);
    cr_assert_eq(count_events("node start"), 4);
    cr_assert_not_null(strstr(read_text("sentence"), "the node failed 4 starts in a row"), "%s",
                       read_text("sentence"));
    cr_assert_eq(count_events("engine end"), 1, "the engine was not stopped in order");
}

Test(heart, does_not_repeat_a_hopeless_start)
{
    behave("engine", "hopeless");
    start_heart(NULL);
    cr_assert_eq(heart_ended(), OX_EXIT_CRASHING);
    cr_assert_eq(count_events("engine start"), 1);
    cr_assert_not_null(strstr(read_text("sentence"), "the engine failed"));
}

Test(heart, never_gives_up_an_engine_that_ran)
{
    start_heart((const char *[]){"--heart-max-restarts=1", "--heart-backoff-max=20ms", NULL});
    eventually(read_ready());
    pid_t node = ready.node, engine = ready.engine;
    behave("engine", "crash");
    kill(engine, SIGKILL);
    eventually(count_events("engine start") > 6);
    behave("engine", "ok");
    eventually(engine_is_new(engine));
    cr_assert_eq(ready.node, node);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, kills_a_child_that_never_becomes_ready)
{
    behave("node", "hang");
    start_heart((const char *[]){"--heart-start=1s", NULL});
    eventually(count_events("node start") == 1);
    behave("node", "ok");
    eventually(read_ready());
    cr_assert_eq(count_events("node start"), 2);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, kills_a_node_that_does_not_stop_in_time)
{
    behave("node", "stubborn");
    start_heart((const char *[]){"--heart-drain=200ms", NULL});
    eventually(read_ready());
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
    cr_assert_eq(count_events("node stop"), 1);
    cr_assert_eq(count_events("node end"), 0);
    cr_assert_eq(count_events("engine end"), 1);
}

Test(heart, asked_twice_it_hurries)
{
    behave("node", "stubborn");
    behave("engine", "stubborn");
    start_heart((const char *[]){"--heart-drain=10m", "--heart-engine-stop=10m", NULL});
    eventually(read_ready());
    kill(heart, SIGTERM);
    eventually(count_events("node stop") == 1);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK, "a stop that is hastened is a stop in good order");
    cr_assert_eq(count_events("node stop"), 2);
    cr_assert_eq(count_events("engine term"), 1);
}

Test(heart, asked_three_times_it_kills)
{
    behave("node", "stubborn");
    start_heart((const char *[]){"--heart-drain=10m", NULL});
    eventually(read_ready());
    kill(heart, SIGTERM);
    eventually(count_events("node stop") == 1);
    kill(heart, SIGTERM);
    eventually(count_events("node stop") == 2);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_FAILED);
}

Test(heart, stops_while_a_child_is_still_starting)
{
    behave("node", "hang");
    behave("engine", "hang");
    start_heart(NULL);
    eventually(count_events("start") == 2);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
    cr_assert_eq(count_events("node end"), 1);
    cr_assert_eq(count_events("engine end"), 1);
}

Test(heart, takes_both_children_with_it_when_killed)
{
    start_heart(NULL);
    eventually(read_ready());
    int status;
    kill(heart, SIGKILL);
    cr_assert_eq(waitpid(heart, &status, 0), heart);
    cr_assert_eq(waitpid(ready.node, &status, 0), ready.node);
    cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    cr_assert_eq(waitpid(ready.engine, &status, 0), ready.engine);
    start_heart(NULL);
    eventually(read_ready());
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, starts_again_right_after_a_kill)
{
    for (int round = 0; round < 5; round++) {
        start_heart(NULL);
        eventually(read_ready());
        kill(heart, SIGKILL);
        cr_assert_eq(waitpid(heart, NULL, 0), heart);
    }
    start_heart(NULL);
    eventually(read_ready());
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, refuses_a_directory_in_use_and_names_the_pid)
{
    char wanted[128];
    start_heart(NULL);
    eventually(read_ready());
    pid_t first = heart;
    start_heart(NULL);
    cr_assert_eq(heart_ended(), OX_EXIT_FAILED);
    snprintf(wanted, sizeof(wanted), "already runs on %s with pid %d", dir, (int)first);
    cr_assert_not_null(strstr(read_text("sentence"), wanted), "%s", read_text("sentence"));
    heart = first;
    cr_assert(read_ready(), "the second one removed the first one's ready file");
    cr_assert(file_exists("secret"));
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, names_the_busy_port_and_the_flag)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    char flag[64], port[16];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    snprintf(port, sizeof(port), "%u", ntohs(sin.sin_port));
    snprintf(flag, sizeof(flag), "--api=127.0.0.1:%s", port);
    start_heart((const char *[]){flag, NULL});
    cr_assert_eq(heart_ended(), OX_EXIT_FAILED);
    const char *sentence = read_text("sentence");
    cr_assert_not_null(strstr(sentence, port), "%s", sentence);
    cr_assert_not_null(strstr(sentence, "ss -ltnp"), "%s", sentence);
    cr_assert_not_null(strstr(sentence, "--api HOST:PORT"), "%s", sentence);
    cr_assert_eq(count_events("start"), 0);
    close(fd);
}

Test(heart, refuses_a_full_disk)
{
    start_heart((const char *[]){"--heart-disk-min=8000000TiB", "--heart-disk-warn=8000000TiB", NULL});
    cr_assert_eq(heart_ended(), OX_EXIT_FAILED);
    cr_assert_not_null(strstr(read_text("sentence"), "heart.disk_min"), "%s", read_text("sentence"));
}

Test(heart, refuses_a_ready_file_that_it_could_not_write)
{
    start_heart((const char *[]){"--ready-file=/nowhere/ready.json", NULL});
    cr_assert_eq(heart_ended(), OX_EXIT_FAILED);
    cr_assert_not_null(strstr(read_text("sentence"), "/nowhere/ready.json cannot be written"), "%s",
                       read_text("sentence"));
    cr_assert_eq(count_events("start"), 0);
}

/* Whoever starts ObserveX again after a crash waits for the file, and must not read about the one that died. */
Test(heart, has_no_ready_file_before_it_is_ready)
{
    start_heart(NULL);
    eventually(read_ready());
    kill(heart, SIGKILL);
    waitpid(heart, NULL, 0);
    cr_assert(file_exists("ready-for-tests"));
    cr_assert(file_exists("ready.json"));
    eventually(!ox_data_held(dir)); /* the children end with it */
    behave("node", "hang");
    start_heart((const char *[]){"--heart-start=1m", NULL});
    eventually(!file_exists("ready-for-tests") && !file_exists("ready.json"));
    cr_assert(ox_data_held(dir));
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
}

Test(heart, starts_no_engine_for_a_store_elsewhere)
{
    start_heart((const char *[]){"--storage-url=http://127.0.0.1:8123", NULL});
    eventually(read_ready());
    json_t *o = json_load_file(ready_path, 0, NULL);
    cr_assert(json_is_null(json_object_get(o, "engine_pid")));
    cr_assert(json_is_null(json_object_get(o, "engine_socket")));
    json_decref(o);
    cr_assert_eq(stop_heart(SIGTERM), OX_EXIT_OK);
    cr_assert_eq(count_events("engine start"), 0);
}
