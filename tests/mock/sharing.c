/* SPDX-License-Identifier: MIT
 * A service with more shards than threads: no shard is run twice at once, a handler that hangs holds up only its own shard, and the
 * watchdog names it. */
#include "inventory.events.h"
#include "base/config.h"
#include "base/id.h"
#include "kafka/broker.h"
#include "service/crew.h"
#include "service/runner.h"
#include "shard/topics.h"
#include <bus/bus.h>
#include <pthread.h>
#include <semaphore.h>
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

#define SHARDS 12
#define THREADS 2
#define EVENTS 600

static char data[64];
static bui_kafka_broker *broker;
static bus_config *config;

/* ---- the service: counts by shard, and hangs on a word */

typedef struct place {
    atomic_int inside, handled, overlaps;
    int plain; /* without a lock: ThreadSanitizer judges */
} place;
static place places[SHARDS];
static sem_t bed;
static atomic_int hanging, stuck_told, stuck_shard, left_behind;

static bus_status open_place(sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    (void)db;
    (void)opaque;
    (void)err;
    *state = &places[shard];
    return BUS_OK;
}

static bus_verdict on_release(bus_tx *tx, const bus_event *event, void *state)
{
    place *here = state;
    const inventory_ReleaseStock *body = event->body;
    atomic_fetch_add(&here->overlaps, atomic_fetch_add(&here->inside, 1) != 0);
    here->plain++;
    if (body->sku.len == 4 && memcmp(body->sku.at, "hang", 4) == 0) {
        atomic_fetch_add(&hanging, 1);
        while (sem_wait(&bed) != 0)
            continue;
    }
    bus_emit(tx, &inventory_ReleaseStock_type, event->key, body);
    atomic_fetch_sub(&here->inside, 1);
    atomic_fetch_add(&here->handled, 1);
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = "wide.commands", .type = &inventory_ReleaseStock_type, .handler = on_release },
                                    { 0 } };
static const bus_emits emits[] = { { &inventory_ReleaseStock_type, "wide.events" }, { 0 } };
static const bus_service wide = { .name = "wide", .routes = routes, .emits = emits, .open = open_place };

static void listen(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)level;
    (void)opaque;
    char text[1000];
    snprintf(text, sizeof text, "%.*s", (int)len, line);
    if (getenv("BUS_TEST_LOG"))
        fprintf(stderr, "# %s\n", text);
    const char *shard = strstr(text, "the handler of shard ");
    atomic_fetch_add(&left_behind, strstr(text, "shard_left_behind") != NULL);
    if (strstr(text, "handler_stuck") && shard) {
        atomic_store(&stuck_shard, atoi(shard + strlen("the handler of shard ")));
        atomic_fetch_add(&stuck_told, 1);
    }
}

static int set_up(void **state)
{
    (void)state;
    bui_router *router = NULL;
    bui_topic_need *needs = NULL;
    size_t count;
    memset(places, 0, sizeof places);
    atomic_store(&hanging, 0);
    atomic_store(&stuck_told, 0);
    atomic_store(&left_behind, 0);
    sem_init(&bed, 0, 0);
    strcpy(data, "/tmp/bus-wide-XXXXXX");
    if (!mkdtemp(data) || bui_kafka_broker_open(1, &broker, NULL) != BUS_OK ||
        bui_router_new(&wide, "1s", 3, &router, NULL) != BUS_OK ||
        bui_topics_of("wide", router, SHARDS, &needs, &count, NULL) != BUS_OK)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (bui_kafka_broker_topic(broker, needs[i].name, needs[i].role == BUI_TOPIC_SHARED ? needs[i].partitions : SHARDS,
                                   NULL) != BUS_OK)
            return -1;
    free(needs);
    bui_router_free(router);
    config = bus_config_new();
    char threads[8];
    snprintf(threads, sizeof threads, "%d", THREADS);
    bus_log_to(BUS_WARN, listen, NULL);
    return bus_config_set(config, "bootstrap.servers", bui_kafka_broker_address(broker), NULL) != BUS_OK ||
           bus_config_set(config, "data.dir", data, NULL) != BUS_OK ||
           bus_config_set(config, "retry.tiers", "1s", NULL) != BUS_OK ||
           bus_config_set(config, "handler.stuck.timeout.ms", "300ms", NULL) != BUS_OK ||
           bus_config_set(config, "workers.max", threads, NULL) != BUS_OK;
}

static int tear_down(void **state)
{
    (void)state;
    char command[100];
    bus_log_to(BUS_WARN, NULL, NULL);
    bus_config_free(config);
    bui_kafka_broker_close(broker);
    sem_destroy(&bed);
    snprintf(command, sizeof command, "rm -rf %s", data);
    return system(command);
}

static bus *open_wide(void)
{
    bus *self = NULL;
    bus_error err = { 0 };
    if (bus_open(&wide, config, &self, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return self;
}

static void publish(bus *self, const char *key, const char *word)
{
    bus_error err = { 0 };
    const inventory_ReleaseStock body = { .order_id = bus_str(key), .sku = bus_str(word) };
    if (bus_publish(self,
                    &(bus_publication){
                        .topic = "wide.commands", .type = &inventory_ReleaseStock_type, .key = bus_str(key), .body = &body },
                    NULL, NULL, &err) != BUS_OK)
        fail_msg("%s", err.text);
}

static int handled_but(int shard)
{
    int sum = 0;
    for (int i = 0; i < SHARDS; i++)
        sum += i == shard ? 0 : atomic_load(&places[i].handled);
    return sum;
}

/* One event for each key; how many go to other shards than this one. */
static int publish_all(bus *self, int count, int shard)
{
    int others = 0;
    char key[16];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "k%d", i);
        others += bui_partition_of(key, strlen(key), SHARDS) != shard;
        publish(self, key, "go");
    }
    return others;
}

static bool within(int64_t ms, int (*count)(int), int shard, int wanted)
{
    for (int64_t i = 0; i < ms / 10 && count(shard) < wanted; i++)
        usleep(10000);
    return count(shard) >= wanted;
}

static bus_verdict count_in(bus_tx *tx, void *opaque)
{
    (void)tx;
    place *here = opaque;
    atomic_fetch_add(&here->overlaps, atomic_fetch_add(&here->inside, 1) != 0);
    here->plain++;
    usleep(50);
    atomic_fetch_sub(&here->inside, 1);
    return BUS_DONE;
}

typedef struct visitor {
    bus *self;
    int failed;
} visitor;

/* Transactions of callers, inline and not, beside the deliveries. */
static void *visit(void *opaque)
{
    visitor *mine = opaque;
    bus_error err = { 0 };
    char key[16];
    for (int i = 0; i < 200 && !mine->failed; i++) {
        snprintf(key, sizeof key, "k%d", i % 40);
        place *here = &places[bui_partition_of(key, strlen(key), SHARDS)];
        mine->failed = bus_transact(mine->self, bus_str(key), count_in, here, &err) != BUS_OK;
    }
    return NULL;
}

static void shards_share_threads(void **state)
{
    (void)state;
    bus *self = open_wide();
    visitor visitors[3];
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) {
        visitors[i] = (visitor){ .self = self };
        assert_int_equal(pthread_create(&thread[i], NULL, visit, &visitors[i]), 0);
    }
    publish_all(self, EVENTS, -1);
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(visitors[i].failed, 0);
    }
    assert_true(within(60000, handled_but, -1, EVENTS));
    assert_int_equal(bui_crew_threads(self->crew), THREADS);
    bus_close(self);
    assert_int_equal(handled_but(-1), EVENTS);
    for (int i = 0; i < SHARDS; i++) {
        assert_int_equal(atomic_load(&places[i].overlaps), 0);
        assert_true(places[i].plain > 0);
    }
}

/* Two hang at once, which are all the threads there are: the watchdog says which, and there are others in their place. */
static void a_handler_that_hangs_holds_up_its_shard_alone(void **state)
{
    (void)state;
    char key[16];
    int shard[2], found = 0;
    bus *self = open_wide();
    for (int i = 0; found < 2; i++) {
        snprintf(key, sizeof key, "h%d", i);
        shard[found] = bui_partition_of(key, strlen(key), SHARDS);
        if (found == 0 || shard[1] != shard[0]) {
            publish(self, key, "hang");
            for (int j = 0; j < 6000 && atomic_load(&hanging) <= found; j++)
                usleep(10000);
            assert_int_equal(atomic_load(&hanging), found + 1);
            if (found == 0) { /* one of two threads is left */
                int others = publish_all(self, EVENTS / 2, shard[0]);
                assert_true(within(60000, handled_but, shard[0], others));
                assert_int_equal(atomic_load(&places[shard[0]].handled), 0);
            }
            found++;
        }
    }
    for (int j = 0; j < 6000 && atomic_load(&stuck_told) < 2; j++)
        usleep(10000);
    assert_int_equal(atomic_load(&stuck_told), 2);
    assert_true(atomic_load(&stuck_shard) == shard[0] || atomic_load(&stuck_shard) == shard[1]);
    char why[500] = "";
    assert_false(bui_ready(self, why, sizeof why));
    int before = handled_but(shard[0]), others = publish_all(self, EVENTS / 2, shard[0]);
    int of_second = 0;
    for (int i = 0; i < EVENTS / 2; i++) {
        snprintf(key, sizeof key, "k%d", i);
        of_second += bui_partition_of(key, strlen(key), SHARDS) == shard[1];
    }
    assert_true(within(60000, handled_but, shard[0], before + others - of_second));
    sem_post(&bed);
    sem_post(&bed);
    assert_true(within(60000, handled_but, -1, EVENTS + 2));
    bus_close(self);
    for (int i = 0; i < SHARDS; i++)
        assert_int_equal(atomic_load(&places[i].overlaps), 0);
}

/* Stopping does not wait for the one that hangs, and the others drain and close in time. */
static void a_stop_leaves_what_hangs_behind(void **state)
{
    (void)state;
    bus_config_set(config, "drain.timeout.ms", "500ms", NULL);
    bus_config_set(config, "handler.stuck.timeout.ms", "1h", NULL);
    bus *self = open_wide();
    publish_all(self, EVENTS / 6, -1);
    assert_true(within(60000, handled_but, -1, EVENTS / 6));
    publish(self, "h0", "hang");
    for (int j = 0; j < 6000 && atomic_load(&hanging) == 0; j++)
        usleep(10000);
    time_t since = time(NULL);
    bus_close(self);
    assert_in_range(time(NULL) - since, 0, 15);
    assert_int_equal(atomic_load(&left_behind), 1);
    sem_post(&bed); /* its thread goes on in a process that ends soon */
    assert_true(within(10000, handled_but, -1, EVENTS / 6 + 1));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(shards_share_threads),
        EACH(a_handler_that_hangs_holds_up_its_shard_alone),
        EACH(a_stop_leaves_what_hangs_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
