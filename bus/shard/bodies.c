/* SPDX-License-Identifier: MIT
 * Bodies: records about an event that are too small for it. What such a record says instead is `bus-body`: where the event
 * was. Its bytes stay in this store until the dead letter is closed: a topic's retention does not wait for operators, and a
 * rebuild makes them again. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/size.h"
#include <string.h>

#define COMMAND_MORE 1000 /* what an operator's command adds to an event at most: see cli/dlq_redrive.c */

bus_header bui_body_header(const bui_delivery *delivery, bool there, char text[BUI_BODY_TEXT])
{
    const bus_event *event = &delivery->event;
    bui_body_place place = { there || event->value.at || delivery->bodiless ? BUI_BODY_AT : BUI_BODY_NONE,
                             { event->topic, strlen(event->topic) },
                             event->partition,
                             event->offset };
    return (bus_header){ BUI_HEADER_BODY, text, bui_body_write(&place, text, BUI_BODY_TEXT) };
}

bool bui_body_fits_command(bui_shard *shard, const bus_event *event, const bus_header *headers, size_t count)
{
    bool own;
    int64_t size = bui_record_size(event->key.at, event->key.len, event->value.at, event->value.len, headers, count);
    return size + COMMAND_MORE <= bui_size_most(shard, bui_router_lead(shard->options.router), &own);
}

bus_status bui_body_of_letter(bui_shard *shard, const char *letter, const bus_event *event, const bus_header *headers,
                              size_t count, bus_error *err)
{
    bui_buf *packed = &shard->headers_scratch;
    bui_buf_clear(packed);
    bui_headers_pack(headers, count, packed);
    if (!bui_buf_ok(packed))
        return bui_fail_nomem(err);
    bui_body body = { event->key.at, event->key.len, event->value.at, event->value.len, packed->data, packed->len };
    return bui_body_keep(shard->store, letter, &body, err);
}

/* The event's headers as they were kept, and the command. */
static bus_status put_together(bui_shard *shard, const bui_body *body, const bui_record *command, bui_record *out, bus_error *err)
{
    size_t count = bui_headers_count(body->headers, body->headers_len);
    if (count == SIZE_MAX)
        return bui_fail(err, BUS_CORRUPT, "%s: the kept headers of a dead letter are damaged; rebuild the store from its topics",
                        bui_store_path(shard->store));
    bus_header *headers = bui_arena_alloc(&shard->arena, (count + 1) * sizeof *headers);
    if (!headers)
        return bui_fail_nomem(err);
    bui_headers_unpack(body->headers, body->headers_len, headers, count);
    for (size_t i = 0; i < command->header_count; i++)
        if (strcmp(command->headers[i].name, BUI_HEADER_COMMAND) == 0)
            headers[count] = command->headers[i];
    *out = *command;
    out->key = body->key;
    out->key_len = body->key_len;
    out->value = body->value;
    out->value_len = body->value_len;
    out->headers = headers;
    out->header_count = count + 1;
    return BUS_OK;
}

bus_status bui_body_join(bui_shard *shard, const char *letter, const bui_record *command, bui_record *out, bus_error *err)
{
    bui_body body;
    *out = *command;
    if (!bui_bodies_of(shard->store).count)
        return BUS_OK;
    bus_status status = bui_body_get(shard->store, letter, &shard->arena, &body, err);
    return status == BUS_MISSING ? BUS_OK : status != BUS_OK ? status : put_together(shard, &body, command, out, err);
}
