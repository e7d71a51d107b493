/* SPDX-License-Identifier: MIT
 * Payment as it is, for tests beside others. */
#include "support/shop.h"

int shop_payment_main(int argc, char **argv);
#define main shop_payment_main
#include "../../services/payment/provider.c"
#include "../../services/payment/domain.c"
#include "../../services/payment/main.c"
#undef main

const bus_service *shop_payment(char *directory)
{
    service.opaque = directory;
    return &service;
}
