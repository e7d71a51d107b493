/* SPDX-License-Identifier: MIT
 * Commands: headers kept, dropped and added. */
#include "ops/commands.h"
#include "base/error.h"
#include "base/id.h"
#include "codec/compact.h"

#include <stdio.h>
#include <string.h>

#define ADDED_MOST 6 /* orig, and either hop, command, reason, operator, body or ce_id */
#define TEXT_MOST BUI_ORIG_TEXT

typedef struct list {
    bus_header *at;
    size_t count;
    bui_arena *arena;
    bool failed;
} list;

static bool begin(list *headers, const bui_record *record, bui_arena *arena)
{
    *headers = (list){ .arena = arena };
    headers->at = bui_arena_alloc(arena, (record->header_count + BUI_COMPACT_MORE + ADDED_MOST) * sizeof(bus_header));
    if (!headers->at)
        return false;
    size_t all = bui_compact_unpack(record->headers, record->header_count, headers->at);
    for (size_t i = 0; i < all; i++)
        if (bui_header_travels(headers->at[i].name))
            headers->at[headers->count++] = headers->at[i];
    return true;
}

static void add(list *headers, const char *name, const char *text, size_t len)
{
    const char *copy = bui_arena_copy(headers->arena, text, len);
    if (!copy)
        headers->failed = true;
    else
        headers->at[headers->count++] = (bus_header){ name, copy, len };
}

static void add_command(list *headers, const bui_command *command)
{
    char text[TEXT_MOST];
    int len = snprintf(text, sizeof text, "%s %s %d", bui_command_name(command->kind), command->id, command->round);
    if (len < 0 || (size_t)len >= sizeof text)
        headers->failed = true;
    else
        add(headers, "bus-command", text, (size_t)len);
    if (command->body) {
        size_t n = bui_body_write(command->body, text, sizeof text);
        add(headers, BUI_HEADER_BODY, text, n);
    }
    if (command->reason)
        add(headers, BUI_HEADER_REASON, command->reason, strlen(command->reason));
    if (command->by)
        add(headers, BUI_HEADER_OPERATOR, command->by, strlen(command->by));
}

static void add_orig(list *headers, const bui_record *record, bool keep)
{
    char text[TEXT_MOST];
    bui_slice known = bui_record_header(record, "bus-orig"), sent = bui_record_header(record, "bus-hop");
    bui_hop hop;
    if (keep && known.at) {
        add(headers, "bus-orig", known.at, known.len);
        return;
    }
    bui_orig orig = { .topic = { record->topic, strlen(record->topic) },
                      .partition = record->partition,
                      .offset = record->offset,
                      .timestamp = record->timestamp,
                      .hop = bui_hop_read(sent, &hop) ? hop.own : sent };
    size_t len = bui_orig_write(&orig, text, sizeof text);
    if (!len) { /* what is no hop, and too long to keep: the place alone */
        orig.hop = (bui_slice){ NULL, 0 };
        len = bui_orig_write(&orig, text, sizeof text);
    }
    if (!len)
        headers->failed = true;
    else
        add(headers, "bus-orig", text, len);
}

static void add_hop(list *headers, const bui_copy_hop *hop)
{
    char source[160], text[TEXT_MOST];
    int n = snprintf(source, sizeof source, "bus-replay/0#%s", hop->run);
    bui_hop own = {
        .source = { source, (size_t)n }, .topic = { hop->topic, strlen(hop->topic) }, .partition = hop->partition, .seq = hop->seq
    };
    size_t len = n > 0 && (size_t)n < sizeof source ? bui_hop_write(&own, text, sizeof text) : 0;
    if (!len)
        headers->failed = true;
    else
        add(headers, "bus-hop", text, len);
}

static bus_status finish(const list *headers, bus_header **out, size_t *count, bus_error *err)
{
    if (headers->failed)
        return bui_fail_nomem(err);
    *out = headers->at;
    *count = headers->count;
    return BUS_OK;
}

bus_status bui_command_headers(const bui_command *command, const bui_record *letter, bui_arena *arena, bus_header **out,
                               size_t *count, bus_error *err)
{
    list headers;
    if (!begin(&headers, command->event ? command->event : letter, arena))
        return bui_fail_nomem(err);
    bui_slice orig = bui_record_header(letter, "bus-orig");
    if (orig.at)
        add(&headers, "bus-orig", orig.at, orig.len);
    add_command(&headers, command);
    return finish(&headers, out, count, err);
}

bus_status bui_replay_headers(const bui_record *record, const bui_command *command, const bui_copy_hop *hop, bool keep_orig,
                              bui_arena *arena, bus_header **out, size_t *count, bus_error *err)
{
    list headers;
    if (!begin(&headers, record, arena))
        return bui_fail_nomem(err);
    add_orig(&headers, record, keep_orig);
    if (command)
        add_command(&headers, command);
    else if (!bui_record_header(record, "ce_id").at) { /* its place is its id, and a copy has another place */
        char id[BUI_ID_TEXT];
        bui_id_of_place(record->topic, record->partition, record->offset, 0, id);
        add(&headers, "ce_id", id, strlen(id));
    }
    if (hop)
        add_hop(&headers, hop);
    return finish(&headers, out, count, err);
}
