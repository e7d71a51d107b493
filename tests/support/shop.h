/* SPDX-License-Identifier: MIT
 * The shop's services, for tests that run them beside each other. Each is in a file of its own, with all that is static in it. */
#ifndef TESTS_SUPPORT_SHOP_H
#define TESTS_SUPPORT_SHOP_H

#include <bus/service.h>

const bus_service *shop_order(void);
const bus_service *shop_inventory(void);
/* The provider's books are in this directory. */
const bus_service *shop_payment(char *directory);

#endif
