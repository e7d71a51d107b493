/* SPDX-License-Identifier: MIT
 * Admin: requests of librdkafka's admin API, each sent, waited for and translated. */
#include "kafka/admin.h"

#include "base/error.h"
#include "kafka/client.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bui_kafka_admin {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
};

bool bui_kafka_topic_name_ok(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len == 0 || len > 249 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

bus_status bui_kafka_admin_open(const bus_config *config, const char *where, bui_kafka_admin **out, bus_error *err)
{
    bui_kafka_admin *admin = calloc(1, sizeof *admin);
    rd_kafka_conf_t *conf = NULL;
    bus_status status;
    if (!admin)
        return bui_fail_nomem(err);
    status = bui_kafka_conf(config, BUI_KAFKA_TOOL, where, &conf, err);
    if (status == BUS_OK)
        status = bui_kafka_new(conf, BUI_KAFKA_TOOL, &admin->rk, err);
    if (status != BUS_OK) {
        free(admin);
        return status;
    }
    admin->queue = rd_kafka_queue_new(admin->rk);
    *out = admin;
    return BUS_OK;
}

void bui_kafka_admin_close(bui_kafka_admin *admin)
{
    if (!admin)
        return;
    rd_kafka_queue_destroy(admin->queue);
    rd_kafka_destroy(admin->rk);
    free(admin);
}

static bus_status get_metadata(bui_kafka_admin *admin, int timeout_ms, const struct rd_kafka_metadata **out, bus_error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_metadata(admin->rk, 1, NULL, out, timeout_ms);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? BUS_OK : bui_kafka_fail(err, code, "asking the cluster for its topics");
}

bus_status bui_kafka_admin_brokers(bui_kafka_admin *admin, int timeout_ms, int *out, bus_error *err)
{
    const struct rd_kafka_metadata *metadata;
    bus_status status = get_metadata(admin, timeout_ms, &metadata, err);
    if (status != BUS_OK)
        return status;
    *out = metadata->broker_cnt;
    rd_kafka_metadata_destroy(metadata);
    return BUS_OK;
}

/* Waits for the answer to the request just made, of this type; *out is the event. */
static bus_status wait_for(bui_kafka_admin *admin, rd_kafka_event_type_t type, int timeout_ms, const char *what,
                           rd_kafka_event_t **out, bus_error *err)
{
    int64_t deadline = bui_kafka_now() + timeout_ms + 500;
    bus_status status;
    for (;;) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, bui_kafka_left(deadline));

        if (!event)
            return bui_fail(err, BUS_BROKER, "%s: no answer within %d ms; is the broker up?", what, timeout_ms);
        if (rd_kafka_event_type(event) != type) {
            rd_kafka_event_destroy(event);
            continue;
        }
        if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            *out = event;
            return BUS_OK;
        }
        status = rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__TIMED_OUT
                     ? bui_fail(err, BUS_BROKER, "%s: no answer within %d ms; is the broker up?", what, timeout_ms)
                     : bui_kafka_fail(err, rd_kafka_event_error(event), "%s", what);
        rd_kafka_event_destroy(event);
        return status;
    }
}

static bus_status refuse_mock(const char *what, bus_error *err)
{
    return bui_fail(err, BUS_REFUSED, "%s: the embedded broker has no admin API; it creates its topics when it starts", what);
}

static rd_kafka_AdminOptions_t *options_of(bui_kafka_admin *admin, rd_kafka_admin_op_t op, int timeout_ms, bool validate)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->rk, op);
    char text[200];
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms > 0 ? timeout_ms : 1, text, sizeof text);
    if (validate)
        rd_kafka_AdminOptions_set_validate_only(options, 1, text, sizeof text);
    return options;
}

/* ---- list */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const bui_kafka_topic *)a)->name, ((const bui_kafka_topic *)b)->name);
}

static bool is_named(const char *name, const char *const *names, size_t count)
{
    if (!names)
        return strncmp(name, "__", 2) != 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void fill_topic(const struct rd_kafka_metadata_topic *from, bui_kafka_topic *out)
{
    snprintf(out->name, sizeof out->name, "%s", from->topic);
    out->partitions = from->partition_cnt;
    out->replication = from->partition_cnt > 0 ? from->partitions[0].replica_cnt : 0;
    for (int i = 0; i < from->partition_cnt; i++)
        out->leaderless += from->partitions[i].leader < 0;
}

static void fill_entry(const rd_kafka_ConfigEntry_t *entry, bui_kafka_topic *out)
{
    const char *name = rd_kafka_ConfigEntry_name(entry), *value = rd_kafka_ConfigEntry_value(entry);
    if (!value)
        return;
    if (strcmp(name, "retention.ms") == 0)
        out->retention_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "retention.bytes") == 0)
        out->retention_bytes = strtoll(value, NULL, 10);
    else if (strcmp(name, "min.insync.replicas") == 0)
        out->min_insync = atoi(value);
    else if (strcmp(name, "cleanup.policy") == 0)
        snprintf(out->cleanup, sizeof out->cleanup, "%s", value);
    else if (strcmp(name, "max.message.bytes") == 0)
        out->message_bytes = strtoll(value, NULL, 10);
    else if (strcmp(name, "segment.ms") == 0)
        out->segment_ms = strtoll(value, NULL, 10);
}

static void fill_configuration(const rd_kafka_ConfigResource_t *resource, bui_kafka_topic *list, size_t count)
{
    bui_kafka_topic key, *topic;
    size_t entries;
    const rd_kafka_ConfigEntry_t **entry;
    if (rd_kafka_ConfigResource_error(resource) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    snprintf(key.name, sizeof key.name, "%s", rd_kafka_ConfigResource_name(resource));
    topic = bsearch(&key, list, count, sizeof *list, by_name);
    if (!topic)
        return;
    topic->configured = true;
    entry = rd_kafka_ConfigResource_configs(resource, &entries);
    for (size_t i = 0; i < entries; i++)
        fill_entry(entry[i], topic);
}

static bus_status describe(bui_kafka_admin *admin, bui_kafka_topic *list, size_t count, int timeout_ms, bus_error *err)
{
    rd_kafka_ConfigResource_t **asked;
    const rd_kafka_ConfigResource_t **told;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *event;
    size_t told_count;
    bus_status status;
    if (count == 0 || bui_kafka_is_mock(admin->rk, timeout_ms))
        return BUS_OK;
    asked = calloc(count, sizeof(rd_kafka_ConfigResource_t *));
    if (!asked)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        asked[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, list[i].name);
    options = options_of(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms, false);
    rd_kafka_DescribeConfigs(admin->rk, asked, count, options, admin->queue);
    status = wait_for(admin, RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT, timeout_ms, "reading the topics' configuration", &event, err);
    if (status == BUS_OK) {
        told = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &told_count);
        for (size_t i = 0; i < told_count; i++)
            fill_configuration(told[i], list, count);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy_array(asked, count);
    free(asked);
    return status;
}

bus_status bui_kafka_largest(rd_kafka_t *rk, const char *const *names, size_t count, int timeout_ms, int64_t *out, bus_error *err)
{
    bui_kafka_topic *list = calloc(count + 1, sizeof *list), key, *found;
    bus_status status;
    if (!list)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        snprintf(list[i].name, sizeof list[i].name, "%s", names[i]);
    qsort(list, count, sizeof *list, by_name);
    bui_kafka_admin admin = { rk, rd_kafka_queue_new(rk) };
    status = describe(&admin, list, count, timeout_ms, err);
    rd_kafka_queue_destroy(admin.queue);
    for (size_t i = 0; i < count; i++) {
        snprintf(key.name, sizeof key.name, "%s", names[i]);
        found = bsearch(&key, list, count, sizeof *list, by_name);
        out[i] = status == BUS_OK && found ? found->message_bytes : 0;
    }
    free(list);
    return status;
}

bus_status bui_kafka_cleanup(rd_kafka_t *rk, const char *topic, int timeout_ms, char *out, size_t cap, bus_error *err)
{
    bui_kafka_topic asked = { 0 };
    bui_kafka_admin admin = { rk, rd_kafka_queue_new(rk) };
    bus_status status;
    snprintf(asked.name, sizeof asked.name, "%s", topic);
    status = describe(&admin, &asked, 1, timeout_ms, err);
    rd_kafka_queue_destroy(admin.queue);
    snprintf(out, cap, "%s", status == BUS_OK ? asked.cleanup : "");
    return status;
}

bus_status bui_kafka_admin_topics(bui_kafka_admin *admin, const char *const *names, size_t count, bool configuration,
                                  int timeout_ms, bui_kafka_topic **out, size_t *out_count, bus_error *err)
{
    int64_t deadline = bui_kafka_now() + timeout_ms;
    const struct rd_kafka_metadata *metadata;
    bui_kafka_topic *list;
    size_t n = 0;
    bus_status status = get_metadata(admin, timeout_ms, &metadata, err);
    if (status != BUS_OK)
        return status;
    list = calloc((size_t)metadata->topic_cnt + 1, sizeof *list);
    if (!list) {
        status = bui_fail_nomem(err);
        goto out;
    }
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (metadata->topics[i].partition_cnt > 0 && is_named(metadata->topics[i].topic, names, count))
            fill_topic(&metadata->topics[i], &list[n++]);
    qsort(list, n, sizeof *list, by_name);
    if (configuration)
        status = describe(admin, list, n, bui_kafka_left(deadline), err);
out:
    rd_kafka_metadata_destroy(metadata);
    if (status != BUS_OK) {
        free(list);
        return status;
    }
    *out = list;
    *out_count = n;
    return BUS_OK;
}

/* ---- create */

static void set_number(rd_kafka_NewTopic_t *topic, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    rd_kafka_NewTopic_set_config(topic, name, text);
}

static void set_tidy(rd_kafka_NewTopic_t *topic)
{
    char settings[] = BUI_TIDY_SETTINGS, *rest = settings, *setting;
    while ((setting = strsep(&rest, ","))) {
        char *value = strchr(setting, '=');
        *value++ = 0;
        rd_kafka_NewTopic_set_config(topic, setting, value);
    }
}

static rd_kafka_NewTopic_t *new_topic(const bui_kafka_topic_spec *spec, char *text, size_t cap)
{
    /* The broker's default replication is -1 in the protocol. */
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(spec->name, spec->partitions, spec->replication > 0 ? spec->replication : -1, text, cap);

    if (!topic)
        return NULL;
    if (spec->retention_ms != 0)
        set_number(topic, "retention.ms", spec->retention_ms);
    if (spec->retention_ms < 0)
        set_number(topic, "retention.bytes", -1);
    if (spec->min_insync > 0)
        set_number(topic, "min.insync.replicas", spec->min_insync);
    if (spec->message_bytes > 0)
        set_number(topic, "max.message.bytes", spec->message_bytes);
    if (spec->cleanup)
        rd_kafka_NewTopic_set_config(topic, "cleanup.policy", spec->cleanup);
    if (spec->tidy)
        set_tidy(topic);
    return topic;
}

static void take_results(const rd_kafka_event_t *event, bui_kafka_topic_spec *specs, size_t count)
{
    size_t n;
    const rd_kafka_topic_result_t **result =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result((rd_kafka_event_t *)(uintptr_t)event), &n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++)
            if (strcmp(rd_kafka_topic_result_name(result[i]), specs[k].name) == 0) {
                rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result[i]);
                const char *text = rd_kafka_topic_result_error_string(result[i]);

                specs[k].status = bui_kafka_status(code);
                snprintf(specs[k].text, sizeof specs[k].text, "%s", code ? text ? text : rd_kafka_err2str(code) : "");
            }
}

/* A new topic is created before it has leaders; a client that uses it at once would be told that it is missing. */
static bus_status wait_for_leaders(bui_kafka_admin *admin, const bui_kafka_topic_spec *specs, size_t count, int64_t deadline,
                                   bus_error *err)
{
    for (;;) {
        const struct rd_kafka_metadata *metadata;
        size_t ready = 0;
        bus_status status = get_metadata(admin, bui_kafka_left(deadline) + 1, &metadata, err);

        if (status != BUS_OK)
            return status;
        for (size_t i = 0; i < count; i++)
            for (int k = 0; k < metadata->topic_cnt; k++) {
                bui_kafka_topic topic = { .leaderless = 0 };

                if (strcmp(metadata->topics[k].topic, specs[i].name) != 0)
                    continue;
                fill_topic(&metadata->topics[k], &topic);
                ready += topic.partitions > 0 && topic.leaderless == 0;
            }
        rd_kafka_metadata_destroy(metadata);
        if (ready == count)
            return BUS_OK;
        if (bui_kafka_left(deadline) == 0)
            return bui_fail(err, BUS_TIMEOUT, "%zu of %zu topics have no leader yet", count - ready, count);
        struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
        nanosleep(&pause, NULL);
    }
}

static bus_status check_specs(bui_kafka_topic_spec *specs, size_t count, bus_error *err)
{
    for (size_t i = 0; i < count; i++) {
        specs[i].status = BUS_INVALID;
        if (!bui_kafka_topic_name_ok(specs[i].name))
            return bui_fail(err, BUS_INVALID, "'%s' is not a topic name: use 1 to 249 of a-z A-Z 0-9 . _ -", specs[i].name);
        if (specs[i].partitions < 1)
            return bui_fail(err, BUS_INVALID, "topic %s: %d partitions; at least 1", specs[i].name, (int)specs[i].partitions);
        specs[i].status = BUS_BROKER;
        snprintf(specs[i].text, sizeof specs[i].text, "not asked for");
    }
    return BUS_OK;
}

bus_status bui_kafka_admin_create(bui_kafka_admin *admin, bui_kafka_topic_spec *specs, size_t count, bool validate,
                                  int timeout_ms, bus_error *err)
{
    int64_t deadline = bui_kafka_now() + timeout_ms;
    rd_kafka_NewTopic_t **topics;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *event;
    size_t made = 0;
    char text[200] = "";
    bus_status status = check_specs(specs, count, err);
    if (status != BUS_OK || count == 0)
        return status;
    if (bui_kafka_is_mock(admin->rk, timeout_ms))
        return refuse_mock("creating topics", err);
    topics = calloc(count, sizeof(rd_kafka_NewTopic_t *));
    if (!topics)
        return bui_fail_nomem(err);
    for (; made < count; made++) {
        topics[made] = new_topic(&specs[made], text, sizeof text);
        if (!topics[made]) {
            status = bui_fail(err, BUS_INVALID, "topic %s: %s", specs[made].name, text);
            goto out;
        }
    }
    options = options_of(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms, validate);
    rd_kafka_CreateTopics(admin->rk, topics, count, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    status = wait_for(admin, RD_KAFKA_EVENT_CREATETOPICS_RESULT, timeout_ms, "creating topics", &event, err);
    if (status != BUS_OK)
        goto out;
    take_results(event, specs, count);
    rd_kafka_event_destroy(event);
    for (size_t i = 0; i < count && status == BUS_OK; i++)
        if (specs[i].status != BUS_OK && specs[i].status != BUS_EXISTS)
            status = bui_fail(err, specs[i].status, "creating topic %s: %s", specs[i].name, specs[i].text);
    if (status == BUS_OK && !validate)
        status = wait_for_leaders(admin, specs, count, deadline, err);
out:
    rd_kafka_NewTopic_destroy_array(topics, made);
    free(topics);
    return status;
}

bus_status bui_kafka_admin_delete(bui_kafka_admin *admin, const char *const *names, size_t count, int timeout_ms, bus_error *err)
{
    rd_kafka_DeleteTopic_t **topics;
    rd_kafka_AdminOptions_t *options;
    const rd_kafka_topic_result_t **result;
    rd_kafka_event_t *event;
    size_t n;
    bus_status status;
    if (count == 0)
        return BUS_OK;
    if (bui_kafka_is_mock(admin->rk, timeout_ms))
        return refuse_mock("deleting topics", err);
    topics = calloc(count, sizeof(rd_kafka_DeleteTopic_t *));
    if (!topics)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        topics[i] = rd_kafka_DeleteTopic_new(names[i]);
    options = options_of(admin, RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout_ms, false);
    rd_kafka_DeleteTopics(admin->rk, topics, count, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    status = wait_for(admin, RD_KAFKA_EVENT_DELETETOPICS_RESULT, timeout_ms, "deleting topics", &event, err);
    if (status == BUS_OK) {
        result = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &n);
        for (size_t i = 0; i < n && status == BUS_OK; i++) {
            rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result[i]);

            if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
                status = bui_kafka_fail(err, code, "deleting topic %s", rd_kafka_topic_result_name(result[i]));
        }
        rd_kafka_event_destroy(event);
    }
    rd_kafka_DeleteTopic_destroy_array(topics, count);
    free(topics);
    return status;
}
