/* SPDX-License-Identifier: MIT
 * Rerun: the transport of a rebuild. What its one shard reads comes from a reader, in the order of record time over all
 * topics, none before its time; what it sends is held and never leaves. Single-threaded. */
#ifndef BUI_REBUILD_RERUN_H
#define BUI_REBUILD_RERUN_H

#include "base/virtual_clock.h"
#include "kafka/lag.h"
#include "rebuild/logs.h"
#include "shard/transport.h"

typedef struct bui_rerun bui_rerun;

typedef struct bui_rerun_options {
    bui_logs *logs;
    const bui_kafka_lag *marks; /* of every input partition of the shard: its log and what the group has committed; borrowed */
    const bool *skipped;        /* [i]: a retry tier, not read: only triggers */
    size_t count;
    bui_transport *metadata; /* asked for partition counts of outputs */
    bui_virtual_clock *clock;
} bui_rerun_options;

bus_status bui_rerun_open(const bui_rerun_options *options, bui_rerun **out, bus_error *err);
void bui_rerun_close(bui_rerun *replay); /* its port closed before; NULL is a no-op */
bui_transport *bui_rerun_transport(bui_rerun *replay);

/* First come the records below what the group has committed, then the others. True when the first have all been taken. */
bool bui_rerun_at_commit(const bui_rerun *replay);
void bui_rerun_pass_commit(bui_rerun *replay);
bool bui_rerun_ended(const bui_rerun *replay); /* all records have been taken */
bus_status bui_rerun_failure(const bui_rerun *replay, bus_error *err);
int64_t bui_rerun_records(const bui_rerun *replay, int64_t *after_commit);
int64_t bui_rerun_next_ms(bui_rerun *replay); /* time of the next record; INT64_MAX: none, or none before the commit point */

#endif
