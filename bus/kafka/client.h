/* SPDX-License-Identifier: MIT
 * Client: how every librdkafka handle of the bus is configured, made and destroyed, and what its errors mean here. */
#ifndef BUI_KAFKA_CLIENT_H
#define BUI_KAFKA_CLIENT_H

#include <bus/service.h>
#include <bus/tx.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>

typedef enum bui_kafka_role {
    BUI_KAFKA_MEMBER,    /* consumer in a group: group.id is set later, see bui_kafka_set */
    BUI_KAFKA_READER,    /* consumer by plain assignment */
    BUI_KAFKA_RECHECKER, /* the same, of single records */
    BUI_KAFKA_OUTBOX,    /* producer of outbox rows: gapless, without a time-out */
    BUI_KAFKA_PUBLISHER, /* idempotent producer with a time-out */
    BUI_KAFKA_TOOL       /* metadata and administration only */
} bui_kafka_role;

/* The librdkafka configuration for a role: ours, then the user's kafka.*. BUS_CONFIG: librdkafka refuses a name or value. */
bus_status bui_kafka_conf(const bus_config *config, bui_kafka_role role, const char *where, rd_kafka_conf_t **out,
                          bus_error *err);
bus_status bui_kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, bus_error *err);

/* What a partition may have of fetch.memory.bytes if so many share it: its queue, and what one fetch may bring on top of that, of 1 MB. */
typedef struct bui_kafka_share {
    int64_t queue, fetch;
} bui_kafka_share;
bui_kafka_share bui_kafka_share_of(int64_t queue, int64_t memory, size_t lanes);
/* Bounds the queues of a member that may get so many partitions; 0: unknown. */
bus_status bui_kafka_bound_queues(rd_kafka_conf_t *conf, const bus_config *config, size_t lanes, bus_error *err);

/* Makes the handle and takes conf, also on failure. */
bus_status bui_kafka_new(rd_kafka_conf_t *conf, bui_kafka_role role, rd_kafka_t **out, bus_error *err);

/* What librdkafka's error is in our words, and `what: its text: what to do` in *err. Returns the status. Where a broker refuses our
 * credentials, no answer is BUS_DENIED, and fatal. */
bus_status bui_kafka_status(rd_kafka_resp_err_t code);
bus_status bui_kafka_fail(bus_error *err, rd_kafka_resp_err_t code, const char *what, ...) BUS_PRINTF(3, 4);

/* Logs an error event as a warning, and as one line of an error in half a minute: while a broker is away they come each second. */
void bui_kafka_warn(const char *where, const char *name, rd_kafka_event_t *error);

/* Fills max.message.bytes of each topic, 0 where the cluster does not tell (the embedded broker does not). */
bus_status bui_kafka_largest(rd_kafka_t *rk, const char *const *names, size_t count, int timeout_ms, int64_t *out,
                             bus_error *err);
/* Fills a topic's cleanup.policy, "" where the cluster does not tell (the embedded broker does not). */
bus_status bui_kafka_cleanup(rd_kafka_t *rk, const char *topic, int timeout_ms, char *out, size_t cap, bus_error *err);

/* Partition count by metadata. BUS_MISSING, BUS_DENIED, BUS_BROKER. */
bus_status bui_kafka_partitions(rd_kafka_t *rk, const char *topic, int timeout_ms, int32_t *out, bus_error *err);

/* Is it the embedded broker (librdkafka's mock cluster)? It has no admin API and no look-up by time, and a request that
 * it does not know is answered by silence. false also if nobody answers. */
bool bui_kafka_is_mock(rd_kafka_t *rk, int timeout_ms);

/* ListOffsets of all partitions at once. Each `offset` is a time, or RD_KAFKA_OFFSET_BEGINNING or _END; it becomes the
 * offset found, RD_KAFKA_OFFSET_END if no record is that young. */
bus_status bui_kafka_list_offsets(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms, bus_error *err);
/* The failure of the first partition that has one. */
bus_status bui_kafka_first_failure(const rd_kafka_topic_partition_list_t *list, const char *what, bus_error *err);

/* Copies up to cap - 1 bytes of a text and terminates. */
void bui_kafka_text(char *out, size_t cap, const char *text, size_t len);

/* Milliseconds of CLOCK_MONOTONIC, for deadlines; and what is left of one, at least 0. */
int64_t bui_kafka_now(void);
int bui_kafka_left(int64_t deadline_ms);

/* Has a client ask who leads the partitions of `only`, or, NULL, of all topics that it knows. False: no answer in time; the
 * client learns it from a later one. Any thread. */
bool bui_kafka_learn(rd_kafka_t *rk, rd_kafka_topic_t *only, int timeout_ms);

#endif
