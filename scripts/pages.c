/* SPDX-License-Identifier: MIT
 * Prints docs/configuration.md or docs/metrics.md from the tables in the code: `make docs`. */
#include "base/config.h"
#include "service/runner.h"
#include "shard/metrics.h"

#include <stdio.h>
#include <string.h>

static void metrics(bus_buf *page, const char *title, const char *labels, const bus_metric *table)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    bus_buf_printf(page, "\n## %s\n\nLabels: %s.\n\n| metric | kind | meaning |\n|---|---|---|\n", title, labels);
    for (const bus_metric *m = table; m->name; m++)
        bus_buf_printf(page, "| `%s` | %s | %s |\n", m->name, kinds[m->kind], m->help);
}

static void metrics_page(bus_buf *page)
{
    bus_buf_text(page, "# Metrics\n\n<!-- Generated from the tables in bus/service, bus/registry and bus/shard by `make docs`; do not edit. -->\n\n"
                       "A service answers `/metrics` in Prometheus' text format where `status.port` and `status.listen` say. Histograms have\n"
                       "buckets from 1 µs to 33 s, each twice the one before.\n");
    metrics(page, "Of a process", "`service`", bus_process_metric_table);
    metrics(page, "Of the schema registry's client", "`service`; only with `registry.url`. What events refer to and is known already is never asked for, "
                                                     "nor counted here", bus_asker_metric_table);
    metrics(page, "Of a shard", "`service`, `shard`", bus_shard_metric_table);
}

int main(int argc, char **argv)
{
    bus_buf page;
    const char *name = argc > 1 ? argv[1] : "";
    bus_buf_init(&page, 0);
    if (strcmp(name, "configuration") == 0)
        bus_config_page(&page);
    else if (strcmp(name, "metrics") == 0)
        metrics_page(&page);
    else
        page.failed = true;
    bool ok = bus_buf_ok(&page) && fwrite(page.data, 1, page.len, stdout) == page.len && fflush(stdout) == 0;
    bus_buf_free(&page);
    if (!ok)
        fputs("pages: say configuration or metrics; or the page cannot be written\n", stderr);
    return ok ? 0 : 1;
}
