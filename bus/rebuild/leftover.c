/* SPDX-License-Identifier: MIT
 * Leftover: what a rebuild does with the rows in its outbox, see leftover.h. */
#include "rebuild/leftover.h"
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

typedef struct leftover {
    bus_sent *sent;
    const bus_history *history;
    int64_t turn;
    bus_leftover_count count;
    int64_t *known;          /* ids of rows that go */
    size_t known_count, known_cap;
} leftover;

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
static bool expired(const leftover *left, const outrow *row, const bus_sent_place *place)
{
    if (row->id >= left->turn)
        return false;
    if (bus_history_has_old(left->history))
        return !bus_history_unsent(left->history, row->topic, row->partition, row->event_id);
    if (place->gaps && row->key) /* compaction leaves the last of a key */
        return bus_sent_has_key(left->sent, row->topic, row->partition, row->key, row->key_len, row->made) || row->made < place->first_ms;
    return place->first_ms == INT64_MAX || row->made < place->first_ms;
}

static bus_status judge(leftover *left, const outrow *row, bus_error *err)
{
    bus_status status = bus_sent_read(left->sent, row->topic, row->partition, err);
    if (status != BUS_OK)
        return status;
    const bus_sent_place *place = bus_sent_place_of(left->sent, row->topic, row->partition);
    bool there = bus_sent_has(left->sent, row->topic, row->partition, row->headers, row->header_count);
    bool given_up = !there && bus_history_discarded(left->history, row->topic, row->partition, row->event_id);
    bool gone = !there && !given_up && place && place->cut && expired(left, row, place);
    left->count.sent += there;
    left->count.discarded += given_up;
    left->count.expired += gone;
    if ((there || given_up || gone) && !bus_array_room(&left->known, &left->known_cap, left->known_count + 1, sizeof *left->known, 1024))
        return bus_fail_nomem(err);
    if (there || given_up || gone)
        left->known[left->known_count++] = row->id;
    return bus_sent_failure(left->sent, err);
}

static bus_status judge_row(leftover *left, sqlite3_stmt *ask, bus_error *err)
{
    outrow row = { .id = sqlite3_column_int64(ask, 0), .topic = (const char *)sqlite3_column_text(ask, 1), .partition = sqlite3_column_int(ask, 2),
                   .event_id = (const char *)sqlite3_column_text(ask, 3), .made = sqlite3_column_int64(ask, 4), .key = sqlite3_column_blob(ask, 5),
                   .key_len = (size_t)sqlite3_column_bytes(ask, 5) };
    const void *packed = sqlite3_column_blob(ask, 6);
    size_t len = (size_t)sqlite3_column_bytes(ask, 6), count = bus_headers_count(packed, len);
    if (count == SIZE_MAX)
        return bus_fail(err, BUS_CORRUPT, "the headers of outbox row %" PRId64 " cannot be read", row.id);
    bus_header *headers = calloc(count + 1, sizeof *headers);
    if (!headers)
        return bus_fail_nomem(err);
    row.headers = headers;
    row.header_count = bus_headers_unpack(packed, len, headers, count);
    bus_status status = judge(left, &row, err);
    free(headers);
    return status;
}

static bus_status delete_known(bus_store *store, const leftover *left, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t at = 0; at < left->known_count && status == BUS_OK;) {
        size_t n = left->known_count - at < DELETED_AT_ONCE ? left->known_count - at : DELETED_AT_ONCE;
        status = bus_store_begin(store, err);
        if (status == BUS_OK)
            status = bus_outbox_delete(store, left->known + at, n, err);
        if (status == BUS_OK)
            status = bus_store_commit(store, err);
        else
            bus_store_rollback(store);
        at += n;
    }
    return status;
}

bus_status bus_leftover_clear(bus_store *store, bus_sent *sent, const bus_history *history, int64_t turn, bus_leftover_count *out,
                              bus_error *err)
{
    leftover left = { .sent = sent, .history = history, .turn = turn };
    sqlite3_stmt *ask = NULL;
    int rc = sqlite3_prepare_v2(bus_store_db(store), "SELECT o.id, d.topic, d.partition, o.event_id, o.made, o.key, o.headers FROM bus_outbox o"
                                " JOIN bus_destination d ON d.id = o.destination ORDER BY o.id", -1, &ask, NULL);
    bus_status status = BUS_OK;
    while (rc == SQLITE_OK && status == BUS_OK && (rc = sqlite3_step(ask)) == SQLITE_ROW) {
        status = judge_row(&left, ask, err);
        rc = SQLITE_OK;
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = bus_fail(err, BUS_STORE, "%s: %s", bus_store_path(store), sqlite3_errmsg(bus_store_db(store)));
    sqlite3_finalize(ask);
    if (status == BUS_OK)
        status = delete_known(store, &left, err);
    *out = left.count;
    free(left.known);
    return status;
}

/* ---- what had been given up */

/* Ids of rows are of the store that made them: these are below all that the new one will give. */
static bus_status carry(bus_store *store, sqlite3_stmt *from, bus_error *err)
{
    sqlite3_stmt *put = NULL;
    int rc = sqlite3_prepare_v2(bus_store_db(store), "INSERT INTO bus_discarded SELECT -1 - count(*), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
                                " FROM bus_discarded", -1, &put, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(from)) == SQLITE_ROW) {
        for (int i = 0; i < 9; i++)
            sqlite3_bind_value(put, i + 1, sqlite3_column_value(from, i));
        rc = sqlite3_step(put);
        rc = rc == SQLITE_DONE ? sqlite3_reset(put) : rc;
    }
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bus_fail(err, BUS_STORE, "%s: %s", bus_store_path(store), sqlite3_errmsg(bus_store_db(store)));
    sqlite3_finalize(put);
    return status;
}

bus_status bus_leftover_carry_discarded(bus_store *store, const char *old, bus_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    bus_status status = bus_store_reader(old, &db, err);
    if (status != BUS_OK)
        return status;
    if (sqlite3_prepare_v2(db, "SELECT source, topic, partition, seq, event_id, error, operator, reason, at FROM bus_discarded ORDER BY id DESC", -1,
                           &ask, NULL) == SQLITE_OK && (status = bus_store_begin(store, err)) == BUS_OK) {
        status = carry(store, ask, err);
        if (status == BUS_OK)
            status = bus_store_commit(store, err);
        else
            bus_store_rollback(store);
    }
    sqlite3_finalize(ask);
    sqlite3_close(db);
    return status;
}

/* ---- new numbers */

typedef struct batch {
    bus_arena arena;
    bus_outbox_row row[AT_ONCE];
    int64_t id[AT_ONCE];
    size_t count;
    int64_t bound;           /* ids from here on are new rows */
    bool nomem;
} batch;

static bool copy(bus_arena *arena, const void **bytes, size_t len)
{
    *bytes = *bytes ? bus_arena_copy(arena, *bytes, len) : NULL;
    return *bytes != NULL;
}

static bool take_row(const bus_outbox_row *row, void *opaque)
{
    batch *all = opaque;
    bus_outbox_row *mine = &all->row[all->count];
    if (row->id >= all->bound)
        return false;
    *mine = *row;
    const void *id = row->event_id;
    all->nomem = (row->event_id && !copy(&all->arena, &id, strlen(row->event_id))) || (row->key && !copy(&all->arena, &mine->key, row->key_len)) ||
                 (row->value && !copy(&all->arena, &mine->value, row->value_len)) || !copy(&all->arena, &mine->headers, row->headers_len);
    mine->event_id = id;
    all->id[all->count++] = row->id;
    return !all->nomem;
}

/* The same record under the store's present incarnation and the next number of its destination. */
static bus_status add_anew(bus_store *store, bus_outbox_row *row, bus_error *err)
{
    char text[640];
    bus_envelope envelope;
    bus_buf packed;
    bus_status status = BUS_OK;
    size_t count = bus_headers_count(row->headers, row->headers_len), kept = 0;
    bus_header *headers = count < SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
    bus_destination *to = bus_destination_of(store, row->destination->topic, row->destination->partition, err);
    bus_buf_init(&packed, 0);
    if (!headers || !to) {
        status = headers ? err->status : bus_fail_nomem(err);
    } else if (bus_headers_unpack(row->headers, row->headers_len, headers, count) != count) {
        status = bus_fail(err, BUS_CORRUPT, "the headers of outbox row %" PRId64 " cannot be read", row->id);
    } else if ((status = bus_envelope_read(headers, count, &envelope, err)) == BUS_OK) {
        for (size_t i = 0; i < count; i++)
            if (strcmp(headers[i].name, BUS_HEADER_HOP) != 0)
                headers[kept++] = headers[i];
        bus_hop hop = envelope.hop;
        hop.source = (bus_slice){ to->source, strlen(to->source) };
        hop.seq = to->next_seq;
        headers[kept++] = (bus_header){ BUS_HEADER_HOP, text, bus_hop_write(&hop, text, sizeof text) };
        bus_headers_pack(headers, kept, &packed);
        row->destination = to;
        row->seq = 0;
        row->headers = packed.data;
        row->headers_len = packed.len;
        status = bus_buf_ok(&packed) ? bus_outbox_add(store, row, err) : bus_fail_nomem(err);
    }
    bus_buf_free(&packed);
    free(headers);
    return status;
}

static bus_status renumber(bus_store *store, batch *all, bus_error *err)
{
    bus_status status = bus_store_begin(store, err);
    if (status != BUS_OK)
        return status;
    for (size_t i = 0; i < all->count && status == BUS_OK; i++)
        status = add_anew(store, &all->row[i], err);
    if (status == BUS_OK)
        status = bus_outbox_delete(store, all->id, all->count, err);
    if (status == BUS_OK)
        return bus_store_commit(store, err);
    bus_store_rollback(store);
    return status;
}

bus_status bus_leftover_renumber(bus_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    batch *all = calloc(1, sizeof *all);
    if (!all)
        return bus_fail_nomem(err);
    bus_arena_init(&all->arena, 0);
    all->bound = bus_outbox_next_id(store);
    bus_status status;
    do {
        all->count = 0;
        bus_arena_reset(&all->arena);
        status = bus_outbox_scan(store, 0, NULL, AT_ONCE, take_row, all, err);
        if (status == BUS_OK && all->nomem)
            status = bus_fail_nomem(err);
        if (status == BUS_OK && all->count > 0)
            status = renumber(store, all, err);
    } while (status == BUS_OK && all->count > 0);
    bus_arena_free(&all->arena);
    free(all);
    return status;
}
