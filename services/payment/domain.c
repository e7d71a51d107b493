/* SPDX-License-Identifier: MIT
 * Payment, the decisions. */
#include "domain.h"

static payment_news of_state(payment_PaymentState state)
{
    switch (state) {
    case payment_PaymentState_taken: return NEWS_TAKEN;
    case payment_PaymentState_declined: return NEWS_DECLINED;
    default: return NEWS_NONE; /* refunded: a repetition, long after; the order has been told all of it */
    }
}

static void become(payment_decision *d, payment_PaymentState state, const provider_answer *answer)
{
    d->after.state = state;
    d->after.text = bus_str(answer->text);
    d->changed = true;
}

payment_decision payment_take(const payment_OrderPayment *before, bool known, int64_t amount_cents, const provider_answer *answer)
{
    payment_decision d = { .after = *before };
    if (known && before->amount_cents != amount_cents) {
        d.refused = "the order has a payment of another amount already";
    } else if (known) {
        d.news = of_state(before->state);
    } else if (answer->outcome == PROVIDER_CHARGED || answer->outcome == PROVIDER_DECLINED) {
        become(&d, answer->outcome == PROVIDER_CHARGED ? payment_PaymentState_taken : payment_PaymentState_declined, answer);
        d.after.amount_cents = amount_cents;
        d.news = of_state(d.after.state);
    } else {
        d.refused = "the provider's answer to a charge is not one that this service knows";
    }
    return d;
}

payment_decision payment_refund(const payment_OrderPayment *before, bool known, const provider_answer *answer)
{
    payment_decision d = { .after = *before };
    if (known && before->state == payment_PaymentState_refunded) {
        d.news = NEWS_REFUNDED;
    } else if (!known || before->state != payment_PaymentState_taken) {
        d.refused = "nothing was charged for this order";
    } else if (answer->outcome != PROVIDER_REFUNDED) {
        d.refused = "the provider knows no charge to refund";
    } else {
        become(&d, payment_PaymentState_refunded, answer);
        d.news = NEWS_REFUNDED;
    }
    return d;
}
