/* SPDX-License-Identifier: MIT
 * Bodies: records about an event that are too small for it. What such a record says instead is `bus-body`: where the event was. Its bytes
 * stay in this store until the letter is closed: a topic's retention does not wait for operators, and a rebuild makes them again. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/size.h"
#include <string.h>

#define COMMAND_MORE 1000 /* what an operator's command adds to an event at most: see cli/dlq_redrive.c */

bus_header bus_body_header(const bus_delivery *delivery, bool there, char text[BUS_BODY_TEXT])
{
    const bus_event *event = &delivery->event;
    bus_body_place place = { there || event->value || delivery->bodiless ? BUS_BODY_AT : BUS_BODY_NONE,
                             { event->topic, strlen(event->topic) }, event->partition, event->offset };
    return (bus_header){ BUS_HEADER_BODY, text, bus_body_write(&place, text, BUS_BODY_TEXT) };
}

bool bus_body_fits_command(bus_shard *shard, const bus_event *event, const bus_header *headers, size_t count)
{
    bool own;
    int64_t size = bus_record_size(event->key, event->key_len, event->value, event->value_len, headers, count);
    return size + COMMAND_MORE <= bus_size_most(shard, bus_router_lead(shard->options.router), &own);
}

bus_status bus_body_of_letter(bus_shard *shard, const char *letter, const bus_event *event, const bus_header *headers, size_t count,
                              bus_error *err)
{
    bus_buf *packed = &shard->headers_scratch;
    bus_buf_clear(packed);
    bus_headers_pack(headers, count, packed);
    if (!bus_buf_ok(packed))
        return bus_fail_nomem(err);
    bus_body body = { event->key, event->key_len, event->value, event->value_len, packed->data, packed->len };
    return bus_body_keep(shard->store, letter, &body, err);
}

/* The event's headers as they were kept, and the command. */
static bus_status put_together(bus_shard *shard, const bus_body *body, const bus_record *command, bus_record *out, bus_error *err)
{
    size_t count = bus_headers_count(body->headers, body->headers_len);
    if (count == SIZE_MAX)
        return bus_fail(err, BUS_CORRUPT, "%s: the kept headers of a letter are damaged; rebuild the store from its topics",
                        bus_store_path(shard->store));
    bus_header *headers = bus_arena_alloc(&shard->arena, (count + 1) * sizeof *headers);
    if (!headers)
        return bus_fail_nomem(err);
    bus_headers_unpack(body->headers, body->headers_len, headers, count);
    for (size_t i = 0; i < command->header_count; i++)
        if (strcmp(command->headers[i].name, BUS_HEADER_COMMAND) == 0)
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

bus_status bus_body_join(bus_shard *shard, const char *letter, const bus_record *command, bus_record *out, bus_error *err)
{
    bus_body body;
    *out = *command;
    if (!bus_bodies_of(shard->store).count)
        return BUS_OK;
    bus_status status = bus_body_get(shard->store, letter, &shard->arena, &body, err);
    return status == BUS_MISSING ? BUS_OK : status ? status : put_together(shard, &body, command, out, err);
}
