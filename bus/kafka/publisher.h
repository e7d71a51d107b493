/* SPDX-License-Identifier: MIT
 * Publisher: an idempotent producer without a store: at least once, in order per partition, one callback per record.
 * For bus_publish and the tools (publish, redrive, replay). */
#ifndef BUI_KAFKA_PUBLISHER_H
#define BUI_KAFKA_PUBLISHER_H

#include "shard/transport.h"
#include <bus/service.h>

typedef struct bui_kafka_publisher bui_kafka_publisher;

/* BUS_OK with the offset (BUI_OFFSET_NONE if the broker kept it to itself), or why it was given up: BUS_TIMEOUT (kafka.
 * message.timeout.ms passed; it may be stored), BUS_MISSING, BUS_DENIED, BUS_TOO_BIG, BUS_BROKER, BUS_CLOSED (the
 * publisher was closed first). Runs inside bui_kafka_publisher_poll, _flush or _close, on their thread; may publish. */
typedef void (*bui_kafka_published)(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err);

/* `wake` (may be NULL) is called from any thread when callbacks wait for a poll. Does no network. */
bus_status bui_kafka_publisher_open(const bus_config *config, const char *where, void (*wake)(void *opaque), void *opaque,
                                    bui_kafka_publisher **out, bus_error *err);

/* Waits up to timeout_ms for what is in flight, gives up the rest (each callback is called), frees. NULL is a no-op. */
void bui_kafka_publisher_close(bui_kafka_publisher *publisher, int timeout_ms);

/* Queues a copy of the row (its id is not used). partition -1: murmur2(key) as the Java client; without a key
 * murmur2(ce_id), without that any. `done` may be NULL. Any thread. BUS_FULL: the local queue is full, poll and try again;
 * BUS_TOO_BIG; BUS_MISSING: no such partition, as far as known. */
bus_status bui_kafka_publish(bui_kafka_publisher *publisher, const bui_row *row, bui_kafka_published done, void *opaque,
                             bus_error *err);

/* Takes the next crowd of reports and runs their callbacks; waits up to timeout_ms for it. false: nothing is there. `wake` is called
 * only after all was taken. One thread at a time. */
bool bui_kafka_publisher_poll(bui_kafka_publisher *publisher, int timeout_ms);

/* Takes the reports that are there, if nobody is to be called for any record that is out; else false, and does nothing: a program's
 * thread that publishes may help so without running anybody's callback. In place of a poll, never beside one. */
bool bui_kafka_publisher_help(bui_kafka_publisher *publisher);
/* Is somebody to be called for a record that is out? Any thread. */
bool bui_kafka_publisher_calls(const bui_kafka_publisher *publisher);

/* Polls until nothing is in flight; <0: without limit. BUS_TIMEOUT: some are still out. BUS_BROKER (or the first failure's own
 * status): some without a `done` have failed since the last flush. */
bus_status bui_kafka_publisher_flush(bui_kafka_publisher *publisher, int timeout_ms, bus_error *err);

/* Queued and not yet answered. Any thread. */
int64_t bui_kafka_publisher_out(const bui_kafka_publisher *publisher);

#endif
