/* SPDX-License-Identifier: MIT
 * Headers: looking one up in a record, for what the envelope does not carry. Pure. */
#ifndef BUS_OPS_HEADERS_H
#define BUS_OPS_HEADERS_H

#include "codec/envelope.h"
#include "shard/transport.h"

/* Headers of dead letters and commands besides those in the envelope. */
#define BUS_HEADER_REASON "bus-reason"       /* why an operator redrove or discarded it */
#define BUS_HEADER_OPERATOR "bus-operator"   /* who: user@host */
#define BUS_HEADER_FIRST_FAILED "__dlq.errors.first"  /* ms since the epoch */
#define BUS_HEADER_LAST_FAILED "__dlq.errors.last"
#define BUS_HEADER_HELD "bus-held"           /* later events of the key wait for the letter */
#define BUS_HELD_YES "yes"

/* The last header of this name; `at` NULL if there is none or its value is null. Borrowed from the record. */
bus_slice bus_record_header(const bus_record *record, const char *name);
/* The same as a decimal number; `absent` if there is none or it is no number. */
int64_t bus_record_number(const bus_record *record, const char *name, int64_t absent);
/* Of a copy without its event's value: where that is, as bus-body says, "at <topic>/<partition>/<offset>"; `at` NULL: the record is whole,
 * and without a value a tombstone. */
bus_slice bus_body_elsewhere(const bus_record *record);
bool bus_slice_is(bus_slice slice, const char *text);

#endif
