/* SPDX-License-Identifier: MIT
 * Typed state in the store: its table is made, widened and checked; every kind of column comes back as it was; a row is written once
 * for each commit; savepoints, rollbacks, and what another connection wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/state.h"
#include "stocktaking.events.h"
#include "stocktaking_v2.events.h"
#include "support/alloc_fail.h"
#include "support/temp_store.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const bus_state *const states[] = { &stocktaking_Item_state, &stocktaking_Everything_state, NULL };
static const bus_state *const next_states[] = { &stocktaking_v2_Item_state, NULL };

static int setup(void **state)
{
    static temp_store temp;
    temp_store_init(&temp);
    temp.options.states = states;
    temp_store_open(&temp);
    *state = &temp;
    return 0;
}

static int teardown(void **state)
{
    temp_store_remove(*state);
    return 0;
}

static void save(temp_store *t, const char *sku, int32_t quantity)
{
    OK_(bui_state_save(t->store, &stocktaking_Item_state, &(stocktaking_Item){ .sku = bus_str(sku), .quantity = quantity },
                       &t->err),
        t->err);
}

static int32_t load(temp_store *t, const char *sku)
{
    stocktaking_Item item = { .sku = bus_str(sku), .quantity = -2 };
    bool found;
    OK_(bui_state_load(t->store, &stocktaking_Item_state, &item, &found, &t->err), t->err);
    return found ? item.quantity : -1;
}

static int64_t written(temp_store *t)
{
    return sqlite3_total_changes64(bui_store_db(t->store));
}

static void begin(temp_store *t)
{
    OK_(bui_store_begin(t->store, &t->err), t->err);
}

static void commit(temp_store *t)
{
    OK_(bui_store_commit(t->store, &t->err), t->err);
}

static void opening_fails(temp_store *t, const char *says)
{
    temp_store_close(t);
    assert_int_not_equal(bui_store_open(&t->options, &t->store, &t->err), BUS_OK);
    t->store = NULL;
    if (!strstr(t->err.text, says))
        fail_msg("'%s' does not say '%s'", t->err.text, says);
}

/* ---- rows */

static const stocktaking_Everything everything = {
    .place = -7,
    .at = { INT64_MAX },
    .name = BUS_STR("a name"),
    .yes = true,
    .many = INT64_MIN,
    .day = { 20000 },
    .ratio = 0.25F,
    .exact = 1e300,
    .raw = { "\0\1", 2 },
    .hash = { { 1, 2, 3, 0 } },
    .colour = stocktaking_Colour_GREEN,
    .id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } },
    .price = { -1250, 2 },
    .says = BUS_STR(""),
    .maybe_many = BUS_SOME(0),
    .maybe_colour = BUS_SOME(stocktaking_Colour_RED),
    .maybe_raw = BUS_SOME({ "", 0 }),
    .maybe_price = BUS_SOME({ 5, 2 }),
};

static void same(const stocktaking_Everything *a)
{
    const stocktaking_Everything *b = &everything;
    assert_int_equal(a->many, b->many);
    assert_int_equal(a->day.days, b->day.days);
    assert_true(a->yes && a->ratio == b->ratio && a->exact == b->exact);
    assert_int_equal(a->raw.len, 2);
    assert_memory_equal(a->raw.at, b->raw.at, 2);
    assert_memory_equal(&a->hash, &b->hash, sizeof a->hash);
    assert_int_equal(a->colour, b->colour);
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->price.unscaled, -1250);
    assert_int_equal(a->price.scale, 2);
    assert_true(bus_string_equal(a->says, BUS_STR("")));
    assert_true(a->maybe_many.present && a->maybe_many.value == 0);
    assert_true(a->maybe_colour.present && a->maybe_colour.value == stocktaking_Colour_RED);
    assert_true(a->maybe_raw.present && a->maybe_raw.value.len == 0);
    assert_true(a->maybe_price.present && a->maybe_price.value.unscaled == 5 && a->maybe_price.value.scale == 2);
}

static void each_kind_comes_back(void **state)
{
    temp_store *t = *state;
    stocktaking_Everything row = { .place = -7, .at = { INT64_MAX }, .name = BUS_STR("a name") };
    bool found;
    begin(t);
    OK_(bui_state_save(t->store, &stocktaking_Everything_state, &everything, &t->err), t->err);
    OK_(bui_state_load(t->store, &stocktaking_Everything_state, &row, &found, &t->err), t->err);
    assert_true(found);
    same(&row);
    commit(t);
    temp_store_reopen(t);
    begin(t);
    row = (stocktaking_Everything){ .place = -7, .at = { INT64_MAX }, .name = BUS_STR("a name") };
    OK_(bui_state_load(t->store, &stocktaking_Everything_state, &row, &found, &t->err), t->err);
    assert_true(found);
    same(&row);
    row = (stocktaking_Everything){ .place = -7, .at = { INT64_MAX }, .name = BUS_STR("a nam") };
    OK_(bui_state_load(t->store, &stocktaking_Everything_state, &row, &found, &t->err), t->err);
    assert_false(found);
    OK_(bui_state_save(t->store, &stocktaking_Everything_state, &row, &t->err), t->err); /* zeros, and all absent */
    commit(t);
    assert_int_equal(
        temp_store_number(t, "SELECT count(*) FROM everything WHERE colour = 'GREEN' AND price = '-12.50' AND typeof(raw)"
                             " = 'blob' AND id = '01020304-0506-0708-090a-0b0c0d0e0f10' AND at = 9223372036854775807"),
        1);
    assert_int_equal(
        temp_store_number(t, "SELECT count(*) FROM everything WHERE maybe_many IS NULL AND colour = 'RED' AND price = '0.00'"),
        1);
}

static void refused(temp_store *t, stocktaking_Everything row, const char *says)
{
    assert_int_equal(bui_state_save(t->store, &stocktaking_Everything_state, &row, &t->err), BUS_INVALID);
    if (!strstr(t->err.text, says))
        fail_msg("'%s' does not say '%s'", t->err.text, says);
}

static void what_breaks_its_schema_is_refused_at_once(void **state)
{
    temp_store *t = *state;
    begin(t);
    refused(t, (stocktaking_Everything){ .exact = NAN }, "field exact is NaN");
    refused(t, (stocktaking_Everything){ .ratio = NAN }, "field ratio is NaN");
    refused(t, (stocktaking_Everything){ .says = BUS_STR("\xff") }, "field says is no UTF-8");
    refused(t, (stocktaking_Everything){ .name = { NULL, 3 } }, "field name has a length and no bytes");
    refused(t, (stocktaking_Everything){ .raw = { NULL, 3 } }, "field raw has a length and no bytes");
    refused(t, (stocktaking_Everything){ .price = { 1, 3 } }, "field price has another scale");
    refused(t, (stocktaking_Everything){ .price = { 1000000000, 2 } }, "field price has more digits");
    refused(t, (stocktaking_Everything){ .colour = (stocktaking_Colour)2 }, "field colour is no symbol");
    refused(t, (stocktaking_Everything){ .maybe_colour = BUS_SOME((stocktaking_Colour)-1) }, "field maybe_colour is no symbol");
    assert_int_equal(bui_state_save(t->store, &stocktaking_v2_Item_state, &(stocktaking_v2_Item){ 0 }, &t->err), BUS_INVALID);
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM everything"), 0);
}

static void what_others_put_into_a_column_is_an_error(void **state)
{
    temp_store *t = *state;
    static const char *const meddled[][2] = {
        { "colour = 'BLUE'", "column colour holds no symbol" }, { "many = 'x'", "column many holds no integer" },
        { "day = 5000000000", "column day holds a number" },    { "id = 'x'", "column id holds no UUID" },
        { "price = 'x'", "column price holds no decimal" },     { "hash = x'00'", "column hash holds another number" },
        { "price = '0.001'", "column price holds no decimal" },
    };
    for (size_t i = 0; i < sizeof meddled / sizeof *meddled; i++) {
        stocktaking_Everything row = everything;
        char sql[100];
        bool found;
        begin(t);
        OK_(bui_state_save(t->store, &stocktaking_Everything_state, &everything, &t->err), t->err);
        commit(t);
        snprintf(sql, sizeof sql, "UPDATE everything SET %s", meddled[i][0]);
        temp_store_meddle(t, sql);
        begin(t);
        assert_int_equal(bui_state_load(t->store, &stocktaking_Everything_state, &row, &found, &t->err), BUS_INVALID);
        assert_false(found);
        if (!strstr(t->err.text, meddled[i][1]))
            fail_msg("'%s' does not say '%s'", t->err.text, meddled[i][1]);
        bui_store_rollback(t->store);
    }
}

/* ---- when rows are written */

static void a_row_is_written_once_for_each_commit(void **state)
{
    temp_store *t = *state;
    begin(t);
    int64_t before = written(t);
    for (int i = 1; i <= 100; i++) {
        save(t, "tea", load(t, "tea") + i);
        save(t, "salt", i);
        OK_(bui_store_save(t->store, false, &t->err), t->err);
        OK_(bui_store_release(t->store, &t->err), t->err);
    }
    assert_int_equal(written(t), before);
    commit(t);
    assert_true(written(t) - before >= 2 && written(t) - before < 6); /* the library's own, too */
    assert_int_equal(temp_store_number(t, "SELECT quantity FROM item WHERE sku = 'tea'"), -1 + 5050);
    begin(t);
    before = written(t);
    assert_int_equal(load(t, "tea"), 5049);
    OK_(bui_state_write(t->store, &t->err), t->err);
    assert_int_equal(written(t), before); /* what did not change is not written */
    bui_store_rollback(t->store);
}

static void back_to_a_save_of_memory(void **state)
{
    temp_store *t = *state;
    begin(t);
    save(t, "tea", 1);
    save(t, "salt", 1);
    OK_(bui_store_save(t->store, false, &t->err), t->err);
    save(t, "tea", 2);
    save(t, "tea", 3);
    save(t, "oil", 3);
    OK_(bui_state_remove(t->store, &stocktaking_Item_state, &(stocktaking_Item){ .sku = BUS_STR("salt") }, &t->err), t->err);
    assert_int_equal(load(t, "tea"), 3);
    assert_int_equal(load(t, "salt"), -1);
    OK_(bui_store_back(t->store, &t->err), t->err);
    assert_int_equal(load(t, "tea"), 1);
    assert_int_equal(load(t, "salt"), 1);
    assert_int_equal(load(t, "oil"), -1);
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT sum(quantity) FROM item"), 2);
}

static void back_to_a_savepoint(void **state)
{
    temp_store *t = *state;
    begin(t);
    OK_(bui_store_save(t->store, true, &t->err), t->err);
    save(t, "tea", 1);
    OK_(bui_store_release(t->store, &t->err), t->err);
    OK_(bui_store_save(t->store, true, &t->err), t->err);
    save(t, "tea", 2);
    save(t, "oil", 2);
    assert_int_equal(temp_store_number(t, "SELECT quantity FROM item WHERE sku = 'tea'"), 2); /* at once */
    OK_(bui_store_back(t->store, &t->err), t->err);
    assert_int_equal(load(t, "tea"), 1);
    assert_int_equal(load(t, "oil"), -1);
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT sum(quantity) FROM item"), 1);
}

static void a_rollback_takes_all_back(void **state)
{
    temp_store *t = *state;
    begin(t);
    save(t, "tea", 1);
    commit(t);
    begin(t);
    save(t, "tea", 2);
    OK_(bui_store_save(t->store, false, &t->err), t->err); /* what follows is another delivery */
    OK_(bui_store_release(t->store, &t->err), t->err);
    save(t, "oil", 2);
    bui_store_rollback(t->store);
    begin(t);
    assert_int_equal(load(t, "tea"), 1);
    assert_int_equal(load(t, "oil"), -1);
    save(t, "salt", 3);
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT sum(quantity) FROM item"), 4);
}

static void memory_over_its_bound_is_written_early(void **state)
{
    temp_store *t = *state;
    char sku[40];
    t->options.state_bytes = 64000;
    temp_store_reopen(t);
    begin(t);
    int64_t before = written(t);
    for (int i = 0; i < 2000; i++) {
        snprintf(sku, sizeof sku, "one of many items %d", i);
        save(t, sku, i);
    }
    assert_true(written(t) - before > 1000);
    for (int i = 0; i < 2000; i++) {
        snprintf(sku, sizeof sku, "one of many items %d", i);
        OK_(bui_state_trim(t->store, &t->err), t->err);
        OK_(bui_store_save(t->store, false, &t->err), t->err);
        assert_int_equal(load(t, sku), i);
        OK_(bui_store_release(t->store, &t->err), t->err);
    }
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM item"), 2000);
}

/* ---- huge rows */

#define HUGE ((size_t)70 << 20) /* over what one handler may load */

static bus_status save_note(temp_store *t, const char *sku, bus_string note)
{
    return bui_state_save(t->store, &stocktaking_Item_state,
                          &(stocktaking_Item){ .sku = bus_str(sku), .note = { .present = true, .value = note } }, &t->err);
}

static void a_row_above_the_bound_is_kept_for_its_handler(void **state)
{
    temp_store *t = *state;
    static char text[100000];
    t->options.state_bytes = 64000;
    temp_store_reopen(t);
    memset(text, 'x', sizeof text);
    begin(t);
    for (int i = 0; i < 20; i++) {
        stocktaking_Item item = { .sku = BUS_STR("tea") };
        bool found;
        text[0] = (char)('a' + i);
        OK_(bui_state_trim(t->store, &t->err), t->err);
        OK_(bui_store_save(t->store, false, &t->err), t->err);
        OK_(save_note(t, "tea", (bus_string){ text, sizeof text }), t->err);
        OK_(bui_state_load(t->store, &stocktaking_Item_state, &item, &found, &t->err), t->err);
        assert_true(found && item.note.value.len == sizeof text && item.note.value.at[0] == 'a' + i);
        OK_(bui_store_release(t->store, &t->err), t->err);
        bui_state_figures figures;
        bui_state_figures_of(t->store, &figures);
        assert_true(figures.bytes < 300000);
    }
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT length(note) FROM item WHERE note LIKE 't%'"), sizeof text);
}

/* No memory would be an error of the machine, for which an event waits without end. */
static void a_row_that_memory_has_no_room_for(void **state)
{
    temp_store *t = *state;
    char *text = malloc(HUGE);
    stocktaking_Item item = { .sku = BUS_STR("tea") };
    bool found;
    assert_non_null(text);
    memset(text, 'x', HUGE);
    begin(t);
    save(t, "oil", 1);
    OK_(save_note(t, "tea", (bus_string){ text, HUGE }), t->err);
    free(text);
    assert_int_equal(load(t, "oil"), 1);
    assert_int_equal(bui_state_load(t->store, &stocktaking_Item_state, &item, &found, &t->err), BUS_TOO_BIG);
    assert_non_null(strstr(t->err.text, "more of table item than memory has room for"));
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT length(note) FROM item WHERE sku = 'tea'"), HUGE);
    begin(t);
    assert_int_equal(bui_state_load(t->store, &stocktaking_Item_state, &item, &found, &t->err), BUS_TOO_BIG);
    save(t, "tea", 3); /* what does not load can still be replaced */
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT quantity FROM item WHERE sku = 'tea' AND note IS NULL"), 3);
}

/* ---- no memory at all */

static bus_status changed(temp_store *t, int32_t to)
{
    stocktaking_Item item = { .sku = BUS_STR("tea") };
    stocktaking_Everything other = everything;
    bool found;
    bus_status status = bui_store_begin(t->store, &t->err);
    if (status != BUS_OK)
        return status;
    status = bui_state_load(t->store, &stocktaking_Item_state, &item, &found, &t->err);
    item.quantity = to;
    item.note = (bus_string_optional){ .present = true, .value = BUS_STR("a note") };
    if (status == BUS_OK)
        status = bui_state_save(t->store, &stocktaking_Item_state, &item, &t->err);
    if (status == BUS_OK)
        status = bui_state_load(t->store, &stocktaking_Everything_state, &other, &found, &t->err);
    other.many = to;
    if (status == BUS_OK)
        status = bui_state_save(t->store, &stocktaking_Everything_state, &other, &t->err);
    if (status == BUS_OK)
        status = bui_state_remove(t->store, &stocktaking_Item_state, &(stocktaking_Item){ .sku = BUS_STR("oil") }, &t->err);
    if (status == BUS_OK)
        return bui_store_commit(t->store, &t->err);
    bui_store_rollback(t->store);
    return status;
}

static void without_memory(void **state)
{
    temp_store *t = *state;
    for (int whose = 0; whose < 2; whose++) {
        int32_t now = 1;
        OK_(changed(t, now), t->err);
        for (long at = 1;; at++) {
            temp_store_reopen(t); /* prepares and grows everything again */
            if (whose)
                sqlite_fail_at(at);
            else
                alloc_fail_at(at, false);
            bus_status status = changed(t, now + 1);
            bool failed = whose ? sqlite_fail_off() : alloc_fail_off();
            now += status == BUS_OK;
            if (status != BUS_OK && (status != BUS_NOMEM || !failed))
                fail_msg("%s at %ld: %s", bus_status_name(status), at, t->err.text);
            begin(t); /* of both rows all or nothing, in memory and in the table */
            assert_int_equal(load(t, "tea"), now);
            commit(t);
            assert_int_equal(temp_store_number(t, "SELECT quantity FROM item WHERE note = 'a note'"), now);
            assert_int_equal(temp_store_number(t, "SELECT many FROM everything"), now);
            if (!failed) {
                assert_true(at > 10);
                break;
            }
        }
    }
}

static void figures_tell_what_was_done(void **state)
{
    temp_store *t = *state;
    bui_state_figures figures;
    begin(t);
    for (int i = 0; i < 10; i++)
        save(t, "tea", load(t, "tea") + 1);
    load(t, "oil");
    load(t, "oil");
    commit(t);
    bui_state_figures_of(t->store, &figures);
    assert_int_equal(figures.read, 2);
    assert_int_equal(figures.found, 10);
    assert_int_equal(figures.written, 1);
    assert_true(figures.bytes > 0 && figures.bytes < 4096);
}

static void what_another_connection_wrote_is_seen(void **state)
{
    temp_store *t = *state;
    begin(t);
    save(t, "tea", 1);
    commit(t);
    temp_store_meddle(t, "UPDATE item SET quantity = 7");
    begin(t);
    assert_int_equal(load(t, "tea"), 7);
    commit(t);
}

static void a_table_with_triggers_is_written_at_once(void **state)
{
    temp_store *t = *state;
    static const bus_migration migrations[] = {
        { "log", "CREATE TABLE log(n INTEGER PRIMARY KEY, q INTEGER);"
                 "CREATE TRIGGER logs AFTER INSERT ON item BEGIN INSERT INTO log(q) VALUES (new.quantity); END;"
                 "CREATE TRIGGER logs2 AFTER UPDATE ON item BEGIN INSERT INTO log(q) VALUES (new.quantity); END" },
        { 0 }
    };
    t->options.migrations = migrations;
    temp_store_reopen(t);
    begin(t);
    for (int i = 0; i < 5; i++)
        save(t, "tea", i);
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM log"), 5);
}

static void a_statement_of_open_stops_the_keeping(void **state)
{
    temp_store *t = *state;
    sqlite3_stmt *kept = NULL; /* as bus_service.open could leave it in its state */
    assert_int_equal(sqlite3_prepare_v2(bui_store_db(t->store), "SELECT quantity FROM item", -1, &kept, NULL), SQLITE_OK);
    begin(t);
    save(t, "tea", 1);
    assert_int_equal(sqlite3_step(kept), SQLITE_ROW);
    sqlite3_reset(kept);
    save(t, "tea", 2);
    assert_int_equal(sqlite3_step(kept), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(kept, 0), 2);
    sqlite3_finalize(kept);
    commit(t);
}

/* ---- its table */

static void a_new_field_gets_a_column(void **state)
{
    temp_store *t = *state;
    begin(t);
    save(t, "tea", 1);
    commit(t);
    t->options.states = next_states;
    temp_store_reopen(t);
    stocktaking_v2_Item row = { .sku = BUS_STR("tea") };
    bool found;
    begin(t);
    OK_(bui_state_load(t->store, &stocktaking_v2_Item_state, &row, &found, &t->err), t->err);
    assert_true(found && bus_string_is(row.shelf, "none") && row.quantity == 1 && !row.counted.present);
    row.shelf = BUS_STR("upper");
    row.counted = (bus_long_optional)BUS_SOME(5);
    OK_(bui_state_save(t->store, &stocktaking_v2_Item_state, &row, &t->err), t->err);
    commit(t);
    t->options.states = states; /* the version before goes on with it, and leaves what it does not know alone */
    temp_store_reopen(t);
    begin(t);
    save(t, "tea", 2);
    save(t, "oil", 2);
    commit(t);
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM item WHERE shelf = 'upper' AND counted = 5 AND quantity = 2"), 1);
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM item WHERE shelf = 'none' AND counted IS NULL"), 1);
}

static void the_column_of_a_field_that_is_gone_stays(void **state)
{
    temp_store *t = *state;
    const bus_shape *item = stocktaking_Item_type.shape;
    const bus_field fields[] = { item->fields[0], item->fields[2] };
    const char *const columns[] = { stocktaking_Item_state.columns[0], stocktaking_Item_state.columns[2] };
    bus_shape shape = *item;
    bus_type type = stocktaking_Item_type;
    bus_state fewer = stocktaking_Item_state;
    const bus_state *const without_quantity[] = { &fewer, NULL };
    shape.count = 2;
    shape.fields = fields;
    type.shape = &shape;
    fewer.type = &type;
    fewer.columns = columns;
    begin(t);
    save(t, "tea", 1);
    commit(t);
    t->options.states = without_quantity;
    temp_store_reopen(t);
    begin(t);
    OK_(bui_state_save(t->store, &fewer, &(stocktaking_Item){ .sku = BUS_STR("tea"), .note = BUS_SOME(BUS_STR("x")) }, &t->err),
        t->err);
    OK_(bui_state_save(t->store, &fewer, &(stocktaking_Item){ .sku = BUS_STR("oil") }, &t->err), t->err);
    commit(t);
    t->options.states = states;
    temp_store_reopen(t);
    assert_int_equal(temp_store_number(t, "SELECT quantity FROM item WHERE sku = 'tea' AND note = 'x'"), 1);
    assert_int_equal(temp_store_number(t, "SELECT quantity FROM item WHERE sku = 'oil'"), 0);
}

/* Another name for a field or a table is a new one. A migration moves what the old one holds: states are made before it. */
static void a_migration_follows_a_rename(void **state)
{
    temp_store *t = *state;
    static const bus_migration migrations[] = {
        { "stock is an item", "INSERT INTO item(sku, quantity, shelf) SELECT sku, n, note FROM stock; DROP TABLE stock" }, { 0 }
    };
    temp_store_meddle(t, "CREATE TABLE stock(sku TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL, note TEXT NOT NULL);"
                         "INSERT INTO stock VALUES('tea', 7, 'upper'); DROP TABLE item");
    t->options.states = next_states;
    t->options.migrations = migrations;
    temp_store_reopen(t);
    stocktaking_v2_Item row = { .sku = BUS_STR("tea") };
    bool found;
    begin(t);
    OK_(bui_state_load(t->store, &stocktaking_v2_Item_state, &row, &found, &t->err), t->err);
    assert_true(found && row.quantity == 7 && bus_string_is(row.shelf, "upper"));
    commit(t);
}

static void a_key_cannot_be_renamed_in_silence(void **state)
{
    temp_store *t = *state;
    temp_store_meddle(t, "ALTER TABLE item RENAME COLUMN sku TO code");
    opening_fails(t, "no column for the field sku");
    temp_store_meddle(t, "ALTER TABLE item RENAME COLUMN code TO sku");
    temp_store_open(t);
}

static void other_tables_are_refused(void **state)
{
    temp_store *t = *state;
    static const char *const remade[][2] = {
        { "CREATE TABLE item(sku TEXT NOT NULL PRIMARY KEY, quantity TEXT NOT NULL, note TEXT)", "another type" },
        { "CREATE TABLE item(sku TEXT NOT NULL PRIMARY KEY, quantity INTEGER, note TEXT)", "may be NULL" },
        { "CREATE TABLE item(sku TEXT NOT NULL PRIMARY KEY, quantity INTEGER NOT NULL, note TEXT NOT NULL)", "is NOT NULL" },
        { "CREATE TABLE item(sku TEXT NOT NULL, quantity INTEGER NOT NULL PRIMARY KEY, note TEXT)", "primary key" },
        { "CREATE TABLE item(sku TEXT NOT NULL PRIMARY KEY, note TEXT)", "the field quantity" },
        { "CREATE TABLE item(sku TEXT NOT NULL PRIMARY KEY, quantity INTEGER NOT NULL, note TEXT, more INTEGER NOT NULL)",
          "needs a value" },
    };
    for (size_t i = 0; i < sizeof remade / sizeof *remade; i++) {
        temp_store_meddle(t, "DROP TABLE item");
        temp_store_meddle(t, remade[i][0]);
        opening_fails(t, remade[i][1]);
    }
    temp_store_meddle(t, "DROP TABLE item");
    temp_store_open(t);
}

static void what_the_service_declares_is_checked(void **state)
{
    temp_store *t = *state;
    static const bus_state *const twice[] = { &stocktaking_Item_state, &stocktaking_Item_state, NULL };
    static const bus_state older = { .layout = BUS_STATE_LAYOUT + 1, .table = "item" };
    static const bus_state *const old[] = { &older, NULL };
    t->options.states = twice;
    opening_fails(t, "twice");
    t->options.states = old;
    opening_fails(t, "run bus-schemac again");
    t->options.states = states;
    temp_store_open(t);
}

int main(void)
{
#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_STORE(each_kind_comes_back),
        IN_STORE(what_breaks_its_schema_is_refused_at_once),
        IN_STORE(what_others_put_into_a_column_is_an_error),
        IN_STORE(a_row_is_written_once_for_each_commit),
        IN_STORE(back_to_a_save_of_memory),
        IN_STORE(back_to_a_savepoint),
        IN_STORE(a_rollback_takes_all_back),
        IN_STORE(memory_over_its_bound_is_written_early),
        IN_STORE(a_row_above_the_bound_is_kept_for_its_handler),
        IN_STORE(a_row_that_memory_has_no_room_for),
        IN_STORE(without_memory),
        IN_STORE(figures_tell_what_was_done),
        IN_STORE(what_another_connection_wrote_is_seen),
        IN_STORE(a_table_with_triggers_is_written_at_once),
        IN_STORE(a_statement_of_open_stops_the_keeping),
        IN_STORE(a_new_field_gets_a_column),
        IN_STORE(the_column_of_a_field_that_is_gone_stays),
        IN_STORE(a_migration_follows_a_rename),
        IN_STORE(a_key_cannot_be_renamed_in_silence),
        IN_STORE(other_tables_are_refused),
        IN_STORE(what_the_service_declares_is_checked),
    };
    sqlite_fail_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
