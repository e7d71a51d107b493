/* SPDX-License-Identifier: MIT
 * Room in arrays: it doubles, keeps what is there, and a failure leaves all as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/array.h"
#include "support/alloc_fail.h"
#include <stdlib.h>

static void doubles_and_keeps(void **state)
{
    (void)state;
    int64_t *list = NULL;
    size_t cap = 0;
    for (size_t i = 0; i < 1000; i++) {
        assert_true(bui_array_room(&list, &cap, i + 1, sizeof *list, 4));
        assert_true(cap >= 4 && cap > i && (cap & (cap - 1)) == 0);
        list[i] = (int64_t)i;
    }
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(list[i], i);
    assert_int_equal(cap, 1024);
    free(list);
}

static void takes_many_at_once(void **state)
{
    (void)state;
    char *text = NULL;
    size_t cap = 0;
    assert_true(bui_array_room(&text, &cap, 100, 1, 16));
    assert_int_equal(cap, 128);
    assert_true(bui_array_room(&text, &cap, 128, 1, 16));
    assert_int_equal(cap, 128);
    free(text);
}

static void a_failure_changes_nothing(void **state)
{
    (void)state;
    int *list = NULL;
    size_t cap = 0;
    assert_true(bui_array_room(&list, &cap, 1, sizeof *list, 1));
    int *before = list;
    list[0] = 7;
    alloc_fail_at(1, false);
    assert_false(bui_array_room(&list, &cap, 2, sizeof *list, 1));
    assert_true(alloc_fail_off());
    assert_ptr_equal(list, before);
    assert_int_equal(cap, 1);
    assert_int_equal(list[0], 7);
    assert_false(bui_array_room(&list, &cap, SIZE_MAX, sizeof *list, 1));
    assert_false(bui_array_room(&list, &cap, SIZE_MAX / 4, 16, 1));
    assert_int_equal(cap, 1);
    free(list);
}

static void one_more_without_a_capacity(void **state)
{
    (void)state;
    int64_t *list = NULL;
    size_t count = 0;
    for (; count < 1000; count++) {
        assert_true(bui_array_one_more(&list, count, sizeof *list));
        list[count] = (int64_t)count; /* a sanitizer sees one that has no room */
    }
    for (count = 3; count < 500; count++) { /* some were taken out: it may shrink, never below what is used */
        assert_true(bui_array_one_more(&list, count, sizeof *list));
        list[count] = (int64_t)count;
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(list[i], i);
    alloc_fail_at(1, false);
    assert_true(bui_array_one_more(&list, 500, sizeof *list)); /* up to 512 none is asked for */
    assert_false(bui_array_one_more(&list, 512, sizeof *list));
    assert_true(alloc_fail_off());
    assert_int_equal(list[499], 499);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_and_keeps),
        cmocka_unit_test(takes_many_at_once),
        cmocka_unit_test(a_failure_changes_nothing),
        cmocka_unit_test(one_more_without_a_capacity),
    };
    return cmocka_run_group_tests_name("array", tests, NULL, NULL);
}
