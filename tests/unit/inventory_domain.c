/* SPDX-License-Identifier: MIT
 * Inventory's decisions: each rule by itself, then long random histories in which no piece may appear or vanish. */
#include "../../services/inventory/domain.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const stock ten = { true, 10, 0 };
static const reservation none = { RESERVATION_NONE, 0 };

static void deliveries_add_up(void **state)
{
    (void)state;
    stock_decision d = stock_receive((stock){ .known = false }, 7);
    assert_null(d.refused);
    d = stock_receive(d.stock, 5);
    assert_true(d.stock.known);
    assert_int_equal(d.stock.available, 12);
    assert_non_null(stock_receive(ten, 0).refused);
    assert_non_null(stock_receive(ten, -3).refused);
    assert_non_null(stock_receive(ten, INVENTORY_QUANTITY_MAX + 1).refused);
    assert_non_null(stock_receive((stock){ true, INT64_MAX - 1, 0 }, 2).refused);
}

static void a_reservation_takes_what_is_there(void **state)
{
    (void)state;
    stock_decision d = stock_reserve(ten, none, 10);
    assert_int_equal(d.answer, ANSWER_RESERVED);
    assert_int_equal(d.stock.available, 0);
    assert_int_equal(d.stock.reserved, 10);
    d = stock_reserve(d.stock, none, 1);
    assert_int_equal(d.answer, ANSWER_REJECTED);
    assert_int_equal(d.stock.available, 0);
    assert_int_equal(d.reservation.state, RESERVATION_REJECTED);
}

static void a_repeated_command_gets_the_same_answer(void **state)
{
    (void)state;
    stock_decision first = stock_reserve(ten, none, 4);
    stock_decision again = stock_reserve(first.stock, first.reservation, 4);
    assert_int_equal(again.answer, ANSWER_RESERVED);
    assert_int_equal(again.stock.available, 6);
    assert_non_null(stock_reserve(first.stock, first.reservation, 5).refused);
    stock_decision no = stock_reserve(ten, none, 11);
    stock_decision late = stock_receive(no.stock, 100); /* more came, but the order has been told */
    assert_int_equal(stock_reserve(late.stock, no.reservation, 11).answer, ANSWER_REJECTED);
}

static void a_release_gives_back_once(void **state)
{
    (void)state;
    stock_decision d = stock_reserve(ten, none, 4);
    d = stock_release(d.stock, d.reservation);
    assert_int_equal(d.stock.available, 10);
    assert_int_equal(d.stock.reserved, 0);
    assert_int_equal(d.quantity, 4);
    stock_decision again = stock_release(d.stock, d.reservation);
    assert_int_equal(again.stock.available, 10);
    assert_int_equal(again.answer, ANSWER_RELEASED);
    assert_int_equal(again.quantity, 0);
}

static void a_release_that_comes_first_is_remembered(void **state)
{
    (void)state;
    stock_decision d = stock_release(ten, none);
    assert_int_equal(d.reservation.state, RESERVATION_RELEASED);
    d = stock_reserve(d.stock, d.reservation, 4);
    assert_int_equal(d.answer, ANSWER_REJECTED);
    assert_int_equal(d.stock.available, 10);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_non_null(stock_reserve((stock){ .known = false }, none, 1).refused);
    assert_non_null(stock_reserve(ten, none, 0).refused);
    assert_non_null(stock_reserve(ten, none, -1).refused);
    assert_non_null(stock_reserve(ten, none, INT32_MIN).refused);
}

static void pieces_neither_appear_nor_vanish(void **state)
{
    (void)state;
    enum { ORDERS = 20 };
    stock item = { .known = false };
    reservation held[ORDERS] = { { RESERVATION_NONE, 0 } };
    int64_t received = 0;
    int rejected = 0, released = 0;
    srand(7);
    for (int step = 0; step < 200000; step++) {
        int o = rand() % ORDERS, what = rand() % 8;
        stock_decision d;
        if (what == 0 && received < 1000) {
            int32_t quantity = 1 + rand() % 9;
            d = stock_receive(item, quantity);
            d.reservation = held[o];
            received += quantity;
        } else if (what < 5) {
            d = stock_reserve(item, held[o], held[o].state == RESERVATION_HELD ? held[o].quantity : 1 + rand() % 5);
        } else {
            d = stock_release(item, held[o]);
        }
        if (d.refused != NULL)
            continue;
        item = d.stock;
        held[o] = d.reservation;
        rejected += d.answer == ANSWER_REJECTED;
        released += d.quantity > 0 && d.answer == ANSWER_RELEASED;
        int64_t sum = 0;
        for (int i = 0; i < ORDERS; i++)
            sum += held[i].state == RESERVATION_HELD ? held[i].quantity : 0;
        assert_int_equal(item.reserved, sum);
        assert_int_equal(item.available + item.reserved, received);
        assert_true(item.available >= 0);
        if (rand() % 50 == 0 && held[o].state != RESERVATION_HELD)
            held[o] = none; /* a new order takes the place */
    }
    assert_true(rejected > 100 && released > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deliveries_add_up),
        cmocka_unit_test(a_reservation_takes_what_is_there),
        cmocka_unit_test(a_repeated_command_gets_the_same_answer),
        cmocka_unit_test(a_release_gives_back_once),
        cmocka_unit_test(a_release_that_comes_first_is_remembered),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(pieces_neither_appear_nor_vanish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
