/* SPDX-License-Identifier: MIT
 * Name: what everything is called in C. Two schemas may differ where C cannot tell them apart ("a.b_C" and "a_b.C"): named types are
 * refused then, with both names; what the compiler makes up gives way. */
#include "codec/compiler/compiler.h"

#include <string.h>

bool compiler_is_free(const compiler *c, const char *identifier)
{
    return !compiler_word(identifier) && !bui_map_get(&c->identifiers, identifier, strlen(identifier));
}

bool compiler_take(compiler *c, const char *identifier, const char *owner)
{
    if (bui_map_put(&c->identifiers, identifier, strlen(identifier), (void *)(uintptr_t)owner))
        return true;
    bui_fail_nomem(c->err);
    return false;
}

const char *compiler_c_name(compiler *c, const char *full_name)
{
    char *name = compiler_text(c, "%s", full_name);
    for (char *at = name; at && *at; at++)
        if (*at == '.')
            *at = '_';
    return name;
}

const char *compiler_space_name(compiler *c, const char *space)
{
    const char *name = compiler_c_name(c, space);
    return name ? compiler_text(c, "%s%s", name, c->suffix) : NULL;
}

const char *compiler_type_name(compiler *c, const char *full_name)
{
    const char *simple = compiler_simple(full_name);
    if (simple == full_name)
        return compiler_c_name(c, full_name); /* without a name space: refused elsewhere */
    const char *space = compiler_text(c, "%.*s", (int)(simple - full_name) - 1, full_name);
    const char *prefix = space ? compiler_space_name(c, space) : NULL;
    return prefix ? compiler_text(c, "%s_%s", prefix, simple) : NULL;
}

/* ---- named types */

static bool claim(compiler *c, const named *type, const char *owner, const char *identifier)
{
    const char *other = identifier ? bui_map_get(&c->identifiers, identifier, strlen(identifier)) : NULL;
    char where[COMPILER_WHERE];
    if (!owner || !identifier)
        return false;
    if (!other && !compiler_word(identifier))
        return compiler_take(c, identifier, owner);
    compiler_where(type->from, type->node->json, where);
    if (other)
        bui_fail(c->err, BUS_SCHEMA, "%s: %s becomes %s in C, and so does %s: rename one", where, owner, identifier, other);
    else
        bui_fail(c->err, BUS_SCHEMA, "%s: %s becomes %s in C, which C or its headers use: rename it, or its namespace", where,
                 owner, identifier);
    return false;
}

static bool claim_named(compiler *c, const named *type)
{
    static const char *const endings[] = { "", "_type", "_of", "_defaults" };
    const bui_node *node = type->node;
    const char *name = compiler_type_name(c, node->name);
    for (size_t i = 0; i < (node->kind == BUS_KIND_RECORD ? sizeof endings / sizeof *endings : 1); i++)
        if (!name || !claim(c, type, node->name, compiler_text(c, "%s%s", name, endings[i])))
            return false;
    static const char *const of_state[] = { "_state", "_load", "_save", "_remove" };
    for (size_t i = 0; compiler_has_state(node) && i < sizeof of_state / sizeof *of_state; i++)
        if (!claim(c, type, node->name, compiler_text(c, "%s%s", name, of_state[i])))
            return false;
    for (size_t i = 0; node->kind == BUS_KIND_ENUM && i < node->count; i++)
        if (!claim(c, type, compiler_text(c, "the symbol %s of %s", node->symbols[i], node->name),
                   compiler_text(c, "%s_%s", name, node->symbols[i])))
            return false;
    return true;
}

bus_status compiler_claims(compiler *c)
{
    for (size_t i = 0; i < c->unit_count; i++)
        for (size_t j = 0; j < c->order[i]->count; j++)
            if (!claim_named(c, &c->order[i]->types[j]))
                return c->err->status;
    return BUS_OK;
}

/* ---- events */

/* Takes "order_OrderPlaced_emit" and its like with this ending: all of them, or none. */
static bool take_verbs(compiler *c, const use *event, const char *ending)
{
    static const char *const verbs[] = { "emit", "emit_with", "schedule", "schedule_with", "reply", "publication" };
    const size_t count = sizeof verbs / sizeof *verbs;
    const char *names[sizeof verbs / sizeof *verbs];
    for (size_t i = 0; i < count; i++) {
        names[i] = compiler_text(c, "%s_%s%s", event->type, verbs[i], ending);
        if (!names[i] || !compiler_is_free(c, names[i]))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!compiler_take(c, names[i], event->node->name))
            return false;
    return true;
}

bus_status compiler_name_events(compiler *c)
{
    for (size_t i = 0; i < c->unit_count; i++)
        for (size_t j = 0; j < c->order[i]->count; j++) {
            const named *type = &c->order[i]->types[j];
            const char *ending = type->event ? "" : NULL;
            while (ending && c->err->status == BUS_OK && !take_verbs(c, type->use, ending))
                ending = compiler_text(c, "%s_", ending);
            type->use->ending = ending;
            c->order[i]->events |= type->event;
        }
    return c->err->status;
}

/* ---- members and branches */

static bool among(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* C++ refuses a member with the name of a type that the same struct uses. */
static bool is_type_here(const use *t, const char *name)
{
    for (size_t i = 0; strchr(name, '_') && i < t->node->count; i++) {
        const use *part = t->parts[i]->kind == BUS_KIND_POINTER ? t->parts[i]->item : t->parts[i];
        if (strcmp(part->type, name) == 0)
            return true;
    }
    return false;
}

bool compiler_members(compiler *c, use *t, const char *const *names)
{
    const size_t count = t->node->count;
    t->members = bui_arena_zero(&c->arena, (count + 1) * sizeof(char *));
    if (!t->members)
        return bui_fail_nomem(c->err) == BUS_OK;
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i];
        while (name && (is_type_here(t, name) || (name == names[i] ? compiler_member_word(name) /* no word ends in '_' */
                                                                   : among(names, count, name) || among(t->members, i, name))))
            name = compiler_text(c, "%s_", name);
        if (!name)
            return false;
        t->members[i] = name;
    }
    return true;
}

static bool is_alone(const bui_node *choice, size_t branch)
{
    const char *simple = compiler_simple(choice->fields[branch].type->name);
    for (size_t i = 0; i < choice->count; i++)
        if (i != branch && strcmp(compiler_simple(choice->fields[i].type->name), simple) == 0)
            return false;
    return true;
}

const char **compiler_labels(compiler *c, const bui_node *choice)
{
    const char **labels = bui_arena_zero(&c->arena, choice->count * sizeof(char *));
    for (size_t i = 0; labels && i < choice->count; i++) {
        const char *full = choice->fields[i].type->name;
        const char *label = is_alone(choice, i) ? compiler_simple(full) : compiler_c_name(c, full);
        while (label && (strcmp(label, "tag") == 0 || among(labels, i, label))) /* "_tag" ends the name of the enum */
            label = compiler_text(c, "%s_", label);
        if (!label)
            return NULL;
        labels[i] = label;
    }
    if (!labels)
        bui_fail_nomem(c->err);
    return labels;
}
