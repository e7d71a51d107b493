/* SPDX-License-Identifier: MIT
 * Refused: rows that Kafka does not take, and what operators decide about them. A refused row stays in the outbox. Later rows of its
 * destination wait, for a key's order is what an outbox is for; with outbox.refused=pass they pass it by. Commands about rows come
 * by `<service>.redrive`, as those about letters do: the shard that owns the store obeys them, in order, once. */
#include "shard/relay.h"

#include "base/array.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool note_refused(const bus_outbox_row *row, void *opaque)
{
    bus_shard *shard = opaque;
    if (!bus_relay_expect(shard, row->destination))
        return false;
    route *r = row->destination->relay;
    if (row->state == BUS_OUTBOX_HOLDS && !r->refused) {
        r->refused = row->id;
        fall_behind(&shard->relay, r, row->id);
        r->flow = BUS_PROBING;
    }
    return true;
}

bus_status bus_refused_start(bus_shard *shard, bus_error *err)
{
    return bus_outbox_rejected(shard->store, note_refused, shard, err);
}

/* ---- commands */

typedef struct wanted { int64_t id; bus_slice incarnation; bus_destination *destination; } wanted;

static bool find(const bus_outbox_row *row, void *opaque)
{
    wanted *w = opaque;
    const char *sharp = strchr(row->source, '#');
    if (row->id != w->id)
        return row->id < w->id;
    if (sharp && strlen(sharp + 1) == w->incarnation.len && memcmp(sharp + 1, w->incarnation.at, w->incarnation.len) == 0)
        w->destination = row->destination;
    return false;
}

/* "<row>@<incarnation>": a row's number alone could be another's after a rebuild. */
static bool read_name(bus_slice name, wanted *out)
{
    char text[64];
    char *at;
    if (name.len >= sizeof text)
        return false;
    memcpy(text, name.at, name.len);
    text[name.len] = 0;
    out->id = strtoll(text, &at, 10);
    out->incarnation = (bus_slice){ name.at + (at - text) + 1, name.len - (size_t)(at - text) - 1 };
    return at > text && *at == '@' && out->id > 0;
}

static bool decided(bus_shard *shard, bus_destination *destination, int64_t id)
{
    bus_relay *relay = &shard->relay;
    if (!bus_array_room(&relay->decided, &relay->decided_cap, relay->decided_count + 1, sizeof *relay->decided, 16))
        return false;
    relay->decided[relay->decided_count++] = (bus_relay_decided){ destination, id };
    return true;
}

static void header_text(const bus_record *record, const char *name, char out[512])
{
    snprintf(out, 512, "unknown");
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].name, name) == 0 && record->headers[i].value)
            snprintf(out, 512, "%.*s", (int)(record->headers[i].len < 500 ? record->headers[i].len : 500), (const char *)record->headers[i].value);
}

static bus_status discard(bus_shard *shard, const wanted *w, const bus_record *record, bus_error *err)
{
    char who[512], why[512];
    header_text(record, "bus-operator", who);
    header_text(record, "bus-reason", why);
    bus_status status = bus_outbox_discard(shard->store, w->id, who, why, err);
    if (status == BUS_OK)
        bus_log(BUS_WARN, shard->where, "discarded_row", "outbox row %lld for %s/%d is discarded by %s: %s; its receivers will report a gap",
                (long long)w->id, w->destination->topic, w->destination->partition, who, why);
    bus_count(&shard->metrics.discarded_rows, status == BUS_OK);
    return status;
}

bus_outcome bus_refused_command(bus_shard *shard, const bus_record *record, const bus_envelope *envelope)
{
    bus_error err = { 0 };
    wanted w = { .id = 0 };
    bus_status status = BUS_OK;
    if (!bus_delivery_save(shard))
        return BUS_OUT_REDO;
    if (read_name(envelope->command_id, &w))
        status = bus_outbox_rejected(shard->store, find, &w, &err);
    if (status == BUS_OK && !w.destination) {
        bus_count(&shard->metrics.commands_stale, 1);
        char more[BUS_THROTTLE_TEXT];
        uint64_t hidden;
        if (bus_throttle_pass(&shard->said.stale_lines, shard->now_us, &hidden))
            bus_log(BUS_INFO, shard->where, "command_stale", "%s of row %.*s: no such row is refused: it has left, or it is decided already%s",
                    bus_command_name(envelope->command), (int)envelope->command_id.len, envelope->command_id.at, bus_throttle_text(hidden, more));
        return bus_delivery_release(shard) ? BUS_OUT_DONE : BUS_OUT_REDO;
    }
    if (status == BUS_OK)
        status = envelope->command == BUS_COMMAND_ROW_DISCARD ? discard(shard, &w, record, &err) : bus_outbox_retry(shard->store, w.id, &err);
    if (status == BUS_OK && !decided(shard, w.destination, w.id))
        status = bus_fail_nomem(&err);
    if (status)
        return bus_shard_redo(shard, &err);
    bus_sizes_look_again(shard);
    bus_count(&shard->metrics.retried_rows, envelope->command == BUS_COMMAND_ROW_RETRY);
    return bus_delivery_release(shard) ? BUS_OUT_DONE : BUS_OUT_REDO;
}

/* ---- what was decided is durable */

/* Goes on from the row. What is out must be answered first, or it would be sent twice. */
static void resume(bus_shard *shard, route *r, int64_t id)
{
    if (r->refused == id) {
        r->refused = 0;
        r->retry_at_us = 0;
        bus_backoff_reset(&r->backoff);
    }
    if (r->count == 0) {
        fall_behind(&shard->relay, r, id);
        shard->relay.rewound = true; /* rows that are acknowledged and not yet deleted must not leave again */
        return;
    }
    r->resume_at = r->resume_at && r->resume_at < id ? r->resume_at : id;
    r->to_probe |= r->flow == BUS_PROBING;
    r->flow = BUS_STOPPING;
    if (r->waiting == 0)
        bus_relay_rewind(shard, r);
}

void bus_refused_decided(bus_shard *shard)
{
    bus_relay *relay = &shard->relay;
    for (size_t i = 0; i < relay->decided_count; i++)
        resume(shard, relay->decided[i].destination->relay, relay->decided[i].id);
    relay->decided_count = 0;
}

/* ---- what others ask */

int64_t bus_refused_waiting(const bus_shard *shard)
{
    int64_t count = 0;
    for (size_t i = 0; i < shard->relay.count; i++)
        count += shard->relay.all[i]->refused != 0;
    return count;
}
