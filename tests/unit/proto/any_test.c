/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    an AnyValue that is rendered and restored is the same AnyValue, and its stored text is what
 *          include/ox/any.h says.
 * Method:  thousands of random values, compared byte by byte on the wire, with a JSON library as the judge of
 *          the text; a table of values with their text; damaged texts and damaged wire bytes.
 */
#include <criterion/criterion.h>
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/any.h"
#include "ox/otlp.h"
#include "ox/otlp_wire.h"
#include "tests/harness/random_otlp.h"

#define ROUNDS 20000
#define SEED   0x616e79

static struct ox_any
read_any(const struct ox_buf *wire)
{
    struct ox_any any;
    cr_assert_not(wire->failed);
    cr_assert_eq(ox_any_read(ox_buf_str(wire), &any), OX_OK);
    return any;
}

static bool
same(const struct ox_buf *a, const struct ox_buf *b)
{
    return ox_str_eq(ox_buf_str(a), ox_buf_str(b));
}

static char
type_char(enum ox_any_type type)
{
    static const char chars[] = {
        [OX_ANY_NONE] = 'n',   [OX_ANY_STRING] = 's', [OX_ANY_BOOL] = 'b',   [OX_ANY_INT] = 'i',
        [OX_ANY_DOUBLE] = 'd', [OX_ANY_ARRAY] = 'j',  [OX_ANY_KVLIST] = 'j', [OX_ANY_BYTES] = 'x',
    };
    return chars[type];
}

static void
must_be_json(struct ox_str text, int round)
{
    json_error_t error;
    json_t *tree = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    cr_assert_not_null(tree, "round %d: %s in %.*s", round, error.text, (int)text.n, text.p);
    json_decref(tree);
}

Test(any, random_values_come_back)
{
    struct ox_random rnd;
    struct ox_buf wire, text, back, json, json_back;
    unsigned seen[OX_ANY_BYTES + 1] = {0};
    ox_random_seed(&rnd, SEED);
    ox_buf_init(&wire);
    ox_buf_init(&text);
    ox_buf_init(&back);
    ox_buf_init(&json);
    ox_buf_init(&json_back);
    for (int round = 0; round < ROUNDS; round++) {
        ox_buf_reset(&wire);
        ox_buf_reset(&text);
        ox_buf_reset(&back);
        ox_buf_reset(&json);
        ox_buf_reset(&json_back);
        random_any(&rnd, 1, &wire);
        struct ox_any any = read_any(&wire);
        seen[any.type]++;
        char type = ox_any_render(&any, &text);
        cr_assert_eq(type, type_char(any.type), "seed %#x, round %d", SEED, round);
        if (type == 'j')
            must_be_json(ox_buf_str(&text), round);
        struct ox_diag diag;
        ox_diag_clear(&diag);
        cr_assert_eq(ox_any_restore(type, ox_buf_str(&text), &back, &diag), OX_OK, "round %d: %s", round,
                     diag.text);
        cr_assert(same(&wire, &back), "seed %#x, round %d: %.*s came back as something else", SEED, round,
                  (int)text.len, (const char *)text.data);
        ox_any_to_json(&any, &json);
        must_be_json(ox_buf_str(&json), round);
        cr_assert_eq(ox_any_restore_json(type, ox_buf_str(&text), &json_back, &diag), OX_OK);
        cr_assert(same(&json, &json_back), "seed %#x, round %d", SEED, round);
        ox_buf_reset(&back);
        ox_any_to_wire(&any, &back);
        cr_assert(same(&wire, &back), "seed %#x, round %d", SEED, round);
    }
    for (size_t type = 0; type < OX_COUNT(seen); type++)
        cr_assert_gt(seen[type], ROUNDS / 50, "type %zu is hardly tested", type);
    ox_buf_fini(&wire);
    ox_buf_fini(&text);
    ox_buf_fini(&back);
    ox_buf_fini(&json);
    ox_buf_fini(&json_back);
}

/* Renders and restores a value; the text and type must be as given. */
static void
check(struct ox_any any, char type, const char *want)
{
    struct ox_buf text, wire, back;
    ox_buf_init(&text);
    ox_buf_init(&wire);
    ox_buf_init(&back);
    char got = ox_any_render(&any, &text);
    cr_assert_eq(got, type, "%s: type '%c', not '%c'", want, got, type);
    cr_assert(ox_str_eq(ox_buf_str(&text), ox_str_of(want)), "%.*s instead of %s", (int)text.len,
              (const char *)text.data, want);
    ox_any_to_wire(&any, &wire);
    cr_assert_eq(ox_any_restore(type, ox_buf_str(&text), &back, NULL), OX_OK, "%s", want);
    cr_assert(same(&wire, &back), "%s", want);
    ox_buf_fini(&text);
    ox_buf_fini(&wire);
    ox_buf_fini(&back);
}

static struct ox_any
real(double d)
{
    return (struct ox_any){.type = OX_ANY_DOUBLE, .d = d};
}

Test(any, scalars_have_these_texts)
{
    check((struct ox_any){.type = OX_ANY_NONE}, 'n', "");
    check((struct ox_any){.type = OX_ANY_STRING, .str = OX_STR("")}, 's', "");
    check((struct ox_any){.type = OX_ANY_STRING, .str = OX_STR("a \"b\"\n\xc3\xa9")}, 's',
          "a \"b\"\n\xc3\xa9");
    check((struct ox_any){.type = OX_ANY_BOOL, .b = true}, 'b', "true");
    check((struct ox_any){.type = OX_ANY_BOOL, .b = false}, 'b', "false");
    check((struct ox_any){.type = OX_ANY_INT, .i = 0}, 'i', "0");
    check((struct ox_any){.type = OX_ANY_INT, .i = 1}, 'i', "1");
    check((struct ox_any){.type = OX_ANY_INT, .i = INT64_MAX}, 'i', "9223372036854775807");
    check((struct ox_any){.type = OX_ANY_INT, .i = INT64_MIN}, 'i', "-9223372036854775808");
    check(real(1.0), 'd', "1");
    check(real(0.0), 'd', "0");
    check(real(-0.0), 'd', "-0");
    check(real(0.1), 'd', "0.1");
    check(real(DBL_MAX), 'd', "1.7976931348623157e+308");
    check(real(4.9406564584124654e-324), 'd', "5e-324");
    check(real((double)NAN), 'd', "NaN");
    check(real((double)INFINITY), 'd', "Infinity");
    check(real(-(double)INFINITY), 'd', "-Infinity");
    check((struct ox_any){.type = OX_ANY_BYTES, .str = OX_STR("")}, 'x', "");
    check((struct ox_any){.type = OX_ANY_BYTES, .str = {"\0\xff\xfe", 3}}, 'x', "AP/+");
    check((struct ox_any){.type = OX_ANY_BYTES, .str = {"\0", 1}}, 'x', "AA==");
}

/* A value with `content` as its ArrayValue or KeyValueList. */
static struct ox_any
list(enum ox_any_type type, const struct ox_buf *content)
{
    return (struct ox_any){.type = type, .str = ox_buf_str(content)};
}

static void
put_item(struct ox_buf *b, struct ox_any any)
{
    size_t mark = ox_wire_begin(b, 1);
    ox_any_to_wire(&any, b);
    ox_wire_end(b, mark);
}

static void
put_pair(struct ox_buf *b, struct ox_str key, struct ox_any any)
{
    size_t pair = ox_wire_begin(b, 1);
    ox_wire_put_bytes(b, 1, key);
    size_t value = ox_wire_begin(b, 2);
    ox_any_to_wire(&any, b);
    ox_wire_end(b, value);
    ox_wire_end(b, pair);
}

Test(any, types_inside_an_array_tell_themselves_apart)
{
    struct ox_buf b;
    ox_buf_init(&b);
    check(list(OX_ANY_ARRAY, &b), 'j', "[]");
    put_item(&b, (struct ox_any){.type = OX_ANY_INT, .i = 1});
    put_item(&b, real(1.0));
    put_item(&b, real(-0.0));
    put_item(&b, real(1e100));
    put_item(&b, real(1234567890123456.0));
    put_item(&b, real((double)NAN));
    put_item(&b, real(-(double)INFINITY));
    put_item(&b, (struct ox_any){.type = OX_ANY_BOOL, .b = true});
    put_item(&b, (struct ox_any){.type = OX_ANY_NONE});
    put_item(&b, (struct ox_any){.type = OX_ANY_STRING, .str = {"\"\0\x1f", 3}});
    put_item(&b, (struct ox_any){.type = OX_ANY_BYTES, .str = OX_STR("M")});
    check(list(OX_ANY_ARRAY, &b), 'j',
          "[1,1.0,-0.0,1e+100,1234567890123456.0,{\"doubleValue\":\"NaN\"},{\"doubleValue\":\"-Infinity\"},"
          "true,null,\"\\\"\\u0000\\u001f\",{\"bytesValue\":\"TQ==\"}]");
    ox_buf_fini(&b);
}

Test(any, lists_that_look_like_something_else_are_wrapped)
{
    struct ox_any text = {.type = OX_ANY_STRING, .str = OX_STR("TQ==")};
    struct ox_buf b, outer;
    ox_buf_init(&b);
    ox_buf_init(&outer);
    check(list(OX_ANY_KVLIST, &b), 'j', "{}");
    put_pair(&b, OX_STR("bytesValue"), text);
    check(list(OX_ANY_KVLIST, &b), 'j', "{\"kvlistValue\":{\"bytesValue\":\"TQ==\"}}");
    put_pair(&outer, OX_STR("kvlistValue"), list(OX_ANY_KVLIST, &b));
    check(list(OX_ANY_KVLIST, &outer), 'j',
          "{\"kvlistValue\":{\"kvlistValue\":{\"kvlistValue\":{\"bytesValue\":\"TQ==\"}}}}");
    ox_buf_reset(&outer);
    put_pair(&outer, OX_STR("doubleValue"), (struct ox_any){.type = OX_ANY_STRING, .str = OX_STR("NaN")});
    check(list(OX_ANY_KVLIST, &outer), 'j', "{\"kvlistValue\":{\"doubleValue\":\"NaN\"}}");
    put_pair(&b, OX_STR("bytesValue"), text);
    check(list(OX_ANY_KVLIST, &b), 'j', "{\"bytesValue\":\"TQ==\",\"bytesValue\":\"TQ==\"}");
    ox_buf_reset(&b);
    put_pair(&b, OX_STR(""), (struct ox_any){.type = OX_ANY_NONE});
    put_pair(&b, (struct ox_str){"\0", 1}, (struct ox_any){.type = OX_ANY_INT, .i = -1});
    check(list(OX_ANY_KVLIST, &b), 'j', "{\"\":null,\"\\u0000\":-1}");
    ox_buf_fini(&b);
    ox_buf_fini(&outer);
}

/* An integer inside arrays, or inside lists with a key that makes each one wrapped; its depth is `depth`. */
static void
nested(struct ox_buf *wire, unsigned depth, bool lists)
{
    struct ox_buf inner;
    ox_buf_init(&inner);
    ox_wire_put_varint(wire, 3, 7);
    while (--depth > 0) {
        struct ox_any any = read_any(wire);
        ox_buf_reset(&inner);
        if (lists)
            put_pair(&inner, OX_STR("kvlistValue"), any);
        else
            put_item(&inner, any);
        ox_buf_reset(wire);
        ox_wire_put_bytes(wire, lists ? 6 : 5, ox_buf_str(&inner));
    }
    ox_buf_fini(&inner);
}

Test(any, the_deepest_value_comes_back)
{
    for (int lists = 0; lists < 2; lists++) {
        struct ox_buf wire, text, back;
        ox_buf_init(&wire);
        ox_buf_init(&text);
        ox_buf_init(&back);
        nested(&wire, OX_ANY_DEPTH_MAX, lists != 0);
        struct ox_any any = read_any(&wire);
        cr_assert_eq(ox_any_render(&any, &text), 'j');
        cr_assert_eq(ox_any_restore('j', ox_buf_str(&text), &back, NULL), OX_OK);
        cr_assert(same(&wire, &back));
        ox_buf_fini(&wire);
        ox_buf_fini(&text);
        ox_buf_fini(&back);
    }
}

Test(any, what_is_not_of_its_type_is_refused_and_leaves_nothing)
{
    static const struct {
        char type;
        const char *text;
    } bad[] = {
        {'i', ""},
        {'i', "-"},
        {'i', "1x"},
        {'i', "9223372036854775808"},
        {'i', "-9223372036854775809"},
        {'i', "1.5"},
        {'d', ""},
        {'d', "1x"},
        {'d', "nan"},
        {'d', "1e999"},
        {'b', "True"},
        {'b', ""},
        {'x', "A"},
        {'x', "AA="},
        {'x', "A A="},
        {'x', "===="},
        {'n', "null"},
        {'j', ""},
        {'j', "[1,]"},
        {'j', "{\"a\"}"},
        {'j', "{\"a\":1,}"},
        {'j', "[1] 2"},
        {'j', "[01]"},
        {'j', "nul"},
        {'j', "\"a"},
        {'j', "[1 2]"},
        {'j', "{a:1}"},
        {'j', "[9223372036854775808]"},
        {'j', "[1e999]"},
        {'j', "\"\n\""},
        {'j', "\"\\x\""},
        {'?', "a"},
        {'j', "{\"bytesValue\":\"AA==\"} 1"},
    };
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        struct ox_diag diag;
        struct ox_buf wire;
        ox_diag_clear(&diag);
        ox_buf_init(&wire);
        ox_buf_append_cstr(&wire, "before");
        cr_assert_eq(ox_any_restore(bad[i].type, ox_str_of(bad[i].text), &wire, &diag), OX_E_DECODE,
                     "'%c' %s", bad[i].type, bad[i].text);
        cr_assert_eq(wire.len, 6, "'%c' %s", bad[i].type, bad[i].text);
        cr_assert_neq(diag.text[0], '\0');
        ox_buf_fini(&wire);
    }
}

Test(any, text_that_is_nested_too_deeply_is_refused)
{
    char text[2 * OX_ANY_DEPTH_MAX + 3];
    struct ox_buf wire;
    ox_buf_init(&wire);
    for (size_t depth = OX_ANY_DEPTH_MAX; depth <= OX_ANY_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        ox_err err = ox_any_restore('j', (struct ox_str){text, 2 * depth}, &wire, NULL);
        cr_assert_eq(err, depth <= OX_ANY_DEPTH_MAX ? OX_OK : OX_E_DECODE, "depth %zu", depth);
    }
    ox_buf_fini(&wire);
}

Test(any, a_cut_text_is_refused_at_every_byte)
{
    static const char text[] = "{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\"],\"b\":{\"bytesValue\":\"TQ==\"},"
                               "\"c\":{\"kvlistValue\":{\"doubleValue\":\"NaN\"}}}";
    struct ox_buf wire;
    ox_buf_init(&wire);
    cr_assert_eq(ox_any_restore('j', OX_STR(text), &wire, NULL), OX_OK);
    for (size_t n = 0; n < sizeof(text) - 1; n++)
        cr_assert_eq(ox_any_restore('j', (struct ox_str){text, n}, &wire, NULL), OX_E_DECODE, "%zu bytes", n);
    ox_buf_fini(&wire);
}

Test(any, cut_wire_bytes_never_read_past_their_end)
{
    struct ox_random rnd;
    struct ox_buf wire, text;
    ox_random_seed(&rnd, SEED + 1);
    ox_buf_init(&wire);
    ox_buf_init(&text);
    for (int round = 0; round < 500; round++) {
        ox_buf_reset(&wire);
        random_any(&rnd, 1, &wire);
        for (size_t n = 1; n < wire.len; n++) {
            struct ox_any any;
            char *copy = malloc(n); /* its end is where a sanitizer watches */
            memcpy(copy, wire.data, n);
            cr_assert_eq(ox_any_read((struct ox_str){copy, n}, &any), OX_E_DECODE, "round %d, %zu bytes",
                         round, n);
            free(copy);
        }
        if (wire.len == 0)
            continue;
        wire.data[ox_random_below(&rnd, wire.len)] = (uint8_t)ox_random_u64(&rnd);
        struct ox_any any;
        if (ox_any_read(ox_buf_str(&wire), &any) == OX_OK) {
            ox_buf_reset(&text);
            ox_any_render(&any, &text);
            ox_any_to_json(&any, &text);
        }
    }
    ox_buf_fini(&wire);
    ox_buf_fini(&text);
}

Test(any, lists_end_and_fail_as_promised)
{
    struct ox_buf b;
    struct ox_any item;
    struct ox_any_pair pair;
    ox_buf_init(&b);
    put_item(&b, (struct ox_any){.type = OX_ANY_INT, .i = 5});
    struct ox_str rest = ox_buf_str(&b);
    cr_assert_eq(ox_any_array_next(&rest, &item), OX_OK);
    cr_assert_eq(item.type, OX_ANY_INT);
    cr_assert_eq(item.i, 5);
    cr_assert_eq(ox_any_array_next(&rest, &item), OX_E_END);
    rest = (struct ox_str){(const char *)b.data, b.len - 1};
    cr_assert_eq(ox_any_array_next(&rest, &item), OX_E_DECODE);
    ox_buf_reset(&b);
    put_pair(&b, OX_STR("k"), (struct ox_any){.type = OX_ANY_BOOL, .b = true});
    rest = ox_buf_str(&b);
    cr_assert_eq(ox_any_kvlist_next(&rest, &pair), OX_OK);
    cr_assert(ox_str_eq(pair.key, OX_STR("k")) && pair.value.type == OX_ANY_BOOL && pair.value.b);
    cr_assert_eq(ox_any_kvlist_next(&rest, &pair), OX_E_END);
    rest = (struct ox_str){(const char *)b.data, b.len - 1};
    cr_assert_eq(ox_any_kvlist_next(&rest, &pair), OX_E_DECODE);
    ox_buf_fini(&b);
}

Test(any, doubles_are_short_and_exact)
{
    struct ox_random rnd;
    struct ox_buf text;
    ox_random_seed(&rnd, SEED + 2);
    ox_buf_init(&text);
    for (int round = 0; round < ROUNDS; round++) {
        char shortest[40];
        double d;
        uint64_t bits = ox_random_u64(&rnd);
        memcpy(&d, &bits, 8);
        if (!isfinite(d) || (d == trunc(d) && fabs(d) < 1e15))
            continue;
        ox_buf_reset(&text);
        ox_double_text(&text, d, false);
        ox_buf_append(&text, "", 1);
        double back = strtod((const char *)text.data, NULL);
        cr_assert_eq(memcmp(&back, &d, 8), 0, "%s is not %a", (const char *)text.data, d);
        int digits = 1;
        do
            snprintf(shortest, sizeof(shortest), "%.*g", digits, d);
        while (strtod(shortest, NULL) != d && ++digits <= 17);
        cr_assert_str_eq((const char *)text.data, shortest);
    }
    ox_buf_fini(&text);
}
