/* SPDX-License-Identifier: MIT
 * Sender: a producer that the shards of a process share. librdkafka gives each producer threads and connections of its own, so a
 * process has few of them (`producers.max`), however many shards it has.
 *
 * A port joins the sender of its turn (a probe: one of its own) with its first row and gets a place there: a list into which librdkafka's thread puts how
 * each row ended, for the port's own thread to take. When a sender has become fatal each of its ports moves on to the next one by
 * itself, after it has taken what is still reported; the last to leave frees the old one. */
#ifndef BUI_KAFKA_SENDER_H
#define BUI_KAFKA_SENDER_H

#include "kafka/internal.h"

/* A row is handed to librdkafka with its place's number and its id in one word. */
#define KAFKA_ID_BITS 48

/* How a row ended. */
typedef struct kafka_end_of_row {
    int64_t id, offset;
    rd_kafka_resp_err_t error;
} kafka_end_of_row;

/* Joins the current sender of the port's turn, which is made if there is none. */
bus_status kafka_sender_join(kafka_port *port, bui_channel channel, bus_error *err);
/* Leaves: no report of the port's rows comes any more. Those that wait in the sender are not sent, if that can still be prevented. */
void kafka_sender_leave(kafka_producer *producer);
/* So that the next port that joins, also this one, gets another sender. */
void kafka_sender_retire(const kafka_producer *producer);

/* What a row is handed over to librdkafka with. */
static inline void *kafka_sender_opaque(const kafka_producer *producer, int64_t id)
{
    return (void *)(uintptr_t)(producer->opaque | (uint64_t)id);
}

/* Makes room for the end of one more row, so that librdkafka's thread allocates nothing. */
bool kafka_sender_expect(kafka_producer *producer);
/* Takes up to `max` ends, in the order of their reports. */
size_t kafka_sender_take(kafka_producer *producer, kafka_end_of_row *out, size_t max);
size_t kafka_sender_waiting(const kafka_producer *producer); /* ends that wait to be taken */
bool kafka_sender_fatal(const kafka_producer *producer);
void kafka_sender_failed(const kafka_producer *producer); /* it has refused a row for being fatal */

#endif
