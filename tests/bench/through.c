/* SPDX-License-Identifier: MIT
 * What goes through a service, seen from outside, whatever the service is made with (scripts/bench-peers):
 *
 *   through check --output T --count N [--keys K] name=value ...
 *                     reads all of an output, committed records only: each of the events 0 to N-1 of `flow feed` is there once, with its
 *                     bytes, key, partition and headers, no id twice, and the events of each key are in their order
 *   through spoil --output T --into U --fault F --number N name=value ...
 *                     a negative control of check: all of T again, into U, with one fault at event N: lost, twice (behind all others, so that
 *                     the order of its key is wrong, too), late (behind the next of its key), body, key, headers, id (that of the event
 *                     before); none: a copy that check must take
 *   through trip  --input T --output T --count N --rate R [--from F] name=value ...
 *                     R events a second into the input: how long until each is read, committed, from the output. Numbers from F
 *                     on; up to TRIP_PROBES go before, until the first comes back */
#include "bench/parts.h"
#include "codec/envelope.h"
#include "codec/wire.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define TRIP_PROBES 1000
#define MOST_HEADERS 32
#define CAUSE "%08lx-8f2a-4c0e-9d2c-0a1b2c3d4e5f" /* as in flow.c */

typedef struct through {
    const bus_config *config;
    const char *input, *output, *into, *fault;
    long count, keys, rate, from, number;
} through;

/* ---- reading what is committed */

static rd_kafka_t *client(const through *t, rd_kafka_type_t type, const char *const *pairs)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *const servers[] = { "bootstrap.servers", bui_config_text(t->config, "bootstrap.servers"), NULL };
    for (int set = 0; set < 2; set++)
        for (const char *const *pair = set ? pairs : servers; *pair; pair += 2)
            if (rd_kafka_conf_set(conf, pair[0], pair[1], text, sizeof text))
                bench_die(pair[0], text);
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        bench_die("librdkafka", text);
    return rk;
}

/* All partitions of the output, from their start or their end. */
static rd_kafka_t *reader(const through *t, bool from_end, int *partitions)
{
    static const char *const pairs[] = { "group.id",
                                         "through",
                                         "enable.auto.commit",
                                         "false",
                                         "fetch.wait.max.ms",
                                         "100",
                                         "isolation.level",
                                         "read_committed",
                                         "enable.partition.eof",
                                         "true",
                                         "auto.offset.reset",
                                         "error",
                                         "fetch.error.backoff.ms",
                                         "10",
                                         NULL };
    rd_kafka_t *rk = client(t, RD_KAFKA_CONSUMER, pairs);
    *partitions = bench_partitions(rk, t->output);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(*partitions);
    for (int32_t p = 0; p < *partitions; p++) {
        int64_t low, high;
        if (rd_kafka_query_watermark_offsets(rk, t->output, p, &low, &high, 10000))
            bench_die(t->output, "cannot ask for its end");
        rd_kafka_topic_partition_list_add(all, t->output, p)->offset = from_end ? high : low;
    }
    if (rd_kafka_assign(rk, all))
        bench_die(t->output, "cannot be read");
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_destroy(all);
    return rk;
}

static long number_of(const rd_kafka_message_t *message)
{
    bui_arena arena;
    const void *body;
    bus_error err = { 0 };
    bui_arena_init(&arena, 0);
    bench_must(bui_wire_decode(&bench_type, message->payload, message->len, &arena, &body, &err), &err, "an output");
    long number = (long)((const bench_Event *)body)->number;
    bui_arena_free(&arena);
    return number;
}

/* ---- check */

typedef struct checking {
    uint8_t *seen;   /* of each number */
    long *last;      /* number of each key */
    char (*ids)[36]; /* in order of arrival */
    long records, headers;
} checking;

_Noreturn static void wrong(const rd_kafka_message_t *message, long number, const char *what)
{
    char where[300];
    snprintf(where, sizeof where, "%s/%d @ %" PRId64 ", event %ld", rd_kafka_topic_name(message->rkt), (int)message->partition,
             message->offset, number);
    bench_die(where, what);
}

static void check_body(const through *t, const rd_kafka_message_t *message, long number, int partitions)
{
    bench_Event event = bench_event(number);
    bui_buf value;
    char key[24];
    bus_error err = { 0 };
    size_t key_len = bench_key_text(bench_key(number, t->keys), key);
    bui_buf_init(&value, 0);
    bench_must(bui_wire_encode(&bench_type, &event, &value, &err), &err, "check");
    if (message->len != value.len || memcmp(message->payload, value.data, value.len) != 0)
        wrong(message, number, "its bytes are not those of the input");
    if (message->key_len != key_len || memcmp(message->key, key, key_len) != 0)
        wrong(message, number, "its key is not that of the input");
    if (message->partition != bui_partition_of(key, key_len, partitions))
        wrong(message, number, "it is not on the partition of its key");
    bui_buf_free(&value);
}

static bool is(bui_slice slice, const char *text)
{
    return slice.at && slice.len == strlen(text) && memcmp(slice.at, text, slice.len) == 0;
}

static void check_headers(checking *c, const rd_kafka_message_t *message, long number)
{
    bus_header all[MOST_HEADERS];
    rd_kafka_headers_t *headers = NULL;
    bui_envelope e;
    bus_error err = { 0 };
    char cause[40];
    size_t n = 0;
    rd_kafka_message_headers(message, &headers);
    while (headers && n < MOST_HEADERS && !rd_kafka_header_get_all(headers, n, &all[n].name, &all[n].value, &all[n].len))
        n++;
    bench_must(bui_envelope_read(all, n, &e, &err), &err, "headers");
    snprintf(cause, sizeof cause, CAUSE, number);
    if (!is(e.type, "bench.Event") || !e.id.at || e.id.len != 36)
        wrong(message, number, "no type, or no id");
    if (!e.source.at || !is(e.content_type, "application/avro") || !is(e.causation, cause) || !is(e.correlation, cause))
        wrong(message, number, "no source or content type, or not the cause's id as causation and correlation");
    memcpy(c->ids[c->records], e.id.at, 36);
    c->headers += (long)n;
}

static void check_one(const through *t, checking *c, const rd_kafka_message_t *message, int partitions)
{
    long number = number_of(message), *last;
    if (number < 0 || number >= t->count || c->records == t->count)
        wrong(message, number, "is not of this run");
    if (c->seen[number]++)
        wrong(message, number, "is there twice");
    last = &c->last[bench_key(number, t->keys)];
    if (*last > number)
        wrong(message, number, "comes after a later one of its key");
    *last = number;
    check_body(t, message, number, partitions);
    check_headers(c, message, number);
    c->records++;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, 36);
}

static int check(const through *t)
{
    checking c = { .seen = calloc((size_t)t->count, 1),
                   .last = calloc((size_t)t->keys, sizeof *c.last),
                   .ids = calloc((size_t)t->count, sizeof *c.ids) };
    int partitions, ended = 0;
    rd_kafka_t *rk = reader(t, false, &partitions);
    double last = bench_now();
    if (!c.seen || !c.last || !c.ids)
        bench_die("check", "no memory");
    while (ended < partitions) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);
        if (bench_now() - last > 60)
            bench_die(t->output, "nothing comes for 60 s");
        if (!message)
            continue;
        last = bench_now();
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ended++;
        else if (message->err)
            bench_die(t->output, rd_kafka_message_errstr(message));
        else
            check_one(t, &c, message, partitions);
        rd_kafka_message_destroy(message);
    }
    if (c.records != t->count) {
        char text[100];
        snprintf(text, sizeof text, "%ld events of %ld", c.records, t->count);
        bench_die(t->output, text);
    }
    qsort(c.ids, (size_t)c.records, sizeof *c.ids, by_id);
    for (long i = 1; i < c.records; i++)
        if (by_id(c.ids[i - 1], c.ids[i]) == 0)
            bench_die(t->output, "two events have one id");
    printf("{\"what\":\"check\",\"output\":\"%s\",\"events\":%ld,\"headers\":%.2f}\n", t->output, c.records,
           (double)c.headers / (double)c.records);
    rd_kafka_destroy(rk);
    free(c.seen);
    free(c.last);
    free(c.ids);
    return 0;
}

/* ---- spoil */

typedef struct copying {
    const through *t;
    rd_kafka_t *rk;
    rd_kafka_message_t *late; /* held back */
    char id[36];              /* of the event before */
    bool spoilt;
} copying;

static bool faulty(const copying *c, long number, const char *fault)
{
    return number == c->t->number && strcmp(c->t->fault, fault) == 0;
}

/* The id is in the bus's own header, " i=", or in ce_id. */
static void set_id(char *value, size_t len, bool whole, const char *id)
{
    for (size_t i = 0; i + 39 <= len && !whole; i++)
        if (memcmp(value + i, " i=", 3) == 0) {
            memcpy(value + i + 3, id, 36);
            return;
        }
    if (whole && len == 36)
        memcpy(value, id, 36);
}

static rd_kafka_headers_t *headers_of(copying *c, const rd_kafka_message_t *message, long number)
{
    rd_kafka_headers_t *headers = NULL, *copy = rd_kafka_headers_new(8);
    const char *name;
    const void *value;
    size_t len;
    rd_kafka_message_headers(message, &headers);
    for (size_t i = 0; headers && !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++) {
        char text[1000];
        bool own = strcmp(name, "bus-hop") == 0, id = strcmp(name, "ce_id") == 0;
        if (len > sizeof text)
            bench_die(name, "is too long to be copied");
        memcpy(text, value, len);
        if (faulty(c, number, "id") && (own || id))
            set_id(text, len, id, c->id);
        if (!faulty(c, number, "headers") || i > 0)
            rd_kafka_header_add(copy, name, -1, text, (ssize_t)len);
    }
    return copy;
}

static void put(copying *c, const rd_kafka_message_t *message, long number)
{
    char body[4096], key[64];
    if (message->len > sizeof body || message->key_len > sizeof key)
        bench_die("spoil", "the events are too large");
    memcpy(body, message->payload, message->len);
    memcpy(key, message->key, message->key_len);
    if (faulty(c, number, "body"))
        body[message->len - 1] ^= 1;
    if (faulty(c, number, "key"))
        key[message->key_len - 1] ^= 1;
    rd_kafka_headers_t *headers = headers_of(c, message, number);
    for (;;) {
        rd_kafka_resp_err_t error =
            rd_kafka_producev(c->rk, RD_KAFKA_V_TOPIC(c->t->into), RD_KAFKA_V_PARTITION(message->partition),
                              RD_KAFKA_V_KEY(key, message->key_len), RD_KAFKA_V_VALUE(body, message->len),
                              RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (!error)
            break;
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            bench_die(c->t->into, rd_kafka_err2str(error));
        rd_kafka_poll(c->rk, 100);
    }
    rd_kafka_poll(c->rk, 0);
}

static void id_before(copying *c, const rd_kafka_message_t *message)
{
    bus_header all[MOST_HEADERS];
    rd_kafka_headers_t *headers = NULL;
    bui_envelope e;
    size_t n = 0;
    rd_kafka_message_headers(message, &headers);
    while (headers && n < MOST_HEADERS && !rd_kafka_header_get_all(headers, n, &all[n].name, &all[n].value, &all[n].len))
        n++;
    if (bui_envelope_read(all, n, &e, NULL) == BUS_OK && e.id.at && e.id.len == 36)
        memcpy(c->id, e.id.at, 36);
}

/* True: the message is kept. */
static bool copy_one(copying *c, rd_kafka_message_t *message)
{
    long number = number_of(message);
    bool its_key = bench_key(number, c->t->keys) == bench_key(c->t->number, c->t->keys);
    c->spoilt |= number == c->t->number;
    if (faulty(c, number, "late") || faulty(c, number, "twice")) {
        c->late = message;
        if (faulty(c, number, "twice"))
            put(c, message, number);
        return true;
    }
    if (!faulty(c, number, "lost"))
        put(c, message, number);
    if (c->late && its_key && strcmp(c->t->fault, "late") == 0) {
        put(c, c->late, c->t->number);
        rd_kafka_message_destroy(c->late);
        c->late = NULL;
    }
    id_before(c, message);
    return false;
}

static int spoil(const through *t)
{
    static const char *const pairs[] = { "enable.idempotence", "true", NULL };
    copying c = { .t = t, .rk = client(t, RD_KAFKA_PRODUCER, pairs) };
    int partitions, ended = 0;
    rd_kafka_t *rk = reader(t, false, &partitions);
    while (ended < partitions) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 1000);
        bool kept = false;
        if (!message)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ended++;
        else if (message->err)
            bench_die(t->output, rd_kafka_message_errstr(message));
        else
            kept = copy_one(&c, message);
        if (!kept)
            rd_kafka_message_destroy(message);
    }
    if (c.late) {
        put(&c, c.late, t->number);
        rd_kafka_message_destroy(c.late);
    }
    if (!c.spoilt || rd_kafka_flush(c.rk, 30000))
        bench_die(t->into, c.spoilt ? "was not acknowledged" : "no such event");
    rd_kafka_destroy(c.rk);
    rd_kafka_destroy(rk);
    return 0;
}

/* ---- trip */

typedef struct tripping {
    const through *t;
    rd_kafka_t *rk;
    _Atomic double *back; /* when the event with this number, less `from`, was read */
    double *sent;
    atomic_bool some, over;
} tripping;

static void *read_back(void *opaque)
{
    tripping *trip = opaque;
    while (!atomic_load(&trip->over)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(trip->rk, 100);
        double now = bench_now();
        if (!message)
            continue;
        if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            bench_die(trip->t->output, rd_kafka_message_errstr(message));
        long at = message->err ? -1 : number_of(message) - trip->t->from;
        if (at >= 0 && at < trip->t->count + TRIP_PROBES) {
            atomic_store(&trip->back[at], now);
            atomic_store(&trip->some, true);
        }
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

static void send_one(const tripping *trip, rd_kafka_t *rk, int partitions, long at)
{
    const through *t = trip->t;
    bench_Event event = bench_event(t->from + at);
    bui_buf value;
    bus_error err = { 0 };
    char key[24], id[40];
    size_t key_len = bench_key_text(bench_key(t->from + at, t->keys), key);
    bui_buf_init(&value, 0);
    snprintf(id, sizeof id, CAUSE, t->from + at);
    trip->sent[at] = bench_now();
    bench_must(bui_wire_encode(&bench_type, &event, &value, &err), &err, "trip");
    rd_kafka_resp_err_t failed = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(t->input), RD_KAFKA_V_PARTITION(bui_partition_of(key, key_len, partitions)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_len), RD_KAFKA_V_VALUE(value.data, value.len),
        RD_KAFKA_V_HEADER("ce_specversion", "1.0", 3), RD_KAFKA_V_HEADER("ce_id", id, 36),
        RD_KAFKA_V_HEADER("ce_source", "feeder", 6), RD_KAFKA_V_HEADER("ce_type", "bench.Event", 11),
        RD_KAFKA_V_HEADER("content-type", "application/avro", 16), RD_KAFKA_V_END);
    if (failed)
        bench_die(t->input, rd_kafka_err2str(failed));
    rd_kafka_poll(rk, 0);
    bui_buf_free(&value);
}

static void send_all(const tripping *trip, rd_kafka_t *rk, int partitions)
{
    long at = 0;
    for (; at < TRIP_PROBES && !atomic_load(&trip->some); at++) {
        send_one(trip, rk, partitions, at);
        bench_sleep(0.05);
    }
    if (!atomic_load(&trip->some))
        bench_die(trip->t->output, "nothing comes back");
    bench_sleep(2);
    double start = bench_now();
    for (long i = 0; i < trip->t->count; i++) {
        double wait = start + (double)i / (double)trip->t->rate - bench_now();
        if (wait > 0)
            bench_sleep(wait);
        send_one(trip, rk, partitions, TRIP_PROBES + i);
    }
}

/* Of the last nine tenths: the first find connections and caches being made. */
static void print_trips(const tripping *trip)
{
    const through *t = trip->t;
    double *took = calloc((size_t)t->count, sizeof *took), until = bench_now() + 20;
    size_t n = 0;
    if (!took)
        bench_die("trip", "no memory");
    for (long i = 0; i < t->count; i++) {
        double back;
        while ((back = atomic_load(&trip->back[TRIP_PROBES + i])) == 0.0) {
            if (bench_now() > until)
                bench_die(t->output, "not every event came back within 20 s");
            bench_sleep(0.01);
        }
        if (i >= t->count / 10)
            took[n++] = back - trip->sent[TRIP_PROBES + i];
    }
    printf("{\"what\":\"through\",\"output\":\"%s\",\"rate\":%ld,\"count\":%zu", t->output, t->rate, n);
    bench_print_times("through", took, n);
    printf("}\n");
    free(took);
}

static int there_and_back(const through *t)
{
    static const char *const pairs[] = { "enable.idempotence", "true", "linger.ms", "0", NULL };
    int partitions;
    pthread_t thread;
    tripping trip = { .t = t,
                      .back = calloc((size_t)t->count + TRIP_PROBES, sizeof *trip.back),
                      .sent = calloc((size_t)t->count + TRIP_PROBES, sizeof *trip.sent) };
    rd_kafka_t *producer = client(t, RD_KAFKA_PRODUCER, pairs);
    trip.rk = reader(t, true, &partitions);
    partitions = bench_partitions(producer, t->input);
    if (!trip.back || !trip.sent || pthread_create(&thread, NULL, read_back, &trip))
        bench_die("trip", "no memory, or no thread");
    send_all(&trip, producer, partitions);
    print_trips(&trip);
    atomic_store(&trip.over, true);
    pthread_join(thread, NULL);
    rd_kafka_flush(producer, 5000);
    rd_kafka_destroy(producer);
    rd_kafka_destroy(trip.rk);
    free(trip.back);
    free(trip.sent);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bus_config *config = bench_config(argc, argv);
    through t = { .config = config,
                  .input = bench_text_option(argc, argv, "--input", "feeder.events"),
                  .output = bench_text_option(argc, argv, "--output", "bench.events"),
                  .into = bench_text_option(argc, argv, "--into", "bench.spoilt"),
                  .fault = bench_text_option(argc, argv, "--fault", "none"),
                  .number = bench_option(argc, argv, "--number", 100),
                  .count = bench_option(argc, argv, "--count", 2000),
                  .keys = bench_option(argc, argv, "--keys", BENCH_KEYS),
                  .rate = bench_option(argc, argv, "--rate", 200),
                  .from = bench_option(argc, argv, "--from", 0) };
    int result = strcmp(argv[1], "check") == 0   ? check(&t)
                 : strcmp(argv[1], "spoil") == 0 ? spoil(&t)
                 : strcmp(argv[1], "trip") == 0  ? there_and_back(&t)
                                                 : 2;
    bus_config_free(config);
    return result;
}
