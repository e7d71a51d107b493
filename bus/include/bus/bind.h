/* SPDX-License-Identifier: MIT
 * Bind: the values of events into SQLite's statements and back. Numbers, times and enums are integers: sqlite3_bind_int64 and
 * sqlite3_column_int64 take them as they are.
 *
 *     sqlite3_stmt *insert =
 *         bus_sql(tx, "INSERT INTO voucher VALUES (?1, ?2)");
 *     bus_bind_text(insert, 1, order->order_id);
 *     sqlite3_bind_int64(insert, 2, cents);
 *
 * The result of a bind need not be looked at in a handler: one that fails is sticky, as a failed bus_sql is. */
#ifndef BUS_BIND_H
#define BUS_BIND_H

#include <bus/type.h>

struct sqlite3_stmt;

#ifdef __cplusplus
extern "C" {
#endif

/* Binds a value to the parameter `at` (1 is the first) and returns SQLite's code: 0 is SQLITE_OK. An empty string is the empty
 * text, never NULL; an optional that is absent is NULL. A UUID is its text of 36 letters. A decimal is its text, such as
 * "-12.50": give its column the type TEXT, for a NUMERIC one would make a float of it; to add them up bind `.unscaled`.
 * Thread: the statement's.
 * Errors: as sqlite3_bind_text, SQLITE_MISUSE for NULL; inside a handler or transaction sticky.
 * Owner: text and blobs are borrowed until the statement is bound again or reset for another user: until the handler's end at most. */
int bus_bind_text(struct sqlite3_stmt *statement, int at, bus_string text);
int bus_bind_optional_text(struct sqlite3_stmt *statement, int at, bus_string_optional text);
int bus_bind_blob(struct sqlite3_stmt *statement, int at, bus_bytes bytes);
int bus_bind_uuid(struct sqlite3_stmt *statement, int at, bus_uuid uuid);
int bus_bind_decimal(struct sqlite3_stmt *statement, int at, bus_decimal decimal);

/* The column `at` (0 is the first) of a row. NULL is an empty string or blob with `at` NULL, and an absent optional.
 * Thread: the statement's.
 * Errors: none; without memory as for NULL, which the statement's next step tells.
 * Owner: borrowed until the statement's next step or reset. */
bus_string bus_column_text(struct sqlite3_stmt *row, int at);
bus_string_optional bus_column_optional_text(struct sqlite3_stmt *row, int at);
bus_bytes bus_column_blob(struct sqlite3_stmt *row, int at);

/* The column `at` as bus_bind_uuid and bus_bind_decimal wrote it. false: it is none, or no decimal of that scale that 64 bits hold;
 * then *out is untouched.
 * Thread: the statement's.
 * Errors: none.
 * Owner: keeps nothing. */
bool bus_column_uuid(struct sqlite3_stmt *row, int at, bus_uuid *out);
bool bus_column_decimal(struct sqlite3_stmt *row, int at, int32_t scale, bus_decimal *out);

#ifdef __cplusplus
}
#endif
#endif
