/* SPDX-License-Identifier: MIT
 * Answer: what a schema registry said, kept without limit: what an id means never changes. */
#include "base/error.h"
#include "store/internal.h"

#include <string.h>

static bool note_known(bui_store *store, const char *question, const char **name)
{
    *name = bui_store_intern(store, question);
    return *name && bui_map_put(&store->answers.known, *name, strlen(*name), (void *)(uintptr_t)*name);
}

static bus_status load(bui_store *store, bus_error *err)
{
    bui_map_init(&store->answers.known);
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_ANSWER_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    const char *name;
    int rc;
    while (status == BUS_OK && (rc = bui_step(store, stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            status = bui_store_fail(store, rc, "loading the registry's answers", err);
        else if (!note_known(store, bui_column_text(stmt, 0), &name))
            status = bui_fail_nomem(err);
    }
    sqlite3_reset(stmt);
    return status;
}

bool bui_answer_known(const bui_store *store, const char *question)
{
    return bui_map_get(&store->answers.known, question, strlen(question)) != NULL;
}

bus_status bui_answer_put(bui_store *store, const char *question, const char *answer, bus_error *err)
{
    bui_tables_answer *table = &store->answers;
    bus_error local;
    const char *name;
    err = err ? err : &local;
    if (bui_answer_known(store, question))
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_ANSWER_PUT, err);
    if (!stmt)
        return err->status;
    if (!bui_list_reserve(&table->pending, table->pending.count + 1))
        return bui_fail_nomem(err);
    bui_bind_text(stmt, 1, question);
    bui_bind_text(stmt, 2, answer);
    bus_status status = bui_run_statement(store, stmt, "keeping the registry's answer", err);
    if (status == BUS_OK && !note_known(store, question, &name))
        return bui_fail_nomem(err);
    if (status == BUS_OK)
        bui_list_add(&table->pending, (void *)(uintptr_t)name);
    return status;
}

bus_status bui_answers(bui_store *store, bui_answer_each each, void *opaque, bus_error *err)
{
    bus_error local;
    const void *key;
    size_t at = 0, len;
    void *question;
    err = err ? err : &local;
    while (bui_map_next(&store->answers.known, &at, &key, &len, &question)) {
        sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_ANSWER_GET, err);
        if (!stmt)
            return err->status;
        bui_bind_text(stmt, 1, question);
        int rc = bui_step(store, stmt);
        if (rc == SQLITE_ROW)
            each(question, bui_column_text(stmt, 0), opaque);
        sqlite3_reset(stmt);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return bui_store_fail(store, rc, "reading the registry's answers", err);
    }
    return BUS_OK;
}

/* Rows of this transaction may be gone, all or those since a savepoint. To know too little only writes one again. */
static void forget_pending(bui_store *store)
{
    bui_tables_answer *table = &store->answers;
    for (size_t i = 0; i < table->pending.count; i++)
        bui_map_remove(&table->known, table->pending.at[i], strlen(table->pending.at[i]));
    table->pending.count = 0;
}

static void back(bui_store *store, size_t mark)
{
    (void)mark;
    forget_pending(store);
}

static void ended(bui_store *store, bool committed)
{
    if (!committed)
        forget_pending(store);
    store->answers.pending.count = 0;
}

static void release(bui_store *store)
{
    bui_map_free(&store->answers.known, NULL);
    bui_list_free(&store->answers.pending);
}

const bui_group bui_group_answer = { .load = load, .back = back, .ended = ended, .free = release };
