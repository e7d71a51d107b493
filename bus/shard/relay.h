/* SPDX-License-Identifier: MIT
 * What sending (relay.c) and hearing how it ended (reports.c) share: a destination's rows that are out. */
#ifndef BUS_SHARD_RELAY_H
#define BUS_SHARD_RELAY_H

#include "shard/internal.h"

#define BUS_RELAY_QUIET_US 10000         /* reports that nothing waits for may wait so long, see bus_relay_listen */
#define BUS_RELAY_REPORTS_DUE_US 500000  /* a fatal producer's last reports come at once; so long they are waited for */

typedef bus_relay_destination route;

static inline bus_relay_out *out_at(const route *r, size_t i) { return &r->out[(r->head + i) % r->cap]; }

static inline bus_relay_out *out_find(route *r, int64_t id)
{
    size_t lo = 0, hi = r->count;
    /* Reports come in the order of the rows as a rule, so it is the first without one. */
    if (r->waiting && r->waiting <= r->count && out_at(r, r->count - r->waiting)->id == id)
        return out_at(r, r->count - r->waiting);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (out_at(r, mid)->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < r->count && out_at(r, lo)->id == id ? out_at(r, lo) : NULL;
}

static inline void fall_behind(bus_relay *relay, route *r, int64_t from)
{
    if (!r->behind || from < r->cursor)
        r->cursor = from;
    r->behind = true;
    relay->any_behind = true;
}

void bus_relay_replace(bus_shard *shard, bus_channel channel);
void bus_relay_rewind(bus_shard *shard, route *r);      /* all reports of a stopped destination are in */

#endif
