/* SPDX-License-Identifier: MIT
 * Settle: settling and handling go together, in one save. What a failed handler takes back is settled again, beside what was made of it.
 * Inline, so that what receive.c and replays.c pass is called directly. */
#ifndef BUI_SHARD_SETTLE_H
#define BUI_SHARD_SETTLE_H

#include "base/error.h"
#include "shard/internal.h"

typedef struct bui_settling {
    bui_receipt (*settle)(bui_shard *shard, void *of);                      /* was it settled before? Settles it if not */
    bui_outcome (*arrive)(bui_shard *shard, bui_receipt receipt, void *of); /* if it was not */
} bui_settling;

static inline bui_outcome bui_settle_nomem(bui_shard *shard)
{
    bus_error err = { 0 };
    bui_fail_nomem(&err);
    return bui_shard_redo(shard, &err);
}

/* DONE: it is settled, whatever was made of it. PAUSE, PENDING: nothing is. REDO. */
static inline bui_outcome bui_settle(bui_shard *shard, bui_settling how, void *of)
{
    bui_outcome outcome = BUI_OUT_DONE;
    if (!bui_delivery_save(shard))
        return BUI_OUT_REDO;
    bui_receipt receipt = how.settle(shard, of);
    if (receipt == BUI_RECEIPT_FAILED)
        return bui_settle_nomem(shard);
    if (receipt == BUI_RECEIPT_LATER)
        outcome = BUI_OUT_PENDING;
    else if (receipt == BUI_DUPLICATE)
        bui_count(&shard->metrics.duplicates, 1);
    else
        outcome = how.arrive(shard, receipt, of);
    if (outcome == BUI_OUT_REDO)
        return outcome;
    if (outcome == BUI_OUT_PAUSE || outcome == BUI_OUT_PENDING)
        return shard->batch.saved && !bui_delivery_back(shard) ? BUI_OUT_REDO : outcome;
    if (shard->batch.saved)
        return bui_delivery_release(shard) ? BUI_OUT_DONE : BUI_OUT_REDO;
    if (how.settle(shard, of) == BUI_RECEIPT_FAILED)
        return bui_settle_nomem(shard);
    return BUI_OUT_DONE;
}

#endif
