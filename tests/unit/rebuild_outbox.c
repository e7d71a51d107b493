/* SPDX-License-Identifier: MIT
 * Rebuild outbox: what a rebuild leaves to send keeps its order and content, and is numbered from 1 under the new incarnation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/envelope.h"
#include "rebuild/rebuild_outbox.h"
#include "support/temp_store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 2500 /* more than are renumbered at once */
#define SENT 700  /* of them, before */

static void add(temp_store *temp, int i, int64_t *id)
{
    bui_destination *to = bui_destination_of(temp->store, i % 3 ? "a" : "b", i % 2, &temp->err);
    char text[300], value[20];
    bui_buf packed;
    bui_hop hop = { .source = { to->source, strlen(to->source) },
                    .topic = { to->topic, strlen(to->topic) },
                    .partition = to->partition,
                    .seq = to->next_seq,
                    .attempt = i % 5,
                    .not_before = i,
                    .token = { "t0", 2 } };
    bus_header headers[] = { { "ce_id", "event", 5 },
                             { BUI_HEADER_HOP, text, bui_hop_write(&hop, text, sizeof text) },
                             { "own", "x", 1 } };
    bui_buf_init(&packed, 0);
    bui_headers_pack(headers, 3, &packed);
    bui_outbox_row row = { .destination = to,
                           .event_id = "event",
                           .key = i % 4 ? "key" : NULL,
                           .key_len = i % 4 ? 3 : 0,
                           .value = value,
                           .value_len = (size_t)snprintf(value, sizeof value, "%d", i),
                           .headers = packed.data,
                           .headers_len = packed.len,
                           .at = 1000 + i };
    OK_(bui_outbox_add(temp->store, &row, &temp->err), temp->err);
    *id = row.id;
    bui_buf_free(&packed);
}

typedef struct reading {
    int next;
    int64_t seq[2][2];
    char source[100];
} reading;

static bool check(const bui_outbox_row *row, void *opaque)
{
    reading *r = opaque;
    int i = r->next++;
    char value[20];
    bus_header headers[8];
    bui_envelope envelope;
    size_t len = (size_t)snprintf(value, sizeof value, "%d", i);
    assert_int_equal(row->value_len, len);
    assert_memory_equal(row->value, value, len);
    assert_int_equal(row->at, 1000 + i);
    assert_string_equal(row->event_id, "event");
    assert_int_equal(row->key != NULL, i % 4 != 0);
    assert_string_equal(row->source, r->source);
    assert_int_equal(row->seq, ++r->seq[i % 3 != 0][i % 2]);
    size_t count = bui_headers_unpack(row->headers, row->headers_len, headers, 8);
    assert_int_equal(count, 3);
    assert_int_equal(bui_envelope_read(headers, count, &envelope, NULL), BUS_OK);
    assert_int_equal(envelope.hop.seq, row->seq);
    assert_int_equal(envelope.hop.partition, i % 2);
    assert_int_equal(envelope.hop.source.len, strlen(r->source));
    assert_memory_equal(envelope.hop.source.at, r->source, strlen(r->source));
    assert_int_equal(envelope.hop.attempt, i % 5);
    assert_int_equal(envelope.hop.not_before, i);
    assert_int_equal(envelope.hop.token.len, 2);
    return true;
}

static void numbered_anew(void **state)
{
    (void)state;
    temp_store temp;
    int64_t *ids = calloc(ROWS, sizeof *ids);
    reading r = { .next = SENT };
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_raise(temp.store, NULL, 0, &temp.err), temp.err);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int i = 0; i < ROWS; i++)
        add(&temp, i, &ids[i]);
    OK_(bui_outbox_delete(temp.store, ids, SENT, &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    OK_(bui_store_raise(temp.store, NULL, 0, &temp.err), temp.err);
    snprintf(r.source, sizeof r.source, "%s", bui_destination_of(temp.store, "a", 0, &temp.err)->source);
    OK_(bui_rebuild_outbox_renumber(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_outbox_depth_of(temp.store).rows, ROWS - SENT);
    OK_(bui_outbox_scan(temp.store, 0, NULL, SIZE_MAX, check, &r, &temp.err), temp.err);
    assert_int_equal(r.next, ROWS);
    free(ids);
    temp_store_remove(&temp);
}

static void nothing_left(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_rebuild_outbox_renumber(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_outbox_depth_of(temp.store).rows, 0);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(numbered_anew), cmocka_unit_test(nothing_left) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
