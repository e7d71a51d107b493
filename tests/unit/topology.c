/* SPDX-License-Identifier: MIT
 * Topology: declarations merged, and the plan against a cluster. */
#include "ops/topology.h"
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const bui_topic_defaults defaults = { .partitions = 4, .replication = 3, .retention_ms = 604800000 };

static void add(bui_topology *topology, const char *who, const char *json)
{
    bus_error err = { 0 };
    if (bui_topology_add(topology, who, json, strlen(json), &err) != BUS_OK)
        fail_msg("%s: %s", who, err.text);
}

static const bui_wish *wish(const bui_topology *topology, const char *name)
{
    for (size_t i = 0; i < bui_topology_count(topology); i++)
        if (!strcmp(bui_topology_at(topology, i)->name, name))
            return bui_topology_at(topology, i);
    fail_msg("no wish for %s", name);
    return NULL;
}

#define TOPIC(name, n, role) \
    "{\"name\":\"" name "\",\"partitions\":" #n ",\"cleanup\":\"delete\",\"retention_ms\":0,\"role\":\"" role "\"}"
#define COMPACT(name, n, role) \
    "{\"name\":\"" name "\",\"partitions\":" #n ",\"cleanup\":\"compact\",\"retention_ms\":-1,\"role\":\"" role "\"}"

static bui_step *plan(const bui_topology *topology, const bui_kafka_topic *have, size_t have_count, size_t *count)
{
    bui_step *steps = NULL;
    assert_int_equal(bui_topology_plan(topology, &defaults, have, have_count, &steps, count, NULL), BUS_OK);
    return steps;
}

static void readers_and_writers_meet(void **state)
{
    (void)state;
    bui_topology *t = bui_topology_new();
    add(t, "order", "[" TOPIC("order.events", 2, "output") "]");
    add(t, "stock", "[" TOPIC("order.events", 3, "input") "," COMPACT("bus.schemas", 1, "shared") "]");
    add(t, "mail",
        "{\"service\":\"mail\",\"topics\":[" TOPIC("order.events", 2, "input") "," COMPACT("bus.schemas", 1, "shared") "]}");
    const bui_wish *w = wish(t, "order.events");
    assert_int_equal(w->multiple, 6);
    assert_true(w->written);
    assert_string_equal(w->by, "order, stock, mail");
    assert_string_equal(w->role, "input");
    size_t count;
    bui_step *steps = plan(t, NULL, 0, &count);
    assert_int_equal(count, 2); /* sorted: bus.schemas, order.events */
    assert_string_equal(steps[0].spec.name, "bus.schemas");
    assert_int_equal(steps[0].spec.partitions, 1);
    assert_string_equal(steps[0].spec.cleanup, "compact");
    assert_int_equal(steps[1].kind, BUI_STEP_CREATE);
    assert_int_equal(steps[1].spec.partitions, 6);
    assert_int_equal(steps[1].spec.replication, 3);
    assert_int_equal(steps[1].spec.min_insync, 2);
    assert_int_equal(steps[1].spec.retention_ms, defaults.retention_ms);
    free(steps);
    bui_topology_free(t);
}

static void partitions_reach_the_default_as_a_multiple(void **state)
{
    (void)state;
    size_t count;
    bui_topology *t = bui_topology_new();
    add(t, "a", "[" TOPIC("x.events", 3, "input") "," TOPIC("x.redrive", 3, "redrive") "," TOPIC("y.events", 1, "output") "]");
    bui_step *steps = plan(t, NULL, 0, &count);
    assert_int_equal(steps[0].spec.partitions, 6); /* at least 4, a multiple of 3 */
    assert_int_equal(steps[1].spec.partitions, 3); /* exactly */
    assert_int_equal(steps[2].spec.partitions, 4);
    free(steps);
    bui_topology_free(t);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *word;
    } cases[] = {
        { "[" TOPIC("a.redrive", 2, "redrive") "]", "[" TOPIC("a.redrive", 2, "redrive") "]", "belongs to one service" },
        { "[" TOPIC("a.events", 2, "input") "]", "[" COMPACT("a.events", 2, "input") "]", "compacted" },
        { "[" TOPIC("a.events", 49999, "input") "]", "[" TOPIC("a.events", 49998, "input") "]", "common divisor" },
        { "[" TOPIC("a", 4, "input") "]", "[" TOPIC("a", 2, "redrive") "]", "do not divide" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bui_topology *t = bui_topology_new();
        bus_error err = { 0 };
        add(t, "one", cases[i].first);
        assert_int_equal(bui_topology_add(t, "two", cases[i].second, strlen(cases[i].second), &err), BUS_REFUSED);
        if (!strstr(err.text, cases[i].word) || !strstr(err.text, "one") || !strstr(err.text, "two"))
            fail_msg("%s", err.text);
        bui_topology_free(t);
    }
}

static void nonsense_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "{}",
                                       "{\"topics\":3}",
                                       "[1]",
                                       "[{\"name\":\"a b\",\"partitions\":1}]",
                                       "[{\"name\":\"a\"}]",
                                       "[{\"name\":\"a\",\"partitions\":0}]",
                                       "[{\"name\":\"a\",\"partitions\":1,\"role\":\"king\"}]",
                                       "[{\"name\":\"a\",\"partitions\":1,\"cleanup\":\"burn\"}]",
                                       "[{\"name\":\"a\",\"partitions\":1,\"retention_ms\":-2}]",
                                       "[{\"name\":\"a\",\"partitions\":1,\"role\":7}]" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bui_topology *t = bui_topology_new();
        bus_error err = { 0 };
        if (bui_topology_add(t, "prog", bad[i], strlen(bad[i]), &err) != BUS_INVALID)
            fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(err.text, "prog"));
        bui_topology_free(t);
    }
}

static bui_kafka_topic have(const char *name, int32_t partitions, const char *cleanup, int64_t retention)
{
    bui_kafka_topic topic = {
        .partitions = partitions, .configured = cleanup != NULL, .retention_ms = retention, .retention_bytes = -1
    };
    snprintf(topic.name, sizeof topic.name, "%s", name);
    snprintf(topic.cleanup, sizeof topic.cleanup, "%s", cleanup ? cleanup : "");
    return topic;
}

static bui_step_kind judged(const char *declared, bui_kafka_topic topic, char *text)
{
    bui_topology *t = bui_topology_new();
    size_t count;
    add(t, "svc", declared);
    bui_step *steps = plan(t, &topic, 1, &count);
    bui_step_kind kind = steps[0].kind;
    assert_int_equal(steps[0].has, topic.partitions);
    snprintf(text, 300, "%s", steps[0].text);
    free(steps);
    bui_topology_free(t);
    return kind;
}

static void what_is_there_is_judged(void **state)
{
    (void)state;
    char text[300];
    assert_int_equal(judged("[" TOPIC("a.events", 2, "input") "]", have("a.events", 4, NULL, 0), text), BUI_STEP_KEEP);
    assert_string_equal(text, "");
    assert_int_equal(judged("[" TOPIC("a.events", 2, "input") "]", have("a.events", 3, NULL, 0), text), BUI_STEP_REFUSE);
    assert_non_null(strstr(text, "growing it would move keys"));
    assert_int_equal(judged("[" TOPIC("a.redrive", 2, "redrive") "]", have("a.redrive", 4, NULL, 0), text), BUI_STEP_REFUSE);
    assert_non_null(strstr(text, "2 shards"));
    assert_int_equal(judged("[" TOPIC("a.dlq", 4, "dlq") "]", have("a.dlq", 2, NULL, 0), text), BUI_STEP_REFUSE);
    assert_int_equal(judged("[" TOPIC("a.dlq", 4, "dlq") "]", have("a.dlq", 6, NULL, 0), text), BUI_STEP_KEEP);
    assert_int_equal(judged("[" TOPIC("a.events", 4, "output") "]", have("a.events", 1, NULL, 0), text), BUI_STEP_KEEP);
    assert_int_equal(judged("[" COMPACT("s", 1, "shared") "]", have("s", 1, "delete", -1), text), BUI_STEP_DIFFERS);
    assert_non_null(strstr(text, "cleanup.policy"));
    bui_kafka_topic old = have("bus.services", 1, "compact", -1);
    old.segment_ms = 604800000;
    assert_int_equal(judged("[" COMPACT("bus.services", 1, "shared") "]", old, text), BUI_STEP_DIFFERS);
    assert_non_null(strstr(text, "segment.ms is 604800000"));
    assert_non_null(strstr(text, "--entity-name bus.services --add-config " BUI_TIDY_SETTINGS)); /* whole */
    old.segment_ms = BUI_TIDY_SEGMENT_MS;
    assert_int_equal(judged("[" COMPACT("bus.services", 1, "shared") "]", old, text), BUI_STEP_KEEP);
    old.segment_ms = 604800000; /* a service's own */
    assert_int_equal(judged("[" COMPACT("bus.services", 1, "input") "]", old, text), BUI_STEP_KEEP);
    assert_int_equal(judged("[" TOPIC("a.events", 2, "input") "]", have("a.events", 2, "delete", 1000), text), BUI_STEP_DIFFERS);
    assert_non_null(strstr(text, "retention.ms is 1000"));
    assert_int_equal(judged("[" TOPIC("a.events", 2, "input") "]", have("a.events", 2, "delete", -1), text), BUI_STEP_KEEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(readers_and_writers_meet),
                                        cmocka_unit_test(partitions_reach_the_default_as_a_multiple),
                                        cmocka_unit_test(contradictions_are_refused), cmocka_unit_test(nonsense_is_named),
                                        cmocka_unit_test(what_is_there_is_judged) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
