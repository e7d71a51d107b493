/* SPDX-License-Identifier: MIT
 * What the files of dlq share: its struct, and reading some topics' ranges. */
#ifndef BUI_OPS_DLQ_INTERNAL_H
#define BUI_OPS_DLQ_INTERNAL_H

#include "kafka/topic_reader.h"
#include "ops/dlq.h"
#include "ops/places.h"

#define BUI_DLQ_SUFFIX ".dlq"
#define BUI_DLQ_WHERE "bus-dlq"

typedef struct bui_dlq_span {
    char topic[250];
    int32_t partition;
    int64_t next;
} bui_dlq_span;

struct bui_dlq {
    const bus_config *config;
    int timeout_ms;
    char (*topics)[250];
    int32_t *partitions; /* of each topic; 0: not known */
    size_t topic_count;
    bui_places **places; /* of each topic; NULL: not wanted */
    bui_dlq_span *spans; /* where each partition was read to */
    size_t span_count;
    bui_dead_fold *fold;
    bui_keys *keys;
};

/* Without having read anything; `topics` are those of the services, or of all. */
bus_status bui_dlq_new(const bus_config *config, const char *const *services, size_t count, int timeout_ms, bui_dlq **out,
                       bus_error *err);
/* Asks the cluster for `partitions` of named topics; one that it does not have keeps 0. */
bus_status bui_dlq_count_partitions(bui_dlq *dlq, bus_error *err);
/* Folds one record, naming the service by its topic. */
bus_status bui_dlq_take(bui_dlq *dlq, const bui_record *record, bus_error *err);
/* Where the reader's ranges end: what comes later is for bui_dlq_follow. */
bus_status bui_dlq_remember(bui_dlq *dlq, const bui_kafka_reader *reader, bus_error *err);
void bui_dlq_step(const bui_kafka_reader *reader, const bui_watch *watch);

/* Places of each topic, empty. */
bus_status bui_dlq_places_new(bui_dlq *dlq, bus_error *err);
void bui_dlq_places_free(bui_dlq *dlq);
bus_status bui_dlq_places_load(bui_dlq *dlq, bus_error *err);
void bui_dlq_places_save(const bui_dlq *dlq);
bui_places *bui_dlq_places_of(const bui_dlq *dlq, const char *topic);

#endif
