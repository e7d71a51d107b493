/* SPDX-License-Identifier: MIT
 * Schema logical types: an unknown or ill-placed one leaves the base type (Avro specification, "Logical Types"). */
#include "codec/schema_parser.h"

static void read_decimal(bui_node *node)
{
    const json_t *digits = json_object_get(node->json, "precision"), *places = json_object_get(node->json, "scale");
    json_int_t precision = json_integer_value(digits), scale = json_integer_value(places);
    if (!json_is_integer(digits) || precision < 1 || precision > 1000000 || (places && !json_is_integer(places)) || scale < 0 ||
        scale > precision)
        return;
    /* n bytes hold floor(log10(2^(8n-1) - 1)) digits; 0.30103 is log10(2). */
    if (node->kind == BUS_KIND_FIXED &&
        (node->count == 0 || (double)precision > (double)(8 * (uint64_t)node->count - 1) * 0.30102999566398120))
        return;
    node->logical = BUS_LOGICAL_DECIMAL;
    node->precision = (int32_t)precision;
    node->scale = (int32_t)scale;
}

void bui_parser_logical(bui_node *node)
{
    static const struct {
        const char *name;
        bus_kind base;
        size_t size;
        bus_logical logical;
    } table[] = {
        { "uuid", BUS_KIND_STRING, 0, BUS_LOGICAL_UUID },
        { "uuid", BUS_KIND_FIXED, 16, BUS_LOGICAL_UUID },
        { "date", BUS_KIND_INT, 0, BUS_LOGICAL_DATE },
        { "time-millis", BUS_KIND_INT, 0, BUS_LOGICAL_TIME_MILLIS },
        { "time-micros", BUS_KIND_LONG, 0, BUS_LOGICAL_TIME_MICROS },
        { "timestamp-millis", BUS_KIND_LONG, 0, BUS_LOGICAL_TIMESTAMP_MILLIS },
        { "timestamp-micros", BUS_KIND_LONG, 0, BUS_LOGICAL_TIMESTAMP_MICROS },
        { "local-timestamp-millis", BUS_KIND_LONG, 0, BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS },
        { "local-timestamp-micros", BUS_KIND_LONG, 0, BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS },
        { "duration", BUS_KIND_FIXED, 12, BUS_LOGICAL_DURATION },
    };
    const char *name = json_string_value(json_object_get(node->json, "logicalType"));
    if (!name)
        return;
    if (strcmp(name, "decimal") == 0 && (node->kind == BUS_KIND_BYTES || node->kind == BUS_KIND_FIXED)) {
        read_decimal(node);
        return;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0 && table[i].base == node->kind && table[i].size == node->count)
            node->logical = table[i].logical;
}
