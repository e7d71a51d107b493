/* SPDX-License-Identifier: MIT
 * The stockroom: see the header. */
#include "stockroom.h"

#include <bus/bus.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sqlite3.h>

const bus_migration stockroom_migrations[] = {
    { "stock",
      "CREATE TABLE stock(sku TEXT PRIMARY KEY NOT NULL, quantity INTEGER NOT NULL CHECK (quantity >= 0)) WITHOUT ROWID" },
    { 0 }
};

int stockroom_opened, stockroom_closed, stockroom_most;

static const bus_property own_properties[] = {
    { .name = "service.stock.most", .kind = BUS_PROPERTY_INT, .value = "100", .help = "The most of an item." }, { 0 }
};
bool stockroom_trouble;

static bool change(bus_tx *tx, const char *sql, bus_string sku, int quantity)
{
    sqlite3_stmt *statement = bus_sql(tx, sql);
    if (!statement)
        return false;
    bus_bind_text(statement, 1, sku);
    sqlite3_bind_int(statement, 2, quantity);
    return sqlite3_step(statement) == SQLITE_DONE && sqlite3_changes(bus_db(tx)) == 1;
}

bool stockroom_add(bus_tx *tx, bus_string sku, int quantity)
{
    return change(tx, "INSERT INTO stock VALUES (?1, ?2) ON CONFLICT (sku) DO UPDATE SET quantity = quantity + ?2", sku,
                  quantity);
}

static bool take(bus_tx *tx, bus_string sku, int quantity)
{
    return change(tx, "UPDATE stock SET quantity = quantity - ?2 WHERE sku = ?1 AND quantity >= ?2", sku, quantity);
}

bus_verdict stockroom_on_received(bus_tx *tx, const bus_event *event, void *shard)
{
    const inventory_StockReceived *received = inventory_StockReceived_of(event);
    assert_ptr_equal(shard, &stockroom_trouble);
    if (stockroom_trouble)
        return bus_reject(tx, "no scales");
    stockroom_add(tx, received->sku, received->quantity);
    stockroom_most = (int)bus_config_int(bus_config_here(), "service.stock.most");
    return BUS_DONE;
}

static bus_verdict on_reserve(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_ReserveStock *reserve = inventory_ReserveStock_of(event);
    if (!take(tx, reserve->sku, reserve->quantity)) {
        bus_log_line(BUS_INFO, "short", "too little is there",
                     BUS_FIELDS(bus_log_text("sku", reserve->sku), bus_log_int("wanted", reserve->quantity)), NULL);
        return bus_retry(tx, "none of it is there yet");
    }
    bus_emit(tx, &inventory_StockReserved_type, reserve->order_id,
             &(inventory_StockReserved){ .order_id = reserve->order_id, .sku = reserve->sku, .quantity = reserve->quantity });
    bus_schedule(tx, reserve->order_id, bus_now(tx) + 60000, &inventory_ReleaseStock_type, reserve->sku,
                 &(inventory_ReleaseStock){ .order_id = reserve->order_id, .sku = reserve->sku });
    return BUS_DONE;
}

bus_status stockroom_on_open(sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    assert_non_null(db);
    assert_in_range(shard, 0, 1);
    (void)err;
    stockroom_opened++;
    *state = opaque;
    stockroom_most = (int)bus_config_int(bus_config_here(), "service.stock.most");
    return BUS_OK;
}

void stockroom_on_close(void *state)
{
    assert_ptr_equal(state, &stockroom_trouble);
    stockroom_closed++;
}

static const bus_route stockroom_routes[] = {
    { .topic = "stock.commands", .type = &inventory_StockReceived_type, .handler = stockroom_on_received },
    { .topic = "stock.commands", .type = &inventory_ReserveStock_type, .handler = on_reserve },
    { 0 }
};
static const bus_emits emits[] = { { &inventory_StockReserved_type, NULL },
                                   { &inventory_ReleaseStock_type, "stock.timers" },
                                   { 0 } };
const bus_service stockroom_service = { .name = "stock",
                                        .routes = stockroom_routes,
                                        .emits = emits,
                                        .migrations = stockroom_migrations,
                                        .open = stockroom_on_open,
                                        .close = stockroom_on_close,
                                        .opaque = &stockroom_trouble,
                                        .properties = own_properties };

int stockroom_set_up(void **state)
{
    bus_test *test = NULL;
    bus_error err = { 0 };
    stockroom_trouble = false;
    stockroom_opened = stockroom_closed = 0;
    if (bus_test_open(&stockroom_service, &(bus_test_options){ .shards = 2 }, &test, &err) != BUS_OK)
        fail_msg("%s", err.text);
    *state = test;
    return 0;
}

int stockroom_tear_down(void **state)
{
    int before = stockroom_closed;
    bus_test_close(*state);
    assert_int_equal(stockroom_closed, before + 2);
    return 0;
}

void stockroom_receive(bus_test *test, const char *sku, int quantity)
{
    const inventory_StockReceived body = { .delivery = BUS_STR("d"), .sku = bus_str(sku), .quantity = quantity };
    assert_int_equal(bus_test_send(test, "stock.commands", &inventory_StockReceived_type, bus_str(sku), &body, NULL), BUS_OK);
}

void stockroom_reserve(bus_test *test, const char *order, const char *sku, int quantity)
{
    const inventory_ReserveStock body = { .order_id = bus_str(order), .sku = bus_str(sku), .quantity = quantity };
    assert_int_equal(bus_test_send(test, "stock.commands", &inventory_ReserveStock_type, bus_str(sku), &body, NULL), BUS_OK);
}

int64_t stockroom_total(bus_test *test)
{
    int64_t sum = -1;
    assert_int_equal(bus_test_query(test, "SELECT total(quantity) FROM stock", &sum, NULL), BUS_OK);
    return sum;
}

bus_test_figures stockroom_figures(bus_test *test)
{
    bus_test_figures out;
    bus_test_figures_of(test, &out);
    return out;
}
