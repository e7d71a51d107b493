/* SPDX-License-Identifier: MIT
 * Parsed: schemas of texts that must parse, or the test fails. Behind cmocka.h. */
#ifndef TESTS_SUPPORT_PARSED_H
#define TESTS_SUPPORT_PARSED_H

#include "codec/schema.h"
#include <string.h>

/* To be freed. */
static inline bui_schema *test_schema(const char *json)
{
    bui_schema *schema = NULL;
    bus_error err;
    if (bui_schema_parse(json, strlen(json), &schema, &err) != BUS_OK)
        fail_msg("%s: %s", json, err.text);
    return schema;
}

#endif
