/* SPDX-License-Identifier: MIT
 * Store: one shard's SQLite file. One thread, one writing connection, WAL, synchronous=FULL. What the protocol reads for
 * every event (marks, positions, key states, next_seq, seen ids) is kept in memory, written once per transaction, and
 * taken back by a rollback (undo_log.h).
 *
 * Unless said otherwise functions return BUS_OK, BUS_STORE, BUS_FULL (disk full), BUS_IO, BUS_NOMEM or BUS_CORRUPT; any of
 * these inside a transaction means: roll back. Strings in rows handed out are borrowed until the next call. */
#ifndef BUI_STORE_STORE_H
#define BUI_STORE_STORE_H

#include "base/arena.h"
#include "base/clock.h"
#include "store/undo_log.h"
#include <bus/service.h>
#include <sqlite3.h>

#define BUI_RUN_TEXT 64      /* the id of a run of `bus replay`, at most */
#define BUI_STORE_VERSION 11 /* of the library's own tables */

typedef struct bui_store bui_store;

typedef struct bui_store_options {
    const char *path; /* <data>/<service>/<p>.db; its directory is made (0700) if absent */
    const char *service;
    int shard, shards;
    const bus_migration *migrations; /* the user's; may be NULL */
    int64_t cache_bytes;             /* cache_size; 0: 64 MiB */
    int64_t dedup_most;              /* event ids kept by dedup; 0: 1,000,000 */
    bool dedup_beside;               /* many ids seen are loaded by a thread, while the store is used: see BUI_RECEIPT_LATER */
    int64_t marks_most;              /* bound of marks, and of gaps; 0: 100,000 */
    const struct bus_state *const *states; /* the user's; may be NULL */
    int64_t state_bytes;                   /* bound of what is kept of their rows; 0: 4 MiB */
    const char *vfs;                       /* NULL: the default */
    const char *secure_delete;             /* PRAGMA secure_delete; NULL: "fast" */
    int64_t shrink_bytes;                  /* when so much, and half of the file, is unused, it is given back at open; 0: never */
    const char *synchronous;               /* NULL: "FULL"; for negative controls in simulation only */
    const bui_clock *clock;                /* NULL: the real one; must outlive the store */
} bui_store_options;

/* Opens or creates. The caller holds the shard's lock. Refuses, saying what and what to do: a store of another service,
 * shard or shard count (BUS_REFUSED), from a newer version (BUS_REFUSED), an applied migration whose text changed or
 * that is missing from the list (BUS_REFUSED), a file that is no database or fails quick_check's header (BUS_CORRUPT), no
 * permission (BUS_IO), a WAL that does not go on from the file (BUS_REFUSED, see seal.c), a copy that is damaged (BUS_CORRUPT). Sets WAL, wal_autocheckpoint=0, synchronous, foreign_keys, NO_CKPT_ON_CLOSE; makes durable what the log
 * holds (a sync of the process before may have failed); runs migrations, each in its own transaction, then loads the caches. */
bus_status bui_store_open(const bui_store_options *options, bui_store **out, bus_error *err);
void bui_store_close(bui_store *store); /* no checkpoint; NULL is a no-op */

sqlite3 *bui_store_db(bui_store *store);
const char *bui_store_path(const bui_store *store);

/* ---- transaction: begin, then any number of save/release or save/back, then commit or rollback. */
bus_status bui_store_begin(bui_store *store, bus_error *err);  /* BEGIN IMMEDIATE */
bus_status bui_store_commit(bui_store *store, bus_error *err); /* writes the dirty caches, then COMMIT; on failure rolled back */
void bui_store_rollback(bui_store *store);                     /* memory too; no-op outside a transaction */
bool bui_store_active(const bui_store *store);
/* One level. `sql` true makes a real SAVEPOINT; false notes memory only, and `back` then needs that no row was changed
 * since (bui_store_changed false), else it returns BUS_BUG and the caller rolls all back. */
bus_status bui_store_save(bui_store *store, bool sql, bus_error *err);
bus_status bui_store_release(bui_store *store, bus_error *err);
bus_status bui_store_back(bui_store *store, bus_error *err);
bool bui_store_changed(const bui_store *store); /* any row changed since save, by sqlite3_total_changes64 */

/* How large the page cache may be, from now on. */
bus_status bui_store_cache(bui_store *store, int64_t bytes, bus_error *err);

/* Moves the WAL into the database when it is over `bytes`, between transactions, this connection, PASSIVE; a WAL that stays
 * over 4 x bytes is reset with TRUNCATE when no reader holds it. Once all is moved, a commit says so, and is moved as well (seal.c). */
bus_status bui_store_checkpoint(bui_store *store, int64_t bytes, bus_error *err);
/* Before it is closed: moves all of the WAL, whatever its size, so that the store is one file. */
bus_status bui_store_rest(bui_store *store, bus_error *err);
/* What the WAL holds that is not in the database yet, in bytes; 0 until the first commit after a checkpoint of all. */
int64_t bui_store_wal_bytes(const bui_store *store);

/* PRAGMA integrity_check, once for an open store: BUS_CORRUPT, saying what is damaged and what to do. */
bus_status bui_store_verify(bui_store *store, bus_error *err);
/* Was the file, or its WAL, removed or replaced since it was opened? BUS_REFUSED: it was. Two stats; any thread. */
bus_status bui_store_gone(const bui_store *store, bus_error *err);

/* ---- the sandbox: between enter and leave the user's code runs on the connection. The authorizer is installed once and
 * reads a flag. Inside, transaction control, savepoints, ATTACH, PRAGMA, DDL and the library's tables (bus_*) are denied. */
void bui_store_sandbox(bui_store *store, bool inside);
/* After a handler: is the transaction still open (autocommit off, no deferred foreign key violated)? */
bus_status bui_store_standing(bui_store *store, bus_error *err);
/* Did a step of a statement of bui_store_sql fail, since the sandbox was entered, for a reason that is not its own (disk full or broken,
 * no memory)? Told once the sandbox is left; BUS_OK if none did. What it would have written is missing. */
bus_status bui_store_disabled(bui_store *store, bus_error *err);
/* The user's statement by its text, from a cache of 128; resets those used when the sandbox is left. NULL: see err. */
sqlite3_stmt *bui_store_sql(bui_store *store, const char *sql, bus_error *err);

/* ---- meta */
typedef struct bui_meta {
    char store_id[37]; /* UUID, drawn at creation */
    int64_t opens;     /* raised at each open */
    int shards;
    char incarnation[17]; /* of this open: 16 hex digits */
    bool fresh;           /* the file was made by this bui_store_open */
    bool transacted;      /* bus_transact ever wrote: no rebuild from topics */
    int64_t age;          /* grows with what it commits, see bui_store_grow */
} bui_meta;
const bui_meta *bui_store_meta(const bui_store *store);
/* Sets opens to `opens` (0: one more than now) and store_id (NULL: keep), and draws a new incarnation, so that every destination's
 * seq starts at 1 again; in its own committed transaction. */
bus_status bui_store_raise(bui_store *store, const char *store_id, int64_t opens, bus_error *err);
/* Forgets how far former incarnations had numbered (see `bus audit`): those of a rebuild sent nothing. In its own transaction. */
bus_status bui_store_forget_former(bui_store *store, bus_error *err);
/* Inside a transaction: raises its age by one, which costs a page. Once Kafka knows an age, an older copy can be told by it. */
bus_status bui_store_grow(bui_store *store, bus_error *err);
bus_status bui_store_set_transacted(bui_store *store, bus_error *err); /* inside a transaction; cheap when already set */

/* ---- destination(topic, partition, next_seq): who gets the next sequence number */
typedef struct bui_destination {
    int64_t id;
    const char *topic; /* stable while the store is open */
    int32_t partition;
    int64_t next_seq; /* of this incarnation, from 1 */
    char *source;     /* "<service>/<shard>#<incarnation>" */
    void *relay;      /* the relay's own state */
} bui_destination;
/* Finds or makes it; NULL: see err. Stable address while the store is open (one made in a rolled back transaction stays,
 * with next_seq back at 1). A destination's seq starts at 1 with each incarnation. */
bui_destination *bui_destination_of(bui_store *store, const char *topic, int32_t partition, bus_error *err);
bool bui_destination_known(bui_store *store, const char *topic, int32_t partition); /* has it been made? */
size_t bui_destination_count(const bui_store *store);
bui_destination *bui_destination_by_id(bui_store *store, int64_t id); /* NULL: none */

/* ---- outbox(id, destination, incarnation, seq, event_id, key, value, headers, at, state, error) */
/* Kafka refuses a row: later rows of its destination are sent (REJECTED), or wait until an operator decides (HOLDS). */
typedef enum bui_outbox_state { BUI_OUTBOX_READY = 0, BUI_OUTBOX_REJECTED = 1, BUI_OUTBOX_HOLDS = 2 } bui_outbox_state;
typedef struct bui_outbox_row {
    int64_t id; /* filled by add; strictly growing, never reused */
    bui_destination *destination;
    const char *source; /* filled by scan: "<service>/<shard>#<incarnation of the row>" */
    int64_t seq;
    const char *event_id;
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    const void *headers;
    size_t headers_len; /* packed, bus-hop included: see codec/envelope.h */
    int64_t at;         /* record timestamp, ms; 0: when produced */
    bui_outbox_state state;
    const char *error; /* of a rejected row */
    int64_t made;      /* filled by scan: wall ms of its transaction */
} bui_outbox_row;
/* Adds; takes destination->next_seq as row->seq if row->seq is 0 (so the caller can peek next_seq for the hop header). The bytes are
 * copied: the row is kept in memory, written by the commit, and forgotten when the next transaction begins. */
bus_status bui_outbox_add(bui_store *store, bui_outbox_row *row, bus_error *err);
/* The rows added by the transaction under way, or the last one if it was committed; before them those of transactions whose rows were
 * kept. To keep: they stay when the next one begins, until that is taken back; what is rolled back goes in any case. */
size_t bui_outbox_pending_count(const bui_store *store);
void bui_outbox_pending_keep(bui_store *store, bool keep);
void bui_outbox_pending(const bui_store *store, size_t i, bui_outbox_row *out); /* borrowed until the next add or begin */
/* Deletes these ids (sorted ascending): a table's all at once, else runs of consecutive ids become range deletes. */
bus_status bui_outbox_delete(bui_store *store, const int64_t *ids, size_t count, bus_error *err);
/* Deletes only those that empty a whole table, which costs almost nothing: the first *gone; the rest stay for later. */
bus_status bui_outbox_delete_whole(bui_store *store, const int64_t *ids, size_t count, size_t *gone, bus_error *err);
bus_status bui_outbox_reject(bui_store *store, int64_t id, bui_outbox_state as, const char *error, bus_error *err);
/* What an operator decides about a rejected row. BUS_MISSING: there is no such row, or it is not rejected. Inside a transaction. */
bus_status bui_outbox_retry(bui_store *store, int64_t id, bus_error *err);
bus_status bui_outbox_discard(bui_store *store, int64_t id, const char *operator, const char * reason,
                              bus_error *err); /* see bus_discarded */
/* Rows with id >= from in id order, of one destination or (NULL) of all, READY only, at most `most`; `each` returns false to stop. */
typedef bool (*bui_outbox_each)(const bui_outbox_row *row, void *opaque);
bus_status bui_outbox_scan(bui_store *store, int64_t from, const bui_destination *only, size_t most, bui_outbox_each each,
                           void *opaque, bus_error *err);
/* The rejected rows, in id order. */
bus_status bui_outbox_rejected(bui_store *store, bui_outbox_each each, void *opaque, bus_error *err);
/* READY rows and their bytes (key + value + headers), kept in memory; the oldest row's wall time of insertion, 0 if none. */
typedef struct bui_outbox_depth {
    int64_t rows, bytes, rejected;
    int64_t oldest_ms;
} bui_outbox_depth;
bui_outbox_depth bui_outbox_depth_of(const bui_store *store);
int64_t bui_outbox_next_id(const bui_store *store); /* the id that the next add gets */

/* ---- position(topic, partition, next, anchor, proof, life): where this shard goes on, and in which log */
typedef struct bui_place {
    int64_t offset; /* -1: none */
    uint64_t hash;
    int kind; /* of the hash, see bui_record_hash */
} bui_place;
typedef struct bui_position {
    const char *topic;
    int32_t partition;
    int64_t next;     /* offset to read next; -1: none yet */
    bui_place anchor; /* the last delivered record */
    bui_place proof;  /* the last one that was found in the log again later: what is there distinguishes one log from another */
    int64_t life;     /* how many times somebody has accepted another log in this topic's place */
    bool judging;     /* somebody has set the offset; whether the log is another one is not known yet */
    bool dirty;
} bui_position;
/* Finds or makes it in memory (next -1); NULL: no memory. Stable address. */
bui_position *bui_position_of(bui_store *store, const char *topic, int32_t partition);
bool bui_position_set(bui_store *store, bui_position *position, int64_t next, bui_place anchor); /* staged; false: no memory */
/* Somebody has set the offset: goes on there. Anchor and proof stay until bui_position_judge says whether the log is another. Staged. */
bool bui_position_reset(bui_store *store, bui_position *position, int64_t next);
bool bui_position_judge(bui_store *store, bui_position *position, bool other);
/* What was found in the log again. Not in the undo log: the next write of the position takes it along, and an older proof is
 * as true. */
void bui_position_prove(bui_position *position, bui_place proof);
/* The life of a partition's log; 0 also where it is not known. */
int64_t bui_position_life(bui_store *store, const char *topic, int32_t partition);
#define BUI_NO_PLACE ((bui_place){ .offset = -1 })
/* Forgets gaps and marks of one input partition (its offset was reset backwards). Inside a transaction. */
bus_status bui_position_forget(bui_store *store, const char *topic, int32_t partition, bus_error *err);
size_t bui_position_count(const bui_store *store);
const bui_position *bui_position_at(const bui_store *store, size_t i);

/* ---- mark(source, topic, partition, high) and gap(source, topic, partition, lo, hi): the inbox */
typedef enum bui_receipt {
    BUI_NEW,
    BUI_NEW_FIRST,
    BUI_NEW_AFTER_GAP,
    BUI_NEW_IN_GAP,
    BUI_DUPLICATE,
    BUI_UNCOUNTED,
    BUI_RECEIPT_FAILED,
    BUI_RECEIPT_LATER
} bui_receipt;
#define BUI_GAPS_PER_MARK 1024
/* Would this (source, topic, partition, seq) be new? Also settles it: seq = high+1 advances; greater records the gap
 * (high+1 .. seq-1) and advances (AFTER_GAP only if high > 0, or `known_shard_new_incarnation` is told by *gap); inside a gap
 * splits it. Staged. *gap: how many are missing; NULL: gaps are no loss there. A mark that is new (NEW_FIRST), with seq > 1, of a shard
 * (source up to '#') that has other marks for the same destination, is a gap too. UNCOUNTED: nothing was settled, as the store has
 * marks_most marks or gaps, or the mark BUI_GAPS_PER_MARK: settle it by its id. FAILED: no memory. `now_ms` is kept for expiry. */
bui_receipt bui_mark_settle(bui_store *store, const char *source, size_t source_len, const char *topic, int32_t partition,
                            int64_t seq, int64_t now_ms, int64_t *missed);
int64_t bui_mark_high(const bui_store *store, const char *source, size_t source_len, const char *topic,
                      int32_t partition);     /* 0: absent */
size_t bui_mark_gaps(const bui_store *store); /* how many gap rows */
/* Deletes marks (and gaps) silent since before `before_ms`, where a newer incarnation of the same shard has one. In a transaction. */
bus_status bui_mark_expire(bui_store *store, int64_t before_ms, bus_error *err);

/* ---- seen(ce_source, ce_id, at): events of foreign producers; append-only table, a set in memory, bounded */
bui_receipt bui_dedup_settle(bui_store *store, const char *source, size_t source_len, const char *id, size_t id_len,
                             int64_t now_ms); /* NEW, DUPLICATE, FAILED, or LATER: the ids are still being loaded */
bui_receipt bui_dedup_has(bui_store *store, const char *source, size_t source_len, const char *id,
                          size_t id_len); /* the same, without remembering it */
bool bui_dedup_loading(
    const bui_store *store); /* a thread reads them; the next transaction that begins after its end takes them */
/* How many were forgotten since the open because of the bound, and when the oldest that is left came (0: none is, or not known). */
int64_t bui_dedup_forgotten(const bui_store *store);
int64_t bui_dedup_oldest_ms(bui_store *store);

/* Forgets what was seen of every source that begins with `prefix`. In a transaction; takes effect with its commit. */
bus_status bui_dedup_forget(bui_store *store, const char *prefix, bus_error *err);

/* ---- key(id, scope, key, state, event_id, attempt, due ...) and parked(key_id, n, record) */
typedef enum bui_key_state { BUI_KEY_FREE = 0, BUI_KEY_WAITING, BUI_KEY_HELD, BUI_KEY_CATCHING_UP } bui_key_state;
typedef struct bui_key {
    int64_t id; /* never reused: retry tokens name it */
    const char *scope;
    const void *key;
    size_t key_len;
    bui_key_state state;
    char event_id[256];   /* of the head */
    int attempt;          /* attempts already made by the head */
    int round;            /* of its dead letter, when held; 0: none */
    int64_t due;          /* ms; of a waiting head */
    int64_t first_failed; /* ms */
    int64_t parked;       /* how many, head included */
    int64_t parked_bytes;
    bool dirty;
} bui_key;
/* NULL: free. Stable address until the commit that freed it. */
bui_key *bui_key_find(bui_store *store, const char *scope, const void *key, size_t key_len);
/* The same where running out of memory must not mean "free": BUS_NOMEM, or BUS_OK and *out, NULL if free. */
bus_status bui_key_look(bui_store *store, const char *scope, const void *key, size_t key_len, bui_key **out, bus_error *err);
bui_key *bui_key_by_id(bui_store *store, int64_t id);
/* To look at all: at most as many places as bui_key_totals counts keys at the open; NULL: none there. */
bui_key *bui_key_at(bui_store *store, size_t place);
/* Makes it (must be absent or free), WAITING. NULL: see err. */
bui_key *bui_key_make(bui_store *store, const char *scope, const void *key, size_t key_len, bus_error *err);
/* Call before changing state, event_id, attempt, round, due or first_failed: notes the old ones and marks dirty. false: no memory. */
bool bui_key_touch(bui_store *store, bui_key *key);
/* With nothing parked: FREE; gone from memory and store at commit. */
bus_status bui_key_free(bui_store *store, bui_key *key, bus_error *err);
/* A record to wait behind (or as) the key's head. */
typedef struct bui_parked {
    int64_t n; /* order within the key; filled by park */
    const char *event_id;
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp; /* original */
    const void *record_key;
    size_t record_key_len; /* NULL: none */
    const void *value;
    size_t value_len; /* NULL: tombstone */
    const void *headers;
    size_t headers_len; /* packed, as received */
    int command;        /* the kind of command it came by, BUI_COMMAND_NONE for an event of an input; or ... */
} bui_parked;
#define BUI_COMMAND_UNSAID (-1) /* ... an older version parked it, and its headers tell */
bus_status bui_key_park(bui_store *store, bui_key *key, const bui_parked *record, bus_error *err);
/* Copies the head (lowest n) into the arena; BUS_MISSING if none. */
bus_status bui_key_head(bui_store *store, bui_key *key, bui_arena *arena, bui_parked *out, bus_error *err);
bus_status bui_key_pop(bui_store *store, bui_key *key, bus_error *err); /* deletes the head */
/* What makes two records one event, wherever that is asked (bus_seen, parked, dead letters): within one partition of one topic
 * the id, and of an event of a foreign producer its ce_source, too. What lands on two partitions is two events. */
typedef struct bui_identity {
    const char *topic;
    int32_t partition;
    const char *id;
    const char *source; /* NULL: made by a bus, and its id alone is enough */
} bui_identity;
/* Is the event parked already? A copy that was replayed does not stand for it. */
bool bui_key_holds(bui_store *store, const bui_key *key, const bui_identity *event);
/* Next key by state for timers: the WAITING one with the least due (NULL: none), and any CATCHING_UP one after `after_id`. */
bui_key *bui_key_next_due(bui_store *store);
bui_key *bui_key_next_catching_up(bui_store *store, int64_t after_id);
typedef struct bui_key_totals {
    int64_t waiting, held, catching_up, parked, parked_bytes;
} bui_key_totals;
bui_key_totals bui_key_totals_of(const bui_store *store);

/* ---- dead letter(id, scope, key, key_id, event_id, round, state, at) */
typedef struct bui_deadletter {
    char id[37];
    char event_id[256];
    const char *scope;
    int64_t key_id; /* of the key it holds; 0: released */
    int round;      /* from 1 */
    int state;      /* bui_deadletter_state of codec/envelope.h */
    int64_t first_failed;
    int32_t partition;         /* of the event; -1: an older version wrote it, whose ids leave that out */
    char replay[BUI_RUN_TEXT]; /* of a copy: the run of `bus replay` that sent it; "": of the event itself */
} bui_deadletter;
bus_status bui_deadletter_get(bui_store *store, const char *id, bui_deadletter *out, bus_error *err); /* BUS_MISSING */
bus_status bui_deadletter_put(bui_store *store, const bui_deadletter *letter, bus_error *err);        /* insert or replace */
/* Why it is open, so that its record can be made again: see shard/lost.c. Texts are borrowed, or in the arena. */
typedef struct bui_deadletter_cause {
    const char *orig; /* bus-orig of its event; "": an older version wrote it */
    const char *class, *reason;
    int attempts;
    int64_t at; /* when the dead letter changed last; only told */
} bui_deadletter_cause;
bus_status bui_deadletter_cause_put(bui_store *store, const char *id, const bui_deadletter_cause *cause, bus_error *err);
bus_status bui_deadletter_cause_get(bui_store *store, const char *id, bui_arena *arena, bui_deadletter_cause *out,
                                    bus_error *err); /* BUS_MISSING */
/* When the oldest of the open and redriven dead letters changed last; INT64_MAX: there is none. */
bus_status bui_deadletter_oldest(bui_store *store, int64_t *out, bus_error *err);
/* Open dead letters that changed last from `from_ms` to `to_ms`; false: stop. */
typedef bool (*bui_deadletter_each)(const char *id, int round, void *opaque);
bus_status bui_deadletters_between(bui_store *store, int64_t from_ms, int64_t to_ms, bui_deadletter_each each, void *opaque,
                                   bus_error *err);
/* Forgets dead letters resolved or discarded before `before_ms`, and the oldest of them over `most`, some thousands at a time:
 * *more, if there are others. What is open stays. Rounds that were used are never used again: see bui_deadletter_first_round.
 * In a transaction. */
bus_status bui_deadletter_expire(bui_store *store, int64_t before_ms, int64_t most, int64_t *gone, bool *more, bus_error *err);
/* The round of a dead letter that the store does not know. */
bus_status bui_deadletter_first_round(bui_store *store, int *out, bus_error *err);
int64_t bui_deadletter_open_count(const bui_store *store);    /* open or redriven */
int64_t bui_deadletter_older_count(const bui_store *store);   /* of them those with partition -1 */
int64_t bui_deadletter_settled_count(const bui_store *store); /* resolved or discarded, and not forgotten yet */
/* Whether the event of this id may have an open or redriven dead letter; false is certain. It is asked for every event, so it reads only
 * memory. */
bool bui_deadletter_maybe(const bui_store *store, const char *event_id);
int64_t bui_deadletter_failures(bui_store *store,
                                const char *run); /* how many copies of a run have failed: dead letters of any state */

/* ---- body(dead letter, key, headers, value): the event of a dead letter whose record does not carry it, until the dead
 * letter is closed */
typedef struct bui_body {
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len; /* NULL: tombstone */
    const void *headers;
    size_t headers_len; /* packed: the event's own and bus-orig */
} bui_body;
bus_status bui_body_keep(bui_store *store, const char *letter, const bui_body *body, bus_error *err);           /* replaces */
bus_status bui_body_get(bui_store *store, const char *letter, bui_arena *arena, bui_body *out, bus_error *err); /* BUS_MISSING */
bus_status bui_body_drop(bui_store *store, const char *letter, bus_error *err); /* none is no error */
typedef struct bui_bodies {
    int64_t count, bytes;
} bui_bodies;
bui_bodies bui_bodies_of(const bui_store *store);

/* ---- schedule(id, name, due, destination topic, event ...): delayed emits */
typedef struct bui_scheduled {
    int64_t id;
    const char *name;
    int64_t due;
    const char *event_id, *topic;
    int32_t partition; /* -1: by key */
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    const void *headers;
    size_t headers_len; /* packed, without bus-hop */
} bui_scheduled;
bus_status bui_schedule_put(bui_store *store, bui_scheduled *event, bus_error *err); /* replaces the same name */
bool bui_schedule_drop(bui_store *store, const char *name);                          /* true: it was there; staged */
int64_t bui_schedule_count(bui_store *store);          /* for people: 0 too if it cannot be read; 100,000 at most */
int64_t bui_schedule_next_due(const bui_store *store); /* INT64_MAX: none */
/* Copies it into the arena; BUS_MISSING. */
bus_status bui_schedule_find(bui_store *store, const char *name, bui_arena *arena, bui_scheduled *out, bus_error *err);
/* Copies the first due at or before `now` into the arena and deletes it; BUS_MISSING if none. In a transaction. */
bus_status bui_schedule_take(bui_store *store, int64_t now, bui_arena *arena, bui_scheduled *out, bus_error *err);

/* ---- answer(question, answer): what a schema registry said, so that the shard opens without it */
bool bui_answer_known(const bui_store *store, const char *question);
/* Keeps it, unless it is known. Inside a transaction. */
bus_status bui_answer_put(bui_store *store, const char *question, const char *answer, bus_error *err);
/* Calls `each` for all; the texts are borrowed for the call. */
typedef void (*bui_answer_each)(const char *question, const char *answer, void *opaque);
bus_status bui_answers(bui_store *store, bui_answer_each each, void *opaque, bus_error *err);

/* ---- a query-only connection for bus_read; any thread, its own handle. */
bus_status bui_store_reader(const char *path, sqlite3 **out, bus_error *err); /* PRAGMA query_only; close with sqlite3_close */
/* A store that no shard ever claimed, left by a start that was refused: it holds nothing. false also: none there, or it cannot be read. */
bool bui_store_unclaimed(const char *path);

#endif
