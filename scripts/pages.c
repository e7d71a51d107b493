/* SPDX-License-Identifier: MIT
 * Prints docs/configuration.md or docs/metrics.md from the tables in the code: `make docs`. */
#include "base/config.h"
#include "service/runner.h"
#include "shard/metrics.h"

#include <stdio.h>
#include <string.h>

static void metrics(bui_buf *page, const char *title, const char *labels, const bui_metric *table)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    bui_buf_printf(page, "\n## %s\n\nLabels: %s.\n\n| metric | kind | meaning |\n|---|---|---|\n", title, labels);
    for (const bui_metric *m = table; m->name; m++)
        bui_buf_printf(page, "| `%s` | %s | %s |\n", m->name, kinds[m->kind], m->help);
}

static void metrics_page(bui_buf *page)
{
    bui_buf_text(
        page,
        "# Metrics\n\n<!-- Generated from the tables in bus/service, bus/registry and bus/shard by `make docs`; do not edit. -->\n\n"
        "A service answers `/metrics` in Prometheus' text format on `status.port` of the address `status.listen`. "
        "Histograms have\n"
        "buckets from 1 µs to 33 s, each twice the one before.\n");
    metrics(page, "Of a process", "`service`", bui_process_metric_table);
    metrics(page, "Of a program", "`service`, `version`, `bus`", bui_build_metric_table);
    metrics(page, "Of the schema registry's client",
            "`service`; only with `registry.url`. Schemas that are known already are "
            "neither asked for "
            "nor counted here",
            bui_registry_cache_metric_table);
    metrics(page, "Of a shard", "`service`, `shard`", bui_shard_metric_table);
    bui_buf_text(
        page,
        "\n## A service's own\n\nWhat a service registers by `bus_metric_register` (`bus/metric.h`) stands behind these, under its own names and "
        "without the labels above.\n");
}

int main(int argc, char **argv)
{
    bui_buf page;
    const char *name = argc > 1 ? argv[1] : "";
    bui_buf_init(&page, 0);
    if (strcmp(name, "configuration") == 0)
        bui_config_page(&page);
    else if (strcmp(name, "metrics") == 0)
        metrics_page(&page);
    else
        page.failed = true;
    bool ok = bui_buf_ok(&page) && fwrite(page.data, 1, page.len, stdout) == page.len && fflush(stdout) == 0;
    bui_buf_free(&page);
    if (!ok)
        fputs("pages: say configuration or metrics; or the page cannot be written\n", stderr);
    return ok ? 0 : 1;
}
