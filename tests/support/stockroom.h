/* SPDX-License-Identifier: MIT
 * A small service for the tests of bus_test_*: it receives stock, reserves it, and asks the warehouse again when a reservation is a minute old. */
#ifndef STOCKROOM_H
#define STOCKROOM_H

#include "inventory.events.h"
#include <bus/test.h>
#include <sqlite3.h>

extern const bus_service stockroom_service; /* two shards in these tests; stock.commands, stock.events, stock.timers */
extern const bus_migration stockroom_migrations[];
extern int stockroom_opened, stockroom_closed; /* shards since the test began */
extern int stockroom_most;                     /* as its property says */
extern bool stockroom_trouble; /* its code is at fault as long as this stands; its bus_service.opaque points here */

/* Its parts, for services that are alike. */
bool stockroom_add(bus_tx *tx, bus_string sku, int quantity);
bus_verdict stockroom_on_received(bus_tx *tx, const bus_event *event, void *shard);
bus_status stockroom_on_open(sqlite3 *db, int shard, void *opaque, void **state, bus_error *err);
void stockroom_on_close(void *state);

/* A test's bus_test with it is *state. */
int stockroom_set_up(void **state);
int stockroom_tear_down(void **state);
#define STOCKROOM_TEST(name) cmocka_unit_test_setup_teardown(name, stockroom_set_up, stockroom_tear_down)

/* Commands to it, not run yet. */
void stockroom_receive(bus_test *test, const char *sku, int quantity);
void stockroom_reserve(bus_test *test, const char *order, const char *sku, int quantity);

int64_t stockroom_total(bus_test *test); /* of all items */
bus_test_figures stockroom_figures(bus_test *test);

#endif
