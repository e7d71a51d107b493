/* SPDX-License-Identifier: MIT
 * What /readyz says of a shard: each thing that keeps it from working makes it unready, with a reason, until it is over. */
#include "support/scene.h"

#include "shard/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* "": it is well. */
static const char *why_of(scene *s)
{
    static char why[500];
    *why = 0;
    bool well = bui_shard_well(bui_host_shard(s->host, 0), why, sizeof why);
    assert_true(well == (*why == 0));
    return why;
}

#define WELL(s) assert_string_equal(why_of(s), "")
#define TROUBLE(s, text) assert_non_null(strstr(why_of(s), text))

static void a_paused_topic_is_trouble_until_its_events_run_again(void **state)
{
    scene *s = *state;
    WELL(s);
    s->weather = true;
    scene_send(s, "slow", "k", "a pause");
    scene_pass(s, 20000);
    TROUBLE(s, "shard 0: topic slow is paused: ");
    s->weather = false;
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a");
    WELL(s);
}

static struct bui_port_ops denied_ops;
static const struct bui_port_ops *true_ops;
static bool denied;

static size_t denied_fetch(bui_port *port, bui_lane *lane, bui_record *out, size_t max, bus_error *err)
{
    if (!denied)
        return true_ops->fetch(port, lane, out, max, err);
    err->status = BUS_DENIED;
    snprintf(err->text, sizeof err->text, "not authorized");
    return 0;
}

static void a_denied_topic_is_trouble_until_it_is_read_again(void **state)
{
    scene *s = *state;
    bui_port *port = bui_host_shard(s->host, 0)->port;
    true_ops = port->ops;
    denied_ops = *port->ops;
    denied_ops.fetch = denied_fetch;
    denied = true;
    port->ops = &denied_ops;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 10000);
    TROUBLE(s, "cannot be read: not authorized");
    denied = false;
    for (const char **at = (const char *[]){ "in", "slow", "held", "steps", "typed", NULL }; *at; at++)
        scene_send(s, *at, "k", "b");
    scene_pass(s, 60000);
    port->ops = true_ops;
    WELL(s);
}

/* As librdkafka, which says nothing of a partition that it does not find any more. */
static size_t silent_fetch(bui_port *port, bui_lane *lane, bui_record *out, size_t max, bus_error *err)
{
    size_t count = true_ops->fetch(port, lane, out, max, err);
    if (err->status == BUS_MISSING)
        *err = (bus_error){ 0 };
    return count;
}

static void an_input_that_is_gone_is_trouble_until_it_is_told_from_the_former(void **state)
{
    scene *s = *state;
    bui_port *port = bui_host_shard(s->host, 0)->port;
    true_ops = port->ops;
    denied_ops = *port->ops;
    denied_ops.fetch = silent_fetch;
    port->ops = &denied_ops;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 1000);
    bui_memory_topic_delete(s->cluster, "in");
    scene_pass(s, 2000);
    WELL(s); /* a leader that moves takes as long */
    scene_pass(s, 20000);
    TROUBLE(s, "in/0 cannot be compared with what was read of it: Kafka has no such partition");
    assert_int_equal(scene_failure(s), BUS_OK);
    bui_memory_topic(s->cluster, "in", 1);
    port->ops = true_ops;
    scene_send(s, "in", "k", "b");
    scene_pass(s, 2000);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "another log"));
}

static void an_output_that_takes_no_rows_is_trouble_until_it_does(void **state)
{
    scene *s = *state;
    bui_memory_topic_delete(s->cluster, "svc.events");
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 3000);
    WELL(s); /* a leader that moves takes as long */
    scene_pass(s, 30000);
    TROUBLE(s, "svc.events/0 takes no rows");
    bui_memory_topic(s->cluster, "svc.events", 1);
    scene_pass(s, 120000);
    WELL(s);
}

static void a_full_outbox_is_trouble_until_it_drains(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.outbox_bytes = 2000;
    s->options.limits.batch_records = 1;
    scene_start(s);
    s->fate = scene_hold_all;
    char text[32];
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "e%d emit=2", i);
        scene_send(s, "in", "k", text);
    }
    scene_pass(s, 10000);
    TROUBLE(s, "the outbox is full");
    s->fate = NULL;
    bui_memory_deliver(bui_host_transport(s->host), BUI_FATE_ACK);
    scene_pass(s, 60000);
    WELL(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_paused_topic_is_trouble_until_its_events_run_again),
        TEST(a_denied_topic_is_trouble_until_it_is_read_again),
        TEST(an_input_that_is_gone_is_trouble_until_it_is_told_from_the_former),
        TEST(an_output_that_takes_no_rows_is_trouble_until_it_does),
        TEST(a_full_outbox_is_trouble_until_it_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
