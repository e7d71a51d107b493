/* SPDX-License-Identifier: MIT
 * The shard's limits out of the configuration. */
#include "shard/shard.h"

#include "base/config.h"
#include <string.h>

void bus_limits_of(const bus_config *config, bus_limits *out)
{
    *out = (bus_limits){
        .batch_records = (int)bus_config_int(config, "batch.records"),
        .batch_bytes = bus_config_int(config, "batch.bytes"),
        .outbox_bytes = bus_config_int(config, "outbox.max.bytes"),
        .message_bytes = bus_config_int(config, "message.max.bytes"),
        .parked_per_key = bus_config_int(config, "parked.max.per.key"),
        .parked_bytes = bus_config_int(config, "parked.max.bytes"),
        .retry_grace_ms = bus_config_int(config, "retry.grace.ms"),
        .pause_first_ms = bus_config_int(config, "pause.first.ms"),
        .pause_most_ms = bus_config_int(config, "pause.most.ms"),
        .schema_wait_ms = bus_config_int(config, "schema.wait.ms"),
        .wal_bytes = bus_config_int(config, "wal.max.bytes"),
        .idle_recheck_ms = bus_config_int(config, "idle.recheck.ms"),
        .log_check_ms = bus_config_int(config, "log.check.ms"),
        .linger_us = bus_config_int(config, "outbox.linger.ms") * 1000,
        .look_ms = bus_config_int(config, "outbox.look.timeout.ms"),
        .in_flight = (int)bus_config_int(config, "in.flight.rows"),
        .broker_timeout_ms = bus_config_int(config, "broker.timeout.ms"),
        .reject_percent = (int)bus_config_int(config, "reject.ratio.percent"),
        .prepare_window = (int)bus_config_int(config, "prepare.window"),
        .compact_envelope = strcmp(bus_config_text(config, "envelope"), "compact") == 0,
        .refused_waits = strcmp(bus_config_text(config, "outbox.refused"), "wait") == 0,
        .commit_interval_ms = bus_config_int(config, "commit.interval.ms"),
        .reply_places = (int)bus_config_int(config, "replies.destinations.max"),
        .seen_most = bus_config_int(config, "seen.max"),
        .marks_most = bus_config_int(config, "marks.max"),
    };
}
