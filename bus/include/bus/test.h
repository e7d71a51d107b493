/* SPDX-License-Identifier: MIT
 * Test: a service run inside a test program, without Kafka and without waiting. Topics are in memory and the clock moves only
 * when told; routing, stores, retries, dead letters and the outbox are the real ones.
 *
 *     bus_test *test;
 *     bus_test_open(&service, NULL, &test, &err);
 *     bus_test_send(test, "order.events", &order_OrderPlaced_type, "o-1", &placed, &err);
 *     bus_test_run(test, &err);
 *     const bus_event *answer = bus_test_event(test, "inventory.events", 0);
 *     const inventory_StockReserved *reserved = inventory_StockReserved_of(answer);
 *     bus_test_close(test);
 *
 * Everything happens on the calling thread, inside the call; prepare steps run there too. Runs are repeatable. */
#ifndef BUS_TEST_H
#define BUS_TEST_H

#include <bus/service.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bus_test bus_test;

/* Zero means default. */
typedef struct bus_test_options {
    int shards;                /* and partitions of each topic; default 1 */
    int64_t start_ms;          /* where the clock stands, ms since the epoch; default 2026-01-01T00:00:00Z */
    const char *data;          /* directory of the stores; default: a temporary one, removed by bus_test_close */
    const bus_config *config;  /* default: every property's default */
} bus_test_options;

/* Makes every topic that the service reads or writes and opens its shards. `service` and `options->config` are borrowed until
 * close. Fails as bus_open does, and with whatever keeps a shard from starting, bus_service.open included. */
bus_status bus_test_open(const bus_service *service, const bus_test_options *options, bus_test **out, bus_error *err);
void bus_test_close(bus_test *test); /* NULL is a no-op */

/* Puts an event on a topic as another service would, with string key `key` (NULL: none). Nothing is handled before
 * bus_test_run. The schema of `type` counts as announced, so `type` may be another version of the one that is routed.
 * BUS_INVALID: the body breaks its schema; BUS_MISSING: the service does not know the topic. */
bus_status bus_test_send(bus_test *test, const char *topic, const bus_type *type, const char *key, const void *body, bus_error *err);
/* As bus_test_send, for bytes as they are: broken ones, tombstones, unknown types, records with headers of one's own. */
bus_status bus_test_send_raw(bus_test *test, const bus_raw *record, bus_error *err);

/* As bus_transact: runs `fn` in the store of the shard that owns `key`. */
bus_status bus_test_transact(bus_test *test, const void *key, size_t key_len, bus_transaction fn, void *opaque, bus_error *err);

/* Handles what there is until nothing is left to do at this moment; what the service emits to a topic it reads is handled too.
 * Fails if a shard halts, with its reason. */
bus_status bus_test_run(bus_test *test, bus_error *err);

/* Lets `ms` milliseconds pass, stopping at each moment when something falls due (a retry, a schedule) to handle it. */
bus_status bus_test_advance(bus_test *test, int64_t ms, bus_error *err);

/* The process ends without a word and another one starts on the same stores. bus_service.close and .open are called. */
bus_status bus_test_restart(bus_test *test, bus_error *err);

/* The at-th record of a topic (0: the first), in the order they were written, over all partitions; NULL past the end. What the
 * test itself has sent is among them. `type` and `body` are filled if it is of a type that the service routes or emits, in
 * whichever version. Lives until bus_test_close. Dead letters are on "<service>.dlq". */
const bus_event *bus_test_event(bus_test *test, const char *topic, size_t at);

/* Runs a query (SELECT COUNT(*) ..., SUM(...)) on every shard's store and adds up the first column of the first row. */
bus_status bus_test_query(bus_test *test, const char *sql, int64_t *out, bus_error *err);

/* How the service stands, over all shards. Counters count since bus_test_open or bus_test_restart. */
typedef struct bus_test_figures {
    int64_t now_ms;            /* the clock */
    int64_t handled;           /* handlers that ended with BUS_DONE */
    int64_t retried;           /* failures that wait for another attempt */
    int64_t dead_lettered;     /* events given up on */
    int64_t letters_open;      /* dead letters neither resolved nor discarded */
    int64_t keys_waiting;      /* keys with an unresolved event, held ones included */
    int64_t keys_held;
    int64_t events_parked;     /* events that wait, those that failed included */
    int64_t duplicates;        /* deliveries dropped because they had been settled before */
    int64_t unrouted;          /* events of types that no route takes */
    int64_t outbox;            /* rows in it; what Kafka has taken leaves it within a second */
} bus_test_figures;
void bus_test_figures_of(bus_test *test, bus_test_figures *out);

#ifdef __cplusplus
}
#endif
#endif
