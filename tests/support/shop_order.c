/* SPDX-License-Identifier: MIT
 * Order as it is, for tests beside others. */
#include "support/shop.h"

int shop_order_main(int argc, char **argv);
#define main shop_order_main
#include "../../services/order/domain.c"
#include "../../services/order/store.c"
#include "../../services/order/main.c"
#undef main

const bus_service *shop_order(void)
{
    return &service;
}
