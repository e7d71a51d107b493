/* SPDX-License-Identifier: MIT
 * Settle: settling and handling go together, in one save. What a failed handler takes back is settled again, beside what was made of it.
 * Inline, so that what receive.c and replays.c pass is called directly. */
#ifndef BUS_SHARD_SETTLE_H
#define BUS_SHARD_SETTLE_H

#include "base/error.h"
#include "shard/internal.h"

typedef struct bus_settling {
    bus_receipt (*settle)(bus_shard *shard, void *of);                       /* was it settled before? Settles it if not */
    bus_outcome (*arrive)(bus_shard *shard, bus_receipt receipt, void *of);  /* if it was not */
} bus_settling;

static inline bus_outcome bus_settle_nomem(bus_shard *shard)
{
    bus_error err = { 0 };
    bus_fail_nomem(&err);
    return bus_shard_redo(shard, &err);
}

/* DONE: it is settled, whatever was made of it. PAUSE, PENDING: nothing is. REDO. */
static inline bus_outcome bus_settle(bus_shard *shard, bus_settling how, void *of)
{
    bus_outcome outcome = BUS_OUT_DONE;
    if (!bus_delivery_save(shard))
        return BUS_OUT_REDO;
    bus_receipt receipt = how.settle(shard, of);
    if (receipt == BUS_RECEIPT_FAILED)
        return bus_settle_nomem(shard);
    if (receipt == BUS_DUPLICATE)
        bus_count(&shard->metrics.duplicates, 1);
    else
        outcome = how.arrive(shard, receipt, of);
    if (outcome == BUS_OUT_REDO)
        return outcome;
    if (outcome == BUS_OUT_PAUSE || outcome == BUS_OUT_PENDING)
        return shard->batch.saved && !bus_delivery_back(shard) ? BUS_OUT_REDO : outcome;
    if (shard->batch.saved)
        return bus_delivery_release(shard) ? BUS_OUT_DONE : BUS_OUT_REDO;
    if (how.settle(shard, of) == BUS_RECEIPT_FAILED)
        return bus_settle_nomem(shard);
    return BUS_OUT_DONE;
}

#endif
