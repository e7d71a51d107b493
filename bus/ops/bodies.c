/* SPDX-License-Identifier: MIT
 * Bodies: one record, by its place. */
#include "ops/bodies.h"
#include "base/error.h"
#include "shard/shard.h"

#include <string.h>

static bus_status gone(const bus_dead *dead, const char *why, bus_error *err)
{
    return bus_fail(err, BUS_MISSING, "the letter does not carry its event, and %.120s/%d offset %lld %s", *dead->topic ? dead->topic : "?",
                    dead->partition, (long long)dead->offset, why);
}

/* The letter is its service's word; what stands at its place may be anybody's. One that was refused as forged is the operator's decision. */
static bus_status is_authentic(const bus_config *config, const bus_dead *dead, const bus_record *record, bus_error *err)
{
    bus_keys *keys = NULL;
    bus_error why = { 0 };
    bus_status status = bus_keys_of(config, &keys, err);
    if (status == BUS_OK && strcmp(dead->error_class, "forged") != 0 && !bus_record_authentic(keys, record, NULL, &why))
        status = bus_fail(err, BUS_DENIED, "the letter does not carry its event, and %.120s/%d offset %lld cannot be believed: %.120s", record->topic,
                          record->partition, (long long)record->offset, why.text);
    bus_keys_free(keys);
    return status;
}

bus_status bus_original_read(const bus_config *config, const bus_dead *dead, int timeout_ms, bus_original *out, bus_error *err)
{
    *out = (bus_original){ NULL, NULL };
    bus_range range = { .topic = dead->topic, .partition = dead->partition, .from = { BUS_EDGE_OFFSET, dead->offset },
                        .to = { BUS_EDGE_OFFSET, dead->offset + 1 } };
    if (!*dead->topic || dead->offset < 0)
        return gone(dead, "is no place: its bus-orig header is missing", err);
    bus_status status = bus_kafka_reader_open(config, "bus-dlq", &range, 1, BUS_READ_ANY, timeout_ms, &out->reader, err);
    for (int waited_ms = 0; status == BUS_OK && !out->record; waited_ms += 500) {
        status = bus_kafka_reader_next(out->reader, 500, &out->record, err);
        if (status == BUS_TIMEOUT && waited_ms < timeout_ms)
            status = BUS_OK;
    }
    if (status == BUS_CLOSED || (status == BUS_OK && out->record->offset != dead->offset))
        return gone(dead, "is no longer in its topic (retention)", err);
    if (status != BUS_OK)
        return status;
    bus_slice id = bus_record_header(out->record, "ce_id");
    if (id.len && *dead->event_id && !bus_slice_is(id, dead->event_id))
        return gone(dead, "holds another event now: its topic was deleted and made again", err);
    return is_authentic(config, dead, out->record, err);
}

void bus_original_close(bus_original *original)
{
    bus_kafka_reader_close(original->reader);
    *original = (bus_original){ NULL, NULL };
}
