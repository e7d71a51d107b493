/* SPDX-License-Identifier: MIT
 * Payment, the SQL. */
#include "store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

const bus_migration payment_migrations[] = {
    { "payment", "CREATE TABLE payment (\n"
                 "  order_id     TEXT NOT NULL PRIMARY KEY,\n"
                 "  state        TEXT NOT NULL CHECK (state IN ('taken', 'declined', 'refunded')),\n"
                 "  amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),\n"
                 "  text         TEXT NOT NULL\n"
                 ") WITHOUT ROWID;\n" },
    { NULL, NULL }
};

static const char *const states[] = { "none", "taken", "declined", "refunded" };

bool payment_load(bus_tx *tx, const char *order_id, payment *out)
{
    *out = (payment){ .state = PAYMENT_NONE };
    sqlite3_stmt *q = bus_sql(tx, "SELECT state, amount_cents, text FROM payment WHERE order_id = ?1");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(order_id));
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        const char *state = (const char *)sqlite3_column_text(q, 0);
        const char *text = (const char *)sqlite3_column_text(q, 2);
        for (int i = PAYMENT_TAKEN; state != NULL && i <= PAYMENT_REFUNDED; i++)
            if (strcmp(states[i], state) == 0)
                out->state = (payment_state)i;
        out->amount_cents = sqlite3_column_int64(q, 1);
        snprintf(out->text, sizeof out->text, "%s", text ? text : "");
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool payment_save(bus_tx *tx, const char *order_id, const payment *value)
{
    sqlite3_stmt *q = bus_sql(tx, "INSERT INTO payment (order_id, state, amount_cents, text) VALUES (?1, ?2, ?3, ?4)"
                                  " ON CONFLICT (order_id) DO UPDATE SET state = excluded.state, text = excluded.text");
    if (q == NULL)
        return false;
    bus_bind_text(q, 1, bus_str(order_id));
    bus_bind_text(q, 2, bus_str(states[value->state]));
    sqlite3_bind_int64(q, 3, value->amount_cents);
    bus_bind_text(q, 4, bus_str(value->text));
    return sqlite3_step(q) == SQLITE_DONE;
}

bus_verdict payment_store_failed(bus_tx *tx)
{
    return bus_retry(tx, "the store failed: %s", sqlite3_errmsg(bus_db(tx)));
}
