/* SPDX-License-Identifier: MIT
 * Payment, the decisions. */
#include "domain.h"

#include <string.h>

payment_decision payment_take(const payment *before, int64_t amount_cents, const provider_answer *answer)
{
    payment_decision d = { .after = *before };
    if (before->state != PAYMENT_NONE && before->amount_cents != amount_cents) {
        d.refused = "the order has a payment of another amount already";
    } else if (before->state == PAYMENT_TAKEN) {
        d.news = NEWS_TAKEN;
    } else if (before->state == PAYMENT_DECLINED) {
        d.news = NEWS_DECLINED;
    } else if (before->state == PAYMENT_REFUNDED) {
        d.news = NEWS_NONE; /* a repetition, long after: the order has been told all of it */
    } else if (answer->outcome == PROVIDER_CHARGED || answer->outcome == PROVIDER_DECLINED) {
        bool charged = answer->outcome == PROVIDER_CHARGED;
        d.after.state = charged ? PAYMENT_TAKEN : PAYMENT_DECLINED;
        d.after.amount_cents = amount_cents;
        memcpy(d.after.text, answer->text, sizeof d.after.text);
        d.news = charged ? NEWS_TAKEN : NEWS_DECLINED;
    } else {
        d.refused = "the provider's answer to a charge is not one that this service knows";
    }
    return d;
}

payment_decision payment_refund(const payment *before, const provider_answer *answer)
{
    payment_decision d = { .after = *before };
    if (before->state == PAYMENT_REFUNDED) {
        d.news = NEWS_REFUNDED;
    } else if (before->state != PAYMENT_TAKEN) {
        d.refused = "nothing was charged for this order";
    } else if (answer->outcome != PROVIDER_REFUNDED) {
        d.refused = "the provider knows no charge to refund";
    } else {
        d.after.state = PAYMENT_REFUNDED;
        memcpy(d.after.text, answer->text, sizeof d.after.text);
        d.news = NEWS_REFUNDED;
    }
    return d;
}
