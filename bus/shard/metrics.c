/* SPDX-License-Identifier: MIT
 * The names under which a shard's metrics are shown. */
#include "shard/metrics.h"

#include <stddef.h>

#define COUNTER(field, name, help) \
    { \
        name, help, BUI_METRIC_COUNTER, offsetof(bui_shard_metrics, field), 1 \
    }
#define GAUGE(field, name, help, scale) \
    { \
        name, help, BUI_METRIC_GAUGE, offsetof(bui_shard_metrics, field), scale \
    }
#define HISTOGRAM(field, name, help) \
    { \
        name, help, BUI_METRIC_HISTOGRAM, offsetof(bui_shard_metrics, field), 1 \
    }

const bui_metric bui_shard_metric_table[] = {
    COUNTER(consumed, "bus_consumed_total", "Records taken from Kafka."),
    COUNTER(handled, "bus_handled_total", "Events handled and committed."),
    COUNTER(retried, "bus_retried_total", "Failed attempts that went to a retry topic."),
    COUNTER(dead_lettered, "bus_dead_lettered_total", "Events that became dead letters."),
    COUNTER(redriven, "bus_redriven_total", "Dead letters that were redriven."),
    COUNTER(duplicates, "bus_duplicates_dropped_total", "Duplicates dropped: records that were settled before."),
    COUNTER(gaps, "bus_gap_events_total", "Events missing in a source's sequence: alarm if it grows."),
    COUNTER(unrouted, "bus_unrouted_total", "Events of a type that has no route."),
    COUNTER(tombstones_skipped, "bus_tombstones_skipped_total", "Records without a value on topics without a tombstone route."),
    COUNTER(misplaced, "bus_misplaced_total", "Records on another partition than murmur2 of their key gives."),
    COUNTER(emitted, "bus_emitted_total", "Rows committed to the outbox."),
    COUNTER(relayed, "bus_relayed_total", "Outbox rows acknowledged by Kafka."),
    COUNTER(relay_failures, "bus_relay_failures_total", "Sends that ended in an error and were repeated."),
    COUNTER(rejected_rows, "bus_rejected_rows_total", "Outbox rows that Kafka refused: alarm if it grows."),
    COUNTER(retried_rows, "bus_rejected_rows_retried_total", "Refused rows that an operator sent again."),
    COUNTER(discarded_rows, "bus_rejected_rows_discarded_total", "Refused rows that an operator discarded."),
    COUNTER(commits, "bus_commits_total", "Committed transactions."),
    COUNTER(rollbacks, "bus_rollbacks_total", "Transactions that failed and were rolled back."),
    COUNTER(reruns, "bus_reruns_total", "Batches run again with savepoints, because a delivery had to be undone."),
    COUNTER(transactions, "bus_transactions_total", "bus_transact calls committed."),
    COUNTER(pauses, "bus_pauses_total", "Times a topic was paused."),
    COUNTER(scheduled, "bus_scheduled_total", "Scheduled events that fell due."),
    COUNTER(commands_stale, "bus_commands_stale_total", "Redrive and discard commands that came too late."),
    COUNTER(landed, "bus_outbox_landed_total", "Outbox rows that were found in Kafka when the shard opened, and not sent again."),
    COUNTER(uncounted, "bus_uncounted_total",
            "Events above the limits of sources and gaps (marks.max), whose duplicates are found by id: alarm if it grows."),
    COUNTER(ids_forgotten, "bus_dedup_forgotten_total",
            "Event ids of foreign producers that the store forgot because it had more than dedup.max: their duplicates would be "
            "handled again."),
    COUNTER(ignored, "bus_ignored_total", "Records on retry and redrive topics that are not the bus's, and were skipped."),
    COUNTER(letters_forgotten, "bus_dead_letters_forgotten_total",
            "Resolved and discarded dead letters removed from the store because of their age or number."),
    COUNTER(letters_again, "bus_dead_letters_republished_total",
            "Open dead letters published again because their topic had lost them."),
    COUNTER(forged, "bus_forged_total", "Records that are not signed as hop.verify demands: alarm if it grows."),
    COUNTER(replies_unsent, "bus_replies_unsent_total",
            "Answers that were not sent: the event wanted none, or named no topic and partition that can take one."),
    COUNTER(commands_refused, "bus_commands_refused_total",
            "Commands about a dead letter that the shard does not know, or with the bytes of another event."),
    COUNTER(stray_headers, "bus_stray_headers_total",
            "Events of inputs with headers of commands or dead letters, which were ignored."),
    COUNTER(reserved_headers, "bus_reserved_headers_total",
            "Headers left out of emitted events because only the bus may write them."),
    COUNTER(replayed, "bus_replayed_total", "Copies sent by bus replay that were handled and committed."),
    COUNTER(replays_skipped, "bus_replays_skipped_total", "Copies sent by bus replay that were skipped, as their route says."),
    COUNTER(replays_refused, "bus_replays_refused_total", "Copies sent by bus replay that were refused; the log says why."),
    COUNTER(checkpoints, "bus_checkpoints_total", "WAL checkpoints."),
    COUNTER(schemas_missed, "bus_schemas_missed_total",
            "Events that became dead letters because their schema was not known after schema.wait.ms."),
    COUNTER(offsets_ignored, "bus_offsets_ignored_total", "Offsets committed by a stranger in the group, and ignored."),
    COUNTER(log_looks, "bus_log_looks_total", "Times a log was compared with what was read of it."),
    COUNTER(logs_replaced, "bus_logs_replaced_total",
            "Logs that were replaced and read on: retry topics, and partitions whose offset somebody has set."),
    COUNTER(state_read, "bus_state_read_total", "Rows of typed state that were looked for in their table."),
    COUNTER(state_found, "bus_state_found_total", "Loads of typed state that were answered from memory."),
    COUNTER(state_written, "bus_state_written_total", "Rows of typed state that were written to their table or removed from it."),
    GAUGE(outbox_rows, "bus_outbox_rows", "Rows not yet acknowledged by Kafka.", 1),
    GAUGE(outbox_bytes, "bus_outbox_bytes", "Bytes of those rows.", 1),
    GAUGE(outbox_oldest_ms, "bus_outbox_oldest_timestamp_seconds", "When the oldest of those rows was committed; 0: none.",
          0.001),
    GAUGE(refused_rows, "bus_outbox_refused_rows",
          "Rows that Kafka refuses and that wait for bus outbox retry or discard: alarm if not 0.", 1),
    GAUGE(refused_destinations, "bus_outbox_refused_destinations",
          "Partitions to which nothing is sent until those rows are retried or discarded.", 1),
    GAUGE(letter_bodies, "bus_dead_letter_bodies_bytes",
          "Bytes of events that are in the store because the record of their dead letter could not carry them.", 1),
    GAUGE(parked_keys, "bus_parked_keys", "Keys that wait, are held or are catching up.", 1),
    GAUGE(parked_events, "bus_parked_events", "Events parked in the store, the first of each key included.", 1),
    GAUGE(held_keys, "bus_held_keys", "Keys held by an open dead letter.", 1),
    GAUGE(letters_open, "bus_dead_letters_open", "Dead letters not yet resolved or discarded.", 1),
    GAUGE(lag_messages, "bus_lag_messages", "Records not yet settled.", 1),
    GAUGE(lag_ms, "bus_lag_seconds", "Age of the oldest record not yet settled, as far as it is known.", 0.001),
    GAUGE(paused, "bus_paused_topics", "Topics that are paused now.", 1),
    GAUGE(assigned, "bus_assigned", "1 while the shard receives deliveries.", 1),
    GAUGE(wal_bytes, "bus_wal_bytes", "Size of the write-ahead log.", 1),
    GAUGE(schema_waiting, "bus_schema_waiting_topics", "Topics that have waited long for an unknown schema.", 1),
    GAUGE(state_bytes, "bus_state_bytes", "Memory that rows of typed state take; its bound is state.cache.bytes.", 1),
    GAUGE(strangers, "bus_group_strangers", "Members of the consumer group that are no process of the service: alarm if not 0.",
          1),
    HISTOGRAM(handler_time, "bus_handler_seconds", "Time in one handler."),
    HISTOGRAM(commit_time, "bus_commit_seconds", "Time in one COMMIT."),
    HISTOGRAM(transact_time, "bus_transact_seconds", "From bus_transact's call to durable."),
    { 0 },
};
