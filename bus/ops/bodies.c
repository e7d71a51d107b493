/* SPDX-License-Identifier: MIT
 * Bodies: one record, by its place. */
#include "ops/bodies.h"
#include "base/error.h"
#include "shard/shard.h"

#include <string.h>

static bus_status gone(const bui_dead *dead, const char *why, bus_error *err)
{
    return bui_fail(err, BUS_MISSING, "the dead letter does not carry its event, and %.120s/%d offset %lld %s",
                    *dead->topic ? dead->topic : "?", dead->partition, (long long)dead->offset, why);
}

/* The dead letter is its service's word; what stands at its place may be anybody's. One that was refused as forged is the
 * operator's decision. */
static bus_status is_authentic(const bus_config *config, const bui_dead *dead, const bui_record *record, bus_error *err)
{
    bui_keys *keys = NULL;
    bus_error why = { 0 };
    bus_status status = bui_keys_of(config, &keys, err);
    if (status == BUS_OK && strcmp(dead->error_class, "forged") != 0 && !bui_record_authentic(keys, record, NULL, &why))
        status = bui_fail(err, BUS_DENIED,
                          "the dead letter does not carry its event, and %.120s/%d offset %lld cannot be "
                          "believed: %.120s",
                          record->topic, record->partition, (long long)record->offset, why.text);
    bui_keys_free(keys);
    return status;
}

bus_status bui_original_read(const bus_config *config, const bui_dead *dead, int timeout_ms, bui_original *out, bus_error *err)
{
    *out = (bui_original){ NULL, NULL };
    bui_range range = { .topic = dead->topic,
                        .partition = dead->partition,
                        .from = { BUI_EDGE_OFFSET, dead->offset },
                        .to = { BUI_EDGE_OFFSET, dead->offset + 1 } };
    if (!*dead->topic || dead->offset < 0)
        return gone(dead, "has no place: its bus-orig header is missing", err);
    bus_status status = bui_kafka_reader_open(config, "bus-dlq", &range, 1, BUI_READ_ANY, timeout_ms, &out->reader, err);
    for (int waited_ms = 0; status == BUS_OK && !out->record; waited_ms += 500) {
        status = bui_kafka_reader_next(out->reader, 500, &out->record, err);
        if (status == BUS_TIMEOUT && waited_ms < timeout_ms)
            status = BUS_OK;
    }
    if (status == BUS_CLOSED || (status == BUS_OK && out->record->offset != dead->offset))
        return gone(dead, "is no longer in its topic (retention)", err);
    if (status != BUS_OK)
        return status;
    bui_slice id = bui_record_header(out->record, "ce_id");
    if (id.len && *dead->event_id && !bui_slice_is(id, dead->event_id))
        return gone(dead, "holds another event now: its topic was deleted and made again", err);
    return is_authentic(config, dead, out->record, err);
}

void bui_original_close(bui_original *original)
{
    bui_kafka_reader_close(original->reader);
    *original = (bui_original){ NULL, NULL };
}
