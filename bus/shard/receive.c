/* SPDX-License-Identifier: MIT
 * Receive: decides for each fetched record whether it was settled before, whom it is for, and moves the position. */
#include "shard/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORGED_LETTERS 1000

/* The first record of a lane is the anchor: the last one delivered before. Other bytes there mean another topic. */
bool bus_receive_anchor_ok(bus_shard *shard, bus_shard_lane *lane, const bus_record *record, bool *skip)
{
    const bus_position *position = lane->position;
    bool first = lane->check_anchor;
    *skip = record->offset < position->next;
    lane->check_anchor = record->offset < position->anchor.offset;
    if (!lane->check_anchor)
        lane->start = position->next; /* it may expire: a lane that is assigned once more does not ask for it again */
    if (record->offset != position->anchor.offset)
        return true;
    if (bus_record_hash(record, position->anchor.kind) == position->anchor.hash) {
        bus_lane_began_at_anchor(shard, lane);
        return true;
    }
    *skip = false; /* of a retry topic made again: it is as good as any */
    char what[160];
    snprintf(what, sizeof what, "offset %lld holds another record than was read there", (long long)record->offset);
    return !first || !bus_lane_replaced(shard, lane, what);
}

static void tell_gap(bus_shard *shard, const bus_envelope *envelope, const bus_record *record, int64_t gap)
{
    char more[BUS_THROTTLE_TEXT];
    uint64_t hidden;
    bus_count(&shard->metrics.gaps, (uint64_t)gap);
    if (bus_throttle_pass(&shard->said.gap_lines, shard->now_us, &hidden))
        bus_log(BUS_ERROR, shard->where, "gap", "%lld event(s) of %.*s before seq %lld are missing on %s/%d at offset %lld: they were "
                "published and are not in the log%s", (long long)gap, (int)envelope->hop.source.len, envelope->hop.source.at,
                (long long)envelope->hop.seq, record->topic, record->partition, (long long)record->offset, bus_throttle_text(hidden, more));
}

/* The bounds of what is counted by number are met. */
static void tell_uncounted(bus_shard *shard, const bus_envelope *envelope, const bus_record *record)
{
    bus_count(&shard->metrics.uncounted, 1);
    if (!shard->said.uncounted_warned)
        bus_log(BUS_ERROR, shard->where, "uncounted", "%.*s on %s/%d at offset %lld: the store keeps as many sources or gaps as it may "
                "(marks.max, and %d gaps of one source); what is above is settled by its id. Somebody sends numbers that the bus did not "
                "give, or very much was lost: see bus_uncounted_total and docs/security.md", (int)envelope->hop.source.len,
                envelope->hop.source.at, record->topic, record->partition, (long long)record->offset, BUS_HOLES_PER_MARK);
    shard->said.uncounted_warned = true;
}

/* By its id within its source. Without `add`: only whether it was. */
static bus_receipt settle_by_id(bus_shard *shard, const bus_delivery *delivery, bool add)
{
    const bus_envelope *envelope = &delivery->envelope;
    if (!envelope->id.len)
        return BUS_NEW; /* its id is its position, and the position settles it */
    char source[BUS_SEEN_SOURCE];
    bus_identity event = bus_identity_of(delivery);
    event.source = delivery->event.source;
    size_t len = bus_seen_source(source, &event);
    if (!add)
        return bus_seen_has(shard->store, source, len, envelope->id.at, envelope->id.len) ? BUS_DUPLICATE : BUS_NEW;
    return bus_seen_settle(shard->store, source, len, envelope->id.at, envelope->id.len, shard->now_ms);
}

/* Was it settled before? Settles it if not. */
static bus_receipt settle(bus_shard *shard, const bus_shard_lane *lane, const bus_delivery *delivery, const bus_record *record)
{
    const bus_envelope *envelope = &delivery->envelope;
    if (delivery->foreign)
        return settle_by_id(shard, delivery, true);
    int64_t gap = 0;
    bus_receipt receipt = bus_mark_settle(shard->store, envelope->hop.source.at, envelope->hop.source.len, record->topic, record->partition,
                                          envelope->hop.seq, shard->now_ms, lane->input->declared->compacted ? NULL : &gap);
    if (receipt == BUS_NEW || receipt == BUS_DUPLICATE || receipt == BUS_RECEIPT_FAILED)
        return receipt;
    if (receipt == BUS_UNCOUNTED) {
        tell_uncounted(shard, envelope, record);
        return settle_by_id(shard, delivery, true);
    }
    if (receipt == BUS_NEW_AFTER_GAP && !lane->input->declared->compacted)
        tell_gap(shard, envelope, record, gap);
    /* It may have come before while it could not be counted. */
    return settle_by_id(shard, delivery, false) == BUS_DUPLICATE ? BUS_DUPLICATE : receipt;
}

static bool advance(bus_shard *shard, bus_shard_lane *lane, const bus_record *record)
{
    shard->commits.positions_moved = true;
    return bus_position_set(shard->store, lane->position, record->offset + 1, (bus_place){ .offset = record->offset });
}

/* The key says another partition: a producer with another partitioner. The record's partition decides. */
static void check_placement(bus_shard *shard, bus_shard_lane *lane, const bus_record *record)
{
    if (!record->key || lane->input->partitions <= 1 ||
        bus_partition_of(record->key, record->key_len, lane->input->partitions) == record->partition)
        return;
    if (!shard->said.misplaced_warned)
        bus_log(BUS_WARN, shard->where, "misplaced", "a key on %s/%d belongs to another partition by murmur2: its producer uses another "
                "partitioner (librdkafka: partitioner=murmur2_random); order holds per partition all the same", record->topic,
                record->partition);
    shard->said.misplaced_warned = true;
    bus_count(&shard->metrics.misplaced, 1);
}

/* Headers of commands on an input: whoever writes there could claim anything by them, so they say nothing. What a tool has
 * copied back from a dead-letter topic has them, too: its letter stays as it is. */
static void tell_stray(bus_shard *shard, const bus_record *record, const char *header)
{
    bus_count(&shard->metrics.stray_headers, 1);
    if (bus_shard_may_say(shard, &shard->said.stray_said_us))
        bus_log(BUS_WARN, shard->where, "stray_header", "%s/%d offset %lld has header %s, which counts on %s alone: it is handled as any "
                "event of %s. If a tool has copied it back from a dead-letter topic, its letter is still open: use `bus dlq redrive` or "
                "discard that", record->topic, record->partition, (long long)record->offset, header,
                bus_router_lead(shard->options.router), record->topic);
}

static bus_taken taken(bus_outcome outcome)
{
    return outcome == BUS_OUT_REDO ? BUS_TAKE_REDO : outcome == BUS_OUT_PAUSE || outcome == BUS_OUT_PENDING ? BUS_TAKE_WAIT : BUS_TAKEN;
}

static bus_taken nomem(bus_shard *shard) { return taken(bus_settle_nomem(shard)); }

static bool pauses(const bus_job_slot *slot)
{
    return slot->state == BUS_JOB_DONE && slot->verdict == BUS_PAUSE;
}

/* One pause answers for all steps that asked for it before: else each of a whole window would have its own, long after the
 * dependency is back. */
static void use_up_pauses(bus_shard *shard, const bus_shard_input *input)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        bus_shard_lane *lane = &shard->lane[i];
        for (size_t k = 0; lane->input == input && lane->job && k < lane->count; k++)
            if (lane->job[k] && pauses(lane->job[k]))
                lane->job[k]->used = true;
    }
}

/* After a pause, all at once: they are as concurrent as they were the first time. */
static void prepare_again(bus_shard *shard, bus_shard_lane *lane)
{
    for (size_t k = 0; k < lane->count; k++)
        if (lane->job[k] && lane->job[k]->used && pauses(lane->job[k]))
            bus_prepare_again(shard, lane->job[k]);
}

typedef struct arrival {
    bus_shard_lane *lane;
    const bus_record *record;
    bus_delivery *delivery;
    bus_job_slot *job;
} arrival;

static bus_receipt settle_arrival(bus_shard *shard, void *of)
{
    const arrival *a = of;
    return settle(shard, a->lane, a->delivery, a->record);
}

static bus_outcome arrive(bus_shard *shard, bus_receipt receipt, void *of)
{
    const arrival *a = of;
    (void)receipt;
    if (!a->delivery->route && !a->delivery->undecodable) {
        bus_count(a->record->value ? &shard->metrics.unrouted : &shard->metrics.tombstones_skipped, 1);
        return BUS_OUT_DONE;
    }
    bus_outcome outcome = bus_key_arrive(shard, a->delivery, a->job);
    if (a->job && (outcome == BUS_OUT_PAUSE || outcome == BUS_OUT_PENDING))
        use_up_pauses(shard, a->lane->input);
    return outcome;
}

static bus_taken receive_unsettled(bus_shard *shard, bus_shard_lane *lane, const bus_record *record, bus_delivery *delivery,
                                   bus_job_slot *job)
{
    arrival a = { lane, record, delivery, job };
    bus_outcome outcome = bus_settle(shard, (bus_settling){ settle_arrival, arrive }, &a);
    if (outcome != BUS_OUT_DONE)
        return taken(outcome);
    return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
}

static bus_taken receive_event(bus_shard *shard, bus_shard_lane *lane, const bus_record *record, bus_job_slot *job)
{
    bus_delivery delivery;
    bus_error err;
    bus_error_clear(&err);
    if (job && pauses(job) && job->used && lane->input->paused_until_us <= shard->now_us)
        prepare_again(shard, lane);
    if (job && job->state != BUS_JOB_DONE)
        return BUS_TAKE_WAIT;
    if (bus_delivery_read(shard, record, BUS_COMMAND_NONE, &shard->arena, false, &delivery, &err))
        return nomem(shard);
    if (lane->input->paused_until_us > shard->now_us)
        return BUS_TAKE_WAIT;
    check_placement(shard, lane, record);
    if (delivery.envelope.stray)
        tell_stray(shard, record, delivery.envelope.stray);
    bus_status status = bus_delivery_decode(shard, &delivery, &shard->arena, &err);
    if (status) {
        if (status != BUS_MISSING)
            return nomem(shard);
        if (bus_schema_waits(shard, lane->input, &delivery, &err))
            return BUS_TAKE_WAIT;
    }
    if (bus_delivery_keep(shard, &delivery, &err)) {
        bus_shard_redo(shard, &err);
        return BUS_TAKE_REDO;
    }
    return receive_unsettled(shard, lane, record, &delivery, job);
}

static void tell_forged(bus_shard *shard, const bus_record *record, const bus_error *why, const char *made)
{
    char more[BUS_THROTTLE_TEXT];
    uint64_t hidden;
    bus_count(&shard->metrics.forged, 1);
    if (bus_throttle_pass(&shard->said.forged_lines, shard->now_us, &hidden))
        bus_log(BUS_ERROR, shard->where, "forged", "%s/%d offset %lld: %s; %s%s", record->topic, record->partition, (long long)record->offset,
                why->text, made, bus_throttle_text(hidden, more));
}

/* It counts nothing, runs nothing, and its place is its id: nothing that it says of itself is believed. Of very many only the first
 * become letters: the others stay where they are, in the topic. */
static bus_taken receive_forged(bus_shard *shard, bus_shard_lane *lane, const bus_record *record, const bus_error *why)
{
    bus_delivery delivery;
    bus_tx tx;
    bus_error err = { 0 };
    bool letter = shard->said.forged_letters < FORGED_LETTERS;
    tell_forged(shard, record, why, letter ? "it becomes a dead letter" : "passed over, for there are very many; the topic still has it");
    if (!letter)
        return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
    if (bus_delivery_read(shard, record, BUS_COMMAND_NONE, &shard->arena, false, &delivery, &err))
        return nomem(shard);
    memset(&delivery.envelope, 0, sizeof delivery.envelope);
    delivery.undecodable = true;
    delivery.foreign = true;
    char id[BUS_ID_TEXT];
    bus_id_of_place(record->topic, record->partition, record->offset, bus_position_life(shard->store, record->topic, record->partition), id);
    delivery.event.id = id;
    delivery.event.source = "";
    delivery.event.topic = record->topic;
    delivery.event.partition = record->partition;
    delivery.event.offset = record->offset;
    delivery.event.time = delivery.timestamp = record->timestamp;
    bus_letter known; /* it may be read again */
    bus_status status = bus_letter_name(shard, &delivery, (bus_slice){ 0 }, 0, &err);
    if (status == BUS_OK)
        status = bus_letter_get(shard->store, delivery.letter_id, &known, &err);
    if (status == BUS_OK)
        return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
    delivery.letter_id[0] = 0;
    bus_tx_init(&tx, shard, &delivery);
    tx.error_class = "forged";
    snprintf(tx.reason, sizeof tx.reason, "%.200s", why->text);
    if (status != BUS_MISSING || bus_letter_open(shard, &delivery, &tx, 0, NULL, &err)) {
        bus_shard_redo(shard, &err);
        return BUS_TAKE_REDO;
    }
    shard->said.forged_letters++;
    return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
}

/* A record of a retry tier only triggers: the store holds the bytes. */
static bus_taken receive_retry(bus_shard *shard, bus_shard_lane *lane, const bus_record *record)
{
    bus_envelope envelope;
    bus_error err = { 0 };
    if (bus_envelope_read(record->headers, record->header_count, &envelope, &err) || !envelope.hop.token.at) {
        bus_ignored(shard, record, "retry_ignored", "retry record");
        return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
    }
    const bus_key *key = bus_key_of_token(shard, &envelope.hop.token);
    /* Never longer than the tier's own delay: a clock that stepped must not hold a key for hours. */
    int64_t due = envelope.hop.not_before;
    if (key && due > shard->now_ms && due - shard->now_ms <= lane->input->declared->delay_ms) {
        lane->blocked_until_us = shard->now_us + (due - shard->now_ms) * 1000;
        return BUS_TAKE_WAIT;
    }
    if (key) {
        bus_outcome outcome = bus_key_run_head(shard, bus_key_by_id(shard->store, key->id));
        if (outcome == BUS_OUT_REDO)
            return BUS_TAKE_REDO;
    }
    return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
}

static bus_taken receive_command(bus_shard *shard, bus_shard_lane *lane, const bus_record *record)
{
    bus_outcome outcome = bus_command_run(shard, record);
    if (outcome == BUS_OUT_REDO || outcome == BUS_OUT_PAUSE || outcome == BUS_OUT_PENDING)
        return taken(outcome);
    return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
}

bus_taken bus_receive(bus_shard *shard, bus_shard_lane *lane, size_t index)
{
    const bus_record *record = &lane->record[index];
    bus_arena_reset(&shard->arena);
    bus_error why;
    const char *speaker = lane->input->declared->lead ? BUS_MAC_COMMANDER : NULL;
    if (lane->input->verify && !bus_record_authentic(shard->options.limits.keys, record, speaker, &why)) {
        if (!speaker && !lane->input->declared->retry_tier)
            return receive_forged(shard, lane, record, &why);
        tell_forged(shard, record, &why, "it is passed over");
        return advance(shard, lane, record) ? BUS_TAKEN : nomem(shard);
    }
    if (lane->input->declared->lead)
        return receive_command(shard, lane, record);
    if (lane->input->declared->retry_tier)
        return receive_retry(shard, lane, record);
    return receive_event(shard, lane, record, lane->job ? lane->job[index] : NULL);
}
