/* SPDX-License-Identifier: MIT
 * Framing: the first bytes of a value, or the header that stands for them. */
#include "codec/framing.h"

#include "codec/uuid_text.h"
#include "codec/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKS_ID "schemas/ids/"
#define ASKS_GUID "schemas/guids/"

static bool read_reference(const uint8_t *at, size_t len, bui_framing *out)
{
    size_t n = len > 0 && at[0] == 0 ? BUI_CONFLUENT_FRAMING : len > 0 && at[0] == 1 ? BUI_REFERENCE_MOST : 0;
    if (n == 0 || len < n)
        return false;
    out->kind = at[0] == 0 ? BUI_FRAMED_ID : BUI_FRAMED_GUID;
    memcpy(out->reference, at, n);
    out->reference_len = n;
    return true;
}

void bui_framing_read(const void *value, size_t len, bui_slice schema_id, bui_framing *out)
{
    bui_framing found = { .kind = BUI_FRAMED_NOT };
    if (schema_id.at && read_reference((const uint8_t *)schema_id.at, schema_id.len, &found)) {
        found.skip = 0;
    } else if (value && bui_wire_fingerprint(value, len, &found.fingerprint)) {
        found.kind = BUI_FRAMED_FINGERPRINT;
        found.skip = BUI_WIRE_FRAMING;
    } else if (value && read_reference(value, len, &found)) {
        found.skip = found.reference_len;
    }
    *out = found;
}

void bui_framing_of(const void *value, size_t len, const bus_header *headers, size_t count, bui_framing *out)
{
    bui_slice schema_id = { 0 };
    for (size_t i = 0; i < count; i++)
        if (strcmp(headers[i].name, BUI_HEADER_SCHEMA_ID) == 0)
            schema_id = (bui_slice){ headers[i].value, headers[i].len };
    bui_framing_read(value, len, schema_id, out);
}

void bui_framing_question(const bui_framing *framing, char out[BUI_QUESTION])
{
    const uint8_t *at = framing->reference;
    char uuid[BUI_UUID_TEXT];
    out[0] = 0;
    if (framing->kind == BUI_FRAMED_ID) {
        unsigned id = (unsigned)at[1] << 24 | (unsigned)at[2] << 16 | (unsigned)at[3] << 8 | at[4];
        snprintf(out, BUI_QUESTION, ASKS_ID "%u", id);
    } else if (framing->kind == BUI_FRAMED_GUID) {
        bui_uuid_to_text(at + 1, uuid);
        snprintf(out, BUI_QUESTION, ASKS_GUID "%.*s", BUI_UUID_TEXT, uuid);
    }
}

bool bui_framing_of_question(const char *question, bui_framing *out)
{
    bui_framing found = { .kind = BUI_FRAMED_NOT };
    const char *text = question + sizeof ASKS_ID - 1;
    if (strncmp(question, ASKS_ID, sizeof ASKS_ID - 1) == 0) {
        char *end;
        unsigned long long id = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end || id > UINT32_MAX)
            return false;
        found.kind = BUI_FRAMED_ID;
        found.reference_len = BUI_CONFLUENT_FRAMING;
        bui_framing_write_id((uint32_t)id, found.reference);
    } else if (strncmp(question, ASKS_GUID, sizeof ASKS_GUID - 1) == 0) {
        text = question + sizeof ASKS_GUID - 1;
        found.kind = BUI_FRAMED_GUID;
        found.reference_len = BUI_REFERENCE_MOST;
        found.reference[0] = 1;
        if (!bui_uuid_from_text(text, strlen(text), found.reference + 1))
            return false;
    } else {
        return false;
    }
    *out = found;
    return true;
}

void bui_framing_write_id(uint32_t id, uint8_t out[BUI_CONFLUENT_FRAMING])
{
    out[0] = 0;
    for (int i = 4; i > 0; i--, id >>= 8)
        out[i] = (uint8_t)id;
}
