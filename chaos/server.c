/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/server.c - the processes under test.
 *
 * The harness is the reaper of what its heart leaves behind (PR_SET_CHILD_SUBREAPER), so "gone" means gone.
 *
 * Owns:    see server.h.
 * Threads: main.
 * Fails:   see server.h.
 */
#include "chaos/server.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/power.h"
#include "ox/clock.h"
#include "ox/storage.h"

#define LOOK_MS   10
#define GONE_S    30
#define STOP_S    60
#define ARGS_MAX  (36 + 2 * CHAOS_CONFIG_MAX)
#define QUERY_MS  120000
#define FLAG_SIZE 128

uint64_t
chaos_now_ns(void)
{
    return ox_clock_monotonic_ns(ox_clock_real());
}

uint64_t
chaos_unix_ns(void)
{
    return ox_clock_realtime_ns(ox_clock_real());
}

void
chaos_nap_ms(uint64_t ms)
{
    poll(NULL, 0, (int)ms);
}

const char *
chaos_tenant(uint32_t tenant)
{
    static const char *const names[CHAOS_TENANTS_MAX] = {"chaos-a", "chaos-b", "chaos-c", "chaos-d",
                                                         "chaos-e", "chaos-f", "chaos-g", "chaos-h"};
    return names[tenant];
}

static void
ready_path(const struct chaos_server *s, char *out, size_t n)
{
    snprintf(out, n, "%s/ready.json", s->dir);
}

static uint16_t
port_of(json_t *ready, const char *name)
{
    const char *text = json_string_value(json_object_get(ready, name));
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    return colon != NULL ? (uint16_t)atoi(colon + 1) : 0;
}

bool
chaos_server_refresh(struct chaos_server *s)
{
    char path[300];
    ready_path(s, path, sizeof(path));
    json_t *j = json_load_file(path, 0, NULL);
    if (j == NULL)
        return false;
    s->node = (pid_t)json_integer_value(json_object_get(j, "node_pid"));
    s->engine = (pid_t)json_integer_value(json_object_get(j, "engine_pid"));
    atomic_store(&s->real_port, port_of(j, "otlp_http"));
    s->api_port = port_of(j, "api");
    s->debug_port = port_of(j, "debug");
    json_decref(j);
    return true;
}

/* ---- start ---- */

struct args {
    char *v[ARGS_MAX];
    int n;
    char flags[CHAOS_CONFIG_MAX][FLAG_SIZE];
};

static void
arg(struct args *a, const char *text)
{
    OX_ASSERT(a->n + 1 < ARGS_MAX);
    a->v[a->n++] = (char *)(uintptr_t)text; /* execv wants char *, and changes nothing */
    a->v[a->n] = NULL;
}

/* section.some_name is the flag --section-some-name. */
static void
arg_config(struct args *a, int i, const char *key, const char *value)
{
    snprintf(a->flags[i], FLAG_SIZE, "--%s", key);
    for (char *p = a->flags[i]; *p != '\0'; p++)
        *p = *p == '.' || *p == '_' ? '-' : *p;
    arg(a, a->flags[i]);
    arg(a, value);
}

static void
build_args(const struct chaos_server *s, const char *ready, struct args *a)
{
    static const char *const fixed[] = {"--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0",
                                        "--api",       "127.0.0.1:0", "--debug",     "127.0.0.1:0"};
    memset(a, 0, sizeof(*a));
    arg(a, s->exe);
    arg(a, "serve");
    arg(a, "--data");
    arg(a, s->data);
    for (size_t i = 0; i < OX_COUNT(fixed); i++)
        arg(a, fixed[i]);
    arg(a, "--ready-file");
    arg(a, ready);
    if (s->scenario->postgres) {
        arg(a, "--mode");
        arg(a, "production");
        arg(a, "--control-url");
        arg(a, s->postgres.node_url);
    }
    for (uint32_t i = 0; i < s->scenario->n_config; i++)
        arg_config(a, (int)i, s->scenario->config[i][0], s->scenario->config[i][1]);
}

static void
control_path(const struct chaos_server *s, char *out, size_t n)
{
    snprintf(out, n, "%s/control", s->shim_dir);
}

/* Between fork and exec. Never returns. */
OX_NORETURN static void
become(const struct chaos_server *s, struct args *a)
{
    char log[300];
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0); /* an interrupt from the terminal is for the harness alone */
    snprintf(log, sizeof(log), "%s/serve.log", s->dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    if (s->scenario->takes_faults)
        setenv("OBSERVE_X_TEST_FAULTS", "armed", 1);
    if (s->shim != NULL) {
        char control[300];
        control_path(s, control, sizeof(control));
        setenv(SHIM_CONTROL, control, 1);
        setenv(SHIM_DATA, s->data, 1);
        setenv("LD_PRELOAD", s->shim_file, 1);
    }
    execv(s->exe, a->v);
    _exit(127);
}

static bool
wait_ready(struct chaos_server *s)
{
    for (uint64_t i = 0; i < CHAOS_START_S * 1000 / LOOK_MS; i++, chaos_nap_ms(LOOK_MS)) {
        if (chaos_server_refresh(s))
            return true;
        if (waitpid(s->heart, NULL, WNOHANG) == s->heart) {
            s->heart = 0;
            break;
        }
    }
    snprintf(s->why, sizeof(s->why), "the server does not become ready; %s/serve.log says why", s->dir);
    return false;
}

static bool
read_key(struct chaos_server *s, uint32_t tenant)
{
    char cmd[1024];
    snprintf(cmd, sizeof(cmd), "'%s' key dev %s --data '%s'", s->exe, chaos_tenant(tenant), s->data);
    FILE *p = popen(cmd, "re");
    bool ok = p != NULL && fgets(s->keys[tenant], CHAOS_KEY_MAX, p) != NULL;
    if (p != NULL)
        pclose(p);
    s->keys[tenant][strcspn(s->keys[tenant], "\n")] = '\0';
    if (!ok)
        snprintf(s->why, sizeof(s->why), "`observex key dev %s` gives no key", chaos_tenant(tenant));
    return ok;
}

/* The proxy takes the place of the engine's socket; a new node connects to it. */
static bool
interpose(struct chaos_server *s)
{
    char path[300], behind[300];
    pid_t node = s->node;
    snprintf(path, sizeof(path), "%s/engine.sock", s->data);
    snprintf(behind, sizeof(behind), "%s/behind.sock", s->data);
    chaos_proxy_close(&s->proxy);
    if (rename(path, behind) != 0 || !chaos_proxy_open_unix(&s->proxy, path, behind)) {
        snprintf(s->why, sizeof(s->why), "a proxy at %s: %s", path, strerror(errno));
        return false;
    }
    chaos_server_signal(s, node, SIGKILL);
    return chaos_server_replaced(s, &s->node, node);
}

/* The shim lies beside this program. */
static bool
find_shim(struct chaos_server *s)
{
    ssize_t n = readlink("/proc/self/exe", s->shim_file, sizeof(s->shim_file) - 1);
    s->shim_file[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(s->shim_file, '/');
    size_t room = slash != NULL ? sizeof(s->shim_file) - (size_t)(slash + 1 - s->shim_file) : 0;
    if (slash == NULL || snprintf(slash + 1, room, "libchaos_shim.so") >= (int)room)
        return false;
    return access(s->shim_file, R_OK) == 0;
}

static bool
loses_power(const struct chaos_scenario *s)
{
    for (uint32_t i = 0; i < s->n_faults; i++) {
        if (s->faults[i].fault == CHAOS_power_loss)
            return true;
    }
    return false;
}

static bool
prepare_shim(struct chaos_server *s)
{
    char path[300];
    snprintf(s->shim_dir, sizeof(s->shim_dir), "%s/shim", s->dir);
    mkdir(s->shim_dir, 0700);
    chaos_power_forget(s->shim_dir);
    control_path(s, path, sizeof(path));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool ok = find_shim(s) && fd >= 0 && ftruncate(fd, sizeof(*s->shim)) == 0;
    void *p = ok ? mmap(NULL, sizeof(*s->shim), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    if (p == MAP_FAILED) {
        snprintf(s->why, sizeof(s->why), "the shim: %s or %s: %s", s->shim_file, path, strerror(errno));
        return false;
    }
    s->shim = p;
    memset(s->shim, 0, sizeof(*s->shim));
    atomic_store(&s->shim->room, -1);
    atomic_store(&s->shim->track, !loses_power(s->scenario) ? 0 : s->scenario->names_strict ? 2 : 1);
    s->shim->magic = SHIM_MAGIC;
    return true;
}

bool
chaos_server_prepare(struct chaos_server *s)
{
    if (s->scenario->shim && !prepare_shim(s))
        return false;
    if (s->scenario->postgres && !chaos_postgres_start(s))
        return false;
    if (s->scenario->proxy != CHAOS_PROXY_CLIENT)
        return true;
    s->proxy_port = chaos_proxy_open_tcp(&s->proxy, &s->real_port);
    if (s->proxy_port == 0)
        snprintf(s->why, sizeof(s->why), "the proxy gets no port: %s", strerror(errno));
    return s->proxy_port != 0;
}

void
chaos_server_fini(struct chaos_server *s)
{
    chaos_server_stop(s);
    chaos_postgres_fini(&s->postgres);
    chaos_proxy_close(&s->proxy);
    if (s->shim != NULL)
        munmap(s->shim, sizeof(*s->shim));
    s->shim = NULL;
}

bool
chaos_server_start(struct chaos_server *s)
{
    char ready[300];
    struct args a;
    ready_path(s, ready, sizeof(ready));
    unlink(ready);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    build_args(s, ready, &a);
    s->heart = fork();
    if (s->heart == 0)
        become(s, &a);
    if (s->heart < 0 || !wait_ready(s))
        return false;
    if (s->scenario->postgres && !chaos_postgres_keys(s))
        return false;
    for (uint32_t i = 0; i < s->scenario->tenants && !s->scenario->postgres; i++) {
        if (!read_key(s, i))
            return false;
    }
    if (s->scenario->proxy == CHAOS_PROXY_STORAGE && !interpose(s))
        return false;
    atomic_store(&s->otlp_port, s->proxy_port != 0 ? s->proxy_port : atomic_load(&s->real_port));
    return true;
}

/* ---- harm ---- */

static pid_t
parent_of(pid_t pid)
{
    char path[64], line[512];
    int parent = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    char *p = fgets(line, sizeof(line), f) != NULL ? strrchr(line, ')') : NULL;
    if (p != NULL)
        sscanf(p + 2, "%*c %d", &parent);
    fclose(f);
    return (pid_t)parent;
}

bool
chaos_server_signal(struct chaos_server *s, pid_t pid, int sig)
{
    if (pid <= 1 || (pid != s->heart && parent_of(pid) != s->heart))
        return false;
    return kill(pid, sig) == 0;
}

bool
chaos_server_replaced(struct chaos_server *s, const pid_t *which, pid_t before)
{
    for (uint64_t i = 0; i < CHAOS_START_S * 1000 / LOOK_MS; i++, chaos_nap_ms(LOOK_MS)) {
        if (chaos_server_refresh(s) && *which > 0 && *which != before)
            return true;
    }
    snprintf(s->why, sizeof(s->why), "nothing takes the place of pid %d within %d s", (int)before,
             CHAOS_START_S);
    return false;
}

/* Reaps until the process is gone. */
static bool
gone(pid_t pid)
{
    for (uint64_t i = 0; i < GONE_S * 1000 / LOOK_MS; i++, chaos_nap_ms(LOOK_MS)) {
        if (pid <= 0 || waitpid(pid, NULL, WNOHANG) == pid || (kill(pid, 0) != 0 && errno == ESRCH))
            return true;
    }
    return false;
}

void
chaos_server_kill(struct chaos_server *s)
{
    chaos_server_refresh(s);
    kill(s->heart, SIGSTOP); /* so that it restarts nothing */
    chaos_server_signal(s, s->node, SIGKILL);
    chaos_server_signal(s, s->engine, SIGKILL);
    kill(s->heart, SIGKILL);
    waitpid(s->heart, NULL, 0);
    s->heart = 0;
    OX_ASSERT(gone(s->node) && gone(s->engine));
}

bool
chaos_server_behead(struct chaos_server *s)
{
    kill(s->heart, SIGKILL);
    waitpid(s->heart, NULL, 0);
    s->heart = 0;
    bool ok = gone(s->node) && gone(s->engine);
    if (!ok)
        snprintf(s->why, sizeof(s->why), "node %d or engine %d outlives its heart by %d s", (int)s->node,
                 (int)s->engine, GONE_S);
    return ok;
}

bool
chaos_server_stop(struct chaos_server *s)
{
    if (s->heart <= 0)
        return true;
    kill(s->heart, SIGTERM);
    for (int i = 0; i < STOP_S * 1000 / LOOK_MS; i++, chaos_nap_ms(LOOK_MS)) {
        if (waitpid(s->heart, NULL, WNOHANG) == s->heart) {
            s->heart = 0;
            return true;
        }
    }
    chaos_server_kill(s);
    return false;
}

struct ox_storage *
chaos_server_storage(struct chaos_server *s)
{
    char url[320], path[320], key[128] = "";
    struct ox_storage *st = NULL;
    struct ox_diag diag;
    snprintf(url, sizeof(url), "unix:%s/%s.sock", s->data,
             s->scenario->proxy == CHAOS_PROXY_STORAGE ? "behind" : "engine");
    snprintf(path, sizeof(path), "%s/secret", s->data);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return NULL;
    bool ok = fgets(key, sizeof(key), f) != NULL;
    fclose(f);
    key[strcspn(key, "\n")] = '\0';
    const struct ox_storage_options options = {.url = url, .key = key, .request_timeout_ms = QUERY_MS};
    return ok && ox_storage_open(&options, &st, &diag) == OX_OK ? st : NULL;
}
