/* SPDX-License-Identifier: MIT
 * Replay: the transport of a rebuild. What its one shard reads comes from a reader, in the order of record time over all
 * topics, none before its time; what it sends is held and never leaves. Single-threaded. */
#ifndef BUS_REBUILD_REPLAY_H
#define BUS_REBUILD_REPLAY_H

#include "base/virtual_clock.h"
#include "kafka/lag.h"
#include "rebuild/logs.h"
#include "shard/transport.h"

typedef struct bus_replay bus_replay;

typedef struct bus_replay_options {
    bus_logs *logs;
    const bus_kafka_lag *marks;  /* of every input partition of the shard: its log and what the group has committed; borrowed */
    const bool *skipped;         /* [i]: a retry tier, not read: only triggers */
    size_t count;
    bus_transport *metadata;     /* asked for partition counts of outputs */
    bus_virtual_clock *clock;
} bus_replay_options;

bus_status bus_replay_open(const bus_replay_options *options, bus_replay **out, bus_error *err);
void bus_replay_close(bus_replay *replay); /* its port closed before; NULL is a no-op */
bus_transport *bus_replay_transport(bus_replay *replay);

/* First come the records below what the group has committed, then the others. True when the first have all been taken. */
bool bus_replay_at_turn(const bus_replay *replay);
void bus_replay_turn(bus_replay *replay);
bool bus_replay_ended(const bus_replay *replay);      /* all records have been taken */
bus_status bus_replay_failure(const bus_replay *replay, bus_error *err);
int64_t bus_replay_records(const bus_replay *replay, int64_t *after_commit);
int64_t bus_replay_next_ms(bus_replay *replay);       /* time of the next record; INT64_MAX: none, or none before the turn */

#endif
