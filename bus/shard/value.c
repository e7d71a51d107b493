/* SPDX-License-Identifier: MIT
 * Value: an event as avro-c's generic value. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/value.h"
#include <bus/value.h>
#include <inttypes.h>

/* As the shard does for routes with a type: the registry is asked, and the handler pauses meanwhile. */
static bus_status missing(bus_shard *shard, const bus_framing *framing, bus_error *err)
{
    char question[BUS_QUESTION];
    bus_error why = { 0 };
    bus_ids *ids = shard->options.ids;
    bus_framing_question(framing, question);
    if (framing->kind == BUS_FRAMED_FINGERPRINT)
        return bus_fail(err, BUS_MISSING, "written with schema %016" PRIx64 ", which nobody has announced", framing->fingerprint);
    if (!ids)
        return bus_fail(err, BUS_SCHEMA, "written with the schema that a registry calls %s: set registry.url", question);
    bus_fail(&why, BUS_MISSING, "written with the schema that a registry calls %s", question);
    ids->want(ids, framing, &why);
    if (err)
        *err = why;
    return BUS_MISSING;
}

bus_status bus_event_value(bus_tx *tx, const bus_event *event, struct avro_value *out, bus_error *err)
{
    bus_framing framing;
    if (!event->value)
        return bus_fail(err, BUS_INVALID, "a tombstone has no value");
    bus_framing_of(event->value, event->value_len, event->headers, event->header_count, &framing);
    if (framing.kind == BUS_FRAMED_NOT)
        return bus_fail(err, BUS_CORRUPT, "%zu bytes that are in no Avro framing", event->value_len);
    const bus_schema *schema = bus_catalog_writer(tx->shard->options.catalog, &framing);
    if (!schema)
        return missing(tx->shard, &framing, err);
    return bus_value_decode(schema, (const uint8_t *)event->value + framing.skip, event->value_len - framing.skip, framing.skip, out, err);
}
