/* SPDX-License-Identifier: MIT
 * Fuzz: what a schema registry answers. The first line's first letter is what is asked; each further line is an answer, a status of
 * three digits and the body: "200 {...}". This file stands in for registry/http.c, which lets libcurl read HTTP.
 * About: bus/registry/client.c bus/registry/inline.c */
#include "codec/catalog.h"
#include "codec/framing.h"
#include "fuzz/fuzz.h"
#include "registry/client.h"
#include "registry/http.h"

#include "base/error.h"
#include <jansson.h>

static fuzz_lines answers;
static int asked;

bus_status bus_http_open(const bus_http_options *options, bus_http **out, bus_error *err)
{
    (void)options;
    (void)err;
    *out = (bus_http *)&answers;
    return BUS_OK;
}

void bus_http_close(bus_http *http)
{
    (void)http;
}

/* As registry/http.c takes a body. */
bus_status bus_http_ask(bus_http *http, const char *path, const char *body, json_t **answer, long *code, bus_error *err)
{
    const char *line;
    size_t len;
    (void)http;
    (void)body;
    must(path[0] != '/' && strlen(path) < 4096 && ++asked < 1000);
    if (!fuzz_line(&answers, &line, &len) || len < 4)
        return bus_fail(err, BUS_IO, "nobody answers");
    char *status = fuzz_copy(line, 3, true), *bytes = fuzz_copy(line + 4, len - 4, false);
    *code = strtol(status, NULL, 10);
    *answer = len > 4 ? json_loadb(bytes, len - 4, JSON_DECODE_ANY, NULL) : NULL;
    free(bytes);
    free(status);
    if (!*answer && *code >= 200 && *code < 300)
        return bus_fail(err, BUS_IO, "not JSON");
    return BUS_OK;
}

static void ask(bus_registry *registry, char what)
{
    bus_framing reference = { .kind = BUS_FRAMED_ID };
    bus_catalog *catalog = bus_catalog_new();
    bus_error err = { 0 };
    bus_buf text;
    uint32_t id = 7;
    int number = 0;
    bus_status status;
    bus_buf_init(&text, BUS_SCHEMA_MAX_BYTES);
    bus_framing_write_id(7, reference.reference);
    reference.reference_len = BUS_CONFLUENT_FRAMING;
    switch (what) {
    case 'v': status = bus_registry_version(registry, "a/b c", 0, &text, &id, &number, &err); break;
    case 'r': status = bus_registry_register(registry, "orders-value", "\"int\"", &id, &err); break;
    case 'f': status = bus_registry_find(registry, "orders-value", "\"int\"", &id, &err); break;
    case 'c': status = bus_registry_compatible(registry, "orders-value", "\"int\"", &err); break;
    default:
        status = bus_registry_schema(registry, "schemas/ids/7", &text, &err);
        if (status == BUS_OK && bus_catalog_bind(catalog, &reference, (const char *)text.data, text.len, &err) == BUS_OK)
            must(bus_catalog_writer(catalog, &reference) != NULL);
    }
    must(status == BUS_OK || (err.status == status && err.text[0] && id == 7));
    bus_buf_free(&text);
    bus_catalog_free(catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_registry *registry;
    const char *line;
    size_t len;
    if (!registry) {
        bus_config *config = bus_config_new();
        must(bus_config_set(config, "registry.url", "http://localhost", NULL) == BUS_OK);
        must(bus_registry_open(config, NULL, NULL, &registry, NULL) == BUS_OK);
        bus_config_free(config);
    }
    answers = (fuzz_lines){ (const char *)data, (const char *)data + size };
    asked = 0;
    if (size <= 65536 && fuzz_line(&answers, &line, &len) && len > 0)
        ask(registry, line[0]);
    return 0;
}
