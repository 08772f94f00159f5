/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the product's table is sound (defaults legal, names unambiguous, every row explained) and the
 *          rules between keys hold.
 * Method:  walk all rows; load with flags and an empty environment.
 */
#include <criterion/criterion.h>
#include <ctype.h>

#include "ox/config.h"

static ox_err
load(struct ox_config *c, struct ox_config_report *report, int argc, const char *const *argv,
     char *const *env)
{
    struct ox_config_sources s = {.argv = (char *const *)argv, .argc = argc, .env = (char *const *)env};
    ox_config_report_init(report);
    return ox_config_load(c, &s, NULL, report);
}

static void
row_is_sound(const struct ox_config_key *row)
{
    struct ox_config c;
    struct ox_diag diag;
    cr_expect_eq(ox_config_key_set(row, ox_str_of(row->def), &c, &diag), OX_OK, "%s: default: %s", row->key,
                 diag.text);
    cr_expect(islower((unsigned char)row->key[0]), "%s", row->key);
    for (const char *p = row->key; *p != '\0'; p++)
        cr_expect(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_' || *p == '.', "%s",
                  row->key);
    cr_expect_gt(strlen(row->text), 10, "%s has no text", row->key);
    bool number =
        row->type == OX_CONFIG_int || row->type == OX_CONFIG_bytes || row->type == OX_CONFIG_duration;
    if (number) {
        cr_expect_neq(row->min[0], '\0', "%s has no lower bound", row->key);
        cr_expect_eq(ox_config_key_set(row, ox_str_of(row->min), &c, &diag), OX_OK, "%s: min: %s", row->key,
                     diag.text);
        if (row->max[0] != '\0')
            cr_expect_eq(ox_config_key_set(row, ox_str_of(row->max), &c, &diag), OX_OK, "%s: max: %s",
                         row->key, diag.text);
    }
}

Test(product_config, every_row_is_sound)
{
    for (size_t i = 0; i < ox_config_rows.count; i++)
        row_is_sound(&ox_config_rows.keys[i]);
}

Test(product_config, no_two_rows_share_a_variable_or_flag)
{
    struct ox_buf a, b;
    ox_buf_init(&a);
    ox_buf_init(&b);
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        for (size_t j = i + 1; j < ox_config_rows.count; j++) {
            ox_buf_reset(&a);
            ox_buf_reset(&b);
            ox_config_key_env(&ox_config_rows, &ox_config_rows.keys[i], &a);
            ox_config_key_env(&ox_config_rows, &ox_config_rows.keys[j], &b);
            cr_expect_not(ox_str_eq(ox_buf_str(&a), ox_buf_str(&b)), "%.*s twice", (int)a.len,
                          (char *)a.data);
            ox_buf_reset(&a);
            ox_buf_reset(&b);
            ox_config_key_flag(&ox_config_rows.keys[i], &a);
            ox_config_key_flag(&ox_config_rows.keys[j], &b);
            cr_expect_not(ox_str_eq(ox_buf_str(&a), ox_buf_str(&b)), "%.*s twice", (int)a.len,
                          (char *)a.data);
        }
    }
    ox_buf_fini(&a);
    ox_buf_fini(&b);
}

Test(product_config, production_needs_postgres_and_says_what_to_set)
{
    struct ox_config c;
    struct ox_config_report report;
    const char *const alone[] = {"--mode", "production"};
    cr_assert_eq(load(&c, &report, 2, alone, NULL), OX_E_CONFIG);
    ox_buf_append(&report.text, "", 1);
    cr_assert_not_null(strstr((char *)report.text.data, "OBSERVE_X_POSTGRES_URL"));
    cr_assert_not_null(strstr((char *)report.text.data, "control.url"));
    ox_config_report_fini(&report);
    const char *const with[] = {"--mode", "production", "--control-url", "postgresql://ox@db/ox"};
    cr_assert_eq(load(&c, &report, 4, with, NULL), OX_OK);
    cr_assert_eq(c.mode, OX_MODE_PRODUCTION);
    ox_config_report_fini(&report);
    static char variable[] = "OBSERVE_X_POSTGRES_URL=postgresql://ox@db2/ox";
    char *const env[] = {variable, NULL};
    cr_assert_eq(load(&c, &report, 2, alone, env), OX_OK, "%s", (char *)report.text.data);
    cr_assert_str_eq(c.control_url, "postgresql://ox@db2/ox");
    ox_config_report_fini(&report);
    const char *const other[] = {"--mode", "production", "--control-url", "mysql://ox@db/ox"};
    cr_assert_eq(load(&c, &report, 4, other, NULL), OX_E_CONFIG);
    cr_assert_eq(report.problems, 1);
    ox_config_report_fini(&report);
}

struct start {
    const char *more[4];
    const char *says; /* NULL = it may start */
};

/* Production with what there must be, and one more thing. */
static void
expect_starts(const struct start *cases, size_t cases_n, const char *mode)
{
    for (size_t i = 0; i < cases_n; i++) {
        struct ox_config c;
        struct ox_config_report report;
        const char *args[6] = {mode, "--control-url=postgresql://ox@db/ox"};
        int n = 2;
        while (n < 6 && cases[i].more[n - 2] != NULL) {
            args[n] = cases[i].more[n - 2];
            n++;
        }
        ox_err err = load(&c, &report, n, args, NULL);
        ox_buf_append(&report.text, "", 1);
        cr_assert_eq(err, cases[i].says == NULL ? OX_OK : OX_E_CONFIG, "%zu: %s", i,
                     (char *)report.text.data);
        if (cases[i].says != NULL)
            cr_assert_not_null(strstr((char *)report.text.data, cases[i].says), "%zu: %s", i,
                               (char *)report.text.data);
        ox_config_report_fini(&report);
    }
}

Test(product_config, production_speaks_tls_beyond_this_machine_or_says_that_a_proxy_does)
{
    static const struct start cases[] = {
        {{0}, NULL},
        {{"--listen-api=0.0.0.0:8080"}, "OBSERVE_X_TLS_CERT_FILE"},
        {{"--listen-otlp-grpc=10.0.0.1:4317"}, "tls.plaintext"},
        {{"--listen-otlp-http=[::]:4318"}, "tls.cert_file"},
        {{"--listen-otlp-http=0.0.0.0:4318", "--tls-plaintext=true"}, NULL},
        {{"--listen-otlp-http=0.0.0.0:4318", "--tls-cert-file=/c", "--tls-key-file=/k"}, NULL},
        {{"--tls-cert-file=/c"}, "tls.key_file: is empty"},
        {{"--tls-key-file=/k"}, "tls.cert_file: is empty"},
        {{"--tls-ca-file=/a"}, "tls.ca_file: has no meaning"},
        {{"--tls-cert-file=/c", "--tls-key-file=/k", "--tls-clients-file=/f"},
         "tls.clients_file: has no meaning"},
    };
    expect_starts(cases, OX_COUNT(cases), "--mode=production");
}

Test(product_config, an_issuer_of_tokens_is_named_whole)
{
    static const struct start cases[] = {
        {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-jwks-file=/f"}, NULL},
        {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-jwks-url=https://i/jwks"}, NULL},
        {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-jwks-url=http://127.0.0.1:80/jwks"}, NULL},
        {{"--jwt-jwks-file=/f"}, "jwt.issuer: is empty"},
        {{"--jwt-issuer=i", "--jwt-jwks-file=/f"}, "jwt.audience: is empty"},
        {{"--jwt-issuer=i", "--jwt-audience=a"}, "jwt.jwks_url: is empty"},
        {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-jwks-url=https://i/jwks", "--jwt-jwks-file=/f"},
         "cannot both"},
        {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-jwks-url=http://i.example/jwks"},
         "jwt.jwks_url: begins"},
        {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-jwks-url=http://localhost.example/"},
         "jwt.jwks_url: begins"},
        {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-secret-file=/s"}, "is for development mode"},
        {{"--jwt-roles=a=editor,b=operator"}, NULL},
        {{"--jwt-roles=a=boss"}, "jwt.roles: is of the form"},
        {{"--jwt-roles=editor"}, "jwt.roles: is of the form"},
        {{"--jwt-roles==editor"}, "jwt.roles: is of the form"},
    };
    static const struct start development = {{"--jwt-issuer=i", "--jwt-audience=a", "--jwt-secret-file=/s"},
                                             NULL};
    expect_starts(cases, OX_COUNT(cases), "--mode=production");
    expect_starts(&development, 1, "--mode=development");
}

Test(product_config, a_provider_is_named_whole)
{
    static const struct start cases[] = {
        {{"--oidc-issuer=https://i", "--oidc-client-id=c",
          "--oidc-redirect-uri=https://o/api/v1/oidc/callback"},
         NULL},
        {{"--oidc-issuer=https://i", "--oidc-redirect-uri=https://o/api/v1/oidc/callback"},
         "oidc.client_id: is empty"},
        {{"--oidc-issuer=https://i", "--oidc-client-id=c"}, "oidc.redirect_uri: is https://"},
        {{"--oidc-issuer=https://i", "--oidc-client-id=c", "--oidc-redirect-uri=https://o/"},
         "oidc.redirect_uri"},
        {{"--oidc-issuer=http://i.example", "--oidc-client-id=c",
          "--oidc-redirect-uri=https://o/api/v1/oidc/callback"},
         "oidc.issuer: begins with"},
        {{"--oidc-issuer=https://i", "--oidc-client-id=c",
          "--oidc-redirect-uri=https://o/api/v1/oidc/callback", "--oidc-scopes=profile"},
         "oidc.scopes: has openid"},
    };
    expect_starts(cases, OX_COUNT(cases), "--mode=production");
}

Test(product_config, rules_between_keys)
{
    static const char *const wrong[] = {
        "--storage-url=ftp://x",
        "--storage-database=other",
        "--supervisor-backoff-min=31s",
        "--runtime-turn-warn=2s",
        "--heart-disk-min=2GiB",
        "--gateway-body-max=65MiB",
        "--dlq-file-bytes=2GiB",
        "--query-limit-default=5000",
        "--storage-url=http://",
        "--heart-backoff-min=31s",
        "--control-url=postgresql://a@b/c?password=d",
        "--tenant-weights=acme=0",
    };
    for (size_t i = 0; i < OX_COUNT(wrong); i++) {
        struct ox_config c;
        struct ox_config_report report;
        cr_expect_eq(load(&c, &report, 1, &wrong[i], NULL), OX_E_CONFIG, "%s", wrong[i]);
        cr_expect_eq(report.problems, 1, "%s", wrong[i]);
        ox_config_report_fini(&report);
    }
}

Test(product_config, a_journal_holds_two_segments)
{
    static const char *const pairs[][3] = {
        {"--wal-segment-bytes=4GiB", "--wal-total-bytes=8GiB", "fits"},
        {"--wal-segment-bytes=4GiB", "--wal-total-bytes=7GiB", NULL},
        {"--outbox-segment-bytes=1GiB", "--outbox-total-bytes=2GiB", "fits"},
        {"--outbox-segment-bytes=1GiB", "--outbox-total-bytes=2047MiB", NULL},
    };
    for (size_t i = 0; i < OX_COUNT(pairs); i++) {
        struct ox_config c;
        struct ox_config_report report;
        cr_expect_eq(load(&c, &report, 2, pairs[i], NULL), pairs[i][2] ? OX_OK : OX_E_CONFIG, "%s",
                     pairs[i][1]);
        ox_config_report_fini(&report);
    }
}

Test(product_config, the_short_flags_of_the_readme)
{
    struct ox_config c;
    struct ox_config_report report;
    const char *const argv[] = {"--data",      "/tmp/d",      "--otlp-grpc",  "0.0.0.0:0",
                                "--otlp-http", "127.0.0.1:0", "--api",        "[::1]:8081",
                                "--debug",     "127.0.0.1:0", "--ready-file", "/tmp/r"};
    cr_assert_eq(load(&c, &report, 12, argv, NULL), OX_OK, "%s", (char *)report.text.data);
    cr_assert_str_eq(c.data, "/tmp/d");
    cr_assert_str_eq(c.ready_file, "/tmp/r");
    cr_assert_eq(c.listen_api.port, 8081);
    cr_assert_eq(c.listen_otlp_grpc.port, 0);
    ox_config_report_fini(&report);
}

Test(product_config, an_exported_configuration_loads_the_same)
{
    struct ox_config a, b;
    struct ox_config_report report;
    const char *const argv[] = {"--mode",
                                "production",
                                "--control-url",
                                "postgresql://ox@db/ox?a=b c",
                                "--wal-ack=interval",
                                "--validate-past=36h",
                                "--gateway-memory=100MB"};
    cr_assert_eq(load(&a, &report, 7, argv, NULL), OX_OK);
    ox_config_report_fini(&report);
    struct ox_buf text;
    ox_buf_init(&text);
    ox_config_export(&a, &text);
    char *env[256];
    size_t n = 0;
    for (size_t at = 0; at < text.len; at += strlen(env[n - 1]) + 1)
        env[n++] = (char *)text.data + at;
    env[n] = NULL;
    cr_assert_gt(n, ox_config_rows.count / 2);
    cr_assert_eq(load(&b, &report, 0, NULL, env), OX_OK, "%s", (char *)report.text.data);
    cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0);
    ox_config_report_fini(&report);
    ox_buf_fini(&text);
}

Test(product_config, storage_url_of_the_embedded_engine)
{
    struct ox_config c;
    char url[OX_CONFIG_STRING_MAX];
    ox_config_defaults(&c);
    cr_assert(ox_config_embedded(&c));
    ox_config_storage_url(&c, url, sizeof(url));
    cr_assert_str_eq(url, "unix:./observex-data/engine.sock");
    strcpy(c.storage_url, "http://ch:8123");
    cr_assert_not(ox_config_embedded(&c));
    ox_config_storage_url(&c, url, sizeof(url));
    cr_assert_str_eq(url, "http://ch:8123");
}

Test(product_config, a_reload_takes_what_needs_no_restart)
{
    static struct ox_config now, next;
    bool *changed = calloc(ox_config_rows.count, sizeof(*changed));
    ox_config_defaults(&now);
    ox_config_defaults(&next);
    memset(next.data + strlen(next.data) + 1, 'x', 8); /* what stands behind the zero means nothing */
    cr_assert_eq(ox_config_take(&now, &next, changed), 0);
    for (size_t i = 0; i < ox_config_rows.count; i++)
        cr_assert(!changed[i], "%s", ox_config_rows.keys[i].key);

    next.gateway_body_bytes_max = 1 << 20;
    next.engine_memory_bytes = 1ull << 31;
    next.tenant_max = 7;
    next.listen_api.port = 9;
    cr_assert_eq(ox_config_take(&now, &next, changed), 2);
    cr_assert_eq(now.gateway_body_bytes_max, 1 << 20, "live");
    cr_assert_eq(now.engine_memory_bytes, 1ull << 31, "by a restart of the engine");
    cr_assert_neq(now.tenant_max, 7, "needs a restart");
    cr_assert_neq(now.listen_api.port, 9, "needs a restart");
    size_t n = 0;
    for (size_t i = 0; i < ox_config_rows.count; i++)
        n += changed[i];
    cr_assert_eq(n, 4, "also what was not taken has changed");
    cr_assert_eq(ox_config_take(&now, &next, changed), 0);
    free(changed);
}

Test(product_config, every_type_of_a_row_is_compared_and_copied)
{
    static struct ox_config a, b;
    struct ox_diag diag;
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        const struct ox_config_key *row = &ox_config_rows.keys[i];
        const char *other = row->type == OX_CONFIG_address  ? "127.0.0.1:1"
                            : row->type == OX_CONFIG_enum   ? strrchr(row->unit, '|') + 1
                            : row->type == OX_CONFIG_string ? "other"
                            : row->type == OX_CONFIG_bool   ? "true"
                                                            : row->min;
        ox_config_defaults(&a);
        ox_config_defaults(&b);
        cr_assert(ox_config_key_equal(row, &a, &b), "%s", row->key);
        cr_assert_eq(ox_config_key_set(row, ox_str_of(other), &b, &diag), OX_OK, "%s", row->key);
        bool is_default = ox_config_key_equal(row, &a, &b);
        ox_config_key_copy(row, &a, &b);
        cr_assert(ox_config_key_equal(row, &a, &b), "%s", row->key);
        cr_assert(!is_default || strcmp(row->def, other) == 0 || row->type == OX_CONFIG_duration ||
                      row->type == OX_CONFIG_int || row->type == OX_CONFIG_enum ||
                      row->type == OX_CONFIG_bytes,
                  "%s: \"%s\" is not seen as another value", row->key, other);
    }
}
