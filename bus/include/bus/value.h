/* SPDX-License-Identifier: MIT
 * Value: events as generic values of avro-c (<avro.h>), for programs without a compiled type. Everything else is faster and
 * checked by the compiler with one: see <bus/type.h>. */
#ifndef BUS_VALUE_H
#define BUS_VALUE_H

#include <bus/publish.h>
#include <bus/tx.h>

#ifdef __cplusplus
extern "C" {
#endif

struct avro_value; /* avro_value_t */

/* Fills *out with the event's value, by the schema that wrote it, whatever the route's type; for routes without one. The bytes
 * are checked before avro-c sees them.
 * Thread: the handler's.
 * Errors: BUS_MISSING: the schema is not announced, or the registry is being asked for it: return bus_pause; BUS_INVALID: a
 * tombstone; BUS_CORRUPT; BUS_SCHEMA: avro-c cannot hold such a type, or a registry has the schema and none is configured;
 * BUS_NOMEM.
 * Owner: the value is the caller's: avro_value_decref frees it. It may outlive the delivery, but belongs to one thread at a
 * time. */
bus_status bus_event_value(bus_tx *tx, const bus_event *event, struct avro_value *out, bus_error *err);

/* As bus_publish, for a value: `schema` is the JSON text of its schema, which is announced on bus.schemas before the first event of this
 * process; its record's full name becomes ce_type. The publication has no type, body, value or tombstone. With framing=confluent the first
 * event waits for the registry.
 * Thread: any.
 * Errors: as bus_publish; BUS_SCHEMA: the text is none, or the registry refuses it; BUS_INVALID: the value is of another schema.
 * Owner: copies everything; the value stays the caller's; `opaque` is passed on. */
bus_status bus_publish_value(bus *bus, const bus_publication *publication, const char *schema, struct avro_value *value,
                             bus_done done, void *opaque, bus_error *err);

#ifdef __cplusplus
}
#endif
#endif
