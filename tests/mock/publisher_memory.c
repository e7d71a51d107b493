/* SPDX-License-Identifier: MIT
 * A publisher without a broker, each allocation of ours failing once during open, publish and close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/alloc_fail.h"
#include <bus/bus.h>
#include <inventory.events.h>

static void a_publisher_is_opened_or_says_why(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        bus *publisher = NULL;
        bus_error err = { 0 };
        bus_config *config = bus_config_new();
        assert_int_equal(bus_config_set(config, "bootstrap.servers", "127.0.0.1:1", &err), BUS_OK);
        alloc_fail_at(n, false);
        bus_status status = bus_open(NULL, config, &publisher, &err);
        if (status == BUS_OK)
            status = bus_publish(publisher,
                                 &(bus_publication){ .topic = "in",
                                                     .type = &inventory_ReleaseStock_type,
                                                     .key = BUS_STR("k"),
                                                     .body = &(inventory_ReleaseStock){ .order_id = BUS_STR("o") } },
                                 NULL, NULL, &err);
        bool hit = alloc_fail_off();
        if (status != BUS_OK && (status != BUS_NOMEM || !hit))
            fail_msg("allocation %ld: %s: %s", n, bus_status_name(status), err.text);
        bus_close(publisher);
        bus_config_free(config);
        if (!hit)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_publisher_is_opened_or_says_why) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
