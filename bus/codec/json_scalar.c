/* SPDX-License-Identifier: MIT
 * JSON scalars: one JSON value as one Avro value that holds no other, and how well the two fit. */
#include "codec/json_logical.h"
#include "codec/json_reader.h"
#include "codec/uuid_text.h"
#include "codec/varint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- output */

bool bui_json_put(bui_json_reader *r, const void *bytes, size_t len)
{
    if (!r->out || len == 0)
        return true;
    bui_buf_add(r->out, bytes, len);
    if (bui_buf_ok(r->out))
        return true;
    return r->out->over ? bui_fault_set(&r->fault, BUS_TOO_BIG, "the body is over %zu bytes", r->out->limit)
                        : bui_fault_nomem(&r->fault);
}

bool bui_json_put_long(bui_json_reader *r, int64_t value)
{
    uint8_t bytes[BUI_VARINT_MAX];
    return bui_json_put(r, bytes, (size_t)(bui_varint_write(bytes, value) - bytes));
}

static bool put_le(bui_json_reader *r, uint64_t value, size_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++, value >>= 8)
        bytes[i] = (uint8_t)value;
    return bui_json_put(r, bytes, n);
}

/* ---- what texts mean */

const char *bui_json_kind(const json_t *json)
{
    static const char *const names[] = { "an object", "an array", "a string", "an integer", "a number", "true", "false", "null" };
    return names[json_typeof(json)];
}

bool bui_json_unfit(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    return bui_fault_set(&r->fault, BUS_INVALID, "%s where the schema has %s", bui_json_kind(json), node->name);
}

/* The next character as a byte; false above U+00FF. jansson gives well-formed UTF-8. */
static bool next_byte(const char **at, uint8_t *out)
{
    uint8_t first = (uint8_t) * *at;
    if (first < 0x80) {
        *out = first;
        *at += 1;
        return true;
    }
    if (first > 0xC3)
        return false;
    *out = (uint8_t)(first << 6 | ((uint8_t)(*at)[1] & 0x3F));
    *at += 2;
    return true;
}

/* How many bytes the string stands for; false if a character is no byte. */
static bool count_bytes(const json_t *json, size_t *count)
{
    const char *at = json_string_value(json), *end = at + json_string_length(json);
    uint8_t byte;
    for (*count = 0; at < end; ++*count)
        if (!next_byte(&at, &byte))
            return false;
    return true;
}

static bool readable_logicals(const bui_json_reader *r)
{
    return !r->in_default && !r->avro;
}

static bool is_too_long(const bui_json_reader *r, const bui_node *node, const uint8_t *bytes, size_t len)
{
    return r->strict && node->logical == BUS_LOGICAL_DECIMAL && bui_decimal_digits(bytes, len) > (size_t)node->precision;
}

/* The bytes of a logical type's text, of which *len are filled; false: it is no such text. A decimal may be a whole number. */
static bool meant_bytes(const bui_node *node, const json_t *json, uint8_t out[BUI_DECIMAL_BYTES], size_t *len)
{
    char number[32];
    const char *text = json_is_integer(json) ? number : json_string_value(json);
    size_t text_len = json_string_length(json);
    if (json_is_integer(json))
        text_len = (size_t)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    if (!text || (json_is_integer(json) && node->logical != BUS_LOGICAL_DECIMAL))
        return false;
    *len = node->count;
    if (node->logical == BUS_LOGICAL_UUID && node->kind == BUS_KIND_FIXED)
        return bui_uuid_from_text(text, text_len, out);
    if (node->logical == BUS_LOGICAL_DURATION)
        return bui_duration_read(text, text_len, out);
    if (node->logical != BUS_LOGICAL_DECIMAL || node->scale > BUI_DECIMAL_BYTES ||
        !bui_decimal_read(text, text_len, node->scale, out, len))
        return false;
    if (node->kind == BUS_KIND_BYTES)
        return true;
    if (*len > node->count || node->count > BUI_DECIMAL_BYTES)
        return false;
    memmove(out + node->count - *len, out, *len);
    memset(out, out[node->count - *len] & 0x80 ? 0xFF : 0, node->count - *len);
    *len = node->count;
    return true;
}

/* Decimals in digits are not read as bytes: "12" would be both. */
static bool must_be_digits(const bui_json_reader *r, const bui_node *node, const json_t *json)
{
    return readable_logicals(r) && node->logical == BUS_LOGICAL_DECIMAL && node->scale <= BUI_DECIMAL_BYTES &&
           json_string_length(json) <= BUI_DECIMAL_BYTES;
}

static bool refuse_digits(bui_json_reader *r, const bui_node *node, const uint8_t *bytes, size_t len)
{
    return bui_fault_set(&r->fault, BUS_INVALID,
                         "a decimal of %zu digits, %d of them after the point, where the schema's precision is %d",
                         bui_decimal_digits(bytes, len), node->scale, node->precision);
}

/* Of what is written as bytes. */
static bool check_digits(bui_json_reader *r, const bui_node *node, const json_t *json, size_t count)
{
    const char *at = json_string_value(json);
    uint8_t *bytes = r->strict && node->logical == BUS_LOGICAL_DECIMAL ? malloc(count + 1) : NULL;
    if (!bytes)
        return !r->strict || node->logical != BUS_LOGICAL_DECIMAL || bui_fault_nomem(&r->fault);
    for (size_t i = 0; i < count; i++)
        next_byte(&at, &bytes[i]);
    bool good = !is_too_long(r, node, bytes, count) || refuse_digits(r, node, bytes, count);
    free(bytes);
    return good;
}

static bool read_bytes(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    uint8_t meant[BUI_DECIMAL_BYTES];
    size_t count;
    if (readable_logicals(r) && meant_bytes(node, json, meant, &count))
        return !is_too_long(r, node, meant, count)
                   ? (node->kind == BUS_KIND_FIXED || bui_json_put_long(r, (int64_t)count)) && bui_json_put(r, meant, count)
                   : refuse_digits(r, node, meant, count);
    if (!json_is_string(json))
        return bui_json_unfit(r, node, json);
    if (must_be_digits(r, node, json) &&
        bui_decimal_read(json_string_value(json), json_string_length(json), node->scale, meant, &count) &&
        is_too_long(r, node, meant, count))
        return refuse_digits(r, node, meant, count);
    if (must_be_digits(r, node, json))
        return bui_fault_set(&r->fault, BUS_INVALID,
                             "\"%.40s\" is not a decimal with at most %d digits after the point that fits: "
                             "write a string like \"-12.50\"",
                             json_string_value(json), node->scale);
    if (!count_bytes(json, &count))
        return bui_fault_set(&r->fault, BUS_INVALID, "bytes are written one character a byte, \\u0000 to \\u00ff");
    if (node->kind == BUS_KIND_FIXED && count != node->count)
        return bui_fault_set(&r->fault, BUS_INVALID, "%zu bytes where %s has %zu", count, node->name, node->count);
    if (!check_digits(r, node, json, count) || (node->kind == BUS_KIND_BYTES && !bui_json_put_long(r, (int64_t)count)))
        return false;
    const char *at = json_string_value(json), *end = at + json_string_length(json);
    uint8_t chunk[256];
    while (at < end) {
        size_t n = 0;
        while (at < end && n < sizeof chunk)
            next_byte(&at, &chunk[n++]);
        if (!bui_json_put(r, chunk, n))
            return false;
    }
    return true;
}

static int64_t find_symbol(const bui_node *node, const json_t *json)
{
    for (size_t i = 0; json_is_string(json) && i < node->count; i++)
        if (strcmp(node->symbols[i], json_string_value(json)) == 0)
            return (int64_t)i;
    return -1;
}

static bool read_enum(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    int64_t symbol = find_symbol(node, json);
    if (!json_is_string(json))
        return bui_json_unfit(r, node, json);
    if (symbol < 0)
        return bui_fault_set(&r->fault, BUS_INVALID, "\"%.60s\" is not a symbol of %s", json_string_value(json), node->name);
    return bui_json_put_long(r, symbol);
}

static const char *logical_example(bus_logical logical)
{
    switch (logical) {
    case BUS_LOGICAL_DATE: return "date such as 2026-11-21";
    case BUS_LOGICAL_TIME_MILLIS:
    case BUS_LOGICAL_TIME_MICROS: return "time such as 13:07:59.042";
    case BUS_LOGICAL_TIMESTAMP_MILLIS:
    case BUS_LOGICAL_TIMESTAMP_MICROS: return "timestamp such as 2026-11-21T13:07:59.042Z";
    default: return "local timestamp such as 2026-11-21T13:07:59.042";
    }
}

/* A time of day ends with the day: readers elsewhere fail on more. */
static bool is_within_day(const bui_json_reader *r, const bui_node *node, json_int_t value)
{
    const json_int_t day = node->logical == BUS_LOGICAL_TIME_MILLIS ? 86400000 : INT64_C(86400000000);
    return !r->strict || (node->logical != BUS_LOGICAL_TIME_MILLIS && node->logical != BUS_LOGICAL_TIME_MICROS) ||
           (value >= 0 && value < day);
}

static bool read_integer(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    json_int_t value = json_integer_value(json);
    int64_t meant;
    if (json_is_string(json) && readable_logicals(r) && node->logical != BUS_LOGICAL_NONE) {
        if (!bui_logical_read(node->logical, json_string_value(json), json_string_length(json), &meant))
            return bui_fault_set(&r->fault, BUS_INVALID, "\"%.60s\" is not a %s", json_string_value(json),
                                 logical_example(node->logical));
        value = meant;
    } else if (!json_is_integer(json)) {
        return bui_json_unfit(r, node, json);
    }
    if (node->kind == BUS_KIND_INT && (value < INT32_MIN || value > INT32_MAX))
        return bui_fault_set(&r->fault, BUS_INVALID, "%" JSON_INTEGER_FORMAT " does not fit an int of 32 bits", value);
    if (!is_within_day(r, node, value))
        return bui_fault_set(&r->fault, BUS_INVALID,
                             "%" JSON_INTEGER_FORMAT " is not a time of day in %s: those are from 0 to "
                             "below 24 hours",
                             value, node->logical == BUS_LOGICAL_TIME_MILLIS ? "milliseconds" : "microseconds");
    return bui_json_put_long(r, value);
}

/* NaN and the infinities have no JSON number. */
static bool named_number(const json_t *json, double *out)
{
    static const struct {
        const char *name;
        double value;
    } names[] = {
        { "NaN", (double)NAN },
        { "Infinity", (double)INFINITY },
        { "-Infinity", -(double)INFINITY },
    };
    for (size_t i = 0; json_is_string(json) && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, json_string_value(json)) == 0) {
            *out = names[i].value;
            return true;
        }
    return false;
}

static bool read_real(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    double value;
    if (json_is_integer(json)) {
        json_int_t whole = json_integer_value(json);
        value = (double)whole;
        if (value >= 0x1p63 || (json_int_t)value != whole)
            return bui_fault_set(&r->fault, BUS_INVALID, "%" JSON_INTEGER_FORMAT " has more digits than a %s", whole, node->name);
    } else if (json_is_real(json)) {
        value = json_real_value(json);
    } else if (!named_number(json, &value)) {
        return bui_json_unfit(r, node, json);
    }
    if (node->kind == BUS_KIND_DOUBLE) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        return put_le(r, bits, 8);
    }
    float narrow = (float)value;
    uint32_t bits;
    if (isinf(narrow) && !isinf(value))
        return bui_fault_set(&r->fault, BUS_INVALID, "%g is too large for a float", value);
    memcpy(&bits, &narrow, sizeof bits);
    return put_le(r, bits, 4);
}

/* Or need not be one. */
static bool is_uuid(const bui_json_reader *r, const bui_node *node, const json_t *json)
{
    uint8_t uuid[16];
    return !r->strict || node->logical != BUS_LOGICAL_UUID ||
           bui_uuid_from_text(json_string_value(json), json_string_length(json), uuid);
}

static bool read_string(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    if (!json_is_string(json))
        return bui_json_unfit(r, node, json);
    if (!is_uuid(r, node, json))
        return bui_fault_set(&r->fault, BUS_INVALID, "\"%.60s\" is not a UUID such as 0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55",
                             json_string_value(json));
    return bui_json_put_long(r, (int64_t)json_string_length(json)) &&
           bui_json_put(r, json_string_value(json), json_string_length(json));
}

bool bui_json_reader_scalar(bui_json_reader *r, const bui_node *node, const json_t *json)
{
    switch (node->kind) {
    case BUS_KIND_NULL: return json_is_null(json) || bui_json_unfit(r, node, json);
    case BUS_KIND_BOOLEAN: {
        uint8_t byte = json_is_true(json);
        return json_is_boolean(json) ? bui_json_put(r, &byte, 1) : bui_json_unfit(r, node, json);
    }
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return read_integer(r, node, json);
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return read_real(r, node, json);
    case BUS_KIND_STRING: return read_string(r, node, json);
    case BUS_KIND_BYTES:
    case BUS_KIND_FIXED: return read_bytes(r, node, json);
    case BUS_KIND_ENUM: return read_enum(r, node, json);
    default: return bui_fault_set(&r->fault, BUS_BUG, "a schema's node of kind %d", (int)node->kind);
    }
}

int bui_json_fitness(const bui_json_reader *r, const bui_node *node, const json_t *json)
{
    size_t count;
    double number;
    int64_t whole;
    uint8_t meant[BUI_DECIMAL_BYTES];
    const int as_base = node->logical == BUS_LOGICAL_NONE ? 3 : 2;
    if (readable_logicals(r) && (node->kind == BUS_KIND_BYTES || node->kind == BUS_KIND_FIXED) &&
        meant_bytes(node, json, meant, &count))
        return is_too_long(r, node, meant, count) ? 0 : json_is_string(json) ? 3 : 1;
    if (json_is_string(json) && readable_logicals(r) && (node->kind == BUS_KIND_INT || node->kind == BUS_KIND_LONG))
        return bui_logical_read(node->logical, json_string_value(json), json_string_length(json), &whole) ? 3 : 0;
    if (json_is_string(json) && (node->kind == BUS_KIND_BYTES || node->kind == BUS_KIND_FIXED) && must_be_digits(r, node, json))
        return 0;
    switch (node->kind) {
    case BUS_KIND_NULL: return json_is_null(json) ? 3 : 0;
    case BUS_KIND_BOOLEAN: return json_is_boolean(json) ? 3 : 0;
    case BUS_KIND_INT:
        return json_is_integer(json) && json_integer_value(json) >= INT32_MIN && json_integer_value(json) <= INT32_MAX ? as_base
                                                                                                                       : 0;
    case BUS_KIND_LONG: return json_is_integer(json) ? as_base : 0;
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return json_is_real(json) ? 3 : json_is_integer(json) || named_number(json, &number) ? 1 : 0;
    case BUS_KIND_STRING: return json_is_string(json) && is_uuid(r, node, json) ? 3 : 0;
    case BUS_KIND_BYTES: return json_is_string(json) && count_bytes(json, &count) ? 3 : 0;
    case BUS_KIND_FIXED: return json_is_string(json) && count_bytes(json, &count) && count == node->count ? 3 : 0;
    case BUS_KIND_ENUM: return find_symbol(node, json) >= 0 ? 3 : 0;
    case BUS_KIND_ARRAY: return json_is_array(json) ? 3 : 0;
    case BUS_KIND_RECORD:
    case BUS_KIND_MAP: return json_is_object(json) ? 3 : 0;
    default: return 0;
    }
}

bool bui_json_near(const bui_node *node, const json_t *json)
{
    switch (node->kind) {
    case BUS_KIND_NULL: return json_is_null(json);
    case BUS_KIND_BOOLEAN: return json_is_boolean(json);
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return json_is_number(json) || (json_is_string(json) && node->logical != BUS_LOGICAL_NONE);
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return json_is_number(json);
    case BUS_KIND_BYTES:
    case BUS_KIND_FIXED: return json_is_string(json) || (json_is_number(json) && node->logical == BUS_LOGICAL_DECIMAL);
    case BUS_KIND_STRING:
    case BUS_KIND_ENUM: return json_is_string(json);
    case BUS_KIND_ARRAY: return json_is_array(json);
    default: return json_is_object(json);
    }
}
