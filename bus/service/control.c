/* SPDX-License-Identifier: MIT
 * Control: the thread that owns the transport. One membership after the other: wait for broker and topics, join, then follow
 * the group by opening, claiming, assigning and closing shards, until bus_stop or a condition that needs a person. Whatever
 * needs a new start (client fatal, disk trouble, a shard that stays locked) ends the membership: everything is closed, the
 * group left, and after a pause the next one begins. */
#include "base/backoff.h"
#include "base/error.h"
#include "base/log.h"
#include "kafka/transport.h"
#include "service/control.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define POLL_MS 100         /* how late a stop may be noticed */
#define POLL_DETACHED_MS 50 /* how late another process's wish for a shard may be noticed */
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
    case BUS_BUG: return true;
    default: return false;
    }
}

/* ---- all shards at once */

static bool hold_all(bus *self)
{
    bool quiesced = true;
    for (int i = 0; i < self->shards; i++)
        quiesced = bui_worker_quiesce(&self->workers[i]) && quiesced;
    return quiesced;
}

static void go_all(bus *self)
{
    for (int i = 0; i < self->shards; i++)
        bui_worker_resume(&self->workers[i]);
}

static void detach_all(bus *self)
{
    for (int i = 0; i < self->shards; i++)
        if (self->workers[i].shard && bui_shard_attached(self->workers[i].shard))
            bui_shard_detach(self->workers[i].shard);
}

/* Gives the transport the lanes of every claimed shard. All must stand still: their former lanes are gone after. */
static bus_status assign_lanes(bus *self, bus_error *err)
{
    size_t count = 0, at = 0;
    for (int i = 0; i < self->shards; i++)
        if (self->workers[i].claimed)
            count += bui_shard_lane_count(self->workers[i].shard);
    bui_lane_spec *lanes = calloc(count ? count : 1, sizeof *lanes);
    if (!lanes)
        return bui_fail_nomem(err);
    for (int i = 0; i < self->shards; i++) {
        if (!self->workers[i].claimed)
            continue;
        bui_shard_lane_specs(self->workers[i].shard, lanes + at);
        at += bui_shard_lane_count(self->workers[i].shard);
    }
    bus_status status = self->transport->ops->assign(self->transport, lanes, count, err);
    at = 0;
    for (int i = 0; i < self->shards && status == BUS_OK; i++) {
        if (!self->workers[i].claimed)
            continue;
        bui_shard_attach(self->workers[i].shard, lanes + at);
        at += bui_shard_lane_count(self->workers[i].shard);
    }
    free(lanes);
    return status;
}

static bus_status reassign(bus *self, bus_error *err)
{
    if (!hold_all(self)) {
        go_all(self);
        return bui_fail(err, BUS_CANCELLED, "stopping");
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
    for (int i = 0; i < self->shards && !bui_stopping(self); i++) {
        bui_worker *worker = &self->workers[i];
        if (!worker->assigned || worker->claimed || now_us(self) < worker->try_at_us)
            continue;
        bus_error why = { 0 };
        bool opening = !worker->shard;
        bus_status status = opening ? bui_worker_open(worker, &why) : BUS_OK;
        if (status == BUS_OK)
            status = bui_worker_claim(worker, &why);
        if (status == BUS_OK) {
            *changed = true;
            bui_log(BUS_INFO, self->name, "shard_taken", "shard %d of %d is %s", i, self->shards, opening ? "open" : "kept open");
            continue;
        }
        int64_t now = now_us(self);
        if (status == BUS_LOCKED) {
            if (!worker->wanting_since_us)
                worker->wanting_since_us = now;
            if (now - worker->wanting_since_us > bui_config_int(self->config, "open.wait.ms") * 1000) {
                *err = why;
                return bui_fail_in(err, "shard %d was given to this process, but after open.wait.ms it is still held", i);
            }
        } else if (status != BUS_BROKER && status != BUS_TIMEOUT) {
            if (status == BUS_CANCELLED)
                return BUS_OK;
            *err = why;
            return bui_fail_in(err, "shard %d", i);
        }
        worker->try_at_us = now + (status == BUS_LOCKED ? RETRY_US : SECOND_US);
        if (now - worker->told_us > SAY_AGAIN_US || !worker->told_us) {
            worker->told_us = now;
            bui_log(BUS_WARN, self->name, "shard_waits", "shard %d cannot be opened yet, trying again: %s", i, why.text);
        }
    }
    return BUS_OK;
}

static bus_status on_assigned(bus *self, const bui_group_event *event, bus_error *err)
{
    bui_count(&self->metrics.assignments, 1);
    for (int i = 0; i < self->shards; i++)
        self->workers[i].assigned = self->workers[i].claimed = false;
    for (size_t i = 0; i < event->count; i++) {
        int32_t p = event->shards[i];
        if (p < 0 || p >= self->shards)
            return bui_fail(err, BUS_REFUSED,
                            "the group gave partition %" PRId32 " of %s, but %s has %d shards: the lead topic "
                            "must have exactly as many partitions",
                            p, bui_router_lead(self->router), self->name, self->shards);
        self->workers[p].assigned = true;
        self->workers[p].try_at_us = self->workers[p].wanting_since_us = self->workers[p].told_us = 0;
    }
    for (int i = 0; i < self->shards; i++) {
        if (self->workers[i].assigned || !self->workers[i].started)
            continue;
        if (!bui_worker_close(&self->workers[i]))
            return BUS_OK; /* stopping */
        bui_log(BUS_INFO, self->name, "shard_released", "shard %d went to another process", i);
    }
    bui_log(BUS_INFO, self->name, "assigned", "the group gave %zu of %d shards", event->count, self->shards);
    bool changed = false;
    bus_status status = take_shards(self, &changed, err);
    /* Also with no shard at all: the event must be answered. */
    if (status == BUS_OK)
        status = reassign(self, err);
    if (status == BUS_OK) {
        pthread_mutex_lock(&self->state_lock);
        self->joined = true;
        pthread_mutex_unlock(&self->state_lock);
        bui_set_phase(self, BUI_PHASE_SERVING, "%s", event->count ? "" : "no shard is assigned to this process: a standby");
    }
    return status;
}

/* Ends deliveries; stores stay open, for bus_transact and because the shards may come back. */
static bus_status on_revoked(bus *self, bool lost, bus_error *err)
{
    bool quiesced = hold_all(self);
    bus_status status = BUS_OK;
    if (quiesced) {
        detach_all(self);
        status = self->transport->ops->assign(self->transport, NULL, 0, err);
    }
    go_all(self);
    for (int i = 0; i < self->shards; i++)
        self->workers[i].assigned = self->workers[i].claimed = false;
    if (lost)
        bui_count(&self->metrics.lost, 1);
    bui_set_phase(self, BUI_PHASE_DETACHED, "%s",
                  lost ? "the group has forgotten this process (is the broker down?); it rejoins by itself"
                       : "the group is assigning its shards");
    bui_log(lost ? BUS_WARN : BUS_INFO, self->name, lost ? "lost" : "revoked",
            "deliveries have ended until the next assignment%s",
            lost ? ": the group has forgotten this process; transactions go on" : "");
    return status;
}

/* A broker that is away ends nothing: lanes fall silent, the client reconnects, stores and bus_transact go on. */
static bus_status on_error(bus *self, bui_watch *watch, const bus_error *why, bus_error *err)
{
    if (why->fatal || (why->status != BUS_BROKER && why->status != BUS_TIMEOUT)) {
        *err = *why;
        return bui_fail_in(err, "the group client has failed");
    }
    int64_t now = now_us(self);
    if (!watch->told_us || now - watch->told_us > SAY_AGAIN_US) {
        watch->told_us = now;
        bui_log(BUS_WARN, self->name, "broker_away", "%s; going on by itself when it is back", why->text);
    }
    return BUS_OK;
}

static bus_status on_event(bus *self, bui_watch *watch, const bui_group_event *event, bus_error *err)
{
    switch (event->kind) {
    case BUI_GROUP_NONE: return BUS_OK;
    case BUI_GROUP_ASSIGNED: return on_assigned(self, event, err);
    case BUI_GROUP_REVOKED: return on_revoked(self, false, err);
    case BUI_GROUP_LOST: return on_revoked(self, true, err);
    case BUI_GROUP_ERROR: return on_error(self, watch, &event->err, err);
    }
    return bui_fail(err, BUS_BUG, "unknown group event %d", (int)event->kind);
}

/* ---- what is looked at between events */

/* A shard that the group has taken away stays open until someone else asks for its lock. */
static void let_go(bus *self)
{
    for (int i = 0; i < self->shards; i++) {
        bui_worker *worker = &self->workers[i];
        if (worker->assigned || !worker->shard || !bui_shard_wanted(worker->shard))
            continue;
        bui_worker_close(worker);
        bui_log(BUS_INFO, self->name, "shard_released", "shard %d was asked for by another process", i);
    }
}

static bus_status look_for_failures(bus *self, bus_error *err)
{
    for (int i = 0; i < self->shards; i++) {
        bus_error why;
        if (!self->workers[i].started || bui_worker_failure(&self->workers[i], &why) == BUS_OK)
            continue;
        *err = why;
        return bui_fail_in(err, "shard %d has halted", i);
    }
    return BUS_OK;
}

/* A record was refused for its size: has a topic's limit changed? One shard a time, so that a slow broker never blocks the loop for long. */
static void look_at_sizes(bus *self, bui_watch *watch)
{
    if (now_us(self) < watch->sizes_us)
        return;
    for (int i = 0; i < self->shards; i++) {
        watch->sizes_at = (watch->sizes_at + 1) % self->shards;
        bui_worker *worker = &self->workers[watch->sizes_at];
        if (!worker->shard || !worker->claimed || !bui_shard_wants_sizes(worker->shard))
            continue;
        watch->sizes_us = now_us(self) + SIZES_AGAIN_US;
        (void)bui_shard_learn_sizes(worker->shard, SIZES_TIMEOUT_MS, NULL);
        return;
    }
}

/* Has the dead-letter topic lost open letters? One shard a round. */
static void look_for_letters(bus *self, bui_watch *watch)
{
    for (int i = 0; i < self->shards; i++) {
        watch->lost_at = (watch->lost_at + 1) % self->shards;
        bui_worker *worker = &self->workers[watch->lost_at];
        if (!worker->shard || !worker->claimed || !bui_shard_wants_letters(worker->shard))
            continue;
        bui_shard_find_letters(worker->shard, LETTERS_TIMEOUT_MS);
        return;
    }
}

/* One topic a round, so that a broker that is slow to answer never blocks the loop for long. A topic with other partitions
 * than at the start sends keys to other shards: nothing may be delivered until a person has said that this is meant. */
static bus_status look_at_growth(bus *self, bui_watch *watch, bus_error *err)
{
    size_t count;
    const bui_input *inputs = bui_router_inputs(self->router, &count);
    if (watch->paused || now_us(self) < watch->next_us)
        return BUS_OK;
    watch->next_us = now_us(self) + SAY_AGAIN_US / (int64_t)count;
    size_t i = watch->at++ % count;
    int32_t now = 0;
    if (self->transport->ops->partitions(self->transport, inputs[i].topic, 500, &now, NULL) != BUS_OK ||
        now == self->partitions[i])
        return BUS_OK;
    watch->paused = true;
    bui_log(
        BUS_ERROR, self->name, "topic_grew",
        "topic %s had %" PRId32 " partitions and has %" PRId32 " now, so keys moved to "
        "other partitions: deliveries are paused. Restart every process of %s to go on with the new partitions; until the old "
        "ones are read, events of one key may be handled out of order",
        inputs[i].topic, self->partitions[i], now, self->name);
    bool quiesced = hold_all(self);
    bus_status status = BUS_OK;
    if (quiesced) {
        detach_all(self);
        status = self->transport->ops->assign(self->transport, NULL, 0, err);
    }
    go_all(self);
    bui_set_phase(self, BUI_PHASE_PAUSED, "topic %s had %" PRId32 " partitions and has %" PRId32 " now: restart to go on",
                  inputs[i].topic, self->partitions[i], now);
    return status;
}

/* A process goes on writing to files that were removed under it. */
static bus_status look_for_stores(bus *self, bui_watch *watch, bus_error *err)
{
    if (now_us(self) < watch->stores_us)
        return BUS_OK;
    watch->stores_us = now_us(self) + SECOND_US;
    bus_status status = BUS_OK;
    for (int i = 0; i < self->shards && status == BUS_OK; i++)
        if (self->workers[i].shard)
            status = bui_shard_gone(self->workers[i].shard, err);
    return status;
}

/* Compaction takes dead letters that share a key, and has the broker refuse those without one. */
static void look_at_letters(bus *self, bui_watch *watch)
{
    bus_error why = { 0 };
    if (now_us(self) < watch->letters_us)
        return;
    watch->letters_us = now_us(self) + LETTERS_EVERY_US;
    bus_status status = bui_deadletters_kept(self, 1000, &why);
    bool lost = status == BUS_REFUSED;
    if (lost)
        bui_log(BUS_ERROR, self->name, "dlq_compacted", "%s", why.text);
    else if (status != BUS_OK)
        bui_log(BUS_DEBUG, self->name, "dlq_unknown", "%s", why.text);
    else if (bui_gauge_read(&self->metrics.dlq_compacted))
        bui_log(BUS_INFO, self->name, "dlq_kept", "%s is no longer compacted", bui_router_dlq(self->router));
    if (lost || status == BUS_OK)
        bui_gauge_set(&self->metrics.dlq_compacted, lost);
}

static bus_status serve(bus *self, bus_error *err)
{
    bui_watch watch = { .next_us = now_us(self) + SAY_AGAIN_US, .letters_us = now_us(self) + LETTERS_EVERY_US };
    bus_status status = BUS_OK;
    while (status == BUS_OK && !bui_stopping(self)) {
        bool waiting = false;
        for (int i = 0; i < self->shards; i++)
            waiting = waiting || (self->workers[i].shard && !self->workers[i].assigned) ||
                      (self->workers[i].assigned && !self->workers[i].claimed);
        bui_group_event event = { 0 };
        self->transport->ops->poll(self->transport, waiting ? POLL_DETACHED_MS : POLL_MS, &event);
        if (watch.paused && event.kind == BUI_GROUP_ASSIGNED)
            event.count = 0; /* a member still, so that the group stays quiet, but of nothing */
        status = on_event(self, &watch, &event, err);
        if (status == BUS_OK && watch.paused && event.kind == BUI_GROUP_ASSIGNED)
            bui_set_phase(self, BUI_PHASE_PAUSED, "a topic has grown partitions: restart to go on");
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

/* Finishes current work and sends what is committed, within drain.timeout. */
static void drain(bus *self)
{
    bui_set_phase(self, BUI_PHASE_STOPPING, "draining");
    for (int i = 0; i < self->shards; i++)
        if (self->workers[i].shard)
            bui_worker_drain(&self->workers[i]);
    for (;;) {
        int left = 0;
        for (int i = 0; i < self->shards; i++)
            left += self->workers[i].shard && !bui_worker_drained(&self->workers[i]);
        if (left == 0)
            return;
        if (bui_out_of_time(self, 0)) {
            bui_log(BUS_WARN, self->name, "not_drained",
                    "%d shards were not drained within drain.timeout.ms; what is committed and "
                    "not acknowledged leaves after the next start",
                    left);
            return;
        }
        /* Still a member, so that commits are taken; what the group says now no longer matters. */
        bui_group_event event = { 0 };
        self->transport->ops->poll(self->transport, 20, &event);
        if (event.kind == BUI_GROUP_REVOKED || event.kind == BUI_GROUP_LOST || event.kind == BUI_GROUP_ASSIGNED)
            on_revoked(self, false, NULL);
    }
}

static void end_membership(bus *self, bool joined)
{
    if (bui_stopping(self))
        drain(self);
    bool quiesced = hold_all(self) && joined;
    if (quiesced) {
        detach_all(self);
        self->transport->ops->assign(self->transport, NULL, 0, NULL);
    }
    go_all(self);
    if (quiesced && !self->leaked)
        self->transport->ops->leave(self->transport, LEAVE_MS);
    for (int i = 0; i < self->shards; i++)
        self->workers[i].assigned = false;
    /* Those whose handler hangs last: waiting for them takes the time that there is. */
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < self->shards; i++)
            if (last || self->workers[i].stands)
                bui_worker_close(&self->workers[i]);
    /* Leaving frees the lanes, at which a shard that did not stand still goes on looking until it is closed. */
    if (joined && !quiesced && !self->leaked)
        self->transport->ops->leave(self->transport, LEAVE_MS);
    if (!self->leaked) { /* else a shard's port still lives in it */
        self->transport->ops->free(self->transport);
        self->transport = NULL;
    }
}

/* Of all topics that the service reads: more than these no process has. */
static size_t all_partitions(const bus *self)
{
    size_t count, sum = 0;
    (void)bui_router_inputs(self->router, &count);
    for (size_t i = 0; i < count; i++)
        sum += self->partitions[i] > 0 ? (size_t)self->partitions[i] : 0;
    return sum;
}

static bus_status membership(bus *self, bus_error *err)
{
    bool joined = false;
    bus_status status = bui_kafka_transport_open(self->config, bui_slot_instance(self->slot), &self->transport, err);
    if (status != BUS_OK)
        return status;
    status = bui_preflight(self, err);
    if (status == BUS_OK) {
        bui_set_phase(self, BUI_PHASE_JOINING, "waiting for the group's answer");
        bui_membership member = {
            .group = self->service->name,
            .lead = bui_router_lead(self->router),
            .instance = bui_slot_instance(self->slot),
            .session_ms = (int)bui_config_int(self->config, "session.timeout.ms"),
            .lanes = all_partitions(self),
        };
        status = self->transport->ops->join(self->transport, &member, err);
        joined = status == BUS_OK;
    }
    if (status == BUS_OK)
        status = serve(self, err);
    end_membership(self, joined);
    return status;
}

void *bui_control_main(void *arg)
{
    bus *self = arg;
    bui_backoff pause;
    bui_backoff_init(&pause, 1000, 60 * 1000, (uint64_t)now_us(self));
    bus_status status = BUS_OK;
    bus_error err = { 0 };
    while (!bui_stopping(self)) {
        int64_t since = now_us(self);
        status = membership(self, &err);
        if (bui_stopping(self) || status == BUS_OK)
            break;
        if (is_final(status)) {
            bui_log(BUS_ERROR, self->name, "halted", "%s", err.text);
            bui_end(self, status, &err);
            return NULL;
        }
        if (now_us(self) - since > 60 * SECOND_US)
            bui_backoff_reset(&pause);
        int64_t wait_ms = bui_backoff_next(&pause);
        bui_count(&self->metrics.rejoins, 1);
        bui_log(BUS_ERROR, self->name, "left_group", "left the group, joining again in %" PRId64 " ms: %s", wait_ms, err.text);
        bui_set_phase(self, BUI_PHASE_WAITING, "left the group for a while: %s", err.text);
        bui_nap(self, wait_ms);
    }
    bui_end(self, BUS_OK, NULL);
    return NULL;
}
