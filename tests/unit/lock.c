/* SPDX-License-Identifier: MIT
 * Locks: one holder, who is named; a wish is seen; both die with their process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/lock.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void one_holder(void **state)
{
    (void)state;
    char directory[] = "/tmp/bus-lock-XXXXXX", base[64], path[80], pid[32];
    bus_error err;
    bui_lock *lock = NULL, *again = NULL, *want = NULL, *third = NULL;
    assert_non_null(mkdtemp(directory));
    snprintf(base, sizeof base, "%s/inventory/0", directory);
    assert_false(bui_lock_wanted(base));
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        bus_status status = bui_lock_take(base, &lock, NULL, &err);
        _exit(write(ready[1], &status, sizeof status) == sizeof status ? pause() : 1);
    }
    bus_status status;
    assert_int_equal(read(ready[0], &status, sizeof status), sizeof status);
    assert_int_equal(status, BUS_OK);
    assert_int_equal(bui_lock_take(base, &again, &want, &err), BUS_LOCKED);
    assert_true(err.retriable);
    snprintf(pid, sizeof pid, "process %ld", (long)child);
    assert_non_null(strstr(err.text, pid));
    assert_null(again);
    assert_non_null(want);
    assert_true(bui_lock_wanted(base));
    bui_lock *held = want;
    assert_int_equal(bui_lock_take(base, &again, &want, &err), BUS_LOCKED);
    assert_ptr_equal(want, held);                                            /* asked for once */
    assert_int_equal(bui_lock_take(base, &again, &third, &err), BUS_LOCKED); /* the wish is taken already */
    assert_null(third);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(bui_lock_take(base, &again, NULL, &err), BUS_OK);
    bui_lock_free(want);
    assert_false(bui_lock_wanted(base));
    bui_lock_free(again);
    assert_int_equal(bui_lock_take(base, &again, NULL, &err), BUS_OK);
    assert_int_equal(bui_lock_take(base, &lock, NULL, &err), BUS_LOCKED); /* also within one process */
    bui_lock_free(again);
    bui_lock_free(NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s.%s", base, i ? "want" : "lock");
        assert_int_equal(remove(path), 0);
    }
    *strrchr(base, '/') = 0;
    rmdir(base);
    rmdir(directory);
}

static void no_place(void **state)
{
    (void)state;
    bus_error err;
    bui_lock *lock = NULL;
    assert_int_equal(bui_lock_take("/proc/nowhere/0", &lock, NULL, &err), BUS_IO);
    assert_non_null(strstr(err.text, "/proc/nowhere"));
    assert_null(lock);
}

/* What somebody has put in a lock's place keeps its bytes, and the lock is refused. */
static void what_is_no_lock_file_is_left_alone(void **state)
{
    (void)state;
    static const char kept[] = "thirty-two bytes and more of somebody else's file";
    char directory[] = "/tmp/bus-lock-XXXXXX", base[64], path[80], other[80], text[80] = "";
    bus_error err;
    bui_lock *lock = NULL;
    assert_non_null(mkdtemp(directory));
    snprintf(base, sizeof base, "%s/0", directory);
    snprintf(path, sizeof path, "%s.lock", base);
    snprintf(other, sizeof other, "%s/other", directory);
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    fputs(kept, file);
    fclose(file);

    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(bui_lock_take(base, &lock, NULL, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(link(other, path), 0);
    assert_int_equal(bui_lock_take(base, &lock, NULL, &err), BUS_REFUSED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(bui_lock_take(base, &lock, NULL, &err), BUS_REFUSED);
    assert_int_equal(mkfifo(other, 0600), 0);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, kept);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(bui_lock_take(base, &lock, NULL, &err), BUS_REFUSED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bui_lock_take(base, &lock, NULL, &err), BUS_OK);
    bui_lock_free(lock);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(chmod(directory, 01777), 0);
    assert_int_equal(bui_lock_take(base, &lock, NULL, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "chmod o-w"));
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_holder), cmocka_unit_test(no_place),
                                        cmocka_unit_test(what_is_no_lock_file_is_left_alone) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
