/* SPDX-License-Identifier: MIT
 * What a shard counts. Written by its thread, read by any. */
#ifndef BUI_SHARD_METRICS_H
#define BUI_SHARD_METRICS_H

#include "base/metrics.h"

typedef struct bui_shard_metrics {
    bui_counter consumed, handled, retried, dead_lettered, redriven, duplicates, gaps, unrouted, tombstones_skipped, misplaced,
        emitted, relayed, relay_failures, rejected_rows, commits, rollbacks, reruns, transactions, pauses, scheduled,
        commands_stale, commands_refused, stray_headers, reserved_headers, replayed, replays_skipped, replays_refused,
        checkpoints, landed;
    bui_counter log_looks, logs_replaced, uncounted, ids_forgotten, ignored, letters_forgotten, letters_again, forged,
        replies_unsent, retried_rows, discarded_rows, offsets_ignored, schemas_missed, state_read, state_found, state_written;
    bui_gauge outbox_rows, outbox_bytes, outbox_oldest_ms /* wall ms of the oldest row, 0 none */, parked_keys, parked_events,
        held_keys, letters_open, refused_rows, refused_destinations, letter_bodies, lag_messages, lag_ms, paused, assigned,
        wal_bytes, strangers, schema_waiting, state_bytes;
    bui_histogram handler_time, commit_time, transact_time;
} bui_shard_metrics;

extern const bui_metric bui_shard_metric_table[];

#endif
