/* SPDX-License-Identifier: MIT
 * Relay: sends the outbox's committed rows, each destination's in id order, and deletes exactly those that Kafka
 * acknowledged with an offset. Rows just committed are still in memory and go out from there; a destination that cannot take
 * them now falls behind and is read from the store later. */
#include "shard/relay.h"

#include "base/array.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

#define SCAN_ROWS 2000
#define PUSH_US 250    /* the producers linger 200 */
#define LINGER_MOST 64 /* rows of small transactions; so many do not linger */
#define FULL_AGAIN_US 2000
#define DELETE_AFTER_US \
    20000 /* a shard that has been idle for this long deletes acknowledged rows, in a transaction of its own */
#define DELETE_LATE_US 1000000 /* another does so with its next one, what it could not delete by whole tables */
#define DELETE_MOST 10000

/* ---- destinations */

static route *route_of(bui_shard *shard, bui_destination *destination)
{
    bui_relay *relay = &shard->relay;
    if (destination->relay)
        return destination->relay;
    if (!bui_array_room(&relay->all, &relay->cap, relay->count + 1, sizeof *relay->all, 16) ||
        !bui_array_room(&relay->odd, &relay->odd_cap, relay->count + 1, sizeof *relay->odd, 16))
        return NULL;
    route *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->destination = destination;
    r->lone = true;
    /* not by an address: a simulated history must be the same each time */
    bui_backoff_init(&r->backoff, 50, 5000,
                     bui_hash(destination->topic, strlen(destination->topic), (uint64_t)destination->partition));
    relay->all[relay->count++] = r;
    destination->relay = r;
    return r;
}

static bool out_push(route *r, int64_t id)
{
    if (r->count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        bui_relay_out *grown = malloc(cap * sizeof *grown);
        if (!grown)
            return false;
        for (size_t i = 0; i < r->count; i++)
            grown[i] = *out_at(r, i);
        free(r->out);
        r->out = grown;
        r->cap = cap;
        r->head = 0;
    }
    r->out[(r->head + r->count++) % r->cap] = (bui_relay_out){ id, false };
    return true;
}

/* ---- sending */

static bool may_send(bui_shard *shard, const route *r)
{
    if (r->flow == BUI_STOPPING || r->refused || r->retry_at_us > shard->now_us)
        return false;
    if (r->flow == BUI_PROBING)
        return r->count == 0;
    if (shard->relay.resetting)
        return false;
    return r->lone ? r->count == 0 : r->count < (size_t)shard->options.limits.in_flight;
}

static bool produce(bui_shard *shard, route *r, int64_t id, bui_row *row)
{
    bus_error err;
    bui_error_clear(&err);
    bool probe = r->flow == BUI_PROBING;
    if (!out_push(r, id))
        return false;
    row->id = tag_of(r, r->count - 1);
    bus_status status = shard->port->ops->produce(shard->port, probe ? BUI_PROBE : BUI_MAIN, row, &err);
    if (status == BUS_OK) {
        BUI_FAILPOINT("produced");
        r->waiting++;
        if (!probe && !shard->relay.waiting++)
            shard->relay.quiet_until_us = shard->now_us + BUI_RELAY_QUIET_US;
        return true;
    }
    r->count--;
    if (status == BUS_CLOSED && !probe)
        shard->relay.resetting = true;
    if (status != BUS_FULL && status != BUS_CLOSED && !r->warned) {
        r->warned = true;
        bui_log(BUS_WARN, shard->where, "relay", "%s/%d: %s; its rows stay in the outbox", row->topic, row->partition, err.text);
    }
    if (status != BUS_FULL)
        r->retry_at_us = shard->now_us + bui_backoff_next(&r->backoff) * 1000;
    else if (r->count == 0) /* full of others' rows: no report of its own will tell when there is room */
        r->retry_at_us = shard->now_us + FULL_AGAIN_US;
    return false;
}

static void destination_idle(bui_shard *shard, route *r)
{
    /* An idle destination's broker may have forgotten this producer id: begin again with one row alone. */
    if (!r->lone && r->count == 0 && r->last_ack_us &&
        shard->now_us - r->last_ack_us > shard->options.limits.idle_recheck_ms * 1000)
        r->lone = true;
}

bool bui_relay_expect(bui_shard *shard, bui_destination *destination)
{
    return route_of(shard, destination) != NULL;
}

/* Hands a row over to the producer. false: it cannot take it now. */
static bool send_row(bui_shard *shard, route *r, const bui_outbox_row *stored)
{
    bus_header few[BUI_MOST_HEADERS + 1], *headers = few;
    size_t most = sizeof few / sizeof *few, count = bui_headers_unpack(stored->headers, stored->headers_len, few, most);
    if (count == SIZE_MAX) { /* more than a handler may send, or damaged */
        count = bui_headers_count(stored->headers, stored->headers_len);
        headers = count != SIZE_MAX ? malloc(count * sizeof *headers) : NULL;
        if (!headers)
            return false; /* damaged, or no memory: it stays in the outbox */
        count = bui_headers_unpack(stored->headers, stored->headers_len, headers, count);
    }
    bui_row row = { .topic = r->destination->topic,
                    .partition = r->destination->partition,
                    .key = stored->key,
                    .key_len = stored->key_len,
                    .value = stored->value,
                    .value_len = stored->value_len,
                    .headers = headers,
                    .header_count = count,
                    .timestamp = stored->at };
    bool sent = count != SIZE_MAX && produce(shard, r, stored->id, &row);
    if (headers != few)
        free(headers);
    return sent;
}

/* Those that came and those that were held. What fell behind meanwhile is read back, and may have been already. */
static void hand_over(bui_shard *shard)
{
    bui_relay *relay = &shard->relay;
    size_t count = bui_outbox_pending_count(shard->store);
    for (size_t i = 0; i < count; i++) {
        bui_outbox_row row;
        bui_outbox_pending(shard->store, i, &row);
        route *r = row.destination->relay; /* there since the row was written */
        destination_idle(shard, r);
        if (r->behind || row.id < r->cursor)
            continue;
        if (may_send(shard, r) && send_row(shard, r, &row))
            r->cursor = row.id + 1;
        else
            fall_behind(relay, r, row.id);
        bui_relay_weigh(relay, r);
    }
    relay->handed_at_us = shard->now_us;
    /* In a stream, whose rows have lingered here or come together, the next ones wake the producer's thread; a push would cost
     * as much. */
    bool alone = count > 0 && count < LINGER_MOST && !relay->lingering;
    relay->push_at_us = alone && shard->port->ops->push ? shard->clock->mono_us(shard->clock) + PUSH_US : 0;
    relay->lingering = 0;
    bui_outbox_pending_keep(shard->store, false);
}

static int64_t linger_us(const bui_shard *shard)
{
    return shard->relay.handed_at_us + shard->options.limits.linger_us - shard->now_us;
}

/* Each row handed over wakes librdkafka's thread, and each report ours: so rows of many small commits leave together. */
void bui_relay_committed(bui_shard *shard)
{
    bui_relay *relay = &shard->relay;
    size_t count = bui_outbox_pending_count(shard->store);
    if (count == relay->lingering)
        return;
    if (count >= LINGER_MOST || linger_us(shard) <= 0 || atomic_load_explicit(&shard->draining, memory_order_relaxed)) {
        hand_over(shard);
        return;
    }
    bui_outbox_pending_keep(shard->store, true);
    relay->lingering = count;
}

/* ---- reading back what fell behind */

typedef struct scan {
    bui_shard *shard;
    int64_t last;
    size_t seen;
    bool nomem;
} scan;

static bool scan_row(const bui_outbox_row *stored, void *opaque)
{
    scan *s = opaque;
    route *r = route_of(s->shard, stored->destination);
    s->last = stored->id;
    s->seen++;
    if (!r) {
        s->nomem = true;
        return false;
    }
    if (!r->behind || r->blocked || stored->id < r->cursor)
        return true;
    if (!may_send(s->shard, r)) {
        r->blocked = true;
        r->cursor = stored->id;
        return true;
    }
    if (!send_row(s->shard, r, stored)) {
        r->blocked = true;
        r->cursor = stored->id;
        return true;
    }
    r->cursor = stored->id + 1;
    return true;
}

static void scan_store(bui_shard *shard)
{
    bui_relay *relay = &shard->relay;
    int64_t from = INT64_MAX;
    bool any = false;
    relay->looks += relay->odd_count;
    for (size_t i = 0; i < relay->odd_count; i++) {
        route *r = relay->odd[i];
        r->blocked = false;
        if (!r->behind)
            continue;
        r->blocked = !may_send(shard, r);
        any |= !r->blocked;
        if (!r->blocked && r->cursor < from)
            from = r->cursor;
    }
    if (!any)
        return;
    scan s = { .shard = shard, .last = from - 1 };
    bus_error err = { 0 };
    if (bui_outbox_scan(shard->store, from, NULL, SCAN_ROWS, scan_row, &s, &err) != BUS_OK) {
        bui_log(BUS_ERROR, shard->where, "relay", "reading the outbox: %s", err.text);
        return;
    }
    bool whole = s.seen < SCAN_ROWS && !s.nomem;
    relay->any_behind = false;
    for (size_t i = relay->odd_count; i-- > 0;) {
        route *r = relay->odd[i];
        if (r->behind && !r->blocked && r->cursor <= s.last)
            r->cursor = s.last + 1;
        if (r->behind && !r->blocked && whole)
            r->behind = false;
        relay->any_behind |= r->behind;
        bui_relay_weigh(relay, r);
    }
}

/* ---- each iteration */

void bui_relay_pump(bui_shard *shard)
{
    bui_relay *relay = &shard->relay;
    for (bui_channel channel = BUI_MAIN; channel < BUI_CHANNELS; channel++)
        if ((channel == BUI_MAIN && relay->resetting) || shard->port->ops->fatal(shard->port, channel))
            bui_relay_replace(shard, channel);
    if (relay->push_at_us && relay->push_at_us <= shard->now_us) {
        shard->port->ops->push(shard->port);
        relay->push_at_us = 0;
    }
    if (relay->lingering && linger_us(shard) <= 0)
        hand_over(shard);
    /* A rewound scan must not meet rows that are acknowledged but not yet deleted. */
    if (relay->any_behind && !(relay->rewound && relay->acked_count))
        scan_store(shard);
}

/* ---- deleting what was acknowledged */

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* A separate transaction costs the next caller a commit. A shard that has just had work will have more, and delete with that. */
static int64_t delete_at_us(const bui_shard *shard, bool idle)
{
    int64_t since = shard->relay.acked_since_us, late = since + DELETE_LATE_US;
    int64_t soon = (since > shard->batch.busy_at_us ? since : shard->batch.busy_at_us) + DELETE_AFTER_US;
    return idle && soon < late ? soon : late;
}

bool bui_relay_wants_delete(const bui_shard *shard, bool idle)
{
    const bui_relay *relay = &shard->relay;
    if (!relay->acked_count)
        return false;
    return relay->rewound || relay->acked_count >= DELETE_MOST || shard->now_us >= delete_at_us(shard, idle);
}

bus_status bui_relay_delete_acked(bui_shard *shard, bool lazily, bus_error *err)
{
    bui_relay *relay = &shard->relay;
    relay->deleting = 0;
    if (!relay->acked_count)
        return BUS_OK;
    for (size_t i = 1; i < relay->acked_count; i++)
        if (relay->acked[i - 1] > relay->acked[i]) {
            qsort(relay->acked, relay->acked_count, sizeof *relay->acked, by_id);
            break;
        }
    BUI_FAILPOINT("before-delete");
    if (lazily)
        return bui_outbox_delete_whole(shard->store, relay->acked, relay->acked_count, &relay->deleting, err);
    relay->deleting = relay->acked_count;
    return bui_outbox_delete(shard->store, relay->acked, relay->acked_count, err);
}

void bui_relay_deleted(bui_shard *shard)
{
    bui_relay *relay = &shard->relay;
    if (relay->deleting) {
        BUI_FAILPOINT("deleted");
        relay->acked_count -= relay->deleting;
        memmove(relay->acked, relay->acked + relay->deleting, relay->acked_count * sizeof *relay->acked);
        relay->acked_since_us = shard->now_us;
        relay->deleting = 0;
    }
    relay->rewound &= relay->acked_count > 0;
}

/* ---- what others ask */

static bool has_below(const route *r, int64_t id)
{
    return (r->count && out_at(r, 0)->id < id) || (r->behind && r->cursor < id);
}

/* Begins where the last one was found: what is asked again and again about one id looks at each destination about once in all. */
bool bui_relay_below(bui_shard *shard, int64_t id, bool refused)
{
    bui_relay *relay = &shard->relay;
    if (relay->lingering) {
        bui_outbox_row first;
        bui_outbox_pending(shard->store, 0, &first);
        if (first.id < id)
            return true;
    }
    for (size_t i = 0; i < relay->count; i++, relay->below_at++, relay->looks++) {
        relay->below_at = relay->below_at < relay->count ? relay->below_at : 0;
        const route *r = relay->all[relay->below_at];
        if ((refused || !r->refused) && has_below(r, id))
            return true;
    }
    return false;
}

int64_t bui_relay_wait_us(const bui_shard *shard)
{
    const bui_relay *relay = &shard->relay;
    int64_t wait = relay->deaf ? relay->quiet_until_us - shard->now_us : INT64_MAX;
    if (relay->lingering && linger_us(shard) < wait)
        wait = linger_us(shard);
    int64_t push = relay->push_at_us ? relay->push_at_us - shard->clock->mono_us(shard->clock) : INT64_MAX;
    if (push < wait)
        wait = push;
    int64_t deleted = relay->rewound ? 0 : delete_at_us(shard, true) - shard->now_us;
    if (relay->acked_count && deleted < wait)
        wait = deleted;
    /* They are deleted by a transaction, and none begins before the store is tried again. */
    if (relay->acked_count && wait < shard->batch.retry_at_us - shard->now_us)
        wait = shard->batch.retry_at_us - shard->now_us;
    bool owing = false;
    for (bui_channel channel = BUI_MAIN; channel < BUI_CHANNELS; channel++) {
        int64_t due = relay->fatal_since_us[channel] + BUI_RELAY_REPORTS_DUE_US - shard->now_us;
        owing |= relay->fatal_since_us[channel] != 0;
        if (relay->fatal_since_us[channel] && due < wait)
            wait = due;
    }
    if (relay->resetting && !owing && relay->retry_at_us - shard->now_us < wait)
        wait = relay->retry_at_us - shard->now_us;
    for (size_t i = 0; i < relay->odd_count && relay->any_behind; i++) {
        const route *r = relay->odd[i];
        if (!r->behind || r->flow == BUI_STOPPING || r->refused)
            continue;
        if (r->retry_at_us > shard->now_us) {
            if (r->retry_at_us - shard->now_us < wait)
                wait = r->retry_at_us - shard->now_us;
        } else if (may_send((bui_shard *)(uintptr_t)shard, r) && !relay->rewound) {
            return r->warned ? 1000 : 0;
        }
    }
    return wait < 0 ? 0 : wait;
}

static bool note_row(const bui_outbox_row *row, void *opaque)
{
    bui_shard *shard = opaque;
    route *r = route_of(shard, row->destination);
    if (!r)
        return false;
    if (!r->behind)
        fall_behind(&shard->relay, r, row->id);
    return true;
}

bus_status bui_relay_start(bui_shard *shard, bus_error *err)
{
    return bui_outbox_scan(shard->store, 0, NULL, SIZE_MAX / 2, note_row, shard, err);
}

void bui_relay_free(bui_shard *shard)
{
    bui_relay *relay = &shard->relay;
    for (size_t i = 0; i < relay->count; i++) {
        free(relay->all[i]->out);
        free(relay->all[i]);
    }
    free(relay->all);
    free(relay->odd);
    free(relay->decided);
    free(relay->acked);
}
