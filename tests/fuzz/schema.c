/* SPDX-License-Identifier: MIT
 * Fuzz: schemas from the network. One that is accepted has a canonical form that is a schema with the same form, and can be read
 * by what it writes. The mutator changes the tree of the JSON.
 * About: bus/codec/schema.c bus/codec/schema_type.c bus/codec/schema_name.c bus/codec/schema_logical.c bus/codec/canonical.c */
#include "codec/compatibility.h"
#include "codec/plan.h"
#include "codec/schema.h"
#include "fuzz/fuzz.h"
#include "support/grammar.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bui_schema *schema, *again;
    bui_plan *plan;
    bus_error err = { 0 };
    if (size > 16384)
        return 0;
    bus_status status = bui_schema_parse((const char *)data, size, &schema, &err);
    must(status == BUS_OK || (err.status == status && err.text[0]));
    if (status != BUS_OK)
        return 0;
    const char *canonical = bui_schema_canonical(schema);
    must(bui_schema_parse(canonical, strlen(canonical), &again, &err) == BUS_OK &&
         strcmp(bui_schema_canonical(again), canonical) == 0);
    must(bui_schema_fingerprint(again) == bui_schema_fingerprint(schema));
    status = bui_compatible_read(schema, schema, &err);
    must(status == BUS_OK || status == BUS_TOO_BIG);
    status = bui_plan_check(schema, &plan, &err);
    must(status == BUS_OK || status == BUS_TOO_BIG);
    if (status == BUS_OK) {
        (void)bui_plan_decode(plan, data, size, 0, NULL, NULL, &err);
        bui_plan_free(plan);
    }
    bui_schema_free(again);
    bui_schema_free(schema);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    grammar g;
    bui_buf out, rest;
    grammar_seed(&g, seed);
    bui_buf_init(&out, 0);
    bui_buf_init(&rest, 0);
    uint32_t what = grammar_draw(&g, 10);
    if (what == 0)
        grammar_pair(&g, &rest, &out);
    else if (what < 8)
        (void)grammar_change(&g, (const char *)data, size, &out);
    if (out.len > 0 && out.len <= most) {
        memcpy(data, out.data, out.len);
        size = out.len;
    } else {
        size = LLVMFuzzerMutate(data, size, most);
    }
    bui_buf_free(&out);
    bui_buf_free(&rest);
    return size;
}
