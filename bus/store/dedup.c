/* SPDX-License-Identifier: MIT
 * Dedup: ids of foreign producers' events. An append-only table (a B-tree by id would cost more than all else), and in memory
 * a 128-bit print of each id in a ring with a hash set over it. */
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "store/internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BESIDE_FROM 100000 /* so many are loaded beside; fewer take less than a tenth of a second */

typedef struct bui_dedup_print {
    uint64_t a, b;
} print;

/* A row of this transaction: lengths, time, then the bytes of source and id. */
typedef struct pending {
    size_t source_len, id_len;
    int64_t at;
} pending;

static print *at(const bui_tables_dedup *seen, size_t i)
{
    return &seen->ring[(seen->first + i) & (seen->cap - 1)];
}

/* Where a print is in the table of slots, or the free slot that ends the search. */
static size_t probe(const bui_tables_dedup *seen, print p)
{
    size_t i = (size_t)p.a & (seen->slots - 1);
    while (seen->slot[i]) {
        const print *other = &seen->ring[seen->slot[i] - 1];
        if (other->a == p.a && other->b == p.b)
            break;
        i = (i + 1) & (seen->slots - 1);
    }
    return i;
}

static void unlink_slot(bui_tables_dedup *seen, size_t gap)
{
    size_t mask = seen->slots - 1;
    for (size_t i = (gap + 1) & mask; seen->slot[i]; i = (i + 1) & mask) {
        size_t home = (size_t)seen->ring[seen->slot[i] - 1].a & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) { /* it may move back into the gap */
            seen->slot[gap] = seen->slot[i];
            gap = i;
        }
    }
    seen->slot[gap] = 0;
}

static bool grow(bui_tables_dedup *seen, size_t count)
{
    if (count <= seen->cap)
        return true;
    size_t cap = seen->cap ? seen->cap * 2 : 1024;
    while (cap < count)
        cap *= 2;
    if (cap > UINT32_MAX / 2)
        return false;
    print *ring = malloc(cap * sizeof *ring);
    uint32_t *slot = calloc(cap * 2, sizeof *slot);
    if (!ring || !slot) {
        free(ring);
        free(slot);
        return false;
    }
    for (size_t i = 0; i < seen->count; i++)
        ring[i] = *at(seen, i);
    free(seen->ring);
    free(seen->slot);
    seen->ring = ring;
    seen->slot = slot;
    seen->cap = cap;
    seen->slots = cap * 2;
    seen->first = 0;
    for (size_t i = 0; i < seen->count; i++)
        seen->slot[probe(seen, ring[i])] = (uint32_t)i + 1;
    return true;
}

static print print_of(const bui_tables_dedup *seen, const void *source, size_t source_len, const void *id, size_t id_len)
{
    /* Two random seeds at open: ids come from others, who must not be able to choose what collides. */
    print p;
    p.a = bui_hash(id, id_len, bui_hash(source, source_len, seen->seed[0]));
    p.b = bui_hash(id, id_len, bui_hash(source, source_len, seen->seed[1]) ^ source_len);
    return p;
}

/* False if it is there already. Room was made. */
static bool insert(bui_tables_dedup *seen, print p)
{
    size_t slot = probe(seen, p);
    if (seen->slot[slot])
        return false;
    *at(seen, seen->count) = p;
    seen->slot[slot] = (uint32_t)((seen->first + seen->count) & (seen->cap - 1)) + 1;
    seen->count++;
    return true;
}

static void drop_newest(bui_tables_dedup *seen, size_t n)
{
    while (n--) {
        unlink_slot(seen, probe(seen, *at(seen, seen->count - 1)));
        seen->count--;
    }
}

static void drop_oldest(bui_tables_dedup *seen, size_t n)
{
    while (n--) {
        unlink_slot(seen, probe(seen, *at(seen, 0)));
        seen->first = (seen->first + 1) & (seen->cap - 1);
        seen->count--;
    }
}

/* false: no memory. */
static bool take_row(bui_tables_dedup *seen, sqlite3_stmt *row)
{
    size_t source_len, id_len;
    const void *source = bui_column_bytes(row, 1, &source_len), *id = bui_column_bytes(row, 2, &id_len);
    if (!grow(seen, seen->count + 1))
        return false;
    insert(seen, print_of(seen, source, source_len, id, id_len));
    return true;
}

static bus_status read_all(bui_store *store, bus_error *err)
{
    bui_tables_dedup *seen = &store->dedup;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEDUP_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bui_step(store, stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            status = bui_store_fail(store, rc, "loading the ids seen", err);
        else if (!take_row(seen, stmt))
            status = bui_fail_nomem(err);
        else
            seen->next_n = sqlite3_column_int64(stmt, 0) + 1;
    }
    sqlite3_reset(stmt);
    return status;
}

/* ---- many of them: by a thread, on a connection of its own that reads. Until they are all there nothing is known of any. */

typedef struct bui_dedup_load {
    pthread_t thread;
    bui_tables_dedup *seen;
    const char *path;
    size_t rows;
    int64_t next_n;
    _Atomic bool done, cancelled;
    bus_status status;
    bus_error err;
} bui_dedup_load;

static bus_status read_beside(bui_dedup_load *load, sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, BUI_DEDUP_LOAD, -1, &stmt, NULL);
    bool room = grow(load->seen, load->rows); /* at once: to grow is to enter all again */
    while (rc == SQLITE_OK && room && !atomic_load_explicit(&load->cancelled, memory_order_relaxed) &&
           (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        room = take_row(load->seen, stmt);
        load->next_n = sqlite3_column_int64(stmt, 0) + 1;
        rc = SQLITE_OK;
    }
    bus_status status = !room ? bui_fail_nomem(&load->err)
                        : rc == SQLITE_OK || rc == SQLITE_DONE
                            ? BUS_OK
                            : bui_sqlite_fail(db, load->path, rc, "loading the ids seen", &load->err);
    sqlite3_finalize(stmt);
    return status;
}

static void *load_main(void *opaque)
{
    bui_dedup_load *load = opaque;
    sqlite3 *db = NULL;
    load->status = bui_store_reader(load->path, &db, &load->err);
    if (load->status == BUS_OK)
        load->status = read_beside(load, db);
    sqlite3_close(db);
    atomic_store_explicit(&load->done, true, memory_order_release);
    return NULL;
}

/* false: it could not begin. */
static bool begin_beside(bui_store *store, size_t rows)
{
    bui_dedup_load *load = calloc(1, sizeof *load);
    if (!load)
        return false;
    *load = (bui_dedup_load){ .seen = &store->dedup, .path = store->path, .rows = rows };
    if (pthread_create(&load->thread, NULL, load_main, load) != 0) {
        free(load);
        return false;
    }
    store->dedup.load = load;
    return true;
}

static void end_beside(bui_store *store, bool cancel)
{
    bui_tables_dedup *seen = &store->dedup;
    bui_dedup_load *load = seen->load;
    if (!load)
        return;
    atomic_store(&load->cancelled, cancel);
    pthread_join(load->thread, NULL);
    seen->load = NULL;
    seen->broken = load->status != BUS_OK;
    if (seen->broken)
        bui_log(BUS_ERROR, store->path, "seen", "%s; tried again with the next event", load->err.text);
    if (seen->next_n < load->next_n)
        seen->next_n = load->next_n;
    free(load);
}

bool bui_dedup_loading(const bui_store *store)
{
    return store->dedup.load != NULL;
}

static bus_status read_or_begin(bui_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEDUP_RANGE, err);
    if (!stmt)
        return err->status;
    int rc = bui_step(store, stmt);
    int64_t rows = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW)
        return bui_store_fail(store, rc, "counting the ids seen", err);
    if (store->dedup.beside && rows >= BESIDE_FROM && begin_beside(store, (size_t)rows))
        return BUS_OK;
    return read_all(store, err);
}

static void read_again(bui_store *store)
{
    bui_tables_dedup *seen = &store->dedup;
    bus_error err = { 0 };
    int64_t next_n = seen->next_n;
    end_beside(store, true);
    drop_newest(seen, seen->count);
    seen->broken = read_or_begin(store, &err) != BUS_OK;
    if (seen->broken)
        bui_log(BUS_ERROR, store->path, "seen", "%s; tried again with the next event", err.text);
    if (seen->next_n < next_n)
        seen->next_n = next_n;
}

static bus_status load(bui_store *store, bus_error *err)
{
    bui_tables_dedup *seen = &store->dedup;
    bui_buf_init(&seen->pending, 0);
    seen->next_n = 1;
    for (int i = 0; i < 2; i++) {
        char token[17];
        bui_token_random(token);
        seen->seed[i] = bui_hash(token, 16, 0);
    }
    return read_or_begin(store, err);
}

bui_receipt bui_dedup_settle(bui_store *store, const char *source, size_t source_len, const char *id, size_t id_len,
                             int64_t now_ms)
{
    bui_tables_dedup *seen = &store->dedup;
    if (seen->broken)
        read_again(store);
    if (seen->load)
        return BUI_RECEIPT_LATER;
    if (seen->broken || !grow(seen, seen->count + 1))
        return BUI_RECEIPT_FAILED;
    print p = print_of(seen, source, source_len, id, id_len);
    if (seen->slot[probe(seen, p)])
        return BUI_DUPLICATE;
    pending row = { source_len, id_len, now_ms };
    uint8_t *bytes = bui_buf_grow(&seen->pending, sizeof row + source_len + id_len);
    if (!bytes) {
        seen->pending.failed = seen->pending.over = false;
        return BUI_RECEIPT_FAILED;
    }
    memcpy(bytes, &row, sizeof row);
    if (source_len)
        memcpy(bytes + sizeof row, source, source_len);
    if (id_len)
        memcpy(bytes + sizeof row + source_len, id, id_len);
    insert(seen, p);
    seen->pending_count++;
    return BUI_NEW;
}

bui_receipt bui_dedup_has(bui_store *store, const char *source, size_t source_len, const char *id, size_t id_len)
{
    const bui_tables_dedup *seen = &store->dedup;
    if (seen->broken)
        read_again(store);
    if (seen->load)
        return BUI_RECEIPT_LATER;
    if (seen->broken)
        return BUI_RECEIPT_FAILED;
    bool has = seen->slots && seen->slot[probe(seen, print_of(seen, source, source_len, id, id_len))];
    return has ? BUI_DUPLICATE : BUI_NEW;
}

int64_t bui_dedup_forgotten(const bui_store *store)
{
    return store->dedup.forgotten;
}

int64_t bui_dedup_oldest_ms(bui_store *store)
{
    bus_error err;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEDUP_OLDEST, &err);
    int64_t at = stmt && bui_step(store, stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    if (stmt)
        sqlite3_reset(stmt);
    return at;
}

/* Over the limit the oldest eighth is deleted, so that most commits delete nothing. */
static bus_status trim(bui_store *store, bus_error *err)
{
    bui_tables_dedup *seen = &store->dedup;
    seen->trimmed = 0;
    if (seen->count <= (size_t)store->dedup_most)
        return BUS_OK;
    size_t keep = (size_t)store->dedup_most - (size_t)store->dedup_most / 8;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEDUP_TRIM, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, seen->next_n + (int64_t)seen->pending_count - (int64_t)keep);
    bus_status status = bui_run_statement(store, stmt, "trimming the ids seen", err);
    if (status == BUS_OK)
        seen->trimmed = seen->count - keep;
    return status;
}

static bus_status flush(bui_store *store, bus_error *err)
{
    bui_tables_dedup *seen = &store->dedup;
    if (!seen->pending_count)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEDUP_ADD, err);
    if (!stmt)
        return err->status;
    const uint8_t *bytes = seen->pending.data;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < seen->pending_count && status == BUS_OK; i++) {
        pending row;
        memcpy(&row, bytes, sizeof row);
        bytes += sizeof row;
        sqlite3_bind_int64(stmt, 1, seen->next_n + (int64_t)i);
        bui_bind_bytes(stmt, 2, bytes, row.source_len);
        bui_bind_bytes(stmt, 3, bytes + row.source_len, row.id_len);
        sqlite3_bind_int64(stmt, 4, row.at);
        bytes += row.source_len + row.id_len;
        status = bui_run_statement(store, stmt, "writing the ids seen", err);
    }
    return status == BUS_OK ? trim(store, err) : status;
}

static void saved(bui_store *store)
{
    const bui_dedup_load *load = store->dedup.load;
    if (load && !store->dedup.forgot && atomic_load_explicit(&load->done, memory_order_acquire))
        end_beside(store, false);
    store->dedup.saved_len = store->dedup.pending.len;
    store->dedup.saved_count = store->dedup.pending_count;
}

static void back(bui_store *store, size_t mark)
{
    (void)mark;
    bui_tables_dedup *seen = &store->dedup;
    size_t keep = store->saved ? seen->saved_count : 0;
    drop_newest(seen, seen->pending_count - keep);
    seen->pending_count = keep;
    seen->pending.len = store->saved ? seen->saved_len : 0;
}

bus_status bui_dedup_forget(bui_store *store, const char *prefix, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEDUP_FORGET, err);
    if (!stmt)
        return err->status;
    bui_bind_bytes(stmt, 1, prefix, strlen(prefix));
    bus_status status = bui_run_statement(store, stmt, "forgetting ids seen", err);
    store->dedup.forgot |= status == BUS_OK;
    return status;
}

static void ended(bui_store *store, bool committed)
{
    bui_tables_dedup *seen = &store->dedup;
    if (committed) {
        seen->next_n += (int64_t)seen->pending_count;
        drop_oldest(seen, seen->trimmed);
        seen->forgotten += (int64_t)seen->trimmed;
    }
    seen->trimmed = 0;
    seen->pending_count = 0;
    bui_buf_clear(&seen->pending);
    if (seen->forgot && committed)
        read_again(store);
    seen->forgot = false;
}

static void release(bui_store *store)
{
    end_beside(store, true);
    free(store->dedup.ring);
    free(store->dedup.slot);
    bui_buf_free(&store->dedup.pending);
}

const bui_group bui_group_seen = { .load = load, .flush = flush, .saved = saved, .back = back, .ended = ended, .free = release };
