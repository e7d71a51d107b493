/* SPDX-License-Identifier: MIT
 * Shapes: descriptors made at run time from any schema. */
#include "support/shapes.h"

#include "base/map.h"

#include <stdalign.h>
#include <string.h>

#define SIZE_MOST (1u << 20) /* so that no sum overflows */

typedef struct built {
    bus_shape shape;
    uint32_t align;
    bool sized;
} built;
typedef struct builder {
    bui_arena *arena;
    bui_map named;
} builder;

static built *build(builder *b, const bui_node *node);

static uint32_t up(uint32_t at, uint32_t align)
{
    return (at + align - 1) / align * align;
}

static void scalar(built *out, bus_kind kind, size_t size, size_t align)
{
    out->shape.kind = kind;
    out->shape.size = (uint32_t)size;
    out->align = (uint32_t)align;
    out->sized = true;
}

static bool build_logical(built *out, const bui_node *node)
{
    if (node->logical == BUS_LOGICAL_UUID)
        scalar(out, BUS_KIND_UUID, sizeof(bus_uuid), alignof(bus_uuid));
    else if (node->logical == BUS_LOGICAL_DURATION)
        scalar(out, BUS_KIND_DURATION, sizeof(bus_duration), alignof(bus_duration));
    else if (node->logical == BUS_LOGICAL_DECIMAL && node->precision <= 18)
        scalar(out, BUS_KIND_DECIMAL, sizeof(bus_decimal), alignof(bus_decimal));
    else
        return false;
    out->shape.precision = node->precision;
    out->shape.scale = node->scale;
    return true;
}

static built *pointer_to(builder *b, built *record, int32_t null_branch)
{
    built *out = bui_arena_zero(b->arena, sizeof *out);
    if (!out)
        return NULL;
    scalar(out, BUS_KIND_POINTER, sizeof(void *), alignof(void *));
    out->shape.wire = null_branch < 0 ? BUS_KIND_RECORD : BUS_KIND_UNION;
    out->shape.least = null_branch < 0 ? record->shape.least : 1;
    out->shape.null_branch = null_branch;
    out->shape.item = &record->shape;
    return out;
}

static built *build_optional(builder *b, built *out, const bui_node *node, int32_t null_branch)
{
    built *item = build(b, node->fields[1 - null_branch].type);
    if (!item)
        return NULL;
    if (item->shape.kind == BUS_KIND_RECORD)
        return pointer_to(b, item, null_branch);
    uint32_t at = up(sizeof(bool), item->align);
    scalar(out, BUS_KIND_OPTIONAL, up(at + item->shape.size, item->align), item->align);
    out->shape.offset = at;
    out->shape.null_branch = null_branch;
    out->shape.item = &item->shape;
    return out;
}

static built *build_union(builder *b, built *out, const bui_node *node)
{
    for (int32_t i = 0; node->count == 2 && i < 2; i++)
        if (node->fields[i].type->kind == BUS_KIND_NULL)
            return build_optional(b, out, node, i);
    bus_field *fields = bui_arena_zero(b->arena, node->count * sizeof *fields);
    uint32_t align = alignof(uint32_t), size = 1;
    for (size_t i = 0; i < node->count; i++) {
        built *branch = build(b, node->fields[i].type);
        if (branch && branch->shape.kind == BUS_KIND_RECORD)
            branch = pointer_to(b, branch, -1);
        if (!branch || !fields)
            return NULL;
        fields[i] = (bus_field){ node->fields[i].type->name, &branch->shape, 0 };
        align = branch->align > align ? branch->align : align;
        size = branch->shape.size > size ? branch->shape.size : size;
    }
    for (size_t i = 0; i < node->count; i++)
        fields[i].offset = up(sizeof(uint32_t), align);
    scalar(out, BUS_KIND_UNION, up(up(sizeof(uint32_t), align) + size, align), align);
    out->shape.fields = fields;
    return node->count > 0 ? out : NULL;
}

static built *build_container(builder *b, built *out, const bui_node *node)
{
    built *item = build(b, node->item);
    if (!item)
        return NULL;
    scalar(out, node->kind, sizeof(bus_string), alignof(bus_string));
    out->shape.item = &item->shape;
    /* The item of a recursive type may not have its size yet: see finish. */
    return out;
}

static built *build_record(builder *b, built *out, const bui_node *node)
{
    bus_field *fields = bui_arena_zero(b->arena, (node->count + 1) * sizeof *fields);
    uint32_t at = 0, align = 1;
    for (size_t i = 0; i < node->count; i++) {
        built *part = build(b, node->fields[i].type);
        if (!part || !fields)
            return NULL;
        at = up(at, part->align);
        fields[i] = (bus_field){ node->fields[i].name, &part->shape, at };
        at += part->shape.size;
        if (at > SIZE_MOST)
            return NULL;
        align = part->align > align ? part->align : align;
    }
    scalar(out, BUS_KIND_RECORD, up(at ? at : 1, align), align);
    out->shape.fields = fields;
    return out;
}

static built *build(builder *b, const bui_node *node)
{
    bool has_name = node->kind == BUS_KIND_RECORD || node->kind == BUS_KIND_ENUM || node->kind == BUS_KIND_FIXED;
    built *out = has_name ? bui_map_get(&b->named, node->name, strlen(node->name)) : NULL;
    if (out)
        return out;
    out = bui_arena_zero(b->arena, sizeof *out);
    if (!out || (has_name && !bui_map_put(&b->named, node->name, strlen(node->name), out)))
        return NULL;
    out->shape = (bus_shape){ .kind = node->kind,
                              .wire = node->kind,
                              .logical = node->logical,
                              .least = node->least,
                              .count = (uint32_t)node->count,
                              .name = has_name ? node->name : NULL,
                              .symbols = node->symbols };
    if (build_logical(out, node))
        return out;
    switch (node->kind) {
    case BUS_KIND_NULL: scalar(out, node->kind, sizeof(bus_null), alignof(bus_null)); break;
    case BUS_KIND_BOOLEAN: scalar(out, node->kind, sizeof(bool), alignof(bool)); break;
    case BUS_KIND_INT: scalar(out, node->kind, sizeof(int32_t), alignof(int32_t)); break;
    case BUS_KIND_LONG: scalar(out, node->kind, sizeof(int64_t), alignof(int64_t)); break;
    case BUS_KIND_FLOAT: scalar(out, node->kind, sizeof(float), alignof(float)); break;
    case BUS_KIND_DOUBLE: scalar(out, node->kind, sizeof(double), alignof(double)); break;
    case BUS_KIND_BYTES:
    case BUS_KIND_STRING: scalar(out, node->kind, sizeof(bus_string), alignof(bus_string)); break;
    case BUS_KIND_ENUM: scalar(out, node->kind, sizeof(int), alignof(int)); return node->count > 0 ? out : NULL;
    case BUS_KIND_FIXED: scalar(out, node->kind, node->count, 1); return node->count > 0 && node->count <= SIZE_MOST ? out : NULL;
    case BUS_KIND_RECORD: return build_record(b, out, node);
    case BUS_KIND_UNION: return build_union(b, out, node);
    default: return build_container(b, out, node);
    }
    return out;
}

/* Strides, now that every type has its size. Each shape is visited once: a stride is never 0 after. */
static void finish(const bus_shape *found)
{
    built *out = (built *)(uintptr_t)found;
    bus_shape *shape = &out->shape;
    if (shape->kind == BUS_KIND_ARRAY || shape->kind == BUS_KIND_MAP) {
        const built *item = (const built *)(const void *)shape->item;
        if (shape->stride)
            return;
        shape->offset = shape->kind == BUS_KIND_MAP ? up(sizeof(bus_string), item->align) : 0;
        uint32_t align = shape->kind == BUS_KIND_MAP && item->align < alignof(bus_string) ? alignof(bus_string) : item->align;
        shape->stride = up(shape->offset + item->shape.size, align);
        finish(shape->item);
    } else if (shape->item && shape->precision == 0) {
        shape->precision = -1; /* visited; optional and pointer do not use it */
        finish(shape->item);
    } else if (shape->fields && shape->precision == 0) {
        shape->precision = -1;
        for (uint32_t i = 0; i < shape->count; i++)
            finish(shape->fields[i].shape);
    }
}

const bus_shape *test_shape_of(const bui_node *node, bui_arena *arena)
{
    builder b = { .arena = arena };
    bui_map_init(&b.named);
    built *out = build(&b, node);
    bui_map_free(&b.named, NULL);
    if (!out)
        return NULL;
    finish(&out->shape);
    return &out->shape;
}
