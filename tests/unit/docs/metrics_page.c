/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/docs/metrics_page.c - docs/metrics.md must say what the tables of metrics say.
 */
#include "ox/metric.h"
#include "page.h"

int
main(int argc, char **argv)
{
    struct ox_buf page;
    ox_buf_init(&page);
    ox_metric_markdown(&page);
    return page_main(argc, argv, &page, "metrics_page");
}
