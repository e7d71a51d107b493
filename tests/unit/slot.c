/* SPDX-License-Identifier: MIT
 * Slots: the first free one, back after its holder is gone, one identity a slot. */
#include "store/slot.h"
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(base, "/tmp/bus-slot-XXXXXX");
    return mkdtemp(base) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", base, base);
    return system(command);
}

/* Slots are between processes, so others are played by children. Each takes a slot, tells its number, and waits. */
typedef struct child {
    pid_t pid;
    int number;
} child;

static child other_process(const char *directory)
{
    int tell[2];
    assert_int_equal(pipe(tell), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bui_slot *slot = NULL;
        int number = bui_slot_take(directory, "cart", &slot, NULL) == BUS_OK ? bui_slot_number(slot) : -1;
        if (write(tell[1], &number, sizeof number) != sizeof number)
            _exit(1);
        pause();
        _exit(0);
    }
    child other = { .pid = pid };
    close(tell[1]);
    assert_int_equal(read(tell[0], &other.number, sizeof other.number), sizeof other.number);
    close(tell[0]);
    return other;
}

static void end(child *other)
{
    kill(other->pid, SIGKILL);
    waitpid(other->pid, NULL, 0);
}

static void the_first_free_one_is_taken(void **state)
{
    (void)state;
    char directory[200];
    snprintf(directory, sizeof directory, "%s/deep/er/cart", base);
    child first = other_process(directory), second = other_process(directory);
    assert_int_equal(first.number, 0);
    assert_int_equal(second.number, 1);
    end(&first); /* as by kill -9: nothing is tidied up */
    bui_slot *slot = NULL;
    bus_error err = { 0 };
    assert_int_equal(bui_slot_take(directory, "cart", &slot, &err), BUS_OK);
    assert_int_equal(bui_slot_number(slot), 0);
    bui_slot_free(slot);
    end(&second);

    struct stat made;
    assert_int_equal(stat(directory, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0700);
}

static void an_identity_is_of_service_directory_and_slot(void **state)
{
    (void)state;
    char one[200], two[200], again[200], kept[BUI_INSTANCE_TEXT];
    snprintf(one, sizeof one, "%s/one", base);
    snprintf(two, sizeof two, "%s/two", base);
    snprintf(again, sizeof again, "%s/../%s/one", base, base + strlen("/tmp/")); /* the same by another path */
    bui_slot *slot = NULL;
    assert_int_equal(bui_slot_take(one, "cart", &slot, NULL), BUS_OK);
    snprintf(kept, sizeof kept, "%s", bui_slot_instance(slot));
    assert_memory_equal(kept, "cart-", 5);
    assert_string_equal(kept + strlen(kept) - 2, "-0");
    bui_slot_free(slot);

    assert_int_equal(bui_slot_take(again, "cart", &slot, NULL), BUS_OK);
    assert_string_equal(bui_slot_instance(slot), kept);
    bui_slot_free(slot);
    assert_int_equal(bui_slot_take(two, "cart", &slot, NULL), BUS_OK);
    assert_string_not_equal(bui_slot_instance(slot), kept);
    bui_slot_free(slot);
}

static void a_directory_that_cannot_be_made_says_which(void **state)
{
    (void)state;
    char file[200], directory[220];
    snprintf(file, sizeof file, "%s/file", base);
    FILE *made = fopen(file, "w");
    assert_non_null(made);
    fclose(made);
    snprintf(directory, sizeof directory, "%s/cart", file);
    bui_slot *slot = NULL;
    bus_error err = { 0 };
    assert_int_equal(bui_slot_take(directory, "cart", &slot, &err), BUS_IO);
    assert_null(slot);
    assert_non_null(strstr(err.text, file));
    assert_non_null(strstr(err.text, "data.dir"));
}

static void a_directory_that_others_can_replace_or_sqlite_cannot_name_is_refused(void **state)
{
    (void)state;
    char directory[900], part[100];
    bui_slot *slot = NULL;
    bus_error err = { 0 };
    snprintf(directory, sizeof directory, "%s/open/cart", base);
    snprintf(part, sizeof part, "%s/open", base);
    assert_int_equal(mkdir(part, 0700), 0);
    assert_int_equal(chmod(part, 0777), 0);
    assert_int_equal(bui_slot_take(directory, "cart", &slot, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "chmod o-w"));
    assert_int_equal(chmod(part, 01777), 0); /* as /tmp: nobody can remove what is ours */
    assert_int_equal(bui_slot_take(directory, "cart", &slot, &err), BUS_OK);
    bui_slot_free(slot);
    assert_int_equal(chmod(directory, 0777), 0);
    assert_int_equal(bui_slot_take(directory, "cart", &slot, &err), BUS_REFUSED);

    int len = snprintf(directory, sizeof directory, "%s/", base);
    while (len < 440)
        len += snprintf(directory + len, sizeof directory - (size_t)len, "a-name-of-forty-characters-as-some-like-/");
    snprintf(directory + len, sizeof directory - (size_t)len, "cart");
    assert_int_equal(bui_slot_take(directory, "cart", &slot, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "at most"));
    assert_true(strlen(err.text) < sizeof err.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_free_one_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_identity_is_of_service_directory_and_slot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_made_says_which, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_that_others_can_replace_or_sqlite_cannot_name_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
