/* SPDX-License-Identifier: MIT
 * Audit stores: copying them into the audit database. A store is attached read-only, so nothing here can commit or checkpoint it. */
#include "base/error.h"
#include "ops/audit_database.h"
#include "ops/store_uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bus_status attach(bui_audit *audit, const char *path, bus_error *err)
{
    if (access(path, R_OK) != 0)
        return bui_fail(err, BUS_MISSING, "%s: no store that can be read there", path);
    char *uri = bui_store_uri(path);
    if (!uri)
        return bui_fail_nomem(err);
    bus_status status = bui_audit_db_do(audit, "ATTACH ?1 AS s", uri, NULL, path, err);
    free(uri);
    return status;
}

#define SOURCE_NOW \
    "(SELECT m.service || '/' || m.shard || '#' || i.name FROM s.bus_meta m JOIN s.bus_incarnation i ON i.epoch = m.epoch)"
#define SERVICE "(SELECT service FROM s.bus_meta)"
#define SHARD "(SELECT shard FROM s.bus_meta)"

/* How far it has numbered: its destinations are brought up to date when rows leave the outbox, until then the rows tell. */
#define SENT_NOW(again) \
    "INSERT INTO sent SELECT ?1, " SOURCE_NOW ", d.topic, d.partition, max(d.next_seq, 1 + ifnull(o.seq, 0)), " again \
    " FROM s.bus_destination d LEFT JOIN (SELECT destination, max(seq) AS seq FROM s.bus_outbox" \
    " WHERE epoch = (SELECT epoch FROM s.bus_meta) GROUP BY destination) o ON o.destination = d.id"
#define SENT_BEFORE(again) \
    "INSERT INTO sent SELECT ?1, f.source, d.topic, d.partition, f.next_seq, " again \
    " FROM s.bus_former f JOIN s.bus_destination d ON d.id = f.destination"
#define LETTERS(replay, again) \
    "INSERT INTO letter SELECT ?1, " SERVICE ", " SHARD ", id, event_id, scope, round, state, key_id, " replay ", " again \
    " FROM s.bus_letter"
#define POSITIONS(more) \
    "INSERT INTO position SELECT ?1, " SERVICE ", topic, partition, next, " more " FROM s.bus_position WHERE next >= 0"
#define PARKED(command) \
    "INSERT INTO parked SELECT ?1, " SERVICE ", key_id, topic, partition, offset, timestamp, event_id, " command \
    " FROM s.bus_parked"
#define DISCARDED \
    "INSERT INTO discarded SELECT ?1, id, source, topic, partition, seq, event_id, operator, reason FROM s.bus_discarded"

/* A store of an older version may lack a table or a column: then `older` is run, if there is one. */
typedef struct reading {
    const char *table, *column, *sql, *older;
} reading;

static const reading first_reading[] = {
    { "bus_meta", NULL, "INSERT INTO store SELECT ?1, m.service, m.shard, " SOURCE_NOW ", m.transacted FROM s.bus_meta m", NULL },
    { "bus_destination", NULL, SENT_NOW("0"), NULL },
    { "bus_former", NULL, SENT_BEFORE("0"), NULL },
    { "bus_destination", NULL,
      "INSERT INTO outbox SELECT ?1, o.id, (SELECT service || '/' || shard FROM s.bus_meta) || '#' || i.name, d.topic, d.partition, o.seq,"
      " o.state, o.event_id, o.error FROM s.bus_outbox o JOIN s.bus_destination d ON d.id = o.destination"
      " JOIN s.bus_incarnation i ON i.epoch = o.epoch",
      NULL },
    { "bus_position", "life", POSITIONS("life, judging, anchor, anchor_hash, anchor_kind, proof, proof_hash, proof_kind"),
      POSITIONS("0, 0, -1, 0, 0, -1, 0, 0") },
    { "bus_mark", NULL,
      "INSERT INTO mark SELECT ?1, id, source, substr(source, 1, instr(source || '#', '#') - 1), topic, partition, high FROM s.bus_mark",
      NULL },
    { "bus_hole", NULL, "INSERT INTO hole SELECT ?1, mark, lo, hi FROM s.bus_hole", NULL },
    { "bus_seen", NULL,
      "INSERT INTO seen SELECT ?1, n, substr(place, 1, instr(place, '/') - 1), CAST(substr(place, instr(place, '/') + 1) AS INTEGER),"
      " substr(place, instr(place, ' ') + 1), id FROM (SELECT CAST(source AS TEXT) AS place, CAST(id AS TEXT) AS id, n FROM s.bus_seen)",
      NULL },
    { "bus_key", NULL, "INSERT INTO waits SELECT ?1, id, scope, state, event_id, parked FROM s.bus_key", NULL },
    { "bus_parked", "command", PARKED("command"), PARKED("-1") },
    { "bus_letter", "replay", LETTERS("replay", "0"), LETTERS("''", "0") },
    { "bus_schedule", NULL, "INSERT INTO planned SELECT ?1, name, topic, event_id FROM s.bus_schedule", NULL },
    { "bus_discarded", NULL, DISCARDED, NULL },
    { "bus_body", NULL, "INSERT INTO body SELECT ?1, letter FROM s.bus_body", NULL },
};
/* What was given up is read last as well: a row may be discarded between the readings. */
static const reading second_reading[] = {
    { "bus_destination", NULL, SENT_NOW("1"), NULL },
    { "bus_former", NULL, SENT_BEFORE("1"), NULL },
    { "bus_letter", "replay", LETTERS("replay", "1"), LETTERS("''", "1") },
    { "bus_discarded", NULL, DISCARDED " WHERE id NOT IN (SELECT row FROM discarded WHERE path = ?1)", NULL },
    { "bus_meta", "age", "INSERT INTO later_store SELECT ?1, store_id, opens, age FROM s.bus_meta",
      "INSERT INTO later_store SELECT ?1, store_id, opens, 0 FROM s.bus_meta" },
    { "bus_position", NULL, "INSERT INTO later_position SELECT ?1, topic, partition, next FROM s.bus_position", NULL },
};

static bool has(bui_audit *audit, const char *table, const char *column)
{
    return sqlite3_table_column_metadata(audit->db, "s", table, column, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

/* Runs each of these on the attached store, ?1 being its path. */
static bus_status copy(bui_audit *audit, const char *path, const reading *list, size_t count, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        const char *sql = has(audit, list[i].table, list[i].column) ? list[i].sql : list[i].older;
        if (sql)
            status = bui_audit_db_do(audit, sql, path, NULL, path, err);
    }
    return status;
}

/* Tables of a damaged file say nothing. *whole: it is none. Looked for by the first reading. */
static bus_status look_for_damage(bui_audit *audit, const char *path, bool again, bool *whole, bus_error *err)
{
    static const char look[] =
        "INSERT INTO damage SELECT ?1, integrity_check FROM pragma_integrity_check(1, 's') WHERE integrity_check <> 'ok'";
    static const char known[] = "UPDATE damage SET text = text WHERE path = ?1";
    bus_status status = bui_audit_db_do(audit, again ? known : look, path, NULL, path, err);
    *whole = status == BUS_OK && sqlite3_changes(audit->db) == 0;
    return status;
}

static bus_status read_store(bui_audit *audit, const char *path, bool again, bool tables, bus_error *err)
{
    char service[64] = "";
    int64_t shard = 0;
    bool whole = false;
    bus_status status = attach(audit, path, err);
    if (status != BUS_OK)
        return status;
    if (!has(audit, "bus_meta", NULL))
        status = bui_fail(err, BUS_CORRUPT, "%s is not a store of the bus: %s", path, sqlite3_errmsg(audit->db));
    if (status == BUS_OK && tables) /* ATTACH is not allowed inside the transaction */
        status = bui_audit_db_own_schema(audit, service, &shard, err);
    if (status == BUS_OK)
        status = bui_audit_db_run(audit, "BEGIN", path, err);
    if (status == BUS_OK) {
        status = look_for_damage(audit, path, again, &whole, err);
        if (status == BUS_OK && whole)
            status = again ? copy(audit, path, second_reading, sizeof second_reading / sizeof *second_reading, err)
                           : copy(audit, path, first_reading, sizeof first_reading / sizeof *first_reading, err);
        if (status == BUS_OK && whole && tables)
            status = bui_audit_db_own_tables(audit, service, shard, err);
        sqlite3_exec(audit->db, "COMMIT", NULL, NULL, NULL);
    }
    bus_error later;
    bus_status detached = bui_audit_db_run(audit, "DETACH s", path, status == BUS_OK ? err : &later);
    return status == BUS_OK ? detached : status;
}

bus_status bui_audit_store(bui_audit *audit, const char *path, bool tables, bus_error *err)
{
    return read_store(audit, path, false, tables, err);
}

bus_status bui_audit_store_again(bui_audit *audit, const char *path, bus_error *err)
{
    return read_store(audit, path, true, false, err);
}
