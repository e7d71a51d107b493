/* SPDX-License-Identifier: MIT
 * Inventory, the decisions: one pure function per command, over one item and one order's reservation of it.
 *
 * Stock is never negative: what is available plus what is reserved is what was received. A reservation is decided once
 * per (order, sku) and its answer is repeated for a repeated command. A release that comes before its reservation is
 * remembered, so that the reservation, when it comes after all, keeps nothing. */
#ifndef SHOP_INVENTORY_DOMAIN_H
#define SHOP_INVENTORY_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#define INVENTORY_QUANTITY_MAX 1000000
#define INVENTORY_TEXT_MAX 64 /* of ids and sku, the final 0 included */

typedef struct stock {
    bool known; /* a delivery of it has been seen */
    int64_t available;
    int64_t reserved;
} stock;

typedef enum reservation_state {
    RESERVATION_NONE,
    RESERVATION_HELD,
    RESERVATION_REJECTED,
    RESERVATION_RELEASED
} reservation_state;

typedef struct reservation {
    reservation_state state;
    int32_t quantity; /* as asked; 0 of a release that came first */
} reservation;

typedef enum stock_answer { ANSWER_NONE, ANSWER_RESERVED, ANSWER_REJECTED, ANSWER_RELEASED } stock_answer;

typedef struct stock_decision {
    const char *refused; /* not NULL: nothing changes, the command is given up on, for this reason */
    stock stock;         /* as they are after the command */
    reservation reservation;
    stock_answer answer; /* what the order is told */
    int32_t quantity;    /* in the answer */
} stock_decision;

stock_decision stock_receive(stock item, int32_t quantity);
stock_decision stock_reserve(stock item, reservation asked_before, int32_t quantity);
stock_decision stock_release(stock item, reservation asked_before);

#endif
