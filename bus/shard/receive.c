/* SPDX-License-Identifier: MIT
 * Receive: decides for each fetched record whether it was settled before, whom it is for, and moves the position. */
#include "shard/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORGED_LETTERS 1000

/* The first record of a lane is the anchor: the last one delivered before. Other bytes there mean another topic. */
bool bui_receive_anchor_ok(bui_shard *shard, bui_shard_lane *lane, const bui_record *record, bool *skip)
{
    const bui_position *position = lane->position;
    bool first = lane->check_anchor;
    *skip = record->offset < position->next;
    lane->check_anchor = record->offset < position->anchor.offset;
    if (!lane->check_anchor)
        lane->start = position->next; /* it may expire: a lane that is assigned once more does not ask for it again */
    if (record->offset != position->anchor.offset)
        return true;
    if (bui_record_hash(record, position->anchor.kind) == position->anchor.hash) {
        bui_lane_began_at_anchor(shard, lane);
        return true;
    }
    *skip = false; /* of a retry topic made again: it is as good as any */
    char what[160];
    snprintf(what, sizeof what, "offset %lld holds another record than was read there", (long long)record->offset);
    return !first || !bui_lane_replaced(shard, lane, what);
}

static void tell_gap(bui_shard *shard, const bui_envelope *envelope, const bui_record *record, int64_t gap)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    bui_count(&shard->metrics.gaps, (uint64_t)gap);
    if (bui_throttle_pass(&shard->said.gap_lines, shard->now_us, &hidden))
        bui_log(BUS_ERROR, shard->where, "gap",
                "%lld event(s) of %.*s before seq %lld are missing on %s/%d at offset %lld: they were "
                "published and are not in the log%s",
                (long long)gap, (int)envelope->hop.source.len, envelope->hop.source.at, (long long)envelope->hop.seq,
                record->topic, record->partition, (long long)record->offset, bui_throttle_text(hidden, more));
}

/* The bounds of what is counted by number are met. */
static void tell_uncounted(bui_shard *shard, const bui_envelope *envelope, const bui_record *record)
{
    bui_count(&shard->metrics.uncounted, 1);
    if (!shard->said.uncounted_warned)
        bui_log(BUS_ERROR, shard->where, "uncounted",
                "%.*s on %s/%d at offset %lld: the store keeps as many sources or gaps as it may "
                "(marks.max, and %d gaps of one source); further events are known by their ids. Somebody sends numbers that the "
                "bus did not give, or very much was lost: see bus_uncounted_total and docs/security.md",
                (int)envelope->hop.source.len, envelope->hop.source.at, record->topic, record->partition,
                (long long)record->offset, BUI_GAPS_PER_MARK);
    shard->said.uncounted_warned = true;
}

/* By its id within its source. Without `add`: only whether it was. */
static bui_receipt settle_by_id(bui_shard *shard, const bui_delivery *delivery, bool add)
{
    const bui_envelope *envelope = &delivery->envelope;
    if (!envelope->id.len)
        return BUI_NEW; /* its id is its position, and the position settles it */
    char source[BUI_DEDUP_SOURCE];
    bui_identity event = bui_identity_of(delivery);
    event.source = delivery->event.source;
    size_t len = bui_dedup_source(source, &event);
    if (!add)
        return bui_dedup_has(shard->store, source, len, envelope->id.at, envelope->id.len);
    return bui_dedup_settle(shard->store, source, len, envelope->id.at, envelope->id.len, shard->now_ms);
}

/* Was it settled before? Settles it if not. */
static bui_receipt settle(bui_shard *shard, const bui_shard_lane *lane, const bui_delivery *delivery, const bui_record *record)
{
    const bui_envelope *envelope = &delivery->envelope;
    if (delivery->foreign)
        return settle_by_id(shard, delivery, true);
    int64_t gap = 0;
    bui_receipt receipt =
        bui_mark_settle(shard->store, envelope->hop.source.at, envelope->hop.source.len, record->topic, record->partition,
                        envelope->hop.seq, shard->now_ms, lane->input->declared->compacted ? NULL : &gap);
    if (receipt == BUI_NEW || receipt == BUI_DUPLICATE || receipt == BUI_RECEIPT_FAILED)
        return receipt;
    /* It may have come before while it could not be counted. */
    bui_receipt known = settle_by_id(shard, delivery, receipt == BUI_UNCOUNTED);
    if (known == BUI_RECEIPT_LATER || known == BUI_RECEIPT_FAILED)
        return known;
    if (receipt == BUI_UNCOUNTED)
        tell_uncounted(shard, envelope, record);
    else if (receipt == BUI_NEW_AFTER_GAP && !lane->input->declared->compacted)
        tell_gap(shard, envelope, record, gap);
    return receipt == BUI_UNCOUNTED || known == BUI_DUPLICATE ? known : receipt;
}

static bool advance(bui_shard *shard, bui_shard_lane *lane, const bui_record *record)
{
    shard->commits.positions_moved = true;
    return bui_position_set(shard->store, lane->position, record->offset + 1, (bui_place){ .offset = record->offset });
}

/* The key says another partition: a producer with another partitioner. The record's partition decides. */
static void check_placement(bui_shard *shard, bui_shard_lane *lane, const bui_record *record)
{
    if (!record->key || lane->input->partitions <= 1 ||
        bui_partition_of(record->key, record->key_len, lane->input->partitions) == record->partition)
        return;
    if (!shard->said.misplaced_warned)
        bui_log(BUS_WARN, shard->where, "misplaced",
                "a key on %s/%d belongs to another partition by murmur2: its producer uses another "
                "partitioner (librdkafka: partitioner=murmur2_random); order is still kept per partition",
                record->topic, record->partition);
    shard->said.misplaced_warned = true;
    bui_count(&shard->metrics.misplaced, 1);
}

/* Headers of commands on an input: any writer could claim anything with them, so they mean nothing. What a tool has
 * copied back from a dead-letter topic has them, too: its dead letter stays as it is. */
static void tell_stray(bui_shard *shard, const bui_record *record, const char *header)
{
    bui_count(&shard->metrics.stray_headers, 1);
    if (bui_shard_may_say(shard, &shard->said.stray_said_us))
        bui_log(BUS_WARN, shard->where, "stray_header",
                "%s/%d offset %lld has header %s, which counts on %s alone: it is handled as any "
                "event of %s. If a tool has copied it back from a dead-letter topic, its dead letter is still open: use `bus dlq "
                "redrive` or "
                "discard that",
                record->topic, record->partition, (long long)record->offset, header, bui_router_lead(shard->options.router),
                record->topic);
}

static bui_taken taken(bui_outcome outcome)
{
    return outcome == BUI_OUT_REDO                                  ? BUI_TAKE_REDO
           : outcome == BUI_OUT_PAUSE || outcome == BUI_OUT_PENDING ? BUI_TAKE_WAIT
                                                                    : BUI_TAKEN;
}

static bui_taken nomem(bui_shard *shard)
{
    return taken(bui_settle_nomem(shard));
}

static bool pauses(const bui_job_slot *slot)
{
    return slot->state == BUI_JOB_DONE && slot->verdict == BUS_PAUSE;
}

/* One pause answers for all steps that asked for it before: else each of a whole window would have its own, long after the
 * dependency is back. */
static void use_up_pauses(bui_shard *shard, const bui_shard_input *input)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        bui_shard_lane *lane = &shard->lane[i];
        for (size_t k = 0; lane->input == input && lane->job && k < lane->count; k++)
            if (lane->job[k] && pauses(lane->job[k]))
                lane->job[k]->used = true;
    }
}

/* After a pause, all at once: they are as concurrent as they were the first time. */
static void prepare_again(bui_shard *shard, bui_shard_lane *lane)
{
    for (size_t k = 0; k < lane->count; k++)
        if (lane->job[k] && lane->job[k]->used && pauses(lane->job[k]))
            bui_prepare_again(shard, lane->job[k]);
}

typedef struct arrival {
    bui_shard_lane *lane;
    const bui_record *record;
    bui_delivery *delivery;
    bui_job_slot *job;
} arrival;

static bui_receipt settle_arrival(bui_shard *shard, void *of)
{
    const arrival *a = of;
    return settle(shard, a->lane, a->delivery, a->record);
}

static bui_outcome arrive(bui_shard *shard, bui_receipt receipt, void *of)
{
    const arrival *a = of;
    (void)receipt;
    if (!a->delivery->route && !a->delivery->undecodable) {
        bui_count(a->record->value ? &shard->metrics.unrouted : &shard->metrics.tombstones_skipped, 1);
        return BUI_OUT_DONE;
    }
    bui_outcome outcome = bui_key_arrive(shard, a->delivery, a->job);
    if (a->job && (outcome == BUI_OUT_PAUSE || outcome == BUI_OUT_PENDING))
        use_up_pauses(shard, a->lane->input);
    return outcome;
}

static bui_taken receive_unsettled(bui_shard *shard, bui_shard_lane *lane, const bui_record *record, bui_delivery *delivery,
                                   bui_job_slot *job)
{
    arrival a = { lane, record, delivery, job };
    bui_outcome outcome = bui_settle(shard, (bui_settling){ settle_arrival, arrive }, &a);
    if (outcome != BUI_OUT_DONE)
        return taken(outcome);
    return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
}

static bui_taken receive_event(bui_shard *shard, bui_shard_lane *lane, const bui_record *record, bui_job_slot *job)
{
    bui_delivery delivery;
    bus_error err;
    bui_error_clear(&err);
    if (job && pauses(job) && job->used && lane->input->paused_until_us <= shard->now_us)
        prepare_again(shard, lane);
    if (job && job->state != BUI_JOB_DONE)
        return BUI_TAKE_WAIT;
    if (bui_delivery_read(shard, record, BUI_COMMAND_NONE, &shard->arena, false, &delivery, &err) != BUS_OK)
        return nomem(shard);
    if (lane->input->paused_until_us > shard->now_us)
        return BUI_TAKE_WAIT;
    check_placement(shard, lane, record);
    if (delivery.envelope.stray)
        tell_stray(shard, record, delivery.envelope.stray);
    bus_status status = bui_delivery_decode(shard, &delivery, &shard->arena, &err);
    if (status != BUS_OK) {
        if (status != BUS_MISSING)
            return nomem(shard);
        if (bui_schema_waits(shard, lane->input, &delivery, &err))
            return BUI_TAKE_WAIT;
    }
    if (bui_delivery_keep(shard, &delivery, &err) != BUS_OK) {
        bui_shard_redo(shard, &err);
        return BUI_TAKE_REDO;
    }
    return receive_unsettled(shard, lane, record, &delivery, job);
}

static void tell_forged(bui_shard *shard, const bui_record *record, const bus_error *why, const char *made)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    bui_count(&shard->metrics.forged, 1);
    if (bui_throttle_pass(&shard->said.forged_lines, shard->now_us, &hidden))
        bui_log(BUS_ERROR, shard->where, "forged", "%s/%d offset %lld: %s; %s%s", record->topic, record->partition,
                (long long)record->offset, why->text, made, bui_throttle_text(hidden, more));
}

/* It counts nothing, runs nothing, and its place is its id: nothing that it says of itself is believed. Of very many only the first
 * become dead letters: the others stay where they are, in the topic. */
static bui_taken receive_forged(bui_shard *shard, bui_shard_lane *lane, const bui_record *record, const bus_error *why)
{
    bui_delivery delivery;
    bus_tx tx;
    bus_error err = { 0 };
    bool letter = shard->said.forged_letters < FORGED_LETTERS;
    tell_forged(shard, record, why,
                letter ? "it becomes a dead letter" : "skipped, because there are very many; the topic still has it");
    if (!letter)
        return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
    if (bui_delivery_read(shard, record, BUI_COMMAND_NONE, &shard->arena, false, &delivery, &err) != BUS_OK)
        return nomem(shard);
    memset(&delivery.envelope, 0, sizeof delivery.envelope);
    delivery.undecodable = true;
    delivery.foreign = true;
    char id[BUI_ID_TEXT];
    bui_id_of_place(record->topic, record->partition, record->offset,
                    bui_position_life(shard->store, record->topic, record->partition), id);
    delivery.event.id = id;
    delivery.event.source = "";
    delivery.event.topic = record->topic;
    delivery.event.partition = record->partition;
    delivery.event.offset = record->offset;
    delivery.event.time_ms = delivery.timestamp = record->timestamp;
    bui_deadletter known; /* it may be read again */
    bus_status status = bui_deadletter_name(shard, &delivery, (bui_slice){ 0 }, 0, &err);
    if (status == BUS_OK)
        status = bui_deadletter_get(shard->store, delivery.letter_id, &known, &err);
    if (status == BUS_OK)
        return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
    delivery.letter_id[0] = 0;
    bui_tx_init(&tx, shard, &delivery);
    tx.error_class = "forged";
    snprintf(tx.reason, sizeof tx.reason, "%.200s", why->text);
    if (status != BUS_MISSING || bui_deadletter_open(shard, &delivery, &tx, 0, NULL, &err) != BUS_OK) {
        bui_shard_redo(shard, &err);
        return BUI_TAKE_REDO;
    }
    shard->said.forged_letters++;
    return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
}

/* A record of a retry tier only triggers: the store holds the bytes. */
static bui_taken receive_retry(bui_shard *shard, bui_shard_lane *lane, const bui_record *record)
{
    bui_envelope envelope;
    bus_error err = { 0 };
    if (bui_envelope_read(record->headers, record->header_count, &envelope, &err) != BUS_OK || !envelope.hop.token.at) {
        bui_ignored(shard, record, "retry_ignored", "retry record");
        return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
    }
    const bui_key *key = bui_key_of_token(shard, &envelope.hop.token);
    /* Never longer than the tier's own delay: a clock that stepped must not hold a key for hours. */
    int64_t due = envelope.hop.not_before;
    if (key && due > shard->now_ms && due - shard->now_ms <= lane->input->declared->delay_ms) {
        lane->blocked_until_us = shard->now_us + (due - shard->now_ms) * 1000;
        return BUI_TAKE_WAIT;
    }
    if (key) {
        bui_outcome outcome = bui_key_run_head(shard, bui_key_by_id(shard->store, key->id));
        if (outcome == BUI_OUT_REDO)
            return BUI_TAKE_REDO;
    }
    return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
}

static bui_taken receive_command(bui_shard *shard, bui_shard_lane *lane, const bui_record *record)
{
    bui_outcome outcome = bui_command_run(shard, record);
    if (outcome == BUI_OUT_REDO || outcome == BUI_OUT_PAUSE || outcome == BUI_OUT_PENDING)
        return taken(outcome);
    return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
}

bui_taken bui_receive(bui_shard *shard, bui_shard_lane *lane, size_t index)
{
    const bui_record *record = &lane->record[index];
    bui_arena_reset(&shard->arena);
    bus_error why;
    const char *speaker = lane->input->declared->lead ? BUI_MAC_COMMANDER : NULL;
    if (lane->input->verify && !bui_record_authentic(shard->options.limits.keys, record, speaker, &why)) {
        if (!speaker && !lane->input->declared->retry_tier)
            return receive_forged(shard, lane, record, &why);
        tell_forged(shard, record, &why, "it is skipped");
        return advance(shard, lane, record) ? BUI_TAKEN : nomem(shard);
    }
    if (lane->input->declared->lead)
        return receive_command(shard, lane, record);
    if (lane->input->declared->retry_tier)
        return receive_retry(shard, lane, record);
    return receive_event(shard, lane, record, lane->job ? lane->job[index] : NULL);
}
