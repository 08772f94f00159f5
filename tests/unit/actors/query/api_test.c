/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    at the API port one tenant's questions wait for one another and for nobody else: so many run, so many wait, for
 *          so long, and each refusal names its bound.
 * Method:  the real port on two loops; "questions" are answered by a hook that waits until the test lets it go on.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ox/clock.h"
#include "ox/keystore.h"
#include "ox/metric.h"
#include "ox/query.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"
#include "tests/harness/http_client.h"

#define SECRET "a secret of sixteen bytes and more"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned running, most_running, allowed; /* of tenant acme; allowed: how many may end */
static struct ox_query query;
static struct ox_keystore *keys;
static struct ox_api *api;
static uint16_t port;

/* Acme's questions stand still until the test allows one more to end; those of others are answered at once. */
static bool
answer(void *ctx, const struct ox_query_request *req, struct ox_query_response *res)
{
    ox_buf_append_cstr(&res->body, "{}");
    if (strcmp(req->tenant.name, "acme") != 0 || !ox_str_eq(req->method, OX_STR("GET")))
        return true;
    pthread_mutex_lock(&lock);
    running++;
    most_running = running > most_running ? running : most_running;
    pthread_cond_broadcast(&changed);
    while (allowed == 0)
        pthread_cond_wait(&changed, &lock);
    allowed--;
    running--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return true;
}

static void
allow(unsigned n)
{
    pthread_mutex_lock(&lock);
    allowed += n;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void
await_running(unsigned n)
{
    pthread_mutex_lock(&lock);
    while (running != n || allowed > 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void
limits_of(void *ctx, const struct ox_tenant_id *tenant, struct ox_query_limits *limits)
{
    if (strcmp(tenant->name, "single") == 0)
        limits->tenant_running_max = 1;
}

static int
listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 64) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    port = ntohs(at.sin_port);
    return fd;
}

static void
start(uint32_t wait_ms)
{
    struct ox_diag diag = {0};
    struct ox_runtime_options ro = {.loops = 2, .dirty_threads = 2};
    struct ox_sup_spec ss = {.name = "test", .max_restarts = 3, .window_ms = 1000, .children_max = 8};
    ox_pid sup;
    query.clock = ox_clock_real();
    query.limits =
        (struct ox_query_limits){.tenant_running_max = 2, .tenant_waiting_max = 2, .wait_ms = wait_ms};
    ox_query_limits_defaults(&query.limits);
    keys = ox_keystore_dev_new(OX_STR(SECRET), (struct ox_str){0});
    struct ox_api_options o = {.query = &query,
                               .keys = keys,
                               .listen_fd = listen_somewhere(),
                               .limits_of = limits_of,
                               .operate = answer};
    cr_assert_eq(ox_runtime_start(&ro, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_sup_start(&ss, &sup, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_api_start(&o, sup, &api, &diag), OX_OK, "%s", diag.text);
}

static void
stop(void)
{
    ox_runtime_stop();
    ox_api_free(api);
    keys->free(keys);
}

/* A question on its way; the answer is read later. */
static struct ox_client1
ask(const char *tenant, const char *method)
{
    char key[OX_DEV_KEY_MAX], text[400];
    struct ox_tenant_id id;
    struct ox_client1 c;
    cr_assert_eq(ox_tenant_id_parse(ox_str_of(tenant), &id, NULL), OX_OK);
    ox_keystore_dev_key(OX_STR(SECRET), &id, key);
    int n = snprintf(text, sizeof(text),
                     "%s /q HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\ncontent-type: "
                     "application/json\r\ncontent-length: 0\r\n\r\n",
                     method, key);
    ox_client1_init(&c, ox_client_connect(port));
    cr_assert(ox_client_send(c.fd, text, (size_t)n));
    return c;
}

/* Its status; says must stand in the answer. */
static int
heard(struct ox_client1 *c, const char *says)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    cr_assert(ox_client1_read(c, false, &r));
    ox_buf_append(&r.body, "", 1);
    cr_assert_not_null(strstr((char *)r.body.data, says), "%s lacks %s", (char *)r.body.data, says);
    int status = r.status;
    ox_client_response_fini(&r);
    ox_client1_fini(c);
    return status;
}

static double
refused(const char *budget)
{
    struct ox_str labels[] = {OX_STR("acme"), ox_str_of(budget)};
    return ox_metric_value(OX_M_query_refused, labels);
}

static void
await_waiting(unsigned n)
{
    while ((unsigned)ox_metric_value(OX_M_query_waiting, NULL) != n)
        poll(NULL, 0, 1);
}

Test(query_api, one_tenants_questions_wait_for_one_another_only, .timeout = 60)
{
    start(600000);
    struct ox_client1 c[4], other, order, fifth;
    c[0] = ask("acme", "GET");
    c[1] = ask("acme", "GET");
    await_running(2);
    c[2] = ask("acme", "GET");
    await_waiting(1);
    c[3] = ask("acme", "GET");
    await_waiting(2);
    fifth = ask("acme", "GET");
    cr_assert_eq(heard(&fifth, "query.tenant_waiting: "), 429);
    cr_assert_eq(refused("tenant_waiting"), 1);
    other = ask("other", "GET");
    cr_assert_eq(heard(&other, "{}"), 200, "another tenant does not wait");
    order = ask("acme", "POST");
    cr_assert_eq(heard(&order, "{}"), 200, "an order stands in no row");
    allow(4);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(heard(&c[i], "{}"), 200, "%d", i);
    cr_assert_eq(most_running, 2);
    await_waiting(0);
    stop();
}

Test(query_api, who_has_waited_too_long_hears_for_what, .timeout = 60)
{
    start(30);
    struct ox_client1 c[3];
    c[0] = ask("acme", "GET");
    c[1] = ask("acme", "GET");
    await_running(2);
    c[2] = ask("acme", "GET");
    cr_assert_eq(heard(&c[2], "query.wait: "), 429);
    cr_assert_eq(refused("wait"), 1);
    allow(2);
    cr_assert_eq(heard(&c[0], "{}"), 200);
    cr_assert_eq(heard(&c[1], "{}"), 200);
    stop();
}

Test(query_api, who_goes_away_while_waiting_leaves_the_row, .timeout = 60)
{
    start(600000);
    struct ox_client1 c[4];
    c[0] = ask("acme", "GET");
    c[1] = ask("acme", "GET");
    await_running(2);
    c[2] = ask("acme", "GET");
    await_waiting(1);
    ox_client1_fini(&c[2]);
    await_waiting(0);
    c[3] = ask("acme", "GET");
    await_waiting(1);
    allow(3);
    cr_assert_eq(heard(&c[3], "{}"), 200);
    stop();
    ox_client1_fini(&c[0]);
    ox_client1_fini(&c[1]);
}

Test(query_api, a_stop_answers_who_waits, .timeout = 60)
{
    start(600000);
    struct ox_client1 c[3];
    c[0] = ask("acme", "GET");
    c[1] = ask("acme", "GET");
    await_running(2);
    c[2] = ask("acme", "GET");
    await_waiting(1);
    allow(3); /* it may have its turn before the stop comes */
    stop();
    for (int i = 0; i < 3; i++)
        ox_client1_fini(&c[i]);
}
