/* SPDX-License-Identifier: MIT
 * SHA-1: gives what libuuid gives at every length around the blocks' ends, and sha1sum. */
#include "support/skip.h"

#include "base/sha1.h"
#include <string.h>
#include <uuid/uuid.h>

#define WITHOUT "this processor has no SHA-NI: libuuid computes there, not this code"

static void is_sha1_at_every_length(void **state)
{
    (void)state;
    uint8_t name[400], space[16], hash[20];
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = (uint8_t)(i * 73 + 11);
    memcpy(space, name + 50, 16);
    for (size_t len = 0; len <= sizeof name; len++) {
        uuid_t theirs;
        if (!bui_sha1_named(hash, space, name, len))
            TEST_SKIP(WITHOUT);
        uuid_generate_sha1(theirs, space, (const char *)name, len);
        assert_memory_equal(hash, theirs, 6); /* between them lie the version and the variant */
        assert_int_equal(hash[7], theirs[7]);
        assert_memory_equal(hash + 9, theirs + 9, 7);
    }
}

/* printf abcdefghijklmnopqrstuvwxyz | sha1sum */
static void is_whole(void **state)
{
    (void)state;
    static const uint8_t whole[20] = { 0x32, 0xd1, 0x0c, 0x7b, 0x8c, 0xf9, 0x65, 0x70, 0xca, 0x04,
                                       0xce, 0x37, 0xf2, 0xa1, 0x9d, 0x84, 0x24, 0x0d, 0x3a, 0x89 };
    uint8_t hash[20];
    if (!bui_sha1_named(hash, (const uint8_t *)"abcdefghijklmnop", "qrstuvwxyz", 10))
        TEST_SKIP(WITHOUT);
    assert_memory_equal(hash, whole, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(is_sha1_at_every_length), cmocka_unit_test(is_whole) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
