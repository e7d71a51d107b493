/* SPDX-License-Identifier: MIT
 * bus_test_*, what goes in: events, requests, transactions. */
#include "testing/test_internal.h"

#include "base/error.h"
#include "base/id.h"
#include "codec/cloud.h"
#include "codec/publication.h"
#include "ops/headers.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The row has its value and its headers; the rest is the publication's. */
static bus_status append(bus_test *test, const bus_publication *from, bui_row *row, bus_error *err)
{
    int32_t count = test_partitions(test, from->topic), partition = from->partition;
    if (!count)
        return bui_fail(err, BUS_MISSING, "topic %s is not one that service %s reads or writes", from->topic,
                        test->service->name);
    char serial[32];
    int digits = snprintf(serial, sizeof serial, "%d", test->world->sent++);
    if (!from->has_partition)
        partition =
            from->key.at ? bui_partition_of(from->key.at, from->key.len, count) : bui_partition_of(serial, (size_t)digits, count);
    if (partition >= count)
        return bui_fail(err, BUS_INVALID, "topic %s has no partition %d", from->topic, (int)partition);
    row->key = from->key.at;
    row->key_len = from->key.len;
    row->timestamp = from->time_ms;
    return bui_memory_append(test->world->cluster, from->topic, partition, row) < 0 ? bui_fail_nomem(err) : BUS_OK;
}

#define REPLIES "test" BUI_REPLIES_SUFFIX

/* An event of the test's own; one that asks for an answer is its own correlation. */
static bus_status publish_event(bus_test *test, const bus_publication *from, const char *reply_to, char id[BUI_ID_TEXT],
                                bus_error *err)
{
    void *bytes = NULL;
    size_t len = 0;
    const char *schema = bus_type_schema(from->type);
    /* What is written by a schema has been announced: so events of other versions can be sent. */
    bus_status status = bui_catalog_add(test->world->catalog, schema, strlen(schema), err);
    if (status == BUS_OK)
        status = bus_encode(from->type, from->body, &bytes, &len, err);
    if (status != BUS_OK)
        return status;
    const bui_part parts[] = { { "bus_test", 8 }, { &test->world->sent, sizeof test->world->sent } };
    bui_id_of(parts, 2, id); /* not random, so that a test's runs are equal */
    const bui_cloud cloud = {
        .id = id, .type = bus_type_name(from->type), .source = "test", .correlation = reply_to ? id : NULL
    };
    bus_header *headers = calloc(BUI_CLOUD_HEADERS + 1 + from->header_count, sizeof *headers);
    if (!headers) {
        free(bytes);
        return bui_fail_nomem(err);
    }
    bui_row row = { .value = bytes, .value_len = len, .headers = headers };
    row.header_count = bui_cloud_add(headers, bui_cloud_write(&cloud, headers), BUI_HEADER_REPLY_TO, reply_to);
    for (size_t i = 0; i < from->header_count; i++)
        headers[row.header_count++] = from->headers[i];
    status = append(test, from, &row, err);
    free(headers);
    free(bytes);
    return status;
}

bus_status bus_test_publish(bus_test *test, const bus_publication *publication, bus_error *err)
{
    char id[BUI_ID_TEXT];
    bus_status status = bui_publication_check(publication, "bus_test_publish", true, err);
    if (status != BUS_OK)
        return status;
    if (publication->type)
        return publish_event(test, publication, NULL, id, err);
    bui_row row = { .value = publication->value.at,
                    .value_len = publication->value.len,
                    .headers = publication->headers,
                    .header_count = publication->header_count };
    return append(test, publication, &row, err);
}

bus_status bus_test_send(bus_test *test, const char *topic, const bus_type *type, bus_string key, const void *body,
                         bus_error *err)
{
    return bus_test_publish(test, &(bus_publication){ .topic = topic, .type = type, .key = key, .body = body }, err);
}

static const bus_event *answer_to(bus_test *test, const char *id)
{
    bui_record record;
    for (uint64_t after = 0; test_next_record(test, REPLIES, &after, &record);) {
        bui_envelope envelope;
        if (bui_envelope_read(record.headers, record.header_count, &envelope, NULL) == BUS_OK &&
            bui_slice_is(envelope.correlation, id))
            return test_event_of(test, &record);
    }
    return NULL;
}

bus_status bus_test_request(bus_test *test, const bus_publication *question, const bus_event **reply, bus_error *err)
{
    char id[BUI_ID_TEXT];
    bus_status status = bui_publication_check(question, "bus_test_request", true, err);
    if (status == BUS_OK && !question->type)
        status =
            bui_fail(err, BUS_INVALID, "bus_test_request to %s: a question is an event, with a type and a body", question->topic);
    if (status != BUS_OK)
        return status;
    status = bui_memory_topic(test->world->cluster, REPLIES, 1);
    if (status != BUS_OK && status != BUS_EXISTS)
        return bui_fail(err, status, "topic " REPLIES " cannot be made");
    status = publish_event(test, question, REPLIES "/0", id, err);
    if (status == BUS_OK)
        status = bus_test_run(test, err);
    if (status != BUS_OK)
        return status;
    *reply = answer_to(test, id);
    return *reply ? BUS_OK : bui_fail(err, BUS_TIMEOUT, "there is no answer now: one that comes later is a record of " REPLIES);
}

typedef struct test_call {
    bui_call call;
    bool done, abandoned; /* abandoned: nobody waits any more, free it */
    bus_status status;
    bus_error err;
} test_call;

static void on_call_done(bui_call *call, bus_status status, const bus_error *err)
{
    test_call *mine = (test_call *)call;
    if (mine->abandoned) {
        free(mine);
        return;
    }
    mine->done = true;
    mine->status = status;
    if (err)
        mine->err = *err;
}

bus_status bus_test_transact(bus_test *test, bus_string key, bus_transaction fn, void *opaque, bus_error *err)
{
    if (bui_shard_inside())
        return bui_fail(err, BUS_INVALID, "bus_test_transact inside a handler: use the transaction it was given");
    bui_shard *shard = bui_host_shard(test->host, key.at ? bui_partition_of(key.at, key.len, test->options.shards) : 0);
    if (!shard)
        return bui_fail(err, BUS_CLOSED, "the shard is not open: bus_test_run says why");
    test_call *call = calloc(1, sizeof *call);
    if (!call)
        return bui_fail_nomem(err);
    call->call = (bui_call){ .fn = fn, .opaque = opaque, .done = on_call_done };
    bus_status status = bui_shard_call(shard, &call->call, err);
    if (status != BUS_OK) {
        free(call);
        return status;
    }
    status = bus_test_run(test, err);
    if (!call->done) { /* the shard has halted, or cannot write now: it answers when it can, or at its end */
        call->abandoned = true;
        return status != BUS_OK ? status : bui_fail(err, BUS_TIMEOUT, "the transaction waits: the store cannot be written now");
    }
    status = call->status;
    if (status != BUS_OK && err)
        *err = call->err;
    free(call);
    return status;
}
