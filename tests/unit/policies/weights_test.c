/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    tenant.weights means what it says, what it does not mean is refused with a sentence, and a list that is applied
 *          replaces the one before.
 * Method:  texts, and the weights of the runtime behind them; that a weight is a part is in runtime/core/fair_test.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/actor.h"
#include "ox/weights.h"

static uint32_t
weight_of(const char *name)
{
    struct ox_tenant_id id;
    cr_assert_eq(ox_tenant_id_parse(ox_str_of(name), &id, NULL), OX_OK);
    return ox_tenant_weight(ox_tenant_index(&id));
}

static void
apply(const char *text)
{
    struct ox_weights weights;
    struct ox_diag diag;
    cr_assert_eq(ox_weights_parse(text, &weights, &diag), OX_OK, "%s", diag.text);
    ox_weights_apply(&weights);
}

Test(weights, are_in_force_until_the_next_list)
{
    apply("acme=3, globex=100,initech=1");
    cr_assert_eq(weight_of("acme"), 3);
    cr_assert_eq(weight_of("globex"), 100);
    cr_assert_eq(weight_of("initech"), 1);
    cr_assert_eq(weight_of("hooli"), 1);
    apply(" hooli=2 acme=4 ");
    cr_assert_eq(weight_of("hooli"), 2);
    cr_assert_eq(weight_of("acme"), 4);
    cr_assert_eq(weight_of("globex"), 1, "no longer named");
    apply("");
    cr_assert_eq(weight_of("acme"), 1);
    cr_assert_eq(weight_of("hooli"), 1);
}

Test(weights, what_is_no_list_is_refused_with_a_sentence)
{
    static const char *const bad[][2] = {
        {"acme", "write acme=3"},
        {"=3", "write acme=3"},
        {"Acme=3", "write acme=3"},
        {"acme=0", "from 1 to 100"},
        {"acme=101", "from 1 to 100"},
        {"acme=-1", "from 1 to 100"},
        {"acme=3x", "from 1 to 100"},
        {"acme=", "from 1 to 100"},
        {"acme= 3", "from 1 to 100"},
        {"a=1,b=2,a=1", "has a weight already"},
        {"acme=18446744073709551617", "from 1 to 100"},
    };
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        struct ox_weights weights;
        struct ox_diag diag;
        cr_expect_eq(ox_weights_parse(bad[i][0], &weights, &diag), OX_E_INVALID, "%s", bad[i][0]);
        cr_expect_not_null(strstr(diag.text, bad[i][1]), "%s: %s", bad[i][0], diag.text);
    }
}

Test(weights, so_many_tenants_have_one)
{
    char text[OX_WEIGHTS_MAX * 8 + 16] = "";
    struct ox_weights weights;
    struct ox_diag diag;
    for (int i = 0; i < OX_WEIGHTS_MAX; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "t%d=2,", i);
    cr_assert_eq(ox_weights_parse(text, &weights, &diag), OX_OK);
    cr_assert_eq(weights.n, OX_WEIGHTS_MAX);
    strcat(text, "one=2");
    cr_assert_eq(ox_weights_parse(text, &weights, &diag), OX_E_INVALID);
}
