/* SPDX-License-Identifier: MIT
 * Headers: looking one up in a record, for what the envelope does not carry. Pure. */
#ifndef BUI_OPS_HEADERS_H
#define BUI_OPS_HEADERS_H

#include "codec/envelope.h"
#include "shard/transport.h"

/* Headers of dead letters and commands besides those in the envelope. */
#define BUI_HEADER_REASON "bus-reason"               /* why an operator redrove or discarded it */
#define BUI_HEADER_OPERATOR "bus-operator"           /* who: user@host */
#define BUI_HEADER_FIRST_FAILED "__dlq.errors.first" /* ms since the epoch */
#define BUI_HEADER_LAST_FAILED "__dlq.errors.last"
#define BUI_HEADER_HELD "bus-held" /* later events of the key wait for the dead letter */
#define BUI_HELD_YES "yes"

/* What the full form of the record's headers has under this name; `at` NULL: nothing, or null. Borrowed from the record. */
bui_slice bui_record_header(const bui_record *record, const char *name);
/* The same as a decimal number; `absent` if there is none or it is no number. */
int64_t bui_record_number(const bui_record *record, const char *name, int64_t absent);
/* Of a copy without its event's value: where that is, as bus-body says, "at <topic>/<partition>/<offset>"; `at` NULL: the record is whole,
 * and without a value a tombstone. */
bui_slice bui_body_elsewhere(const bui_record *record);
bool bui_slice_is(bui_slice slice, const char *text);

#endif
