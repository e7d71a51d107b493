/* SPDX-License-Identifier: MIT
 * Fuzz: what a schema registry answers. The first line's first dead letter is what is asked; each further line is an answer, a
 * status of three digits and the body: "200 {...}". This file stands in for registry/http.c, which lets libcurl read HTTP.
 * About: bus/registry/registry.c bus/registry/bundle.c */
#include "codec/catalog.h"
#include "codec/framing.h"
#include "fuzz/fuzz.h"
#include "registry/registry.h"
#include "registry/http.h"

#include "base/error.h"
#include <jansson.h>

static fuzz_lines answers;
static int asked;

bus_status bui_http_open(const bui_http_options *options, bui_http **out, bus_error *err)
{
    (void)options;
    (void)err;
    *out = (bui_http *)&answers;
    return BUS_OK;
}

void bui_http_close(bui_http *http)
{
    (void)http;
}

/* As registry/http.c takes a body. */
bus_status bui_http_ask(bui_http *http, const char *path, const char *body, json_t **answer, long *code, bus_error *err)
{
    const char *line;
    size_t len;
    (void)http;
    (void)body;
    must(path[0] != '/' && strlen(path) < 4096 && ++asked < 1000);
    if (!fuzz_line(&answers, &line, &len) || len < 4)
        return bui_fail(err, BUS_IO, "nobody answers");
    char *status = fuzz_copy(line, 3, true), *bytes = fuzz_copy(line + 4, len - 4, false);
    *code = strtol(status, NULL, 10);
    *answer = len > 4 ? json_loadb(bytes, len - 4, JSON_DECODE_ANY, NULL) : NULL;
    free(bytes);
    free(status);
    if (!*answer && *code >= 200 && *code < 300)
        return bui_fail(err, BUS_IO, "not JSON");
    return BUS_OK;
}

static void ask(bui_registry *registry, char what)
{
    bui_framing reference = { .kind = BUI_FRAMED_ID };
    bui_catalog *catalog = bui_catalog_new();
    bus_error err = { 0 };
    bui_buf text;
    uint32_t id = 7;
    int number = 0;
    bus_status status;
    bui_buf_init(&text, BUI_SCHEMA_MAX_BYTES);
    bui_framing_write_id(7, reference.reference);
    reference.reference_len = BUI_CONFLUENT_FRAMING;
    switch (what) {
    case 'v': status = bui_registry_version(registry, "a/b c", 0, &text, &id, &number, &err); break;
    case 'r': status = bui_registry_register(registry, "orders-value", "\"int\"", &id, &err); break;
    case 'f': status = bui_registry_find(registry, "orders-value", "\"int\"", &id, &err); break;
    case 'c': status = bui_registry_compatible(registry, "orders-value", "\"int\"", &err); break;
    default:
        status = bui_registry_schema(registry, "schemas/ids/7", &text, &err);
        if (status == BUS_OK && bui_catalog_bind(catalog, &reference, (const char *)text.data, text.len, &err) == BUS_OK)
            must(bui_catalog_writer(catalog, &reference) != NULL);
    }
    must(status == BUS_OK || (err.status == status && err.text[0] && id == 7));
    bui_buf_free(&text);
    bui_catalog_free(catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bui_registry *registry;
    const char *line;
    size_t len;
    if (!registry) {
        bus_config *config = bus_config_new();
        must(bus_config_set(config, "registry.url", "http://localhost", NULL) == BUS_OK);
        must(bui_registry_open(config, NULL, NULL, &registry, NULL) == BUS_OK);
        bus_config_free(config);
    }
    answers = (fuzz_lines){ (const char *)data, (const char *)data + size };
    asked = 0;
    if (size <= 65536 && fuzz_line(&answers, &line, &len) && len > 0)
        ask(registry, line[0]);
    return 0;
}
