/* SPDX-License-Identifier: MIT
 * Seen: ids of foreign producers' events. An append-only table (a B-tree by id would cost more than all else), and in memory
 * a 128-bit print of each id in a ring with a hash set over it. */
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct bus_seen_print { uint64_t a, b; } print;

/* A row of this transaction: lengths, time, then the bytes of source and id. */
typedef struct pending { size_t source_len, id_len; int64_t at; } pending;

static print *at(const bus_tables_seen *seen, size_t i)
{
    return &seen->ring[(seen->first + i) & (seen->cap - 1)];
}

/* Where a print is in the table of slots, or the free slot that ends the search. */
static size_t probe(const bus_tables_seen *seen, print p)
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

static void unlink_slot(bus_tables_seen *seen, size_t hole)
{
    size_t mask = seen->slots - 1;
    for (size_t i = (hole + 1) & mask; seen->slot[i]; i = (i + 1) & mask) {
        size_t home = (size_t)seen->ring[seen->slot[i] - 1].a & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* it may move back into the hole */
            seen->slot[hole] = seen->slot[i];
            hole = i;
        }
    }
    seen->slot[hole] = 0;
}

static bool grow(bus_tables_seen *seen)
{
    if (seen->count < seen->cap)
        return true;
    size_t cap = seen->cap ? seen->cap * 2 : 1024;
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

static print print_of(const bus_tables_seen *seen, const void *source, size_t source_len, const void *id, size_t id_len)
{
    /* Two seeds drawn at open: ids come from strangers, who must not be able to choose what collides. */
    print p;
    p.a = bus_hash(id, id_len, bus_hash(source, source_len, seen->seed[0]));
    p.b = bus_hash(id, id_len, bus_hash(source, source_len, seen->seed[1]) ^ source_len);
    return p;
}

/* False if it is there already. Room was made. */
static bool insert(bus_tables_seen *seen, print p)
{
    size_t slot = probe(seen, p);
    if (seen->slot[slot])
        return false;
    *at(seen, seen->count) = p;
    seen->slot[slot] = (uint32_t)((seen->first + seen->count) & (seen->cap - 1)) + 1;
    seen->count++;
    return true;
}

static void drop_newest(bus_tables_seen *seen, size_t n)
{
    while (n--) {
        unlink_slot(seen, probe(seen, *at(seen, seen->count - 1)));
        seen->count--;
    }
}

static void drop_oldest(bus_tables_seen *seen, size_t n)
{
    while (n--) {
        unlink_slot(seen, probe(seen, *at(seen, 0)));
        seen->first = (seen->first + 1) & (seen->cap - 1);
        seen->count--;
    }
}

static bus_status read_all(bus_store *store, bus_error *err)
{
    bus_tables_seen *seen = &store->seen;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SEEN_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bus_step(store, stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            status = bus_store_fail(store, rc, "loading the ids seen", err);
        } else if (!grow(seen)) {
            status = bus_fail_nomem(err);
        } else {
            size_t source_len, id_len;
            const void *source = bus_column_bytes(stmt, 1, &source_len), *id = bus_column_bytes(stmt, 2, &id_len);
            insert(seen, print_of(seen, source, source_len, id, id_len));
            seen->next_n = sqlite3_column_int64(stmt, 0) + 1;
        }
    }
    sqlite3_reset(stmt);
    return status;
}

static void read_again(bus_store *store)
{
    bus_tables_seen *seen = &store->seen;
    bus_error err = { 0 };
    int64_t next_n = seen->next_n;
    drop_newest(seen, seen->count);
    seen->broken = read_all(store, &err) != BUS_OK;
    if (seen->broken)
        bus_log(BUS_ERROR, store->path, "seen", "%s; tried again with the next event", err.text);
    if (seen->next_n < next_n)
        seen->next_n = next_n;
}

static bus_status load(bus_store *store, bus_error *err)
{
    bus_tables_seen *seen = &store->seen;
    bus_buf_init(&seen->pending, 0);
    seen->next_n = 1;
    for (int i = 0; i < 2; i++) {
        char token[17];
        bus_token_random(token);
        seen->seed[i] = bus_hash(token, 16, 0);
    }
    return read_all(store, err);
}

bus_receipt bus_seen_settle(bus_store *store, const char *source, size_t source_len, const char *id, size_t id_len, int64_t now_ms)
{
    bus_tables_seen *seen = &store->seen;
    if (seen->broken)
        read_again(store);
    if (seen->broken || !grow(seen))
        return BUS_RECEIPT_FAILED;
    print p = print_of(seen, source, source_len, id, id_len);
    if (seen->slot[probe(seen, p)])
        return BUS_DUPLICATE;
    pending row = { source_len, id_len, now_ms };
    uint8_t *bytes = bus_buf_grow(&seen->pending, sizeof row + source_len + id_len);
    if (!bytes) {
        seen->pending.failed = seen->pending.over = false;
        return BUS_RECEIPT_FAILED;
    }
    memcpy(bytes, &row, sizeof row);
    if (source_len)
        memcpy(bytes + sizeof row, source, source_len);
    if (id_len)
        memcpy(bytes + sizeof row + source_len, id, id_len);
    insert(seen, p);
    seen->pending_count++;
    return BUS_NEW;
}

bool bus_seen_has(const bus_store *store, const char *source, size_t source_len, const char *id, size_t id_len)
{
    const bus_tables_seen *seen = &store->seen;
    return seen->slots && seen->slot[probe(seen, print_of(seen, source, source_len, id, id_len))];
}

/* Over the bound the oldest eighth goes: in batches, so that most commits delete nothing. */
static bus_status trim(bus_store *store, bus_error *err)
{
    bus_tables_seen *seen = &store->seen;
    seen->trimmed = 0;
    if (seen->count <= (size_t)store->seen_most)
        return BUS_OK;
    size_t keep = (size_t)store->seen_most - (size_t)store->seen_most / 8;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SEEN_TRIM, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, seen->next_n + (int64_t)seen->pending_count - (int64_t)keep);
    bus_status status = bus_run_statement(store, stmt, "trimming the ids seen", err);
    if (status == BUS_OK)
        seen->trimmed = seen->count - keep;
    return status;
}

static bus_status flush(bus_store *store, bus_error *err)
{
    bus_tables_seen *seen = &store->seen;
    if (!seen->pending_count)
        return BUS_OK;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SEEN_ADD, err);
    if (!stmt)
        return err->status;
    const uint8_t *bytes = seen->pending.data;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < seen->pending_count && status == BUS_OK; i++) {
        pending row;
        memcpy(&row, bytes, sizeof row);
        bytes += sizeof row;
        sqlite3_bind_int64(stmt, 1, seen->next_n + (int64_t)i);
        bus_bind_bytes(stmt, 2, bytes, row.source_len);
        bus_bind_bytes(stmt, 3, bytes + row.source_len, row.id_len);
        sqlite3_bind_int64(stmt, 4, row.at);
        bytes += row.source_len + row.id_len;
        status = bus_run_statement(store, stmt, "writing the ids seen", err);
    }
    return status == BUS_OK ? trim(store, err) : status;
}

static void saved(bus_store *store)
{
    store->seen.saved_len = store->seen.pending.len;
    store->seen.saved_count = store->seen.pending_count;
}

static void back(bus_store *store, size_t mark)
{
    (void)mark;
    bus_tables_seen *seen = &store->seen;
    size_t keep = store->saved ? seen->saved_count : 0;
    drop_newest(seen, seen->pending_count - keep);
    seen->pending_count = keep;
    seen->pending.len = store->saved ? seen->saved_len : 0;
}

bus_status bus_seen_forget(bus_store *store, const char *prefix, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SEEN_FORGET, err);
    if (!stmt)
        return err->status;
    bus_bind_bytes(stmt, 1, prefix, strlen(prefix));
    bus_status status = bus_run_statement(store, stmt, "forgetting ids seen", err);
    store->seen.forgot |= status == BUS_OK;
    return status;
}

static void ended(bus_store *store, bool committed)
{
    bus_tables_seen *seen = &store->seen;
    if (committed) {
        seen->next_n += (int64_t)seen->pending_count;
        drop_oldest(seen, seen->trimmed);
    }
    seen->trimmed = 0;
    seen->pending_count = 0;
    bus_buf_clear(&seen->pending);
    if (seen->forgot && committed)
        read_again(store);
    seen->forgot = false;
}

static void release(bus_store *store)
{
    free(store->seen.ring);
    free(store->seen.slot);
    bus_buf_free(&store->seen.pending);
}

const bus_group bus_group_seen = { .load = load, .flush = flush, .saved = saved, .back = back, .ended = ended, .free = release };
