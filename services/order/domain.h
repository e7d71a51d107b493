/* SPDX-License-Identifier: MIT
 * Order, the decisions: a saga as one pure function from (order, input) to (order, actions). No I/O, no clock, no SQL.
 *
 *     none -- place --> reserving -- all lines reserved --> paying -- payment taken --> confirmed
 *                           |                                 |
 *                           +-- a line rejected, overdue      +-- payment declined, overdue
 *                           v                                 v
 *                       cancelled  <--------------------------+    what it held is released; money that comes late is
 *                                                                  refunded
 *
 * Inputs may be repeated, late or out of order: what was already decided stays decided. */
#ifndef SHOP_ORDER_DOMAIN_H
#define SHOP_ORDER_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_LINES_MAX 20
#define ORDER_QUANTITY_MAX 1000
#define ORDER_PRICE_MAX 100000000 /* cents */
#define ORDER_TEXT_MAX 64         /* of ids, sku and card, the final 0 included */
#define ORDER_DETAIL_MAX 160

typedef enum order_state { ORDER_NONE, ORDER_RESERVING, ORDER_PAYING, ORDER_CONFIRMED, ORDER_CANCELLED } order_state;
typedef enum order_line_state { LINE_ASKED, LINE_RESERVED, LINE_REJECTED, LINE_RELEASING, LINE_RELEASED } order_line_state;
typedef enum order_payment {
    PAYMENT_NONE,
    PAYMENT_ASKED,
    PAYMENT_TAKEN,
    PAYMENT_DECLINED,
    PAYMENT_REFUNDING,
    PAYMENT_REFUNDED
} order_payment;
typedef enum order_reason { REASON_NONE, REASON_OUT_OF_STOCK, REASON_PAYMENT_DECLINED, REASON_TIMED_OUT } order_reason;

typedef struct order_line {
    char sku[ORDER_TEXT_MAX];
    int32_t quantity;
    int64_t unit_price_cents;
    order_line_state state;
} order_line;

typedef struct order {
    char id[ORDER_TEXT_MAX];
    char customer[ORDER_TEXT_MAX];
    char card[ORDER_TEXT_MAX];
    order_state state;
    order_payment payment;
    order_reason reason;                 /* why it was cancelled */
    char missing[ORDER_TEXT_MAX];        /* the sku that was rejected, "" if none */
    char detail[ORDER_DETAIL_MAX];       /* the reason, for people */
    char reference[ORDER_TEXT_MAX + 16]; /* the provider's, once paid */
    int64_t total_cents;
    int64_t deadline; /* ms since the epoch */
    size_t line_count;
    order_line lines[ORDER_LINES_MAX];
} order;

typedef enum order_input_kind {
    INPUT_PLACE,            /* placed */
    INPUT_STOCK_RESERVED,   /* sku */
    INPUT_STOCK_REJECTED,   /* sku */
    INPUT_STOCK_RELEASED,   /* sku */
    INPUT_PAYMENT_TAKEN,    /* amount_cents, text: the reference */
    INPUT_PAYMENT_DECLINED, /* text: the provider's reason */
    INPUT_PAYMENT_REFUNDED,
    INPUT_OVERDUE,
    INPUT_KINDS
} order_input_kind;

typedef struct order_input {
    order_input_kind kind;
    const order *placed; /* the wish: id, customer, card, deadline and lines; the rest is not read */
    const char *sku;
    const char *text; /* may be NULL */
    int64_t amount_cents;
} order_input;

typedef enum order_action_kind {
    ACTION_ANNOUNCE,    /* OrderPlaced */
    ACTION_START_TIMER, /* OrderOverdue at the deadline */
    ACTION_RESERVE,     /* ReserveStock for `line` */
    ACTION_RELEASE,     /* ReleaseStock for `line` */
    ACTION_TAKE_PAYMENT,
    ACTION_REFUND,
    ACTION_CONFIRM, /* OrderConfirmed */
    ACTION_CANCEL,  /* OrderCancelled */
    ACTION_STOP_TIMER
} order_action_kind;

typedef struct order_action {
    order_action_kind kind;
    size_t line;
} order_action;

typedef enum order_outcome {
    OUTCOME_APPLIED, /* store `after`, do the actions in order */
    OUTCOME_IGNORED, /* nothing new: a repetition, or too late to matter */
    OUTCOME_REFUSED  /* it contradicts what is known; `why` tells a person */
} order_outcome;

typedef struct order_decision {
    order_outcome outcome;
    order after;
    order_action actions[ORDER_LINES_MAX + 4];
    size_t action_count;
    char why[ORDER_DETAIL_MAX];
} order_decision;

/* Decides what becomes of `before` (state ORDER_NONE: no such order yet) on this input. */
void order_decide(const order *before, const order_input *input, order_decision *out);

/* The sum of the lines; only for lines within the bounds above. */
int64_t order_total(const order *wish);

bool order_is_final(const order *o);

#endif
