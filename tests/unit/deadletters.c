/* SPDX-License-Identifier: MIT
 * Dead letters: the fold over a dlq topic, filters and groups. */
#include "ops/deadletters.h"
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID1 "11111111-aaaa-5bbb-8ccc-000000000001"
#define ID2 "11111111-aaaa-5bbb-8ccc-000000000002"
#define ID3 "22222222-aaaa-5bbb-8ccc-000000000003"

typedef struct letter {
    const char *id;
    int round;
    const char *state;
    const char *key, *type, *class, *message;
    int64_t at;
    bool held;
} letter;

/* One record of order.dlq, as the shard writes them: an opening carries the event, other changes carry the state alone. */
static void add(bui_dead_fold *fold, const char *service, int64_t offset, letter l)
{
    char text[100], last[24];
    bus_header headers[12];
    size_t n = 0;
    bus_error err = { 0 };
#define PUT(name, value) headers[n++] = (bus_header){ name, value, strlen(value) }
    snprintf(text, sizeof text, "%s %d %s", l.id, l.round, l.state);
    snprintf(last, sizeof last, "%lld", (long long)l.at);
    PUT("bus-letter", text);
    bool open = !strcmp(l.state, "open");
    if (open) {
        PUT("ce_type", l.type ? l.type : "order.OrderPlaced");
        PUT("ce_id", "ev-1");
        PUT("bus-orig", "order.events/3/77/1795242239635");
        PUT("__dlq.errors.class", l.class ? l.class : "handler");
        PUT("__dlq.errors.message", l.message ? l.message : "no stock");
        PUT("__dlq.errors.delivery.count", "4");
        PUT("__dlq.errors.first", "1000");
        PUT("__dlq.errors.last", last);
        if (l.held)
            PUT("bus-held", "yes");
    } else {
        PUT("bus-reason", "provider back");
        PUT("bus-operator", "ann@host");
    }
    bui_record record = { .topic = "order.dlq",
                          .partition = 1,
                          .offset = offset,
                          .timestamp = l.at,
                          .key = l.key,
                          .key_len = l.key ? strlen(l.key) : 0,
                          .value = open ? "v" : NULL,
                          .value_len = open,
                          .headers = headers,
                          .header_count = n };
    assert_int_equal(bui_dead_fold_add(fold, service, &record, &err), BUS_OK);
}

static void an_opening_tells_all(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 5, (letter){ ID1, 1, "open", "o-1", .at = 2000, .held = true });
    assert_int_equal(bui_dead_count(fold), 1);
    const bui_dead *dead = bui_dead_at(fold, 0);
    assert_string_equal(dead->id, ID1);
    assert_string_equal(dead->service, "order");
    assert_string_equal(dead->type, "order.OrderPlaced");
    assert_string_equal(dead->topic, "order.events");
    assert_int_equal(dead->partition, 3);
    assert_int_equal(dead->offset, 77);
    assert_int_equal(dead->attempts, 4);
    assert_int_equal(dead->first_failed, 1000);
    assert_int_equal(dead->last_failed, 2000);
    assert_int_equal(dead->shard, 1);
    assert_int_equal(dead->record, 5);
    assert_memory_equal(dead->key, "o-1", 3);
    assert_true(bui_dead_holds(dead));
    assert_string_equal(dead->changes->error, "handler: no stock");
    bui_dead_fold_free(fold);
}

static void changes_move_it_on(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 0, (letter){ ID1, 1, "open", "o-1", .at = 2000, .held = true });
    add(fold, "order", 1, (letter){ ID1, 1, "redriven", "o-1", .at = 3000 });
    const bui_dead *dead = bui_dead_at(fold, 0);
    assert_int_equal(dead->state, BUI_DEADLETTER_REDRIVEN);
    assert_false(bui_dead_is_open(dead));
    assert_string_equal(dead->last_change->by, "ann@host");
    assert_string_equal(dead->last_change->reason, "provider back");
    add(fold, "order", 2, (letter){ ID1, 2, "open", "o-1", .message = "again", .at = 4000 });
    assert_int_equal(dead->round, 2);
    assert_true(bui_dead_is_open(dead));
    assert_int_equal(dead->record, 2); /* the record of the latest opening */
    assert_string_equal(dead->error_message, "again");
    add(fold, "order", 3, (letter){ ID1, 2, "discarded", "o-1", .at = 5000 });
    assert_int_equal(dead->state, BUI_DEADLETTER_DISCARDED);
    assert_int_equal(bui_dead_count(fold), 1);
    int changes = 0;
    for (const bui_dead_change *change = dead->changes; change; change = change->next)
        changes++;
    assert_int_equal(changes, 4);
    bui_dead_fold_free(fold);
}

/* The broker may hold a record twice, an older one after a newer one. */
static void old_news_change_nothing(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 0, (letter){ ID1, 1, "open", "o-1", .at = 2000 });
    add(fold, "order", 1, (letter){ ID1, 1, "redriven", "o-1", .at = 3000 });
    add(fold, "order", 2, (letter){ ID1, 1, "open", "o-1", .at = 2000 });
    const bui_dead *dead = bui_dead_at(fold, 0);
    assert_int_equal(dead->state, BUI_DEADLETTER_REDRIVEN);
    assert_int_equal(dead->record, 0);
    add(fold, "order", 3, (letter){ ID1, 2, "open", "o-1", .at = 4000 });
    add(fold, "order", 4, (letter){ ID1, 1, "resolved", "o-1", .at = 3500 });
    assert_int_equal(dead->round, 2);
    assert_true(bui_dead_is_open(dead));
    bui_dead_fold_free(fold);
}

/* A change that names a round which the dead letter never had would hide all that comes after. */
static void invented_rounds_hide_nothing(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 0, (letter){ ID1, 1, "open", "o-1", .at = 2000 });
    add(fold, "order", 1, (letter){ ID1, 2147483647, "discarded", "o-1", .at = 3000 });
    const bui_dead *dead = bui_dead_at(fold, 0);
    assert_true(bui_dead_is_open(dead));
    assert_int_equal(dead->round, 1);
    assert_int_equal(bui_dead_forged(fold), 1);
    add(fold, "order", 2, (letter){ ID1, 1, "redriven", "o-1", .at = 3000 });
    assert_int_equal(dead->state, BUI_DEADLETTER_REDRIVEN);
    bui_dead_fold_free(fold);
}

/* With keys only the service itself opens and changes its letters. */
static void unsigned_letters_are_passed_over(void **state)
{
    (void)state;
    static const char file[] = "k 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef write order\n";
    bui_keys *keys = NULL;
    char mac[BUI_MAC_TEXT];
    bus_header headers[2] = { { "bus-letter", ID1 " 1 discarded", sizeof ID1 + 11 } };
    bui_record record = { .topic = "order.dlq", .partition = 1, .headers = headers, .header_count = 1 };
    bui_sealed sealed = { .topic = "order.dlq", .partition = 1, .headers = headers, .header_count = 1 };
    assert_int_equal(bui_keys_new(file, sizeof file - 1, "keys", "*", &keys, NULL), BUS_OK);
    bui_dead_fold *fold = bui_dead_fold_new();
    bui_dead_fold_trust(fold, keys);
    assert_int_equal(bui_dead_fold_add(fold, "order", &record, NULL), BUS_OK);
    assert_int_equal(bui_dead_forged(fold), 1);
    assert_int_equal(bui_dead_count(fold), 0);
    headers[1] = (bus_header){ BUI_HEADER_MAC, mac, bui_mac_write(keys, &sealed, mac) };
    record.header_count = 2;
    assert_int_equal(bui_dead_fold_add(fold, "pay", &record, NULL), BUS_OK); /* not the key's to say */
    assert_int_equal(bui_dead_count(fold), 0);
    assert_int_equal(bui_dead_fold_add(fold, "order", &record, NULL), BUS_OK);
    assert_int_equal(bui_dead_count(fold), 1);
    assert_int_equal(bui_dead_forged(fold), 2);
    bui_dead_fold_free(fold);
    bui_keys_free(keys);
}

static void what_is_no_letter_is_counted(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    bus_header bad = { "bus-letter", "nonsense", 8 };
    bui_record record = { .topic = "order.dlq" }, broken = { .topic = "order.dlq", .headers = &bad, .header_count = 1 };
    assert_int_equal(bui_dead_fold_add(fold, "order", &record, NULL), BUS_OK);
    assert_int_equal(bui_dead_fold_add(fold, "order", &broken, NULL), BUS_OK);
    assert_int_equal(bui_dead_count(fold), 0);
    assert_int_equal(bui_dead_foreign(fold), 2);
    bui_dead_fold_free(fold);
}

/* Nobody would take a command about it: its service does not read one about this topic, and this topic's does not know the letter. */
static void a_letter_copied_from_another_topic_is_passed_over(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    bus_header headers[2] = { { "bus-letter", ID1 " 1 open", sizeof ID1 + 6 }, { "bus-hop", "cart/0#1 cart.dlq/0/7", 21 } };
    bui_record record = { .topic = "order.dlq", .headers = headers, .header_count = 2 };
    assert_int_equal(bui_dead_fold_add(fold, "order", &record, NULL), BUS_OK);
    assert_int_equal(bui_dead_count(fold), 0);
    assert_int_equal(bui_dead_copied(fold), 1);
    headers[1] = (bus_header){ "bus-hop", "order/0#1 order.dlq/0/7", 23 };
    assert_int_equal(bui_dead_fold_add(fold, "order", &record, NULL), BUS_OK);
    assert_int_equal(bui_dead_count(fold), 1);
    bui_dead_fold_free(fold);
}

static void found_by_the_beginning_of_an_id(void **state)
{
    (void)state;
    size_t matches;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 0, (letter){ ID1, 1, "open", "a", .at = 1 });
    add(fold, "order", 1, (letter){ ID2, 1, "open", "b", .at = 1 });
    add(fold, "order", 2, (letter){ ID3, 1, "open", "c", .at = 1 });
    assert_ptr_equal(bui_dead_find(fold, ID2, &matches), bui_dead_at(fold, 1));
    assert_int_equal(matches, 1);
    assert_ptr_equal(bui_dead_find(fold, "2222", NULL), bui_dead_at(fold, 2));
    assert_null(bui_dead_find(fold, "1111", &matches));
    assert_int_equal(matches, 2);
    assert_null(bui_dead_find(fold, "222", &matches)); /* too short to mean one */
    assert_int_equal(matches, 0);
    bui_dead_fold_free(fold);
}

static void filters(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 0, (letter){ ID1, 1, "open", "o-1", "order.OrderPlaced", "handler", "provider 503", 2000, false });
    const bui_dead *dead = bui_dead_at(fold, 0);
    assert_true(bui_dead_matches(dead, NULL));
    assert_true(bui_dead_matches(dead, &(bui_dead_filter){ 0 }));
    assert_true(bui_dead_matches(dead, &(bui_dead_filter){ .error = "handler: provider" }));
    assert_false(bui_dead_matches(dead, &(bui_dead_filter){ .error = "stock" }));
    assert_false(bui_dead_matches(dead, &(bui_dead_filter){ .type = "order.Order" }));
    assert_true(bui_dead_matches(dead, &(bui_dead_filter){ .key = "o-1", .key_len = 3 }));
    assert_false(bui_dead_matches(dead, &(bui_dead_filter){ .key = "o-12", .key_len = 4 }));
    assert_true(bui_dead_matches(dead, &(bui_dead_filter){ .since = 2000, .until = 2001 }));
    assert_false(bui_dead_matches(dead, &(bui_dead_filter){ .until = 2000 }));
    assert_false(bui_dead_matches(dead, &(bui_dead_filter){ .since = 2001 }));
    assert_true(bui_dead_matches(dead, &(bui_dead_filter){ .states = 1u << BUI_DEADLETTER_OPEN }));
    assert_false(bui_dead_matches(dead, &(bui_dead_filter){ .states = 1u << BUI_DEADLETTER_RESOLVED }));
    assert_false(bui_dead_matches(dead, &(bui_dead_filter){ .topic = "payment.events" }));
    bui_dead_fold_free(fold);
}

static void no_key_is_not_an_empty_key(void **state)
{
    (void)state;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 0, (letter){ ID1, 1, "open", "", .at = 1 });
    add(fold, "order", 1, (letter){ ID2, 1, "open", NULL, .at = 1 });
    assert_non_null(bui_dead_at(fold, 0)->key);
    assert_null(bui_dead_at(fold, 1)->key);
    bui_dead_filter empty = { .key = "", .key_len = 0 };
    assert_true(bui_dead_matches(bui_dead_at(fold, 0), &empty));
    assert_false(bui_dead_matches(bui_dead_at(fold, 1), &empty));
    bui_dead_fold_free(fold);
}

static void patterns(void **state)
{
    (void)state;
    char out[100];
    bui_error_pattern("handler", "order o-17 unknown", out, sizeof out);
    assert_string_equal(out, "handler: order # unknown");
    bui_error_pattern("", "provider 503", out, sizeof out);
    assert_string_equal(out, "provider #");
    bui_error_pattern("x", "", out, sizeof out);
    assert_string_equal(out, "x");
    bui_error_pattern("handler", "a rather long text", out, 12);
    assert_string_equal(out, "handler: a ");
}

static void groups(void **state)
{
    (void)state;
    bui_dead_group *list;
    size_t count;
    bui_dead_fold *fold = bui_dead_fold_new();
    add(fold, "order", 0, (letter){ ID1, 1, "open", "a", .message = "order 1 unknown", .at = 5000, .held = true });
    add(fold, "order", 1, (letter){ ID2, 1, "open", "b", .message = "order 2 unknown", .at = 7000 });
    add(fold, "order", 2, (letter){ ID2, 1, "redriven", "b", .at = 8000 });
    add(fold, "payment", 0, (letter){ ID3, 1, "open", "c", .type = "payment.TakePayment", .at = 6000 });
    unsigned all = BUI_GROUP_BY_SERVICE | BUI_GROUP_BY_TYPE | BUI_GROUP_BY_ERROR;
    assert_int_equal(bui_dead_group_by(fold, all, NULL, &list, &count, NULL), BUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].service, "order");
    assert_string_equal(list[0].error, "handler: order # unknown");
    assert_int_equal(list[0].letters, 2);
    assert_int_equal(list[0].by_state[BUI_DEADLETTER_OPEN], 1);
    assert_int_equal(list[0].by_state[BUI_DEADLETTER_REDRIVEN], 1);
    assert_int_equal(list[0].held, 1);
    assert_int_equal(list[0].first, 1000);
    assert_int_equal(list[0].last, 7000);
    assert_string_equal(list[1].type, "payment.TakePayment");
    free(list);
    assert_int_equal(bui_dead_group_by(fold, 0, &(bui_dead_filter){ .states = 1u << BUI_DEADLETTER_OPEN }, &list, &count, NULL),
                     BUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].letters, 2);
    assert_null(list[0].service);
    free(list);
    bui_dead_fold_free(fold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_opening_tells_all),
        cmocka_unit_test(changes_move_it_on),
        cmocka_unit_test(old_news_change_nothing),
        cmocka_unit_test(invented_rounds_hide_nothing),
        cmocka_unit_test(unsigned_letters_are_passed_over),
        cmocka_unit_test(what_is_no_letter_is_counted),
        cmocka_unit_test(a_letter_copied_from_another_topic_is_passed_over),
        cmocka_unit_test(found_by_the_beginning_of_an_id),
        cmocka_unit_test(filters),
        cmocka_unit_test(no_key_is_not_an_empty_key),
        cmocka_unit_test(patterns),
        cmocka_unit_test(groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
