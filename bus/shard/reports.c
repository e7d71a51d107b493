/* SPDX-License-Identifier: MIT
 * Reports: how each row that was sent ended, what becomes of its destination, and the replacement of a producer that has become
 * fatal. */
#include "shard/relay.h"

#include "base/array.h"
#include "base/error.h"
#include <stdlib.h>

#define REPLY_PATIENCE_US (INT64_C(300) * 1000000) /* an answer that no topic takes is rejected after so long */
#define REPORTS 256
#define CROWD 64

static void acked(bus_shard *shard, int64_t id)
{
    bus_relay *relay = &shard->relay;
    if (!bus_array_room(&relay->acked, &relay->acked_cap, relay->acked_count + 1, sizeof *relay->acked, 1024))
        return; /* it stays in the outbox and is sent again after a restart: a duplicate, dropped by its receiver */
    if (relay->acked_count == 0)
        relay->acked_since_us = shard->now_us;
    relay->acked[relay->acked_count++] = id;
    bus_count(&shard->metrics.relayed, 1);
    BUS_FAILPOINT("acked");
}

static void settled(bus_shard *shard, route *r)
{
    while (r->count && out_at(r, 0)->acked) {
        r->head = (r->head + 1) % r->cap;
        r->count--;
    }
    r->last_ack_us = shard->now_us;
    r->warned = false;
    bus_backoff_reset(&r->backoff);
    if (r->flow == BUS_PROBING) {
        bus_log(BUS_INFO, shard->where, "relay_well", "%s/%d takes rows again", r->destination->topic, r->destination->partition);
        r->flow = BUS_FLOWING;
        r->lone = true; /* a producer that has not yet written there */
    } else {
        r->lone = false;
    }
}

/* All reports of a stopped destination are in: go on from the lowest row that was not acknowledged. */
void bus_relay_rewind(bus_shard *shard, route *r)
{
    int64_t lowest = r->resume_at && r->resume_at < r->cursor ? r->resume_at : r->cursor;
    for (size_t i = 0; i < r->count; i++)
        if (!out_at(r, i)->acked && out_at(r, i)->id < lowest)
            lowest = out_at(r, i)->id;
    r->count = 0;
    r->waiting = 0;
    r->resume_at = 0;
    r->lone = true;
    fall_behind(&shard->relay, r, lowest);
    r->flow = r->to_probe ? BUS_PROBING : BUS_FLOWING;
    r->to_probe = false;
    r->retry_at_us = shard->now_us + bus_backoff_next(&r->backoff) * 1000;
    shard->relay.rewound = true;
}

/* Whoever asks names the topic of the answer. Where none takes it, it must not hold back this shard's offsets for ever. */
static bool nobody_hears(const bus_shard *shard, const route *r, const bus_report *report)
{
    const char *topic = r->destination->topic;
    return report->kind == BUS_REPORT_TOPIC && bus_topic_takes_replies(topic) &&
           !bus_map_get(&shard->output_partitions, topic, strlen(topic)) && shard->now_us - r->failing_since_us > REPLY_PATIENCE_US;
}

/* The one who asks names the topic of an answer, and a retry record only triggers: neither may hold up others. */
static bool holds(const bus_shard *shard, const char *topic)
{
    size_t count;
    const bus_input *input = bus_router_inputs(shard->options.router, &count);
    if (!shard->options.limits.refused_waits || bus_topic_takes_replies(topic))
        return false;
    for (size_t i = 0; i < count; i++)
        if (input[i].retry_tier && strcmp(input[i].topic, topic) == 0)
            return false;
    return true;
}

static void refuse(bus_shard *shard, route *r, const bus_report *report)
{
    bus_error err = { 0 };
    bool waits = holds(shard, r->destination->topic);
    bus_outbox_state as = waits ? BUS_OUTBOX_HOLDS : BUS_OUTBOX_REJECTED;
    if (bus_store_begin(shard->store, &err) || bus_outbox_reject(shard->store, report->id, as, report->text, &err) ||
        bus_store_commit(shard->store, &err)) {
        bus_store_rollback(shard->store);
        bus_log(BUS_ERROR, shard->where, "relay", "marking row %lld as rejected: %s", (long long)report->id, err.text);
        return; /* it will be sent, refused and marked again */
    }
    if (waits)
        r->refused = report->id;
    bus_count(&shard->metrics.rejected_rows, 1);
    bus_sizes_look_again(shard);
    bus_log(BUS_ERROR, shard->where, "rejected_row", "Kafka refuses outbox row %lld for %s/%d: %s. It is kept, and later rows %s. `bus outbox "
            "list` shows it; mend the cause and `bus outbox retry`, or `bus outbox discard`", (long long)report->id, r->destination->topic,
            r->destination->partition, report->text, waits ? "wait behind it" : "pass it by: their receivers will report a gap");
}

static void failed(bus_shard *shard, route *r, const bus_report *report)
{
    bus_count(&shard->metrics.relay_failures, 1);
    if (!r->failing_since_us)
        r->failing_since_us = shard->now_us;
    if (!r->warned || report->kind == BUS_REPORT_TOPIC) {
        bus_log(r->warned ? BUS_DEBUG : BUS_WARN, shard->where, "relay_failed", "%s/%d: %s; sent again until it is acknowledged",
                r->destination->topic, r->destination->partition, report->text);
        r->warned = true;
    }
    if (r->flow == BUS_PROBING && (report->kind == BUS_REPORT_RECORD || nobody_hears(shard, r, report)))
        refuse(shard, r, report);
    if (r->flow == BUS_PROBING || report->kind == BUS_REPORT_TOPIC || report->kind == BUS_REPORT_RECORD)
        r->to_probe = true;
    r->flow = BUS_STOPPING;
}

static route *route_of_report(bus_shard *shard, int64_t id)
{
    bus_relay *relay = &shard->relay;
    for (size_t i = 0; i < relay->count; i++)
        if (relay->all[i]->count && out_at(relay->all[i], 0)->id <= id && out_find(relay->all[i], id))
            return relay->all[i];
    return NULL;
}

static void take_report(bus_shard *shard, const bus_report *report, route **guess)
{
    route *r = *guess && out_find(*guess, report->id) ? *guess : route_of_report(shard, report->id);
    if (!r)
        return;
    *guess = r;
    bus_relay_out *out = out_find(r, report->id);
    if (r->waiting)
        r->waiting--;
    if (report->channel == BUS_MAIN && shard->relay.waiting)
        shard->relay.waiting--;
    if (report->kind == BUS_REPORT_ACKED) {
        out->acked = true;
        r->failing_since_us = 0;
        acked(shard, report->id);
        if (r->flow != BUS_STOPPING)
            settled(shard, r);
    } else {
        failed(shard, r, report);
    }
    if (r->flow == BUS_STOPPING && r->waiting == 0)
        bus_relay_rewind(shard, r);
}

static void take_reports(bus_shard *shard)
{
    bus_report reports[REPORTS];
    size_t n;
    route *guess = NULL;
    do {
        n = shard->port->ops->reports(shard->port, reports, REPORTS);
        for (size_t i = 0; i < n; i++)
            take_report(shard, &reports[i], &guess);
        if (n)
            shard->relay.quiet_until_us = shard->now_us + BUS_RELAY_QUIET_US;
    } while (n == REPORTS);
}

/* While nobody waits for them a crowd is taken at once, for little more than one alone costs. */
void bus_relay_reports(bus_shard *shard)
{
    const bus_relay *relay = &shard->relay;
    if (!relay->deaf || relay->waiting >= CROWD || relay->quiet_until_us - shard->now_us < BUS_RELAY_QUIET_US / 2)
        take_reports(shard);
}

/* ---- replacing a producer that has become fatal */

/* The report that names the row at fault may come just after the fatal state is seen, and would be lost with the producer. */
static bool reports_due(bus_shard *shard, bus_channel channel)
{
    bus_relay *relay = &shard->relay;
    size_t waiting = channel == BUS_MAIN ? relay->waiting : 0;
    for (size_t i = 0; i < relay->count && channel == BUS_PROBE; i++)
        waiting += relay->all[i]->flow == BUS_PROBING ? relay->all[i]->waiting : 0;
    int64_t *since = &relay->fatal_since_us[channel];
    if (!*since)
        *since = shard->now_us;
    if (waiting && shard->now_us - *since < BUS_RELAY_REPORTS_DUE_US)
        return true;
    *since = 0;
    return false;
}

void bus_relay_replace(bus_shard *shard, bus_channel channel)
{
    bus_relay *relay = &shard->relay;
    bus_error err = { 0 };
    if (relay->retry_at_us > shard->now_us)
        return;
    take_reports(shard); /* what it still knows */
    if (reports_due(shard, channel)) {
        relay->resetting |= channel == BUS_MAIN;
        return;
    }
    if (shard->port->ops->reset(shard->port, channel, &err)) {
        relay->resetting = channel == BUS_MAIN;
        relay->retry_at_us = shard->now_us + 1000000;
        bus_log(BUS_ERROR, shard->where, "producer", "a new producer: %s; tried again in 1 s", err.text);
        return;
    }
    bus_log(BUS_INFO, shard->where, "producer_replaced", "a producer had become fatal; unacknowledged rows are sent again");
    for (size_t i = 0; i < relay->count; i++) {
        route *r = relay->all[i];
        bool probing = r->flow == BUS_PROBING || (r->flow == BUS_STOPPING && r->to_probe && channel == BUS_PROBE);
        if ((channel == BUS_PROBE) != probing)
            continue;
        if (r->count)
            bus_relay_rewind(shard, r);
        r->lone = true;
    }
    if (channel == BUS_MAIN) {
        relay->resetting = false;
        relay->waiting = 0;
    }
}

/* ---- whether they wake us */

/* Is nothing waiting for a report but its own row's deletion? */
static bool reports_may_wait(const bus_shard *shard, bool (*due)(const bus_shard *))
{
    const bus_relay *relay = &shard->relay;
    if (!relay->waiting || relay->quiet_until_us <= shard->now_us || relay->resetting || due(shard))
        return false;
    for (size_t i = 0; i < relay->count; i++)
        if (relay->all[i]->flow != BUS_FLOWING || (relay->all[i]->count && (relay->all[i]->behind || relay->all[i]->lone)))
            return false;
    return true;
}

/* A switch of threads for each acknowledgement is dearer than the acknowledgement: while they come and nothing waits for them, they
 * are taken with whatever comes next, or after a while. A broker that answers no more is not polled: then they wake us again. */
bool bus_relay_listen(bus_shard *shard, bool (*due)(const bus_shard *))
{
    bus_relay *relay = &shard->relay;
    bool deaf = reports_may_wait(shard, due);
    if (deaf == relay->deaf)
        return false;
    relay->deaf = deaf;
    return shard->port->ops->hear(shard->port, !deaf) && !deaf;
}
