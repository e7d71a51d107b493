/* SPDX-License-Identifier: MIT
 * Audit: the audit database, and copying records into it. Stores: audit_store.c. */
#include "ops/audit.h"
#include "base/error.h"
#include "base/id.h"
#include "codec/envelope.h"
#include "ops/audit_database.h"
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* later: the indexes of services' tables, made when all their rows are here.
 * record: ours: its hop names this very place, so that (source, seq) settle it. named: it brings an id of its own; without one its place is its id.
 * shard: the source up to '#'. sender: its ce_source. cause: the id of the event that made it. command: the kind of command that it claims to be.
 * waits: keys that are not free. copied: where a record says that it is a copy of. committed: what the groups' commits say of the stores;
 * later_...: read after them. */
static const char audit_db[] =
    "CREATE TABLE store(path TEXT PRIMARY KEY, service TEXT, shard INTEGER, source TEXT, transacted INTEGER);"
    "CREATE TABLE sent(path TEXT, source TEXT, topic TEXT, partition INTEGER, next INTEGER, again INTEGER);"
    "CREATE TABLE outbox(path TEXT, row INTEGER, source TEXT, topic TEXT, partition INTEGER, seq INTEGER, rejected INTEGER,"
    " event_id TEXT, error TEXT);"
    "CREATE TABLE position(path TEXT, service TEXT, topic TEXT, partition INTEGER, next INTEGER, life INTEGER, judging INTEGER, anchor INTEGER,"
    " anchor_hash INTEGER, anchor_kind INTEGER, proof INTEGER, proof_hash INTEGER, proof_kind INTEGER, PRIMARY KEY (topic, partition, service));"
    "CREATE TABLE mark(path TEXT, id INTEGER, source TEXT, shard TEXT, topic TEXT, partition INTEGER, high INTEGER,"
    " PRIMARY KEY (path, topic, partition, source));"
    "CREATE TABLE hole(path TEXT, mark INTEGER, lo INTEGER, hi INTEGER, PRIMARY KEY (path, mark, lo));"
    "CREATE TABLE seen(path TEXT, n INTEGER, topic TEXT, partition INTEGER, sender TEXT, event_id TEXT);"
    "CREATE TABLE waits(path TEXT, id INTEGER, scope TEXT, state INTEGER, event_id TEXT, parked INTEGER);"
    "CREATE TABLE parked(path TEXT, service TEXT, key_id INTEGER, topic TEXT, partition INTEGER, offset INTEGER, at INTEGER, event_id TEXT, command INTEGER);"
    "CREATE TABLE letter(path TEXT, service TEXT, shard INTEGER, id TEXT, event_id TEXT, scope TEXT, round INTEGER, state INTEGER, key_id INTEGER,"
    " replay TEXT, again INTEGER);"
    "CREATE TABLE planned(path TEXT, name TEXT, topic TEXT, event_id TEXT);"
    "CREATE TABLE log(topic TEXT, partition INTEGER, low INTEGER, high INTEGER, PRIMARY KEY (topic, partition));"
    "CREATE TABLE record(topic TEXT, partition INTEGER, offset INTEGER, at INTEGER, ours INTEGER, source TEXT, shard TEXT, seq INTEGER,"
    " event_id TEXT, type TEXT, key BLOB, content INTEGER, bare INTEGER, named INTEGER, sender TEXT, cause TEXT, command INTEGER, hash INTEGER);"
    "CREATE TABLE copied(topic TEXT, partition INTEGER, offset INTEGER, from_topic TEXT, from_partition INTEGER, from_offset INTEGER);"
    "CREATE TABLE told(topic TEXT, partition INTEGER, offset INTEGER, id TEXT, event_id TEXT, round INTEGER, state INTEGER,"
    " bare INTEGER, body INTEGER, from_topic TEXT, from_partition INTEGER, from_offset INTEGER, from_at INTEGER, class TEXT);"
    "CREATE TABLE body(path TEXT, letter TEXT);"
    "CREATE TABLE discarded(path TEXT, row INTEGER, source TEXT, topic TEXT, partition INTEGER, seq INTEGER, event_id TEXT, operator TEXT,"
    " reason TEXT);"
    "CREATE TABLE committed(service TEXT, topic TEXT, partition INTEGER, next INTEGER, store_id TEXT, opens INTEGER, age INTEGER);"
    "CREATE TABLE later_store(path TEXT PRIMARY KEY, store_id TEXT, opens INTEGER, age INTEGER);"
    "CREATE TABLE later_position(path TEXT, topic TEXT, partition INTEGER, next INTEGER, PRIMARY KEY (path, topic, partition));"
    "CREATE TABLE damage(path TEXT PRIMARY KEY, text TEXT);"
    "CREATE TABLE clock(ms INTEGER);"
    "CREATE TABLE later(sql TEXT);";

#define STEPS_A_LOOK 100000 /* of SQLite's machine: some milliseconds */

static const char record_sql[] =
    "INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
static const char letter_sql[] = "INSERT INTO told VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
static const char copied_sql[] = "INSERT INTO copied VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

bus_status bui_audit_db_failed(const bui_audit *audit, const char *what, bus_error *err)
{
    int code = sqlite3_errcode(audit->db);
    bus_status status = code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? BUS_CORRUPT
                        : code == SQLITE_NOMEM                          ? BUS_NOMEM
                        : code == SQLITE_INTERRUPT                      ? BUS_CANCELLED
                        : code == SQLITE_FULL || code == SQLITE_IOERR   ? BUS_IO
                                                                        : BUS_STORE;
    return bui_fail(err, status, "%s: %s", what, sqlite3_errmsg(audit->db));
}

bus_status bui_audit_db_run(bui_audit *audit, const char *sql, const char *what, bus_error *err)
{
    return sqlite3_exec(audit->db, sql, NULL, NULL, NULL) == SQLITE_OK ? BUS_OK : bui_audit_db_failed(audit, what, err);
}

bus_status bui_audit_db_do(bui_audit *audit, const char *sql, const char *one, const char *two, const char *what, bus_error *err)
{
    const char *const texts[] = { one, two };
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    bool ok = sqlite3_prepare_v2(audit->db, sql, -1, &stmt, NULL) == SQLITE_OK;
    for (int i = 0; ok && i < sqlite3_bind_parameter_count(stmt); i++)
        ok = sqlite3_bind_text(stmt, i + 1, texts[i], -1, SQLITE_STATIC) == SQLITE_OK;
    if (!ok || sqlite3_step(stmt) != SQLITE_DONE)
        status = bui_audit_db_failed(audit, what, err);
    sqlite3_finalize(stmt);
    return status;
}

/* Called by SQLite within each statement: a query of hours must not outlive the person's patience. */
static int stopped(void *watch)
{
    return bui_watch_stop(watch);
}

bus_status bui_audit_new(const bui_watch *watch, bui_audit **out, bus_error *err)
{
    bui_audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        return bui_fail_nomem(err);
    if (watch)
        audit->watch = *watch;
    /* The empty name is a temporary file that SQLite keeps in memory as long as it is small. */
    bus_status status = BUS_OK;
    if (sqlite3_open_v2("", &audit->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        status = bui_fail(err, BUS_NOMEM, "cannot open a database for the audit: %s",
                          audit->db ? sqlite3_errmsg(audit->db) : "no memory");
        goto out;
    }
    sqlite3_progress_handler(audit->db, STEPS_A_LOOK, stopped, &audit->watch);
    sqlite3_busy_timeout(audit->db, 5000);
    sqlite3_db_config(audit->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(audit->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    status = bui_audit_db_run(audit, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536",
                              "beginning the audit", err);
    if (status == BUS_OK)
        status = bui_audit_db_run(audit, audit_db, "beginning the audit", err);
    if (status == BUS_OK && (sqlite3_prepare_v2(audit->db, record_sql, -1, &audit->record, NULL) != SQLITE_OK ||
                             sqlite3_prepare_v2(audit->db, letter_sql, -1, &audit->letter, NULL) != SQLITE_OK ||
                             sqlite3_prepare_v2(audit->db, copied_sql, -1, &audit->copied, NULL) != SQLITE_OK))
        status = bui_audit_db_failed(audit, "beginning the audit", err);
out:
    if (status == BUS_OK)
        *out = audit;
    else
        bui_audit_free(audit);
    return status;
}

void bui_audit_free(bui_audit *audit)
{
    if (!audit)
        return;
    sqlite3_finalize(audit->record);
    sqlite3_finalize(audit->letter);
    sqlite3_finalize(audit->copied);
    sqlite3_close(audit->db);
    free(audit);
}

/* ---- topics */

void bui_audit_trust(bui_audit *audit, const bui_keys *keys)
{
    audit->keys = keys;
}

int64_t bui_audit_forged(const bui_audit *audit)
{
    return audit->forged;
}

bus_status bui_audit_topics(bui_audit *audit, bui_audit_topic_fn each, void *opaque, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    int rc = SQLITE_DONE;
    if (sqlite3_prepare_v2(audit->db,
                           "SELECT topic FROM position UNION SELECT topic FROM sent UNION SELECT service || '.dlq' FROM store"
                           " ORDER BY 1",
                           -1, &stmt, NULL) != SQLITE_OK)
        return bui_audit_db_failed(audit, "listing topics", err);
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        status = each(opaque, (const char *)sqlite3_column_text(stmt, 0), err);
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = bui_audit_db_failed(audit, "listing topics", err);
    sqlite3_finalize(stmt);
    return status;
}

bus_status bui_audit_log(bui_audit *audit, const char *topic, int32_t partition, int64_t low, int64_t high, bus_error *err)
{
    char *sql = sqlite3_mprintf("INSERT OR REPLACE INTO log VALUES (%Q, %d, %lld, %lld)", topic, partition, (long long)low,
                                (long long)high);
    bus_status status = sql ? bui_audit_db_run(audit, sql, topic, err) : bui_fail_nomem(err);
    sqlite3_free(sql);
    return status;
}

bus_status bui_audit_commit(bui_audit *audit, const char *service, const char *topic, int32_t partition, int64_t offset,
                            const char *metadata, bus_error *err)
{
    char id[37];
    long long opens = 0, age = 0;
    if (sscanf(metadata, "%36s %lld %lld", id, &opens, &age) < 2 || strlen(id) != 36)
        return BUS_OK; /* it is not from a store: Kafka's own tool says nothing of one */
    char *sql = sqlite3_mprintf("INSERT INTO committed VALUES (%Q, %Q, %d, %lld, %Q, %lld, %lld)", service, topic, partition,
                                (long long)offset, id, opens, age);
    bus_status status = sql ? bui_audit_db_run(audit, sql, topic, err) : bui_fail_nomem(err);
    sqlite3_free(sql);
    return status;
}

static void bind_slice(sqlite3_stmt *stmt, int at, bui_slice slice)
{
    if (slice.at)
        sqlite3_bind_text(stmt, at, slice.at, (int)slice.len, SQLITE_STATIC);
    else
        sqlite3_bind_null(stmt, at);
}

static bool slice_is(bui_slice slice, const char *text)
{
    return slice.at && slice.len == strlen(text) && memcmp(slice.at, text, slice.len) == 0;
}

static bus_status step(bui_audit *audit, sqlite3_stmt *stmt, bus_error *err)
{
    int rc = sqlite3_step(stmt);
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bui_audit_db_failed(audit, "keeping a record", err);
    sqlite3_reset(stmt);
    return status;
}

static void bind_place(sqlite3_stmt *stmt, int at, const bui_record *record)
{
    sqlite3_bind_text(stmt, at, record->topic, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, at + 1, record->partition);
    sqlite3_bind_int64(stmt, at + 2, record->offset);
}

static void bind_orig(sqlite3_stmt *stmt, int at, const bui_orig *orig)
{
    bind_slice(stmt, at, orig->topic);
    sqlite3_bind_int(stmt, at + 1, orig->partition);
    sqlite3_bind_int64(stmt, at + 2, orig->offset);
}

static bus_status take_letter(bui_audit *audit, const bui_record *record, const bui_envelope *envelope, bus_error *err)
{
    sqlite3_stmt *stmt = audit->letter;
    bind_place(stmt, 1, record);
    bind_slice(stmt, 4, envelope->letter_id);
    bind_slice(stmt, 5, envelope->id);
    sqlite3_bind_int(stmt, 6, envelope->letter_round);
    sqlite3_bind_int(stmt, 7, (int)envelope->letter);
    sqlite3_bind_int(stmt, 8, !record->value);
    sqlite3_bind_int(stmt, 9, (int)envelope->body.kind);
    bind_orig(stmt, 10, &envelope->orig);
    sqlite3_bind_int64(stmt, 13, envelope->orig.timestamp);
    bind_slice(stmt, 14, envelope->error_class);
    return step(audit, stmt, err);
}

static bus_status take_copy(bui_audit *audit, const bui_record *record, const bui_orig *orig, bus_error *err)
{
    sqlite3_stmt *stmt = audit->copied;
    bind_place(stmt, 1, record);
    bind_orig(stmt, 4, orig);
    return step(audit, stmt, err);
}

bus_status bui_audit_record(bui_audit *audit, const bui_record *record, bus_error *err)
{
    bui_envelope envelope = { 0 };
    char place[BUI_ID_TEXT];
    sqlite3_stmt *stmt = audit->record;
    bool authentic = bui_record_authentic(audit->keys, record, NULL, NULL);
    audit->forged += !authentic;
    if (!authentic || (bui_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK &&
                       bui_envelope_read_event(record->headers, record->header_count, &envelope, NULL) != BUS_OK))
        envelope = (bui_envelope){ 0 }; /* a foreign record, then */
    const bui_hop *hop = &envelope.hop;
    const char *sharp = hop->source.at ? memchr(hop->source.at, '#', hop->source.len) : NULL;
    bui_slice shard = { hop->source.at, sharp ? (size_t)(sharp - hop->source.at) : hop->source.len }, id = envelope.id;
    if (!id.len) {
        bui_id_of_place(record->topic, record->partition, record->offset, 0, place);
        id = (bui_slice){ place, BUI_ID_TEXT - 1 };
    }
    uint64_t content = bui_hash(envelope.id.at, envelope.id.len, bui_hash(record->key, record->key ? record->key_len : 0, 1));
    content = bui_hash(record->value, record->value ? record->value_len : 0, content);
    bind_place(stmt, 1, record);
    sqlite3_bind_int64(stmt, 4, record->timestamp);
    sqlite3_bind_int(stmt, 5, slice_is(hop->topic, record->topic) && hop->partition == record->partition);
    bind_slice(stmt, 6, hop->source);
    bind_slice(stmt, 7, shard);
    sqlite3_bind_int64(stmt, 8, hop->seq);
    bind_slice(stmt, 9, id);
    bind_slice(stmt, 10, envelope.type);
    sqlite3_bind_blob(stmt, 11, record->key, record->key ? (int)record->key_len : 0, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 12, (sqlite3_int64)content);
    sqlite3_bind_int(stmt, 13, !record->value);
    sqlite3_bind_int(stmt, 14, envelope.id.len > 0);
    bind_slice(stmt, 15, envelope.source);
    bind_slice(stmt, 16, envelope.causation);
    sqlite3_bind_int(stmt, 17, (int)envelope.command);
    sqlite3_bind_int64(stmt, 18, (sqlite3_int64)bui_record_hash(record, BUI_HASH_KIND));
    bus_status status = step(audit, stmt, err);
    if (status == BUS_OK && envelope.orig.topic.at)
        status = take_copy(audit, record, &envelope.orig, err);
    return status == BUS_OK && envelope.letter_id.at ? take_letter(audit, record, &envelope, err) : status;
}
