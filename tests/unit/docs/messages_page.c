/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/docs/messages_page.c - docs/messages.md must say what include/ox/tbl/messages.h says.
 */
#include "ox/base.h"
#include "page.h"

static const char head[] = "# Messages\n\n"
                           "Generated from `include/ox/tbl/messages.h`: what the actors of a node say to one "
                           "another. A message `x` is sent as\n"
                           "`OX_K_x` and handled by `on_x`, so two greps show both ends; `docs/flow.md` "
                           "follows a record along them.\n\n"
                           "A mailbox is bounded, so a message may be refused, and then stays with its "
                           "sender. *Owed* messages are the answer to\n"
                           "something that their receiver has asked for, and *control* messages have a place "
                           "of their own beside the bound: neither\n"
                           "is refused for want of room.\n\n"
                           "| message | payload | from | to | when refused |\n|---|---|---|---|---|\n";

static const struct row {
    const char *name, *payload, *sender, *receiver, *refused;
} rows[] = {
#define OX_MESSAGE(symbol, payload, sender, receiver, refused) {#symbol, payload, sender, receiver, refused},
#include "ox/tbl/messages.h"
#undef OX_MESSAGE
};

/* Types as code; "num" and "-" are none. */
static void
put_payload(struct ox_buf *page, const char *payload)
{
    bool is_type = strncmp(payload, "struct ", 7) == 0;
    ox_buf_printf(page, is_type ? "`%s`" : "%s", strcmp(payload, "num") == 0 ? "a number" : payload);
}

int
main(int argc, char **argv)
{
    struct ox_buf page;
    ox_buf_init(&page);
    ox_buf_append_cstr(&page, head);
    for (size_t i = 0; i < OX_COUNT(rows); i++) {
        const struct row *r = &rows[i];
        ox_buf_printf(&page, "| `%s` | ", r->name);
        put_payload(&page, r->payload);
        ox_buf_printf(&page, " | %s | %s | %s |\n", r->sender, r->receiver, r->refused);
    }
    return page_main(argc, argv, &page, "messages_page");
}
