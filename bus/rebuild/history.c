/* SPDX-License-Identifier: MIT
 * History: a list of failures for each event that ever failed. A record on a retry topic shows a run and when the next was
 * due, a dead letter the last run of a round; the order of their times shows which runs belong to which round. */
#include "rebuild/history.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "codec/envelope.h"
#include "rebuild/deadletters.h"
#include "shard/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_MOST 400

typedef struct failure {
    struct failure *next; /* of the event; by time */
    int64_t at;           /* when, ms */
    int round, run;
    bui_fate fate;
} failure;

struct bui_history {
    bui_fates fates; /* first */
    bui_sent *sent;
    bui_arena arena;
    bui_map failures;  /* place of an event -> its first */
    bui_map waiting;   /* "<place> <round> <run>" of heads that wait in the old store */
    bui_map planned;   /* ids of events that are scheduled there */
    bui_map unsent;    /* "topic/partition id" of rows in its outbox */
    bui_map discarded; /* the same of rows that an operator gave up there */
    bui_map letters;   /* how far each has come */
    bui_map resolved;  /* id of a dead letter -> when that was, and of which round */
    bool old, letters_cut;
};

/* Of an event, or of a copy of it: then with its run. */
static size_t place_text(const char *topic, int topic_len, int32_t partition, int64_t offset, const char *copy,
                         char out[PLACE_MOST])
{
    return (size_t)snprintf(out, PLACE_MOST, "%.*s/%" PRId32 "/%" PRId64 "%s%.100s", topic_len < 250 ? topic_len : 250, topic,
                            partition, offset, *copy ? " " : "", copy);
}

/* ---- what the topics tell */

static int64_t number_of(const bui_record *record, const char *name)
{
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].name, name) == 0 && record->headers[i].value && record->headers[i].len < 20) {
            char text[24] = "";
            memcpy(text, record->headers[i].value, record->headers[i].len);
            return strtoll(text, NULL, 10);
        }
    return 0;
}

static void text_of(const bui_record *record, const char *name, char *out, size_t cap)
{
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].name, name) == 0 && record->headers[i].value)
            snprintf(out, cap, "%.*s", (int)record->headers[i].len, (const char *)record->headers[i].value);
}

/* In the order of time; of the same time, in the order of reading. */
static bool add(bui_history *history, const bui_envelope *envelope, const char *copy, const failure *what)
{
    char text[PLACE_MOST];
    size_t len = place_text(envelope->orig.topic.at, (int)envelope->orig.topic.len, envelope->orig.partition,
                            envelope->orig.offset, copy, text);
    failure *mine = bui_arena_alloc(&history->arena, sizeof *mine), *first = bui_map_get(&history->failures, text, len),
            **at = &first;
    if (!mine)
        return false;
    *mine = *what;
    while (*at && (*at)->at <= mine->at)
        at = &(*at)->next;
    mine->next = *at;
    *at = mine;
    return bui_map_put(&history->failures, text, len, first);
}

typedef struct ending {
    int64_t at;
    int round;
} ending;

static bool note_resolved(bui_history *history, const bui_envelope *envelope, int64_t at)
{
    if (envelope->letter != BUI_DEADLETTER_RESOLVED || !at)
        return true;
    ending *mine = bui_arena_alloc(&history->arena, sizeof *mine);
    if (!mine)
        return false;
    *mine = (ending){ at, envelope->letter_round };
    return bui_map_put(&history->resolved, envelope->letter_id.at, envelope->letter_id.len, mine);
}

static bool take(bui_history *history, const bui_router *router, const bui_record *record)
{
    bui_envelope envelope;
    failure what = { 0 };
    if (bui_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK)
        return true;
    bool dead = strcmp(record->topic, bui_router_dlq(router)) == 0;
    if (dead && (!bui_deadletters_note(&history->letters, &envelope) || !note_resolved(history, &envelope, record->timestamp)))
        return false;
    if (!envelope.orig.topic.at)
        return true;
    if (dead) {
        if (envelope.letter != BUI_DEADLETTER_OPEN)
            return true;
        what.fate.dead = true;
        what.round = envelope.letter_round - 1;
        what.run = (int)number_of(record, "__dlq.errors.delivery.count");
        what.at = number_of(record, "__dlq.errors.last");
        text_of(record, BUI_HEADER_ERROR_CLASS, what.fate.error_class, sizeof what.fate.error_class);
        text_of(record, BUI_HEADER_ERROR_MESSAGE, what.fate.reason, sizeof what.fate.reason);
        char copy[BUI_RUN_TEXT] = "";
        text_of(record, BUI_HEADER_REPLAY, copy, sizeof copy);
        return add(history, &envelope, copy, &what);
    }
    size_t count;
    const bui_input *inputs = bui_router_inputs(router, &count);
    if (!envelope.hop.token.at || envelope.hop.attempt < 2)
        return true;
    for (size_t i = 0; i < count; i++)
        if (strcmp(inputs[i].topic, record->topic) == 0)
            what.at = envelope.hop.not_before - inputs[i].delay_ms;
    what.run = envelope.hop.attempt - 1;
    what.fate.due = envelope.hop.not_before;
    text_of(record, "bus-reason", what.fate.reason, sizeof what.fate.reason);
    return add(history, &envelope, "", &what); /* copies are not retried */
}

/* Retry records do not tell their round: it is that of the dead letter before them. A dead letter, its redrive and the next
 * failure may have one time; then a run that the round has had already shows that it is another round's. One that was sent
 * twice is the same. */
static void number_rounds(bui_history *history)
{
    size_t at = 0, len;
    const void *key;
    void *value;
    while (bui_map_next(&history->failures, &at, &key, &len, &value)) {
        int round = 0;
        const failure *last = NULL; /* retry of the round */
        for (failure *each = value; each; each = each->next) {
            bool next =
                each->fate.dead ? each->round >= round : last && each->run <= last->run && each->fate.due != last->fate.due;
            if (next) {
                round = each->fate.dead ? each->round + 1 : round + 1;
                last = NULL;
            }
            if (each->fate.dead)
                continue;
            each->round = round;
            last = each;
        }
    }
}

static bus_status read_topics(bui_history *history, const bui_history_options *options, bus_error *err)
{
    size_t count, ranges = 0;
    const bui_input *inputs = bui_router_inputs(options->router, &count);
    bui_range *range = calloc(count + 1, sizeof *range);
    if (!range)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        if (inputs[i].retry_tier)
            range[ranges++] = (bui_range){ .topic = inputs[i].topic, .partition = options->shard };
    range[ranges++] = (bui_range){ .topic = bui_router_dlq(options->router), .partition = options->shard };
    void *reader;
    const bui_record *record;
    bus_status status = options->logs->open(options->logs, range, ranges, BUI_READ_BY_TIME, &reader, err);
    free(range);
    if (status != BUS_OK)
        return status;
    for (size_t i = 0; i < options->logs->span_count(reader); i++) {
        bui_span span = options->logs->span(reader, i);
        history->letters_cut |= span.low > 0 && strcmp(span.topic, bui_router_dlq(options->router)) == 0;
        if (span.low > 0)
            bui_log(BUS_WARN, "rebuild", "failures_unknown",
                    "%s/%" PRId32 " begins at offset %" PRId64 ": for events before that, their handlers decide which fail",
                    span.topic, span.partition, span.low);
    }
    uint64_t forged = 0;
    bus_error why = { 0 };
    while (status == BUS_OK && (status = options->logs->next(reader, &record, err)) == BUS_OK) {
        bool ours = bui_record_authentic(options->keys, record, options->service, forged ? NULL : &why);
        forged += !ours;
        if (ours && !take(history, options->router, record))
            status = bui_fail_nomem(err);
    }
    options->logs->close(reader);
    if (forged)
        bui_log(BUS_ERROR, "rebuild", "forged",
                "shard %d: %" PRIu64 " records of its retry and dead-letter topics cannot be "
                "used; of the first: %s",
                options->shard, forged, why.text);
    return status == BUS_CLOSED ? BUS_OK : status;
}

/* ---- what the old store knows */

static bool note_all(sqlite3 *db, const char *sql, bui_map *into, void *value)
{
    sqlite3_stmt *ask = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &ask, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(ask)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(ask, 0);
        rc = text && bui_map_put(into, text, strlen(text), value) ? SQLITE_OK : SQLITE_NOMEM;
    }
    sqlite3_finalize(ask);
    return rc == SQLITE_DONE;
}

/* Retry and dead letter records that had not left: their failures are in no topic yet. */
static bool take_unsent(bui_history *history, const bui_router *router, sqlite3 *db)
{
    sqlite3_stmt *ask = NULL;
    bool ok = true;
    int rc = sqlite3_prepare_v2(
        db, "SELECT d.topic, o.headers FROM bus_outbox o JOIN bus_destination d ON d.id = o.destination ORDER BY o.id", -1, &ask,
        NULL);
    while (rc == SQLITE_OK && ok && (rc = sqlite3_step(ask)) == SQLITE_ROW) {
        bui_record record = { .topic = (const char *)sqlite3_column_text(ask, 0) };
        const void *packed = sqlite3_column_blob(ask, 1);
        size_t len = (size_t)sqlite3_column_bytes(ask, 1), count = bui_headers_count(packed, len);
        bus_header *headers = record.topic && count != SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
        record.headers = headers;
        record.header_count = headers ? bui_headers_unpack(packed, len, headers, count) : 0;
        ok = headers && take(history, router, &record);
        free(headers);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(ask);
    return ok && rc == SQLITE_DONE;
}

/* Heads that wait for their next run. One that came by a command has its dead letter's round from there. */
static bool note_waiting(bui_history *history, sqlite3 *db)
{
#define WAITING(command) \
    "SELECT p.topic, p.partition, p.offset, k.round, k.attempt, p.headers, " command " FROM bus_key k" \
    " JOIN bus_parked p ON p.key_id = k.id AND p.n = (SELECT min(n) FROM bus_parked WHERE key_id = k.id)" \
    " WHERE k.state = 1 AND k.attempt > 0"
    sqlite3_stmt *ask = NULL;
    bool ok = true;
    int rc = sqlite3_prepare_v2(db, WAITING("p.command"), -1, &ask, NULL);
    if (rc != SQLITE_OK) /* of an older version */
        rc = sqlite3_prepare_v2(db, WAITING("-1"), -1, &ask, NULL);
    while (rc == SQLITE_OK && ok && (rc = sqlite3_step(ask)) == SQLITE_ROW) {
        const void *packed = sqlite3_column_blob(ask, 5);
        size_t size = (size_t)sqlite3_column_bytes(ask, 5), count = bui_headers_count(packed, size);
        const char *topic = (const char *)sqlite3_column_text(ask, 0);
        bus_header *headers = topic && count != SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
        bui_envelope envelope = { 0 };
        char text[PLACE_MOST + 40];
        ok = headers && bui_headers_unpack(packed, size, headers, count) == count;
        int round = sqlite3_column_int(ask, 3);
        if (ok && sqlite3_column_int(ask, 6) != BUI_COMMAND_NONE &&
            bui_envelope_read(headers, count, &envelope, NULL) == BUS_OK && envelope.command == BUI_COMMAND_REDRIVE)
            round = envelope.command_round;
        size_t len =
            ok ? place_text(topic, (int)strlen(topic), sqlite3_column_int(ask, 1), sqlite3_column_int64(ask, 2), "", text) : 0;
        len += ok ? (size_t)snprintf(text + len, sizeof text - len, " %d %d", round, sqlite3_column_int(ask, 4)) : 0;
        ok = ok && bui_map_put(&history->waiting, text, len, history);
        free(headers);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(ask);
    return ok && rc == SQLITE_DONE;
}

static void read_old(bui_history *history, const bui_router *router, const char *path)
{
    static const char unsent[] =
        "SELECT d.topic || '/' || d.partition || ' ' || o.event_id FROM bus_outbox o JOIN bus_destination d"
        " ON d.id = o.destination WHERE o.event_id IS NOT NULL";
    static const char discarded[] =
        "SELECT topic || '/' || partition || ' ' || event_id FROM bus_discarded WHERE event_id IS NOT NULL";
    sqlite3 *db = NULL;
    if (bui_store_reader(path, &db, NULL) != BUS_OK)
        return;
    bool discards = sqlite3_table_column_metadata(db, NULL, "bus_discarded", NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
    history->old = note_waiting(history, db) && (!discards || note_all(db, discarded, &history->discarded, history)) &&
                   note_all(db, "SELECT event_id FROM bus_schedule", &history->planned, history) &&
                   note_all(db, unsent, &history->unsent, history) && take_unsent(history, router, db);
    sqlite3_close(db);
    if (history->old)
        return;
    bui_log(BUS_WARN, "rebuild", "old_store", "%s cannot be read: what waited in it is taken from the topics alone", path);
    bui_map_free(&history->waiting, NULL);
    bui_map_free(&history->planned, NULL);
    bui_map_free(&history->unsent, NULL);
    bui_map_free(&history->discarded, NULL);
}

bool bui_history_has_old(const bui_history *history)
{
    return history->old;
}

static bool has_row(const bui_map *rows, const char *topic, int32_t partition, const char *event_id)
{
    char text[600];
    int len = snprintf(text, sizeof text, "%.250s/%" PRId32 " %.300s", topic, partition, event_id ? event_id : "");
    return bui_map_get(rows, text, (size_t)len) != NULL;
}

bool bui_history_unsent(const bui_history *history, const char *topic, int32_t partition, const char *event_id)
{
    return has_row(&history->unsent, topic, partition, event_id);
}

bool bui_history_discarded(const bui_history *history, const char *topic, int32_t partition, const char *event_id)
{
    return has_row(&history->discarded, topic, partition, event_id);
}

bus_status bui_history_letters(const bui_history *history, bui_store *store, int64_t *differing, bus_error *err)
{
    return bui_deadletters_compare(&history->letters, history->letters_cut, store, differing, err);
}

/* ---- the fates */

static bui_history *of_fates(bui_fates *fates)
{
    return (bui_history *)fates;
}

static bool failed(bui_fates *fates, const char *topic, int32_t partition, int64_t offset, const char *copy, int round, int run,
                   bui_fate *out)
{
    bui_history *history = of_fates(fates);
    char text[PLACE_MOST + 40];
    size_t len = place_text(topic, (int)strlen(topic), partition, offset, copy, text);
    const failure *found = NULL;
    for (const failure *each = bui_map_get(&history->failures, text, len); each; each = each->next)
        if (each->round == round && each->run >= run && (!found || each->run < found->run))
            found = each;
    if (!found)
        return false;
    *out = found->fate;
    if (found->run > run) { /* its retry record is gone; a later run failed, so this one did */
        out->dead = false;
        out->due = 0;
    }
    len += (size_t)snprintf(text + len, sizeof text - len, " %d %d", round, run);
    if (!out->dead && bui_map_get(&history->waiting, text, len))
        out->due += BUI_FATES_PUT_OFF_MS;
    return true;
}

/* When an arrival failed first, of its round; INT64_MAX: that is not known. `last`: it was given up with that run. */
static int64_t first_failure(const bui_history *history, const bui_arrival *of, bool *last)
{
    char text[PLACE_MOST];
    size_t len = place_text(of->topic, (int)strlen(of->topic), of->partition, of->offset, of->copy, text);
    const failure *each = bui_map_get(&history->failures, text, len);
    while (each && each->round != of->round)
        each = each->next;
    *last = each && each->run == 1 && each->fate.dead;
    return each ? each->at : INT64_MAX;
}

/* The merge by time lets an event come before commands that its lane, which lagged, came to after them. */
static bool overtook(bui_fates *fates, const bui_arrival *arrival, const bui_arrival *head)
{
    const bui_history *history = of_fates(fates);
    const ending *end = bui_map_get(&history->resolved, arrival->letter, strlen(arrival->letter));
    bool dead, unused;
    int64_t failed_at = first_failure(history, arrival, &dead), at = INT64_MAX;
    if (dead)
        at = failed_at;
    else if (failed_at == INT64_MAX && end && end->round == arrival->round)
        at = end->at;
    int64_t blocked_at = first_failure(history, head, &unused);
    return blocked_at != INT64_MAX && at < blocked_at;
}

static bool left(bui_fates *fates, const char *topic, int32_t partition, const char *event_id)
{
    const bui_history *history = of_fates(fates);
    return bui_sent_has_event(history->sent, topic, partition, event_id) ||
           bui_history_unsent(history, topic, partition, event_id) || bui_history_discarded(history, topic, partition, event_id);
}

/* A copy of the old store may know of a plan that has left since: the topic decides. What has left is in its topic or was on
 * its way, unless the topic has lost records: then a plan that the old store does not know is taken to have left, see
 * rebuild_outbox.c. */
static bool planned(bui_fates *fates, const char *topic, const char *event_id)
{
    const bui_history *history = of_fates(fates);
    bool known = bui_map_get(&history->planned, event_id, strlen(event_id));
    const bui_sent_place *place;
    for (int32_t q = 0; (place = bui_sent_place_of(history->sent, topic, q)); q++)
        if ((place->cut && !known) || left(fates, topic, q, event_id))
            return false;
    return true;
}

bui_fates *bui_history_fates(bui_history *history)
{
    return &history->fates;
}

bus_status bui_history_take_back(bui_store *store, bus_error *err)
{
    char sql[400];
    const long long put_off = BUI_FATES_PUT_OFF_MS;
    snprintf(sql, sizeof sql,
             "UPDATE bus_key SET due = due - %lld WHERE due >= %lld; UPDATE bus_schedule SET due = due - %lld WHERE due >= %lld",
             put_off, put_off, put_off, put_off);
    bus_status status = bui_store_begin(store, err);
    if (status != BUS_OK)
        return status;
    char *why = NULL;
    if (sqlite3_exec(bui_store_db(store), sql, NULL, NULL, &why) != SQLITE_OK)
        status = bui_fail(err, BUS_STORE, "%s: %s", bui_store_path(store), why ? why : "no memory");
    sqlite3_free(why);
    if (status == BUS_OK)
        return bui_store_commit(store, err);
    bui_store_rollback(store);
    return status;
}

/* ---- open and close */

bus_status bui_history_open(const bui_history_options *options, bui_history **out, bus_error *err)
{
    bui_history *history = calloc(1, sizeof *history);
    if (!history)
        return bui_fail_nomem(err);
    history->fates = (bui_fates){ .failed = failed, .overtook = overtook, .left = left, .planned = planned };
    history->sent = options->sent;
    bui_arena_init(&history->arena, 0);
    bui_map_init(&history->failures);
    bui_map_init(&history->waiting);
    bui_map_init(&history->planned);
    bui_map_init(&history->unsent);
    bui_map_init(&history->discarded);
    bui_map_init(&history->letters);
    bui_map_init(&history->resolved);
    bus_status status = read_topics(history, options, err);
    if (status != BUS_OK) {
        bui_history_close(history);
        return status;
    }
    FILE *there = options->old ? fopen(options->old, "rb") : NULL;
    if (there) {
        fclose(there);
        read_old(history, options->router, options->old);
    }
    number_rounds(history);
    *out = history;
    return BUS_OK;
}

void bui_history_close(bui_history *history)
{
    if (!history)
        return;
    bui_map_free(&history->failures, NULL);
    bui_map_free(&history->waiting, NULL);
    bui_map_free(&history->planned, NULL);
    bui_map_free(&history->unsent, NULL);
    bui_map_free(&history->discarded, NULL);
    bui_map_free(&history->letters, NULL);
    bui_map_free(&history->resolved, NULL);
    bui_arena_free(&history->arena);
    free(history);
}
