/* SPDX-License-Identifier: MIT
 * Lag: committed offsets compared with the log's ends, and who is in a group. */
#include "kafka/lag.h"

#include "base/clock.h"
#include "base/error.h"
#include "kafka/client.h"
#include "kafka/topic_reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef rd_kafka_topic_partition_list_t offset_list;

/* A consumer that names the group but never joins it: asking does not make it a member. */
static bus_status open_client(const bus_config *config, const char *where, const char *group, rd_kafka_t **out, bus_error *err)
{
    rd_kafka_conf_t *conf = NULL;
    bus_status status = bui_kafka_conf(config, group ? BUI_KAFKA_READER : BUI_KAFKA_TOOL, where, &conf, err);
    if (status == BUS_OK && group)
        status = bui_kafka_set(conf, "group.id", group, err);
    /* Ends of logs, not of what is committed: what stands behind an open transaction waits too. */
    if (status == BUS_OK && group)
        status = bui_kafka_set(conf, "isolation.level", "read_uncommitted", err);
    if (status != BUS_OK) {
        if (conf)
            rd_kafka_conf_destroy(conf);
        return status;
    }
    return bui_kafka_new(conf, group ? BUI_KAFKA_READER : BUI_KAFKA_TOOL, out, err);
}

/* The answer to an admin request, or why there is none. */
static bus_status answer(rd_kafka_queue_t *queue, int timeout_ms, const char *what, rd_kafka_event_t **out, bus_error *err)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 500);
    bus_status status;
    if (!event || rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        status = bui_fail(err, BUS_BROKER, "%s: no answer within %d ms; is the broker up?", what, timeout_ms);
    else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        status = bui_kafka_fail(err, rd_kafka_event_error(event), "%s", what);
    else {
        *out = event;
        return BUS_OK;
    }
    if (event)
        rd_kafka_event_destroy(event);
    return status;
}

static bus_status refuse_mock(rd_kafka_t *rk, int timeout_ms, const char *what, bus_error *err)
{
    return bui_kafka_is_mock(rk, timeout_ms) ? bui_fail(err, BUS_REFUSED, "%s: the embedded broker does not know", what) : BUS_OK;
}

static rd_kafka_AdminOptions_t *options_of(rd_kafka_t *rk, rd_kafka_admin_op_t op, int timeout_ms)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, op);
    char text[200];
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms > 0 ? timeout_ms : 1, text, sizeof text);
    return options;
}

/* ---- lag */

/* Every partition the group has committed. */
static bus_status committed_partitions(rd_kafka_t *rk, const char *group, int timeout_ms, offset_list *out, bus_error *err)
{
    rd_kafka_ListConsumerGroupOffsets_t *ask = rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
    rd_kafka_AdminOptions_t *options = options_of(rk, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout_ms);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    const rd_kafka_group_result_t **result;
    const offset_list *list;
    rd_kafka_event_t *event;
    size_t count;
    bus_status status;
    rd_kafka_ListConsumerGroupOffsets(rk, &ask, 1, options, queue);
    status = answer(queue, timeout_ms, "listing the group's offsets", &event, err);
    if (status == BUS_OK) {
        result = rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
        list = count ? rd_kafka_group_result_partitions(result[0]) : NULL;
        if (count && rd_kafka_group_result_error(result[0]))
            status =
                bui_kafka_fail(err, rd_kafka_error_code(rd_kafka_group_result_error(result[0])), "offsets of group %s", group);
        for (int i = 0; status == BUS_OK && list && i < list->cnt; i++)
            rd_kafka_topic_partition_list_add(out, list->elems[i].topic, list->elems[i].partition);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(ask);
    return status;
}

static bus_status named_partitions(rd_kafka_t *rk, const char *const *topics, size_t topic_count, int64_t deadline,
                                   offset_list *out, bus_error *err)
{
    for (size_t i = 0; i < topic_count; i++) {
        int32_t count = 0;
        bus_error why;
        bus_status status = bui_kafka_partitions(rk, topics[i], bui_kafka_left(deadline), &count, &why);

        if (status != BUS_OK && status != BUS_MISSING) {
            if (err)
                *err = why;
            return status;
        }
        for (int32_t k = 0; k < count; k++)
            rd_kafka_topic_partition_list_add(out, topics[i], k);
    }
    return BUS_OK;
}

static bool names(const offset_list *list, const char *topic)
{
    for (int i = 0; i < list->cnt; i++)
        if (strcmp(list->elems[i].topic, topic) == 0)
            return true;
    return false;
}

/* Every partition of the topics in `known`: one that was added to a topic has no commit yet, but its records wait too. The
 * embedded broker answers a question for all offsets of a group with none: then every topic is asked about. */
static bus_status every_partition(rd_kafka_t *rk, const offset_list *known, int64_t deadline, offset_list *out, bus_error *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 1, NULL, &metadata, bui_kafka_left(deadline));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return bui_kafka_fail(err, code, "listing topics");
    for (int i = 0; i < metadata->topic_cnt; i++)
        for (int k = 0; k < metadata->topics[i].partition_cnt; k++)
            if (known->cnt == 0 || names(known, metadata->topics[i].topic))
                rd_kafka_topic_partition_list_add(out, metadata->topics[i].topic, metadata->topics[i].partitions[k].id);
    rd_kafka_metadata_destroy(metadata);
    return BUS_OK;
}

/* Leaves the topics of which the group has committed anything. */
static void keep_committed(offset_list *list)
{
    offset_list *with = rd_kafka_topic_partition_list_new(list->cnt);
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].offset >= 0)
            rd_kafka_topic_partition_list_add(with, list->elems[i].topic, list->elems[i].partition);
    for (int i = list->cnt - 1; i >= 0; i--)
        if (!names(with, list->elems[i].topic))
            rd_kafka_topic_partition_list_del_by_idx(list, i);
    rd_kafka_topic_partition_list_destroy(with);
}

static bus_status group_partitions(rd_kafka_t *rk, const char *group, int timeout_ms, int64_t deadline, offset_list *out,
                                   bus_error *err)
{
    offset_list *known = rd_kafka_topic_partition_list_new(16);
    bus_status status = committed_partitions(rk, group, timeout_ms, known, err);
    if (status == BUS_OK)
        status = every_partition(rk, known, deadline, out, err);
    rd_kafka_topic_partition_list_destroy(known);
    return status;
}

static int by_place(const void *a, const void *b)
{
    const bui_kafka_lag *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* The age of each lagging partition's first unread record: one record of each is read. */
static bus_status read_ages(const bus_config *config, const char *where, bui_kafka_lag *list, size_t count, int64_t deadline,
                            bus_error *err)
{
    bui_range *ranges = calloc(count ? count : 1, sizeof *ranges);
    const bui_record *record;
    bui_kafka_reader *reader = NULL;
    bui_kafka_lag key;
    size_t n = 0;
    bus_status status = BUS_OK;
    if (!ranges)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count; i++) {
        int64_t first = list[i].committed < list[i].low ? list[i].low : list[i].committed;

        if (list[i].lag > 0)
            ranges[n++] = (bui_range){ .topic = list[i].topic,
                                       .partition = list[i].partition,
                                       .from = { BUI_EDGE_OFFSET, first },
                                       .to = { BUI_EDGE_OFFSET, first + 1 } };
        else
            list[i].lag_ms = 0;
    }
    if (n > 0)
        status = bui_kafka_reader_open(config, where, ranges, n, BUI_READ_UNCOMMITTED, bui_kafka_left(deadline), &reader, err);
    while (reader && (status = bui_kafka_reader_next(reader, bui_kafka_left(deadline), &record, err)) == BUS_OK) {
        bui_kafka_lag *at;

        snprintf(key.topic, sizeof key.topic, "%s", record->topic);
        key.partition = record->partition;
        at = bsearch(&key, list, count, sizeof *list, by_place);
        if (at && record->timestamp >= 0) {
            int64_t age = bui_clock_real()->wall_ms(bui_clock_real()) - record->timestamp;

            at->lag_ms = age > 0 ? age : 0;
        }
    }
    /* Ages that did not come in time stay unknown. */
    if (reader && (status == BUS_CLOSED || status == BUS_TIMEOUT))
        status = BUS_OK;
    bui_kafka_reader_close(reader);
    free(ranges);
    return status;
}

static void fill(bui_kafka_lag *out, const rd_kafka_topic_partition_t *at, int64_t low, int64_t high)
{
    snprintf(out->topic, sizeof out->topic, "%s", at->topic);
    out->partition = at->partition;
    out->committed = at->offset >= 0 ? at->offset : BUI_OFFSET_NONE;
    out->low = low;
    out->high = high;
    out->lag = high - (out->committed < low ? low : out->committed);
    if (out->lag < 0)
        out->lag = 0;
    out->lag_ms = -1;
    bui_kafka_text(out->metadata, sizeof out->metadata, at->metadata, at->metadata_size);
}

bus_status bui_kafka_lag_read(const bus_config *config, const char *where, const char *group, const char *const *topics,
                              size_t topic_count, bool ages, int timeout_ms, bui_kafka_lag **out, size_t *count, bus_error *err)
{
    int64_t deadline = bui_kafka_now() + timeout_ms;
    offset_list *committed = rd_kafka_topic_partition_list_new(16), *low = NULL, *high = NULL;
    bui_kafka_lag *list = NULL;
    rd_kafka_t *rk = NULL;
    rd_kafka_resp_err_t code;
    bus_status status = open_client(config, where, group, &rk, err);
    if (status == BUS_OK)
        status = topics ? named_partitions(rk, topics, topic_count, deadline, committed, err)
                        : group_partitions(rk, group, timeout_ms, deadline, committed, err);
    if (status != BUS_OK)
        goto out;
    if (committed->cnt > 0) {
        code = rd_kafka_committed(rk, committed, bui_kafka_left(deadline));
        status = code ? bui_kafka_fail(err, code, "committed offsets of group %s", group)
                      : bui_kafka_first_failure(committed, "the committed offset", err);
    }
    if (!topics)
        keep_committed(committed);
    low = rd_kafka_topic_partition_list_copy(committed);
    high = rd_kafka_topic_partition_list_copy(committed);
    for (int i = 0; i < committed->cnt; i++) {
        low->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
        high->elems[i].offset = RD_KAFKA_OFFSET_END;
    }
    if (status == BUS_OK)
        status = bui_kafka_list_offsets(rk, low, bui_kafka_left(deadline), err);
    if (status == BUS_OK)
        status = bui_kafka_list_offsets(rk, high, bui_kafka_left(deadline), err);
    if (status != BUS_OK)
        goto out;
    list = calloc((size_t)committed->cnt + 1, sizeof *list);
    if (!list) {
        status = bui_fail_nomem(err);
        goto out;
    }
    for (int i = 0; i < committed->cnt; i++)
        fill(&list[i], &committed->elems[i], low->elems[i].offset, high->elems[i].offset);
    qsort(list, (size_t)committed->cnt, sizeof *list, by_place);
    if (ages)
        status = read_ages(config, where, list, (size_t)committed->cnt, deadline, err);
out:
    if (status == BUS_OK) {
        *out = list;
        *count = (size_t)committed->cnt;
    } else {
        free(list);
    }
    rd_kafka_topic_partition_list_destroy(committed);
    if (low)
        rd_kafka_topic_partition_list_destroy(low);
    if (high)
        rd_kafka_topic_partition_list_destroy(high);
    if (rk)
        rd_kafka_destroy(rk);
    return status;
}

/* ---- groups */

static int by_group(const void *a, const void *b)
{
    return strcmp(((const bui_kafka_group *)a)->name, ((const bui_kafka_group *)b)->name);
}

static bus_status list_groups(const bus_config *config, const char *where, const char *name, int timeout_ms,
                              const struct rd_kafka_group_list **out, rd_kafka_t **rk, bus_error *err)
{
    rd_kafka_resp_err_t code;
    bus_status status = open_client(config, where, NULL, rk, err);
    if (status != BUS_OK)
        return status;
    status = refuse_mock(*rk, timeout_ms, "listing consumer groups", err);
    if (status != BUS_OK) {
        rd_kafka_destroy(*rk);
        *rk = NULL;
        return status;
    }
    code = rd_kafka_list_groups(*rk, name, out, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return BUS_OK;
    status = bui_kafka_fail(err, code, "listing consumer groups");
    rd_kafka_destroy(*rk);
    *rk = NULL;
    return status;
}

bus_status bui_kafka_groups(const bus_config *config, const char *where, const char *name, int timeout_ms, bui_kafka_group **out,
                            size_t *count, bus_error *err)
{
    const struct rd_kafka_group_list *list;
    bui_kafka_group *groups;
    rd_kafka_t *rk;
    bus_status status = list_groups(config, where, name, timeout_ms, &list, &rk, err);
    if (status != BUS_OK)
        return status;
    groups = calloc((size_t)list->group_cnt + 1, sizeof *groups);
    if (groups) {
        for (int i = 0; i < list->group_cnt; i++) {
            snprintf(groups[i].name, sizeof groups[i].name, "%s", list->groups[i].group);
            snprintf(groups[i].state, sizeof groups[i].state, "%s", list->groups[i].state);
            groups[i].members = list->groups[i].member_cnt;
        }
        qsort(groups, (size_t)list->group_cnt, sizeof *groups, by_group);
        *out = groups;
        *count = (size_t)list->group_cnt;
    } else {
        status = bui_fail_nomem(err);
    }
    rd_kafka_group_list_destroy(list);
    rd_kafka_destroy(rk);
    return status;
}

static void fill_member(const rd_kafka_MemberDescription_t *from, bui_kafka_member *out)
{
    const rd_kafka_MemberAssignment_t *assignment = rd_kafka_MemberDescription_assignment(from);
    const offset_list *list = assignment ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;
    const char *instance = rd_kafka_MemberDescription_group_instance_id(from);
    snprintf(out->id, sizeof out->id, "%s", rd_kafka_MemberDescription_consumer_id(from));
    snprintf(out->instance, sizeof out->instance, "%s", instance ? instance : "");
    snprintf(out->client, sizeof out->client, "%s", rd_kafka_MemberDescription_client_id(from));
    snprintf(out->host, sizeof out->host, "%s", rd_kafka_MemberDescription_host(from));
    for (int i = 0; list && i < list->cnt; i++) {
        if (out->lead_count < sizeof out->lead / sizeof *out->lead)
            out->lead[out->lead_count++] = list->elems[i].partition;
        out->assigned++;
    }
}

bool bui_kafka_member_is_ours(const bui_kafka_member *member)
{
    return *member->instance && strcmp(member->client, member->instance) == 0;
}

bus_status bui_kafka_members(const bus_config *config, const char *where, const char *group, int timeout_ms,
                             bui_kafka_member **out, size_t *count, bus_error *err)
{
    const rd_kafka_ConsumerGroupDescription_t **told;
    rd_kafka_AdminOptions_t *options = NULL;
    rd_kafka_queue_t *queue = NULL;
    bui_kafka_member *members = NULL;
    rd_kafka_event_t *event = NULL;
    rd_kafka_t *rk = NULL;
    size_t n = 0, groups;
    bus_status status = open_client(config, where, NULL, &rk, err);
    if (status != BUS_OK)
        return status;
    queue = rd_kafka_queue_new(rk);
    options = options_of(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, timeout_ms);
    status = refuse_mock(rk, timeout_ms, "describing the group", err);
    if (status != BUS_OK)
        goto out;
    rd_kafka_DescribeConsumerGroups(rk, &group, 1, options, queue);
    status = answer(queue, timeout_ms, "describing the group", &event, err);
    if (status != BUS_OK)
        goto out;
    told = rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &groups);
    if (groups > 0 && rd_kafka_ConsumerGroupDescription_error(told[0])) {
        status = bui_kafka_fail(err, rd_kafka_error_code(rd_kafka_ConsumerGroupDescription_error(told[0])), "group %s", group);
        goto out;
    }
    n = groups ? rd_kafka_ConsumerGroupDescription_member_count(told[0]) : 0;
    members = calloc(n + 1, sizeof *members);
    if (!members) {
        status = bui_fail_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        fill_member(rd_kafka_ConsumerGroupDescription_member(told[0], i), &members[i]);
    *out = members;
    *count = n;
out:
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return status;
}
