/* SPDX-License-Identifier: MIT
 * Typed state in handlers: what one saves the next loads, and nothing stays of one that fails; SQL on the same table; constraints of
 * the table, which the commit would meet too late; calls of bus_transact; the bound on memory. Several events are one batch here. */
#include "support/service_test.h"

#include "inventory.events.h"
#include "stocktaking.events.h"
#include <bus/bus.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

typedef struct counts {
    int runs;  /* of handlers */
    int wrong; /* what a handler saw that it should not */
    char why[64];
} counts;

static counts seen;

static void expect(bool ok, const char *why)
{
    if (!ok) {
        seen.wrong++;
        snprintf(seen.why, sizeof seen.why, "%s", why);
    }
}

static int32_t quantity_of(bus_tx *tx, bus_string sku)
{
    stocktaking_Item item = { .sku = sku };
    return stocktaking_Item_load(tx, &item) ? item.quantity : -1;
}

static bus_status add(bus_tx *tx, bus_string sku, int32_t quantity)
{
    stocktaking_Item item = { .sku = sku };
    stocktaking_Item_load(tx, &item);
    item.quantity += quantity;
    return stocktaking_Item_save(tx, &item);
}

static int64_t sum(sqlite3_stmt *select)
{
    int64_t found = sqlite3_step(select) == SQLITE_ROW ? sqlite3_column_int64(select, 0) : -1;
    sqlite3_reset(select);
    return found;
}

#define SUM "SELECT total(quantity) FROM item"

static bus_verdict on_sql(bus_tx *tx, const inventory_StockReceived *e)
{
    sqlite3_stmt *select = bus_sql(tx, SUM);
    if (!select) /* the rows of others could not be written: the batch runs again */
        return BUS_DONE;
    int64_t before = sum(select);
    add(tx, e->sku, e->quantity);
    expect(sum(select) == before + e->quantity, "a statement that was prepared before a save does not see it");
    expect(quantity_of(tx, e->sku) >= e->quantity, "a load after SQL");
    sqlite3_stmt *update = bus_sql(tx, "UPDATE item SET quantity = quantity + 1000 WHERE sku = ?1");
    bus_bind_text(update, 1, e->sku);
    expect(sqlite3_step(update) == SQLITE_DONE, "an update");
    expect(quantity_of(tx, e->sku) >= 1000, "a load does not see what SQL wrote");
    return BUS_DONE;
}

static bus_verdict on_borrowed(bus_tx *tx, const inventory_StockReceived *e)
{
    stocktaking_Item one = { .sku = e->sku }, other = { .sku = e->sku };
    stocktaking_Item_save(tx, &(stocktaking_Item){ .sku = e->sku, .note = BUS_SOME(BUS_STR("the first note")) });
    expect(stocktaking_Item_load(tx, &one), "load");
    for (int i = 0; i < 50; i++) {
        char text[40];
        snprintf(text, sizeof text, "note %d", i);
        stocktaking_Item_save(tx, &(stocktaking_Item){ .sku = e->sku, .note = BUS_SOME(bus_str(text)) });
    }
    expect(!!bus_sql(tx, SUM), "sql");
    expect(stocktaking_Item_load(tx, &other) && bus_string_is(other.note.value, "note 49"), "the last note");
    expect(bus_string_is(one.note.value, "the first note"), "a borrowed string has changed");
    return BUS_DONE;
}

static bus_verdict on_removed(bus_tx *tx, const inventory_StockReceived *e)
{
    stocktaking_Item item = { .sku = e->sku, .quantity = 77 };
    stocktaking_Item_remove(tx, &item);
    expect(!stocktaking_Item_load(tx, &item), "a removed row is loaded");
    expect(item.quantity == 77, "a load that finds nothing leaves the struct alone");
    stocktaking_Item_remove(tx, &item);
    return e->quantity ? bus_reject(tx, "after all") : BUS_DONE;
}

static bus_verdict on_raw(bus_tx *tx)
{
    sqlite3_stmt *select = NULL;
    expect(sqlite3_prepare_v2(bus_db(tx), SUM, -1, &select, NULL) == SQLITE_AUTH, "SQL that nobody knows reads a state");
    return BUS_DONE;
}

/* The text of the delivery says what to do. */
static bus_verdict on_received(bus_tx *tx, const bus_event *event, void *shard)
{
    const inventory_StockReceived *e = inventory_StockReceived_of(event);
    (void)shard;
    seen.runs++;
    if (bus_string_is(e->delivery, "sql"))
        return on_sql(tx, e);
    if (bus_string_is(e->delivery, "borrowed"))
        return on_borrowed(tx, e);
    if (bus_string_is(e->delivery, "removed"))
        return on_removed(tx, e);
    if (bus_string_is(e->delivery, "raw"))
        return on_raw(tx);
    if (bus_string_is(e->delivery, "noted")) /* a note may be there once: the index says so */
        stocktaking_Item_save(tx, &(stocktaking_Item){ .sku = e->sku, .quantity = 1, .note = BUS_SOME(BUS_STR("the note")) });
    else
        add(tx, e->sku, e->quantity);
    if (bus_string_is(e->delivery, "retry once"))
        return event->attempt == 1 ? bus_retry(tx, "once") : BUS_DONE;
    if (bus_string_is(e->delivery, "reject"))
        return bus_reject(tx, "rejected");
    if (bus_string_is(e->delivery, "sql and reject")) {
        expect(sum(bus_sql(tx, SUM)) > 0, "sum");
        return bus_reject(tx, "rejected");
    }
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = "stock.commands", .type = &inventory_StockReceived_type, .handler = on_received },
                                    { 0 } };
static const bus_state *const states[] = { &stocktaking_Item_state, NULL };
static const bus_migration migrations[] = {
    { "notes", "CREATE UNIQUE INDEX note ON item(note);"
               "CREATE TABLE label(sku TEXT NOT NULL PRIMARY KEY REFERENCES item(sku) DEFERRABLE INITIALLY DEFERRED)" },
    { 0 }
};
static const bus_service service = { .name = "stock", .routes = routes, .states = states, .migrations = migrations };

/* ---- what the tests do */

static int open_service(void **state)
{
    bus_test *t = NULL;
    seen = (counts){ 0 };
    OK(bus_test_open(&service, NULL, &t, ERR));
    *state = t;
    return 0;
}

static int close_service(void **state)
{
    bus_test_close(*state);
    assert_string_equal(seen.why, "");
    return 0;
}

static void send(bus_test *t, const char *delivery, const char *sku, int32_t quantity)
{
    OK(bus_test_send(t, "stock.commands", &inventory_StockReceived_type, bus_str(NULL),
                     &(inventory_StockReceived){ .delivery = bus_str(delivery), .sku = bus_str(sku), .quantity = quantity },
                     ERR));
}

static int64_t query(bus_test *t, const char *sql)
{
    int64_t found = -1;
    OK(bus_test_query(t, sql, &found, ERR));
    return found;
}

static bus_test_figures figures_of(bus_test *t)
{
    bus_test_figures figures;
    bus_test_figures_of(t, &figures);
    return figures;
}

static void two_handlers_of_a_batch_change_a_row(void **state)
{
    bus_test *t = *state;
    send(t, "add", "tea", 1);
    send(t, "add", "tea", 10);
    send(t, "add", "salt", 100);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 11);
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'salt'"), 100);
    send(t, "add", "tea", 1000);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 1011);
    OK(bus_test_restart(t, ERR));
    send(t, "add", "tea", 10000);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 11011);
}

static void nothing_stays_of_a_handler_that_fails(void **state)
{
    bus_test *t = *state;
    send(t, "add", "tea", 1);
    send(t, "reject", "tea", 10);
    send(t, "reject", "salt", 10);
    send(t, "add", "tea", 100);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 101);
    assert_int_equal(query(t, "SELECT count(*) FROM item"), 1);
    assert_int_equal(seen.runs, 4); /* no row was changed when it failed: the batch need not run again */
    assert_int_equal(figures_of(t).dead_lettered, 2);
}

static void a_retry_begins_afresh(void **state)
{
    bus_test *t = *state;
    send(t, "add", "tea", 1);
    send(t, "retry once", "tea", 10);
    send(t, "add", "tea", 100);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 101);
    OK(bus_test_advance(t, 60000, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 111);
}

static void sql_sees_what_was_saved_and_the_other_way_round(void **state)
{
    bus_test *t = *state;
    send(t, "add", "tea", 1);
    send(t, "sql", "tea", 10);
    send(t, "add", "tea", 100);
    send(t, "sql", "salt", 10);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 1111);
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'salt'"), 1010);
    assert_int_equal(figures_of(t).dead_lettered, 0);
}

/* The rows that SQL had written are undone with a savepoint, and then those in memory are, too. */
static void a_handler_with_sql_fails_alone(void **state)
{
    bus_test *t = *state;
    send(t, "add", "tea", 1);
    send(t, "sql and reject", "tea", 10);
    send(t, "reject", "tea", 20);
    send(t, "add", "tea", 100);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 101);
    assert_true(seen.runs > 4);
    send(t, "add", "tea", 1000); /* this batch has savepoints from the start */
    send(t, "reject", "tea", 1);
    send(t, "removed", "tea", 1);
    send(t, "add", "tea", 10000);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 11101);
    assert_int_equal(figures_of(t).dead_lettered, 4);
}

static void sql_that_the_library_does_not_prepare_is_denied(void **state)
{
    bus_test *t = *state;
    send(t, "raw", "tea", 1);
    OK(bus_test_run(t, ERR));
    assert_int_equal(seen.runs, 1);
}

static void borrowed_strings_live_until_the_handler_returns(void **state)
{
    bus_test *t = *state;
    send(t, "borrowed", "tea", 1);
    send(t, "borrowed", "tea", 1);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT count(*) FROM item WHERE note = 'note 49'"), 1);
}

static void a_removed_row_is_gone(void **state)
{
    bus_test *t = *state;
    send(t, "add", "tea", 5);
    send(t, "removed", "tea", 0);
    send(t, "add", "salt", 5);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT count(*) FROM item"), 1);
    send(t, "removed", "salt", 0);
    send(t, "add", "salt", 7);
    send(t, "removed", "salt", 1); /* and fails */
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'salt'"), 7);
}

/* The commit would meet the index. Whose fault that is shows when the batch runs again. */
static void a_constraint_that_fails_is_the_fault_of_one_handler(void **state)
{
    bus_test *t = *state;
    send(t, "add", "tea", 1);
    send(t, "noted", "a", 1);
    send(t, "noted", "b", 1);
    send(t, "add", "tea", 10);
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 11);
    assert_int_equal(query(t, "SELECT count(*) FROM item WHERE note = 'the note' AND sku = 'a'"), 1);
    assert_int_equal(query(t, "SELECT count(*) FROM item"), 2);
    assert_int_equal(figures_of(t).events_parked + figures_of(t).dead_lettered, 1);
}

/* The SQL of a handler has the rows of others written: that they cannot be is not its fault. */
static void sql_is_not_to_blame_for_rows_of_others(void **state)
{
    bus_test *t = *state;
    send(t, "noted", "a", 1);
    OK(bus_test_run(t, ERR));
    send(t, "noted", "b", 1);
    send(t, "sql", "tea", 10);
    send(t, "removed", "b", 0); /* at the end all could be written */
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 1010);
    assert_int_equal(query(t, "SELECT count(*) FROM item WHERE sku = 'b'"), 0);
    assert_int_equal(figures_of(t).retried, 1); /* of one, and that is not the one with SQL: it is done already */
}

/* ---- bus_transact */

static bus_verdict save_a_label(bus_tx *tx, void *opaque)
{
    sqlite3_stmt *insert = bus_sql(tx, "INSERT INTO label VALUES ('tea')");
    (void)opaque;
    sqlite3_step(insert);
    return BUS_DONE;
}

static bus_verdict transact_adds(bus_tx *tx, void *opaque)
{
    add(tx, BUS_STR("tea"), 5);
    return *(int *)opaque ? bus_reject(tx, "no") : BUS_DONE;
}

static bus_verdict transact_removes(bus_tx *tx, void *opaque)
{
    (void)opaque;
    stocktaking_Item_remove(tx, &(stocktaking_Item){ .sku = BUS_STR("tea") });
    return BUS_DONE;
}

static void a_transaction_saves_or_does_not(void **state)
{
    bus_test *t = *state;
    int refuse = 1;
    assert_int_equal(bus_test_transact(t, BUS_STR("k"), transact_adds, &refuse, NULL), BUS_REFUSED);
    assert_int_equal(query(t, "SELECT count(*) FROM item"), 0);
    refuse = 0;
    OK(bus_test_transact(t, BUS_STR("k"), transact_adds, &refuse, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 5);
    assert_int_equal(query(t, "SELECT transacted FROM bus_meta"), 1); /* no topic has what it wrote: a rebuild must know */
}

static void a_deferred_key_is_looked_at_before_the_commit(void **state)
{
    bus_test *t = *state;
    int refuse = 0;
    OK(bus_test_transact(t, BUS_STR("k"), transact_adds, &refuse, ERR));
    OK(bus_test_transact(t, BUS_STR("k"), save_a_label, NULL, ERR));
    assert_int_not_equal(bus_test_transact(t, BUS_STR("k"), transact_removes, NULL, NULL), BUS_OK);
    assert_int_equal(query(t, "SELECT count(*) FROM item"), 1);
    send(t, "add", "tea", 1); /* it goes on */
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, "SELECT quantity FROM item"), 6);
}

/* ---- memory */

static bus_verdict save_many(bus_tx *tx, void *opaque)
{
    const int *many = opaque;
    for (int i = 0; i < *many; i++) {
        char sku[40];
        snprintf(sku, sizeof sku, "an item of some longer name %d", i);
        add(tx, bus_str(sku), 1);
    }
    return BUS_DONE;
}

static void rows_above_the_bound_are_written_early(void **state)
{
    bus_test *t = NULL;
    bus_config *config = bus_config_new();
    int many = 5000;
    (void)state;
    seen = (counts){ 0 };
    OK(bus_config_set(config, "state.cache.bytes", "64k", ERR));
    OK(bus_test_open(&service, &(bus_test_options){ .config = config }, &t, ERR));
    for (int i = 0; i < 2; i++)
        OK(bus_test_transact(t, BUS_STR("k"), save_many, &many, ERR));
    assert_int_equal(query(t, SUM), 10000);
    for (int i = 0; i < 3000; i++) {
        char sku[40];
        snprintf(sku, sizeof sku, "an item of some longer name %d", i);
        send(t, i % 100 == 99 ? "reject" : "add", sku, 1);
    }
    OK(bus_test_run(t, ERR));
    assert_int_equal(query(t, SUM), 10000 + 3000 - 30);
    bus_test_close(t);
    bus_config_free(config);
}

int main(void)
{
#define IN_SERVICE(test) cmocka_unit_test_setup_teardown(test, open_service, close_service)
    const struct CMUnitTest tests[] = {
        IN_SERVICE(two_handlers_of_a_batch_change_a_row),
        IN_SERVICE(nothing_stays_of_a_handler_that_fails),
        IN_SERVICE(a_retry_begins_afresh),
        IN_SERVICE(sql_sees_what_was_saved_and_the_other_way_round),
        IN_SERVICE(a_handler_with_sql_fails_alone),
        IN_SERVICE(sql_that_the_library_does_not_prepare_is_denied),
        IN_SERVICE(borrowed_strings_live_until_the_handler_returns),
        IN_SERVICE(a_removed_row_is_gone),
        IN_SERVICE(a_constraint_that_fails_is_the_fault_of_one_handler),
        IN_SERVICE(sql_is_not_to_blame_for_rows_of_others),
        IN_SERVICE(a_transaction_saves_or_does_not),
        IN_SERVICE(a_deferred_key_is_looked_at_before_the_commit),
        cmocka_unit_test(rows_above_the_bound_are_written_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
