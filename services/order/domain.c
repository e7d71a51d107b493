/* SPDX-License-Identifier: MIT
 * Order, the decisions. */
#include "domain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void act(order_decision *d, order_action_kind kind, size_t line)
{
    d->actions[d->action_count++] = (order_action){ kind, line };
}

static void __attribute__((format(printf, 2, 3))) refuse(order_decision *d, const char *why, ...)
{
    va_list args;
    va_start(args, why);
    vsnprintf(d->why, sizeof d->why, why, args);
    va_end(args);
    d->outcome = OUTCOME_REFUSED;
}

static order_line *find_line(order *o, const char *sku)
{
    for (size_t i = 0; i < o->line_count; i++)
        if (strcmp(o->lines[i].sku, sku) == 0)
            return &o->lines[i];
    return NULL;
}

bool order_is_final(const order *o)
{
    return o->state == ORDER_CONFIRMED || o->state == ORDER_CANCELLED;
}

int64_t order_total(const order *wish)
{
    int64_t total = 0;
    for (size_t i = 0; i < wish->line_count; i++)
        total += wish->lines[i].quantity * wish->lines[i].unit_price_cents;
    return total;
}

/* ---- placing */

static bool line_fits(const order *wish, size_t at, order_decision *d)
{
    const order_line *line = &wish->lines[at];
    if (line->sku[0] == '\0')
        refuse(d, "line %zu has no sku", at + 1);
    else if (line->quantity < 1 || line->quantity > ORDER_QUANTITY_MAX)
        refuse(d, "line %zu has quantity %d: 1 to %d are sold at a time", at + 1, line->quantity, ORDER_QUANTITY_MAX);
    else if (line->unit_price_cents < 0 || line->unit_price_cents > ORDER_PRICE_MAX)
        refuse(d, "line %zu has a unit price of %lld cents: 0 to %d are possible", at + 1, (long long)line->unit_price_cents,
               ORDER_PRICE_MAX);
    for (size_t i = 0; i < at && d->outcome != OUTCOME_REFUSED; i++)
        if (strcmp(wish->lines[i].sku, line->sku) == 0)
            refuse(d, "lines %zu and %zu name the same sku: make them one", i + 1, at + 1);
    return d->outcome != OUTCOME_REFUSED;
}

static bool wish_fits(const order *wish, order_decision *d)
{
    if (wish->id[0] == '\0')
        refuse(d, "the order has no id");
    else if (wish->card[0] == '\0')
        refuse(d, "the order names no card");
    else if (wish->line_count < 1 || wish->line_count > ORDER_LINES_MAX)
        refuse(d, "the order has %zu lines: 1 to %d are possible", wish->line_count, ORDER_LINES_MAX);
    for (size_t i = 0; d->outcome != OUTCOME_REFUSED && i < wish->line_count; i++)
        if (!line_fits(wish, i, d))
            return false;
    return d->outcome != OUTCOME_REFUSED;
}

static bool same_wish(const order *a, const order *b)
{
    if (strcmp(a->customer, b->customer) != 0 || strcmp(a->card, b->card) != 0 || a->line_count != b->line_count)
        return false;
    for (size_t i = 0; i < a->line_count; i++)
        if (strcmp(a->lines[i].sku, b->lines[i].sku) != 0 || a->lines[i].quantity != b->lines[i].quantity ||
            a->lines[i].unit_price_cents != b->lines[i].unit_price_cents)
            return false;
    return true;
}

static void place(const order *before, const order *wish, order_decision *d)
{
    if (before->state != ORDER_NONE) {
        if (!same_wish(before, wish))
            refuse(d, "another order with this id exists already");
        return;
    }
    if (!wish_fits(wish, d))
        return;
    order *o = &d->after;
    *o = *wish;
    o->state = ORDER_RESERVING;
    o->payment = PAYMENT_NONE;
    o->reason = REASON_NONE;
    o->missing[0] = o->detail[0] = o->reference[0] = '\0';
    o->total_cents = order_total(wish);
    act(d, ACTION_ANNOUNCE, 0);
    act(d, ACTION_START_TIMER, 0);
    for (size_t i = 0; i < o->line_count; i++) {
        o->lines[i].state = LINE_ASKED;
        act(d, ACTION_RESERVE, i);
    }
    d->outcome = OUTCOME_APPLIED;
}

/* ---- cancelling and compensating */

/* Lines still asked for are released too: the release travels behind the reservation of the same sku, and inventory
 * remembers a release that overtakes it. So nothing depends on the answer that is missing. */
static void cancel(order_decision *d, order_reason reason, const char *detail)
{
    order *o = &d->after;
    for (size_t i = 0; i < o->line_count; i++)
        if (o->lines[i].state == LINE_ASKED || o->lines[i].state == LINE_RESERVED) {
            o->lines[i].state = LINE_RELEASING;
            act(d, ACTION_RELEASE, i);
        }
    o->state = ORDER_CANCELLED;
    o->reason = reason;
    snprintf(o->detail, sizeof o->detail, "%s", detail);
    act(d, ACTION_STOP_TIMER, 0);
    act(d, ACTION_CANCEL, 0);
    d->outcome = OUTCOME_APPLIED;
}

static void overdue(order_decision *d)
{
    if (d->after.state == ORDER_RESERVING)
        cancel(d, REASON_TIMED_OUT, "the deadline passed while stock was being reserved");
    else if (d->after.state == ORDER_PAYING)
        cancel(d, REASON_TIMED_OUT, "the deadline passed while payment was being taken");
}

/* ---- inventory's answers */

static void stock_reserved(order_decision *d, order_line *line)
{
    order *o = &d->after;
    if (line->state != LINE_ASKED) /* a repetition, or its release is on the way already */
        return;
    line->state = LINE_RESERVED;
    d->outcome = OUTCOME_APPLIED;
    for (size_t i = 0; i < o->line_count; i++)
        if (o->lines[i].state != LINE_RESERVED)
            return;
    o->state = ORDER_PAYING;
    o->payment = PAYMENT_ASKED;
    act(d, ACTION_TAKE_PAYMENT, 0);
}

static void stock_rejected(order_decision *d, order_line *line)
{
    if (line->state == LINE_RESERVED) {
        refuse(d, "line %s was reserved before it was rejected", line->sku);
    } else if (line->state == LINE_RELEASING) {
        line->state = LINE_REJECTED; /* there was nothing to release */
        d->outcome = OUTCOME_APPLIED;
    } else if (line->state == LINE_ASKED) {
        line->state = LINE_REJECTED;
        memcpy(d->after.missing, line->sku, sizeof d->after.missing);
        cancel(d, REASON_OUT_OF_STOCK, "an item is out of stock");
    }
}

static void stock_released(order_decision *d, order_line *line)
{
    if (line->state == LINE_RELEASING) {
        line->state = LINE_RELEASED;
        d->outcome = OUTCOME_APPLIED;
    } else if (line->state == LINE_ASKED || line->state == LINE_RESERVED) {
        refuse(d, "line %s was released but the order still counts on it", line->sku);
    }
}

static void stock(const order_input *input, order_decision *d)
{
    order_line *line = find_line(&d->after, input->sku);
    if (line == NULL)
        refuse(d, "the order has no line %.60s", input->sku);
    else if (input->kind == INPUT_STOCK_RESERVED)
        stock_reserved(d, line);
    else if (input->kind == INPUT_STOCK_REJECTED)
        stock_rejected(d, line);
    else
        stock_released(d, line);
}

/* ---- payment's answers */

static void payment_taken(const order_input *input, order_decision *d)
{
    order *o = &d->after;
    if (o->payment != PAYMENT_ASKED) {
        if (o->payment == PAYMENT_NONE || o->payment == PAYMENT_DECLINED)
            refuse(d, "a payment arrived that the order is not waiting for");
        return;
    }
    if (input->amount_cents != o->total_cents) {
        refuse(d, "%lld cents were taken for an order of %lld", (long long)input->amount_cents, (long long)o->total_cents);
        return;
    }
    snprintf(o->reference, sizeof o->reference, "%s", input->text ? input->text : "");
    if (o->state == ORDER_PAYING) {
        o->payment = PAYMENT_TAKEN;
        o->state = ORDER_CONFIRMED;
        act(d, ACTION_STOP_TIMER, 0);
        act(d, ACTION_CONFIRM, 0);
    } else { /* cancelled meanwhile: the money goes back */
        o->payment = PAYMENT_REFUNDING;
        act(d, ACTION_REFUND, 0);
    }
    d->outcome = OUTCOME_APPLIED;
}

static void payment_declined(const order_input *input, order_decision *d)
{
    order *o = &d->after;
    if (o->payment == PAYMENT_DECLINED)
        return;
    if (o->payment != PAYMENT_ASKED) {
        refuse(d, "a payment was declined that the order is not waiting for");
        return;
    }
    o->payment = PAYMENT_DECLINED;
    if (o->state == ORDER_PAYING)
        cancel(d, REASON_PAYMENT_DECLINED, input->text ? input->text : "the payment was declined");
    d->outcome = OUTCOME_APPLIED;
}

static void payment_refunded(order_decision *d)
{
    order *o = &d->after;
    if (o->payment == PAYMENT_REFUNDED)
        return;
    if (o->payment != PAYMENT_REFUNDING) {
        refuse(d, "a payment was refunded that the order had not asked for");
        return;
    }
    o->payment = PAYMENT_REFUNDED;
    d->outcome = OUTCOME_APPLIED;
}

void order_decide(const order *before, const order_input *input, order_decision *d)
{
    *d = (order_decision){ .outcome = OUTCOME_IGNORED, .after = *before };
    if (input->kind == INPUT_PLACE) {
        place(before, input->placed, d);
        return;
    }
    if (before->state == ORDER_NONE) {
        if (input->kind != INPUT_OVERDUE)
            refuse(d, "no such order is known here");
        return;
    }
    switch (input->kind) {
    case INPUT_STOCK_RESERVED:
    case INPUT_STOCK_REJECTED:
    case INPUT_STOCK_RELEASED: stock(input, d); break;
    case INPUT_PAYMENT_TAKEN: payment_taken(input, d); break;
    case INPUT_PAYMENT_DECLINED: payment_declined(input, d); break;
    case INPUT_PAYMENT_REFUNDED: payment_refunded(d); break;
    case INPUT_OVERDUE: overdue(d); break;
    default: refuse(d, "input %d is unknown", (int)input->kind); break;
    }
}
