/* SPDX-License-Identifier: MIT
 * Audit traces: what each event leaves behind, and what people's tools, other logs, older stores and other people's records may not do to it.
 * The rules are like those of audit_rules.c. */
#include "base/error.h"
#include "base/id.h"
#include "ops/audit_database.h"

#include <string.h>

/* clang-format off */
/* own: the topics that only a service and its operators write. effect: what events made audited services emit; early: it had been committed when
 * the store was read first. emitted: the same, for services' invariants. whole: logs that nothing was taken out of. sure: stores all of whose inputs
 * are whole and the ones that they began with. named: records of foreign producers that bring an id, and whether the store has seen that.
 * taken: where that began. */
const char bui_trace_views[] =
    "CREATE INDEX record_id ON record(event_id);"
    "CREATE INDEX sent_source ON sent(source, topic, partition);"
    "CREATE TABLE own(topic TEXT PRIMARY KEY);"
    "INSERT INTO own SELECT DISTINCT l.topic FROM log l JOIN store s ON l.topic IN (s.service || '.dlq', s.service || '.redrive')"
    " OR substr(l.topic, 1, length(s.service) + 7) = s.service || '.retry.';"
    "CREATE TABLE effect(path TEXT, service TEXT, cause TEXT, event_id TEXT, topic TEXT, partition INTEGER, offset INTEGER, type TEXT, key BLOB,"
    " early INTEGER);"
    "INSERT INTO effect SELECT s.path, s.service, r.cause, r.event_id, r.topic, r.partition, r.offset, r.type, r.key, coalesce(r.seq < n.next, 0)"
    " FROM record r JOIN store s ON r.shard = s.service || '/' || s.shard LEFT JOIN sent n ON NOT n.again AND n.source = r.source AND n.topic = r.topic"
    " AND n.partition = r.partition WHERE r.ours AND r.cause IS NOT NULL AND r.topic NOT IN (SELECT topic FROM own);"
    "CREATE INDEX effect_cause ON effect(cause, path);"
    "CREATE VIEW emitted AS SELECT service, topic, partition, offset, event_id, type, key, cause FROM effect;"
    "CREATE TABLE whole(topic TEXT, partition INTEGER, PRIMARY KEY (topic, partition));"
    "INSERT INTO whole SELECT l.topic, l.partition FROM log l LEFT JOIN (SELECT topic, partition, count(*) AS records FROM record"
    " GROUP BY topic, partition) r ON r.topic = l.topic AND r.partition = l.partition WHERE l.low = 0 AND coalesce(records, 0) = l.high;"
    "CREATE TABLE sure(path TEXT PRIMARY KEY);"
    "INSERT INTO sure SELECT path FROM store s WHERE NOT EXISTS (SELECT 1 FROM position p LEFT JOIN whole w ON w.topic = p.topic"
    " AND w.partition = p.partition WHERE p.path = s.path AND p.topic NOT IN (SELECT topic FROM own) AND (w.topic IS NULL OR p.life OR p.judging));"
    "CREATE TABLE named(path TEXT, topic TEXT, partition INTEGER, offset INTEGER, event_id TEXT, n INTEGER);"
    "INSERT INTO named SELECT i.path, i.topic, i.partition, i.offset, i.event_id, (SELECT n FROM seen x WHERE x.path = i.path AND x.topic = i.topic"
    " AND x.partition = i.partition AND x.event_id = i.event_id AND x.sender = coalesce(i.sender, '')) FROM input i WHERE NOT i.ours AND i.named"
    " AND length(i.topic || i.sender) < 480;"
    "CREATE TABLE taken(path TEXT, topic TEXT, partition INTEGER, offset INTEGER, PRIMARY KEY (path, topic, partition));"
    "INSERT INTO taken SELECT m.path, m.topic, m.partition, max(m.offset) FROM named m JOIN (SELECT path, topic, partition, min(n) AS n FROM named"
    " GROUP BY path, topic, partition) f ON f.path = m.path AND f.topic = m.topic AND f.partition = m.partition AND f.n = m.n"
    " GROUP BY m.path, m.topic, m.partition;";

const bui_audit_rule bui_trace_rules[] = {
    { "unsettled", BUI_AUDIT_VIOLATED, /* a number that was passed between two that were settled */
      "SELECT s.path, " PLACE("s") " || '@' || s.offset, s.source || ' seq ' || s.seq || ' was passed and not settled: later ones of its source were'"
      " FROM settled s JOIN began b ON b.path = s.path AND b.topic = s.topic AND b.partition = s.partition JOIN mark m ON m.path = s.path"
      " AND m.topic = s.topic AND m.partition = s.partition AND m.source = s.source JOIN hole h ON h.path = m.path AND h.mark = m.id"
      " AND s.seq BETWEEN h.lo AND h.hi WHERE NOT s.yes AND s.offset < b.offset AND h.lo > 1" },
    { "unsettled", BUI_AUDIT_VIOLATED, /* the same of events that are known by their ids */
      "SELECT m.path, " PLACE("m") " || '@' || m.offset, 'event ' || m.event_id || ' was passed and not settled: its delivery was dropped'"
      " FROM named m JOIN taken t ON t.path = m.path AND t.topic = m.topic AND t.partition = m.partition WHERE m.n IS NULL AND m.offset > t.offset" },
    { "replaced", BUI_AUDIT_VIOLATED, /* the store remembers what it read last, and the last that a look has found */
      "SELECT p.path, " PLACE("p") " || '@' || r.offset, 'holds another record than was read there: the log was made again, or lost its end' FROM position p"
      " JOIN record r ON r.topic = p.topic AND r.partition = p.partition AND ((r.offset = p.anchor AND p.anchor_kind = 1 AND r.hash <> p.anchor_hash)"
      " OR (r.offset = p.proof AND p.proof_kind = 1 AND r.hash <> p.proof_hash)) WHERE NOT p.judging"
      " AND substr(p.topic, 1, length(p.service) + 7) <> p.service || '.retry.'" },
    { "replaced", BUI_AUDIT_VIOLATED, /* ids of events that were handled */
      "SELECT x.path, " PLACE("x") ", count(*) || ' event(s) were handled that are not in the log, the first is ' || min(x.event_id)"
      " || ': the log was made again, or lost its end' FROM seen x JOIN whole w ON w.topic = x.topic AND w.partition = x.partition JOIN position p"
      " ON p.path = x.path AND p.topic = x.topic AND p.partition = x.partition WHERE NOT p.life AND NOT p.judging AND NOT EXISTS (SELECT 1 FROM record r"
      " WHERE r.event_id = x.event_id AND r.topic = x.topic AND r.partition = x.partition) GROUP BY x.path, x.topic, x.partition" },
    { "replaced", BUI_AUDIT_VIOLATED, /* places of what waits, and of open dead letters */
      "SELECT w.path, " PLACE("r") " || '@' || r.offset, 'holds event ' || r.event_id || ', and was event ' || w.event_id || ', which ' || w.what FROM"
      " (SELECT path, topic, partition, offset, at, event_id, 'waits' AS what FROM parked UNION ALL SELECT l.path, t.from_topic, t.from_partition,"
      "  t.from_offset, t.from_at, t.event_id, 'is letter ' || l.id FROM letter l JOIN told t ON t.topic = l.service || '.dlq' AND t.partition = l.shard"
      "  AND t.id = l.id AND t.round = l.round AND t.state = 1 WHERE NOT l.again AND l.state IN (1, 2) AND t.event_id IS NOT NULL) w"
      " JOIN position p ON p.path = w.path AND p.topic = w.topic AND p.partition = w.partition JOIN record r ON r.topic = w.topic"
      " AND r.partition = w.partition AND r.offset = w.offset WHERE NOT p.life AND NOT p.judging AND (r.at <> w.at OR r.event_id <> w.event_id)" },
    { "caused", BUI_AUDIT_VIOLATED, /* no effect without its event */
      "SELECT e.path, " PLACE("e") " || '@' || e.offset, 'event ' || e.event_id || ' was caused by event ' || e.cause || ', which no input of ' || e.service"
      " || ' holds' FROM effect e JOIN sure u ON u.path = e.path WHERE e.early AND NOT EXISTS (SELECT 1 FROM delivered d WHERE d.event_id = e.cause"
      " AND d.service = e.service) AND NOT EXISTS (SELECT 1 FROM record r JOIN position p ON p.topic = r.topic AND p.partition = r.partition"
      " WHERE r.event_id = e.cause AND p.path = e.path)" },
    { "claimed", BUI_AUDIT_VIOLATED, /* a command that no operator gave; what it emitted names the event that it was taken for */
      "SELECT i.path, " PLACE("i") " || '@' || i.offset, 'claims to be a command, and event ' || i.event_id || ' ran as one of ' || c.from_topic FROM copied c"
      " CROSS JOIN input i ON i.topic = c.topic AND i.partition = c.partition AND i.offset = c.offset JOIN effect e ON e.cause = i.event_id AND e.path = i.path"
      " JOIN (WITH RECURSIVE up(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM up WHERE n < 15) SELECT n FROM up) WHERE i.command AND c.from_topic <> i.topic"
      " AND e.event_id IN (effect_id(i.event_id, i.service, c.from_topic, n, ''), effect_id(i.event_id, i.service, c.from_topic, n, i.sender))" },
    { "again", BUI_AUDIT_VIOLATED, /* what has not been handled has emitted nothing */
      "SELECT w.path, 'event ' || w.event_id, w.what || ', and has taken effect: it emitted ' || min(" PLACE("e") " || '@' || e.offset) FROM"
      " (SELECT path, service, event_id, 'waits' AS what FROM parked WHERE command <> 3 UNION SELECT path, service, event_id, 'is letter ' || id"
      "  FROM letter WHERE NOT again AND state IN (1, 2) AND replay = '') w JOIN effect e ON e.cause = w.event_id AND e.path = w.path WHERE e.early"
      " AND (SELECT count(*) FROM delivered d WHERE d.event_id = w.event_id AND d.service = w.service) = 1 GROUP BY w.path, w.event_id, w.what" },
    { "held", BUI_AUDIT_VIOLATED, /* keys wait for something that is there */
      "SELECT k.path, 'key ' || k.id, 'of ' || k.scope || ' is held, and no open letter holds it' FROM waits k WHERE k.state = 2 AND NOT EXISTS"
      " (SELECT 1 FROM letter l WHERE NOT l.again AND l.path = k.path AND l.key_id = k.id AND l.state = 1)" },
    { "held", BUI_AUDIT_VIOLATED,
      "SELECT l.path, 'letter ' || l.id, 'holds key ' || l.key_id || ', which is not held' FROM letter l LEFT JOIN waits k ON k.path = l.path"
      " AND k.id = l.key_id AND k.state = 2 WHERE NOT l.again AND l.state = 1 AND l.key_id AND k.id IS NULL" },
    { "held", BUI_AUDIT_VIOLATED, /* and so does what is behind them */
      "SELECT k.path, 'key ' || k.id, 'says that ' || k.parked || ' event(s) wait by it, and ' || count(w.event_id) || ' do' FROM waits k LEFT JOIN parked w"
      " ON w.path = k.path AND w.key_id = k.id GROUP BY k.path, k.id HAVING count(w.event_id) <> k.parked UNION ALL"
      " SELECT w.path, 'event ' || w.event_id, 'waits by key ' || w.key_id || ', which is not there' FROM parked w LEFT JOIN waits k ON k.path = w.path"
      " AND k.id = w.key_id WHERE k.id IS NULL" },
    { "planned", BUI_AUDIT_VIOLATED, /* what is planned has not left */
      "SELECT p.path, 'schedule ' || p.name, 'is planned, and event ' || p.event_id || ' stands at ' || " PLACE("r") " || '@' || r.offset FROM planned p"
      " JOIN store s ON s.path = p.path JOIN record r ON r.event_id = p.event_id AND r.topic = p.topic AND r.ours AND r.shard = s.service || '/' || s.shard"
      " LEFT JOIN sent n ON NOT n.again AND n.source = r.source AND n.topic = r.topic AND n.partition = r.partition"
      " WHERE r.source <> s.source OR r.seq < n.next" },
    { "older", BUI_AUDIT_VIOLATED, /* what the group knows of a store, that store knows */
      "SELECT s.path, 'store', CASE WHEN c.store_id <> l.store_id THEN 'is ' || l.store_id || ', and the group''s commits are of ' || c.store_id"
      " WHEN c.opens > l.opens THEN 'was opened ' || l.opens || ' times, and the group''s commits know of ' || c.opens ELSE 'its age is ' || l.age"
      " || ', and the group''s commits know of ' || c.age END FROM store s JOIN later_store l ON l.path = s.path JOIN committed c ON c.service = s.service"
      " AND c.topic = s.service || '.redrive' AND c.partition = s.shard WHERE c.store_id <> l.store_id OR c.opens > l.opens"
      " OR (c.opens = l.opens AND c.age > l.age)" },
    { "older", BUI_AUDIT_VIOLATED,
      "SELECT p.path, " PLACE("p") ", 'the store stands at ' || p.next || ', and had told the group of ' || c.next FROM later_position p JOIN later_store l"
      " ON l.path = p.path JOIN store s ON s.path = p.path JOIN committed c ON c.service = s.service AND c.topic = p.topic AND c.partition = p.partition"
      " WHERE c.store_id = l.store_id AND c.next > p.next" },
    { "silent", BUI_AUDIT_NOTED, /* that was retried, redriven or replayed, and emitted nothing where all others of its kind did */
      "WITH told_again AS (SELECT DISTINCT s.service, c.from_topic AS topic, c.from_partition AS partition, c.from_offset AS offset FROM copied c JOIN store s"
      "  ON c.topic = s.service || '.redrive' OR substr(c.topic, 1, length(s.service) + 7) = s.service || '.retry.'),"
      " kinds AS (SELECT DISTINCT d.service, d.topic, d.type FROM told_again a JOIN delivered d ON d.service = a.service AND d.topic = a.topic"
      "  AND d.partition = a.partition AND d.offset = a.offset),"
      " done AS (SELECT d.*, EXISTS (SELECT 1 FROM effect e WHERE e.cause = d.event_id AND e.service = d.service) AS emits, a.offset IS NOT NULL AS special"
      "  FROM kinds k JOIN delivered d ON d.service = k.service AND d.topic = k.topic AND d.type IS k.type LEFT JOIN told_again a ON a.service = d.service"
      "  AND a.topic = d.topic AND a.partition = d.partition AND a.offset = d.offset WHERE NOT EXISTS (SELECT 1 FROM waiting w"
      "  WHERE w.service = d.service AND w.event_id = d.event_id) AND NOT EXISTS (SELECT 1 FROM dead x WHERE x.service = d.service"
      "  AND x.event_id = d.event_id AND x.state <> 'resolved'))"
      " SELECT service, topic || ' ' || coalesce(type, '?'), sum(special AND NOT emits) || ' event(s) that were retried, redriven or replayed have emitted nothing, the'"
      " || ' first at ' || min(iif(special AND NOT emits, partition || '@' || offset, NULL)) || '; the ' || sum(NOT special) || ' others of this type all have'"
      " FROM done WHERE service NOT IN (SELECT s.service FROM store s JOIN outbox o ON o.path = s.path UNION SELECT s.service FROM store s JOIN planned p"
      " ON p.path = s.path) GROUP BY service, topic, type HAVING sum(NOT special) >= 3 AND NOT sum(NOT special AND NOT emits)"
      " AND sum(special AND NOT emits)" },
    { "unread", BUI_AUDIT_NOTED,
      "SELECT m.path, " PLACE("m") ", count(*) || ' record(s) before offset ' || t.offset || ' were never taken: the reading began there' FROM named m"
      " JOIN taken t ON t.path = m.path AND t.topic = m.topic AND t.partition = m.partition WHERE m.n IS NULL AND m.offset < t.offset"
      " GROUP BY m.path, m.topic, m.partition" },
};
/* clang-format on */
const size_t bui_trace_rule_count = sizeof bui_trace_rules / sizeof *bui_trace_rules;

/* As shard/emit.c names what an event causes: its cause, the service, the scope, which of its emits, and the producer of a foreign cause. */
static void effect_id(sqlite3_context *context, int count, sqlite3_value **value)
{
    char id[BUI_ID_TEXT];
    bui_part parts[5];
    for (int i = 0; i < count; i++) {
        const void *text = sqlite3_value_text(value[i]);
        parts[i] = (bui_part){ text ? text : "", (size_t)sqlite3_value_bytes(value[i]) };
    }
    bui_id_of(parts, parts[4].len ? 5 : 4, id);
    sqlite3_result_text(context, id, -1, SQLITE_TRANSIENT);
}

bus_status bui_trace_functions(bui_audit *audit, bus_error *err)
{
    int rc = sqlite3_create_function(audit->db, "effect_id", 5, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL,
                                     effect_id, NULL, NULL);
    return rc == SQLITE_OK ? BUS_OK : bui_audit_db_failed(audit, "beginning the audit", err);
}
