/* SPDX-License-Identifier: MIT
 * Order, the SQL. States are stored as words, so that a person with sqlite3 reads them. */
#include "store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

const bus_migration order_migrations[] = {
    { "orders",
      "CREATE TABLE orders (\n"
      "  order_id    TEXT NOT NULL PRIMARY KEY,\n"
      "  customer    TEXT NOT NULL,\n"
      "  card        TEXT NOT NULL,\n"
      "  state       TEXT NOT NULL CHECK (state IN ('reserving', 'paying', 'confirmed', 'cancelled')),\n"
      "  payment     TEXT NOT NULL CHECK (payment IN ('none', 'asked', 'taken', 'declined', 'refunding', 'refunded')),\n"
      "  reason      TEXT NOT NULL CHECK (reason IN ('', 'out of stock', 'payment declined', 'timed out')),\n"
      "  missing     TEXT NOT NULL,\n"
      "  detail      TEXT NOT NULL,\n"
      "  reference   TEXT NOT NULL,\n"
      "  total_cents INTEGER NOT NULL CHECK (total_cents >= 0),\n"
      "  deadline    INTEGER NOT NULL,\n"
      "  CHECK ((state = 'confirmed') = (payment = 'taken'))\n"
      ") WITHOUT ROWID;\n"
      "CREATE TABLE order_line (\n"
      "  order_id         TEXT NOT NULL,\n"
      "  line             INTEGER NOT NULL,\n"
      "  sku              TEXT NOT NULL,\n"
      "  quantity         INTEGER NOT NULL CHECK (quantity > 0),\n"
      "  unit_price_cents INTEGER NOT NULL CHECK (unit_price_cents >= 0),\n"
      "  state            TEXT NOT NULL CHECK (state IN ('asked', 'reserved', 'rejected', 'releasing', 'released')),\n"
      "  PRIMARY KEY (order_id, line)\n"
      ") WITHOUT ROWID;\n" },
    { NULL, NULL }
};

static const char *const states[] = { "", "reserving", "paying", "confirmed", "cancelled", NULL };
static const char *const payments[] = { "none", "asked", "taken", "declined", "refunding", "refunded", NULL };
static const char *const reasons[] = { "", "out of stock", "payment declined", "timed out", NULL };
static const char *const line_states[] = { "asked", "reserved", "rejected", "releasing", "released", NULL };

/* The CHECKs above and these lists name the same words: a word from the store is always found. */
static int word(const char *const *words, sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    for (int i = 0; text != NULL && words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return 0;
}

static void column(char *out, size_t cap, sqlite3_stmt *row, int at)
{
    const char *text = (const char *)sqlite3_column_text(row, at);
    snprintf(out, cap, "%s", text ? text : "");
}

static bool load_lines(bus_tx *tx, order *out)
{
    sqlite3_stmt *q = bus_sql(tx, "SELECT sku, quantity, unit_price_cents, state FROM order_line"
                                  " WHERE order_id = ?1 ORDER BY line");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(out->id));
    int rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW && out->line_count < ORDER_LINES_MAX; rc = sqlite3_step(q)) {
        order_line *line = &out->lines[out->line_count++];
        column(line->sku, sizeof line->sku, q, 0);
        line->quantity = sqlite3_column_int(q, 1);
        line->unit_price_cents = sqlite3_column_int64(q, 2);
        line->state = (order_line_state)word(line_states, q, 3);
    }
    return rc == SQLITE_DONE;
}

bool order_load(bus_tx *tx, const char *id, order *out)
{
    *out = (order){ .state = ORDER_NONE };
    sqlite3_stmt *q = bus_sql(tx, "SELECT order_id, customer, card, state, payment, reason, missing, detail, reference,"
                                  " total_cents, deadline FROM orders WHERE order_id = ?1");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(id));
    int rc = sqlite3_step(q);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE;
    column(out->id, sizeof out->id, q, 0);
    column(out->customer, sizeof out->customer, q, 1);
    column(out->card, sizeof out->card, q, 2);
    out->state = (order_state)word(states, q, 3);
    out->payment = (order_payment)word(payments, q, 4);
    out->reason = (order_reason)word(reasons, q, 5);
    column(out->missing, sizeof out->missing, q, 6);
    column(out->detail, sizeof out->detail, q, 7);
    column(out->reference, sizeof out->reference, q, 8);
    out->total_cents = sqlite3_column_int64(q, 9);
    out->deadline = sqlite3_column_int64(q, 10);
    return load_lines(tx, out);
}

static bool save_line(bus_tx *tx, const char *id, size_t at, const order_line *line)
{
    sqlite3_stmt *q = bus_sql(tx, "INSERT INTO order_line (order_id, line, sku, quantity, unit_price_cents, state)"
                                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                                  " ON CONFLICT (order_id, line) DO UPDATE SET state = excluded.state");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(id));
    sqlite3_bind_int64(q, 2, (sqlite3_int64)at);
    bus_bind_text(q, 3, bus_str(line->sku));
    sqlite3_bind_int(q, 4, line->quantity);
    sqlite3_bind_int64(q, 5, line->unit_price_cents);
    bus_bind_text(q, 6, bus_str(line_states[line->state]));
    bool ok = sqlite3_step(q) == SQLITE_DONE;
    sqlite3_reset(q);
    return ok;
}

bool order_save(bus_tx *tx, const order *before, const order *after)
{
    sqlite3_stmt *q = bus_sql(tx, "INSERT INTO orders (order_id, customer, card, state, payment, reason, missing, detail,"
                                  " reference, total_cents, deadline)"
                                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
                                  " ON CONFLICT (order_id) DO UPDATE SET state = excluded.state,"
                                  " payment = excluded.payment, reason = excluded.reason, missing = excluded.missing,"
                                  " detail = excluded.detail, reference = excluded.reference");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(after->id));
    bus_bind_text(q, 2, bus_str(after->customer));
    bus_bind_text(q, 3, bus_str(after->card));
    bus_bind_text(q, 4, bus_str(states[after->state]));
    bus_bind_text(q, 5, bus_str(payments[after->payment]));
    bus_bind_text(q, 6, bus_str(reasons[after->reason]));
    bus_bind_text(q, 7, bus_str(after->missing));
    bus_bind_text(q, 8, bus_str(after->detail));
    bus_bind_text(q, 9, bus_str(after->reference));
    sqlite3_bind_int64(q, 10, after->total_cents);
    sqlite3_bind_int64(q, 11, after->deadline);
    if (sqlite3_step(q) != SQLITE_DONE)
        return false;
    for (size_t i = 0; i < after->line_count; i++)
        if ((i >= before->line_count || before->lines[i].state != after->lines[i].state) &&
            !save_line(tx, after->id, i, &after->lines[i]))
            return false;
    return true;
}

bus_verdict order_store_failed(bus_tx *tx)
{
    return bus_retry(tx, "the store failed: %s", sqlite3_errmsg(bus_db(tx)));
}
