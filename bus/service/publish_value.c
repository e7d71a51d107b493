/* SPDX-License-Identifier: MIT
 * Publish value: publishing avro-c's generic values. The schema goes to bus.schemas by the same producer first. */
#include "base/buf.h"
#include "base/error.h"
#include "codec/value.h"
#include "codec/wire.h"
#include "service/announce.h"
#include "service/publisher.h"
#include <bus/value.h>
#include <string.h>

/* It is an event: as if it had a type and a body. */
static bus_status check(const bus_publication *publication, const char *schema_text, const struct avro_value *value,
                        bus_error *err)
{
    static const bus_type any;
    if (!publication || !schema_text || !value || publication->type || publication->body || publication->value.at ||
        publication->tombstone)
        return bui_fail(err, BUS_INVALID,
                        "bus_publish_value needs a schema, a value, and a publication with neither type, body nor value");
    bus_publication event = *publication;
    event.type = &any;
    event.body = value;
    return bui_publication_check(&event, "bus_publish_value", false, err);
}

bus_status bus_publish_value(bus *self, const bus_publication *publication, const char *schema_text, struct avro_value *value,
                             bus_done done, void *opaque, bus_error *err)
{
    const bui_schema *schema = NULL;
    const bui_stamp *stamp = NULL;
    uint8_t single[BUI_WIRE_FRAMING];
    bui_buf bytes;
    bus_status status = check(publication, schema_text, value, err);
    if (status == BUS_OK)
        status = bui_announce(self, schema_text, NULL, &schema, err);
    if (status == BUS_OK)
        status = bui_registry_cache_stamp(self->registry_cache, publication->topic, bui_schema_name(schema),
                                          bui_schema_json(schema, NULL), &stamp, err);
    if (status != BUS_OK)
        return status;
    bui_wire_frame(bui_schema_fingerprint(schema), single);
    bui_buf_init(&bytes, (size_t)bui_config_int(self->config, "message.max.bytes"));
    bui_buf_add(&bytes, stamp ? stamp->framing : single, stamp ? sizeof stamp->framing : sizeof single);
    status = bui_buf_ok(&bytes) ? bui_value_encode(schema, value, &bytes, err) : bui_fail_nomem(err);
    if (status == BUS_OK) {
        bus_header headers[BUI_EVENT_HEADERS];
        char id[BUI_ID_TEXT];
        bui_id_random(id);
        bus_publication record = *publication;
        record.value = (bus_bytes){ bytes.data, bytes.len };
        record.headers = headers;
        record.header_count = bui_event_headers(id, self->name, bui_schema_name(schema), NULL, NULL, publication, headers);
        status = bus_publish(self, &record, done, opaque, err);
    }
    bui_buf_free(&bytes);
    return status;
}
