/* SPDX-License-Identifier: MIT
 * Metrics: counters, gauges and histograms that one thread writes without locks and any thread reads, rendered as
 * Prometheus text (exposition format 0.0.4). */
#ifndef BUS_BASE_METRICS_H
#define BUS_BASE_METRICS_H

#include "base/buf.h"
#include <stdatomic.h>
#include <stdint.h>

typedef struct bus_counter { _Atomic uint64_t value; } bus_counter;
typedef struct bus_gauge { _Atomic int64_t value; } bus_gauge;
/* Buckets at 1 us * 2^i, i = 0..25 (1 us to 33 s), and +Inf. */
#define BUS_BUCKETS 26
typedef struct bus_histogram { _Atomic uint64_t bucket[BUS_BUCKETS + 1]; _Atomic uint64_t sum_us; } bus_histogram;

static inline void bus_count(bus_counter *c, uint64_t n)
{
    atomic_store_explicit(&c->value, atomic_load_explicit(&c->value, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline uint64_t bus_counter_read(const bus_counter *c)
{
    return atomic_load_explicit(&((bus_counter *)(uintptr_t)c)->value, memory_order_relaxed);
}
static inline void bus_gauge_set(bus_gauge *g, int64_t v) { atomic_store_explicit(&g->value, v, memory_order_relaxed); }
static inline int64_t bus_gauge_read(const bus_gauge *g)
{
    return atomic_load_explicit(&((bus_gauge *)(uintptr_t)g)->value, memory_order_relaxed);
}
void bus_observe(bus_histogram *h, int64_t us);

/* Publishes a struct made of the types above word by word, for readers on other threads. */
void bus_metrics_copy(void *to, const void *from, size_t size);

/* A table of metrics inside a struct, and many instances of that struct, each with its labels. */
typedef enum bus_metric_kind { BUS_METRIC_COUNTER, BUS_METRIC_GAUGE, BUS_METRIC_HISTOGRAM } bus_metric_kind;
typedef struct bus_metric {
    const char *name;   /* bus_..._total, bus_..._seconds */
    const char *help;
    bus_metric_kind kind;
    size_t offset;      /* in the instance */
    double scale;       /* the value is multiplied by it when rendered: 0.001 for ms shown as seconds; 0 means 1 */
} bus_metric;           /* ends with a NULL name */
typedef struct bus_metric_instance { const void *base; const char *labels; } bus_metric_instance; /* labels: service="a",shard="0" */
void bus_metrics_render(bus_buf *out, const bus_metric *table, const bus_metric_instance *instances, size_t count);

#endif
