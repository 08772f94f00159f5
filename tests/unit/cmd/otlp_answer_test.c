/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a client understands what a server answers, in either encoding: words, and the number of refused records.
 * Method:  our server's writers are the other side; answers of others by hand.
 */
#include <criterion/criterion.h>

#include "cmd/otlp_answer.h"
#include "ox/otlp.h"

static struct ox_buf body;
static struct ox_otlp_answer answer;

static void
reset(void)
{
    ox_buf_init(&body);
}

static void
fini(void)
{
    ox_buf_fini(&body);
}

TestSuite(otlp_answer, .init = reset, .fini = fini);

static void
read_text(long status, const char *text)
{
    ox_buf_reset(&body);
    ox_buf_append_cstr(&body, text);
    ox_otlp_answer_read(status, &body, &answer);
}

Test(otlp_answer, a_refusal_is_its_words)
{
    for (int enc = OX_OTLP_PROTOBUF; enc <= OX_OTLP_JSON; enc++) {
        ox_buf_reset(&body);
        ox_otlp_status((enum ox_otlp_encoding)enc, 16, OX_STR("x-api-key: unknown"), 1000, &body);
        ox_otlp_answer_read(401, &body, &answer);
        cr_expect_str_eq(answer.why, "x-api-key: unknown");
        cr_expect_eq(answer.rejected, 0);
    }
}

Test(otlp_answer, a_part_refused_is_counted)
{
    for (int enc = OX_OTLP_PROTOBUF; enc <= OX_OTLP_JSON; enc++) {
        for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
            ox_buf_reset(&body);
            ox_otlp_response((enum ox_otlp_encoding)enc, (enum ox_signal)s, 300, OX_STR("no id"), &body);
            ox_otlp_answer_read(200, &body, &answer);
            cr_expect_eq(answer.rejected, 300, "%d %d", enc, s);
            cr_expect_str_eq(answer.why, "no id");
        }
    }
}

Test(otlp_answer, all_taken)
{
    for (int enc = OX_OTLP_PROTOBUF; enc <= OX_OTLP_JSON; enc++) {
        ox_buf_reset(&body);
        ox_otlp_response((enum ox_otlp_encoding)enc, OX_SIGNAL_LOGS, 0, OX_STR(""), &body);
        ox_otlp_answer_read(200, &body, &answer);
        cr_expect_eq(answer.rejected, 0);
        cr_expect_str_empty(answer.why);
    }
}

Test(otlp_answer, of_others)
{
    read_text(200, "{\"partialSuccess\":{\"rejectedSpans\":7}}");
    cr_expect_eq(answer.rejected, 7, "a number in place of a string");
    read_text(502, "<html>\x1b[31m bad gateway\n</html>");
    cr_expect_str_eq(answer.why, "<html>[31m bad gateway</html>");
    read_text(502, "{\"message\":");
    cr_expect_str_eq(answer.why, "{\"message\":", "what is no JSON is told as it is");
}
