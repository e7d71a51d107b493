/* SPDX-License-Identifier: MIT
 * The names under which a shard's metrics are shown. */
#include "shard/metrics.h"

#include <stddef.h>

#define COUNTER(field, name, help) { name, help, BUS_METRIC_COUNTER, offsetof(bus_shard_metrics, field), 1 }
#define GAUGE(field, name, help, scale) { name, help, BUS_METRIC_GAUGE, offsetof(bus_shard_metrics, field), scale }
#define HISTOGRAM(field, name, help) { name, help, BUS_METRIC_HISTOGRAM, offsetof(bus_shard_metrics, field), 1 }

const bus_metric bus_shard_metric_table[] = {
    COUNTER(consumed, "bus_consumed_total", "Records taken from Kafka."),
    COUNTER(handled, "bus_handled_total", "Events whose handler was done and committed."),
    COUNTER(retried, "bus_retried_total", "Failed attempts that went to a retry topic."),
    COUNTER(dead_lettered, "bus_dead_lettered_total", "Events given up on."),
    COUNTER(redriven, "bus_redriven_total", "Letters run again by command."),
    COUNTER(duplicates, "bus_duplicates_dropped_total", "Deliveries dropped because they were settled before."),
    COUNTER(gaps, "bus_gap_events_total", "Events missing in a source's sequence: alarm if it grows."),
    COUNTER(unrouted, "bus_unrouted_total", "Events of a type that no route names."),
    COUNTER(tombstones_skipped, "bus_tombstones_skipped_total", "Records without value on topics without a tombstone route."),
    COUNTER(misplaced, "bus_misplaced_total", "Records whose key another partitioner placed."),
    COUNTER(emitted, "bus_emitted_total", "Rows committed to the outbox."),
    COUNTER(relayed, "bus_relayed_total", "Outbox rows acknowledged by Kafka."),
    COUNTER(relay_failures, "bus_relay_failures_total", "Sends that ended in an error and were repeated."),
    COUNTER(rejected_rows, "bus_rejected_rows_total", "Outbox rows that Kafka refuses for good: alarm if it grows."),
    COUNTER(commits, "bus_commits_total", "Durable transactions."),
    COUNTER(rollbacks, "bus_rollbacks_total", "Transactions that failed and were rolled back."),
    COUNTER(reruns, "bus_reruns_total", "Batches run a second time with savepoints."),
    COUNTER(transactions, "bus_transactions_total", "bus_transact calls committed."),
    COUNTER(pauses, "bus_pauses_total", "Times a topic was paused."),
    COUNTER(scheduled, "bus_scheduled_total", "Delayed events that fell due."),
    COUNTER(commands_stale, "bus_commands_stale_total", "Redrive and discard commands that came too late."),
    COUNTER(landed, "bus_outbox_landed_total", "Outbox rows that were found in Kafka at open, and not sent again."),
    COUNTER(uncounted, "bus_uncounted_total", "Events above the bounds of sources and gaps, settled by their ids: alarm if it grows."),
    COUNTER(ignored, "bus_ignored_total", "Records on retry and redrive topics that are not the bus's, passed over."),
    COUNTER(letters_forgotten, "bus_letters_forgotten_total", "Resolved and discarded letters that left the store by age or number."),
    COUNTER(forged, "bus_forged_total", "Records that are not signed as hop.verify demands: alarm if it grows."),
    COUNTER(replies_unsent, "bus_replies_unsent_total", "Answers that were not sent: the event asked for none, or named no place where one can go."),
    COUNTER(commands_refused, "bus_commands_refused_total", "Commands about a letter that the shard does not know, or with the bytes of another event."),
    COUNTER(stray_headers, "bus_stray_headers_total", "Events of inputs with headers of commands or letters, which were ignored."),
    COUNTER(reserved_headers, "bus_reserved_headers_total", "Headers left out of emitted events because the bus alone writes them."),
    COUNTER(replayed, "bus_replayed_total", "Copies sent by bus replay whose handler was done and committed."),
    COUNTER(replays_skipped, "bus_replays_skipped_total", "Copies sent by bus replay that their route skips."),
    COUNTER(replays_refused, "bus_replays_refused_total", "Copies sent by bus replay that were not run: the log says why."),
    COUNTER(checkpoints, "bus_checkpoints_total", "WAL checkpoints."),
    GAUGE(outbox_rows, "bus_outbox_rows", "Rows not yet acknowledged by Kafka.", 1),
    GAUGE(outbox_bytes, "bus_outbox_bytes", "Their bytes.", 1),
    GAUGE(outbox_oldest_ms, "bus_outbox_oldest_timestamp_seconds", "When the oldest of them was committed; 0: none.", 0.001),
    GAUGE(parked_keys, "bus_parked_keys", "Keys that wait, are held or drain.", 1),
    GAUGE(parked_events, "bus_parked_events", "Events parked behind them, heads included.", 1),
    GAUGE(held_keys, "bus_held_keys", "Keys held by an open dead letter.", 1),
    GAUGE(letters_open, "bus_letters_open", "Dead letters not yet resolved or discarded.", 1),
    GAUGE(lag_messages, "bus_lag_messages", "Records not yet settled.", 1),
    GAUGE(lag_ms, "bus_lag_seconds", "Age of the oldest record not yet settled, as far as known.", 0.001),
    GAUGE(paused, "bus_paused_topics", "Topics paused at the moment.", 1),
    GAUGE(assigned, "bus_assigned", "1 while the shard receives deliveries.", 1),
    GAUGE(wal_bytes, "bus_wal_bytes", "Size of the write-ahead log.", 1),
    HISTOGRAM(handler_time, "bus_handler_seconds", "Time in one handler."),
    HISTOGRAM(commit_time, "bus_commit_seconds", "Time in one COMMIT."),
    HISTOGRAM(transact_time, "bus_transact_seconds", "From bus_transact's call to durable."),
    { 0 },
};
