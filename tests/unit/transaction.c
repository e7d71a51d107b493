/* SPDX-License-Identifier: MIT
 * Transactions: memory and tables move together, whatever fails: a level, a full disk, memory, a kill between two steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/failpoint.h"
#include "support/alloc_fail.h"
#include "support/temp_store.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const bus_migration migrations[] = { { "stock", "CREATE TABLE stock(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)" },
                                            { 0 } };

static void init(temp_store *temp)
{
    temp_store_init(temp);
    temp->options.migrations = migrations;
}

/* One delivery of the loop: a row of the user's, an emitted event, mark, position, an id seen, a key that waits. */
static bus_status delivery(bui_store *store, int64_t seq, bus_error *err)
{
    char id[32];
    int len = snprintf(id, sizeof id, "event-%lld", (long long)seq);
    bui_receipt receipt = bui_mark_settle(store, "order/0#aaaa", 12, "order.events", 1, seq, 5, NULL);
    if (receipt != BUI_NEW && receipt != BUI_NEW_FIRST)
        return receipt == BUI_RECEIPT_FAILED ? BUS_NOMEM : BUS_BUG;
    if (bui_dedup_settle(store, "shop", 4, id, (size_t)len, 5) != BUI_NEW)
        return BUS_NOMEM;
    bui_store_sandbox(store, true);
    sqlite3_stmt *stmt = bui_store_sql(store, "INSERT INTO stock(id, n) VALUES (?1, 1)", err);
    bus_status status = stmt ? BUS_OK : err->status;
    if (stmt) {
        sqlite3_bind_int64(stmt, 1, seq);
        int rc = sqlite3_step(stmt);
        if (rc != SQLITE_DONE)
            status = (rc & 0xff) == SQLITE_NOMEM ? BUS_NOMEM : (rc & 0xff) == SQLITE_FULL ? BUS_FULL : BUS_IO;
    }
    bui_store_sandbox(store, false);
    bui_destination *to = status == BUS_OK ? bui_destination_of(store, "inventory.events", (int32_t)(seq % 3), err) : NULL;
    if (!to)
        return status == BUS_OK ? err->status : status;
    bui_outbox_row row = {
        .destination = to, .event_id = id, .key = id, .key_len = (size_t)len, .value = "payload", .value_len = 7
    };
    status = bui_outbox_add(store, &row, err);
    if (status != BUS_OK)
        return status;
    bui_key *key = bui_key_make(store, "order.events", id, (size_t)len, err);
    if (!key)
        return err->status;
    bui_parked parked = { .event_id = id, .topic = "order.events", .value = "x", .value_len = 1 };
    status = bui_key_park(store, key, &parked, err);
    if (status != BUS_OK)
        return status;
    bui_scheduled later = { .name = id, .due = seq, .event_id = id, .topic = "t", .partition = -1, .value = "v", .value_len = 1 };
    status = bui_schedule_put(store, &later, err);
    if (status != BUS_OK)
        return status;
    bui_deadletter letter = { .scope = "order.events", .round = 1, .state = 1 };
    snprintf(letter.id, sizeof letter.id, "letter-%lld", (long long)seq);
    status = bui_deadletter_put(store, &letter, err);
    if (status != BUS_OK)
        return status;
    bui_position *position = bui_position_of(store, "order.events", 1);
    return position && bui_position_set(store, position, seq + 1, (bui_place){ seq, (uint64_t)seq, 1 }) ? BUS_OK : BUS_NOMEM;
}

static bus_status transaction(bui_store *store, int64_t from, int64_t to, bus_error *err)
{
    bus_status status = bui_store_begin(store, err);
    for (int64_t seq = from; seq <= to && status == BUS_OK; seq++)
        status = delivery(store, seq, err);
    if (status == BUS_OK)
        return bui_store_commit(store, err);
    bui_store_rollback(store);
    return status;
}

static void expect_cached(temp_store *temp, int64_t n)
{
    bui_store *store = temp->store;
    assert_int_equal(bui_mark_high(store, "order/0#aaaa", 12, "order.events", 1), n);
    assert_int_equal(bui_position_of(store, "order.events", 1)->next, n ? n + 1 : -1);
    assert_int_equal(bui_outbox_depth_of(store).rows, n);
    assert_int_equal(bui_key_totals_of(store).waiting, n);
    assert_int_equal(bui_key_totals_of(store).parked, n);
    assert_int_equal(bui_deadletter_open_count(store), n);
    assert_int_equal(bui_schedule_next_due(store), n ? 1 : INT64_MAX);
    int64_t next = 0;
    for (int32_t p = 0; p < 3; p++)
        next += bui_destination_of(store, "inventory.events", p, &temp->err)->next_seq;
    assert_int_equal(next, n + 3);
}

/* Every word in memory and every table says: exactly 1 .. n were delivered. Outside of transactions. */
static void expect(temp_store *temp, int64_t n)
{
    static const char *const tables[] = {
        "stock", "bus_outbox", "bus_seen", "bus_key", "bus_parked", "bus_schedule", "bus_letter"
    };
    char sql[80];
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i]);
        assert_int_equal(temp_store_number(temp, sql), n);
    }
    expect_cached(temp, n);
}

/* What was taken back is new again, and what was kept is a duplicate. */
static void expect_seen(temp_store *temp, int64_t n)
{
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    for (int64_t seq = 1; seq <= n + 3; seq++) {
        char id[32];
        int len = snprintf(id, sizeof id, "event-%lld", (long long)seq);
        assert_int_equal(bui_dedup_settle(temp->store, "shop", 4, id, (size_t)len, 5), seq <= n ? BUI_DUPLICATE : BUI_NEW);
    }
    bui_store_rollback(temp->store);
}

static void commits_and_rolls_back(void **state)
{
    (void)state;
    temp_store temp;
    init(&temp);
    temp_store_open(&temp);
    expect(&temp, 0);
    OK_(transaction(temp.store, 1, 10, &temp.err), temp.err);
    expect(&temp, 10);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int64_t seq = 11; seq < 20; seq++)
        OK_(delivery(temp.store, seq, &temp.err), temp.err);
    bui_store_rollback(temp.store);
    expect(&temp, 10);
    expect_seen(&temp, 10);
    OK_(transaction(temp.store, 11, 20, &temp.err), temp.err);
    temp_store_reopen(&temp);
    expect(&temp, 20);
    expect_seen(&temp, 20);
    temp_store_remove(&temp);
}

static void levels_go_back(void **state)
{
    (void)state;
    temp_store temp;
    init(&temp);
    bui_store *store = temp_store_open(&temp);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(delivery(store, 1, &temp.err), temp.err);
    OK_(bui_store_save(store, true, &temp.err), temp.err);
    assert_int_equal(bui_store_save(store, true, &temp.err), BUS_BUG);
    OK_(delivery(store, 2, &temp.err), temp.err);
    assert_true(bui_store_changed(store));
    OK_(bui_store_back(store, &temp.err), temp.err);
    expect_cached(&temp, 1);
    OK_(bui_store_save(store, true, &temp.err), temp.err);
    OK_(delivery(store, 2, &temp.err), temp.err);
    OK_(bui_store_release(store, &temp.err), temp.err);
    /* Memory only: a settled mark goes back, a changed row cannot. */
    OK_(bui_store_save(store, false, &temp.err), temp.err);
    assert_int_equal(bui_mark_settle(store, "order/0#aaaa", 12, "order.events", 1, 3, 5, NULL), BUI_NEW);
    assert_int_equal(bui_dedup_settle(store, "shop", 4, "event-3", 7, 5), BUI_NEW);
    assert_false(bui_store_changed(store));
    OK_(bui_store_back(store, &temp.err), temp.err);
    expect_cached(&temp, 2);
    OK_(bui_store_commit(store, &temp.err), temp.err);
    expect(&temp, 2);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(bui_store_save(store, false, &temp.err), temp.err);
    OK_(delivery(store, 3, &temp.err), temp.err);
    assert_int_equal(bui_store_back(store, &temp.err), BUS_BUG);
    bui_store_rollback(store);
    expect(&temp, 2);
    expect_seen(&temp, 2);
    assert_false(bui_store_active(store));
    assert_int_equal(bui_store_commit(store, &temp.err), BUS_BUG);
    temp_store_remove(&temp);
}

/* The disk fills up at some byte of the transaction, for every byte range in steps. */
static void full_disk(void **state)
{
    (void)state;
    temp_store temp;
    init(&temp);
    temp_store_open(&temp);
    OK_(transaction(temp.store, 1, 5, &temp.err), temp.err);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    int refused = 0;
    int64_t n = 5;
    for (rlim_t limit = 40000; limit < 1000000; limit += 30000) {
        small = (struct rlimit){ limit, old.rlim_max };
        setrlimit(RLIMIT_FSIZE, &small);
        bus_status status = transaction(temp.store, n + 1, n + 40, &temp.err);
        setrlimit(RLIMIT_FSIZE, &old);
        if (status == BUS_OK) {
            n += 40;
        } else {
            if (status != BUS_FULL)
                fail_msg("%s: %s", bus_status_name(status), temp.err.text);
            refused++;
        }
        expect(&temp, n);
    }
    assert_true(refused > 0);
    assert_true(n > 5);
    OK_(transaction(temp.store, n + 1, n + 1, &temp.err), temp.err);
    temp_store_reopen(&temp);
    expect(&temp, n + 1);
    /* As SQLite itself tells it. */
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    bui_store_rollback(temp.store);
    sqlite3_exec(bui_store_db(temp.store), "PRAGMA max_page_count = 1", NULL, NULL, NULL);
    assert_int_equal(transaction(temp.store, n + 2, n + 5000, &temp.err), BUS_FULL);
    expect(&temp, n + 1);
    temp_store_remove(&temp);
}

static void without_memory(void **state)
{
    (void)state;
    for (int whose = 0; whose < 2; whose++) {
        temp_store temp;
        init(&temp);
        temp_store_open(&temp);
        OK_(transaction(temp.store, 1, 3, &temp.err), temp.err);
        int64_t n = 3;
        long at = 1;
        for (;; at++) {
            if (whose)
                sqlite_fail_at(at);
            else
                alloc_fail_at(at, false);
            bus_status status = transaction(temp.store, n + 1, n + 2, &temp.err);
            bool failed = whose ? sqlite_fail_off() : alloc_fail_off();
            n += status == BUS_OK ? 2 : 0;
            if (status != BUS_OK)
                assert_int_equal(status, BUS_NOMEM);
            expect(&temp, n);
            if (!failed) {
                assert_int_equal(status, BUS_OK);
                break;
            }
            /* A store opened again prepares and grows everything again. */
            temp_store_reopen(&temp);
            expect(&temp, n);
        }
        assert_true(at > 10);
        temp_store_remove(&temp);
    }
}

static void opens_without_memory(void **state)
{
    (void)state;
    for (int whose = 0; whose < 2; whose++) {
        temp_store temp;
        init(&temp);
        temp_store_open(&temp);
        OK_(transaction(temp.store, 1, 20, &temp.err), temp.err);
        temp_store_close(&temp);
        for (long at = 1;; at++) {
            if (whose)
                sqlite_fail_at(at);
            else
                alloc_fail_at(at, false);
            bus_status status = bui_store_open(&temp.options, &temp.store, &temp.err);
            bool failed = whose ? sqlite_fail_off() : alloc_fail_off();
            if (status == BUS_OK) {
                expect(&temp, 20);
                temp_store_close(&temp);
            } else if (status != BUS_NOMEM) {
                fail_msg("%s at %ld: %s", bus_status_name(status), at, temp.err.text);
            }
            if (!failed) {
                assert_int_equal(status, BUS_OK);
                break;
            }
        }
        temp_store_remove(&temp);
    }
}

#ifdef BUS_FAILPOINTS
static const char *deadly;
static bool armed;
static int left;

static void at_failpoint(const char *name, void *opaque)
{
    (void)opaque;
    if (armed && strcmp(name, deadly) == 0 && --left == 0)
        kill(getpid(), SIGKILL);
}

/* kill -9 around the third commit, and in the checkpoint after it: all of a transaction is there, or nothing of it. A checkpoint commits
 * as well, and checkpoints twice: see seal.c. */
static void killed(void **state)
{
    (void)state;
    static const char *const points[] = { "store_commit", "store_committed", "store_checkpoint" };
    static const int64_t delivered[] = { 20, 30, 30 };
    for (size_t i = 0; i < 3; i++) {
        temp_store temp;
        init(&temp);
        pid_t child = fork();
        if (child == 0) {
            deadly = points[i];
            left = i < 2 ? 3 : 1;
            bui_failpoint_to(at_failpoint, NULL);
            bui_store *store = NULL;
            if (bui_store_open(&temp.options, &store, NULL) != BUS_OK)
                _exit(1);
            for (int64_t seq = 1; seq < 100; seq += 10) {
                armed = i < 2;
                if (transaction(store, seq, seq + 9, &temp.err) != BUS_OK)
                    _exit(2);
                armed = i == 2 && seq == 21;
                if (bui_store_checkpoint(store, 1, &temp.err) != BUS_OK)
                    _exit(2);
            }
            _exit(3);
        }
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        temp_store_open(&temp);
        expect(&temp, delivered[i]);
        expect_seen(&temp, delivered[i]);
        temp_store_remove(&temp);
    }
}
#endif

static int64_t wal_size(const temp_store *temp)
{
    char path[128];
    snprintf(path, sizeof path, "%s-wal", temp->path);
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    fseek(file, 0, SEEK_END);
    int64_t size = ftell(file);
    fclose(file);
    return size;
}

static void checkpoints(void **state)
{
    (void)state;
    temp_store temp;
    init(&temp);
    temp_store_open(&temp);
    for (int64_t seq = 1; seq <= 200; seq += 10)
        OK_(transaction(temp.store, seq, seq + 9, &temp.err), temp.err);
    int64_t size = wal_size(&temp);
    OK_(bui_store_checkpoint(temp.store, size * 2, &temp.err), temp.err); /* below the bound: nothing happens */
    assert_int_equal(wal_size(&temp), size);
    /* A reader keeps its snapshot; nothing waits for it. */
    sqlite3 *reader;
    OK_(bui_store_reader(temp.path, &reader, &temp.err), temp.err);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM stock", NULL, NULL, NULL), SQLITE_OK);
    OK_(transaction(temp.store, 201, 201, &temp.err), temp.err);
    OK_(bui_store_checkpoint(temp.store, 4096, &temp.err), temp.err);
    assert_true(wal_size(&temp) >= size);
    sqlite3_close(reader);
    for (int64_t seq = 202; seq <= 400; seq++)
        OK_(transaction(temp.store, seq, seq, &temp.err), temp.err);
    OK_(bui_store_checkpoint(temp.store, 4096, &temp.err), temp.err);
    assert_int_equal(wal_size(&temp), 32 + 24 + 4096); /* one page, which says that it is written to */
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_store_checkpoint(temp.store, 1, &temp.err), BUS_BUG);
    bui_store_rollback(temp.store);
    OK_(transaction(temp.store, 401, 401, &temp.err), temp.err);
    temp_store_close(&temp);
    assert_true(wal_size(&temp) > 0); /* closing does not checkpoint */
    temp_store_open(&temp);
    expect(&temp, 401);
    temp_store_remove(&temp);
}

int main(void)
{
    sqlite_fail_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_and_rolls_back),
        cmocka_unit_test(levels_go_back),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(opens_without_memory),
#ifdef BUS_FAILPOINTS
        cmocka_unit_test(killed),
#endif
        cmocka_unit_test(checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
