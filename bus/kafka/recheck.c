/* SPDX-License-Identifier: MIT
 * Recheck: reads single records of logs again, apart from the lanes, on its own thread and consumer, which exist from the first
 * look on. It also counts the signs that a log may have been replaced. librdkafka silently goes on in a topic that was made
 * again. But a refused fetch, a changed leader and a broken connection make it ask for metadata or for the broker's versions. */
#include "base/error.h"
#include "base/map.h"
#include "base/wait.h"
#include "kafka/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 2000 /* for each of the three questions of a look */
#define JOIN_MS 1000
#define PLACE_NAME 264
#define REFRESH_MS 5000 /* between two questions of the member for metadata, while a look finds no topic */

/* ---- signs */

/* One for the process: a handle may outlive its transport. A sign too many costs a look. */
static _Atomic uint64_t signs;

static rd_kafka_resp_err_t on_request(rd_kafka_t *rk, int fd, const char *broker, int32_t id, int16_t api, int16_t version,
                                      int32_t number, size_t size, void *opaque)
{
    enum { METADATA = 3, API_VERSIONS = 18, LEADER_EPOCH = 23 };

    (void)rk, (void)fd, (void)broker, (void)id, (void)version, (void)number, (void)size, (void)opaque;
    if (api == METADATA || api == API_VERSIONS || api == LEADER_EPOCH)
        atomic_fetch_add(&signs, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *text, size_t cap)
{
    (void)conf, (void)text, (void)cap;
    return rd_kafka_interceptor_add_on_request_sent(rk, "bus", on_request, opaque);
}

void kafka_watch_signs(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_interceptor_add_on_new(conf, "bus", on_new, NULL);
}

uint64_t kafka_doubts(bui_port *port)
{
    (void)port;
    return atomic_load(&signs);
}

/* ---- one look */

typedef struct job {
    kafka_port *port;
    uint64_t number;
    bui_recheck *look;
    size_t count;
} job;

/* All low ends, or all high ones. */
static void ask_ends(rd_kafka_t *rk, job *j, int64_t which)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)j->count);
    bus_status status;
    for (size_t i = 0; i < j->count; i++)
        rd_kafka_topic_partition_list_add(list, j->look[i].topic, j->look[i].partition)->offset = which;
    status = bui_kafka_list_offsets(rk, list, ANSWER_MS, NULL);
    for (size_t i = 0; i < j->count; i++) {
        const rd_kafka_topic_partition_t *at = &list->elems[i];

        if (at->err || at->offset < 0)
            j->look[i].status = at->err ? bui_kafka_status(at->err) : status != BUS_OK ? status : BUS_BROKER;
        *(which == RD_KAFKA_OFFSET_BEGINNING ? &j->look[i].low : &j->look[i].high) = at->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static bool hash_message(const rd_kafka_message_t *message, const char *topic, struct bui_recheck_place *place)
{
    rd_kafka_timestamp_type_t kind;
    rd_kafka_headers_t *list = NULL;
    bui_record record = { .topic = topic,
                          .partition = message->partition,
                          .offset = message->offset,
                          .timestamp = rd_kafka_message_timestamp(message, &kind),
                          .key = message->key,
                          .key_len = message->key_len,
                          .value = message->payload,
                          .value_len = message->len };
    size_t count = rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_header_cnt(list) : 0;
    bus_header *headers = calloc(count + 1, sizeof *headers);
    if (!headers)
        return false;
    for (size_t i = 0; i < count; i++)
        rd_kafka_header_get_all(list, i, &headers[i].name, &headers[i].value, &headers[i].len);
    record.headers = headers;
    record.header_count = count;
    place->there = true;
    place->hash = bui_record_hash(&record, place->kind);
    free(headers);
    return true;
}

static bool same_place(const bui_recheck *look)
{
    return look->place[0].offset == look->place[1].offset && look->place[0].kind == look->place[1].kind;
}

static bool wanted(const bui_recheck *look, int which)
{
    const struct bui_recheck_place *place = &look->place[which];
    if (which == 1 && same_place(look))
        return false;
    return look->status == BUS_OK && place->offset >= look->low && place->offset < look->high;
}

/* What the message says of the place that it was fetched for; true: the place is answered. */
static bool answer(const rd_kafka_message_t *message, bui_recheck *look, int which)
{
    struct bui_recheck_place *place = &look->place[which];
    if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        look->status = bui_kafka_status(message->err) == BUS_CORRUPT ? BUS_BROKER : bui_kafka_status(message->err);
    else if (!message->err && message->offset < place->offset)
        return false;
    else if (!message->err && message->offset == place->offset && !hash_message(message, look->topic, place))
        look->status = BUS_NOMEM;
    return true;
}

/* Topic and partition as one text: at most 249 bytes are a topic's name. */
static size_t place_name(const char *topic, int32_t partition, char out[PLACE_NAME])
{
    return (size_t)snprintf(out, PLACE_NAME, "%.249s/%d", topic, (int)partition);
}

/* Begins to read at the place. */
static bool ask_place(bui_recheck *look, int which, rd_kafka_queue_t *queue, rd_kafka_topic_t **topic, bui_map *asked)
{
    char name[PLACE_NAME];
    size_t len = place_name(look->topic, look->partition, name);
    if (!bui_map_put(asked, name, len, topic))
        return false;
    return rd_kafka_consume_start_queue(*topic, look->partition, look->place[which].offset, queue) == 0;
}

/* Which of the logs the message is of; NULL: none that still waits. */
static rd_kafka_topic_t **asked_for(const rd_kafka_message_t *message, const bui_map *asked)
{
    char name[PLACE_NAME];
    rd_kafka_topic_t **topic =
        message->rkt ? bui_map_get(asked, name, place_name(rd_kafka_topic_name(message->rkt), message->partition, name)) : NULL;
    return topic && *topic ? topic : NULL;
}

/* Reads one place of each log. */
static void ask_places(rd_kafka_t *rk, job *j, int which)
{
    rd_kafka_topic_t **topic = calloc(j->count + 1, sizeof *topic), **at;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    bui_map asked;
    int64_t deadline = bui_kafka_now() + ANSWER_MS;
    rd_kafka_message_t *message;
    size_t out = 0;
    bui_map_init(&asked);
    for (size_t i = 0; i < j->count; i++) {
        bui_recheck *look = &j->look[i];

        if (!wanted(look, which))
            continue;
        if (topic)
            topic[i] = rd_kafka_topic_new(rk, look->topic, NULL);
        if (topic && topic[i] && ask_place(look, which, queue, &topic[i], &asked)) {
            out++;
            continue;
        }
        look->status = BUS_BROKER;
        if (topic && topic[i])
            rd_kafka_topic_destroy(topic[i]);
        if (topic)
            topic[i] = NULL;
    }
    while (out && bui_kafka_left(deadline) > 0) {
        if (rd_kafka_consume_batch_queue(queue, bui_kafka_left(deadline), &message, 1) != 1)
            continue;
        at = asked_for(message, &asked);
        if (at && answer(message, &j->look[at - topic], which)) {
            rd_kafka_consume_stop(*at, message->partition);
            rd_kafka_topic_destroy(*at);
            *at = NULL;
            out--;
        }
        rd_kafka_message_destroy(message);
    }
    for (size_t i = 0; topic && i < j->count; i++)
        if (topic[i]) {
            j->look[i].status = BUS_TIMEOUT;
            rd_kafka_consume_stop(topic[i], j->look[i].partition);
            rd_kafka_topic_destroy(topic[i]);
        }
    rd_kafka_queue_destroy(queue);
    bui_map_free(&asked, NULL);
    free(topic);
}

/* librdkafka believes for minutes that a topic is missing, or has fewer partitions: topic.metadata.refresh.interval.ms. The partitions
 * of a topic stand together: each topic is asked about once. */
static void learn_missing(rd_kafka_t *rk, const job *j)
{
    const char *asked = NULL;
    for (size_t i = 0; i < j->count; i++) {
        const bui_recheck *look = &j->look[i];
        bool again = asked && strcmp(asked, look->topic) == 0;
        rd_kafka_topic_t *topic = look->status == BUS_MISSING && !again ? rd_kafka_topic_new(rk, look->topic, NULL) : NULL;

        if (!topic)
            continue;
        asked = look->topic;
        bui_kafka_learn(rk, topic, ANSWER_MS);
        rd_kafka_topic_destroy(topic);
    }
}

static void do_look(rd_kafka_t *rk, job *j)
{
    for (size_t i = 0; i < j->count; i++)
        j->look[i].status = BUS_OK;
    ask_ends(rk, j, RD_KAFKA_OFFSET_BEGINNING);
    learn_missing(rk, j);
    ask_ends(rk, j, RD_KAFKA_OFFSET_END);
    ask_places(rk, j, 0);
    for (size_t i = 0; i < j->count; i++)
        if (same_place(&j->look[i]))
            j->look[i].place[1] = j->look[i].place[0];
    ask_places(rk, j, 1);
}

/* ---- the thread */

static bool take_job(kafka_rechecker *l, job *out)
{
    for (kafka_port *port = l->ports; port; port = port->next_rechecking) {
        if (!port->recheck_asked)
            continue;
        *out = (job){ .port = port, .number = port->recheck_number, .look = port->recheck, .count = port->recheck_count };
        port->recheck = NULL;
        port->recheck_asked = false;
        return true;
    }
    return false;
}

/* The port may be gone, or have asked for something else meanwhile. */
static void give_answer(kafka_rechecker *l, job *j)
{
    for (kafka_port *port = l->ports; port; port = port->next_rechecking) {
        if (port != j->port || port->recheck_number != j->number)
            continue;
        free(port->recheck);
        port->recheck = j->look;
        port->recheck_count = j->count;
        port->recheck_done = true;
        port->wake(port->opaque);
        return;
    }
    free(j->look);
}

static void *look_main(void *opaque)
{
    kafka_rechecker *l = opaque;
    job j;
    pthread_mutex_lock(&l->lock);
    while (!l->closing) {
        if (!take_job(l, &j)) {
            pthread_cond_wait(&l->asked, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        do_look(l->rk, &j);
        pthread_mutex_lock(&l->lock);
        give_answer(l, &j);
    }
    pthread_mutex_unlock(&l->lock);
    rd_kafka_destroy(l->rk);
    pthread_cond_destroy(&l->asked);
    pthread_mutex_destroy(&l->lock);
    free(l);
    return NULL;
}

static kafka_rechecker *looker_new(kafka_transport *t, bus_error *err)
{
    kafka_rechecker *l = calloc(1, sizeof *l);
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(t->recheck_conf);
    if (!l) {
        rd_kafka_conf_destroy(conf);
        bui_fail_nomem(err);
        return NULL;
    }
    if (bui_kafka_new(conf, BUI_KAFKA_RECHECKER, &l->rk, err) != BUS_OK) {
        free(l);
        return NULL;
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->asked, NULL);
    if (pthread_create(&l->thread, NULL, look_main, l) == 0)
        return l;
    bui_fail(err, BUS_NOMEM, "%s: no thread to check logs with", t->where);
    rd_kafka_destroy(l->rk);
    free(l);
    return NULL;
}

void kafka_recheck_end(kafka_transport *t)
{
    kafka_rechecker *l = t->rechecker;
    if (!l)
        return;
    t->rechecker = NULL;
    pthread_t thread = l->thread;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_signal(&l->asked);
    pthread_mutex_unlock(&l->lock);
    /* A look that waits for a broker ends by itself; nothing of ours is in it any more. */
    bui_thread_join_within(thread, JOIN_MS);
}

/* ---- the port's side */

static bus_status looker_of(kafka_transport *t, kafka_rechecker **out, bus_error *err)
{
    pthread_mutex_lock(&t->lock);
    if (!t->rechecker)
        t->rechecker = looker_new(t, err);
    *out = t->rechecker;
    pthread_mutex_unlock(&t->lock);
    return *out ? BUS_OK : err->status;
}

/* One block, the topics' names at its end: a look may outlive its caller. */
static bui_recheck *copy_looks(const bui_recheck *list, size_t count)
{
    size_t size = count * sizeof *list + 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(list[i].topic) + 1;
    bui_recheck *copy = malloc(size);
    char *at = (char *)(copy + count);

    for (size_t i = 0; copy && i < count; i++) {
        size_t len = strlen(list[i].topic) + 1;

        copy[i] = list[i];
        copy[i].topic = memcpy(at, list[i].topic, len);
        at += len;
    }
    return copy;
}

bus_status kafka_recheck(bui_port *p, const bui_recheck *list, size_t count, bus_error *err)
{
    kafka_port *port = kafka_port_of(p);
    bui_recheck *copy = copy_looks(list, count);
    kafka_rechecker *l;
    bus_status status = copy ? looker_of(port->transport, &l, err) : bui_fail_nomem(err);
    if (status != BUS_OK) {
        free(copy);
        return status;
    }
    pthread_mutex_lock(&l->lock);
    if (!port->rechecker) {
        port->rechecker = l;
        port->next_rechecking = l->ports;
        l->ports = port;
    }
    free(port->recheck);
    port->recheck = copy;
    port->recheck_count = count;
    port->recheck_number++;
    port->recheck_asked = true;
    port->recheck_done = false;
    pthread_cond_signal(&l->asked);
    pthread_mutex_unlock(&l->lock);
    return BUS_OK;
}

/* The member that fetches does not ask by itself either. The answer is taken by librdkafka's own thread: nothing waits for it here. */
static void refresh_member(kafka_port *port, const bui_recheck *list, size_t count)
{
    rd_kafka_t *rk = port->transport->rk;
    bool missing = false;
    for (size_t i = 0; i < count; i++)
        missing |= list[i].status == BUS_MISSING;
    if (!missing || !rk || bui_kafka_left(port->refresh_at) > 0)
        return;
    port->refresh_at = bui_kafka_now() + REFRESH_MS;
    bui_kafka_learn(rk, NULL, 1);
}

size_t kafka_rechecked(bui_port *p, bui_recheck *out, size_t max)
{
    kafka_port *port = kafka_port_of(p);
    size_t count = 0;
    if (!port->rechecker)
        return 0;
    pthread_mutex_lock(&port->rechecker->lock);
    if (port->recheck_done && port->recheck_count <= max) {
        count = port->recheck_count;
        memcpy(out, port->recheck, count * sizeof *out);
        for (size_t i = 0; i < count; i++)
            out[i].topic = NULL;
        free(port->recheck);
        port->recheck = NULL;
        port->recheck_done = false;
    }
    pthread_mutex_unlock(&port->rechecker->lock);
    refresh_member(port, out, count);
    return count;
}

void kafka_recheck_forget(kafka_port *port)
{
    kafka_rechecker *l = port->rechecker;
    kafka_port **at;
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    for (at = &l->ports; *at != port;)
        at = &(*at)->next_rechecking;
    *at = port->next_rechecking;
    free(port->recheck);
    port->recheck = NULL;
    port->rechecker = NULL;
    pthread_mutex_unlock(&l->lock);
}
