/* SPDX-License-Identifier: MIT
 * Own metrics: a list for the process that only grows. Writers add atomically; the series of a label's value is found in a table of fixed size
 * without a lock, and made under one. */
#include "base/own_metrics.h"

#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "base/metrics.h"
#include <bus/metric.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MOST 1000
#define NAME_MOST 100
#define LABEL_MOST 40
#define VALUE_MOST 100
#define SERIES_MOST 1000
#define SERIES_DEFAULT 100
#define BUCKETS_MOST 50
#define OTHER "other" /* the value under which those count that have no series */

typedef struct family {
    char *name, *help, *label; /* label NULL: none */
    bus_metric_kind kind;
    size_t series_max, count; /* count: under the lock */
    double *bucket;
    size_t bucket_count;
    _Atomic(bus_metric *) *slot; /* open addressing by the value; at most half full */
    size_t slots;
    bus_metric *handle; /* what register gives */
    bus_metric *other;  /* where there is a label */
    bool over_said;     /* under the lock */
    atomic_bool misused_said;
    struct family *next;
} family;

struct bus_metric {
    family *family;
    bool whole; /* the metric itself, where only series count */
    size_t len;
    char value[VALUE_MOST];    /* of the label */
    _Atomic uint64_t word;     /* a counter's count; the bits of a gauge's value, of a histogram's sum */
    _Atomic uint64_t bucket[]; /* of a histogram: bucket_count + 1 */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list, and of making series */
static family *first, **last = &first;
static size_t family_count;

/* ---- names */

static const double seconds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };

static bool is_name(const char *name, size_t most)
{
    size_t len = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;
    return len && len <= most && !name[len] && name[0] >= 'a' && name[0] <= 'z';
}

static bool ends(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);
    return len > n && strcmp(name + len - n, suffix) == 0;
}

static bool rising(const bus_metric_options *options)
{
    for (size_t i = 0; i < options->bucket_count; i++)
        if (!isfinite(options->buckets[i]) || (i && options->buckets[i] <= options->buckets[i - 1]))
            return false;
    return true;
}

static bus_status check(const bus_metric_options *o, bus_error *err)
{
    const char *name = o->name ? o->name : "";
    if (!is_name(o->name, NAME_MOST) || strncmp(name, "bus_", 4) == 0)
        return bui_fail(err, BUS_INVALID,
                        "metric \"%.100s\": a name is [a-z][a-z0-9_]*, at most %d long, and does not begin with bus_", name,
                        NAME_MOST);
    if (ends(name, "_bucket") || ends(name, "_sum") || ends(name, "_count"))
        return bui_fail(err, BUS_INVALID, "metric %s: its name ends as parts of histograms do", name);
    if ((o->kind == BUS_METRIC_COUNTER) != ends(name, "_total"))
        return bui_fail(err, BUS_INVALID, "metric %s: the name of a counter, and of nothing else, ends with _total", name);
    if (!o->help || !*o->help || strpbrk(o->help, "\r\n"))
        return bui_fail(err, BUS_INVALID, "metric %s: its help must be one line", name);
    if (o->label && (!is_name(o->label, LABEL_MOST) || strcmp(o->label, "le") == 0))
        return bui_fail(err, BUS_INVALID, "metric %s: its label \"%.60s\" is not [a-z][a-z0-9_]*, at most %d long, and not le",
                        name, o->label, LABEL_MOST);
    if (o->series_max < 0 || o->series_max > SERIES_MOST)
        return bui_fail(err, BUS_INVALID, "metric %s: series_max is %d: give 1 to %d", name, o->series_max, SERIES_MOST);
    if ((int)o->kind < BUS_METRIC_COUNTER || o->kind > BUS_METRIC_HISTOGRAM)
        return bui_fail(err, BUS_INVALID, "metric %s: there is no kind %d", name, (int)o->kind);
    if ((o->bucket_count && (o->kind != BUS_METRIC_HISTOGRAM || !o->buckets)) || o->bucket_count > BUCKETS_MOST || !rising(o))
        return bui_fail(err, BUS_INVALID, "metric %s: buckets are at most %d rising numbers, of a histogram", name, BUCKETS_MOST);
    return BUS_OK;
}

/* ---- making */

static size_t series_max(const bus_metric_options *o)
{
    return o->series_max ? (size_t)o->series_max : SERIES_DEFAULT;
}

static bool same(const family *f, const bus_metric_options *o)
{
    const double *buckets = o->bucket_count ? o->buckets : seconds;
    size_t count = o->kind != BUS_METRIC_HISTOGRAM ? 0 : o->bucket_count ? o->bucket_count : sizeof seconds / sizeof *seconds;
    return f->kind == o->kind && strcmp(f->help, o->help) == 0 && !f->label == !o->label &&
           (!f->label || strcmp(f->label, o->label) == 0) && f->series_max == series_max(o) && f->bucket_count == count &&
           (!count || memcmp(f->bucket, buckets, count * sizeof *buckets) == 0);
}

static bus_metric *series_new(family *f, const char *value, size_t len)
{
    bus_metric *made =
        calloc(1, sizeof *made + (f->kind == BUS_METRIC_HISTOGRAM ? f->bucket_count + 1 : 0) * sizeof made->bucket[0]);
    if (!made)
        return NULL;
    made->family = f;
    made->len = len;
    if (len)
        memcpy(made->value, value, len);
    return made;
}

static void family_free(family *f)
{
    if (!f)
        return;
    free(f->name);
    free(f->help);
    free(f->label);
    free(f->bucket);
    free(f->slot);
    free(f->handle);
    free(f->other);
    free(f);
}

/* NULL: no memory. */
static family *family_new(const bus_metric_options *o)
{
    family *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->kind = o->kind;
    f->series_max = series_max(o);
    f->name = strdup(o->name);
    f->help = strdup(o->help);
    f->label = o->label ? strdup(o->label) : NULL;
    if (o->kind == BUS_METRIC_HISTOGRAM) {
        f->bucket_count = o->bucket_count ? o->bucket_count : sizeof seconds / sizeof *seconds;
        f->bucket = calloc(f->bucket_count, sizeof *f->bucket);
        if (f->bucket)
            memcpy(f->bucket, o->bucket_count ? o->buckets : seconds, f->bucket_count * sizeof *f->bucket);
    }
    for (f->slots = 2; f->label && f->slots < 2 * f->series_max;)
        f->slots *= 2;
    f->slot = calloc(f->slots, sizeof *f->slot);
    f->handle = series_new(f, NULL, 0);
    f->other = f->label ? series_new(f, OTHER, strlen(OTHER)) : NULL;
    if (f->name && f->help && (f->label || !o->label) && (f->bucket || !f->bucket_count) && f->slot && f->handle &&
        (f->other || !f->label)) {
        f->handle->whole = f->label != NULL;
        return f;
    }
    family_free(f);
    return NULL;
}

/* Under the lock. */
static bus_status add_family(const bus_metric_options *options, family **out, bus_error *err)
{
    if (!(*out = family_new(options)))
        return bui_fail_nomem(err);
    *last = *out;
    last = &(*out)->next;
    family_count++;
    return BUS_OK;
}

bus_status bus_metric_register(const bus_metric_options *options, bus_metric **out, bus_error *err)
{
    bus_status status = check(options, err);
    if (status != BUS_OK)
        return status;
    pthread_mutex_lock(&lock);
    family *f = first;
    while (f && strcmp(f->name, options->name) != 0)
        f = f->next;
    if (f && !same(f, options))
        status = bui_fail(err, BUS_EXISTS, "metric %s: there is another one of that name", options->name);
    else if (!f && family_count >= METRICS_MOST)
        status = bui_fail(err, BUS_FULL, "metric %s: there are %d already", options->name, METRICS_MOST);
    else if (!f)
        status = add_family(options, &f, err);
    if (status == BUS_OK)
        *out = f->handle;
    pthread_mutex_unlock(&lock);
    return status;
}

/* ---- series */

static void misused(family *f, const char *how)
{
    if (!atomic_exchange(&f->misused_said, true))
        bui_log(BUS_ERROR, "metrics", "metric_misused", "%s: %s: that counts nowhere", f->name, how);
}

static bus_metric *find(const family *f, const char *value, size_t len)
{
    if (len == strlen(OTHER) && memcmp(value, OTHER, len) == 0)
        return f->other;
    for (size_t i = (size_t)bui_hash(value, len, 1);; i++) {
        bus_metric *at = atomic_load_explicit(&f->slot[i & (f->slots - 1)], memory_order_acquire);
        if (!at || (at->len == len && (!len || memcmp(at->value, value, len) == 0)))
            return at;
    }
}

static void put(family *f, bus_metric *made)
{
    size_t i = (size_t)bui_hash(made->value, made->len, 1);
    while (atomic_load_explicit(&f->slot[i & (f->slots - 1)], memory_order_relaxed))
        i++;
    atomic_store_explicit(&f->slot[i & (f->slots - 1)], made, memory_order_release);
    f->count++;
}

/* Under the lock. */
static bus_metric *make(family *f, const char *value, size_t len)
{
    bus_metric *made = find(f, value, len);
    if (made)
        return made;
    if (f->count < f->series_max && (made = series_new(f, value, len))) {
        put(f, made);
        return made;
    }
    if (!f->over_said)
        bui_log(BUS_WARN, "metrics", "metric_series",
                "%s has no room for further values of %s than its %zu (series_max): they count as %s", f->name, f->label,
                f->count, OTHER);
    f->over_said = true;
    return f->other;
}

bus_metric *bus_metric_series(bus_metric *metric, bus_string value)
{
    if (!metric)
        return NULL;
    family *f = metric->family;
    if (!metric->whole) {
        misused(f, "it has no label, so there are no series");
        return metric;
    }
    const char *text = value.at ? value.at : "";
    size_t len = value.at ? bui_text_cut(text, value.len, VALUE_MOST) : 0;
    bus_metric *found = find(f, text, len);
    if (found)
        return found;
    bui_buf clean; /* what is no text would break the page */
    bui_buf_init(&clean, VALUE_MOST);
    bui_buf_clean(&clean, text, len, false);
    if (bui_buf_ok(&clean)) {
        pthread_mutex_lock(&lock);
        found = make(f, clean.len ? (const char *)clean.data : "", clean.len);
        pthread_mutex_unlock(&lock);
    }
    bui_buf_free(&clean);
    return found ? found : f->other;
}

/* ---- counting */

static bool is(bus_metric *metric, bus_metric_kind kind, const char *how)
{
    if (!metric)
        return false;
    if (metric->family->kind == kind && !metric->whole)
        return true;
    misused(metric->family, metric->whole ? "it has a label: count in its series" : how);
    return false;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void add_double(_Atomic uint64_t *word, double change)
{
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(word, &was, bits_of(double_of(was) + change), memory_order_relaxed,
                                                  memory_order_relaxed))
        continue;
}

void bus_metric_count(bus_metric *metric, uint64_t n)
{
    if (is(metric, BUS_METRIC_COUNTER, "bus_metric_count is for counters"))
        atomic_fetch_add_explicit(&metric->word, n, memory_order_relaxed);
}

void bus_metric_set(bus_metric *metric, double value)
{
    if (is(metric, BUS_METRIC_GAUGE, "bus_metric_set is for gauges"))
        atomic_store_explicit(&metric->word, bits_of(value), memory_order_relaxed);
}

void bus_metric_add(bus_metric *metric, double change)
{
    if (is(metric, BUS_METRIC_GAUGE, "bus_metric_add is for gauges"))
        add_double(&metric->word, change);
}

void bus_metric_observe(bus_metric *metric, double value)
{
    if (!is(metric, BUS_METRIC_HISTOGRAM, "bus_metric_observe is for histograms"))
        return;
    const family *f = metric->family;
    size_t i = 0;
    while (i < f->bucket_count && !(value <= f->bucket[i]))
        i++;
    atomic_fetch_add_explicit(&metric->bucket[i], 1, memory_order_relaxed);
    if (!isnan(value)) /* one would spoil the sum for good */
        add_double(&metric->word, value);
}

/* ---- the page */

/* As short as it can be and mean the same number. */
static void add_number(bui_buf *out, double value)
{
    char text[40];
    if (!isfinite(value)) {
        bui_buf_text(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    (void)snprintf(text, sizeof text, "%.15g", value);
    bui_buf_real(out, strtod(text, NULL) == value ? 15 : 17, value);
}

/* What quotes and backslashes mean in it. */
static void add_label(bui_buf *out, const bus_metric *at)
{
    bui_buf_printf(out, "%s=\"", at->family->label);
    for (size_t i = 0; i < at->len; i++) {
        if (at->value[i] == '"' || at->value[i] == '\\')
            bui_buf_byte(out, '\\');
        bui_buf_byte(out, (uint8_t)at->value[i]);
    }
    bui_buf_byte(out, '"');
}

static void add_name(bui_buf *out, bus_metric *at, const char *suffix, double le)
{
    bool bucket = !strcmp(suffix, "_bucket");
    bui_buf_printf(out, "%s%s", at->family->name, suffix);
    if (at->family->label || bucket)
        bui_buf_byte(out, '{');
    if (at->family->label)
        add_label(out, at);
    if (bucket) {
        bui_buf_text(out, at->family->label ? ",le=\"" : "le=\"");
        add_number(out, le);
        bui_buf_byte(out, '"');
    }
    bui_buf_text(out, at->family->label || bucket ? "} " : " ");
}

static void add_histogram(bui_buf *out, bus_metric *at)
{
    const family *f = at->family;
    uint64_t count = 0;
    for (size_t i = 0; i <= f->bucket_count; i++) {
        count += atomic_load_explicit(&at->bucket[i], memory_order_relaxed);
        add_name(out, at, "_bucket", i < f->bucket_count ? f->bucket[i] : (double)INFINITY);
        bui_buf_printf(out, "%" PRIu64 "\n", count);
    }
    add_name(out, at, "_sum", 0);
    add_number(out, double_of(atomic_load_explicit(&at->word, memory_order_relaxed)));
    bui_buf_byte(out, '\n');
    add_name(out, at, "_count", 0);
    bui_buf_printf(out, "%" PRIu64 "\n", count);
}

static void add_series(bui_buf *out, bus_metric *at)
{
    if (!at || at->whole)
        return;
    if (at->family->kind == BUS_METRIC_HISTOGRAM) {
        add_histogram(out, at);
        return;
    }
    uint64_t word = atomic_load_explicit(&at->word, memory_order_relaxed);
    add_name(out, at, "", 0);
    if (at->family->kind == BUS_METRIC_COUNTER)
        bui_buf_printf(out, "%" PRIu64, word);
    else
        add_number(out, double_of(word));
    bui_buf_byte(out, '\n');
}

void bui_own_metrics_render(bui_buf *out)
{
    pthread_mutex_lock(&lock);
    for (family *f = first; f; f = f->next) {
        bui_metric_head(out, f->name, f->help, (bui_metric_kind)f->kind);
        add_series(out, f->handle);
        for (size_t i = 0; f->label && i < f->slots; i++)
            add_series(out, atomic_load_explicit(&f->slot[i], memory_order_relaxed));
        if (f->over_said)
            add_series(out, f->other);
    }
    pthread_mutex_unlock(&lock);
}
