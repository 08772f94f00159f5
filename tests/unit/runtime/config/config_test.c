/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a table of keys is filled from file, environment and flags in that order, and every mistake is
 *          reported with its place and what is allowed.
 * Method:  a small table of its own with one key of each type; files in a temporary directory.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/config_table.h"

struct sample {
    char name[OX_CONFIG_STRING_MAX];
    int64_t count;
    uint64_t size_bytes;
    int64_t wait_ms;
    bool on;
    int colour;
    struct ox_net_addr listen;
};

static const struct ox_config_key keys[] = {
    {"name", OX_CONFIG_string, offsetof(struct sample, name), "x", "1", "8", "text", NULL, "a name"},
    {"pool.count", OX_CONFIG_int, offsetof(struct sample, count), "3", "-5", "10", "things", NULL, "a count"},
    {"pool.size_max", OX_CONFIG_bytes, offsetof(struct sample, size_bytes), "1MiB", "1KiB", "", "bytes", NULL,
     "a size"},
    {"pool.wait", OX_CONFIG_duration, offsetof(struct sample, wait_ms), "5s", "0", "1h", "ms", NULL,
     "a wait"},
    {"pool.on", OX_CONFIG_bool, offsetof(struct sample, on), "false", "", "", "", NULL, "a switch"},
    {"colour", OX_CONFIG_enum, offsetof(struct sample, colour), "red", "", "", "red|green|blue", NULL,
     "a colour"},
    {"listen.http", OX_CONFIG_address, offsetof(struct sample, listen), "127.0.0.1:80", "", "", "host:port",
     "http", "an address"},
};
static const struct ox_config_table table = {keys, OX_COUNT(keys), "OX_"};

static struct ox_config_report report;
static struct sample got;
static uint8_t origins[OX_COUNT(keys)];
static char path[] = "/tmp/ox-config-XXXXXX";

static void
setup(void)
{
    ox_config_report_init(&report);
    memset(&got, 0, sizeof(got));
}

static void
teardown(void)
{
    ox_config_report_fini(&report);
    unlink(path);
}

static const char *
written(const char *text)
{
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static ox_err
load_text(const char *text)
{
    struct ox_config_sources s = {.file = written(text)};
    return ox_config_table_load(&table, &s, &got, origins, &report);
}

static bool
reported(const char *needle)
{
    ox_buf_append(&report.text, "", 1);
    report.text.len--;
    return report.text.data != NULL && strstr((const char *)report.text.data, needle) != NULL;
}

/* The problem must stand in the report with this line number. */
static void
expect_problem(const char *text, unsigned line, const char *needle)
{
    char where[300];
    cr_expect_eq(load_text(text), OX_E_CONFIG, "accepted: %s", text);
    snprintf(where, sizeof(where), "%s:%u", path, line);
    cr_expect(reported(where), "no line %u in: %s", line, (char *)report.text.data);
    cr_expect(reported(needle), "no \"%s\" in: %s", needle, (char *)report.text.data);
    teardown();
    memcpy(path, "/tmp/ox-config-XXXXXX", sizeof(path));
    setup();
}

TestSuite(config, .init = setup, .fini = teardown);

Test(config, defaults_without_sources)
{
    struct ox_config_sources s = {0};
    cr_assert_eq(ox_config_table_load(&table, &s, &got, origins, &report), OX_OK);
    cr_assert_str_eq(got.name, "x");
    cr_assert_eq(got.count, 3);
    cr_assert_eq(got.size_bytes, 1u << 20);
    cr_assert_eq(got.wait_ms, 5000);
    cr_assert_not(got.on);
    cr_assert_eq(got.colour, 0);
    cr_assert_eq(got.listen.port, 80);
    cr_assert_eq(report.problems, 0);
}

Test(config, file_with_sections_and_dotted_keys)
{
    ox_err err = load_text("# comment\n"
                           "name: \"a b\"\n"
                           "pool:\n"
                           "  count: -5\n"
                           "  size_max: 64 MiB\n"
                           "  wait: 1m30s\n"
                           "pool.on: yes\n"
                           "colour: blue\n"
                           "listen: {http: '[::1]:0'}\n");
    cr_assert_eq(err, OX_OK, "%s", (char *)report.text.data);
    cr_assert_str_eq(got.name, "a b");
    cr_assert_eq(got.count, -5);
    cr_assert_eq(got.size_bytes, 64u << 20);
    cr_assert_eq(got.wait_ms, 90000);
    cr_assert(got.on);
    cr_assert_eq(got.colour, 2);
    cr_assert(got.listen.is_v6);
    for (size_t i = 0; i < OX_COUNT(origins); i++)
        cr_assert_eq(origins[i], OX_ORIGIN_FILE);
}

Test(config, file_below_environment_below_flags)
{
    const char *const env[] = {"OX_POOL_COUNT=7", "OX_POOL_WAIT=2s", "PATH=/bin", NULL};
    const char *const argv[] = {"--pool-wait", "250ms", "--http=127.0.0.1:81", "--pool-on"};
    struct ox_config_sources s = {.file = written("pool: {count: 1, wait: 1s, size_max: 2KiB}\n"),
                                  .env = (char *const *)env,
                                  .argv = (char *const *)argv,
                                  .argc = 4};
    cr_assert_eq(ox_config_table_load(&table, &s, &got, origins, &report), OX_OK, "%s",
                 (char *)report.text.data);
    cr_assert_eq(got.size_bytes, 2048);
    cr_assert_eq(got.count, 7);
    cr_assert_eq(got.wait_ms, 250);
    cr_assert_eq(got.listen.port, 81);
    cr_assert(got.on);
    cr_assert_eq(origins[0], OX_ORIGIN_DEFAULT);
    cr_assert_eq(origins[2], OX_ORIGIN_FILE);
    cr_assert_eq(origins[1], OX_ORIGIN_ENV);
    cr_assert_eq(origins[3], OX_ORIGIN_FLAG);
}

Test(config, mistakes_in_a_file_have_their_line)
{
    expect_problem("name: a\npool:\n  cuont: 4\n", 3, "did you mean pool.count?");
    expect_problem("\n\nsize_max: 4KiB\n", 3, "did you mean pool.size_max?");
    expect_problem("pool:\n  count: 11\n", 2, "11 is too large; allowed is -5 to 10 (default 3)");
    expect_problem("pool:\n  size_max: 12\n", 2, "12 is too small; allowed is 1KiB or more (default 1MiB)");
    expect_problem("pool: {size_max: 5 apples}\n", 1, "is not a size");
    expect_problem("pool: {wait: 5}\n", 1, "is not a duration");
    expect_problem("pool: {wait: 99999999999999999d}\n", 1, "is not a duration");
    expect_problem("pool: {count: 1.5}\n", 1, "is not a whole number");
    expect_problem("pool: {count: 99999999999999999999}\n", 1, "is not a whole number");
    expect_problem("pool: {on: maybe}\n", 1, "neither true nor false");
    expect_problem("colour: yellow\n", 1, "is not one of red|green|blue");
    expect_problem("listen: {http: 'nowhere'}\n", 1, "listen.http: ");
    expect_problem("name: muchtoolongname\n", 1, "too long");
    expect_problem("name: ''\n", 1, "too short");
    expect_problem("name:\n", 1, "has no value");
    expect_problem("name: a\ncolour: red\nname: b\n", 3, "already set in line 1");
    expect_problem("pool: 5\n", 1, "is a section");
    expect_problem("name: {a: b}\n", 1, "takes one value");
    expect_problem("name: [a]\n", 1, "a list is not expected");
    expect_problem("- name\n", 1, "a list is not expected");
    expect_problem("just words\n", 1, "keys with values are expected");
    expect_problem("name: *x\n", 1, "aliases");
    expect_problem("name: a\n\tb: c\n", 2, "not valid YAML");
    expect_problem("name: a\n---\nname: b\n", 2, "second document");
    expect_problem("? [a, b]\n: c\nname: ''\n", 3, "too short");
}

Test(config, every_mistake_is_reported_not_only_the_first)
{
    cr_assert_eq(load_text("nmae: a\npool: {count: 99, on: perhaps}\ncolour: x\n"), OX_E_CONFIG);
    cr_assert_eq(report.problems, 4);
}

Test(config, a_report_is_bounded)
{
    struct ox_buf text;
    ox_buf_init(&text);
    for (int i = 0; i < 500; i++)
        ox_buf_printf(&text, "unknown%d: 1\n", i);
    ox_buf_append(&text, "", 1);
    cr_assert_eq(load_text((const char *)text.data), OX_E_CONFIG);
    cr_assert_eq(report.problems, 500);
    cr_assert(reported("and 450 more\n"));
    ox_buf_fini(&text);
}

Test(config, mistakes_in_environment_and_flags)
{
    const char *const env[] = {"OX_COLOR=red", "OX_POOL_COUNT=many", NULL};
    const char *const argv[] = {"--pool-cont", "4", "--name", "--pool-wait=", "stray"};
    struct ox_config_sources s = {.env = (char *const *)env, .argv = (char *const *)argv, .argc = 5};
    cr_assert_eq(ox_config_table_load(&table, &s, &got, origins, &report), OX_E_CONFIG);
    cr_assert_eq(report.problems, 6, "%s", (char *)report.text.data);
    cr_assert(reported("OX_COLOR: unknown; did you mean OX_COLOUR?"));
    cr_assert(reported("OX_POOL_COUNT: \"many\" is not a whole number"));
    cr_assert(reported("--pool-cont: unknown; did you mean --pool-count?"));
    cr_assert(reported("--name: needs a value"));
    cr_assert(reported("--pool-wait: \"\" is not a duration"));
    cr_assert(reported("stray: not expected here"));
}

Test(config, variables_of_container_platforms_are_left_alone)
{
    const char *const env[] = {"OX_SERVICE_HOST=10.0.0.1",
                               "OX_SERVICE_PORT=80",
                               "OX_SERVICE_PORT_API=80",
                               "OX_PORT=tcp://10.0.0.1:80",
                               "OX_PORT_80_TCP_ADDR=10.0.0.1",
                               "OX_TEST_FOO=1",
                               NULL};
    struct ox_config_sources s = {.env = (char *const *)env};
    cr_assert_eq(ox_config_table_load(&table, &s, &got, origins, &report), OX_OK, "%s",
                 (char *)report.text.data);
}

Test(config, a_named_file_must_exist)
{
    struct ox_config_sources s = {.file = "/nonexistent/observex.yaml"};
    cr_assert_eq(ox_config_table_load(&table, &s, &got, NULL, &report), OX_E_CONFIG);
    cr_assert(reported("/nonexistent/observex.yaml: cannot be opened: No such file or directory"));
}

Test(config, printed_values_read_back_the_same)
{
    static const char *const values[][2] = {
        {"pool.size_max", "1536MiB"}, {"pool.size_max", "1500kB"},
        {"pool.size_max", "1025B"},   {"pool.wait", "90s"},
        {"pool.wait", "0"},           {"pool.count", "-4"},
        {"pool.on", "true"},          {"colour", "green"},
        {"listen.http", "[::1]:443"}, {"name", "a b#c"},
    };
    for (size_t i = 0; i < OX_COUNT(values); i++) {
        const struct ox_config_key *row = ox_config_table_find(&table, values[i][0]);
        struct ox_buf text;
        ox_buf_init(&text);
        cr_assert_eq(ox_config_key_set(row, ox_str_of(values[i][1]), &got, NULL), OX_OK);
        ox_config_key_print(row, &got, &text);
        cr_assert(ox_str_eq(ox_buf_str(&text), ox_str_of(values[i][1])), "%s became %.*s", values[i][1],
                  (int)text.len, (char *)text.data);
        ox_buf_fini(&text);
    }
}
