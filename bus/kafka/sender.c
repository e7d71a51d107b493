/* SPDX-License-Identifier: MIT
 * Sender: shared producers, and who has sent what by them. A row's opaque is its place's number and its id; librdkafka's
 * background thread takes the reports and sorts them into the places.
 *
 * Locks, outer first: the transport's `senders_lock` (which sender is current, who uses it), a sender's `lock` (its places), a
 * place's `lock` (its ends, and whether the port is still there to be woken). */
#include "kafka/sender.h"

#include "base/array.h"
#include "base/error.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PLACES (1 << 15)
_Static_assert(sizeof(void *) == 8, "an opaque holds a place's number and a row's id");

struct kafka_place {
    pthread_mutex_t lock;
    kafka_port *port; /* NULL: it has left */
    kafka_end_of_row *ends;
    size_t first, last, cap; /* ends that wait are [first, last) */
    _Atomic(size_t) waiting; /* last - first, for a look without the lock */
    size_t owed;             /* of a port that has left: rows whose reports are still to come */
};

struct kafka_sender {
    rd_kafka_t *rk;
    kafka_transport *transport;
    kafka_sender **current; /* where the transport names it, as long as it is the one to join; NULL: a probe */
    size_t users;           /* places with a port */
    _Atomic bool fatal;
    char name[80];
    pthread_mutex_t lock;
    kafka_place **places;
    size_t count, cap;
};

/* ---- reports, on librdkafka's background thread */

/* With the place's lock. */
static void put_end(kafka_place *place, const rd_kafka_message_t *message)
{
    if (!place->port) {
        place->owed -= place->owed > 0;
        return;
    }
    if (place->last == place->cap) { /* room for all is there, see kafka_sender_expect */
        memmove(place->ends, place->ends + place->first, (place->last - place->first) * sizeof *place->ends);
        place->last -= place->first;
        place->first = 0;
    }
    place->ends[place->last++] =
        (kafka_end_of_row){ .id = (int64_t)((uintptr_t)message->_private & ((UINT64_C(1) << KAFKA_ID_BITS) - 1)),
                            .offset = message->offset,
                            .error = message->err };
}

static size_t place_of(const rd_kafka_message_t *message)
{
    return (uintptr_t)message->_private >> KAFKA_ID_BITS;
}

/* Rows of one shard leave together and are reported together: one lock for each run of them. */
static void put_ends(kafka_sender *sender, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *message = rd_kafka_event_message_next(event);
    (void)pthread_mutex_lock(&sender->lock);
    while (message) {
        size_t number = place_of(message);
        kafka_place *place = sender->places[number];
        (void)pthread_mutex_lock(&place->lock);
        bool none = place->first == place->last;
        do
            put_end(place, message);
        while ((message = rd_kafka_event_message_next(event)) && place_of(message) == number);
        atomic_store(&place->waiting, place->last - place->first);
        if (none && place->port && !atomic_load(&place->port->deaf))
            place->port->wake(place->port->opaque);
        (void)pthread_mutex_unlock(&place->lock);
    }
    (void)pthread_mutex_unlock(&sender->lock);
}

/* All of its ports have to know. */
static void wake_all(kafka_sender *sender)
{
    (void)pthread_mutex_lock(&sender->lock);
    for (size_t i = 0; i < sender->count; i++) {
        kafka_place *place = sender->places[i];
        (void)pthread_mutex_lock(&place->lock);
        if (place->port)
            place->port->wake(place->port->opaque);
        (void)pthread_mutex_unlock(&place->lock);
    }
    (void)pthread_mutex_unlock(&sender->lock);
}

static void on_error(kafka_sender *sender, rd_kafka_t *rk, rd_kafka_event_t *event)
{
    char text[300];
    if (!rd_kafka_event_error_is_fatal(event)) {
        bui_kafka_warn(sender->name, "producer_error", event);
        return;
    }
    rd_kafka_fatal_error(rk, text, sizeof text);
    atomic_store(&sender->fatal, true);
    bui_log(BUS_WARN, sender->name, "producer_fatal", "%s; the producer will be replaced", text);
    wake_all(sender);
}

static void on_event(rd_kafka_t *rk, rd_kafka_event_t *event, void *opaque)
{
    kafka_sender *sender = opaque;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
        put_ends(sender, event);
    else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
        on_error(sender, rk, event);
    rd_kafka_event_destroy(event);
}

/* ---- making and freeing, with senders_lock */

/* A broker compares a topic's limit with whole batches: of rows that fit one by one none may be larger. */
static void bound_batches(rd_kafka_conf_t *conf, int64_t least)
{
    char text[32] = "";
    size_t len = sizeof text;
    if (!least || (rd_kafka_conf_get(conf, "batch.size", text, &len) == RD_KAFKA_CONF_OK && least >= strtoll(text, NULL, 10)))
        return;
    snprintf(text, sizeof text, "%lld", (long long)least);
    (void)bui_kafka_set(conf, "batch.size", text, NULL);
}

static void sender_free(kafka_sender *sender)
{
    if (sender->rk) {
        /* Otherwise destroy would wait for requests that are out. */
        rd_kafka_purge(sender->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
        rd_kafka_destroy(sender->rk);
    }
    for (size_t i = 0; i < sender->count; i++) {
        pthread_mutex_destroy(&sender->places[i]->lock);
        free(sender->places[i]->ends);
        free(sender->places[i]);
    }
    free(sender->places);
    pthread_mutex_destroy(&sender->lock);
    free(sender);
}

static bus_status sender_new(kafka_transport *t, kafka_sender **current, kafka_sender **out, bus_error *err)
{
    kafka_sender *sender = calloc(1, sizeof *sender);
    if (!sender)
        return bui_fail_nomem(err);
    sender->transport = t;
    sender->current = current;
    snprintf(sender->name, sizeof sender->name, "%.60s", t->where);
    pthread_mutex_init(&sender->lock, NULL);
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(t->outbox_conf);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    rd_kafka_conf_set_opaque(conf, sender);
    rd_kafka_conf_set_background_event_cb(conf, on_event);
    bound_batches(conf, atomic_load(&t->least_bytes));
    bus_status status = bui_kafka_new(conf, BUI_KAFKA_OUTBOX, &sender->rk, err);
    if (status != BUS_OK) {
        sender_free(sender);
        return status;
    }
    rd_kafka_queue_t *main = rd_kafka_queue_get_main(sender->rk), *background = rd_kafka_queue_get_background(sender->rk);
    rd_kafka_queue_forward(main, background);
    rd_kafka_queue_destroy(background);
    rd_kafka_queue_destroy(main);
    *out = sender;
    return BUS_OK;
}

/* ---- places */

/* A place that a port has left is used again when all its reports are in: their opaques name it. */
static bus_status take_place(kafka_sender *sender, kafka_port *port, size_t *number, bus_error *err)
{
    size_t i = 0;
    for (; i < sender->count; i++) {
        kafka_place *place = sender->places[i];
        (void)pthread_mutex_lock(&place->lock);
        bool unused = !place->port && !place->owed;
        if (unused)
            place->port = port;
        (void)pthread_mutex_unlock(&place->lock);
        if (unused)
            break;
    }
    *number = i;
    if (i < sender->count)
        return BUS_OK;
    kafka_place *place = i < MOST_PLACES && bui_array_room(&sender->places, &sender->cap, i + 1, sizeof(kafka_place *), 16)
                             ? calloc(1, sizeof *place)
                             : NULL;
    if (!place)
        return bui_fail_nomem(err);
    pthread_mutex_init(&place->lock, NULL);
    place->port = port;
    sender->places[sender->count++] = place;
    return BUS_OK;
}

/* A probe is each port's own: the rows that it sends are likely to fail, and a failure is the end of it. */
static kafka_sender **current_of(kafka_port *port, bui_channel channel)
{
    return channel == BUI_MAIN ? &port->transport->senders[port->turn % (unsigned)port->transport->senders_most] : NULL;
}

static bus_status join(kafka_sender *sender, kafka_port *port, kafka_producer *producer, bus_error *err)
{
    size_t number = 0;
    (void)pthread_mutex_lock(&sender->lock);
    bus_status status = take_place(sender, port, &number, err);
    kafka_place *place = status == BUS_OK ? sender->places[number] : NULL;
    (void)pthread_mutex_unlock(&sender->lock);
    if (status != BUS_OK)
        return status;
    sender->users++;
    producer->sender = sender;
    producer->place = place;
    producer->opaque = (uint64_t)number << KAFKA_ID_BITS;
    producer->rk = sender->rk;
    return BUS_OK;
}

bus_status kafka_sender_join(kafka_port *port, bui_channel channel, bus_error *err)
{
    kafka_transport *t = port->transport;
    kafka_sender **current = current_of(port, channel), *sender = NULL;
    bus_status status = BUS_OK;
    (void)pthread_mutex_lock(&t->senders_lock);
    if (current)
        sender = *current;
    if (!sender)
        status = sender_new(t, current, &sender, err);
    if (status == BUS_OK)
        status = join(sender, port, &port->producer[channel], err);
    if (current && status == BUS_OK)
        *current = sender;
    bool unused = sender && !sender->users;
    (void)pthread_mutex_unlock(&t->senders_lock);
    if (unused)
        sender_free(sender);
    return status;
}

static void retire(const kafka_sender *sender)
{
    if (sender->current && *sender->current == sender)
        *sender->current = NULL;
}

/* Takes out what waits there. Of others' rows some go and some do not, and what one of them hands over after that would overtake its own
 * that are gone: so first librdkafka must send and take nothing more. It ends by itself only if a request was out. What follows
 * goes by another producer, and what was taken out is sent again: that is rare, and better than rows that leave after their shard
 * has gone to another process. */
static void stop(kafka_sender *sender)
{
    retire(sender); /* who joins next must not meet its end */
    (void)rd_kafka_test_fatal_error(sender->rk, RD_KAFKA_RESP_ERR__PURGE_QUEUE, "a shard has left it with rows that wait");
    rd_kafka_purge(sender->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

static void leave_place(kafka_sender *sender, kafka_producer *producer)
{
    kafka_place *place = producer->place;
    (void)pthread_mutex_lock(&place->lock);
    place->port = NULL;
    place->owed = producer->out - (place->last - place->first);
    place->first = place->last = 0;
    atomic_store(&place->waiting, 0);
    bool owed = place->owed > 0;
    (void)pthread_mutex_unlock(&place->lock);
    /* A fatal one sends nothing more, and what it has still to say of others' rows must not be lost. */
    if (owed && sender->users > 0 && !atomic_load(&sender->fatal))
        stop(sender);
}

void kafka_sender_leave(kafka_producer *producer)
{
    kafka_sender *sender = producer->sender;
    if (sender) {
        kafka_transport *t = sender->transport;
        bui_kafka_topics_free(&producer->topics);
        (void)pthread_mutex_lock(&t->senders_lock);
        bool last = --sender->users == 0;
        leave_place(sender, producer);
        if (last)
            retire(sender);
        (void)pthread_mutex_unlock(&t->senders_lock);
        if (last) /* not with the lock: it waits for librdkafka's threads */
            sender_free(sender);
    }
    free(producer->refused);
    memset(producer, 0, sizeof *producer);
}

void kafka_sender_retire(const kafka_producer *producer)
{
    const kafka_sender *sender = producer->sender;
    if (!sender)
        return;
    kafka_transport *t = sender->transport;
    (void)pthread_mutex_lock(&t->senders_lock);
    retire(sender);
    (void)pthread_mutex_unlock(&t->senders_lock);
}

/* ---- a port's side */

bool kafka_sender_expect(kafka_producer *producer)
{
    kafka_place *place = producer->place;
    if (producer->out < producer->room)
        return true;
    (void)pthread_mutex_lock(&place->lock);
    bool there = bui_array_room(&place->ends, &place->cap, producer->out + 1, sizeof *place->ends, 256);
    producer->room = place->cap;
    (void)pthread_mutex_unlock(&place->lock);
    return there;
}

size_t kafka_sender_take(kafka_producer *producer, kafka_end_of_row *out, size_t max)
{
    kafka_place *place = producer->place;
    if (!kafka_sender_waiting(producer))
        return 0;
    (void)pthread_mutex_lock(&place->lock);
    size_t n = place->last - place->first;
    if (n > max)
        n = max;
    memcpy(out, place->ends + place->first, n * sizeof *out);
    place->first += n;
    if (place->first == place->last)
        place->first = place->last = 0;
    atomic_store(&place->waiting, place->last - place->first);
    (void)pthread_mutex_unlock(&place->lock);
    producer->out -= n;
    return n;
}

size_t kafka_sender_waiting(const kafka_producer *producer)
{
    return producer->place ? atomic_load(&producer->place->waiting) : 0;
}

bool kafka_sender_fatal(const kafka_producer *producer)
{
    return producer->sender &&
           (atomic_load(&producer->sender->fatal) || rd_kafka_fatal_error(producer->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR);
}

void kafka_sender_failed(const kafka_producer *producer)
{
    if (!atomic_exchange(&producer->sender->fatal, true))
        wake_all(producer->sender);
}
