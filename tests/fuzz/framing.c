/* SPDX-License-Identifier: MIT
 * Fuzz: values in any framing, the reference in front or in a header, and what is decoded behind it. The first byte is the header's
 * length, 255 for none.
 * About: bus/codec/framing.c bus/codec/catalog.c */
#include "codec/catalog.h"
#include "codec/wire.h"
#include "fuzz/fuzz.h"
#include "support/shapes.h"

static const char own[] =
    "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"g\",\"type\":\"string\",\"default\":\"new\"},{\"name\":\"f\",\"type\":\"long\"}]}";
static const char old[] =
    "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\"},{\"name\":\"x\",\"type\":\"bytes\"}]}";
static const char other[] = "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"string\"}]}";

static bus_type type;
static bui_catalog *catalog;

static void bind(const char *question, const char *json)
{
    bui_framing framing;
    must(bui_framing_of_question(question, &framing));
    must(bui_catalog_bind(catalog, &framing, json, strlen(json), NULL) == BUS_OK);
}

static void set_up(void)
{
    static bui_arena shapes;
    static bui_schema *schema;
    bui_arena_init(&shapes, 0);
    must(bui_schema_parse(own, sizeof own - 1, &schema, NULL) == BUS_OK);
    type = (bus_type){ .layout = BUS_TYPE_LAYOUT,
                       .name = "t.R",
                       .json = own,
                       .canonical = bui_schema_canonical(schema),
                       .fingerprint = bui_schema_fingerprint(schema),
                       .shape = test_shape_of(bui_schema_root(schema), &shapes) };
    catalog = bui_catalog_new();
    bind("schemas/ids/1", own);
    bind("schemas/ids/2", old);
    bind("schemas/ids/3", other);
    bind("schemas/guids/30313233-3435-3637-3839-414243444546", old);
}

/* What a framing asks of a registry means the same framing. */
static void asks(const bui_framing *framing)
{
    char question[BUI_QUESTION];
    bui_framing again;
    bui_framing_question(framing, question);
    must((question[0] != 0) == (framing->kind == BUI_FRAMED_ID || framing->kind == BUI_FRAMED_GUID));
    if (question[0]) {
        must(bui_framing_of_question(question, &again) && again.kind == framing->kind &&
             again.reference_len == framing->reference_len);
        must(memcmp(again.reference, framing->reference, framing->reference_len) == 0);
    }
}

static void decode(const bui_framing *framing, const void *value, size_t len)
{
    const void *body = NULL;
    bus_error err = { 0 };
    bui_arena arena;
    bui_buf out;
    bui_arena_init(&arena, 0);
    bui_buf_init(&out, 0);
    bus_status status = bui_catalog_decode_framed(catalog, framing, &type, value, len, &arena, &body, &err);
    must(status == BUS_OK || err.text[0]);
    if (status == BUS_OK)
        must(bui_wire_encode(&type, body, &out, &err) == BUS_OK);
    bui_buf_free(&out);
    bui_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bui_framing framing;
    if (!catalog)
        set_up();
    if (size == 0 || size > 4096)
        return 0;
    size_t n = data[0] == 255 ? 0 : data[0] < size ? data[0] : size - 1;
    char *header = fuzz_copy((const char *)data + 1, n, false), *text = fuzz_copy((const char *)data + 1, size - 1, true);
    const uint8_t *value = data + 1 + n;
    size_t len = size - 1 - n;
    bui_framing_read(value, len, (bui_slice){ data[0] == 255 ? NULL : header, n }, &framing);
    must(framing.skip <= len && framing.reference_len <= BUI_REFERENCE_MOST);
    asks(&framing);
    decode(&framing, value, len);
    if (bui_framing_of_question(text, &framing))
        asks(&framing);
    free(text);
    free(header);
    return 0;
}
