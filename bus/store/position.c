/* SPDX-License-Identifier: MIT
 * Position: where this shard goes on in each input partition, and the records that prove it is the same log. */
#include "base/error.h"
#include "store/internal.h"
#include "store/mark.h"

#include <stdlib.h>
#include <string.h>

static bui_position *make(bui_store *store, const char *topic, int32_t partition)
{
    bui_tables_position *table = &store->positions;
    const char *name = bui_store_intern(store, topic);
    bui_position *position = calloc(1, sizeof *position);
    size_t room = table->all.count + 1;
    if (!name || !position || !bui_list_reserve(&table->all, room) || !bui_list_reserve(&table->dirty, room) ||
        !bui_store_compose(store, "", 0, name, partition) ||
        !bui_map_put(&table->by_name, store->scratch.data, store->scratch.len, position)) {
        free(position);
        return NULL;
    }
    *position =
        (bui_position){ .topic = name, .partition = partition, .next = -1, .anchor = BUI_NO_PLACE, .proof = BUI_NO_PLACE };
    bui_list_add(&table->all, position);
    return position;
}

static bui_place place_at(sqlite3_stmt *stmt, int offset, int hash, int kind)
{
    return (bui_place){ sqlite3_column_int64(stmt, offset), (uint64_t)sqlite3_column_int64(stmt, hash),
                        sqlite3_column_int(stmt, kind) };
}

static bus_status load(bui_store *store, bus_error *err)
{
    bui_map_init(&store->positions.by_name);
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_POSITION_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bui_step(store, stmt)) != SQLITE_DONE) {
        bui_position *position = NULL;
        if (rc != SQLITE_ROW)
            status = bui_store_fail(store, rc, "loading positions", err);
        else if (!(position = make(store, bui_column_text(stmt, 0), sqlite3_column_int(stmt, 1))))
            status = bui_fail_nomem(err);
        if (status != BUS_OK)
            break;
        position->next = sqlite3_column_int64(stmt, 2);
        position->anchor = place_at(stmt, 3, 4, 5);
        position->proof = place_at(stmt, 6, 7, 8);
        position->life = sqlite3_column_int64(stmt, 9);
        position->judging = sqlite3_column_int(stmt, 10) != 0;
    }
    sqlite3_reset(stmt);
    return status;
}

bui_position *bui_position_of(bui_store *store, const char *topic, int32_t partition)
{
    if (!bui_store_compose(store, "", 0, topic, partition))
        return NULL;
    bui_position *known = bui_map_get(&store->positions.by_name, store->scratch.data, store->scratch.len);
    return known ? known : make(store, topic, partition);
}

static bool change(bui_store *store, bui_position *position)
{
    if (!bui_note(store, &position->next, offsetof(bui_position, dirty) - offsetof(bui_position, next)))
        return false;
    if (!position->dirty) {
        position->dirty = true; /* stays when taken back: the old words are written once more, which harms nobody */
        bui_list_add(&store->positions.dirty, position);
    }
    return true;
}

bool bui_position_set(bui_store *store, bui_position *position, int64_t next, bui_place anchor)
{
    if (!change(store, position))
        return false;
    position->next = next;
    position->anchor = anchor;
    return true;
}

bool bui_position_reset(bui_store *store, bui_position *position, int64_t next)
{
    if (!change(store, position))
        return false;
    position->next = next;
    position->judging = position->anchor.offset >= 0 || position->proof.offset >= 0;
    return true;
}

bool bui_position_judge(bui_store *store, bui_position *position, bool other)
{
    if (!change(store, position))
        return false;
    position->judging = false;
    position->life += other;
    if (other)
        position->proof = BUI_NO_PLACE;
    else if (position->anchor.offset > position->proof.offset)
        position->proof = position->anchor;
    position->anchor = BUI_NO_PLACE;
    return true;
}

void bui_position_prove(bui_position *position, bui_place proof)
{
    position->proof = proof;
}

int64_t bui_position_life(bui_store *store, const char *topic, int32_t partition)
{
    if (!bui_store_compose(store, "", 0, topic, partition))
        return 0;
    const bui_position *known = bui_map_get(&store->positions.by_name, store->scratch.data, store->scratch.len);
    return known ? known->life : 0;
}

bus_status bui_position_forget(bui_store *store, const char *topic, int32_t partition, bus_error *err)
{
    return bui_mark_forget(store, topic, partition, err);
}

size_t bui_position_count(const bui_store *store)
{
    return store->positions.all.count;
}

const bui_position *bui_position_at(const bui_store *store, size_t i)
{
    return i < store->positions.all.count ? store->positions.all.at[i] : NULL;
}

static void bind_place(sqlite3_stmt *stmt, int at, const bui_place *place)
{
    sqlite3_bind_int64(stmt, at, place->offset);
    sqlite3_bind_int64(stmt, at + 1, (int64_t)place->hash);
    sqlite3_bind_int(stmt, at + 2, place->kind);
}

static bus_status flush(bui_store *store, bus_error *err)
{
    bui_list *dirty = &store->positions.dirty;
    if (!dirty->count)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_POSITION_PUT, err);
    if (!stmt)
        return err->status;
    for (size_t i = 0; i < dirty->count; i++) {
        const bui_position *position = dirty->at[i];
        bui_bind_text(stmt, 1, position->topic);
        sqlite3_bind_int(stmt, 2, position->partition);
        sqlite3_bind_int64(stmt, 3, position->next);
        bind_place(stmt, 4, &position->anchor);
        bind_place(stmt, 7, &position->proof);
        sqlite3_bind_int64(stmt, 10, position->life);
        sqlite3_bind_int(stmt, 11, position->judging);
        bus_status status = bui_run_statement(store, stmt, "writing positions", err);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

static void ended(bui_store *store, bool committed)
{
    (void)committed;
    bui_list *dirty = &store->positions.dirty;
    for (size_t i = 0; i < dirty->count; i++)
        ((bui_position *)dirty->at[i])->dirty = false;
    dirty->count = 0;
}

static void release(bui_store *store)
{
    bui_tables_position *table = &store->positions;
    for (size_t i = 0; i < table->all.count; i++)
        free(table->all.at[i]);
    bui_list_free(&table->all);
    bui_list_free(&table->dirty);
    bui_map_free(&table->by_name, NULL);
}

const bui_group bui_group_position = { .load = load, .flush = flush, .ended = ended, .free = release };
