/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every row of the error table is usable, names and hex are parsed exactly.
 * Method:  walk all rows; feed the edges of each parser.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "ox/base.h"

Test(base, every_error_row_is_complete)
{
    for (int e = 0; e < OX_ERR__COUNT; e++) {
        const struct ox_err_info *row = ox_err_info((ox_err)e);
        cr_assert_not_null(row->symbol);
        cr_assert_gt(strlen(row->text), 1, "%s has no text", row->symbol);
        cr_assert(row->http_status >= 200 && row->http_status < 600, "%s", row->symbol);
        cr_assert(row->grpc_status >= 0 && row->grpc_status <= 16, "%s", row->symbol);
        cr_assert(e == OX_OK || row->http_status >= 400, "%s", row->symbol);
        if (row->class == OX_CLASS_input)
            cr_assert_not(row->retryable, "%s: bad input stays bad", row->symbol);
        if (row->http_status == 429)
            cr_assert(row->retryable, "%s: 429 invites a retry", row->symbol);
    }
    cr_assert_str_eq(ox_err_info((ox_err)9999)->symbol, "INTERNAL");
}

Test(base, errno_maps_to_the_error_that_says_what_to_do)
{
    cr_assert_eq(ox_err_from_errno(0), OX_OK);
    cr_assert_eq(ox_err_from_errno(ENOSPC), OX_E_DISK_FULL);
    cr_assert_eq(ox_err_from_errno(EDQUOT), OX_E_DISK_FULL);
    cr_assert_eq(ox_err_from_errno(EIO), OX_E_IO);
}

Test(base, hex_round_trip_and_refusals)
{
    uint8_t id[4] = {0x00, 0xff, 0x1a, 0xb0}, back[4];
    char text[9];
    ox_hex_encode(id, 4, text);
    cr_assert_str_eq(text, "00ff1ab0");
    cr_assert_eq(ox_hex_decode(OX_STR("00FF1ab0"), back, 4), OX_OK);
    cr_assert_arr_eq(id, back, 4);
    cr_assert_eq(ox_hex_decode(OX_STR("00ff1ab"), back, 4), OX_E_INVALID);
    cr_assert_eq(ox_hex_decode(OX_STR("00ff1ab0a"), back, 4), OX_E_INVALID);
    cr_assert_eq(ox_hex_decode(OX_STR("00fg1ab0"), back, 4), OX_E_INVALID);
}

Test(base, tenant_names)
{
    struct ox_tenant_id id;
    struct ox_diag diag;
    cr_assert_eq(ox_tenant_id_parse(OX_STR("default"), &id, &diag), OX_OK);
    cr_assert_str_eq(id.name, "default");
    cr_assert_eq(ox_tenant_id_parse(OX_STR("a"), &id, NULL), OX_OK);
    cr_assert_eq(ox_tenant_id_parse(OX_STR(""), &id, &diag), OX_E_INVALID);
    cr_assert_eq(ox_tenant_id_parse(OX_STR("-a"), &id, &diag), OX_E_INVALID);
    cr_assert_eq(ox_tenant_id_parse(OX_STR("A"), &id, &diag), OX_E_INVALID);
    cr_assert_eq(ox_tenant_id_parse(OX_STR("a'b"), &id, &diag), OX_E_INVALID);
    cr_assert_eq(diag.offset, 1);
    char longest[64];
    memset(longest, 'x', sizeof(longest));
    cr_assert_eq(ox_tenant_id_parse((struct ox_str){longest, 63}, &id, NULL), OX_OK);
    cr_assert_eq(ox_tenant_id_parse((struct ox_str){longest, 64}, &id, NULL), OX_E_INVALID);
}
