/* SPDX-License-Identifier: MIT
 * What the bench programs share: a clock, an event of 190 bytes, options of the form --name N, distributions. Each prints one
 * line of JSON for scripts/bench, and does nothing when called without arguments. */
#ifndef BENCH_H
#define BENCH_H

#include <bus/bus.h>
#include <bus/type.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_SHARDS 4
#define BENCH_KEYS 1000
#define BENCH_BATCH 1000
#define BENCH_UPSERT "INSERT INTO stock(id, n) VALUES (?1, 1) ON CONFLICT(id) DO UPDATE SET n = n + 1"
#define BENCH_STOCK "CREATE TABLE stock(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void bench_sleep(double seconds)
{
    struct timespec t = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
    nanosleep(&t, NULL);
}

_Noreturn static inline void bench_die(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

static inline int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts; share 0.5 is the median. */
static inline double bench_percentile(double *values, size_t count, double share)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, bench_by_value);
    size_t at = (size_t)((double)count * share);
    return values[at < count ? at : count - 1];
}

/* ,"NAME_p50_ms":...,"NAME_p99_ms":...,"NAME_ms":[[share, ms] ...]: the whole distribution, to be drawn. Sorts. */
static inline void bench_print_times(const char *name, double *seconds, size_t count)
{
    static const double shares[] = {
        0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1
    };
    double p50 = bench_percentile(seconds, count, 0.5), p99 = bench_percentile(seconds, count, 0.99);
    printf(",\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f,\"%s_ms\":[", name, p50 * 1e3, name, p99 * 1e3, name);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        printf("%s[%g,%.3f]", i ? "," : "", shares[i], bench_percentile(seconds, count, shares[i]) * 1e3);
    printf("]");
}

/* What follows --name, or `otherwise`. */
static inline const char *bench_text_option(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 0; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

static inline long bench_option(int argc, char **argv, const char *name, long otherwise)
{
    const char *text = bench_text_option(argc, argv, name, NULL);
    return text ? strtol(text, NULL, 10) : otherwise;
}

/* Warnings and errors to stderr: a broken run must not pass for a slow one. */
static inline void bench_log(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    (void)level;
    fprintf(stderr, "%.*s\n", (int)len, line);
}

/* A configuration with every "name=value" of the arguments. */
static inline bus_config *bench_config(int argc, char **argv)
{
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    bus_log_to(BUS_WARN, bench_log, NULL);
    for (int i = 1; config && i < argc; i++) {
        char name[100], *eq = strchr(argv[i], '=');
        if (!eq || strncmp(argv[i], "--", 2) == 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(eq - argv[i]), argv[i]);
        if (bus_config_set(config, name, eq + 1, &err) != BUS_OK)
            bench_die(argv[i], err.text);
    }
    if (!config)
        bench_die("configuration", "no memory");
    return config;
}

/* ---- the event, 190 bytes with its framing unless said otherwise, as bus-schemac would write it */

typedef struct bench_Event {
    int64_t number;
    bus_string text;
} bench_Event;
#define BENCH_BYTES 190
#define BENCH_FRAME 15 /* of an event: framing, number, length of the text; near enough */

static const bus_shape bench_long = { .kind = BUS_KIND_LONG, .wire = BUS_KIND_LONG, .size = sizeof(int64_t), .least = 1 };
static const bus_shape bench_string = {
    .kind = BUS_KIND_STRING, .wire = BUS_KIND_STRING, .size = sizeof(bus_string), .least = 1
};
static const bus_field bench_fields[] = {
    { "number", &bench_long, offsetof(bench_Event, number) },
    { "text", &bench_string, offsetof(bench_Event, text) },
};
static const bus_shape bench_shape = {
    .kind = BUS_KIND_RECORD,
    .wire = BUS_KIND_RECORD,
    .size = sizeof(bench_Event),
    .least = 2,
    .count = 2,
    .name = "bench.Event",
    .fields = bench_fields,
};
#define BENCH_CANONICAL \
    "{\"name\":\"bench.Event\",\"type\":\"record\",\"fields\":[{\"name\":\"number\",\"type\":\"long\"}," \
    "{\"name\":\"text\",\"type\":\"string\"}]}"
static const bus_type bench_type = {
    .layout = BUS_TYPE_LAYOUT,
    .name = "bench.Event",
    .json = BENCH_CANONICAL,
    .canonical = BENCH_CANONICAL,
    .fingerprint = UINT64_C(0x92c3af0ceb90c424),
    .shape = &bench_shape,
};

/* A mebibyte of sentences, and `most` more: words as often as in English (rank by rank), names, amounts. What is compressed should
 * compress as real text does: lz4 makes about half of it. */
#define BENCH_TEXT (1 << 20)
static inline char *bench_sentences(size_t most)
{
    static const char list[] =
        "the of to and in is for that was on with order as be by at from this not item have are which customer or an delivery been has will "
        "address their payment one more when time would they warehouse confirmed after out about there left before quantity London returned "
        "Monday invoice street could because between carrier refund Anderson morning package discount reserved yesterday Elisabeth catalogue "
        "signature temperature complaint Copenhagen international replacement";
    const char *words[128];
    size_t count = 0;
    for (const char *at = list; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
        words[count++] = at;
    char *text = malloc(BENCH_TEXT + most + 64), word[32];
    uint64_t state = 88172645463325252u;
    if (!text)
        bench_die("event", "no memory");
    for (size_t at = 0; at < BENCH_TEXT + most;) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        double share = (double)(state >> 40) / (1 << 24);
        if (state % 9 == 0)
            snprintf(word, sizeof word, "%llu.%02llu", (unsigned long long)(state >> 8 & 1023),
                     (unsigned long long)(state >> 20) % 100);
        else {
            const char *one = words[(size_t)(share * share * (double)count)];
            snprintf(word, sizeof word, "%.*s%s", (int)strcspn(one, " "), one, state % 11 ? "" : ",");
        }
        at += (size_t)sprintf(text + at, "%s ", word);
    }
    return text;
}

/* The text lives as long as the program; each number has another part of it. */
static inline bench_Event bench_event_of(int64_t number, size_t bytes)
{
    static char *text;
    static size_t most;
    if (!text || bytes > most)
        text = bench_sentences(most = bytes); /* a former one may still be in use */
    return (bench_Event){
        .number = number, .text = { text + (uint64_t)number * 7919 % BENCH_TEXT, bytes > BENCH_FRAME ? bytes - BENCH_FRAME : 0 }
    };
}

static inline bench_Event bench_event(int64_t number)
{
    return bench_event_of(number, BENCH_BYTES);
}

#endif
