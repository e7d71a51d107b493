/* SPDX-License-Identifier: MIT
 * Payment, the decisions: what an order's payment becomes once the provider has answered. Pure. */
#ifndef SHOP_PAYMENT_DOMAIN_H
#define SHOP_PAYMENT_DOMAIN_H

#include "provider.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum payment_state { PAYMENT_NONE, PAYMENT_TAKEN, PAYMENT_DECLINED, PAYMENT_REFUNDED } payment_state;

typedef struct payment {
    payment_state state;
    int64_t amount_cents;
    char text[PROVIDER_TEXT_MAX]; /* the provider's reference, or why it declined */
} payment;

typedef enum payment_news { NEWS_NONE, NEWS_TAKEN, NEWS_DECLINED, NEWS_REFUNDED } payment_news;

typedef struct payment_decision {
    const char *refused; /* not NULL: nothing changes, the command is given up on, for this reason */
    payment after;
    payment_news news; /* what the order is told; repeated for a repeated command */
} payment_decision;

/* `answer` is the provider's final one: charged, declined, refunded, or nothing to refund. */
payment_decision payment_take(const payment *before, int64_t amount_cents, const provider_answer *answer);
payment_decision payment_refund(const payment *before, const provider_answer *answer);

#endif
