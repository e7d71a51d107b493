/* SPDX-License-Identifier: MIT
 * Fuzz: JSON from people, in both forms and by several schemas; the first byte says in which and by which. What is accepted makes a
 * body that the same schema can read, and that comes back from its JSON as it was. The mutator changes the JSON's tree.
 * About: bus/codec/json_read.c bus/codec/json_scalar.c bus/codec/json_union.c bus/codec/json_logical.c bus/codec/json_write.c */
#include "codec/json.h"
#include "codec/value.h"
#include "fuzz/fuzz.h"
#include "support/grammar.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define D(name, type, preset) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" preset "}"
#define LOGICAL(type, name) "{\"type\":\"" type "\",\"logicalType\":\"" name "\"}"
#define FIXED(name, size, logical) \
    "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" size ",\"logicalType\":\"" logical "\",\"precision\":9,\"scale\":2}"
#define DECIMAL "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":40,\"scale\":3}"

/* clang-format off */
static const char *const texts[] = {
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" D("l", "\"long\"", "1") "," D("d", "[\"long\",\"double\",\"null\"]", "2") ","
        D("s", "[\"null\",\"string\",\"bytes\"]", "null") "," D("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"A\"") ","
        D("x", FIXED("F", "2", "none"), "\"ab\"") "," D("m", "{\"type\":\"map\",\"values\":[\"int\",\"string\",\"R\"]}", "{}") ","
        D("c", "{\"type\":\"array\",\"items\":\"R\"}", "[]") "," D("b", "\"boolean\"", "true") "," D("f", "\"float\"", "0.5") "," D("n", "{\"type\":\"array\",\"items\":\"null\"}", "[null]") "]}",
    "{\"type\":\"record\",\"name\":\"L\",\"fields\":[" D("d", LOGICAL("int", "date"), "1") "," D("a", LOGICAL("int", "time-millis"), "1") ","
        D("b", LOGICAL("long", "time-micros"), "1") "," D("t", LOGICAL("long", "timestamp-millis"), "1") "," D("v", LOGICAL("long", "timestamp-micros"), "1") ","
        D("y", LOGICAL("long", "local-timestamp-millis"), "1") "," D("z", LOGICAL("long", "local-timestamp-micros"), "1") ","
        D("u", LOGICAL("string", "uuid"), "\"\"") "," D("w", FIXED("U", "16", "uuid"), "\"0123456789abcdef\"") "," D("p", DECIMAL, "\"\\u0001\"") ","
        D("q", FIXED("Q", "9", "decimal"), "\"123456789\"") "," D("o", FIXED("D", "12", "duration"), "\"123456789abc\"") "]}",
    "{\"type\":\"array\",\"items\":[\"null\"," LOGICAL("int", "date") ",\"string\",\"double\",{\"type\":\"map\",\"values\":\"int\"}," DECIMAL "," FIXED("D", "12", "duration") ","
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[" F("a", "\"int\"") "]},{\"type\":\"record\",\"name\":\"B\",\"fields\":[" D("a", "\"int\"", "7") "," D("b", "[\"A\",\"B\",\"null\"]", "{\"a\":1}") "]}]}",
    "[\"boolean\",\"long\",\"float\",{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"NaN\"]}," FIXED("Q", "2", "decimal") ",{\"type\":\"array\",\"items\":\"string\"}]",
};
/* clang-format on */
#define SCHEMAS (sizeof texts / sizeof *texts)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bui_schema *schemas[SCHEMAS];
    bus_error err = { 0 };
    bui_buf body, json, again;
    for (size_t i = 0; !schemas[SCHEMAS - 1] && i < SCHEMAS; i++)
        must(bui_schema_parse(texts[i], strlen(texts[i]), &schemas[i], &err) == BUS_OK);
    if (size == 0 || size > 16384)
        return 0;
    const bui_schema *schema = schemas[data[0] / 2 % SCHEMAS];
    bui_json_form form = data[0] & 1 ? BUI_JSON_AVRO : BUI_JSON_PLAIN;
    bui_buf_init(&body, 0);
    bui_buf_init(&json, 0);
    bui_buf_init(&again, 0);
    bus_status status = bui_json_read_as(form, schema, (const char *)data + 1, size - 1, &body, &err);
    must(status == BUS_OK || (err.status == status && err.text[0] && body.len == 0));
    if (status == BUS_OK) {
        must(bui_body_check(schema, body.data, body.len, 0, &err) == BUS_OK);
        must(bui_json_write_as(form, schema, body.data, body.len, &json, &err) == BUS_OK);
        must(bui_json_read_as(form, schema, (const char *)json.data, json.len, &again, &err) == BUS_OK);
        must(body.len == again.len && (body.len == 0 || memcmp(body.data, again.data, body.len) == 0));
    }
    bui_buf_free(&body);
    bui_buf_free(&json);
    bui_buf_free(&again);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    grammar g;
    bui_buf out;
    grammar_seed(&g, seed);
    bui_buf_init(&out, 0);
    bool bytes = grammar_draw(&g, 3) == 0;
    if (!bytes && size > 1 && grammar_change(&g, (const char *)data + 1, size - 1, &out) && out.len > 0 && out.len < most) {
        memcpy(data + 1, out.data, out.len);
        size = out.len + 1;
    } else {
        size = LLVMFuzzerMutate(data, size, most);
    }
    bui_buf_free(&out);
    return size;
}
