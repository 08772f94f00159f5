/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    an EntityRef is stored as the JSON that include/ox/entity.h says, whatever order or damage it comes in.
 * Method:  messages written by hand, and their text.
 */
#include <criterion/criterion.h>

#include "ox/entity.h"

#define WIRE(text)                                                                                           \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

static void
must_render(const struct ox_str *wires, size_t n, const char *want)
{
    struct ox_buf text;
    ox_buf_init(&text);
    ox_entity_refs_render(wires, n, &text);
    cr_assert_not(text.failed);
    cr_assert(ox_str_eq(ox_buf_str(&text), ox_str_of(want)), "%.*s", (int)text.len, (const char *)text.data);
    ox_buf_fini(&text);
}

Test(entity, none_is_the_empty_text)
{
    must_render(NULL, 0, "");
}

Test(entity, every_member_stands_in_the_text)
{
    const struct ox_str wires[] = {WIRE("\x0a\x01u\x12\x04host\x1a\x07host.id\x1a\x01x\x22\x09host.name"),
                                   WIRE("")};
    must_render(wires, 2,
                "[{\"schema_url\":\"u\",\"type\":\"host\",\"id_keys\":[\"host.id\",\"x\"],"
                "\"description_keys\":[\"host.name\"]},"
                "{\"schema_url\":\"\",\"type\":\"\",\"id_keys\":[],\"description_keys\":[]}]");
}

Test(entity, the_last_text_wins_lists_are_joined_and_quotes_are_escaped)
{
    const struct ox_str wires[] = {WIRE("\x1a\x01"
                                        "a\x12\x01x\x28\x07\x1a\x01"
                                        "b\x12\x01\"")};
    must_render(
        wires, 1,
        "[{\"schema_url\":\"\",\"type\":\"\\\"\",\"id_keys\":[\"a\",\"b\"],\"description_keys\":[]}]");
}

Test(entity, of_a_damaged_one_stands_what_came_before)
{
    const struct ox_str wires[] = {WIRE("\x12\x01t\x1a\x7f"
                                        "b")};
    must_render(wires, 1, "[{\"schema_url\":\"\",\"type\":\"t\",\"id_keys\":[],\"description_keys\":[]}]");
}
