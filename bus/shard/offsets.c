/* SPDX-License-Identifier: MIT
 * Offsets: the claim that opens a shard (section "Open" of the protocol), and telling Kafka how far it is. SQLite is the
 * truth; what Kafka holds is for lag tools, and the proof of which store was the last. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A source's former incarnations are forgotten after this long without a record: far longer than any relay holds rows back. */
#define MARKS_KEPT_MS (INT64_C(90) * 24 * 3600 * 1000)
#define EXPIRE_EVERY_US (INT64_C(24) * 3600 * 1000 * 1000)
#define EXPIRE_MORE_US INT64_C(10000000)
#define LETTERS_OVER 5000   /* over those kept, until they are forgotten together */
#define LETTERS_KEPT 100000 /* resolved and discarded ones: they tell late commands "already", nothing more */

/* ---- the list of what this shard reads */

static bus_status add_lane(bui_shard *shard, bui_shard_input *input, int32_t partition, bus_error *err)
{
    bui_shard_lane *lane = &shard->lane[shard->lane_count];
    *lane = (bui_shard_lane){ .input = input, .partition = partition };
    lane->position = bui_position_of(shard->store, input->declared->topic, partition);
    if (!lane->position)
        return bui_fail_nomem(err);
    shard->lane_count++;
    return BUS_OK;
}

static bus_status list_lanes(bui_shard *shard, const int32_t *partitions, bus_error *err)
{
    size_t total = 0, inputs;
    const bui_input *declared = bui_router_inputs(shard->options.router, &inputs);
    int n = shard->options.count, p = shard->options.index;
    for (size_t i = 0; i < inputs; i++) {
        if (partitions[i] <= 0 || partitions[i] % n != 0)
            return bui_fail(err, BUS_REFUSED,
                            "topic %s has %d partitions, and %s has %d shards: it must be a multiple. Create the topic "
                            "with %d partitions, or begin with new stores and another `shards`",
                            declared[i].topic, partitions[i], shard->name, n, n);
        total += (size_t)(partitions[i] / n);
    }
    if (shard->lane_count) {
        for (size_t i = 0; i < inputs; i++)
            if (shard->input[i].partitions != partitions[i])
                return bui_fail(err, BUS_REFUSED,
                                "topic %s grew from %d to %d partitions: its keys moved to other shards. Drain it, then "
                                "start the service with new stores",
                                declared[i].topic, shard->input[i].partitions, partitions[i]);
        return bui_lanes_room(shard, err);
    }
    shard->lane = calloc(total, sizeof *shard->lane);
    shard->commits.list = calloc(total, sizeof *shard->commits.list);
    shard->commits.told = calloc(total, sizeof *shard->commits.told);
    bus_status status = shard->lane && shard->commits.list && shard->commits.told ? BUS_OK : bui_fail_nomem(err);
    for (size_t i = 0; i < inputs && status == BUS_OK; i++) {
        shard->input[i].partitions = partitions[i];
        for (int32_t q = p; q < partitions[i] && status == BUS_OK; q += n)
            status = add_lane(shard, &shard->input[i], q, err);
    }
    if (status != BUS_OK) { /* all or nothing: the next claim must not take half a list for the whole */
        free(shard->lane);
        free(shard->commits.list);
        free(shard->commits.told);
        shard->lane = NULL;
        shard->commits.list = shard->commits.told = NULL;
        shard->lane_count = 0;
    }
    if (status == BUS_OK)
        status = bui_lanes_room(shard, err);
    return status != BUS_OK ? status : bui_rechecks_room(shard, err);
}

static bus_status learn_outputs(bui_shard *shard, bus_error *err)
{
    size_t count;
    const bui_output *output = bui_router_outputs(shard->options.router, &count);
    for (size_t i = 0; i < count; i++) {
        int32_t partitions = 0;
        bui_transport *transport = shard->options.transport;
        bus_status status = transport->ops->partitions(transport, output[i].topic, (int)shard->options.limits.broker_timeout_ms,
                                                       &partitions, err);
        if (status != BUS_OK)
            return status;
        if (!bui_map_put(&shard->output_partitions, output[i].topic, strlen(output[i].topic), (void *)(intptr_t)partitions))
            return bui_fail_nomem(err);
    }
    return BUS_OK;
}

/* ---- whose commits are these? See commits.c. */

/* A store that no shard ever claimed holds nothing: one that was just made, or was left by a start that was refused. */
static bool unclaimed(const bui_shard *shard)
{
    return !shard->claimed && bui_store_meta(shard->store)->opens == 0;
}

static bool accepts_copy(const bui_shard *shard)
{
    return shard->options.accept == BUI_ACCEPT_COPY && !shard->claimed;
}

/* `what`: how it shows. */
static bus_status older_copy(bui_shard *shard, const char *what, bus_error *err)
{
    if (accepts_copy(shard)) {
        bus_status whole = bui_store_verify(shard->store, err);
        if (whole)
            return whole;
        bui_log(BUS_WARN, shard->where, "copy_accepted",
                "%s is an older copy: %s. --accept=copy: what it has not seen of its topics it handles "
                "again, and emits again under new numbers; schedules fire again; what bus_transact wrote since is lost",
                bui_store_path(shard->store), what);
        return BUS_OK;
    }
    return bui_fail(
        err, BUS_REFUSED,
        "%s is an older copy: %s. Restore the newest copy; or `bus rebuild`, which needs complete topics and a store that bus_transact never wrote to; or, to go on with this one and give up what it does not know, start once with "
        "--accept=copy",
        bui_store_path(shard->store), what);
}

static bus_status check_identity(bui_shard *shard, const bui_commit_text *last, bus_error *err)
{
    const bui_meta *meta = bui_store_meta(shard->store);
    const char *id = last->store_id;
    int64_t opens = last->opens;
    char what[160];
    if (!*id)
        return BUS_OK;
    if (strcmp(id, meta->store_id) != 0) {
        if (unclaimed(shard) && shard->options.init)
            return BUS_OK;
        return bui_fail(
            err, BUS_REFUSED,
            "%s is not the store of %s: the group's last was %s, opened %lld times, and this %s. Mount the right volume; or "
            "`bus rebuild`; or, to give up what the old one knew, start with --init on an empty directory",
            bui_store_path(shard->store), shard->where, id, (long long)opens,
            unclaimed(shard) ? "directory has none" : meta->store_id);
    }
    if (opens > meta->opens) {
        snprintf(what, sizeof what, "it was opened %lld times, and the group's commits know of %lld", (long long)meta->opens,
                 (long long)opens);
        return older_copy(shard, what, err);
    }
    if (opens == meta->opens && last->age > meta->age) {
        snprintf(what, sizeof what, "its age is %lld, and the group's commits know of %lld", (long long)meta->age,
                 (long long)last->age);
        return older_copy(shard, what, err);
    }
    return BUS_OK;
}

/* Store and commits both gone while the service's own topics hold records: it ran before, and its store is missing. */
static bus_status check_traces(bui_shard *shard, const bui_offset *marks, bus_error *err)
{
    const char *trace = NULL;
    for (size_t i = 0; i < shard->lane_count && !trace; i++)
        if (shard->lane[i].input->declared->retry_tier && marks[i].high > 0)
            trace = marks[i].topic;
    bui_offset dlq = { .topic = bui_router_dlq(shard->options.router), .partition = shard->options.index };
    bui_transport *transport = shard->options.transport;
    if (!trace && transport->ops->watermarks(transport, &dlq, 1, (int)shard->options.limits.broker_timeout_ms, NULL) == BUS_OK &&
        dlq.high > 0)
        trace = dlq.topic;
    if (!trace)
        return BUS_OK;
    return bui_fail(
        err, BUS_REFUSED,
        "%s has no store and the group no commits, but %s holds records: it ran before. Mount its volume; or `bus rebuild`; or, "
        "to start empty and give up what it knew, --init",
        shard->where, trace);
}

/* ---- positions */

/* An offset that someone else committed (Kafka's own tool) moves the position. */
static bus_status take_foreign(bui_shard *shard, bui_shard_lane *lane, const bui_offset *committed, bus_error *err)
{
    const bui_meta *meta = bui_store_meta(shard->store);
    bui_position *position = lane->position;
    bui_commit_text text;
    bool counts;
    if (committed->offset < 0)
        return BUS_OK; /* vanished or never made: no reset (KIP-211) */
    if (bui_commit_read(committed->metadata, &text)) {
        char what[400];
        if (strcmp(text.store_id, meta->store_id) != 0)
            return BUS_OK; /* the former store's, given up by --init */
        /* A retry topic made again is read from its start, and what was committed of the former one says nothing of the store's age. */
        if (committed->offset <= position->next || lane->input->declared->retry_tier)
            return BUS_OK;
        snprintf(what, sizeof what, "it is at offset %lld of %s/%d, and the group has committed %lld", (long long)position->next,
                 committed->topic, committed->partition, (long long)committed->offset);
        return older_copy(shard, what, err);
    }
    bus_status asked = bui_commit_counts(shard, committed, position->next, &counts, err);
    if (asked != BUS_OK || !counts)
        return asked;
    if (committed->offset == position->next) /* setting it where it stands accepts the topic as it is now */
        return bui_position_reset(shard->store, position, position->next) ? BUS_OK : bui_fail_nomem(err);
    bui_log(BUS_WARN, shard->where, "offset_reset",
            "%s/%d: someone committed offset %lld, the store was at %lld: going on from there", committed->topic,
            committed->partition, (long long)committed->offset, (long long)position->next);
    bus_status status = BUS_OK;
    if (position->next >= 0 && committed->offset < position->next) {
        char source[BUI_DEDUP_SOURCE];
        bui_dedup_source(source, &(bui_identity){ position->topic, position->partition, "", NULL });
        status = bui_position_forget(shard->store, committed->topic, committed->partition, err);
        if (status == BUS_OK)
            status = bui_dedup_forget(shard->store, source, err);
    }
    if (status == BUS_OK && !bui_position_reset(shard->store, position, committed->offset))
        status = bui_fail_nomem(err);
    return status;
}

static bus_status check_log(bui_shard *shard, bui_shard_lane *lane, const bui_offset *mark, bus_error *err)
{
    bui_position *position = lane->position;
    const bui_input *declared = lane->input->declared;
    int64_t next = position->next;
    if (next < 0)
        next = declared->start == BUS_FROM_END ? mark->high : mark->low;
    else if (next > mark->high && declared->retry_tier) /* made again: they only trigger, and what they carried is in the store */
        next = mark->low;
    else if (next > mark->high)
        return bui_fail(
            err, BUS_REFUSED,
            "%s/%d ends at offset %lld, and %s is at %lld: the topic was recreated or lost records. Restore it, or accept "
            "the loss by resetting the group's offset of this partition with Kafka's own tool",
            mark->topic, mark->partition, (long long)mark->high, shard->where, (long long)next);
    else if (next < mark->low && declared->retry_tier)
        next = mark->low; /* they only trigger; the store has what they carried */
    else if (next < mark->low)
        return bui_fail(err, BUS_REFUSED,
                        "%s/%d begins at offset %lld, and %s is at %lld: records were deleted before they were read. Raise "
                        "retention; to accept the loss reset the group's offset of this partition with Kafka's own tool",
                        mark->topic, mark->partition, (long long)mark->low, shard->where, (long long)next);
    int64_t anchor = next == position->next && !position->judging ? position->anchor.offset : -1;
    if (next != position->next &&
        !bui_position_set(shard->store, position, next, position->judging ? position->anchor : BUI_NO_PLACE))
        return bui_fail_nomem(err);
    lane->claimed_next = next;
    lane->start = anchor >= mark->low && anchor >= 0 ? anchor : next;
    return BUS_OK;
}

/* Once a day, and whenever a redrive of very many has settled some thousands over what is kept. */
bool bui_offsets_expire_due(const bui_shard *shard)
{
    return shard->commits.expire_at_us <= shard->now_us ||
           bui_deadletter_settled_count(shard->store) >= LETTERS_KEPT + LETTERS_OVER;
}

bus_status bui_offsets_expire(bui_shard *shard, bus_error *err)
{
    int64_t before_ms = shard->clock->wall_ms(shard->clock) - MARKS_KEPT_MS, gone = 0;
    bool more = false;
    bus_status status = bui_deadletter_expire(shard->store, before_ms, LETTERS_KEPT, &gone, &more, err);
    shard->commits.expire_at_us = shard->clock->mono_us(shard->clock) + (more ? EXPIRE_MORE_US : EXPIRE_EVERY_US);
    bui_count(&shard->metrics.letters_forgotten, (uint64_t)gone);
    if (gone)
        bui_log(BUS_INFO, shard->where, "letters_forgotten",
                "%lld dead letter(s), resolved or discarded for 90 days, or the "
                "oldest of more than %d, "
                "left the store; the dead-letter topic still has them",
                (long long)gone, LETTERS_KEPT);
    return status != BUS_OK ? status : bui_mark_expire(shard->store, before_ms, err);
}

static bus_status settle_positions(bui_shard *shard, const bui_offset *committed, const bui_offset *marks, bus_error *err)
{
    bus_status status = bui_store_begin(shard->store, err);
    if (status == BUS_OK)
        status = bui_offsets_expire(shard, err);
    for (size_t i = 0; i < shard->lane_count && status == BUS_OK; i++) {
        status = take_foreign(shard, &shard->lane[i], &committed[i], err);
        if (status == BUS_OK)
            status = check_log(shard, &shard->lane[i], &marks[i], err);
    }
    if (status == BUS_OK)
        status = bui_store_commit(shard->store, err);
    if (status != BUS_OK)
        bui_store_rollback(shard->store);
    return status;
}

static void fill_commits(bui_shard *shard)
{
    for (size_t i = 0; i < shard->lane_count; i++)
        shard->commits.list[i] = (bui_offset){ .topic = shard->lane[i].input->declared->topic,
                                               .partition = shard->lane[i].partition,
                                               .offset = shard->lane[i].position->next };
}

/* Sends a list, with the state of the store now: by then the store may be ahead of the offsets, never behind. */
static const bui_offset *signed_commits(bui_shard *shard, bui_offset *list)
{
    char text[BUI_COMMIT_TEXT];
    bui_commit_write(shard, text);
    for (size_t i = 0; i < shard->lane_count; i++)
        memcpy(list[i].metadata, text, sizeof text);
    if (list != shard->commits.told)
        memcpy(shard->commits.told, list, shard->lane_count * sizeof *list);
    shard->commits.age_moved = false;
    return list;
}

static bus_status identify(bui_shard *shard, const bui_offset *committed, bus_error *err)
{
    shard->commits.last = (bui_commit_text){ .age = -1 };
    bui_commit_last(committed, shard->lane_count, &shard->commits.last);
    return check_identity(shard, &shard->commits.last, err);
}

/* More than any that the group knows of, also for a copy that is accepted. */
static int64_t opens_of(const bui_shard *shard)
{
    int64_t opens = bui_store_meta(shard->store)->opens;
    return (accepts_copy(shard) && shard->commits.last.opens > opens ? shard->commits.last.opens : opens) + 1;
}

/* Where the group and the topics stand, and whether this store may go on from there. */
static bus_status ask_group(bui_shard *shard, bui_offset *committed, bui_offset *marks, int timeout, bus_error *err)
{
    bui_transport *transport = shard->options.transport;
    bus_status status = transport->ops->committed(transport, committed, shard->lane_count, timeout, err);
    if (status == BUS_OK)
        status = transport->ops->watermarks(transport, marks, shard->lane_count, timeout, err);
    if (status != BUS_OK)
        return status;
    bui_commit_look_around(shard);
    status = identify(shard, committed, err);
    if (status == BUS_OK && unclaimed(shard) && !shard->options.init && committed[0].offset < 0)
        status = check_traces(shard, marks, err);
    return status;
}

/* The store gets its next incarnation at the first claim since it was opened. */
static bus_status raise_once(bui_shard *shard, bus_error *err)
{
    if (shard->raised)
        return BUS_OK;
    bus_status status = bui_store_raise(shard->store, NULL, opens_of(shard), err);
    if (status == BUS_OK)
        status = bui_refused_start(shard, err);
    if (status == BUS_OK)
        status = bui_relay_start(shard, err);
    if (status != BUS_OK)
        return status;
    bui_key_totals keys = bui_key_totals_of(shard->store);
    shard->batch.held_left = keys.held ? (size_t)(keys.waiting + keys.held + keys.catching_up) : 0;
    shard->raised = true;
    return BUS_OK;
}

bus_status bui_shard_claim(bui_shard *shard, const int32_t *partitions, bus_error *err)
{
    bui_transport *transport = shard->options.transport;
    int timeout = (int)shard->options.limits.broker_timeout_ms;
    bus_status status = list_lanes(shard, partitions, err);
    if (status == BUS_OK)
        status = learn_outputs(shard, err);
    if (status != BUS_OK)
        return status;
    bus_error why = { 0 }; /* a principal need not have the right to ask */
    if (bui_shard_learn_sizes(shard, timeout, &why) != BUS_OK)
        bui_log(BUS_INFO, shard->where, "topic_limits",
                "the largest record that the topics take is not known (%s): "
                "message.max.bytes counts for all",
                why.text);
    bui_offset *committed = calloc(shard->lane_count, sizeof *committed), *marks = calloc(shard->lane_count, sizeof *marks);
    if (!committed || !marks) {
        status = bui_fail_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < shard->lane_count; i++)
        committed[i] = marks[i] = (bui_offset){ .topic = shard->lane[i].input->declared->topic,
                                                .partition = shard->lane[i].partition,
                                                .offset = BUI_OFFSET_NONE };
    status = ask_group(shard, committed, marks, timeout, err);
    if (status != BUS_OK)
        goto out;
    BUI_FAILPOINT("claim-before-raise");
    status = raise_once(shard, err);
    if (status == BUS_OK)
        status = settle_positions(shard, committed, marks, err);
    if (status != BUS_OK)
        goto out;
    BUI_FAILPOINT("claim-before-commit");
    fill_commits(shard);
    status = transport->ops->commit(transport, signed_commits(shard, shard->commits.list), shard->lane_count, timeout, err);
    BUI_FAILPOINT("claim-after-commit");
    if (status == BUS_OK && !shard->looked)
        bui_relay_look(shard);
    shard->looked |= status == BUS_OK;
    shard->claimed |= status == BUS_OK;
    if (status == BUS_OK)
        shard->commits.claimed_in = shard->commits.company.membership;
out:
    free(committed);
    free(marks);
    return status;
}

size_t bui_shard_lane_count(const bui_shard *shard)
{
    return shard->lane_count;
}

void bui_shard_lane_specs(bui_shard *shard, bui_lane_spec *out)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        bui_shard_lane *lane = &shard->lane[i];
        /* It may have gone on since the claim, its anchor seen: a reassignment starts where the store is. */
        int64_t next = lane->position->next;
        if (next != lane->claimed_next)
            lane->start = next;
        lane->check_anchor = lane->start < next;
        out[i] = (bui_lane_spec){ .port = shard->port,
                                  .topic = lane->input->declared->topic,
                                  .partition = lane->partition,
                                  .offset = lane->start,
                                  .number = i };
    }
}

/* ---- while it runs: offsets follow the acknowledged rows */

void bui_offsets_step(bui_shard *shard)
{
    bus_error err = { 0 };
    if (!shard->attached)
        return;
    if (shard->commits.waiting) {
        int answer = shard->port->ops->committed(shard->port, &err);
        if (answer == 0)
            return;
        shard->commits.waiting = false;
        BUI_FAILPOINT("after-offset-commit");
        if (answer < 0) { /* tried again with the next; SQLite is the truth */
            shard->commits.positions_moved = shard->commits.age_moved = true;
            shard->commits.age_at_us = shard->now_us + shard->options.limits.commit_interval_ms * 1000;
        }
    }
    if (shard->commits.positions_moved && !shard->commits.wanted) {
        shard->commits.wanted = true;
        shard->commits.positions_moved = false;
        shard->commits.upto = bui_outbox_next_id(shard->store);
        shard->commits.at_us = shard->now_us + shard->options.limits.commit_interval_ms * 1000;
        fill_commits(shard);
    }
    bool due = shard->now_us >= shard->commits.at_us || atomic_load_explicit(&shard->draining, memory_order_relaxed);
    bool offsets = shard->commits.wanted && due && !bui_relay_below(shard, shard->commits.upto, true);
    /* An answered transaction, a schedule: no position shows them, and an older copy of the store would pass as the newest. Kafka
     * hears of the store's age at once, without waiting for acknowledgements, beside the offsets that it knows. */
    if (!offsets && (!shard->commits.age_moved || shard->now_us < shard->commits.age_at_us))
        return;
    if (bui_store_gone(shard->store, &err) != BUS_OK) { /* what those offsets say is in no file that a next process will find */
        bui_shard_halt(shard, &err);
        return;
    }
    BUI_FAILPOINT("before-offset-commit");
    shard->commits.wanted = shard->commits.wanted && !offsets;
    shard->commits.waiting = true;
    shard->port->ops->commit(shard->port, signed_commits(shard, offsets ? shard->commits.list : shard->commits.told),
                             shard->lane_count);
}

bool bui_offsets_due(const bui_shard *shard)
{
    if (atomic_load_explicit(&((bui_shard *)(uintptr_t)shard)->draining, memory_order_relaxed))
        return true;
    return shard->attached && shard->commits.wanted && !shard->commits.waiting && shard->now_us >= shard->commits.at_us;
}

int64_t bui_offsets_wait_us(const bui_shard *shard)
{
    if (!shard->attached || shard->commits.waiting)
        return INT64_MAX;
    int64_t age = shard->commits.age_moved ? shard->commits.age_at_us - shard->now_us : INT64_MAX;
    int64_t offsets = shard->commits.wanted ? shard->commits.at_us - shard->now_us : INT64_MAX;
    if (offsets <= 0 && bui_relay_below((bui_shard *)(uintptr_t)shard, shard->commits.upto, true))
        offsets = INT64_MAX; /* the acknowledgement will wake us */
    int64_t wait = age < offsets ? age : offsets;
    return wait > 0 ? wait : 0;
}

bool bui_offsets_settled(const bui_shard *shard)
{
    const bui_commits *commits = &shard->commits;
    return !shard->attached || (!commits->waiting && !commits->wanted && !commits->positions_moved && !commits->age_moved);
}
