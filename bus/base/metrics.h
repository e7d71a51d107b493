/* SPDX-License-Identifier: MIT
 * Metrics: counters, gauges and histograms that one thread writes without locks and any thread reads, rendered as
 * Prometheus text (exposition format 0.0.4). */
#ifndef BUI_BASE_METRICS_H
#define BUI_BASE_METRICS_H

#include "base/buf.h"
#include <stdatomic.h>
#include <stdint.h>

typedef struct bui_counter {
    _Atomic uint64_t value;
} bui_counter;
typedef struct bui_gauge {
    _Atomic int64_t value;
} bui_gauge;
/* Buckets at 1 us * 2^i, i = 0..25 (1 us to 33 s), and +Inf. */
#define BUI_BUCKETS 26
typedef struct bui_histogram {
    _Atomic uint64_t bucket[BUI_BUCKETS + 1];
    _Atomic uint64_t sum_us;
} bui_histogram;

static inline void bui_count(bui_counter *c, uint64_t n)
{
    atomic_store_explicit(&c->value, atomic_load_explicit(&c->value, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline uint64_t bui_counter_read(const bui_counter *c)
{
    return atomic_load_explicit(&((bui_counter *)(uintptr_t)c)->value, memory_order_relaxed);
}
static inline void bui_gauge_set(bui_gauge *g, int64_t v)
{
    atomic_store_explicit(&g->value, v, memory_order_relaxed);
}
static inline int64_t bui_gauge_read(const bui_gauge *g)
{
    return atomic_load_explicit(&((bui_gauge *)(uintptr_t)g)->value, memory_order_relaxed);
}
void bui_observe(bui_histogram *h, int64_t us);

/* Publishes a struct made of the types above word by word, for readers on other threads. */
void bui_metrics_copy(void *to, const void *from, size_t size);

/* A table of metrics inside a struct, and many instances of that struct, each with its labels. */
typedef enum bui_metric_kind { BUI_METRIC_COUNTER, BUI_METRIC_GAUGE, BUI_METRIC_HISTOGRAM } bui_metric_kind;
typedef struct bui_metric {
    const char *name; /* bus_..._total, bus_..._seconds */
    const char *help;
    bui_metric_kind kind;
    size_t offset; /* in the instance */
    double scale;  /* the value is multiplied by it when rendered: 0.001 for ms shown as seconds; 0 means 1 */
} bui_metric;      /* ends with a NULL name */
typedef struct bui_metric_instance {
    const void *base;
    const char *labels;
} bui_metric_instance; /* labels: service="a",shard="0" */
/* The two lines before its values. */
void bui_metric_head(bui_buf *out, const char *name, const char *help, bui_metric_kind kind);
void bui_metrics_render(bui_buf *out, const bui_metric *table, const bui_metric_instance *instances, size_t count);

#endif
