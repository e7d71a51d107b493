/* SPDX-License-Identifier: MIT
 * Rebuild outbox: what a rebuild does with the rows in its outbox, see rebuild_outbox.h. */
#include "rebuild/rebuild_outbox.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/error.h"
#include "codec/envelope.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 1000 /* rows renumbered in one transaction */
#define DELETED_AT_ONCE 10000

/* ---- what had been sent */

typedef struct rebuild_outbox {
    bui_sent *sent;
    const bui_history *history;
    int64_t commit_point;
    bui_rebuild_outbox_count count;
    int64_t *known; /* ids of rows that go */
    size_t known_count, known_cap;
} rebuild_outbox;

typedef struct outrow {
    int64_t id, made;
    const char *topic, *event_id;
    int32_t partition;
    const void *key;
    size_t key_len;
    const bus_header *headers;
    size_t header_count;
} outrow;

/* The log is not whole: the row may have been sent, and be gone since. What the group had committed was acknowledged, except what its
 * event did later than that: that is young, and still there if it was sent. */
static bool expired(const rebuild_outbox *left, const outrow *row, const bui_sent_place *place)
{
    if (row->id >= left->commit_point)
        return false;
    if (bui_history_has_old(left->history))
        return !bui_history_unsent(left->history, row->topic, row->partition, row->event_id);
    if (place->gaps && row->key) /* compaction leaves the last of a key */
        return bui_sent_has_key(left->sent, row->topic, row->partition, row->key, row->key_len, row->made) ||
               row->made < place->first_ms;
    return place->first_ms == INT64_MAX || row->made < place->first_ms;
}

static bus_status judge(rebuild_outbox *left, const outrow *row, bus_error *err)
{
    bus_status status = bui_sent_read(left->sent, row->topic, row->partition, err);
    if (status != BUS_OK)
        return status;
    const bui_sent_place *place = bui_sent_place_of(left->sent, row->topic, row->partition);
    bool there = bui_sent_has(left->sent, row->topic, row->partition, row->headers, row->header_count);
    bool given_up = !there && bui_history_discarded(left->history, row->topic, row->partition, row->event_id);
    bool gone = !there && !given_up && place && place->cut && expired(left, row, place);
    left->count.sent += there;
    left->count.discarded += given_up;
    left->count.expired += gone;
    if ((there || given_up || gone) &&
        !bui_array_room(&left->known, &left->known_cap, left->known_count + 1, sizeof *left->known, 1024))
        return bui_fail_nomem(err);
    if (there || given_up || gone)
        left->known[left->known_count++] = row->id;
    return bui_sent_failure(left->sent, err);
}

static bus_status judge_row(rebuild_outbox *left, sqlite3_stmt *ask, bus_error *err)
{
    outrow row = { .id = sqlite3_column_int64(ask, 0),
                   .topic = (const char *)sqlite3_column_text(ask, 1),
                   .partition = sqlite3_column_int(ask, 2),
                   .event_id = (const char *)sqlite3_column_text(ask, 3),
                   .made = sqlite3_column_int64(ask, 4),
                   .key = sqlite3_column_blob(ask, 5),
                   .key_len = (size_t)sqlite3_column_bytes(ask, 5) };
    const void *packed = sqlite3_column_blob(ask, 6);
    size_t len = (size_t)sqlite3_column_bytes(ask, 6), count = bui_headers_count(packed, len);
    if (count == SIZE_MAX)
        return bui_fail(err, BUS_CORRUPT, "the headers of outbox row %" PRId64 " cannot be read", row.id);
    bus_header *headers = calloc(count + 1, sizeof *headers);
    if (!headers)
        return bui_fail_nomem(err);
    row.headers = headers;
    row.header_count = bui_headers_unpack(packed, len, headers, count);
    bus_status status = judge(left, &row, err);
    free(headers);
    return status;
}

static bus_status delete_known(bui_store *store, const rebuild_outbox *left, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t at = 0; at < left->known_count && status == BUS_OK;) {
        size_t n = left->known_count - at < DELETED_AT_ONCE ? left->known_count - at : DELETED_AT_ONCE;
        status = bui_store_begin(store, err);
        if (status == BUS_OK)
            status = bui_outbox_delete(store, left->known + at, n, err);
        if (status == BUS_OK)
            status = bui_store_commit(store, err);
        else
            bui_store_rollback(store);
        at += n;
    }
    return status;
}

bus_status bui_rebuild_outbox_clear(bui_store *store, bui_sent *sent, const bui_history *history, int64_t commit_point,
                                    bui_rebuild_outbox_count *out, bus_error *err)
{
    rebuild_outbox left = { .sent = sent, .history = history, .commit_point = commit_point };
    sqlite3_stmt *ask = NULL;
    int rc = sqlite3_prepare_v2(bui_store_db(store),
                                "SELECT o.id, d.topic, d.partition, o.event_id, o.made, o.key, o.headers FROM bus_outbox o"
                                " JOIN bus_destination d ON d.id = o.destination ORDER BY o.id",
                                -1, &ask, NULL);
    bus_status status = BUS_OK;
    while (rc == SQLITE_OK && status == BUS_OK && (rc = sqlite3_step(ask)) == SQLITE_ROW) {
        status = judge_row(&left, ask, err);
        rc = SQLITE_OK;
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = bui_fail(err, BUS_STORE, "%s: %s", bui_store_path(store), sqlite3_errmsg(bui_store_db(store)));
    sqlite3_finalize(ask);
    if (status == BUS_OK)
        status = delete_known(store, &left, err);
    *out = left.count;
    free(left.known);
    return status;
}

/* ---- what had been given up */

/* Ids of rows are of the store that made them: these are below all that the new one will give. */
static bus_status carry(bui_store *store, sqlite3_stmt *from, bus_error *err)
{
    sqlite3_stmt *put = NULL;
    int rc = sqlite3_prepare_v2(bui_store_db(store),
                                "INSERT INTO bus_discarded SELECT -1 - count(*), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
                                " FROM bus_discarded",
                                -1, &put, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(from)) == SQLITE_ROW) {
        for (int i = 0; i < 9; i++)
            sqlite3_bind_value(put, i + 1, sqlite3_column_value(from, i));
        rc = sqlite3_step(put);
        rc = rc == SQLITE_DONE ? sqlite3_reset(put) : rc;
    }
    bus_status status = rc == SQLITE_DONE
                            ? BUS_OK
                            : bui_fail(err, BUS_STORE, "%s: %s", bui_store_path(store), sqlite3_errmsg(bui_store_db(store)));
    sqlite3_finalize(put);
    return status;
}

static bus_status carry_all(bui_store *store, sqlite3_stmt *ask, bus_error *err)
{
    bus_status status = bui_store_begin(store, err);
    if (status != BUS_OK)
        return status;
    status = carry(store, ask, err);
    if (status == BUS_OK)
        return bui_store_commit(store, err);
    bui_store_rollback(store);
    return status;
}

bus_status bui_rebuild_outbox_carry_discarded(bui_store *store, const char *old, bus_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    bus_status status = bui_store_reader(old, &db, err);
    if (status != BUS_OK)
        return status;
    if (sqlite3_prepare_v2(
            db, "SELECT source, topic, partition, seq, event_id, error, operator, reason, at FROM bus_discarded ORDER BY id DESC",
            -1, &ask, NULL) == SQLITE_OK)
        status = carry_all(store, ask, err);
    sqlite3_finalize(ask);
    sqlite3_close(db);
    return status;
}

/* ---- new numbers */

typedef struct batch {
    bui_arena arena;
    bui_outbox_row row[AT_ONCE];
    int64_t id[AT_ONCE];
    size_t count;
    int64_t bound; /* ids from here on are new rows */
    bool nomem;
} batch;

static bool copy(bui_arena *arena, const void **bytes, size_t len)
{
    *bytes = *bytes ? bui_arena_copy(arena, *bytes, len) : NULL;
    return *bytes != NULL;
}

static bool take_row(const bui_outbox_row *row, void *opaque)
{
    batch *all = opaque;
    bui_outbox_row *mine = &all->row[all->count];
    if (row->id >= all->bound)
        return false;
    *mine = *row;
    const void *id = row->event_id;
    all->nomem = (row->event_id && !copy(&all->arena, &id, strlen(row->event_id))) ||
                 (row->key && !copy(&all->arena, &mine->key, row->key_len)) ||
                 (row->value && !copy(&all->arena, &mine->value, row->value_len)) ||
                 !copy(&all->arena, &mine->headers, row->headers_len);
    mine->event_id = id;
    all->id[all->count++] = row->id;
    return !all->nomem;
}

/* The same record under the store's present incarnation and the next number of its destination. */
static bus_status add_anew(bui_store *store, bui_outbox_row *row, bus_error *err)
{
    char text[2048];
    bui_envelope envelope;
    bui_buf packed;
    bus_status status = BUS_OK;
    size_t count = bui_headers_count(row->headers, row->headers_len), kept = 0;
    bus_header *headers = count < SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
    bui_destination *to = bui_destination_of(store, row->destination->topic, row->destination->partition, err);
    bui_buf_init(&packed, 0);
    if (!headers || !to) {
        status = headers ? err->status : bui_fail_nomem(err);
    } else if (bui_headers_unpack(row->headers, row->headers_len, headers, count) != count) {
        status = bui_fail(err, BUS_CORRUPT, "the headers of outbox row %" PRId64 " cannot be read", row->id);
    } else {
        status = bui_envelope_read(headers, count, &envelope, err);
    }
    if (status == BUS_OK) {
        for (size_t i = 0; i < count; i++)
            if (strcmp(headers[i].name, BUI_HEADER_HOP) != 0)
                headers[kept++] = headers[i];
        bui_hop hop = envelope.hop;
        hop.source = (bui_slice){ to->source, strlen(to->source) };
        hop.seq = to->next_seq;
        headers[kept++] = (bus_header){ BUI_HEADER_HOP, text, bui_hop_write(&hop, text, sizeof text) };
        bui_headers_pack(headers, kept, &packed);
        row->destination = to;
        row->seq = 0;
        row->headers = packed.data;
        row->headers_len = packed.len;
        status = bui_buf_ok(&packed) ? bui_outbox_add(store, row, err) : bui_fail_nomem(err);
    }
    bui_buf_free(&packed);
    free(headers);
    return status;
}

static bus_status renumber(bui_store *store, batch *all, bus_error *err)
{
    bus_status status = bui_store_begin(store, err);
    if (status != BUS_OK)
        return status;
    for (size_t i = 0; i < all->count && status == BUS_OK; i++)
        status = add_anew(store, &all->row[i], err);
    if (status == BUS_OK)
        status = bui_outbox_delete(store, all->id, all->count, err);
    if (status == BUS_OK)
        return bui_store_commit(store, err);
    bui_store_rollback(store);
    return status;
}

bus_status bui_rebuild_outbox_renumber(bui_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    batch *all = calloc(1, sizeof *all);
    if (!all)
        return bui_fail_nomem(err);
    bui_arena_init(&all->arena, 0);
    all->bound = bui_outbox_next_id(store);
    bus_status status;
    do {
        all->count = 0;
        bui_arena_reset(&all->arena);
        status = bui_outbox_scan(store, 0, NULL, AT_ONCE, take_row, all, err);
        if (status == BUS_OK && all->nomem)
            status = bui_fail_nomem(err);
        if (status == BUS_OK && all->count > 0)
            status = renumber(store, all, err);
    } while (status == BUS_OK && all->count > 0);
    bui_arena_free(&all->arena);
    free(all);
    return status;
}
