/* SPDX-License-Identifier: MIT
 * Event value: an event as avro-c's generic value. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/value.h"
#include <bus/value.h>
#include <inttypes.h>

/* As the shard does for routes with a type: the registry is asked, and the handler pauses meanwhile. */
static bus_status missing(bui_shard *shard, const bui_framing *framing, bus_error *err)
{
    char question[BUI_QUESTION];
    bus_error why = { 0 };
    bui_ids *ids = shard->options.ids;
    bui_framing_question(framing, question);
    if (framing->kind == BUI_FRAMED_FINGERPRINT)
        return bui_fail(err, BUS_MISSING, "written with schema %016" PRIx64 ", which nobody has announced", framing->fingerprint);
    if (!ids)
        return bui_fail(err, BUS_SCHEMA, "written with the schema that a registry calls %s: set registry.url", question);
    bui_fail(&why, BUS_MISSING, "written with the schema that a registry calls %s", question);
    ids->want(ids, framing, &why);
    if (err)
        *err = why;
    return BUS_MISSING;
}

bus_status bus_event_value(bus_tx *tx, const bus_event *event, struct avro_value *out, bus_error *err)
{
    bui_framing framing;
    if (!event->value.at)
        return bui_fail(err, BUS_INVALID, "a tombstone has no value");
    bui_framing_of(event->value.at, event->value.len, event->headers, event->header_count, &framing);
    if (framing.kind == BUI_FRAMED_NOT)
        return bui_fail(err, BUS_CORRUPT, "%zu bytes that are not in an Avro framing", event->value.len);
    const bui_schema *schema = bui_catalog_writer(tx->shard->options.catalog, &framing);
    if (!schema)
        return missing(tx->shard, &framing, err);
    return bui_value_decode(schema, (const uint8_t *)event->value.at + framing.skip, event->value.len - framing.skip,
                            framing.skip, out, err);
}
