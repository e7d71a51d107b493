/* SPDX-License-Identifier: MIT
 * A service on the embedded broker: transactions from outside, reads, publishing, request and reply, stop and start again. */
#include "inventory.events.h"
#include "base/config.h"
#include "base/id.h"
#include "kafka/broker.h"
#include "service/runner.h"
#include "service/status.h"
#include "shard/topics.h"
#include "codec/schema.h"
#include <avro.h>
#include <bus/bus.h>
#include <bus/value.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char data[64];
static bui_kafka_broker *broker;
static bus_config *config;

/* ---- the service: notes what it is told, and answers if asked to */

static const bus_migration migrations[] = {
    { "notes", "CREATE TABLE note(name TEXT NOT NULL PRIMARY KEY, times INTEGER NOT NULL)" }, { 0 }
};

static void note(bus_tx *tx, const char *name, size_t len)
{
    sqlite3_stmt *insert = bus_sql(tx, "INSERT INTO note VALUES(?1, 1) ON CONFLICT(name) DO UPDATE SET times = times + 1");
    if (insert) {
        sqlite3_bind_text(insert, 1, name, (int)len, SQLITE_TRANSIENT);
        sqlite3_step(insert);
    }
}

/* A later version than anybody else here was built with: with a further field, which has a default. */
typedef struct newer_release {
    bus_string order_id, sku, note;
} newer_release;
static const char newer_json[] =
    "{\"type\":\"record\",\"name\":\"inventory.ReleaseStock\",\"fields\":[{\"name\":\"order_id\",\"type\":\"string\"},"
    "{\"name\":\"sku\",\"type\":\"string\"},{\"name\":\"note\",\"type\":\"string\",\"default\":\"\"}]}";
static const bus_shape newer_text = { .kind = BUS_KIND_STRING, .wire = BUS_KIND_STRING, .size = sizeof(bus_string), .least = 1 };
static const bus_field newer_fields[] = { { "order_id", &newer_text, offsetof(newer_release, order_id) },
                                          { "sku", &newer_text, offsetof(newer_release, sku) },
                                          { "note", &newer_text, offsetof(newer_release, note) } };
static const bus_shape newer_shape = { .kind = BUS_KIND_RECORD,
                                       .wire = BUS_KIND_RECORD,
                                       .size = sizeof(newer_release),
                                       .least = 3,
                                       .count = 3,
                                       .name = "inventory.ReleaseStock",
                                       .fields = newer_fields };
static bui_schema *newer_schema;
static bus_type newer_type;

static bus_verdict on_release(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_ReleaseStock *body = event->body;
    note(tx, body->sku.at, body->sku.len);
    for (size_t i = 0; i < event->header_count; i++)
        if (strcmp(event->headers[i].name, "colour") == 0 && event->time_ms == 1234567890000)
            note(tx, event->headers[i].value, event->headers[i].len);
    if (body->sku.len == 3 && memcmp(body->sku.at, "ask", 3) == 0)
        bus_reply(tx, &inventory_ReleaseStock_type,
                  &(inventory_ReleaseStock){ .order_id = body->order_id, .sku = bus_str("told") });
    if (body->sku.len == 5 && memcmp(body->sku.at, "newer", 5) == 0)
        bus_reply(tx, &newer_type,
                  &(newer_release){ .order_id = body->order_id, .sku = bus_str("told"), .note = bus_str("new") });
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = "desk.commands", .type = &inventory_ReleaseStock_type, .handler = on_release },
                                    { 0 } };
static const bus_emits emits[] = { { &inventory_ReleaseStock_type, "desk.events" }, { 0 } };
static const bus_service desk = { .name = "desk", .routes = routes, .emits = emits, .migrations = migrations };

static bus *open_desk(void)
{
    bus *self = NULL;
    bus_error err = { 0 };
    if (bus_open(&desk, config, &self, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return self;
}

/* ---- set up */

static int set_up(void **state)
{
    (void)state;
    bui_router *router = NULL;
    bui_topic_need *needs = NULL;
    size_t count;
    strcpy(data, "/tmp/bus-desk-XXXXXX");
    if (!mkdtemp(data) || bui_kafka_broker_open(1, &broker, NULL) != BUS_OK ||
        bui_router_new(&desk, "1s", 3, &router, NULL) != BUS_OK ||
        bui_topics_of("desk", router, 2, &needs, &count, NULL) != BUS_OK)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (bui_kafka_broker_topic(broker, needs[i].name, needs[i].partitions, NULL) != BUS_OK)
            return -1;
    free(needs);
    bui_router_free(router);
    config = bus_config_new();
    if (bui_schema_parse(newer_json, strlen(newer_json), &newer_schema, NULL) != BUS_OK)
        return -1;
    newer_type = (bus_type){ .layout = BUS_TYPE_LAYOUT,
                             .name = "inventory.ReleaseStock",
                             .json = newer_json,
                             .canonical = bui_schema_canonical(newer_schema),
                             .fingerprint = bui_schema_fingerprint(newer_schema),
                             .shape = &newer_shape };
    return bus_config_set(config, "bootstrap.servers", bui_kafka_broker_address(broker), NULL) != BUS_OK ||
           bus_config_set(config, "data.dir", data, NULL) != BUS_OK ||
           bus_config_set(config, "retry.tiers", "1s", NULL) != BUS_OK;
}

static int tear_down(void **state)
{
    (void)state;
    char command[100];
    bus_config_free(config);
    bui_schema_free(newer_schema);
    bui_kafka_broker_close(broker);
    snprintf(command, sizeof command, "rm -rf %s", data);
    return system(command);
}

/* ---- what callers do */

static bus_verdict write_note(bus_tx *tx, void *name)
{
    note(tx, name, strlen(name));
    bus_emit(tx, &inventory_ReleaseStock_type, bus_str(name),
             &(inventory_ReleaseStock){ .order_id = bus_str("o"), .sku = bus_str(name) });
    return BUS_DONE;
}

static bus_verdict write_and_regret(bus_tx *tx, void *name)
{
    note(tx, name, strlen(name));
    return bus_reject(tx, "regret");
}

typedef struct look {
    const char *name;
    int times;
} look;

static bus_status read_note(sqlite3 *db, void *opaque, bus_error *err)
{
    (void)err;
    look *mine = opaque;
    sqlite3_stmt *ask = NULL;
    sqlite3_prepare_v2(db, "SELECT times FROM note WHERE name = ?1", -1, &ask, NULL);
    sqlite3_bind_text(ask, 1, mine->name, -1, SQLITE_STATIC);
    mine->times = sqlite3_step(ask) == SQLITE_ROW ? sqlite3_column_int(ask, 0) : 0;
    return BUS_OK; /* the statement is left open on purpose: the library ends it */
}

static int times(bus *self, const char *key, const char *name)
{
    look mine = { name, -1 };
    bus_error err = { 0 };
    if (bus_read(self, bus_str(key), read_note, &mine, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return mine.times;
}

static bus_status write_by_read(sqlite3 *db, void *opaque, bus_error *err)
{
    (void)opaque;
    (void)err;
    return sqlite3_exec(db, "DELETE FROM note", NULL, NULL, NULL) == SQLITE_OK ? BUS_OK : BUS_DENIED;
}

static bus_status read_for_ever(sqlite3 *db, void *opaque, bus_error *err)
{
    (void)opaque;
    (void)err;
    sqlite3_exec(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", NULL, NULL, NULL);
    return BUS_OK;
}

static void transactions_are_durable_and_read_back(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bus *self = open_desk();
    assert_int_equal(bus_transact(self, BUS_STR("a"), write_note, (void *)(uintptr_t) "a", &err), BUS_OK);
    assert_int_equal(times(self, "a", "a"), 1);
    assert_int_equal(bus_transact(self, BUS_STR("a"), write_and_regret, (void *)(uintptr_t) "a", &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "regret"));
    assert_int_equal(times(self, "a", "a"), 1);
    assert_int_equal(bus_transact(self, bus_str(NULL), write_note, (void *)(uintptr_t) "a", &err),
                     BUS_INVALID); /* two shards, which? */
    assert_int_equal(bus_read(self, BUS_STR("a"), write_by_read, NULL, &err), BUS_DENIED);
    assert_int_equal(times(self, "a", "a"), 1);
    bus_close(self);

    bus_config_set(config, "store.read.max.ms", "50ms", NULL);
    self = open_desk();
    assert_int_equal(bus_transact(self, BUS_STR("b"), write_note, (void *)(uintptr_t) "b", &err),
                     BUS_OK); /* waits until it has joined */
    assert_int_equal(times(self, "a", "a"), 1);
    assert_int_equal(bus_read(self, BUS_STR("a"), read_for_ever, NULL, &err), BUS_TIMEOUT);
    assert_int_equal(times(self, "a", "a"), 1);
    bus_close(self);
    bus_config_set(config, "store.read.max.ms", "5s", NULL);
}

static void count_done(const bus_result *result, void *opaque)
{
    assert_int_equal(result->status, BUS_OK);
    assert_null(result->error);
    ++*(int *)opaque;
}

typedef struct place {
    int32_t partition;
    int64_t offset;
    int *done;
} place;

static void note_place(const bus_result *result, void *opaque)
{
    place *mine = opaque;
    mine->partition = result->partition;
    mine->offset = result->offset;
    count_done(result, mine->done);
}

static bus_verdict write_c(bus_tx *tx, void *done)
{
    (void)done; /* shared with the completion */
    return write_note(tx, (void *)(uintptr_t) "c");
}

static void completions_come_by_the_descriptor(void **state)
{
    (void)state;
    bus_error err = { 0 };
    int done = 0;
    bus *self = open_desk();
    struct pollfd ready = { .fd = bus_fd(self), .events = POLLIN };
    assert_int_equal(bus_transact(self, BUS_STR("c"), write_note, (void *)(uintptr_t) "c", &err), BUS_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(bus_transact_async(self, BUS_STR("c"), write_c, count_done, &done, &err), BUS_OK);
    inventory_ReleaseStock body = { .order_id = bus_str("o"), .sku = bus_str("published") };
    place first = { -1, -1, &done }, second = { -1, -1, &done };
    const bus_header colour = { "colour", "blue", 4 };
    bus_publication publication = { .topic = "desk.commands",
                                    .type = &inventory_ReleaseStock_type,
                                    .key = BUS_STR("c"),
                                    .body = &body,
                                    .headers = &colour,
                                    .header_count = 1,
                                    .time_ms = 1234567890000 };
    assert_int_equal(bus_publish(self, &publication, note_place, &first, &err), BUS_OK);
    body.sku = bus_str("more");
    publication.has_partition = true;
    publication.partition = 1 - bui_partition_of("c", 1, 2); /* not where the key would bring it */
    assert_int_equal(bus_publish(self, &publication, note_place, &second, &err), BUS_OK);
    while (done < 102 && poll(&ready, 1, 10000) == 1)
        bus_dispatch(self);
    assert_int_equal(done, 102);
    assert_int_equal(first.partition, bui_partition_of("c", 1, 2));
    assert_int_equal(second.partition, publication.partition);
    assert_true(first.offset >= 0 && second.offset >= 0);
    assert_int_equal(times(self, "c", "c"), 101);
    for (int i = 0; i < 100 && times(self, "c", "published") == 0; i++)
        usleep(100000);
    assert_int_equal(times(self, "c", "published"), 1);
    assert_int_equal(times(self, "c", "blue"), 1); /* its header and its time came, too */
    bus_close(self);
}

/* Of the desk, by an event with this key. */
static bus_status ask(bus *self, const char *key, const bus_type *type, const void *body, const bus_type *reply_type,
                      int timeout_ms, bus_on_reply on_reply, char *answer, bus_error *err)
{
    return bus_request(self, &(bus_publication){ .topic = "desk.commands", .type = type, .key = bus_str(key), .body = body },
                       &(bus_request_options){ .reply_type = reply_type, .timeout_ms = timeout_ms }, on_reply, answer, err);
}

static void keep_answer(const bus_event *reply, void *opaque)
{
    const inventory_ReleaseStock *body = reply->body;
    snprintf(opaque, 100, "%.*s %.*s", (int)body->order_id.len, body->order_id.at, (int)body->sku.len, body->sku.at);
}

static void a_request_is_answered(void **state)
{
    (void)state;
    bus_error err = { 0 };
    char answer[100] = "";
    bus *self = open_desk();
    inventory_ReleaseStock body = { .order_id = bus_str("o-7"), .sku = bus_str("ask") };
    if (ask(self, "o-7", &inventory_ReleaseStock_type, &body, &inventory_ReleaseStock_type, 20000, keep_answer, answer, &err) !=
        BUS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(answer, "o-7 told");
    body.sku = bus_str("silent");
    assert_int_equal(
        ask(self, "o-7", &inventory_ReleaseStock_type, &body, &inventory_ReleaseStock_type, 500, keep_answer, answer, &err),
        BUS_TIMEOUT);
    bus_close(self);
}

/* ---- other versions of the service's schemas */

typedef struct other_release {
    bus_string sku, order_id;
} other_release;
static const char other_json[] =
    "{\"type\":\"record\",\"name\":\"inventory.ReleaseStock\",\"fields\":[{\"name\":\"sku\",\"type\":\"string\"},"
    "{\"name\":\"order_id\",\"type\":\"string\"}]}";
static const bus_shape text_shape = { .kind = BUS_KIND_STRING, .wire = BUS_KIND_STRING, .size = sizeof(bus_string), .least = 1 };
static const bus_field other_fields[] = { { "sku", &text_shape, offsetof(other_release, sku) },
                                          { "order_id", &text_shape, offsetof(other_release, order_id) } };
static const bus_shape other_shape = { .kind = BUS_KIND_RECORD,
                                       .wire = BUS_KIND_RECORD,
                                       .size = sizeof(other_release),
                                       .least = 2,
                                       .count = 2,
                                       .name = "inventory.ReleaseStock",
                                       .fields = other_fields };

/* A program without types publishes what it has only the text of the schema for; the service learns that from bus.schemas. */
static void values_of_another_version_are_handled(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bus *self = open_desk(), *publisher = NULL;
    if (bus_open(NULL, config, &publisher, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(bus_transact(self, BUS_STR("v"), write_note, (void *)(uintptr_t) "v", &err), BUS_OK);
    avro_schema_t schema;
    avro_value_t value, field;
    assert_int_equal(avro_schema_from_json_length(other_json, strlen(other_json), &schema), 0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    assert_int_equal(avro_generic_value_new(class, &value), 0);
    assert_int_equal(avro_value_get_by_name(&value, "sku", &field, NULL) || avro_value_set_string(&field, "by value"), 0);
    assert_int_equal(avro_value_get_by_name(&value, "order_id", &field, NULL) || avro_value_set_string(&field, "o"), 0);
    if (bus_publish_value(publisher, &(bus_publication){ .topic = "desk.commands", .key = BUS_STR("v") }, other_json, &value,
                          NULL, NULL, &err) != BUS_OK ||
        bus_flush(publisher, 20000, &err) != BUS_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < 200 && times(self, "v", "by value") == 0; i++)
        usleep(100000);
    assert_int_equal(times(self, "v", "by value"), 1);
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    bus_close(publisher);
    bus_close(self);
}

static void keep_other_answer(const bus_event *reply, void *opaque)
{
    const other_release *body = reply->body;
    snprintf(opaque, 100, "%.*s %.*s", (int)body->order_id.len, body->order_id.at, (int)body->sku.len, body->sku.at);
}

static void a_request_is_answered_in_another_version(void **state)
{
    (void)state;
    bus_error err = { 0 };
    char answer[100] = "";
    bui_schema *schema = NULL;
    bus *self = open_desk();
    assert_int_equal(bui_schema_parse(other_json, strlen(other_json), &schema, &err), BUS_OK);
    const bus_type other = { .layout = BUS_TYPE_LAYOUT,
                             .name = "inventory.ReleaseStock",
                             .json = other_json,
                             .canonical = bui_schema_canonical(schema),
                             .fingerprint = bui_schema_fingerprint(schema),
                             .shape = &other_shape };
    inventory_ReleaseStock body = { .order_id = bus_str("o-8"), .sku = bus_str("ask") };
    if (ask(self, "o-8", &inventory_ReleaseStock_type, &body, &other, 20000, keep_other_answer, answer, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(answer, "o-8 told");
    bus_close(self);
    bui_schema_free(schema);
}

/* Neither the question's version nor the answer's is declared by the service, and the registry cache has no service: all is learned meanwhile. */
static void versions_that_nobody_declares_are_learned(void **state)
{
    (void)state;
    bus_error err = { 0 };
    char answer[100] = "";
    bus *self = open_desk(), *registry_cache = NULL;
    assert_int_equal(bus_config_set(config, "replies.topic", "desk.replies", &err), BUS_OK);
    if (bus_open(NULL, config, &registry_cache, &err) != BUS_OK)
        fail_msg("%s", err.text);
    inventory_ReleaseStock body = { .order_id = bus_str("o-9"), .sku = bus_str("newer") };
    if (ask(registry_cache, "o-9", &inventory_ReleaseStock_type, &body, &inventory_ReleaseStock_type, 20000, keep_answer, answer,
            &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(answer, "o-9 told");
    bui_schema *schema = NULL;
    assert_int_equal(bui_schema_parse(other_json, strlen(other_json), &schema, &err), BUS_OK);
    const bus_type other = { .layout = BUS_TYPE_LAYOUT,
                             .name = "inventory.ReleaseStock",
                             .json = other_json,
                             .canonical = bui_schema_canonical(schema),
                             .fingerprint = bui_schema_fingerprint(schema),
                             .shape = &other_shape };
    other_release question = { .order_id = bus_str("o-10"), .sku = bus_str("ask") };
    if (ask(registry_cache, "o-10", &other, &question, &inventory_ReleaseStock_type, 20000, keep_answer, answer, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(answer, "o-10 told");
    bus_close(registry_cache);
    bus_close(self);
    bui_schema_free(schema);
    assert_int_equal(bus_config_set(config, "replies.topic", "", &err), BUS_OK);
}

static void readiness_and_metrics_are_told(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bui_buf body;
    const char *type;
    bus *self = open_desk();
    bui_buf_init(&body, 0);
    assert_int_equal(bui_status_answer(self, "/readyz", &body, &type), 503); /* nothing is assigned yet */
    assert_int_equal(bus_transact(self, BUS_STR("a"), write_note, (void *)(uintptr_t) "a", &err), BUS_OK);
    bui_buf_clear(&body);
    assert_int_equal(bui_status_answer(self, "/readyz", &body, &type), 200);
    assert_int_equal(bui_status_answer(self, "/healthz", &body, &type), 200);
    assert_int_equal(bui_status_answer(self, "/else", &body, &type), 404);
    bui_buf_clear(&body);
    assert_int_equal(bui_status_answer(self, "/metrics", &body, &type), 200);
    bui_buf_byte(&body, 0);
    assert_non_null(strstr((char *)body.data, "bus_process_shards_open{service=\"desk\"} 2"));
    assert_non_null(strstr((char *)body.data, "shard=\"1\""));
    bui_buf_free(&body);
    bus_close(self);
}

/* ---- many threads at once */

#define CROWD 6
#define ROUNDS 40

typedef struct person {
    bus *self;
    char name[8];
    int failed;
    bus_error err;
} person;

static void *live(void *opaque)
{
    person *p = opaque;
    char answer[100];
    const char *type;
    inventory_ReleaseStock body = { .order_id = bus_str(p->name), .sku = bus_str("ask") };
    const inventory_ReleaseStock crowd = { .order_id = bus_str("o"), .sku = bus_str("crowd") };
    bui_buf page;
    bui_buf_init(&page, 0);
    for (int i = 1; i <= ROUNDS && !p->failed; i++) {
        look mine = { p->name, -1 };
        p->failed |= bus_transact(p->self, bus_str(p->name), write_note, p->name, &p->err) != BUS_OK;
        p->failed |= bus_read(p->self, bus_str(p->name), read_note, &mine, &p->err) != BUS_OK || mine.times != i;
        p->failed |= bus_publish(p->self,
                                 &(bus_publication){ .topic = "desk.commands",
                                                     .type = &inventory_ReleaseStock_type,
                                                     .key = bus_str(p->name),
                                                     .body = &crowd },
                                 NULL, NULL, &p->err) != BUS_OK;
        if (i % 10 == 0) {
            p->failed |= ask(p->self, p->name, &inventory_ReleaseStock_type, &body, &inventory_ReleaseStock_type, 20000,
                             keep_answer, answer, &p->err) != BUS_OK;
            bui_buf_clear(&page);
            p->failed |= bui_status_answer(p->self, "/metrics", &page, &type) != 200;
        }
    }
    bui_buf_free(&page);
    return NULL;
}

static void a_crowd_is_served(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bus *self = open_desk();
    pthread_t thread[CROWD];
    person people[CROWD] = { 0 };
    for (int i = 0; i < CROWD; i++) {
        people[i].self = self;
        snprintf(people[i].name, sizeof people[i].name, "%c", 'm' + i); /* keys of neither the tests before nor after */
        assert_int_equal(pthread_create(&thread[i], NULL, live, &people[i]), 0);
    }
    for (int i = 0; i < CROWD; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < CROWD; i++)
        if (people[i].failed)
            fail_msg("%s: %s", people[i].name, people[i].err.text);
    assert_int_equal(bus_flush(self, 20000, &err), BUS_OK);
    const char *in_shard[2] = { NULL, NULL };
    for (int i = 0; i < CROWD; i++)
        in_shard[bui_partition_of(people[i].name, 1, 2)] = people[i].name;
    assert_true(in_shard[0] && in_shard[1]);
    int heard = 0;
    for (int i = 0; i < 200 && heard < CROWD * ROUNDS; i++, usleep(100000))
        heard = times(self, in_shard[0], "crowd") + times(self, in_shard[1], "crowd");
    assert_int_equal(heard, CROWD * ROUNDS);
    bus_close(self);
}

/* ---- a caller whose shard sleeps runs its transaction itself */

typedef struct inline_caller {
    bus *self;
    atomic_int *inside;
    pthread_t ran_by;
    int own, overlaps, failed;
} inline_caller;

static bus_verdict alone(bus_tx *tx, void *opaque)
{
    inline_caller *v = opaque;
    v->ran_by = pthread_self();
    v->overlaps += atomic_fetch_add(v->inside, 1) != 0;
    bus_verdict verdict = write_note(tx, (void *)(uintptr_t) "z");
    usleep(200);
    atomic_fetch_sub(v->inside, 1);
    return verdict;
}

static void *visit(void *opaque)
{
    inline_caller *v = opaque;
    bus_error err = { 0 };
    for (int i = 0; i < 40 && !v->failed; i++) {
        usleep((useconds_t)(i % 7) * 1000);
        v->failed = bus_transact(v->self, BUS_STR("z"), alone, v, &err) != BUS_OK;
        v->own += pthread_equal(v->ran_by, pthread_self()) != 0;
    }
    return NULL;
}

static void a_caller_runs_its_transaction_itself_while_the_shard_sleeps(void **state)
{
    (void)state;
    bus *self = open_desk();
    atomic_int inside = 0;
    inline_caller v[3];
    pthread_t thread[3];
    int own = 0;
    pthread_attr_t small;
    pthread_attr_init(&small);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    pthread_attr_setstacksize(&small, 128 << 10); /* as bus_transact asks for */
#endif
    for (int i = 0; i < 3; i++) {
        v[i] = (inline_caller){ .self = self, .inside = &inside };
        assert_int_equal(pthread_create(&thread[i], &small, visit, &v[i]), 0);
    }
    pthread_attr_destroy(&small);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(v[i].failed, 0);
        assert_int_equal(v[i].overlaps, 0);
        own += v[i].own;
    }
    assert_in_range(own, 1, 120);
    assert_int_equal(times(self, "z", "z"), 120);
    bus_close(self);
}

typedef struct quitter {
    bus *self;
    pthread_t thread;
    atomic_bool stays;
    bus_status status;
} quitter;

/* Whatever thread runs this, the caller is asked to end. */
static bus_verdict cancel_caller(bus_tx *tx, void *opaque)
{
    pthread_cancel(((quitter *)opaque)->thread);
    bus_verdict verdict = write_note(tx, (void *)(uintptr_t) "quit");
    usleep(1000); /* where a thread is cancelled that may be */
    return verdict;
}

static void *quit(void *opaque)
{
    quitter *q = opaque;
    bus_error err = { 0 };
    q->thread = pthread_self();
    q->status = BUS_BUG;
    q->status = bus_transact(q->self, BUS_STR("z"), cancel_caller, q, &err);
    pthread_testcancel();
    atomic_store(&q->stays, true);
    return NULL;
}

static void a_caller_is_not_cancelled_in_its_transaction(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bus *self = open_desk();
    assert_int_equal(bus_transact(self, BUS_STR("z"), write_note, (void *)(uintptr_t) "quit", &err), BUS_OK);
    for (int i = 0; i < 10; i++) {
        quitter q = { .self = self };
        pthread_t thread;
        usleep((useconds_t)(i % 2) * 30000); /* by the shard's thread, and by its own */
        assert_int_equal(pthread_create(&thread, NULL, quit, &q), 0);
        pthread_join(thread, NULL);
        assert_int_equal(q.status, BUS_OK);
        assert_false(atomic_load(&q.stays));
    }
    assert_int_equal(times(self, "z", "quit"), 11);
    bus_close(self);
}

/* ---- publishing threads take reports, callbacks not */

typedef struct called {
    pthread_t publisher;
    atomic_bool publishing;
    atomic_int count, there;
    bus_status worst;
} called;

static void on_published(const bus_result *result, void *opaque)
{
    called *c = opaque;
    c->worst = result->status != BUS_OK ? result->status : c->worst;
    atomic_fetch_add(&c->there, pthread_equal(pthread_self(), c->publisher) && atomic_load(&c->publishing));
    atomic_fetch_add(&c->count, 1);
}

static void no_callback_runs_inside_bus_publish(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bus *self = open_desk();
    called c = { .publisher = pthread_self() };
    const inventory_ReleaseStock body = { .order_id = bus_str("o"), .sku = bus_str("called") };
    const bus_publication publication = {
        .topic = "desk.events", .type = &inventory_ReleaseStock_type, .key = BUS_STR("k"), .body = &body
    };
    for (int i = 0; i < 4000; i++) {
        bus_done done = i % 100 == 99 ? on_published : NULL;
        if (i % 100 == 10)
            usleep(5000); /* reports come */
        atomic_store(&c.publishing, true);
        assert_int_equal(bus_publish(self, &publication, done, &c, &err), BUS_OK);
        atomic_store(&c.publishing, false);
    }
    assert_int_equal(bus_flush(self, 20000, &err), BUS_OK);
    for (int i = 0; i < 200 && atomic_load(&c.count) < 40; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&c.count), 40);
    assert_int_equal(c.worst, BUS_OK);
    assert_int_equal(atomic_load(&c.there), 0);
    bus_close(self);
}

/* What cannot leave makes the drain run out of time; the shard may still be at its lanes then. The last test: no broker after it. */
static void a_stop_without_a_broker_ends_in_time(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bus_config_set(config, "drain.timeout.ms", "300ms", NULL);
    bus *self = open_desk();
    assert_int_equal(bus_transact(self, BUS_STR("c"), write_note, (void *)(uintptr_t) "c", &err), BUS_OK);
    bui_kafka_broker_close(broker);
    broker = NULL;
    assert_int_equal(bus_transact(self, BUS_STR("c"), write_note, (void *)(uintptr_t) "d", &err), BUS_OK);
    int64_t since = time(NULL);
    bus_close(self);
    assert_in_range(time(NULL) - since, 0, 9);
}

/* Each on a broker of its own: the embedded one would keep a group that all have left for another session before anybody may
 * join it again. */
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(transactions_are_durable_and_read_back),
        EACH(completions_come_by_the_descriptor),
        EACH(a_request_is_answered),
        EACH(a_request_is_answered_in_another_version),
        EACH(versions_that_nobody_declares_are_learned),
        EACH(values_of_another_version_are_handled),
        EACH(readiness_and_metrics_are_told),
        EACH(a_crowd_is_served),
        EACH(a_caller_runs_its_transaction_itself_while_the_shard_sleeps),
        EACH(a_caller_is_not_cancelled_in_its_transaction),
        EACH(no_callback_runs_inside_bus_publish),
        EACH(a_stop_without_a_broker_ends_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
