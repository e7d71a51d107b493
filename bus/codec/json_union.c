/* SPDX-License-Identifier: MIT
 * JSON union: which branch of a union a JSON value is, wrapped as {"branch": value} or not. */
#include "codec/json_reader.h"

#include <stdio.h>
#include <string.h>

/* Whether the value can be read as this branch; leaves no trace but the steps and what it has learnt. */
static bool would_fit(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    static const char yes, no;
    const struct { const void *node, *json; } key = { node, json };
    const void *known = bus_map_get(r->fits, &key, sizeof key);
    if (known)
        return known == &yes;
    bus_json_reader attempt = *r;
    attempt.out = NULL;
    attempt.trying = true;
    bool fit = bus_json_reader_value(&attempt, node, json);
    r->steps = attempt.steps;
    if (attempt.fault.status == BUS_NOMEM || !bus_map_put(r->fits, &key, sizeof key, (void *)(uintptr_t)(fit ? &yes : &no)))
        return bus_fault_nomem(&r->fault);
    return fit;
}

/* The branch of a plain value: the only one of the best fitness, objects being tried out. -1: none, -2: several. */
static int plain_branch(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    int best = 0, found = -1;
    size_t objects = 0;
    for (size_t i = 0; r->preset && i < node->count; i++) /* a default is never wrapped: the first branch that takes it */
        if (bus_json_fitness(r, node->fields[i].type, json) > 0 && would_fit(r, node->fields[i].type, json))
            return (int)i;
    for (size_t i = 0; i < node->count && json_is_object(json); i++)
        objects += bus_json_fitness(r, node->fields[i].type, json) > 0;
    for (size_t i = 0; i < node->count; i++) {
        const bus_node *branch = node->fields[i].type;
        int fit = bus_json_fitness(r, branch, json);
        if (fit == 0 || fit < best || (objects > 1 && !would_fit(r, branch, json)))
            continue;
        found = fit > best ? (int)i : -2;
        best = fit;
    }
    return found;
}

/* The branch that {"name": value} names, if it is one; else -1. *named: the branch of that name, though the value does not fit it. */
static int wrapped_branch(bus_json_reader *r, const bus_node *node, const json_t *json, const json_t **inner, int *named)
{
    if (r->preset || json_object_size(json) != 1)
        return -1;
    void *at = json_object_iter((json_t *)(uintptr_t)json);
    const char *name = json_object_iter_key(at);
    bool rivals = false;
    int found = -1;
    for (size_t i = 0; i < node->count; i++) {
        const bus_node *branch = node->fields[i].type;
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

/* ---- what was wrong */

/* Why it is no value of that branch, with the way there; false: it is one. Its steps count: reasons may hold reasons. */
static bool reason(bus_json_reader *r, const bus_node *branch, const json_t *json, bus_fault *why)
{
    bus_json_reader attempt = *r;
    attempt.out = NULL;
    bool fits = bus_json_reader_value(&attempt, branch, json);
    r->steps = attempt.steps;
    *why = attempt.fault;
    return !fits;
}

/* A value that is near one branch alone was meant as that; near several, each says why it is not it. */
static bool refuse(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    size_t near = 0, len = 0, meant = node->count;
    char all[sizeof r->fault.text] = "";
    bus_fault why;
    for (size_t i = 0; !r->trying && i < node->count; i++)
        if (bus_json_near(node->fields[i].type, json)) {
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
        const bus_node *branch = node->fields[i].type;
        if (near == 0)
            len += (size_t)snprintf(all + len, sizeof all - len, "%s %s", i > 0 ? "," : ":", branch->name);
        else if (bus_json_near(branch, json) && reason(r, branch, json, &why))
            len += (size_t)snprintf(all + len, sizeof all - len, "; %s%s: %s", branch->name, why.path + why.start, why.text);
    }
    return bus_fault_set(&r->fault, BUS_INVALID, "%s that fits none of the union's %zu branches%s", bus_json_kind(json), node->count, all);
}

bool bus_json_reader_union(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    const json_t *inner = NULL;
    int named = -1, branch = wrapped_branch(r, node, json, &inner, &named), plain = branch < 0 ? plain_branch(r, node, json) : branch;
    if (branch < 0 && (plain >= 0 || named < 0))
        inner = json;
    if (r->fault.status != BUS_OK) /* no memory to try the branches */
        return false;
    branch = plain == -1 && named >= 0 ? named : plain; /* a wrapper whose value fits nothing was meant as one */
    if (branch == -2)
        return bus_fault_set(&r->fault, BUS_INVALID, "%s that fits several branches of the union: write {\"<branch>\": value}",
                             bus_json_kind(json));
    if (branch < 0)
        return refuse(r, node, json);
    return bus_json_put_long(r, branch) && bus_json_reader_value(r, node->fields[branch].type, inner);
}
