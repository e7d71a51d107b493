/* SPDX-License-Identifier: MIT
 * Value: an event as avro-c's generic value. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/value.h"
#include <bus/value.h>
#include <inttypes.h>

bus_status bus_event_value(bus_tx *tx, const bus_event *event, struct avro_value *out, bus_error *err)
{
    uint64_t fingerprint;
    if (!event->value)
        return bus_fail(err, BUS_INVALID, "a tombstone has no value");
    if (!bus_wire_fingerprint(event->value, event->value_len, &fingerprint))
        return bus_fail(err, BUS_CORRUPT, "%zu bytes that are not in Avro's single-object encoding", event->value_len);
    const bus_schema *schema = bus_catalog_find(tx->shard->options.catalog, fingerprint);
    if (!schema)
        return bus_fail(err, BUS_MISSING, "written with schema %016" PRIx64 ", which nobody has announced", fingerprint);
    return bus_value_decode(schema, (const uint8_t *)event->value + BUS_WIRE_FRAMING, event->value_len - BUS_WIRE_FRAMING,
                            BUS_WIRE_FRAMING, out, err);
}
