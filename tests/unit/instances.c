/* SPDX-License-Identifier: MIT
 * Instances: heartbeats folded into what lives; and the words for what came of a redrive. */
#include "ops/instances.h"
#include "ops/redrive.h"
#include "service/heartbeat.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void beat(bui_instances *instances, const char *service, const char *instance, int64_t at)
{
    const int shards[] = { 0, 2 };
    bui_heartbeat heartbeat = { .service = service,
                                .service_version = "1.4.2",
                                .instance = instance,
                                .host = "h",
                                .state = "serving",
                                .why = "",
                                .pid = 7,
                                .started_ms = 1000,
                                .at_ms = at,
                                .shard_count = 4,
                                .shards = shards,
                                .held = 2 };
    bui_buf json;
    bui_buf_init(&json, 0);
    bui_heartbeat_json(&heartbeat, &json);
    bui_record record = { .topic = "bus.services", .value = json.data, .value_len = json.len, .timestamp = at };
    assert_int_equal(bui_instances_add(instances, &record, NULL), BUS_OK);
    bui_buf_free(&json);
}

static void the_last_beat_counts(void **state)
{
    (void)state;
    bui_instances instances = { 0 };
    beat(&instances, "stock", "1", 5000);
    beat(&instances, "order", "2", 6000);
    beat(&instances, "order", "1", 6000);
    beat(&instances, "order", "2", 9000);
    bui_instances_settle(&instances);
    assert_int_equal(instances.count, 3);
    assert_string_equal(instances.list[0].service, "order");
    assert_string_equal(instances.list[0].instance, "1");
    assert_int_equal(instances.list[1].at_ms, 9000);
    assert_int_equal(instances.list[1].shard_count, 4);
    assert_int_equal(instances.list[1].held, 2);
    assert_string_equal(instances.list[1].service_version, "1.4.2");
    assert_string_equal(instances.list[1].shards, "0, 2");
    assert_string_equal(instances.list[2].service, "stock");
    bui_instances_free(&instances);
}

static void a_tombstone_removes(void **state)
{
    (void)state;
    bui_instances instances = { 0 };
    beat(&instances, "order", "1", 6000);
    bui_record gone = { .key = "order/1", .key_len = 7 }, nonsense = { .value = "{]", .value_len = 2 }, keyless = { 0 };
    assert_int_equal(bui_instances_add(&instances, &gone, NULL), BUS_OK);
    assert_int_equal(bui_instances_add(&instances, &nonsense, NULL), BUS_OK);
    assert_int_equal(bui_instances_add(&instances, &keyless, NULL), BUS_OK);
    bui_instances_settle(&instances);
    assert_int_equal(instances.count, 0);
    assert_int_equal(instances.unreadable, 2);
    bui_instances_free(&instances);
}

static const char *word(bui_deadletter_state now, int round, bool sent, bus_status status, bui_command_kind kind, bool *final)
{
    bui_dead dead = { .state = now, .round = round };
    bui_deadletter_outcome outcome = { .dead = &dead, .round = 1, .sent = sent, .status = status };
    *final = bui_outcome_final(&outcome);
    return bui_outcome_word(&outcome, kind);
}

static void what_came_of_it(void **state)
{
    (void)state;
    bool final;
    const bui_command_kind redrive = BUI_COMMAND_REDRIVE, discard = BUI_COMMAND_DISCARD;
    assert_string_equal(word(BUI_DEADLETTER_OPEN, 1, true, BUS_OK, redrive, &final), "sent");
    assert_false(final);
    assert_string_equal(word(BUI_DEADLETTER_REDRIVEN, 1, true, BUS_OK, redrive, &final), "accepted");
    assert_false(final);
    assert_string_equal(word(BUI_DEADLETTER_RESOLVED, 1, true, BUS_OK, redrive, &final), "resolved");
    assert_true(final);
    assert_string_equal(word(BUI_DEADLETTER_OPEN, 2, true, BUS_OK, redrive, &final), "failed again");
    assert_true(final);
    assert_string_equal(word(BUI_DEADLETTER_DISCARDED, 1, true, BUS_OK, discard, &final), "discarded");
    assert_true(final);
    /* Somebody else was quicker. */
    assert_string_equal(word(BUI_DEADLETTER_DISCARDED, 1, true, BUS_OK, redrive, &final), "already discarded");
    assert_string_equal(word(BUI_DEADLETTER_RESOLVED, 1, true, BUS_OK, discard, &final), "already resolved");
    assert_string_equal(word(BUI_DEADLETTER_RESOLVED, 1, false, BUS_REFUSED, redrive, &final), "already resolved");
    assert_string_equal(word(BUI_DEADLETTER_OPEN, 1, false, BUS_MISSING, redrive, &final), "expired");
    assert_string_equal(word(BUI_DEADLETTER_OPEN, 1, false, BUS_TIMEOUT, redrive, &final), "not sent");
    assert_true(final); /* nothing to wait for */
}

/* After each of 100,000 records: what was final is not asked again. */
static void all_outcomes_are_known_by_looking_once_at_each(void **state)
{
    (void)state;
    enum { MANY = 4 };
    bui_dead dead[MANY];
    bui_deadletter_outcome outcomes[MANY];
    size_t known = 0;
    for (int i = 0; i < MANY; i++) {
        dead[i] = (bui_dead){ .state = BUI_DEADLETTER_REDRIVEN, .round = 1 };
        outcomes[i] = (bui_deadletter_outcome){ .dead = &dead[i], .round = 1, .sent = true };
    }
    assert_false(bui_outcomes_final(outcomes, MANY, &known));
    dead[1].state = BUI_DEADLETTER_RESOLVED;
    assert_false(bui_outcomes_final(outcomes, MANY, &known));
    assert_int_equal(known, 0);
    dead[0].state = BUI_DEADLETTER_RESOLVED;
    assert_false(bui_outcomes_final(outcomes, MANY, &known));
    assert_int_equal(known, 2);
    outcomes[0].dead = outcomes[1].dead = NULL; /* a look at them would be noticed */
    dead[2].round = 2;
    dead[3].state = BUI_DEADLETTER_DISCARDED;
    assert_true(bui_outcomes_final(outcomes, MANY, &known));
    assert_int_equal(known, MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_last_beat_counts), cmocka_unit_test(a_tombstone_removes),
                                        cmocka_unit_test(what_came_of_it),
                                        cmocka_unit_test(all_outcomes_are_known_by_looking_once_at_each) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
