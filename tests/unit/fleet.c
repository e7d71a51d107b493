/* SPDX-License-Identifier: MIT
 * Fleet: heartbeats folded into what lives; and the words for what came of a redrive. */
#include "ops/fleet.h"
#include "ops/redrive.h"
#include "service/heartbeat.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void beat(bus_fleet *fleet, const char *service, const char *instance, int64_t at)
{
    const int shards[] = { 0, 2 };
    bus_heartbeat heartbeat = { .service = service, .instance = instance, .host = "h", .state = "serving", .why = "", .pid = 7, .started_ms = 1000,
                                .at_ms = at, .shard_count = 4, .shards = shards, .held = 2 };
    bus_buf json;
    bus_buf_init(&json, 0);
    bus_heartbeat_json(&heartbeat, &json);
    bus_record record = { .topic = "bus.services", .value = json.data, .value_len = json.len, .timestamp = at };
    assert_int_equal(bus_fleet_add(fleet, &record, NULL), BUS_OK);
    bus_buf_free(&json);
}

static void the_last_beat_counts(void **state)
{
    (void)state;
    bus_fleet fleet = { 0 };
    beat(&fleet, "stock", "1", 5000);
    beat(&fleet, "order", "2", 6000);
    beat(&fleet, "order", "1", 6000);
    beat(&fleet, "order", "2", 9000);
    bus_fleet_settle(&fleet);
    assert_int_equal(fleet.count, 3);
    assert_string_equal(fleet.list[0].service, "order");
    assert_string_equal(fleet.list[0].instance, "1");
    assert_int_equal(fleet.list[1].at_ms, 9000);
    assert_int_equal(fleet.list[1].shard_count, 4);
    assert_int_equal(fleet.list[1].held, 2);
    assert_string_equal(fleet.list[1].shards, "0, 2");
    assert_string_equal(fleet.list[2].service, "stock");
    bus_fleet_free(&fleet);
}

static void a_tombstone_removes(void **state)
{
    (void)state;
    bus_fleet fleet = { 0 };
    beat(&fleet, "order", "1", 6000);
    bus_record gone = { .key = "order/1", .key_len = 7 }, nonsense = { .value = "{]", .value_len = 2 }, keyless = { 0 };
    assert_int_equal(bus_fleet_add(&fleet, &gone, NULL), BUS_OK);
    assert_int_equal(bus_fleet_add(&fleet, &nonsense, NULL), BUS_OK);
    assert_int_equal(bus_fleet_add(&fleet, &keyless, NULL), BUS_OK);
    bus_fleet_settle(&fleet);
    assert_int_equal(fleet.count, 0);
    assert_int_equal(fleet.unreadable, 2);
    bus_fleet_free(&fleet);
}

static const char *word(bus_letter_state now, int round, bool sent, bus_status status, bus_command_kind kind, bool *final)
{
    bus_dead dead = { .state = now, .round = round };
    bus_letter_outcome outcome = { .dead = &dead, .round = 1, .sent = sent, .status = status };
    *final = bus_outcome_final(&outcome);
    return bus_outcome_word(&outcome, kind);
}

static void what_came_of_it(void **state)
{
    (void)state;
    bool final;
    const bus_command_kind redrive = BUS_COMMAND_REDRIVE, discard = BUS_COMMAND_DISCARD;
    assert_string_equal(word(BUS_LETTER_OPEN, 1, true, BUS_OK, redrive, &final), "sent");
    assert_false(final);
    assert_string_equal(word(BUS_LETTER_REDRIVEN, 1, true, BUS_OK, redrive, &final), "accepted");
    assert_false(final);
    assert_string_equal(word(BUS_LETTER_RESOLVED, 1, true, BUS_OK, redrive, &final), "resolved");
    assert_true(final);
    assert_string_equal(word(BUS_LETTER_OPEN, 2, true, BUS_OK, redrive, &final), "failed again");
    assert_true(final);
    assert_string_equal(word(BUS_LETTER_DISCARDED, 1, true, BUS_OK, discard, &final), "discarded");
    assert_true(final);
    /* Somebody else was quicker. */
    assert_string_equal(word(BUS_LETTER_DISCARDED, 1, true, BUS_OK, redrive, &final), "already discarded");
    assert_string_equal(word(BUS_LETTER_RESOLVED, 1, true, BUS_OK, discard, &final), "already resolved");
    assert_string_equal(word(BUS_LETTER_RESOLVED, 1, false, BUS_REFUSED, redrive, &final), "already resolved");
    assert_string_equal(word(BUS_LETTER_OPEN, 1, false, BUS_MISSING, redrive, &final), "expired");
    assert_string_equal(word(BUS_LETTER_OPEN, 1, false, BUS_TIMEOUT, redrive, &final), "not sent");
    assert_true(final); /* nothing to wait for */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_last_beat_counts), cmocka_unit_test(a_tombstone_removes), cmocka_unit_test(what_came_of_it) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
