/* SPDX-License-Identifier: MIT
 * Test: a service run inside a test program, without Kafka and without waiting. Topics are in memory and the clock moves only
 * when told; routing, stores, retries, dead letters and the outbox are the real ones.
 *
 *     bus_test *test;
 *     bus_test_open(&service, NULL, &test, &err);
 *     bus_test_send(test, "order.events", &order_OrderPlaced_type,
 *                   BUS_STR("o-1"), &placed, &err);
 *     bus_test_run(test, &err);
 *     const bus_event *answer =
 *         bus_test_event(test, "inventory.events", 0);
 *     const inventory_StockReserved *reserved =
 *         inventory_StockReserved_of(answer);
 *     bus_test_close(test);
 *
 * Two services that talk to each other run in one test: the second one is opened `beside` the first; docs/testing.md shows how.
 * Everything happens on the calling thread, inside the call; prepare steps run there too. Runs are repeatable. */
#ifndef BUS_TEST_H
#define BUS_TEST_H

#include <bus/service.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A service under test, with its topics and its clock. */
typedef struct bus_test bus_test;

/* How to run it. Zero means default. */
typedef struct bus_test_options {
    int shards;               /* and partitions of each topic; default 1 */
    int64_t start_ms;         /* where the clock stands, ms since the epoch; default 2026-01-01T00:00:00Z */
    const char *data;         /* directory of the stores; default: a temporary one, removed by bus_test_close */
    const bus_config *config; /* default: every property's default */
    bus_test *beside; /* another service's test: this one runs on its broker and its clock, and start_ms says nothing; `shards` is
                               * the other's unless given; running either and moving the clock of either runs both. Default: its own */
} bus_test_options;

/* As bus_test_open, for a program compiled with the headers of version `headers`; see bus_open_for.
 * Thread: the test's.
 * Errors: as bus_test_open.
 * Owner: as bus_test_open. */
bus_status bus_test_open_for(int headers, const bus_service *service, const bus_test_options *options, bus_test **out,
                             bus_error *err);

/* Makes every topic that the service reads or writes and opens its shards.
 * Thread: the test's: everything of one bus_test happens on one thread at a time.
 * Errors: as bus_open, and whatever keeps a shard from starting, bus_service.open included; BUS_INVALID: shards is over 1000.
 * Owner: *out is the caller's: bus_test_close it. `service` is borrowed until then; `options` is only read. */
static inline bus_status bus_test_open(const bus_service *service_, const bus_test_options *options_, bus_test **out_,
                                       bus_error *err_)
{
    return bus_test_open_for(BUS_VERSION_NUMBER, service_, options_, out_, err_);
}

/* Closes the shards and frees the test; NULL is a no-op.
 * Thread: the test's.
 * Errors: none. */
void bus_test_close(bus_test *test);

/* Puts an event on a topic as another service would. Nothing is handled before bus_test_run. The schema of `type` counts as announced,
 * so `type` may be another version of the one that is routed.
 * Thread: the test's.
 * Errors: BUS_INVALID: the body breaks its schema; BUS_MISSING: the service does not know the topic; BUS_NOMEM.
 * Owner: copies everything. */
bus_status bus_test_send(bus_test *test, const char *topic, const bus_type *type, bus_string key, const void *body,
                         bus_error *err);

/* As bus_publish: an event with all that can be said of it, a tombstone, or bytes as they are, broken ones too. Any header may be written.
 * Thread: the test's.
 * Errors: as bus_test_send; BUS_INVALID: not one record, or no such partition.
 * Owner: copies everything. */
bus_status bus_test_publish(bus_test *test, const bus_publication *publication, bus_error *err);

/* As bus_request: publishes an event with a place for the answer, and then bus_test_run. *reply is the answer, a record of "test.replies".
 * Thread: the test's.
 * Errors: as bus_test_publish and bus_test_run; BUS_TIMEOUT: there is no answer at this moment; it may come when time passes.
 * Owner: copies everything; *reply lives until bus_test_close. */
bus_status bus_test_request(bus_test *test, const bus_publication *question, const bus_event **reply, bus_error *err);

/* As bus_transact: runs `fn` in the store of the shard that owns `key`, and then bus_test_run.
 * Thread: the test's, not a handler's.
 * Errors: as bus_transact; BUS_TIMEOUT: the store cannot be written now; as bus_test_run.
 * Owner: `opaque` must live until `fn` has run. */
bus_status bus_test_transact(bus_test *test, bus_string key, bus_transaction fn, void *opaque, bus_error *err);

/* Handles what there is until nothing is left to do at this moment; what the service emits to a topic it reads is handled too.
 * Thread: the test's.
 * Errors: the reason of a shard that halts: BUS_REFUSED, BUS_STORE or another; BUS_BUG: the service does not come to rest. */
bus_status bus_test_run(bus_test *test, bus_error *err);

/* Lets `ms` milliseconds pass, stopping at each moment when something falls due (a retry, a schedule) to handle it.
 * Thread: the test's.
 * Errors: BUS_INVALID: ms is negative; as bus_test_run. */
bus_status bus_test_advance(bus_test *test, int64_t ms, bus_error *err);

/* The process ends without a word and another one starts on the same stores. bus_service.close and .open are called.
 * Thread: the test's.
 * Errors: as bus_test_open. */
bus_status bus_test_restart(bus_test *test, bus_error *err);

/* Returns the at-th record of a topic (0: the first), in the order they were written, over all partitions; NULL past the end.
 * What the test itself has sent is among them. `type` and `body` are filled if it is of a type that the service, or one
 * beside it, routes or emits, in any version. Dead letters are on "<service>.dlq".
 * Thread: the test's.
 * Errors: none.
 * Owner: the event lives until bus_test_close. */
const bus_event *bus_test_event(bus_test *test, const char *topic, size_t at);

/* Returns the at-th record of this type on a topic (0: the first), as bus_test_event does; NULL past the end. `type` NULL: of any.
 * Thread: the test's.
 * Errors: none.
 * Owner: the event lives until bus_test_close. */
const bus_event *bus_test_find(bus_test *test, const char *topic, const bus_type *type, size_t at);

/* How many records of this type there are on a topic; of any type where `type` is NULL.
 * Thread: the test's.
 * Errors: none.
 * Owner: keeps nothing. */
size_t bus_test_count(bus_test *test, const char *topic, const bus_type *type);

/* The body of a record as a struct of `type`, which may be another version of the one that is routed or emitted (bus-schemac
 * --suffix): so would a program that was built with it read the record. NULL: it cannot, and *err says why.
 * Thread: the test's.
 * Errors: as bus_decode; BUS_INVALID: a tombstone.
 * Owner: the struct lives until bus_test_close. */
const void *bus_test_body(bus_test *test, const bus_event *event, const bus_type *type, bus_error *err);

/* A dead letter of the service, as it stands. */
typedef struct bus_test_letter {
    const char *id;
    const char *state;       /* "open", "redriven", "resolved" or "discarded" */
    int round;               /* 1 at first; a redriven event that is given up on again opens the next round */
    const char *error_class; /* "handler": it gave up; "prepare", "undecodable", "crash" ... */
    const char *error;       /* the reason, as bus_reject and bus_retry had it */
    int attempts;
    bool holds_key;         /* later events of its key wait for it: see BUS_HOLD_KEY */
    const bus_event *event; /* what was given up on, as it was published */
} bus_test_letter;

/* Returns the at-th dead letter, in the order in which they were opened (0: the first); NULL past the end. It does not change: ask
 * again after bus_test_run.
 * Thread: the test's.
 * Errors: none; NULL without memory, too.
 * Owner: the letter lives until bus_test_close. */
const bus_test_letter *bus_test_letter_at(bus_test *test, size_t at);

/* Redrive or discard a dead letter, as an operator does with `bus dlq`: bus_test_run has it done. `id` NULL: every open one.
 * Thread: the test's.
 * Errors: BUS_MISSING: there is no such letter, or no open one; BUS_REFUSED: it is not open; BUS_NOMEM.
 * Owner: keeps nothing. */
bus_status bus_test_redrive(bus_test *test, const char *id, bus_error *err);
bus_status bus_test_discard(bus_test *test, const char *id, bus_error *err);

/* Runs a query (SELECT COUNT(*) ..., SUM(...)) on every shard's store and adds up the first column of the first row.
 * Thread: the test's.
 * Errors: BUS_INVALID: SQLite does not understand it; BUS_STORE: it fails; BUS_CLOSED: a shard is not open, bus_test_run tells
 * why.
 * Owner: keeps nothing. */
bus_status bus_test_query(bus_test *test, const char *sql, int64_t *out, bus_error *err);

/* How the service stands, over all shards. Counters count since bus_test_open or bus_test_restart. */
typedef struct bus_test_figures {
    int64_t now_ms;        /* the clock */
    int64_t handled;       /* handlers that ended with BUS_DONE */
    int64_t retried;       /* failures that wait for another attempt */
    int64_t dead_lettered; /* events given up on */
    int64_t letters_open;  /* dead letters neither resolved nor discarded */
    int64_t keys_waiting;  /* keys with an unresolved event, held ones included */
    int64_t keys_held;
    int64_t events_parked; /* events that wait, those that failed included */
    int64_t duplicates;    /* deliveries dropped because they had been settled before */
    int64_t unrouted;      /* events of types that no route takes */
    int64_t outbox;        /* rows in it; what Kafka has taken leaves it within a second */
} bus_test_figures;

/* Tells how the service stands.
 * Thread: the test's.
 * Errors: none.
 * Owner: fills the caller's struct. */
void bus_test_figures_of(bus_test *test, bus_test_figures *out);

#ifdef __cplusplus
}
#endif
#endif
