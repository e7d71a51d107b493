/* SPDX-License-Identifier: MIT
 * Reports: how each row that was sent ended, what becomes of its destination, and the replacement of a producer that has become
 * fatal. */
#include "shard/relay.h"

#include "base/array.h"
#include "base/error.h"
#include <stdlib.h>

#define REPLY_PATIENCE_US (INT64_C(300) * 1000000) /* an answer that no topic takes is rejected after this long */
#define REPORTS 256
#define CROWD 64

static void acked(bui_shard *shard, int64_t id)
{
    bui_relay *relay = &shard->relay;
    if (!bui_array_room(&relay->acked, &relay->acked_cap, relay->acked_count + 1, sizeof *relay->acked, 1024))
        return; /* it stays in the outbox and is sent again after a restart: a duplicate, dropped by its receiver */
    if (relay->acked_count == 0)
        relay->acked_since_us = shard->now_us;
    relay->acked[relay->acked_count++] = id;
    bui_count(&shard->metrics.relayed, 1);
    BUI_FAILPOINT("acked");
}

static void settled(bui_shard *shard, route *r)
{
    while (r->count && out_at(r, 0)->acked)
        out_drop(r, 1);
    r->last_ack_us = shard->now_us;
    r->warned = false;
    bui_backoff_reset(&r->backoff);
    if (r->flow == BUI_PROBING) {
        bui_log(BUS_INFO, shard->where, "relay_well", "%s/%d takes rows again", r->destination->topic, r->destination->partition);
        r->flow = BUI_FLOWING;
        r->lone = true; /* a producer that has not yet written there */
    } else {
        r->lone = false;
    }
}

/* All reports of a stopped destination are in: go on from the lowest row that was not acknowledged. */
void bui_relay_rewind(bui_shard *shard, route *r)
{
    int64_t lowest = r->resume_at && r->resume_at < r->cursor ? r->resume_at : r->cursor;
    for (size_t i = 0; i < r->count; i++)
        if (!out_at(r, i)->acked && out_at(r, i)->id < lowest)
            lowest = out_at(r, i)->id;
    out_drop(r, r->count);
    r->waiting = 0;
    r->resume_at = 0;
    r->lone = true;
    fall_behind(&shard->relay, r, lowest);
    r->flow = r->to_probe ? BUI_PROBING : BUI_FLOWING;
    r->to_probe = false;
    r->retry_at_us = shard->now_us + bui_backoff_next(&r->backoff) * 1000;
    shard->relay.rewound = true;
}

/* The asker names the topic of the answer. If that takes no answer, it must not hold back this shard's offsets without end. */
static bool nobody_hears(const bui_shard *shard, const route *r, const bui_report *report)
{
    const char *topic = r->destination->topic;
    return report->kind == BUI_REPORT_TOPIC && bui_topic_takes_replies(topic) &&
           !bui_map_get(&shard->output_partitions, topic, strlen(topic)) &&
           shard->now_us - r->failing_since_us > REPLY_PATIENCE_US;
}

/* The one who asks names the topic of an answer, and a retry record only triggers: neither may hold up others. */
static bool holds(const bui_shard *shard, const char *topic)
{
    size_t count;
    const bui_input *input = bui_router_inputs(shard->options.router, &count);
    if (!shard->options.limits.refused_waits || bui_topic_takes_replies(topic))
        return false;
    for (size_t i = 0; i < count; i++)
        if (input[i].retry_tier && strcmp(input[i].topic, topic) == 0)
            return false;
    return true;
}

static void refuse(bui_shard *shard, route *r, int64_t id, const bui_report *report)
{
    bus_error err = { 0 };
    bool waits = holds(shard, r->destination->topic);
    bui_outbox_state as = waits ? BUI_OUTBOX_HOLDS : BUI_OUTBOX_REJECTED;
    if (bui_store_begin(shard->store, &err) != BUS_OK || bui_outbox_reject(shard->store, id, as, report->text, &err) != BUS_OK ||
        bui_store_commit(shard->store, &err) != BUS_OK) {
        bui_store_rollback(shard->store);
        bui_log(BUS_ERROR, shard->where, "relay", "marking row %lld as rejected: %s", (long long)id, err.text);
        return; /* it will be sent, refused and marked again */
    }
    if (waits)
        r->refused = id;
    bui_count(&shard->metrics.rejected_rows, 1);
    bui_sizes_look_again(shard);
    bui_log(BUS_ERROR, shard->where, "rejected_row",
            "Kafka refuses outbox row %lld for %s/%d: %s. It is kept, and later rows %s. `bus outbox "
            "list` shows it; remove the cause and `bus outbox retry`, or `bus outbox discard`",
            (long long)id, r->destination->topic, r->destination->partition, report->text,
            waits ? "wait behind it" : "are sent: their receivers will report a gap");
}

static void failed(bui_shard *shard, route *r, int64_t id, const bui_report *report)
{
    bui_count(&shard->metrics.relay_failures, 1);
    if (!r->failing_since_us)
        r->failing_since_us = shard->now_us;
    if (!r->warned || report->kind == BUI_REPORT_TOPIC) {
        bui_log(r->warned ? BUS_DEBUG : BUS_WARN, shard->where, "relay_failed", "%s/%d: %s; sent again until it is acknowledged",
                r->destination->topic, r->destination->partition, report->text);
        r->warned = true;
    }
    if (r->flow == BUI_PROBING && (report->kind == BUI_REPORT_RECORD || nobody_hears(shard, r, report)))
        refuse(shard, r, id, report);
    if (r->flow == BUI_PROBING || report->kind == BUI_REPORT_TOPIC || report->kind == BUI_REPORT_RECORD)
        r->to_probe = true;
    r->flow = BUI_STOPPING;
}

static void take_report(bui_shard *shard, const bui_report *report)
{
    const bui_destination *destination = bui_destination_by_id(shard->store, tag_destination(report->id));
    route *r = destination ? destination->relay : NULL;
    bui_relay_out *out = r ? out_find(r, report->id) : NULL;
    if (!out)
        return;
    if (r->waiting)
        r->waiting--;
    if (report->channel == BUI_MAIN && shard->relay.waiting)
        shard->relay.waiting--;
    if (report->kind == BUI_REPORT_ACKED) {
        out->acked = true;
        r->failing_since_us = 0;
        acked(shard, out->id);
        if (r->flow != BUI_STOPPING)
            settled(shard, r);
    } else {
        failed(shard, r, out->id, report);
    }
    if (r->flow == BUI_STOPPING && r->waiting == 0)
        bui_relay_rewind(shard, r);
    bui_relay_weigh(&shard->relay, r);
}

static void take_reports(bui_shard *shard)
{
    bui_report reports[REPORTS];
    size_t n;
    do {
        n = shard->port->ops->reports(shard->port, reports, REPORTS);
        for (size_t i = 0; i < n; i++)
            take_report(shard, &reports[i]);
        if (n)
            shard->relay.quiet_until_us = shard->now_us + BUI_RELAY_QUIET_US;
    } while (n == REPORTS);
}

/* While nobody waits for them many are taken at once, which costs little more than one. */
void bui_relay_reports(bui_shard *shard)
{
    const bui_relay *relay = &shard->relay;
    if (!relay->deaf || relay->waiting >= CROWD || relay->quiet_until_us - shard->now_us < BUI_RELAY_QUIET_US / 2)
        take_reports(shard);
}

/* ---- replacing a producer that has become fatal */

/* The report that names the row at fault may come just after the fatal state is seen, and would be lost with the producer. */
static bool reports_due(bui_shard *shard, bui_channel channel)
{
    bui_relay *relay = &shard->relay;
    size_t waiting = channel == BUI_MAIN ? relay->waiting : 0;
    for (size_t i = 0; i < relay->odd_count && channel == BUI_PROBE; i++)
        waiting += relay->odd[i]->flow == BUI_PROBING ? relay->odd[i]->waiting : 0;
    int64_t *since = &relay->fatal_since_us[channel];
    if (!*since)
        *since = shard->now_us;
    if (waiting && shard->now_us - *since < BUI_RELAY_REPORTS_DUE_US)
        return true;
    *since = 0;
    return false;
}

void bui_relay_replace(bui_shard *shard, bui_channel channel)
{
    bui_relay *relay = &shard->relay;
    bus_error err = { 0 };
    if (relay->retry_at_us > shard->now_us)
        return;
    take_reports(shard); /* what it still knows */
    if (reports_due(shard, channel)) {
        relay->resetting |= channel == BUI_MAIN;
        return;
    }
    if (shard->port->ops->reset(shard->port, channel, &err)) {
        relay->resetting = channel == BUI_MAIN;
        relay->retry_at_us = shard->now_us + 1000000;
        bui_log(BUS_ERROR, shard->where, "producer", "a new producer: %s; tried again in 1 s", err.text);
        return;
    }
    bui_log(BUS_INFO, shard->where, "producer_replaced", "a producer had failed; its unacknowledged rows are sent again");
    for (size_t i = 0; i < relay->count; i++) {
        route *r = relay->all[i];
        bool probing = r->flow == BUI_PROBING || (r->flow == BUI_STOPPING && r->to_probe && channel == BUI_PROBE);
        if ((channel == BUI_PROBE) != probing)
            continue;
        if (r->count)
            bui_relay_rewind(shard, r);
        r->lone = true;
        bui_relay_weigh(relay, r);
    }
    if (channel == BUI_MAIN) {
        relay->resetting = false;
        relay->waiting = 0;
    }
}

/* ---- whether they wake us */

/* Is nothing waiting for a report but its own row's deletion? */
static bool reports_may_wait(const bui_shard *shard, bool (*due)(const bui_shard *))
{
    const bui_relay *relay = &shard->relay;
    if (!relay->waiting || relay->quiet_until_us <= shard->now_us || relay->resetting || due(shard))
        return false;
    for (size_t i = 0; i < relay->odd_count; i++)
        if (relay->odd[i]->flow != BUI_FLOWING || (relay->odd[i]->count && (relay->odd[i]->behind || relay->odd[i]->lone)))
            return false;
    return true;
}

/* A switch of threads for each acknowledgement costs more than the acknowledgement: while they come and nothing waits for
 * them, they are taken with whatever comes next, or after a while. If the broker no longer answers it is not polled: then they
 * wake us again. */
bool bui_relay_listen(bui_shard *shard, bool (*due)(const bui_shard *))
{
    bui_relay *relay = &shard->relay;
    relay->looks += relay->odd_count;
    bool deaf = reports_may_wait(shard, due);
    if (deaf == relay->deaf)
        return false;
    relay->deaf = deaf;
    return shard->port->ops->hear(shard->port, !deaf) && !deaf;
}
