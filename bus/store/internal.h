/* SPDX-License-Identifier: MIT
 * What the store's files share: the struct, its statements, and the groups of tables that are loaded, flushed and taken
 * back together. */
#ifndef BUI_STORE_INTERNAL_H
#define BUI_STORE_INTERNAL_H

#include "base/clock.h"
#include "base/map.h"
#include "store/open_letters.h"
#include "store/pending_outbox.h"
#include "store/state_internal.h"
#include "store/statement.h"
#include "store/store.h"

#define BUI_APPLICATION_ID 0x62757353 /* "busS", in the header of every store */
#define BUI_BUSY_MS 250               /* only checkpoints and recovery by a reader are waited for */

/* A list of pointers. Reserve first, so that adding cannot fail after memory was changed. */
typedef struct bui_list {
    void **at;
    size_t count, cap;
} bui_list;
bool bui_list_reserve(bui_list *list, size_t count);
static inline void bui_list_add(bui_list *list, void *item)
{
    list->at[list->count++] = item;
}
void bui_list_free(bui_list *list);

/* Ids that are never reused, not even after a crash: the store records a bound well above those given out. */
typedef struct bui_lease {
    int64_t next, bound;
} bui_lease;

/* The write-ahead log: its file with our methods over its own, and what is gathered for its next sync. */
typedef struct bui_wal {
    bool gathers; /* each commit syncs: frames may wait for it */
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real; /* NULL: nothing is gathered */
    sqlite3_file *file;
    char *bytes;
    int len;
    int64_t at;
    int64_t size, checkpoint_above;
} bui_wal;

#define BUI_RECENT_DESTINATIONS 16
typedef struct bui_tables_destination {
    bui_map by_name;
    bui_destination *recent[BUI_RECENT_DESTINATIONS]; /* by partition: the last that was asked for, so that few are looked up */
    bui_list all;                                     /* [id - 1] */
    size_t stored;                                    /* of them in the table: the first so many */
    bui_list dirty;
    bool due; /* this commit writes them */
} bui_tables_destination;

typedef struct bui_outbox_table {
    int64_t rows, bytes, rejected;
    int64_t low, high;
} bui_outbox_table; /* low, high: ids, if any rows */
typedef struct bui_tables_outbox {
    bui_outbox_depth depth;
    int current;               /* the table that new rows go to */
    int64_t split;             /* ids below are in the other */
    bui_outbox_table table[2]; /* with the pending rows */
} bui_tables_outbox;

typedef struct bui_tables_position {
    bui_map by_name;
    bui_list all, dirty;
} bui_tables_position;

typedef struct bui_tables_mark {
    bui_map by_name, families;
    bui_list all, dirty, grown;
    int64_t next_id;
    size_t gaps;
} bui_tables_mark;

typedef struct bui_tables_dedup {
    struct bui_dedup_print *ring; /* oldest at `first`, `count` of them */
    size_t first, count, cap;
    uint32_t *slot; /* open addressing: place in the ring + 1, 0 free */
    size_t slots;
    int64_t next_n; /* of the row that the next flush writes first */
    uint64_t seed[2];
    bui_buf pending; /* rows of this transaction, not written yet */
    size_t pending_count;
    size_t saved_len, saved_count;
    size_t trimmed; /* rows deleted by this flush, to be dropped once committed */
    bool broken;    /* reading them again failed: nothing may be settled by a part of them */
    bool forgot;    /* rows were deleted by name: read the rest again when that is durable */
    int64_t forgotten;
    bool beside;
    struct bui_dedup_load *load; /* a thread fills ring and slots, which nobody else touches; NULL: they are whole */
} bui_tables_dedup;
#define BUI_DEDUP_LOAD "SELECT n, source, id FROM bus_seen ORDER BY n"

typedef struct bui_tables_key {
    bui_map by_name, by_id;
    bui_list all;     /* in no order */
    bui_list touched; /* since begin; may name a key twice */
    size_t saved_touched;
    uint64_t serial;           /* of the save level, for `touched` */
    bui_list stale;            /* whose place in the indexes may be wrong */
    bui_list due;              /* heap of waiting keys */
    bui_list catching_up;      /* sorted by id, some no longer catching up */
    size_t catching_up_sorted; /* how many of it are in order */
    int64_t *alias;            /* ids given to keys, and taken from them, in this transaction */
    size_t aliases, alias_cap;
    bui_key_totals totals; /* parked and parked_bytes in the undo log; the others follow the indexes */
} bui_tables_key;

typedef struct bui_tables_letter {
    int64_t open, older, settled; /* redriven ones count as open; older: of these, see bui_deadletter_older_count */
    int64_t held_back;            /* the events that `maybe` knows: copies that were replayed hold no event back */
    bui_open_letters maybe;
} bui_tables_letter;

typedef struct bui_tables_answer {
    bui_map known;    /* questions; the value is the interned question */
    bui_list pending; /* of this transaction */
} bui_tables_answer;

typedef struct bui_sql_entry bui_sql_entry;
typedef struct bui_tables_sandbox {
    bool inside, migrating;
    bool preparing;     /* the statement being prepared is one of ours or of the cache */
    bool strangers;     /* somebody prepared statements that we do not know */
    const char *denied; /* what the authorizer last refused */
    bus_error disabled; /* the first step that failed because disk or memory was full */
    bui_map by_text;
    struct bui_sql_entry *recent; /* asked for last; NULL: none */
    bui_list all, used;
    uint64_t clock;
} bui_tables_sandbox;

struct bui_store {
    sqlite3 *db;
    char *path, *service;
    int shard, shards;
    int version; /* as found; 0: a fresh file */
    const bui_clock *clock;
    int64_t dedup_most, marks_most;
    sqlite3_stmt *stmt[BUI_STATEMENTS];

    bui_undo_log undo_log;
    bool active, saved, saved_sql, committing;
    size_t saved_mark;
    int64_t saved_changes;
    bus_error sticky; /* of a function that cannot report: commit says it */
    int64_t now_ms;   /* wall time of begin */
    bui_wal wal;
    int64_t page_size;
    int64_t seal; /* see seal.c */
    bool sealing, verified;
    int64_t file, log_file; /* bui_file_number; 0: a file system of the caller's */

    bui_tables_sandbox sandbox;
    bui_states states;
    bui_meta meta;
    int64_t epoch;   /* of the incarnation */
    char *source;    /* "<service>/<shard>#<incarnation>" */
    bui_map sources; /* epoch -> the source of older rows */
    bui_map names;   /* interned scopes and topics */
    bui_lease outbox_ids, serial;
    bui_tables_outbox outbox;
    bui_pending_outbox pending;
    bool scanning;
    bui_tables_destination destinations;
    bui_tables_position positions;
    bui_tables_mark marks;
    bui_tables_dedup dedup;
    bui_tables_key keys;
    bui_tables_answer answers;
    bui_tables_letter letters;
    bui_bodies bodies;
    int64_t next_due;
    bui_buf scratch; /* for composed map keys; never shrinks, so composing a name again cannot fail */
};

/* One group of tables. Any member may be NULL. `back` and `ended` cannot fail: what they need was reserved. */
typedef struct bui_group {
    bus_status (*load)(bui_store *store, bus_error *err);  /* once, at open, tables there */
    bus_status (*flush)(bui_store *store, bus_error *err); /* dirty words into the tables, before COMMIT */
    void (*saved)(bui_store *store);                       /* a level was opened */
    void (*back)(bui_store *store, size_t mark);           /* the undo log was replayed to `mark` */
    void (*ended)(bui_store *store, bool committed);       /* after COMMIT, or after all is undone */
    void (*free)(bui_store *store);
} bui_group;
extern const bui_group bui_group_meta, bui_group_destination, bui_group_outbox, bui_group_position, bui_group_mark,
    bui_group_seen, bui_group_key, bui_group_letter, bui_group_body, bui_group_schedule, bui_group_answer, bui_group_state;
extern const bui_group *const bui_groups[]; /* ends with NULL */

/* ---- wal.c */
/* Once, in WAL mode. Close before the connection. */
bus_status bui_wal_open(bui_store *store, bus_error *err);
void bui_wal_close(bui_store *store);

/* ---- statement.c */
/* The library's statement, prepared once, reset and ready to bind; NULL: see err. */
sqlite3_stmt *bui_statement_of(bui_store *store, bui_statement which, bus_error *err);
/* sqlite3_step with the sandbox open: a re-preparation must not meet the user's authorizer. */
int bui_step(bui_store *store, sqlite3_stmt *stmt);
/* Steps a statement that returns no rows, and resets it. */
bus_status bui_run_statement(bui_store *store, sqlite3_stmt *stmt, const char *doing, bus_error *err);
/* Runs library SQL that is not worth keeping prepared. */
bus_status bui_exec(bui_store *store, const char *sql, const char *doing, bus_error *err);
/* Prepares, with the authorizer knowing that it is ours. */
int bui_prepare_own(bui_store *store, const char *sql, bool sandboxed, sqlite3_stmt **out, const char **tail);
/* What SQLite's answer means here, as a message: what was being done, where, and what to do. */
bus_status bui_store_fail(bui_store *store, int rc, const char *doing, bus_error *err);
bus_status bui_sqlite_fail(sqlite3 *db, const char *path, int rc, const char *doing, bus_error *err);
/* For functions that cannot report: the transaction has failed, and its commit will say why. */
void bui_store_doom(bui_store *store, const bus_error *err);

/* NULL stays NULL and empty stays empty. */
static inline int bui_bind_bytes(sqlite3_stmt *stmt, int at, const void *bytes, size_t len)
{
    if (!bytes)
        return sqlite3_bind_null(stmt, at);
    return len ? sqlite3_bind_blob64(stmt, at, bytes, len, SQLITE_STATIC) : sqlite3_bind_zeroblob(stmt, at, 0);
}
static inline int bui_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    return text ? sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, at);
}
/* A column's bytes: NULL only if it is NULL. */
const void *bui_column_bytes(sqlite3_stmt *stmt, int at, size_t *len);
const char *bui_column_text(sqlite3_stmt *stmt, int at); /* "" for NULL */
/* Copies a column into the arena; false: no memory. */
bool bui_column_copy(sqlite3_stmt *stmt, int at, bui_arena *arena, const void **out, size_t *len);

/* ---- list.c */
const char *bui_store_intern(bui_store *store, const char *name); /* a copy that lives as long as the store; NULL: no memory */
/* Joins name, 0, name ..., number into store->scratch as a map's key; false: no memory. */
bool bui_store_compose(bui_store *store, const char *a, size_t a_len, const char *b, int32_t number);
static inline bool bui_note(bui_store *store, void *at, size_t len)
{
    return bui_undo_log_note(&store->undo_log, at, len);
}

/* ---- tables.c, migrate.c, sandbox.c, meta.c, outbox.c */
bus_status bui_schema_check(bui_store *store, bus_error *err); /* is it a store that we know, or an empty file? */
bus_status bui_tables_apply(bui_store *store,
                            bus_error *err); /* makes the library's tables in an empty file, and what an older store lacks */
bus_status bui_meta_load(bui_store *store, bus_error *err);
bus_status bui_migrate(bui_store *store, const bus_migration *migrations, bus_error *err);
bus_status bui_sandbox_install(bui_store *store, bus_error *err);
void bui_sandbox_free(bui_store *store);
bool bui_lease_take(bui_store *store, bui_lease *lease, int64_t *id); /* staged; false: no memory */
char *bui_source_text(const bui_store *store,
                      const char *incarnation); /* "<service>/<shard>#<incarnation>", free(); NULL: no memory */
/* The same of that epoch; NULL: see err. */
const char *bui_source_of(bui_store *store, int64_t epoch, bus_error *err);

#endif
