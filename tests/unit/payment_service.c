/* SPDX-License-Identifier: MIT
 * The payment service whole, on topics in memory, with its provider: one charge an order, whatever goes wrong on the way. */
int payment_main(int argc, char **argv);
#define main payment_main
#include "../../services/payment/provider.c"
#include "../../services/payment/domain.c"
#include "../../services/payment/main.c"
#undef main

#include "support/service_test.h"
#include "support/temp_store.h"
#include <fcntl.h>

static char directory[64];

static int set_up(void **state)
{
    bus_test *t = NULL;
    strcpy(directory, "/tmp/payment-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    service.opaque = directory;
    OK(bus_test_open(&service, NULL, &t, ERR));
    *state = t;
    return t != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const files[] = { "books.db", "books.db-wal", "books.db-shm", "down" };
    char path[100];
    bus_test_close(*state);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static void charge(bus_test *t, const char *id, const char *card, int64_t amount)
{
    OK(bus_test_send(t, "payment.commands", &payment_TakePayment_type, bus_str(id),
                     &(payment_TakePayment){
                         .order_id = bus_str(id), .customer = BUS_STR("ada"), .card = bus_str(card), .amount_cents = amount },
                     ERR));
    OK(bus_test_run(t, ERR));
}

static void refund(bus_test *t, const char *id)
{
    OK(bus_test_send(t, "payment.commands", &payment_RefundPayment_type, bus_str(id),
                     &(payment_RefundPayment){ .order_id = bus_str(id), .reason = BUS_STR("late") }, ERR));
    OK(bus_test_run(t, ERR));
}

static size_t told(bus_test *t, const bus_type *type)
{
    return bus_test_count(t, "payment.events", type);
}

/* How many charges the provider has in its books, from its own file. */
static int in_the_books(const char *where)
{
    char path[100], sql[200];
    sqlite3 *db;
    sqlite3_stmt *q;
    snprintf(path, sizeof path, "%s/books.db", directory);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM charge WHERE %s", where);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int n = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void one_charge_however_often_it_is_asked(void **state)
{
    bus_test *t = *state;
    charge(t, "o-1", "tok_visa", 500);
    charge(t, "o-1", "tok_visa", 500);
    assert_int_equal(told(t, &payment_PaymentTaken_type), 2);
    assert_int_equal(in_the_books("1"), 1);
    charge(t, "o-2", "tok_declined", 500);
    assert_int_equal(told(t, &payment_PaymentDeclined_type), 1);
}

static void trouble_is_retried(void **state)
{
    bus_test *t = *state;
    charge(t, "o-1", "tok_busy", 500);
    charge(t, "o-2", "tok_lost", 700);
    assert_int_equal(told(t, &payment_PaymentTaken_type), 0);
    OK(bus_test_advance(t, 5000, ERR));
    assert_int_equal(told(t, &payment_PaymentTaken_type), 2);
    assert_int_equal(in_the_books("outcome = 'charged'"), 2);
}

static void an_outage_burns_no_attempt(void **state)
{
    bus_test *t = *state;
    char path[100];
    bus_test_figures figures;
    snprintf(path, sizeof path, "%s/down", directory);
    close(open(path, O_CREAT | O_WRONLY, 0666));
    charge(t, "o-1", "tok_visa", 500);
    OK(bus_test_advance(t, 600000, ERR));
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.retried, 0);
    assert_int_equal(figures.dead_lettered, 0);
    unlink(path);
    OK(bus_test_advance(t, 60000, ERR));
    assert_int_equal(told(t, &payment_PaymentTaken_type), 1);
}

static void what_the_provider_refuses_is_a_dead_letter(void **state)
{
    bus_test *t = *state;
    bus_test_figures figures;
    charge(t, "o-1", "4111 1111", 500);
    refund(t, "o-2"); /* nothing was taken */
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.letters_open, 2);
    assert_null(bus_test_event(t, "payment.events", 0));
}

static void a_refund_pays_back_once(void **state)
{
    bus_test *t = *state;
    charge(t, "o-1", "tok_visa", 500);
    refund(t, "o-1");
    refund(t, "o-1");
    assert_int_equal(told(t, &payment_PaymentRefunded_type), 2);
    assert_int_equal(in_the_books("refund != ''"), 1);
}

static void payments_of_the_version_before_are_kept(void **state)
{
    temp_store temp;
    bus_migration before[] = { migrations[0], { 0 } };
    (void)state;
    temp_store_init(&temp);
    temp.options.migrations = before;
    temp_store_open(&temp);
    temp_store_meddle(&temp, "INSERT INTO payment VALUES ('o-1', 'taken', 500, 'ch_1'), ('o-2', 'declined', 7, 'no')");
    temp.options.states = states;
    temp.options.migrations = migrations;
    temp_store_reopen(&temp);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM order_payment"), 2);
    assert_int_equal(
        temp_store_number(&temp,
                          "SELECT amount_cents FROM order_payment WHERE order_id = 'o-1' AND state = 'taken' AND text = 'ch_1'"),
        500);
    temp_store_remove(&temp);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_charge_however_often_it_is_asked),
        TEST(trouble_is_retried),
        TEST(an_outage_burns_no_attempt),
        TEST(what_the_provider_refuses_is_a_dead_letter),
        TEST(a_refund_pays_back_once),
        cmocka_unit_test(payments_of_the_version_before_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
