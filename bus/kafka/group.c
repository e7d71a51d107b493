/* SPDX-License-Identifier: MIT
 * Group: membership in the service's consumer group, its events, and the set of lanes.
 *
 * Rebalances are taken as events of the consumer queue, not in a callback: librdkafka waits for an assign call in
 * either case, heartbeats meanwhile, and does not ask which function it is made from. */
#include "base/error.h"
#include "base/wait.h"
#include "kafka/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DESTROY_MS 1000
#define KNOW_MS 1000

static bus_status set_number(rd_kafka_conf_t *conf, const char *name, int value, bus_error *err)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    return bui_kafka_set(conf, name, text, err);
}

/* `wake` may be looking at the queue right now. */
static void swap_queue(kafka_transport *t, rd_kafka_queue_t *queue)
{
    rd_kafka_queue_t *former;
    pthread_mutex_lock(&t->lock);
    former = t->queue;
    t->queue = queue;
    pthread_mutex_unlock(&t->lock);
    if (former)
        rd_kafka_queue_destroy(former);
}

bus_status kafka_join(bui_transport *base, const bui_membership *membership, bus_error *err)
{
    kafka_transport *t = kafka_of(base);
    rd_kafka_topic_partition_list_t *topics = NULL;
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk = NULL;
    rd_kafka_resp_err_t code;
    bus_status status;
    if (t->rk)
        return bui_fail(err, BUS_INVALID, "%s: joined already", t->where);
    conf = rd_kafka_conf_dup(t->member_conf);
    kafka_watch_signs(conf);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_OFFSET_COMMIT);
    status = bui_kafka_bound_queues(conf, t->config, membership->lanes, err);
    if (status == BUS_OK)
        status = bui_kafka_set(conf, "group.id", membership->group, err);
    if (status == BUS_OK && membership->instance)
        status = bui_kafka_set(conf, "group.instance.id", membership->instance, err);
    if (status == BUS_OK && membership->session_ms > 0)
        status = set_number(conf, "session.timeout.ms", membership->session_ms, err);
    if (status == BUS_OK && membership->session_ms > 0)
        status = set_number(conf, "heartbeat.interval.ms", membership->session_ms / 4 + 1, err);
    if (status != BUS_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    status = bui_kafka_new(conf, BUI_KAFKA_MEMBER, &rk, err);
    if (status != BUS_OK)
        return status;
    rd_kafka_poll_set_consumer(rk);
    topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, membership->lead, RD_KAFKA_PARTITION_UA);
    code = rd_kafka_subscribe(rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        return bui_kafka_fail(err, code, "cannot subscribe to %s", membership->lead);
    }
    snprintf(t->group, sizeof t->group, "%s", membership->group);
    t->rk = rk;
    t->asked = 0;
    swap_queue(t, rd_kafka_queue_get_consumer(rk));
    return BUS_OK;
}

static bool drop_lanes(kafka_transport *t)
{
    bool any = t->lanes != NULL;
    bui_lane *lane;
    while ((lane = t->lanes)) {
        t->lanes = lane->next;
        kafka_lane_close(lane);
    }
    return any;
}

void kafka_leave(bui_transport *base, int timeout_ms)
{
    kafka_transport *t = kafka_of(base);
    int64_t deadline = bui_kafka_now() + timeout_ms;
    rd_kafka_error_t *error;
    rd_kafka_event_t *event;
    if (!t->rk || t->left)
        return;
    drop_lanes(t);
    /* The blocking close waits for the coordinator without limit; this one is given its time and then left behind. The handle
     * lives until `free`, since shards may still hold records and wait for a commit's answer. */
    error = rd_kafka_consumer_close_queue(t->rk, t->queue);
    if (error)
        rd_kafka_error_destroy(error);
    else
        while (!rd_kafka_consumer_closed(t->rk) && bui_kafka_left(deadline) > 0) {
            int left = bui_kafka_left(deadline);

            event = rd_kafka_queue_poll(t->queue, left > 100 ? 100 : left);
            if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
                rd_kafka_assign(t->rk, NULL);
            if (event)
                rd_kafka_event_destroy(event);
        }
    t->left = true;
}

static void *destroy_main(void *rk)
{
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return NULL;
}

/* Without a coordinator librdkafka keeps a commit that is out, and with it the handle, for as long as a session lasts. Nothing
 * of ours is in it any more: past its time it ends by itself. */
static void destroy_bounded(rd_kafka_t *rk)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, destroy_main, rk) != 0) {
        destroy_main(rk);
        return;
    }
    bui_thread_join_within(thread, DESTROY_MS);
}

void kafka_group_free(kafka_transport *t)
{
    if (!t->rk)
        return;
    if (!t->left)
        drop_lanes(t);
    swap_queue(t, NULL);
    destroy_bounded(t->rk);
    t->rk = NULL;
}

static void on_rebalance(kafka_transport *t, rd_kafka_event_t *event, bui_group_event *out)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    int count = list ? list->cnt : 0;
    int32_t *shards;
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        out->kind = rd_kafka_assignment_lost(t->rk) ? BUI_GROUP_LOST : BUI_GROUP_REVOKED;
        kafka_company_changed(t, out->kind == BUI_GROUP_LOST);
        return;
    }
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_assign(t->rk, NULL);
        out->kind = BUI_GROUP_ERROR;
        bui_kafka_fail(&out->err, code, "group %s: rebalance failed", t->group);
        return;
    }
    shards = realloc(t->shards, (size_t)(count ? count : 1) * sizeof *shards);
    if (!shards) {
        /* Taking none leaves the shards unread until the next rebalance; better than to stop the whole process. */
        rd_kafka_assign(t->rk, NULL);
        out->kind = BUI_GROUP_ERROR;
        bui_fail_nomem(&out->err);
        return;
    }
    for (int i = 0; i < count; i++)
        shards[i] = list->elems[i].partition;
    t->shards = shards;
    kafka_company_changed(t, false);
    t->assigning = true;
    out->kind = BUI_GROUP_ASSIGNED;
    out->shards = shards;
    out->count = (size_t)count;
}

static void on_error(kafka_transport *t, rd_kafka_event_t *event, bui_group_event *out)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    char text[300];
    out->kind = BUI_GROUP_ERROR;
    if (rd_kafka_event_error_is_fatal(event)) {
        code = rd_kafka_fatal_error(t->rk, text, sizeof text);
        bui_fail(&out->err, bui_kafka_status(code),
                 "group %s: %s (%s): another process uses the same instance id, or the "
                 "broker refuses this member; stop one of them",
                 t->group, text, rd_kafka_err2name(code));
        out->err.fatal = true;
        out->err.retriable = false;
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
        code == RD_KAFKA_RESP_ERR__RESOLVE) {
        bui_fail(&out->err, BUS_BROKER, "no broker answers (%s): waiting; check bootstrap.servers",
                 rd_kafka_event_error_string(event));
        return;
    }
    bui_fail(&out->err, bui_kafka_status(code), "group %s: %s", t->group, rd_kafka_event_error_string(event));
}

void kafka_poll(bui_transport *base, int timeout_ms, bui_group_event *out)
{
    kafka_transport *t = kafka_of(base);
    rd_kafka_event_t *event;
    const rd_kafka_message_t *message;
    memset(out, 0, sizeof *out);
    event = rd_kafka_queue_poll(t->queue ? t->queue : t->pulse, timeout_ms);
    if (!event)
        return;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_REBALANCE: on_rebalance(t, event, out); break;
    case RD_KAFKA_EVENT_ERROR: on_error(t, event, out); break;
    case RD_KAFKA_EVENT_FETCH:
        /* Lanes have queues of their own, so only errors come here: the lead topic is missing or denied. */
        message = rd_kafka_event_message_next(event);
        if (message && (!message->err || message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)) {
            /* A lane that has lost its queue would never get what came here. */
            out->kind = BUI_GROUP_ERROR;
            bui_fail(&out->err, BUS_IO, "group %s: %s/%d is not delivered to its shard", t->group,
                     message->rkt ? rd_kafka_topic_name(message->rkt) : "?", (int)message->partition);
        } else if (message) {
            out->kind = BUI_GROUP_ERROR;
            bui_kafka_fail(&out->err, message->err, "group %s: topic %s", t->group,
                           message->rkt ? rd_kafka_topic_name(message->rkt) : "?");
        }
        break;
    default: break;
    }
    rd_kafka_event_destroy(event);
}

void kafka_wake(bui_transport *base)
{
    kafka_transport *t = kafka_of(base);
    pthread_mutex_lock(&t->lock);
    rd_kafka_queue_yield(t->queue ? t->queue : t->pulse);
    pthread_mutex_unlock(&t->lock);
}

/* The lanes of the specs, in their order; on failure those already made are closed again. */
static bus_status open_lanes(kafka_transport *t, bui_lane_spec *specs, size_t count, rd_kafka_topic_partition_list_t *list,
                             bus_error *err)
{
    bui_lane **tail = &t->lanes;
    bus_status status;
    for (size_t i = 0; i < count; i++) {
        status = kafka_lane_open(t, &specs[i], tail, err);
        if (status != BUS_OK) {
            drop_lanes(t);
            return status;
        }
        specs[i].lane = *tail;
        tail = &(*tail)->next;
        /* Our START and END are librdkafka's own numbers. */
        rd_kafka_topic_partition_list_add(list, specs[i].topic, specs[i].partition)->offset = specs[i].offset;
    }
    return BUS_OK;
}

/* Has librdkafka learn who leads the new lanes' partitions before they begin. It would begin with those that it knows, and its
 * brokers answer one request of a connection after the other: the answer about the others would wait behind fetches of empty
 * partitions, 1.5 s in all. What cannot be learned now is learned later. */
static void know_topics(kafka_transport *t)
{
    if (bui_kafka_learn(t->rk, NULL, KNOW_MS))
        t->asked = t->name_count;
}

bus_status kafka_assign(bui_transport *base, bui_lane_spec *specs, size_t count, bus_error *err)
{
    kafka_transport *t = kafka_of(base);
    rd_kafka_topic_partition_list_t *list = NULL;
    bus_status status = BUS_OK;
    rd_kafka_resp_err_t code;
    if (!t->rk || t->left)
        return bui_fail(err, BUS_INVALID, "%s: assign outside of the group", t->where);
    /* First of all: a partition that comes back has the same queue underneath, and closing would silence it. And give the former
     * ones back before the new ones are opened: with them librdkafka (2.0.2) forgets a partition whose topic it does not know
     * yet, and would go on with a new one, whose queue leads to the consumer's. */
    if (drop_lanes(t) && count > 0) {
        list = rd_kafka_topic_partition_list_new(0);
        rd_kafka_assign(t->rk, list);
        rd_kafka_topic_partition_list_destroy(list);
        list = NULL;
    }
    /* ASSIGNED must be answered by a list, even an empty one: none at all would leave librdkafka waiting. */
    if (count > 0 || t->assigning)
        list = rd_kafka_topic_partition_list_new((int)count);
    if (count > 0)
        status = open_lanes(t, specs, count, list, err);
    if (status == BUS_OK && count > 0 && t->asked < t->name_count)
        know_topics(t);
    if (status == BUS_OK) {
        code = rd_kafka_assign(t->rk, list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            status = bui_kafka_fail(err, code, "group %s: cannot assign %zu partitions", t->group, count);
            drop_lanes(t);
        }
    }
    if (status == BUS_OK)
        t->assigning = false;
    if (list)
        rd_kafka_topic_partition_list_destroy(list);
    return status;
}
