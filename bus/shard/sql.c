/* SPDX-License-Identifier: MIT
 * SQL: values of events into a handler's statements and back. A bind that fails would leave NULL where nobody looks: it fails the
 * delivery, as other calls do. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/json_logical.h"
#include "codec/uuid_text.h"
#include <bus/bind.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DECIMAL_TEXT 40 /* more than sign, 19 digits, point, end */

static int bound(sqlite3_stmt *statement, int at, int rc)
{
    bus_tx *tx = rc == SQLITE_OK ? NULL : bui_tx_running();
    if (!tx || tx->error.status || sqlite3_db_handle(statement) != bus_db(tx))
        return rc;
    if (rc == SQLITE_NOMEM)
        bui_fail_nomem(&tx->error);
    else
        bui_fail(&tx->error, BUS_STORE, "binding parameter %d: %s", at, sqlite3_errstr(rc));
    return rc;
}

int bus_bind_text(sqlite3_stmt *statement, int at, bus_string text)
{
    if (!statement) /* bus_sql has failed, which is sticky */
        return SQLITE_MISUSE;
    return bound(statement, at,
                 sqlite3_bind_text64(statement, at, text.len ? text.at : "", text.len, SQLITE_STATIC, SQLITE_UTF8));
}

int bus_bind_optional_text(sqlite3_stmt *statement, int at, bus_string_optional text)
{
    if (!statement || text.present)
        return bus_bind_text(statement, at, text.value);
    return bound(statement, at, sqlite3_bind_null(statement, at));
}

int bus_bind_blob(sqlite3_stmt *statement, int at, bus_bytes bytes)
{
    if (!statement)
        return SQLITE_MISUSE;
    return bound(statement, at, sqlite3_bind_blob64(statement, at, bytes.len ? bytes.at : "", bytes.len, SQLITE_STATIC));
}

int bus_bind_uuid(sqlite3_stmt *statement, int at, bus_uuid uuid)
{
    char text[BUI_UUID_TEXT];
    if (!statement)
        return SQLITE_MISUSE;
    bui_uuid_to_text(uuid.at, text);
    return bound(statement, at, sqlite3_bind_text(statement, at, text, sizeof text, SQLITE_TRANSIENT));
}

static bool decimal_text(bus_decimal decimal, char out[DECIMAL_TEXT])
{
    char digits[DECIMAL_TEXT / 2 + 4];
    bool minus = decimal.unscaled < 0;
    uint64_t number = minus ? -(uint64_t)decimal.unscaled : (uint64_t)decimal.unscaled;
    if (decimal.scale < 0 || decimal.scale > 18)
        return false;
    int whole = snprintf(digits, sizeof digits, "%0*" PRIu64, decimal.scale + 1, number) - decimal.scale;
    snprintf(out, DECIMAL_TEXT, "%s%.*s%s%s", minus ? "-" : "", whole, digits, decimal.scale ? "." : "", digits + whole);
    return true;
}

int bus_bind_decimal(sqlite3_stmt *statement, int at, bus_decimal decimal)
{
    char text[DECIMAL_TEXT];
    if (!statement)
        return SQLITE_MISUSE;
    if (!decimal_text(decimal, text))
        return bound(statement, at, SQLITE_MISMATCH);
    return bound(statement, at, sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT));
}

bus_string bus_column_text(sqlite3_stmt *row, int at)
{
    const char *text = (const char *)sqlite3_column_text(row, at); /* first: the length is that of this text */
    return bus_string_of(text, text ? (size_t)sqlite3_column_bytes(row, at) : 0);
}

bus_string_optional bus_column_optional_text(sqlite3_stmt *row, int at)
{
    bus_string text = bus_column_text(row, at);
    return (bus_string_optional){ text.at != NULL, text };
}

bus_bytes bus_column_blob(sqlite3_stmt *row, int at)
{
    bool null = sqlite3_column_type(row, at) == SQLITE_NULL;
    const void *bytes = sqlite3_column_blob(row, at);
    size_t len = bytes ? (size_t)sqlite3_column_bytes(row, at) : 0;
    return (bus_bytes){ bytes || null ? bytes : "", len }; /* SQLite gives NULL for an empty blob, too */
}

bool bus_column_uuid(sqlite3_stmt *row, int at, bus_uuid *out)
{
    bus_string text = bus_column_text(row, at);
    return bui_uuid_from_text(text.at, text.len, out->at);
}

bool bus_column_decimal(sqlite3_stmt *row, int at, int32_t scale, bus_decimal *out)
{
    bus_string text = bus_column_text(row, at);
    uint8_t bytes[BUI_DECIMAL_BYTES];
    size_t len;
    if (!text.at || !bui_decimal_read(text.at, text.len, scale, bytes, &len) || len > 8)
        return false;
    uint64_t number = bytes[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < len; i++)
        number = number << 8 | bytes[i];
    *out = (bus_decimal){ (int64_t)number, scale };
    return true;
}
