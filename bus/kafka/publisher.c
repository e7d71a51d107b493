/* SPDX-License-Identifier: MIT
 * Publisher: a producer whose delivery reports are callbacks. A fatal error (the broker lost the producer's state) ends
 * only the records that were out; the next publish starts a new producer. */
#include "kafka/publisher.h"

#include "base/config.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "codec/mac.h"
#include "kafka/client.h"
#include "kafka/send.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PURGE_MS 2000

/* Who is called for a record: freed when its report was given. */
typedef struct sent {
    bui_kafka_published done;
    void *opaque;
    int64_t hash;
} sent;

/* What librdkafka keeps with a record: a `sent`, or, if nobody is called, no memory but the hash itself, times two plus one. The hash
 * is of the key or of ce_id, for the partitioner; HASH_NONE: of neither. */
#define HASH_NONE INT64_C(0x80000000)

static void *alone(int64_t hash)
{
    return (void *)(uintptr_t)(hash * 2 + 1);
}
static sent *sent_of(void *kept)
{
    return (uintptr_t)kept & 1 ? NULL : kept;
}
static int64_t hash_kept(void *kept)
{
    return (uintptr_t)kept & 1 ? (int64_t)((uintptr_t)kept / 2) : ((sent *)kept)->hash;
}
_Static_assert(sizeof(uintptr_t) >= sizeof(int64_t), "a hash and a bit in a pointer");

struct bui_kafka_publisher {
    rd_kafka_conf_t *conf; /* template */
    char where[128];
    void (*wake)(void *opaque);
    void *opaque;
    pthread_rwlock_t lock; /* of rk, queue and topics: publish reads them, renewal and a new topic change them */
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    bui_kafka_topics topics;  /* of rk */
    bui_keys *keys;           /* NULL: records are not signed */
    pthread_mutex_t counting; /* of `counts` and `draw` */
    bui_map counts;           /* topic -> a `counted` */
    uint32_t draw;
    _Atomic int64_t out;
    int timeout_ms;
    _Atomic int64_t told; /* of them those that somebody is called for */
    pthread_mutex_t helping;
    /* Failures nobody was called for, since the last flush. Polling thread only. */
    int64_t failed;
    bus_error first_failure;
};

static int32_t partition_of(const rd_kafka_topic_t *topic, const void *key, size_t len, int32_t count, void *opaque,
                            void *message)
{
    int64_t hash = message ? hash_kept(message) : HASH_NONE;
    (void)key;
    (void)len;
    (void)opaque;
    if (hash != HASH_NONE)
        return (int32_t)(hash % count);
    return rd_kafka_msg_partitioner_random(topic, NULL, 0, count, opaque, message);
}

/* On a librdkafka thread. */
static void on_queue(rd_kafka_t *rk, void *opaque)
{
    bui_kafka_publisher *p = opaque;
    (void)rk;
    p->wake(p->opaque);
}

static bus_status begin(bui_kafka_publisher *p, bus_error *err)
{
    bus_status status = bui_kafka_new(rd_kafka_conf_dup(p->conf), BUI_KAFKA_PUBLISHER, &p->rk, err);
    if (status != BUS_OK)
        return status;
    p->queue = rd_kafka_queue_get_main(p->rk);
    if (p->wake)
        rd_kafka_queue_cb_event_enable(p->queue, on_queue, p);
    return BUS_OK;
}

static void end(bui_kafka_publisher *p)
{
    if (!p->rk)
        return;
    bui_kafka_topics_free(&p->topics);
    rd_kafka_queue_cb_event_enable(p->queue, NULL, NULL);
    rd_kafka_queue_destroy(p->queue);
    rd_kafka_destroy(p->rk);
    p->rk = NULL;
    p->queue = NULL;
}

bus_status bui_kafka_publisher_open(const bus_config *config, const char *where, void (*wake)(void *opaque), void *opaque,
                                    bui_kafka_publisher **out, bus_error *err)
{
    bui_kafka_publisher *p = calloc(1, sizeof *p);
    rd_kafka_topic_conf_t *topic;
    bus_status status;
    if (!p)
        return bui_fail_nomem(err);
    p->wake = wake;
    p->opaque = opaque;
    snprintf(p->where, sizeof p->where, "%s", where);
    pthread_rwlock_init(&p->lock, NULL);
    pthread_mutex_init(&p->helping, NULL);
    pthread_mutex_init(&p->counting, NULL);
    bui_map_init(&p->counts);
    p->timeout_ms = (int)bui_config_int(config, "broker.timeout.ms");
    status = bui_keys_of(config, &p->keys, err);
    if (status == BUS_OK)
        status = bui_kafka_conf(config, BUI_KAFKA_PUBLISHER, where, &p->conf, err);
    /* Sticky partitioning would decide for records without a key, and not ask. */
    if (status == BUS_OK)
        status = bui_kafka_set(p->conf, "sticky.partitioning.linger.ms", "0", err);
    if (status == BUS_OK) {
        rd_kafka_conf_set_events(p->conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
        /* Not a fresh one: it would take back the topic properties already set. */
        topic = rd_kafka_conf_get_default_topic_conf(p->conf);
        topic = topic ? rd_kafka_topic_conf_dup(topic) : rd_kafka_topic_conf_new();
        rd_kafka_topic_conf_set_partitioner_cb(topic, partition_of);
        rd_kafka_conf_set_default_topic_conf(p->conf, topic);
        status = begin(p, err);
    }
    if (status == BUS_OK) {
        *out = p;
        return BUS_OK;
    }
    if (p->conf)
        rd_kafka_conf_destroy(p->conf);
    bui_keys_free(p->keys);
    pthread_mutex_destroy(&p->counting);
    pthread_mutex_destroy(&p->helping);
    pthread_rwlock_destroy(&p->lock);
    free(p);
    return status;
}

static void report(bui_kafka_publisher *p, const rd_kafka_message_t *message)
{
    sent *record = sent_of(message->_private);
    bus_error err = { .status = BUS_OK };
    if (message->err)
        bui_kafka_fail(&err, message->err, "publishing to %s", message->rkt ? rd_kafka_topic_name(message->rkt) : "?");
    if (record) {
        record->done(record->opaque, err.status, message->partition, message->err ? BUI_OFFSET_NONE : message->offset,
                     message->err ? &err : NULL);
        atomic_fetch_sub(&p->told, 1);
    } else if (message->err && p->failed++ == 0) {
        p->first_failure = err;
    }
    free(record);
    atomic_fetch_sub(&p->out, 1);
}

static void on_error(bui_kafka_publisher *p, rd_kafka_event_t *event)
{
    char text[300];
    if (!rd_kafka_event_error_is_fatal(event)) {
        bui_kafka_warn(p->where, "publisher_error", event);
        return;
    }
    rd_kafka_fatal_error(p->rk, text, sizeof text);
    bui_log(BUS_WARN, p->where, "publisher_fatal", "%s; going on with a new producer", text);
    /* Idempotence by librdkafka ends here; purged records are reported as failed. */
    rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/* A fatal producer that nothing is out of any more makes room for a new one. On the polling thread. */
static void renew(bui_kafka_publisher *p)
{
    bus_error err;
    if (rd_kafka_fatal_error(p->rk, NULL, 0) == RD_KAFKA_RESP_ERR_NO_ERROR || atomic_load(&p->out) > 0)
        return;
    pthread_rwlock_wrlock(&p->lock);
    if (atomic_load(&p->out) == 0) {
        end(p);
        if (begin(p, &err) != BUS_OK)
            bui_log(BUS_ERROR, p->where, "publisher_lost", "%s", err.text);
    }
    pthread_rwlock_unlock(&p->lock);
}

bool bui_kafka_publisher_poll(bui_kafka_publisher *p, int timeout_ms)
{
    const rd_kafka_message_t *message;
    rd_kafka_event_t *event = p->queue ? rd_kafka_queue_poll(p->queue, timeout_ms) : NULL;
    if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
        while ((message = rd_kafka_event_message_next(event)))
            report(p, message);
    else if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
        on_error(p, event);
    if (event)
        rd_kafka_event_destroy(event);
    if (p->rk)
        renew(p);
    return event != NULL;
}

bool bui_kafka_publisher_help(bui_kafka_publisher *p)
{
    if (pthread_mutex_trylock(&p->helping) != 0)
        return false;
    bool quiet = !bui_kafka_publisher_calls(p);
    while (quiet && bui_kafka_publisher_poll(p, 0)) {
    }
    pthread_mutex_unlock(&p->helping);
    return quiet;
}

bool bui_kafka_publisher_calls(const bui_kafka_publisher *p)
{
    return atomic_load(&((bui_kafka_publisher *)(uintptr_t)p)->told) > 0;
}

/* Key, else ce_id, so that an event without a key goes the same way each time. */
static int64_t hash_of(const bui_row *row)
{
    if (row->key)
        return bui_murmur2(row->key, row->key_len) & 0x7fffffff;
    for (size_t i = 0; i < row->header_count; i++)
        if (strcmp(row->headers[i].name, "ce_id") == 0 && row->headers[i].value)
            return bui_murmur2(row->headers[i].value, row->headers[i].len) & 0x7fffffff;
    return HASH_NONE;
}

/* Ends with the lock held for reading; NULL: why, and without it. */
static rd_kafka_topic_t *enter(bui_kafka_publisher *p, const char *name, rd_kafka_resp_err_t *why)
{
    for (*why = RD_KAFKA_RESP_ERR_NO_ERROR; *why == RD_KAFKA_RESP_ERR_NO_ERROR;) {
        pthread_rwlock_rdlock(&p->lock);
        rd_kafka_topic_t *topic = bui_kafka_topic_known(&p->topics, name);
        if (topic)
            return topic;
        pthread_rwlock_unlock(&p->lock);
        pthread_rwlock_wrlock(&p->lock);
        if (p->rk)
            bui_kafka_topic(&p->topics, p->rk, name, why);
        else
            *why = RD_KAFKA_RESP_ERR__DESTROY;
        pthread_rwlock_unlock(&p->lock);
    }
    return NULL;
}

/* ---- signing: the signature names the partition, so that it must be known before librdkafka would choose it */

#define COUNT_AGAIN_MS 60000
typedef struct counted {
    int32_t partitions;
    int64_t at_ms;
} counted;

static bus_status ask_count(bui_kafka_publisher *p, const char *name, int32_t *out, bus_error *err)
{
    const struct rd_kafka_metadata *about = NULL;
    rd_kafka_resp_err_t code;
    rd_kafka_topic_t *topic = enter(p, name, &code);
    if (topic) {
        code = rd_kafka_metadata(p->rk, 0, topic, &about, p->timeout_ms);
        pthread_rwlock_unlock(&p->lock);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = about->topic_cnt == 1 ? about->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    *out = code == RD_KAFKA_RESP_ERR_NO_ERROR ? about->topics[0].partition_cnt : 0;
    if (about)
        rd_kafka_metadata_destroy(about);
    return *out > 0 ? BUS_OK
                    : bui_kafka_fail(err, code ? code : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "publishing to %s", name);
}

static bus_status count_of(bui_kafka_publisher *p, const char *name, int32_t *out, bus_error *err)
{
    size_t len = strlen(name);
    int64_t now = bui_kafka_now();
    counted *known = bui_map_get(&p->counts, name, len);
    bus_status status = BUS_OK;
    if (!known && (!(known = calloc(1, sizeof *known)) || !bui_map_put(&p->counts, name, len, known))) {
        free(known);
        return bui_fail_nomem(err);
    }
    if (!known->partitions || now - known->at_ms > COUNT_AGAIN_MS)
        status = ask_count(p, name, &known->partitions, err);
    known->at_ms = now;
    *out = known->partitions;
    return status;
}

static bus_status choose(bui_kafka_publisher *p, const bui_row *row, int32_t *out, bus_error *err)
{
    int64_t hash = hash_of(row);
    int32_t count = 0;
    pthread_mutex_lock(&p->counting);
    bus_status status = count_of(p, row->topic, &count, err);
    if (status == BUS_OK)
        *out = (int32_t)((hash != HASH_NONE ? hash : (int64_t)p->draw++) % count);
    pthread_mutex_unlock(&p->counting);
    return status;
}

static bus_status publish(bui_kafka_publisher *p, const bui_row *row, bui_kafka_published done, void *opaque, bus_error *err);

static bus_status publish_signed(bui_kafka_publisher *p, const bui_row *row, bui_kafka_published done, void *opaque,
                                 bus_error *err)
{
    char mac[BUI_MAC_TEXT];
    int32_t partition = row->partition;
    bus_status status = partition >= 0 ? BUS_OK : choose(p, row, &partition, err);
    if (status != BUS_OK)
        return status;
    bus_header *headers = malloc((row->header_count + 1) * sizeof *headers);
    if (!headers)
        return bui_fail_nomem(err);
    size_t count = 0;
    for (size_t i = 0; i < row->header_count; i++)
        if (strcmp(row->headers[i].name, BUI_HEADER_MAC) != 0)
            headers[count++] = row->headers[i];
    const bui_sealed sealed = { .topic = row->topic,
                                .partition = partition,
                                .key = row->key,
                                .key_len = row->key_len,
                                .value = row->value,
                                .value_len = row->value_len,
                                .headers = headers,
                                .header_count = count };
    size_t len = bui_mac_write(p->keys, &sealed, mac);
    if (len)
        headers[count++] = (bus_header){ BUI_HEADER_MAC, mac, len };
    bui_row out = *row;
    out.partition = partition;
    out.headers = headers;
    out.header_count = count;
    status = publish(p, &out, done, opaque, err);
    free(headers);
    return status;
}

bus_status bui_kafka_publish(bui_kafka_publisher *p, const bui_row *row, bui_kafka_published done, void *opaque, bus_error *err)
{
    return p->keys ? publish_signed(p, row, done, opaque, err) : publish(p, row, done, opaque, err);
}

static bus_status publish(bui_kafka_publisher *p, const bui_row *row, bui_kafka_published done, void *opaque, bus_error *err)
{
    int64_t hash = row->partition < 0 ? hash_of(row) : HASH_NONE;
    sent *record = done ? malloc(sizeof *record) : NULL;
    rd_kafka_resp_err_t code;
    if (done && !record)
        return bui_fail_nomem(err);
    if (done) {
        *record = (sent){ done, opaque, hash };
        atomic_fetch_add(&p->told, 1);
        pthread_mutex_lock(&p->helping); /* threads that help after this see it */
        pthread_mutex_unlock(&p->helping);
    }
    rd_kafka_topic_t *topic = enter(p, row->topic, &code);
    if (topic) {
        atomic_fetch_add(&p->out, 1);
        code = bui_kafka_send(p->rk, topic, row, record ? record : alone(hash));
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            atomic_fetch_sub(&p->out, 1);
        pthread_rwlock_unlock(&p->lock);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return BUS_OK;
    if (done)
        atomic_fetch_sub(&p->told, 1);
    free(record);
    if (code == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE)
        return bui_fail_nomem(err);
    /* Until the polling thread has renewed it. */
    if (code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return bui_fail(err, BUS_FULL, "%s: the queue of records to publish is full; poll and try again", p->where);
    return bui_kafka_fail(err, code, "publishing to %s", row->topic);
}

bus_status bui_kafka_publisher_flush(bui_kafka_publisher *p, int timeout_ms, bus_error *err)
{
    int64_t deadline = bui_kafka_now() + timeout_ms;
    int64_t failed;
    while (atomic_load(&p->out) > 0) {
        if (timeout_ms >= 0 && bui_kafka_left(deadline) == 0)
            return bui_fail(err, BUS_TIMEOUT, "%lld records are not acknowledged within %d ms; they may still be",
                            (long long)atomic_load(&p->out), timeout_ms);
        /* Sends what lingers, without waiting for it. */
        rd_kafka_flush(p->rk, 0);
        bui_kafka_publisher_poll(p, timeout_ms < 0 || bui_kafka_left(deadline) > 50 ? 50 : bui_kafka_left(deadline));
    }
    failed = p->failed;
    p->failed = 0;
    if (failed == 0)
        return BUS_OK;
    if (err) {
        *err = p->first_failure;
        if (failed > 1)
            bui_fail_in(err, "%lld records failed, the first", (long long)failed);
    }
    return p->first_failure.status;
}

int64_t bui_kafka_publisher_out(const bui_kafka_publisher *p)
{
    return atomic_load(&((bui_kafka_publisher *)(uintptr_t)p)->out);
}

void bui_kafka_publisher_close(bui_kafka_publisher *p, int timeout_ms)
{
    bus_error err;
    int64_t deadline;
    if (!p)
        return;
    if (p->rk && bui_kafka_publisher_flush(p, timeout_ms, &err) == BUS_TIMEOUT) {
        rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        /* Purging answers at once; the bound is for the case that it does not. */
        for (deadline = bui_kafka_now() + PURGE_MS; atomic_load(&p->out) > 0 && bui_kafka_left(deadline) > 0;)
            bui_kafka_publisher_poll(p, 20);
    }
    end(p);
    rd_kafka_conf_destroy(p->conf);
    bui_keys_free(p->keys);
    bui_map_free(&p->counts, free);
    pthread_mutex_destroy(&p->counting);
    pthread_mutex_destroy(&p->helping);
    pthread_rwlock_destroy(&p->lock);
    free(p);
}
