/* SPDX-License-Identifier: MIT
 * Inventory, the SQL. The CHECKs say again, where nobody can forget it, that stock is never negative. */
#include "store.h"

#include <sqlite3.h>
#include <string.h>

const bus_migration inventory_migrations[] = { { "stock",
                                                 "CREATE TABLE stock (\n"
                                                 "  sku       TEXT NOT NULL PRIMARY KEY,\n"
                                                 "  available INTEGER NOT NULL CHECK (available >= 0),\n"
                                                 "  reserved  INTEGER NOT NULL CHECK (reserved >= 0)\n"
                                                 ") WITHOUT ROWID;\n"
                                                 "CREATE TABLE reservation (\n"
                                                 "  order_id TEXT NOT NULL,\n"
                                                 "  sku      TEXT NOT NULL,\n"
                                                 "  quantity INTEGER NOT NULL CHECK (quantity >= 0),\n"
                                                 "  state    TEXT NOT NULL CHECK (state IN ('held', 'rejected', 'released')),\n"
                                                 "  PRIMARY KEY (order_id, sku)\n"
                                                 ") WITHOUT ROWID;\n"
                                                 "CREATE TABLE delivery (\n"
                                                 "  delivery TEXT NOT NULL,\n"
                                                 "  sku      TEXT NOT NULL,\n"
                                                 "  quantity INTEGER NOT NULL CHECK (quantity > 0),\n"
                                                 "  PRIMARY KEY (delivery, sku)\n"
                                                 ") WITHOUT ROWID;\n" },
                                               { NULL, NULL } };

static const char *const states[] = { "none", "held", "rejected", "released" };

bool stock_load(bus_tx *tx, const char *sku, stock *out)
{
    *out = (stock){ .known = false };
    sqlite3_stmt *q = bus_sql(tx, "SELECT available, reserved FROM stock WHERE sku = ?1");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(sku));
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *out = (stock){ true, sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1) };
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool stock_save(bus_tx *tx, const char *sku, stock item)
{
    sqlite3_stmt *q = bus_sql(tx, "INSERT INTO stock (sku, available, reserved) VALUES (?1, ?2, ?3)"
                                  " ON CONFLICT (sku) DO UPDATE SET available = excluded.available,"
                                  " reserved = excluded.reserved");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(sku));
    sqlite3_bind_int64(q, 2, item.available);
    sqlite3_bind_int64(q, 3, item.reserved);
    return sqlite3_step(q) == SQLITE_DONE;
}

bool reservation_load(bus_tx *tx, const char *order_id, const char *sku, reservation *out)
{
    *out = (reservation){ RESERVATION_NONE, 0 };
    sqlite3_stmt *q = bus_sql(tx, "SELECT state, quantity FROM reservation WHERE order_id = ?1 AND sku = ?2");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(order_id));
    bus_bind_text(q, 2, bus_str(sku));
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        const char *state = (const char *)sqlite3_column_text(q, 0);
        for (int i = RESERVATION_HELD; state != NULL && i <= RESERVATION_RELEASED; i++)
            if (strcmp(states[i], state) == 0)
                *out = (reservation){ (reservation_state)i, sqlite3_column_int(q, 1) };
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool reservation_save(bus_tx *tx, const char *order_id, const char *sku, reservation value)
{
    sqlite3_stmt *q = bus_sql(tx, "INSERT INTO reservation (order_id, sku, quantity, state) VALUES (?1, ?2, ?3, ?4)"
                                  " ON CONFLICT (order_id, sku) DO UPDATE SET quantity = excluded.quantity,"
                                  " state = excluded.state");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(order_id));
    bus_bind_text(q, 2, bus_str(sku));
    sqlite3_bind_int(q, 3, value.quantity);
    bus_bind_text(q, 4, bus_str(states[value.state]));
    return sqlite3_step(q) == SQLITE_DONE;
}

bool delivery_note(bus_tx *tx, const char *delivery, const char *sku, int32_t quantity, bool *first)
{
    sqlite3_stmt *q = bus_sql(tx, "INSERT INTO delivery (delivery, sku, quantity) VALUES (?1, ?2, ?3)"
                                  " ON CONFLICT (delivery, sku) DO NOTHING");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(delivery));
    bus_bind_text(q, 2, bus_str(sku));
    sqlite3_bind_int(q, 3, quantity);
    if (sqlite3_step(q) != SQLITE_DONE)
        return false;
    *first = sqlite3_changes(bus_db(tx)) == 1;
    return true;
}

bus_verdict inventory_store_failed(bus_tx *tx)
{
    return bus_retry(tx, "the store failed: %s", sqlite3_errmsg(bus_db(tx)));
}
