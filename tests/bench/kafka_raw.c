/* SPDX-License-Identifier: MIT
 * The ceilings of the bus: librdkafka alone, with the keys, headers, sizes and batching that the bus uses.
 *
 *   kafka_raw BOOTSTRAP TOPIC publish [--count N] [--headers H] [--bytes B] [--keys K] [name=value ...]
 *   kafka_raw BOOTSTRAP TOPIC round   [--count N] [--rate R] [name=value ...]
 *
 * publish: idempotent producer, records of B bytes with H headers to the topic's partitions by explicit number (murmur2 of
 * the key), until the last is acknowledged; prints records/s. round: one producer, one consumer, R records/s, each with the
 * time it was sent; prints the latency until it was consumed. name=value are librdkafka's. One line of JSON. */
#include "bench/bench.h"
#include "base/id.h"
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <unistd.h>

typedef struct run {
    const char *servers, *topic;
    long count, keys, rate;
    int headers;
    size_t bytes;
    int set_count;
    char **set;
    long acked, failed;
} run;

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    run *r = opaque;
    (void)rk;
    if (message->err)
        r->failed++;
    else
        r->acked++;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[200];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        bench_die(name, text);
}

static rd_kafka_t *client(run *r, rd_kafka_type_t type)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];
    rd_kafka_t *rk;
    set(conf, "bootstrap.servers", r->servers);
    set(conf, "allow.auto.create.topics", "false");
    if (type == RD_KAFKA_PRODUCER) {
        set(conf, "enable.idempotence", "true");
        set(conf, "queue.buffering.max.messages", "1000000");
        rd_kafka_conf_set_dr_msg_cb(conf, on_report);
        rd_kafka_conf_set_opaque(conf, r);
    }
    for (int i = 0; i < r->set_count; i++) {
        char *pair = strdup(r->set[i]), *eq = pair ? strchr(pair, '=') : NULL;

        if (!eq)
            bench_die(r->set[i], "no name=value");
        *eq = '\0';
        set(conf, pair, eq + 1);
        free(pair);
    }
    rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        bench_die("rd_kafka_new", text);
    return rk;
}

static int32_t partitions(rd_kafka_t *rk, rd_kafka_topic_t *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, topic, &metadata, 10000);
    int32_t count;
    if (err || metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt < 1)
        bench_die(rd_kafka_topic_name(topic), err ? rd_kafka_err2str(err) : "no such topic");
    count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return count;
}

static void send_one(run *r, rd_kafka_t *rk, rd_kafka_topic_t *topic, int32_t count, long i, char *value)
{
    static const char *const name[] = { "ce_specversion",   "ce_id",          "ce_source",  "ce_type", "content-type", "bus-hop",
                                        "ce_correlationid", "ce_causationid", "traceparent" };
    static const char *const text[] = { "1.0",
                                        "6f6f2c3e-8f2a-5c0e-9d2c-0a1b2c3d4e5f",
                                        "order",
                                        "order.OrderPlaced",
                                        "application/avro",
                                        "order/0#0123456789abcdef order.events/0/123456",
                                        "6f6f2c3e-8f2a-5c0e-9d2c-0a1b2c3d4e5f",
                                        "6f6f2c3e-8f2a-5c0e-9d2c-0a1b2c3d4e5f",
                                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    char key[32];
    size_t key_len = (size_t)snprintf(key, sizeof key, "key-%ld", i % r->keys);
    rd_kafka_headers_t *headers = r->headers ? rd_kafka_headers_new((size_t)r->headers) : NULL;
    rd_kafka_error_t *error;
    for (int h = 0; h < r->headers; h++)
        rd_kafka_header_add(headers, name[h % 9], -1, text[h % 9], -1);
    for (;;) {
        rd_kafka_vu_t part[] = {
            { .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic },
            { .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = bui_partition_of(key, key_len, count) },
            { .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
            { .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { key, key_len } },
            { .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { value, r->bytes } },
            { .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers },
        };

        error = rd_kafka_produceva(rk, part, headers ? 6 : 5);
        if (!error)
            return;
        if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            bench_die("produce", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        rd_kafka_poll(rk, 10);
    }
}

static int publish(run *r)
{
    rd_kafka_t *rk = client(r, RD_KAFKA_PRODUCER);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, r->topic, NULL);
    int32_t count = partitions(rk, topic);
    char *text = bench_sentences(r->bytes);
    double start, seconds;
    /* The producer id is fetched before the clock starts. */
    send_one(r, rk, topic, count, 0, text);
    rd_kafka_flush(rk, 30000);
    start = bench_now();
    for (long i = 0; i < r->count; i++) {
        send_one(r, rk, topic, count, i, text + i * 7919 % BENCH_TEXT);
        if (i % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    while (r->acked + r->failed < r->count + 1 && bench_now() - start < 300)
        rd_kafka_poll(rk, 100);
    seconds = bench_now() - start;
    printf("{\"what\":\"publish\",\"records\":%ld,\"failed\":%ld,\"headers\":%d,\"bytes\":%zu,\"partitions\":%d,"
           "\"seconds\":%.3f,\"per_second\":%.0f}\n",
           r->count, r->failed, r->headers, r->bytes, (int)count, seconds, (double)r->count / seconds);
    free(text);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    return r->failed > 0 || r->acked != r->count + 1;
}

static int round_trip(run *r)
{
    rd_kafka_t *producer = client(r, RD_KAFKA_PRODUCER), *consumer = client(r, RD_KAFKA_CONSUMER);
    rd_kafka_topic_t *to = rd_kafka_topic_new(producer, r->topic, NULL), *from = rd_kafka_topic_new(consumer, r->topic, NULL);
    double *latency = calloc((size_t)r->count, sizeof *latency), start, last;
    long sent = 0, got = 0, counted = 0;
    int64_t low, high;
    rd_kafka_resp_err_t failed = RD_KAFKA_RESP_ERR_UNKNOWN;
    partitions(producer, to);
    for (int i = 0; i < 50 && failed; i++, usleep(failed ? 200000 : 0)) /* a fresh topic's leader may not answer yet */
        failed = rd_kafka_query_watermark_offsets(consumer, r->topic, 0, &low, &high, 10000);
    if (!latency || failed || rd_kafka_consume_start(from, 0, high) != 0)
        bench_die(r->topic, "cannot read partition 0");
    r->bytes = sizeof start;
    start = last = bench_now();
    while (got < r->count && bench_now() - last < 10) {
        rd_kafka_message_t *message;
        double due = start + (double)sent / (double)r->rate, at;

        if (sent < r->count && bench_now() >= due) {
            at = bench_now();
            if (rd_kafka_produce(to, 0, RD_KAFKA_MSG_F_COPY, &at, sizeof at, NULL, 0, NULL) != 0)
                bench_die("produce", rd_kafka_err2str(rd_kafka_last_error()));
            sent++;
            rd_kafka_poll(producer, 0);
            continue;
        }
        /* Waking for the record and for the next one to send: 1 ms at most late, and the latter is not measured. */
        message = rd_kafka_consume(from, 0, 1);
        if (!message)
            continue;
        if (!message->err && message->len == sizeof at) {
            memcpy(&at, message->payload, sizeof at);
            /* The first few find connections and producer id being made. */
            if (got++ >= r->count / 10)
                latency[counted++] = bench_now() - at;
            last = bench_now();
        }
        rd_kafka_message_destroy(message);
    }
    printf("{\"what\":\"round\",\"records\":%ld,\"rate\":%ld", counted, r->rate);
    bench_print_times("trip", latency, (size_t)counted);
    printf("}\n");
    rd_kafka_consume_stop(from, 0);
    rd_kafka_flush(producer, 5000);
    rd_kafka_topic_destroy(from);
    rd_kafka_topic_destroy(to);
    rd_kafka_destroy(consumer);
    rd_kafka_destroy(producer);
    free(latency);
    return got < r->count;
}

int main(int argc, char **argv)
{
    run r = { .count = 500000, .keys = 10000, .rate = 200, .headers = 6, .bytes = 190 };
    const char *what;
    if (argc < 4) {
        fprintf(stderr, "usage: kafka_raw BOOTSTRAP TOPIC publish|round [--count N] [--headers H] [--bytes B] [--keys K] "
                        "[--rate R] [name=value ...]\n");
        /* Alone, as `make bench` calls every program here: it is for those that have a broker. */
        return argc == 1 ? 0 : 2;
    }
    r.servers = argv[1];
    r.topic = argv[2];
    what = argv[3];
    int at = 4;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        long value = strtol(argv[at + 1], NULL, 10);

        if (value < 0 || (value == 0 && strcmp(argv[at], "--headers") != 0))
            bench_die(argv[at], "wants a positive number");
        if (strcmp(argv[at], "--count") == 0)
            r.count = value;
        else if (strcmp(argv[at], "--headers") == 0)
            r.headers = (int)value;
        else if (strcmp(argv[at], "--bytes") == 0)
            r.bytes = (size_t)value;
        else if (strcmp(argv[at], "--keys") == 0)
            r.keys = value;
        else if (strcmp(argv[at], "--rate") == 0)
            r.rate = value;
        else
            bench_die(argv[at], "unknown option");
    }
    r.set = argv + at;
    r.set_count = argc - at;
    return strcmp(what, "publish") == 0 ? publish(&r) : strcmp(what, "round") == 0 ? round_trip(&r) : 2;
}
