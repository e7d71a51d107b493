/* SPDX-License-Identifier: MIT
 * Configuration: the table is sound; files, environment and flags; what is wrong is refused with what is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/config_table.h"
#include "base/log.h"
#include "shard/shard.h"
#include "support/alloc_fail.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void table_is_sound(void **state)
{
    (void)state;
    bus_config *config = bus_config_new();
    assert_non_null(config);
    for (const bui_property *p = bui_properties(); p->name; p++) {
        bus_error err = { 0 };
        int64_t number;
        if (strspn(p->name, "abcdefghijklmnopqrstuvwxyz.") != strlen(p->name) || strlen(p->name) > 60)
            fail_msg("%s is no good name", p->name);
        if (p->kind != BUI_PROP_LIST && bui_value_read(p, p->value, &number, &err) != BUS_OK)
            fail_msg("the default of %s: %s", p->name, err.text);
        assert_non_null(p->unit);
        assert_true(strlen(p->text) > 20);
        assert_string_equal(bui_config_text(config, p->name), p->value);
        assert_false(bui_config_is_set(config, p->name));
        for (const bui_property *q = bui_properties(); q != p; q++)
            assert_string_not_equal(p->name, q->name);
        /* what it shows as its bounds is accepted, and one beyond is not */
        char text[32];
        if (p->kind == BUI_PROP_INT || p->kind == BUI_PROP_DURATION || p->kind == BUI_PROP_SIZE) {
            assert_int_equal(bui_value_read(p, bui_value_text(p->kind, p->most, text), &number, NULL), BUS_OK);
            assert_int_equal(number, p->most);
            assert_int_equal(bui_value_read(p, bui_value_text(p->kind, p->least, text), &number, NULL), BUS_OK);
            assert_int_equal(number, p->least);
            assert_int_equal(bui_value_read(p, bui_value_text(p->kind, p->most + 1, text), &number, NULL), BUS_CONFIG);
        }
    }
    bus_config_free(config);
}

static void sets_and_reads(void **state)
{
    (void)state;
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    assert_int_equal(bui_config_int(config, "store.cache.bytes"), 64 << 20);
    assert_int_equal(bus_config_set(config, "store.cache.bytes", "1G", &err), BUS_OK);
    assert_int_equal(bui_config_int(config, "store.cache.bytes"), 1 << 30);
    assert_int_equal(bus_config_set(config, "session.timeout.ms", "10s", &err), BUS_OK);
    assert_int_equal(bui_config_int(config, "session.timeout.ms"), 10000);
    assert_string_equal(bui_config_text(config, "session.timeout.ms"), "10s");
    assert_true(bui_config_is_set(config, "session.timeout.ms"));
    assert_int_equal(bus_config_set(config, "topics.replication", "-1", &err), BUS_OK);
    assert_int_equal(bus_config_set(config, "envelope", "compact", &err), BUS_OK);
    assert_int_equal(bus_config_set(config, "bootstrap.servers", "a:9092, [::1]:9092,b", &err), BUS_OK);
    bui_limits limits;
    bui_limits_of(config, &limits);
    assert_true(limits.compact_envelope);
    assert_int_equal(limits.batch_records, 1000);
    assert_int_equal(limits.idle_recheck_ms, 10000);
    assert_int_equal(limits.reject_percent, 50);
    bus_config_free(config);
    bus_config_free(NULL);
}

/* Sets name to value and wants a refusal whose text holds each word. */
static void refuses(const char *name, const char *value, const char *word1, const char *word2)
{
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    assert_int_equal(bus_config_set(config, name, value, &err), BUS_CONFIG);
    if (!strstr(err.text, word1) || !strstr(err.text, word2))
        fail_msg("\"%s\" does not speak of \"%s\" and \"%s\"", err.text, word1, word2);
    const bui_property *p = bui_properties();
    for (; p->name; p++)
        assert_false(bui_config_is_set(config, p->name));
    const char *n, *v;
    assert_false(bui_config_kafka(config, 0, &n, &v));
    bus_config_free(config);
}

static void refuses_with_what_is_right(void **state)
{
    (void)state;
    refuses("bootstrap.server", "x", "bootstrap.server\"", "did you mean bootstrap.servers?");
    refuses("drain.timeout", "1s", "no property", "did you mean drain.timeout.ms?");
    refuses("Retry_Tiers", "1s", "no property", "did you mean retry.tiers?");
    refuses("seen.max", "5", "property seen.max", "is now called dedup.max");
    refuses("sasl.password", "hush", "no property", "kafka.sasl.password");
    refuses("", "x", "no property", "docs/configuration.md");
    refuses("session.timeout.ms", "8x", "\"8x\"", "from 1s to 30m");
    refuses("session.timeout.ms", "31m", "\"31m\"", "from 1s to 30m");
    refuses("session.timeout.ms", "-1s", "\"-1s\"", "250ms");
    refuses("shards", "0", "\"0\"", "whole number from 1 to 1024");
    refuses("shards", "4.5", "\"4.5\"", "whole number");
    refuses("shards", "99999999999999999999", "9999", "whole number");
    refuses("shards", "", "shards is \"\"", "whole number");
    refuses("store.cache.bytes", "64mb", "64mb", "64k, 8m or 1g");
    refuses("store.cache.bytes", "9999999999t", "9999999999t", "256k to 64g");
    refuses("envelope", "ful", "\"ful\"", "full|compact");
    refuses("envelope", "", "envelope is", "full|compact");
    refuses("bootstrap.servers", "", "bootstrap.servers", "localhost:9092");
    refuses("bootstrap.servers", "a,,b", "a,,b", "list");
    refuses("bootstrap.servers", "a:port", "a:port", "list");
    refuses("bootstrap.servers", "a:70000", "a:70000", "list");
    refuses("retry.tiers", "1s,soon", "1s,soon", "1s,30s,10m");
    refuses("data.dir", "a\nb", "data.dir", "one line");
    refuses("kafka.enable.idempotence", "false", "cannot be set", "order");
    refuses("kafka.acks", "1", "cannot be set", "in-sync");
    refuses("kafka.auto.offset.reset", "latest", "cannot be set", "position");
    refuses("kafka.group.id", "g", "cannot be set", "service");
    refuses("kafka.group.protocol", "consumer", "cannot be set", "KIP-848");
    refuses("kafka.message.timeout.ms", "1", "cannot be set", "publish.timeout.ms");
    refuses("kafka.bootstrap.servers", "x", "cannot be set", "without kafka.");
    refuses("kafka.", "x", "kafka.", "librdkafka");
    refuses("kafka.a b", "x", "kafka.a b", "librdkafka");
}

static void passes_through_in_order(void **state)
{
    (void)state;
    bus_config *config = bus_config_new();
    assert_int_equal(bus_config_set(config, "kafka.security.protocol", "ssl", NULL), BUS_OK);
    assert_int_equal(bus_config_set(config, "kafka.ssl.ca.location", "/ca", NULL), BUS_OK);
    assert_int_equal(bus_config_set(config, "kafka.security.protocol", "sasl_ssl", NULL), BUS_OK);
    bus_config *copy = bui_config_copy(config);
    bus_config_free(config);
    const char *name, *value;
    assert_true(bui_config_kafka(copy, 0, &name, &value));
    assert_string_equal(name, "security.protocol");
    assert_string_equal(value, "sasl_ssl");
    assert_true(bui_config_kafka(copy, 1, &name, &value));
    assert_string_equal(name, "ssl.ca.location");
    assert_false(bui_config_kafka(copy, 2, &name, &value));
    bus_config_free(copy);
}

static void keeps_secrets_out_of_arguments(void **state)
{
    (void)state;
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    static const char *const secrets[] = { "kafka.sasl.password", "kafka.ssl.key.password", "kafka.ssl.keystore.password",
                                           "kafka.sasl.oauthbearer.client.secret", "kafka.ssl.key.pem" };
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        assert_true(bui_config_secret(config, secrets[i]));
        assert_int_equal(bui_config_argument(config, secrets[i], "hush-hush", &err), BUS_CONFIG);
        assert_null(strstr(err.text, "hush-hush"));
        assert_non_null(strstr(err.text, "a file of its own"));
        assert_int_equal(bus_config_set(config, secrets[i], "hush-hush", &err), BUS_OK);
    }
    assert_false(bui_config_secret(config, "kafka.sasl.username"));
    assert_false(bui_config_secret(config, "shards"));
    assert_int_equal(bui_config_argument(config, "shards", "4", &err), BUS_OK);
    assert_int_equal(bui_config_int(config, "shards"), 4);
    bus_config_free(config);
}

static void write_file(const char *path, const char *text, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void reads_files(void **state)
{
    (void)state;
    char path[] = "/tmp/bus-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    static const char good[] =
        "# a comment\n\n  shards = 4 \r\ndata.dir=/var/lib/with = sign # kept\nkafka.sasl.password = p#w=\nshards = 8";
    write_file(path, good, sizeof good - 1);
    assert_int_equal(bus_config_read(config, path, &err), BUS_OK);
    assert_int_equal(bui_config_int(config, "shards"), 8);
    assert_string_equal(bui_config_text(config, "data.dir"), "/var/lib/with = sign # kept");
    const char *name, *value;
    assert_true(bui_config_kafka(config, 0, &name, &value));
    assert_string_equal(value, "p#w=");

    static const char wrong[] = "shards = 16\n\nshard = 4\n"; /* counts whole or not at all */
    write_file(path, wrong, sizeof wrong - 1);
    assert_int_equal(bus_config_read(config, path, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, ":3: no property \"shard\"; did you mean shards?"));
    assert_int_equal(bui_config_int(config, "shards"), 8);

    static const char no_equals[] = "shards 4";
    write_file(path, no_equals, sizeof no_equals - 1);
    assert_int_equal(bus_config_read(config, path, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, ":1: no '='"));
    write_file(path, "shards = 4\0", 11);
    assert_int_equal(bus_config_read(config, path, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "NUL"));
    size_t large = (1 << 20) + 1;
    char *comment = malloc(large);
    assert_non_null(comment);
    memset(comment, '#', large);
    write_file(path, comment, large);
    free(comment);
    assert_int_equal(bus_config_read(config, path, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "1 MiB"));
    write_file(path, "", 0);
    assert_int_equal(bus_config_read(config, path, &err), BUS_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bus_config_read(config, path, &err), BUS_IO);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(bus_config_read(config, "/", &err), BUS_IO);
    bus_config_free(config);
}

static int warnings;

static void count_warnings(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    assert_int_equal(level, BUS_WARN);
    assert_non_null(memmem(line, len, "secret_readable", 15));
    assert_null(memmem(line, len, "hush", 4));
    warnings++;
}

static void reads_a_secret_from_a_file_of_its_own(void **state)
{
    (void)state;
    char path[] = "/tmp/bus-secret-XXXXXX", line[200];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    const char *name, *value;
    bus_log_to(BUS_WARN, count_warnings, NULL);
    write_file(path, "hush hush\n", 10);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(bui_config_argument(config, "kafka.sasl.password.file", path, &err), BUS_OK);
    assert_true(bui_config_kafka(config, 0, &name, &value));
    assert_string_equal(name, "sasl.password");
    assert_string_equal(value, "hush hush");
    assert_int_equal(bui_config_argument(config, "registry.password.file", path, &err), BUS_OK);
    assert_string_equal(bui_config_text(config, "registry.password"), "hush hush");
    assert_int_equal(warnings, 0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(setenv("BUS_REGISTRY_KEY_PASSWORD_FILE", path, 1), 0);
    assert_int_equal(bus_config_environment(config, &err), BUS_OK);
    assert_int_equal(unsetenv("BUS_REGISTRY_KEY_PASSWORD_FILE"), 0);
    assert_string_equal(bui_config_text(config, "registry.key.password"), "hush hush");
    assert_int_equal(warnings, 1);
    snprintf(line, sizeof line, "shards = 2\nregistry.password = hush\n"); /* a configuration with a secret, for all to read */
    write_file(path, line, strlen(line));
    assert_int_equal(bus_config_read(config, path, &err), BUS_OK);
    assert_int_equal(warnings, 2);
    write_file(path, "shards = 2\n", 11);
    assert_int_equal(bus_config_read(config, path, &err), BUS_OK);
    assert_int_equal(warnings, 2);

    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } wrong[] = { { "", 0, "is empty" }, { "\r\n", 2, "is empty" }, { "a\0b", 3, "not a text file" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file(path, wrong[i].bytes, wrong[i].len);
        assert_int_equal(bus_config_set(config, "registry.password.file", path, &err), BUS_CONFIG);
        assert_non_null(strstr(err.text, wrong[i].says));
        assert_non_null(strstr(err.text, path));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bus_config_set(config, "registry.password.file", path, &err), BUS_IO);
    assert_string_equal(bui_config_text(config, "registry.password"), "hush");
    assert_int_equal(bus_config_set(config, "data.dir.file", path, &err), BUS_CONFIG); /* only secrets have that form */
    bus_log_to(BUS_WARN, NULL, NULL);
    bus_config_free(config);
}

static void reads_the_environment(void **state)
{
    (void)state;
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    assert_int_equal(setenv("BUS_STORE_CACHE_BYTES", "16m", 1), 0);
    assert_int_equal(setenv("BUS_KAFKA_SASL_USERNAME", "me", 1), 0);
    assert_int_equal(setenv("BUS_KAFKA_SSL__CA", "pem", 1), 0);
    assert_int_equal(setenv("BUS_SOMETHING_ELSE_ENTIRELY", "not ours", 1), 0);
    assert_int_equal(bus_config_environment(config, &err), BUS_OK);
    assert_int_equal(bui_config_int(config, "store.cache.bytes"), 16 << 20);
    const char *name, *value;
    bool user = false, ca = false;
    for (size_t i = 0; bui_config_kafka(config, i, &name, &value); i++) {
        user = user || (strcmp(name, "sasl.username") == 0 && strcmp(value, "me") == 0);
        ca = ca || (strcmp(name, "ssl_ca") == 0 && strcmp(value, "pem") == 0);
    }
    assert_true(user && ca);
    assert_int_equal(setenv("BUS_BOOTSTRAP_SERVER", "x:1", 1), 0); /* a slip */
    assert_int_equal(bus_config_environment(config, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "BUS_BOOTSTRAP_SERVER: "));
    assert_non_null(strstr(err.text, "did you mean bootstrap.servers?"));
    assert_int_equal(unsetenv("BUS_BOOTSTRAP_SERVER"), 0);
    assert_int_equal(setenv("BUS_SEEN_MAX", "5", 1), 0); /* the former name: near to none, and yet not passed over */
    assert_int_equal(bus_config_environment(config, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "BUS_SEEN_MAX: property seen.max is now called dedup.max"));
    assert_int_equal(unsetenv("BUS_SEEN_MAX"), 0);
    assert_int_equal(setenv("BUS_SHARDS", "many", 1), 0);
    assert_int_equal(bus_config_environment(config, &err), BUS_CONFIG);
    assert_non_null(strstr(err.text, "BUS_SHARDS: shards is \"many\""));
    assert_int_equal(unsetenv("BUS_SHARDS"), 0);
    assert_int_equal(unsetenv("BUS_STORE_CACHE_BYTES"), 0);
    assert_int_equal(unsetenv("BUS_KAFKA_SASL_USERNAME"), 0);
    assert_int_equal(unsetenv("BUS_KAFKA_SSL__CA"), 0);
    assert_int_equal(unsetenv("BUS_SOMETHING_ELSE_ENTIRELY"), 0);
    bus_config_free(config);
}

static void shows_every_property_on_the_page(void **state)
{
    (void)state;
    bui_buf out;
    bui_buf_init(&out, 0);
    bui_config_page(&out);
    char *page = bui_buf_take(&out);
    assert_non_null(page);
    for (const bui_property *p = bui_properties(); p->name; p++) {
        char row[80];
        (void)snprintf(row, sizeof row, "\n| `%s` | ", p->name);
        assert_non_null(strstr(page, row));
    }
    assert_non_null(strstr(page, "| `kafka.group.id` | "));
    assert_non_null(strstr(page, "full\\|compact"));
    free(page);
}

static void survives_no_memory(void **state)
{
    (void)state;
    static const char text[] = "shards = 4\nkafka.debug = all\nkafka.client.rack = a\n";
    for (long n = 1;; n++) {
        bus_error err = { 0 };
        bus_status status = BUS_NOMEM;
        alloc_fail_at(n, false);
        bus_config *config = bus_config_new(), *copy = NULL;
        if (config)
            status = bui_config_text_apply(config, text, sizeof text - 1, "t", &err);
        if (status == BUS_OK)
            copy = bui_config_copy(config);
        bool hit = alloc_fail_off();
        if (hit) {
            assert_null(copy);
            if (config && status != BUS_OK) {
                assert_int_equal(status, BUS_NOMEM);
                assert_int_equal(err.status, BUS_NOMEM);
                assert_false(bui_config_is_set(config, "shards"));
            }
        } else {
            assert_int_equal(bui_config_int(copy, "shards"), 4);
        }
        bus_config_free(config);
        bus_config_free(copy);
        if (!hit)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(sets_and_reads),
        cmocka_unit_test(refuses_with_what_is_right),
        cmocka_unit_test(passes_through_in_order),
        cmocka_unit_test(keeps_secrets_out_of_arguments),
        cmocka_unit_test(reads_files),
        cmocka_unit_test(reads_a_secret_from_a_file_of_its_own),
        cmocka_unit_test(reads_the_environment),
        cmocka_unit_test(shows_every_property_on_the_page),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
