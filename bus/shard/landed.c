/* SPDX-License-Identifier: MIT
 * Landed: rows of an outbox that are in Kafka already, see landed.h. */
#include "shard/landed.h"

#include "base/array.h"
#include "base/error.h"
#include "base/id.h"
#include "base/map.h"
#include "codec/envelope.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct landed_row { int64_t id; uint32_t place; bool met; } landed_row;

struct bus_landed {
    bus_store *store;
    size_t most;
    bus_map names;     /* what names a record -> its row's index + 1 */
    landed_row *row;   /* in id order */
    size_t count, cap;
    bus_map known;     /* a destination's address -> its place + 1 */
    bus_look *place;
    size_t *rows;      /* of each place */
    size_t places;
    bus_buf packed;
    bool nomem;
};

/* ---- what names a record */

/* All that is sent, and where it stands. What has no hop was not sent by an outbox. */
static size_t name_of(bus_landed *landed, const bus_record *record, char out[BUS_ID_TEXT])
{
    char shape[64];
    bool hop = false;
    for (size_t i = 0; i < record->header_count && !hop; i++)
        hop = strcmp(record->headers[i].name, BUS_HEADER_HOP) == 0;
    if (!hop)
        return 0;
    bus_buf_clear(&landed->packed);
    bus_headers_pack(record->headers, record->header_count, &landed->packed);
    landed->nomem |= !bus_buf_ok(&landed->packed);
    int n = snprintf(shape, sizeof shape, "%" PRId32 " %zd %zd", record->partition, record->key ? (ssize_t)record->key_len : -1,
                     record->value ? (ssize_t)record->value_len : -1);
    bus_part parts[] = { { record->topic, strlen(record->topic) }, { shape, (size_t)n }, { record->key, record->key ? record->key_len : 0 },
                         { record->value, record->value ? record->value_len : 0 }, { landed->packed.data, landed->packed.len } };
    bus_id_of(parts, 5, out);
    return BUS_ID_TEXT - 1;
}

/* ---- the outbox */

static bool more_rows(bus_landed *landed)
{
    return bus_array_room(&landed->row, &landed->cap, landed->count + 1, sizeof *landed->row, 256);
}

static bool more_places(bus_landed *landed)
{
    return bus_array_one_more(&landed->place, landed->places, sizeof *landed->place) &&
           bus_array_one_more(&landed->rows, landed->places, sizeof *landed->rows);
}

/* The row's place; SIZE_MAX: no memory. */
static size_t place_of(bus_landed *landed, const bus_outbox_row *row)
{
    const bus_destination *to = row->destination;
    uintptr_t known = (uintptr_t)bus_map_get(&landed->known, &to, sizeof to);
    if (known)
        return known - 1;
    if (!more_places(landed) || !bus_map_put(&landed->known, &to, sizeof to, (void *)(landed->places + 1)))
        return SIZE_MAX;
    landed->place[landed->places] = (bus_look){ .topic = to->topic, .partition = to->partition, .since_ms = row->made };
    landed->rows[landed->places] = 0;
    return landed->places++;
}

static bool note_row(const bus_outbox_row *row, void *opaque)
{
    bus_landed *landed = opaque;
    char name[BUS_ID_TEXT];
    size_t place = place_of(landed, row), len = 0;
    size_t count = bus_headers_count(row->headers, row->headers_len);
    bus_header *headers = place < SIZE_MAX && count < SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
    landed->nomem = place == SIZE_MAX || (!headers && count < SIZE_MAX) || !more_rows(landed);
    if (!landed->nomem && landed->rows[place] < landed->most) {
        landed->rows[place]++;
        landed->row[landed->count++] = (landed_row){ .id = row->id, .place = (uint32_t)place };
        bus_record record = { .topic = row->destination->topic, .partition = row->destination->partition, .key = row->key,
                              .key_len = row->key_len, .value = row->value, .value_len = row->value_len, .headers = headers,
                              .header_count = count };
        if (headers && bus_headers_unpack(row->headers, row->headers_len, headers, count) == count)
            len = name_of(landed, &record, name);
        if (len && !bus_map_put(&landed->names, name, len, (void *)(uintptr_t)landed->count))
            landed->nomem = true;
    }
    free(headers);
    return !landed->nomem;
}

bus_landed *bus_landed_new(bus_store *store, size_t most, bus_error *err)
{
    bus_landed *landed = calloc(1, sizeof *landed);
    if (!landed) {
        bus_fail_nomem(err);
        return NULL;
    }
    landed->store = store;
    landed->most = most;
    bus_map_init(&landed->names);
    bus_map_init(&landed->known);
    bus_buf_init(&landed->packed, 0);
    bus_status status = bus_outbox_scan(store, 0, NULL, SIZE_MAX, note_row, landed, err);
    if (status == BUS_OK && landed->nomem)
        status = bus_fail_nomem(err);
    if (status == BUS_OK)
        return landed;
    bus_landed_free(landed);
    return NULL;
}

void bus_landed_free(bus_landed *landed)
{
    if (!landed)
        return;
    bus_map_free(&landed->names, NULL);
    bus_map_free(&landed->known, NULL);
    bus_buf_free(&landed->packed);
    free(landed->row);
    free(landed->place);
    free(landed->rows);
    free(landed);
}

/* ---- what Kafka has */

size_t bus_landed_places(bus_landed *landed, bus_look **out)
{
    *out = landed->place;
    return landed->places;
}

bool bus_landed_meet(bus_landed *landed, const bus_record *record)
{
    char name[BUS_ID_TEXT];
    size_t len = name_of(landed, record, name);
    if (landed->nomem)
        return false;
    void *row = len ? bus_map_remove(&landed->names, name, len) : NULL;
    if (row)
        landed->row[(uintptr_t)row - 1].met = true;
    return true;
}

bus_status bus_landed_delete(bus_landed *landed, size_t *count, bus_error *err)
{
    *count = 0;
    size_t n = 0;
    int64_t *ids = calloc(landed->count + 1, sizeof *ids);
    bool *over = calloc(landed->places + 1, sizeof *over);
    bus_status status = ids && over ? BUS_OK : bus_fail_nomem(err);
    for (size_t i = 0; status == BUS_OK && i < landed->count; i++) {
        const landed_row *row = &landed->row[i];
        over[row->place] |= !row->met;
        if (row->met && !over[row->place])
            ids[n++] = row->id;
    }
    if (status == BUS_OK && n > 0 && (status = bus_store_begin(landed->store, err)) == BUS_OK) {
        status = bus_outbox_delete(landed->store, ids, n, err);
        if (status == BUS_OK)
            status = bus_store_commit(landed->store, err);
        if (status != BUS_OK)
            bus_store_rollback(landed->store);
    }
    if (status == BUS_OK)
        *count = n;
    free(ids);
    free(over);
    return status;
}
