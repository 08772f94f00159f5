/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    https://: storage is asked when an authority that we trust vouches for it under that name, and else not.
 * Method:  our own HTTP server with TLS in the place of ClickHouse.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/storage.h"
#include "tests/harness/certs.h"
#include "tests/unit/runtime/net/fixture.h"

static struct fixture f;
static struct certs certs;

static ox_err
ping(const char *host, const char *ca)
{
    char url[64];
    struct ox_storage *st;
    struct ox_diag diag;
    snprintf(url, sizeof(url), "https://%s:%u", host, f.port);
    struct ox_storage_options o = {.url = url, .ca_file = ca};
    cr_assert_eq(ox_storage_open(&o, &st, &diag), OX_OK, "%s", diag.text);
    ox_err err = ox_storage_ping(st, 5000, &diag);
    ox_storage_close(st);
    return err;
}

Test(storage_tls, only_a_server_that_is_vouched_for_is_asked, .timeout = 60)
{
    char cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX];
    struct ox_diag diag;
    certs_make(&certs);
    const struct ox_tls_options o = {.cert_file = certs.cert, .key_file = certs.key};
    cr_assert_eq(ox_tls_new(&o, &f.o.tls, &diag), OX_OK, "%s", diag.text);
    fixture_start(&f);
    cr_assert_eq(ping("127.0.0.1", certs.ca), OX_OK);
    cr_assert_eq(ping("localhost", certs.ca), OX_OK);
    certs_stranger(&certs, "foreign", "foreign", cert, key);
    cr_assert_eq(ping("127.0.0.1", cert), OX_E_STORAGE_DOWN, "another authority");
    cr_assert_eq(ping("127.0.0.1", NULL), OX_E_STORAGE_DOWN, "the system's authorities");
    cr_assert_eq(ping("127.0.0.2", certs.ca), OX_E_STORAGE_DOWN, "another name");
    fixture_stop(&f);
    ox_tls_free(f.o.tls);
    certs_remove(&certs);
}
