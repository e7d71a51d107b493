/* SPDX-License-Identifier: MIT
 * The example's test: no Kafka, no waiting. docs/testing.md shows it. */
#include <bus/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int loyalty_main(int argc, char **argv);
#define main loyalty_main /* the service, with all that is static in it */
#include "main.c"
#undef main

static bus_test *test;
static bus_error err;

static void must(bus_status status)
{
    if (status == BUS_OK)
        return;
    fprintf(stderr, "%s: %s\n", bus_status_name(status), err.text);
    exit(1);
}

static void expect(bool is_so, const char *what)
{
    if (is_so)
        return;
    fprintf(stderr, "not so: %s\n", what);
    exit(1);
}

/* As the service order would say it. */
static void confirm(const char *order_id, int64_t cents)
{
    const order_OrderConfirmed confirmed = { .order_id = bus_str(order_id), .customer = BUS_STR("ada"), .total_cents = cents };
    must(bus_test_send(test, "order.events", &order_OrderConfirmed_type, bus_str(order_id), &confirmed, &err));
    must(bus_test_run(test, &err));
}

static void a_large_order_earns_a_voucher(void)
{
    int64_t cents = 0;
    confirm("o-1", 9999);
    confirm("o-2", 10000);
    expect(bus_test_count(test, "loyalty.events", NULL) == 1, "one event was emitted");
    const bus_event *event = bus_test_find(test, "loyalty.events", &loyalty_VoucherGranted_type, 0);
    expect(bus_string_is(loyalty_VoucherGranted_of(event)->order_id, "o-2"), "it is for the large order");
    must(bus_test_query(test, "SELECT sum(cents) FROM voucher", &cents, &err));
    expect(cents == 1000, "the store has a voucher of ten dollars");
}

static void what_cannot_be_is_a_dead_letter(void)
{
    confirm("o-3", -1);
    const bus_test_letter *letter = bus_test_letter_at(test, 0);
    expect(letter && strcmp(letter->error, "the order's total is negative") == 0, "the letter has the reason");
    must(bus_test_redrive(test, letter->id, &err)); /* as an operator might: but nothing has changed */
    must(bus_test_run(test, &err));
    expect(bus_test_letter_at(test, 0)->round == 2, "it has failed again");
    must(bus_test_discard(test, letter->id, &err));
    must(bus_test_run(test, &err));
    expect(strcmp(bus_test_letter_at(test, 0)->state, "discarded") == 0, "it is discarded");
}

/* The table's key stands in the way of a second voucher: tried again, later and later, then given up. */
static void time_passes_when_told(void)
{
    bus_test_figures figures;
    confirm("o-2", 10000);
    bus_test_figures_of(test, &figures);
    expect(figures.retried == 1 && figures.keys_waiting == 1, "it waits to be tried again");
    must(bus_test_advance(test, 24 * 3600 * 1000, &err));
    bus_test_figures_of(test, &figures);
    expect(figures.letters_open == 1, "after a day it has been given up");
}

int main(void)
{
    must(bus_test_open(&service, NULL, &test, &err));
    a_large_order_earns_a_voucher();
    what_cannot_be_is_a_dead_letter();
    time_passes_when_told();
    bus_test_close(test);
    puts("all is well");
    return 0;
}
