/* SPDX-License-Identifier: MIT
 * State: the rows that are kept, what a delivery changed of them, and when they are written. See state.h for the rules. */
#include "store/state.h"
#include "base/array.h"
#include "base/error.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MOST (INT64_C(4) << 20)
#define BORROWED_MOST ((size_t)64 << 20) /* beyond the bound, by one handler */

/* ---- what is kept */

static void forget(bui_states *states)
{
    bui_map_free(&states->rows, NULL);
    bui_map_init(&states->rows);
    states->dirty_count = states->undo_count = 0;
    states->stale = true;
}

static void empty(bui_states *states)
{
    if (states->stale)
        bui_arena_reset(&states->arena);
    states->stale = false;
}

static bool over(const bui_states *states)
{
    return states->arena.used > (uint64_t)states->most;
}

static bui_state_table *table_of(bui_store *store, const bus_state *state, bus_error *err)
{
    for (size_t i = 0; i < store->states.count; i++)
        if (store->states.all[i].of == state)
            return &store->states.all[i];
    bui_fail(err, BUS_INVALID, "state %s is not declared in the `states` of service %s", state->type->name, store->service);
    return NULL;
}

/* Whether its rows may be kept. */
static bool kept(const bui_states *states, const bui_state_table *table)
{
    return !states->bypassed && !states->strangers && !table->triggers;
}

/* NULL: no room, or no memory. */
static bui_state_row *row_of(bui_store *store, bui_state_table *table, const void *key)
{
    bui_states *states = &store->states;
    bui_state_key(table, (size_t)(table - states->all), key, &states->key);
    if (!bui_buf_ok(&states->key))
        return NULL;
    bui_state_row *row = bui_map_get(&states->rows, states->key.data, states->key.len);
    if (row)
        return row;
    row = bui_arena_zero(&states->arena, sizeof *row);
    if (!row || !bui_map_put(&states->rows, states->key.data, states->key.len, row))
        return NULL;
    row->table = table;
    return row;
}

static bus_status no_room(bui_store *store, const bui_state_table *table, bus_error *err)
{
    if (bui_state_full(&store->states.arena, sizeof(bui_state_row) + table->shape->size))
        return bui_fail(err, BUS_TOO_BIG, BUI_STATE_TOO_BIG, table->of->table);
    return bui_fail_nomem(err);
}

/* ---- the table */

static bus_status write_row(bui_store *store, bui_state_table *table, const void *row, bool remove, bus_error *err)
{
    sqlite3_stmt *stmt = remove ? bui_state_remover(store, table, err) : bui_state_saver(store, table, err);
    bus_status status = stmt ? bui_state_bind(store, table, stmt, row, remove, err) : BUS_STORE;
    if (status != BUS_OK)
        return err->status;
    store->states.figures.written++;
    return bui_run_statement(store, stmt, remove ? "removing a state's row" : "saving a state's row", err);
}

/* BUS_MISSING: it is not there. */
static bus_status read_row(bui_store *store, bui_state_table *table, const void *key, void *out, bus_error *err)
{
    sqlite3_stmt *stmt = bui_state_loader(store, table, err);
    if (!stmt || bui_state_bind(store, table, stmt, key, true, err) != BUS_OK)
        return err->status;
    int rc = bui_step(store, stmt);
    store->states.figures.read++;
    bus_status status = rc == SQLITE_ROW    ? bui_state_read(store, table, stmt, &store->states.arena, out, err)
                        : rc == SQLITE_DONE ? BUS_MISSING
                                            : bui_store_fail(store, rc, "loading a state's row", err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_state_write(bui_store *store, bus_error *err)
{
    bui_states *states = &store->states;
    for (size_t i = 0; i < states->dirty_count; i++) {
        bui_state_row *row = states->dirty[i];
        if (row->dirty && write_row(store, row->table, row->now ? row->now : row->key, !row->now, err) != BUS_OK) {
            states->unwritten = true;
            return err->status;
        }
        row->dirty = row->listed = false;
    }
    states->dirty_count = 0;
    return BUS_OK;
}

bus_status bui_state_trim(bui_store *store, bus_error *err)
{
    if (!over(&store->states))
        return BUS_OK;
    bus_status status = bui_state_write(store, err);
    if (status == BUS_OK) {
        forget(&store->states);
        empty(&store->states);
    }
    return status;
}

/* From now on until the handler ends the table alone counts. */
bus_status bui_states_bypass(bui_store *store, bus_error *err)
{
    bui_states *states = &store->states;
    if (states->bypassed)
        return BUS_OK;
    bus_status status = bui_state_write(store, err);
    if (status != BUS_OK)
        return status;
    forget(states);
    states->bypassed = true;
    return BUS_OK;
}

/* ---- the handler's calls */

/* The row as its table has it; *now is NULL if it is not there. */
static bus_status look(bui_store *store, bui_state_table *table, const void *key, const void **now, bus_error *err)
{
    void *fresh = bui_arena_zero(&store->states.arena, table->shape->size);
    if (!fresh)
        return no_room(store, table, err);
    bus_status status = read_row(store, table, key, fresh, err);
    *now = status == BUS_OK ? fresh : NULL;
    return status == BUS_MISSING ? BUS_OK : status;
}

bus_status bui_state_load(bui_store *store, const bus_state *state, void *out, bool *found, bus_error *err)
{
    bui_states *states = &store->states;
    bui_state_table *table = table_of(store, state, err);
    *found = false;
    if (!table || bui_state_fits(table, out, true, err) != BUS_OK)
        return err->status;
    bool keep = kept(states, table);
    bui_state_row *row = keep ? row_of(store, table, out) : NULL;
    if (keep && !row)
        return no_room(store, table, err);
    const void *now = row ? row->now : NULL;
    if (row && row->known) {
        states->figures.found++;
    } else {
        bus_status status = look(store, table, out, &now, err);
        if (status != BUS_OK)
            return status;
    }
    if (row) {
        row->now = now;
        row->known = true;
    }
    if ((*found = now != NULL))
        memcpy(out, now, table->shape->size);
    return BUS_OK;
}

static bool note(bui_states *states, bui_state_row *row)
{
    if (!bui_array_room(&states->undo, &states->undo_cap, states->undo_count + 1, sizeof *states->undo, 64) ||
        !bui_array_room(&states->dirty, &states->dirty_cap, states->dirty_count + 1, sizeof *states->dirty, 64))
        return false;
    states->undo[states->undo_count++] = (bui_state_undo){ row, *row };
    return true;
}

/* A row that memory has no room for is written at once, and the handler goes on with the table alone. */
static bus_status put_unkept(bui_store *store, bui_state_table *table, const void *of, bool remove, bus_error *err)
{
    bus_status status = bui_states_bypass(store, err);
    return status == BUS_OK ? write_row(store, table, of, remove, err) : status;
}

/* Memory for the row's next struct. A delivery that is undone goes back to what the row was when it began. */
static void *next_of(bui_states *states, const bui_state_row *row)
{
    return row->spare && row->spared != states->delivery ? row->spare : bui_arena_alloc(&states->arena, row->table->shape->size);
}

/* Changes it in memory. NULL: no room, or no memory. */
static bui_state_row *change(bui_store *store, bui_state_table *table, const void *of, bool remove)
{
    bui_states *states = &store->states;
    bui_state_row *row = over(states) ? NULL : row_of(store, table, of);
    void *next = row ? next_of(states, row) : NULL;
    if (!next || !bui_state_copy(table, of, remove, row->now, &states->arena, next) || !note(states, row))
        return NULL;
    const void *before = row->now ? row->now : row->key;
    row->spare = (void *)(uintptr_t)before;
    row->spared = states->delivery;
    row->now = remove ? NULL : next;
    row->key = next;
    row->known = true;
    return row;
}

/* `remove`: only the key of `of` counts. */
static bus_status put(bui_store *store, const bus_state *state, const void *of, bool remove, bus_error *err)
{
    bui_states *states = &store->states;
    bui_state_table *table = table_of(store, state, err);
    if (!table || bui_state_fits(table, of, remove, err) != BUS_OK)
        return err->status;
    states->changes++;
    if (!kept(states, table))
        return write_row(store, table, of, remove, err);
    bui_state_row *row = change(store, table, of, remove);
    if (!row)
        return put_unkept(store, table, of, remove, err);
    if (store->saved && store->saved_sql)
        return write_row(store, table, of, remove, err);
    row->dirty = true;
    if (!row->listed)
        states->dirty[states->dirty_count++] = row;
    row->listed = true;
    return BUS_OK;
}

bus_status bui_state_save(bui_store *store, const bus_state *state, const void *row, bus_error *err)
{
    return put(store, state, row, false, err);
}

bus_status bui_state_remove(bui_store *store, const bus_state *state, const void *row, bus_error *err)
{
    return put(store, state, row, true, err);
}

bool bui_state_unwritten(const bui_store *store)
{
    return store->states.unwritten;
}

int64_t bui_state_changes(const bui_store *store)
{
    return store->states.changes;
}

void bui_state_figures_of(const bui_store *store, bui_state_figures *out)
{
    *out = store->states.figures;
    out->bytes = (int64_t)store->states.arena.used;
}

/* ---- with the transaction */

static uint32_t version_of(bui_store *store)
{
    uint32_t version = 0;
    sqlite3_file_control(store->db, "main", SQLITE_FCNTL_DATA_VERSION, &version);
    return version;
}

void bui_states_left(bui_store *store)
{
    store->states.bypassed = false;
}

void bui_states_begun(bui_store *store)
{
    bui_states *states = &store->states;
    if (states->count && version_of(store) != states->version) /* somebody else wrote */
        forget(states);
}

void bui_states_init(bui_store *store, int64_t most)
{
    bui_states *states = &store->states;
    states->most = most > 0 ? most : KEPT_MOST;
    bui_arena_init(&states->arena, (size_t)states->most + BORROWED_MOST);
    bui_map_init(&states->rows);
    bui_buf_init(&states->key, 0);
}

static bus_status flush(bui_store *store, bus_error *err)
{
    return bui_state_write(store, err);
}

/* A delivery begins: what the one before changed stays, and what it borrowed is given back. */
static void saved(bui_store *store)
{
    store->states.undo_count = 0;
    store->states.delivery++;
    empty(&store->states);
}

static void back(bui_store *store, size_t mark)
{
    bui_states *states = &store->states;
    (void)mark;
    while (states->undo_count > 0) {
        bui_state_undo *last = &states->undo[--states->undo_count];
        bool listed = last->row->listed;
        *last->row = last->was;
        last->row->listed = listed;
    }
}

static void ended(bui_store *store, bool committed)
{
    bui_states *states = &store->states;
    if (!states->count)
        return;
    states->undo_count = 0;
    states->bypassed = states->unwritten = false;
    if (!committed || over(states))
        forget(states);
    empty(states);
    states->version = version_of(store);
}

static void release(bui_store *store)
{
    bui_states *states = &store->states;
    for (size_t i = 0; i < states->count; i++) {
        sqlite3_finalize(states->all[i].load);
        sqlite3_finalize(states->all[i].save);
        sqlite3_finalize(states->all[i].remove);
    }
    free(states->all);
    free(states->dirty);
    free(states->undo);
    bui_map_free(&states->rows, NULL);
    bui_arena_free(&states->arena);
    bui_buf_free(&states->key);
}

const bui_group bui_group_state = { .flush = flush, .saved = saved, .back = back, .ended = ended, .free = release };
