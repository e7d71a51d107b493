/* SPDX-License-Identifier: MIT
 * Metrics of a program's own: names are checked, series are bounded, many threads count without losing one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/own_metrics.h"
#include "support/alloc_fail.h"
#include <bus/log.h>
#include <bus/metric.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *page(void)
{
    bui_buf out;
    bui_buf_init(&out, 0);
    bui_own_metrics_render(&out);
    char *text = bui_buf_take(&out);
    assert_non_null(text);
    return text;
}

static void shows(const char *text)
{
    char *all = page();
    if (!strstr(all, text))
        fail_msg("not on the page: %s\n%s", text, all);
    free(all);
}

static void misses(const char *text)
{
    char *all = page();
    assert_null(strstr(all, text));
    free(all);
}

static bus_metric *made(bus_metric_options options)
{
    bus_metric *metric = NULL;
    bus_error err = { 0 };
    if (bus_metric_register(&options, &metric, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return metric;
}

static void each_kind_is_shown_as_it_is(void **state)
{
    (void)state;
    bus_metric *counter = made((bus_metric_options){ .name = "shop_orders_total", .help = "Orders \\ taken." });
    bus_metric *gauge = made((bus_metric_options){ .name = "shop_depth", .help = "Depth.", .kind = BUS_METRIC_GAUGE });
    static const double bounds[] = { 0.5, 1, 10 };
    bus_metric *histogram = made((bus_metric_options){
        .name = "shop_seconds", .help = "Time.", .kind = BUS_METRIC_HISTOGRAM, .buckets = bounds, .bucket_count = 3 });
    bus_metric_count(counter, 3);
    bus_metric_count(counter, 0);
    bus_metric_set(gauge, 1764531234567.5);
    bus_metric_add(gauge, -0.25);
    bus_metric_observe(histogram, 0.5);
    bus_metric_observe(histogram, 2);
    bus_metric_observe(histogram, 11);
    bus_metric_observe(histogram, NAN);
    shows("# HELP shop_orders_total Orders \\\\ taken.\n# TYPE shop_orders_total counter\nshop_orders_total 3\n");
    shows("# TYPE shop_depth gauge\nshop_depth 1764531234567.25\n");
    shows(
        "# TYPE shop_seconds histogram\nshop_seconds_bucket{le=\"0.5\"} 1\nshop_seconds_bucket{le=\"1\"} 1\nshop_seconds_bucket{le=\"10\"} 2\n"
        "shop_seconds_bucket{le=\"+Inf\"} 4\nshop_seconds_sum 13.5\nshop_seconds_count 4\n");
    bus_metric_set(gauge, INFINITY);
    shows("shop_depth +Inf\n");
}

static void a_label_has_bounded_series(void **state)
{
    (void)state;
    bus_metric *by =
        made((bus_metric_options){ .name = "shop_refused_total", .help = "Refused.", .label = "why", .series_max = 3 });
    misses("shop_refused_total{");
    bus_metric_count(bus_metric_series(by, BUS_STR("a\"b\\c")), 1);
    bus_metric_count(bus_metric_series(by, BUS_STR("")), 2);
    bus_metric_count(bus_metric_series(by, BUS_STR("x\n\xFFy")), 3);
    assert_ptr_equal(bus_metric_series(by, BUS_STR("x\n\xFFy")), bus_metric_series(by, BUS_STR("x??y")));
    shows("shop_refused_total{why=\"a\\\"b\\\\c\"} 1\n");
    shows("shop_refused_total{why=\"\"} 2\n");
    shows("shop_refused_total{why=\"x??y\"} 3\n");
    misses("why=\"other\"");
    char value[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(value, sizeof value, "v%d", i);
        bus_metric_count(bus_metric_series(by, bus_str(value)), 1);
    }
    bus_metric_count(bus_metric_series(by, BUS_STR("other")), 1);
    shows("shop_refused_total{why=\"other\"} 1001\n");
    misses("why=\"v0\"");
    char *all = page(), *at = all;
    int lines = 0;
    while ((at = strstr(at, "shop_refused_total{"))) {
        at++;
        lines++;
    }
    assert_int_equal(lines, 4);
    free(all);
    /* Long values are cut at a character. */
    static char euros[400];
    for (size_t i = 0; i + 3 < sizeof euros; i += 3)
        memcpy(euros + i, "\xE2\x82\xAC", 3);
    bus_metric *cut = made((bus_metric_options){ .name = "shop_cut_total", .help = "Cut.", .label = "by" });
    bus_metric_count(bus_metric_series(cut, bus_str(euros)), 1);
    shows("\xE2\x82\xAC\"} 1\n");
}

static char misuse[300];
static int misuses;

static void keep(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    (void)level;
    misuses++;
    snprintf(misuse, sizeof misuse, "%.*s", (int)len, line);
}

static void what_does_not_fit_counts_nowhere_and_is_said_once(void **state)
{
    (void)state;
    bus_log_to(BUS_INFO, keep, NULL);
    bus_metric *by = made((bus_metric_options){ .name = "shop_by_total", .help = "By.", .label = "x" });
    bus_metric *gauge = made((bus_metric_options){ .name = "shop_level", .help = "Level.", .kind = BUS_METRIC_GAUGE });
    misuses = 0;
    bus_metric_count(by, 1);
    bus_metric_count(by, 1);
    assert_int_equal(misuses, 1);
    assert_non_null(strstr(misuse, "shop_by_total: it has a label"));
    bus_metric_count(gauge, 1);
    bus_metric_observe(gauge, 1);
    assert_int_equal(misuses, 2);
    bus_metric_count(NULL, 1);
    bus_metric_set(NULL, 1);
    bus_metric_add(NULL, 1);
    bus_metric_observe(NULL, 1);
    assert_null(bus_metric_series(NULL, BUS_STR("x")));
    bus_log_to(BUS_INFO, NULL, NULL);
    shows("shop_level 0\n");
}

static void refused(bus_metric_options options, bus_status status, const char *says)
{
    bus_metric *metric = NULL;
    bus_error err = { 0 };
    assert_int_equal(bus_metric_register(&options, &metric, &err), status);
    assert_null(metric);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static void names_are_checked(void **state)
{
    (void)state;
    static const double falling[] = { 2, 1 };
    refused((bus_metric_options){ .help = "x" }, BUS_INVALID, "a name is");
    refused((bus_metric_options){ .name = "Shop_total", .help = "x" }, BUS_INVALID, "a name is");
    refused((bus_metric_options){ .name = "bus_mine_total", .help = "x" }, BUS_INVALID, "begin with bus_");
    refused((bus_metric_options){ .name = "shop_mine", .help = "x" }, BUS_INVALID, "ends with _total");
    refused((bus_metric_options){ .name = "shop_mine_total", .help = "x", .kind = BUS_METRIC_GAUGE }, BUS_INVALID,
            "ends with _total");
    refused((bus_metric_options){ .name = "shop_count", .help = "x", .kind = BUS_METRIC_GAUGE }, BUS_INVALID,
            "parts of histograms");
    refused((bus_metric_options){ .name = "shop_mine_total" }, BUS_INVALID, "help");
    refused((bus_metric_options){ .name = "shop_mine_total", .help = "a\nb" }, BUS_INVALID, "help");
    refused((bus_metric_options){ .name = "shop_mine_total", .help = "x", .label = "le" }, BUS_INVALID, "label");
    refused((bus_metric_options){ .name = "shop_mine_total", .help = "x", .series_max = 5000 }, BUS_INVALID, "series_max");
    refused(
        (bus_metric_options){
            .name = "shop_h", .help = "x", .kind = BUS_METRIC_HISTOGRAM, .buckets = falling, .bucket_count = 2 },
        BUS_INVALID, "rising");
    /* The same again is the same; another of the name is refused. */
    bus_metric *metric = made((bus_metric_options){ .name = "shop_twice_total", .help = "x" });
    assert_ptr_equal(made((bus_metric_options){ .name = "shop_twice_total", .help = "x" }), metric);
    refused((bus_metric_options){ .name = "shop_twice_total", .help = "y" }, BUS_EXISTS, "another one");
}

static void survives_no_memory(void **state)
{
    (void)state;
    const bus_metric_options options = { .name = "shop_poor_total", .help = "x", .label = "y" };
    bus_metric *metric = NULL;
    bus_error err = { 0 };
    for (long n = 1;; n++) {
        alloc_fail_at(n, false);
        bus_status status = bus_metric_register(&options, &metric, &err);
        if (!alloc_fail_off()) {
            assert_int_equal(status, BUS_OK);
            break;
        }
        assert_int_equal(status, BUS_NOMEM);
    }
    alloc_fail_at(1, true);
    bus_metric *series = bus_metric_series(metric, BUS_STR("z"));
    assert_true(alloc_fail_off());
    assert_non_null(series);
    bus_metric_count(series, 1);
    assert_ptr_equal(series, bus_metric_series(metric, BUS_STR("other")));
}

#define THREADS 4
#define TIMES 20000

static bus_metric *shared, *level, *spread;

static void *count(void *opaque)
{
    char value[8];
    for (int i = 0; i < TIMES; i++) {
        snprintf(value, sizeof value, "v%d", i % 50);
        bus_metric_count(bus_metric_series(shared, bus_str(value)), 1);
        bus_metric_add(level, 1);
        bus_metric_observe(spread, 0.5);
    }
    return opaque;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    shared = made((bus_metric_options){ .name = "shop_shared_total", .help = "x", .label = "v" });
    level = made((bus_metric_options){ .name = "shop_shared", .help = "x", .kind = BUS_METRIC_GAUGE });
    spread = made((bus_metric_options){ .name = "shop_spread", .help = "x", .kind = BUS_METRIC_HISTOGRAM });
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    char line[80];
    for (int v = 0; v < 50; v++) {
        snprintf(line, sizeof line, "shop_shared_total{v=\"v%d\"} %d\n", v, THREADS * TIMES / 50);
        shows(line);
    }
    shows("shop_shared 80000\n");
    shows("shop_spread_bucket{le=\"0.25\"} 0\nshop_spread_bucket{le=\"0.5\"} 80000\n");
    shows("shop_spread_sum 40000\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_kind_is_shown_as_it_is),
                                        cmocka_unit_test(a_label_has_bounded_series),
                                        cmocka_unit_test(what_does_not_fit_counts_nowhere_and_is_said_once),
                                        cmocka_unit_test(names_are_checked),
                                        cmocka_unit_test(survives_no_memory),
                                        cmocka_unit_test(threads_lose_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
