/* SPDX-License-Identifier: MIT
 * Options of the bus command: the tables are parsed rightly, and every exit code is what it says. */
int bui_main(int argc, char **argv);
#define main bui_main
#include "cli/main.c"
#undef main
#include "cli/options.c"
#include "cli/output.c"
#include "cli/width.c"
#include "cli/progress.c"
#include "cli/terminal.c"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int run_nothing(cli *c)
{
    (void)c;
    return CLI_OK;
}

#define STUB(variable, text) \
    const cli_command variable = { .name = text, .operands = "", .most = -1, .summary = text, .run = run_nothing }
STUB(cli_publish, "publish");
STUB(cli_consume, "consume");
STUB(cli_lag, "lag");
STUB(cli_services, "services");
STUB(cli_schema_list, "schema list");
STUB(cli_schema_show, "schema show");
STUB(cli_schema_diff, "schema diff");
STUB(cli_schema_check, "schema check");
STUB(cli_schema_register, "schema register");
STUB(cli_dlq_list, "dlq list");
STUB(cli_dlq_show, "dlq show");
STUB(cli_dlq_redrive, "dlq redrive");
STUB(cli_dlq_discard, "dlq discard");
STUB(cli_outbox_list, "outbox list");
STUB(cli_outbox_show, "outbox show");
STUB(cli_outbox_retry, "outbox retry");
STUB(cli_outbox_discard, "outbox discard");
STUB(cli_replay, "replay");
STUB(cli_rebuild, "rebuild");
STUB(cli_topics_plan, "topics plan");
STUB(cli_topics_apply, "topics apply");
STUB(cli_topics_list, "topics list");
STUB(cli_audit, "audit");
STUB(cli_broker, "broker");
STUB(cli_config, "config");

static const cli_option own[] = { { "key", 'k', "KEY", "" }, { "follow", 'f', NULL, "" }, { "many", 0, "X", "" },
                                  { "n", 'n', "N", "" },     { "wait", 0, "TIME", "" },   { NULL, 0, NULL, NULL } };
static const cli_command command = {
    .name = "try", .operands = "TOPIC [MORE]", .least = 1, .most = 2, .summary = "", .options = own
};

static int parse(cli *c, int argc, const char **argv)
{
    *c = (cli){ .command = &command };
    optind = 0; /* glibc: begin again */
    return cli_parse(c, argc, (char **)(uintptr_t)argv);
}
#define PARSE(c, ...) \
    parse(c, (int)(sizeof((const char *[]){ "try", __VA_ARGS__ }) / sizeof(char *)), (const char *[]){ "try", __VA_ARGS__, NULL })

static void options_and_operands_mix(void **state)
{
    (void)state;
    cli c;
    assert_int_equal(PARSE(&c, "topic", "-k", "a", "--many", "1", "-f", "more", "--many=2", "--key=b", "-b", "host:1"), CLI_OK);
    assert_int_equal(c.operands, 2);
    assert_string_equal(c.operand[0], "topic");
    assert_string_equal(c.operand[1], "more");
    assert_string_equal(cli_value(&c, "key"), "b"); /* the last counts */
    assert_string_equal(cli_nth(&c, "many", 0), "1");
    assert_string_equal(cli_nth(&c, "many", 1), "2");
    assert_null(cli_nth(&c, "many", 2));
    assert_true(cli_flag(&c, "follow"));
    assert_false(cli_flag(&c, "quiet"));
    assert_string_equal(cli_value(&c, "bootstrap"), "host:1");
}

static void slips_are_usage_errors(void **state)
{
    (void)state;
    cli c;
    assert_int_equal(PARSE(&c, "topic", "--kye", "a"), CLI_USAGE);
    assert_int_equal(PARSE(&c, "topic", "-x"), CLI_USAGE);
    assert_int_equal(PARSE(&c, "topic", "--key"), CLI_USAGE);
    assert_int_equal(PARSE(&c, "a", "b", "c"), CLI_USAGE);
    assert_int_equal(PARSE(&c, "-f"), CLI_USAGE);
}

static void numbers_and_durations(void **state)
{
    (void)state;
    cli c;
    int64_t value = 7;
    assert_int_equal(PARSE(&c, "t"), CLI_OK);
    assert_true(cli_int(&c, "n", 0, 10, &value));
    assert_int_equal(value, 7); /* not given: untouched */
    assert_int_equal(PARSE(&c, "t", "-n", "10", "--wait", "2s"), CLI_OK);
    assert_true(cli_int(&c, "n", 0, 10, &value));
    assert_int_equal(value, 10);
    assert_true(cli_duration(&c, "wait", &value));
    assert_int_equal(value, 2000);
    static const char *const bad[] = { "11", "-1", "x", "1x", "", "99999999999999999999" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char flag[40];
        snprintf(flag, sizeof flag, "--n=%s", bad[i]);
        assert_int_equal(PARSE(&c, "t", flag, "--wait=soon"), CLI_OK);
        assert_false(cli_int(&c, "n", 0, 10, &value));
        assert_false(cli_duration(&c, "wait", &value));
    }
}

static void exit_codes(void **state)
{
    (void)state;
    static const struct {
        bus_status status;
        int code;
    } cases[] = { { BUS_OK, 0 },     { BUS_INVALID, 2 }, { BUS_CONFIG, 2 },      { BUS_REFUSED, 5 }, { BUS_LOCKED, 5 },
                  { BUS_BROKER, 6 }, { BUS_TIMEOUT, 6 }, { BUS_CANCELLED, 130 }, { BUS_NOMEM, 1 },   { BUS_MISSING, 1 },
                  { BUS_DENIED, 1 }, { BUS_IO, 1 },      { BUS_CORRUPT, 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cli_exit_of(cases[i].status), cases[i].code);
}

static int call(int argc, const char **argv)
{
    optind = 0;
    return bui_main(argc, (char **)(uintptr_t)argv);
}
#define CALL(...) \
    call((int)(sizeof((const char *[]){ "bus", __VA_ARGS__ }) / sizeof(char *)), (const char *[]){ "bus", __VA_ARGS__, NULL })

static void dispatch(void **state)
{
    (void)state;
    assert_int_equal(CALL("consume", "t"), CLI_OK);
    assert_int_equal(CALL("dlq", "list"), CLI_OK);
    assert_int_equal(CALL("dlq"), CLI_USAGE);
    assert_int_equal(CALL("dlq", "lsit"), CLI_USAGE);
    assert_int_equal(CALL("dlq", "--help"), CLI_OK);
    assert_int_equal(CALL("cosnume"), CLI_USAGE);
    assert_int_equal(CALL("consume", "--help"), CLI_OK);
    assert_int_equal(CALL("--version"), CLI_OK);
    assert_int_equal(CALL("consume", "t", "--output", "xml"), CLI_USAGE);
    assert_int_equal(CALL("consume", "t", "--set", "no.such.property=1"), CLI_USAGE);
    assert_int_equal(CALL("consume", "t", "--set", "noequals"), CLI_USAGE);
    assert_int_equal(CALL("consume", "t", "--config", "/nonexistent/file"), CLI_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(options_and_operands_mix), cmocka_unit_test(slips_are_usage_errors),
                                        cmocka_unit_test(numbers_and_durations), cmocka_unit_test(exit_codes),
                                        cmocka_unit_test(dispatch) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
