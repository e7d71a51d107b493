/* SPDX-License-Identifier: MIT
 * Metric: counters, gauges and histograms of a program's own, shown on /metrics beside the library's.
 *
 *     static bus_metric *sold;
 *     static const bus_metric_options options = {
 *         .name = "shop_sold_total", .help = "Items.", .label = "place" };
 *
 *     bus_metric_register(&options, &sold, &err);     in main, say
 *     bus_metric_count(bus_metric_series(sold, BUS_STR("x")), 3);
 *
 * They belong to the process, and live as long. What a handler counts stays counted, whatever happens to its transaction: a
 * handler that runs again counts again. */
#ifndef BUS_METRIC_H
#define BUS_METRIC_H

#include <bus/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What it is in Prometheus. */
typedef enum bus_metric_kind { BUS_METRIC_COUNTER = 0, BUS_METRIC_GAUGE, BUS_METRIC_HISTOGRAM } bus_metric_kind;

/* A metric, or one series of a metric with a label. */
typedef struct bus_metric bus_metric;

/* Zero means default. Copied. */
typedef struct bus_metric_options {
    const char *name; /* [a-z][a-z0-9_]*, at most 100, not bus_*; a counter's ends with _total, no other's does */
    const char *help; /* one line */
    bus_metric_kind kind;
    const char *label;     /* the name of its one label; NULL: none, and the metric is its own series */
    int series_max;        /* how many values the label may take, at most 1000; default 100. Further ones count as "other" */
    const double *buckets; /* of a histogram: upper bounds, rising; default 0.001, 0.0025, 0.005, ... 10: seconds */
    size_t bucket_count;   /* at most 50 */
} bus_metric_options;

/* Registers a metric, or returns the one that was registered with the same options before (by each shard's open, or by a test).
 * Thread: any.
 * Errors: BUS_INVALID: a name, the help or the buckets are wrong; BUS_EXISTS: there is another one of that name; BUS_FULL: there
 * are 1000; BUS_NOMEM.
 * Owner: *out is the process's, and is never freed. Copies the options. */
bus_status bus_metric_register(const bus_metric_options *options, bus_metric **out, bus_error *err);

/* Returns the series of a label's value, of which at most 100 bytes count; that of "other" if there are series_max, or no memory.
 * One that is there is found without a lock; keep it where the value does not change. NULL gives NULL.
 * Thread: any.
 * Errors: none.
 * Owner: it is the process's. */
bus_metric *bus_metric_series(bus_metric *metric, bus_string value);

/* bus_metric_count adds to a counter, bus_metric_set and bus_metric_add change a gauge, bus_metric_observe puts a value into a
 * histogram: one or two atomic operations, no lock. A call that does not fit the metric's kind, or counts in a metric with a label
 * instead of its series, does nothing and is logged once; NULL is a no-op.
 * Thread: any.
 * Errors: none.
 * Owner: keeps nothing. */
void bus_metric_count(bus_metric *metric, uint64_t n);
void bus_metric_set(bus_metric *metric, double value);
void bus_metric_add(bus_metric *metric, double change);
void bus_metric_observe(bus_metric *metric, double value);

#ifdef __cplusplus
}
#endif
#endif
