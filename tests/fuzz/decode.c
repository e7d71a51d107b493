/* SPDX-License-Identifier: MIT
 * Fuzz: bodies from the network, by schemas that together have every type; the first byte says by which. What is accepted is encoded
 * again and must then decode to the same bytes; the reader that only checks, the one that writes JSON and the table-driven one agree
 * about what is acceptable. The mutator draws whole bodies besides changing bytes.
 * About: bus/codec/decode.c bus/codec/reader.c bus/codec/encode.c bus/codec/json_write.c */
#include "codec/body.h"
#include "codec/json.h"
#include "codec/value.h"
#include "fuzz/fuzz.h"
#include "support/grammar.h"
#include "support/shapes.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define ARRAY(type) "{\"type\":\"array\",\"items\":" type "}"
#define MAP(type) "{\"type\":\"map\",\"values\":" type "}"
#define LOGICAL(type, name) "{\"type\":\"" type "\",\"logicalType\":\"" name "\"}"
#define FIXED(name, size, logical) \
    "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" size ",\"logicalType\":\"" logical "\",\"precision\":9,\"scale\":2}"
#define ENUM "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"

/* clang-format off */
static const char *const texts[] = {
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" F("i", "\"int\"") "," F("l", "\"long\"") "," F("b", "\"boolean\"") "," F("s", "\"string\"") ","
        F("y", "\"bytes\"") "," F("e", ENUM) "," F("x", FIXED("F", "2", "none")) "," F("n", ARRAY("\"null\"")) "," F("a", ARRAY("[\"null\",\"string\"]")) ","
        F("m", MAP("[\"int\",\"string\",\"R\"]")) "," F("o", "[\"null\",\"R\"]") "," F("c", ARRAY("\"R\"")) "]}",
    "{\"type\":\"record\",\"name\":\"L\",\"fields\":[" F("d", LOGICAL("int", "date")) "," F("t", LOGICAL("long", "timestamp-micros")) ","
        F("u", LOGICAL("string", "uuid")) "," F("v", FIXED("U", "16", "uuid")) "," F("p", "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":18,\"scale\":3}") ","
        F("q", FIXED("Q", "9", "decimal")) "," F("w", "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":40,\"scale\":3}") ","
        F("z", FIXED("D", "12", "duration")) "," F("f", "\"float\"") "," F("g", "\"double\"") "," F("h", "\"null\"") "]}",
    "{\"type\":\"record\",\"name\":\"O\",\"fields\":[" F("a", "[\"null\",\"long\"]") "," F("b", "[\"string\",\"null\"]") "," F("c", "[\"null\"," ENUM "]") ","
        F("d", "[\"double\",\"null\"]") "," F("e", "[\"null\",\"boolean\"]") "," F("f", "[\"int\",\"null\"]") "," F("g", "[\"null\"," ARRAY("\"O\"") "]") ","
        F("h", "[\"O\",\"null\"]") "," F("i", MAP("\"double\"")) "," F("j", "[\"int\",\"float\",\"null\"," FIXED("X", "3", "none") "," ARRAY("\"null\"") ",\"O\"]") "]}",
    ARRAY(MAP(ARRAY("[\"null\"," LOGICAL("string", "uuid") "]"))),
    "[\"null\",{\"type\":\"record\",\"name\":\"N\",\"fields\":[" F("next", "[\"null\",\"N\"]") "," F("kids", MAP("\"N\"")) "]},\"boolean\"]",
};
/* clang-format on */
#define MEMORY (256u << 10) /* small enough to be run out of */
#define SCHEMAS (sizeof texts / sizeof *texts)

static bui_schema *schemas[SCHEMAS];
static const bus_shape *shapes[SCHEMAS];

static void set_up(void)
{
    static bui_arena arena;
    bui_arena_init(&arena, 0);
    for (size_t i = 0; i < SCHEMAS; i++) {
        must(bui_schema_parse(texts[i], strlen(texts[i]), &schemas[i], NULL) == BUS_OK);
        shapes[i] = test_shape_of(bui_schema_root(schemas[i]), &arena);
        must(shapes[i] != NULL);
    }
}

/* Texts and numbers that Avro allows and a C type does not hold. */
static bool excused(const bus_error *err)
{
    return err->status == BUS_TOO_BIG || strstr(err->text, "UUID") || strstr(err->text, "a decimal of");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_error err = { 0 }, why;
    bui_arena arena, second;
    bui_buf out, again;
    if (!schemas[0])
        set_up();
    if (size == 0 || size > 65536)
        return 0;
    const bui_schema *schema = schemas[data[0] % SCHEMAS];
    const bus_shape *shape = shapes[data[0] % SCHEMAS];
    bui_arena_init(&arena, MEMORY);
    bui_arena_init(&second, 0);
    bui_buf_init(&out, 0);
    bui_buf_init(&again, 0);
    void *body = bui_arena_alloc(&arena, shape->size);
    bus_status status = bui_body_decode(shape, data + 1, size - 1, 0, &arena, body, &err);
    bool good = bui_body_check(schema, data + 1, size - 1, 0, &why) == BUS_OK;
    must((bui_json_write(schema, data + 1, size - 1, &again, &why) == BUS_OK) == good);
    must(status != BUS_TOO_BIG || size > MEMORY / 1024); /* no item here is as big as 1,024 bytes: a short body takes little */
    must(status == BUS_OK ? good : err.status == status && err.text[0] && (!good || excused(&err)));
    if (status == BUS_OK && (bui_body_encode(shape, body, &out, &err) == BUS_OK || !strstr(err.text, "digits"))) {
        bui_buf_clear(&again);
        must(bui_body_decode(shape, out.data, out.len, 0, &second, body, &err) == BUS_OK);
        must(bui_body_encode(shape, body, &again, &err) == BUS_OK);
        must(out.len == again.len && (out.len == 0 || memcmp(out.data, again.data, out.len) == 0));
    }
    bui_buf_free(&out);
    bui_buf_free(&again);
    bui_arena_free(&second);
    bui_arena_free(&arena);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    grammar g;
    bui_buf body;
    grammar_seed(&g, seed);
    uint32_t what = grammar_draw(&g, 8);
    if (!schemas[0])
        set_up();
    if (what > 1 || size == 0)
        return LLVMFuzzerMutate(data, size, most);
    bui_buf_init(&body, 0);
    if (grammar_body(&g, bui_schema_root(schemas[data[0] % SCHEMAS]), &body) && body.len > 0 && body.len < most) {
        memcpy(data + 1, body.data, body.len);
        size = body.len + 1;
    }
    bui_buf_free(&body);
    return what == 0 ? LLVMFuzzerMutate(data, size, most) : size;
}
