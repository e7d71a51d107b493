/* SPDX-License-Identifier: MIT
 * Topics: what a service declares, how it is printed, and what is refused. */
#include "service/heartbeat.h"
#include "shard/topics.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bus_verdict handle(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)tx;
    (void)event;
    (void)shard;
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = "order.events", .handler = handle },
                                    { .topic = "stock.levels", .handler = handle, .compacted = true },
                                    { .topic = "cart.events", .handler = handle }, /* its own */
                                    { 0 } };
static const bus_service service = { .name = "cart", .routes = routes };

static bui_topic_need *needs_of(int shards, size_t *count)
{
    bui_router *router = NULL;
    bui_topic_need *needs = NULL;
    bus_error err = { 0 };
    if (bui_router_new(&service, "1s,30s", 5, &router, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(bui_topics_of("cart", router, shards, &needs, count, &err), BUS_OK);
    bui_router_free(router);
    return needs;
}

static const bui_topic_need *named(const bui_topic_need *needs, size_t count, const char *name)
{
    const bui_topic_need *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(needs[i].name, name) == 0) {
            assert_null(found); /* each once */
            found = &needs[i];
        }
    }
    assert_non_null(found);
    return found;
}

static void everything_is_declared_once(void **state)
{
    (void)state;
    size_t count;
    bui_topic_need *needs = needs_of(3, &count);
    assert_string_equal(needs[0].name, "cart.redrive");
    assert_int_equal(needs[0].role, BUI_TOPIC_LEAD);
    assert_int_equal(needs[0].partitions, 3);
    assert_int_equal(needs[0].retention_ms, -1);
    assert_int_equal(named(needs, count, "order.events")->role, BUI_TOPIC_INPUT);
    assert_string_equal(named(needs, count, "stock.levels")->cleanup, "compact");
    assert_int_equal(named(needs, count, "cart.retry.1s")->role, BUI_TOPIC_RETRY);
    assert_int_equal(named(needs, count, "cart.retry.30s")->partitions, 3);
    assert_int_equal(named(needs, count, "cart.dlq")->retention_ms, -1);
    assert_int_equal(named(needs, count, "cart.replies")->role, BUI_TOPIC_REPLIES);
    assert_string_equal(named(needs, count, "bus.schemas")->cleanup, "compact");
    assert_int_equal(named(needs, count, "bus.services")->partitions, 1);
    named(needs, count, "cart.events");
    free(needs);
}

static void declared_topics_are_wide_enough_for_others(void **state)
{
    (void)state;
    size_t count;
    bus_config *config = bus_config_new();
    assert_non_null(config);
    assert_int_equal(bus_config_set(config, "topics.partitions", "4", NULL), BUS_OK);
    assert_int_equal(bus_config_set(config, "topics.retention.ms", "2d", NULL), BUS_OK);
    bui_topic_need *needs = needs_of(3, &count);
    bui_topics_declare(needs, count, config, 3);
    assert_int_equal(named(needs, count, "order.events")->partitions, 6); /* at least 4, and a multiple of 3 */
    assert_int_equal(named(needs, count, "order.events")->retention_ms, 2 * 86400000);
    assert_int_equal(named(needs, count, "cart.redrive")->partitions, 3);
    assert_int_equal(named(needs, count, "cart.redrive")->retention_ms, -1);
    assert_int_equal(named(needs, count, "cart.retry.1s")->partitions, 3);
    free(needs);
    bus_config_free(config);
}

static void partitions_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bui_topic_need lead = { .name = "cart.redrive", .role = BUI_TOPIC_LEAD };
    bui_topic_need input = { .name = "order.events", .role = BUI_TOPIC_INPUT };
    bui_topic_need dlq = { .name = "cart.dlq", .role = BUI_TOPIC_DLQ };
    bui_topic_need output = { .name = "cart.events", .role = BUI_TOPIC_OUTPUT };
    assert_int_equal(bui_topic_fits(&lead, "cart", 4, 4, &err), BUS_OK);
    assert_int_equal(bui_topic_fits(&lead, "cart", 8, 4, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "delete the topic and run `bus topics apply`"));
    assert_non_null(strstr(err.text, "shards=8"));
    assert_int_equal(bui_topic_fits(&lead, "cart", 2, 4, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "--alter --partitions 4"));
    assert_int_equal(bui_topic_fits(&input, "cart", 8, 4, &err), BUS_OK);
    assert_int_equal(bui_topic_fits(&input, "cart", 6, 4, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "order.events has 6 partitions"));
    assert_non_null(strstr(err.text, "bus topics"));
    assert_int_equal(bui_topic_fits(&dlq, "cart", 5, 4, &err), BUS_OK);
    assert_int_equal(bui_topic_fits(&dlq, "cart", 3, 4, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "--alter --partitions 4"));
    assert_int_equal(bui_topic_fits(&output, "cart", 1, 4, &err), BUS_OK);
}

static void the_list_is_json(void **state)
{
    (void)state;
    bui_topic_need needs[] = {
        { .name = "a.b", .role = BUI_TOPIC_OUTPUT, .partitions = 4, .cleanup = "delete", .retention_ms = 5 },
        { .name = "bus.schemas", .role = BUI_TOPIC_SHARED, .partitions = 1, .cleanup = "compact", .retention_ms = -1 },
    };
    bui_buf text;
    bui_buf_init(&text, 0);
    bui_topics_json(needs, 2, &text);
    json_t *list = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_int_equal(json_array_size(list), 2);
    json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "a.b");
    assert_int_equal(json_integer_value(json_object_get(first, "partitions")), 4);
    assert_string_equal(json_string_value(json_object_get(first, "role")), "output");
    assert_int_equal(json_integer_value(json_object_get(second, "retention_ms")), -1);
    assert_string_equal(json_string_value(json_object_get(second, "cleanup")), "compact");
    json_decref(list);
    bui_buf_free(&text);
}

static void a_heartbeat_is_one_object(void **state)
{
    (void)state;
    bui_topic_need needs[] = { { .name = "a.b", .role = BUI_TOPIC_OUTPUT, .partitions = 4, .cleanup = "delete" } };
    int shards[] = { 0, 3 };
    bui_heartbeat beat = {
        .service = "cart",
        .instance = "cart-1-0",
        .host = "h\"ost",
        .state = "waiting",
        .why = "no \"broker\"\n",
        .pid = 7,
        .started_ms = 0,
        .at_ms = 1500,
        .shard_count = 4,
        .shards = shards,
        .held = 2,
        .topics = needs,
        .topic_count = 1,
    };
    bui_buf text;
    bui_buf_init(&text, 0);
    bui_heartbeat_json(&beat, &text);
    assert_null(memchr(text.data, '\n', text.len));
    json_t *object = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "host")), "h\"ost");
    assert_string_equal(json_string_value(json_object_get(object, "why")), "no \"broker\"\n");
    assert_string_equal(json_string_value(json_object_get(object, "at")), "1970-01-01T00:00:01.500Z");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(object, "shards"), 1)), 3);
    assert_int_equal(json_array_size(json_object_get(object, "topics")), 1);
    json_decref(object);
    bui_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_declared_once),
        cmocka_unit_test(declared_topics_are_wide_enough_for_others),
        cmocka_unit_test(partitions_that_do_not_fit_are_refused),
        cmocka_unit_test(the_list_is_json),
        cmocka_unit_test(a_heartbeat_is_one_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
