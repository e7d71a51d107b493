/* SPDX-License-Identifier: MIT
 * Said: the one type of the tests' services, a number and a text, as the schema compiler would write it. */
#ifndef BUI_TESTS_SERVICES_SAID_H
#define BUI_TESTS_SERVICES_SAID_H

#include <bus/type.h>
#include <stddef.h>

typedef struct echo_Said {
    int64_t number;
    bus_string text;
} echo_Said;

static const bus_shape shape_long = { .kind = BUS_KIND_LONG, .wire = BUS_KIND_LONG, .size = sizeof(int64_t), .least = 1 };
static const bus_shape shape_string = {
    .kind = BUS_KIND_STRING, .wire = BUS_KIND_STRING, .size = sizeof(bus_string), .least = 1
};
static const bus_field said_fields[] = {
    { "number", &shape_long, offsetof(echo_Said, number) },
    { "text", &shape_string, offsetof(echo_Said, text) },
};
static const bus_shape said_shape = {
    .kind = BUS_KIND_RECORD,
    .wire = BUS_KIND_RECORD,
    .size = sizeof(echo_Said),
    .least = 2,
    .count = 2,
    .name = "echo.Said",
    .fields = said_fields,
};
#define SAID_CANONICAL \
    "{\"name\":\"echo.Said\",\"type\":\"record\",\"fields\":[{\"name\":\"number\",\"type\":\"long\"}," \
    "{\"name\":\"text\",\"type\":\"string\"}]}"
static const bus_type echo_Said_type = {
    .layout = BUS_TYPE_LAYOUT,
    .name = "echo.Said",
    .json = SAID_CANONICAL,
    .canonical = SAID_CANONICAL,
    .fingerprint = UINT64_C(0x7017B0A6DD8E8B2F),
    .shape = &said_shape,
};

#endif
