/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    addresses, listening sockets, query strings.
 * Method:  tables of texts; real sockets on free ports and in a directory of the test's own.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ox/net.h"
#include "tests/harness/http_client.h"

Test(net, reads_and_writes_addresses)
{
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } cases[] = {
        {"127.0.0.1:4317", "127.0.0.1:4317"},
        {"localhost:0", "127.0.0.1:0"},
        {":80", "0.0.0.0:80"},
        {"*:65535", "0.0.0.0:65535"},
        {"[::1]:9", "[::1]:9"},
        {"[::]:0", "[::]:0"},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1:8x", NULL},
        {"256.0.0.1:1", NULL},
        {"::1:9", NULL},
        {"[::1]", NULL},
        {"[]:1", NULL},
        {"example.org:1", NULL},
        {"", NULL},
        {"[127.0.0.1]:1", NULL},
        {"1:2:3:4", NULL},
        {"[:1", NULL},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_net_addr a;
        struct ox_diag diag;
        char text[OX_NET_ADDR_MAX];
        ox_err err = ox_net_addr_parse(ox_str_of(cases[i].in), &a, &diag);
        cr_assert_eq(err, cases[i].out != NULL ? OX_OK : OX_E_INVALID, "%s", cases[i].in);
        if (err == OX_OK) {
            ox_net_addr_format(&a, text);
            cr_assert_str_eq(text, cases[i].out);
        }
    }
    cr_assert(ox_net_is_loopback_text(OX_STR("127.9.9.9")));
    cr_assert(ox_net_is_loopback_text(OX_STR("::1")));
    cr_assert(ox_net_is_loopback_text(OX_STR("[::ffff:127.0.0.1]")));
    cr_assert(ox_net_is_loopback_text(OX_STR("localhost")));
    cr_assert_not(ox_net_is_loopback_text(OX_STR("128.0.0.1")));
    cr_assert_not(ox_net_is_loopback_text(OX_STR("::")));
    cr_assert_not(ox_net_is_loopback_text(OX_STR("")));
}

Test(net, listens_on_a_free_port_and_says_when_one_is_taken)
{
    int fd, other;
    char actual[OX_NET_ADDR_MAX];
    struct ox_diag diag;
    cr_assert_eq(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fd, actual, &diag), OX_OK);
    uint16_t port = (uint16_t)atoi(strrchr(actual, ':') + 1);
    cr_assert_gt(port, 0);
    int client = ox_client_connect(port);
    cr_assert_geq(client, 0);
    cr_assert_eq(ox_net_listen_text(ox_str_of(actual), &other, actual, &diag), OX_E_IO);
    cr_assert_neq(strstr(diag.text, "another program"), NULL, "%s", diag.text);
    close(client);
    close(fd);
}

Test(net, tells_where_a_socket_is_bound)
{
    static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", "*:0"};
    static const char *const hosts[] = {"127.0.0.1:", "[::1]:", "0.0.0.0:"};
    char actual[OX_NET_ADDR_MAX], local[OX_NET_ADDR_MAX];
    struct ox_diag diag;
    int fd;
    for (size_t i = 0; i < OX_COUNT(addresses); i++) {
        if (ox_net_listen_text(ox_str_of(addresses[i]), &fd, actual, &diag) != OX_OK) {
            cr_assert(addresses[i][0] == '[', "%s", diag.text); /* a machine without IPv6 */
            continue;
        }
        cr_assert_eq(ox_net_local_text(fd, local), OX_OK);
        cr_assert_str_eq(local, actual);
        cr_assert_eq(strncmp(local, hosts[i], strlen(hosts[i])), 0, "%s", local);
        close(fd);
    }
    int pair[2];
    cr_assert_eq(pipe(pair), 0);
    cr_assert_eq(ox_net_local_text(pair[0], local), OX_E_IO);
    close(pair[0]);
    close(pair[1]);
}

Test(net, replaces_stale_sockets_but_not_served_ones)
{
    char dir[] = "/tmp/ox-net-XXXXXX", path[64];
    int fd, other;
    struct ox_diag diag;
    struct stat st;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    cr_assert_eq(ox_net_listen_unix(path, 0600, &fd, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(ox_net_listen_unix(path, 0600, &other, &diag), OX_E_EXISTS);
    close(fd);
    cr_assert_eq(ox_net_listen_unix(path, 0600, &fd, &diag), OX_OK, "%s", diag.text);
    int client = ox_client_connect_unix(path);
    cr_assert_geq(client, 0);
    close(client);
    close(fd);
    unlink(path);
    rmdir(dir);
}

Test(net, walks_queries)
{
    struct ox_query_iter it = {OX_STR("a=1&&b&c=%20x+y&=v&d==")};
    static const char *const want[] = {"a", "1", "b", "", "c", "%20x+y", "", "v", "d", "="};
    struct ox_str k, v;
    for (size_t i = 0; i < OX_COUNT(want); i += 2) {
        cr_assert(ox_query_next(&it, &k, &v));
        cr_assert(ox_str_eq(k, ox_str_of(want[i])));
        cr_assert(ox_str_eq(v, ox_str_of(want[i + 1])));
    }
    cr_assert_not(ox_query_next(&it, &k, &v));
}

Test(net, decodes_values)
{
    char out[8];
    struct ox_str q = OX_STR("a=%41+b&x%20y=2&bad=%4&zero=a%00b&long=12345678&pct=%31%32%33%34%35%36%37");
    cr_assert_eq(ox_query_get(q, OX_STR("a"), out, sizeof(out)), OX_OK);
    cr_assert_str_eq(out, "A b");
    cr_assert_eq(ox_query_get(q, OX_STR("x y"), out, sizeof(out)), OX_OK);
    cr_assert_str_eq(out, "2");
    cr_assert_eq(ox_query_get(q, OX_STR("bad"), out, sizeof(out)), OX_E_INVALID);
    cr_assert_eq(ox_query_get(q, OX_STR("zero"), out, sizeof(out)), OX_E_INVALID);
    cr_assert_eq(ox_query_get(q, OX_STR("long"), out, sizeof(out)), OX_E_TOO_LARGE);
    cr_assert_eq(ox_query_get(q, OX_STR("pct"), out, sizeof(out)), OX_OK);
    cr_assert_str_eq(out, "1234567");
    cr_assert_eq(ox_query_get(q, OX_STR("none"), out, sizeof(out)), OX_E_NOT_FOUND);
}
