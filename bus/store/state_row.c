/* SPDX-License-Identifier: MIT
 * State row: one struct to the columns of its row and back. */
#include "base/error.h"
#include "codec/json_logical.h"
#include "codec/utf8.h"
#include "codec/uuid_text.h"
#include "store/internal.h"

#include <math.h>
#include <string.h>

/* The value of a field, and its shape; NULL: it is absent. */
static const void *value_of(const bus_field *field, const void *row, const bus_shape **shape)
{
    const char *at = (const char *)row + field->offset;
    *shape = field->shape;
    if (field->shape->kind != BUS_KIND_OPTIONAL)
        return at;
    *shape = field->shape->item;
    return *(const bool *)at ? at + field->shape->offset : NULL;
}

static int64_t integer_of(const bus_shape *shape, const void *value)
{
    int32_t narrow;
    int64_t wide;
    if (shape->kind == BUS_KIND_LONG) {
        memcpy(&wide, value, sizeof wide);
        return wide;
    }
    memcpy(&narrow, value, sizeof narrow);
    return narrow;
}

static double real_of(const bus_shape *shape, const void *value)
{
    return shape->kind == BUS_KIND_FLOAT ? (double)*(const float *)value : *(const double *)value;
}

/* Text and bytes are the same struct by another name. */
static bool is_string(const bus_shape *shape)
{
    return shape->kind == BUS_KIND_STRING || shape->kind == BUS_KIND_BYTES;
}

bool bui_state_is_key(const bui_state_table *table, uint32_t field)
{
    for (uint32_t i = 0; i < table->of->key_count; i++)
        if (table->of->key[i] == field)
            return true;
    return false;
}

/* ---- does it fit? What would be found out by the commit must be the error of the handler that saved it. */

static const char *unfit_decimal(const bus_shape *shape, const bus_decimal *decimal)
{
    int64_t rest = decimal->unscaled;
    if (decimal->scale != shape->scale && rest != 0)
        return "has another scale than its schema";
    for (int32_t i = 0; i < shape->precision; i++)
        rest /= 10;
    return rest ? "has more digits than its schema" : NULL;
}

static const char *unfit(const bus_shape *shape, const void *value)
{
    switch (shape->kind) {
    case BUS_KIND_STRING: {
        const bus_string *text = value;
        return text->len && !text->at                              ? "has a length and no bytes"
               : text->len && !bui_utf8_check(text->at, text->len) ? "is no UTF-8"
                                                                   : NULL;
    }
    case BUS_KIND_BYTES: {
        const bus_bytes *bytes = value;
        return bytes->len && !bytes->at ? "has a length and no bytes" : NULL;
    }
    case BUS_KIND_ENUM: return (uint64_t)integer_of(shape, value) >= shape->count ? "is no symbol of its enum" : NULL;
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return isnan(real_of(shape, value)) ? "is NaN, which SQLite would make NULL" : NULL;
    case BUS_KIND_DECIMAL: return unfit_decimal(shape, value);
    default: return NULL;
    }
}

static bus_status field_unfit(const bui_state_table *table, const bus_field *field, const char *why, bus_error *err)
{
    return bui_fail(err, BUS_INVALID, "state %s: field %s %s", table->of->type->name, field->name, why);
}

bus_status bui_state_fits(const bui_state_table *table, const void *row, bool key_only, bus_error *err)
{
    for (uint32_t i = 0; i < (key_only ? table->of->key_count : table->shape->count); i++) {
        const bus_field *field = &table->shape->fields[key_only ? table->of->key[i] : i];
        const bus_shape *shape;
        const void *value = value_of(field, row, &shape);
        const char *why = value ? unfit(shape, value) : NULL;
        if (why)
            return field_unfit(table, field, why, err);
    }
    return BUS_OK;
}

/* ---- into a statement */

static int bind_decimal(sqlite3_stmt *stmt, int at, const bus_shape *shape, const bus_decimal *decimal)
{
    uint8_t bytes[8];
    bui_buf text;
    bui_buf_init(&text, 0);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)decimal->unscaled >> (56 - 8 * i));
    int rc = bui_decimal_write(bytes, sizeof bytes, shape->scale, &text) && bui_buf_ok(&text)
                 ? sqlite3_bind_text(stmt, at, (const char *)text.data, (int)text.len, SQLITE_TRANSIENT)
                 : SQLITE_NOMEM;
    bui_buf_free(&text);
    return rc;
}

static int bind_value(sqlite3_stmt *stmt, int at, const bus_shape *shape, const void *value)
{
    switch (shape->kind) {
    case BUS_KIND_BOOLEAN: return sqlite3_bind_int(stmt, at, *(const bool *)value);
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return sqlite3_bind_int64(stmt, at, integer_of(shape, value));
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return sqlite3_bind_double(stmt, at, real_of(shape, value));
    case BUS_KIND_STRING: {
        const bus_string *text = value;
        return sqlite3_bind_text64(stmt, at, text->len ? text->at : "", text->len, SQLITE_STATIC, SQLITE_UTF8);
    }
    case BUS_KIND_BYTES: {
        const bus_bytes *bytes = value;
        return sqlite3_bind_blob64(stmt, at, bytes->len ? bytes->at : "", bytes->len, SQLITE_STATIC);
    }
    case BUS_KIND_FIXED: return sqlite3_bind_blob(stmt, at, value, (int)shape->count, SQLITE_STATIC);
    case BUS_KIND_ENUM: return sqlite3_bind_text(stmt, at, shape->symbols[integer_of(shape, value)], -1, SQLITE_STATIC);
    case BUS_KIND_UUID: {
        char text[BUI_UUID_TEXT];
        bui_uuid_to_text(value, text);
        return sqlite3_bind_text(stmt, at, text, sizeof text, SQLITE_TRANSIENT);
    }
    case BUS_KIND_DECIMAL: return bind_decimal(stmt, at, shape, value);
    default: return SQLITE_MISUSE;
    }
}

bus_status bui_state_bind(bui_store *store, const bui_state_table *table, sqlite3_stmt *stmt, const void *row, bool key_only,
                          bus_error *err)
{
    for (uint32_t i = 0; i < (key_only ? table->of->key_count : table->shape->count); i++) {
        const bus_shape *shape;
        const void *value = value_of(&table->shape->fields[key_only ? table->of->key[i] : i], row, &shape);
        int rc = value ? bind_value(stmt, (int)i + 1, shape, value) : sqlite3_bind_null(stmt, (int)i + 1);
        if (rc != SQLITE_OK)
            return bui_store_fail(store, rc, "binding a state's row", err);
    }
    return BUS_OK;
}

/* ---- from a statement */

/* Why the column is not of this shape; NULL: *out is filled. */
static const char *read_decimal(sqlite3_stmt *stmt, int at, const bus_shape *shape, bus_decimal *out)
{
    uint8_t bytes[BUI_DECIMAL_BYTES];
    size_t len;
    const char *text = (const char *)sqlite3_column_text(stmt, at);
    if (!text || !bui_decimal_read(text, (size_t)sqlite3_column_bytes(stmt, at), shape->scale, bytes, &len) || len > 8)
        return "holds no decimal of its scale";
    uint64_t number = len && bytes[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < len; i++)
        number = number << 8 | bytes[i];
    *out = (bus_decimal){ (int64_t)number, shape->scale };
    return NULL;
}

static const char *read_enum(sqlite3_stmt *stmt, int at, const bus_shape *shape, void *out)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);
    for (uint32_t i = 0; text && i < shape->count; i++)
        if (strcmp(text, shape->symbols[i]) == 0) {
            memcpy(out, &i, sizeof i);
            return NULL;
        }
    return "holds no symbol of its enum";
}

static const char *read_integer(sqlite3_stmt *stmt, int at, const bus_shape *shape, void *out)
{
    int64_t wide = sqlite3_column_int64(stmt, at);
    int32_t narrow = (int32_t)wide;
    if (sqlite3_column_type(stmt, at) != SQLITE_INTEGER)
        return "holds no integer";
    if (shape->kind == BUS_KIND_LONG)
        memcpy(out, &wide, sizeof wide);
    else if (narrow != wide)
        return "holds a number that an int does not";
    else
        memcpy(out, &narrow, sizeof narrow);
    return NULL;
}

static const char no_memory[] = "no memory", no_room[] = "is too big";

static const char *read_string(sqlite3_stmt *stmt, int at, const bus_shape *shape, bui_arena *arena, void *out)
{
    bool text = shape->kind == BUS_KIND_STRING;
    const void *bytes = text ? (const void *)sqlite3_column_text(stmt, at) : sqlite3_column_blob(stmt, at);
    size_t len = (size_t)sqlite3_column_bytes(stmt, at);
    const char *copy = len && bytes ? bui_arena_copy(arena, bytes, len) : "";
    if (!copy || (len && !bytes))
        return bytes && bui_state_full(arena, len + 1) ? no_room : no_memory;
    if (text)
        *(bus_string *)out = (bus_string){ copy, len };
    else
        *(bus_bytes *)out = (bus_bytes){ copy, len };
    return NULL;
}

static const char *read_value(sqlite3_stmt *stmt, int at, const bus_shape *shape, bui_arena *arena, void *out)
{
    switch (shape->kind) {
    case BUS_KIND_BOOLEAN: *(bool *)out = sqlite3_column_int(stmt, at) != 0; return NULL;
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return read_integer(stmt, at, shape, out);
    case BUS_KIND_FLOAT: *(float *)out = (float)sqlite3_column_double(stmt, at); return NULL;
    case BUS_KIND_DOUBLE: *(double *)out = sqlite3_column_double(stmt, at); return NULL;
    case BUS_KIND_STRING:
    case BUS_KIND_BYTES: return read_string(stmt, at, shape, arena, out);
    case BUS_KIND_ENUM: return read_enum(stmt, at, shape, out);
    case BUS_KIND_FIXED: {
        const void *bytes = sqlite3_column_blob(stmt, at);
        if (!bytes || sqlite3_column_bytes(stmt, at) != (int)shape->count)
            return "holds another number of bytes";
        memcpy(out, bytes, shape->count);
        return NULL;
    }
    case BUS_KIND_UUID: {
        const char *text = (const char *)sqlite3_column_text(stmt, at);
        bool ok = text && bui_uuid_from_text(text, (size_t)sqlite3_column_bytes(stmt, at), out);
        return ok ? NULL : "holds no UUID";
    }
    case BUS_KIND_DECIMAL: return read_decimal(stmt, at, shape, out);
    default: return "is of a kind that no state has";
    }
}

bus_status bui_state_read(bui_store *store, const bui_state_table *table, sqlite3_stmt *stmt, bui_arena *arena, void *out,
                          bus_error *err)
{
    for (uint32_t i = 0; i < table->shape->count; i++) {
        const bus_field *field = &table->shape->fields[i];
        const bus_shape *shape = field->shape;
        char *at = (char *)out + field->offset;
        bool optional = shape->kind == BUS_KIND_OPTIONAL, null = sqlite3_column_type(stmt, (int)i) == SQLITE_NULL;
        if (optional && null) {
            memset(at, 0, shape->size);
            continue;
        }
        if (optional) {
            *(bool *)at = true;
            at += shape->offset;
            shape = shape->item;
        }
        const char *why = null ? "is NULL" : read_value(stmt, (int)i, shape, arena, at);
        if (why == no_memory)
            return bui_fail_nomem(err);
        if (why == no_room)
            return bui_fail(err, BUS_TOO_BIG, BUI_STATE_TOO_BIG, table->of->table);
        if (why)
            return bui_fail(err, BUS_INVALID, "%s: a row of table %s: column %s %s", store->path, table->of->table, field->name,
                            why);
    }
    return BUS_OK;
}

/* ---- in memory */

static bool copy_string(bus_string *text, const bus_string *old, bui_arena *arena)
{
    if (text->len == 0)
        text->at = "";
    else if (old && old->len == text->len && memcmp(old->at, text->at, text->len) == 0)
        text->at = old->at;
    else
        text->at = bui_arena_copy(arena, text->at, text->len);
    return text->at != NULL;
}

bool bui_state_copy(const bui_state_table *table, const void *row, bool key_only, const void *old, bui_arena *arena, void *to)
{
    memcpy(to, row, table->shape->size);
    for (uint32_t i = 0; i < table->shape->count; i++) {
        const bus_shape *shape, *same;
        const void *value = value_of(&table->shape->fields[i], to, &shape);
        if (!value || !is_string(shape) || (key_only && !bui_state_is_key(table, i))) /* it may be anything */
            continue;
        const void *before = old ? value_of(&table->shape->fields[i], old, &same) : NULL;
        if (!copy_string((bus_string *)(uintptr_t)value, before, arena))
            return false;
    }
    return true;
}

void bui_state_key(const bui_state_table *table, size_t place, const void *row, bui_buf *out)
{
    bui_buf_clear(out);
    bui_buf_byte(out, (uint8_t)place);
    bui_buf_byte(out, (uint8_t)(place >> 8));
    for (uint32_t i = 0; i < table->of->key_count; i++) {
        const bus_shape *shape;
        const void *value = value_of(&table->shape->fields[table->of->key[i]], row, &shape);
        if (!is_string(shape)) {
            bui_buf_add(out, value, shape->size);
            continue;
        }
        const bus_string *text = value;
        if (i + 1 < table->of->key_count)
            bui_buf_add(out, &text->len, sizeof text->len);
        bui_buf_add(out, text->at, text->len);
    }
}
