/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/api_console.c - GET /: the console, one page without outside parts.
 *
 * Owns:    the page, which is built from actors/query/console/ and lives in the program.
 * Threads: the port's loop.
 * Bounds:  the page's size, known when it is built.
 * Fails:   429 when there is no memory for the copy that is sent.
 * Flow:    api_pages.c -> here -> runtime/net; the page itself then asks the read API.
 *
 * Everything that a sender wrote reaches the page as JSON and is shown as text, never as markup. The policy is the
 * second line: only the style and the script whose hashes it names may run, and only this server may be asked.
 */
#include "actors/query/api_internal.h"

void
ox__api_console(struct ox_http_request *req)
{
    const struct ox_http_header headers[] = {
        {OX_STR("content-type"), OX_STR("text/html; charset=utf-8")},
        {OX_STR("cache-control"), OX_STR("no-store")},
        {OX_STR("content-security-policy"), ox_str_of(ox__console_policy)},
        {OX_STR("x-content-type-options"), OX_STR("nosniff")},
        {OX_STR("referrer-policy"), OX_STR("no-referrer")},
        {OX_STR("cross-origin-opener-policy"), OX_STR("same-origin")},
    };
    struct ox_buf body;
    ox_buf_init(&body);
    ox_buf_append(&body, ox__console_page, ox__console_page_len);
    if (body.failed) {
        ox_buf_fini(&body);
        ox__api_refuse(req, OX_E_NOMEM, NULL, NULL);
        return;
    }
    struct ox_http_response resp = {
        .status = 200, .headers = headers, .headers_len = OX_COUNT(headers), .body = &body};
    ox_http_respond(req, &resp);
    ox_buf_fini(&body);
}
