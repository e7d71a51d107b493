/* SPDX-License-Identifier: MIT
 * Topology: declarations merged, and the difference to a cluster. */
#include "ops/topology.h"
#include "base/array.h"
#include "base/error.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS_MOST 100000

struct bui_topology {
    bui_wish *list;
    size_t count, cap;
};

/* From lax to strict: a topic that one service reads and another writes is an input first. */
static const char *const roles[] = { "shared", "replies", "output", "input", "dlq", "retry", "redrive" };

bui_topology *bui_topology_new(void)
{
    return calloc(1, sizeof(bui_topology));
}

void bui_topology_free(bui_topology *topology)
{
    if (topology)
        free(topology->list);
    free(topology);
}

size_t bui_topology_count(const bui_topology *topology)
{
    return topology->count;
}

const bui_wish *bui_topology_at(const bui_topology *topology, size_t at)
{
    return at < topology->count ? &topology->list[at] : NULL;
}

const char *bui_step_name(bui_step_kind kind)
{
    static const char *const names[] = { "keep", "create", "differs", "refused" };
    return names[kind];
}

static int role_of(const char *name)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (!strcmp(roles[i], name))
            return (int)i;
    return -1;
}

static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;
    if (!a || !b)
        return a ? a : b;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static int64_t longer(int64_t a, int64_t b)
{
    return a < 0 || b < 0 ? -1 : a > b ? a : b;
}

static bui_wish *place(bui_topology *topology, const char *name)
{
    size_t at = 0;
    while (at < topology->count && strcmp(topology->list[at].name, name) < 0)
        at++;
    if (at < topology->count && !strcmp(topology->list[at].name, name))
        return &topology->list[at];
    if (!bui_array_room(&topology->list, &topology->cap, topology->count + 1, sizeof *topology->list, 32))
        return NULL;
    memmove(&topology->list[at + 1], &topology->list[at], (topology->count - at) * sizeof *topology->list);
    topology->count++;
    topology->list[at] = (bui_wish){ 0 };
    snprintf(topology->list[at].name, sizeof topology->list[at].name, "%s", name);
    return &topology->list[at];
}

/* One declaration into what is known of the topic. */
static bus_status merge(bui_wish *wish, const char *who, const char *role, int32_t partitions, const char *cleanup,
                        int64_t retention_ms, bus_error *err)
{
    bool reads = !strcmp(role, "input"), compact = !strcmp(cleanup, "compact"), first = !*wish->by;
    if (!strcmp(role, "redrive") || !strcmp(role, "dlq") || !strcmp(role, "retry")) {
        if (wish->exactly || wish->least || (wish->multiple && role_of(wish->role) > role_of("input")))
            return bui_fail(err, BUS_REFUSED,
                            "topic %s belongs to one service, but both %s and %s declare it as theirs: give one of "
                            "them another name",
                            wish->name, wish->by, who);
    }
    if (!first && wish->cleanup && compact != !strcmp(wish->cleanup, "compact") && reads && !strcmp(wish->role, "input"))
        return bui_fail(err, BUS_REFUSED,
                        "topic %s: %s and %s read it, one as compacted and the other not: make their routes agree", wish->name,
                        wish->by, who);
    int64_t multiple = reads || !strcmp(role, "retry") ? common_multiple(wish->multiple, partitions) : wish->multiple;
    if (multiple > PARTITIONS_MOST)
        return bui_fail(err, BUS_REFUSED,
                        "topic %s would need %" PRId64 " partitions to divide by the shards of %s and %s: let them have "
                        "numbers of shards with a common divisor",
                        wish->name, multiple, wish->by, who);
    int32_t exactly = !strcmp(role, "redrive") ? partitions : wish->exactly;
    if (exactly && multiple && exactly % multiple != 0)
        return bui_fail(err, BUS_REFUSED,
                        "topic %s has one partition for each of its service's %" PRId32 " shards, which %" PRId64 " of its "
                        "readers do not divide: %s and %s must agree",
                        wish->name, exactly, multiple, wish->by, who);
    wish->multiple = (int32_t)multiple;
    wish->exactly = exactly;
    if (!strcmp(role, "dlq"))
        wish->least = partitions;
    if (partitions > wish->partitions)
        wish->partitions = partitions;
    wish->written |= !reads;
    wish->retention_ms = first ? retention_ms : longer(wish->retention_ms, retention_ms);
    /* A writer has no way to say compact; a reader that relies on it does. */
    if (first || compact)
        wish->cleanup = compact ? "compact" : "delete";
    if (first || role_of(role) > role_of(wish->role))
        snprintf(wish->role, sizeof wish->role, "%s", role);
    size_t used = strlen(wish->by);
    snprintf(wish->by + used, sizeof wish->by - used, "%s%s", used ? ", " : "", who);
    return BUS_OK;
}

static bus_status add_one(bui_topology *topology, const char *who, json_t *item, bus_error *err)
{
    json_t *name = json_object_get(item, "name"), *partitions = json_object_get(item, "partitions");
    json_t *role = json_object_get(item, "role"), *cleanup = json_object_get(item, "cleanup");
    json_t *retention = json_object_get(item, "retention_ms");
    const char *role_name = role ? json_string_value(role) : "output",
               *cleanup_name = cleanup ? json_string_value(cleanup) : "delete";
    if (!json_is_string(name) || !bui_kafka_topic_name_ok(json_string_value(name)))
        return bui_fail(err, BUS_INVALID, "%s: a declaration without a \"name\" that Kafka accepts", who);
    const char *topic = json_string_value(name);
    if (!json_is_integer(partitions) || json_integer_value(partitions) < 1 || json_integer_value(partitions) > PARTITIONS_MOST)
        return bui_fail(err, BUS_INVALID, "%s: topic %s: \"partitions\" is a number from 1 to %d", who, topic, PARTITIONS_MOST);
    if (!role_name || role_of(role_name) < 0)
        return bui_fail(err, BUS_INVALID, "%s: topic %s: \"role\" is redrive, retry, dlq, input, output, replies or shared", who,
                        topic);
    if (!cleanup_name || (strcmp(cleanup_name, "delete") != 0 && strcmp(cleanup_name, "compact") != 0))
        return bui_fail(err, BUS_INVALID, "%s: topic %s: \"cleanup\" is delete or compact", who, topic);
    if (retention && (!json_is_integer(retention) || json_integer_value(retention) < -1))
        return bui_fail(err, BUS_INVALID,
                        "%s: topic %s: \"retention_ms\" is a number of ms, -1 for no limit or 0 for the default", who, topic);
    bui_wish *wish = place(topology, topic);
    if (!wish)
        return bui_fail_nomem(err);
    return merge(wish, who, role_name, (int32_t)json_integer_value(partitions), cleanup_name,
                 retention ? json_integer_value(retention) : 0, err);
}

bus_status bui_topology_add(bui_topology *topology, const char *who, const char *json, size_t len, bus_error *err)
{
    json_error_t wrong;
    bus_status status = BUS_OK;
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &wrong), *list, *item;
    size_t i;
    if (!root)
        return bui_fail(err, BUS_INVALID, "%s: not JSON: line %d: %s", who, wrong.line, wrong.text);
    list = json_is_object(root) ? json_object_get(root, "topics") : root;
    if (json_is_object(root) && json_is_string(json_object_get(root, "service")))
        who = json_string_value(json_object_get(root, "service"));
    if (!json_is_array(list))
        status = bui_fail(err, BUS_INVALID, "%s: not a list of topics", who);
    else
        json_array_foreach(list, i, item)
        {
            status = add_one(topology, who, item, err);
            if (status != BUS_OK)
                break;
        }
    json_decref(root);
    return status;
}

static int32_t partitions_for(const bui_wish *wish, const bui_topic_defaults *defaults)
{
    bool free_to_choose = !strcmp(wish->role, "input") || !strcmp(wish->role, "output");
    int64_t wanted = wish->partitions, unit = wish->multiple ? wish->multiple : 1;
    if (wish->exactly)
        return wish->exactly;
    if (free_to_choose && wanted < defaults->partitions)
        wanted = defaults->partitions;
    return (int32_t)((wanted + unit - 1) / unit * unit);
}

static void judge_partitions(bui_step *step, int32_t has)
{
    const bui_wish *wish = step->wish;
    const char *grow = "growing it would move keys to other shards, so that is refused";
    if (wish->exactly && has < wish->exactly)
        snprintf(step->text, sizeof step->text,
                 "%s has %d shards but the topic %" PRId32 " partitions: add some with Kafka's kafka-topics.sh "
                 "--alter --partitions %d (it is not read by key, so here that is safe)",
                 wish->by, wish->exactly, has, wish->exactly);
    else if (wish->exactly && has > wish->exactly)
        snprintf(step->text, sizeof step->text,
                 "%s has %d shards but the topic %" PRId32 " partitions: delete the topic and apply again "
                 "(commands that were not read are lost), or, if the service never ran, set shards to that",
                 wish->by, wish->exactly, has);
    else if (wish->multiple && has % wish->multiple != 0)
        snprintf(step->text, sizeof step->text,
                 "its %" PRId32 " partitions do not divide by the shards of its readers (a multiple of %" PRId32
                 " is needed); %s: create a new topic, and `bus replay` into it",
                 has, wish->multiple, grow);
    else if (wish->least && has < wish->least)
        snprintf(step->text, sizeof step->text,
                 "%" PRId32 " partitions are fewer than the %" PRId32 " shards that write it: add some with "
                 "Kafka's kafka-topics.sh --alter (its records are not read by key, so here that is safe)",
                 has, wish->least);
    if (step->text[0])
        step->kind = BUI_STEP_REFUSE;
}

/* What all services share is read from its start, by each process and tool. */
static bool is_tidy(const bui_wish *wish)
{
    return !strcmp(wish->role, "shared") && !strcmp(wish->cleanup, "compact");
}

static void judge_settings(bui_step *step, const bui_kafka_topic *topic)
{
    const bui_wish *wish = step->wish;
    int64_t wanted = step->spec.retention_ms;
    bool compacted = strstr(topic->cleanup, "compact") != NULL, compact = !strcmp(wish->cleanup, "compact");
    if (compacted != compact)
        snprintf(step->text, sizeof step->text, "cleanup.policy is %s, wanted %s", topic->cleanup, wish->cleanup);
    else if (!compact && wanted && topic->retention_ms >= 0 && (wanted < 0 || topic->retention_ms < wanted))
        snprintf(step->text, sizeof step->text, "retention.ms is %" PRId64 ", wanted %" PRId64 "%s", topic->retention_ms, wanted,
                 wanted < 0 ? " (no limit): what is older cannot be replayed" : "");
    else if (!compact && wanted < 0 && topic->retention_bytes >= 0)
        snprintf(step->text, sizeof step->text, "retention.bytes is %" PRId64 ", wanted -1 (no limit)", topic->retention_bytes);
    else if (is_tidy(wish) && topic->segment_ms > BUI_TIDY_SEGMENT_MS)
        snprintf(step->text, sizeof step->text,
                 "segment.ms is %" PRId64
                 ", so what is replaced stays, and readers take long: kafka-configs.sh --alter --entity-type "
                 "topics --entity-name %.30s --add-config " BUI_TIDY_SETTINGS,
                 topic->segment_ms, wish->name);
    if (step->text[0])
        step->kind = BUI_STEP_DIFFERS;
}

static const bui_kafka_topic *find(const bui_kafka_topic *have, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(have[i].name, name))
            return &have[i];
    return NULL;
}

bus_status bui_topology_plan(const bui_topology *topology, const bui_topic_defaults *defaults, const bui_kafka_topic *have,
                             size_t have_count, bui_step **out, size_t *count, bus_error *err)
{
    bui_step *steps = calloc(topology->count + 1, sizeof *steps);
    if (!steps)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < topology->count; i++) {
        bui_step *step = &steps[i];
        const bui_wish *wish = &topology->list[i];
        const bui_kafka_topic *topic = find(have, have_count, wish->name);
        int replication = defaults->replication > 0 ? defaults->replication : 0;
        step->wish = wish;
        step->spec = (bui_kafka_topic_spec){ .name = wish->name,
                                             .partitions = partitions_for(wish, defaults),
                                             .replication = replication,
                                             .cleanup = wish->cleanup,
                                             .tidy = is_tidy(wish),
                                             .retention_ms = wish->retention_ms ? wish->retention_ms : defaults->retention_ms,
                                             .min_insync = defaults->min_insync ? defaults->min_insync
                                                           : replication > 1    ? replication - 1
                                                                                : 0 };
        if (!strcmp(wish->cleanup, "compact"))
            step->spec.retention_ms = 0; /* of no meaning there */
        if (!topic) {
            step->kind = BUI_STEP_CREATE;
            continue;
        }
        step->has = topic->partitions;
        judge_partitions(step, topic->partitions);
        if (step->kind == BUI_STEP_KEEP && topic->configured)
            judge_settings(step, topic);
    }
    *out = steps;
    *count = topology->count;
    return BUS_OK;
}
