/* SPDX-License-Identifier: MIT
 * Functions: what the header has for enums and records beside their types. Those of events name the type and take its struct, so
 * that the two cannot disagree. A parameter ends with '_': no variable of a program has its name. */
#include "codec/compiler/compiler.h"

#include <string.h>

/* What stands for what in the texts below: %T the C type, %S its descriptor, %N and %F an enum's functions, %E the ending of an event's. */
static const char *value_of(const use *t, char letter)
{
    switch (letter) {
    case 'T': return t->type;
    case 'S': return t->shape;
    case 'N': return t->to_text;
    case 'F': return t->from_text;
    default: return t->ending;
    }
}

static void fill(bui_buf *out, const char *text, const use *t)
{
    for (const char *mark = strchr(text, '%'); mark; text = mark + 2, mark = strchr(text, '%')) {
        bui_buf_add(out, text, (size_t)(mark - text));
        bui_buf_text(out, value_of(t, mark[1]));
    }
    bui_buf_text(out, text);
}

static const char of_enum[] = "\nstatic inline const char *%N(%T value_)\n{\n"
                              "    return bus_symbol_name(&%S, (size_t)value_);\n}\n"
                              "\nstatic inline bool %F(bus_string name_, %T *out_)\n{\n"
                              "    size_t at_;\n    if (!bus_symbol_of(&%S, name_, &at_))\n        return false;\n"
                              "    *out_ = (%T)at_;\n    return true;\n}\n";

static const char of_record[] = "\nstatic inline const %T *%T_of(const bus_event *event_)\n{\n"
                                "    return (const %T *)bus_event_body(event_, &%T_type);\n}\n";

static const char of_event[] =
    "\n/* The calls of <bus/tx.h> and <bus/publish.h> for this type. */\n"
    "static inline bus_status %T_emit%E(bus_tx *tx_, bus_string key_, const %T *body_)\n{\n"
    "    return bus_emit(tx_, &%T_type, key_, body_);\n}\n"
    "\nstatic inline bus_status %T_emit_with%E(bus_tx *tx_, bus_string key_, const %T *body_,\n"
    "    const bus_emit_options *options_)\n{\n"
    "    return bus_emit_with(tx_, &%T_type, key_, body_, options_);\n}\n"
    "\nstatic inline bus_status %T_schedule%E(bus_tx *tx_, bus_string name_, int64_t due_ms_, bus_string key_,\n"
    "    const %T *body_)\n{\n"
    "    return bus_schedule(tx_, name_, due_ms_, &%T_type, key_, body_);\n}\n"
    "\nstatic inline bus_status %T_schedule_with%E(bus_tx *tx_, bus_string name_, int64_t due_ms_, bus_string key_,\n"
    "    const %T *body_, const bus_emit_options *options_)\n{\n"
    "    return bus_schedule_with(tx_, name_, due_ms_, &%T_type, key_, body_, options_);\n}\n"
    "\nstatic inline bus_status %T_reply%E(bus_tx *tx_, const %T *body_)\n{\n"
    "    return bus_reply(tx_, &%T_type, body_);\n}\n"
    "\nstatic inline bus_publication %T_publication%E(const char *topic_, bus_string key_, const %T *body_)\n{\n"
    "    return bus_publication_of(topic_, &%T_type, key_, body_);\n}\n";

static const char of_state[] = "\nstatic inline bool %T_load(bus_tx *tx_, %T *row_)\n{\n"
                               "    return bus_state_load(tx_, &%T_state, row_);\n}\n"
                               "\nstatic inline bus_status %T_save(bus_tx *tx_, const %T *row_)\n{\n"
                               "    return bus_state_save(tx_, &%T_state, row_);\n}\n"
                               "\nstatic inline bus_status %T_remove(bus_tx *tx_, const %T *row_)\n{\n"
                               "    return bus_state_remove(tx_, &%T_state, row_);\n}\n";

void compiler_functions(const unit *u, bui_buf *out)
{
    for (size_t i = 0; i < u->count; i++) {
        const named *type = &u->types[i];
        if (type->node->kind == BUS_KIND_ENUM && type->use->home == u)
            fill(out, of_enum, type->use);
        if (type->node->kind == BUS_KIND_RECORD)
            fill(out, of_record, type->use);
        if (compiler_has_state(type->node))
            fill(out, of_state, type->use);
        if (type->use->ending)
            fill(out, of_event, type->use);
    }
}
