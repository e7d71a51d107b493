/* SPDX-License-Identifier: MIT
 * Tables: the library's own tables and their version. */
#include "base/error.h"
#include "base/id.h"
#include "store/internal.h"

#include <stdio.h>

#define TEXT_OF(x) #x
#define NUMBER(x) TEXT_OF(x)

/* clang-format off */
/* Rows that are written most stand in rowid tables without a second index. bus_meta(version) never changes its name: it is
 * how an older program knows a newer store. bus_former is for `bus audit` alone: how far former incarnations had numbered. */
#define FORMER \
    "CREATE TABLE IF NOT EXISTS bus_former(epoch INTEGER NOT NULL, source TEXT NOT NULL, destination INTEGER NOT NULL," \
    " next_seq INTEGER NOT NULL, PRIMARY KEY (epoch, destination)) WITHOUT ROWID;"

#define ANSWER_TABLE "CREATE TABLE bus_answer(question TEXT NOT NULL PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;"

/* The highest round of the dead letters that were forgotten: one that is opened again must not repeat a round that the topic knows. */
#define FORGOTTEN "CREATE TABLE IF NOT EXISTS bus_letter_forgotten(id INTEGER PRIMARY KEY CHECK (id = 1), round INTEGER NOT NULL);"
#define BODY_TABLE \
    "CREATE TABLE IF NOT EXISTS bus_body(letter TEXT NOT NULL PRIMARY KEY, size INTEGER NOT NULL, key BLOB, headers BLOB, value BLOB);"
/* Outbox rows that an operator has discarded: for people and for `bus audit`, which would otherwise report their numbers as
 * lost. */
#define DISCARDED_TABLE \
    "CREATE TABLE IF NOT EXISTS bus_discarded(id INTEGER PRIMARY KEY, source TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL," \
    " seq INTEGER NOT NULL, event_id TEXT, error TEXT, operator TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL);"

/* Two tables used alternately, see outbox.c; readers use the view. */
#define OUTBOX(which) \
    "CREATE TABLE bus_outbox_" which "(id INTEGER PRIMARY KEY, destination INTEGER NOT NULL, epoch INTEGER NOT NULL," \
    " seq INTEGER NOT NULL, state INTEGER NOT NULL, size INTEGER NOT NULL, made INTEGER NOT NULL, at INTEGER NOT NULL, event_id TEXT," \
    " key BLOB, value BLOB, headers BLOB, error TEXT);"
#define OUTBOX_VIEW "CREATE VIEW bus_outbox AS SELECT * FROM bus_outbox_0 UNION ALL SELECT * FROM bus_outbox_1;"

/* What a store and its log must agree about, and which file it was: see seal.c. */
#define META_MORE(then) "seal INTEGER NOT NULL DEFAULT 0" then " file INTEGER NOT NULL DEFAULT 0"

/* Hashes of kind 0 are those of version 6 and before: of key and value alone. */
#define POSITION_MORE(then) \
    "anchor_kind INTEGER NOT NULL DEFAULT 0" then " proof INTEGER NOT NULL DEFAULT -1" then " proof_hash INTEGER NOT NULL DEFAULT 0" then \
    " proof_kind INTEGER NOT NULL DEFAULT 0" then " life INTEGER NOT NULL DEFAULT 0" then " judging INTEGER NOT NULL DEFAULT 0"

/* The next number of each destination: its own row is updated when rows of the outbox are deleted; until then those rows have
 * it. */
#define NUMBERED_VIEW \
    "CREATE VIEW bus_numbered AS SELECT d.id, d.topic, d.partition, max(d.next_seq, 1 + ifnull(o.seq, 0)) AS next_seq" \
    " FROM bus_destination d LEFT JOIN (SELECT destination, max(seq) AS seq FROM bus_outbox" \
    " WHERE epoch = (SELECT epoch FROM bus_meta) GROUP BY destination) o ON o.destination = d.id;"

/* How often copies of a run have failed. */
#define LETTER_REPLAY "CREATE INDEX bus_letter_replay ON bus_letter(replay) WHERE replay <> '';"

/* Open ones and settled ones by their age, so that the oldest is found, and the settled ones are counted and forgotten, without a
 * look at the others. An older program keeps them up without knowing them: a store that lacks them gets them at its next open, and
 * its version stays. The former index went by id. */
#define LETTER_INDEXES \
    "DROP INDEX IF EXISTS bus_letter_open;" \
    "CREATE INDEX IF NOT EXISTS bus_letter_open_at ON bus_letter(at) WHERE state IN (1, 2);" \
    "CREATE INDEX IF NOT EXISTS bus_letter_settled_at ON bus_letter(at) WHERE state NOT IN (1, 2);"

/* What the record of a dead letter says, so that one that its topic has lost can be made again. */
#define LETTER_CAUSE(then) \
    "orig TEXT NOT NULL DEFAULT ''" then " attempts INTEGER NOT NULL DEFAULT 0" then " class TEXT NOT NULL DEFAULT ''" then \
    " reason TEXT NOT NULL DEFAULT ''"

static const char tables[] =
    "CREATE TABLE bus_meta(id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, service TEXT NOT NULL,"
    " shard INTEGER NOT NULL, shards INTEGER NOT NULL, store_id TEXT NOT NULL, opens INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " transacted INTEGER NOT NULL, next_outbox INTEGER NOT NULL, next_serial INTEGER NOT NULL, age INTEGER NOT NULL DEFAULT 0, " META_MORE(",") ");"
    "CREATE TABLE bus_incarnation(epoch INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    "CREATE TABLE bus_migration(n INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, at INTEGER NOT NULL);"
    "CREATE TABLE bus_destination(id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,"
    " next_seq INTEGER NOT NULL, UNIQUE (topic, partition));"
    FORMER
    OUTBOX("0") OUTBOX("1") OUTBOX_VIEW NUMBERED_VIEW
    "CREATE TABLE bus_position(topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, anchor INTEGER NOT NULL,"
    " anchor_hash INTEGER NOT NULL, " POSITION_MORE(",") ", PRIMARY KEY (topic, partition)) WITHOUT ROWID;"
    "CREATE TABLE bus_mark(id INTEGER PRIMARY KEY, source TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,"
    " high INTEGER NOT NULL, at INTEGER NOT NULL, UNIQUE (source, topic, partition));"
    "CREATE TABLE bus_hole(mark INTEGER NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL, PRIMARY KEY (mark, lo)) WITHOUT ROWID;"
    "CREATE TABLE bus_seen(n INTEGER PRIMARY KEY, source BLOB NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL);"
    "CREATE TABLE bus_key(id INTEGER PRIMARY KEY, scope TEXT NOT NULL, key BLOB, state INTEGER NOT NULL, event_id TEXT NOT NULL,"
    " attempt INTEGER NOT NULL, round INTEGER NOT NULL, due INTEGER NOT NULL, first_failed INTEGER NOT NULL,"
    " parked INTEGER NOT NULL, parked_bytes INTEGER NOT NULL);"
    "CREATE TABLE bus_parked(key_id INTEGER NOT NULL, n INTEGER NOT NULL, size INTEGER NOT NULL, event_id TEXT NOT NULL,"
    " topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp INTEGER NOT NULL, key BLOB,"
    " headers BLOB, value BLOB, command INTEGER NOT NULL DEFAULT -1, PRIMARY KEY (key_id, n)) WITHOUT ROWID;"
    "CREATE INDEX bus_parked_event ON bus_parked(key_id, event_id);"
    "CREATE TABLE bus_letter(id TEXT NOT NULL PRIMARY KEY, event_id TEXT NOT NULL, scope TEXT NOT NULL, key_id INTEGER NOT NULL,"
    " round INTEGER NOT NULL, state INTEGER NOT NULL, first_failed INTEGER NOT NULL, at INTEGER NOT NULL,"
    " partition INTEGER NOT NULL DEFAULT -1, replay TEXT NOT NULL DEFAULT '', " LETTER_CAUSE(",") ") WITHOUT ROWID;"
    LETTER_REPLAY LETTER_INDEXES
    "CREATE TABLE bus_schedule(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, due INTEGER NOT NULL, event_id TEXT NOT NULL,"
    " topic TEXT NOT NULL, partition INTEGER NOT NULL, key BLOB, headers BLOB, value BLOB);"
    "CREATE INDEX bus_schedule_due ON bus_schedule(due, id);"
    ANSWER_TABLE FORGOTTEN BODY_TABLE DISCARDED_TABLE
    "PRAGMA application_id = " NUMBER(BUI_APPLICATION_ID) ";";

/* What makes a store of version n + 1 of one of version n. */
static const char *const upgrades[BUI_STORE_VERSION] = {
    [1] = FORMER ANSWER_TABLE,
    [2] = "ALTER TABLE bus_outbox RENAME TO bus_outbox_0;" OUTBOX("1") OUTBOX_VIEW,
    [3] = NUMBERED_VIEW,
    [4] = FORGOTTEN,
    [5] = "ALTER TABLE bus_parked ADD COLUMN command INTEGER NOT NULL DEFAULT -1;"
          "ALTER TABLE bus_letter ADD COLUMN partition INTEGER NOT NULL DEFAULT -1;"
          "ALTER TABLE bus_letter ADD COLUMN replay TEXT NOT NULL DEFAULT '';" LETTER_REPLAY,
    [6] = BODY_TABLE DISCARDED_TABLE,
    [7] = "ALTER TABLE bus_meta ADD COLUMN age INTEGER NOT NULL DEFAULT 0;",
    [8] = "ALTER TABLE bus_position ADD COLUMN " POSITION_MORE("; ALTER TABLE bus_position ADD COLUMN") ";",
    [9] = "ALTER TABLE bus_letter ADD COLUMN " LETTER_CAUSE("; ALTER TABLE bus_letter ADD COLUMN") ";",
    [10] = "ALTER TABLE bus_meta ADD COLUMN " META_MORE("; ALTER TABLE bus_meta ADD COLUMN") ";",
};
/* clang-format on */

/* One integer, or `absent` if the query has no row. */
static bus_status number(bui_store *store, const char *sql, int64_t absent, int64_t *out, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = bui_prepare_own(store, sql, false, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        *out = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : absent;
    else
        status = bui_store_fail(store, rc, "reading the store's version", err);
    sqlite3_finalize(stmt);
    return status;
}

static bus_status insert_meta(bui_store *store, bus_error *err)
{
    char id[BUI_ID_TEXT], incarnation[17];
    bui_id_random(id);
    bui_token_random(incarnation);
    char *sql = sqlite3_mprintf("INSERT INTO bus_meta VALUES (1, %d, %Q, %d, %d, %Q, 0, 1, 0, 1, 1, 0, 1, 0);"
                                "INSERT INTO bus_incarnation VALUES (1, %Q)",
                                BUI_STORE_VERSION, store->service, store->shard, store->shards, id, incarnation);
    if (!sql)
        return bui_fail_nomem(err);
    bus_status status = bui_exec(store, sql, "making the store", err);
    sqlite3_free(sql);
    return status;
}

bus_status bui_schema_check(bui_store *store, bus_error *err)
{
    int64_t objects, ours, version, application;
    bus_status status = number(store, "SELECT count(*) FROM sqlite_schema", 0, &objects, err);
    if (status == BUS_OK)
        status = number(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'bus_meta'", 0, &ours, err);
    if (status == BUS_OK)
        status = number(store, "PRAGMA application_id", 0, &application, err);
    if (status != BUS_OK)
        return status;
    store->meta.fresh = objects == 0;
    if (objects == 0)
        return BUS_OK;
    if (!ours || application != BUI_APPLICATION_ID)
        return bui_fail(err, BUS_REFUSED,
                        "%s is an SQLite database, but not a store of the bus; move it away or set another data"
                        " directory",
                        store->path);
    status = number(store, "SELECT version FROM bus_meta WHERE id = 1", 0, &version, err);
    if (status != BUS_OK)
        return status;
    if (version > BUI_STORE_VERSION)
        return bui_fail(err, BUS_REFUSED,
                        "%s has store version %lld, made by a newer version of the bus; this one knows up to %d:"
                        " install the newer version",
                        store->path, (long long)version, BUI_STORE_VERSION);
    store->version = (int)version;
    if (version < 1)
        return bui_fail(err, BUS_CORRUPT, "%s has no valid bus_meta row; rebuild the store from its topics", store->path);
    return BUS_OK;
}

static bus_status upgrade(bui_store *store, bus_error *err)
{
    char sql[100];
    snprintf(sql, sizeof sql, "UPDATE bus_meta SET version = %d, seal = seal | 1 WHERE id = 1", BUI_STORE_VERSION);
    bus_status status = BUS_OK;
    for (int i = store->version; i < BUI_STORE_VERSION && status == BUS_OK; i++)
        status = bui_exec(store, upgrades[i], "upgrading the store", err);
    if (status == BUS_OK)
        status = bui_exec(store, LETTER_INDEXES, "upgrading the store", err);
    return status == BUS_OK ? bui_exec(store, sql, "upgrading the store", err) : status;
}

bus_status bui_tables_apply(bui_store *store, bus_error *err)
{
    int64_t indexed = 0;
    bus_status status = BUS_OK;
    if (!store->meta.fresh && store->version == BUI_STORE_VERSION) {
        status = number(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'bus_letter_settled_at'", 0, &indexed, err);
        if (status != BUS_OK || indexed)
            return status;
    }
    store->committing = true;
    status = bui_exec(store, "BEGIN IMMEDIATE", "making the store", err);
    if (status == BUS_OK && !store->meta.fresh) {
        status = upgrade(store, err);
    } else if (status == BUS_OK) {
        status = bui_exec(store, tables, "making the store", err);
        if (status == BUS_OK)
            status = insert_meta(store, err);
    }
    if (status == BUS_OK)
        status = bui_exec(store, "COMMIT", "making the store", err);
    store->committing = false;
    if (status != BUS_OK && !sqlite3_get_autocommit(store->db))
        (void)bui_exec(store, "ROLLBACK", "making the store", NULL);
    return status;
}
