/* SPDX-License-Identifier: MIT
 * Headers: looking one up in a record. */
#include "ops/headers.h"
#include "codec/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bui_slice bui_record_header(const bui_record *record, const char *name)
{
    return bui_compact_header(record->headers, record->header_count, name);
}

int64_t bui_record_number(const bui_record *record, const char *name, int64_t absent)
{
    char text[24], *end;
    bui_slice value = bui_record_header(record, name);
    if (!value.at || value.len == 0 || value.len >= sizeof text)
        return absent;
    memcpy(text, value.at, value.len);
    text[value.len] = 0;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    return errno || *end ? absent : number;
}

bool bui_slice_is(bui_slice slice, const char *text)
{
    return slice.at && slice.len == strlen(text) && !memcmp(slice.at, text, slice.len);
}

bui_slice bui_body_elsewhere(const bui_record *record)
{
    bui_slice body = bui_record_header(record, BUI_HEADER_BODY);
    return !record->value && body.at && !bui_slice_is(body, "none") ? body : (bui_slice){ NULL, 0 };
}
