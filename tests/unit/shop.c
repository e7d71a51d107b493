/* SPDX-License-Identifier: MIT
 * The shop's three services in one test, on one broker and one clock: the saga whole, with what goes wrong on its way and what an
 * operator does about it. Nothing stands in for anybody. */
#include "support/service_test.h"
#include "support/shop.h"

#include <fcntl.h>
#include <inventory.events.h>
#include <order.events.h>
#include <payment.events.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct shop {
    bus_test *order, *inventory, *payment;
    char directory[64];
} shop;

static int set_up(void **state)
{
    shop *s = calloc(1, sizeof *s);
    strcpy(s->directory, "/tmp/shop-XXXXXX");
    if (mkdtemp(s->directory) == NULL)
        return -1;
    OK(bus_test_open(shop_order(), &(bus_test_options){ .shards = 2 }, &s->order, ERR));
    OK(bus_test_open(shop_inventory(), &(bus_test_options){ .beside = s->order }, &s->inventory, ERR));
    OK(bus_test_open(shop_payment(s->directory), &(bus_test_options){ .beside = s->order }, &s->payment, ERR));
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    shop *s = *state;
    char command[100];
    bus_test_close(s->order);
    bus_test_close(s->inventory);
    bus_test_close(s->payment);
    snprintf(command, sizeof command, "rm -rf %s", s->directory);
    free(s);
    return system(command);
}

static void deliver(shop *s, const char *delivery, const char *sku, int quantity)
{
    OK(bus_test_send(s->inventory, "inventory.commands", &inventory_StockReceived_type, bus_str(sku),
                     &(inventory_StockReceived){ .delivery = bus_str(delivery), .sku = bus_str(sku), .quantity = quantity },
                     ERR));
    OK(bus_test_run(s->inventory, ERR));
}

/* Two lines: so many lamps, and one desk. */
static void place(shop *s, const char *id, const char *card, int lamps)
{
    order_OrderLine lines[] = {
        { .sku = BUS_STR("LAMP"), .quantity = lamps, .unit_price_cents = 4900 },
        { .sku = BUS_STR("DESK"), .quantity = 1, .unit_price_cents = 19900 },
    };
    OK(bus_test_send(s->order, "order.commands", &order_PlaceOrder_type, bus_str(id),
                     &(order_PlaceOrder){
                         .order_id = bus_str(id), .customer = BUS_STR("ada"), .card = bus_str(card), .lines = BUS_ARRAY(lines) },
                     ERR));
    OK(bus_test_run(s->order, ERR));
}

static int64_t ask(bus_test *t, const char *sql)
{
    int64_t n = -1;
    OK(bus_test_query(t, sql, &n, ERR));
    return n;
}

static void assert_order(shop *s, size_t confirmed, size_t cancelled)
{
    assert_int_equal(bus_test_count(s->order, "order.events", &order_OrderConfirmed_type), confirmed);
    assert_int_equal(bus_test_count(s->order, "order.events", &order_OrderCancelled_type), cancelled);
}

/* What is there for others, over all items; nothing is kept but for confirmed orders. */
static void assert_stock(shop *s, int64_t available, int64_t reserved)
{
    assert_int_equal(ask(s->inventory, "SELECT sum(available) FROM stock"), available);
    assert_int_equal(ask(s->inventory, "SELECT sum(reserved) FROM stock"), reserved);
}

static void an_order_goes_through_all_three(void **state)
{
    shop *s = *state;
    deliver(s, "D-1", "LAMP", 5);
    deliver(s, "D-2", "DESK", 5);
    place(s, "o-1", "tok_visa", 2);
    assert_order(s, 1, 0);
    assert_stock(s, 7, 3);
    const order_OrderConfirmed *confirmed =
        order_OrderConfirmed_of(bus_test_find(s->order, "order.events", &order_OrderConfirmed_type, 0));
    const payment_PaymentTaken *taken =
        payment_PaymentTaken_of(bus_test_find(s->payment, "payment.events", &payment_PaymentTaken_type, 0));
    assert_int_equal(confirmed->total_cents, 29700);
    assert_true(bus_string_equal(confirmed->payment_reference, taken->reference));
    OK(bus_test_advance(s->order, 3600000, ERR));
    assert_order(s, 1, 0);
    assert_null(bus_test_letter_at(s->order, 0));
}

static void a_declined_card_gives_the_goods_back(void **state)
{
    shop *s = *state;
    deliver(s, "D-1", "LAMP", 5);
    deliver(s, "D-2", "DESK", 5);
    place(s, "o-1", "tok_declined", 2);
    assert_order(s, 0, 1);
    assert_stock(s, 10, 0);
    const order_OrderCancelled *cancelled =
        order_OrderCancelled_of(bus_test_find(s->order, "order.events", &order_OrderCancelled_type, 0));
    assert_string_equal(order_CancelReason_name(cancelled->reason), "PAYMENT_DECLINED");
}

static void what_is_short_cancels_the_rest(void **state)
{
    shop *s = *state;
    deliver(s, "D-1", "LAMP", 1);
    deliver(s, "D-2", "DESK", 5);
    place(s, "o-1", "tok_visa", 2);
    assert_order(s, 0, 1);
    assert_stock(s, 6, 0);
    assert_int_equal(bus_test_count(s->payment, "payment.commands", NULL), 0);
}

/* Inventory does not know the desk: its letter has the reason. The desks come, an operator redrives it, and the order goes on. */
static void an_operator_saves_an_order(void **state)
{
    shop *s = *state;
    deliver(s, "D-1", "LAMP", 5);
    place(s, "o-1", "tok_visa", 2);
    assert_order(s, 0, 0);
    const bus_test_letter *letter = bus_test_letter_at(s->inventory, 0);
    assert_non_null(strstr(letter->error, "item DESK: the item is unknown"));
    assert_true(bus_string_is(inventory_ReserveStock_of(letter->event)->order_id, "o-1"));
    assert_null(bus_test_letter_at(s->order, 0));
    deliver(s, "D-2", "DESK", 5);
    OK(bus_test_redrive(s->inventory, letter->id, ERR));
    OK(bus_test_run(s->order, ERR));
    assert_string_equal(bus_test_letter_at(s->inventory, 0)->state, "resolved");
    assert_order(s, 1, 0);
    assert_stock(s, 7, 3);
}

/* Nobody looks after the letter: the deadline cancels, and the lamps go back. Redriven later it finds its release before it. */
static void an_order_nobody_saves_is_cancelled(void **state)
{
    shop *s = *state;
    deliver(s, "D-1", "LAMP", 5);
    place(s, "o-1", "tok_visa", 2);
    OK(bus_test_advance(s->order, 60001, ERR));
    assert_order(s, 0, 1);
    assert_stock(s, 5, 0);
    deliver(s, "D-2", "DESK", 5);
    OK(bus_test_redrive(s->inventory, NULL, ERR));
    OK(bus_test_run(s->order, ERR));
    assert_order(s, 0, 1);
    assert_stock(s, 10, 0);
    assert_null(bus_test_letter_at(s->order, 0));
}

/* The provider is away, payment waits for it, and order's clock runs out; the money that is taken late goes back. All of them are killed
 * on the way. */
static void money_that_comes_late_goes_back(void **state)
{
    shop *s = *state;
    char down[100];
    deliver(s, "D-1", "LAMP", 5);
    deliver(s, "D-2", "DESK", 5);
    snprintf(down, sizeof down, "%s/down", s->directory);
    close(open(down, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    place(s, "o-1", "tok_visa", 2);
    OK(bus_test_restart(s->order, ERR));
    OK(bus_test_advance(s->order, 60001, ERR));
    assert_order(s, 0, 1);
    assert_stock(s, 10, 0);
    OK(bus_test_restart(s->payment, ERR));
    assert_int_equal(unlink(down), 0);
    OK(bus_test_advance(s->order, 3600000, ERR));
    assert_order(s, 0, 1);
    assert_int_equal(bus_test_count(s->order, "payment.events", &payment_PaymentTaken_type), 1);
    assert_int_equal(bus_test_count(s->order, "payment.events", &payment_PaymentRefunded_type), 1);
    assert_int_equal(ask(s->order, "SELECT count(*) FROM orders WHERE payment = 'refunded'"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_order_goes_through_all_three), TEST(a_declined_card_gives_the_goods_back), TEST(what_is_short_cancels_the_rest),
        TEST(an_operator_saves_an_order),      TEST(an_order_nobody_saves_is_cancelled),   TEST(money_that_comes_late_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
