/* SPDX-License-Identifier: MIT
 * Undo: giving up what cannot stand: a delivery alone, the batch, the shard. */
#include "shard/internal.h"

#include "base/error.h"

bus_outcome bus_shard_redo(bus_shard *shard, const bus_error *why)
{
    shard->batch.saved = false;
    if (why)
        shard->batch.error = *why;
    if (why && !why->status)
        bus_fail(&shard->batch.error, BUS_BUG, "a batch failed without saying why");
    return BUS_OUT_REDO;
}

void bus_shard_halt(bus_shard *shard, const bus_error *why)
{
    if (atomic_load(&shard->failed))
        return;
    shard->failure = *why;
    shard->failure.fatal = true;
    bus_log(BUS_ERROR, shard->where, "halted", "%s", why->text);
    atomic_store(&shard->failed, (int)why->status);
}

/* ---- a delivery */

bool bus_delivery_save(bus_shard *shard)
{
    bus_error err;
    bus_error_clear(&err);
    if (bus_store_save(shard->store, shard->batch.savepoints, &err)) {
        bus_shard_redo(shard, &err);
        return false;
    }
    shard->batch.saved = true;
    return true;
}

bool bus_delivery_release(bus_shard *shard)
{
    bus_error err;
    bus_error_clear(&err);
    shard->batch.saved = false;
    if (bus_store_release(shard->store, &err) == BUS_OK) {
        BUS_FAILPOINT("released");
        return true;
    }
    bus_shard_redo(shard, &err);
    return false;
}

bool bus_delivery_back(bus_shard *shard)
{
    bus_error err = { 0 };
    shard->batch.saved = false;
    if (!shard->batch.savepoints && bus_store_changed(shard->store)) {
        bus_shard_redo(shard, NULL); /* rows were changed and there is no savepoint to go back to */
        return false;
    }
    if (bus_store_back(shard->store, &err) == BUS_OK) {
        BUS_FAILPOINT("undone");
        return true;
    }
    bus_shard_redo(shard, &err);
    return false;
}
