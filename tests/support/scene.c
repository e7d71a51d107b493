/* SPDX-License-Identifier: MIT
 * The scene's service and its stage machinery. */
#include "support/scene.h"

#include "base/config.h"
#include "base/id.h"
#include "codec/envelope.h"
#include "inventory.events.h"
#include "ops/commands.h"
#include "payment.events.h"
#include <bus/bus.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define START_MS 1767225600000

/* ---- the service */

static const bus_migration migrations[] = {
    { "effect", "CREATE TABLE effect(n INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL);" }, { 0 }
};

/* The value of an instruction, 1 if it has none, 0 if it is not there. */
static int64_t told(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += n)
        if ((at == text || at[-1] == ' ') && (at[n] == '=' || at[n] == ' ' || at[n] == 0))
            return at[n] == '=' && at[n + 1] >= '0' && at[n + 1] <= '9' ? atoll(at + n + 1) : 1;
    return 0;
}

/* The word after "what=", or `none`. */
static const char *word_of(const char *text, const char *what, const char *none, char out[32])
{
    const char *at = strstr(text, what);
    snprintf(out, 32, "%s", at ? at + strlen(what) : none);
    out[strcspn(out, " ")] = 0;
    return out;
}

static void effect(bus_tx *tx, const char *text)
{
    sqlite3_stmt *insert = bus_sql(tx, "INSERT INTO effect(name) VALUES (?1)");
    if (insert) {
        sqlite3_bind_text(insert, 1, text, (int)strcspn(text, " "), SQLITE_TRANSIENT);
        sqlite3_step(insert);
    }
}

/* A text of so many bytes, until the next. */
static bus_string big(scene *s, int64_t size)
{
    free(s->big);
    s->big = malloc((size_t)size + 1);
    assert_non_null(s->big);
    memset(s->big, 'x', (size_t)size);
    return (bus_string){ s->big, (size_t)size };
}

static void emit_all(bus_tx *tx, scene *s, const char *text, const char *key)
{
    char name[32], child[48];
    word_of(text, "", "", name);
    if (told(text, "big"))
        bus_emit(tx, &inventory_ReleaseStock_type, bus_str(key),
                 &(inventory_ReleaseStock){ .order_id = big(s, told(text, "big")) });
    for (int i = 0; i < (int)told(text, "emit"); i++) {
        snprintf(child, sizeof child, "%s%d", name, i + 1);
        bus_emit(tx, &inventory_ReleaseStock_type, bus_str(key), &(inventory_ReleaseStock){ .order_id = bus_str(child) });
    }
    for (int i = 0; i < (int)told(text, "other"); i++) {
        snprintf(child, sizeof child, "%s%d", name, i + 1);
        bus_emit(tx, &payment_RefundPayment_type, bus_str(key), &(payment_RefundPayment){ .order_id = bus_str(child) });
    }
}

/* The process is dead: what its files are now is what the next one finds, and nothing of it reaches the cluster any more. */
static void die(scene *s)
{
    char directory[80];
    snprintf(directory, sizeof directory, "%s/svc", s->data);
    s->files = snapshot_take(directory, 0);
    bui_memory_cut(bui_host_transport(s->host));
    s->dying = true;
}

static void emit_passing_on(bus_tx *tx, const bus_event *event)
{
    bus_emit_with(tx, &inventory_ReleaseStock_type, event->key, &(inventory_ReleaseStock){ .order_id = BUS_STR("passed") },
                  &(bus_emit_options){ .headers = event->headers, .header_count = event->header_count });
}

static bus_verdict play(bus_tx *tx, scene *s, const bus_event *event, const char *text)
{
    char word[32], key[16] = "";
    s->runs++;
    s->replays += event->replay;
    s->last = *event;
    if (event->key.at)
        memcpy(key, event->key.at, event->key.len < 15 ? event->key.len : 15);
    if (told(text, "write"))
        effect(tx, text);
    if (told(text, "die") && !s->mended && !s->dying)
        die(s);
    if (told(text, "bad-sql") && !s->mended)
        bus_sql(tx, "SELECT 1 FROM nowhere");
    if (told(text, "pause") && s->weather)
        return bus_pause(tx, "weather");
    if (event->attempt <= told(text, "retry") && !s->mended)
        return bus_retry(tx, "attempt %d", event->attempt);
    if (told(text, "reject") && !s->mended)
        return bus_reject(tx, "no good");
    emit_all(tx, s, text, event->key.at ? key : NULL);
    if (told(text, "pass"))
        emit_passing_on(tx, event);
    int64_t due = told(text, "schedule") ? bus_now(tx) + told(text, "schedule")
                  : told(text, "due")    ? START_MS + told(text, "due")
                                         : 0;
    if (due) {
        char name[32];
        word_of(text, "", "", word);
        bus_schedule(
            tx, bus_str(word_of(text, "name=", "timer", name)), due, &inventory_ReleaseStock_type, bus_str(key),
            &(inventory_ReleaseStock){ .order_id = told(text, "later-big") ? big(s, told(text, "later-big")) : bus_str(word) });
    }
    if (told(text, "answer"))
        bus_reply(tx, &inventory_ReleaseStock_type, &(inventory_ReleaseStock){ .order_id = bus_str("answer") });
    if (told(text, "cancel"))
        s->cancelled = bus_cancel(tx, bus_str(word_of(text, "cancel=", "timer", word)));
    if (!told(text, "write"))
        effect(tx, text);
    return BUS_DONE;
}

static bus_verdict on_raw(bus_tx *tx, const bus_event *event, void *shard)
{
    char text[200] = "";
    scene *s = shard;
    s->value_len = event->value.len;
    s->value_hash = bui_hash(event->value.at, event->value.len, 1);
    memcpy(text, event->value.at, event->value.len < 199 ? event->value.len : 199);
    return play(tx, shard, event, text);
}

static bus_verdict on_typed(bus_tx *tx, const bus_event *event, void *shard)
{
    char text[200] = "";
    bus_string id = inventory_ReleaseStock_of(event)->order_id;
    memcpy(text, id.at, id.len < 199 ? id.len : 199);
    return play(tx, shard, event, text);
}

/* Hands the handler the event's own text, so that it can tell whose step was run. */
static bus_verdict on_prepare(bus_prepare *prepare, const bus_event *event, void *shard)
{
    scene *s = shard;
    char text[200] = "";
    memcpy(text, event->value.at, event->value.len < 199 ? event->value.len : 199);
    s->prepared++;
    s->last_prepared = *event;
    if (told(text, "die-preparing") && !s->mended && !s->dying)
        die(s);
    if (told(text, "unready") && s->weather)
        return bus_prepare_fail(prepare, BUS_PAUSE, "weather");
    return bus_prepare_keep(prepare, event->value.at, event->value.len) == BUS_OK ? BUS_DONE : BUS_RETRY;
}

static bus_verdict on_steps(bus_tx *tx, const bus_event *event, void *shard)
{
    size_t len = 0;
    const void *prepared = bus_prepared_result(tx, &len);
    if (event->replay ? prepared != NULL : !prepared || len != event->value.len || memcmp(prepared, event->value.at, len) != 0)
        return bus_reject(tx, "unprepared");
    return on_raw(tx, event, shard);
}

static bus_verdict on_tombstone(bus_tx *tx, const bus_event *event, void *shard)
{
    assert_null(event->value.at);
    return play(tx, shard, event,
                event->key.len == 6 && memcmp(event->key.at, "reject", 6) == 0 ? "tombstone reject" : "tombstone");
}

static bus_status on_open(sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    (void)db;
    (void)shard;
    (void)err;
    *state = opaque;
    return BUS_OK;
}

/* ---- stage */

static bui_memory_fate judge(void *opaque, const bui_row *row, bui_channel channel)
{
    scene *s = opaque;
    s->asked++;
    return s->fate ? s->fate(s, row, channel) : BUI_FATE_ACK;
}

bui_memory_fate scene_hold_all(scene *s, const bui_row *row, bui_channel channel)
{
    (void)s;
    (void)row;
    (void)channel;
    return BUI_FATE_HOLD;
}

bui_memory_fate scene_lose_ack(scene *s, const bui_row *row, bui_channel channel)
{
    (void)s;
    (void)row;
    (void)channel;
    return BUI_FATE_LOST_ACK;
}

static void add_schema(scene *s, const bus_type *type)
{
    assert_int_equal(bui_catalog_add(s->catalog, bus_type_schema(type), strlen(bus_type_schema(type)), NULL), BUS_OK);
}

int scene_set_up(void **state)
{
    static const bus_route routes[] = {
        { .topic = "in", .handler = on_raw, .replay = BUS_REPLAY_RUN },
        { .topic = "pair", .handler = on_raw, .scope = "in", .replay = BUS_REPLAY_RUN, .replay_emits = true },
        { .topic = "slow", .handler = on_raw, .replay = BUS_REPLAY_SKIP },
        { .topic = "held", .handler = on_raw, .on_dead = BUS_HOLD_KEY, .replay = BUS_REPLAY_RUN },
        { .topic = "steps", .handler = on_steps, .prepare = on_prepare, .replay = BUS_REPLAY_RUN },
        { .topic = "typed", .type = &inventory_ReleaseStock_type, .handler = on_typed },
        { .topic = "typed", .handler = on_tombstone, .tombstone = true },
        { 0 }
    };
    static const bus_emits emits[] = { { &inventory_ReleaseStock_type, NULL },
                                       { &payment_RefundPayment_type, "svc.other" },
                                       { 0 } };
    static const char *const topics[] = { "in",         "pair",      "slow",        "held",    "steps",        "typed",
                                          "svc.events", "svc.other", "svc.redrive", "svc.dlq", "svc.retry.1s", "svc.retry.10s" };
    scene *s = calloc(1, sizeof *s);
    bui_virtual_clock_init(&s->clock, START_MS);
    s->cluster = bui_memory_cluster_new(&s->clock.clock);
    s->catalog = bui_catalog_new();
    add_schema(s, &inventory_ReleaseStock_type);
    add_schema(s, &payment_RefundPayment_type);
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        assert_int_equal(bui_memory_topic(s->cluster, topics[i], 1), BUS_OK);
    bui_memory_judge_by(s->cluster, judge, s);
    snprintf(s->data, sizeof s->data, "%s/bus-scene-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(s->data));
    s->service =
        (bus_service){ .name = "svc", .routes = routes, .emits = emits, .migrations = migrations, .open = on_open, .opaque = s };
    s->options = (bui_host_options){ .service = &s->service,
                                     .data = s->data,
                                     .shards = 1,
                                     .retry_tiers = "1s,10s",
                                     .attempts = 3,
                                     .cluster = s->cluster,
                                     .clock = &s->clock.clock,
                                     .catalog = s->catalog };
    bus_config *config = bus_config_new();
    bui_limits_of(config, &s->options.limits);
    bus_config_free(config);
    s->options.limits.reject_percent = 0;
    s->options.limits.linger_us = 0;
    *state = s;
    scene_start(s);
    return 0;
}

int scene_tear_down(void **state)
{
    scene *s = *state;
    scene_stop(s);
    bui_memory_cluster_free(s->cluster);
    bui_catalog_free(s->catalog);
    free(s->big);
    snapshot_remove_tree(s->data);
    free(s);
    return 0;
}

void scene_stop(scene *s)
{
    bui_host_close(s->host);
    s->host = NULL;
}

void scene_lose_store(scene *s)
{
    static const char *const files[] = { "db", "db-wal", "db-shm", "running" };
    char path[100];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/svc/0.%s", s->data, files[i]);
        unlink(path);
    }
}

static void begin(scene *s)
{
    bus_error err = { 0 };
    if (bui_host_open(&s->options, &s->host, &err) != BUS_OK)
        fail_msg("%s", err.text);
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
}

void scene_start(scene *s)
{
    begin(s);
    scene_run(s);
}

void scene_rebalance(scene *s)
{
    bui_memory_revoke(bui_host_transport(s->host));
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
}

bool scene_iteration(scene *s)
{
    bui_host_group(s->host);
    bui_host_step(s->host, 0);
    if (!s->dying)
        return bui_host_due(s->host) <= s->clock.mono_us;
    scene_stop(s);
    assert_true(snapshot_restore(s->files));
    s->dying = false;
    begin(s);
    return true;
}

void scene_run(scene *s)
{
    int turns = 0;
    while (scene_iteration(s))
        assert_true(++turns < 10000);
}

void scene_pass(scene *s, int64_t ms)
{
    int64_t end = s->clock.mono_us + ms * 1000;
    for (scene_run(s); s->clock.mono_us < end; scene_run(s)) {
        int64_t due = bui_host_due(s->host);
        bui_virtual_clock_advance(&s->clock, (due < end ? due : end) - s->clock.mono_us);
    }
}

/* ---- in */

/* As an owner of the key would: `headers` has room for one more. */
static int64_t put(scene *s, const char *topic, bui_row *row, bus_header *headers)
{
    char mac[BUI_MAC_TEXT];
    const bui_sealed sealed = { .topic = topic,
                                .key = row->key,
                                .key_len = row->key_len,
                                .value = row->value,
                                .value_len = row->value_len,
                                .headers = row->headers,
                                .header_count = row->header_count };
    size_t len = bui_mac_write(s->signs, &sealed, mac);
    if (len)
        headers[row->header_count++] = (bus_header){ BUI_HEADER_MAC, mac, len };
    int64_t offset = bui_memory_append(s->cluster, topic, 0, row);
    assert_true(offset >= 0);
    return offset;
}

static int64_t append(scene *s, const char *topic, const char *key, const char *id, const char *type, const char *hop,
                      const void *value, size_t len)
{
    bus_header headers[7] = { { "ce_specversion", "1.0", 3 }, { "ce_source", "test", 4 } };
    size_t count = 2;
    if (id)
        headers[count++] = (bus_header){ "ce_id", id, strlen(id) };
    if (type)
        headers[count++] = (bus_header){ "ce_type", type, strlen(type) };
    if (hop)
        headers[count++] = (bus_header){ "bus-hop", hop, strlen(hop) };
    bui_row row = {
        .key = key, .key_len = key ? strlen(key) : 0, .value = value, .value_len = len, .headers = headers, .header_count = count
    };
    return put(s, topic, &row, headers);
}

/* `typed` gets its text inside an Avro body. */
static int64_t send_text(scene *s, const char *topic, const char *key, const char *hop, const char *text)
{
    char id[32];
    word_of(text, "", "", id);
    if (strcmp(topic, "typed") != 0)
        return append(s, topic, key, id, "test.Text", hop, text, strlen(text));
    void *bytes = NULL;
    size_t len = 0;
    assert_int_equal(
        bus_encode(&inventory_ReleaseStock_type, &(inventory_ReleaseStock){ .order_id = bus_str(text) }, &bytes, &len, NULL),
        BUS_OK);
    int64_t offset = append(s, topic, key, id, bus_type_name(&inventory_ReleaseStock_type), hop, bytes, len);
    free(bytes);
    return offset;
}

int64_t scene_send(scene *s, const char *topic, const char *key, const char *text)
{
    return send_text(s, topic, key, NULL, text);
}

int64_t scene_send_hop(scene *s, const char *topic, const char *source, int64_t seq, const char *key, const char *text)
{
    char hop[160];
    snprintf(hop, sizeof hop, "%s %s/0/%lld", source, topic, (long long)seq);
    return send_text(s, topic, key, hop, text);
}

int64_t scene_send_with(scene *s, const char *topic, const char *key, const char *text, const bus_header *more, size_t count)
{
    char id[32];
    bus_header headers[12] = { { "ce_source", "test", 4 },
                               { "ce_type", "test.Text", 9 },
                               { "ce_id", word_of(text, "", "", id), strlen(id) } };
    assert_true(count <= 9);
    memcpy(headers + 3, more, count * sizeof *more);
    return bui_memory_append(s->cluster, topic, 0,
                             &(bui_row){ .key = key,
                                         .key_len = key ? strlen(key) : 0,
                                         .value = text,
                                         .value_len = strlen(text),
                                         .headers = headers,
                                         .header_count = count + 3 });
}

void scene_replay(scene *s, const char *topic, int64_t offset, const char *run, int seq, int most_failures)
{
    bui_record record;
    bus_error err = { 0 };
    bui_arena arena;
    bus_header *headers;
    size_t count;
    bui_command command = { .kind = BUI_COMMAND_REPLAY, .id = run, .round = most_failures, .by = "ada@pc" };
    bui_copy_hop hop = { .run = run, .topic = "svc.redrive", .seq = seq };
    assert_true(bui_memory_read(s->cluster, topic, 0, offset, &record));
    bui_arena_init(&arena, 0);
    assert_int_equal(bui_replay_headers(&record, &command, &hop, false, &arena, &headers, &count, &err), BUS_OK);
    bui_memory_append(s->cluster, "svc.redrive", 0,
                      &(bui_row){ .key = record.key,
                                  .key_len = record.key_len,
                                  .value = record.value,
                                  .value_len = record.value_len,
                                  .headers = headers,
                                  .header_count = count });
    bui_arena_free(&arena);
}

void scene_send_raw(scene *s, const char *topic, const char *key, const char *type, const void *value, size_t len)
{
    append(s, topic, key, NULL, type, NULL, value, len);
}

int64_t scene_send_headers(scene *s, const char *topic, const char *key, const bus_header *headers, size_t count,
                           const char *text)
{
    const bui_row row = { .key = key,
                          .key_len = key ? strlen(key) : 0,
                          .value = text,
                          .value_len = text ? strlen(text) : 0,
                          .headers = headers,
                          .header_count = count };
    int64_t offset = bui_memory_append(s->cluster, topic, 0, &row);
    assert_true(offset >= 0);
    return offset;
}

void scene_meddle(scene *s, const char *sql)
{
    char path[sizeof s->data + 16];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/svc/0.db", s->data);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

void scene_set_back(scene *s, const char *topic)
{
    bui_memory_lose(bui_host_transport(s->host));
    scene_run(s);
    bui_memory_commit_foreign(s->cluster, "svc", topic, 0, 0);
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
}

bool scene_discard_refused(scene *s)
{
    char text[64];
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    assert_int_equal(bui_store_reader(bui_shard_store_path(bui_host_shard(s->host, 0)), &db, NULL), BUS_OK);
    assert_int_equal(
        sqlite3_prepare_v2(
            db,
            "SELECT o.id || '@' || i.name FROM bus_outbox o JOIN bus_incarnation i ON i.epoch = o.epoch WHERE state <> 0"
            " ORDER BY o.id",
            -1, &ask, NULL),
        SQLITE_OK);
    bool found = sqlite3_step(ask) == SQLITE_ROW;
    snprintf(text, sizeof text, "row-discard %.40s 0", found ? (const char *)sqlite3_column_text(ask, 0) : "");
    sqlite3_finalize(ask);
    sqlite3_close(db);
    bus_header headers[] = { { "bus-command", text, strlen(text) },
                             { "bus-reason", "why", 3 },
                             { "bus-operator", "ann@host", 8 } };
    if (found)
        bui_memory_append(s->cluster, "svc.redrive", 0, &(bui_row){ .headers = headers, .header_count = 3 });
    return found;
}

void scene_command(scene *s, int64_t at, const char *word, int round)
{
    bui_record letter;
    bui_envelope envelope;
    bus_header headers[301];
    char text[80];
    size_t count = 0;
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, at, &letter));
    assert_int_equal(bui_envelope_read(letter.headers, letter.header_count, &envelope, NULL), BUS_OK);
    for (size_t i = 0; i < letter.header_count && count < 299; i++)
        if (strcmp(letter.headers[i].name, "bus-hop") != 0 && strcmp(letter.headers[i].name, "bus-letter") != 0 &&
            strcmp(letter.headers[i].name, "bus-mac") != 0 && strncmp(letter.headers[i].name, "__dlq.", 6) != 0)
            headers[count++] = letter.headers[i];
    int n = snprintf(text, sizeof text, "%s %.*s %d", word, (int)envelope.letter_id.len, envelope.letter_id.at,
                     round ? round : envelope.letter_round);
    headers[count++] = (bus_header){ "bus-command", text, (size_t)n };
    bui_row row = { .key = letter.key,
                    .key_len = letter.key_len,
                    .value = letter.value,
                    .value_len = letter.value_len,
                    .headers = headers,
                    .header_count = count };
    put(s, "svc.redrive", &row, headers);
}

/* ---- out */

static void say(scene *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(scene *s, const char *format, ...)
{
    size_t at = strlen(s->text);
    va_list args;
    va_start(args, format);
    vsnprintf(s->text + at, sizeof s->text - at, format, args);
    va_end(args);
}

static const char *said(scene *s)
{
    size_t n = strlen(s->text);
    if (n && s->text[n - 1] == ' ')
        s->text[n - 1] = 0;
    return s->text;
}

static sqlite3 *store(scene *s)
{
    char path[96];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/svc/0.db", s->data);
    assert_int_equal(bui_store_reader(path, &db, NULL), BUS_OK);
    return db;
}

const char *scene_effects(scene *s)
{
    sqlite3 *db = store(s);
    sqlite3_stmt *query = NULL;
    s->text[0] = 0;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT name FROM effect ORDER BY n", -1, &query, NULL), SQLITE_OK);
    while (sqlite3_step(query) == SQLITE_ROW)
        say(s, "%s ", (const char *)sqlite3_column_text(query, 0));
    sqlite3_finalize(query);
    sqlite3_close(db);
    return said(s);
}

int64_t scene_ask(scene *s, const char *sql)
{
    sqlite3 *db = store(s);
    sqlite3_stmt *query = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &query, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(query), SQLITE_ROW);
    int64_t answer = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    sqlite3_close(db);
    return answer;
}

const char *scene_topic(scene *s, const char *topic)
{
    bui_record record;
    s->text[0] = 0;
    for (int64_t offset = bui_memory_start(s->cluster, topic, 0); bui_memory_read(s->cluster, topic, 0, offset, &record);
         offset++) {
        const void *body = NULL;
        bus_string text = { record.value, record.value_len };
        bool released = bus_decode(&inventory_ReleaseStock_type, record.value, record.value_len, &body, NULL) == BUS_OK;
        if (released)
            text = ((const inventory_ReleaseStock *)body)->order_id;
        else if (bus_decode(&payment_RefundPayment_type, record.value, record.value_len, &body, NULL) == BUS_OK)
            text = ((const payment_RefundPayment *)body)->order_id;
        say(s, "%.*s ", (int)text.len, text.at ? text.at : "");
        bus_body_free(body);
    }
    return said(s);
}

int scene_headers_of(scene *s, const char *topic, int64_t offset, const char *prefix)
{
    bui_record record;
    int count = 0;
    if (!bui_memory_read(s->cluster, topic, 0, offset, &record))
        return -1;
    for (size_t i = 0; i < record.header_count; i++)
        count += strncmp(record.headers[i].name, prefix, strlen(prefix)) == 0;
    return count;
}

const char *scene_letters(scene *s)
{
    bui_record record;
    bui_envelope envelope;
    s->text[0] = 0;
    for (int64_t offset = 0; bui_memory_read(s->cluster, "svc.dlq", 0, offset, &record); offset++) {
        assert_int_equal(bui_envelope_read(record.headers, record.header_count, &envelope, NULL), BUS_OK);
        say(s, "%.*s%s%s:%d ", (int)envelope.error_class.len, envelope.error_class.at ? envelope.error_class.at : "",
            envelope.error_class.len ? ":" : "", bui_deadletter_state_name(envelope.letter), envelope.letter_round);
    }
    return said(s);
}

const bui_shard_metrics *scene_metrics(scene *s)
{
    assert_non_null(bui_host_shard(s->host, 0));
    return bui_shard_metrics_of(bui_host_shard(s->host, 0));
}

bus_status scene_failure(scene *s)
{
    bus_error err = { 0 };
    bus_status status = bui_host_failure(s->host, 0, &err);
    snprintf(s->text, sizeof s->text, "%s", err.text);
    return status;
}
