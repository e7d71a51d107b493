/* SPDX-License-Identifier: MIT
 * Router: what a service declares is checked whole, and looked up by topic and type. */
#include "shard/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../support/alloc_fail.h"
#include <bus/type.h>

static const bus_type placed = { .layout = BUS_TYPE_LAYOUT, .name = "shop.Placed" };
static const bus_type paid = { .layout = BUS_TYPE_LAYOUT, .name = "shop.Paid" };

static bus_verdict handle(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)tx, (void)event, (void)shard;
    return BUS_DONE;
}

static bus_status compile(const bus_route *routes, const bus_emits *emits, const char *tiers, bui_router **out, bus_error *err)
{
    bus_service service = { .name = "shop", .routes = routes, .emits = emits };
    static bus_service kept;
    kept = service;
    return bui_router_new(&kept, tiers, 3, out, err);
}

static void finds(void **state)
{
    (void)state;
    const bus_route routes[] = { { .topic = "a", .type = &placed, .handler = handle, .scope = "orders", .attempts = 7 },
                                 { .topic = "a", .tombstone = true, .handler = handle },
                                 { .topic = "b", .type = &paid, .handler = handle, .start = BUS_FROM_END },
                                 { .topic = "b", .handler = handle, .start = BUS_FROM_END },
                                 { 0 } };
    const bus_emits emits[] = { { &paid, NULL }, { &placed, "elsewhere" }, { 0 } };
    bui_router *router;
    bus_error err = { 0 };
    assert_int_equal(compile(routes, emits, "1s, 30s,10m", &router, &err), BUS_OK);

    assert_ptr_equal(bui_router_find(router, "a", "shop.Placed", 11, false), &routes[0]);
    assert_ptr_equal(bui_router_find(router, "a", "shop.Placed", 11, true), &routes[1]);
    assert_null(bui_router_find(router, "a", "shop.Paid", 9, false));
    assert_ptr_equal(bui_router_find(router, "b", "shop.Paid", 9, false), &routes[2]);
    assert_ptr_equal(bui_router_find(router, "b", "other", 5, false), &routes[3]); /* the raw route takes the rest */
    assert_null(bui_router_find(router, "b", "other", 5, true));
    assert_null(bui_router_find(router, "c", "shop.Paid", 9, false));
    assert_string_equal(bui_router_scope(router, &routes[0]), "orders");
    assert_string_equal(bui_router_scope(router, &routes[2]), "b");
    assert_int_equal(bui_router_attempts(router, &routes[0]), 7);
    assert_int_equal(bui_router_attempts(router, &routes[2]), 3);
    assert_string_equal(bui_router_topic_of(router, &paid), "shop.events");
    assert_string_equal(bui_router_topic_of(router, &placed), "elsewhere");

    size_t n;
    const bui_input *input = bui_router_inputs(router, &n);
    assert_int_equal(n, 6);
    assert_true(input[0].lead);
    assert_string_equal(input[0].topic, "shop.redrive");
    assert_string_equal(input[2].topic, "b");
    assert_int_equal(input[2].start, BUS_FROM_END);
    assert_string_equal(input[5].topic, "shop.retry.10m");
    assert_int_equal(input[5].delay_ms, 600000);
    assert_string_equal(bui_router_tier(router, 1)->topic, "shop.retry.1s");
    assert_string_equal(bui_router_tier(router, 99)->topic, "shop.retry.10m"); /* the last one for all after */
    bui_router_free(router);
}

static void refused(const bus_route *routes, const bus_emits *emits, const char *tiers, const char *says)
{
    bui_router *router = NULL;
    bus_error err = { 0 };
    assert_int_equal(compile(routes, emits, tiers, &router, &err), BUS_INVALID);
    assert_null(router);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static void refuses(void **state)
{
    (void)state;
    const bus_route twice[] = { { .topic = "a", .type = &placed, .handler = handle },
                                { .topic = "a", .type = &placed, .handler = handle },
                                { 0 } };
    const bus_route none[] = { { .topic = "a", .type = &placed }, { 0 } };
    const bus_route bad_topic[] = { { .topic = "a b", .type = &placed, .handler = handle }, { 0 } };
    const bus_route lead[] = { { .topic = "shop.redrive", .handler = handle }, { 0 } };
    const bus_route disagree[] = { { .topic = "a", .type = &placed, .handler = handle },
                                   { .topic = "a", .type = &paid, .handler = handle, .start = BUS_FROM_END },
                                   { 0 } };
    const bus_emits nowhere[] = { { &paid, "no/where" }, { 0 } };
    refused(twice, NULL, "1s", "two routes for shop.Placed on a");
    refused(none, NULL, "1s", "has no handler");
    refused(bad_topic, NULL, "1s", "is not a topic name");
    refused(lead, NULL, "1s", "takes no route");
    refused(disagree, NULL, "1s", "disagree");
    refused(NULL, nowhere, "1s", "not a topic name");
    refused(NULL, NULL, "30s,1s", "longer than the one before");
    refused(NULL, NULL, "soon", "retry.tiers");
    refused(NULL, NULL, "1s,,2s", "retry.tiers");
    bus_service capital = { .name = "Shop" };
    bui_router *router = NULL;
    bus_error err = { 0 };
    assert_int_equal(bui_router_new(&capital, "", 3, &router, &err), BUS_INVALID);
    assert_non_null(strstr(err.text, "lower-case"));
    bus_service odd = { .name = "shop", .version = "1.0 \"beta\"" };
    assert_int_equal(bui_router_new(&odd, "", 3, &router, &err), BUS_INVALID);
    assert_non_null(strstr(err.text, "version"));
}

static void no_tiers(void **state)
{
    (void)state;
    bui_router *router;
    bus_error err = { 0 };
    size_t n;
    assert_int_equal(compile(NULL, NULL, "", &router, &err), BUS_OK);
    assert_null(bui_router_tier(router, 1));
    bui_router_inputs(router, &n);
    assert_int_equal(n, 1); /* the lead topic alone gives shards */
    bui_router_free(router);
}

static void survives_no_memory(void **state)
{
    (void)state;
    const bus_route routes[] = { { .topic = "a", .type = &placed, .handler = handle }, { 0 } };
    const bus_emits emits[] = { { &paid, NULL }, { 0 } };
    for (long n = 1;; n++) {
        bui_router *router = NULL;
        bus_error err = { 0 };
        alloc_fail_at(n, false);
        bus_status status = compile(routes, emits, "1s,10s", &router, &err);
        if (!alloc_fail_off()) {
            assert_int_equal(status, BUS_OK);
            bui_router_free(router);
            break;
        }
        assert_int_equal(status, BUS_NOMEM);
        assert_null(router);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(finds), cmocka_unit_test(refuses), cmocka_unit_test(no_tiers),
                                        cmocka_unit_test(survives_no_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
