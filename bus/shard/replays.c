/* SPDX-License-Identifier: MIT
 * Replays: copies that `bus replay` sends. A copy is not its event: it never settles, waits or becomes a dead letter in its
 * stead, and is refused where its event has not been handled yet. It runs if its route says so (bus_replay_policy), without
 * waiting for its key: what waits under that is later than any event that has been handled. */
#include "shard/settle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

BUS_PRINTF(3, 4) static bui_outcome refuse(bui_shard *shard, const bui_delivery *delivery, const char *format, ...)
{
    const bus_event *event = &delivery->event;
    char why[300];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    bui_count(&shard->metrics.replays_refused, 1);
    if (bui_shard_may_say(shard, &shard->said.replay_said_us))
        bui_log(BUS_WARN, shard->where, "replay_refused", "run %s, copy of %s/%d offset %lld: %s", delivery->run, event->topic,
                event->partition, (long long)event->offset, why);
    return BUI_OUT_DONE;
}

/* The position of this shard on the partition that the copy was taken from; -1: it does not read that. */
static int64_t position_of(const bui_shard *shard, const bus_event *event)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        const bui_shard_lane *lane = &shard->lane[i];
        if (lane->partition == event->partition && strcmp(lane->input->declared->topic, event->topic) == 0)
            return lane->position->next;
    }
    return -1;
}

/* Has its event been handled? True: *out is the outcome of the copy, which must not run. */
static bool too_early(bui_shard *shard, bui_delivery *delivery, bui_outcome *out)
{
    const bus_event *event = &delivery->event;
    bui_identity identity = bui_identity_of(delivery);
    bus_error err = { 0 };
    bui_key *key = NULL;
    bool open = false;
    int64_t next = position_of(shard, event);
    if (next < 0)
        *out = refuse(shard, delivery, "this shard does not read that partition");
    else if (event->offset >= next)
        *out = refuse(shard, delivery, "its event has not been handled yet: the shard goes on at %lld", (long long)next);
    else if (bui_deadletter_is_open(shard, delivery, &open, &err) != BUS_OK)
        *out = bui_shard_redo(shard, &err);
    else if (open)
        *out = refuse(shard, delivery, "its event is an open dead letter: redrive or discard that");
    /* By the key that events wait by: copies have others. */
    else if (bui_key_look(shard->store, delivery->scope, (const char *)delivery->key + 2, delivery->key_len - 2, &key, &err) !=
             BUS_OK)
        *out = bui_shard_redo(shard, &err);
    else if (key && bui_key_holds(shard->store, key, &identity))
        *out = refuse(shard, delivery, "its event waits to be handled");
    else
        return false;
    return true;
}

/* What its route says. True: *out is the outcome, and it must not run. */
static bool unwanted(bui_shard *shard, const bui_delivery *delivery, const bui_envelope *envelope, bui_outcome *out)
{
    const bus_route *route = delivery->route;
    *out = BUI_OUT_DONE;
    if (!route) {
        *out = refuse(shard, delivery, "%s has no route for %.80s from there", shard->name, delivery->event.type_name);
    } else if (route->replay == BUS_REPLAY_SKIP) {
        bui_count(&shard->metrics.replays_skipped, 1);
    } else if (route->replay != BUS_REPLAY_RUN) {
        *out =
            refuse(shard, delivery, "the route of %.80s does not say that its handler may run again (.replay = BUS_REPLAY_RUN)",
                   delivery->event.type_name);
    } else if (envelope->command_round > 0 && bui_deadletter_failures(shard->store, delivery->run) >= envelope->command_round) {
        *out = refuse(shard, delivery, "%d copies of the run have failed here, which ends it (--max-failures)",
                      envelope->command_round);
    } else {
        return false;
    }
    return true;
}

typedef struct copy {
    const bui_record *record;
    const bui_envelope *envelope;
    bui_delivery *delivery;
} copy;

static bui_receipt settle(bui_shard *shard, void *of)
{
    const copy *c = of;
    int64_t gap;
    return bui_mark_settle(shard->store, c->envelope->hop.source.at, c->envelope->hop.source.len, c->record->topic,
                           c->record->partition, c->envelope->hop.seq, shard->now_ms, &gap);
}

static bui_outcome arrive(bui_shard *shard, bui_receipt receipt, void *of)
{
    const copy *c = of;
    bui_outcome outcome = BUI_OUT_DONE;
    if (receipt == BUI_UNCOUNTED) /* a run has one source, and its numbers follow each other: `bus replay` did not send this */
        bui_ignored(shard, c->record, "command_ignored", "replay");
    else if (!unwanted(shard, c->delivery, c->envelope, &outcome) && !too_early(shard, c->delivery, &outcome))
        outcome = bui_key_arrive(shard, c->delivery, NULL);
    return outcome;
}

bui_outcome bui_replay_receive(bui_shard *shard, const bui_record *record, const bui_envelope *envelope)
{
    bui_delivery delivery;
    bus_error err = { 0 };
    bus_status status = bui_delivery_read(shard, record, BUI_COMMAND_REPLAY, &shard->arena, true, &delivery, &err);
    if (status != BUS_OK && status != BUS_MISSING)
        return bui_shard_redo(shard, &err);
    if (status == BUS_MISSING) { /* nobody has announced its schema: the events behind it must not wait for that */
        delivery.undecodable = true;
        snprintf(delivery.fault, sizeof delivery.fault, "%.200s", err.text);
    }
    /* Once per run, also what is refused, or its number would be missed. */
    copy c = { record, envelope, &delivery };
    return bui_settle(shard, (bui_settling){ settle, arrive }, &c);
}
