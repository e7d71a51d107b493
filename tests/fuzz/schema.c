/* SPDX-License-Identifier: MIT
 * Fuzz: schemas from the network. One that is accepted has a canonical form that is a schema with the same form. */
#include "codec/schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_schema *schema, *again;
    bus_error err;
    if (size > 16384 || bus_schema_parse((const char *)data, size, &schema, &err) != BUS_OK)
        return 0;
    const char *canonical = bus_schema_canonical(schema);
    if (bus_schema_parse(canonical, strlen(canonical), &again, &err) != BUS_OK || strcmp(bus_schema_canonical(again), canonical) != 0)
        abort();
    bus_schema_free(again);
    bus_schema_free(schema);
    return 0;
}
