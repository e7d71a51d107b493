/* SPDX-License-Identifier: MIT
 * Framing: how a value says which schema wrote it. A reader tells the kinds apart by the first byte:
 *
 *   C3 01, 8 bytes      Avro's single-object encoding: the schema's fingerprint, see codec/wire.h
 *   00, 4 bytes         Confluent's: the id that a schema registry gave the schema, big-endian
 *   01, 16 bytes        Confluent's, newer: the registry's GUID of the schema, in the order of its text
 *
 * The last two may stand in the header __value_schema_id instead; then the whole value is the body. */
#ifndef BUI_CODEC_FRAMING_H
#define BUI_CODEC_FRAMING_H

#include "codec/envelope.h"

typedef enum bui_framing_kind { BUI_FRAMED_NOT, BUI_FRAMED_FINGERPRINT, BUI_FRAMED_ID, BUI_FRAMED_GUID } bui_framing_kind;

#define BUI_REFERENCE_MOST 17
#define BUI_QUESTION 64
#define BUI_CONFLUENT_FRAMING 5

typedef struct bui_framing {
    bui_framing_kind kind;
    size_t skip;                           /* bytes of the value before the body */
    uint64_t fingerprint;                  /* of FINGERPRINT */
    uint8_t reference[BUI_REFERENCE_MOST]; /* of ID and GUID: as they stand on the wire */
    size_t reference_len;
} bui_framing;

/* `schema_id` is the value of the header __value_schema_id, absent if there is none. What is in no framing has kind
 * BUI_FRAMED_NOT. */
void bui_framing_read(const void *value, size_t len, bui_slice schema_id, bui_framing *out);
/* As bui_framing_read, the header sought among a record's. */
void bui_framing_of(const void *value, size_t len, const bus_header *headers, size_t count, bui_framing *out);

/* What a registry is asked, which is also the name under which its answer is kept: "schemas/ids/7", "schemas/guids/<uuid>";
 * "" for the other kinds. */
void bui_framing_question(const bui_framing *framing, char out[BUI_QUESTION]);
/* The reverse; false if it is no such question. */
bool bui_framing_of_question(const char *question, bui_framing *out);

/* Writes Confluent's framing. */
void bui_framing_write_id(uint32_t id, uint8_t out[BUI_CONFLUENT_FRAMING]);

#endif
