/* SPDX-License-Identifier: MIT
 * Ids and hashes against their references: Kafka's and librdkafka's murmur2 vectors, wyhash's own, Python's uuid5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/id.h"
#include <string.h>

static void is_kafkas_murmur2(void **state)
{
    (void)state;
    /* org.apache.kafka.common.utils.UtilsTest.testMurmur2 */
    static const struct {
        const char *key;
        int32_t hash;
    } java[] = {
        { "21", -973932308 },
        { "foobar", -790332482 },
        { "a-little-bit-long-string", -985981536 },
        { "a-little-bit-longer-string", -1486304829 },
        { "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
        { "abc", 479470107 },
    };
    for (size_t i = 0; i < sizeof java / sizeof *java; i++)
        assert_int_equal((int32_t)bui_murmur2(java[i].key, strlen(java[i].key)), java[i].hash);
    /* librdkafka, rdmurmur2.c; from each alignment */
    static const struct {
        const char *key;
        uint32_t hash;
    } c[] = {
        { "kafka", 0xd067cf64 },
        { "giberish123456789", 0x8f552b0c },
        { "1234", 0x9fc97b14 },
        { "234", 0xe7c009ca },
        { "34", 0x873930da },
        { "4", 0x5a4b5ca1 },
        { "PreAmbleWillBeRemoved,ThePrePartThatIs", 0x78424f1c },
        { "reAmbleWillBeRemoved,ThePrePartThatIs", 0x4a62b377 },
        { "eAmbleWillBeRemoved,ThePrePartThatIs", 0xe0e4e09e },
        { "AmbleWillBeRemoved,ThePrePartThatIs", 0x62b8b43f },
        { "", 0x106e08d9 },
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char bytes[64];
            memcpy(bytes + shift, c[i].key, strlen(c[i].key));
            assert_int_equal(bui_murmur2(bytes + shift, strlen(c[i].key)), c[i].hash);
        }
    }
    assert_int_equal(bui_murmur2(NULL, 0), 0x106e08d9);
}

static void chooses_kafkas_partition(void **state)
{
    (void)state;
    assert_int_equal(bui_partition_of("21", 2, 16), (-973932308 & 0x7FFFFFFF) % 16);
    assert_int_equal(bui_partition_of("abc", 3, 7), 479470107 % 7);
    assert_int_equal(bui_partition_of("abc", 3, 1), 0);
    assert_int_equal(bui_partition_of("abc", 3, 0), 0);
}

static void is_wyhash(void **state)
{
    (void)state;
    /* wyhash, test_vector.cpp: message i under seed i */
    static const struct {
        const char *key;
        uint64_t hash;
    } vectors[] = {
        { "", UINT64_C(0x93228a4de0eec5a2) },
        { "a", UINT64_C(0xc5bac3db178713c4) },
        { "abc", UINT64_C(0xa97f2f7b1d9b3314) },
        { "message digest", UINT64_C(0x786d1f1df3801df4) },
        { "abcdefghijklmnopqrstuvwxyz", UINT64_C(0xdca5a8138ad37c87) },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", UINT64_C(0xb9e734f117cfaf70) },
        { "12345678901234567890123456789012345678901234567890123456789012345678901234567890", UINT64_C(0x6cc5eab49a92d617) },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        assert_true(bui_hash(vectors[i].key, strlen(vectors[i].key), i) == vectors[i].hash);
    assert_true(bui_hash(NULL, 0, 0) == vectors[0].hash);
}

static void names_by_content(void **state)
{
    (void)state;
    char a[BUI_ID_TEXT], b[BUI_ID_TEXT];
    /* Python: uuid.uuid5(UUID("3b2e7c5a-9014-4f6d-a8d1-5c07e942b61f"), "a\x1fbc") */
    bui_id_of((bui_part[]){ { "a", 1 }, { "bc", 2 } }, 2, a);
    assert_string_equal(a, "fee6baa2-bf6f-51cc-b82d-7f38c95d3792");
    bui_id_of((bui_part[]){ { "ab", 2 }, { "c", 1 } }, 2, b);
    assert_string_equal(b, "055577aa-16fb-5a29-afbd-83ca556fc709");
    bui_id_of(NULL, 0, b);
    assert_string_equal(b, "22173625-e534-5373-a5e4-cf8207805ce3");
    char longer[1100];
    memset(longer, 'x', sizeof longer);
    bui_id_of((bui_part[]){ { longer, 1024 } }, 1, a);
    assert_string_equal(a, "ac991aca-d242-595c-91e9-7cfbc0e2a5da");
    /* beyond 1,024 bytes: uuid5(uuid5(ns, the first 1,024), the rest) */
    bui_id_of((bui_part[]){ { longer, 1100 } }, 1, a);
    assert_string_equal(a, "c117597a-7c85-5441-94db-a69d4a6ff881");
}

static void draws_random_ids(void **state)
{
    (void)state;
    char a[BUI_ID_TEXT], b[BUI_ID_TEXT], t[17], u[17];
    bui_id_random(a);
    bui_id_random(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_string_not_equal(a, b);
    bui_token_random(t);
    bui_token_random(u);
    assert_int_equal(strlen(t), 16);
    assert_int_equal(strspn(t, "0123456789abcdef"), 16);
    assert_string_not_equal(t, u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_kafkas_murmur2), cmocka_unit_test(chooses_kafkas_partition), cmocka_unit_test(is_wyhash),
        cmocka_unit_test(names_by_content),  cmocka_unit_test(draws_random_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
