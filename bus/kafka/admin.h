/* SPDX-License-Identifier: MIT
 * Admin: topics of a cluster, listed and created. Blocking; one thread per handle. */
#ifndef BUI_KAFKA_ADMIN_H
#define BUI_KAFKA_ADMIN_H

#include <bus/service.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bui_kafka_admin bui_kafka_admin;

bus_status bui_kafka_admin_open(const bus_config *config, const char *where, bui_kafka_admin **out, bus_error *err);
void bui_kafka_admin_close(bui_kafka_admin *admin);

/* The cluster: how many brokers answer now. BUS_BROKER if none does within timeout_ms. */
bus_status bui_kafka_admin_brokers(bui_kafka_admin *admin, int timeout_ms, int *out, bus_error *err);

/* What a topic is. Configuration is filled only if the broker returned it (`configured`); the mock broker does not. */
typedef struct bui_kafka_topic {
    char name[250];
    int32_t partitions;
    int replication;
    int leaderless; /* partitions without a leader now */
    bool configured;
    int64_t retention_ms;    /* -1: without limit */
    int64_t retention_bytes; /* -1: without limit */
    int min_insync;
    char cleanup[32];      /* "delete", "compact", "compact,delete" */
    int64_t message_bytes; /* max.message.bytes: the largest batch */
    int64_t segment_ms;    /* segment.ms; 0: not told */
} bui_kafka_topic;

/* Of a compacted topic that everybody reads from its start: what later records replace goes within minutes. A broker cleans closed
 * segments only, and by itself it closes one after a week. */
#define BUI_TIDY_SEGMENT_MS 600000
#define BUI_TIDY_SETTINGS "segment.ms=600000,segment.bytes=1048576,min.cleanable.dirty.ratio=0.1,delete.retention.ms=3600000"

/* Lists the named topics, or all (names NULL; Kafka's own, "__...", left out), sorted by name. A named topic that is
 * absent is left out of the answer. `configuration` asks for it too (one more request). *out is one malloc'd array: free() it.
 * BUS_BROKER, BUS_TIMEOUT, BUS_DENIED. */
bus_status bui_kafka_admin_topics(bui_kafka_admin *admin, const char *const *names, size_t count, bool configuration,
                                  int timeout_ms, bui_kafka_topic **out, size_t *out_count, bus_error *err);

/* What a topic should be. Zero means the broker's default, except where noted. */
typedef struct bui_kafka_topic_spec {
    const char *name;
    int32_t partitions; /* at least 1 */
    int replication;
    int64_t retention_ms; /* -1: without limit (retention.bytes too) */
    int min_insync;
    const char *cleanup;   /* "delete", "compact" */
    int64_t message_bytes; /* max.message.bytes */
    bool tidy;             /* with BUI_TIDY_SETTINGS */
    bus_status status;     /* filled: BUS_OK, BUS_EXISTS, BUS_DENIED, BUS_INVALID, ... */
    char text[200];        /* filled: why not, "" if made */
} bui_kafka_topic_spec;

/* Creates topics, each on its own; waits until the cluster shows them with a leader per partition. BUS_OK if all are
 * there now (BUS_EXISTS counts as there, whatever its partition count); otherwise the first failure's status, and
 * each spec says its own. validate: only asks whether it would work. Call again freely. */
bus_status bui_kafka_admin_create(bui_kafka_admin *admin, bui_kafka_topic_spec *specs, size_t count, bool validate,
                                  int timeout_ms, bus_error *err);

/* Deletes topics (for tests and `--init` clean-ups). A topic that is absent is no error. */
bus_status bui_kafka_admin_delete(bui_kafka_admin *admin, const char *const *names, size_t count, int timeout_ms, bus_error *err);

/* Topic names as Kafka accepts them: 1 to 249 of [a-zA-Z0-9._-], not "." or "..". */
bool bui_kafka_topic_name_ok(const char *name);

#endif
