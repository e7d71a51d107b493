/* SPDX-License-Identifier: MIT
 * The memory transport's clients: group events, metadata, offsets, and lanes that read the cluster's logs. */
#include "testing/memory_cluster.h"

#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- group */

static bus_status join(bui_transport *t, const bui_membership *membership, bus_error *err)
{
    memory_client *client = client_of(t);
    char *group = strdup(membership->group);
    if (!group)
        return bui_fail_nomem(err);
    free(client->group);
    client->group = group;
    client->lost = false;
    return BUS_OK;
}

static void leave(bui_transport *t, int timeout_ms)
{
    (void)timeout_ms;
    memory_client *client = client_of(t);
    free(client->group);
    client->group = NULL;
}

static void poll_events(bui_transport *t, int timeout_ms, bui_group_event *out)
{
    (void)timeout_ms;
    memory_client *client = client_of(t);
    free(client->polled);
    client->polled = client->events;
    memset(out, 0, sizeof *out);
    memory_event *event = client->polled;
    if (!event)
        return;
    client->events = event->next;
    if (event->kind != BUI_GROUP_REVOKED)
        client->lost = event->kind == BUI_GROUP_LOST;
    if (event->kind == BUI_GROUP_LOST) {
        client->membership++;
        client->had_strangers = false;
    } else if (event->kind == BUI_GROUP_ASSIGNED) {
        client->had_strangers |= client->cluster->strangers > 0;
    }
    out->kind = event->kind;
    out->shards = event->shards;
    out->count = event->count;
}

static void wake_poll(bui_transport *t)
{
    (void)t; /* nobody ever waits */
}

static void event_add(bui_transport *t, bui_group_event_kind kind, const int32_t *shards, size_t count)
{
    memory_event *event = calloc(1, sizeof *event + count * sizeof *shards);
    if (!event)
        return;
    event->kind = kind;
    event->count = count;
    if (count)
        memcpy(event->shards, shards, count * sizeof *shards);
    memory_event **at = &client_of(t)->events;
    while (*at)
        at = &(*at)->next;
    *at = event;
}

void bui_memory_assign(bui_transport *client, const int32_t *shards, size_t count)
{
    event_add(client, BUI_GROUP_ASSIGNED, shards, count);
}

void bui_memory_revoke(bui_transport *client)
{
    event_add(client, BUI_GROUP_REVOKED, NULL, 0);
}

void bui_memory_strangers(bui_memory_cluster *cluster, int strangers)
{
    cluster->strangers = strangers;
}

/* The group forgets the member at once, also when the member hears of it later. */
void bui_memory_lose(bui_transport *client)
{
    client_of(client)->lost = true;
    event_add(client, BUI_GROUP_LOST, NULL, 0);
}

/* ---- metadata and offsets */

static bus_status reachable(const memory_client *client, bus_error *err)
{
    return away(client) ? bui_fail(err, BUS_BROKER, "no broker answers: the cluster in memory is away") : BUS_OK;
}

static bus_status partitions(bui_transport *t, const char *topic, int timeout_ms, int32_t *out, bus_error *err)
{
    (void)timeout_ms;
    bus_status status = reachable(client_of(t), err);
    if (status != BUS_OK)
        return status;
    const memory_topic *found = memory_topic_find(client_of(t)->cluster, topic);
    if (!found)
        return bui_fail(err, BUS_MISSING, "topic %s is not there: create it", topic);
    *out = found->partitions;
    return BUS_OK;
}

static bus_status largest(bui_transport *t, const char *const *topics, size_t count, int timeout_ms, int64_t *out, bus_error *err)
{
    (void)timeout_ms;
    bus_status status = reachable(client_of(t), err);
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        const memory_topic *found = memory_topic_find(client_of(t)->cluster, topics[i]);
        out[i] = found ? found->most : 0;
    }
    return status;
}

static bus_status watermarks(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    (void)timeout_ms;
    bus_status status = reachable(client_of(t), err);
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        const memory_log *log = memory_log_of(memory_topic_find(client_of(t)->cluster, list[i].topic), list[i].partition);
        list[i].status = log ? BUS_OK : BUS_MISSING;
        list[i].low = log ? log->low : BUI_OFFSET_NONE;
        list[i].high = log ? memory_log_end(log) : BUI_OFFSET_NONE;
    }
    return status;
}

static bus_status committed(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    (void)timeout_ms;
    const memory_client *client = client_of(t);
    bus_status status = reachable(client, err);
    if (status == BUS_OK && !client->group)
        status = bui_fail(err, BUS_INVALID, "committed offsets belong to a group: join one first");
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        const memory_commit *commit = memory_commit_find(client->cluster, client->group, list[i].topic, list[i].partition);
        list[i].offset = commit ? commit->offset.offset : BUI_OFFSET_NONE;
        memcpy(list[i].metadata, commit ? commit->offset.metadata : "", commit ? sizeof list[i].metadata : 1);
        list[i].status = BUS_OK;
    }
    return status;
}

static bus_status commit(bui_transport *t, const bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    (void)timeout_ms;
    bus_status status = reachable(client_of(t), err);
    return status != BUS_OK ? status : memory_commit_now(client_of(t), list, count, err);
}

static bus_status look(bui_transport *t, bui_look *list, size_t count, int64_t most, int timeout_ms, bui_look_each each,
                       void *opaque, bus_error *err)
{
    (void)timeout_ms;
    const bui_memory_cluster *cluster = client_of(t)->cluster;
    bus_status status = reachable(client_of(t), err);
    if (status == BUS_OK && cluster->looks_fail)
        status = bui_fail(err, BUS_TIMEOUT, "the cluster in memory answers no look");
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        const memory_log *log = memory_log_of(memory_topic_find(cluster, list[i].topic), list[i].partition);
        list[i].status = log ? BUS_OK : BUS_MISSING;
        int64_t end = log ? memory_log_end(log) : 0, at = log && end - log->low > most ? end - most : log ? log->low : 0;
        for (; at < end && log->at[at - log->low]->record.timestamp < list[i].since_ms;)
            at++;
        for (bool more = true; more && at < end; at++)
            more = log->at[at - log->low]->control || each(&log->at[at - log->low]->record, opaque);
    }
    return status;
}

static void company(bui_transport *t, int timeout_ms, bui_company *out)
{
    (void)timeout_ms;
    const memory_client *client = client_of(t);
    *out = (bui_company){ .strangers = client->cluster->strangers,
                          .had_strangers = client->had_strangers,
                          .membership = client->membership };
    snprintf(out->who, sizeof out->who, "stranger at nowhere");
}

/* ---- lanes */

static void lanes_free(memory_client *client)
{
    for (bui_lane *lane = client->lanes, *next; lane; lane = next) {
        next = lane->next;
        free(lane);
    }
    client->lanes = NULL;
    for (memory_port *port = client->ports; port; port = port->next)
        port->ready = NULL;
}

static bus_status assign(bui_transport *t, bui_lane_spec *specs, size_t count, bus_error *err)
{
    memory_client *client = client_of(t);
    lanes_free(client);
    for (size_t i = 0; i < count; i++) {
        memory_topic *topic = memory_topic_find(client->cluster, specs[i].topic);
        const memory_log *log = memory_log_of(topic, specs[i].partition);
        if (!log) {
            lanes_free(client);
            return bui_fail(err, BUS_MISSING, "partition %s/%d is not there", specs[i].topic, (int)specs[i].partition);
        }
        bui_lane *lane = calloc(1, sizeof *lane);
        if (!lane) {
            lanes_free(client);
            return bui_fail_nomem(err);
        }
        int64_t end = memory_log_end(log);
        int64_t at = specs[i].offset == BUI_OFFSET_START ? log->low : specs[i].offset == BUI_OFFSET_END ? end : specs[i].offset;
        *lane = (bui_lane){ .next = client->lanes,
                            .port = port_of(specs[i].port),
                            .topic = topic,
                            .name = topic->name,
                            .partition = specs[i].partition,
                            .at = at,
                            .end = end,
                            .eof = BUI_OFFSET_NONE,
                            .number = specs[i].number };
        client->lanes = lane;
        specs[i].lane = lane;
    }
    for (bui_lane *lane = client->lanes; lane; lane = lane->next)
        if (lane->at != lane->end)
            lane_wake(lane);
    return BUS_OK;
}

static void clients_resume(bui_memory_cluster *cluster)
{
    for (memory_client *client = cluster->clients; client; client = client->next) {
        if (client->cut)
            continue;
        for (memory_port *port = client->ports; port; port = port->next)
            memory_port_resume(port);
        for (bui_lane *lane = client->lanes; lane; lane = lane->next)
            lane_wake(lane);
    }
}

void bui_memory_down(bui_memory_cluster *cluster, bool down)
{
    bool back = cluster->down && !down;
    cluster->down = down;
    if (back)
        clients_resume(cluster);
}

void bui_memory_rechecks_wait(bui_memory_cluster *cluster, bool wait)
{
    cluster->rechecks_wait = wait;
    for (memory_client *client = wait ? NULL : cluster->clients; client; client = client->next)
        for (memory_port *port = away(client) ? NULL : client->ports; port; port = port->next)
            if (port->recheck && port->recheck_waits)
                memory_port_recheck_answer(port);
}

void bui_memory_cut(bui_transport *t)
{
    memory_client *client = client_of(t);
    for (memory_port *port = client->ports; port; port = port->next)
        memory_port_clear(port);
    client->cut = true;
}

/* ---- life */

static void client_free(bui_transport *t)
{
    memory_client *client = client_of(t);
    while (client->ports)
        memory_port_close(&client->ports->port);
    lanes_free(client);
    for (memory_event *event = client->events, *next; event; event = next) {
        next = event->next;
        free(event);
    }
    free(client->polled);
    memory_client **at = &client->cluster->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    free(client->group);
    free(client);
}

bui_transport *bui_memory_client(bui_memory_cluster *cluster)
{
    static const struct bui_transport_ops ops = { join,       leave,   poll_events, wake_poll,        assign,
                                                  partitions, NULL,    largest,     watermarks,       committed,
                                                  commit,     company, look,        memory_port_open, memory_port_close,
                                                  client_free };
    memory_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->transport.ops = &ops;
    client->cluster = cluster;
    client->next = cluster->clients;
    cluster->clients = client;
    return &client->transport;
}
