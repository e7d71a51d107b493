/* SPDX-License-Identifier: MIT
 * Control: the thread that owns the transport. One membership after the other: wait for broker and topics, join, then
 * answer what the group says by opening, claiming, assigning and closing shards, until bus_stop or a condition that
 * needs a person. Whatever needs a fresh start (client fatal, disk trouble, a shard that stays locked) ends the
 * membership: everything is closed, the group left, and after a pause the next one begins. */
#include "base/backoff.h"
#include "base/error.h"
#include "base/log.h"
#include "kafka/transport.h"
#include "service/control.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define POLL_MS 100          /* how late a stop may be noticed */
#define POLL_DETACHED_MS 50  /* how late another process's wish for a shard may be noticed */
#define RETRY_US (200 * 1000)
#define SAY_AGAIN_US (30 * SECOND_US)
#define LETTERS_EVERY_US (30 * SECOND_US)
#define LEAVE_MS 500
#define SIZES_AGAIN_US SECOND_US
#define SIZES_TIMEOUT_MS 1000
#define LETTERS_TIMEOUT_MS 5000

static int64_t now_us(const bus *self)
{
    return self->clock->mono_us(self->clock);
}

/* Would the same happen again, until a person changes something? */
static bool is_final(bus_status status)
{
    switch (status) {
    case BUS_REFUSED:
    case BUS_INVALID:
    case BUS_CONFIG:
    case BUS_CORRUPT:
    case BUS_SCHEMA:
    case BUS_BUG:
        return true;
    default:
        return false;
    }
}

/* ---- all shards at once */

static bool hold_all(bus *self)
{
    bool held = true;
    for (int i = 0; i < self->shards; i++)
        held = bus_seat_hold(&self->seats[i]) && held;
    return held;
}

static void go_all(bus *self)
{
    for (int i = 0; i < self->shards; i++)
        bus_seat_go(&self->seats[i]);
}

static void detach_all(bus *self)
{
    for (int i = 0; i < self->shards; i++)
        if (self->seats[i].shard && bus_shard_attached(self->seats[i].shard))
            bus_shard_detach(self->seats[i].shard);
}

/* Gives the transport the lanes of every claimed shard. All must stand still: their former lanes are gone after. */
static bus_status assign_lanes(bus *self, bus_error *err)
{
    size_t count = 0, at = 0;
    for (int i = 0; i < self->shards; i++)
        if (self->seats[i].claimed)
            count += bus_shard_lane_count(self->seats[i].shard);
    bus_lane_spec *lanes = calloc(count ? count : 1, sizeof *lanes);
    if (!lanes)
        return bus_fail_nomem(err);
    for (int i = 0; i < self->shards; i++) {
        if (!self->seats[i].claimed)
            continue;
        bus_shard_lane_specs(self->seats[i].shard, lanes + at);
        at += bus_shard_lane_count(self->seats[i].shard);
    }
    bus_status status = self->transport->ops->assign(self->transport, lanes, count, err);
    at = 0;
    for (int i = 0; i < self->shards && status == BUS_OK; i++) {
        if (!self->seats[i].claimed)
            continue;
        bus_shard_attach(self->seats[i].shard, lanes + at);
        at += bus_shard_lane_count(self->seats[i].shard);
    }
    free(lanes);
    return status;
}

static bus_status reassign(bus *self, bus_error *err)
{
    if (!hold_all(self)) {
        go_all(self);
        return bus_fail(err, BUS_CANCELLED, "stopping");
    }
    detach_all(self);
    bus_status status = assign_lanes(self, err);
    go_all(self);
    return status;
}

/* ---- what the group says */

/* Opens and claims what is assigned and due; *changed if a shard became claimed. */
static bus_status take_shards(bus *self, bool *changed, bus_error *err)
{
    for (int i = 0; i < self->shards && !bus_stopping(self); i++) {
        bus_seat *seat = &self->seats[i];
        if (!seat->assigned || seat->claimed || now_us(self) < seat->try_at_us)
            continue;
        bus_error why = { 0 };
        bool opening = !seat->shard;
        bus_status status = opening ? bus_seat_open(seat, &why) : BUS_OK;
        if (status == BUS_OK)
            status = bus_seat_claim(seat, &why);
        if (status == BUS_OK) {
            *changed = true;
            bus_log(BUS_INFO, self->name, "shard_taken", "shard %d of %d is %s", i, self->shards, opening ? "open" : "kept open");
            continue;
        }
        int64_t now = now_us(self);
        if (status == BUS_LOCKED) {
            if (!seat->wanting_since_us)
                seat->wanting_since_us = now;
            if (now - seat->wanting_since_us > bus_config_int(self->config, "open.wait.ms") * 1000) {
                *err = why;
                return bus_fail_in(err, "shard %d was given to this process, but after open.wait.ms it is still held", i);
            }
        } else if (status != BUS_BROKER && status != BUS_TIMEOUT) {
            if (status == BUS_CANCELLED)
                return BUS_OK;
            *err = why;
            return bus_fail_in(err, "shard %d", i);
        }
        seat->try_at_us = now + (status == BUS_LOCKED ? RETRY_US : SECOND_US);
        if (now - seat->told_us > SAY_AGAIN_US || !seat->told_us) {
            seat->told_us = now;
            bus_log(BUS_WARN, self->name, "shard_waits", "shard %d cannot be taken yet, trying on: %s", i, why.text);
        }
    }
    return BUS_OK;
}

static bus_status on_assigned(bus *self, const bus_group_event *event, bus_error *err)
{
    bus_count(&self->metrics.assignments, 1);
    for (int i = 0; i < self->shards; i++)
        self->seats[i].assigned = self->seats[i].claimed = false;
    for (size_t i = 0; i < event->count; i++) {
        int32_t p = event->shards[i];
        if (p < 0 || p >= self->shards)
            return bus_fail(err, BUS_REFUSED, "the group gave partition %" PRId32 " of %s, but %s has %d shards: the lead topic "
                            "must have exactly as many partitions", p, bus_router_lead(self->router), self->name, self->shards);
        self->seats[p].assigned = true;
        self->seats[p].try_at_us = self->seats[p].wanting_since_us = self->seats[p].told_us = 0;
    }
    for (int i = 0; i < self->shards; i++) {
        if (self->seats[i].assigned || !self->seats[i].started)
            continue;
        if (!bus_seat_close(&self->seats[i]))
            return BUS_OK; /* stopping */
        bus_log(BUS_INFO, self->name, "shard_released", "shard %d went to another process", i);
    }
    bus_log(BUS_INFO, self->name, "assigned", "the group gave %zu of %d shards", event->count, self->shards);
    bool changed = false;
    bus_status status = take_shards(self, &changed, err);
    /* Also with no shard at all: the event must be answered. */
    if (status == BUS_OK)
        status = reassign(self, err);
    if (status == BUS_OK) {
        pthread_mutex_lock(&self->state_lock);
        self->joined = true;
        pthread_mutex_unlock(&self->state_lock);
        bus_set_phase(self, BUS_PHASE_SERVING, "%s", event->count ? "" : "no shard is assigned to this process: a standby");
    }
    return status;
}

/* Ends deliveries; stores stay open, for bus_transact and because the shards may come back. */
static bus_status on_revoked(bus *self, bool lost, bus_error *err)
{
    bool held = hold_all(self);
    bus_status status = BUS_OK;
    if (held) {
        detach_all(self);
        status = self->transport->ops->assign(self->transport, NULL, 0, err);
    }
    go_all(self);
    for (int i = 0; i < self->shards; i++)
        self->seats[i].assigned = self->seats[i].claimed = false;
    if (lost)
        bus_count(&self->metrics.lost, 1);
    bus_set_phase(self, BUS_PHASE_DETACHED, "%s", lost ? "the group has forgotten this process (broker away?); it rejoins by itself"
                                                      : "the group is sharing out its shards");
    bus_log(lost ? BUS_WARN : BUS_INFO, self->name, lost ? "lost" : "revoked", "deliveries have ended until the next assignment%s",
            lost ? ": the group has forgotten this process; transactions go on" : "");
    return status;
}

/* A broker that is away ends nothing: lanes fall silent, the client reconnects, stores and bus_transact go on. */
static bus_status on_error(bus *self, bus_watch *watch, const bus_error *why, bus_error *err)
{
    if (why->fatal || (why->status != BUS_BROKER && why->status != BUS_TIMEOUT)) {
        *err = *why;
        return bus_fail_in(err, "the group client has failed");
    }
    int64_t now = now_us(self);
    if (!watch->told_us || now - watch->told_us > SAY_AGAIN_US) {
        watch->told_us = now;
        bus_log(BUS_WARN, self->name, "broker_away", "%s; going on by itself when it is back", why->text);
    }
    return BUS_OK;
}

static bus_status on_event(bus *self, bus_watch *watch, const bus_group_event *event, bus_error *err)
{
    switch (event->kind) {
    case BUS_GROUP_NONE:
        return BUS_OK;
    case BUS_GROUP_ASSIGNED:
        return on_assigned(self, event, err);
    case BUS_GROUP_REVOKED:
        return on_revoked(self, false, err);
    case BUS_GROUP_LOST:
        return on_revoked(self, true, err);
    case BUS_GROUP_ERROR:
        return on_error(self, watch, &event->err, err);
    }
    return bus_fail(err, BUS_BUG, "unknown group event %d", (int)event->kind);
}

/* ---- what is looked at between events */

/* A shard that the group has taken away stays open until someone else asks for its lock. */
static void let_go(bus *self)
{
    for (int i = 0; i < self->shards; i++) {
        bus_seat *seat = &self->seats[i];
        if (seat->assigned || !seat->shard || !bus_shard_wanted(seat->shard))
            continue;
        bus_seat_close(seat);
        bus_log(BUS_INFO, self->name, "shard_released", "shard %d was asked for by another process", i);
    }
}

static bus_status look_for_failures(bus *self, bus_error *err)
{
    for (int i = 0; i < self->shards; i++) {
        bus_error why;
        if (!self->seats[i].started || bus_seat_failure(&self->seats[i], &why) == BUS_OK)
            continue;
        *err = why;
        return bus_fail_in(err, "shard %d has halted", i);
    }
    return BUS_OK;
}

/* A record was refused for its size: has a topic's limit changed? One shard a time, so that a slow broker never blocks the loop for long. */
static void look_at_sizes(bus *self, bus_watch *watch)
{
    if (now_us(self) < watch->sizes_us)
        return;
    for (int i = 0; i < self->shards; i++) {
        watch->sizes_at = (watch->sizes_at + 1) % self->shards;
        bus_seat *seat = &self->seats[watch->sizes_at];
        if (!seat->shard || !seat->claimed || !bus_shard_wants_sizes(seat->shard))
            continue;
        watch->sizes_us = now_us(self) + SIZES_AGAIN_US;
        (void)bus_shard_learn_sizes(seat->shard, SIZES_TIMEOUT_MS, NULL);
        return;
    }
}

/* Has the dead-letter topic lost open letters? One shard a turn. */
static void look_for_letters(bus *self, bus_watch *watch)
{
    for (int i = 0; i < self->shards; i++) {
        watch->lost_at = (watch->lost_at + 1) % self->shards;
        bus_seat *seat = &self->seats[watch->lost_at];
        if (!seat->shard || !seat->claimed || !bus_shard_wants_letters(seat->shard))
            continue;
        bus_shard_find_letters(seat->shard, LETTERS_TIMEOUT_MS);
        return;
    }
}

/* One topic a turn, so that a broker that is slow to answer never blocks the loop for long. A topic with other partitions
 * than at the start sends keys to other shards: nothing may be delivered until a person has said that this is meant. */
static bus_status look_at_growth(bus *self, bus_watch *watch, bus_error *err)
{
    size_t count;
    const bus_input *inputs = bus_router_inputs(self->router, &count);
    if (watch->paused || now_us(self) < watch->next_us)
        return BUS_OK;
    watch->next_us = now_us(self) + SAY_AGAIN_US / (int64_t)count;
    size_t i = watch->at++ % count;
    int32_t now = 0;
    if (self->transport->ops->partitions(self->transport, inputs[i].topic, 500, &now, NULL) != BUS_OK || now == self->partitions[i])
        return BUS_OK;
    watch->paused = true;
    bus_log(BUS_ERROR, self->name, "topic_grew", "topic %s had %" PRId32 " partitions and has %" PRId32 " now, so keys moved to "
            "other partitions: deliveries are paused. Restart every process of %s to go on with the new partitions; until the old "
            "ones are read, events of one key may be handled out of order", inputs[i].topic, self->partitions[i], now, self->name);
    bool held = hold_all(self);
    bus_status status = BUS_OK;
    if (held) {
        detach_all(self);
        status = self->transport->ops->assign(self->transport, NULL, 0, err);
    }
    go_all(self);
    bus_set_phase(self, BUS_PHASE_PAUSED, "topic %s had %" PRId32 " partitions and has %" PRId32 " now: restart to go on",
                  inputs[i].topic, self->partitions[i], now);
    return status;
}

/* A process goes on writing to files that were removed under it. */
static bus_status look_for_stores(bus *self, bus_watch *watch, bus_error *err)
{
    if (now_us(self) < watch->stores_us)
        return BUS_OK;
    watch->stores_us = now_us(self) + SECOND_US;
    bus_status status = BUS_OK;
    for (int i = 0; i < self->shards && status == BUS_OK; i++)
        if (self->seats[i].shard)
            status = bus_shard_gone(self->seats[i].shard, err);
    return status;
}

/* Compaction takes letters that share a key, and has the broker refuse those without one. */
static void look_at_letters(bus *self, bus_watch *watch)
{
    bus_error why = { 0 };
    if (now_us(self) < watch->letters_us)
        return;
    watch->letters_us = now_us(self) + LETTERS_EVERY_US;
    bus_status status = bus_letters_kept(self, 1000, &why);
    bool lost = status == BUS_REFUSED;
    if (lost)
        bus_log(BUS_ERROR, self->name, "dlq_compacted", "%s", why.text);
    else if (status != BUS_OK)
        bus_log(BUS_DEBUG, self->name, "dlq_unknown", "%s", why.text);
    else if (bus_gauge_read(&self->metrics.dlq_compacted))
        bus_log(BUS_INFO, self->name, "dlq_kept", "%s is not compacted any more", bus_router_dlq(self->router));
    if (lost || status == BUS_OK)
        bus_gauge_set(&self->metrics.dlq_compacted, lost);
}

static bus_status serve(bus *self, bus_error *err)
{
    bus_watch watch = { .next_us = now_us(self) + SAY_AGAIN_US, .letters_us = now_us(self) + LETTERS_EVERY_US };
    bus_status status = BUS_OK;
    while (status == BUS_OK && !bus_stopping(self)) {
        bool waiting = false;
        for (int i = 0; i < self->shards; i++)
            waiting = waiting || (self->seats[i].shard && !self->seats[i].assigned) ||
                      (self->seats[i].assigned && !self->seats[i].claimed);
        bus_group_event event = { 0 };
        self->transport->ops->poll(self->transport, waiting ? POLL_DETACHED_MS : POLL_MS, &event);
        if (watch.paused && event.kind == BUS_GROUP_ASSIGNED)
            event.count = 0; /* a member still, so that the group stays quiet, but of nothing */
        status = on_event(self, &watch, &event, err);
        if (status == BUS_OK && watch.paused && event.kind == BUS_GROUP_ASSIGNED)
            bus_set_phase(self, BUS_PHASE_PAUSED, "a topic has grown partitions: restart to go on");
        if (status == BUS_OK)
            status = look_for_failures(self, err);
        if (status == BUS_OK)
            status = look_for_stores(self, &watch, err);
        bool changed = false;
        if (status == BUS_OK && !watch.paused)
            status = take_shards(self, &changed, err);
        if (status == BUS_OK && changed)
            status = reassign(self, err);
        let_go(self);
        look_at_sizes(self, &watch);
        if (status == BUS_OK)
            status = look_at_growth(self, &watch, err);
        look_at_letters(self, &watch);
        look_for_letters(self, &watch);
    }
    return status;
}

/* ---- one membership */

/* Lets what is in hand end and what is committed leave, as long as drain.timeout allows. */
static void drain(bus *self)
{
    bus_set_phase(self, BUS_PHASE_STOPPING, "draining");
    for (int i = 0; i < self->shards; i++)
        if (self->seats[i].shard)
            bus_seat_drain(&self->seats[i]);
    for (;;) {
        int left = 0;
        for (int i = 0; i < self->shards; i++)
            left += self->seats[i].shard && !bus_seat_drained(&self->seats[i]);
        if (left == 0)
            return;
        if (bus_out_of_time(self, 0)) {
            bus_log(BUS_WARN, self->name, "not_drained", "%d shards were not drained within drain.timeout.ms; what is committed and "
                    "not acknowledged leaves after the next start", left);
            return;
        }
        /* Still a member, so that commits are taken; what the group says now no longer matters. */
        bus_group_event event = { 0 };
        self->transport->ops->poll(self->transport, 20, &event);
        if (event.kind == BUS_GROUP_REVOKED || event.kind == BUS_GROUP_LOST || event.kind == BUS_GROUP_ASSIGNED)
            on_revoked(self, false, NULL);
    }
}

static void end_membership(bus *self, bool joined)
{
    if (bus_stopping(self))
        drain(self);
    bool held = joined && hold_all(self);
    if (held) {
        detach_all(self);
        self->transport->ops->assign(self->transport, NULL, 0, NULL);
    }
    go_all(self);
    if (held && !self->leaked)
        self->transport->ops->leave(self->transport, LEAVE_MS);
    for (int i = 0; i < self->shards; i++) {
        self->seats[i].assigned = false;
        bus_seat_close(&self->seats[i]);
    }
    /* Leaving frees the lanes, at which a shard that did not stand still goes on looking until it is closed. */
    if (joined && !held && !self->leaked)
        self->transport->ops->leave(self->transport, LEAVE_MS);
    if (!self->leaked) { /* else a shard's port still lives in it */
        self->transport->ops->free(self->transport);
        self->transport = NULL;
    }
}

static bus_status membership(bus *self, bus_error *err)
{
    bool joined = false;
    bus_status status = bus_kafka_transport_open(self->config, bus_slot_instance(self->slot), &self->transport, err);
    if (status != BUS_OK)
        return status;
    status = bus_control_prepare(self, err);
    if (status == BUS_OK) {
        bus_set_phase(self, BUS_PHASE_JOINING, "waiting for the group's answer");
        bus_membership member = {
            .group = self->service->name,
            .lead = bus_router_lead(self->router),
            .instance = bus_slot_instance(self->slot),
            .session_ms = (int)bus_config_int(self->config, "session.timeout.ms"),
        };
        status = self->transport->ops->join(self->transport, &member, err);
        joined = status == BUS_OK;
    }
    if (status == BUS_OK)
        status = serve(self, err);
    end_membership(self, joined);
    return status;
}

void *bus_control_main(void *arg)
{
    bus *self = arg;
    bus_backoff pause;
    bus_backoff_init(&pause, 1000, 60 * 1000, (uint64_t)now_us(self));
    bus_status status = BUS_OK;
    bus_error err = { 0 };
    while (!bus_stopping(self)) {
        int64_t since = now_us(self);
        status = membership(self, &err);
        if (bus_stopping(self) || status == BUS_OK)
            break;
        if (is_final(status)) {
            bus_log(BUS_ERROR, self->name, "halted", "%s", err.text);
            bus_end(self, status, &err);
            return NULL;
        }
        if (now_us(self) - since > 60 * SECOND_US)
            bus_backoff_reset(&pause);
        int64_t wait_ms = bus_backoff_next(&pause);
        bus_count(&self->metrics.rejoins, 1);
        bus_log(BUS_ERROR, self->name, "left_group", "left the group, joining again in %" PRId64 " ms: %s", wait_ms, err.text);
        bus_set_phase(self, BUS_PHASE_WAITING, "left the group for a while: %s", err.text);
        bus_nap(self, wait_ms);
    }
    bus_end(self, BUS_OK, NULL);
    return NULL;
}
