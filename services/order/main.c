/* SPDX-License-Identifier: MIT
 * Order: reserves stock, takes payment, then confirms or compensates.
 *
 * Every input is keyed by order_id, answers of inventory and payment too, so an order lives in one shard; the three
 * topics share one scope, so nothing of an order overtakes anything else of it. */
#include "domain.h"
#include "store.h"

#include <bus/bus.h>
#include <inventory.events.h>
#include <order.events.h>
#include <payment.events.h>
#include <stdio.h>
#include <stdlib.h>

#define DEADLINE_MAX_S 86400

static int64_t default_deadline_s = 60; /* ORDER_DEADLINE_SECONDS */

/* ---- actions: what the domain decided becomes events */

typedef struct timer_name {
    char text[ORDER_TEXT_MAX + 16];
} timer_name;

static timer_name timer_of(const order *o)
{
    timer_name name;
    snprintf(name.text, sizeof name.text, "overdue/%s", o->id);
    return name;
}

static void announce(bus_tx *tx, const order *o)
{
    order_OrderPlaced_emit(tx, bus_str(o->id),
                           &(order_OrderPlaced){ .order_id = bus_str(o->id),
                                                 .customer = bus_str(o->customer),
                                                 .line_count = (int32_t)o->line_count,
                                                 .total_cents = o->total_cents,
                                                 .deadline = { o->deadline } });
}

static void announce_cancelled(bus_tx *tx, const order *o)
{
    static const order_CancelReason wire[] = {
        [REASON_OUT_OF_STOCK] = order_CancelReason_OUT_OF_STOCK,
        [REASON_PAYMENT_DECLINED] = order_CancelReason_PAYMENT_DECLINED,
        [REASON_TIMED_OUT] = order_CancelReason_TIMED_OUT,
    };
    order_OrderCancelled_emit(tx, bus_str(o->id),
                              &(order_OrderCancelled){ .order_id = bus_str(o->id),
                                                       .customer = bus_str(o->customer),
                                                       .reason = wire[o->reason],
                                                       .sku = { o->missing[0] != '\0', bus_str(o->missing) },
                                                       .detail = bus_str(o->detail) });
}

static void perform(bus_tx *tx, const order *o, order_action action)
{
    const order_line *line = &o->lines[action.line];
    switch (action.kind) {
    case ACTION_ANNOUNCE: announce(tx, o); break;
    case ACTION_START_TIMER:
        order_OrderOverdue_schedule(tx, bus_str(timer_of(o).text), o->deadline, bus_str(o->id),
                                    &(order_OrderOverdue){ .order_id = bus_str(o->id) });
        break;
    case ACTION_STOP_TIMER: bus_cancel(tx, bus_str(timer_of(o).text)); break;
    case ACTION_RESERVE:
        inventory_ReserveStock_emit(
            tx, bus_str(line->sku),
            &(inventory_ReserveStock){ .order_id = bus_str(o->id), .sku = bus_str(line->sku), .quantity = line->quantity });
        break;
    case ACTION_RELEASE:
        inventory_ReleaseStock_emit(tx, bus_str(line->sku),
                                    &(inventory_ReleaseStock){ .order_id = bus_str(o->id), .sku = bus_str(line->sku) });
        break;
    case ACTION_TAKE_PAYMENT:
        payment_TakePayment_emit(tx, bus_str(o->id),
                                 &(payment_TakePayment){ .order_id = bus_str(o->id),
                                                         .customer = bus_str(o->customer),
                                                         .card = bus_str(o->card),
                                                         .amount_cents = o->total_cents });
        break;
    case ACTION_REFUND:
        payment_RefundPayment_emit(tx, bus_str(o->id),
                                   &(payment_RefundPayment){ .order_id = bus_str(o->id), .reason = bus_str(o->detail) });
        break;
    case ACTION_CONFIRM:
        order_OrderConfirmed_emit(tx, bus_str(o->id),
                                  &(order_OrderConfirmed){ .order_id = bus_str(o->id),
                                                           .customer = bus_str(o->customer),
                                                           .total_cents = o->total_cents,
                                                           .payment_reference = bus_str(o->reference) });
        break;
    case ACTION_CANCEL: announce_cancelled(tx, o); break;
    }
}

/* Load, decide, save, perform: the whole of every handler. */
static bus_verdict apply(bus_tx *tx, const char *id, const order_input *input)
{
    order before;
    if (!order_load(tx, id, &before))
        return order_store_failed(tx);
    order_decision decision;
    order_decide(&before, input, &decision);
    if (decision.outcome == OUTCOME_REFUSED)
        return bus_reject(tx, "order %s: %s", id, decision.why);
    if (decision.outcome == OUTCOME_IGNORED)
        return BUS_DONE;
    if (!order_save(tx, &before, &decision.after))
        return order_store_failed(tx);
    for (size_t i = 0; i < decision.action_count; i++)
        perform(tx, &decision.after, decision.actions[i]);
    return BUS_DONE;
}

/* ---- handlers: an event becomes an input of the domain */

static bus_verdict answer(bus_tx *tx, bus_string order_id, order_input_kind kind, bus_string sku, bus_string text,
                          int64_t amount_cents)
{
    char id[ORDER_TEXT_MAX], sku_text[ORDER_TEXT_MAX], detail[ORDER_DETAIL_MAX];
    if (!bus_string_copy(order_id, id, sizeof id) || !bus_string_copy(sku, sku_text, sizeof sku_text) ||
        !bus_string_copy(text, detail, sizeof detail))
        return bus_reject(tx, "order_id, sku or text is too long or holds a zero byte");
    return apply(
        tx, id,
        &(order_input){ .kind = kind, .sku = sku_text, .text = text.len > 0 ? detail : NULL, .amount_cents = amount_cents });
}

static bus_verdict on_place(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const order_PlaceOrder *command = order_PlaceOrder_of(event);
    order wish = { .line_count = command->lines.len };
    if (!bus_string_copy(command->order_id, wish.id, sizeof wish.id) ||
        !bus_string_copy(command->customer, wish.customer, sizeof wish.customer) ||
        !bus_string_copy(command->card, wish.card, sizeof wish.card))
        return bus_reject(tx, "order_id, customer or card is longer than %d bytes or holds a zero byte", ORDER_TEXT_MAX - 1);
    if (!bus_string_equal(event->key, command->order_id))
        return bus_reject(tx, "the record's key is not its order_id: publish order.commands keyed by order_id");
    for (size_t i = 0; i < command->lines.len && i < ORDER_LINES_MAX; i++) {
        const order_OrderLine *line = &command->lines.at[i];
        if (!bus_string_copy(line->sku, wish.lines[i].sku, sizeof wish.lines[i].sku))
            return bus_reject(tx, "the sku of line %zu is longer than %d bytes or holds a zero byte", i + 1, ORDER_TEXT_MAX - 1);
        wish.lines[i].quantity = line->quantity;
        wish.lines[i].unit_price_cents = line->unit_price_cents;
    }
    int64_t patience = command->deadline_seconds;
    if (patience < 0 || patience > DEADLINE_MAX_S)
        return bus_reject(tx, "deadline_seconds is %lld: 0 to %d are possible", (long long)patience, DEADLINE_MAX_S);
    wish.deadline = bus_now(tx) + 1000 * (patience > 0 ? patience : default_deadline_s);
    return apply(tx, wish.id, &(order_input){ .kind = INPUT_PLACE, .placed = &wish });
}

static bus_verdict on_overdue(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    return answer(tx, order_OrderOverdue_of(event)->order_id, INPUT_OVERDUE, bus_str(""), bus_str(""), 0);
}

static bus_verdict on_reserved(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const inventory_StockReserved *e = inventory_StockReserved_of(event);
    return answer(tx, e->order_id, INPUT_STOCK_RESERVED, e->sku, bus_str(""), 0);
}

static bus_verdict on_rejected(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const inventory_StockRejected *e = inventory_StockRejected_of(event);
    return answer(tx, e->order_id, INPUT_STOCK_REJECTED, e->sku, bus_str(""), 0);
}

static bus_verdict on_released(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const inventory_StockReleased *e = inventory_StockReleased_of(event);
    return answer(tx, e->order_id, INPUT_STOCK_RELEASED, e->sku, bus_str(""), 0);
}

static bus_verdict on_taken(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const payment_PaymentTaken *e = payment_PaymentTaken_of(event);
    return answer(tx, e->order_id, INPUT_PAYMENT_TAKEN, bus_str(""), e->reference, e->amount_cents);
}

static bus_verdict on_declined(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const payment_PaymentDeclined *e = payment_PaymentDeclined_of(event);
    return answer(tx, e->order_id, INPUT_PAYMENT_DECLINED, bus_str(""), e->reason, e->amount_cents);
}

static bus_verdict on_refunded(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const payment_PaymentRefunded *e = payment_PaymentRefunded_of(event);
    return answer(tx, e->order_id, INPUT_PAYMENT_REFUNDED, bus_str(""), e->reference, e->amount_cents);
}

static const bus_route routes[] = {
    { .topic = "order.commands", .type = &order_PlaceOrder_type, .handler = on_place, .scope = "order" },
    { .topic = "order.commands", .type = &order_OrderOverdue_type, .handler = on_overdue, .scope = "order" },
    { .topic = "inventory.events", .type = &inventory_StockReserved_type, .handler = on_reserved, .scope = "order" },
    { .topic = "inventory.events", .type = &inventory_StockRejected_type, .handler = on_rejected, .scope = "order" },
    { .topic = "inventory.events", .type = &inventory_StockReleased_type, .handler = on_released, .scope = "order" },
    { .topic = "payment.events", .type = &payment_PaymentTaken_type, .handler = on_taken, .scope = "order" },
    { .topic = "payment.events", .type = &payment_PaymentDeclined_type, .handler = on_declined, .scope = "order" },
    { .topic = "payment.events", .type = &payment_PaymentRefunded_type, .handler = on_refunded, .scope = "order" },
    { 0 }
};

static const bus_emits emits[] = { { &order_OrderPlaced_type, NULL },
                                   { &order_OrderConfirmed_type, NULL },
                                   { &order_OrderCancelled_type, NULL },
                                   { &order_OrderOverdue_type, "order.commands" },
                                   { &inventory_ReserveStock_type, "inventory.commands" },
                                   { &inventory_ReleaseStock_type, "inventory.commands" },
                                   { &payment_TakePayment_type, "payment.commands" },
                                   { &payment_RefundPayment_type, "payment.commands" },
                                   { 0 } };

static const bus_service service = { .name = "order", .routes = routes, .emits = emits, .migrations = order_migrations };

int main(int argc, char **argv)
{
    const char *seconds = getenv("ORDER_DEADLINE_SECONDS");
    if (seconds != NULL) {
        char *end;
        default_deadline_s = strtoll(seconds, &end, 10);
        if (end == seconds || *end != '\0' || default_deadline_s < 1 || default_deadline_s > DEADLINE_MAX_S) {
            fprintf(stderr, "order: ORDER_DEADLINE_SECONDS is \"%s\": set a number from 1 to %d\n", seconds, DEADLINE_MAX_S);
            return 2;
        }
    }
    return bus_service_main(argc, argv, &service);
}
