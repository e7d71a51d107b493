/* SPDX-License-Identifier: MIT
 * Preflight: what must be true before a service joins its group: a broker answers, its topics are there, and their
 * partitions fit its shards. What is absent is waited for; what contradicts is refused. */
#include "base/backoff.h"
#include "base/descriptors.h"
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
    bui_backoff backoff;
    int64_t said_us;
    char about[250];
} patience;

static void wait_for(bus *self, patience *wait, const char *about, const char *event, const bus_error *err)
{
    int64_t now = self->clock->mono_us(self->clock);
    if (!wait->said_us || now - wait->said_us >= SAY_AGAIN_US || strcmp(wait->about, about) != 0) {
        wait->said_us = now;
        strncpy(wait->about, about, sizeof wait->about - 1);
        bui_log(BUS_WARN, self->name, event, "%s", err->text);
        bui_set_phase(self, BUI_PHASE_WAITING, "%s", err->text);
    }
    bui_nap(self, bui_backoff_next(&wait->backoff));
}

/* Asks until the broker answers about the topic. BUS_CANCELLED: bus_stop. BUS_CONFIG: before a broker has answered
 * anything, one refuses this process's credentials. Later that is waited for: what the cluster knows of them may be on its way. */
static bus_status ask(bus *self, patience *wait, const bui_topic_need *need, int32_t *partitions, bus_error *err)
{
    for (;;) {
        if (bui_stopping(self))
            return bui_fail(err, BUS_CANCELLED, "stopped while waiting for topic %s", need->name);
        bus_error why = { 0 };
        bus_status status = self->transport->ops->partitions(self->transport, need->name, ASK_MS, partitions, &why);
        if (status == BUS_OK)
            return BUS_OK;
        if (status == BUS_MISSING && (need->role == BUI_TOPIC_SHARED || need->role == BUI_TOPIC_REPLIES)) {
            if (need->role == BUI_TOPIC_SHARED)
                bui_log(BUS_WARN, self->name, "topic_missing",
                        "topic %s is missing: going on without it; `bus topics apply` creates it", need->name);
            *partitions = 0;
            return BUS_OK;
        }
        if (status == BUS_MISSING) {
            bui_fail(&why, status, "topic %s (%s of %s) is missing: waiting for it; run `bus topics apply`", need->name,
                     bui_topic_role_name(need->role), self->name);
            wait_for(self, wait, need->name, "topic_missing", &why);
        } else if (status == BUS_DENIED && why.fatal && !self->shards) {
            *err = why;
            return err->status = BUS_CONFIG;
        } else if (status == BUS_DENIED && why.fatal) {
            wait_for(self, wait, "credentials", "credentials_refused", &why);
        } else if (status == BUS_DENIED) {
            bui_fail_in(&why, "topic %s (%s of %s): waiting; grant this principal what it needs", need->name,
                        bui_topic_role_name(need->role), self->name);
            wait_for(self, wait, need->name, "topic_denied", &why);
        } else if (status == BUS_BROKER || status == BUS_TIMEOUT) {
            bui_fail_in(&why,
                        "no broker answers at %s: waiting; start it (`scripts/kafka up` or `bus broker`) or set "
                        "bootstrap.servers",
                        bui_config_text(self->config, "bootstrap.servers"));
            wait_for(self, wait, "broker", "broker_away", &why);
        } else {
            *err = why;
            return status;
        }
    }
}

/* It may come to have all shards: then a file or a connection that cannot be opened would stop some of them. */
static void check_descriptors(bus *self)
{
    int64_t may = bui_descriptors_raise(), need = bui_descriptors_need(self->shards);
    if (may < need)
        bui_log(BUS_WARN, self->name, "few_descriptors",
                "the process may have %" PRId64 " files and connections open, and with all %d shards it needs about %" PRId64
                ": raise the hard limit to that (ulimit -Hn; LimitNOFILE= of systemd), or let more processes share the shards",
                may, self->shards, need);
}

/* N is what the property says, else what the lead topic says; it never changes while the handle lives. */
static bus_status make_workers(bus *self, int shards, bus_error *err)
{
    if (self->shards == shards)
        return BUS_OK;
    if (self->shards)
        return bui_fail(
            err, BUS_REFUSED,
            "%s had %d partitions and has %d now: the number of shards of a service is fixed. Delete the topic and create it again with %d partitions",
            bui_router_lead(self->router), self->shards, shards, self->shards);
    bui_worker *workers = bui_workers_new(self, shards);
    bui_crew *crew = bui_crew_new((int)bui_config_int(self->config, "workers.max"), shards);
    if (!workers || !crew) {
        bui_crew_free(crew);
        bui_workers_free(workers, shards);
        return bui_fail_nomem(err);
    }
    pthread_rwlock_wrlock(&self->workers_lock);
    self->workers = workers;
    self->crew = crew;
    self->shards = shards;
    pthread_rwlock_unlock(&self->workers_lock);
    check_descriptors(self);
    return BUS_OK;
}

static bus_status check_topics(bus *self, const bui_topic_need *needs, size_t count, patience *wait, bus_error *err)
{
    size_t input_count;
    const bui_input *inputs = bui_router_inputs(self->router, &input_count);
    int shards = bui_config_is_set(self->config, "shards") ? (int)bui_config_int(self->config, "shards") : 0;
    for (size_t i = 0; i < count; i++) {
        int32_t partitions;
        bus_status status = ask(self, wait, &needs[i], &partitions, err);
        if (status != BUS_OK)
            return status;
        if (!shards && needs[i].role == BUI_TOPIC_LEAD) /* the first in the list */
            shards = partitions;
        status = bui_topic_fits(&needs[i], self->name, partitions, shards, err);
        if (status == BUS_OK && needs[i].role == BUI_TOPIC_LEAD)
            status = make_workers(self, shards, err);
        if (status != BUS_OK)
            return status;
        for (size_t k = 0; k < input_count; k++) {
            if (strcmp(inputs[k].topic, needs[i].name) != 0)
                continue;
            if (self->partitions[k] && self->partitions[k] != partitions) /* while this process lived */
                return bui_fail(err, BUS_REFUSED,
                                "topic %s had %" PRId32 " partitions and has %" PRId32 " now, so keys moved to other "
                                "partitions; restart every process of %s to go on",
                                needs[i].name, self->partitions[k], partitions, self->name);
            self->partitions[k] = partitions;
        }
    }
    return BUS_OK;
}

bus_status bui_deadletters_kept(bus *self, int timeout_ms, bus_error *err)
{
    char cleanup[32] = "";
    const char *topic = bui_router_dlq(self->router);
    bus_status status = self->transport->ops->cleanup
                            ? self->transport->ops->cleanup(self->transport, topic, timeout_ms, cleanup, sizeof cleanup, err)
                            : BUS_OK;
    if (status == BUS_OK && strstr(cleanup, "compact"))
        return bui_fail(
            err, BUS_REFUSED,
            "topic %s has cleanup.policy %s: compaction deletes dead letters that share a key, and the broker "
            "refuses those without one. Give it cleanup.policy=delete and retention.ms=-1 (kafka-configs --alter --entity-type "
            "topics --entity-name %s --add-config cleanup.policy=delete)",
            topic, cleanup, topic);
    return status;
}

bus_status bui_preflight(bus *self, bus_error *err)
{
    bui_topic_need *needs = NULL;
    size_t count, input_count;
    bui_router_inputs(self->router, &input_count);
    patience wait = { .said_us = 0 };
    bui_backoff_init(&wait.backoff, 200, 5000, (uint64_t)self->clock->mono_us(self->clock));
    bus_status status = bui_topics_of(self->name, self->router, 1, &needs, &count, err);
    if (status == BUS_OK && !self->partitions) {
        self->partitions = calloc(input_count, sizeof *self->partitions);
        status = self->partitions ? BUS_OK : bui_fail_nomem(err);
    }
    if (status == BUS_OK)
        status = check_topics(self, needs, count, &wait, err);
    free(needs);
    if (status != BUS_OK)
        return status;
    bus_error why = { 0 };
    status = bui_deadletters_kept(self, ASK_MS, &why);
    if (status == BUS_REFUSED) {
        *err = why;
    } else if (status != BUS_OK) { /* no right to ask, or no answer: looked at again while it runs */
        bui_log(BUS_DEBUG, self->name, "dlq_unknown", "%s", why.text);
        status = BUS_OK;
    }
    return status;
}
