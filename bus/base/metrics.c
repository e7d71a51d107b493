/* SPDX-License-Identifier: MIT
 * Metrics as Prometheus text. */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void bui_observe(bui_histogram *h, int64_t us)
{
    int i = 0;
    if (us > 1)
        i = 64 - __builtin_clzll((unsigned long long)us - 1);
    if (i > BUI_BUCKETS)
        i = BUI_BUCKETS;
    uint64_t n = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    atomic_store_explicit(&h->bucket[i], n + 1, memory_order_relaxed);
    uint64_t sum = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
    atomic_store_explicit(&h->sum_us, sum + (us > 0 ? (uint64_t)us : 0), memory_order_relaxed);
}

void bui_metric_head(bui_buf *out, const char *name, const char *help, bui_metric_kind kind)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    bui_buf_printf(out, "# HELP %s ", name);
    for (const char *p = help; *p; p++) {
        if (*p == '\n')
            bui_buf_text(out, "\\n");
        else if (*p == '\\')
            bui_buf_text(out, "\\\\");
        else
            bui_buf_byte(out, (uint8_t)*p);
    }
    bui_buf_printf(out, "\n# TYPE %s %s\n", name, kinds[kind]);
}

static void add_name(bui_buf *out, const char *name, const char *suffix, const char *labels)
{
    if (labels && *labels)
        bui_buf_printf(out, "%s%s{%s} ", name, suffix, labels);
    else
        bui_buf_printf(out, "%s%s ", name, suffix);
}

static void add_histogram(bui_buf *out, const char *name, const char *labels, const bui_histogram *shared)
{
    bui_histogram *h = (bui_histogram *)(uintptr_t)shared; /* C11's atomic loads want no const */
    const char *comma = labels && *labels ? "," : "";
    uint64_t count = 0;
    for (int i = 0; i <= BUI_BUCKETS; i++) {
        count += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        bui_buf_printf(out, "%s_bucket{%s%sle=\"", name, labels ? labels : "", comma);
        if (i < BUI_BUCKETS)
            bui_buf_real(out, 12, (double)(UINT64_C(1) << i) * 1e-6);
        else
            bui_buf_text(out, "+Inf");
        bui_buf_printf(out, "\"} %" PRIu64 "\n", count);
    }
    add_name(out, name, "_sum", labels);
    bui_buf_real(out, 12, (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) * 1e-6);
    bui_buf_byte(out, '\n');
    add_name(out, name, "_count", labels);
    bui_buf_printf(out, "%" PRIu64 "\n", count);
}

static void add_value(bui_buf *out, const bui_metric *metric, const void *field)
{
    bool counter = metric->kind == BUI_METRIC_COUNTER;
    uint64_t count = counter ? bui_counter_read(field) : 0;
    int64_t level = counter ? 0 : bui_gauge_read(field);
    if (metric->scale != 0)
        bui_buf_real(out, 12, (counter ? (double)count : (double)level) * metric->scale);
    else if (counter)
        bui_buf_printf(out, "%" PRIu64, count);
    else
        bui_buf_printf(out, "%" PRId64, level);
    bui_buf_byte(out, '\n');
}

void bui_metrics_render(bui_buf *out, const bui_metric *table, const bui_metric_instance *instances, size_t count)
{
    for (const bui_metric *metric = table; metric->name && count; metric++) {
        bui_metric_head(out, metric->name, metric->help, metric->kind);
        for (size_t i = 0; i < count; i++) {
            const void *field = (const char *)instances[i].base + metric->offset;
            if (metric->kind == BUI_METRIC_HISTOGRAM) {
                add_histogram(out, metric->name, instances[i].labels, field);
            } else {
                add_name(out, metric->name, "", instances[i].labels);
                add_value(out, metric, field);
            }
        }
    }
}

void bui_metrics_copy(void *to, const void *from, size_t size)
{
    _Atomic uint64_t *out = to;
    const uint64_t *in = from;
    for (size_t i = 0; i < size / sizeof *in; i++)
        atomic_store_explicit(&out[i], in[i], memory_order_relaxed);
}
