/* SPDX-License-Identifier: MIT
 * Replay plan: committed offsets and the routes in heartbeats. */
#include "ops/replay_plan.h"
#include "base/error.h"
#include "kafka/lag.h"
#include "ops/instances.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE "bus-replay"

struct bui_replay_plan {
    bui_kafka_lag *lag;
    size_t lag_count;
    json_t *routes; /* of the topic; NULL: nobody says */
    bui_plan_kind kind[BUI_PLAN_KINDS];
    size_t kinds;
};

const char *bui_meets_text(bui_meets meets)
{
    static const char *const texts[] = {
        "its handler runs again",
        "its route skips copies",
        "refused: its route does not say that the handler may run again (.replay = BUS_REPLAY_RUN)",
        "refused: the service has no route for it",
        "the service does not say its routes: its shards decide",
        "refused: the service has not reached it yet, and will handle the event itself",
        "refused: it is not signed as hop.verify demands",
        "too large for its topic with the headers of a copy: raise max.message.bytes of <service>.redrive"
    };
    return texts[meets];
}

/* The newest heartbeat of a process that works; the routes that it names of this topic. */
static void learn_routes(bui_replay_plan *plan, const bui_instances *instances, const char *service, const char *topic)
{
    const bui_process *newest = NULL;
    size_t i;
    json_t *route;
    for (i = 0; i < instances->count; i++)
        if (!strcmp(instances->list[i].service, service) && (!newest || instances->list[i].at_ms > newest->at_ms))
            newest = &instances->list[i];
    json_t *beat = newest ? json_loads(newest->declarations, 0, NULL) : NULL, *routes = json_object_get(beat, "routes");
    if (json_is_array(routes) && (plan->routes = json_array()))
        json_array_foreach(routes, i, route)
        {
            const char *name = json_string_value(json_object_get(route, "topic"));
            if (name && !strcmp(name, topic))
                json_array_append(plan->routes, route);
        }
    json_decref(beat);
}

bus_status bui_replay_plan_open(const bus_config *config, const char *service, const char *topic, int timeout_ms,
                                bui_replay_plan **out, bus_error *err)
{
    bui_instances instances = { 0 };
    bus_error ignored = { 0 };
    bool stands = false;
    bui_replay_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return bui_fail_nomem(err);
    bus_status status =
        bui_kafka_lag_read(config, WHERE, service, &topic, 1, false, timeout_ms, &plan->lag, &plan->lag_count, err);
    for (size_t i = 0; i < plan->lag_count; i++)
        stands |= plan->lag[i].committed >= 0;
    if (status == BUS_OK && !stands)
        status = bui_fail(err, BUS_REFUSED,
                          "service %s does not read %s: its group has no offset there; is its name right, and has it run?",
                          service, topic);
    if (status == BUS_OK && bui_instances_read(config, timeout_ms, NULL, &instances, &ignored) == BUS_OK)
        learn_routes(plan, &instances, service, topic);
    bui_instances_free(&instances);
    if (status != BUS_OK) {
        bui_replay_plan_close(plan);
        return status;
    }
    *out = plan;
    return BUS_OK;
}

void bui_replay_plan_close(bui_replay_plan *plan)
{
    if (!plan)
        return;
    json_decref(plan->routes);
    free(plan->lag);
    free(plan);
}

static bui_meets policy_of(const json_t *route)
{
    const char *policy = json_string_value(json_object_get(route, "replay"));
    return policy && !strcmp(policy, "run")    ? BUI_MEETS_RUN
           : policy && !strcmp(policy, "skip") ? BUI_MEETS_SKIP
                                               : BUI_MEETS_REFUSE;
}

/* As the router does: the type's own route, else the topic's raw one. */
static bui_meets by_routes(const bui_replay_plan *plan, bui_slice type, bool tombstone)
{
    size_t i;
    const json_t *route;
    bui_meets raw = BUI_MEETS_NO_ROUTE;
    if (!plan->routes)
        return BUI_MEETS_UNKNOWN;
    json_array_foreach(plan->routes, i, route)
    {
        const char *name = json_string_value(json_object_get(route, "type"));
        if (json_is_true(json_object_get(route, "tombstone"))) {
            if (tombstone)
                return policy_of(route);
        } else if (!tombstone && name && bui_slice_is(type, name)) {
            return policy_of(route);
        } else if (!tombstone && !name) {
            raw = policy_of(route);
        }
    }
    return !tombstone && !type.at && raw == BUI_MEETS_NO_ROUTE ? BUI_MEETS_UNKNOWN : raw; /* without ce_type its schema decides */
}

static void count_in(bui_replay_plan *plan, bui_slice type, bool tombstone, bui_meets meets)
{
    char name[256];
    size_t i = 0;
    snprintf(name, sizeof name, "%.*s",
             tombstone ? 9
             : type.at ? (int)(type.len < 255 ? type.len : 255)
                       : 9,
             tombstone ? "tombstone"
             : type.at ? type.at
                       : "(no type)");
    while (i < plan->kinds && (plan->kind[i].meets != meets || strcmp(plan->kind[i].type, name) != 0))
        i++;
    if (i == BUI_PLAN_KINDS)
        i--;
    if (i == plan->kinds) {
        snprintf(plan->kind[i].type, sizeof plan->kind[i].type, "%s", name);
        plan->kind[i].meets = meets;
        plan->kinds++;
    }
    plan->kind[i].records++;
}

bui_meets bui_replay_plan_meets(bui_replay_plan *plan, const bui_record *record, bool forged, bool large, bool count)
{
    bui_slice type = bui_record_header(record, BUI_HEADER_TYPE);
    bui_meets meets = by_routes(plan, type, !record->value);
    for (size_t i = 0; i < plan->lag_count; i++)
        if (plan->lag[i].partition == record->partition && record->offset >= plan->lag[i].committed)
            meets = BUI_MEETS_EARLY; /* none committed is less than any */
    if (large && bui_meets_well(meets))
        meets = BUI_MEETS_TOO_LARGE;
    if (forged)
        meets = BUI_MEETS_FORGED;
    if (count)
        count_in(plan, type, !record->value, meets);
    return meets;
}

size_t bui_replay_plan_kinds(const bui_replay_plan *plan)
{
    return plan->kinds;
}

const bui_plan_kind *bui_replay_plan_kind(const bui_replay_plan *plan, size_t at)
{
    return &plan->kind[at];
}

int64_t bui_replay_left(const bus_config *config, const char *service, int timeout_ms)
{
    char topic[260];
    const char *name = topic;
    bui_kafka_lag *lag = NULL;
    size_t count = 0;
    int64_t left = 0;
    bus_error ignored = { 0 };
    snprintf(topic, sizeof topic, "%s.redrive", service);
    if (bui_kafka_lag_read(config, WHERE, service, &name, 1, false, timeout_ms, &lag, &count, &ignored) != BUS_OK)
        return -1;
    for (size_t i = 0; i < count; i++)
        left += lag[i].lag;
    free(lag);
    return left;
}
