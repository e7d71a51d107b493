/* SPDX-License-Identifier: MIT
 * bus_test_*: dead letters are shown, redriven and discarded. */
#include "support/stockroom.h"

#include <bus/bus.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void dead_letters_are_counted_and_can_be_read(void **state)
{
    bus_test *test = *state;
    stockroom_trouble = true;
    stockroom_receive(test, "tea", 5);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).dead_lettered, 1);
    assert_int_equal(stockroom_figures(test).letters_open, 1);
    const bus_event *letter = bus_test_event(test, "stock.dlq", 0);
    assert_int_equal(inventory_StockReceived_of(letter)->quantity, 5);
    bool told = false;
    for (size_t i = 0; i < letter->header_count; i++)
        told = told || (strcmp(letter->headers[i].name, "__dlq.errors.message") == 0 && letter->headers[i].len == 9 &&
                        memcmp(letter->headers[i].value, "no scales", 9) == 0);
    assert_true(told);
}

static void letters_are_shown_and_redriven(void **state)
{
    bus_test *test = *state;
    bus_error err = { 0 };
    assert_null(bus_test_letter_at(test, 0));
    assert_int_equal(bus_test_redrive(test, NULL, &err), BUS_MISSING);
    stockroom_trouble = true;
    stockroom_receive(test, "tea", 5);
    stockroom_receive(test, "salt", 6);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    const bus_test_letter *letter = bus_test_letter_at(test, 0);
    assert_string_equal(letter->state, "open");
    assert_string_equal(letter->error_class, "handler");
    assert_string_equal(letter->error, "no scales");
    assert_int_equal(letter->round, 1);
    assert_int_equal(letter->attempts, 1);
    assert_false(letter->holds_key);
    assert_string_equal(letter->event->topic, "stock.commands");
    assert_int_equal(inventory_StockReceived_of(letter->event)->quantity, 5);
    assert_null(bus_test_letter_at(test, 2));
    /* Nothing has changed: it fails again. */
    assert_int_equal(bus_test_redrive(test, letter->id, &err), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(bus_test_letter_at(test, 0)->round, 2);
    assert_string_equal(bus_test_letter_at(test, 0)->state, "open");
    assert_int_equal(letter->round, 1); /* as it was */
    stockroom_trouble = false;
    assert_int_equal(bus_test_redrive(test, NULL, &err), BUS_OK);
    assert_int_equal(stockroom_total(test), 0);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 11);
    assert_string_equal(bus_test_letter_at(test, 0)->state, "resolved");
    assert_string_equal(bus_test_letter_at(test, 1)->state, "resolved");
    assert_int_equal(stockroom_figures(test).letters_open, 0);
    assert_int_equal(bus_test_redrive(test, letter->id, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "is resolved already"));
    assert_int_equal(bus_test_redrive(test, "no such letter", &err), BUS_MISSING);
}

static void letters_are_discarded(void **state)
{
    bus_test *test = *state;
    bus_error err = { 0 };
    stockroom_trouble = true;
    stockroom_receive(test, "tea", 5);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(bus_test_discard(test, bus_test_letter_at(test, 0)->id, &err), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_string_equal(bus_test_letter_at(test, 0)->state, "discarded");
    stockroom_trouble = false;
    assert_int_equal(bus_test_discard(test, NULL, &err), BUS_MISSING);
    assert_int_equal(bus_test_redrive(test, bus_test_letter_at(test, 0)->id, &err), BUS_REFUSED);
    assert_int_equal(stockroom_total(test), 0);
    assert_int_equal(stockroom_figures(test).letters_open, 0);
}

/* A held key, of an event and of a tombstone: both are given up on, and what came behind waits until they are through. */
static bus_verdict on_gone(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    assert_null(event->value.at);
    return stockroom_trouble ? bus_reject(tx, "it is still there") : BUS_DONE;
}

static void letters_that_hold_their_key_let_it_go(void **state)
{
    static const bus_route holding[] = {
        { .topic = "stock.commands",
          .type = &inventory_StockReceived_type,
          .handler = stockroom_on_received,
          .on_dead = BUS_HOLD_KEY },
        { .topic = "stock.commands", .tombstone = true, .handler = on_gone, .on_dead = BUS_HOLD_KEY },
        { 0 }
    };
    static const bus_service holder = { .name = "holder",
                                        .routes = holding,
                                        .migrations = stockroom_migrations,
                                        .open = stockroom_on_open,
                                        .close = stockroom_on_close,
                                        .opaque = &stockroom_trouble };
    bus_test *test = NULL;
    (void)state;
    stockroom_trouble = true;
    assert_int_equal(bus_test_open(&holder, NULL, &test, NULL), BUS_OK);
    stockroom_receive(test, "tea", 5);
    const bus_publication tombstone = { .topic = "stock.commands", .key = BUS_STR("salt"), .tombstone = true };
    assert_int_equal(bus_test_publish(test, &tombstone, NULL), BUS_OK);
    stockroom_receive(test, "salt", 2);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_true(bus_test_letter_at(test, 0)->holds_key && bus_test_letter_at(test, 1)->holds_key);
    assert_null(bus_test_letter_at(test, 1)->event->value.at);
    assert_int_equal(stockroom_figures(test).keys_held, 2);
    stockroom_trouble = false;
    stockroom_receive(test, "tea", 1);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 0);
    assert_int_equal(bus_test_redrive(test, NULL, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 8);
    assert_int_equal(stockroom_figures(test).keys_held, 0);
    bus_test_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOCKROOM_TEST(dead_letters_are_counted_and_can_be_read),
        STOCKROOM_TEST(letters_are_shown_and_redriven),
        STOCKROOM_TEST(letters_are_discarded),
        cmocka_unit_test(letters_that_hold_their_key_let_it_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
