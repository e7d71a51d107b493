/* SPDX-License-Identifier: MIT
 * Audit rules: numbers, marks, dead letters and what is in the topics, each rule a query that names what breaks it. More of
 * them: audit_traces.c. */
#include "base/error.h"
#include "ops/audit_database.h"

/* clang-format off */
/* What became a dead letter of class forged counts and names nothing: its place is its id. had: every number that a topic or
 * an outbox holds, with the offset where it came first. input: what a service's position has passed, but for its own retry
 * records and commands, which only trigger. settled: of those, what its marks say was settled. began: where a partition's
 * reading began (a route from the end, a reset). delivered, waiting, dead and clock are for services' invariants, and emitted
 * of audit_traces.c. A copy that was replayed is not its event, wherever it waits or has failed. */
static const char views[] =
    "CREATE INDEX IF NOT EXISTS record_hop ON record(topic, partition, source, seq);"
    "CREATE INDEX record_place ON record(topic, partition, offset);"
    "CREATE INDEX seen_id ON seen(path, topic, partition, event_id);"
    "UPDATE record SET ours = 0, named = 0, event_id = t.event_id FROM told t WHERE t.class = 'forged' AND t.state = 1"
    " AND record.topic = t.from_topic AND record.partition = t.from_partition AND record.offset = t.from_offset;"
    "CREATE INDEX IF NOT EXISTS told_id ON told(topic, partition, id);"
    "CREATE INDEX letter_id ON letter(id, path);"
    "CREATE INDEX letter_event ON letter(event_id, service);"
    "CREATE INDEX letter_key ON letter(key_id, path);"
    "CREATE INDEX waits_id ON waits(id, path);"
    "CREATE INDEX parked_event ON parked(event_id, path);"
    "CREATE INDEX parked_key ON parked(key_id, path);"
    "CREATE INDEX body_letter ON body(letter, path);"
    "CREATE TABLE had(source TEXT, shard TEXT, topic TEXT, partition INTEGER, seq INTEGER, offset INTEGER);"
    "INSERT INTO had SELECT source, shard, topic, partition, seq, min(offset) FROM ("
    "  SELECT source, shard, topic, partition, seq, offset FROM record WHERE ours"
    "  UNION ALL SELECT source, substr(source, 1, instr(source, '#') - 1), topic, partition, seq, NULL FROM outbox"
    "  UNION ALL SELECT source, substr(source, 1, instr(source, '#') - 1), topic, partition, seq, NULL FROM discarded)"
    " GROUP BY source, topic, partition, seq;"
    "CREATE VIEW audited AS SELECT service || '/' || shard AS shard FROM store;"
    "CREATE VIEW input AS SELECT p.path, p.service, r.* FROM position p JOIN record r ON r.topic = p.topic AND r.partition = p.partition"
    " AND r.offset < p.next WHERE p.topic <> p.service || '.redrive'"
    " AND substr(p.topic, 1, length(p.service) + 7) <> p.service || '.retry.';"
    "CREATE TABLE settled(path TEXT, service TEXT, topic TEXT, partition INTEGER, offset INTEGER, source TEXT, shard TEXT, seq INTEGER, yes INTEGER);"
    "INSERT INTO settled SELECT i.path, i.service, i.topic, i.partition, min(i.offset), i.source, i.shard, i.seq, (m.id IS NOT NULL AND i.seq <= m.high"
    "  AND NOT EXISTS (SELECT 1 FROM hole h WHERE h.path = m.path AND h.mark = m.id AND i.seq BETWEEN h.lo AND h.hi)) OR EXISTS"
    "  (SELECT 1 FROM seen x WHERE x.path = i.path AND x.topic = i.topic AND x.partition = i.partition AND x.event_id = i.event_id)"
    " FROM input i LEFT JOIN mark m ON m.path = i.path AND m.topic = i.topic AND m.partition = i.partition AND m.source = i.source"
    " WHERE i.ours GROUP BY i.path, i.topic, i.partition, i.source, i.seq;"
    "CREATE TABLE began(path TEXT, topic TEXT, partition INTEGER, offset INTEGER, PRIMARY KEY (path, topic, partition));"
    "INSERT INTO began SELECT path, topic, partition, min(offset) FROM settled WHERE yes GROUP BY path, topic, partition;"
    "CREATE TABLE delivered(service TEXT, topic TEXT, partition INTEGER, offset INTEGER, at INTEGER, event_id TEXT, type TEXT, key BLOB);"
    "INSERT INTO delivered SELECT i.service, i.topic, i.partition, min(i.offset), i.at, i.event_id, i.type, i.key FROM input i"
    "  LEFT JOIN began b ON b.path = i.path AND b.topic = i.topic AND b.partition = i.partition"
    "  WHERE NOT i.ours OR i.offset >= b.offset"
    " GROUP BY i.service, i.topic, i.partition, CASE WHEN i.ours THEN i.source || '/' || i.seq ELSE i.event_id END;"
    "CREATE INDEX delivered_id ON delivered(event_id);"
    "CREATE VIEW waiting AS SELECT service, topic, partition, offset, event_id, path FROM parked WHERE command <> 3;"
    "CREATE VIEW dead AS SELECT service, scope, id, event_id, round,"
    " CASE state WHEN 1 THEN 'open' WHEN 2 THEN 'redriven' WHEN 3 THEN 'resolved' ELSE 'discarded' END AS state FROM letter WHERE NOT again AND replay = '';"
    "CREATE TABLE fold(path TEXT, service TEXT, partition INTEGER, id TEXT, rank INTEGER, PRIMARY KEY (path, id)) WITHOUT ROWID;"
    "INSERT INTO fold SELECT s.path, s.service, t.partition, t.id, max(t.round * 10 + t.state) FROM told t JOIN store s"
    " ON t.topic = s.service || '.dlq' AND t.partition = s.shard GROUP BY s.path, t.id;"
    "CREATE VIEW total AS SELECT service, topic, sum(records) AS records, sum(records - passed) AS unread, sum(passed - once) AS copies,"
    "  (SELECT count(*) FROM waiting w WHERE w.service = x.service AND w.topic = x.topic AND NOT EXISTS (SELECT 1"
    "    FROM dead d WHERE d.event_id = w.event_id AND d.service = x.service AND d.state IN ('open', 'redriven'))) AS waiting,"
    "  (SELECT count(*) FROM dead d WHERE d.service = x.service AND d.scope = x.topic AND d.state IN ('open', 'redriven')) AS dead,"
    "  sum(once) AS once FROM (SELECT p.service, p.topic, p.partition, count(r.offset) AS records, count(r.offset) FILTER (WHERE r.offset < p.next) AS passed,"
    "    count(DISTINCT CASE WHEN r.offset >= p.next THEN NULL WHEN r.ours THEN r.source || '/' || r.seq ELSE r.event_id END) AS once"
    "    FROM position p LEFT JOIN record r ON r.topic = p.topic AND r.partition = p.partition WHERE p.topic <> p.service || '.redrive'"
    "    AND substr(p.topic, 1, length(p.service) + 7) <> p.service || '.retry.' GROUP BY p.service, p.topic, p.partition) x GROUP BY service, topic;";

static const bui_audit_rule rules[] = {
    { "damaged", BUI_AUDIT_VIOLATED, /* nothing else is said of it */
      "SELECT path, 'file', 'the file is damaged: ' || text || '; restore a whole copy, or bus rebuild' FROM damage" },
    { "lost", BUI_AUDIT_VIOLATED, /* committed, gone from the outbox, and not in the topic; the lowest may have expired */
      "SELECT source, " PLACE("h") " || ' seq ' || (before + 1) || iif(seq - before > 2, '..' || (seq - 1), ''),"
      " (seq - before - 1) || ' event(s) were committed and are neither in the topic nor in the outbox' FROM (SELECT *, lag(seq, 1, 0)"
      " OVER (PARTITION BY source, topic, partition ORDER BY seq) AS before FROM had WHERE shard IN (SELECT shard FROM audited)) h"
      " JOIN log l ON l.topic = h.topic AND l.partition = h.partition WHERE seq - before > 1 AND (before > 0 OR l.low = 0)" },
    { "lost", BUI_AUDIT_VIOLATED, /* the same at the end of what a source numbered */
      "SELECT s.source, " PLACE("s") " || ' seq ' || (coalesce(top, 0) + 1) || iif(next - 2 > coalesce(top, 0), '..' || (next - 1), ''),"
      " (next - 1 - coalesce(top, 0)) || ' event(s) were committed and are neither in the topic nor in the outbox' FROM sent s"
      " JOIN log l ON l.topic = s.topic AND l.partition = s.partition LEFT JOIN (SELECT source, topic, partition, max(seq) AS top FROM had"
      " GROUP BY source, topic, partition) h ON h.source = s.source AND h.topic = s.topic AND h.partition = s.partition"
      " WHERE NOT s.again AND next - 1 > coalesce(top, 0) AND (top IS NOT NULL OR l.low = 0)" },
    { "uncommitted", BUI_AUDIT_VIOLATED, /* in the topic, and its store has never committed it */
      "SELECT r.source, " PLACE("r") " || '@' || offset || ' seq ' || seq, 'event ' || event_id || ' was never committed: the store''s next number is '"
      " || coalesce(s.next, 1) FROM record r LEFT JOIN sent s ON s.again AND s.source = r.source AND s.topic = r.topic AND s.partition = r.partition"
      " WHERE r.ours AND r.shard IN (SELECT shard FROM audited) AND (s.source IS NOT NULL OR r.source IN (SELECT source FROM store))"
      " AND r.seq >= coalesce(s.next, 1)" },
    { "content", BUI_AUDIT_VIOLATED, /* (source, topic, partition, seq) always names one content */
      "SELECT source, topic || '/' || partition || ' seq ' || seq, count(DISTINCT content) || ' different contents, at offsets ' || group_concat(offset)"
      " FROM record WHERE ours GROUP BY source, topic, partition, seq HAVING count(DISTINCT content) > 1" },
    { "order", BUI_AUDIT_VIOLATED, /* a source's numbers first appear in order; a refused answer or retry record lets later ones pass, always */
      "SELECT source, " PLACE("h") " || ' seq ' || seq, 'stands at offset ' || offset || ', before seq ' || before || ' at ' || before_at"
      " FROM (SELECT *, lag(seq) OVER w AS before, lag(offset) OVER w AS before_at FROM had WHERE offset IS NOT NULL"
      " WINDOW w AS (PARTITION BY source, topic, partition ORDER BY seq)) h WHERE before_at > offset AND substr(topic, -8) <> '.replies'"
      " AND NOT EXISTS (SELECT 1 FROM store WHERE substr(h.topic, 1, length(service) + 7) = service || '.retry.')" },
    { "doubled", BUI_AUDIT_VIOLATED, /* an event's id follows from its cause: two numbers for one id are two runs that took effect */
      "SELECT shard, topic || ' event ' || event_id, 'was committed ' || count(DISTINCT source || seq) || ' times, at offsets ' || group_concat(offset)"
      " FROM record WHERE ours AND shard IN (SELECT shard FROM audited) AND topic NOT IN (SELECT service || '.dlq' FROM store UNION SELECT service || '.redrive' FROM store)"
      " AND NOT EXISTS (SELECT 1 FROM store WHERE substr(record.topic, 1, length(service) + 7) = service || '.retry.')"
      " GROUP BY shard, topic, event_id HAVING count(DISTINCT source || '/' || partition || '/' || seq) > 1" },
    { "ahead", BUI_AUDIT_VIOLATED, /* a mark above what was read would drop what comes */
      "SELECT m.path, m.source || ' ' || " PLACE("m") ", 'the mark is ' || m.high || ', the highest number read is ' || coalesce(top, 0)"
      " FROM mark m JOIN log l ON l.topic = m.topic AND l.partition = m.partition LEFT JOIN (SELECT p.path, r.topic, r.partition, r.source, max(r.seq) AS top"
      " FROM position p JOIN record r ON r.topic = p.topic AND r.partition = p.partition AND r.offset < p.next WHERE r.source IS NOT NULL"
      " GROUP BY p.path, r.topic, r.partition, r.source) a ON a.path = m.path AND a.topic = m.topic AND a.partition = m.partition AND a.source = m.source"
      " WHERE m.high > coalesce(top, 0) AND (top IS NOT NULL OR l.low = 0) AND NOT EXISTS (SELECT 1 FROM position p WHERE p.path = m.path"
      " AND p.topic = m.topic AND p.partition = m.partition AND p.life)" }, /* another log was accepted there */
    { "unsettled", BUI_AUDIT_VIOLATED, /* passed, and neither settled nor its source's mark expired */
      "SELECT s.path, " PLACE("s") " || '@' || s.offset, s.source || ' seq ' || s.seq || ' was passed and not settled: its delivery was dropped'"
      " FROM settled s JOIN began b ON b.path = s.path AND b.topic = s.topic AND b.partition = s.partition WHERE NOT s.yes AND s.offset > b.offset AND"
      " (EXISTS (SELECT 1 FROM mark m WHERE m.path = s.path AND m.topic = s.topic AND m.partition = s.partition AND m.source = s.source)"
      " OR NOT EXISTS (SELECT 1 FROM mark m WHERE m.path = s.path AND m.topic = s.topic AND m.partition = s.partition AND m.shard = s.shard))" },
    { "position", BUI_AUDIT_VIOLATED,
      "SELECT p.path, " PLACE("p") ", 'stands at offset ' || next || ', and the log ends at ' || high FROM position p"
      " JOIN log l ON l.topic = p.topic AND l.partition = p.partition WHERE next > high" },
    { "waiting", BUI_AUDIT_VIOLATED, /* what waits was delivered */
      "SELECT w.path, " PLACE("w") " || '@' || offset, 'event ' || event_id || ' waits, and the position is ' || next FROM parked w"
      " JOIN position p ON p.path = w.path AND p.topic = w.topic AND p.partition = w.partition WHERE w.offset >= p.next" },
    { "letter", BUI_AUDIT_VIOLATED, /* what the store knows and the topic does not, unless it is on its way */
      "SELECT l.path, 'letter ' || l.id, iif(f.id IS NULL, 'is not in the dead-letter topic', 'round ' || l.round || ' state ' || l.state"
      " || ' in the store, round ' || (f.rank / 10) || ' state ' || (f.rank % 10) || ' in the topic') FROM letter l LEFT JOIN fold f"
      " ON f.path = l.path AND f.id = l.id JOIN log g ON g.topic = l.service || '.dlq' AND g.partition = l.shard WHERE NOT l.again"
      " AND l.round * 10 + l.state > coalesce(f.rank, 0) AND (f.id IS NOT NULL OR g.low = 0)"
      " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.path = l.path AND o.topic = l.service || '.dlq')" },
    { "letter", BUI_AUDIT_VIOLATED,
      "SELECT f.path, 'letter ' || f.id, iif(l.id IS NULL, 'is in the dead-letter topic and not in the store', 'round ' || (f.rank / 10) || ' state '"
      " || (f.rank % 10) || ' in the topic, round ' || l.round || ' state ' || l.state || ' in the store') FROM fold f LEFT JOIN letter l"
      " ON l.again AND l.path = f.path AND l.id = f.id WHERE f.rank > coalesce(l.round * 10 + l.state, 0)"
      " AND (l.id IS NOT NULL OR f.rank % 10 < 3)" }, /* dead letters that were closed long ago are forgotten */
    { "letter", BUI_AUDIT_VIOLATED, /* it is of one event: two that share it are one lost */
      "SELECT s.path, 'letter ' || t.id, 'is of events of ' || count(DISTINCT t.from_topic || '/' || t.from_partition) || ' partitions' FROM told t JOIN store s"
      " ON t.topic = s.service || '.dlq' AND t.partition = s.shard WHERE t.state = 1 AND t.from_topic IS NOT NULL GROUP BY s.path, t.id"
      " HAVING count(DISTINCT t.from_topic || '/' || t.from_partition) > 1" },
    { "balance", BUI_AUDIT_VIOLATED, /* read = processed + waiting + dead */
      "SELECT service, topic, once || ' events were read, but ' || waiting || ' wait and ' || dead || ' are dead letters' FROM total"
      " WHERE once < waiting + dead" },
    { "body", BUI_AUDIT_VIOLATED, /* redriven it would be a tombstone */
      "SELECT t.topic, 'letter ' || t.id, 'does not carry its event and does not say so; the event is at ' || t.from_topic || '/' || t.from_partition"
      " || '@' || t.from_offset FROM told t JOIN record r ON r.topic = t.from_topic AND r.partition = t.from_partition AND r.offset = t.from_offset"
      " WHERE t.state = 1 AND t.bare AND t.body = 0 AND NOT r.bare" },
    { "body", BUI_AUDIT_VIOLATED, /* elsewhere is the store, whatever retention removes */
      "SELECT l.path, 'letter ' || l.id, 'does not carry its event, and its store does not keep it' FROM letter l JOIN told t"
      " ON t.topic = l.service || '.dlq' AND t.partition = l.shard AND t.id = l.id AND t.round = l.round AND t.state = 1"
      " WHERE NOT l.again AND l.state IN (1, 2) AND t.bare AND t.body = 2"
      " AND NOT EXISTS (SELECT 1 FROM body b WHERE b.path = l.path AND b.letter = l.id)"
      " AND NOT EXISTS (SELECT 1 FROM parked w WHERE w.path = l.path AND w.event_id = l.event_id)" },
    { "discarded", BUI_AUDIT_NOTED,
      "SELECT path, 'outbox row ' || row, 'event ' || coalesce(event_id, '?') || ' for ' || topic || '/' || partition || ' was given up by '"
      " || operator || ': ' || reason FROM discarded" },
    { "rejected", BUI_AUDIT_VIOLATED, /* committed, and in no topic, until an operator decides */
      "SELECT path, 'outbox row ' || row, 'event ' || coalesce(event_id, '?') || ' for ' || topic || '/' || partition || ' was refused by Kafka for good: '"
      " || coalesce(error, '') FROM outbox WHERE rejected" },
    { "unknown", BUI_AUDIT_NOTED, /* of before a rebuild, a restored copy, or an older build */
      "SELECT r.source, topic || '/' || partition, count(*) || ' record(s) of an incarnation that the store does not know: their end cannot be checked'"
      " FROM record r WHERE r.ours AND r.shard IN (SELECT shard FROM audited) AND r.source NOT IN (SELECT source FROM sent UNION SELECT source FROM store"
      " UNION SELECT source FROM outbox) GROUP BY r.source, topic, partition" },
    { "unread", BUI_AUDIT_NOTED, /* before where reading began */
      "SELECT s.path, " PLACE("s") ", count(*) || ' record(s) before offset ' || b.offset || ' were never taken: the reading began there' FROM settled s"
      " JOIN began b ON b.path = s.path AND b.topic = s.topic AND b.partition = s.partition WHERE NOT s.yes AND s.offset < b.offset"
      " GROUP BY s.path, s.topic, s.partition" },
    { "absent", BUI_AUDIT_NOTED,
      "SELECT min(source), topic || '/' || partition, 'the topic or partition is not there' FROM sent s WHERE NOT again AND next > 1 AND NOT EXISTS"
      " (SELECT 1 FROM log l WHERE l.topic = s.topic AND l.partition = s.partition) GROUP BY topic, partition" },
};
/* clang-format on */

/* Runs one query and hands its rows on. */
static bus_status ask(bui_audit *audit, const char *name, bui_audit_weight weight, sqlite3_stmt *stmt, bui_audit_found_fn found,
                      void *opaque, bus_error *err)
{
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int columns = sqlite3_column_count(stmt);
        const char *text[3] = { NULL, NULL, NULL };
        for (int i = 0; i < 3 && i < columns; i++)
            text[i] = (const char *)sqlite3_column_text(stmt, i);
        bui_finding finding = { weight, name, text[0] ? text[0] : "", text[1] ? text[1] : "", text[2] ? text[2] : "" };
        if (!found(opaque, &finding))
            return bui_fail_nomem(err);
    }
    return rc == SQLITE_DONE ? BUS_OK : bui_audit_db_failed(audit, name, err);
}

static bus_status ask_all(bui_audit *audit, const bui_audit_rule *list, size_t count, bui_audit_found_fn found, void *opaque,
                          bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(audit->db, list[i].sql, -1, &stmt, NULL) != SQLITE_OK)
            status = bui_audit_db_failed(audit, list[i].name, err);
        else
            status = ask(audit, list[i].name, list[i].weight, stmt, found, opaque, err);
        sqlite3_finalize(stmt);
    }
    return status;
}

bus_status bui_audit_rules(bui_audit *audit, bui_audit_found_fn found, void *opaque, bus_error *err)
{
    bus_status status = bui_audit_db_run(audit, views, "preparing the rules", err);
    if (status == BUS_OK)
        status = bui_audit_db_run(audit, bui_trace_views, "preparing the rules", err);
    if (status == BUS_OK)
        status = bui_trace_functions(audit, err);
    if (status == BUS_OK)
        status = bui_audit_db_own_indexes(audit, err);
    if (status == BUS_OK)
        status = ask_all(audit, rules, sizeof rules / sizeof *rules, found, opaque, err);
    return status == BUS_OK ? ask_all(audit, bui_trace_rules, bui_trace_rule_count, found, opaque, err) : status;
}

bus_status bui_audit_totals(bui_audit *audit, bui_audit_total_fn each, void *opaque, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    int rc = SQLITE_DONE;
    if (sqlite3_prepare_v2(audit->db,
                           "SELECT service, topic, records, unread, copies, waiting, dead, once - waiting - dead FROM total"
                           " ORDER BY service, topic",
                           -1, &stmt, NULL) != SQLITE_OK)
        return bui_audit_db_failed(audit, "summing up", err);
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        bui_audit_total total = { .service = (const char *)sqlite3_column_text(stmt, 0),
                                  .topic = (const char *)sqlite3_column_text(stmt, 1),
                                  .records = sqlite3_column_int64(stmt, 2),
                                  .unread = sqlite3_column_int64(stmt, 3),
                                  .copies = sqlite3_column_int64(stmt, 4),
                                  .waiting = sqlite3_column_int64(stmt, 5),
                                  .dead = sqlite3_column_int64(stmt, 6),
                                  .processed = sqlite3_column_int64(stmt, 7) };
        status = each(opaque, &total) ? BUS_OK : bui_fail_nomem(err);
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = bui_audit_db_failed(audit, "summing up", err);
    sqlite3_finalize(stmt);
    return status;
}
