/* SPDX-License-Identifier: MIT
 * The real transport: opening and freeing it and its ports. What it does is in group.c, offsets.c, commit.c, lane.c and
 * producer.c. */
#include "kafka/transport.h"

#include "base/config.h"
#include "base/error.h"
#include "kafka/sender.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void port_close(bui_port *p);

static const struct bui_port_ops port_ops = {
    .fetch = kafka_fetch,
    .release = kafka_release,
    .end = kafka_end,
    .eof = kafka_eof,
    .produce = kafka_produce,
    .reports = kafka_reports,
    .hear = kafka_hear,
    .push = kafka_push,
    .fatal = kafka_fatal,
    .reset = kafka_reset,
    .commit = kafka_port_commit,
    .committed = kafka_port_committed,
    .recheck = kafka_recheck,
    .rechecked = kafka_rechecked,
    .rewind = kafka_rewind,
    .doubts = kafka_doubts,
    .ready = kafka_ready,
};

static bus_status port_open(bui_transport *t, const char *name, void (*wake)(void *opaque), void *opaque, bui_port **out,
                            bus_error *err)
{
    kafka_port *port = calloc(1, sizeof *port);
    if (!port)
        return bui_fail_nomem(err);
    port->port.ops = &port_ops;
    port->transport = kafka_of(t);
    snprintf(port->name, sizeof port->name, "%s", name);
    port->wake = wake;
    port->opaque = opaque;
    port->turn = atomic_fetch_add(&port->transport->ports_opened, 1);
    *out = &port->port;
    return BUS_OK;
}

static void port_close(bui_port *p)
{
    kafka_port *port = kafka_port_of(p);
    kafka_fetched *fetched;
    if (!p)
        return;
    kafka_recheck_forget(port);
    for (int i = 0; i < BUI_CHANNELS; i++)
        kafka_sender_leave(&port->producer[i]);
    if (port->commit_queue) {
        rd_kafka_queue_cb_event_enable(port->commit_queue, NULL, NULL);
        rd_kafka_queue_destroy(port->commit_queue);
    }
    while ((fetched = port->spare)) {
        port->spare = fetched->next;
        free(fetched);
    }
    free(port);
}

static void transport_free(bui_transport *base)
{
    kafka_transport *t = kafka_of(base);
    if (!base)
        return;
    kafka_recheck_end(t);
    kafka_group_free(t);
    if (t->pulse)
        rd_kafka_queue_destroy(t->pulse);
    if (t->tool)
        rd_kafka_destroy(t->tool);
    if (t->member_conf)
        rd_kafka_conf_destroy(t->member_conf);
    if (t->outbox_conf)
        rd_kafka_conf_destroy(t->outbox_conf);
    if (t->reader_conf)
        rd_kafka_conf_destroy(t->reader_conf);
    if (t->recheck_conf)
        rd_kafka_conf_destroy(t->recheck_conf);
    for (size_t i = 0; i < t->name_count; i++)
        free(t->names[i]);
    free(t->names);
    free(t->shards);
    free(t->senders); /* each sender went with its last port */
    pthread_mutex_destroy(&t->senders_lock);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static const struct bui_transport_ops transport_ops = {
    .join = kafka_join,
    .leave = kafka_leave,
    .poll = kafka_poll,
    .wake = kafka_wake,
    .assign = kafka_assign,
    .partitions = kafka_partitions,
    .cleanup = kafka_cleanup,
    .largest = kafka_largest,
    .watermarks = kafka_watermarks,
    .committed = kafka_committed,
    .commit = kafka_commit,
    .company = kafka_company,
    .look = kafka_look,
    .port_open = port_open,
    .port_close = port_close,
    .free = transport_free,
};

bus_status bui_kafka_transport_open(const bus_config *config, const char *where, bui_transport **out, bus_error *err)
{
    kafka_transport *t = calloc(1, sizeof *t);
    rd_kafka_conf_t *tool = NULL;
    bus_status status;
    if (!t)
        return bui_fail_nomem(err);
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->senders_lock, NULL);
    t->senders_most = (int)bui_config_int(config, "producers.max");
    t->transport.ops = &transport_ops;
    t->config = config;
    snprintf(t->where, sizeof t->where, "%s", where);
    /* All now, so that a wrong property is reported at open. */
    status = bui_kafka_conf(config, BUI_KAFKA_MEMBER, where, &t->member_conf, err);
    if (status == BUS_OK)
        status = bui_kafka_conf(config, BUI_KAFKA_OUTBOX, where, &t->outbox_conf, err);
    if (status == BUS_OK)
        status = bui_kafka_conf(config, BUI_KAFKA_READER, where, &t->reader_conf, err);
    if (status == BUS_OK)
        status = bui_kafka_conf(config, BUI_KAFKA_RECHECKER, where, &t->recheck_conf, err);
    if (status == BUS_OK)
        status = bui_kafka_conf(config, BUI_KAFKA_TOOL, where, &tool, err);
    if (status == BUS_OK)
        status = bui_kafka_new(tool, BUI_KAFKA_TOOL, &t->tool, err);
    if (status == BUS_OK && !(t->senders = calloc((size_t)t->senders_most, sizeof *t->senders)))
        status = bui_fail_nomem(err);
    if (status == BUS_OK)
        t->pulse = rd_kafka_queue_new(t->tool);
    if (status == BUS_OK)
        *out = &t->transport;
    else
        transport_free(&t->transport);
    return status;
}
