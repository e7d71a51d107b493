/* SPDX-License-Identifier: MIT
 * Position: where this shard goes on in each input partition, and the records that prove it is the same log. */
#include "base/error.h"
#include "store/internal.h"
#include "store/mark.h"

#include <stdlib.h>
#include <string.h>

static bus_position *make(bus_store *store, const char *topic, int32_t partition)
{
    bus_tables_position *table = &store->positions;
    const char *name = bus_store_intern(store, topic);
    bus_position *position = calloc(1, sizeof *position);
    size_t room = table->all.count + 1;
    if (!name || !position || !bus_list_reserve(&table->all, room) || !bus_list_reserve(&table->dirty, room) ||
        !bus_store_compose(store, "", 0, name, partition) ||
        !bus_map_put(&table->by_name, store->scratch.data, store->scratch.len, position)) {
        free(position);
        return NULL;
    }
    *position = (bus_position){ .topic = name, .partition = partition, .next = -1, .anchor = BUS_NO_PLACE,
                                .proof = BUS_NO_PLACE };
    bus_list_add(&table->all, position);
    return position;
}

static bus_place place_at(sqlite3_stmt *stmt, int offset, int hash, int kind)
{
    return (bus_place){ sqlite3_column_int64(stmt, offset), (uint64_t)sqlite3_column_int64(stmt, hash), sqlite3_column_int(stmt, kind) };
}

static bus_status load(bus_store *store, bus_error *err)
{
    bus_map_init(&store->positions.by_name);
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_POSITION_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bus_step(store, stmt)) != SQLITE_DONE) {
        bus_position *position = NULL;
        if (rc != SQLITE_ROW)
            status = bus_store_fail(store, rc, "loading positions", err);
        else if (!(position = make(store, bus_column_text(stmt, 0), sqlite3_column_int(stmt, 1))))
            status = bus_fail_nomem(err);
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

bus_position *bus_position_of(bus_store *store, const char *topic, int32_t partition)
{
    if (!bus_store_compose(store, "", 0, topic, partition))
        return NULL;
    bus_position *known = bus_map_get(&store->positions.by_name, store->scratch.data, store->scratch.len);
    return known ? known : make(store, topic, partition);
}

static bool change(bus_store *store, bus_position *position)
{
    if (!bus_note(store, &position->next, offsetof(bus_position, dirty) - offsetof(bus_position, next)))
        return false;
    if (!position->dirty) {
        position->dirty = true; /* stays when taken back: the old words are written once more, which harms nobody */
        bus_list_add(&store->positions.dirty, position);
    }
    return true;
}

bool bus_position_set(bus_store *store, bus_position *position, int64_t next, bus_place anchor)
{
    if (!change(store, position))
        return false;
    position->next = next;
    position->anchor = anchor;
    return true;
}

bool bus_position_reset(bus_store *store, bus_position *position, int64_t next)
{
    if (!change(store, position))
        return false;
    position->next = next;
    position->judging = position->anchor.offset >= 0 || position->proof.offset >= 0;
    return true;
}

bool bus_position_judge(bus_store *store, bus_position *position, bool other)
{
    if (!change(store, position))
        return false;
    position->judging = false;
    position->life += other;
    if (other)
        position->proof = BUS_NO_PLACE;
    else if (position->anchor.offset > position->proof.offset)
        position->proof = position->anchor;
    position->anchor = BUS_NO_PLACE;
    return true;
}

void bus_position_prove(bus_position *position, bus_place proof)
{
    position->proof = proof;
}

int64_t bus_position_life(bus_store *store, const char *topic, int32_t partition)
{
    if (!bus_store_compose(store, "", 0, topic, partition))
        return 0;
    const bus_position *known = bus_map_get(&store->positions.by_name, store->scratch.data, store->scratch.len);
    return known ? known->life : 0;
}

bus_status bus_position_forget(bus_store *store, const char *topic, int32_t partition, bus_error *err)
{
    return bus_mark_forget(store, topic, partition, err);
}

size_t bus_position_count(const bus_store *store)
{
    return store->positions.all.count;
}

const bus_position *bus_position_at(const bus_store *store, size_t i)
{
    return i < store->positions.all.count ? store->positions.all.at[i] : NULL;
}

static void bind_place(sqlite3_stmt *stmt, int at, const bus_place *place)
{
    sqlite3_bind_int64(stmt, at, place->offset);
    sqlite3_bind_int64(stmt, at + 1, (int64_t)place->hash);
    sqlite3_bind_int(stmt, at + 2, place->kind);
}

static bus_status flush(bus_store *store, bus_error *err)
{
    bus_list *dirty = &store->positions.dirty;
    if (!dirty->count)
        return BUS_OK;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_POSITION_PUT, err);
    if (!stmt)
        return err->status;
    for (size_t i = 0; i < dirty->count; i++) {
        const bus_position *position = dirty->at[i];
        bus_bind_text(stmt, 1, position->topic);
        sqlite3_bind_int(stmt, 2, position->partition);
        sqlite3_bind_int64(stmt, 3, position->next);
        bind_place(stmt, 4, &position->anchor);
        bind_place(stmt, 7, &position->proof);
        sqlite3_bind_int64(stmt, 10, position->life);
        sqlite3_bind_int(stmt, 11, position->judging);
        bus_status status = bus_run_statement(store, stmt, "writing positions", err);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

static void ended(bus_store *store, bool committed)
{
    (void)committed;
    bus_list *dirty = &store->positions.dirty;
    for (size_t i = 0; i < dirty->count; i++)
        ((bus_position *)dirty->at[i])->dirty = false;
    dirty->count = 0;
}

static void release(bus_store *store)
{
    bus_tables_position *table = &store->positions;
    for (size_t i = 0; i < table->all.count; i++)
        free(table->all.at[i]);
    bus_list_free(&table->all);
    bus_list_free(&table->dirty);
    bus_map_free(&table->by_name, NULL);
}

const bus_group bus_group_position = { .load = load, .flush = flush, .ended = ended, .free = release };
