/* SPDX-License-Identifier: MIT
 * Audit: a store made by the store's own code, records made by hand, and what the rules say of them. Real topics: test_c_audit. */
#include "ops/audit.h"
#include "codec/envelope.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/temp_store.h"

typedef struct desk {
    temp_store temp;
    bui_audit *audit;
    char found[4000]; /* "rule id" lines of what is violated */
    char first[64];   /* the source of the first incarnation */
} desk;

static bool on_found(void *opaque, const bui_finding *finding)
{
    desk *d = opaque;
    size_t len = strlen(d->found);
    if (finding->weight == BUI_AUDIT_VIOLATED)
        snprintf(d->found + len, sizeof d->found - len, "%s %s\n", finding->rule, finding->id);
    return true;
}

static void emit(desk *d, int count, bool sent)
{
    bui_store *store = d->temp.store;
    OK_(bui_store_begin(store, &d->temp.err), d->temp.err);
    bui_destination *to = bui_destination_of(store, "out", 0, &d->temp.err);
    assert_non_null(to);
    for (int i = 0; i < count; i++) {
        bui_outbox_row row = {
            .destination = to, .event_id = "e", .value = "v", .value_len = 1, .headers = "", .headers_len = 0
        };
        OK_(bui_outbox_add(store, &row, &d->temp.err), d->temp.err);
        if (sent)
            OK_(bui_outbox_delete(store, &row.id, 1, &d->temp.err), d->temp.err);
    }
    OK_(bui_store_commit(store, &d->temp.err), d->temp.err);
}

/* A record in the log of out/0, of that source and number. */
static void record(desk *d, const char *source, int64_t seq, int64_t offset, const char *value)
{
    char hop[200], id[40];
    bus_error err = { 0 };
    snprintf(hop, sizeof hop, "%s out/0/%lld", source, (long long)seq);
    snprintf(id, sizeof id, "%s-%lld", source + strlen(source) - 4, (long long)seq);
    bus_header headers[] = { { BUI_HEADER_HOP, hop, strlen(hop) }, { BUI_HEADER_ID, id, strlen(id) } };
    bui_record out = { .topic = "out",
                       .partition = 0,
                       .offset = offset,
                       .value = value,
                       .value_len = strlen(value),
                       .headers = headers,
                       .header_count = 2 };
    OK_(bui_audit_record(d->audit, &out, &err), err);
}

static const char *judge(desk *d, int64_t low, int64_t high)
{
    bus_error err = { 0 };
    OK_(bui_audit_log(d->audit, "out", 0, low, high, &err), err);
    OK_(bui_audit_store_again(d->audit, d->temp.path, &err), err);
    OK_(bui_audit_rules(d->audit, on_found, d, &err), err);
    return d->found;
}

static void read_store(desk *d)
{
    bus_error err = { 0 };
    OK_(bui_audit_store(d->audit, d->temp.path, true, &err), err);
}

static const char *source_now(desk *d)
{
    static char source[64];
    snprintf(source, sizeof source, "inventory/1#%s", bui_store_meta(d->temp.store)->incarnation);
    return source;
}

static int setup(void **state)
{
    desk *d = calloc(1, sizeof *d);
    temp_store_init(&d->temp);
    temp_store_open(&d->temp);
    OK_(bui_store_raise(d->temp.store, NULL, 0, &d->temp.err), d->temp.err);
    snprintf(d->first, sizeof d->first, "%s", source_now(d));
    OK_(bui_audit_new(NULL, &d->audit, &d->temp.err), d->temp.err);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    desk *d = *state;
    bui_audit_free(d->audit);
    temp_store_remove(&d->temp);
    free(d);
    return 0;
}

static void sent_and_waiting_rows_are_well(void **state)
{
    desk *d = *state;
    emit(d, 2, true);
    emit(d, 1, false);
    read_store(d);
    record(d, d->first, 1, 0, "a");
    record(d, d->first, 2, 1, "b");
    record(d, d->first, 2, 2, "b"); /* sent twice, dropped by its readers */
    assert_string_equal(judge(d, 0, 3), "");
}

static void the_end_of_a_former_incarnation_is_missed(void **state)
{
    desk *d = *state;
    emit(d, 3, true);
    OK_(bui_store_raise(d->temp.store, NULL, 0, &d->temp.err), d->temp.err);
    emit(d, 2, true);
    read_store(d);
    record(d, d->first, 1, 0, "a");
    record(d, d->first, 2, 1, "b");
    record(d, source_now(d), 2, 2, "e");
    assert_string_equal(judge(d, 0, 3), "lost out/0 seq 1\nlost out/0 seq 3\n");
}

static void what_a_rebuild_numbered_and_dropped_is_not_missed(void **state)
{
    desk *d = *state;
    emit(d, 3, true);
    OK_(bui_store_raise(d->temp.store, NULL, 0, &d->temp.err), d->temp.err);
    OK_(bui_store_forget_former(d->temp.store, &d->temp.err), d->temp.err);
    read_store(d);
    assert_string_equal(judge(d, 0, 0), "");
}

static void what_has_expired_is_not_missed(void **state)
{
    desk *d = *state;
    emit(d, 3, true);
    read_store(d);
    record(d, d->first, 3, 7, "c");
    assert_string_equal(judge(d, 7, 8), "");
}

static void a_number_has_one_content_and_its_place(void **state)
{
    desk *d = *state;
    emit(d, 3, true);
    read_store(d);
    record(d, d->first, 1, 0, "a");
    record(d, d->first, 3, 1, "c");
    record(d, d->first, 2, 2, "b");
    record(d, d->first, 1, 3, "other");
    record(d, d->first, 4, 4, "early");
    assert_string_equal(judge(d, 0, 5), "uncommitted out/0@4 seq 4\ncontent out/0 seq 1\norder out/0 seq 3\n");
}

static void positions_and_what_waits(void **state)
{
    desk *d = *state;
    read_store(d); /* nothing yet: the second look is of another audit */
    bui_audit_free(d->audit);
    temp_store_meddle(
        &d->temp,
        "INSERT INTO bus_position (topic, partition, next, anchor, anchor_hash) VALUES ('out', 0, 9, 8, 0); INSERT INTO bus_parked VALUES (1, 1, 1, 'e', 'out', 0, 9, 0, NULL,"
        " NULL, NULL, 0)");
    OK_(bui_audit_new(NULL, &d->audit, &d->temp.err), d->temp.err);
    read_store(d);
    assert_string_equal(judge(d, 0, 5), "position out/0\nwaiting out/0@9\nbalance out\nheld event e\n");
}

static bus_status declare(desk *d, const char *text, bus_error *err)
{
    d->found[0] = 0;
    return bui_audit_invariants(d->audit, "file.sql", text, on_found, d, err);
}

static void invariants_are_queries_with_names(void **state)
{
    desk *d = *state;
    bus_error err = { 0 };
    temp_store_meddle(
        &d->temp,
        "CREATE TABLE stock(sku TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID; INSERT INTO stock VALUES ('a', 1), ('b', -2)");
    read_store(d);
    judge(d, 0, 0);
    OK_(declare(
            d,
            "-- SPDX-License-Identifier: MIT\n-- a comment\n\n-- negative: never below 0\nSELECT sku, n\nFROM inventory.stock WHERE n < 0;\n-- shard: as of its store\n"
            "SELECT sku FROM inventory.stock WHERE shard <> 1;\n",
            &err),
        err);
    assert_string_equal(d->found, "negative b\n");
    static const struct {
        const char *text, *says;
    } wrong[] = {
        { "SELECT 1;\n", "file.sql:1: a query needs a line" },
        { "-- x: y\nSELECT * FROM nowhere;\n", "file.sql:1: x: no such table: nowhere" },
        { "-- x: y\nDELETE FROM inventory.stock;\n", "file.sql:1: x: not authorized" },
        { "-- x: y\n", "file.sql:1: no query follows" },
        { "-- nothing\n", "holds no invariant" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(declare(d, wrong[i].text, &err), BUS_INVALID);
        if (!strstr(err.text, wrong[i].says))
            fail_msg("'%s' does not say '%s'", err.text, wrong[i].says);
    }
}

/* A query that names an index fails if it is not there. */
static void own_tables_keep_their_collations_and_indexes(void **state)
{
    desk *d = *state;
    bus_error err = { 0 };
    temp_store_meddle(
        &d->temp,
        "CREATE TABLE item(id INTEGER PRIMARY KEY, sku TEXT COLLATE NOCASE, \"a\"\"b\", shard TEXT, UNIQUE (sku, \"a\"\"b\"));"
        "CREATE INDEX low ON item(lower(sku)); CREATE INDEX part ON item(\"a\"\"b\") WHERE id > 3;"
        "CREATE TABLE loose(x ANY) STRICT; INSERT INTO loose VALUES ('007'); CREATE TABLE price(sku TEXT PRIMARY KEY, n) WITHOUT ROWID;"
        "INSERT INTO item VALUES (1, 'A', 'x', 'own'); INSERT INTO price VALUES ('b', 1)");
    read_store(d);
    judge(d, 0, 0);
    OK_(declare(d,
                "-- collation: as at home\nSELECT 'same ' || i.sku FROM inventory.item i WHERE sku = 'a';\n"
                "-- key: of a row\nSELECT id FROM inventory.item INDEXED BY bus_item_key WHERE id = 2;\n"
                "-- both: columns\nSELECT 'two' FROM inventory.item INDEXED BY bus_item_2 WHERE sku = 'a' AND \"a\"\"b\" = 'x';\n"
                "-- part: in whole\nSELECT 'all' FROM inventory.item INDEXED BY bus_item_0 WHERE \"a\"\"b\" = 'x';\n"
                "-- own: beside the audit's\nSELECT \"shard:1\" FROM inventory.item WHERE shard = 1;\n"
                "-- any: is kept\nSELECT x FROM inventory.loose;\n"
                "-- rowless: the key\nSELECT sku FROM inventory.price INDEXED BY bus_price_0 WHERE sku = 'b';\n",
                &err),
        err);
    assert_string_equal(d->found, "collation same A\nboth two\npart all\nown own\nany 007\nrowless b\n");
    assert_int_equal(declare(d, "-- low: an expression\nSELECT id FROM inventory.item INDEXED BY bus_item_1;\n", &err),
                     BUS_INVALID);
}

static void a_rejected_row_is_found_until_it_is_decided_about(void **state)
{
    desk *d = *state;
    bui_store *store = d->temp.store;
    int64_t row = bui_outbox_next_id(store);
    emit(d, 1, false);
    OK_(bui_store_begin(store, &d->temp.err), d->temp.err);
    OK_(bui_outbox_reject(store, row, BUI_OUTBOX_HOLDS, "too large", &d->temp.err), d->temp.err);
    OK_(bui_store_commit(store, &d->temp.err), d->temp.err);
    read_store(d);
    record(d, d->first, 2, 0, "b");
    assert_non_null(strstr(judge(d, 0, 1), "rejected outbox row"));
}

static void a_discarded_row_is_not_lost(void **state)
{
    desk *d = *state;
    bui_store *store = d->temp.store;
    int64_t row = bui_outbox_next_id(store);
    emit(d, 1, false);
    OK_(bui_store_begin(store, &d->temp.err), d->temp.err);
    OK_(bui_outbox_reject(store, row, BUI_OUTBOX_HOLDS, "too large", &d->temp.err), d->temp.err);
    OK_(bui_outbox_discard(store, row, "ann@host", "a test", &d->temp.err), d->temp.err);
    OK_(bui_store_commit(store, &d->temp.err), d->temp.err);
    emit(d, 1, true);
    read_store(d);
    record(d, d->first, 2, 0, "b");
    assert_string_equal(judge(d, 0, 1), "");
}

/* A dead letter about in/0@4, of "e", open in round 1; without a value, and `body` as its bus-body header. */
static void letter(desk *d, const char *id, const char *body)
{
    char text[80];
    bus_error err = { 0 };
    snprintf(text, sizeof text, "%s 1 open", id);
    bus_header headers[] = { { BUI_HEADER_ID, "e", 1 },
                             { BUI_HEADER_ORIG, "in/0/4/1", 8 },
                             { BUI_HEADER_LETTER, text, strlen(text) },
                             { BUI_HEADER_BODY, body, body ? strlen(body) : 0 } };
    bui_record out = { .topic = "inventory.dlq", .partition = 1, .offset = 0, .headers = headers, .header_count = body ? 4 : 3 };
    bui_deadletter stored = { .event_id = "e", .scope = "in", .round = 1, .state = BUI_DEADLETTER_OPEN };
    snprintf(stored.id, sizeof stored.id, "%s", id);
    OK_(bui_store_begin(d->temp.store, &d->temp.err), d->temp.err);
    OK_(bui_deadletter_put(d->temp.store, &stored, &d->temp.err), d->temp.err);
    OK_(bui_store_commit(d->temp.store, &d->temp.err), d->temp.err);
    OK_(bui_audit_log(d->audit, "inventory.dlq", 1, 0, 1, &err), err);
    OK_(bui_audit_record(d->audit, &out, &err), err);
}

static void original(desk *d, const char *value)
{
    bus_error err = { 0 };
    bus_header headers[] = { { BUI_HEADER_ID, "e", 1 } };
    bui_record out = { .topic = "in",
                       .partition = 0,
                       .offset = 4,
                       .value = value,
                       .value_len = value ? strlen(value) : 0,
                       .headers = headers,
                       .header_count = 1 };
    OK_(bui_audit_record(d->audit, &out, &err), err);
}

static void a_letter_without_its_event_is_found(void **state)
{
    desk *d = *state;
    letter(d, "l1", NULL);
    read_store(d);
    original(d, "body");
    assert_string_equal(judge(d, 0, 0), "body letter l1\n");
}

static void a_body_that_is_nowhere_is_found(void **state)
{
    desk *d = *state;
    letter(d, "l1", "at in/0/4");
    read_store(d);
    original(d, "body");
    assert_string_equal(judge(d, 0, 0), "body letter l1\n");
}

static void what_says_where_its_event_is_is_well(void **state)
{
    desk *d = *state;
    const bui_body body = { .value = "body", .value_len = 4 };
    letter(d, "l1", "at in/0/4");
    OK_(bui_store_begin(d->temp.store, &d->temp.err), d->temp.err);
    OK_(bui_body_keep(d->temp.store, "l1", &body, &d->temp.err), d->temp.err);
    OK_(bui_store_commit(d->temp.store, &d->temp.err), d->temp.err);
    read_store(d);
    original(d, "body");
    assert_string_equal(judge(d, 0, 0), "");
}

static void a_tombstone_that_says_so_is_well(void **state)
{
    desk *d = *state;
    letter(d, "l1", "none");
    read_store(d);
    original(d, NULL);
    assert_string_equal(judge(d, 0, 0), "");
}

static void what_is_not_signed_is_nobodys_record(void **state)
{
    desk *d = *state;
    static const char file[] = "k 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef write\n";
    bui_keys *keys = NULL;
    OK_(bui_keys_new(file, sizeof file - 1, "keys", "out", &keys, &d->temp.err), d->temp.err);
    emit(d, 1, true);
    read_store(d);
    bui_audit_trust(d->audit, keys);
    record(d, d->first, 1, 0, "forged"); /* fills no place of what was lost */
    assert_int_equal(bui_audit_forged(d->audit), 1);
    assert_string_equal(judge(d, 0, 1), "lost out/0 seq 1\n");
    bui_audit_trust(d->audit, NULL);
    bui_keys_free(keys);
}

static void what_is_no_store_is_refused(void **state)
{
    desk *d = *state;
    bus_error err = { 0 };
    char path[100];
    snprintf(path, sizeof path, "%s/nothing.db", d->temp.directory);
    assert_int_equal(bui_audit_store(d->audit, path, false, &err), BUS_MISSING);
    FILE *file = fopen(path, "w");
    fputs("this is no database, and long enough for one to be told from an empty file ...................................", file);
    fclose(file);
    assert_int_equal(bui_audit_store(d->audit, path, false, &err), BUS_CORRUPT);
    remove(path);
    assert_string_equal((read_store(d), judge(d, 0, 0)), ""); /* and the audit database is as good as before */
}

static void a_damaged_store_is_a_violation(void **state)
{
    desk *d = *state;
    static const char zeros[4096];
    OK_(bui_store_checkpoint(d->temp.store, 1, &d->temp.err), d->temp.err);
    int page = (int)temp_store_number(&d->temp, "SELECT rootpage FROM sqlite_schema WHERE name = 'bus_mark'");
    temp_store_close(&d->temp);
    FILE *file = fopen(d->temp.path, "r+b");
    assert_int_equal(fseek(file, 4096L * (page - 1), SEEK_SET), 0);
    assert_int_equal(fwrite(zeros, sizeof zeros, 1, file), 1);
    fclose(file);
    bus_error err = { 0 };
    OK_(bui_audit_store(d->audit, d->temp.path, false, &err), err);
    assert_non_null(strstr(judge(d, 0, 0), "damaged"));
}

static bool has_had_enough(void *opaque)
{
    int *asked = opaque;
    return ++*asked > 3;
}

static void a_query_without_end_ends_when_asked_to(void **state)
{
    desk *d = *state;
    bus_error err = { 0 };
    int asked = 0;
    bui_watch watch = { .stop = has_had_enough, .opaque = &asked };
    bui_audit_free(d->audit);
    OK_(bui_audit_new(&watch, &d->audit, &err), err);
    static const char endless[] = "-- endless: nobody has written it to its end\n"
                                  "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c;\n";
    assert_int_equal(bui_audit_invariants(d->audit, "file.sql", endless, on_found, d, &err), BUS_CANCELLED);
    assert_non_null(strstr(err.text, "endless"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sent_and_waiting_rows_are_well),
        TEST(the_end_of_a_former_incarnation_is_missed),
        TEST(what_a_rebuild_numbered_and_dropped_is_not_missed),
        TEST(what_has_expired_is_not_missed),
        TEST(a_number_has_one_content_and_its_place),
        TEST(positions_and_what_waits),
        TEST(invariants_are_queries_with_names),
        TEST(own_tables_keep_their_collations_and_indexes),
        TEST(a_rejected_row_is_found_until_it_is_decided_about),
        TEST(a_discarded_row_is_not_lost),
        TEST(a_letter_without_its_event_is_found),
        TEST(a_body_that_is_nowhere_is_found),
        TEST(what_says_where_its_event_is_is_well),
        TEST(a_tombstone_that_says_so_is_well),
        TEST(what_is_not_signed_is_nobodys_record),
        TEST(a_damaged_store_is_a_violation),
        TEST(what_is_no_store_is_refused),
        TEST(a_query_without_end_ends_when_asked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
