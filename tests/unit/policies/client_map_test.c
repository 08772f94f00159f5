/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the file of clients is understood as documented, its mistakes are named with their line, and a certificate is
 *          found by its whole name and nothing less.
 * Method:  texts.
 */
#include <criterion/criterion.h>

#include "ox/buf.h"
#include "ox/client_map.h"

static struct ox_client_map map;

static const struct ox_client *
find(const char *first, const char *second, ox_err expected)
{
    struct ox_tls_names names = {.n = second != NULL ? 2 : 1, .name = {(char *)first, (char *)second}};
    const struct ox_client *c = NULL;
    struct ox_diag diag;
    cr_assert_eq(ox_client_map_find(&map, &names, &c, &diag), expected, "%s", first);
    return c;
}

Test(client_map, a_client_is_found_by_its_whole_name)
{
    static const char text[] = "# who is who\n"
                               "\n"
                               "uri:spiffe://prod/acme   acme viewer ingest,query  # the collector\n"
                               "dns:shop.example\tglobex admin ingest.traces,admin\r\n"
                               "cn:ops platform operator admin\n"
                               "cn:shop globex admin ingest.traces,admin";
    struct ox_diag diag;
    cr_assert_eq(ox_client_map_parse(OX_STR(text), &map, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(map.n, 4);
    const struct ox_client *c = find("uri:spiffe://prod/acme", NULL, OX_OK);
    cr_assert_str_eq(c->tenant.name, "acme");
    cr_assert_eq(c->role, OX_ROLE_VIEWER);
    cr_assert_eq(c->scopes, OX_SCOPE_INGEST | OX_SCOPE_QUERY);
    cr_assert_str_eq(find("dns:other", "dns:shop.example", OX_OK)->tenant.name, "globex");
    cr_assert_eq(find("cn:ops", NULL, OX_OK)->role, OX_ROLE_OPERATOR);
    static const char *const nobody[] = {"uri:spiffe://prod/acme/x", "uri:spiffe://prod/acm",
                                         "dns:Shop.example",         "cn:shop.example",
                                         "dns:a.shop.example",       "dns:spiffe://prod/acme"};
    for (size_t i = 0; i < OX_COUNT(nobody); i++)
        cr_assert_null(find(nobody[i], NULL, OX_OK), "%s", nobody[i]);
    cr_assert_not_null(find("dns:shop.example", "cn:shop", OX_OK), "two names of the same");
    (void)find("dns:shop.example", "cn:ops", OX_E_FORBIDDEN);
    const struct ox_client *none = NULL;
    cr_assert_eq(ox_client_map_find(&map, NULL, &none, NULL), OX_OK);
    cr_assert_null(none);
    ox_client_map_fini(&map);
}

Test(client_map, mistakes_are_named_with_their_line)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"\nuri:a acme viewer\n", "line 2: a line is NAME TENANT ROLE SCOPES"},
        {"uri:a acme viewer query more", "line 1: a line is NAME"},
        {"acme acme viewer query", "'acme' does not begin with dns:"},
        {"dns: acme viewer query", "'dns:' does not begin"},
        {"uri:a Acme viewer query", "line 1: a tenant name consists of"},
        {"uri:a acme boss query", "viewer"},
        {"uri:a acme viewer everything", "ingest"},
        {"uri:a acme operator admin", "operators are of tenant platform"},
        {"uri:a platform viewer query", "operators are of tenant platform"},
        {"uri:a acme viewer query\nuri:a globex viewer query", "'uri:a' stands in two lines"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_diag diag;
        cr_assert_eq(ox_client_map_parse(ox_str_of(cases[i].text), &map, &diag), OX_E_CONFIG, "%s",
                     cases[i].text);
        cr_assert_not_null(strstr(diag.text, cases[i].says), "%s: %s", cases[i].text, diag.text);
        cr_assert_eq(map.n, 0);
    }
}

Test(client_map, a_zero_ends_no_name)
{
    struct ox_diag diag;
    static const char text[] = "uri:a\0b acme viewer query";
    cr_assert_eq(ox_client_map_parse((struct ox_str){text, sizeof(text) - 1}, &map, &diag), OX_E_CONFIG);
}

Test(client_map, there_are_no_more_than_there_may_be)
{
    struct ox_buf text = {0};
    struct ox_diag diag;
    for (int i = 0; i <= OX_CLIENT_MAP_MAX; i++)
        ox_buf_printf(&text, "cn:c%d acme viewer query\n", i);
    cr_assert_eq(ox_client_map_parse(ox_buf_str(&text), &map, &diag), OX_E_CONFIG);
    cr_assert_not_null(strstr(diag.text, "line 10001: "), "%s", diag.text);
    ox_buf_fini(&text);
}
