/* SPDX-License-Identifier: MIT
 * What partitions may have of the memory for fetched records: together never more than there is, and alone what they had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/config.h"
#include "kafka/client.h"
#include <stdlib.h>

#define MB (INT64_C(1) << 20)

static void few_have_whole_queues(void **state)
{
    (void)state;
    for (size_t lanes = 0; lanes <= 60; lanes++) {
        bui_kafka_share share = bui_kafka_share_of(16 * MB, 1024 * MB, lanes);
        assert_int_equal(share.queue, 16 * MB);
        assert_int_equal(share.fetch, MB);
    }
}

static void many_have_no_more_than_there_is(void **state)
{
    (void)state;
    int64_t before = 16 * MB;
    for (size_t lanes = 61; lanes < 200000; lanes += lanes / 7 + 1) {
        bui_kafka_share share = bui_kafka_share_of(16 * MB, 1024 * MB, lanes);
        assert_true((share.queue + share.fetch) * (int64_t)lanes <= 1024 * MB);
        assert_true(share.queue <= before && share.queue >= 2048 && share.fetch >= 2048);
        before = share.queue;
    }
    assert_true(bui_kafka_share_of(16 * MB, 1024 * MB, 10000000).queue > 0);
}

static int64_t set_in(rd_kafka_conf_t *conf, const char *name)
{
    char text[32];
    size_t size = sizeof text;
    assert_int_equal(rd_kafka_conf_get(conf, name, text, &size), RD_KAFKA_CONF_OK);
    return strtoll(text, NULL, 10);
}

/* The member that is joined with has them. */
static void the_member_is_bound(void **state)
{
    (void)state;
    bus_config *config = bus_config_new();
    rd_kafka_conf_t *conf;
    assert_int_equal(bui_kafka_conf(config, BUI_KAFKA_MEMBER, "shop", &conf, NULL), BUS_OK);
    assert_int_equal(bui_kafka_bound_queues(conf, config, 20, NULL), BUS_OK);
    assert_int_equal(set_in(conf, "queued.max.messages.kbytes"), 16 * 1024);
    assert_int_equal(set_in(conf, "fetch.message.max.bytes"), MB);
    assert_int_equal(bui_kafka_bound_queues(conf, config, 3000, NULL), BUS_OK);
    assert_in_range(set_in(conf, "queued.max.messages.kbytes"), 100, 175);
    assert_in_range(set_in(conf, "fetch.message.max.bytes"), 100000, 1024 * MB / 3000 / 2);
    rd_kafka_conf_destroy(conf);
    bus_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_have_whole_queues),
        cmocka_unit_test(many_have_no_more_than_there_is),
        cmocka_unit_test(the_member_is_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
