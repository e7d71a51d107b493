/* SPDX-License-Identifier: MIT
 * Arena: alignment, limit, marks, and no allocation in the steady state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "support/alloc_fail.h"
#include <string.h>

static void gives_aligned_distinct_memory(void **state)
{
    (void)state;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    unsigned char *last = NULL;
    for (size_t n = 0; n < 3000; n++) {
        unsigned char *p = bui_arena_alloc(&arena, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, (int)(n & 0xFF), n);
        if (last && n > 1) {
            assert_int_equal(last[0], (n - 1) & 0xFF);
            assert_int_equal(last[n - 2], (n - 1) & 0xFF);
        }
        last = p;
    }
    char *copy = bui_arena_copy(&arena, "abc", 3);
    assert_string_equal(copy, "abc");
    assert_string_equal(bui_arena_copy(&arena, NULL, 0), "");
    unsigned char *zero = bui_arena_zero(&arena, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    assert_null(bui_arena_alloc(&arena, SIZE_MAX));
    assert_null(bui_arena_copy(&arena, "", SIZE_MAX));
    bui_arena_free(&arena);
}

static void allocates_nothing_when_warm(void **state)
{
    (void)state;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    for (int round = 0; round < 5; round++) {
        if (round > 0)
            alloc_fail_at(1, true);
        for (size_t n = 1; n < 2000; n += 7)
            assert_non_null(bui_arena_alloc(&arena, n));
        assert_non_null(bui_arena_alloc(&arena, 300000));
        assert_non_null(bui_arena_alloc(&arena, 10));
        if (round > 0)
            assert_false(alloc_fail_off());
        bui_arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    bui_arena_free(&arena);
}

static void keeps_its_limit(void **state)
{
    (void)state;
    bui_arena arena;
    bui_arena_init(&arena, 1024);
    assert_null(bui_arena_alloc(&arena, 1025));
    assert_non_null(bui_arena_alloc(&arena, 1000));
    assert_null(bui_arena_alloc(&arena, 32));
    assert_non_null(bui_arena_alloc(&arena, 16));
    assert_null(bui_arena_alloc(&arena, 1));
    bui_arena_reset(&arena);
    assert_non_null(bui_arena_alloc(&arena, 1024));
    bui_arena_free(&arena);
}

static void goes_back_to_a_mark(void **state)
{
    (void)state;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    bui_arena_mark start = bui_arena_save(&arena);
    char *kept = bui_arena_copy(&arena, "kept", 4);
    bui_arena_mark mark = bui_arena_save(&arena);
    void *first = bui_arena_alloc(&arena, 100);
    for (int i = 0; i < 1000; i++)
        assert_non_null(bui_arena_alloc(&arena, 100));
    bui_arena_back(&arena, mark);
    assert_int_equal(arena.used, 16);
    assert_ptr_equal(bui_arena_alloc(&arena, 100), first);
    assert_string_equal(kept, "kept");
    bui_arena_back(&arena, start); /* a mark of an empty arena */
    assert_ptr_equal(bui_arena_alloc(&arena, 4), kept);
    bui_arena_free(&arena);
}

static void survives_no_memory(void **state)
{
    (void)state;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    alloc_fail_at(1, false);
    assert_null(bui_arena_alloc(&arena, 1));
    assert_true(alloc_fail_off());
    assert_non_null(bui_arena_alloc(&arena, 4000));
    alloc_fail_at(1, false);
    assert_null(bui_arena_zero(&arena, 8000));
    assert_true(alloc_fail_off());
    assert_non_null(bui_arena_alloc(&arena, 16)); /* what it has still serves */
    bui_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_aligned_distinct_memory),
        cmocka_unit_test(allocates_nothing_when_warm),
        cmocka_unit_test(keeps_its_limit),
        cmocka_unit_test(goes_back_to_a_mark),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
