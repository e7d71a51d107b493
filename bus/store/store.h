/* SPDX-License-Identifier: MIT
 * Store: one shard's SQLite file. One thread, one writing connection, WAL, synchronous=FULL. What the protocol reads for
 * every event (marks, positions, key states, next_seq, seen ids) is kept in memory, written once per transaction, and
 * taken back by a rollback (stage.h).
 *
 * Unless said otherwise functions return BUS_OK, BUS_STORE, BUS_FULL (disk full), BUS_IO, BUS_NOMEM or BUS_CORRUPT; any of
 * these inside a transaction means: roll back. Strings in rows handed out are borrowed until the next call. */
#ifndef BUS_STORE_STORE_H
#define BUS_STORE_STORE_H

#include "base/arena.h"
#include "base/clock.h"
#include "store/stage.h"
#include <bus/service.h>
#include <sqlite3.h>

#define BUS_RUN_TEXT 64      /* the id of a run of `bus replay`, at most */
#define BUS_STORE_VERSION 11 /* of the library's own tables */

typedef struct bus_store bus_store;

typedef struct bus_store_options {
    const char *path;                  /* <data>/<service>/<p>.db; its directory is made (0700) if absent */
    const char *service;
    int shard, shards;
    const bus_migration *migrations;   /* the user's; may be NULL */
    int64_t cache_bytes;               /* cache_size; 0: 64 MiB */
    int64_t seen_most;                 /* bound of `seen`; 0: 1,000,000 */
    int64_t marks_most;                /* bound of marks, and of holes; 0: 100,000 */
    const char *vfs;                   /* NULL: the default */
    const char *synchronous;           /* NULL: "FULL"; for negative controls in simulation only */
    const bus_clock *clock;            /* NULL: the real one; must outlive the store */
} bus_store_options;

/* Opens or creates. The caller holds the shard's lock. Refuses, saying what and what to do: a store of another service,
 * shard or shard count (BUS_REFUSED), from a newer version (BUS_REFUSED), an applied migration whose text changed or
 * that is missing from the list (BUS_REFUSED), a file that is no database or fails quick_check's header (BUS_CORRUPT), no
 * permission (BUS_IO), a WAL that does not go on from the file (BUS_REFUSED, see seal.c), a copy that is damaged (BUS_CORRUPT). Sets WAL, wal_autocheckpoint=0, synchronous, foreign_keys, NO_CKPT_ON_CLOSE; makes durable what the log
 * holds (a sync of the process before may have failed); runs migrations, each in its own transaction, then loads the caches. */
bus_status bus_store_open(const bus_store_options *options, bus_store **out, bus_error *err);
void bus_store_close(bus_store *store); /* no checkpoint; NULL is a no-op */

sqlite3 *bus_store_db(bus_store *store);
const char *bus_store_path(const bus_store *store);

/* ---- transaction: begin, then any number of save/release or save/back, then commit or rollback. */
bus_status bus_store_begin(bus_store *store, bus_error *err);       /* BEGIN IMMEDIATE */
bus_status bus_store_commit(bus_store *store, bus_error *err);      /* writes the dirty caches, then COMMIT; on failure rolled back */
void bus_store_rollback(bus_store *store);                          /* memory too; no-op outside a transaction */
bool bus_store_active(const bus_store *store);
/* One level. `sql` true makes a real SAVEPOINT; false notes memory only, and `back` then needs that no row was changed
 * since (bus_store_changed false), else it returns BUS_BUG and the caller rolls all back. */
bus_status bus_store_save(bus_store *store, bool sql, bus_error *err);
bus_status bus_store_release(bus_store *store, bus_error *err);
bus_status bus_store_back(bus_store *store, bus_error *err);
bool bus_store_changed(const bus_store *store);  /* any row changed since save, by sqlite3_total_changes64 */

/* Moves the WAL into the database when it is over `bytes`, between transactions, this connection, PASSIVE; a WAL that stays
 * over 4 x bytes is reset with TRUNCATE when no reader holds it. Once all is moved, a commit says so, and is moved as well (seal.c). */
bus_status bus_store_checkpoint(bus_store *store, int64_t bytes, bus_error *err);
/* Before it is closed: moves all of the WAL, whatever its size, so that the store is one file. */
bus_status bus_store_rest(bus_store *store, bus_error *err);
/* What the WAL holds that is not in the database yet, in bytes; 0 until the first commit after a checkpoint of all. */
int64_t bus_store_wal_bytes(const bus_store *store);

/* PRAGMA integrity_check, once for an open store: BUS_CORRUPT, saying what is damaged and what to do. */
bus_status bus_store_verify(bus_store *store, bus_error *err);
/* Was the file, or its WAL, removed or replaced since it was opened? BUS_REFUSED: it was. Two stats; any thread. */
bus_status bus_store_gone(const bus_store *store, bus_error *err);

/* ---- the cage: between enter and leave the user's code runs on the connection. The authorizer is installed once and
 * reads a flag. Inside, transaction control, savepoints, ATTACH, PRAGMA, DDL and the library's tables (bus_*) are denied. */
void bus_store_cage(bus_store *store, bool inside);
/* After a handler: does the transaction still stand (autocommit off, no deferred foreign key violated)? */
bus_status bus_store_standing(bus_store *store, bus_error *err);
/* Did a step of a statement of bus_store_sql fail, since the cage was entered, for a reason that is not its own (disk full or broken,
 * no memory)? Told once the cage is left; BUS_OK if none did. What it would have written is missing. */
bus_status bus_store_disabled(bus_store *store, bus_error *err);
/* The user's statement by its text, from a cache of 128; resets those used when the cage is left. NULL: see err. */
sqlite3_stmt *bus_store_sql(bus_store *store, const char *sql, bus_error *err);

/* ---- meta */
typedef struct bus_meta {
    char store_id[37];         /* UUID, drawn at creation */
    int64_t opens;             /* raised at each open */
    int shards;
    char incarnation[17];      /* of this open: 16 hex digits */
    bool fresh;                /* the file was made by this bus_store_open */
    bool transacted;           /* bus_transact ever wrote: no rebuild from topics */
    int64_t age;               /* grows with what it commits, see bus_store_grow */
} bus_meta;
const bus_meta *bus_store_meta(const bus_store *store);
/* Sets opens to `opens` (0: one more than now) and store_id (NULL: keep), and draws a fresh incarnation, so that every destination's
 * seq starts at 1 again; in its own committed transaction. */
bus_status bus_store_raise(bus_store *store, const char *store_id, int64_t opens, bus_error *err);
/* Forgets how far former incarnations had numbered (see `bus audit`): those of a rebuild sent nothing. In its own transaction. */
bus_status bus_store_forget_former(bus_store *store, bus_error *err);
/* Inside a transaction: its age is one more, at the price of a page. Who has told Kafka of an age knows an older copy by it. */
bus_status bus_store_grow(bus_store *store, bus_error *err);
bus_status bus_store_set_transacted(bus_store *store, bus_error *err); /* inside a transaction; cheap when already set */

/* ---- destination(topic, partition, next_seq): who gets the next sequence number */
typedef struct bus_destination {
    int64_t id;
    const char *topic;          /* stable while the store is open */
    int32_t partition;
    int64_t next_seq;           /* of this incarnation, from 1 */
    char *source;               /* "<service>/<shard>#<incarnation>" */
    void *relay;                /* the relay's own state */
} bus_destination;
/* Finds or makes it; NULL: see err. Stable address while the store is open (one made in a rolled back transaction stays,
 * with next_seq back at 1). A destination's seq starts at 1 with each incarnation. */
bus_destination *bus_destination_of(bus_store *store, const char *topic, int32_t partition, bus_error *err);
bool bus_destination_known(bus_store *store, const char *topic, int32_t partition); /* has it been made? */
size_t bus_destination_count(const bus_store *store);
bus_destination *bus_destination_by_id(bus_store *store, int64_t id); /* NULL: none */

/* ---- outbox(id, destination, incarnation, seq, event_id, key, value, headers, at, state, error) */
/* Kafka refuses a row: later rows of its destination pass it by (REJECTED), or wait until an operator decides (HOLDS). */
typedef enum bus_outbox_state { BUS_OUTBOX_READY = 0, BUS_OUTBOX_REJECTED = 1, BUS_OUTBOX_HOLDS = 2 } bus_outbox_state;
typedef struct bus_outbox_row {
    int64_t id;                 /* filled by add; strictly growing, never reused */
    bus_destination *destination;
    const char *source;         /* filled by scan: "<service>/<shard>#<incarnation of the row>" */
    int64_t seq;
    const char *event_id;
    const void *key; size_t key_len;
    const void *value; size_t value_len;
    const void *headers; size_t headers_len; /* packed, bus-hop included: see codec/envelope.h */
    int64_t at;                 /* record timestamp, ms; 0: when produced */
    bus_outbox_state state;
    const char *error;          /* of a rejected row */
    int64_t made;               /* filled by scan: wall ms of its transaction */
} bus_outbox_row;
/* Adds; takes destination->next_seq as row->seq if row->seq is 0 (so the caller can peek next_seq for the hop header). The bytes are
 * copied: the row is kept in memory, written by the commit, and forgotten when the next transaction begins. */
bus_status bus_outbox_add(bus_store *store, bus_outbox_row *row, bus_error *err);
/* The rows added by the transaction in hand, or the last one if it was committed; before them those of transactions whose rows were
 * kept. To keep: they stay in hand when the next one begins, until that is taken back; what is rolled back goes all the same. */
size_t bus_outbox_fresh_count(const bus_store *store);
void bus_outbox_fresh_keep(bus_store *store, bool keep);
void bus_outbox_fresh(const bus_store *store, size_t i, bus_outbox_row *out); /* borrowed until the next add or begin */
/* Deletes these ids (sorted ascending): a table's all at once, else runs of consecutive ids become range deletes. */
bus_status bus_outbox_delete(bus_store *store, const int64_t *ids, size_t count, bus_error *err);
/* Deletes of them only what empties a table, which costs next to nothing: the first *gone; the rest stay for later. */
bus_status bus_outbox_delete_whole(bus_store *store, const int64_t *ids, size_t count, size_t *gone, bus_error *err);
bus_status bus_outbox_reject(bus_store *store, int64_t id, bus_outbox_state as, const char *error, bus_error *err);
/* What an operator decides about a rejected row. BUS_MISSING: there is no such row, or it is not rejected. Inside a transaction. */
bus_status bus_outbox_retry(bus_store *store, int64_t id, bus_error *err);
bus_status bus_outbox_discard(bus_store *store, int64_t id, const char *operator, const char *reason, bus_error *err); /* see bus_discarded */
/* Rows with id >= from in id order, of one destination or (NULL) of all, READY only, at most `most`; `each` returns false to stop. */
typedef bool (*bus_outbox_each)(const bus_outbox_row *row, void *opaque);
bus_status bus_outbox_scan(bus_store *store, int64_t from, const bus_destination *only, size_t most, bus_outbox_each each, void *opaque, bus_error *err);
/* The rejected rows, in id order. */
bus_status bus_outbox_rejected(bus_store *store, bus_outbox_each each, void *opaque, bus_error *err);
/* READY rows and their bytes (key + value + headers), kept in memory; the oldest row's wall time of insertion, 0 if none. */
typedef struct bus_outbox_depth { int64_t rows, bytes, rejected; int64_t oldest_ms; } bus_outbox_depth;
bus_outbox_depth bus_outbox_depth_of(const bus_store *store);
int64_t bus_outbox_next_id(const bus_store *store); /* the id that the next add gets */

/* ---- position(topic, partition, next, anchor, proof, life): where this shard goes on, and in which log */
typedef struct bus_place {
    int64_t offset;             /* -1: none */
    uint64_t hash;
    int kind;                   /* of the hash, see bus_record_hash */
} bus_place;
typedef struct bus_position {
    const char *topic;
    int32_t partition;
    int64_t next;               /* offset to read next; -1: none yet */
    bus_place anchor;           /* the last delivered record */
    bus_place proof;            /* the last one that was found in the log again later: what stands there tells one log from another */
    int64_t life;               /* how many times somebody has accepted another log in this topic's place */
    bool judging;               /* somebody has set the offset; whether the log is another one is not known yet */
    bool dirty;
} bus_position;
/* Finds or makes it in memory (next -1); NULL: no memory. Stable address. */
bus_position *bus_position_of(bus_store *store, const char *topic, int32_t partition);
bool bus_position_set(bus_store *store, bus_position *position, int64_t next, bus_place anchor); /* staged; false: no memory */
/* Somebody has set the offset: goes on there. Anchor and proof stay until bus_position_judge says whether the log is another. Staged. */
bool bus_position_reset(bus_store *store, bus_position *position, int64_t next);
bool bus_position_judge(bus_store *store, bus_position *position, bool other);
/* What was found in the log again. Not staged: the next write of the position takes it along, and an older proof is as true. */
void bus_position_prove(bus_position *position, bus_place proof);
/* The life of a partition's log; 0 also where it is not known. */
int64_t bus_position_life(bus_store *store, const char *topic, int32_t partition);
#define BUS_NO_PLACE ((bus_place){ .offset = -1 })
/* Forgets holes and marks of one input partition (its offset was reset backwards). Inside a transaction. */
bus_status bus_position_forget(bus_store *store, const char *topic, int32_t partition, bus_error *err);
size_t bus_position_count(const bus_store *store);
const bus_position *bus_position_at(const bus_store *store, size_t i);

/* ---- mark(source, topic, partition, high) and hole(source, topic, partition, lo, hi): the inbox */
typedef enum bus_receipt { BUS_NEW, BUS_NEW_FIRST, BUS_NEW_AFTER_GAP, BUS_NEW_IN_HOLE, BUS_DUPLICATE, BUS_UNCOUNTED, BUS_RECEIPT_FAILED } bus_receipt;
#define BUS_HOLES_PER_MARK 1024
/* Would this (source, topic, partition, seq) be new? Also settles it: seq = high+1 advances; greater records the hole
 * (high+1 .. seq-1) and advances (AFTER_GAP only if high > 0, or `known_shard_new_incarnation` is told by *gap); inside a hole
 * splits it. Staged. *gap: how many are missing; NULL: gaps are no loss there. A mark that is new (NEW_FIRST), with seq > 1, of a shard
 * (source up to '#') that has other marks for the same destination, is a gap too. UNCOUNTED: nothing was settled, as the store has
 * marks_most marks or holes, or the mark BUS_HOLES_PER_MARK: settle it by its id. FAILED: no memory. `now_ms` is kept for expiry. */
bus_receipt bus_mark_settle(bus_store *store, const char *source, size_t source_len, const char *topic, int32_t partition, int64_t seq, int64_t now_ms, int64_t *gap);
int64_t bus_mark_high(const bus_store *store, const char *source, size_t source_len, const char *topic, int32_t partition); /* 0: absent */
size_t bus_mark_holes(const bus_store *store); /* how many hole rows */
/* Deletes marks (and holes) silent since before `before_ms`, where a newer incarnation of the same shard has one. In a transaction. */
bus_status bus_mark_expire(bus_store *store, int64_t before_ms, bus_error *err);

/* ---- seen(ce_source, ce_id, at): events of foreign producers; append-only table, a set in memory, bounded */
bus_receipt bus_seen_settle(bus_store *store, const char *source, size_t source_len, const char *id, size_t id_len, int64_t now_ms); /* NEW, DUPLICATE or FAILED */
bool bus_seen_has(const bus_store *store, const char *source, size_t source_len, const char *id, size_t id_len);

/* Forgets what was seen of every source that begins with `prefix`. In a transaction; takes effect with its commit. */
bus_status bus_seen_forget(bus_store *store, const char *prefix, bus_error *err);

/* ---- key(id, scope, key, state, event_id, attempt, due ...) and parked(key_id, n, record) */
typedef enum bus_key_state { BUS_KEY_FREE = 0, BUS_KEY_WAITING, BUS_KEY_HELD, BUS_KEY_DRAINING } bus_key_state;
typedef struct bus_key {
    int64_t id;                 /* never reused: retry tokens name it */
    const char *scope;
    const void *key; size_t key_len;
    bus_key_state state;
    char event_id[256];         /* of the head */
    int attempt;                /* attempts already made by the head */
    int round;                  /* of its letter, when held; 0: none */
    int64_t due;                /* ms; of a waiting head */
    int64_t first_failed;       /* ms */
    int64_t parked;             /* how many, head included */
    int64_t parked_bytes;
    bool dirty;
} bus_key;
/* NULL: free. Stable address until the commit that freed it. */
bus_key *bus_key_find(bus_store *store, const char *scope, const void *key, size_t key_len);
/* The same where "free" must not be said for want of memory: BUS_NOMEM, or BUS_OK and *out, NULL if free. */
bus_status bus_key_look(bus_store *store, const char *scope, const void *key, size_t key_len, bus_key **out, bus_error *err);
bus_key *bus_key_by_id(bus_store *store, int64_t id);
/* To look at all: at most as many places as bus_key_totals counts keys at the open; NULL: none there. */
bus_key *bus_key_at(bus_store *store, size_t place);
/* Makes it (must be absent or free), WAITING. NULL: see err. */
bus_key *bus_key_make(bus_store *store, const char *scope, const void *key, size_t key_len, bus_error *err);
/* Call before changing state, event_id, attempt, round, due or first_failed: notes the old ones and marks dirty. false: no memory. */
bool bus_key_touch(bus_store *store, bus_key *key);
/* With nothing parked: FREE; gone from memory and store at commit. */
bus_status bus_key_free(bus_store *store, bus_key *key, bus_error *err);
/* A record to wait behind (or as) the key's head. */
typedef struct bus_parked {
    int64_t n;                  /* order within the key; filled by park */
    const char *event_id;
    const char *topic; int32_t partition; int64_t offset; int64_t timestamp; /* original */
    const void *record_key; size_t record_key_len;   /* NULL: none */
    const void *value; size_t value_len;             /* NULL: tombstone */
    const void *headers; size_t headers_len;         /* packed, as received */
    int command;                /* the kind of command it came by, BUS_COMMAND_NONE for an event of an input; or ... */
} bus_parked;
#define BUS_COMMAND_UNSAID (-1) /* ... an older version parked it, and its headers tell */
bus_status bus_key_park(bus_store *store, bus_key *key, const bus_parked *record, bus_error *err);
/* Copies the head (lowest n) into the arena; BUS_MISSING if none. */
bus_status bus_key_head(bus_store *store, bus_key *key, bus_arena *arena, bus_parked *out, bus_error *err);
bus_status bus_key_pop(bus_store *store, bus_key *key, bus_error *err); /* deletes the head */
/* What makes two records one event, wherever that is asked (bus_seen, parked, letters): within one partition of one topic the id,
 * and of an event of a foreign producer its ce_source, too. What lands on two partitions is two events. */
typedef struct bus_identity {
    const char *topic; int32_t partition;
    const char *id;
    const char *source;         /* NULL: made by a bus, and its id alone is enough */
} bus_identity;
/* Is the event parked already? A copy that was replayed does not stand for it. */
bool bus_key_holds(bus_store *store, const bus_key *key, const bus_identity *event);
/* Next key by state for timers: the WAITING one with the least due (NULL: none), and any DRAINING one after `after_id`. */
bus_key *bus_key_next_due(bus_store *store);
bus_key *bus_key_next_draining(bus_store *store, int64_t after_id);
typedef struct bus_key_totals { int64_t waiting, held, draining, parked, parked_bytes; } bus_key_totals;
bus_key_totals bus_key_totals_of(const bus_store *store);

/* ---- letter(id, scope, key, key_id, event_id, round, state, at) */
typedef struct bus_letter {
    char id[37];
    char event_id[256];
    const char *scope;
    int64_t key_id;             /* of the key it holds; 0: released */
    int round;                  /* from 1 */
    int state;                  /* bus_letter_state of codec/envelope.h */
    int64_t first_failed;
    int32_t partition;          /* of the event; -1: an older version wrote it, whose ids leave that out */
    char replay[BUS_RUN_TEXT];  /* of a copy: the run of `bus replay` that sent it; "": of the event itself */
} bus_letter;
bus_status bus_letter_get(bus_store *store, const char *id, bus_letter *out, bus_error *err); /* BUS_MISSING */
bus_status bus_letter_put(bus_store *store, const bus_letter *letter, bus_error *err);        /* insert or replace */
/* Why it is open, so that its record can be made again: see shard/lost.c. Texts are borrowed, or in the arena. */
typedef struct bus_letter_cause {
    const char *orig;           /* bus-orig of its event; "": an older version wrote it */
    const char *class, *reason;
    int attempts;
    int64_t at;                 /* when the letter changed last; only told */
} bus_letter_cause;
bus_status bus_letter_cause_put(bus_store *store, const char *id, const bus_letter_cause *cause, bus_error *err);
bus_status bus_letter_cause_get(bus_store *store, const char *id, bus_arena *arena, bus_letter_cause *out, bus_error *err); /* BUS_MISSING */
/* When the oldest of the open and redriven letters changed last; INT64_MAX: there is none. */
bus_status bus_letter_oldest(bus_store *store, int64_t *out, bus_error *err);
/* Open letters that changed last from `from_ms` to `to_ms`; false: stop. */
typedef bool (*bus_letter_each)(const char *id, int round, void *opaque);
bus_status bus_letters_between(bus_store *store, int64_t from_ms, int64_t to_ms, bus_letter_each each, void *opaque, bus_error *err);
/* Forgets letters resolved or discarded before `before_ms`, and the oldest of them over `most`, some thousands at a time: *more, if there
 * are yet others. What is open stays. Rounds that were used are never used again: see bus_letter_first_round. In a transaction. */
bus_status bus_letter_expire(bus_store *store, int64_t before_ms, int64_t most, int64_t *gone, bool *more, bus_error *err);
/* The round of a letter that the store does not know. */
bus_status bus_letter_first_round(bus_store *store, int *out, bus_error *err);
int64_t bus_letter_open_count(const bus_store *store); /* open or redriven */
int64_t bus_letter_older_count(const bus_store *store); /* of them those with partition -1 */
int64_t bus_letter_failures(bus_store *store, const char *run); /* how many copies of a run have failed: letters of any state */

/* ---- body(letter, key, headers, value): the event of a letter whose record does not carry it, until the letter is closed */
typedef struct bus_body {
    const void *key; size_t key_len;
    const void *value; size_t value_len;      /* NULL: tombstone */
    const void *headers; size_t headers_len;  /* packed: the event's own and bus-orig */
} bus_body;
bus_status bus_body_keep(bus_store *store, const char *letter, const bus_body *body, bus_error *err); /* replaces */
bus_status bus_body_get(bus_store *store, const char *letter, bus_arena *arena, bus_body *out, bus_error *err); /* BUS_MISSING */
bus_status bus_body_drop(bus_store *store, const char *letter, bus_error *err); /* none is no error */
typedef struct bus_bodies { int64_t count, bytes; } bus_bodies;
bus_bodies bus_bodies_of(const bus_store *store);

/* ---- schedule(id, name, due, destination topic, event ...): delayed emits */
typedef struct bus_scheduled {
    int64_t id;
    const char *name;
    int64_t due;
    const char *event_id, *topic;
    int32_t partition;          /* -1: by key */
    const void *key; size_t key_len;
    const void *value; size_t value_len;
    const void *headers; size_t headers_len;  /* packed, without bus-hop */
} bus_scheduled;
bus_status bus_schedule_put(bus_store *store, bus_scheduled *event, bus_error *err);   /* replaces the same name */
bool bus_schedule_drop(bus_store *store, const char *name);                            /* true: it was there; staged */
int64_t bus_schedule_count(bus_store *store);                                          /* for people: 0 too if it cannot be read; 100,000 at most */
int64_t bus_schedule_next_due(const bus_store *store);                                 /* INT64_MAX: none */
/* Copies it into the arena; BUS_MISSING. */
bus_status bus_schedule_find(bus_store *store, const char *name, bus_arena *arena, bus_scheduled *out, bus_error *err);
/* Copies the first due at or before `now` into the arena and deletes it; BUS_MISSING if none. In a transaction. */
bus_status bus_schedule_take(bus_store *store, int64_t now, bus_arena *arena, bus_scheduled *out, bus_error *err);

/* ---- answer(question, answer): what a schema registry said, so that the shard opens without it */
bool bus_answer_known(const bus_store *store, const char *question);
/* Keeps it, unless it is known. Inside a transaction. */
bus_status bus_answer_put(bus_store *store, const char *question, const char *answer, bus_error *err);
/* Calls `each` for all; the texts are borrowed for the call. */
typedef void (*bus_answer_each)(const char *question, const char *answer, void *opaque);
bus_status bus_answers(bus_store *store, bus_answer_each each, void *opaque, bus_error *err);

/* ---- a query-only connection for bus_read; any thread, its own handle. */
bus_status bus_store_reader(const char *path, sqlite3 **out, bus_error *err); /* PRAGMA query_only; close with sqlite3_close */
/* A store that no shard ever claimed, left by a start that was refused: it holds nothing. false also: none there, or it cannot be read. */
bool bus_store_unclaimed(const char *path);

#endif
