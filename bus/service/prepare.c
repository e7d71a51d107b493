/* SPDX-License-Identifier: MIT
 * Prepare: what must be true before a service joins its group: a broker answers, its topics are there, and their
 * partitions fit its shards. What is absent is waited for; what contradicts is refused. */
#include "base/backoff.h"
#include "base/error.h"
#include "base/log.h"
#include "service/control.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SAY_AGAIN_US (INT64_C(30) * 1000 * 1000)
#define ASK_MS 2000

/* Says why it waits: at once, when the reason changes, and every 30 s. */
typedef struct patience {
    bus_backoff backoff;
    int64_t said_us;
    char about[250];
} patience;

static void wait_for(bus *self, patience *wait, const char *about, const char *event, const bus_error *err)
{
    int64_t now = self->clock->mono_us(self->clock);
    if (!wait->said_us || now - wait->said_us >= SAY_AGAIN_US || strcmp(wait->about, about) != 0) {
        wait->said_us = now;
        strncpy(wait->about, about, sizeof wait->about - 1);
        bus_log(BUS_WARN, self->name, event, "%s", err->text);
        bus_set_phase(self, BUS_PHASE_WAITING, "%s", err->text);
    }
    bus_nap(self, bus_backoff_next(&wait->backoff));
}

/* Asks until the broker answers about the topic. BUS_CANCELLED: bus_stop. */
static bus_status ask(bus *self, patience *wait, const bus_topic_need *need, int32_t *partitions, bus_error *err)
{
    for (;;) {
        if (bus_stopping(self))
            return bus_fail(err, BUS_CANCELLED, "stopped while waiting for topic %s", need->name);
        bus_error why = { 0 };
        bus_status status = self->transport->ops->partitions(self->transport, need->name, ASK_MS, partitions, &why);
        if (status == BUS_OK)
            return BUS_OK;
        if (status == BUS_MISSING && (need->role == BUS_TOPIC_SHARED || need->role == BUS_TOPIC_REPLIES)) {
            if (need->role == BUS_TOPIC_SHARED)
                bus_log(BUS_WARN, self->name, "topic_missing", "topic %s is missing: going on without; `bus topics apply` makes it",
                        need->name);
            *partitions = 0;
            return BUS_OK;
        }
        if (status == BUS_MISSING) {
            bus_fail(&why, status, "topic %s (%s of %s) is missing: waiting for it; run `bus topics apply`", need->name,
                     bus_topic_role_name(need->role), self->name);
            wait_for(self, wait, need->name, "topic_missing", &why);
        } else if (status == BUS_DENIED) {
            bus_fail_in(&why, "topic %s (%s of %s): waiting; grant this principal what it needs", need->name,
                        bus_topic_role_name(need->role), self->name);
            wait_for(self, wait, need->name, "topic_denied", &why);
        } else if (status == BUS_BROKER || status == BUS_TIMEOUT) {
            bus_fail_in(&why, "no broker answers at %s: waiting; start it (`scripts/kafka up` or `bus broker`) or set "
                        "bootstrap.servers", bus_config_text(self->config, "bootstrap.servers"));
            wait_for(self, wait, "broker", "broker_away", &why);
        } else {
            *err = why;
            return status;
        }
    }
}

/* N is what the property says, else what the lead topic says; it never changes while the handle lives. */
static bus_status make_seats(bus *self, int shards, bus_error *err)
{
    if (self->shards == shards)
        return BUS_OK;
    if (self->shards)
        return bus_fail(err, BUS_REFUSED, "%s had %d partitions and has %d now: the number of shards of a service is fixed. Delete "
                        "the topic and make it again with %d partitions", bus_router_lead(self->router), self->shards, shards, self->shards);
    bus_seat *seats = bus_seats_new(self, shards);
    if (!seats)
        return bus_fail_nomem(err);
    pthread_rwlock_wrlock(&self->seats_lock);
    self->seats = seats;
    self->shards = shards;
    pthread_rwlock_unlock(&self->seats_lock);
    return BUS_OK;
}

static bus_status check_topics(bus *self, const bus_topic_need *needs, size_t count, patience *wait, bus_error *err)
{
    size_t input_count;
    const bus_input *inputs = bus_router_inputs(self->router, &input_count);
    int shards = bus_config_is_set(self->config, "shards") ? (int)bus_config_int(self->config, "shards") : 0;
    for (size_t i = 0; i < count; i++) {
        int32_t partitions;
        bus_status status = ask(self, wait, &needs[i], &partitions, err);
        if (status != BUS_OK)
            return status;
        if (!shards && needs[i].role == BUS_TOPIC_LEAD) /* the first in the list */
            shards = partitions;
        status = bus_topic_fits(&needs[i], self->name, partitions, shards, err);
        if (status == BUS_OK && needs[i].role == BUS_TOPIC_LEAD)
            status = make_seats(self, shards, err);
        if (status != BUS_OK)
            return status;
        for (size_t k = 0; k < input_count; k++) {
            if (strcmp(inputs[k].topic, needs[i].name) != 0)
                continue;
            if (self->partitions[k] && self->partitions[k] != partitions) /* while this process lived */
                return bus_fail(err, BUS_REFUSED, "topic %s had %" PRId32 " partitions and has %" PRId32 " now, so keys moved to other "
                                "partitions; restart every process of %s to go on", needs[i].name, self->partitions[k],
                                partitions, self->name);
            self->partitions[k] = partitions;
        }
    }
    return BUS_OK;
}

bus_status bus_letters_kept(bus *self, int timeout_ms, bus_error *err)
{
    char cleanup[32] = "";
    const char *topic = bus_router_dlq(self->router);
    bus_status status = self->transport->ops->cleanup ? self->transport->ops->cleanup(self->transport, topic, timeout_ms, cleanup, sizeof cleanup, err) : BUS_OK;
    if (status == BUS_OK && strstr(cleanup, "compact"))
        return bus_fail(err, BUS_REFUSED, "topic %s has cleanup.policy %s: compaction deletes dead letters that share a key, and the broker "
                        "refuses those without one. Give it cleanup.policy=delete and retention.ms=-1 (kafka-configs --alter --entity-type "
                        "topics --entity-name %s --add-config cleanup.policy=delete)", topic, cleanup, topic);
    return status;
}

bus_status bus_control_prepare(bus *self, bus_error *err)
{
    bus_topic_need *needs = NULL;
    size_t count, input_count;
    bus_router_inputs(self->router, &input_count);
    patience wait = { .said_us = 0 };
    bus_backoff_init(&wait.backoff, 200, 5000, (uint64_t)self->clock->mono_us(self->clock));
    bus_status status = bus_topics_of(self->name, self->router, 1, &needs, &count, err);
    if (status == BUS_OK && !self->partitions) {
        self->partitions = calloc(input_count, sizeof *self->partitions);
        status = self->partitions ? BUS_OK : bus_fail_nomem(err);
    }
    if (status == BUS_OK)
        status = check_topics(self, needs, count, &wait, err);
    free(needs);
    bus_error why = { 0 };
    if (status == BUS_OK && (status = bus_letters_kept(self, ASK_MS, &why)) == BUS_REFUSED)
        *err = why;
    else if (status != BUS_OK && why.status) { /* no right to ask, or no answer: looked at again while it runs */
        bus_log(BUS_DEBUG, self->name, "dlq_unknown", "%s", why.text);
        status = BUS_OK;
    }
    return status;
}
