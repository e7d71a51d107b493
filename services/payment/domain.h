/* SPDX-License-Identifier: MIT
 * Payment, the decisions: what an order's payment becomes once the provider has answered. Pure. */
#ifndef SHOP_PAYMENT_DOMAIN_H
#define SHOP_PAYMENT_DOMAIN_H

#include "provider.h"

#include <payment.events.h>

typedef enum payment_news { NEWS_NONE, NEWS_TAKEN, NEWS_DECLINED, NEWS_REFUNDED } payment_news;

typedef struct payment_decision {
    const char *refused;        /* not NULL: nothing changes, the command is given up on, for this reason */
    payment_OrderPayment after; /* its strings are those of `before` and of the answer */
    bool changed;
    payment_news news; /* what the order is told; repeated for a repeated command */
} payment_decision;

/* `known`: there is a payment of the order; else only the key of `before` counts. `answer` is the provider's final one: charged,
 * declined, refunded, or nothing to refund. */
payment_decision payment_take(const payment_OrderPayment *before, bool known, int64_t amount_cents,
                              const provider_answer *answer);
payment_decision payment_refund(const payment_OrderPayment *before, bool known, const provider_answer *answer);

#endif
