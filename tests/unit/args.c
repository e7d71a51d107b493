/* SPDX-License-Identifier: MIT
 * Arguments of a service program: what wins, what is refused, what help teaches. */
#include "service/args.h"
#include "base/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bus_config *config;
static bui_args args;
static bus_error err;

static int set_up(void **state)
{
    (void)state;
    unsetenv("BUS_CONFIG");
    unsetenv("BUS_SHARDS");
    unsetenv("BUS_STATUS_PORT");
    config = bus_config_new();
    args = (bui_args){ .task = BUI_TASK_VERSION };
    return config ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    bus_config_free(config);
    return 0;
}

/* The list ends with NULL. */
static bus_status take(char *first, ...)
{
    char *argv[10] = { (char *)(uintptr_t) "cart", first };
    int argc = first ? 2 : 1;
    va_list more;
    va_start(more, first);
    for (char *next; first && argc < 10 && (next = va_arg(more, char *));)
        argv[argc++] = next;
    va_end(more);
    return bui_args_read(argc, argv, config, &args, &err);
}

#define S(text) ((char *)(uintptr_t)(text))

static void nothing_means_run(void **state)
{
    (void)state;
    assert_int_equal(take(NULL), BUS_OK);
    assert_int_equal(args.task, BUI_TASK_RUN);
    assert_false(args.init);
}

static void properties_come_in_three_forms(void **state)
{
    (void)state;
    assert_int_equal(take(S("--shards=3"), S("--set=batch.records=7"), S("--set"), S("envelope=compact"), S("--init"), NULL),
                     BUS_OK);
    assert_int_equal(bui_config_int(config, "shards"), 3);
    assert_int_equal(bui_config_int(config, "batch.records"), 7);
    assert_string_equal(bui_config_text(config, "envelope"), "compact");
    assert_true(args.init);
}

static void arguments_beat_the_environment_beats_the_file(void **state)
{
    (void)state;
    char path[] = "/tmp/bus-args-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char text[] = "shards = 2\nstatus.port = 2\nbatch.records = 2\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    setenv("BUS_SHARDS", "3", 1);
    setenv("BUS_STATUS_PORT", "3", 1);
    /* the file's place among the arguments does not matter */
    assert_int_equal(take(S("--shards=4"), S("--config"), path, NULL), BUS_OK);
    assert_int_equal(bui_config_int(config, "shards"), 4);
    assert_int_equal(bui_config_int(config, "status.port"), 3);
    assert_int_equal(bui_config_int(config, "batch.records"), 2);
    unlink(path);
}

static void the_environment_names_a_file(void **state)
{
    (void)state;
    setenv("BUS_CONFIG", "/nonexistent/bus.conf", 1);
    assert_int_equal(take(NULL), BUS_IO);
    assert_non_null(strstr(err.text, "/nonexistent/bus.conf"));
    unsetenv("BUS_CONFIG");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    assert_int_equal(take(S("shards"), NULL), BUS_INVALID);
    assert_non_null(strstr(err.text, "\"shards\""));
    assert_int_equal(take(S("--shards"), NULL), BUS_INVALID);
    assert_non_null(strstr(err.text, "--shards=VALUE"));
    assert_int_equal(take(S("--shard=3"), NULL), BUS_CONFIG);
    assert_non_null(strstr(err.text, "shards")); /* the nearest */
    assert_int_equal(take(S("--shards=none"), NULL), BUS_CONFIG);
    assert_int_equal(take(S("--config"), NULL), BUS_INVALID);
    assert_int_equal(take(S("--init=yes"), NULL), BUS_INVALID);
    assert_int_equal(take(S("--set"), S("shards"), NULL), BUS_INVALID);
    assert_int_equal(take(S("--into=/tmp/x"), NULL), BUS_INVALID);
    assert_int_equal(take(S("--output=xml"), NULL), BUS_INVALID);
    assert_int_equal(args.task, BUI_TASK_VERSION); /* untouched */
}

static void tasks_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(take(S("-h"), NULL), BUS_OK);
    assert_int_equal(args.task, BUI_TASK_HELP);
    assert_int_equal(take(S("--topics"), NULL), BUS_OK);
    assert_int_equal(args.task, BUI_TASK_TOPICS);
    assert_int_equal(take(S("--check-config"), NULL), BUS_OK);
    assert_int_equal(args.task, BUI_TASK_CHECK);
    assert_int_equal(take(S("--rebuild"), S("--into"), S("/tmp/x"), S("--output=json"), NULL), BUS_OK);
    assert_int_equal(args.task, BUI_TASK_REBUILD);
    assert_string_equal(args.into, "/tmp/x");
    assert_true(args.json);
}

static void help_names_every_property(void **state)
{
    (void)state;
    bui_buf page;
    bui_buf_init(&page, 0);
    bui_args_help("cart", config, &page);
    char *text = bui_buf_take(&page);
    assert_non_null(text);
    for (const bui_property *each = bui_properties(); each->name; each++) {
        char line[256];
        snprintf(line, sizeof line, "--%s=%s", each->name, each->value);
        if (!strstr(text, line))
            fail_msg("%s is missing", line);
    }
    assert_non_null(strstr(text, "--check-config"));
    assert_non_null(strstr(text, "Exit codes"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_means_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(properties_come_in_three_forms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arguments_beat_the_environment_beats_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_environment_names_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tasks_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(help_names_every_property, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
