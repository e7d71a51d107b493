/* SPDX-License-Identifier: MIT
 * Payment: charges and refunds cards at a provider that is slow, sometimes fails, and is away for a while.
 *
 * What an order has paid is typed state: schemas/payment.OrderPayment.avsc says what the row holds, and there is no SQL for it.
 *
 * The provider is asked in the prepare step, before the transaction, at least once. Its idempotency key is the order's
 * id, not the event's: an order is charged once, whichever command asks, and even by a service whose store was lost. */
#include "domain.h"
#include "provider.h"

#include <bus/bus.h>
#include <payment.events.h>
#include <stdio.h>
#include <stdlib.h>

#define ID_MAX 64

typedef struct text {
    char at[ID_MAX];
} text;

/* Copies a string of the wire. False: it is empty, does not fit, or holds a zero byte. */
static bool take(bus_string from, text *out)
{
    return from.len > 0 && bus_string_copy(from, out->at, sizeof out->at);
}

/* ---- prepare: ask the provider */

/* A final answer goes on to the handler; trouble is retried, silence is waited out without burning an attempt. */
static bus_verdict pass_on(bus_prepare *prepare, const provider_answer *answer)
{
    switch (answer->outcome) {
    case PROVIDER_MALFORMED: return bus_prepare_fail(prepare, BUS_REJECT, "the provider refuses the request: %s", answer->text);
    case PROVIDER_BUSY: return bus_prepare_fail(prepare, BUS_RETRY, "the provider failed: %s", answer->text);
    case PROVIDER_DOWN: return bus_prepare_fail(prepare, BUS_PAUSE, "payment provider");
    default: break;
    }
    if (bus_prepare_keep(prepare, answer, sizeof *answer) != BUS_OK)
        return bus_prepare_fail(prepare, BUS_RETRY, "no memory for the provider's answer");
    return BUS_DONE;
}

static bus_verdict ask_charge(bus_prepare *prepare, const bus_event *event, void *state)
{
    const payment_TakePayment *command = payment_TakePayment_of(event);
    text order_id, card;
    if (!take(command->order_id, &order_id) || !take(command->card, &card))
        return bus_prepare_fail(prepare, BUS_REJECT, "order_id and card have 1 to %d bytes and no zero byte", ID_MAX - 1);
    provider_answer answer = provider_charge(state, order_id.at, card.at, command->amount_cents);
    return pass_on(prepare, &answer);
}

static bus_verdict ask_refund(bus_prepare *prepare, const bus_event *event, void *state)
{
    text order_id;
    if (!take(payment_RefundPayment_of(event)->order_id, &order_id))
        return bus_prepare_fail(prepare, BUS_REJECT, "order_id has 1 to %d bytes and no zero byte", ID_MAX - 1);
    provider_answer answer = provider_refund(state, order_id.at);
    return pass_on(prepare, &answer);
}

/* ---- handle: note the answer and tell the order */

static void tell(bus_tx *tx, const payment_decision *d)
{
    const payment_OrderPayment *p = &d->after;
    switch (d->news) {
    case NEWS_NONE: break;
    case NEWS_TAKEN:
        payment_PaymentTaken_emit(
            tx, p->order_id,
            &(payment_PaymentTaken){ .order_id = p->order_id, .amount_cents = p->amount_cents, .reference = p->text });
        break;
    case NEWS_DECLINED:
        payment_PaymentDeclined_emit(
            tx, p->order_id,
            &(payment_PaymentDeclined){ .order_id = p->order_id, .amount_cents = p->amount_cents, .reason = p->text });
        break;
    case NEWS_REFUNDED:
        payment_PaymentRefunded_emit(
            tx, p->order_id,
            &(payment_PaymentRefunded){ .order_id = p->order_id, .amount_cents = p->amount_cents, .reference = p->text });
        break;
    }
}

/* Loads the order's payment, decides, saves what changed, and tells the order. amount NULL: a refund. */
static bus_verdict settle(bus_tx *tx, bus_string order_id, const int64_t *amount)
{
    size_t len;
    const provider_answer *answer = bus_prepared_result(tx, &len);
    payment_OrderPayment before = { .order_id = order_id };
    if (answer == NULL || len != sizeof *answer)
        return bus_retry(tx, "the provider's answer is missing");
    bool known = payment_OrderPayment_load(tx, &before);
    payment_decision d = amount != NULL ? payment_take(&before, known, *amount, answer) : payment_refund(&before, known, answer);
    if (d.refused != NULL)
        return bus_reject(tx, "order %.*s: %s", BUS_TEXT(order_id), d.refused);
    if (d.changed)
        payment_OrderPayment_save(tx, &d.after);
    tell(tx, &d);
    return BUS_DONE;
}

static bus_verdict on_take(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    const payment_TakePayment *command = payment_TakePayment_of(event);
    return settle(tx, command->order_id, &command->amount_cents);
}

static bus_verdict on_refund(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    return settle(tx, payment_RefundPayment_of(event)->order_id, NULL);
}

/* ---- the service */

static const bus_state *const states[] = { &payment_OrderPayment_state, NULL };

/* Version 0.1 had its own table and SQL. States are made before migrations, so its rows can move. */
static const bus_migration migrations[] = {
    { "payment", "CREATE TABLE payment (\n"
                 "  order_id     TEXT NOT NULL PRIMARY KEY,\n"
                 "  state        TEXT NOT NULL CHECK (state IN ('taken', 'declined', 'refunded')),\n"
                 "  amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),\n"
                 "  text         TEXT NOT NULL\n"
                 ") WITHOUT ROWID;\n" },
    { "payment is typed state", "INSERT INTO order_payment (order_id, state, amount_cents, text)\n"
                                "  SELECT order_id, state, amount_cents, text FROM payment;\n"
                                "DROP TABLE payment;\n" },
    { NULL, NULL }
};

static bus_status open_provider(struct sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    (void)db;
    (void)shard;
    char why[200];
    provider *p = provider_open(opaque, why, sizeof why);
    if (p == NULL) {
        if (err != NULL) {
            *err = (bus_error){ .status = BUS_IO };
            snprintf(err->text, sizeof err->text,
                     "cannot open the payment provider's books in %s: %s; set PAYMENT_PROVIDER"
                     " to a directory that this user may write",
                     (const char *)opaque, why);
        }
        return BUS_IO;
    }
    *state = p;
    return BUS_OK;
}

static void close_provider(void *state)
{
    provider_close(state);
}

static const bus_route routes[] = {
    { .topic = "payment.commands", .type = &payment_TakePayment_type, .handler = on_take, .prepare = ask_charge },
    { .topic = "payment.commands", .type = &payment_RefundPayment_type, .handler = on_refund, .prepare = ask_refund },
    { 0 }
};

static const bus_emits emits[] = {
    { &payment_PaymentTaken_type, NULL }, { &payment_PaymentDeclined_type, NULL }, { &payment_PaymentRefunded_type, NULL }, { 0 }
};

static bus_service service = { .name = "payment",
                               .routes = routes,
                               .emits = emits,
                               .states = states,
                               .migrations = migrations,
                               .open = open_provider,
                               .close = close_provider };

int main(int argc, char **argv)
{
    static char fallback[] = "provider";
    char *directory = getenv("PAYMENT_PROVIDER");
    service.opaque = directory != NULL && *directory != '\0' ? directory : fallback;
    return bus_service_main(argc, argv, &service);
}
