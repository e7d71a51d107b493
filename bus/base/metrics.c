/* SPDX-License-Identifier: MIT
 * Metrics as Prometheus text. */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void bus_observe(bus_histogram *h, int64_t us)
{
    int i = 0;
    if (us > 1)
        i = 64 - __builtin_clzll((unsigned long long)us - 1);
    if (i > BUS_BUCKETS)
        i = BUS_BUCKETS;
    uint64_t n = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    atomic_store_explicit(&h->bucket[i], n + 1, memory_order_relaxed);
    uint64_t sum = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
    atomic_store_explicit(&h->sum_us, sum + (us > 0 ? (uint64_t)us : 0), memory_order_relaxed);
}

/* The format knows only the point, whatever the host program's locale says. */
static void add_double(bus_buf *out, double value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.12g", value);
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    bus_buf_text(out, text);
}

static void add_help(bus_buf *out, const bus_metric *metric)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    bus_buf_printf(out, "# HELP %s ", metric->name);
    for (const char *p = metric->help; *p; p++) {
        if (*p == '\n')
            bus_buf_text(out, "\\n");
        else if (*p == '\\')
            bus_buf_text(out, "\\\\");
        else
            bus_buf_byte(out, (uint8_t)*p);
    }
    bus_buf_printf(out, "\n# TYPE %s %s\n", metric->name, kinds[metric->kind]);
}

static void add_name(bus_buf *out, const char *name, const char *suffix, const char *labels)
{
    if (labels && *labels)
        bus_buf_printf(out, "%s%s{%s} ", name, suffix, labels);
    else
        bus_buf_printf(out, "%s%s ", name, suffix);
}

static void add_histogram(bus_buf *out, const char *name, const char *labels, const bus_histogram *shared)
{
    bus_histogram *h = (bus_histogram *)(uintptr_t)shared; /* C11's atomic loads want no const */
    const char *comma = labels && *labels ? "," : "";
    uint64_t count = 0;
    for (int i = 0; i <= BUS_BUCKETS; i++) {
        count += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        bus_buf_printf(out, "%s_bucket{%s%sle=\"", name, labels ? labels : "", comma);
        if (i < BUS_BUCKETS)
            add_double(out, (double)(UINT64_C(1) << i) * 1e-6);
        else
            bus_buf_text(out, "+Inf");
        bus_buf_printf(out, "\"} %" PRIu64 "\n", count);
    }
    add_name(out, name, "_sum", labels);
    add_double(out, (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) * 1e-6);
    bus_buf_byte(out, '\n');
    add_name(out, name, "_count", labels);
    bus_buf_printf(out, "%" PRIu64 "\n", count);
}

static void add_value(bus_buf *out, const bus_metric *metric, const void *field)
{
    bool counter = metric->kind == BUS_METRIC_COUNTER;
    uint64_t count = counter ? bus_counter_read(field) : 0;
    int64_t level = counter ? 0 : bus_gauge_read(field);
    if (metric->scale != 0)
        add_double(out, (counter ? (double)count : (double)level) * metric->scale);
    else if (counter)
        bus_buf_printf(out, "%" PRIu64, count);
    else
        bus_buf_printf(out, "%" PRId64, level);
    bus_buf_byte(out, '\n');
}

void bus_metrics_render(bus_buf *out, const bus_metric *table, const bus_metric_instance *instances, size_t count)
{
    for (const bus_metric *metric = table; metric->name && count; metric++) {
        add_help(out, metric);
        for (size_t i = 0; i < count; i++) {
            const void *field = (const char *)instances[i].base + metric->offset;
            if (metric->kind == BUS_METRIC_HISTOGRAM) {
                add_histogram(out, metric->name, instances[i].labels, field);
            } else {
                add_name(out, metric->name, "", instances[i].labels);
                add_value(out, metric, field);
            }
        }
    }
}

void bus_metrics_copy(void *to, const void *from, size_t size)
{
    _Atomic uint64_t *out = to;
    const uint64_t *in = from;
    for (size_t i = 0; i < size / sizeof *in; i++)
        atomic_store_explicit(&out[i], in[i], memory_order_relaxed);
}
