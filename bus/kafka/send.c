/* SPDX-License-Identifier: MIT
 * Send: a row as librdkafka takes it, and the handles of the topics that rows go to. */
#include "kafka/send.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

/* Rows go to few topics, so a walk beats a table; the one used last is likely first. */
rd_kafka_topic_t *bui_kafka_topic_known(const bui_kafka_topics *topics, const char *name)
{
    for (size_t i = 0; i < topics->count; i++)
        if (strcmp(rd_kafka_topic_name(topics->at[i]), name) == 0)
            return topics->at[i];
    return NULL;
}

rd_kafka_topic_t *bui_kafka_topic(bui_kafka_topics *topics, rd_kafka_t *rk, const char *name, rd_kafka_resp_err_t *why)
{
    rd_kafka_topic_t *topic = bui_kafka_topic_known(topics, name);
    *why = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (topic)
        return topic;
    if (!bui_array_room(&topics->at, &topics->cap, topics->count + 1, sizeof *topics->at, 8)) {
        *why = RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
        return NULL;
    }
    topic = rd_kafka_topic_new(rk, name, NULL);
    if (topic)
        topics->at[topics->count++] = topic;
    else
        *why = rd_kafka_last_error();
    return topic;
}

void bui_kafka_topics_free(bui_kafka_topics *topics)
{
    for (size_t i = 0; i < topics->count; i++)
        rd_kafka_topic_destroy(topics->at[i]);
    free(topics->at);
    memset(topics, 0, sizeof *topics);
}

/* librdkafka takes the headers only if it takes the row. */
rd_kafka_resp_err_t bui_kafka_send(rd_kafka_t *rk, rd_kafka_topic_t *topic, const bui_row *row, void *kept)
{
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_error_t *error;
    rd_kafka_resp_err_t code;
    rd_kafka_vu_t part[] = {
        { .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic },
        { .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = row->partition < 0 ? RD_KAFKA_PARTITION_UA : row->partition },
        { .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
        { .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { (void *)(uintptr_t)row->key, row->key ? row->key_len : 0 } },
        { .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { (void *)(uintptr_t)row->value, row->value ? row->value_len : 0 } },
        { .vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = row->timestamp },
        { .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = kept },
        { .vtype = RD_KAFKA_VTYPE_HEADERS },
    };
    size_t count = sizeof part / sizeof *part - 1;
    if (row->header_count > 0) {
        headers = rd_kafka_headers_new(row->header_count);
        for (size_t i = 0; i < row->header_count; i++)
            rd_kafka_header_add(headers, row->headers[i].name, -1, row->headers[i].value,
                                row->headers[i].value ? (ssize_t)row->headers[i].len : 0);
        part[count++].u.headers = headers;
    }
    error = rd_kafka_produceva(rk, part, count);
    if (!error)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (headers)
        rd_kafka_headers_destroy(headers);
    return code;
}
