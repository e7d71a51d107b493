/* SPDX-License-Identifier: MIT
 * Inventory as it is, for tests beside others. */
#include "support/shop.h"

int shop_inventory_main(int argc, char **argv);
#define main shop_inventory_main
#include "../../services/inventory/domain.c"
#include "../../services/inventory/store.c"
#include "../../services/inventory/main.c"
#undef main

const bus_service *shop_inventory(void)
{
    return &service;
}
