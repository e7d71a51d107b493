/* SPDX-License-Identifier: MIT
 * Grammar: schemas by writing both texts side by side, bodies by walking down a schema, JSON by moving parts of its tree. */
#include "support/grammar.h"

#include "codec/varint.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void grammar_seed(grammar *g, uint64_t seed)
{
    *g = (grammar){ .state = seed * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u };
}

uint32_t grammar_draw(grammar *g, uint32_t below)
{
    g->state ^= g->state << 13;
    g->state ^= g->state >> 7;
    g->state ^= g->state << 17;
    return (uint32_t)((g->state >> 11) % below);
}

/* ---- pairs of schemas: `w` as the writer has it, `r` as the reader has it */

static void draw_type(grammar *g, bui_buf *w, bui_buf *r, int depth, bool in_union);

static void both(bui_buf *w, bui_buf *r, const char *text)
{
    bui_buf_text(w, text);
    bui_buf_text(r, text);
}

#define LOGICAL(type, name) "{\"type\":\"" type "\",\"logicalType\":\"" name "\"}"
#define DECIMAL "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}"

static void draw_scalar(grammar *g, bui_buf *w, bui_buf *r)
{
    static const char *const pairs[][2] = {
        { "\"int\"", "\"int\"" },
        { "\"int\"", "\"long\"" },
        { "\"int\"", "\"double\"" },
        { "\"int\"", "\"float\"" },
        { "\"long\"", "\"float\"" },
        { "\"long\"", "\"double\"" },
        { "\"long\"", "\"long\"" },
        { "\"float\"", "\"double\"" },
        { "\"float\"", "\"float\"" },
        { "\"double\"", "\"double\"" },
        { "\"string\"", "\"bytes\"" },
        { "\"bytes\"", "\"string\"" },
        { "\"bytes\"", "\"bytes\"" },
        { "\"boolean\"", "\"boolean\"" },
        { "\"null\"", "\"null\"" },
        { "\"string\"", "\"string\"" },
        { "\"long\"", LOGICAL("long", "timestamp-millis") },
        { "\"bytes\"", DECIMAL },
        { DECIMAL, DECIMAL },
        { "\"string\"", DECIMAL },
        { "\"string\"", LOGICAL("string", "uuid") },
        { LOGICAL("int", "date"), LOGICAL("int", "date") },
        { "\"int\"", "[\"null\",\"long\"]" },
        { "[\"null\",\"int\"]", "[\"double\",\"null\"]" },
        { "[\"int\",\"string\"]", "\"bytes\"" },
        { "[\"null\",\"string\"]", "[\"null\",\"string\"]" },
        { "[\"null\",\"int\",\"bytes\"]", "[\"string\",\"null\",\"int\"]" },
        { "\"int\"", "\"string\"" },
    };
    uint32_t i = grammar_draw(g, sizeof pairs / sizeof *pairs);
    bui_buf_text(w, pairs[i][0]);
    bui_buf_text(r, pairs[i][1]);
}

/* A field that only the reader has. */
static void put_fresh(grammar *g, int name, bui_buf *r)
{
    bui_buf_text(r, "{\"name\":\"fresh\",\"type\":");
    switch (grammar_draw(g, 4)) {
    case 0: bui_buf_printf(r, "[\"null\",{\"type\":\"array\",\"items\":\"R%d\"}],\"default\":null}", name); break;
    case 1: bui_buf_printf(r, "{\"type\":\"map\",\"values\":\"R%d\"},\"default\":{}}", name); break;
    case 2: bui_buf_printf(r, "{\"type\":\"array\",\"items\":[\"int\",\"R%d\"]},\"default\":[1,2]}", name); break;
    default: bui_buf_printf(r, "[\"string\",\"R%d\"],\"default\":\"\"}", name); break;
    }
}

static void draw_record(grammar *g, bui_buf *w, bui_buf *r, int depth)
{
    bui_buf dropped;
    int name = g->names++;
    bui_buf_printf(w, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[", name);
    bui_buf_printf(r, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[", name);
    put_fresh(g, name, r);
    bui_buf_init(&dropped, 0);
    for (uint32_t i = 0, fields = 1 + grammar_draw(g, 5); i < fields; i++) {
        bui_buf *to = grammar_draw(g, 4) == 0 ? &dropped : r;
        bool renamed = grammar_draw(g, 4) == 0;
        bui_buf_printf(w, "%s{\"name\":\"f%u\",\"type\":", i > 0 ? "," : "", i);
        bui_buf_printf(to, ",{\"name\":\"%s%u\",", renamed ? "g" : "f", i);
        if (renamed)
            bui_buf_printf(to, "\"aliases\":[\"f%u\"],", i);
        bui_buf_text(to, "\"type\":");
        if (grammar_draw(g, 6) == 0 && depth < 3) { /* the record itself, further down */
            bui_buf_printf(w, "[\"null\",\"R%d\"]", name);
            bui_buf_printf(to, "[\"null\",\"R%d\"]", name);
        } else {
            draw_type(g, w, to, depth - 1, false);
        }
        both(w, to, "}");
        bui_buf_clear(&dropped);
    }
    bui_buf_free(&dropped);
    both(w, r, "]}");
}

static void draw_type(grammar *g, bui_buf *w, bui_buf *r, int depth, bool in_union)
{
    switch (depth <= 0 ? 9 : grammar_draw(g, 10)) {
    case 0:
    case 1: draw_record(g, w, r, depth); break;
    case 2:
        both(w, r, "{\"type\":\"array\",\"items\":");
        draw_type(g, w, r, depth - 1, false);
        both(w, r, "}");
        break;
    case 3:
        both(w, r, "{\"type\":\"map\",\"values\":");
        draw_type(g, w, r, depth - 1, false);
        both(w, r, "}");
        break;
    case 4:
        bui_buf_printf(w, "{\"type\":\"enum\",\"name\":\"E%d\",\"symbols\":[\"A\",\"B\",\"C\"]}", g->names);
        bui_buf_printf(r, "{\"type\":\"enum\",\"name\":\"E%d\",\"symbols\":[\"C\",\"A\"]%s}", g->names++,
                       grammar_draw(g, 2) ? ",\"default\":\"A\"" : "");
        break;
    case 5:
        bui_buf_printf(w, "{\"type\":\"fixed\",\"name\":\"F%d\",\"size\":12}", g->names);
        bui_buf_printf(r, "{\"type\":\"fixed\",\"name\":\"G%d\",\"aliases\":[\"F%d\"],\"size\":12%s}", g->names, g->names,
                       grammar_draw(g, 2) ? ",\"logicalType\":\"duration\"" : "");
        g->names++;
        break;
    case 6:
        if (!in_union) {
            bui_buf_text(w, "[\"null\",\"boolean\",");
            bui_buf_text(r, grammar_draw(g, 2) ? "[\"boolean\"," : "[\"null\",\"string\",\"boolean\",");
            draw_record(g, w, r, depth - 1);
            both(w, r, "]");
            break;
        }
        /* fall through */
    default: draw_scalar(g, w, r); break;
    }
}

void grammar_pair(grammar *g, bui_buf *writer, bui_buf *reader)
{
    g->names = 0;
    draw_record(g, writer, reader, 3);
}

/* ---- bodies */

#define DEEP 12 /* from here on everything is as small as it can be */
#define DEEPEST 60

static void put_long(bui_buf *out, int64_t value)
{
    uint8_t bytes[BUI_VARINT_MAX];
    bui_buf_add(out, bytes, (size_t)(bui_varint_write(bytes, value) - bytes));
}

static int64_t draw_long(grammar *g, bool narrow)
{
    int64_t value = (int64_t)((uint64_t)grammar_draw(g, UINT32_MAX) << 32 | grammar_draw(g, UINT32_MAX));
    value >>= grammar_draw(g, 64);
    return narrow ? (int32_t)value : value;
}

static void put_text(grammar *g, const bui_node *node, bui_buf *out)
{
    static const char *const texts[] = { "",
                                         "a",
                                         "key",
                                         "h\xc3\xa9llo",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80 seven bytes and some more to fill a word",
                                         "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55",
                                         "0123456789012345678901234567890123456789012345678901234567890123456789" };
    const char *text = texts[node->logical == BUS_LOGICAL_UUID ? 6 : grammar_draw(g, sizeof texts / sizeof *texts)];
    put_long(out, (int64_t)strlen(text));
    bui_buf_text(out, text);
}

static void put_bytes(grammar *g, size_t len, bui_buf *out)
{
    while (len-- > 0)
        bui_buf_byte(out, (uint8_t)grammar_draw(g, 256));
}

static bool put_value(grammar *g, const bui_node *node, bui_buf *out, int depth);

static bool put_items(grammar *g, const bui_node *node, uint32_t count, bui_buf *out, int depth)
{
    static const bui_node text = { .kind = BUS_KIND_STRING };
    for (uint32_t i = 0; i < count; i++) {
        if (node->kind == BUS_KIND_MAP)
            put_text(g, &text, out);
        if (!put_value(g, node->item, out, depth + 1))
            return false;
    }
    return true;
}

/* Each block with or without its size. */
static bool put_blocks(grammar *g, const bui_node *node, bui_buf *out, int depth)
{
    for (uint32_t blocks = depth < DEEP ? grammar_draw(g, 3) : 0; blocks > 0; blocks--) {
        uint32_t count = 1 + grammar_draw(g, 3);
        bui_buf items;
        bui_buf_init(&items, 0);
        bool ok = put_items(g, node, count, &items, depth), sized = grammar_draw(g, 3) == 0;
        put_long(out, sized ? -(int64_t)count : (int64_t)count);
        if (sized)
            put_long(out, (int64_t)items.len);
        if (items.len > 0)
            bui_buf_add(out, items.data, items.len);
        bui_buf_free(&items);
        if (!ok)
            return false;
    }
    put_long(out, 0);
    return true;
}

static bool put_union(grammar *g, const bui_node *node, bui_buf *out, int depth)
{
    if (node->count == 0)
        return false;
    uint32_t branch = grammar_draw(g, (uint32_t)node->count);
    for (uint32_t i = 0; depth >= DEEP && i < node->count; i++)
        if (node->fields[i].type->kind != BUS_KIND_RECORD)
            branch = i;
    put_long(out, branch);
    return put_value(g, node->fields[branch].type, out, depth + 1);
}

static bool put_value(grammar *g, const bui_node *node, bui_buf *out, int depth)
{
    if (depth > DEEPEST || out->len > 4096)
        return false;
    switch (node->kind) {
    case BUS_KIND_NULL: return true;
    case BUS_KIND_BOOLEAN: bui_buf_byte(out, (uint8_t)grammar_draw(g, 2)); return true;
    case BUS_KIND_INT:
    case BUS_KIND_LONG: put_long(out, draw_long(g, node->kind == BUS_KIND_INT)); return true;
    case BUS_KIND_FLOAT: put_bytes(g, 4, out); return true;
    case BUS_KIND_DOUBLE: put_bytes(g, 8, out); return true;
    case BUS_KIND_STRING: put_text(g, node, out); return true;
    case BUS_KIND_BYTES: {
        uint32_t len = grammar_draw(g, node->logical == BUS_LOGICAL_DECIMAL ? 4 : 20);
        put_long(out, len);
        put_bytes(g, len, out);
        return true;
    }
    case BUS_KIND_FIXED: put_bytes(g, node->count < 4096 ? node->count : 4096, out); return node->count < 4096;
    case BUS_KIND_ENUM:
        if (node->count > 0)
            put_long(out, grammar_draw(g, (uint32_t)node->count));
        return node->count > 0;
    case BUS_KIND_RECORD:
        for (size_t i = 0; i < node->count; i++)
            if (!put_value(g, node->fields[i].type, out, depth + 1))
                return false;
        return true;
    case BUS_KIND_UNION: return put_union(g, node, out, depth);
    default: return put_blocks(g, node, out, depth);
    }
}

bool grammar_body(grammar *g, const bui_node *node, bui_buf *out)
{
    return put_value(g, node, out, 0);
}

/* ---- JSON */

#define PLACES 256

typedef struct place {
    json_t *parent;
    size_t index;
    const char *key;
    json_t *value;
} place;
typedef struct places {
    place at[PLACES];
    size_t count;
} places;

static void collect(places *all, json_t *parent)
{
    const char *key;
    json_t *value;
    size_t i;
    json_array_foreach(parent, i, value)
    {
        if (all->count == PLACES)
            return;
        all->at[all->count++] = (place){ parent, i, NULL, value };
        collect(all, value);
    }
    json_object_foreach(parent, key, value)
    {
        if (all->count == PLACES)
            return;
        all->at[all->count++] = (place){ parent, 0, key, value };
        collect(all, value);
    }
}

static json_t *draw_json(grammar *g)
{
    static const char *const texts[] = {
        "null",
        "boolean",
        "int",
        "long",
        "float",
        "double",
        "bytes",
        "string",
        "record",
        "enum",
        "fixed",
        "array",
        "map",
        "error",
        "",
        "A",
        "R0",
        "decimal",
        "uuid",
        "date",
        "time-millis",
        "time-micros",
        "timestamp-millis",
        "timestamp-micros",
        "local-timestamp-millis",
        "local-timestamp-micros",
        "duration",
        "NaN",
        "-Infinity",
        "\xc3\xbf\xc2\x80",
        "\xe2\x82\xac",
        "2026-11-21",
        "13:07:59.042",
        "2026-11-21T13:07:59.042Z",
        "2026-02-30T24:00:60.1234567+01:00",
        "-12.50",
        "0.001",
        "99999999999999999999.99",
        "P1M2DT0.003S",
        "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55",
        "x.y",
        "a-b",
        "_9",
        "ab",
    };
    static const char *const parts[] = {
        "{\"type\":\"fixed\",\"name\":\"N\",\"size\":16}",
        "{\"type\":\"enum\",\"name\":\"n.N\",\"symbols\":[\"A\",\"B\"],\"default\":\"B\"}",
        "{\"type\":\"record\",\"name\":\"N\",\"namespace\":\"n\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\",\"N\"],\"default\":null}]}",
        "[]",
        "{}",
        "[\"null\",\"string\"]",
        "{\"type\":\"map\",\"values\":\"long\"}",
    };
    switch (grammar_draw(g, 8)) {
    case 0: return json_integer(draw_long(g, false));
    case 1: return json_integer((int64_t)grammar_draw(g, 40) - 2);
    case 2: return json_real((double)draw_long(g, false) / 1e6);
    case 3: return grammar_draw(g, 3) ? json_boolean((int)grammar_draw(g, 2)) : json_null();
    case 4: return json_loads(parts[grammar_draw(g, sizeof parts / sizeof *parts)], 0, NULL);
    default: return json_string(texts[grammar_draw(g, sizeof texts / sizeof *texts)]);
    }
}

static const char *draw_key(grammar *g, const places *all)
{
    static const char *const keys[] = { "type",   "name",        "namespace", "fields",  "items",
                                        "values", "symbols",     "size",      "default", "aliases",
                                        "doc",    "logicalType", "precision", "scale",   "order",
                                        "int",    "string",      "f",         "" };
    const place *other = &all->at[grammar_draw(g, (uint32_t)all->count)];
    return other->key && grammar_draw(g, 2) ? other->key : keys[grammar_draw(g, sizeof keys / sizeof *keys)];
}

/* Takes `value`. */
static void put_at(const place *where, json_t *value)
{
    if (where->key)
        json_object_set_new(where->parent, where->key, value);
    else
        json_array_set_new(where->parent, where->index, value);
}

static void change(grammar *g, const places *all)
{
    const place *where = &all->at[grammar_draw(g, (uint32_t)all->count)],
                *other = &all->at[grammar_draw(g, (uint32_t)all->count)];
    json_t *fresh;
    switch (grammar_draw(g, 8)) {
    case 0: where->key ? json_object_del(where->parent, where->key) : json_array_remove(where->parent, where->index); break;
    case 1: put_at(where, json_deep_copy(other->value)); break;
    case 2:
        fresh = grammar_draw(g, 2) ? draw_json(g) : json_deep_copy(other->value);
        if (where->key)
            json_object_set_new(where->parent, draw_key(g, all), fresh);
        else
            json_array_insert_new(where->parent, where->index, fresh);
        break;
    case 3: put_at(where, json_pack("[s,o]", "null", json_deep_copy(where->value))); break;
    case 4: put_at(where, json_pack("{s:s,s:o}", "type", "array", "items", json_deep_copy(where->value))); break;
    case 5: put_at(where, json_pack("{s:o}", draw_key(g, all), json_deep_copy(where->value))); break;
    default: put_at(where, draw_json(g)); break;
    }
}

bool grammar_change(grammar *g, const char *text, size_t len, bui_buf *out)
{
    places all = { .count = 0 };
    json_t *whole = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!whole)
        return false;
    json_t *held = json_pack("[o]", whole); /* so that the whole can be changed too */
    collect(&all, held);
    for (uint32_t turns = 1 + grammar_draw(g, 2); turns > 0 && all.count > 0; turns--) {
        change(g, &all);
        all.count = 0;
        collect(&all, held);
    }
    char *changed = json_array_size(held) > 0 ? json_dumps(json_array_get(held, 0), JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (changed)
        bui_buf_text(out, changed);
    json_decref(held);
    free(changed);
    return changed != NULL;
}
