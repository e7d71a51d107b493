/* SPDX-License-Identifier: MIT
 * Metrics: buckets and Prometheus text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/metrics.h"
#include <stdlib.h>
#include <string.h>

typedef struct sample {
    bui_counter seen;
    bui_gauge lag_ms;
    bui_histogram time;
} sample;

static const bui_metric table[] = {
    { "bus_seen_total", "Events seen,\nwith a \\.", BUI_METRIC_COUNTER, offsetof(sample, seen), 0 },
    { "bus_lag_seconds", "Lag.", BUI_METRIC_GAUGE, offsetof(sample, lag_ms), 0.001 },
    { "bus_time_seconds", "Time.", BUI_METRIC_HISTOGRAM, offsetof(sample, time), 0 },
    { NULL, NULL, BUI_METRIC_COUNTER, 0, 0 },
};

static void chooses_buckets(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        int bucket;
    } cases[] = {
        { -5, 0 },
        { 0, 0 },
        { 1, 0 },
        { 2, 1 },
        { 3, 2 },
        { 4, 2 },
        { 5, 3 },
        { 1024, 10 },
        { 1025, 11 },
        { INT64_C(1) << 25, 25 },
        { (INT64_C(1) << 25) + 1, 26 },
        { INT64_MAX, 26 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_histogram h = { 0 };
        bui_observe(&h, cases[i].us);
        for (int b = 0; b <= BUI_BUCKETS; b++)
            assert_int_equal(atomic_load(&h.bucket[b]), b == cases[i].bucket);
    }
}

static void writes_prometheus_text(void **state)
{
    (void)state;
    static sample a, b;
    bui_count(&a.seen, 3);
    bui_count(&a.seen, 4);
    bui_count(&b.seen, UINT64_MAX);
    bui_gauge_set(&a.lag_ms, -1500);
    bui_gauge_set(&b.lag_ms, 12345678901);
    bui_observe(&a.time, 3);
    bui_observe(&a.time, 1000000);
    bui_observe(&a.time, INT64_C(60000000));
    bui_metric_instance instances[] = { { &a, "service=\"x\",shard=\"0\"" }, { &b, "" } };
    bui_buf out;
    bui_buf_init(&out, 0);
    bui_metrics_render(&out, table, instances, 2);
    char *text = bui_buf_take(&out);
    assert_int_equal(strncmp(text,
                             "# HELP bus_seen_total Events seen,\\nwith a \\\\.\n"
                             "# TYPE bus_seen_total counter\n"
                             "bus_seen_total{service=\"x\",shard=\"0\"} 7\n"
                             "bus_seen_total 18446744073709551615\n"
                             "# HELP bus_lag_seconds Lag.\n"
                             "# TYPE bus_lag_seconds gauge\n"
                             "bus_lag_seconds{service=\"x\",shard=\"0\"} -1.5\n"
                             "bus_lag_seconds 12345678.901\n"
                             "# HELP bus_time_seconds Time.\n"
                             "# TYPE bus_time_seconds histogram\n"
                             "bus_time_seconds_bucket{service=\"x\",shard=\"0\",le=\"1e-06\"} 0\n"
                             "bus_time_seconds_bucket{service=\"x\",shard=\"0\",le=\"2e-06\"} 0\n"
                             "bus_time_seconds_bucket{service=\"x\",shard=\"0\",le=\"4e-06\"} 1\n",
                             500),
                     0);
    assert_non_null(strstr(text, "\nbus_time_seconds_bucket{service=\"x\",shard=\"0\",le=\"1.048576\"} 2\n"));
    assert_non_null(strstr(text, "\nbus_time_seconds_bucket{service=\"x\",shard=\"0\",le=\"33.554432\"} 2\n"));
    assert_non_null(strstr(text, "\nbus_time_seconds_bucket{service=\"x\",shard=\"0\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "\nbus_time_seconds_sum{service=\"x\",shard=\"0\"} 61.000003\n"));
    assert_non_null(strstr(text, "\nbus_time_seconds_count{service=\"x\",shard=\"0\"} 3\n"));
    assert_non_null(strstr(text, "\nbus_time_seconds_bucket{le=\"+Inf\"} 0\n"));
    assert_non_null(strstr(text, "\nbus_time_seconds_count 0\n"));
    free(text);
    bui_metrics_render(&out, table, instances, 0);
    assert_int_equal(out.len, 0);
    bui_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(chooses_buckets), cmocka_unit_test(writes_prometheus_text) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
