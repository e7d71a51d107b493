/* SPDX-License-Identifier: MIT
 * The simulated provider: one key, one answer, over restarts and from many threads. */
#include "../../services/payment/provider.c"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static char directory[64];

static int set_up(void **state)
{
    char why[200];
    strcpy(directory, "/tmp/provider-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    *state = provider_open(directory, why, sizeof why);
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const files[] = { "books.db", "books.db-wal", "books.db-shm", "down" };
    char path[100];
    provider_close(*state);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static void one_key_has_one_answer(void **state)
{
    provider_answer a = provider_charge(*state, "o-1", "tok_visa", 500);
    assert_int_equal(a.outcome, PROVIDER_CHARGED);
    provider_close(*state);
    char why[200];
    *state = provider_open(directory, why, sizeof why);
    assert_non_null(*state);
    provider_answer b = provider_charge(*state, "o-1", "tok_visa", 500);
    assert_int_equal(b.outcome, PROVIDER_CHARGED);
    assert_string_equal(a.text, b.text);
    assert_int_equal(provider_charge(*state, "o-1", "tok_visa", 501).outcome, PROVIDER_MALFORMED);
    assert_int_equal(provider_charge(*state, "o-1", "tok_other", 500).outcome, PROVIDER_MALFORMED);
    provider_answer other = provider_charge(*state, "o-2", "tok_visa", 500);
    assert_string_not_equal(a.text, other.text);
}

static void cards_and_amounts_are_declined(void **state)
{
    for (int i = 0; i < 2; i++) {
        provider_answer a = provider_charge(*state, "o-1", "tok_declined_7", 500);
        assert_int_equal(a.outcome, PROVIDER_DECLINED);
        assert_string_equal(a.text, "insufficient funds");
    }
    assert_int_equal(provider_charge(*state, "o-2", "tok_visa", PROVIDER_LIMIT_CENTS).outcome, PROVIDER_CHARGED);
    assert_int_equal(provider_charge(*state, "o-3", "tok_visa", PROVIDER_LIMIT_CENTS + 1).outcome, PROVIDER_DECLINED);
}

static void malformed_requests_are_refused(void **state)
{
    assert_int_equal(provider_charge(*state, "o-1", "4111 1111 1111 1111", 500).outcome, PROVIDER_MALFORMED);
    assert_int_equal(provider_charge(*state, "o-1", "tok_visa", 0).outcome, PROVIDER_MALFORMED);
    assert_int_equal(provider_charge(*state, "o-1", "tok_visa", -5).outcome, PROVIDER_MALFORMED);
}

static void trouble_passes(void **state)
{
    assert_int_equal(provider_charge(*state, "o-1", "tok_busy", 500).outcome, PROVIDER_BUSY);
    assert_int_equal(provider_refund(*state, "o-1").outcome, PROVIDER_NOTHING); /* nothing was charged */
    assert_int_equal(provider_charge(*state, "o-1", "tok_busy", 500).outcome, PROVIDER_CHARGED);
    assert_int_equal(provider_charge(*state, "o-2", "tok_lost", 500).outcome, PROVIDER_BUSY);
    assert_int_equal(provider_refund(*state, "o-2").outcome, PROVIDER_REFUNDED); /* it was charged all the same */
    assert_int_equal(provider_charge(*state, "o-2", "tok_lost", 500).outcome, PROVIDER_CHARGED);
}

static void a_refund_repeats_its_answer(void **state)
{
    provider_charge(*state, "o-1", "tok_visa", 500);
    provider_answer a = provider_refund(*state, "o-1"), b = provider_refund(*state, "o-1");
    assert_int_equal(a.outcome, PROVIDER_REFUNDED);
    assert_int_equal(b.outcome, PROVIDER_REFUNDED);
    assert_string_equal(a.text, b.text);
    provider_charge(*state, "o-2", "tok_declined", 500);
    assert_int_equal(provider_refund(*state, "o-2").outcome, PROVIDER_NOTHING);
    assert_int_equal(provider_refund(*state, "o-9").outcome, PROVIDER_NOTHING);
}

static void an_outage_answers_nothing(void **state)
{
    char path[100];
    snprintf(path, sizeof path, "%s/down", directory);
    close(open(path, O_CREAT | O_WRONLY, 0666));
    assert_int_equal(provider_charge(*state, "o-1", "tok_visa", 500).outcome, PROVIDER_DOWN);
    assert_int_equal(provider_refund(*state, "o-1").outcome, PROVIDER_DOWN);
    unlink(path);
    assert_int_equal(provider_charge(*state, "o-1", "tok_visa", 500).outcome, PROVIDER_CHARGED);
}

static void *charge_all(void *p)
{
    char key[16];
    long charged = 0;
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "o-%d", i);
        charged += provider_charge(p, key, "tok_visa", 500).outcome == PROVIDER_CHARGED;
    }
    return (void *)charged;
}

static void threads_share_it(void **state)
{
    pthread_t threads[4];
    sqlite3_stmt *q;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, charge_all, *state), 0);
    for (int i = 0; i < 4; i++) {
        void *charged;
        assert_int_equal(pthread_join(threads[i], &charged), 0);
        assert_int_equal((long)charged, 50);
    }
    assert_int_equal(sqlite3_prepare_v2(((provider *)*state)->db, "SELECT count(*) FROM charge", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(q, 0), 50);
    sqlite3_finalize(q);
}

static void a_bad_directory_is_told(void **state)
{
    (void)state;
    char why[200] = "";
    assert_null(provider_open("/proc/nowhere", why, sizeof why));
    assert_string_not_equal(why, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_key_has_one_answer), TEST(cards_and_amounts_are_declined), TEST(malformed_requests_are_refused),
        TEST(trouble_passes),         TEST(a_refund_repeats_its_answer),    TEST(an_outage_answers_nothing),
        TEST(threads_share_it),       TEST(a_bad_directory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
