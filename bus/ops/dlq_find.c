/* SPDX-License-Identifier: MIT
 * Dlq, some dead letters alone: what one is follows from its own records, whatever stands between them. So the places of all records are
 * noted (those of an earlier command come from a file, and only what came since is read), and of them all that its id has are folded. */
#include "base/array.h"
#include "base/error.h"
#include "ops/dlq_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEAR 500 /* records that are read over, rather than asked for in two steps */

/* ---- what came since */

typedef struct ranges {
    bui_range *list;
    size_t count, cap;
} ranges;

static bool add_range(ranges *r, const char *topic, int32_t partition, int64_t from, int64_t to)
{
    if (!bui_array_room(&r->list, &r->cap, r->count + 1, sizeof *r->list, 16))
        return false;
    r->list[r->count++] = (bui_range){ .topic = topic,
                                       .partition = partition,
                                       .from = { from < 0 ? BUI_EDGE_START : BUI_EDGE_OFFSET, from },
                                       .to = { to < 0 ? BUI_EDGE_END : BUI_EDGE_OFFSET, to } };
    return true;
}

/* A topic that the cluster does not have is left to the reader, which says so. */
static bus_status ranges_since(const bui_dlq *dlq, ranges *out, bus_error *err)
{
    bool ok = true;
    for (size_t i = 0; i < dlq->topic_count; i++) {
        if (!dlq->partitions[i])
            ok &= add_range(out, dlq->topics[i], -1, -1, -1);
        for (int32_t p = 0; p < dlq->partitions[i]; p++)
            ok &= add_range(out, dlq->topics[i], p, bui_places_last(dlq->places[i], p), -1);
    }
    return ok ? BUS_OK : bui_fail_nomem(err);
}

typedef bus_status (*each_record)(bui_dlq *dlq, const bui_record *record, void *opaque, bus_error *err);

static bus_status read_ranges(bui_dlq *dlq, const ranges *r, each_record each, void *opaque, bool remember,
                              const bui_watch *watch, bus_error *err)
{
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bus_status status =
        bui_kafka_reader_open(dlq->config, BUI_DLQ_WHERE, r->list, r->count, BUI_READ_ANY, dlq->timeout_ms, &reader, err);
    while (status == BUS_OK) {
        status = bui_kafka_reader_next(reader, 500, &record, err);
        if (status == BUS_OK)
            status = each(dlq, record, opaque, err);
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
        bui_dlq_step(reader, watch);
        if (status == BUS_OK && bui_watch_stop(watch))
            status = bui_fail(err, BUS_CANCELLED, "interrupted while reading the dead letters");
    }
    if (status == BUS_CLOSED)
        status = remember ? bui_dlq_remember(dlq, reader, err) : BUS_OK;
    bui_kafka_reader_close(reader);
    return status;
}

static bus_status note(bui_dlq *dlq, const bui_record *record, void *opaque, bus_error *err)
{
    (void)opaque;
    return bui_places_add(bui_dlq_places_of(dlq, record->topic), record, err);
}

static bool forget_wrong(bui_dlq *dlq)
{
    bool wrong = false;
    for (size_t i = 0; i < dlq->topic_count; i++)
        if (!bui_places_good(dlq->places[i])) {
            bui_places_forget(dlq->places[i]);
            wrong = true;
        }
    return wrong;
}

static bus_status read_since(bui_dlq *dlq, const bui_watch *watch, bus_error *err)
{
    bus_status status = bui_dlq_count_partitions(dlq, err);
    for (bool again = true; status == BUS_OK && again; again = status == BUS_OK && forget_wrong(dlq)) {
        ranges r = { 0 };
        status = ranges_since(dlq, &r, err);
        if (status == BUS_OK)
            status = read_ranges(dlq, &r, note, NULL, true, watch, err);
        free(r.list);
    }
    return status;
}

/* ---- the records of those that are wanted */

typedef struct hit {
    const char *topic;
    int32_t partition;
    int64_t offset;
    bool read;
} hit;

typedef struct hits {
    hit *list;
    size_t count, cap;
} hits;

static int by_place(const void *a, const void *b)
{
    const hit *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    if (order)
        return order;
    if (x->partition != y->partition)
        return x->partition < y->partition ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool is_wanted(const char *id, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bui_letter_is(id, texts[i]))
            return true;
    return false;
}

static bus_status find_hits(const bui_dlq *dlq, const char *const *texts, size_t count, hits *out, bus_error *err)
{
    for (size_t i = 0; i < dlq->topic_count; i++)
        for (size_t k = 0; k < bui_places_count(dlq->places[i]); k++) {
            const bui_place_of *place = bui_places_at(dlq->places[i], k);
            if (!is_wanted(place->id, texts, count))
                continue;
            if (!bui_array_room(&out->list, &out->cap, out->count + 1, sizeof *out->list, 16))
                return bui_fail_nomem(err);
            out->list[out->count++] = (hit){ dlq->topics[i], place->partition, place->offset, false };
        }
    if (out->count)
        qsort(out->list, out->count, sizeof *out->list, by_place);
    return BUS_OK;
}

static bool same_partition(const hit *a, const hit *b)
{
    return a->partition == b->partition && !strcmp(a->topic, b->topic);
}

/* One range for each partition: a reader takes no two of one. From its first that was not read, as long as the next is near. */
static bus_status next_ranges(const hits *all, int64_t near, ranges *out, bus_error *err)
{
    const hit *last = NULL;
    for (size_t i = 0; i < all->count; i++) {
        hit *at = &all->list[i];
        bool begun = last && same_partition(last, at);
        if (at->read || (begun && at->offset > last->offset + near))
            continue;
        if (begun)
            out->list[out->count - 1].to.at = at->offset + 1;
        else if (!add_range(out, at->topic, at->partition, at->offset, at->offset + 1))
            return bui_fail_nomem(err);
        at->read = true;
        last = at;
    }
    return BUS_OK;
}

static bus_status fold_hit(bui_dlq *dlq, const bui_record *record, void *opaque, bus_error *err)
{
    const hits *all = opaque;
    hit key = { record->topic, record->partition, record->offset, true };
    return bsearch(&key, all->list, all->count, sizeof key, by_place) ? bui_dlq_take(dlq, record, err) : BUS_OK;
}

static bus_status fold_hits(bui_dlq *dlq, hits *all, const bui_watch *watch, bus_error *err)
{
    bus_status status = BUS_OK;
    /* Farther and farther: a dead letter with a long past, between many others, costs few steps. */
    for (int64_t near = NEAR; status == BUS_OK; near *= 2) {
        ranges r = { 0 };
        status = next_ranges(all, near, &r, err);
        bool more = r.count > 0;
        if (status == BUS_OK && more)
            status = read_ranges(dlq, &r, fold_hit, all, false, watch, err);
        free(r.list);
        if (!more)
            break;
    }
    return status;
}

bus_status bui_dlq_find(const bus_config *config, const char *const *services, size_t count, const char *const *texts,
                        size_t text_count, int timeout_ms, const bui_watch *watch, bui_dlq **out, bus_error *err)
{
    bui_dlq *dlq;
    hits all = { 0 };
    bus_status status = bui_dlq_new(config, services, count, timeout_ms, &dlq, err);
    if (status != BUS_OK)
        return status;
    status = bui_dlq_places_new(dlq, err);
    if (status == BUS_OK)
        status = bui_dlq_places_load(dlq, err);
    if (status == BUS_OK && dlq->topic_count)
        status = read_since(dlq, watch, err);
    if (status == BUS_OK) {
        bui_dlq_places_save(dlq);
        status = find_hits(dlq, texts, text_count, &all, err);
    }
    if (status == BUS_OK)
        status = fold_hits(dlq, &all, watch, err);
    free(all.list);
    if (status == BUS_OK)
        *out = dlq;
    else
        bui_dlq_close(dlq);
    return status;
}
