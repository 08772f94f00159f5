/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a YAML text becomes the tree that it shows, with its lines; what is no such text is named with its line.
 * Method:  texts, and the tree printed in brackets.
 */
#include "ox/yaml_tree.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/buf.h"

static struct ox_diag diag;

/* {key=scalar,key=[a,b]} with @line behind each. */
static void
print(const struct ox_yaml_node *node, struct ox_buf *out)
{
    if (node->kind == OX_YAML_SCALAR) {
        ox_buf_printf(out, "%s%s%s@%u", node->quoted ? "'" : "", node->text.p, node->quoted ? "'" : "",
                      node->line);
        cr_assert_eq(strlen(node->text.p), node->text.n);
        return;
    }
    uint32_t n = 0;
    ox_buf_append_cstr(out, node->kind == OX_YAML_MAP ? "{" : "[");
    for (const struct ox_yaml_node *c = node->first; c != NULL; c = c->next, n++) {
        ox_buf_append_cstr(out, n > 0 ? "," : "");
        if (node->kind == OX_YAML_MAP)
            ox_buf_printf(out, "%.*s=", (int)c->key.n, c->key.p);
        print(c, out);
    }
    ox_buf_append_cstr(out, node->kind == OX_YAML_MAP ? "}" : "]");
    cr_assert_eq(n, node->n);
}

static void
becomes(const char *text, const char *want)
{
    struct ox_yaml *yaml;
    struct ox_buf out = {0};
    cr_assert_eq(ox_yaml_parse(ox_str_of(text), &yaml, &diag), OX_OK, "%s: %s", text, diag.text);
    print(ox_yaml_root(yaml), &out);
    ox_buf_append(&out, "", 1);
    cr_assert_str_eq((const char *)out.data, want);
    ox_buf_fini(&out);
    ox_yaml_free(yaml);
}

Test(yaml_tree, trees)
{
    becomes("", "{}");
    becomes("# nothing\n", "{}");
    becomes("a: 1\nb:\n  c: 'x y'\n  d: [1, {e: 2}, []]\n", "{a=1@1,b={c='x y'@3,d=[1@4,{e=2@4},[]]}}");
    becomes("- a\n-\n  b: 1\n  c: 2\n", "[a@1,{b=1@3,c=2@4}]");
    becomes("a:\nb: \"\"\n", "{a=@1,b=''@2}");
    struct ox_yaml *yaml;
    cr_assert_eq(ox_yaml_parse(OX_STR("a: 1\nb: 2"), &yaml, &diag), OX_OK);
    cr_assert_str_eq(ox_yaml_get(ox_yaml_root(yaml), "b")->text.p, "2");
    cr_assert_null(ox_yaml_get(ox_yaml_root(yaml), "c"));
    ox_yaml_free(yaml);
}

Test(yaml_tree, mistakes_are_named_with_their_line)
{
    static const struct {
        const char *text;
        int64_t line;
        const char *says;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", 3, "a: already set in line 1"},
        {"a: [1\n", 2, "not valid YAML"},
        {"a: &x 1\nb: *x\n", 2, "aliases"},
        {"a: 1\n---\nb: 2\n", 2, "second document"},
        {"? [a]\n: 1\n", 1, "a key is a word"},
        {"a: 1\n\"\": 2\n", 2, "a key is missing"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[", 1, "deeper than 24"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_yaml *yaml;
        ox_diag_clear(&diag);
        cr_assert_eq(ox_yaml_parse(ox_str_of(cases[i].text), &yaml, &diag), OX_E_CONFIG, "%s", cases[i].text);
        cr_assert_not_null(strstr(diag.text, cases[i].says), "%s: %s", cases[i].text, diag.text);
        cr_assert_eq(diag.offset, cases[i].line, "%s: line %lld", cases[i].text, (long long)diag.offset);
        cr_assert_null(yaml);
    }
    char *large = calloc(1, OX_YAML_BYTES_MAX + 1);
    struct ox_yaml *yaml;
    memset(large, ' ', OX_YAML_BYTES_MAX + 1);
    cr_assert_eq(ox_yaml_parse((struct ox_str){large, OX_YAML_BYTES_MAX + 1}, &yaml, &diag), OX_E_CONFIG);
    free(large);
    struct ox_buf keys = {0};
    for (int i = 0; i <= OX_YAML_KEYS_MAX; i++)
        ox_buf_printf(&keys, "k%d: 1\n", i);
    cr_assert_eq(ox_yaml_parse(ox_buf_str(&keys), &yaml, &diag), OX_E_CONFIG);
    cr_assert_eq(diag.offset, OX_YAML_KEYS_MAX + 1);
    ox_buf_fini(&keys);
}
