/* SPDX-License-Identifier: MIT
 * Inventory, the decisions. */
#include "domain.h"

stock_decision stock_receive(stock item, int32_t quantity)
{
    stock_decision d = { .stock = item };
    if (quantity < 1 || quantity > INVENTORY_QUANTITY_MAX) {
        d.refused = "a delivery has 1 to 1000000 pieces";
    } else if (item.available > INT64_MAX - quantity) {
        d.refused = "no warehouse holds that much";
    } else {
        d.stock.known = true;
        d.stock.available += quantity;
    }
    return d;
}

stock_decision stock_reserve(stock item, reservation asked_before, int32_t quantity)
{
    stock_decision d = { .stock = item, .reservation = asked_before, .quantity = quantity };
    if (quantity < 1 || quantity > INVENTORY_QUANTITY_MAX) {
        d.refused = "a reservation has 1 to 1000000 pieces";
    } else if (asked_before.state == RESERVATION_HELD) {
        if (asked_before.quantity != quantity)
            d.refused = "the order holds another quantity of this item already";
        d.answer = ANSWER_RESERVED;
    } else if (asked_before.state != RESERVATION_NONE) {
        d.answer = ANSWER_REJECTED; /* rejected before, or released before it came */
    } else if (!item.known) {
        d.refused = "the item is unknown: send its StockReceived, then redrive this dead letter";
    } else if (item.available < quantity) {
        d.reservation = (reservation){ RESERVATION_REJECTED, quantity };
        d.answer = ANSWER_REJECTED;
    } else {
        d.stock.available -= quantity;
        d.stock.reserved += quantity;
        d.reservation = (reservation){ RESERVATION_HELD, quantity };
        d.answer = ANSWER_RESERVED;
    }
    return d;
}

stock_decision stock_release(stock item, reservation asked_before)
{
    stock_decision d = { .stock = item, .reservation = asked_before, .answer = ANSWER_RELEASED };
    if (asked_before.state == RESERVATION_HELD) {
        d.stock.available += asked_before.quantity;
        d.stock.reserved -= asked_before.quantity;
        d.quantity = asked_before.quantity;
        d.reservation.state = RESERVATION_RELEASED;
    } else if (asked_before.state == RESERVATION_NONE) {
        d.reservation = (reservation){ RESERVATION_RELEASED, 0 };
    }
    return d;
}
