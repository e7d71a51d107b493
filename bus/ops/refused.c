/* SPDX-License-Identifier: MIT
 * Refused: reading stores while their shards run, and commands about rows. */
#include "ops/refused.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/error.h"
#include "codec/size.h"
#include "kafka/publisher.h"
#include "ops/commands.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 100

static const char rows_sql[] =
    "SELECT o.id, o.state, o.seq, o.made, o.at, o.event_id, o.error, o.key, o.value, o.headers, d.topic, d.partition, i.name,"
    " (SELECT count(*) FROM bus_outbox w WHERE w.destination = o.destination AND w.state = 0 AND w.id > o.id)"
    " FROM bus_outbox o JOIN bus_destination d ON d.id = o.destination JOIN bus_incarnation i ON i.epoch = o.epoch"
    " WHERE o.state <> 0 ORDER BY o.id";

static bus_status failed(sqlite3 *db, const char *path, bus_error *err)
{
    int code = sqlite3_errcode(db);
    return bui_fail(err, code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? BUS_CORRUPT : BUS_STORE, "%s: reading its outbox: %s",
                    path, sqlite3_errmsg(db));
}

static const char *text_at(sqlite3_stmt *stmt, int at)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);
    return text ? text : "";
}

/* NULL stays NULL and empty stays empty. */
static const void *bytes_at(sqlite3_stmt *stmt, int at, size_t *len)
{
    const void *bytes = sqlite3_column_blob(stmt, at);
    *len = (size_t)sqlite3_column_bytes(stmt, at);
    return sqlite3_column_type(stmt, at) == SQLITE_NULL ? NULL : bytes ? bytes : "";
}

/* The headers are in the arena; false: no memory. */
static bool fill(sqlite3_stmt *stmt, int shard, bui_arena *arena, bui_refused_row *row)
{
    size_t len;
    const void *packed = bytes_at(stmt, 9, &len);
    size_t count = bui_headers_count(packed, len);
    count = count == SIZE_MAX ? 0 : count;
    bui_arena_reset(arena);
    bus_header *headers = bui_arena_alloc(arena, (count + 1) * sizeof *headers);
    if (!headers)
        return false;
    *row = (bui_refused_row){ .shard = shard,
                              .id = sqlite3_column_int64(stmt, 0),
                              .waits = sqlite3_column_int(stmt, 1) == BUI_OUTBOX_HOLDS,
                              .seq = sqlite3_column_int64(stmt, 2),
                              .made = sqlite3_column_int64(stmt, 3),
                              .event_id = text_at(stmt, 5),
                              .error = text_at(stmt, 6),
                              .behind = sqlite3_column_int64(stmt, 13) };
    row->behind = row->waits ? row->behind : 0;
    row->record = (bui_record){ .topic = text_at(stmt, 10),
                                .partition = sqlite3_column_int(stmt, 11),
                                .offset = BUI_OFFSET_NONE,
                                .timestamp = sqlite3_column_int64(stmt, 4) ? sqlite3_column_int64(stmt, 4) : row->made,
                                .headers = headers };
    row->record.key = bytes_at(stmt, 7, &row->record.key_len);
    row->record.value = bytes_at(stmt, 8, &row->record.value_len);
    row->record.header_count = count ? bui_headers_unpack(packed, len, headers, count) : 0;
    row->size = bui_record_size(row->record.key, row->record.key_len, row->record.value, row->record.value_len, headers,
                                row->record.header_count);
    snprintf(row->name, sizeof row->name, "%d/%lld@%s", shard, (long long)row->id, text_at(stmt, 12));
    return true;
}

static bus_status read_store(const char *path, int shard, bui_refused_each each, void *opaque, bool *more, bus_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bui_arena arena;
    int rc = SQLITE_DONE;
    bus_status status = bui_store_reader(path, &db, err);
    if (status != BUS_OK)
        return status;
    bui_arena_init(&arena, 0);
    if (sqlite3_prepare_v2(db, rows_sql, -1, &stmt, NULL) != SQLITE_OK)
        status = failed(db, path, err);
    while (status == BUS_OK && *more && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        bui_refused_row row;
        if (fill(stmt, shard, &arena, &row))
            *more = each(opaque, &row);
        else
            status = bui_fail_nomem(err);
    }
    if (status == BUS_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = failed(db, path, err);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    bui_arena_free(&arena);
    return status;
}

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* <shard>.db and nothing else: a rebuilt store's predecessor lies beside it under another name. */
static bus_status list(const char *directory, int **out, size_t *count, bus_error *err)
{
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    bus_status status = BUS_OK;
    if (!dir)
        return bui_fail(err, BUS_MISSING, "%s: %s; name the data directory with --data", directory, strerror(errno));
    while (status == BUS_OK && (entry = readdir(dir))) {
        size_t digits = strspn(entry->d_name, "0123456789");
        if (!digits || digits > 6 || strcmp(entry->d_name + digits, ".db") != 0)
            continue;
        if (!bui_array_one_more(out, *count, sizeof **out))
            status = bui_fail_nomem(err);
        else
            (*out)[(*count)++] = atoi(entry->d_name);
    }
    closedir(dir);
    if (status == BUS_OK && !*count)
        return bui_fail(err, BUS_MISSING, "%s holds no store; name the data directory with --data", directory);
    if (status == BUS_OK)
        qsort(*out, *count, sizeof **out, by_number);
    return status;
}

bus_status bui_refused_read(const char *data, const char *service, bui_refused_each each, void *opaque, bus_error *err)
{
    char path[4096];
    int *shards = NULL;
    size_t count = 0;
    bool more = true;
    snprintf(path, sizeof path, "%s/%s", data, service);
    bus_status status = list(path, &shards, &count, err);
    for (size_t i = 0; status == BUS_OK && more && i < count; i++) {
        snprintf(path, sizeof path, "%s/%s/%d.db", data, service, shards[i]);
        status = read_store(path, shards[i], each, opaque, &more, err);
    }
    free(shards);
    return status;
}

/* ---- decisions */

static void published(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    bui_decision *decision = opaque;
    (void)partition;
    decision->status = status;
    decision->offset = offset;
    snprintf(decision->text, sizeof decision->text, "%s", status != BUS_OK && err ? err->text : "");
}

static bus_status send_all(bui_kafka_publisher *publisher, const char *topic, bui_command *command, bui_decision *decisions,
                           size_t count, bus_error *err)
{
    bui_arena arena;
    bus_header *headers;
    size_t header_count;
    bus_status status = BUS_OK;
    static const bui_record nothing;
    bui_arena_init(&arena, 0);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        bus_error why = { 0 };
        const char *slash = strchr(decisions[i].name, '/');
        bui_arena_reset(&arena);
        command->id = slash ? slash + 1 : decisions[i].name;
        status = bui_command_headers(command, &nothing, &arena, &headers, &header_count, err);
        bui_row row = { .topic = topic, .partition = atoi(decisions[i].name), .headers = headers, .header_count = header_count };
        decisions[i].status = BUS_CANCELLED;
        if (status == BUS_OK && bui_kafka_publish(publisher, &row, published, &decisions[i], &why) != BUS_OK)
            published(&decisions[i], why.status, 0, 0, &why);
        bui_kafka_publisher_poll(publisher, 0);
    }
    bui_arena_free(&arena);
    return status;
}

static int64_t ask(sqlite3 *db, const char *sql, const char *topic, int64_t number, int64_t absent)
{
    sqlite3_stmt *stmt = NULL;
    int64_t told = absent;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, number);
        if (topic)
            sqlite3_bind_text(stmt, 2, topic, -1, SQLITE_STATIC);
        told = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : absent;
    }
    sqlite3_finalize(stmt);
    return told;
}

static bus_status look(const char *data, const char *service, const char *topic, bui_decision *decision, bus_error *err)
{
    char path[4096];
    sqlite3 *db = NULL;
    int shard = atoi(decision->name);
    snprintf(path, sizeof path, "%s/%s/%d.db", data, service, shard);
    bus_status status = bui_store_reader(path, &db, err);
    if (status != BUS_OK)
        return status;
    bool read = ask(db, "SELECT next FROM bus_position WHERE partition = ?1 AND topic = ?2", topic, shard, -1) > decision->offset;
    int64_t state = ask(db, "SELECT state FROM bus_outbox WHERE id = ?1", NULL, atoll(strchr(decision->name, '/') + 1), -1);
    /* After the outbox: a row moves from the one to the other in one transaction. */
    bool given_up =
        state < 0 && ask(db, "SELECT 1 FROM bus_discarded WHERE id = ?1", NULL, atoll(strchr(decision->name, '/') + 1), 0) == 1;
    decision->end = given_up    ? BUI_DECISION_GIVEN_UP
                    : state < 0 ? BUI_DECISION_LEFT
                    : !read     ? BUI_DECISION_SENT
                    : state     ? BUI_DECISION_AGAIN
                                : BUI_DECISION_TAKEN;
    sqlite3_close(db);
    return BUS_OK;
}

static bus_status follow(const char *data, const char *service, const char *topic, bui_decision *decisions, size_t count,
                         int64_t wait_ms, const bui_watch *watch, bus_error *err)
{
    const bui_clock *clock = bui_clock_real();
    int64_t deadline = clock->mono_us(clock) + wait_ms * 1000;
    for (;;) {
        size_t open = 0;
        bus_status status = BUS_OK;
        for (size_t i = 0; i < count && status == BUS_OK; i++)
            if (decisions[i].status == BUS_OK && decisions[i].end <= BUI_DECISION_TAKEN) {
                status = look(data, service, topic, &decisions[i], err);
                open += decisions[i].end <= BUI_DECISION_TAKEN;
            }
        if (status != BUS_OK || !open || clock->mono_us(clock) >= deadline)
            return status;
        if (bui_watch_stop(watch))
            return bui_fail(err, BUS_CANCELLED, "interrupted while waiting for the outcome");
        nanosleep(&(struct timespec){ 0, LOOK_MS * 1000000L }, NULL);
    }
}

bus_status bui_refused_decide(const bus_config *config, const char *data, const char *service, bui_command_kind kind,
                              const char *reason, const char *by, bui_decision *decisions, size_t count, int timeout_ms,
                              int64_t wait_ms, const bui_watch *watch, bus_error *err)
{
    char topic[260];
    bus_error late = { 0 };
    bui_kafka_publisher *publisher = NULL;
    bui_command command = { .kind = kind, .reason = reason, .by = by };
    snprintf(topic, sizeof topic, "%s.redrive", service);
    bus_status status = bui_kafka_publisher_open(config, "bus-outbox", NULL, NULL, &publisher, err);
    if (status != BUS_OK)
        return status;
    status = send_all(publisher, topic, &command, decisions, count, err);
    if (bui_kafka_publisher_flush(publisher, timeout_ms, &late) == BUS_TIMEOUT && status == BUS_OK)
        status = bui_fail(err, BUS_TIMEOUT,
                          "the broker has not acknowledged all commands in time: look again with `bus outbox list`, then "
                          "repeat; repeating a command does no harm");
    bui_kafka_publisher_close(publisher, 0);
    return status == BUS_OK ? follow(data, service, topic, decisions, count, wait_ms, watch, err) : status;
}
