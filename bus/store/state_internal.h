/* SPDX-License-Identifier: MIT
 * What the files about typed state share. */
#ifndef BUI_STORE_STATE_INTERNAL_H
#define BUI_STORE_STATE_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "store/state.h"

#define BUI_STATE_TOO_BIG "a handler loads more of table %s than memory has room for: 64 MiB over state.cache.bytes"

typedef struct bui_state_table {
    const bus_state *of;
    const bus_shape *shape;
    sqlite3_stmt *load, *save, *remove; /* prepared on first use */
    bool triggers;                      /* of a migration: each save runs them */
} bui_state_table;

/* A row as it should be, which its table may not know yet. */
typedef struct bui_state_row {
    bui_state_table *table;
    const void *now; /* a struct; NULL: there is no such row */
    const void *key; /* of a dirty one, also where it was removed: a struct with the key's fields */
    void *spare;     /* what it was before: memory for the next change, but not in the delivery that still may go back to it */
    uint64_t spared; /* in this delivery */
    bool known;      /* else ask the table */
    bool dirty;      /* the table does not know it yet */
    bool listed;     /* in `dirty` */
} bui_state_row;

typedef struct bui_state_undo {
    bui_state_row *row, was;
} bui_state_undo;

typedef struct bui_states {
    bui_state_table *all;
    size_t count;
    int64_t most;    /* bytes */
    bui_map rows;    /* by table and key */
    bui_arena arena; /* the rows, and all that handlers borrow of them */
    bui_buf key;
    struct bui_state_row **dirty; /* in the order in which they were first changed */
    size_t dirty_count, dirty_cap;
    bui_state_undo *undo; /* of the delivery that runs */
    size_t undo_count, undo_cap;
    uint64_t delivery;
    bool unwritten; /* writing them failed, and whose fault it is is not known */
    bool stale;     /* the rows are forgotten; the arena may still be borrowed from */
    bool bypassed;  /* the handler has SQL on one of the tables: nothing is kept until it ends */
    bool strangers; /* there are statements on one of them that we do not know: nothing is kept any more */
    bool touched;   /* the statement that was just prepared reads or writes one of them */
    int64_t changes;
    bui_state_figures figures; /* but for bytes */
    uint32_t version;          /* of the file: another connection that writes changes it */
} bui_states;

/* state_table.c */
/* Makes the tables that are absent, adds the columns that are. Before the migrations. */
bus_status bui_states_make(bui_store *store, const bus_state *const *states, bus_error *err);
bool bui_states_have(const bui_store *store, const char *table);
bus_status bui_states_check(bui_store *store, bus_error *err); /* after them: do the tables fit? */
/* Its statement, ready to bind; NULL: see err. */
sqlite3_stmt *bui_state_loader(bui_store *store, bui_state_table *table, bus_error *err);
sqlite3_stmt *bui_state_saver(bui_store *store, bui_state_table *table, bus_error *err);
sqlite3_stmt *bui_state_remover(bui_store *store, bui_state_table *table, bus_error *err);

/* state_row.c: one row */
/* Does the struct fit its schema? */
bus_status bui_state_fits(const bui_state_table *table, const void *row, bool key_only, bus_error *err);
bus_status bui_state_bind(bui_store *store, const bui_state_table *table, sqlite3_stmt *stmt, const void *row, bool key_only,
                          bus_error *err);
/* What the statement stands on, as a struct; strings are copied to the arena. */
bus_status bui_state_read(bui_store *store, const bui_state_table *table, sqlite3_stmt *stmt, bui_arena *arena, void *out,
                          bus_error *err);
/* A copy at `to`; strings go to the arena, but for those that are the same in `old` (or NULL). False: no room, or no memory. */
bool bui_state_copy(const bui_state_table *table, const void *row, bool key_only, const void *old, bui_arena *arena, void *to);
bool bui_state_is_key(const bui_state_table *table, uint32_t field);
/* Is it the bound that n more bytes do not fit into? Else there is no memory. */
static inline bool bui_state_full(const bui_arena *arena, size_t n)
{
    return arena->used > arena->limit || n > arena->limit - arena->used;
}
void bui_state_key(const bui_state_table *table, size_t place, const void *row, bui_buf *out); /* of the map */

/* state.c, for the transaction and the sandbox */
void bui_states_init(bui_store *store, int64_t most);
void bui_states_begun(bui_store *store);
void bui_states_left(bui_store *store); /* the handler has ended */
bus_status bui_states_bypass(bui_store *store, bus_error *err);

#endif
