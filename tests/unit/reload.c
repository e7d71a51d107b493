/* SPDX-License-Identifier: MIT
 * Reload: what can change while a service runs does, the rest is named, and no secret is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/reload.h"
#include <bus/log.h>
#include <stdio.h>
#include <string.h>

static char lines[4000];
static char in_force[200]; /* what each call of apply has read */
static int applied;

static void keep(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    (void)level;
    strncat(lines, line, len < sizeof lines - strlen(lines) - 1 ? len : sizeof lines - strlen(lines) - 1);
}

static void apply(const bus_config *config)
{
    size_t len = strlen(in_force);
    snprintf(in_force + len, sizeof in_force - len, "%s %lld;", bui_config_text(config, "log.level"),
             (long long)bui_config_int(config, "batch.bytes"));
    applied++;
}

static const bui_live live[] = { { "log.level", apply }, { "batch.bytes", apply }, { 0 } };

static bus_config *config_of(const char *text)
{
    bus_config *config = bus_config_new();
    assert_int_equal(bui_config_text_apply(config, text, strlen(text), "test.conf", NULL), BUS_OK);
    return config;
}

/* What it logs. */
static const char *reload(bus_config *now, const char *text)
{
    bus_config *fresh = config_of(text);
    lines[0] = 0;
    in_force[0] = 0;
    applied = 0;
    bus_log_to(BUS_INFO, keep, NULL);
    bui_reload("clock", now, fresh, live);
    bus_log_to(BUS_INFO, NULL, NULL);
    bus_config_free(fresh);
    return lines;
}

static void what_is_live_is_applied_and_the_rest_named(void **state)
{
    (void)state;
    bus_config *now = config_of("log.level = info\nbatch.bytes = 8m\nbatch.records = 10\n");
    const char *said = reload(now, "log.level = debug\nbatch.bytes = 8192k\nbatch.records = 11\ndata.dir = other\n");
    assert_int_equal(applied, 1); /* 8m is 8192k */
    assert_string_equal(bui_config_text(now, "log.level"), "debug");
    assert_int_equal(bui_config_int(now, "batch.records"), 10);
    assert_non_null(strstr(said, "log.level is debug\""));
    assert_non_null(strstr(said, "from the next start: data.dir, batch.records\""));
    said = reload(now, "log.level = debug\nbatch.records = 10\n");
    assert_int_equal(applied, 0);
    assert_non_null(strstr(said, "nothing that can change"));
    assert_null(strstr(said, "next start"));
    /* What is no longer set has its default again. */
    said = reload(now, "batch.records = 10\n");
    assert_non_null(strstr(said, "log.level is info\""));
    assert_string_equal(bui_config_text(now, "log.level"), "info");
    bus_config_free(now);
}

/* What applies one may read another: it must not see half of the new configuration. */
static void all_live_ones_have_changed_when_the_first_is_applied(void **state)
{
    (void)state;
    bus_config *now = config_of("log.level = info\nbatch.bytes = 8m\n");
    const char *said = reload(now, "log.level = warn\nbatch.bytes = 1m\n");
    assert_string_equal(in_force, "warn 1048576;warn 1048576;");
    assert_non_null(strstr(said, "log.level is warn"));
    assert_non_null(strstr(said, "batch.bytes is 1m"));
    bus_config_free(now);
}

static void secrets_and_what_is_passed_on_are_named_alone(void **state)
{
    (void)state;
    bus_config *now = config_of("kafka.sasl.password = one\nkafka.linger.ms = 1\nkafka.client.rack = a\n");
    const char *said =
        reload(now, "kafka.sasl.password = two\nkafka.client.rack = a\nkafka.debug = all\nregistry.password = three\n");
    assert_non_null(strstr(said, "from the next start: registry.password, kafka.sasl.password, kafka.linger.ms, kafka.debug\""));
    assert_null(strstr(said, "two"));
    assert_null(strstr(said, "three"));
    bus_config_free(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_live_is_applied_and_the_rest_named),
                                        cmocka_unit_test(all_live_ones_have_changed_when_the_first_is_applied),
                                        cmocka_unit_test(secrets_and_what_is_passed_on_are_named_alone) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
