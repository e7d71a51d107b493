/* SPDX-License-Identifier: MIT
 * Mark: the inbox without a window. Per (source, destination) the highest sequence number settled, and the holes below it:
 * mark minus holes is exactly what was settled (protocol rule R4). */
#include "store/mark.h"
#include "base/error.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct hole { int64_t lo, hi; } hole;

/* All incarnations of one shard, to one destination. */
typedef struct family { int64_t live; } family;

typedef struct mark {
    int64_t id;
    char *source;
    const char *topic;
    int32_t partition;
    int64_t high, at;         /* high 0: absent */
    hole *holes;              /* sorted, never touching each other */
    size_t count, cap;
    family *family;
    int64_t changed_lo, changed_hi; /* holes with lo in this range may differ from the table's; lo > hi: none */
    bool dirty;
    size_t place;             /* in all */
} mark;

/* An array of holes outgrown inside the transaction: the stage may bring the old one back. */
typedef struct grown { size_t stage; hole *old, *fresh; } grown;

static void clean(mark *m)
{
    m->dirty = false;
    m->changed_lo = INT64_MAX;
    m->changed_hi = INT64_MIN;
}

static size_t shard_len(const char *source, size_t len)
{
    const char *sharp = memchr(source, '#', len);
    return sharp ? (size_t)(sharp - source) : len;
}

static family *family_of(bus_store *store, const char *source, size_t len, const char *topic, int32_t partition)
{
    bus_tables_mark *table = &store->marks;
    if (!bus_store_compose(store, source, shard_len(source, len), topic, partition))
        return NULL;
    family *f = bus_map_get(&table->families, store->scratch.data, store->scratch.len);
    if (!f && (f = calloc(1, sizeof *f)) && !bus_map_put(&table->families, store->scratch.data, store->scratch.len, f)) {
        free(f);
        return NULL;
    }
    return f;
}

static mark *find(const bus_store *store, const char *source, size_t len, const char *topic, int32_t partition)
{
    bus_store *scratch = (bus_store *)(uintptr_t)store; /* composes a key, changes nothing else */
    if (!bus_store_compose(scratch, source, len, topic, partition))
        return NULL;
    return bus_map_get(&store->marks.by_name, store->scratch.data, store->scratch.len);
}

static void mark_free(void *opaque)
{
    mark *m = opaque;
    free(m->source);
    free(m->holes);
    free(m);
}

static mark *make(bus_store *store, int64_t id, const char *source, size_t len, const char *topic, int32_t partition)
{
    bus_tables_mark *table = &store->marks;
    size_t room = table->all.count + 1;
    mark *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->source = strndup(source, len);
    m->topic = bus_store_intern(store, topic);
    m->family = family_of(store, source, len, topic, partition);
    if (!m->source || !m->topic || !m->family || !bus_list_reserve(&table->all, room) || !bus_list_reserve(&table->dirty, room) ||
        !bus_store_compose(store, source, len, topic, partition) ||
        !bus_map_put(&table->by_name, store->scratch.data, store->scratch.len, m)) {
        mark_free(m);
        return NULL;
    }
    m->id = id;
    m->partition = partition;
    m->place = table->all.count;
    clean(m);
    bus_list_add(&table->all, m);
    if (id >= table->next_id)
        table->next_id = id + 1;
    return m;
}

/* Takes a mark that is absent again out of memory. */
static void drop(bus_store *store, mark *m)
{
    bus_tables_mark *table = &store->marks;
    mark *last = table->all.at[--table->all.count];
    table->all.at[m->place] = last;
    last->place = m->place;
    /* Never fails: the buffer has held this name before. */
    if (bus_store_compose(store, m->source, strlen(m->source), m->topic, m->partition))
        bus_map_remove(&table->by_name, store->scratch.data, store->scratch.len);
    mark_free(m);
}

static bool room_for_hole(bus_store *store, mark *m)
{
    if (m->count < m->cap)
        return true;
    bus_list *list = &store->marks.grown;
    size_t cap = m->cap ? m->cap * 2 : 4;
    hole *fresh = malloc(cap * sizeof *fresh);
    grown *entry = malloc(sizeof *entry);
    if (!fresh || !entry || !bus_list_reserve(list, list->count + 1) ||
        !bus_note(store, &m->holes, sizeof m->holes) || !bus_note(store, &m->cap, sizeof m->cap)) {
        free(fresh);
        free(entry);
        return false;
    }
    if (m->count)
        memcpy(fresh, m->holes, m->count * sizeof *fresh);
    *entry = (grown){ bus_stage_mark(&store->stage), m->holes, fresh };
    bus_list_add(list, entry);
    m->holes = fresh;
    m->cap = cap;
    return true;
}

static void changed(mark *m, int64_t lo, int64_t hi)
{
    if (lo < m->changed_lo)
        m->changed_lo = lo;
    if (hi > m->changed_hi)
        m->changed_hi = hi;
}

/* Before holes[from] and those after it move, or new ones come behind. Copies them: what BUS_HOLES_PER_MARK bounds. */
static bool note_holes(bus_store *store, mark *m, size_t from)
{
    return bus_note(store, &m->count, sizeof m->count) && bus_note(store, &store->marks.holes, sizeof store->marks.holes) &&
           (from == m->count || bus_note(store, m->holes + from, (m->count - from) * sizeof *m->holes));
}

static bool touch(bus_store *store, mark *m)
{
    if (!bus_note(store, &m->high, offsetof(mark, holes) - offsetof(mark, high)))
        return false;
    if (!m->dirty) {
        m->dirty = true;
        bus_list_add(&store->marks.dirty, m); /* has room for all */
    }
    return true;
}

static bool append_hole(bus_store *store, mark *m, int64_t lo, int64_t hi)
{
    if (!room_for_hole(store, m) || !note_holes(store, m, m->count))
        return false;
    m->holes[m->count++] = (hole){ lo, hi };
    store->marks.holes++;
    changed(m, lo, lo);
    return true;
}

static bool full(const bus_store *store, const mark *m)
{
    return m->count >= BUS_HOLES_PER_MARK || (int64_t)store->marks.holes >= store->marks_most;
}

/* Where gaps are no loss (a compacted topic) they are many, and none is filled long after: the older half is taken for settled. */
static bool forget_older_holes(bus_store *store, mark *m)
{
    size_t gone = (m->count + 1) / 2;
    if (!touch(store, m) || !note_holes(store, m, 0))
        return false;
    changed(m, 0, m->holes[gone - 1].hi);
    m->count -= gone;
    store->marks.holes -= gone;
    memmove(m->holes, m->holes + gone, m->count * sizeof *m->holes);
    return true;
}

/* The hole that seq lies in, or m->count. */
static size_t hole_of(const mark *m, int64_t seq)
{
    size_t lo = 0, hi = m->count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (m->holes[middle].hi < seq)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < m->count && m->holes[lo].lo <= seq ? lo : m->count;
}

static bus_receipt settle_hole(bus_store *store, mark *m, size_t at, int64_t seq, int64_t now_ms)
{
    hole h = m->holes[at];
    bool split = h.lo < seq && seq < h.hi, alone = !split && h.lo != h.hi;
    if (split && full(store, m))
        return BUS_UNCOUNTED;
    if ((split && !room_for_hole(store, m)) || !touch(store, m) ||
        !(alone ? bus_note(store, m->holes + at, sizeof *m->holes) : note_holes(store, m, at)))
        return BUS_RECEIPT_FAILED;
    hole *holes = m->holes;
    size_t after = m->count - at - 1;
    if (split) {
        memmove(holes + at + 2, holes + at + 1, after * sizeof *holes);
        holes[at].hi = seq - 1;
        holes[at + 1] = (hole){ seq + 1, h.hi };
        m->count++;
        store->marks.holes++;
    } else if (h.lo == h.hi) {
        memmove(holes + at, holes + at + 1, after * sizeof *holes);
        m->count--;
        store->marks.holes--;
    } else if (seq == h.lo) {
        holes[at].lo = seq + 1;
    } else {
        holes[at].hi = seq - 1;
    }
    changed(m, h.lo, h.hi);
    m->at = now_ms;
    return BUS_NEW_IN_HOLE;
}

bus_receipt bus_mark_settle(bus_store *store, const char *source, size_t source_len, const char *topic, int32_t partition, int64_t seq,
                            int64_t now_ms, int64_t *gap)
{
    if (gap)
        *gap = 0;
    if (seq < 1)
        return BUS_RECEIPT_FAILED;
    /* Not find(): a mark that is not found for want of memory must not be made a second time. */
    if (!bus_store_compose(store, source, source_len, topic, partition))
        return BUS_RECEIPT_FAILED;
    mark *m = bus_map_get(&store->marks.by_name, store->scratch.data, store->scratch.len);
    if (!m && (int64_t)store->marks.all.count >= store->marks_most)
        return BUS_UNCOUNTED;
    if (!m && !(m = make(store, store->marks.next_id, source, source_len, topic, partition)))
        return BUS_RECEIPT_FAILED;
    if (seq <= m->high) {
        size_t at = hole_of(m, seq);
        return at < m->count ? settle_hole(store, m, at, seq, now_ms) : BUS_DUPLICATE;
    }
    int64_t missing = seq - m->high - 1;
    bool first = !m->high;
    if (missing && full(store, m) && (gap || !m->count))
        return BUS_UNCOUNTED;
    if (missing && full(store, m) && !forget_older_holes(store, m))
        return BUS_RECEIPT_FAILED;
    /* The first record of an unknown source may be any: its topic was read from the middle. */
    bool alarm = missing && (m->high || m->family->live);
    if ((missing && !append_hole(store, m, m->high + 1, seq - 1)) || !touch(store, m) ||
        (first && !bus_note(store, &m->family->live, sizeof m->family->live)))
        return BUS_RECEIPT_FAILED;
    if (first)
        m->family->live++;
    m->high = seq;
    m->at = now_ms;
    if (alarm && gap)
        *gap = missing;
    return alarm ? BUS_NEW_AFTER_GAP : first ? BUS_NEW_FIRST : BUS_NEW;
}

int64_t bus_mark_high(const bus_store *store, const char *source, size_t source_len, const char *topic, int32_t partition)
{
    const mark *m = find(store, source, source_len, topic, partition);
    return m ? m->high : 0;
}

size_t bus_mark_holes(const bus_store *store)
{
    return store->marks.holes;
}

/* Staged: absent from now on; the commit deletes its rows and frees it. */
static bool forget(bus_store *store, mark *m)
{
    if (!m->high)
        return true;
    if (!touch(store, m) || !note_holes(store, m, m->count) || !bus_note(store, &m->family->live, sizeof m->family->live))
        return false;
    store->marks.holes -= m->count;
    m->count = 0;
    m->high = 0;
    m->family->live--;
    changed(m, 0, INT64_MAX);
    return true;
}

bus_status bus_mark_forget(bus_store *store, const char *topic, int32_t partition, bus_error *err)
{
    for (size_t i = 0; i < store->marks.all.count; i++) {
        mark *m = store->marks.all.at[i];
        if (m->partition == partition && strcmp(m->topic, topic) == 0 && !forget(store, m))
            return bus_fail_nomem(err);
    }
    return BUS_OK;
}

bus_status bus_mark_expire(bus_store *store, int64_t before_ms, bus_error *err)
{
    bus_tables_mark *table = &store->marks;
    bus_map newest; /* family -> its mark heard of last, which always stays */
    bus_map_init(&newest);
    bus_status status = BUS_OK;
    for (size_t i = 0; i < table->all.count && status == BUS_OK; i++) {
        mark *m = table->all.at[i];
        const mark *best = bus_map_get(&newest, &m->family, sizeof m->family);
        bool later = !best || m->at > best->at || (m->at == best->at && m->id > best->id);
        if (m->high && later && !bus_map_put(&newest, &m->family, sizeof m->family, m))
            status = bus_fail_nomem(err);
    }
    for (size_t i = 0; i < table->all.count && status == BUS_OK; i++) {
        mark *m = table->all.at[i];
        if (m->high && m->at < before_ms && bus_map_get(&newest, &m->family, sizeof m->family) != m && !forget(store, m))
            status = bus_fail_nomem(err);
    }
    bus_map_free(&newest, NULL);
    return status;
}

static bus_status load_holes(bus_store *store, mark *m, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_HOLE_LOAD, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, m->id);
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bus_step(store, stmt)) != SQLITE_DONE) {
        int64_t lo = sqlite3_column_int64(stmt, 0), hi = sqlite3_column_int64(stmt, 1);
        int64_t above = m->count ? m->holes[m->count - 1].hi + 1 : 0;
        if (rc != SQLITE_ROW)
            status = bus_store_fail(store, rc, "loading holes", err);
        else if (lo <= above || hi < lo || hi >= m->high)
            status = bus_fail(err, BUS_CORRUPT, "%s: hole %lld..%lld contradicts its mark %lld; rebuild the store from its topics", store->path,
                              (long long)lo, (long long)hi, (long long)m->high);
        else if (!append_hole(store, m, lo, hi))
            status = bus_fail_nomem(err);
    }
    sqlite3_reset(stmt);
    return status;
}

static void forget_grown(bus_store *store, size_t from, bool undone)
{
    bus_list *list = &store->marks.grown;
    while (list->count > from) {
        grown *entry = list->at[--list->count];
        free(undone ? entry->fresh : entry->old);
        free(entry);
    }
}

static bus_status load(bus_store *store, bus_error *err)
{
    bus_tables_mark *table = &store->marks;
    bus_map_init(&table->by_name);
    bus_map_init(&table->families);
    table->next_id = 1;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_MARK_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bus_step(store, stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            status = bus_store_fail(store, rc, "loading marks", err);
            break;
        }
        const char *source = bus_column_text(stmt, 1);
        mark *m = make(store, sqlite3_column_int64(stmt, 0), source, strlen(source), bus_column_text(stmt, 2), sqlite3_column_int(stmt, 3));
        if (!m) {
            status = bus_fail_nomem(err);
            break;
        }
        m->high = sqlite3_column_int64(stmt, 4);
        m->at = sqlite3_column_int64(stmt, 5);
        m->family->live++;
        status = load_holes(store, m, err);
        clean(m);
    }
    sqlite3_reset(stmt);
    if (status == BUS_OK) {
        bus_stage_clear(&store->stage);
        forget_grown(store, 0, false);
    }
    return status;
}

static bus_status flush_holes(bus_store *store, const mark *m, bus_error *err)
{
    sqlite3_stmt *put = bus_statement_of(store, BUS_SQL_HOLE_PUT, err), *delete = bus_statement_of(store, BUS_SQL_HOLE_DELETE, err);
    if (!put || !delete)
        return err->status;
    sqlite3_bind_int64(delete, 1, m->id);
    sqlite3_bind_int64(delete, 2, m->changed_lo);
    sqlite3_bind_int64(delete, 3, m->changed_hi);
    bus_status status = bus_run_statement(store, delete, "writing holes", err);
    for (size_t i = 0; i < m->count && status == BUS_OK; i++) {
        if (m->holes[i].lo < m->changed_lo || m->holes[i].lo > m->changed_hi)
            continue;
        sqlite3_bind_int64(put, 1, m->id);
        sqlite3_bind_int64(put, 2, m->holes[i].lo);
        sqlite3_bind_int64(put, 3, m->holes[i].hi);
        status = bus_run_statement(store, put, "writing holes", err);
    }
    return status;
}

static bus_status flush_mark(bus_store *store, const mark *m, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, m->high ? BUS_SQL_MARK_PUT : BUS_SQL_MARK_DELETE, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, m->id);
    if (m->high) {
        bus_bind_text(stmt, 2, m->source);
        bus_bind_text(stmt, 3, m->topic);
        sqlite3_bind_int(stmt, 4, m->partition);
        sqlite3_bind_int64(stmt, 5, m->high);
        sqlite3_bind_int64(stmt, 6, m->at);
    }
    bus_status status = bus_run_statement(store, stmt, "writing marks", err);
    return status == BUS_OK && m->changed_lo <= m->changed_hi ? flush_holes(store, m, err) : status;
}

static bus_status flush(bus_store *store, bus_error *err)
{
    bus_list *dirty = &store->marks.dirty;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < dirty->count && status == BUS_OK; i++)
        status = flush_mark(store, dirty->at[i], err);
    return status;
}

static void back(bus_store *store, size_t stage)
{
    const bus_list *list = &store->marks.grown;
    size_t keep = list->count;
    while (keep && ((const grown *)list->at[keep - 1])->stage > stage)
        keep--;
    forget_grown(store, keep, true);
}

static void ended(bus_store *store, bool committed)
{
    bus_list *dirty = &store->marks.dirty;
    forget_grown(store, 0, !committed);
    for (size_t i = 0; i < dirty->count; i++) {
        mark *m = dirty->at[i];
        clean(m);
        if (!m->high)
            drop(store, m);
    }
    dirty->count = 0;
}

static void release(bus_store *store)
{
    bus_tables_mark *table = &store->marks;
    forget_grown(store, 0, false);
    for (size_t i = 0; i < table->all.count; i++)
        mark_free(table->all.at[i]);
    bus_list_free(&table->all);
    bus_list_free(&table->dirty);
    bus_list_free(&table->grown);
    bus_map_free(&table->by_name, NULL);
    bus_map_free(&table->families, free);
}

const bus_group bus_group_mark = { .load = load, .flush = flush, .back = back, .ended = ended, .free = release };
