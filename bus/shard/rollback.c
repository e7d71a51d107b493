/* SPDX-License-Identifier: MIT
 * Rollback: giving up what cannot stand: a delivery alone, the batch, the shard. */
#include "shard/internal.h"

#include "base/error.h"
#include "store/state.h"

bui_outcome bui_shard_redo(bui_shard *shard, const bus_error *why)
{
    shard->batch.saved = false;
    if (why)
        shard->batch.error = *why;
    if (why && !why->status)
        bui_fail(&shard->batch.error, BUS_BUG, "a batch failed without saying why");
    return BUI_OUT_REDO;
}

void bui_shard_halt(bui_shard *shard, const bus_error *why)
{
    if (atomic_load(&shard->failed))
        return;
    shard->failure = *why;
    shard->failure.fatal = true;
    bui_log(BUS_ERROR, shard->where, "halted", "%s", why->text);
    atomic_store(&shard->failed, (int)why->status);
}

/* ---- what was saved as state, and its table refuses. Without savepoints it cannot be told whose fault it is. */

static bool refused(bui_shard *shard, const bus_error *why)
{
    bui_shard_redo(shard, shard->batch.savepoints ? why : NULL);
    return false;
}

bool bui_states_written(bui_shard *shard)
{
    bus_error err = { 0 };
    if (bui_state_write(shard->store, &err) != BUS_OK || bui_store_standing(shard->store, &err) != BUS_OK)
        return refused(shard, &err);
    return true;
}

bool bui_states_stand(bui_shard *shard)
{
    bus_error err = { 0 };
    if (!bui_state_unwritten(shard->store))
        return true;
    bui_fail(&err, BUS_BUG, "the rows of a state could not be written with savepoints");
    return refused(shard, &err);
}

/* ---- a delivery */

bool bui_delivery_save(bui_shard *shard)
{
    bus_error err;
    bui_error_clear(&err);
    if (bui_state_trim(shard->store, &err) != BUS_OK)
        return refused(shard, &err);
    if (bui_store_save(shard->store, shard->batch.savepoints, &err) != BUS_OK) {
        bui_shard_redo(shard, &err);
        return false;
    }
    shard->batch.saved = true;
    return true;
}

bool bui_delivery_release(bui_shard *shard)
{
    bus_error err;
    bui_error_clear(&err);
    shard->batch.saved = false;
    if (bui_store_release(shard->store, &err) == BUS_OK) {
        BUI_FAILPOINT("released");
        return true;
    }
    bui_shard_redo(shard, &err);
    return false;
}

bool bui_delivery_back(bui_shard *shard)
{
    bus_error err = { 0 };
    shard->batch.saved = false;
    if (!shard->batch.savepoints && bui_store_changed(shard->store)) {
        bui_shard_redo(shard, NULL); /* rows were changed and there is no savepoint to go back to */
        return false;
    }
    if (bui_store_back(shard->store, &err) == BUS_OK) {
        BUI_FAILPOINT("undone");
        return true;
    }
    bui_shard_redo(shard, &err);
    return false;
}
