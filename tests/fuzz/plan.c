/* SPDX-License-Identifier: MIT
 * Fuzz: a body of one schema read as another. The input is the writer's schema, a zero, the reader's, a zero, and the body; the
 * mutator knows this and changes one of them, or draws all again. Whatever the checker calls compatible has a plan, and that plan
 * reads every body that is the writer's; whatever a plan reads, the writer's own checker accepts; what comes out is the reader's.
 * About: bus/codec/plan.c bus/codec/plan_run.c bus/codec/resolve.c bus/codec/compatibility.c */
#include "codec/body.h"
#include "codec/compatibility.h"
#include "codec/json.h"
#include "codec/plan.h"
#include "codec/value.h"
#include "fuzz/fuzz.h"
#include "support/grammar.h"
#include "support/shapes.h"

#define MOST 8192

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

typedef struct triple {
    const char *part[3];
    size_t len[3];
} triple;

static bool split(const uint8_t *data, size_t size, triple *out)
{
    const char *at = (const char *)data, *end = at + size;
    for (int i = 0; i < 2; i++) {
        const char *stop = memchr(at, 0, (size_t)(end - at));
        if (!stop)
            return false;
        out->part[i] = at;
        out->len[i] = (size_t)(stop - at);
        at = stop + 1;
    }
    out->part[2] = at;
    out->len[2] = (size_t)(end - at);
    return true;
}

/* ---- the target */

static bool encodes(const bui_schema *schema, const bus_shape *shape, const void *value, bui_buf *out)
{
    bus_error err;
    bui_buf_clear(out);
    bus_status status = bui_body_encode(shape, value, out, &err);
    must(status == BUS_OK || strstr(err.text, "digits")); /* a decimal out of its precision is read, and not written */
    must(status != BUS_OK || bui_body_check(schema, out->data, out->len, 0, &err) == BUS_OK);
    return status == BUS_OK;
}

/* Some values that a compatible writer may write have no place in any struct. */
static bool excused(const bus_error *err)
{
    return err->status == BUS_TOO_BIG || strstr(err->text, "UUID") || strstr(err->text, "decimal") ||
           strstr(err->text, "not UTF-8") || strstr(err->text, "nested deeper");
}

/* The plan for a schema as itself is the decoder. */
static void agrees(const bui_schema *schema, const bus_shape *shape, const void *bytes, size_t len, bus_status planned,
                   const void *value)
{
    bus_error err;
    bui_arena arena;
    bui_buf one, two;
    bui_arena_init(&arena, 0);
    bui_buf_init(&one, 0);
    bui_buf_init(&two, 0);
    void *own = bui_arena_alloc(&arena, shape->size);
    must(bui_body_decode(shape, bytes, len, 0, &arena, own, &err) == planned);
    if (planned == BUS_OK && encodes(schema, shape, value, &one) && encodes(schema, shape, own, &two))
        must(one.len == two.len && (one.len == 0 || memcmp(one.data, two.data, one.len) == 0));
    bui_buf_free(&one);
    bui_buf_free(&two);
    bui_arena_free(&arena);
}

static void run(const bui_schema *writer, const bui_schema *reader, const char *body, size_t len)
{
    bus_error err = { 0 }, why;
    bui_plan *plan = NULL;
    bui_arena shapes, arena;
    bui_buf out;
    bui_arena_init(&shapes, 0);
    bui_arena_init(&arena, 0);
    bui_buf_init(&out, 0);
    const bus_shape *shape = test_shape_of(bui_schema_root(reader), &shapes);
    if (!shape)
        goto out;
    bus_status status = bui_plan_between(writer, reader, shape, &plan, &err);
    bool good = bui_compatible_read(writer, reader, &why) == BUS_OK;
    must(status == BUS_OK || (err.text[0] && (!good || excused(&err))));
    if (status == BUS_OK) {
        void *value = bui_arena_alloc(&arena, shape->size);
        bool own = bui_body_check(writer, body, len, 0, &why) == BUS_OK;
        must((bui_json_write(writer, body, len, &out, &why) == BUS_OK) == own || why.status == BUS_TOO_BIG);
        status = bui_plan_decode(plan, body, len, 0, &arena, value, &err);
        must(status != BUS_OK || (own && (encodes(reader, shape, value, &out) || true)));
        must(status == BUS_OK || err.text[0]);
        must(status == BUS_OK || !own || !good || excused(&err));
        if (writer == reader)
            agrees(reader, shape, body, len, status, value);
    }
out:
    bui_plan_free(plan);
    bui_buf_free(&out);
    bui_arena_free(&arena);
    bui_arena_free(&shapes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bui_schema *writer = NULL, *reader = NULL;
    triple in;
    if (size > MOST || !split(data, size, &in))
        return 0;
    if (bui_schema_parse(in.part[0], in.len[0], &writer, NULL) == BUS_OK &&
        bui_schema_parse(in.part[1], in.len[1], &reader, NULL) == BUS_OK) {
        run(writer, reader, in.part[2], in.len[2]);
        run(writer, writer, in.part[2], in.len[2]);
    }
    bui_schema_free(writer);
    bui_schema_free(reader);
    return 0;
}

/* ---- the mutator */

static void fresh_body(grammar *g, const bui_buf *writer, bui_buf *out)
{
    bui_schema *schema;
    bui_buf_clear(out);
    if (writer->len == 0 || bui_schema_parse((const char *)writer->data, writer->len, &schema, NULL) != BUS_OK)
        return;
    if (!grammar_body(g, bui_schema_root(schema), out))
        bui_buf_clear(out);
    bui_schema_free(schema);
}

static void shaken(bui_buf *part)
{
    uint8_t bytes[1024];
    size_t len = part->len < sizeof bytes ? part->len : sizeof bytes;
    if (len > 0)
        memcpy(bytes, part->data, len);
    len = LLVMFuzzerMutate(bytes, len, sizeof bytes);
    bui_buf_clear(part);
    bui_buf_add(part, bytes, len);
}

static void changed(grammar *g, bui_buf *part)
{
    bui_buf out;
    bui_buf_init(&out, 0);
    if (part->len > 0 && grammar_change(g, (const char *)part->data, part->len, &out)) {
        bui_buf_clear(part);
        bui_buf_add(part, out.data, out.len);
    }
    bui_buf_free(&out);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    triple in;
    grammar g;
    bui_buf part[3];
    grammar_seed(&g, seed);
    bool whole = split(data, size, &in);
    for (int i = 0; i < 3; i++) {
        bui_buf_init(&part[i], 0);
        if (whole && in.len[i] > 0)
            bui_buf_add(&part[i], in.part[i], in.len[i]);
    }
    uint32_t what = whole ? grammar_draw(&g, 12) : 0;
    if (what == 0) {
        bui_buf_clear(&part[0]);
        bui_buf_clear(&part[1]);
        grammar_pair(&g, &part[0], &part[1]);
    } else if (what <= 3) {
        changed(&g, &part[what & 1]);
    } else if (what == 4) { /* both alike */
        changed(&g, &part[0]);
        bui_buf_clear(&part[1]);
        bui_buf_add(&part[1], part[0].data, part[0].len);
        changed(&g, &part[1]);
    } else if (what == 5) {
        shaken(&part[grammar_draw(&g, 2)]);
    }
    if (what <= 4 || what == 6)
        fresh_body(&g, &part[0], &part[2]);
    if (what > 6)
        shaken(&part[2]);
    size_t len = part[0].len + part[1].len + part[2].len + 2;
    if (len <= most) {
        uint8_t *at = data;
        for (int i = 0; i < 3; i++) {
            if (part[i].len > 0)
                memcpy(at, part[i].data, part[i].len);
            at += part[i].len;
            if (i < 2)
                *at++ = 0;
        }
    } else {
        len = LLVMFuzzerMutate(data, size, most);
    }
    for (int i = 0; i < 3; i++)
        bui_buf_free(&part[i]);
    return len;
}
