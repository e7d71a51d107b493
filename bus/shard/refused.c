/* SPDX-License-Identifier: MIT
 * Refused: rows that Kafka does not take, and what operators decide about them. A refused row stays in the outbox. Later rows
 * of its destination wait, so that keys keep their order; with outbox.refused=pass they are sent. Commands about rows come by
 * `<service>.redrive`, as those about dead letters do: the shard that owns the store obeys them, in order, once. */
#include "shard/relay.h"

#include "base/array.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool note_refused(const bui_outbox_row *row, void *opaque)
{
    bui_shard *shard = opaque;
    if (!bui_relay_expect(shard, row->destination))
        return false;
    route *r = row->destination->relay;
    if (row->state == BUI_OUTBOX_HOLDS && !r->refused) {
        r->refused = row->id;
        r->flow = BUI_PROBING;
        fall_behind(&shard->relay, r, row->id);
    }
    return true;
}

bus_status bui_refused_start(bui_shard *shard, bus_error *err)
{
    return bui_outbox_rejected(shard->store, note_refused, shard, err);
}

/* ---- commands */

typedef struct wanted {
    int64_t id;
    bui_slice incarnation;
    bui_destination *destination;
} wanted;

static bool find(const bui_outbox_row *row, void *opaque)
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
static bool read_name(bui_slice name, wanted *out)
{
    char text[64];
    char *at;
    if (name.len >= sizeof text)
        return false;
    memcpy(text, name.at, name.len);
    text[name.len] = 0;
    out->id = strtoll(text, &at, 10);
    out->incarnation = (bui_slice){ name.at + (at - text) + 1, name.len - (size_t)(at - text) - 1 };
    return at > text && *at == '@' && out->id > 0;
}

static bool decided(bui_shard *shard, bui_destination *destination, int64_t id)
{
    bui_relay *relay = &shard->relay;
    if (!bui_array_room(&relay->decided, &relay->decided_cap, relay->decided_count + 1, sizeof *relay->decided, 16))
        return false;
    relay->decided[relay->decided_count++] = (bui_relay_decided){ destination, id };
    return true;
}

static void header_text(const bui_record *record, const char *name, char out[512])
{
    snprintf(out, 512, "unknown");
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].name, name) == 0 && record->headers[i].value)
            snprintf(out, 512, "%.*s", (int)(record->headers[i].len < 500 ? record->headers[i].len : 500),
                     (const char *)record->headers[i].value);
}

static bus_status discard(bui_shard *shard, const wanted *w, const bui_record *record, bus_error *err)
{
    char who[512], why[512];
    header_text(record, "bus-operator", who);
    header_text(record, "bus-reason", why);
    bus_status status = bui_outbox_discard(shard->store, w->id, who, why, err);
    if (status == BUS_OK)
        bui_log(BUS_WARN, shard->where, "discarded_row",
                "outbox row %lld for %s/%d is discarded by %s: %s; its receivers will report a gap", (long long)w->id,
                w->destination->topic, w->destination->partition, who, why);
    bui_count(&shard->metrics.discarded_rows, status == BUS_OK);
    return status;
}

bui_outcome bui_refused_command(bui_shard *shard, const bui_record *record, const bui_envelope *envelope)
{
    bus_error err = { 0 };
    wanted w = { .id = 0 };
    bus_status status = BUS_OK;
    if (!bui_delivery_save(shard))
        return BUI_OUT_REDO;
    if (read_name(envelope->command_id, &w))
        status = bui_outbox_rejected(shard->store, find, &w, &err);
    if (status == BUS_OK && !w.destination) {
        bui_count(&shard->metrics.commands_stale, 1);
        char more[BUI_THROTTLE_TEXT];
        uint64_t hidden;
        if (bui_throttle_pass(&shard->said.stale_lines, shard->now_us, &hidden))
            bui_log(BUS_INFO, shard->where, "command_stale",
                    "%s of row %.*s: no such row is refused: it has left, or somebody "
                    "has decided already%s",
                    bui_command_name(envelope->command), (int)envelope->command_id.len, envelope->command_id.at,
                    bui_throttle_text(hidden, more));
        return bui_delivery_release(shard) ? BUI_OUT_DONE : BUI_OUT_REDO;
    }
    if (status == BUS_OK)
        status = envelope->command == BUI_COMMAND_ROW_DISCARD ? discard(shard, &w, record, &err)
                                                              : bui_outbox_retry(shard->store, w.id, &err);
    if (status == BUS_OK && !decided(shard, w.destination, w.id))
        status = bui_fail_nomem(&err);
    if (status != BUS_OK)
        return bui_shard_redo(shard, &err);
    bui_sizes_look_again(shard);
    bui_count(&shard->metrics.retried_rows, envelope->command == BUI_COMMAND_ROW_RETRY);
    return bui_delivery_release(shard) ? BUI_OUT_DONE : BUI_OUT_REDO;
}

/* ---- what was decided is durable */

/* Goes on from the row. What is out must be answered first, or it would be sent twice. */
static void resume(bui_shard *shard, route *r, int64_t id)
{
    if (r->refused == id) {
        r->refused = 0;
        r->retry_at_us = 0;
        bui_backoff_reset(&r->backoff);
    }
    if (r->count == 0) {
        fall_behind(&shard->relay, r, id);
        shard->relay.rewound = true; /* rows that are acknowledged and not yet deleted must not leave again */
        return;
    }
    r->resume_at = r->resume_at && r->resume_at < id ? r->resume_at : id;
    r->to_probe |= r->flow == BUI_PROBING;
    r->flow = BUI_STOPPING;
    if (r->waiting == 0)
        bui_relay_rewind(shard, r);
    bui_relay_weigh(&shard->relay, r);
}

void bui_refused_decided(bui_shard *shard)
{
    bui_relay *relay = &shard->relay;
    for (size_t i = 0; i < relay->decided_count; i++)
        resume(shard, relay->decided[i].destination->relay, relay->decided[i].id);
    relay->decided_count = 0;
}

/* ---- what others ask */

int64_t bui_refused_waiting(const bui_shard *shard)
{
    int64_t count = 0;
    for (size_t i = 0; i < shard->relay.odd_count; i++)
        count += shard->relay.odd[i]->refused != 0;
    return count;
}
