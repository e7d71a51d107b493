/* SPDX-License-Identifier: MIT
 * Value: publishing avro-c's generic values. The schema goes to bus.schemas by the same producer first. */
#include "base/buf.h"
#include "base/error.h"
#include "codec/value.h"
#include "codec/wire.h"
#include "service/announce.h"
#include "service/outlet.h"
#include <bus/value.h>
#include <string.h>

bus_status bus_publish_value(bus *self, const char *topic, const char *schema_text, const void *key, size_t key_len,
                             struct avro_value *value, bus_done done, void *opaque, bus_error *err)
{
    const bus_schema *schema = NULL;
    const bus_stamp *stamp = NULL;
    uint8_t single[BUS_WIRE_FRAMING];
    bus_buf bytes;
    if (!topic || !schema_text || !value)
        return bus_fail(err, BUS_INVALID, "bus_publish_value needs a topic, a schema and a value");
    bus_status status = bus_announce(self, schema_text, NULL, &schema, err);
    if (status == BUS_OK)
        status = bus_asker_stamp(self->asker, topic, bus_schema_name(schema), bus_schema_json(schema, NULL), &stamp, err);
    if (status != BUS_OK)
        return status;
    bus_wire_frame(bus_schema_fingerprint(schema), single);
    bus_buf_init(&bytes, (size_t)bus_config_int(self->config, "message.max.bytes"));
    bus_buf_add(&bytes, stamp ? stamp->framing : single, stamp ? sizeof stamp->framing : sizeof single);
    status = bus_buf_ok(&bytes) ? bus_value_encode(schema, value, &bytes, err) : bus_fail_nomem(err);
    if (status == BUS_OK) {
        const bus_type named = { .name = bus_schema_name(schema) };
        bool compact = strcmp(bus_config_text(self->config, "envelope"), "compact") == 0;
        bus_header headers[BUS_EVENT_HEADERS];
        char id[BUS_ID_TEXT];
        bus_id_random(id);
        bus_raw record = { .topic = topic, .key = key, .key_len = key_len, .value = bytes.data, .value_len = bytes.len, .headers = headers };
        record.header_count = bus_event_headers(id, self->name, &named, NULL, NULL, compact, headers);
        status = bus_publish_raw(self, &record, done, opaque, err);
    }
    bus_buf_free(&bytes);
    return status;
}
