/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the calls that the spans of a trace show are counted once each, under the right names, whatever their order;
 *          features take the peers that the semantic conventions name.
 * Method:  small traces by hand, each in every order of its spans, printed and compared as text.
 */
#include "actors/sampler/edges.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "made_spans.h"
#include "ox/buf.h"

enum { INTERNAL = 1, SERVER, CLIENT, PRODUCER, CONSUMER };
#define SPANS_MAX 6

static struct ox__services names;

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "client>server type client_ns/server_ns[ error][ bytes]", sorted, with newlines. */
static void
print(const struct ox__edges *e, char *out, size_t size)
{
    char lines[32][128], *sorted[32] = {0};
    size_t n = 0;
    for (uint32_t i = 0; i < e->n_calls; i++) {
        const struct ox_edge_call *c = &e->calls[i];
        char a[24] = "-", b[24] = "-", bytes[24] = "";
        if (c->has_client)
            snprintf(a, sizeof(a), "%llu", (unsigned long long)c->client_ns);
        if (c->has_server)
            snprintf(b, sizeof(b), "%llu", (unsigned long long)c->server_ns);
        if (c->request_bytes > 0)
            snprintf(bytes, sizeof(bytes), " %llu", (unsigned long long)c->request_bytes);
        snprintf(lines[i], sizeof(lines[i]), "%s>%s %s %s/%s%s%s\n", c->client.p, c->server.p,
                 ox_edge_type_name((enum ox_edge_type)c->type), a, b, c->error ? " error" : "", bytes);
        sorted[i] = lines[i];
    }
    qsort(sorted, e->n_calls, sizeof(*sorted), by_text);
    out[0] = '\0';
    for (uint32_t i = 0; i < e->n_calls; i++)
        n += (size_t)snprintf(out + n, size - n, "%s", sorted[i]);
}

static void
find(struct ox__edges *e, const struct made_span *spans, const int *order, int n, bool complete)
{
    struct ox_batch *b = made_batch(7, 0);
    static struct ox__span_features f[SPANS_MAX], link;
    for (int i = 0; i < n; i++)
        made_add(b, &spans[order[i]]);
    cr_assert_eq(ox__edges_reserve(e, (uint32_t)n + 1), OX_OK);
    ox__edges_begin(e);
    for (int i = 0; i < n; i++) {
        ox__features_of(&names, b, &b->spans[i], &f[i]);
        ox__edges_add(e, &f[i]);
        if (b->spans[i].links.count > 0) {
            link = (struct ox__span_features){.kind = OX__KIND_LINK,
                                              .span_id = f[i].span_id,
                                              .parent_id =
                                                  ox__features_id(b->links[b->spans[i].links.first].span_id)};
            ox__edges_add(e, &link);
        }
    }
    ox__edges_find(e, &names, complete);
    ox_batch_free(b);
}

static bool
next_order(int *order, int n)
{
    int i = n - 2, k = n - 1;
    while (i >= 0 && order[i] > order[i + 1])
        i--;
    if (i < 0)
        return false;
    while (order[k] < order[i])
        k--;
    int t = order[i];
    order[i] = order[k];
    order[k] = t;
    for (int a = i + 1, z = n - 1; a < z; a++, z--) {
        t = order[a];
        order[a] = order[z];
        order[z] = t;
    }
    return true;
}

static void
shows(const struct made_span *spans, bool complete, const char *want)
{
    struct ox__edges e = {0};
    int order[SPANS_MAX] = {0, 1, 2, 3, 4, 5}, n = 0;
    char text[2048];
    cr_assert_eq(ox__services_init(&names, 100, 5), OX_OK);
    while (n < SPANS_MAX && spans[n].id != 0)
        n++;
    uint64_t keys[SPANS_MAX] = {0};
    struct ox_sampling_entry entries[SPANS_MAX];
    bool first = true;
    do {
        find(&e, spans, order, n, complete);
        print(&e, text, sizeof(text));
        cr_assert_str_eq(text, want);
        if (first) {
            memcpy(keys, e.keys, e.n_keys * sizeof(*keys));
            memcpy(entries, e.entries, e.n_entries * sizeof(*entries));
        }
        first = false;
        cr_assert_eq(memcmp(keys, e.keys, e.n_keys * sizeof(*keys)), 0, "keys depend on the order");
        cr_assert_eq(memcmp(entries, e.entries, e.n_entries * sizeof(*entries)), 0, "entries do");
    } while (next_order(order, n));
    ox__edges_fini(&e);
    ox__services_fini(&names);
}

Test(edges, client_and_server)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "web", "GET /", SERVER, 0, 1000, 900},
        {1, 2, 1, "web", "call", CLIENT, 0, 1010, 500, .attrs = {"http.request.body.size", "77"}},
        {1, 3, 2, "cart", "GET /cart", SERVER, 2, 1020, 300},
        {1, 4, 3, "cart", "work", INTERNAL, 0, 1030, 10},
    };
    shows(spans, true, "web>cart  500/300 error 77\n");
}

Test(edges, a_caller_that_is_not_instrumented)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "web", "GET /", SERVER, 2, 1000, 900},
        {1, 2, 1, "cart", "GET /cart", SERVER, 0, 1020, 300},
        {1, 3, 2, "stock", "check", INTERNAL, 0, 1030, 20},
    };
    shows(spans, true, "cart>stock  -/20\nweb>cart  -/300\n");
}

Test(edges, a_service_that_calls_itself)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "web", "GET /", CLIENT, 0, 1000, 900},
        {1, 2, 1, "web", "GET /", SERVER, 0, 1020, 300},
    };
    shows(spans, true, "web>web  900/300\n");
}

Test(edges, databases_and_other_peers)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "web", "GET /", SERVER, 0, 1000, 900},
        {1, 2, 1, "web", "SELECT", CLIENT, 0, 1010, 50,
         .attrs = {"db.system.name", "postgresql", "db.namespace", "shop", "server.address", "10.0.0.1"}},
        {1, 3, 1, "web", "GET", CLIENT, 2, 1020, 40, .attrs = {"db.system", "redis"}},
        {1, 4, 1, "web", "POST", CLIENT, 0, 1030, 30, .attrs = {"server.address", "api.example.com"}},
        {1, 5, 1, "web", "POST", CLIENT, 0, 1040, 20,
         .attrs = {"peer.service", "payments", "server.address", "10.0.0.2"}},
        {1, 6, 1, "web", "local", CLIENT, 0, 1050, 10},
    };
    shows(spans, true,
          "web>api.example.com external 30/-\nweb>payments external 20/-\nweb>postgresql/shop database 50/-\n"
          "web>redis database 40/- error\n");
    shows(spans, false, "");
}

Test(edges, a_peer_that_is_in_the_trace_is_not_counted_again)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "web", "sdk", CLIENT, 0, 1000, 900, .attrs = {"peer.service", "cart"}},
        {1, 2, 1, "web", "http", CLIENT, 0, 1010, 800, .attrs = {"server.address", "cart.local"}},
        {1, 3, 2, "cart", "GET /cart", SERVER, 0, 1020, 300},
        {1, 4, 3, "cart", "search", CLIENT, 0, 1030, 100, .attrs = {"db.system", "elasticsearch"}},
        {1, 5, 4, "cart", "POST", CLIENT, 0, 1040, 90, .attrs = {"server.address", "10.0.0.3"}},
    };
    shows(spans, true, "cart>elasticsearch database 100/-\nweb>cart  800/300\n");
}

Test(edges, messages_by_parent_and_by_link)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "shop", "order", SERVER, 0, 1000, 900},
        {1, 2, 1, "shop", "send", PRODUCER, 0, 1010, 5,
         .attrs = {"messaging.system", "kafka", "messaging.destination.name", "orders",
                   "messaging.message.body.size", "12"}},
        {1, 3, 2, "billing", "receive", CONSUMER, 0, 1100, 30},
        {1, 4, 1, "mail", "process", CONSUMER, 2, 1200, 20, .link_trace = 1, .link_id = 2},
        {1, 5, 1, "shop", "send", PRODUCER, 0, 1300, 6,
         .attrs = {"messaging.system", "kafka", "messaging.destination.name", "audit"}},
    };
    shows(spans, true,
          "shop>billing messaging_system 5/30 12\nshop>kafka/audit messaging_system 6/-\n"
          "shop>mail messaging_system 5/20 error 12\n");
}

Test(edges, a_span_that_was_sent_twice_counts_once)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "web", "call", CLIENT, 0, 1010, 500},
        {1, 2, 1, "cart", "GET /cart", SERVER, 0, 1020, 300},
        {1, 2, 1, "cart", "GET /cart", SERVER, 0, 1020, 300},
        {1, 1, 0, "web", "call", CLIENT, 0, 1010, 500},
    };
    shows(spans, true, "web>cart  500/300\n");
}

Test(edges, loops_and_missing_parents_do_no_harm)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 2, "a", "x", CLIENT, 0, 1000, 10, .attrs = {"peer.service", "b"}},
        {1, 2, 1, "a", "y", CLIENT, 0, 1000, 10, .attrs = {"peer.service", "c"}},
        {1, 3, 99, "b", "z", SERVER, 0, 1000, 10},
    };
    struct ox__edges e = {0};
    int order[] = {0, 1, 2};
    cr_assert_eq(ox__services_init(&names, 100, 5), OX_OK);
    find(&e, spans, order, 3, true);
    cr_assert_leq(e.n_calls, 2);
    cr_assert_eq(e.n_entries, 1);
    ox__edges_fini(&e);
    ox__services_fini(&names);
}

Test(edges, entries_are_where_requests_come_in)
{
    static const struct made_span spans[SPANS_MAX] = {
        {1, 1, 0, "web", "click", INTERNAL, 0, 1000, 900},  {1, 2, 1, "web", "call", CLIENT, 0, 1010, 500},
        {1, 3, 2, "cart", "GET", SERVER, 0, 1020, 300},     {1, 4, 3, "cart", "work", INTERNAL, 0, 1030, 10},
        {1, 5, 3, "stock", "check", INTERNAL, 0, 1040, 20},
    };
    struct ox__edges e = {0};
    int order[] = {4, 3, 2, 1, 0};
    cr_assert_eq(ox__services_init(&names, 100, 5), OX_OK);
    find(&e, spans, order, 5, true);
    cr_assert_eq(e.n_entries, 3);
    cr_assert(e.entries[0].duration_ns == 900 && e.entries[1].duration_ns == 300 &&
              e.entries[2].duration_ns == 20);
    cr_assert_neq(e.entries[0].service, e.entries[1].service);
    cr_assert_eq(e.n_keys, 2);
    ox__edges_fini(&e);
    ox__services_fini(&names);
}

Test(edges, names_are_bounded)
{
    char text[16];
    cr_assert_eq(ox__services_init(&names, 10, 5), OX_OK);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "s%d", i);
        uint16_t n = ox__services_get(&names, ox_str_of(text));
        cr_assert_eq(n, i < 8 ? (unsigned)i + 2 : OX__SERVICE_OTHER);
    }
    cr_assert_str_eq(ox__services_at(&names, OX__SERVICE_OTHER)->text.p, "(other services)");
    cr_assert_eq(ox__services_get(&names, OX_STR("s3")), 5);
    cr_assert_eq(ox__services_get(&names, (struct ox_str){NULL, 0}), OX__SERVICE_NONE);
    ox__services_fini(&names);
}

Test(edges, delays)
{
    struct ox__delays d = {0};
    for (int i = 0; i < 99; i++)
        ox__delays_add(&d, 3000000);
    cr_assert_eq(ox__delays_p95(&d, 777), 777, "too few to tell");
    for (int i = 0; i < 900; i++)
        ox__delays_add(&d, i % 10 == 0 ? 900000000 : 3000000);
    uint64_t p95 = ox__delays_p95(&d, 10000000000ull);
    cr_assert(p95 >= 900000000 && p95 <= 1300000000, "%llu", (unsigned long long)p95);
    cr_assert_eq(ox__delays_p95(&d, 1000), 1000);
    for (int i = 0; i < 100000; i++)
        ox__delays_add(&d, 3000000);
    p95 = ox__delays_p95(&d, 10000000000ull);
    cr_assert(p95 >= 3000000 && p95 <= 4300000, "%llu: follows the load", (unsigned long long)p95);
    for (int i = 0; i < 100000; i++)
        ox__delays_add(&d, UINT64_MAX);
    cr_assert_eq(ox__delays_p95(&d, 10000000000ull), 10000000000ull);
}
