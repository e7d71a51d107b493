/* SPDX-License-Identifier: MIT
 * JSON reader: a JSON value into Avro bytes: records, containers, and which branch of a union it is, wrapped as {"branch": value} or
 * not. */
#include "codec/json_reader.h"

#include "codec/reader.h"

#include <stdio.h>
#include <string.h>

bool bui_json_enter(bui_json_reader *r)
{
    if (++r->depth > BUI_DEPTH_MAX)
        return bui_fault_set(&r->fault, BUS_INVALID, "nested deeper than %d", BUI_DEPTH_MAX);
    return true;
}

/* Says which member of the object the schema does not know. */
static bool unknown_member(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < node->count && !known; i++)
            known = strcmp(node->fields[i].name, name) == 0;
        if (!known)
            return bui_fault_set(&r->fault, BUS_INVALID, "%s has no field \"%.60s\"", node->name, name);
    }
    return true;
}

static bool read_field(bui_json_reader *r, const bui_node_field *field, const json_t *value)
{
    bool in_default = r->in_default;
    if (!value && !field->default_value)
        return bui_fault_set(&r->fault, BUS_INVALID, "the field is missing and has no default");
    r->in_default = in_default || !value;
    if (!bui_json_reader_value(r, field->type, value ? value : field->default_value))
        return false;
    r->in_default = in_default;
    return true;
}

static bool read_record(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    size_t given = 0;
    if (!json_is_object(json))
        return bui_json_unfit(r, node, json);
    if (!bui_json_enter(r))
        return false;
    for (size_t i = 0; i < node->count; i++) {
        const json_t *value = json_object_get(json, node->fields[i].name);
        given += value != NULL;
        if (!read_field(r, &node->fields[i], value))
            return bui_fault_field(&r->fault, node->fields[i].name);
    }
    r->depth--;
    return given == json_object_size(json) || unknown_member(r, node, json);
}

static bool read_array(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    size_t count = json_array_size(json);
    if (!json_is_array(json))
        return bui_json_unfit(r, node, json);
    if (node->item->least == 0 && count > BUI_NOTHING_MAX - r->nothing)
        return bui_fault_set(&r->fault, BUS_INVALID, "%zu items that take no bytes; a message may hold %d", count,
                             BUI_NOTHING_MAX);
    r->nothing += node->item->least == 0 ? count : 0;
    if (!bui_json_enter(r) || (count > 0 && !bui_json_put_long(r, (int64_t)count)))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!bui_json_reader_value(r, node->item, json_array_get(json, i)))
            return bui_fault_index(&r->fault, i);
    r->depth--;
    return bui_json_put_long(r, 0);
}

static bool read_map(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    size_t count = json_object_size(json), i = 0;
    if (!json_is_object(json))
        return bui_json_unfit(r, node, json);
    if (!bui_json_enter(r) || (count > 0 && !bui_json_put_long(r, (int64_t)count)))
        return false;
    /* jansson keeps the order in which the members were written. */
    json_t *object = (json_t *)(uintptr_t)json;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at), i++) {
        const char *key = json_object_iter_key(at);
        size_t len = json_object_iter_key_len(at);
        if (!bui_json_put_long(r, (int64_t)len) || !bui_json_put(r, key, len) ||
            !bui_json_reader_value(r, node->item, json_object_iter_value(at)))
            return bui_fault_index(&r->fault, i);
    }
    r->depth--;
    return bui_json_put_long(r, 0);
}

/* ---- unions */

/* Whether the value can be read as this branch; leaves no trace but the steps and what it has learnt. */
static bool would_fit(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    static const char yes, no;
    const struct {
        const void *node, *json;
    } key = { node, json };
    const void *known = bui_map_get(r->fits, &key, sizeof key);
    if (known)
        return known == &yes;
    bui_json_reader attempt = *r;
    attempt.out = NULL;
    attempt.trying = true;
    bool fit = bui_json_reader_value(&attempt, node, json);
    r->steps = attempt.steps;
    if (attempt.fault.status == BUS_NOMEM || !bui_map_put(r->fits, &key, sizeof key, (void *)(uintptr_t)(fit ? &yes : &no)))
        return bui_fault_nomem(&r->fault);
    return fit;
}

/* The branch of a plain value: the only one of the best fitness, objects being tried out. -1: none, -2: several. */
static int plain_branch(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    int best = 0, found = -1;
    size_t objects = 0;
    for (size_t i = 0; r->in_default && i < node->count; i++) /* a default is never wrapped: the first branch that takes it */
        if (bui_json_fitness(r, node->fields[i].type, json) > 0 && would_fit(r, node->fields[i].type, json))
            return (int)i;
    for (size_t i = 0; i < node->count && json_is_object(json); i++)
        objects += bui_json_fitness(r, node->fields[i].type, json) > 0;
    for (size_t i = 0; i < node->count; i++) {
        const bui_node *branch = node->fields[i].type;
        int fit = bui_json_fitness(r, branch, json);
        if (fit == 0 || fit < best || (objects > 1 && !would_fit(r, branch, json)))
            continue;
        found = fit > best ? (int)i : -2;
        best = fit;
    }
    return found;
}

/* The branch that {"name": value} names, if it is one; else -1. *named: the branch of that name, though the value does not fit it. */
static int wrapped_branch(bui_json_reader *r, const bui_node *node, const json_t *json, const json_t **inner, int *named)
{
    if (r->in_default || json_object_size(json) != 1)
        return -1;
    void *at = json_object_iter((json_t *)(uintptr_t)json);
    const char *name = json_object_iter_key(at);
    bool rivals = false;
    int found = -1;
    for (size_t i = 0; i < node->count; i++) {
        const bui_node *branch = node->fields[i].type;
        if (strcmp(branch->name, name) == 0 && branch->kind != BUS_KIND_NULL)
            found = (int)i;
        rivals = rivals || branch->kind == BUS_KIND_RECORD || branch->kind == BUS_KIND_MAP;
    }
    *inner = json_object_iter_value(at);
    *named = found;
    /* A plain record or map may happen to look like a wrapper: then only if what is inside fits as well. */
    if (found >= 0 && rivals && !would_fit(r, node->fields[found].type, *inner))
        return -1;
    return found;
}

/* ---- what was wrong with a union */

/* Why it is no value of that branch, with the way there; false: it is one. Its steps count: reasons may hold reasons. */
static bool reason(bui_json_reader *r, const bui_node *branch, const json_t *json, bui_fault *why)
{
    bui_json_reader attempt = *r;
    attempt.out = NULL;
    bool fits = bui_json_reader_value(&attempt, branch, json);
    r->steps = attempt.steps;
    *why = attempt.fault;
    return !fits;
}

/* A value that is near one branch alone was meant as that; near several, each says why it is not it. */
static bool refuse(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    size_t near = 0, len = 0, meant = node->count;
    char all[sizeof r->fault.text] = "";
    bui_fault why;
    for (size_t i = 0; !r->trying && i < node->count; i++)
        if (bui_json_near(node->fields[i].type, json)) {
            near++;
            meant = i;
        }
    for (size_t i = 0; !r->trying && near == 0 && node->count <= 2 && i < node->count; i++) /* ["null", T]: it must be T */
        if (node->fields[i].type->kind != BUS_KIND_NULL)
            meant = i;
    if (near < 2 && meant < node->count && reason(r, node->fields[meant].type, json, &why)) {
        r->fault = why;
        return false;
    }
    for (size_t i = 0; !r->trying && i < node->count && len < sizeof all; i++) {
        const bui_node *branch = node->fields[i].type;
        if (near == 0)
            len += (size_t)snprintf(all + len, sizeof all - len, "%s %s", i > 0 ? "," : ":", branch->name);
        else if (bui_json_near(branch, json) && reason(r, branch, json, &why))
            len += (size_t)snprintf(all + len, sizeof all - len, "; %s%s: %s", branch->name, why.path + why.start, why.text);
    }
    return bui_fault_set(&r->fault, BUS_INVALID, "%s that fits none of the union's %zu branches%s", bui_json_kind(json),
                         node->count, all);
}

static bool read_union(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    const json_t *inner = NULL;
    int named = -1, branch = wrapped_branch(r, node, json, &inner, &named),
        plain = branch < 0 ? plain_branch(r, node, json) : branch;
    if (branch < 0 && (plain >= 0 || named < 0))
        inner = json;
    if (r->fault.status != BUS_OK) /* no memory to try the branches */
        return false;
    branch = plain == -1 && named >= 0 ? named : plain; /* a wrapper whose value fits nothing was meant as one */
    if (branch == -2)
        return bui_fault_set(&r->fault, BUS_INVALID, "%s that fits several branches of the union: write {\"<branch>\": value}",
                             bui_json_kind(json));
    if (branch < 0)
        return refuse(r, node, json);
    return bui_json_put_long(r, branch) && bui_json_reader_value(r, node->fields[branch].type, inner);
}

/* ---- any value */

bool bui_json_reader_value(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    if (++r->steps > r->steps_max)
        return bui_fault_set(&r->fault, BUS_TOO_BIG, "more than %zu values", r->steps_max);
    switch (node->kind) {
    case BUS_KIND_RECORD: return read_record(r, node, json);
    case BUS_KIND_ARRAY: return read_array(r, node, json);
    case BUS_KIND_MAP: return read_map(r, node, json);
    case BUS_KIND_UNION: return read_union(r, node, json);
    default: return bui_json_reader_scalar(r, node, json);
    }
}
