/* SPDX-License-Identifier: MIT
 * What the store's files share: the struct, its statements, and the groups of tables that are loaded, flushed and taken
 * back together. */
#ifndef BUS_STORE_INTERNAL_H
#define BUS_STORE_INTERNAL_H

#include "base/clock.h"
#include "base/map.h"
#include "store/fresh.h"
#include "store/statement.h"
#include "store/store.h"

#define BUS_APPLICATION_ID 0x62757353 /* "busS", in the header of every store */
#define BUS_BUSY_MS 250               /* only checkpoints and recovery by a reader are waited for */

/* A list of pointers. Reserve first, so that adding cannot fail after memory was changed. */
typedef struct bus_list { void **at; size_t count, cap; } bus_list;
bool bus_list_reserve(bus_list *list, size_t count);
static inline void bus_list_add(bus_list *list, void *item) { list->at[list->count++] = item; }
void bus_list_free(bus_list *list);

/* Ids that are never reused, not even after a crash: the store records a bound well above those given out. */
typedef struct bus_lease { int64_t next, bound; } bus_lease;

/* The write-ahead log: its file with our methods over its own, and what is gathered for its next sync. */
typedef struct bus_wal {
    bool gathers;                   /* each commit syncs: frames may wait for it */
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real; /* NULL: nothing is gathered */
    sqlite3_file *file;
    char *bytes;
    int len;
    int64_t at;
    int64_t size, checkpoint_above;
} bus_wal;

typedef struct bus_tables_destination {
    bus_map by_name;
    bus_list all;              /* [id - 1] */
    bus_list dirty;
    bool due;                  /* this commit writes them */
} bus_tables_destination;

typedef struct bus_outbox_table { int64_t rows, bytes, rejected; int64_t low, high; } bus_outbox_table; /* low, high: ids, if any rows */
typedef struct bus_tables_outbox {
    bus_outbox_depth depth;
    int current;               /* the table that new rows go to */
    int64_t split;             /* ids below are in the other */
    bus_outbox_table table[2]; /* with the fresh rows */
} bus_tables_outbox;

typedef struct bus_tables_position {
    bus_map by_name;
    bus_list all, dirty;
} bus_tables_position;

typedef struct bus_tables_mark {
    bus_map by_name, families;
    bus_list all, dirty, grown;
    int64_t next_id;
    size_t holes;
} bus_tables_mark;

typedef struct bus_tables_seen {
    struct bus_seen_print *ring;  /* oldest at `first`, `count` of them */
    size_t first, count, cap;
    uint32_t *slot;               /* open addressing: place in the ring + 1, 0 free */
    size_t slots;
    int64_t next_n;               /* of the row that the next flush writes first */
    uint64_t seed[2];
    bus_buf pending;              /* rows of this transaction, not written yet */
    size_t pending_count;
    size_t saved_len, saved_count;
    size_t trimmed;               /* rows deleted by this flush, to be dropped once committed */
    bool broken;                  /* reading them anew failed: nothing may be settled by a part of them */
    bool forgot;                  /* rows were deleted by name: read the rest anew when that is durable */
} bus_tables_seen;

typedef struct bus_tables_key {
    bus_map by_name, by_id;
    bus_list all;                 /* in no order */
    bus_list touched;             /* since begin; may name a key twice */
    size_t saved_touched;
    uint64_t serial;              /* of the save level, for `touched` */
    bus_list stale;               /* whose place in the indexes may be wrong */
    bus_list due;                 /* heap of waiting keys */
    bus_list draining;            /* sorted by id, some no longer draining */
    size_t draining_sorted;       /* how many of it are in order */
    int64_t *alias;               /* ids given to keys, and taken from them, in this transaction */
    size_t aliases, alias_cap;
    bus_key_totals totals;        /* parked and parked_bytes staged; the others follow the indexes */
} bus_tables_key;

typedef struct bus_tables_answer {
    bus_map known;                /* questions; the value is the interned question */
    bus_list pending;             /* of this transaction */
} bus_tables_answer;

typedef struct bus_sql_entry bus_sql_entry;
typedef struct bus_tables_cage {
    bool inside, migrating;
    bool preparing;               /* the statement being prepared is one of ours or of the cache */
    bool strangers;               /* somebody prepared statements that we do not know */
    const char *denied;           /* what the authorizer last refused */
    bus_error disabled;           /* the first step that failed for want of disk or memory */
    bus_map by_text;
    bus_list all, used;
    uint64_t clock;
} bus_tables_cage;

struct bus_store {
    sqlite3 *db;
    char *path, *service;
    int shard, shards;
    int version;                  /* as found; 0: a fresh file */
    const bus_clock *clock;
    int64_t seen_most, marks_most;
    sqlite3_stmt *stmt[BUS_STATEMENTS];

    bus_stage stage;
    bool active, saved, saved_sql, committing;
    size_t saved_mark;
    int64_t saved_changes;
    bus_error sticky;             /* of a function that cannot report: commit says it */
    int64_t now_ms;               /* wall time of begin */
    bus_wal wal;
    int64_t page_size;
    int64_t seal;                 /* see seal.c */
    bool sealing, verified;
    int64_t file, log_file;       /* bus_file_number; 0: a file system of the caller's */

    bus_tables_cage cage;
    bus_meta meta;
    int64_t epoch;                /* of the incarnation */
    char *source;                 /* "<service>/<shard>#<incarnation>" */
    bus_map sources;              /* epoch -> the source of older rows */
    bus_map names;                /* interned scopes and topics */
    bus_lease outbox_ids, serial;
    bus_tables_outbox outbox;
    bus_fresh fresh;
    bool scanning;
    bus_tables_destination destinations;
    bus_tables_position positions;
    bus_tables_mark marks;
    bus_tables_seen seen;
    bus_tables_key keys;
    bus_tables_answer answers;
    int64_t letters_open, letters_older;
    bus_bodies bodies;
    int64_t next_due;
    bus_buf scratch;              /* for composed map keys; never shrinks, so composing a name again cannot fail */
};

/* One group of tables. Any member may be NULL. `back` and `ended` cannot fail: what they need was reserved. */
typedef struct bus_group {
    bus_status (*load)(bus_store *store, bus_error *err);   /* once, at open, tables there */
    bus_status (*flush)(bus_store *store, bus_error *err);  /* dirty words into the tables, before COMMIT */
    void (*saved)(bus_store *store);                        /* a level was opened */
    void (*back)(bus_store *store, size_t mark);            /* the stage was undone to `mark` */
    void (*ended)(bus_store *store, bool committed);        /* after COMMIT, or after all is undone */
    void (*free)(bus_store *store);
} bus_group;
extern const bus_group bus_group_meta, bus_group_destination, bus_group_outbox, bus_group_position, bus_group_mark,
    bus_group_seen, bus_group_key, bus_group_letter, bus_group_body, bus_group_schedule, bus_group_answer;
extern const bus_group *const bus_groups[]; /* ends with NULL */

/* ---- wal.c */
/* Once, in WAL mode. Close before the connection. */
bus_status bus_wal_open(bus_store *store, bus_error *err);
void bus_wal_close(bus_store *store);

/* ---- statement.c */
/* The library's statement, prepared once, reset and ready to bind; NULL: see err. */
sqlite3_stmt *bus_statement_of(bus_store *store, bus_statement which, bus_error *err);
/* sqlite3_step with the cage open: a re-preparation must not meet the user's authorizer. */
int bus_step(bus_store *store, sqlite3_stmt *stmt);
/* Steps a statement that returns no rows, and resets it. */
bus_status bus_run_statement(bus_store *store, sqlite3_stmt *stmt, const char *doing, bus_error *err);
/* Runs library SQL that is not worth keeping prepared. */
bus_status bus_exec(bus_store *store, const char *sql, const char *doing, bus_error *err);
/* Prepares, with the authorizer knowing that it is ours. */
int bus_prepare_own(bus_store *store, const char *sql, bool caged, sqlite3_stmt **out, const char **tail);
/* What SQLite's answer means here, in words: what was being done, where, and what to do. */
bus_status bus_store_fail(bus_store *store, int rc, const char *doing, bus_error *err);
bus_status bus_sqlite_fail(sqlite3 *db, const char *path, int rc, const char *doing, bus_error *err);
/* For functions that cannot report: the transaction is doomed, and its commit will say why. */
void bus_store_doom(bus_store *store, const bus_error *err);

/* NULL stays NULL and empty stays empty. */
static inline int bus_bind_bytes(sqlite3_stmt *stmt, int at, const void *bytes, size_t len)
{
    if (!bytes)
        return sqlite3_bind_null(stmt, at);
    return len ? sqlite3_bind_blob64(stmt, at, bytes, len, SQLITE_STATIC) : sqlite3_bind_zeroblob(stmt, at, 0);
}
static inline int bus_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    return text ? sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, at);
}
/* A column's bytes: NULL only if it is NULL. */
const void *bus_column_bytes(sqlite3_stmt *stmt, int at, size_t *len);
const char *bus_column_text(sqlite3_stmt *stmt, int at); /* "" for NULL */
/* Copies a column into the arena; false: no memory. */
bool bus_column_copy(sqlite3_stmt *stmt, int at, bus_arena *arena, const void **out, size_t *len);

/* ---- list.c */
const char *bus_store_intern(bus_store *store, const char *name); /* a copy that lives as long as the store; NULL: no memory */
/* Joins name, 0, name ..., number into store->scratch as a map's key; false: no memory. */
bool bus_store_compose(bus_store *store, const char *a, size_t a_len, const char *b, int32_t number);
static inline bool bus_note(bus_store *store, void *at, size_t len) { return bus_stage_note(&store->stage, at, len); }

/* ---- schema.c, migrate.c, cage.c, meta.c, outbox.c */
bus_status bus_schema_check(bus_store *store, bus_error *err);   /* is it a store that we know, or an empty file? */
bus_status bus_schema_apply(bus_store *store, bus_error *err);   /* makes the library's tables in an empty file, and what an older store lacks */
bus_status bus_meta_load(bus_store *store, bus_error *err);
bus_status bus_migrate(bus_store *store, const bus_migration *migrations, bus_error *err);
bus_status bus_cage_install(bus_store *store, bus_error *err);
void bus_cage_free(bus_store *store);
bool bus_lease_take(bus_store *store, bus_lease *lease, int64_t *id); /* staged; false: no memory */
char *bus_source_text(const bus_store *store, const char *incarnation); /* "<service>/<shard>#<incarnation>", free(); NULL: no memory */
/* The same of that epoch; NULL: see err. */
const char *bus_source_of(bus_store *store, int64_t epoch, bus_error *err);

#endif
