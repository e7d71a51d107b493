/* SPDX-License-Identifier: MIT
 * What sending (relay.c) and taking the reports (reports.c) share: a destination's rows that are in flight. */
#ifndef BUI_SHARD_RELAY_H
#define BUI_SHARD_RELAY_H

#include "shard/internal.h"

#define BUI_RELAY_QUIET_US 10000        /* how long reports that nothing waits for may wait, see bui_relay_listen */
#define BUI_RELAY_REPORTS_DUE_US 500000 /* a fatal producer's last reports come at once; how long they are waited for */

typedef bui_relay_destination route;

static inline bui_relay_out *out_at(const route *r, size_t i)
{
    return &r->out[(r->head + i) % r->cap];
}

/* What travels with a row and comes back in its report: its destination's id, and which of the rows handed over for it this is, of as
 * many as may be out (in.flight.rows). */
#define TAG_BITS 20
_Static_assert(1000000 < 1 << TAG_BITS, "in.flight.rows at its largest");
static inline int64_t tag_of(const route *r, size_t i)
{
    return (int64_t)((uint64_t)r->destination->id << TAG_BITS | ((r->first + i) & ((1U << TAG_BITS) - 1)));
}

static inline int64_t tag_destination(int64_t tag)
{
    return tag >> TAG_BITS;
}

/* NULL: it is settled, or was rewound. */
static inline bui_relay_out *out_find(const route *r, int64_t tag)
{
    uint32_t i = ((uint32_t)tag - r->first) & ((1U << TAG_BITS) - 1);
    return i < r->count ? out_at(r, i) : NULL;
}

/* The first `count` of the ring are no longer out. */
static inline void out_drop(route *r, size_t count)
{
    r->head = r->cap ? (r->head + count) % r->cap : 0;
    r->first += (uint32_t)count;
    r->count -= count;
}

static inline void list_odd(bui_relay *relay, route *r, bool odd)
{
    if (odd) {
        relay->odd[relay->odd_count++] = r; /* has room for all */
        r->odd = relay->odd_count;
        return;
    }
    route *last = relay->odd[--relay->odd_count];
    relay->odd[r->odd - 1] = last;
    last->odd = r->odd;
    r->odd = 0;
}

/* After any change of what it asks: an iteration looks at these alone, so that many destinations cost no more than few. */
static inline void bui_relay_weigh(bui_relay *relay, route *r)
{
    bool odd = r->behind || r->flow != BUI_FLOWING || r->refused || r->failing_since_us || (r->lone && r->count);
    if (odd != (r->odd != 0))
        list_odd(relay, r, odd);
}

static inline void fall_behind(bui_relay *relay, route *r, int64_t from)
{
    if (!r->behind || from < r->cursor)
        r->cursor = from;
    r->behind = true;
    relay->any_behind = true;
    bui_relay_weigh(relay, r);
}

void bui_relay_replace(bui_shard *shard, bui_channel channel);
void bui_relay_rewind(bui_shard *shard, route *r); /* all reports of a stopped destination are in */

#endif
