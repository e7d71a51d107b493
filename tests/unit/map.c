/* SPDX-License-Identifier: MIT
 * Map: against a plain model over many random operations; order of iteration; allocation failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"
#include "support/alloc_fail.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finds_what_was_put(void **state)
{
    (void)state;
    bui_map map;
    bui_map_init(&map);
    int one = 1, two = 2;
    assert_null(bui_map_get(&map, "k", 1));
    assert_null(bui_map_remove(&map, "k", 1));
    assert_true(bui_map_put(&map, "", 0, &one)); /* an empty key is a key */
    assert_true(bui_map_put(&map, "\0", 1, &two));
    assert_ptr_equal(bui_map_get(&map, NULL, 0), &one);
    assert_ptr_equal(bui_map_get(&map, "\0", 1), &two);
    assert_true(bui_map_put(&map, "", 0, &two));
    assert_int_equal(map.count, 2);
    assert_ptr_equal(bui_map_remove(&map, "", 0), &two);
    assert_null(bui_map_get(&map, "", 0));
    assert_int_equal(map.count, 1);
    bui_map_free(&map, NULL);
    assert_int_equal(map.count, 0);
}

#define KEYS 300
/* 200,000 random puts and removes over few keys, so that removed places are met all the time. */
static void agrees_with_a_model(void **state)
{
    (void)state;
    static int values[KEYS];
    bool in[KEYS] = { false };
    size_t count = 0;
    bui_map map;
    bui_map_init(&map);
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t k = random % KEYS;
        char key[16];
        size_t len = (size_t)snprintf(key, sizeof key, "key-%zu", k);
        if (random >> 40 & 1) {
            assert_true(bui_map_put(&map, key, len, &values[k]));
            count += !in[k];
            in[k] = true;
        } else {
            assert_ptr_equal(bui_map_remove(&map, key, len), in[k] ? &values[k] : NULL);
            count -= in[k];
            in[k] = false;
        }
        size_t probe = (random >> 20) % KEYS;
        len = (size_t)snprintf(key, sizeof key, "key-%zu", probe);
        assert_ptr_equal(bui_map_get(&map, key, len), in[probe] ? &values[probe] : NULL);
        assert_int_equal(map.count, count);
    }
    assert_true(map.cap <= 2048); /* removed ones do not make it grow */
    bui_map_free(&map, NULL);
}

static void iterates_in_order_of_insertion(void **state)
{
    (void)state;
    static int values[1000];
    bui_map map;
    bui_map_init(&map);
    for (int i = 0; i < 1000; i++)
        assert_true(bui_map_put(&map, &i, sizeof i, &values[i]));
    for (int i = 0; i < 1000; i += 3)
        assert_ptr_equal(bui_map_remove(&map, &i, sizeof i), &values[i]);
    size_t at = 0, len;
    const void *key;
    void *value;
    int expected = 0, seen = 0;
    while (bui_map_next(&map, &at, &key, &len, &value)) {
        while (expected % 3 == 0)
            expected++;
        int k;
        assert_int_equal(len, sizeof k);
        memcpy(&k, key, sizeof k);
        assert_int_equal(k, expected);
        assert_ptr_equal(value, &values[k]);
        assert_ptr_equal(bui_map_remove(&map, &k, sizeof k), value); /* allowed */
        expected++;
        seen++;
    }
    assert_int_equal(seen, 666);
    assert_int_equal(map.count, 0);
    bui_map_free(&map, NULL);
}

static void frees_values(void **state)
{
    (void)state;
    bui_map map;
    bui_map_init(&map);
    for (int i = 0; i < 50; i++)
        assert_true(bui_map_put(&map, &i, sizeof i, malloc(8)));
    bui_map_free(&map, free); /* the leak check of the ASan build watches */
}

static void survives_no_memory(void **state)
{
    (void)state;
    static int value;
    for (long n = 1;; n++) {
        bui_map map;
        bui_map_init(&map);
        int good = 0, put = 0;
        alloc_fail_at(n, false);
        for (int i = 0; i < 100; i++) {
            bool ok = bui_map_put(&map, &i, sizeof i, &value);
            good += ok;
            put += (bui_map_get(&map, &i, sizeof i) != NULL) == ok;
        }
        bool hit = alloc_fail_off();
        assert_int_equal(put, 100);
        assert_int_equal(good, hit ? 99 : 100);
        assert_int_equal(map.count, good);
        bui_map_free(&map, NULL);
        if (!hit)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_put),
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(iterates_in_order_of_insertion),
        cmocka_unit_test(frees_values),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
