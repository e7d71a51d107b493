/* SPDX-License-Identifier: MIT
 * Offsets: what the cluster and the group know of partitions, asked for in batches and with a bound in time. */
#include "base/error.h"
#include "kafka/internal.h"
#include <limits.h>
#include <string.h>
#include <time.h>

#define LEADER_MS 3000 /* how long a partition without a leader is asked again */
#define ASK_MS 1000    /* how long the first question waits for its answer, each further one twice as long */

bus_status kafka_partitions(bui_transport *base, const char *topic, int timeout_ms, int32_t *out, bus_error *err)
{
    return bui_kafka_partitions(kafka_of(base)->tool, topic, timeout_ms, out, err);
}

bus_status kafka_largest(bui_transport *base, const char *const *topics, size_t count, int timeout_ms, int64_t *out,
                         bus_error *err)
{
    bus_status status = bui_kafka_largest(kafka_of(base)->tool, topics, count, timeout_ms, out, err);
    int64_t least = 0;
    for (size_t i = 0; i < count && status == BUS_OK; i++)
        if (out[i] && (!least || out[i] < least))
            least = out[i];
    if (status == BUS_OK)
        atomic_store(&kafka_of(base)->least_bytes, least);
    return status;
}

bus_status kafka_cleanup(bui_transport *base, const char *topic, int timeout_ms, char *out, size_t cap, bus_error *err)
{
    return bui_kafka_cleanup(kafka_of(base)->tool, topic, timeout_ms, out, cap, err);
}

static rd_kafka_topic_partition_list_t *list_of(const bui_offset *list, size_t count, int64_t offset)
{
    rd_kafka_topic_partition_list_t *out = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(out, list[i].topic, list[i].partition)->offset = offset;
    return out;
}

bus_status bui_kafka_first_failure(const rd_kafka_topic_partition_list_t *list, const char *what, bus_error *err)
{
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err)
            return bui_kafka_fail(err, list->elems[i].err, "%s of %s/%d", what, list->elems[i].topic,
                                  (int)list->elems[i].partition);
    return BUS_OK;
}

/* A topic that was just made, or whose broker has just gone, has a leader soon. */
static bool leader_passes(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

/* Makes the client ask who leads now: it uses what it knew until an answer says otherwise, and a dead broker does not answer. */
static void refresh_leaders(rd_kafka_t *rk, int timeout_ms)
{
    const struct rd_kafka_metadata *all;
    if (rd_kafka_metadata(rk, 1, NULL, &all, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(all);
}

static rd_kafka_resp_err_t ask_offsets(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    int64_t deadline = bui_kafka_now() + timeout_ms, patience = bui_kafka_now() + LEADER_MS;
    struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
    for (int wait_ms = ASK_MS;; wait_ms = wait_ms < INT_MAX / 2 ? wait_ms * 2 : INT_MAX) {
        rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_copy(list); /* answers replace questions */
        int left = bui_kafka_left(deadline);
        rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, asked, left < wait_ms ? left : wait_ms);
        bool again = leader_passes(code);

        if (code == RD_KAFKA_RESP_ERR__TIMED_OUT && (left = bui_kafka_left(deadline)) > 0) {
            rd_kafka_topic_partition_list_destroy(asked);
            refresh_leaders(rk, left < wait_ms ? left : wait_ms);
            continue;
        }
        for (int i = 0; i < asked->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
            again = again || leader_passes(asked->elems[i].err);
        again = again && bui_kafka_left(deadline) > 100 && bui_kafka_left(patience) > 0;
        for (int i = 0; i < asked->cnt && !again; i++) {
            list->elems[i].offset = asked->elems[i].offset;
            list->elems[i].err = asked->elems[i].err;
        }
        rd_kafka_topic_partition_list_destroy(asked);
        if (!again)
            return code;
        nanosleep(&pause, NULL);
    }
}

bus_status bui_kafka_list_offsets(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms, bus_error *err)
{
    rd_kafka_resp_err_t code;
    if (list->cnt == 0)
        return BUS_OK;
    code = ask_offsets(rk, list, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return bui_fail(err, BUS_BROKER, "no answer to the request for offsets within %d ms; is the broker up?", timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return bui_kafka_fail(err, code, "offsets of %s/%d and %d others", list->elems[0].topic, (int)list->elems[0].partition,
                              list->cnt - 1);
    return bui_kafka_first_failure(list, "offsets", err);
}

bus_status kafka_watermarks(bui_transport *base, bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    kafka_transport *t = kafka_of(base);
    rd_kafka_topic_partition_list_t *low, *high;
    int64_t deadline = bui_kafka_now() + timeout_ms;
    bus_status status;
    if (count == 0)
        return BUS_OK;
    low = list_of(list, count, RD_KAFKA_OFFSET_BEGINNING);
    high = list_of(list, count, RD_KAFKA_OFFSET_END);
    status = bui_kafka_list_offsets(t->tool, low, timeout_ms, err);
    if (status == BUS_OK)
        status = bui_kafka_list_offsets(t->tool, high, bui_kafka_left(deadline), err);
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        list[i].low = low->elems[i].offset;
        list[i].high = high->elems[i].offset;
        list[i].status = BUS_OK;
    }
    rd_kafka_topic_partition_list_destroy(low);
    rd_kafka_topic_partition_list_destroy(high);
    return status;
}

/* A coordinator that moves or loads is asked again; librdkafka leaves that to its caller here. */
static bool coordinator_passes(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_NOT_COORDINATOR || code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
           code == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
}

static rd_kafka_resp_err_t ask_committed(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    int64_t deadline = bui_kafka_now() + timeout_ms;
    struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
    rd_kafka_resp_err_t code;
    while (coordinator_passes(code = rd_kafka_committed(rk, list, bui_kafka_left(deadline))) && bui_kafka_left(deadline) > 0)
        nanosleep(&pause, NULL);
    return code;
}

bus_status kafka_committed(bui_transport *base, bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    kafka_transport *t = kafka_of(base);
    rd_kafka_topic_partition_list_t *asked;
    rd_kafka_resp_err_t code;
    bus_status status;
    if (count == 0)
        return BUS_OK;
    if (!t->rk)
        return bui_fail(err, BUS_INVALID, "%s: no group yet: join first", t->where);
    asked = list_of(list, count, RD_KAFKA_OFFSET_INVALID);
    code = ask_committed(t->rk, asked, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
        status = bui_fail(err, BUS_BROKER, "group %s: its coordinator did not return the committed offsets within %d ms",
                          t->group, timeout_ms);
    else if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        status = bui_kafka_fail(err, code, "committed offsets of group %s", t->group);
    else
        status = bui_kafka_first_failure(asked, "the committed offset", err);
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        const rd_kafka_topic_partition_t *at = &asked->elems[i];

        list[i].offset = at->offset >= 0 ? at->offset : BUI_OFFSET_NONE;
        list[i].status = BUS_OK;
        bui_kafka_text(list[i].metadata, sizeof list[i].metadata, at->metadata, at->metadata_size);
    }
    rd_kafka_topic_partition_list_destroy(asked);
    return status;
}
