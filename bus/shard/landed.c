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

typedef struct landed_row {
    int64_t id;
    uint32_t place;
    bool met;
} landed_row;

struct bui_landed {
    bui_store *store;
    size_t most;
    bui_map names;   /* what names a record -> its row's index + 1 */
    landed_row *row; /* in id order */
    size_t count, cap;
    bui_map known; /* a destination's address -> its place + 1 */
    bui_look *place;
    size_t *rows; /* of each place */
    size_t places;
    bui_buf packed;
    bool nomem;
};

/* ---- what names a record */

/* All that is sent, and where it stands. What has no hop was not sent by an outbox. */
static size_t name_of(bui_landed *landed, const bui_record *record, char out[BUI_ID_TEXT])
{
    char shape[64];
    bool hop = false;
    for (size_t i = 0; i < record->header_count && !hop; i++)
        hop = strcmp(record->headers[i].name, BUI_HEADER_HOP) == 0;
    if (!hop)
        return 0;
    bui_buf_clear(&landed->packed);
    bui_headers_pack(record->headers, record->header_count, &landed->packed);
    landed->nomem |= !bui_buf_ok(&landed->packed);
    int n = snprintf(shape, sizeof shape, "%" PRId32 " %zd %zd", record->partition, record->key ? (ssize_t)record->key_len : -1,
                     record->value ? (ssize_t)record->value_len : -1);
    bui_part parts[] = { { record->topic, strlen(record->topic) },
                         { shape, (size_t)n },
                         { record->key, record->key ? record->key_len : 0 },
                         { record->value, record->value ? record->value_len : 0 },
                         { landed->packed.data, landed->packed.len } };
    bui_id_of(parts, 5, out);
    return BUI_ID_TEXT - 1;
}

/* ---- the outbox */

static bool more_rows(bui_landed *landed)
{
    return bui_array_room(&landed->row, &landed->cap, landed->count + 1, sizeof *landed->row, 256);
}

static bool more_places(bui_landed *landed)
{
    return bui_array_one_more(&landed->place, landed->places, sizeof *landed->place) &&
           bui_array_one_more(&landed->rows, landed->places, sizeof *landed->rows);
}

/* The row's place; SIZE_MAX: no memory. */
static size_t place_of(bui_landed *landed, const bui_outbox_row *row)
{
    const bui_destination *to = row->destination;
    uintptr_t known = (uintptr_t)bui_map_get(&landed->known, &to, sizeof to);
    if (known)
        return known - 1;
    if (!more_places(landed) || !bui_map_put(&landed->known, &to, sizeof to, (void *)(landed->places + 1)))
        return SIZE_MAX;
    landed->place[landed->places] = (bui_look){ .topic = to->topic, .partition = to->partition, .since_ms = row->made };
    landed->rows[landed->places] = 0;
    return landed->places++;
}

static bool note_row(const bui_outbox_row *row, void *opaque)
{
    bui_landed *landed = opaque;
    char name[BUI_ID_TEXT];
    size_t place = place_of(landed, row), len = 0;
    size_t count = bui_headers_count(row->headers, row->headers_len);
    bus_header *headers = place < SIZE_MAX && count < SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
    landed->nomem = place == SIZE_MAX || (!headers && count < SIZE_MAX) || !more_rows(landed);
    if (!landed->nomem && landed->rows[place] < landed->most) {
        landed->rows[place]++;
        landed->row[landed->count++] = (landed_row){ .id = row->id, .place = (uint32_t)place };
        bui_record record = { .topic = row->destination->topic,
                              .partition = row->destination->partition,
                              .key = row->key,
                              .key_len = row->key_len,
                              .value = row->value,
                              .value_len = row->value_len,
                              .headers = headers,
                              .header_count = count };
        if (headers && bui_headers_unpack(row->headers, row->headers_len, headers, count) == count)
            len = name_of(landed, &record, name);
        if (len && !bui_map_put(&landed->names, name, len, (void *)(uintptr_t)landed->count))
            landed->nomem = true;
    }
    free(headers);
    return !landed->nomem;
}

bui_landed *bui_landed_new(bui_store *store, size_t most, bus_error *err)
{
    bui_landed *landed = calloc(1, sizeof *landed);
    if (!landed) {
        bui_fail_nomem(err);
        return NULL;
    }
    landed->store = store;
    landed->most = most;
    bui_map_init(&landed->names);
    bui_map_init(&landed->known);
    bui_buf_init(&landed->packed, 0);
    bus_status status = bui_outbox_scan(store, 0, NULL, SIZE_MAX, note_row, landed, err);
    if (status == BUS_OK && landed->nomem)
        status = bui_fail_nomem(err);
    if (status == BUS_OK)
        return landed;
    bui_landed_free(landed);
    return NULL;
}

void bui_landed_free(bui_landed *landed)
{
    if (!landed)
        return;
    bui_map_free(&landed->names, NULL);
    bui_map_free(&landed->known, NULL);
    bui_buf_free(&landed->packed);
    free(landed->row);
    free(landed->place);
    free(landed->rows);
    free(landed);
}

/* ---- what Kafka has */

size_t bui_landed_places(bui_landed *landed, bui_look **out)
{
    *out = landed->place;
    return landed->places;
}

bool bui_landed_meet(bui_landed *landed, const bui_record *record)
{
    char name[BUI_ID_TEXT];
    size_t len = name_of(landed, record, name);
    if (landed->nomem)
        return false;
    void *row = len ? bui_map_remove(&landed->names, name, len) : NULL;
    if (row)
        landed->row[(uintptr_t)row - 1].met = true;
    return true;
}

bus_status bui_landed_delete(bui_landed *landed, size_t *count, bus_error *err)
{
    *count = 0;
    size_t n = 0;
    int64_t *ids = calloc(landed->count + 1, sizeof *ids);
    bool *over = calloc(landed->places + 1, sizeof *over);
    bus_status status = ids && over ? BUS_OK : bui_fail_nomem(err);
    for (size_t i = 0; status == BUS_OK && i < landed->count; i++) {
        const landed_row *row = &landed->row[i];
        over[row->place] |= !row->met;
        if (row->met && !over[row->place])
            ids[n++] = row->id;
    }
    if (status == BUS_OK && n > 0) {
        status = bui_store_begin(landed->store, err);
        if (status == BUS_OK)
            status = bui_outbox_delete(landed->store, ids, n, err);
        if (status == BUS_OK)
            status = bui_store_commit(landed->store, err);
        if (status != BUS_OK)
            bui_store_rollback(landed->store);
    }
    if (status == BUS_OK)
        *count = n;
    free(ids);
    free(over);
    return status;
}
