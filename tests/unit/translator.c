/* SPDX-License-Identifier: MIT
 * Translator: events in every framing as JSON and back, each question of the registry put once, and what it does not know held. */
#include "ops/translator.h"
#include "support/registry_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define RECORD "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":[\"null\",\"long\"]}]}"
#define ESCAPED \
    "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"t.R\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f\\\",\\\"type\\\":[\\\"null\\\",\\\"long\\\"]}]}"
#define GUID "00112233-4455-6677-8899-aabbccddeeff"
#define GUID_BYTES "\x01\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
#define BODY "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* the least long */

static const registry_page pages[] = {
    { "GET", "/schemas/ids/7", 200, "{\"schema\":\"" ESCAPED "\"}", 0 },
    { "GET", "/schemas/guids/" GUID, 200, "{\"schema\":\"" ESCAPED "\"}", 0 },
    { "GET", "/schemas/ids/8", 200, "{\"schema\":\"{\\\"type\\\":\\\"nonsense\\\"}\"}", 0 },
    { "GET", "/subjects/topic-t.R/versions/latest", 200, "{\"id\":9,\"version\":2,\"schema\":\"" ESCAPED "\"}", 0 },
    { "POST", "/subjects/topic-t.R/versions", 200, "{\"id\":258}", 0 },
    { "POST", "/subjects/no-t.R/versions", 409, "{\"error_code\":409,\"message\":\"f has no default\"}", 0 },
    { 0 }
};

typedef struct desk {
    registry_server server;
    bus_config *config;
    bui_translator *translator;
    bui_buf out;
    bus_error err;
} desk;

static void set(desk *d, const char *name, const char *value)
{
    if (bus_config_set(d->config, name, value, &d->err) != BUS_OK)
        fail_msg("%s", d->err.text);
}

static void begin(desk *d, bui_json_form form, bool registry)
{
    *d = (desk){ .config = bus_config_new() };
    registry_server_start(&d->server, pages);
    if (registry)
        set(d, "registry.url", d->server.url);
    set(d, "registry.unknown.ms", "1s");
    if (bui_translator_open(d->config, form, NULL, &d->translator, &d->err) != BUS_OK)
        fail_msg("%s", d->err.text);
    bui_buf_init(&d->out, 0);
}

static void end(desk *d)
{
    bui_translator_close(d->translator);
    bus_config_free(d->config);
    bui_buf_free(&d->out);
    registry_server_stop(&d->server);
}

static bus_status shows(desk *d, const char *value, size_t len, const char *schema_id, size_t id_len)
{
    const bus_header header = { "__value_schema_id", schema_id, id_len };
    const bui_record record = {
        .topic = "topic", .value = value, .value_len = len, .headers = &header, .header_count = schema_id != NULL
    };
    bui_buf_clear(&d->out);
    return bui_translator_read(d->translator, &record, &d->out, &d->err);
}
#define SHOWS(d, bytes) shows(d, bytes, sizeof(bytes) - 1, NULL, 0)

static void is_shown(desk *d, bus_status status, const char *json)
{
    if (status != BUS_OK)
        fail_msg("%s", d->err.text);
    assert_int_equal(d->out.len, strlen(json));
    assert_memory_equal(d->out.data, json, d->out.len);
}

static void reads_every_framing(void **state)
{
    (void)state;
    static const char *const json[] = { "{\"f\":-9223372036854775808}", "{\"f\":{\"long\":-9223372036854775808}}" };
    for (int form = BUI_JSON_PLAIN; form <= BUI_JSON_AVRO; form++) {
        desk d;
        uint8_t single[] = "\xc3\x01"
                           "........" BODY;
        begin(&d, (bui_json_form)form, true);
        assert_int_equal(bui_catalog_add(bui_translator_catalog(d.translator), RECORD, strlen(RECORD), &d.err), BUS_OK);
        uint64_t mark = bui_schema_fingerprint(bui_catalog_at(bui_translator_catalog(d.translator), 0));
        for (int i = 0; i < 8; i++, mark >>= 8)
            single[2 + i] = (uint8_t)mark;
        is_shown(&d, shows(&d, (const char *)single, sizeof single - 1, NULL, 0), json[form]);
        assert_int_equal(atomic_load(&d.server.asked), 0);
        for (int again = 0; again < 2; again++) {
            is_shown(&d, SHOWS(&d, "\0\0\0\0\7" BODY), json[form]);
            is_shown(&d, SHOWS(&d, GUID_BYTES BODY), json[form]);
            is_shown(&d, shows(&d, BODY, sizeof BODY - 1, GUID_BYTES, sizeof GUID_BYTES - 1), json[form]);
        }
        assert_int_equal(atomic_load(&d.server.asked), 2);
        is_shown(&d, SHOWS(&d, "{\"status\": \"up\"}"), "{\"status\":\"up\"}");
        assert_int_equal(SHOWS(&d, "\x02\x03"), BUS_CORRUPT);
        assert_int_equal(SHOWS(&d, ""), BUS_CORRUPT);
        assert_int_equal(SHOWS(&d, "\0\0\0\0\7" BODY "x"), BUS_CORRUPT);
        assert_int_equal(d.out.len, 0);
        assert_int_equal(SHOWS(&d, "\xc3\x01"
                                   "12345678"),
                         BUS_MISSING);
        assert_non_null(strstr(d.err.text, "3837363534333231"));
        end(&d);
    }
}

static void holds_what_is_unknown(void **state)
{
    (void)state;
    desk d;
    begin(&d, BUI_JSON_PLAIN, true);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SHOWS(&d, "\0\0\0\0\5"), BUS_MISSING);
        assert_non_null(strstr(d.err.text, "404"));
        assert_int_equal(SHOWS(&d, "\0\0\0\0\x08"), BUS_SCHEMA);
        assert_non_null(strstr(d.err.text, "schemas/ids/8 of the schema registry"));
    }
    assert_int_equal(atomic_load(&d.server.asked), 2);
    assert_int_equal(SHOWS(&d, "\0\0\0\0\7" BODY), BUS_OK); /* it answers, only not those */
    nanosleep(&(struct timespec){ 1, 100000000 }, NULL);
    assert_int_equal(SHOWS(&d, "\0\0\0\0\5"), BUS_MISSING);
    assert_int_equal(atomic_load(&d.server.asked), 4);
    end(&d);
}

/* A registry that is away costs one time-out, not one for each event. */
static void holds_that_it_is_away(void **state)
{
    (void)state;
    static const registry_page slow[] = { { "GET", "/schemas/ids/7", 200, "{\"schema\":\"\\\"long\\\"\"}", 1000 }, { 0 } };
    desk d;
    begin(&d, BUI_JSON_PLAIN, true);
    bui_translator_close(d.translator);
    set(&d, "registry.timeout.ms", "200ms");
    d.server.pages = slow;
    assert_int_equal(bui_translator_open(d.config, BUI_JSON_PLAIN, NULL, &d.translator, &d.err), BUS_OK);
    assert_int_equal(SHOWS(&d, "\0\0\0\0\7\2"), BUS_IO);
    assert_non_null(strstr(d.err.text, "timed out"));
    assert_int_equal(SHOWS(&d, "\0\0\0\0\6\2"), BUS_IO); /* another question, the same answer */
    assert_int_equal(atomic_load(&d.server.asked), 1);
    end(&d);
    begin(&d, BUI_JSON_PLAIN, false);
    assert_int_equal(SHOWS(&d, "\0\0\0\0\7" BODY), BUS_MISSING);
    assert_string_equal(d.err.text, "written in a schema registry's framing (schemas/ids/7): set registry.url");
    end(&d);
}

static void writes_the_framing_that_is_set(void **state)
{
    (void)state;
    desk d;
    bui_prefix prefix;
    const bui_schema *schema, *latest = NULL;
    begin(&d, BUI_JSON_AVRO, true);
    assert_int_equal(bui_catalog_add(bui_translator_catalog(d.translator), RECORD " ", strlen(RECORD) + 1, &d.err), BUS_OK);
    schema = bui_catalog_at(bui_translator_catalog(d.translator), 0);
    assert_int_equal(bui_translator_prefix(d.translator, "topic", schema, &prefix, &d.err), BUS_OK);
    assert_int_equal(prefix.len, 10);
    assert_int_equal(atomic_load(&d.server.asked), 0);
    set(&d, "framing", "confluent");
    assert_int_equal(bui_translator_prefix(d.translator, "topic", schema, &prefix, &d.err), BUS_OK);
    static const char json[] = "{\"f\":{\"long\":-9223372036854775808}}", wrong[] = "{\"f\":1.5}";
    assert_int_equal(bui_translator_write(d.translator, &prefix, schema, json, sizeof json - 1, &d.out, &d.err), BUS_OK);
    assert_int_equal(d.out.len, sizeof "\0\0\0\1\2" BODY - 1);
    assert_memory_equal(d.out.data, "\0\0\0\1\2" BODY, d.out.len);
    bui_buf_clear(&d.out);
    assert_int_equal(bui_translator_write(d.translator, &prefix, schema, wrong, sizeof wrong - 1, &d.out, &d.err), BUS_INVALID);
    assert_int_equal(d.out.len, 0);
    assert_int_equal(bui_translator_prefix(d.translator, "no", schema, &prefix, &d.err), BUS_SCHEMA);
    assert_non_null(strstr(d.err.text, "f has no default"));

    /* What the registry had has the registry's id, whatever became of its text. */
    assert_int_equal(bui_translator_latest(d.translator, "topic", "t.R", &latest, &d.err), BUS_OK);
    int asked = atomic_load(&d.server.asked);
    assert_int_equal(bui_translator_prefix(d.translator, "topic", latest, &prefix, &d.err), BUS_OK);
    assert_memory_equal(prefix.bytes, "\0\0\0\0\x09", 5);
    assert_int_equal(atomic_load(&d.server.asked), asked);
    assert_int_equal(bui_translator_latest(d.translator, "topic", "t.Nothing", &latest, &d.err), BUS_MISSING);
    set(&d, "registry.register", "false");
    assert_int_equal(bui_translator_prefix(d.translator, "topic", schema, &prefix, &d.err), BUS_MISSING);
    assert_non_null(strstr(d.err.text, "registry.register is false, and t.R is not under topic-t.R"));
    end(&d);

    begin(&d, BUI_JSON_PLAIN, false);
    set(&d, "framing", "confluent");
    assert_int_equal(bui_catalog_add(bui_translator_catalog(d.translator), RECORD, strlen(RECORD), &d.err), BUS_OK);
    schema = bui_catalog_at(bui_translator_catalog(d.translator), 0);
    assert_int_equal(bui_translator_prefix(d.translator, "topic", schema, &prefix, &d.err), BUS_CONFIG);
    assert_int_equal(bui_translator_latest(d.translator, "topic", "t.R", &latest, &d.err), BUS_MISSING);
    end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_framing),
        cmocka_unit_test(holds_what_is_unknown),
        cmocka_unit_test(holds_that_it_is_away),
        cmocka_unit_test(writes_the_framing_that_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
