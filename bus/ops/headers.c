/* SPDX-License-Identifier: MIT
 * Headers: looking one up in a record. */
#include "ops/headers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bus_slice bus_record_header(const bus_record *record, const char *name)
{
    for (size_t i = record->header_count; i-- > 0;)
        if (!strcmp(record->headers[i].name, name))
            return (bus_slice){ record->headers[i].value, record->headers[i].value ? record->headers[i].len : 0 };
    return (bus_slice){ NULL, 0 };
}

int64_t bus_record_number(const bus_record *record, const char *name, int64_t absent)
{
    char text[24], *end;
    bus_slice value = bus_record_header(record, name);
    if (!value.at || value.len == 0 || value.len >= sizeof text)
        return absent;
    memcpy(text, value.at, value.len);
    text[value.len] = 0;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    return errno || *end ? absent : number;
}

bool bus_slice_is(bus_slice slice, const char *text)
{
    return slice.at && slice.len == strlen(text) && !memcmp(slice.at, text, slice.len);
}

bus_slice bus_body_elsewhere(const bus_record *record)
{
    bus_slice body = bus_record_header(record, BUS_HEADER_BODY);
    return !record->value && body.at && !bus_slice_is(body, "none") ? body : (bus_slice){ NULL, 0 };
}
