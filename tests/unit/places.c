/* SPDX-License-Identifier: MIT
 * Places of dead letters' records: noted, kept in a file, and forgotten when the topic is another. */
#include "ops/places.h"
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORDS 3000

typedef struct kept {
    char file[64];
    bui_places *places;
} kept;

static void add(bui_places *places, int32_t partition, int64_t offset, const char *value)
{
    char text[80];
    snprintf(text, sizeof text, "%08x-aaaa-5bbb-8ccc-000000000001 1 open", (unsigned)offset);
    bus_header header = { "bus-letter", text, strlen(text) };
    bui_record record = { .topic = "order.dlq",
                          .partition = partition,
                          .offset = offset,
                          .value = value,
                          .value_len = strlen(value),
                          .headers = &header,
                          .header_count = 1 };
    assert_int_equal(bui_places_add(places, &record, NULL), BUS_OK);
}

static int write_places(void **state)
{
    kept *k = calloc(1, sizeof *k);
    snprintf(k->file, sizeof k->file, "/tmp/bus-places-%ld", (long)getpid());
    unlink(k->file);
    bui_places *before = bui_places_new();
    for (int64_t i = 0; i < RECORDS; i++)
        add(before, 1, i, "v");
    bui_places_save(before, k->file);
    bui_places_free(before);
    k->places = bui_places_new();
    assert_int_equal(bui_places_load(k->places, k->file, NULL), BUS_OK);
    *state = k;
    return 0;
}

static int drop_places(void **state)
{
    kept *k = *state;
    unlink(k->file);
    bui_places_free(k->places);
    free(k);
    return 0;
}

static void the_file_tells_where_to_go_on(void **state)
{
    kept *k = *state;
    assert_int_equal(bui_places_count(k->places), RECORDS);
    assert_int_equal(bui_places_last(k->places, 1), RECORDS - 1);
    assert_int_equal(bui_places_last(k->places, 0), -1);
    assert_int_equal(bui_places_last(k->places, 9), -1);
    assert_false(bui_places_good(k->places)); /* not before that record was seen again */
    add(k->places, 1, RECORDS - 1, "v");
    assert_true(bui_places_good(k->places));
    add(k->places, 1, RECORDS, "w");
    add(k->places, 0, 5, "w");
    assert_int_equal(bui_places_count(k->places), RECORDS + 2);
    assert_int_equal(bui_places_at(k->places, RECORDS + 1)->offset, 5);
    assert_true(bui_places_good(k->places));
}

static void another_record_there_is_another_log(void **state)
{
    kept *k = *state;
    add(k->places, 1, RECORDS - 1, "other");
    add(k->places, 1, RECORDS, "v");
    assert_false(bui_places_good(k->places));
    bui_places_forget(k->places);
    assert_int_equal(bui_places_count(k->places), 0);
    assert_int_equal(bui_places_last(k->places, 1), -1);
    add(k->places, 1, 7, "v");
    assert_true(bui_places_good(k->places));
}

static void a_shorter_log_is_another_one(void **state)
{
    kept *k = *state;
    add(k->places, 0, 1, "v");
    assert_false(bui_places_good(k->places)); /* the record was not there any more */
}

static void few_records_are_not_worth_a_file(void **state)
{
    kept *k = *state;
    unlink(k->file);
    bui_places *few = bui_places_new();
    for (int64_t i = 0; i < 900; i++)
        add(few, 1, i, "v");
    bui_places_save(few, k->file);
    assert_int_not_equal(access(k->file, F_OK), 0);
    for (int64_t i = 900; i < 1100; i++)
        add(few, 1, i, "v");
    bui_places_save(few, k->file);
    assert_int_equal(access(k->file, F_OK), 0);
    bui_places_free(few);
}

static void what_is_no_id_is_not_noted(void **state)
{
    kept *k = *state;
    const char *texts[] = { "", "11111111-aaaa-5bbb-8ccc-000000000001", "somebody's text of thirty-six bytes!! 1 open",
                            "x 1 open" };
    for (size_t i = 0; i < 4; i++) {
        bus_header header = { "bus-letter", texts[i], strlen(texts[i]) };
        bui_record record = { .topic = "order.dlq", .partition = 3, .offset = (int64_t)i, .headers = &header, .header_count = 1 };
        assert_int_equal(bui_places_add(k->places, &record, NULL), BUS_OK);
    }
    assert_int_equal(bui_places_count(k->places), RECORDS);
    assert_int_equal(bui_places_last(k->places, 3), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, write_places, drop_places)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_file_tells_where_to_go_on),    TEST(another_record_there_is_another_log), TEST(a_shorter_log_is_another_one),
        TEST(few_records_are_not_worth_a_file), TEST(what_is_no_id_is_not_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
