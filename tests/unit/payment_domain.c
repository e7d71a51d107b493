/* SPDX-License-Identifier: MIT
 * Payment's decisions. */
#include "../../services/payment/domain.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const payment_OrderPayment none = { .order_id = { "o-1", 3 } };
static const provider_answer charged = { PROVIDER_CHARGED, "ch_1" };
static const provider_answer declined = { PROVIDER_DECLINED, "insufficient funds" };
static const provider_answer refunded = { PROVIDER_REFUNDED, "re_1" };
static const provider_answer nothing = { PROVIDER_NOTHING, "" };

static void a_charge_is_taken_once(void **state)
{
    (void)state;
    payment_decision d = payment_take(&none, false, 500, &charged);
    assert_null(d.refused);
    assert_true(d.changed && bus_string_is(d.after.order_id, "o-1"));
    assert_int_equal(d.news, NEWS_TAKEN);
    assert_int_equal(d.after.amount_cents, 500);
    assert_true(bus_string_is(d.after.text, "ch_1"));
    payment_decision again = payment_take(&d.after, true, 500, &charged);
    assert_int_equal(again.news, NEWS_TAKEN);
    assert_false(again.changed);
    assert_memory_equal(&again.after, &d.after, sizeof d.after);
    assert_non_null(payment_take(&d.after, true, 501, &charged).refused);
}

static void a_decline_stays_one(void **state)
{
    (void)state;
    payment_decision d = payment_take(&none, false, 500, &declined);
    assert_int_equal(d.news, NEWS_DECLINED);
    assert_true(bus_string_is(d.after.text, "insufficient funds"));
    assert_int_equal(payment_take(&d.after, true, 500, &declined).news, NEWS_DECLINED);
    assert_non_null(payment_refund(&d.after, true, &nothing).refused);
}

static void a_refund_happens_once(void **state)
{
    (void)state;
    payment_decision d = payment_take(&none, false, 500, &charged);
    d = payment_refund(&d.after, true, &refunded);
    assert_int_equal(d.after.state, payment_PaymentState_refunded);
    assert_int_equal(d.after.amount_cents, 500);
    assert_true(bus_string_is(d.after.text, "re_1"));
    payment_decision again = payment_refund(&d.after, true, &refunded);
    assert_int_equal(again.news, NEWS_REFUNDED);
    assert_false(again.changed);
    assert_memory_equal(&again.after, &d.after, sizeof d.after);
    assert_int_equal(payment_take(&d.after, true, 500, &charged).news, NEWS_NONE);
}

static void refunding_nothing_is_refused(void **state)
{
    (void)state;
    assert_non_null(payment_refund(&none, false, &nothing).refused);
    assert_non_null(payment_refund(&none, false, &refunded).refused);
    payment_decision d = payment_take(&none, false, 500, &charged);
    payment_decision odd = payment_refund(&d.after, true, &nothing);
    assert_non_null(odd.refused);
    assert_memory_equal(&odd.after, &d.after, sizeof d.after);
}

static void an_answer_that_fits_no_charge_is_refused(void **state)
{
    (void)state;
    assert_non_null(payment_take(&none, false, 500, &refunded).refused);
    assert_non_null(payment_take(&none, false, 500, &nothing).refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_charge_is_taken_once),
        cmocka_unit_test(a_decline_stays_one),
        cmocka_unit_test(a_refund_happens_once),
        cmocka_unit_test(refunding_nothing_is_refused),
        cmocka_unit_test(an_answer_that_fits_no_charge_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
