/* SPDX-License-Identifier: MIT
 * Order's decisions: each rule by itself, then every history of a two-line order that repetition, delay and reordering of
 * answers can make, against what must hold in all of them. */
#include "../../services/order/domain.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static order wish(size_t lines)
{
    order o = { .id = "o-1", .customer = "ada", .card = "tok_visa", .deadline = 60000, .line_count = lines };
    for (size_t i = 0; i < lines && i < ORDER_LINES_MAX; i++) {
        snprintf(o.lines[i].sku, sizeof o.lines[i].sku, "SKU-%zu", i + 1);
        o.lines[i].quantity = (int32_t)i + 1;
        o.lines[i].unit_price_cents = 500;
    }
    return o;
}

static order_decision decide(const order *before, order_input input)
{
    order_decision d;
    order_decide(before, &input, &d);
    return d;
}

static order_decision place_order(const order *before, const order *what)
{
    return decide(before, (order_input){ .kind = INPUT_PLACE, .placed = what });
}

static order_decision stock_input(const order *before, order_input_kind kind, const char *sku)
{
    return decide(before, (order_input){ .kind = kind, .sku = sku });
}

static order_decision taken(const order *before, int64_t amount)
{
    return decide(before, (order_input){ .kind = INPUT_PAYMENT_TAKEN, .text = "ch_1", .amount_cents = amount });
}

static order_decision simple(const order *before, order_input_kind kind)
{
    return decide(before, (order_input){ .kind = kind });
}

static size_t count(const order_decision *d, order_action_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < d->action_count; i++)
        n += d->actions[i].kind == kind;
    return n;
}

static const order none = { .state = ORDER_NONE };

/* The order of two lines (1,500 cents) on its way to payment. */
static order paying(void)
{
    order w = wish(2);
    order_decision d = place_order(&none, &w);
    d = stock_input(&d.after, INPUT_STOCK_RESERVED, "SKU-1");
    d = stock_input(&d.after, INPUT_STOCK_RESERVED, "SKU-2");
    assert_int_equal(d.after.state, ORDER_PAYING);
    return d.after;
}

static void placing_asks_for_every_line(void **state)
{
    (void)state;
    order w = wish(3);
    order_decision d = place_order(&none, &w);
    assert_int_equal(d.outcome, OUTCOME_APPLIED);
    assert_int_equal(d.after.state, ORDER_RESERVING);
    assert_int_equal(d.after.total_cents, 500 * (1 + 2 + 3));
    assert_int_equal(count(&d, ACTION_RESERVE), 3);
    assert_int_equal(count(&d, ACTION_START_TIMER), 1);
    assert_int_equal(d.actions[0].kind, ACTION_ANNOUNCE);
    assert_int_equal(d.action_count, 5);
}

static void the_largest_order_fits(void **state)
{
    (void)state;
    order w = wish(ORDER_LINES_MAX);
    for (size_t i = 0; i < w.line_count; i++) {
        w.lines[i].quantity = ORDER_QUANTITY_MAX;
        w.lines[i].unit_price_cents = ORDER_PRICE_MAX;
    }
    order_decision d = place_order(&none, &w);
    assert_int_equal(d.outcome, OUTCOME_APPLIED);
    assert_int_equal(d.after.total_cents, (int64_t)ORDER_LINES_MAX * ORDER_QUANTITY_MAX * ORDER_PRICE_MAX);
    d = simple(&d.after, INPUT_OVERDUE);
    assert_int_equal(count(&d, ACTION_RELEASE), ORDER_LINES_MAX);
}

static void assert_refused(const order *before, const order *w, const char *says)
{
    order_decision d = place_order(before, w);
    assert_int_equal(d.outcome, OUTCOME_REFUSED);
    assert_int_equal(d.action_count, 0);
    assert_memory_equal(&d.after, before, sizeof *before);
    if (strstr(d.why, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", d.why, says);
}

static void impossible_orders_are_refused(void **state)
{
    (void)state;
    order w = wish(0);
    assert_refused(&none, &w, "0 lines");
    w = wish(2);
    w.line_count = ORDER_LINES_MAX + 1;
    assert_refused(&none, &w, "21 lines");
    w = wish(2);
    w.lines[1].quantity = -2;
    assert_refused(&none, &w, "line 2 has quantity -2");
    w.lines[1].quantity = ORDER_QUANTITY_MAX + 1;
    assert_refused(&none, &w, "line 2 has quantity 1001");
    w = wish(2);
    w.lines[0].unit_price_cents = -1;
    assert_refused(&none, &w, "line 1 has a unit price of -1");
    w.lines[0].unit_price_cents = ORDER_PRICE_MAX + 1;
    assert_refused(&none, &w, "line 1 has a unit price");
    w = wish(2);
    memcpy(w.lines[1].sku, "SKU-1", 6);
    assert_refused(&none, &w, "same sku");
    w = wish(1);
    w.lines[0].sku[0] = '\0';
    assert_refused(&none, &w, "no sku");
    w = wish(1);
    w.id[0] = '\0';
    assert_refused(&none, &w, "no id");
    w = wish(1);
    w.card[0] = '\0';
    assert_refused(&none, &w, "no card");
}

static void placing_again_changes_nothing(void **state)
{
    (void)state;
    order w = wish(2), p = paying();
    order_decision d = place_order(&p, &w);
    assert_int_equal(d.outcome, OUTCOME_IGNORED);
    assert_int_equal(d.action_count, 0);
    w.lines[1].quantity++;
    assert_refused(&p, &w, "another order");
}

static void payment_is_asked_when_all_is_reserved(void **state)
{
    (void)state;
    order w = wish(2);
    order_decision d = place_order(&none, &w);
    d = stock_input(&d.after, INPUT_STOCK_RESERVED, "SKU-2");
    assert_int_equal(d.after.state, ORDER_RESERVING);
    assert_int_equal(d.action_count, 0);
    order_decision again = stock_input(&d.after, INPUT_STOCK_RESERVED, "SKU-2");
    assert_int_equal(again.outcome, OUTCOME_IGNORED);
    d = stock_input(&d.after, INPUT_STOCK_RESERVED, "SKU-1");
    assert_int_equal(d.after.state, ORDER_PAYING);
    assert_int_equal(count(&d, ACTION_TAKE_PAYMENT), 1);
}

static void a_payment_confirms(void **state)
{
    (void)state;
    order p = paying();
    order_decision d = taken(&p, 1500);
    assert_int_equal(d.after.state, ORDER_CONFIRMED);
    assert_string_equal(d.after.reference, "ch_1");
    assert_int_equal(count(&d, ACTION_STOP_TIMER), 1);
    assert_int_equal(count(&d, ACTION_CONFIRM), 1);
    assert_int_equal(simple(&d.after, INPUT_OVERDUE).outcome, OUTCOME_IGNORED);
    assert_int_equal(taken(&d.after, 1500).outcome, OUTCOME_IGNORED);
    assert_int_equal(simple(&d.after, INPUT_PAYMENT_DECLINED).outcome, OUTCOME_REFUSED);
}

static void a_wrong_amount_is_refused(void **state)
{
    (void)state;
    order p = paying();
    order_decision d = taken(&p, 1501);
    assert_int_equal(d.outcome, OUTCOME_REFUSED);
    assert_memory_equal(&d.after, &p, sizeof p);
}

static void missing_stock_cancels_and_releases(void **state)
{
    (void)state;
    order w = wish(3);
    order_decision d = place_order(&none, &w);
    d = stock_input(&d.after, INPUT_STOCK_RESERVED, "SKU-1");
    d = stock_input(&d.after, INPUT_STOCK_REJECTED, "SKU-2");
    assert_int_equal(d.after.state, ORDER_CANCELLED);
    assert_int_equal(d.after.reason, REASON_OUT_OF_STOCK);
    assert_string_equal(d.after.missing, "SKU-2");
    assert_int_equal(count(&d, ACTION_RELEASE), 2); /* the reserved one, and the one still asked for */
    assert_int_equal(count(&d, ACTION_CANCEL), 1);
    order_decision late = stock_input(&d.after, INPUT_STOCK_RESERVED, "SKU-3");
    assert_int_equal(late.outcome, OUTCOME_IGNORED); /* its release is on the way */
    d = stock_input(&d.after, INPUT_STOCK_RELEASED, "SKU-3");
    assert_int_equal(d.after.lines[2].state, LINE_RELEASED);
}

static void a_decline_cancels_and_releases(void **state)
{
    (void)state;
    order p = paying();
    order_decision d = decide(&p, (order_input){ .kind = INPUT_PAYMENT_DECLINED, .text = "insufficient funds" });
    assert_int_equal(d.after.state, ORDER_CANCELLED);
    assert_int_equal(d.after.reason, REASON_PAYMENT_DECLINED);
    assert_string_equal(d.after.detail, "insufficient funds");
    assert_int_equal(count(&d, ACTION_RELEASE), 2);
    assert_int_equal(taken(&d.after, 1500).outcome, OUTCOME_REFUSED);
}

static void money_that_comes_late_goes_back(void **state)
{
    (void)state;
    order p = paying();
    order_decision d = simple(&p, INPUT_OVERDUE);
    assert_int_equal(d.after.reason, REASON_TIMED_OUT);
    assert_int_equal(count(&d, ACTION_REFUND), 0);
    d = taken(&d.after, 1500);
    assert_int_equal(d.after.state, ORDER_CANCELLED);
    assert_int_equal(d.after.payment, PAYMENT_REFUNDING);
    assert_int_equal(count(&d, ACTION_REFUND), 1);
    assert_int_equal(taken(&d.after, 1500).action_count, 0);
    d = simple(&d.after, INPUT_PAYMENT_REFUNDED);
    assert_int_equal(d.after.payment, PAYMENT_REFUNDED);
    assert_int_equal(simple(&d.after, INPUT_PAYMENT_REFUNDED).outcome, OUTCOME_IGNORED);
}

static void answers_to_unknown_orders_are_refused(void **state)
{
    (void)state;
    for (order_input_kind kind = INPUT_STOCK_RESERVED; kind < INPUT_KINDS; kind++) {
        order_decision d = decide(&none, (order_input){ .kind = kind, .sku = "SKU-1" });
        assert_int_equal(d.outcome, kind == INPUT_OVERDUE ? OUTCOME_IGNORED : OUTCOME_REFUSED);
    }
    order p = paying();
    assert_int_equal(stock_input(&p, INPUT_STOCK_RESERVED, "SKU-9").outcome, OUTCOME_REFUSED);
}

/* ---- every history */

/* What the world is told, counted over one history. */
typedef struct told {
    int confirmed, cancelled, asked_money, refunds, released[2];
} told;

typedef struct world {
    order o;
    told t;
} world;

static struct {
    world *at;
    size_t count, cap;
} seen;

static bool is_new(const world *w)
{
    for (size_t i = 0; i < seen.count; i++)
        if (memcmp(&seen.at[i], w, sizeof *w) == 0)
            return false;
    if (seen.count == seen.cap) {
        seen.cap = seen.cap ? 2 * seen.cap : 256;
        seen.at = realloc(seen.at, seen.cap * sizeof *seen.at);
        assert_non_null(seen.at);
    }
    seen.at[seen.count++] = *w;
    return true;
}

static void must_hold(const world *w)
{
    const order *o = &w->o;
    const told *t = &w->t;
    assert_true(t->confirmed + t->cancelled <= 1);
    assert_int_equal(t->confirmed, o->state == ORDER_CONFIRMED);
    assert_int_equal(t->cancelled, o->state == ORDER_CANCELLED);
    assert_true(t->asked_money <= 1 && t->refunds <= 1);
    assert_int_equal(t->refunds, o->payment == PAYMENT_REFUNDING || o->payment == PAYMENT_REFUNDED);
    assert_int_equal(o->state == ORDER_CONFIRMED, o->payment == PAYMENT_TAKEN);
    for (size_t i = 0; i < o->line_count; i++) {
        assert_true(t->released[i] <= 1);
        if (o->state == ORDER_CONFIRMED)
            assert_int_equal(o->lines[i].state, LINE_RESERVED);
        if (o->state == ORDER_CANCELLED) /* nothing stays with a cancelled order */
            assert_true(t->released[i] == 1 || o->lines[i].state == LINE_REJECTED);
    }
}

static void explore(const world *from)
{
    static const char *const skus[] = { "SKU-1", "SKU-2" };
    order w = wish(2);
    for (order_input_kind kind = INPUT_PLACE; kind < INPUT_KINDS; kind++)
        for (int line = 0; line < 2; line++) {
            order_decision d;
            order_input input = { .kind = kind, .placed = &w, .sku = skus[line], .amount_cents = 1500 };
            order_decide(&from->o, &input, &d);
            if (d.outcome != OUTCOME_APPLIED) {
                assert_int_equal(d.action_count, 0);
                assert_memory_equal(&d.after, &from->o, sizeof d.after);
                continue;
            }
            world to;
            memset(&to, 0, sizeof to); /* compared whole, padding included */
            memcpy(&to.o, &d.after, sizeof to.o);
            to.t = from->t;
            to.t.confirmed += (int)count(&d, ACTION_CONFIRM);
            to.t.cancelled += (int)count(&d, ACTION_CANCEL);
            to.t.asked_money += (int)count(&d, ACTION_TAKE_PAYMENT);
            to.t.refunds += (int)count(&d, ACTION_REFUND);
            for (size_t i = 0; i < d.action_count; i++)
                to.t.released[d.actions[i].line] += d.actions[i].kind == ACTION_RELEASE;
            must_hold(&to);
            if (is_new(&to))
                explore(&to);
        }
}

static void every_history_ends_well(void **state)
{
    (void)state;
    world start;
    memset(&start, 0, sizeof start);
    explore(&start);
    size_t confirmed = 0, refunded = 0, cancelled = 0;
    for (size_t i = 0; i < seen.count; i++) {
        confirmed += seen.at[i].o.state == ORDER_CONFIRMED;
        cancelled += seen.at[i].o.state == ORDER_CANCELLED;
        refunded += seen.at[i].o.payment == PAYMENT_REFUNDED;
    }
    /* the walk has been where it matters */
    assert_true(seen.count > 40 && confirmed >= 1 && cancelled > 20 && refunded >= 1);
    free(seen.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placing_asks_for_every_line),
        cmocka_unit_test(the_largest_order_fits),
        cmocka_unit_test(impossible_orders_are_refused),
        cmocka_unit_test(placing_again_changes_nothing),
        cmocka_unit_test(payment_is_asked_when_all_is_reserved),
        cmocka_unit_test(a_payment_confirms),
        cmocka_unit_test(a_wrong_amount_is_refused),
        cmocka_unit_test(missing_stock_cancels_and_releases),
        cmocka_unit_test(a_decline_cancels_and_releases),
        cmocka_unit_test(money_that_comes_late_goes_back),
        cmocka_unit_test(answers_to_unknown_orders_are_refused),
        cmocka_unit_test(every_history_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
