/* SPDX-License-Identifier: MIT
 * Mark: the inbox without a window. Per (source, destination) the highest sequence number settled, and the gaps below it:
 * mark minus gaps is exactly what was settled (protocol rule R4). */
#include "store/mark.h"
#include "base/error.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct gap {
    int64_t lo, hi;
} gap;

/* All incarnations of one shard, to one destination. */
typedef struct family {
    int64_t live;
} family;

typedef struct mark {
    int64_t id;
    char *source;
    const char *topic;
    int32_t partition;
    int64_t high, at; /* high 0: absent */
    gap *gaps;        /* sorted, never touching each other */
    size_t count, cap;
    family *family;
    int64_t changed_lo, changed_hi; /* gaps with lo in this range may differ from the table's; lo > hi: none */
    bool dirty;
    size_t place; /* in all */
} mark;

/* An array of gaps outgrown inside the transaction: the undo log may bring the old one back. */
typedef struct grown {
    size_t undo_log;
    gap *old, *fresh;
} grown;

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

static family *family_of(bui_store *store, const char *source, size_t len, const char *topic, int32_t partition)
{
    bui_tables_mark *table = &store->marks;
    if (!bui_store_compose(store, source, shard_len(source, len), topic, partition))
        return NULL;
    family *f = bui_map_get(&table->families, store->scratch.data, store->scratch.len);
    if (!f && (f = calloc(1, sizeof *f)) && !bui_map_put(&table->families, store->scratch.data, store->scratch.len, f)) {
        free(f);
        return NULL;
    }
    return f;
}

static mark *find(const bui_store *store, const char *source, size_t len, const char *topic, int32_t partition)
{
    bui_store *scratch = (bui_store *)(uintptr_t)store; /* composes a key, changes nothing else */
    if (!bui_store_compose(scratch, source, len, topic, partition))
        return NULL;
    return bui_map_get(&store->marks.by_name, store->scratch.data, store->scratch.len);
}

static void mark_free(void *opaque)
{
    mark *m = opaque;
    free(m->source);
    free(m->gaps);
    free(m);
}

static mark *make(bui_store *store, int64_t id, const char *source, size_t len, const char *topic, int32_t partition)
{
    bui_tables_mark *table = &store->marks;
    size_t room = table->all.count + 1;
    mark *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->source = strndup(source, len);
    m->topic = bui_store_intern(store, topic);
    m->family = family_of(store, source, len, topic, partition);
    if (!m->source || !m->topic || !m->family || !bui_list_reserve(&table->all, room) || !bui_list_reserve(&table->dirty, room) ||
        !bui_store_compose(store, source, len, topic, partition) ||
        !bui_map_put(&table->by_name, store->scratch.data, store->scratch.len, m)) {
        mark_free(m);
        return NULL;
    }
    m->id = id;
    m->partition = partition;
    m->place = table->all.count;
    clean(m);
    bui_list_add(&table->all, m);
    if (id >= table->next_id)
        table->next_id = id + 1;
    return m;
}

/* Takes a mark that is absent again out of memory. */
static void drop(bui_store *store, mark *m)
{
    bui_tables_mark *table = &store->marks;
    mark *last = table->all.at[--table->all.count];
    table->all.at[m->place] = last;
    last->place = m->place;
    /* Never fails: the buffer has held this name before. */
    if (bui_store_compose(store, m->source, strlen(m->source), m->topic, m->partition))
        bui_map_remove(&table->by_name, store->scratch.data, store->scratch.len);
    mark_free(m);
}

static bool room_for_gap(bui_store *store, mark *m)
{
    if (m->count < m->cap)
        return true;
    bui_list *list = &store->marks.grown;
    size_t cap = m->cap ? m->cap * 2 : 4;
    gap *fresh = malloc(cap * sizeof *fresh);
    grown *entry = malloc(sizeof *entry);
    if (!fresh || !entry || !bui_list_reserve(list, list->count + 1) || !bui_note(store, &m->gaps, sizeof m->gaps) ||
        !bui_note(store, &m->cap, sizeof m->cap)) {
        free(fresh);
        free(entry);
        return false;
    }
    if (m->count)
        memcpy(fresh, m->gaps, m->count * sizeof *fresh);
    *entry = (grown){ bui_undo_log_mark(&store->undo_log), m->gaps, fresh };
    bui_list_add(list, entry);
    m->gaps = fresh;
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

/* Before gaps[from] and those after it move, or new ones come behind. Copies them: what BUI_GAPS_PER_MARK bounds. */
static bool note_gaps(bui_store *store, mark *m, size_t from)
{
    return bui_note(store, &m->count, sizeof m->count) && bui_note(store, &store->marks.gaps, sizeof store->marks.gaps) &&
           (from == m->count || bui_note(store, m->gaps + from, (m->count - from) * sizeof *m->gaps));
}

static bool touch(bui_store *store, mark *m)
{
    if (!bui_note(store, &m->high, offsetof(mark, gaps) - offsetof(mark, high)))
        return false;
    if (!m->dirty) {
        m->dirty = true;
        bui_list_add(&store->marks.dirty, m); /* has room for all */
    }
    return true;
}

static bool append_gap(bui_store *store, mark *m, int64_t lo, int64_t hi)
{
    if (!room_for_gap(store, m) || !note_gaps(store, m, m->count))
        return false;
    m->gaps[m->count++] = (gap){ lo, hi };
    store->marks.gaps++;
    changed(m, lo, lo);
    return true;
}

static bool full(const bui_store *store, const mark *m)
{
    return m->count >= BUI_GAPS_PER_MARK || (int64_t)store->marks.gaps >= store->marks_most;
}

/* Where gaps are no loss (a compacted topic) they are many, and none is filled long after: the older half counts as settled. */
static bool forget_older_gaps(bui_store *store, mark *m)
{
    size_t gone = (m->count + 1) / 2;
    if (!touch(store, m) || !note_gaps(store, m, 0))
        return false;
    changed(m, 0, m->gaps[gone - 1].hi);
    m->count -= gone;
    store->marks.gaps -= gone;
    memmove(m->gaps, m->gaps + gone, m->count * sizeof *m->gaps);
    return true;
}

/* The gap that seq lies in, or m->count. */
static size_t gap_of(const mark *m, int64_t seq)
{
    size_t lo = 0, hi = m->count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (m->gaps[middle].hi < seq)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < m->count && m->gaps[lo].lo <= seq ? lo : m->count;
}

static bui_receipt settle_gap(bui_store *store, mark *m, size_t at, int64_t seq, int64_t now_ms)
{
    gap h = m->gaps[at];
    bool split = h.lo < seq && seq < h.hi, alone = !split && h.lo != h.hi;
    if (split && full(store, m))
        return BUI_UNCOUNTED;
    if ((split && !room_for_gap(store, m)) || !touch(store, m) ||
        !(alone ? bui_note(store, m->gaps + at, sizeof *m->gaps) : note_gaps(store, m, at)))
        return BUI_RECEIPT_FAILED;
    gap *gaps = m->gaps;
    size_t after = m->count - at - 1;
    if (split) {
        memmove(gaps + at + 2, gaps + at + 1, after * sizeof *gaps);
        gaps[at].hi = seq - 1;
        gaps[at + 1] = (gap){ seq + 1, h.hi };
        m->count++;
        store->marks.gaps++;
    } else if (h.lo == h.hi) {
        memmove(gaps + at, gaps + at + 1, after * sizeof *gaps);
        m->count--;
        store->marks.gaps--;
    } else if (seq == h.lo) {
        gaps[at].lo = seq + 1;
    } else {
        gaps[at].hi = seq - 1;
    }
    changed(m, h.lo, h.hi);
    m->at = now_ms;
    return BUI_NEW_IN_GAP;
}

bui_receipt bui_mark_settle(bui_store *store, const char *source, size_t source_len, const char *topic, int32_t partition,
                            int64_t seq, int64_t now_ms, int64_t *missed)
{
    if (missed)
        *missed = 0;
    if (seq < 1)
        return BUI_RECEIPT_FAILED;
    /* Not find(): if memory runs out, a mark that was not found must not be made a second time. */
    if (!bui_store_compose(store, source, source_len, topic, partition))
        return BUI_RECEIPT_FAILED;
    mark *m = bui_map_get(&store->marks.by_name, store->scratch.data, store->scratch.len);
    if (!m && (int64_t)store->marks.all.count >= store->marks_most)
        return BUI_UNCOUNTED;
    if (!m && !(m = make(store, store->marks.next_id, source, source_len, topic, partition)))
        return BUI_RECEIPT_FAILED;
    if (seq <= m->high) {
        size_t at = gap_of(m, seq);
        return at < m->count ? settle_gap(store, m, at, seq, now_ms) : BUI_DUPLICATE;
    }
    int64_t missing = seq - m->high - 1;
    bool first = !m->high;
    if (missing && full(store, m) && (missed || !m->count))
        return BUI_UNCOUNTED;
    if (missing && full(store, m) && !forget_older_gaps(store, m))
        return BUI_RECEIPT_FAILED;
    /* The first record of an unknown source may be any: its topic was read from the middle. */
    bool alarm = missing && (m->high || m->family->live);
    if ((missing && !append_gap(store, m, m->high + 1, seq - 1)) || !touch(store, m) ||
        (first && !bui_note(store, &m->family->live, sizeof m->family->live)))
        return BUI_RECEIPT_FAILED;
    if (first)
        m->family->live++;
    m->high = seq;
    m->at = now_ms;
    if (alarm && missed)
        *missed = missing;
    return alarm ? BUI_NEW_AFTER_GAP : first ? BUI_NEW_FIRST : BUI_NEW;
}

int64_t bui_mark_high(const bui_store *store, const char *source, size_t source_len, const char *topic, int32_t partition)
{
    const mark *m = find(store, source, source_len, topic, partition);
    return m ? m->high : 0;
}

size_t bui_mark_gaps(const bui_store *store)
{
    return store->marks.gaps;
}

/* Staged: absent from now on; the commit deletes its rows and frees it. */
static bool forget(bui_store *store, mark *m)
{
    if (!m->high)
        return true;
    if (!touch(store, m) || !note_gaps(store, m, m->count) || !bui_note(store, &m->family->live, sizeof m->family->live))
        return false;
    store->marks.gaps -= m->count;
    m->count = 0;
    m->high = 0;
    m->family->live--;
    changed(m, 0, INT64_MAX);
    return true;
}

bus_status bui_mark_forget(bui_store *store, const char *topic, int32_t partition, bus_error *err)
{
    for (size_t i = 0; i < store->marks.all.count; i++) {
        mark *m = store->marks.all.at[i];
        if (m->partition == partition && strcmp(m->topic, topic) == 0 && !forget(store, m))
            return bui_fail_nomem(err);
    }
    return BUS_OK;
}

bus_status bui_mark_expire(bui_store *store, int64_t before_ms, bus_error *err)
{
    bui_tables_mark *table = &store->marks;
    bui_map newest; /* family -> its mark heard of last, which always stays */
    bui_map_init(&newest);
    bus_status status = BUS_OK;
    for (size_t i = 0; i < table->all.count && status == BUS_OK; i++) {
        mark *m = table->all.at[i];
        const mark *best = bui_map_get(&newest, &m->family, sizeof m->family);
        bool later = !best || m->at > best->at || (m->at == best->at && m->id > best->id);
        if (m->high && later && !bui_map_put(&newest, &m->family, sizeof m->family, m))
            status = bui_fail_nomem(err);
    }
    for (size_t i = 0; i < table->all.count && status == BUS_OK; i++) {
        mark *m = table->all.at[i];
        if (m->high && m->at < before_ms && bui_map_get(&newest, &m->family, sizeof m->family) != m && !forget(store, m))
            status = bui_fail_nomem(err);
    }
    bui_map_free(&newest, NULL);
    return status;
}

static bus_status load_gaps(bui_store *store, mark *m, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_GAP_LOAD, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, m->id);
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bui_step(store, stmt)) != SQLITE_DONE) {
        int64_t lo = sqlite3_column_int64(stmt, 0), hi = sqlite3_column_int64(stmt, 1);
        int64_t above = m->count ? m->gaps[m->count - 1].hi + 1 : 0;
        if (rc != SQLITE_ROW)
            status = bui_store_fail(store, rc, "loading gaps", err);
        else if (lo <= above || hi < lo || hi >= m->high)
            status = bui_fail(err, BUS_CORRUPT, "%s: gap %lld..%lld contradicts its mark %lld; rebuild the store from its topics",
                              store->path, (long long)lo, (long long)hi, (long long)m->high);
        else if (!append_gap(store, m, lo, hi))
            status = bui_fail_nomem(err);
    }
    sqlite3_reset(stmt);
    return status;
}

static void forget_grown(bui_store *store, size_t from, bool undone)
{
    bui_list *list = &store->marks.grown;
    while (list->count > from) {
        grown *entry = list->at[--list->count];
        free(undone ? entry->fresh : entry->old);
        free(entry);
    }
}

static bus_status load(bui_store *store, bus_error *err)
{
    bui_tables_mark *table = &store->marks;
    bui_map_init(&table->by_name);
    bui_map_init(&table->families);
    table->next_id = 1;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_MARK_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bui_step(store, stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            status = bui_store_fail(store, rc, "loading marks", err);
            break;
        }
        const char *source = bui_column_text(stmt, 1);
        mark *m = make(store, sqlite3_column_int64(stmt, 0), source, strlen(source), bui_column_text(stmt, 2),
                       sqlite3_column_int(stmt, 3));
        if (!m) {
            status = bui_fail_nomem(err);
            break;
        }
        m->high = sqlite3_column_int64(stmt, 4);
        m->at = sqlite3_column_int64(stmt, 5);
        m->family->live++;
        status = load_gaps(store, m, err);
        clean(m);
    }
    sqlite3_reset(stmt);
    if (status == BUS_OK) {
        bui_undo_log_clear(&store->undo_log);
        forget_grown(store, 0, false);
    }
    return status;
}

static bus_status flush_gaps(bui_store *store, const mark *m, bus_error *err)
{
    sqlite3_stmt *put = bui_statement_of(store, BUI_SQL_GAP_PUT, err), *delete = bui_statement_of(store, BUI_SQL_GAP_DELETE, err);
    if (!put || !delete)
        return err->status;
    sqlite3_bind_int64(delete, 1, m->id);
    sqlite3_bind_int64(delete, 2, m->changed_lo);
    sqlite3_bind_int64(delete, 3, m->changed_hi);
    bus_status status = bui_run_statement(store, delete, "writing gaps", err);
    for (size_t i = 0; i < m->count && status == BUS_OK; i++) {
        if (m->gaps[i].lo < m->changed_lo || m->gaps[i].lo > m->changed_hi)
            continue;
        sqlite3_bind_int64(put, 1, m->id);
        sqlite3_bind_int64(put, 2, m->gaps[i].lo);
        sqlite3_bind_int64(put, 3, m->gaps[i].hi);
        status = bui_run_statement(store, put, "writing gaps", err);
    }
    return status;
}

static bus_status flush_mark(bui_store *store, const mark *m, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, m->high ? BUI_SQL_MARK_PUT : BUI_SQL_MARK_DELETE, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, m->id);
    if (m->high) {
        bui_bind_text(stmt, 2, m->source);
        bui_bind_text(stmt, 3, m->topic);
        sqlite3_bind_int(stmt, 4, m->partition);
        sqlite3_bind_int64(stmt, 5, m->high);
        sqlite3_bind_int64(stmt, 6, m->at);
    }
    bus_status status = bui_run_statement(store, stmt, "writing marks", err);
    return status == BUS_OK && m->changed_lo <= m->changed_hi ? flush_gaps(store, m, err) : status;
}

static bus_status flush(bui_store *store, bus_error *err)
{
    bui_list *dirty = &store->marks.dirty;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < dirty->count && status == BUS_OK; i++)
        status = flush_mark(store, dirty->at[i], err);
    return status;
}

static void back(bui_store *store, size_t undo_log)
{
    const bui_list *list = &store->marks.grown;
    size_t keep = list->count;
    while (keep && ((const grown *)list->at[keep - 1])->undo_log > undo_log)
        keep--;
    forget_grown(store, keep, true);
}

static void ended(bui_store *store, bool committed)
{
    bui_list *dirty = &store->marks.dirty;
    forget_grown(store, 0, !committed);
    for (size_t i = 0; i < dirty->count; i++) {
        mark *m = dirty->at[i];
        clean(m);
        if (!m->high)
            drop(store, m);
    }
    dirty->count = 0;
}

static void release(bui_store *store)
{
    bui_tables_mark *table = &store->marks;
    forget_grown(store, 0, false);
    for (size_t i = 0; i < table->all.count; i++)
        mark_free(table->all.at[i]);
    bui_list_free(&table->all);
    bui_list_free(&table->dirty);
    bui_list_free(&table->grown);
    bui_map_free(&table->by_name, NULL);
    bui_map_free(&table->families, free);
}

const bui_group bui_group_mark = { .load = load, .flush = flush, .back = back, .ended = ended, .free = release };
