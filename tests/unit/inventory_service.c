/* SPDX-License-Identifier: MIT
 * The inventory service whole, on topics in memory: one answer a command, to the order it is for, and never too much. */
int inventory_main(int argc, char **argv);
#define main inventory_main
#include "../../services/inventory/domain.c"
#include "../../services/inventory/store.c"
#include "../../services/inventory/main.c"
#undef main

#include "support/service_test.h"
#include <stdio.h>

static int set_up(void **state)
{
    return service_opened(state, &service);
}

static void deliver(bus_test *t, const char *delivery, const char *sku, int quantity)
{
    OK(bus_test_send(t, "inventory.commands", &inventory_StockReceived_type, bus_str(sku),
                     &(inventory_StockReceived){ .delivery = bus_str(delivery), .sku = bus_str(sku), .quantity = quantity },
                     ERR));
    OK(bus_test_run(t, ERR));
}

static void reserve(bus_test *t, const char *id, const char *sku, int quantity)
{
    OK(bus_test_send(t, "inventory.commands", &inventory_ReserveStock_type, bus_str(sku),
                     &(inventory_ReserveStock){ .order_id = bus_str(id), .sku = bus_str(sku), .quantity = quantity }, ERR));
    OK(bus_test_run(t, ERR));
}

static void release(bus_test *t, const char *id, const char *sku)
{
    OK(bus_test_send(t, "inventory.commands", &inventory_ReleaseStock_type, bus_str(sku),
                     &(inventory_ReleaseStock){ .order_id = bus_str(id), .sku = bus_str(sku) }, ERR));
    OK(bus_test_run(t, ERR));
}

static void assert_answer(bus_test *t, size_t at, const bus_type *type, const char *order_id)
{
    const bus_event *e = bus_test_event(t, "inventory.events", at);
    assert_non_null(e);
    assert_string_equal(e->type_name, bus_type_name(type));
    assert_int_equal(e->key.len, strlen(order_id)); /* answers go by order */
    assert_memory_equal(e->key.at, order_id, e->key.len);
}

static int64_t query(bus_test *t, const char *sql)
{
    int64_t n = -1;
    OK(bus_test_query(t, sql, &n, ERR));
    return n;
}

static void stock_is_kept_until_it_is_gone(void **state)
{
    bus_test *t = *state;
    deliver(t, "D-1", "SKU-1", 5);
    deliver(t, "D-1", "SKU-1", 5); /* the same delivery note */
    reserve(t, "o-1", "SKU-1", 3);
    reserve(t, "o-2", "SKU-1", 3);
    assert_answer(t, 0, &inventory_StockReserved_type, "o-1");
    assert_answer(t, 1, &inventory_StockRejected_type, "o-2");
    release(t, "o-1", "SKU-1");
    assert_answer(t, 2, &inventory_StockReleased_type, "o-1");
    reserve(t, "o-3", "SKU-1", 5);
    assert_answer(t, 3, &inventory_StockReserved_type, "o-3");
    assert_int_equal(query(t, "SELECT sum(available) FROM stock"), 0);
    assert_int_equal(query(t, "SELECT sum(reserved) FROM stock"), 5);
}

static char low[300];
static int lows;

static void keep_low(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    (void)level;
    if (!memmem(line, len, "\"stock_low\"", 11))
        return;
    lows++;
    snprintf(low, sizeof low, "%.*s", (int)len, line);
}

static void a_low_stock_is_told_once(void **state)
{
    bus_test *t;
    (void)state;
    bus_config *config = bus_config_new();
    OK(bus_config_set(config, "service.inventory.low.water", "3", ERR));
    OK(bus_test_open(&service, &(bus_test_options){ .config = config }, &t, ERR));
    bus_log_to(BUS_INFO, keep_low, NULL);
    deliver(t, "D-1", "SKU-1", 5);
    reserve(t, "o-1", "SKU-1", 1);
    assert_int_equal(lows, 0);
    reserve(t, "o-2", "SKU-1", 2);
    reserve(t, "o-3", "SKU-1", 1);
    bus_log_to(BUS_INFO, NULL, NULL);
    assert_int_equal(lows, 1);
    assert_non_null(strstr(low, "\"sku\":\"SKU-1\",\"available\":2}"));
    bus_test_close(t);
    bus_config_free(config);
}

static void an_unknown_item_waits_as_a_dead_letter(void **state)
{
    bus_test *t = *state;
    bus_test_figures figures;
    reserve(t, "o-1", "SKU-9", 1);
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.letters_open, 1);
    assert_null(bus_test_event(t, "inventory.events", 0));
    deliver(t, "D-9", "SKU-9", 4); /* the key is free: the cure is not stuck behind the ill */
    assert_int_equal(query(t, "SELECT sum(available) FROM stock"), 4);
}

static void a_misplaced_key_is_refused(void **state)
{
    bus_test *t = *state;
    bus_test_figures figures;
    OK(bus_test_send(t, "inventory.commands", &inventory_StockReceived_type, BUS_STR("o-1"),
                     &(inventory_StockReceived){ .delivery = BUS_STR("D-1"), .sku = BUS_STR("SKU-1"), .quantity = 1 }, ERR));
    OK(bus_test_run(t, ERR));
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.dead_lettered, 1);
    assert_int_equal(query(t, "SELECT count(*) FROM stock"), 0);
}

static void a_store_survives_its_process(void **state)
{
    bus_test *t = *state;
    deliver(t, "D-1", "SKU-1", 5);
    reserve(t, "o-1", "SKU-1", 2);
    OK(bus_test_restart(t, ERR));
    reserve(t, "o-1", "SKU-1", 2); /* repeated: the same answer, nothing more is kept */
    assert_answer(t, 1, &inventory_StockReserved_type, "o-1");
    assert_int_equal(query(t, "SELECT sum(reserved) FROM stock"), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, service_closed)
    const struct CMUnitTest tests[] = {
        TEST(stock_is_kept_until_it_is_gone),         cmocka_unit_test(a_low_stock_is_told_once),
        TEST(an_unknown_item_waits_as_a_dead_letter), TEST(a_misplaced_key_is_refused),
        TEST(a_store_survives_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
