/* SPDX-License-Identifier: MIT
 * Values of events into statements and back: strings that are not terminated, absent ones, UUIDs, decimals; and a bind that fails in a
 * handler, whose result nobody looks at. */
#include "support/service_test.h"

#include "inventory.events.h"
#include <bus/bus.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    return statement;
}

static int set_up(void **state)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    *state = prepare(db, "SELECT ?1, typeof(?1), ?1 = ?2");
    return 0;
}

static int tear_down(void **state)
{
    sqlite3 *db = sqlite3_db_handle(*state);
    sqlite3_finalize(*state);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return 0;
}

static void step(sqlite3_stmt *row, const char *type)
{
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(row, 1), type);
}

static void strings_go_by_their_length(void **state)
{
    sqlite3_stmt *row = *state;
    const bus_string inner = { &"a sku of a longer text"[2], 3 }, zero = { "a\0b", 3 }, empty = { NULL, 0 };
    assert_int_equal(bus_bind_text(row, 1, inner), SQLITE_OK);
    step(row, "text");
    assert_true(bus_string_is(bus_column_text(row, 0), "sku"));
    sqlite3_reset(row);
    assert_int_equal(bus_bind_text(row, 1, zero), SQLITE_OK);
    step(row, "text");
    assert_true(bus_string_equal(bus_column_text(row, 0), zero));
    sqlite3_reset(row);
    assert_int_equal(bus_bind_text(row, 1, empty), SQLITE_OK);
    step(row, "text");
    assert_non_null(bus_column_text(row, 0).at);
    assert_int_equal(bus_column_text(row, 0).len, 0);
}

static void what_is_absent_is_null(void **state)
{
    sqlite3_stmt *row = *state;
    assert_int_equal(bus_bind_optional_text(row, 1, (bus_string_optional){ .present = false }), SQLITE_OK);
    step(row, "null");
    assert_false(bus_column_optional_text(row, 0).present);
    assert_null(bus_column_text(row, 0).at);
    assert_null(bus_column_blob(row, 0).at);
    sqlite3_reset(row);
    assert_int_equal(bus_bind_optional_text(row, 1, (bus_string_optional){ true, { NULL, 0 } }), SQLITE_OK);
    step(row, "text");
    assert_true(bus_column_optional_text(row, 0).present);
}

static void blobs(void **state)
{
    sqlite3_stmt *row = *state;
    assert_int_equal(bus_bind_blob(row, 1, (bus_bytes){ "\0\1\2", 3 }), SQLITE_OK);
    step(row, "blob");
    assert_int_equal(bus_column_blob(row, 0).len, 3);
    assert_memory_equal(bus_column_blob(row, 0).at, "\0\1\2", 3);
    sqlite3_reset(row);
    assert_int_equal(bus_bind_blob(row, 1, (bus_bytes){ NULL, 0 }), SQLITE_OK);
    step(row, "blob");
    assert_non_null(bus_column_blob(row, 0).at);
    assert_int_equal(bus_column_blob(row, 0).len, 0);
}

static void uuids_are_their_text(void **state)
{
    sqlite3_stmt *row = *state;
    const bus_uuid uuid = { { 0x0b, 0x6c, 0xe1, 0xc8, 0x5f, 0x1d, 0x5d, 0x0c, 0x9a, 0x39, 0x0b, 0x2c, 0x8a, 0x1e, 0x7f, 0x55 } };
    bus_uuid back;
    assert_int_equal(bus_bind_uuid(row, 1, uuid), SQLITE_OK);
    step(row, "text");
    assert_string_equal((const char *)sqlite3_column_text(row, 0), "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55");
    assert_true(bus_column_uuid(row, 0, &back));
    assert_memory_equal(&back, &uuid, sizeof uuid);
    assert_false(bus_column_uuid(row, 1, &back));
    assert_false(bus_column_uuid(row, 2, &back)); /* NULL */
}

static void decimals_are_their_text(void **state)
{
    sqlite3_stmt *row = *state;
    static const struct {
        bus_decimal value;
        const char *text;
    } cases[] = {
        { { -1250, 2 }, "-12.50" },
        { { 0, 0 }, "0" },
        { { 7, 3 }, "0.007" },
        { { -7, 3 }, "-0.007" },
        { { 12, 0 }, "12" },
        { { 999999999999999999, 18 }, "0.999999999999999999" },
        { { INT64_MIN, 18 }, "-9.223372036854775808" },
        { { INT64_MAX, 0 }, "9223372036854775807" },
        { { 0, 2 }, "0.00" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_decimal back;
        assert_int_equal(bus_bind_decimal(row, 1, cases[i].value), SQLITE_OK);
        step(row, "text");
        assert_string_equal((const char *)sqlite3_column_text(row, 0), cases[i].text);
        assert_true(bus_column_decimal(row, 0, cases[i].value.scale, &back));
        assert_int_equal(back.unscaled, cases[i].value.unscaled);
        assert_int_equal(back.scale, cases[i].value.scale);
        sqlite3_reset(row);
    }
    bus_decimal back;
    assert_int_equal(bus_bind_decimal(row, 1, (bus_decimal){ 1, 19 }), SQLITE_MISMATCH);
    assert_int_equal(bus_bind_text(row, 1, BUS_STR("1.234")), SQLITE_OK);
    step(row, "text");
    assert_false(bus_column_decimal(row, 0, 2, &back)); /* it would lose a digit */
    assert_true(bus_column_decimal(row, 0, 4, &back));
    assert_int_equal(back.unscaled, 12340);
    assert_false(bus_column_decimal(row, 2, 4, &back)); /* NULL */
    sqlite3_reset(row);
    assert_int_equal(bus_bind_text(row, 1, BUS_STR("9223372036854775808")), SQLITE_OK);
    step(row, "text");
    assert_false(bus_column_decimal(row, 0, 0, &back)); /* one more than 64 bits hold */
}

static void a_statement_that_is_none_is_misuse(void **state)
{
    (void)state;
    assert_int_equal(bus_bind_text(NULL, 1, BUS_STR("x")), SQLITE_MISUSE);
    assert_int_equal(bus_bind_optional_text(NULL, 1, (bus_string_optional){ .present = false }), SQLITE_MISUSE);
    assert_int_equal(bus_bind_blob(NULL, 1, (bus_bytes){ NULL, 0 }), SQLITE_MISUSE);
    assert_int_equal(bus_bind_uuid(NULL, 1, (bus_uuid){ { 0 } }), SQLITE_MISUSE);
    assert_int_equal(bus_bind_decimal(NULL, 1, (bus_decimal){ 0, 0 }), SQLITE_MISUSE);
}

static void strings_become_terminated_ones(void **state)
{
    (void)state;
    char out[4] = "xxx";
    assert_true(bus_string_copy(BUS_STR("abc"), out, sizeof out));
    assert_string_equal(out, "abc");
    assert_false(bus_string_copy(BUS_STR("abcd"), out, sizeof out));
    assert_string_equal(out, "");
    assert_false(bus_string_copy((bus_string){ "a\0b", 3 }, out, sizeof out));
    assert_true(bus_string_copy((bus_string){ NULL, 0 }, out, sizeof out));
    assert_string_equal(out, "");
    assert_false(bus_string_copy((bus_string){ NULL, 0 }, NULL, 0));
    assert_false(bus_string_equal(BUS_STR("a"), BUS_STR("b")));
    assert_true(bus_string_equal(BUS_STR(""), (bus_string){ NULL, 0 }));
    assert_true(bus_string_is(bus_string_of("abcdef", 3), "abc"));
    char text[20];
    snprintf(text, sizeof text, "[%.*s][%.*s]", BUS_TEXT(BUS_STR("abc")), BUS_TEXT(((bus_string){ NULL, 0 })));
    assert_string_equal(text, "[abc][]");
}

/* ---- in a handler */

static const bus_migration migrations[] = { { "stock", "CREATE TABLE stock(sku TEXT PRIMARY KEY NOT NULL, note TEXT)" }, { 0 } };

/* ?2 is bound as ?3, which there is not: without the rule the note would be NULL, silently. */
static bus_verdict on_received(bus_tx *tx, const bus_event *event, void *shard)
{
    const inventory_StockReceived *received = inventory_StockReceived_of(event);
    (void)shard;
    sqlite3_stmt *insert = bus_sql(tx, "INSERT INTO stock VALUES (?1, ?2)");
    bus_bind_text(insert, 1, received->sku);
    bus_bind_text(insert, received->quantity == 1 ? 2 : 3, received->delivery);
    sqlite3_step(insert);
    return BUS_DONE;
}

static const bus_route routes[] = {
    { .topic = "stock.commands", .type = &inventory_StockReceived_type, .handler = on_received, .attempts = 1 }, { 0 }
};
static const bus_service service = { .name = "stock", .routes = routes, .migrations = migrations };

static void a_bind_that_fails_fails_the_delivery(void **state)
{
    bus_test *t = NULL;
    int64_t rows = -1;
    bus_test_figures figures;
    (void)state;
    OK(bus_test_open(&service, NULL, &t, ERR));
    for (int quantity = 1; quantity <= 2; quantity++)
        OK(bus_test_send(t, "stock.commands", &inventory_StockReceived_type, bus_str(NULL),
                         &(inventory_StockReceived){ .delivery = BUS_STR("D-1"),
                                                     .sku = quantity == 1 ? BUS_STR("tea") : BUS_STR("salt"),
                                                     .quantity = quantity },
                         ERR));
    OK(bus_test_run(t, ERR));
    OK(bus_test_query(t, "SELECT count(*) FROM stock WHERE sku = 'tea' AND note = 'D-1'", &rows, ERR));
    assert_int_equal(rows, 1);
    OK(bus_test_query(t, "SELECT count(*) FROM stock", &rows, ERR));
    assert_int_equal(rows, 1);
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.dead_lettered, 1);
    bool told = false;
    const bus_event *letter = bus_test_event(t, "stock.dlq", 0);
    for (size_t i = 0; i < letter->header_count; i++)
        told = told || (letter->headers[i].len > 20 &&
                        memmem(letter->headers[i].value, letter->headers[i].len, "binding parameter 3: ", 21));
    assert_true(told);
    bus_test_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strings_go_by_their_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_absent_is_null, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blobs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(uuids_are_their_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(decimals_are_their_text, set_up, tear_down),
        cmocka_unit_test(a_statement_that_is_none_is_misuse),
        cmocka_unit_test(strings_become_terminated_ones),
        cmocka_unit_test(a_bind_that_fails_fails_the_delivery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
