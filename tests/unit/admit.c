/* SPDX-License-Identifier: MIT
 * Announcements of others: what is learnt, what is refused, and that a schema made to collide with another changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "codec/schema_key.h"
#include "service/announce.h"
#include "shard/admit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

typedef struct process {
    bus self;
    bui_admission admission;
} process;

static int set_up(void **state)
{
    process *p = calloc(1, sizeof *p);
    p->self.name = "svc";
    p->self.clock = bui_clock_real();
    p->self.config = bus_config_new();
    p->self.catalog = bui_catalog_new();
    bui_admission_init(&p->admission, p->self.config, p->self.catalog, NULL);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    process *p = *state;
    bui_admission_free(&p->admission);
    bui_catalog_free(p->self.catalog);
    bui_keys_free(p->self.keys);
    bus_config_free(p->self.config);
    free(p);
    return 0;
}

static bus_status announce(process *p, const char *text, const bui_keys *signs)
{
    char mac[BUI_MAC_TEXT];
    bus_header header = { BUI_HEADER_MAC, mac, 0 };
    bui_record record = {
        .topic = BUI_SCHEMAS_TOPIC, .partition = 0, .value = text, .value_len = strlen(text), .headers = &header
    };
    const bui_sealed sealed = { .topic = record.topic, .partition = 0, .value = text, .value_len = strlen(text) };
    header.len = bui_mac_write(signs, &sealed, mac);
    record.header_count = header.len > 0;
    return bui_admit(&p->admission, &p->self, &record);
}

static const char *record_named(const char *name, char out[200])
{
    snprintf(out, 200, "{\"type\":\"record\",\"name\":\"%s\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"}]}", name);
    return out;
}

static uint64_t fingerprint_of(const char *text)
{
    bui_schema *schema = NULL;
    bus_error err = { 0 };
    if (bui_schema_parse(text, strlen(text), &schema, &err) != BUS_OK)
        fail_msg("%s", err.text);
    uint64_t fingerprint = bui_schema_fingerprint(schema);
    bui_schema_free(schema);
    return fingerprint;
}

/* An enum has a symbol of many letters, each of which may be one of two: CRC is linear, so some choice gives any fingerprint. */
#define LETTERS 100
static const char *forged(const bool bit[LETTERS], char out[400])
{
    char symbol[LETTERS + 1] = "";
    for (int i = 0; i < LETTERS; i++)
        symbol[i] = bit[i] ? 'c' : 'a';
    snprintf(
        out, 400,
        "{\"type\":\"record\",\"name\":\"bad.R\",\"fields\":[{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"bad.E\",\"symbols\":[\"%s\"]}}]}",
        symbol);
    return out;
}

static bool collide(uint64_t wanted, char out[400])
{
    bool bit[LETTERS] = { false };
    uint64_t basis[64] = { 0 };
    struct {
        uint64_t low, high;
    } made[64] = { { 0, 0 } }; /* which letters make it */
    uint64_t zero = fingerprint_of(forged(bit, out));
    for (int i = 0; i < LETTERS; i++) {
        bit[i] = true;
        uint64_t value = fingerprint_of(forged(bit, out)) ^ zero, low = i < 64 ? UINT64_C(1) << i : 0,
                 high = i < 64 ? 0 : UINT64_C(1) << (i - 64);
        bit[i] = false;
        for (int k = 63; k >= 0 && value; k--) {
            if (!(value >> k & 1))
                continue;
            if (!basis[k]) {
                basis[k] = value;
                made[k].low = low;
                made[k].high = high;
                break;
            }
            value ^= basis[k];
            low ^= made[k].low;
            high ^= made[k].high;
        }
    }
    uint64_t rest = wanted ^ zero, low = 0, high = 0;
    for (int k = 63; k >= 0; k--)
        if (rest >> k & 1) {
            rest ^= basis[k];
            low ^= made[k].low;
            high ^= made[k].high;
        }
    for (int i = 0; i < LETTERS; i++)
        bit[i] = i < 64 ? low >> i & 1 : high >> (i - 64) & 1;
    forged(bit, out);
    return rest == 0;
}

static void a_schema_made_to_collide_is_refused(void **state)
{
    process *p = *state;
    char text[200], bad[400];
    uint64_t fingerprint = fingerprint_of(record_named("order.Paid", text));
    assert_true(collide(fingerprint, bad));
    assert_int_equal(fingerprint_of(bad), fingerprint);
    assert_int_equal(announce(p, text, NULL), BUS_OK);
    assert_int_equal(announce(p, bad, NULL), BUS_REFUSED);
    assert_string_equal(bui_schema_name(bui_catalog_find(p->self.catalog, fingerprint)), "order.Paid");
    assert_null(bui_catalog_text(p->self.catalog, bad, strlen(bad)));
    assert_int_equal(bui_counter_read(&p->self.metrics.schemas_refused), 1);
    /* Another text of the same canonical form is the same schema to a reader. */
    assert_int_equal(
        announce(p, "{\"type\":\"record\",\"name\":\"order.Paid\",\"doc\":\"x\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"}]}",
                 NULL),
        BUS_OK);
}

static void a_name_space_has_a_quota(void **state)
{
    process *p = *state;
    char text[200], name[40];
    assert_int_equal(bus_config_set(p->self.config, "schemas.per.namespace", "5", NULL), BUS_OK);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "junk.R%d", i);
        assert_int_equal(announce(p, record_named(name, text), NULL), i < 5 ? BUS_OK : BUS_FULL);
        assert_int_equal(announce(p, record_named("junk.R0", text), NULL), BUS_OK); /* known: counts once */
    }
    assert_int_equal(announce(p, record_named("order.Paid", text), NULL), BUS_OK);
    assert_int_equal(bui_counter_read(&p->self.metrics.schemas_refused), 5);
}

static void closed_learns_nothing(void **state)
{
    process *p = *state;
    char text[200];
    bui_admission_free(&p->admission);
    assert_int_equal(bus_config_set(p->self.config, "schemas.closed", "true", NULL), BUS_OK);
    bui_admission_init(&p->admission, p->self.config, p->self.catalog, NULL);
    record_named("own.Known", text);
    assert_int_equal(bui_catalog_add(p->self.catalog, text, strlen(text), NULL), BUS_OK);
    assert_int_equal(announce(p, text, NULL), BUS_OK);
    assert_int_equal(announce(p, record_named("order.Paid", text), NULL), BUS_REFUSED);
    assert_null(bui_catalog_named(p->self.catalog, "order.Paid"));
}

static void a_key_announces_for_its_name_spaces(void **state)
{
    process *p = *state;
    char text[200];
    static const char file[] = "order " KEY " write order\n";
    bus_error err = { 0 };
    if (bui_keys_new(file, sizeof file - 1, "keys", BUI_SCHEMAS_TOPIC, &p->self.keys, &err) != BUS_OK)
        fail_msg("%s", err.text);
    p->admission.keys = p->self.keys;
    assert_int_equal(announce(p, record_named("order.v1.Paid", text), NULL), BUS_DENIED);
    assert_int_equal(announce(p, text, p->self.keys), BUS_OK);
    assert_int_equal(announce(p, text, NULL), BUS_DENIED); /* known, but not for others: it will be announced, and signed */
    assert_int_equal(announce(p, record_named("pay.Paid", text), p->self.keys), BUS_DENIED);
    assert_int_equal(announce(p, record_named("orders.Paid", text), p->self.keys), BUS_DENIED);
}

static void a_schema_is_keyed_by_sha_256(void **state)
{
    (void)state;
    char key[BUI_SCHEMA_KEY];
    bui_schema_key("abc", 3, key);
    assert_string_equal(key, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_schema_made_to_collide_is_refused), TEST(a_name_space_has_a_quota),     TEST(closed_learns_nothing),
        TEST(a_key_announces_for_its_name_spaces), TEST(a_schema_is_keyed_by_sha_256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
