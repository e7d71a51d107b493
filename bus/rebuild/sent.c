/* SPDX-License-Identifier: MIT
 * Sent: a table of hashes in an SQLite file that nobody needs after a crash. */
#include "rebuild/sent.h"
#include "base/error.h"
#include "base/id.h"
#include "base/map.h"
#include "base/log.h"
#include "codec/envelope.h"
#include "shard/shard.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MOST 1200
#define PLACE_MOST 280

struct bui_sent {
    bui_logs *logs;
    char *service, *path;
    const bui_keys *keys;
    uint64_t forged; /* of the log at hand */
    bus_error why;   /* of the first of them */
    sqlite3 *db;
    sqlite3_stmt *add, *ask, *add_key, *ask_key;
    bui_map places; /* "topic/partition" -> bui_sent_place */
    bui_map topics; /* read whole */
    bus_error failure;
};

static bool fail(bui_sent *sent, const char *what)
{
    if (sent->failure.status == BUS_OK)
        bui_fail(&sent->failure, BUS_STORE, "%s: %s: %s", sent->path, what, sqlite3_errmsg(sent->db));
    return false;
}

bus_status bui_sent_failure(const bui_sent *sent, bus_error *err)
{
    if (sent->failure.status != BUS_OK && err)
        *err = sent->failure;
    return sent->failure.status;
}

/* ---- names */

static size_t place_text(const char *topic, int32_t partition, char out[PLACE_MOST])
{
    return (size_t)snprintf(out, PLACE_MOST, "%.250s/%" PRId32, topic, partition);
}

/* 0: it has none. */
static size_t name_of(const char *topic, int32_t partition, const bus_header *headers, size_t count, char out[NAME_MOST])
{
    bui_envelope e;
    if (bui_envelope_read(headers, count, &e, NULL) != BUS_OK)
        return 0;
    int n;
    if (e.letter)
        n = snprintf(out, NAME_MOST, "%.250s/%" PRId32 " %.*s %d %d", topic, partition, (int)e.letter_id.len, e.letter_id.at,
                     e.letter_round, (int)e.letter);
    else if (e.hop.token.at && e.orig.topic.at)
        n = snprintf(out, NAME_MOST, "%.250s/%" PRId32 " %.*s/%" PRId32 "/%" PRId64 " %d", topic, partition,
                     (int)e.orig.topic.len, e.orig.topic.at, e.orig.partition, e.orig.offset, e.hop.attempt);
    else if (e.id.len)
        n = snprintf(out, NAME_MOST, "%.250s/%" PRId32 " %.*s", topic, partition, (int)e.id.len, e.id.at);
    else
        return 0;
    return n < NAME_MOST ? (size_t)n : NAME_MOST - 1;
}

static void bind_hash(sqlite3_stmt *stmt, const void *bytes, size_t len)
{
    uint64_t hash[2] = { bui_hash(bytes, len, 1), bui_hash(bytes, len, 2) };
    sqlite3_bind_blob(stmt, 1, hash, sizeof hash, SQLITE_TRANSIENT);
}

static bool run(bui_sent *sent, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE || fail(sent, "noting what was sent");
}

static bool holds(bui_sent *sent, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || (rc != SQLITE_DONE && fail(sent, "asking what was sent"));
}

/* ---- reading */

static bui_sent_place *place(bui_sent *sent, const char *topic, int32_t partition)
{
    char text[PLACE_MOST];
    size_t len = place_text(topic, partition, text);
    bui_sent_place *known = bui_map_get(&sent->places, text, len);
    if (known)
        return known;
    known = calloc(1, sizeof *known);
    if (known && !bui_map_put(&sent->places, text, len, known)) {
        free(known);
        known = NULL;
    }
    if (known)
        known->first_ms = INT64_MAX;
    return known;
}

static bool claims_service(const bui_sent *sent, const bui_record *record)
{
    size_t len = strlen(sent->service);
    for (size_t i = 0; i < record->header_count; i++) {
        const bus_header *header = &record->headers[i];
        if (strcmp(header->name, BUI_HEADER_HOP) == 0 && header->value)
            return header->len > len && memcmp(header->value, sent->service, len) == 0 &&
                   ((const char *)header->value)[len] == '/';
    }
    return false;
}

/* Otherwise a foreign writer could make a row count as sent that is not. */
static bool of_service(bui_sent *sent, const bui_record *record)
{
    if (!claims_service(sent, record))
        return false;
    bool ours = bui_record_authentic(sent->keys, record, sent->service, sent->forged ? NULL : &sent->why);
    sent->forged += !ours;
    return ours;
}

static bool note_key(bui_sent *sent, const bui_record *record)
{
    char text[PLACE_MOST];
    bui_buf bytes;
    bui_buf_init(&bytes, 0);
    bui_buf_add(&bytes, text, place_text(record->topic, record->partition, text));
    bui_buf_byte(&bytes, 0);
    bui_buf_add(&bytes, record->key, record->key_len);
    bool ok = bui_buf_ok(&bytes);
    if (ok) {
        bind_hash(sent->add_key, bytes.data, bytes.len);
        sqlite3_bind_int64(sent->add_key, 2, record->timestamp);
        ok = run(sent, sent->add_key);
    } else {
        bui_fail_nomem(&sent->failure);
    }
    bui_buf_free(&bytes);
    return ok;
}

static bool note(bui_sent *sent, const bui_record *record)
{
    char name[NAME_MOST];
    bui_sent_place *at = place(sent, record->topic, record->partition);
    if (!at)
        return bui_fail_nomem(&sent->failure) == BUS_OK;
    if (record->timestamp < at->first_ms)
        at->first_ms = record->timestamp;
    if (record->key && !note_key(sent, record))
        return false;
    size_t len =
        of_service(sent, record) ? name_of(record->topic, record->partition, record->headers, record->header_count, name) : 0;
    if (!len)
        return true;
    bind_hash(sent->add, name, len);
    return run(sent, sent->add);
}

/* Offsets that hold no record. */
static bus_status judge(bui_sent *sent, void *reader, const int64_t *seen)
{
    for (size_t i = 0; i < sent->logs->span_count(reader); i++) {
        bui_span span = sent->logs->span(reader, i);
        bui_sent_place *at = place(sent, span.topic, span.partition);
        if (!at)
            return bui_fail_nomem(&sent->failure);
        at->gaps = seen[i] < span.to - span.low;
        at->cut = at->gaps || span.low > 0;
    }
    return BUS_OK;
}

static void count(bui_sent *sent, void *reader, const bui_record *record, int64_t *seen)
{
    for (size_t i = 0; i < sent->logs->span_count(reader); i++) {
        bui_span span = sent->logs->span(reader, i);
        seen[i] += span.partition == record->partition && strcmp(span.topic, record->topic) == 0;
    }
}

static bus_status read_log(bui_sent *sent, const char *topic, int32_t partition, bus_error *err)
{
    bui_range range = { .topic = topic, .partition = partition };
    void *reader;
    const bui_record *record;
    bus_status status = sent->logs->open(sent->logs, &range, 1, BUI_READ_ANY, &reader, err);
    if (status != BUS_OK)
        return status == BUS_MISSING ? BUS_OK : status;
    int64_t *seen = calloc(sent->logs->span_count(reader) + 1, sizeof *seen);
    sent->forged = 0;
    if (!seen)
        status = bui_fail_nomem(err);
    else if (sqlite3_exec(sent->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK && !fail(sent, "beginning"))
        status = bui_sent_failure(sent, err);
    while (status == BUS_OK && (status = sent->logs->next(reader, &record, err)) == BUS_OK) {
        count(sent, reader, record, seen);
        if (!note(sent, record))
            status = bui_sent_failure(sent, err);
    }
    if (sent->forged)
        bui_log(BUS_ERROR, "rebuild", "forged",
                "%s: %" PRIu64 " records in the name of %s do not count as sent by it; of the "
                "first: %s",
                topic, sent->forged, sent->service, sent->why.text);
    if (status == BUS_CLOSED) {
        status = judge(sent, reader, seen);
        if (status != BUS_OK)
            bui_sent_failure(sent, err);
    }
    if (sqlite3_exec(sent->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK && status == BUS_OK && !fail(sent, "committing"))
        status = bui_sent_failure(sent, err);
    free(seen);
    sent->logs->close(reader);
    return status;
}

bus_status bui_sent_read(bui_sent *sent, const char *topic, int32_t partition, bus_error *err)
{
    if (bui_map_get(&sent->topics, topic, strlen(topic)) || (partition >= 0 && bui_sent_place_of(sent, topic, partition)))
        return BUS_OK;
    bus_status status = read_log(sent, topic, partition, err);
    bool noted = partition >= 0 ? place(sent, topic, partition) != NULL : bui_map_put(&sent->topics, topic, strlen(topic), sent);
    return status != BUS_OK || noted ? status : bui_fail_nomem(err);
}

/* ---- asking */

bool bui_sent_has(bui_sent *sent, const char *topic, int32_t partition, const bus_header *headers, size_t count_of)
{
    char name[NAME_MOST];
    size_t len = name_of(topic, partition, headers, count_of, name);
    if (!len)
        return false;
    bind_hash(sent->ask, name, len);
    return holds(sent, sent->ask);
}

bool bui_sent_has_event(bui_sent *sent, const char *topic, int32_t partition, const char *event_id)
{
    bus_header id = { BUI_HEADER_ID, event_id, strlen(event_id) };
    return bui_sent_has(sent, topic, partition, &id, 1);
}

bool bui_sent_has_key(bui_sent *sent, const char *topic, int32_t partition, const void *key, size_t key_len, int64_t since_ms)
{
    char text[PLACE_MOST];
    bui_buf bytes;
    bui_buf_init(&bytes, 0);
    bui_buf_add(&bytes, text, place_text(topic, partition, text));
    bui_buf_byte(&bytes, 0);
    bui_buf_add(&bytes, key, key_len);
    bool found = false;
    if (bui_buf_ok(&bytes)) {
        bind_hash(sent->ask_key, bytes.data, bytes.len);
        sqlite3_bind_int64(sent->ask_key, 2, since_ms);
        found = holds(sent, sent->ask_key);
    } else {
        bui_fail_nomem(&sent->failure);
    }
    bui_buf_free(&bytes);
    return found;
}

const bui_sent_place *bui_sent_place_of(bui_sent *sent, const char *topic, int32_t partition)
{
    char text[PLACE_MOST];
    size_t len = place_text(topic, partition, text);
    return bui_map_get(&sent->places, text, len);
}

/* ---- open and close */

bus_status bui_sent_open(bui_logs *logs, const char *service, const bui_keys *keys, const char *path, bui_sent **out,
                         bus_error *err)
{
    bui_sent *sent = calloc(1, sizeof *sent);
    if (!sent)
        return bui_fail_nomem(err);
    sent->logs = logs;
    sent->keys = keys;
    bui_map_init(&sent->places);
    bui_map_init(&sent->topics);
    sent->service = strdup(service);
    sent->path = strdup(path);
    if (!sent->service || !sent->path) {
        bui_sent_close(sent);
        return bui_fail_nomem(err);
    }
    unlink(path);
    int rc = sqlite3_open_v2(path, &sent->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(
            sent->db,
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; PRAGMA locking_mode = EXCLUSIVE;"
            "CREATE TABLE name(hash BLOB PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE key(hash BLOB PRIMARY KEY, at INTEGER) WITHOUT ROWID;",
            NULL, NULL, NULL);
    static const char *const sql[] = { "INSERT OR IGNORE INTO name VALUES (?1)", "SELECT 1 FROM name WHERE hash = ?1",
                                       "INSERT INTO key VALUES (?1, ?2) ON CONFLICT(hash) DO UPDATE SET at = max(at, ?2)",
                                       "SELECT 1 FROM key WHERE hash = ?1 AND at >= ?2" };
    sqlite3_stmt **stmt[] = { &sent->add, &sent->ask, &sent->add_key, &sent->ask_key };
    for (size_t i = 0; i < 4 && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v2(sent->db, sql[i], -1, stmt[i], NULL);
    if (rc != SQLITE_OK) {
        bus_status status =
            bui_fail(err, BUS_IO, "%s cannot be made: %s", path, sent->db ? sqlite3_errmsg(sent->db) : sqlite3_errstr(rc));
        bui_sent_close(sent);
        return status;
    }
    *out = sent;
    return BUS_OK;
}

void bui_sent_close(bui_sent *sent)
{
    if (!sent)
        return;
    sqlite3_finalize(sent->add);
    sqlite3_finalize(sent->ask);
    sqlite3_finalize(sent->add_key);
    sqlite3_finalize(sent->ask_key);
    sqlite3_close(sent->db);
    if (sent->path)
        unlink(sent->path);
    bui_map_free(&sent->places, free);
    bui_map_free(&sent->topics, NULL);
    free(sent->service);
    free(sent->path);
    free(sent);
}
