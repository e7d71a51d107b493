/* SPDX-License-Identifier: MIT
 * Audit look: the reading in the order that makes an audit of a running system sound: stores, topics, the groups' commits, stores again. */
#include "base/array.h"
#include "base/error.h"
#include "kafka/admin.h"
#include "kafka/lag.h"
#include "kafka/topic_reader.h"
#include "ops/audit_database.h"

#include <stdlib.h>
#include <string.h>

#define WHERE "bus-audit"

typedef struct look {
    bui_audit *audit;
    bui_kafka_admin *admin;
    bui_kafka_topic *known;
    size_t known_count;
    bui_range *ranges;
    size_t count, cap;
} look;

/* A topic that is not there cannot be read; the rules say so. */
static bus_status want(void *opaque, const char *topic, bus_error *err)
{
    look *l = opaque;
    const char *name = NULL;
    for (size_t i = 0; i < l->known_count; i++)
        if (!strcmp(l->known[i].name, topic))
            name = l->known[i].name;
    if (!name)
        return BUS_OK;
    if (!bui_array_room(&l->ranges, &l->cap, l->count + 1, sizeof *l->ranges, 32))
        return bui_fail_nomem(err);
    l->ranges[l->count++] =
        (bui_range){ .topic = name, .partition = -1, .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 } };
    return BUS_OK;
}

static bus_status keep_spans(look *l, const bui_kafka_reader *reader, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < bui_kafka_reader_span_count(reader); i++) {
        bui_span span = bui_kafka_reader_span(reader, i);
        status = bui_audit_log(l->audit, span.topic, span.partition, span.low, span.to, err);
    }
    return status;
}

static bus_status read_topics(look *l, const bus_config *config, int timeout_ms, const bui_watch *watch, bus_error *err)
{
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bus_status status = bui_kafka_admin_open(config, WHERE, &l->admin, err);
    if (status == BUS_OK)
        status = bui_kafka_admin_topics(l->admin, NULL, 0, false, timeout_ms, &l->known, &l->known_count, err);
    if (status == BUS_OK)
        status = bui_audit_topics(l->audit, want, l, err);
    if (status != BUS_OK || !l->count)
        return status;
    status = bui_kafka_reader_open(config, WHERE, l->ranges, l->count, BUI_READ_ANY, timeout_ms, &reader, err);
    if (status == BUS_OK)
        status = keep_spans(l, reader, err);
    if (status == BUS_OK)
        status = bui_audit_db_run(l->audit, "BEGIN", "keeping records", err);
    while (status == BUS_OK) {
        bui_read_progress progress;
        status = bui_kafka_reader_next(reader, 500, &record, err);
        if (status == BUS_OK)
            status = bui_audit_record(l->audit, record, err);
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
        bui_kafka_reader_progress(reader, &progress);
        bui_watch_step(watch, progress.records, progress.passed, progress.total);
        if (status == BUS_OK && bui_watch_stop(watch))
            status = bui_fail(err, BUS_CANCELLED, "interrupted while reading the topics");
    }
    if (status == BUS_CLOSED)
        status = bui_audit_db_run(l->audit, "COMMIT", "keeping records", err);
    bui_kafka_reader_close(reader);
    return status;
}

/* What the services' groups have committed. A user that may read the topics may not be allowed to see the groups: then that is
 * not judged. */
static bus_status read_commits(look *l, const bus_config *config, int timeout_ms, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    if (sqlite3_prepare_v2(l->audit->db, "SELECT DISTINCT service FROM store", -1, &stmt, NULL) != SQLITE_OK)
        return bui_audit_db_failed(l->audit, "listing services", err);
    while (status == BUS_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        const char *service = (const char *)sqlite3_column_text(stmt, 0);
        bui_kafka_lag *list = NULL;
        size_t count = 0;
        status = bui_kafka_lag_read(config, WHERE, service, NULL, 0, false, timeout_ms, &list, &count, err);
        for (size_t i = 0; status == BUS_OK && i < count; i++)
            status =
                bui_audit_commit(l->audit, service, list[i].topic, list[i].partition, list[i].committed, list[i].metadata, err);
        free(list);
        if (status == BUS_DENIED)
            status = BUS_OK;
    }
    sqlite3_finalize(stmt);
    return status;
}

bus_status bui_audit_look(const bus_config *config, const bui_audit_sources *sources, const bui_watch *watch, bui_audit **out,
                          bus_error *err)
{
    look l = { 0 };
    bui_keys *keys = NULL;
    bus_status status = bui_audit_new(watch, &l.audit, err);
    if (status == BUS_OK)
        status = bui_keys_of(config, &keys, err);
    if (status == BUS_OK)
        bui_audit_trust(l.audit, keys);
    for (size_t i = 0; status == BUS_OK && i < sources->count; i++)
        status = bui_audit_store(l.audit, sources->paths[i], sources->tables, err);
    if (status == BUS_OK)
        status = read_topics(&l, config, sources->timeout_ms, watch, err);
    if (status == BUS_OK)
        status = read_commits(&l, config, sources->timeout_ms, err);
    for (size_t i = 0; status == BUS_OK && i < sources->count; i++)
        status = bui_audit_store_again(l.audit, sources->paths[i], err);
    if (l.audit)
        bui_audit_trust(l.audit, NULL);
    bui_keys_free(keys);
    if (status == BUS_OK)
        *out = l.audit;
    else
        bui_audit_free(l.audit);
    bui_kafka_admin_close(l.admin);
    free(l.known);
    free(l.ranges);
    return status;
}
