/* SPDX-License-Identifier: MIT
 * Credentials: a librdkafka that cannot show them to Kafka is told at the start; what a broker refuses is remembered as long as it is news. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kafka/credentials.h"
#include <bus/service.h>

static bus_status check(const char *name, const char *value, int version, bus_error *err)
{
    bus_config *config = bus_config_new();
    assert_int_equal(bus_config_set(config, name, value, NULL), BUS_OK);
    bus_status status = bui_kafka_check_credentials(config, version, err);
    bus_config_free(config);
    return status;
}

static void an_old_library_is_refused_scram(void **state)
{
    (void)state;
    static const char *const names[] = { "kafka.sasl.mechanism", "kafka.sasl.mechanisms" };
    for (size_t i = 0; i < 2; i++) {
        bus_error err = { 0 };
        assert_int_equal(check(names[i], "SCRAM-SHA-256", 0x020002ff, &err), BUS_CONFIG);
        assert_non_null(strstr(err.text, names[i]));
        assert_non_null(strstr(err.text, "librdkafka here is 2.0.2"));
        assert_non_null(strstr(err.text, "2.6.1 or newer"));
        assert_non_null(strstr(err.text, "scripts/setup"));
        assert_int_equal(check(names[i], "scram-sha-512", 0x020600ff, &err), BUS_CONFIG);
        assert_int_equal(check(names[i], "SCRAM-SHA-256", 0x020601ff, &err), BUS_OK);
        assert_int_equal(check(names[i], "SCRAM-SHA-512", 0x020800ff, &err), BUS_OK);
        assert_int_equal(check(names[i], "PLAIN", 0x020002ff, &err), BUS_OK);
    }
    assert_int_equal(check("kafka.sasl.username", "SCRAM-SHA-256", 0x020002ff, NULL), BUS_OK);
}

static void what_a_broker_refuses_is_remembered(void **state)
{
    (void)state;
    char text[100] = "";
    assert_false(bui_kafka_refusal(0, text, sizeof text));
    bui_kafka_hear_refusal("FAIL", "[thrd:a]: sasl_ssl://a:1/1: Connect to a failed: refused (after 1ms in state CONNECT)", 1000);
    bui_kafka_hear_refusal("REQERR", "SASL authentication error: no failure", 1000);
    bui_kafka_hear_refusal(
        "FAIL", "a:1/1: SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport failure", 1000);
    bui_kafka_hear_refusal(
        "FAIL", "a:1/1: SASL PLAIN mechanism handshake failed: Local: Timed out: broker's supported mechanisms: ", 1000);
    assert_false(bui_kafka_refusal(1000, text, sizeof text));
    bui_kafka_hear_refusal(
        "FAIL", "[thrd:a]: sasl_ssl://a:1/1: SASL authentication error: bad password (after 5ms in state AUTH_REQ)", 2000);
    assert_true(bui_kafka_refusal(2000, text, sizeof text));
    assert_string_equal(text, "SASL authentication error: bad password");
    bui_kafka_hear_refusal(
        "FAIL", "a:1/1: SASL PLAIN mechanism handshake failed: unsupported: broker's supported mechanisms: GSSAPI", 3000);
    assert_true(bui_kafka_refusal(3000 + 44999, text, sizeof text));
    assert_string_equal(text, "SASL PLAIN mechanism handshake failed: unsupported: broker's supported mechanisms: GSSAPI");
    assert_false(bui_kafka_refusal(3000 + 45000, text, sizeof text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_library_is_refused_scram),
        cmocka_unit_test(what_a_broker_refuses_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
