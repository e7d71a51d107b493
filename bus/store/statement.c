/* SPDX-License-Identifier: MIT
 * Statements: the library's SQL, prepared on first use and kept, and what SQLite's answers mean. */
#include "base/error.h"
#include "store/internal.h"

#include <errno.h>
#include <string.h>

/* clang-format off */
#define OUTBOX_ADD(which) \
    "INSERT INTO bus_outbox_" which "(id, destination, epoch, seq, state, size, made, at, event_id, key, value, headers)" \
    " SELECT id, destination, ?1, seq, 0, size, ?2, at, event_id, key, value, headers FROM bus_pending"
#define OUTBOX_SUM(which) \
    "SELECT count(*), total(size), total(state <> 0), min(id), max(id) FROM bus_outbox_" which " WHERE id BETWEEN ?1 AND ?2"
#define OUTBOX_REJECT(which) "UPDATE bus_outbox_" which " SET state = ?3, error = ?2 WHERE id = ?1 AND state = 0 RETURNING size"
#define OUTBOX_RETRY(which) "UPDATE bus_outbox_" which " SET state = 0, error = NULL WHERE id = ?1 AND state <> 0 RETURNING size"

static const char *const texts[BUI_STATEMENTS] = {
    [BUI_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [BUI_SQL_COMMIT] = "COMMIT",
    [BUI_SQL_ROLLBACK] = "ROLLBACK",
    [BUI_SQL_SAVE] = "SAVEPOINT bus",
    [BUI_SQL_RELEASE] = "RELEASE bus",
    [BUI_SQL_BACK] = "ROLLBACK TO bus",
    [BUI_SQL_META_LOAD] = "SELECT m.service, m.shard, m.shards, m.store_id, m.opens, m.epoch, i.name, m.transacted, m.next_outbox,"
                          " m.next_serial, m.age, m.seal FROM bus_meta m LEFT JOIN bus_incarnation i ON i.epoch = m.epoch WHERE m.id = 1",
    [BUI_SQL_META_LEASE] = "UPDATE bus_meta SET next_outbox = ?1, next_serial = ?2 WHERE id = 1",
    [BUI_SQL_META_RAISE] = "UPDATE bus_meta SET store_id = ?1, opens = ?2, epoch = ?3, file = ?4 WHERE id = 1",
    [BUI_SQL_META_AGE] = "UPDATE bus_meta SET age = ?1 WHERE id = 1",
    [BUI_SQL_META_SEAL] = "UPDATE bus_meta SET seal = ?1 WHERE id = 1",
    [BUI_SQL_META_TRANSACTED] = "UPDATE bus_meta SET transacted = 1 WHERE id = 1",
    [BUI_SQL_INCARNATION_ADD] = "INSERT INTO bus_incarnation(epoch, name) VALUES (?1, ?2)",
    [BUI_SQL_INCARNATION_GET] = "SELECT name FROM bus_incarnation WHERE epoch = ?1",
    [BUI_SQL_INCARNATION_PRUNE] = "DELETE FROM bus_incarnation WHERE epoch <> ?1 AND epoch NOT IN (SELECT epoch FROM bus_outbox)",
    [BUI_SQL_DESTINATION_LOAD] = "SELECT n.id, n.topic, n.partition, n.next_seq, n.next_seq > d.next_seq FROM bus_numbered n"
                                 " JOIN bus_destination d ON d.id = n.id ORDER BY n.id",
    [BUI_SQL_DESTINATION_PUT] = "INSERT INTO bus_destination(id, topic, partition, next_seq) VALUES (?1, ?2, ?3, ?4)"
                                " ON CONFLICT(id) DO UPDATE SET next_seq = excluded.next_seq",
    [BUI_SQL_DESTINATION_RESTART] = "UPDATE bus_destination SET next_seq = 1",
    [BUI_SQL_FORMER_ADD] = "INSERT INTO bus_former(epoch, source, destination, next_seq)"
                           " SELECT ?1, ?2, id, next_seq FROM bus_numbered WHERE next_seq > 1",
    [BUI_SQL_FORMER_PRUNE] = "DELETE FROM bus_former WHERE epoch < ?1",
    [BUI_SQL_OUTBOX_ADD] = OUTBOX_ADD("0"),
    [BUI_SQL_OUTBOX_ADD_1] = OUTBOX_ADD("1"),
    [BUI_SQL_OUTBOX_SUM] = OUTBOX_SUM("0"),
    [BUI_SQL_OUTBOX_SUM_1] = OUTBOX_SUM("1"),
    [BUI_SQL_OUTBOX_DELETE] = "DELETE FROM bus_outbox_0 WHERE id BETWEEN ?1 AND ?2",
    [BUI_SQL_OUTBOX_DELETE_1] = "DELETE FROM bus_outbox_1 WHERE id BETWEEN ?1 AND ?2",
    [BUI_SQL_OUTBOX_EMPTY] = "DELETE FROM bus_outbox_0",
    [BUI_SQL_OUTBOX_EMPTY_1] = "DELETE FROM bus_outbox_1",
    [BUI_SQL_OUTBOX_REJECT] = OUTBOX_REJECT("0"),
    [BUI_SQL_OUTBOX_REJECT_1] = OUTBOX_REJECT("1"),
    [BUI_SQL_OUTBOX_RETRY] = OUTBOX_RETRY("0"),
    [BUI_SQL_OUTBOX_RETRY_1] = OUTBOX_RETRY("1"),
    [BUI_SQL_OUTBOX_REJECTED] = "SELECT id, destination, epoch, seq, state, at, event_id, key, value, headers, error, made FROM bus_outbox"
                                " WHERE state <> 0 ORDER BY id",
    [BUI_SQL_OUTBOX_DISCARD] = "INSERT INTO bus_discarded(id, source, topic, partition, seq, event_id, error, operator, reason, at)"
                               " SELECT o.id, m.service || '/' || m.shard || '#' || i.name, d.topic, d.partition, o.seq, o.event_id, o.error,"
                               " ?2, ?3, ?4 FROM bus_outbox o JOIN bus_destination d ON d.id = o.destination JOIN bus_incarnation i"
                               " ON i.epoch = o.epoch JOIN bus_meta m WHERE o.id = ?1 AND o.state <> 0 RETURNING id",
    [BUI_SQL_OUTBOX_SCAN] = "SELECT id, destination, epoch, seq, state, at, event_id, key, value, headers, error, made FROM bus_outbox"
                            " WHERE id >= ?1 AND state = 0 ORDER BY id LIMIT ?2",
    [BUI_SQL_OUTBOX_SCAN_ONE] = "SELECT id, destination, epoch, seq, state, at, event_id, key, value, headers, error, made FROM bus_outbox"
                                " WHERE id >= ?1 AND state = 0 AND destination = ?3 ORDER BY id LIMIT ?2",
    [BUI_SQL_OUTBOX_OLDEST] = "SELECT made FROM bus_outbox_0 WHERE state = 0 ORDER BY id LIMIT 1",
    [BUI_SQL_OUTBOX_OLDEST_1] = "SELECT made FROM bus_outbox_1 WHERE state = 0 ORDER BY id LIMIT 1",
    [BUI_SQL_POSITION_LOAD] = "SELECT topic, partition, next, anchor, anchor_hash, anchor_kind, proof, proof_hash, proof_kind, life, judging"
                              " FROM bus_position",
    [BUI_SQL_POSITION_PUT] = "INSERT INTO bus_position(topic, partition, next, anchor, anchor_hash, anchor_kind, proof, proof_hash, proof_kind,"
                             " life, judging) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
                             " ON CONFLICT(topic, partition) DO UPDATE SET next = excluded.next, anchor = excluded.anchor,"
                             " anchor_hash = excluded.anchor_hash, anchor_kind = excluded.anchor_kind, proof = excluded.proof,"
                             " proof_hash = excluded.proof_hash, proof_kind = excluded.proof_kind, life = excluded.life,"
                             " judging = excluded.judging",
    [BUI_SQL_MARK_LOAD] = "SELECT id, source, topic, partition, high, at FROM bus_mark",
    [BUI_SQL_MARK_PUT] = "INSERT INTO bus_mark(id, source, topic, partition, high, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                         " ON CONFLICT(id) DO UPDATE SET high = excluded.high, at = excluded.at",
    [BUI_SQL_MARK_DELETE] = "DELETE FROM bus_mark WHERE id = ?1",
    [BUI_SQL_GAP_LOAD] = "SELECT lo, hi FROM bus_hole WHERE mark = ?1 ORDER BY lo",
    [BUI_SQL_GAP_PUT] = "INSERT INTO bus_hole(mark, lo, hi) VALUES (?1, ?2, ?3)",
    [BUI_SQL_GAP_DELETE] = "DELETE FROM bus_hole WHERE mark = ?1 AND lo BETWEEN ?2 AND ?3",
    [BUI_SQL_DEDUP_RANGE] = "SELECT ifnull(max(n) - min(n) + 1, 0) FROM bus_seen",
    [BUI_SQL_DEDUP_LOAD] = BUI_DEDUP_LOAD,
    [BUI_SQL_DEDUP_OLDEST] = "SELECT at FROM bus_seen ORDER BY n LIMIT 1",
    [BUI_SQL_DEDUP_ADD] = "INSERT INTO bus_seen(n, source, id, at) VALUES (?1, ?2, ?3, ?4)",
    [BUI_SQL_DEDUP_TRIM] = "DELETE FROM bus_seen WHERE n < ?1",
    [BUI_SQL_DEDUP_FORGET] = "DELETE FROM bus_seen WHERE substr(source, 1, length(?1)) = ?1",
    [BUI_SQL_KEY_LOAD] = "SELECT id, scope, key, state, event_id, attempt, round, due, first_failed, parked, parked_bytes FROM bus_key",
    [BUI_SQL_KEY_PUT] = "INSERT INTO bus_key(id, scope, key, state, event_id, attempt, round, due, first_failed, parked, parked_bytes)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT(id) DO UPDATE SET state = excluded.state,"
                        " event_id = excluded.event_id, attempt = excluded.attempt, round = excluded.round, due = excluded.due,"
                        " first_failed = excluded.first_failed, parked = excluded.parked, parked_bytes = excluded.parked_bytes",
    [BUI_SQL_KEY_DELETE] = "DELETE FROM bus_key WHERE id = ?1",
    [BUI_SQL_PARKED_ADD] = "INSERT INTO bus_parked(key_id, n, size, event_id, topic, partition, offset, timestamp, key, headers, value,"
                           " command) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [BUI_SQL_PARKED_HEAD] = "SELECT n, event_id, topic, partition, offset, timestamp, key, headers, value, command FROM bus_parked"
                            " WHERE key_id = ?1 ORDER BY n LIMIT 1",
    [BUI_SQL_PARKED_FIRST] = "SELECT n, size FROM bus_parked WHERE key_id = ?1 ORDER BY n LIMIT 1",
    [BUI_SQL_PARKED_DELETE] = "DELETE FROM bus_parked WHERE key_id = ?1 AND n = ?2",
    [BUI_SQL_PARKED_HOLDS] = "SELECT headers FROM bus_parked WHERE key_id = ?1 AND event_id = ?2 AND topic = ?3 AND partition = ?4"
                             " AND command <> 3",
    [BUI_SQL_DEADLETTER_COUNT] = "SELECT count(*), count(*) FILTER (WHERE partition < 0), count(*) FILTER (WHERE replay = ''),"
                             " (SELECT count(*) FROM bus_letter WHERE state NOT IN (1, 2)) FROM bus_letter WHERE state IN (1, 2)",
    [BUI_SQL_DEADLETTER_HELD_BACK] = "SELECT event_id FROM bus_letter WHERE state IN (1, 2) AND replay = ''",
    [BUI_SQL_DEADLETTER_FAILURES] = "SELECT count(*) FROM bus_letter WHERE replay = ?1 AND replay <> ''",
    [BUI_SQL_DEADLETTER_GET] = "SELECT event_id, scope, key_id, round, state, first_failed, partition, replay FROM bus_letter WHERE id = ?1",
    [BUI_SQL_DEADLETTER_PUT] = "INSERT INTO bus_letter(id, event_id, scope, key_id, round, state, first_failed, at, partition,"
                           " replay) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT(id) DO UPDATE SET event_id = excluded.event_id,"
                           " scope = excluded.scope, key_id = excluded.key_id, round = excluded.round, state = excluded.state,"
                           " first_failed = excluded.first_failed, at = excluded.at",
    [BUI_SQL_DEADLETTER_CAUSE_PUT] = "UPDATE bus_letter SET orig = ?2, attempts = ?3, class = ?4, reason = ?5 WHERE id = ?1",
    [BUI_SQL_DEADLETTER_CAUSE_GET] = "SELECT orig, attempts, class, reason, at FROM bus_letter WHERE id = ?1",
    [BUI_SQL_DEADLETTER_OLDEST] = "SELECT min(at) FROM bus_letter WHERE state IN (1, 2)",
    [BUI_SQL_DEADLETTER_BETWEEN] = "SELECT id, round FROM bus_letter WHERE state IN (1, 2) AND state = 1 AND at BETWEEN ?1 AND ?2 ORDER BY id",
    [BUI_SQL_DEADLETTER_OLD] = "SELECT count(*), max(round) FROM (SELECT round FROM bus_letter WHERE state NOT IN (1, 2)"
                           " AND at <= ?1 ORDER BY at, id LIMIT ?2)",
    [BUI_SQL_DEADLETTER_FORGET] = "DELETE FROM bus_letter WHERE id IN (SELECT id FROM bus_letter WHERE state NOT IN (1, 2) AND at <= ?1"
                              " ORDER BY at, id LIMIT ?2)",
    [BUI_SQL_DEADLETTER_FORGOTTEN_PUT] = "INSERT INTO bus_letter_forgotten(id, round) VALUES (1, ?1)"
                                     " ON CONFLICT(id) DO UPDATE SET round = max(round, excluded.round)",
    [BUI_SQL_DEADLETTER_FORGOTTEN_GET] = "SELECT round FROM bus_letter_forgotten WHERE id = 1",
    [BUI_SQL_BODY_COUNT] = "SELECT count(*), total(size) FROM bus_body",
    [BUI_SQL_BODY_ADD] = "INSERT INTO bus_body(letter, size, key, headers, value) VALUES (?1, ?2, ?3, ?4, ?5)",
    [BUI_SQL_BODY_GET] = "SELECT key, headers, value FROM bus_body WHERE letter = ?1",
    [BUI_SQL_BODY_DELETE] = "DELETE FROM bus_body WHERE letter = ?1 RETURNING size",
    [BUI_SQL_SCHEDULE_COUNT] = "SELECT count(*) FROM (SELECT 1 FROM bus_schedule LIMIT 100000)",
    [BUI_SQL_SCHEDULE_PUT] = "INSERT INTO bus_schedule(id, name, due, event_id, topic, partition, key, headers, value)"
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [BUI_SQL_SCHEDULE_DROP] = "DELETE FROM bus_schedule WHERE name = ?1",
    [BUI_SQL_SCHEDULE_DUE] = "SELECT due FROM bus_schedule ORDER BY due, id LIMIT 1",
    [BUI_SQL_SCHEDULE_FIRST] = "SELECT id, name, due, event_id, topic, partition, key, headers, value FROM bus_schedule"
                               " WHERE due <= ?1 ORDER BY due, id LIMIT 1",
    [BUI_SQL_SCHEDULE_FIND] = "SELECT id, name, due, event_id, topic, partition, key, headers, value FROM bus_schedule WHERE name = ?1",
    [BUI_SQL_SCHEDULE_DELETE] = "DELETE FROM bus_schedule WHERE id = ?1",
    [BUI_SQL_ANSWER_LOAD] = "SELECT question FROM bus_answer",
    [BUI_SQL_ANSWER_GET] = "SELECT answer FROM bus_answer WHERE question = ?1",
    [BUI_SQL_ANSWER_PUT] = "INSERT OR REPLACE INTO bus_answer(question, answer) VALUES (?1, ?2)",
};
/* clang-format on */

static bool is_full(int e)
{
    return e == ENOSPC || e == EDQUOT || e == EFBIG;
}

/* The system's error behind an SQLITE_IOERR. sqlite3_system_errno knows it only where the failing call itself was the
 * application's; a quota or a size limit met by COMMIT is found at the file (SQLite says FULL for ENOSPC alone). */
static int system_error(sqlite3 *db)
{
    int e = sqlite3_system_errno(db), of_file = 0;
    sqlite3_file *log = NULL;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (log && log->pMethods && log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &of_file) == SQLITE_OK && of_file)
        e = e ? e : of_file;
    if (!e && sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &of_file) == SQLITE_OK)
        e = of_file;
    return e;
}

bus_status bui_sqlite_fail(sqlite3 *db, const char *path, int rc, const char *doing, bus_error *err)
{
    const char *said = db && (sqlite3_errcode(db) & 0xff) == (rc & 0xff) ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    int e = !db ? 0 : (rc & 0xff) == SQLITE_IOERR ? system_error(db) : sqlite3_system_errno(db);
    bool full = is_full(e);
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return bui_fail_nomem(err);
    case SQLITE_FULL:
        return bui_fail(err, BUS_FULL, "%s: no room for %s; free some space on its disk, the service then goes on by itself",
                        doing, path);
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return bui_fail_nomem(err);
        if (full)
            return bui_fail(err, BUS_FULL,
                            "%s: no room for %s (%s); free some space on its disk, the service then goes on by itself", doing,
                            path, strerror(e));
        return bui_fail(err, BUS_IO, "%s: %s: %s (%s); check the disk and its mount", doing, path, said,
                        e ? strerror(e) : sqlite3_errstr(rc));
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return bui_fail(err, full ? BUS_FULL : BUS_IO,
                        "%s: %s: %s (%s); let the user of this process read and write the file and its directory", doing, path,
                        said, e ? strerror(e) : sqlite3_errstr(rc));
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return bui_fail(err, BUS_CORRUPT, "%s: %s: %s; keep the file for study and rebuild the store from its topics", doing,
                        path, said);
    case SQLITE_BUSY:
    case SQLITE_LOCKED: {
        bus_status status =
            bui_fail(err, BUS_STORE, "%s: %s: %s; another program writes to the store, which only the bus may do: end it", doing,
                     path, said);
        if (err)
            err->retriable = true;
        return status;
    }
    default: return bui_fail(err, BUS_STORE, "%s: %s: %s", doing, path, said);
    }
}

bus_status bui_store_fail(bui_store *store, int rc, const char *doing, bus_error *err)
{
    return bui_sqlite_fail(store->db, store->path, rc, doing, err);
}

void bui_store_doom(bui_store *store, const bus_error *err)
{
    if (store->sticky.status == BUS_OK)
        store->sticky = *err;
}

int bui_prepare_own(bui_store *store, const char *sql, bool sandboxed, sqlite3_stmt **out, const char **tail)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    bool inside = sandbox->inside, preparing = sandbox->preparing;
    sandbox->inside = sandboxed;
    sandbox->preparing = true;
    int rc = sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, tail);
    sandbox->inside = inside;
    sandbox->preparing = preparing;
    return rc;
}

sqlite3_stmt *bui_statement_of(bui_store *store, bui_statement which, bus_error *err)
{
    if (!store->stmt[which]) {
        int rc = bui_prepare_own(store, texts[which], false, &store->stmt[which], NULL);
        if (rc != SQLITE_OK) {
            bui_store_fail(store, rc, "preparing the bus's own SQL", err);
            return NULL;
        }
    }
    return store->stmt[which];
}

int bui_step(bui_store *store, sqlite3_stmt *stmt)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    bool inside = sandbox->inside, preparing = sandbox->preparing;
    sandbox->inside = false;
    sandbox->preparing = true; /* after a change of the schema SQLite prepares it again here: it is one of ours */
    int rc = sqlite3_step(stmt);
    sandbox->inside = inside;
    sandbox->preparing = preparing;
    return rc;
}

bus_status bui_run_statement(bui_store *store, sqlite3_stmt *stmt, const char *doing, bus_error *err)
{
    int rc = bui_step(store, stmt);
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, doing, err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_exec(bui_store *store, const char *sql, const char *doing, bus_error *err)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    bool inside = sandbox->inside, preparing = sandbox->preparing;
    sandbox->inside = false;
    sandbox->preparing = true;
    int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    sandbox->inside = inside;
    sandbox->preparing = preparing;
    return rc == SQLITE_OK ? BUS_OK : bui_store_fail(store, rc, doing, err);
}

const void *bui_column_bytes(sqlite3_stmt *stmt, int at, size_t *len)
{
    const void *bytes = sqlite3_column_blob(stmt, at);
    *len = (size_t)sqlite3_column_bytes(stmt, at);
    /* SQLite gives NULL for an empty blob too. */
    return bytes || sqlite3_column_type(stmt, at) == SQLITE_NULL ? bytes : "";
}

const char *bui_column_text(sqlite3_stmt *stmt, int at)
{
    const unsigned char *text = sqlite3_column_text(stmt, at);
    return text ? (const char *)text : "";
}

bool bui_column_copy(sqlite3_stmt *stmt, int at, bui_arena *arena, const void **out, size_t *len)
{
    size_t n;
    const void *bytes = bui_column_bytes(stmt, at, &n);
    if (bytes && !(bytes = bui_arena_copy(arena, bytes, n)))
        return false;
    *out = bytes;
    *len = n;
    return true;
}
