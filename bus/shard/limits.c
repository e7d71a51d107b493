/* SPDX-License-Identifier: MIT
 * The shard's limits out of the configuration. */
#include "shard/shard.h"

#include "base/config.h"
#include <string.h>

void bui_limits_of(const bus_config *config, bui_limits *out)
{
    *out = (bui_limits){
        .batch_records = (int)bui_config_int(config, "batch.records"),
        .batch_bytes = bui_config_int(config, "batch.bytes"),
        .outbox_bytes = bui_config_int(config, "outbox.max.bytes"),
        .message_bytes = bui_config_int(config, "message.max.bytes"),
        .parked_per_key = bui_config_int(config, "parked.max.per.key"),
        .parked_bytes = bui_config_int(config, "parked.max.bytes"),
        .retry_grace_ms = bui_config_int(config, "retry.grace.ms"),
        .pause_first_ms = bui_config_int(config, "pause.first.ms"),
        .pause_most_ms = bui_config_int(config, "pause.most.ms"),
        .schema_wait_ms = bui_config_int(config, "schema.wait.ms"),
        .wal_bytes = bui_config_int(config, "wal.max.bytes"),
        .idle_recheck_ms = bui_config_int(config, "idle.recheck.ms"),
        .log_check_ms = bui_config_int(config, "log.check.ms"),
        .linger_us = bui_config_int(config, "outbox.linger.ms") * 1000,
        .look_ms = bui_config_int(config, "outbox.look.timeout.ms"),
        .in_flight = (int)bui_config_int(config, "in.flight.rows"),
        .broker_timeout_ms = bui_config_int(config, "broker.timeout.ms"),
        .reject_percent = (int)bui_config_int(config, "reject.ratio.percent"),
        .prepare_window = (int)bui_config_int(config, "prepare.window"),
        .compact_envelope = strcmp(bui_config_text(config, "envelope"), "compact") == 0,
        .refused_waits = strcmp(bui_config_text(config, "outbox.refused"), "wait") == 0,
        .commit_interval_ms = bui_config_int(config, "commit.interval.ms"),
        .reply_places = (int)bui_config_int(config, "replies.destinations.max"),
        .dedup_most = bui_config_int(config, "dedup.max"),
        .marks_most = bui_config_int(config, "marks.max"),
        .state_bytes = bui_config_int(config, "state.cache.bytes"),
    };
}
