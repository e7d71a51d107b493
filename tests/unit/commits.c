/* SPDX-License-Identifier: MIT
 * Commits: what the metadata of a committed offset says, by any writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shard/internal.h"
#include <stdio.h>
#include <string.h>

#define ID "0b4c1f0e-3a55-4e0f-9d0a-6a1c2b3d4e5f"

static void reads_what_this_version_writes(void **state)
{
    (void)state;
    bui_commit_text text;
    assert_true(bui_commit_read(ID " 12 345 f transacted", &text));
    assert_string_equal(text.store_id, ID);
    assert_int_equal(text.opens, 12);
    assert_int_equal(text.age, 345);
    assert_string_equal(text.flags, "f");
}

static void reads_older_and_newer_versions(void **state)
{
    (void)state;
    bui_commit_text text;
    assert_true(bui_commit_read(ID " 12", &text));
    assert_int_equal(text.opens, 12);
    assert_int_equal(text.age, -1);
    assert_string_equal(text.flags, "");
    assert_true(bui_commit_read(ID " 12 transacted", &text));
    assert_int_equal(text.age, -1);
    assert_string_equal(text.flags, "");
    assert_true(bui_commit_read(ID " 12 345 - and more", &text));
    assert_int_equal(text.age, 345);
    assert_true(bui_commit_read(ID " 12 345 abcdefghijklmnop", &text)); /* cut, not overrun */
    assert_string_equal(text.flags, "abcdefg");
}

static void what_others_wrote_is_not_ours(void **state)
{
    (void)state;
    bui_commit_text text;
    const char *const foreign[] = { "",     " ",     "reset",  ID,
                                    ID " ", ID " x", ID "-12", "some other program's notes, rather long ones 12" };
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(bui_commit_read(foreign[i], &text));
    char most[sizeof((bui_offset *)0)->metadata];
    memset(most, 'x', sizeof most - 1);
    most[sizeof most - 1] = 0;
    assert_false(bui_commit_read(most, &text));
}

static void what_waits_is_read_with_and_without_the_partitions(void **state)
{
    (void)state;
    bui_waiting waiting;
    assert_false(bui_commit_waiting(ID " 3 4 -", &waiting));
    assert_true(bui_commit_waiting(ID " 3 4 - waiting=1/2/3", &waiting));
    assert_int_equal(waiting.parked + waiting.held + waiting.delayed, 6);
    assert_int_equal(waiting.partitions, 0);
    assert_true(bui_commit_waiting(ID " 3 4 - transacted waiting=1/2/3 of=12", &waiting));
    assert_int_equal(waiting.partitions, 12);
}

static void the_first_of_ours_tells(void **state)
{
    (void)state;
    bui_commit_text text;
    bui_offset list[3] = { { .metadata = "" }, { .metadata = ID " 3 4 f" }, { .metadata = ID " 1" } };
    assert_true(bui_commit_last(list, 3, &text));
    assert_int_equal(text.opens, 3);
    assert_false(bui_commit_last(list, 1, &text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_this_version_writes), cmocka_unit_test(reads_older_and_newer_versions),
        cmocka_unit_test(what_others_wrote_is_not_ours),  cmocka_unit_test(what_waits_is_read_with_and_without_the_partitions),
        cmocka_unit_test(the_first_of_ours_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
