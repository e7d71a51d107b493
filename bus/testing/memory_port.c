/* SPDX-License-Identifier: MIT
 * The memory transport's ports: fetching from lanes, and producers whose rows a judge decides about. */
#include "testing/memory_cluster.h"

#include "base/array.h"
#include "base/error.h"
#include "codec/size.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A topic made again goes on for its readers at the offset where they stand. */
static const memory_log *log_now(bui_lane *lane)
{
    memory_topic *topic = lane->topic->gone ? memory_topic_find(lane->port->client->cluster, lane->name) : NULL;
    if (topic)
        lane->topic = topic;
    return memory_log_of(lane->topic, lane->partition);
}

static size_t fetch(bui_port *p, bui_lane *lane, bui_record *out, size_t max, bus_error *err)
{
    const bui_memory_cluster *cluster = port_of(p)->client->cluster;
    if (away(port_of(p)->client))
        return 0;
    const memory_log *log = log_now(lane);
    if (!log) {
        bui_fail(err, BUS_MISSING, "topic %s is gone", lane->topic->name);
        return 0;
    }
    lane->end = memory_log_end(log);
    if (lane->at < log->low || lane->at > lane->end) {
        bui_fail(err, BUS_CORRUPT, "offset %lld of %s/%d is outside its log (%lld to %lld)", (long long)lane->at,
                 lane->topic->name, (int)lane->partition, (long long)log->low, (long long)lane->end);
        return 0;
    }
    size_t ready = (size_t)(lane->end - lane->at), count = 0;
    size_t most =
        ready && cluster->meter ? cluster->meter(cluster->meter_opaque, lane->topic->name, lane->partition, ready) : ready;
    while (count < max && count < most && lane->at < lane->end) {
        const memory_record *stored = log->at[lane->at - log->low];
        memory_record *copy = stored->control ? NULL : memory_record_copy(&stored->record);
        if (!stored->control && !copy) {
            lane_wake(lane); /* no memory now: it is there at the next fetch */
            break;
        }
        lane->at++;
        if (copy) {
            copy->record.topic = lane->name;
            out[count++] = copy->record;
        }
    }
    lane->eof = lane->at == lane->end ? lane->end : lane->eof;
    if (lane->at < lane->end && count < max) /* as if the rest came later */
        lane_list(lane);
    return count;
}

static size_t ready(bui_port *p, size_t *out, size_t max)
{
    memory_port *port = port_of(p);
    size_t count = 0;
    while (count < max && port->ready) {
        bui_lane *lane = port->ready;
        port->ready = lane->next_ready;
        lane->ready = false;
        out[count++] = lane->number;
    }
    return count;
}

static void release(bui_port *p, bui_record *records, size_t count)
{
    (void)p;
    for (size_t i = 0; i < count; i++)
        free(records[i].handle);
}

static int64_t lane_eof(bui_port *p, bui_lane *lane)
{
    (void)p;
    return lane->eof;
}

static int64_t lane_end(bui_port *p, bui_lane *lane)
{
    const memory_log *log = log_now(lane);
    if (log && !away(port_of(p)->client))
        lane->end = memory_log_end(log);
    return lane->end;
}

/* ---- offsets */

static void port_commit_settle(memory_port *port)
{
    port->answer = memory_commit_now(port->client, port->commit, port->commit_count, &port->answer_err) != BUS_OK ? -1 : 1;
    free(port->commit);
    port->commit = NULL;
    port_wake(port);
}

static void port_commit(bui_port *p, const bui_offset *list, size_t count)
{
    memory_port *port = port_of(p);
    free(port->commit);
    port->answer = 0;
    port->commit = malloc(count * sizeof *list + 1);
    if (!port->commit) {
        port->answer = -1;
        bui_fail_nomem(&port->answer_err);
        return;
    }
    if (count)
        memcpy(port->commit, list, count * sizeof *list);
    port->commit_count = count;
    if (!away(port->client))
        port_commit_settle(port);
}

static int port_committed(bui_port *p, bus_error *err)
{
    memory_port *port = port_of(p);
    int answer = port->answer;
    if (answer < 0 && err)
        *err = port->answer_err;
    port->answer = 0;
    return answer;
}

/* ---- looks */

static void look_at(const bui_memory_cluster *cluster, bui_recheck *look)
{
    const memory_log *log = memory_log_of(memory_topic_find(cluster, look->topic), look->partition);
    look->status = log ? BUS_OK : BUS_MISSING;
    if (!log)
        return;
    look->low = log->low;
    look->high = memory_log_end(log);
    for (int i = 0; i < BUI_RECHECK_PLACES; i++) {
        bui_record record;
        struct bui_recheck_place *place = &look->place[i];
        place->there = bui_memory_read(cluster, look->topic, look->partition, place->offset, &record);
        place->hash = place->there ? bui_record_hash(&record, place->kind) : 0;
    }
}

void memory_port_recheck_answer(memory_port *port)
{
    for (size_t i = 0; i < port->recheck_count; i++)
        look_at(port->client->cluster, &port->recheck[i]);
    port->recheck_waits = false;
    port_wake(port);
}

static bus_status recheck(bui_port *p, const bui_recheck *list, size_t count, bus_error *err)
{
    memory_port *port = port_of(p);
    bui_recheck *copy = malloc(count * sizeof *list + 1);
    if (!copy)
        return bui_fail_nomem(err);
    memcpy(copy, list, count * sizeof *list);
    free(port->recheck);
    port->recheck = copy;
    port->recheck_count = count;
    port->recheck_waits = true;
    if (!away(port->client) && !port->client->cluster->rechecks_wait)
        memory_port_recheck_answer(port);
    return BUS_OK;
}

static size_t rechecked(bui_port *p, bui_recheck *out, size_t max)
{
    memory_port *port = port_of(p);
    size_t count = port->recheck && !port->recheck_waits ? port->recheck_count : 0;
    if (!count || count > max)
        return 0;
    memcpy(out, port->recheck, count * sizeof *out);
    free(port->recheck);
    port->recheck = NULL;
    return count;
}

static void rewind_lane(bui_port *p, bui_lane *lane, int64_t offset)
{
    lane->at = offset;
    lane->eof = BUI_OFFSET_NONE;
    port_wake(port_of(p));
}

static uint64_t doubts(bui_port *p)
{
    return port_of(p)->doubts;
}

/* ---- sending */

static void tell(memory_port *port, memory_target *target, int64_t id, bui_report_kind kind, int64_t offset, const char *text)
{
    if (port->told_first && port->told_first + port->told_count == port->told_cap) {
        memmove(port->told, port->told + port->told_first, port->told_count * sizeof *port->told);
        port->told_first = 0;
    }
    if (!bui_array_room(&port->told, &port->told_cap, port->told_first + port->told_count + 1, sizeof *port->told, 64)) {
        port->fatal[target->channel] = true; /* a lost report is a broken producer: `reset` repairs it */
        return;
    }
    memory_told *told = &port->told[port->told_first + port->told_count++];
    *told = (memory_told){ { .channel = target->channel, .id = id, .kind = kind, .offset = offset }, target };
    snprintf(told->report.text, sizeof told->report.text, "%s", text);
    if (port->told_count == 1 && !port->deaf)
        port_wake(port);
}

/* Unlinks the first held row that `which` (all if NULL) names; NULL: none. */
static memory_send *held_take(memory_port *port, const memory_target *which, int channel)
{
    for (memory_send **at = &port->held; *at; at = &(*at)->next) {
        memory_send *send = *at;
        if ((which && send->target != which) || (channel >= 0 && (int)send->target->channel != channel))
            continue;
        *at = send->next;
        if (port->held_last == &send->next)
            port->held_last = at;
        send->target->out--;
        return send;
    }
    return NULL;
}

/* What is behind a row that was not stored is not stored either. */
static void fail_held(memory_port *port, const memory_target *which, int channel)
{
    for (memory_send *send; (send = held_take(port, which, channel)); memory_send_free(send)) {
        send->target->broken = true;
        tell(port, send->target, send->id, BUI_REPORT_FAILED, BUI_OFFSET_NONE, "an earlier row of the destination failed");
    }
}

/* Decides about a row that is out of the held list, and frees it. */
static void decide(memory_port *port, memory_send *send, bui_memory_fate fate)
{
    static const struct {
        bool stores;
        bui_report_kind kind;
        const char *text;
    } ends[] = {
        [BUI_FATE_ACK] = { true, BUI_REPORT_ACKED, "" },
        [BUI_FATE_LOST_ACK] = { true, BUI_REPORT_FAILED, "the acknowledgement was lost" },
        [BUI_FATE_DUPLICATE] = { true, BUI_REPORT_ACKED, "" },
        [BUI_FATE_FALSE_ACK] = { false, BUI_REPORT_UNSURE, "acknowledged without an offset" },
        [BUI_FATE_UNSURE] = { true, BUI_REPORT_UNSURE, "acknowledged without an offset" },
        [BUI_FATE_FAILED] = { false, BUI_REPORT_FAILED, "the broker did not take it" },
        [BUI_FATE_TOPIC] = { false, BUI_REPORT_TOPIC, "the topic is missing or denied" },
        [BUI_FATE_RECORD] = { false, BUI_REPORT_RECORD, "the record was refused" },
        [BUI_FATE_FATAL] = { false, BUI_REPORT_FAILED, "the producer has failed for good" },
    };
    memory_target *target = send->target;
    const bui_record *record = &send->record->record;
    if (!memory_log_of(send->topic, send->partition))
        fate = BUI_FATE_TOPIC;
    else if (ends[fate].stores && bui_record_size(record->key, record->key_len, record->value, record->value_len, record->headers,
                                                  record->header_count) > send->topic->most)
        fate = BUI_FATE_RECORD;
    int64_t offset = ends[fate].stores ? memory_send_store(port->client->cluster, send) : -1;
    if (ends[fate].stores && offset < 0)
        fate = BUI_FATE_FAILED;
    if (fate == BUI_FATE_DUPLICATE)
        memory_send_store(port->client->cluster, send);
    bool acked = ends[fate].kind == BUI_REPORT_ACKED;
    target->established = target->established || acked;
    target->broken = target->broken || !(ends[fate].stores || fate == BUI_FATE_FALSE_ACK);
    tell(port, target, send->id, ends[fate].kind, acked ? offset : BUI_OFFSET_NONE, ends[fate].text);
    if (fate == BUI_FATE_FATAL) {
        port->fatal[target->channel] = true;
        fail_held(port, NULL, (int)target->channel);
    } else if (target->broken) {
        fail_held(port, target, -1);
    }
    memory_send_free(send);
}

static bui_memory_fate ask(memory_port *port, const memory_send *send)
{
    bui_memory_cluster *cluster = port->client->cluster;
    const bui_record *record = &send->record->record;
    if (!cluster->judge)
        return BUI_FATE_ACK;
    size_t before = 0; /* the row itself may be in the list */
    for (const memory_send *at = port->held; at && at != send; at = at->next)
        before += at->target == send->target;
    cluster->flight = (bui_memory_flight){ &port->client->transport, port->name, before, send->target->established };
    bui_row row = { send->id,
                    send->topic ? send->topic->name : "",
                    send->partition,
                    record->key,
                    record->key_len,
                    record->value,
                    record->value_len,
                    record->headers,
                    record->header_count,
                    record->timestamp };
    return cluster->judge(cluster->judge_opaque, &row, send->target->channel);
}

static memory_target *target_of(memory_port *port, bui_channel channel, memory_topic *topic, int32_t partition)
{
    for (memory_target *target = port->targets; target; target = target->next)
        if (target->topic == topic && target->partition == partition && target->channel == channel)
            return target;
    memory_target *target = calloc(1, sizeof *target);
    if (target) {
        *target = (memory_target){ .next = port->targets, .topic = topic, .partition = partition, .channel = channel };
        port->targets = target;
    }
    return target;
}

static void hold(memory_port *port, memory_send *send)
{
    send->target->out++;
    *port->held_last = send;
    port->held_last = &send->next;
}

static bus_status produce(bui_port *p, bui_channel channel, const bui_row *row, bus_error *err)
{
    memory_port *port = port_of(p);
    bui_memory_cluster *cluster = port->client->cluster;
    if (port->fatal[channel])
        return bui_fail(err, BUS_CLOSED, "the producer has failed for good: replace it");
    if (port->out[channel] >= cluster->queue_most)
        return bui_fail(err, BUS_FULL, "the producer's queue is full");
    memory_topic *topic = memory_topic_find(cluster, row->topic);
    memory_target *target = target_of(port, channel, topic, row->partition);
    memory_send *send = target ? calloc(1, sizeof *send) : NULL;
    if (!send)
        return bui_fail_nomem(err);
    *send = (memory_send){ .id = row->id, .target = target, .topic = topic, .partition = row->partition };
    send->record =
        memory_record_copy(&(bui_record){ .timestamp = row->timestamp ? row->timestamp : cluster->clock->wall_ms(cluster->clock),
                                          .key = row->key,
                                          .key_len = row->key_len,
                                          .value = row->value,
                                          .value_len = row->value_len,
                                          .headers = row->headers,
                                          .header_count = row->header_count });
    if (!send->record) {
        free(send);
        return bui_fail_nomem(err);
    }
    port->out[channel]++;
    if (target->broken) {
        tell(port, target, send->id, BUI_REPORT_FAILED, BUI_OFFSET_NONE, "an earlier row of the destination failed");
        memory_send_free(send);
        return BUS_OK;
    }
    bui_memory_fate fate = away(port->client) ? BUI_FATE_HOLD : ask(port, send);
    if (fate == BUI_FATE_HOLD || (target->out && fate != BUI_FATE_FATAL))
        hold(port, send);
    else
        decide(port, send, fate);
    return BUS_OK;
}

/* Lets held rows go, oldest first: with `fate`, or (HOLD) as the judge says now. */
static size_t deliver(memory_port *port, size_t most, bui_memory_fate fate)
{
    size_t went = 0;
    for (memory_target *target = port->targets; target; target = target->next)
        target->passed = false;
    for (;;) {
        memory_send *send = port->held;
        while (send && send->target->passed)
            send = send->next;
        if (!send || went == most)
            return went;
        bui_memory_fate now = fate == BUI_FATE_HOLD ? ask(port, send) : fate;
        if (now == BUI_FATE_HOLD) {
            send->target->passed = true;
            continue;
        }
        decide(port, held_take(port, send->target, -1), now);
        went++;
    }
}

size_t bui_memory_deliver(bui_transport *client, bui_memory_fate fate)
{
    size_t went = bui_memory_withheld(client);
    for (memory_port *port = client_of(client)->ports; port && fate != BUI_FATE_HOLD; port = port->next)
        deliver(port, SIZE_MAX, fate);
    return fate == BUI_FATE_HOLD ? 0 : went;
}

size_t bui_memory_deliver_some(bui_transport *client, size_t most)
{
    size_t went = 0;
    for (memory_port *port = client_of(client)->ports; port; port = port->next)
        went += deliver(port, most - went, BUI_FATE_HOLD);
    return went;
}

size_t bui_memory_withheld(const bui_transport *client)
{
    size_t count = 0;
    for (const memory_port *port = ((const memory_client *)client)->ports; port; port = port->next)
        for (const memory_send *send = port->held; send; send = send->next)
            count++;
    return count;
}

void memory_port_resume(memory_port *port)
{
    deliver(port, SIZE_MAX, BUI_FATE_HOLD);
    if (port->commit)
        port_commit_settle(port);
    port->doubts++; /* a connection made again */
    if (port->recheck && !port->client->cluster->rechecks_wait)
        memory_port_recheck_answer(port);
}

static size_t reports(bui_port *p, bui_report *out, size_t max)
{
    memory_port *port = port_of(p);
    size_t count = 0;
    for (; count < max && port->told_count; count++, port->told_count--) {
        const memory_told *told = &port->told[port->told_first++];
        out[count] = told->report;
        port->out[told->report.channel]--;
        if (told->report.kind != BUI_REPORT_ACKED && told->report.kind != BUI_REPORT_UNSURE)
            told->target->broken = false;
    }
    if (!port->told_count)
        port->told_first = 0;
    return count;
}

static bool hear(bui_port *p, bool reports_too)
{
    memory_port *port = port_of(p);
    port->deaf = !reports_too;
    return port->told_count > 0;
}

static bool fatal(bui_port *p, bui_channel channel)
{
    return port_of(p)->fatal[channel];
}

/* The producer goes; what it held is dropped, or still in a socket. */
static void channel_clear(memory_port *port, bui_channel channel)
{
    static uint64_t producers; /* only told apart, never shown */
    bui_memory_cluster *cluster = port->client->cluster;
    memory_send **last = &cluster->zombies;
    while (*last)
        last = &(*last)->next;
    producers++;
    for (memory_send *send; (send = held_take(port, NULL, (int)channel));) {
        if (cluster->keep_zombies && !away(port->client) && send->topic) {
            send->target = NULL;
            send->producer = producers;
            send->next = NULL;
            *last = send;
            last = &send->next;
        } else {
            memory_send_free(send);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < port->told_count; i++) {
        const memory_told *told = &port->told[port->told_first + i];
        if (told->report.channel != channel)
            port->told[kept++] = *told;
    }
    port->told_first = 0;
    port->told_count = kept;
    for (memory_target *target = port->targets; target; target = target->next)
        if (target->channel == channel)
            target->established = target->broken = false;
    port->out[channel] = 0;
    port->fatal[channel] = false;
}

void memory_port_clear(memory_port *port)
{
    for (int channel = 0; channel < BUI_CHANNELS; channel++)
        channel_clear(port, (bui_channel)channel);
}

static bus_status reset(bui_port *p, bui_channel channel, bus_error *err)
{
    (void)err;
    channel_clear(port_of(p), channel);
    return BUS_OK;
}

/* ---- life */

void memory_port_close(bui_port *p)
{
    memory_port *port = port_of(p);
    memory_port_clear(port);
    memory_port **at = &port->client->ports;
    while (*at != port)
        at = &(*at)->next;
    *at = port->next;
    for (memory_target *target = port->targets, *next; target; target = next) {
        next = target->next;
        free(target);
    }
    free(port->told);
    free(port->commit);
    free(port->recheck);
    free(port);
}

bus_status memory_port_open(bui_transport *t, const char *name, void (*wake)(void *opaque), void *opaque, bui_port **out,
                            bus_error *err)
{
    static const struct bui_port_ops ops = { fetch,   release,   lane_end,    lane_eof, produce,     reports,
                                             hear,    NULL,      fatal,       reset,    port_commit, port_committed,
                                             recheck, rechecked, rewind_lane, doubts,   ready };
    memory_port *port = calloc(1, sizeof *port);
    if (!port)
        return bui_fail_nomem(err);
    port->port.ops = &ops;
    port->client = client_of(t);
    snprintf(port->name, sizeof port->name, "%s", name);
    port->wake = wake;
    port->wake_opaque = opaque;
    port->held_last = &port->held;
    port->next = port->client->ports;
    port->client->ports = port;
    *out = &port->port;
    return BUS_OK;
}
