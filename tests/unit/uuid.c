/* SPDX-License-Identifier: MIT
 * UUIDs: names may be their own space; random ones are not drawn twice, nor by a child again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/uuid.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>

static void names_as_libuuid_does(void **state)
{
    (void)state;
    unsigned char space[16], mine[16], name[300];
    uuid_t theirs;
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = (unsigned char)(i * 37 + 5);
    memcpy(space, name + 100, 16);
    for (size_t len = 0; len <= sizeof name; len++) {
        uuid_generate_sha1(theirs, space, (const char *)name, len);
        bui_uuid_named(mine, space, name, len);
        assert_memory_equal(mine, theirs, 16);
    }
    uuid_generate_sha1(theirs, space, (const char *)name, 10);
    bui_uuid_named(space, space, name, 10);
    assert_memory_equal(space, theirs, 16);
}

static void prints_as_libuuid_does(void **state)
{
    (void)state;
    unsigned char id[16];
    char mine[37], theirs[37];
    for (int i = 0; i < 100; i++) {
        bui_uuid_random(id);
        assert_int_equal(id[6] >> 4, 4);
        assert_int_equal(id[8] >> 6, 2);
        bui_uuid_print(id, mine);
        uuid_unparse_lower(id, theirs);
        assert_string_equal(mine, theirs);
    }
}

static void draws_none_twice(void **state)
{
    (void)state;
    static unsigned char ids[1000][16];
    for (size_t i = 0; i < 1000; i++) {
        bui_uuid_random(ids[i]);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(ids[i], ids[k], 16);
    }
}

static void a_child_draws_others(void **state)
{
    (void)state;
    unsigned char childs[16], mine[16];
    int ends[2];
    bui_uuid_random(mine); /* there is a pool to inherit */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bui_uuid_random(childs);
        _exit(write(ends[1], childs, sizeof childs) == sizeof childs ? 0 : 1);
    }
    bui_uuid_random(mine);
    assert_int_equal(read(ends[0], childs, sizeof childs), sizeof childs);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_memory_not_equal(mine, childs, 16);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_as_libuuid_does),
        cmocka_unit_test(prints_as_libuuid_does),
        cmocka_unit_test(draws_none_twice),
        cmocka_unit_test(a_child_draws_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
