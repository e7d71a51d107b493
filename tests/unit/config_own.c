/* SPDX-License-Identifier: MIT
 * A service's own properties: declared, set as the library's are, checked, and left alone by others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/config.h"
#include "service/args.h"
#include "support/alloc_fail.h"
#include <bus/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const bus_property properties[] = {
    { .name = "service.stock-desk.low.water",
      .kind = BUS_PROPERTY_INT,
      .value = "10",
      .most = 1000,
      .help = "Below it an item is low." },
    { .name = "service.stock-desk.ask.ms",
      .kind = BUS_PROPERTY_DURATION,
      .value = "5s",
      .help = "How often the warehouse is asked." },
    { .name = "service.stock-desk.mode", .kind = BUS_PROPERTY_CHOICE, .value = "calm", .choices = "calm|eager", .help = "How." },
    { .name = "service.stock-desk.strict", .kind = BUS_PROPERTY_BOOL, .value = "no", .help = "Refuse what is not sure." },
    { .name = "service.stock-desk.token", .secret = true, .help = "The warehouse's password." },
    { 0 }
};
static const bus_service desk = { .name = "stock-desk", .properties = properties };

static bus_config *declared(void)
{
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    if (bus_config_declare(config, &desk, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return config;
}

static void they_have_defaults_and_are_checked(void **state)
{
    (void)state;
    bus_config *config = declared();
    bus_error err = { 0 };
    assert_int_equal(bus_config_int(config, "service.stock-desk.low.water"), 10);
    assert_int_equal(bus_config_int(config, "service.stock-desk.ask.ms"), 5000);
    assert_string_equal(bus_config_text(config, "service.stock-desk.mode"), "calm");
    assert_int_equal(bus_config_int(config, "service.stock-desk.strict"), 0);
    assert_string_equal(bus_config_text(config, "service.stock-desk.token"), "");
    assert_int_equal(bus_config_int(config, "shards"), 1); /* the library's as well */
    assert_int_equal(bus_config_set(config, "service.stock-desk.mode", "eager", &err), BUS_OK);
    assert_int_equal(bus_config_int(config, "service.stock-desk.mode"), 1);
    assert_int_equal(bus_config_set(config, "service.stock-desk.low.water", "1001", &err), BUS_CONFIG);
    assert_string_equal(err.text, "service.stock-desk.low.water is \"1001\": give a whole number from 0 to 1000");
    assert_int_equal(bus_config_set(config, "service.stock-desk.low.watr", "1", &err), BUS_CONFIG);
    assert_string_equal(err.text, "no property \"service.stock-desk.low.watr\"; did you mean service.stock-desk.low.water?");
    assert_int_equal(bui_config_argument(config, "service.stock-desk.token", "sesame", &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "is a secret"));
    assert_int_equal(bus_config_declare(config, &desk, &err), BUS_OK); /* once more changes nothing */
    assert_int_equal(bus_config_int(config, "service.stock-desk.mode"), 1);
    bus_config *copy = bui_config_copy(config);
    assert_int_equal(bus_config_int(copy, "service.stock-desk.mode"), 1);
    bus_config_free(copy);
    bus_config_free(config);
}

static void files_environment_and_arguments_set_them(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bui_args args;
    char path[] = "/tmp/bus-own-XXXXXX", secret[] = "/tmp/bus-own-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w"), *token = fdopen(mkstemp(secret), "w");
    fputs("sesame\n", token);
    fclose(token);
    fprintf(
        file,
        "service.stock-desk.low.water = 7\nservice.stock-desk.ask.ms = 1m\nservice.other.depth = many\nservice.stock-desk.token.file = %s\n",
        secret);
    fclose(file);
    setenv("BUS_SERVICE_STOCK_DESK_ASK_MS", "2m", 1);
    setenv("BUS_SERVICE_OTHER_DEPTH", "x", 1);
    bus_config *config = declared();
    char *argv[] = { (char *)(uintptr_t) "desk", (char *)(uintptr_t) "--config", path,
                     (char *)(uintptr_t) "--service.stock-desk.strict=yes", NULL };
    if (bui_args_read(4, argv, config, &args, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(bus_config_int(config, "service.stock-desk.low.water"), 7);
    assert_int_equal(bus_config_int(config, "service.stock-desk.ask.ms"), 120000);
    assert_int_equal(bus_config_int(config, "service.stock-desk.strict"), 1);
    assert_string_equal(bus_config_text(config, "service.stock-desk.token"), "sesame");
    const char *name, *value;
    assert_true(bui_config_other(config, 0, &name, &value));
    assert_string_equal(name, "service.other.depth");
    assert_false(bui_config_other(config, 1, &name, &value));
    /* What is in force, as a file; no secret in it. */
    bui_buf page;
    bui_buf_init(&page, 0);
    bui_args_show(config, &page);
    char *text = bui_buf_take(&page);
    assert_non_null(strstr(text, "\nservice.stock-desk.low.water = 7\n"));
    assert_non_null(strstr(text, "\n# service.stock-desk.mode = calm\n"));
    assert_non_null(strstr(text, "\n# service.stock-desk.token = (a secret, not shown)\n"));
    assert_null(strstr(text, "sesame"));
    bus_config *again = declared();
    assert_int_equal(bui_config_text_apply(again, text, strlen(text), "shown", &err), BUS_OK);
    assert_int_equal(bus_config_int(again, "service.stock-desk.ask.ms"), 120000);
    free(text);
    bus_config_free(again);
    bui_buf_init(&page, 0);
    bui_args_help("stock-desk", config, &page);
    text = bui_buf_take(&page);
    assert_non_null(strstr(
        text,
        "\nProperties of stock-desk itself:\n  --service.stock-desk.low.water=10    0 to 1000\n      Below it an item is low.\n"));
    free(text);
    bus_config_free(config);
    unsetenv("BUS_SERVICE_STOCK_DESK_ASK_MS");
    unsetenv("BUS_SERVICE_OTHER_DEPTH");
    unlink(path);
    unlink(secret);
}

static bool row_of(const bus_config *config, const char *name, bui_config_row *out)
{
    for (size_t i = 0; bui_config_row_at(config, i, out); i++)
        if (strcmp(out->name, name) == 0)
            return true;
    return false;
}

/* Beside the library's: what `bus config --program` shows. */
static void they_are_rows_of_the_configuration(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bui_config_row row;
    bus_config *config = declared();
    static const char text[] =
        "service.stock-desk.ask.ms = 1m\nservice.stock-desk.token = sesame\nkafka.client.rack = a\nkafka.sasl.password = b\n"
        "service.other.depth = c\n";
    assert_int_equal(bui_config_text_apply(config, text, strlen(text), "f", &err), BUS_OK);
    assert_true(row_of(config, "service.stock-desk.low.water", &row));
    assert_string_equal(row.value, "10");
    assert_string_equal(row.preset, "10");
    assert_string_equal(row.kind, "number");
    assert_string_equal(row.allowed, "0 to 1000");
    assert_string_equal(row.text, "Below it an item is low.");
    assert_false(row.set);
    assert_true(row_of(config, "service.stock-desk.ask.ms", &row) && row.set);
    assert_string_equal(row.value, "1m");
    assert_string_equal(row.preset, "5s");
    assert_string_equal(row.kind, "duration");
    assert_string_equal(row.unit, "ms");
    assert_string_equal(row.allowed, ""); /* no bounds */
    assert_true(row_of(config, "service.stock-desk.mode", &row));
    assert_string_equal(row.allowed, "calm|eager");
    assert_true(row_of(config, "shards", &row));
    assert_true(row_of(config, "kafka.client.rack", &row) && row.set && !row.preset);
    assert_string_equal(row.value, "a");
    assert_true(row_of(config, "service.other.depth", &row)); /* it may be a secret there */
    assert_string_equal(row.value, "(see the service)");
    bui_buf json;
    bui_buf_init(&json, 0);
    bui_config_json(config, &json);
    char *page = bui_buf_take(&json);
    assert_non_null(
        strstr(page, " {\"name\":\"service.stock-desk.ask.ms\",\"value\":\"1m\",\"unit\":\"ms\",\"default\":\"5s\","
                     "\"kind\":\"duration\",\"allowed\":\"\",\"set\":true,\"text\":\"How often the warehouse is asked.\"},\n"));
    assert_non_null(strstr(page, "{\"name\":\"service.stock-desk.token\",\"value\":\"(secret)\""));
    assert_non_null(strstr(page, "{\"name\":\"kafka.sasl.password\",\"value\":\"(secret)\""));
    assert_null(strstr(page, "sesame"));
    free(page);
    bus_config_free(config);
}

/* A program that reads its configuration before it declares. */
static void what_was_set_before_is_taken_up(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bus_config *config = bus_config_new();
    static const char text[] = "service.stock-desk.low.water = 3\nservice.other.x = 1\n";
    assert_int_equal(bui_config_text_apply(config, text, strlen(text), "f", &err), BUS_OK);
    assert_int_equal(bus_config_declare(config, &desk, &err), BUS_OK);
    assert_int_equal(bus_config_int(config, "service.stock-desk.low.water"), 3);
    bus_config_free(config);
    config = bus_config_new();
    assert_int_equal(bus_config_set(config, "service.stock-desk.low.water", "many", &err), BUS_OK);
    assert_int_equal(bus_config_declare(config, &desk, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "low.water is \"many\""));
    const bus_service other = { .name = "other" };
    assert_int_equal(bus_config_declare(config, &other, &err), BUS_EXISTS);
    bus_config_free(config);
}

static void refused(bus_property property, const char *says)
{
    const bus_property list[] = { { .name = "service.shop.one", .help = "x" }, property, { 0 } };
    const bus_service shop = { .name = "shop", .properties = list };
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    assert_int_equal(bus_config_declare(config, &shop, &err), BUS_INVALID);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
    bus_config_free(config);
}

static void declarations_are_checked(void **state)
{
    (void)state;
    refused((bus_property){ .name = "shards", .help = "x" }, "must be named service.shop.");
    refused((bus_property){ .name = "service.shop.Low", .help = "x" }, "must be named");
    refused((bus_property){ .name = "service.shop.", .help = "x" }, "must be named");
    refused((bus_property){ .name = "service.shop.one", .help = "x" }, "two properties");
    refused((bus_property){ .name = "service.shop.a" }, "help");
    refused((bus_property){ .name = "service.shop.a", .help = "x", .kind = BUS_PROPERTY_CHOICE }, "choice without choices");
    refused((bus_property){ .name = "service.shop.a", .help = "x", .kind = BUS_PROPERTY_INT }, "a default is wrong");
    refused(
        (bus_property){ .name = "service.shop.a", .help = "x", .kind = BUS_PROPERTY_INT, .value = "5", .least = 6, .most = 9 },
        "from 6 to 9");
    refused(
        (bus_property){ .name = "service.shop.a", .help = "x", .kind = BUS_PROPERTY_INT, .value = "5", .least = 6, .most = 2 },
        "least is more");
}

static void keep(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)level;
    snprintf(opaque, 300, "%.*s", (int)len, line);
}

static void what_nobody_declares_is_not_there(void **state)
{
    (void)state;
    char line[300] = "";
    bus_config *config = declared();
    bus_log_to(BUS_INFO, keep, line);
    assert_null(bus_config_text(config, "service.stock-desk.high.water"));
    assert_non_null(strstr(line, "service.stock-desk.high.water"));
    assert_int_equal(bus_config_int(NULL, "shards"), 0);
    bus_log_to(BUS_INFO, NULL, NULL);
    assert_null(bus_config_here());
    bus_config_free(config);
}

static void survives_no_memory(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        bus_config *config = bus_config_new();
        bus_error err = { 0 };
        assert_int_equal(bus_config_set(config, "service.stock-desk.low.water", "3", NULL), BUS_OK);
        alloc_fail_at(n, false);
        bus_status status = bus_config_declare(config, &desk, &err);
        bool failed = alloc_fail_off();
        if (!failed) {
            assert_int_equal(status, BUS_OK);
            bus_config_free(config);
            break;
        }
        assert_int_equal(status, BUS_NOMEM);
        bus_config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(they_have_defaults_and_are_checked),
                                        cmocka_unit_test(files_environment_and_arguments_set_them),
                                        cmocka_unit_test(they_are_rows_of_the_configuration),
                                        cmocka_unit_test(what_was_set_before_is_taken_up),
                                        cmocka_unit_test(declarations_are_checked),
                                        cmocka_unit_test(what_nobody_declares_is_not_there),
                                        cmocka_unit_test(survives_no_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
