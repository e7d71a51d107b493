/* SPDX-License-Identifier: MIT
 * Watchdog: looks once a second whether a handler is stuck, and writes heartbeats to bus.services.
 * A handler cannot be ended from outside, and its shard stays locked with it, so leaving the group would help nobody:
 * the watchdog says which shard and event, turns readiness off, and counts. */
#include "base/error.h"
#include "base/log.h"
#include "service/heartbeat.h"
#include "service/publisher.h"
#include "service/worker.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 1000
#define SAY_AGAIN_US (INT64_C(60) * 1000 * 1000)

const bui_metric bui_process_metric_table[] = {
    { "bus_process_ready", "1 while deliveries flow on all shards of the process.", BUI_METRIC_GAUGE,
      offsetof(bui_process_metrics, ready), 0 },
    { "bus_process_shards_open", "Shards whose store is open in this process.", BUI_METRIC_GAUGE,
      offsetof(bui_process_metrics, shards_open), 0 },
    { "bus_process_workers", "Threads that run shards (workers.max).", BUI_METRIC_GAUGE, offsetof(bui_process_metrics, workers),
      0 },
    { "bus_process_shards_waiting", "Shards that have something to do and wait for one of these threads.", BUI_METRIC_GAUGE,
      offsetof(bui_process_metrics, shards_waiting), 0 },
    { "bus_process_handlers_stuck", "Handlers that have now run longer than handler.stuck.timeout.ms.", BUI_METRIC_GAUGE,
      offsetof(bui_process_metrics, handlers_stuck_now), 0 },
    { "bus_process_handlers_stuck_total", "Handlers that ran longer than handler.stuck.timeout.ms.", BUI_METRIC_COUNTER,
      offsetof(bui_process_metrics, handlers_stuck), 0 },
    { "bus_process_dlq_compacted", "1 while the dead-letter topic is compacted, which loses dead letters: alarm.",
      BUI_METRIC_GAUGE, offsetof(bui_process_metrics, dlq_compacted), 0 },
    { "bus_process_start_time_seconds", "When the process opened the bus, since the epoch.", BUI_METRIC_GAUGE,
      offsetof(bui_process_metrics, started_ms), 0.001 },
    { "bus_process_assignments_total", "Times the group assigned shards to the process.", BUI_METRIC_COUNTER,
      offsetof(bui_process_metrics, assignments), 0 },
    { "bus_process_lost_total", "Assignments lost because the broker was away for too long.", BUI_METRIC_COUNTER,
      offsetof(bui_process_metrics, lost), 0 },
    { "bus_process_rejoins_total", "Times the process left its group because of a fault.", BUI_METRIC_COUNTER,
      offsetof(bui_process_metrics, rejoins), 0 },
    { "bus_process_heartbeats_total", "Heartbeats sent to bus.services.", BUI_METRIC_COUNTER,
      offsetof(bui_process_metrics, heartbeats), 0 },
    { "bus_process_schemas_refused_total",
      "Announcements on bus.schemas that were refused: forged, colliding, over a quota, or with schemas.closed.",
      BUI_METRIC_COUNTER, offsetof(bui_process_metrics, schemas_refused), 0 },
    { "bus_process_schemas_announced_total", "Schemas announced on bus.schemas.", BUI_METRIC_COUNTER,
      offsetof(bui_process_metrics, announced), 0 },
    { "bus_process_status_cut_total", "Connections to the status port that were closed: too slow, or the oldest of too many.",
      BUI_METRIC_COUNTER, offsetof(bui_process_metrics, status_cut), 0 },
    { 0 },
};

/* ---- watchdog */

int bui_watchdog_look(bus *self)
{
    int64_t limit_us = bui_config_int(self->config, "handler.stuck.timeout.ms") * 1000;
    int64_t now = self->clock->mono_us(self->clock);
    int stuck = 0;
    bool told = false;
    if (limit_us == 0)
        return 0;
    pthread_rwlock_rdlock(&self->workers_lock);
    for (int i = 0; i < self->shards; i++) {
        bui_worker *worker = &self->workers[i];
        char where[128] = "";
        int64_t since = worker->shard ? bui_shard_handler_since(worker->shard, where) : 0;
        if (since == 0 || now - since < limit_us)
            continue;
        stuck++;
        if (worker->stuck_since_us != since) {
            worker->stuck_since_us = since;
            worker->stuck_told_us = 0;
            bui_count(&self->metrics.handlers_stuck, 1);
        }
        if (worker->stuck_told_us && now - worker->stuck_told_us < SAY_AGAIN_US)
            continue;
        worker->stuck_told_us = now;
        told = true;
        bui_log(BUS_ERROR, self->name, "handler_stuck",
                "the handler of shard %d has run for %" PRId64
                " s on %s: the shard stands still. If it does not return, kill the process; after three such deaths the event "
                "becomes a dead letter",
                i, (now - since) / 1000000, where);
    }
    /* What hangs must not hold up the shards that share its thread. */
    int failed = self->crew ? bui_crew_spare(self->crew, stuck) : 0;
    if (failed && told)
        bui_log(BUS_WARN, self->name, "few_threads",
                "cannot start a thread in place of one whose handler is stuck: %s; other shards wait longer. Raise ulimit -u",
                strerror(failed));
    pthread_rwlock_unlock(&self->workers_lock);
    return stuck;
}

static void look_at_crew(bus *self)
{
    pthread_rwlock_rdlock(&self->workers_lock);
    bui_crew *crew = self->crew; /* once made it is there until the end */
    pthread_rwlock_unlock(&self->workers_lock);
    if (!crew)
        return;
    bui_gauge_set(&self->metrics.workers, bui_crew_threads(crew));
    bui_gauge_set(&self->metrics.shards_waiting, bui_crew_queued(crew));
}

/* ---- heartbeat */

typedef struct pulse {
    int64_t next_us;
    bui_topic_need *topics;
    size_t topic_count;
    int shards; /* that `topics` is for */
} pulse;

/* `opaque` is the handle: its publisher is closed, and this called for the last time, before it is freed. */
static void heard(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    (void)partition;
    (void)offset;
    bus *self = opaque;
    if (status == BUS_OK || bui_stopping(self))
        return;
    static atomic_bool told; /* once a process is enough: it is no service's state that is at stake */
    if (!atomic_exchange(&told, true))
        bui_log(BUS_WARN, self->name, "heartbeat_failed", "a heartbeat did not reach %s: %s%s", BUI_SERVICES_TOPIC, err->text,
                status == BUS_MISSING ? "; run `bus topics apply`" : "");
}

/* What the service says of topics follows the number of shards, which the lead topic may be the first to tell. */
static bus_status list_topics(bus *self, pulse *mine, bus_error *err)
{
    int shards = self->shards ? self->shards : (int)bui_config_int(self->config, "shards");
    if (mine->shards == shards)
        return BUS_OK;
    bui_topic_need *topics;
    size_t count;
    bus_status status = bui_topics_of(self->name, self->router, shards, &topics, &count, err);
    if (status != BUS_OK)
        return status;
    bui_topics_declare(topics, count, self->config, shards);
    free(mine->topics);
    mine->topics = topics;
    mine->topic_count = count;
    mine->shards = shards;
    return BUS_OK;
}

static bus_status beat(bus *self, pulse *mine, bus_error *err)
{
    bus_status status = list_topics(self, mine, err);
    if (status != BUS_OK)
        return status;
    char host[256] = "", text[400], key[400];
    gethostname(host, sizeof host - 1);
    bui_phase phase = bui_phase_of(self, text);
    if (bui_stopping(self))
        phase = BUI_PHASE_ENDED;
    int held[1024], count = 0;
    pthread_rwlock_rdlock(&self->workers_lock);
    for (int i = 0; i < self->shards && count < 1024; i++)
        if (self->workers[i].claimed)
            held[count++] = i;
    pthread_rwlock_unlock(&self->workers_lock);
    bui_heartbeat say = {
        .service = self->name,
        .service_version = self->service ? self->service->version : NULL,
        .instance = bui_slot_instance(self->slot),
        .host = host,
        .state = bui_phase_name(phase),
        .why = text,
        .pid = (int)getpid(),
        .started_ms = self->started_ms,
        .at_ms = self->clock->wall_ms(self->clock),
        .shard_count = mine->shards,
        .shards = held,
        .held = (size_t)count,
        .topics = mine->topics,
        .topic_count = mine->topic_count,
        .routes = self->service ? self->service->routes : NULL,
    };
    snprintf(key, sizeof key, "%s/%s", say.service, say.instance);
    bui_buf json;
    bui_buf_init(&json, 0);
    bui_heartbeat_json(&say, &json);
    bui_publisher *publisher;
    status = bui_buf_ok(&json) ? bui_publisher_of(self, &publisher, err) : bui_fail_nomem(err);
    if (status == BUS_OK) {
        bus_header type = { "content-type", "application/json", strlen("application/json") };
        bui_row row = { .topic = BUI_SERVICES_TOPIC,
                        .partition = -1,
                        .key = key,
                        .key_len = strlen(key),
                        .value = json.data,
                        .value_len = json.len,
                        .headers = &type,
                        .header_count = 1 };
        status = bui_publisher_publish(publisher, &row, heard, self, err);
    }
    bui_buf_free(&json);
    return status;
}

static void beat_if_due(bus *self, pulse *mine)
{
    int64_t every_us = bui_config_int(self->config, "heartbeat.interval.ms") * 1000;
    int64_t now = self->clock->mono_us(self->clock);
    if (every_us == 0 || (now < mine->next_us && !bui_stopping(self)))
        return;
    /* While the broker is away the old ones are still queued: no use in more of them. */
    bui_phase phase = bui_phase_of(self, NULL);
    if (phase == BUI_PHASE_WAITING || (bui_stopping(self) && bui_counter_read(&self->metrics.heartbeats) == 0))
        return;
    mine->next_us = now + every_us;
    bus_error err;
    if (beat(self, mine, &err) == BUS_OK)
        bui_count(&self->metrics.heartbeats, 1);
}

void *bui_watchdog_main(void *arg)
{
    bus *self = arg;
    pulse mine = { 0 };
    bool ready = false;
    do {
        char why[500] = "";
        bui_gauge_set(&self->metrics.handlers_stuck_now, bui_watchdog_look(self));
        look_at_crew(self);
        bool now_ready = bui_ready(self, why, sizeof why);
        bui_gauge_set(&self->metrics.ready, now_ready);
        if (now_ready != ready) /* written at once: tools that wait for a service watch this */
            mine.next_us = 0;
        ready = now_ready;
        beat_if_due(self, &mine);
    } while (!bui_nap(self, LOOK_MS));
    beat_if_due(self, &mine);
    free(mine.topics);
    return NULL;
}
