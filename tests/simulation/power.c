/* SPDX-License-Identifier: MIT
 * Power: named scenarios on a disk that loses what was not synced, fills up and fails. What was acknowledged to a caller, or sent,
 * or told to Kafka must still be there; each is played for many moments and many ways to lose. */
#include "support/scene.h"

#include "support/disk.h"
#include "support/seeded.h"
#include <bus/bus.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOMENTS 40

/* What is to happen at the n-th operation of a kind on a file. */
typedef struct trap {
    scene *scene;
    disk *disk;
    char directory[80];
    const char *file; /* how its name ends; NULL: none is waited for */
    int op;           /* a disk_op; -1: any that changes something */
    int after, times;
    bool power; /* it fails; else the operation does */
    bool sprung;
} trap;

static trap rig;

static void cut_power(scene *s)
{
    s->files = snapshot_take(rig.directory, 0); /* the crash note, which is on a real disk */
    bui_memory_cut(bui_host_transport(s->host));
    disk_power_off(rig.disk, rig.directory);
    s->dying = true;
}

static disk_fate judge(void *opaque, const char *path, disk_op op)
{
    trap *t = opaque;
    size_t len = strlen(path), end = t->file ? strlen(t->file) : 0;
    if (!t->file || len < end || strcmp(path + len - end, t->file) != 0 || (t->op >= 0 ? (int)op != t->op : op == DISK_READ) ||
        t->after-- > 0)
        return DISK_WELL;
    t->sprung = true;
    if (t->power) {
        t->file = NULL;
        cut_power(t->scene);
        return DISK_WELL;
    }
    if (--t->times == 0)
        t->file = NULL;
    return DISK_ERROR;
}

static void set(const char *file, int op, int after, int times, bool power)
{
    rig.file = file;
    rig.op = op;
    rig.after = after;
    rig.times = times;
    rig.power = power;
    rig.sprung = false;
}

static int begin_on(void **state, int sector, bool power_safe_overwrite)
{
    rig = (trap){ .disk = disk_new(1) };
    disk_promise(rig.disk, sector, power_safe_overwrite);
    disk_judge_by(rig.disk, judge, &rig);
    seeded_ids(1);
    int rc = scene_set_up(state);
    rig.scene = *state;
    snprintf(rig.directory, sizeof rig.directory, "%s/svc", rig.scene->data);
    return rc;
}

static int begin(void **state)
{
    return begin_on(state, 512, true);
}

/* SQLite's psow=0: where a sector was being written when the power failed, also what stood beside it may be spoilt. */
static int begin_spoiling(void **state)
{
    return begin_on(state, 4096, false);
}

static int finish(void **state)
{
    rig.file = NULL;
    int rc = scene_tear_down(state);
    disk_free(rig.disk);
    seeded_ids_off();
    return rc;
}

/* Between two steps. */
static void lose_power(scene *s)
{
    cut_power(s);
    scene_stop(s);
    assert_true(snapshot_restore(s->files));
    s->dying = false;
    scene_start(s);
}

/* Kill -9 between two steps: what was written stays, synced or not. */
static void end_it(scene *s)
{
    snapshot *files = snapshot_take(rig.directory, 0);
    bui_memory_cut(bui_host_transport(s->host));
    disk_cut(rig.disk, rig.directory);
    scene_stop(s);
    assert_true(snapshot_restore(files));
}

static void kill_it(scene *s)
{
    end_it(s);
    scene_start(s);
}

/* The n-th event: its name is "e<n>", and it passes "e<n>1" on. */
static void send_event(scene *s, int n)
{
    char text[32];
    snprintf(text, sizeof text, "e%d emit", n);
    scene_send(s, "in", "k", text);
}

/* Without words that follow themselves: a row may be sent again, and its readers know it by its number. */
static const char *without_repeats(char *text)
{
    char *to = text, *last = NULL;
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        if (last && strcmp(last, word) == 0)
            continue;
        last = to;
        if (to != text)
            to[-1] = ' ';
        memmove(to, word, strlen(word) + 1);
        to += strlen(to) + 1;
    }
    return text;
}

static void expect_whole(void)
{
    char path[100];
    sqlite3 *db = NULL;
    sqlite3_stmt *check = NULL;
    snprintf(path, sizeof path, "%s/0.db", rig.directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(check), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(check, 0), "ok");
    sqlite3_finalize(check);
    sqlite3_close(db);
}

/* Each event once, in order, in the table and on the topic. */
static void expect_events(scene *s, int count)
{
    char effects[2048] = "", sent[2048] = "";
    for (int i = 0, a = 0, b = 0; i < count; i++) {
        a += snprintf(effects + a, sizeof effects - (size_t)a, "%se%d", i ? " " : "", i);
        b += snprintf(sent + b, sizeof sent - (size_t)b, "%se%d1", i ? " " : "", i);
    }
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), effects);
    scene_topic(s, "svc.events");
    assert_string_equal(without_repeats(s->text), sent);
    expect_whole();
}

static bui_memory_fate the_last_moment(scene *s, const bui_row *row, bui_channel channel)
{
    (void)row;
    (void)channel;
    s->fate = NULL;
    cut_power(s);
    return BUI_FATE_HOLD;
}

static void power_fails_between_commit_and_sending(void **state)
{
    scene *s = *state;
    for (int i = 0; i < MOMENTS; i++) {
        int asked = s->asked;
        disk_draw_from(rig.disk, (uint64_t)i);
        s->fate = the_last_moment;
        send_event(s, i);
        scene_pass(s, 2000);
        assert_int_equal(s->asked, asked + 2); /* the row whose commit was durable was sent by the next process */
    }
    expect_events(s, MOMENTS);
    assert_int_equal(s->runs, MOMENTS); /* and not made again */
}

/* At each operation in turn of an event's way, from its transaction to the deletion of its row. */
static void power_fails_at_any_operation(void **state)
{
    scene *s = *state;
    int sprung = 0;
    for (int i = 0; i < MOMENTS; i++) {
        disk_draw_from(rig.disk, (uint64_t)i);
        send_event(s, i);
        set("", -1, i, 1, true);
        scene_pass(s, 5000);
        sprung += rig.sprung;
    }
    expect_events(s, MOMENTS);
    assert_true(sprung >= 4); /* a write and a sync of each commit */
}

static void power_fails_during_a_checkpoint(void **state)
{
    scene *s = *state;
    int sprung = 0;
    scene_stop(s);
    s->options.limits.wal_bytes = 4096;
    scene_start(s);
    for (int i = 0; i < MOMENTS; i++) {
        disk_draw_from(rig.disk, (uint64_t)i);
        send_event(s, i);
        set("/0.db", i % 3 ? DISK_WRITE : i % 2 ? DISK_SYNC : DISK_TRUNCATE, i % 3 ? i % 11 : 0, 1, true);
        scene_pass(s, 5000);
        sprung += rig.sprung;
    }
    expect_events(s, MOMENTS);
    assert_true(sprung > MOMENTS / 2);
}

static void power_fails_between_commit_and_sending_and_spoils_neighbours(void **state)
{
    power_fails_between_commit_and_sending(state);
}

static void power_fails_at_any_operation_and_spoils_neighbours(void **state)
{
    power_fails_at_any_operation(state);
}

static void power_fails_during_a_checkpoint_and_spoils_neighbours(void **state)
{
    power_fails_during_a_checkpoint(state);
}

/* The next process finds a log that is on the disk: it writes nothing over it that could be spoilt. */
static void power_fails_while_a_log_is_opened_and_spoils_neighbours(void **state)
{
    scene *s = *state;
    for (int i = 0; i < MOMENTS; i++) {
        disk_draw_from(rig.disk, (uint64_t)i);
        send_event(s, i);
        scene_pass(s, 5000);
        end_it(s);
        set("-wal", DISK_SYNC, 0, 1, true);
        scene_start(s);
        scene_pass(s, 5000);
        rig.file = NULL;
    }
    expect_events(s, MOMENTS);
}

static void the_disk_is_full_in_a_batch(void **state)
{
    scene *s = *state;
    for (int i = 0; i < MOMENTS; i++) {
        disk_room(rig.disk, rig.directory, 700 * (i % 20));
        send_event(s, i);
        scene_pass(s, 3000);
        assert_int_equal(scene_failure(s), BUS_OK); /* it waits for room */
        disk_draw_from(rig.disk, (uint64_t)i);
        disk_room(rig.disk, rig.directory, -1);
        if (i % 2)
            lose_power(s);
        scene_pass(s, 20000);
    }
    expect_events(s, MOMENTS);
}

static bus_status told;

static void call_done(bui_call *call, bus_status status, const bus_error *err)
{
    (void)call;
    (void)err;
    told = status;
}

static bus_verdict write_call(bus_tx *tx, void *opaque)
{
    sqlite3_stmt *insert = bus_sql(tx, "INSERT INTO effect(name) VALUES (?1)");
    sqlite3_bind_text(insert, 1, opaque, -1, SQLITE_STATIC);
    return sqlite3_step(insert) == SQLITE_DONE ? BUS_DONE : bus_reject(tx, "no");
}

static int64_t times(scene *s, const char *name)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM effect WHERE name = '%s'", name);
    return scene_ask(s, sql);
}

/* The caller is not told that it is durable, the batch is made again, and what was told to be durable afterwards is. */
static void a_sync_fails_in_a_commit(void **state)
{
    scene *s = *state;
    for (int i = 0; i < MOMENTS; i++) {
        char first[16], second[16];
        snprintf(first, sizeof first, "first%d", i);
        snprintf(second, sizeof second, "second%d", i);
        bui_call doubtful = { .fn = write_call, .opaque = first, .done = call_done };
        bui_call good = { .fn = write_call, .opaque = second, .done = call_done };
        disk_draw_from(rig.disk, (uint64_t)i);
        set("-wal", DISK_SYNC, 0, 1, false);
        assert_int_equal(bui_shard_call(bui_host_shard(s->host, 0), &doubtful, NULL), BUS_OK);
        send_event(s, i);
        scene_run(s);
        assert_true(rig.sprung);
        assert_int_equal(told, BUS_IO);
        scene_pass(s, 20000);
        assert_int_equal(bui_shard_call(bui_host_shard(s->host, 0), &good, NULL), BUS_OK);
        scene_run(s);
        assert_int_equal(told, BUS_OK);
        lose_power(s);
        scene_pass(s, 5000);
        assert_int_equal(times(s, first), 0);
        assert_int_equal(times(s, second), 1);
    }
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM effect"), 2 * MOMENTS);
}

/* The next process finds a commit in the system's cache whose sync had failed, and sends what it says: then it has to stay. */
static void a_process_dies_after_a_sync_has_failed(void **state)
{
    scene *s = *state;
    for (int i = 0; i < MOMENTS; i++) {
        disk_draw_from(rig.disk, (uint64_t)i);
        set("-wal", DISK_SYNC, 0, 1, false);
        send_event(s, i);
        bui_host_group(s->host);
        bui_host_step(s->host, 0);
        assert_true(rig.sprung);
        kill_it(s);
        scene_pass(s, 5000);
        lose_power(s);
        scene_pass(s, 5000);
    }
    expect_events(s, MOMENTS);
}

/* Kafka's tool has set the offset back, and the power fails while the store takes it all again: once more, not twice. */
static void power_fails_in_a_replay(void **state)
{
    scene *s = *state;
    int sprung = 0;
    for (int i = 0; i < 3; i++)
        send_event(s, i);
    scene_pass(s, 5000);
    int64_t before = scene_ask(s, "SELECT count(*) FROM effect");
    for (int i = 0; i < MOMENTS; i++) {
        scene_stop(s);
        bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 0);
        disk_draw_from(rig.disk, (uint64_t)i);
        set("", -1, i, 1, true);
        scene_start(s);
        scene_pass(s, 5000);
        sprung += rig.sprung;
        rig.file = NULL;
        assert_int_equal(scene_failure(s), BUS_OK);
        assert_int_equal(scene_ask(s, "SELECT count(*) FROM effect"), before + 3);
        assert_int_equal(
            scene_ask(
                s,
                "SELECT count(*) FROM (SELECT count(*) AS n FROM effect GROUP BY name) WHERE n <> (SELECT max(n) / 3 FROM effect)"),
            0);
        before += 3;
    }
    assert_true(sprung > 10);
}

/* ---- a store alone */

static int64_t operations, fails_at;

static disk_fate fail_one(void *opaque, const char *path, disk_op op)
{
    (void)opaque;
    (void)path;
    (void)op;
    return ++operations == fails_at ? DISK_ERROR : DISK_WELL;
}

static bool open_alone(bui_store **store)
{
    const bui_store_options options = { .path = "/machine/0.db", .service = "svc", .shards = 1, .vfs = "disk" };
    bus_error err = { 0 };
    return bui_store_open(&options, store, &err) == BUS_OK;
}

/* SQLite answers "wal" before it has committed the change; when that fails it goes on with a journal, whose commits a power
 * loss may take back. Each operation of making a store fails once. */
static int make_with_failures(uint64_t seed)
{
    int failed = 0;
    for (fails_at = 1, operations = fails_at; operations >= fails_at; fails_at++) {
        bui_store *store = NULL;
        disk *alone = disk_new(seed + (uint64_t)fails_at);
        disk_promise(alone, 512, true);
        disk_judge_by(alone, fail_one, NULL);
        operations = 0;
        for (int64_t opens = 10; opens <= 30; opens += 10) {
            bool open = open_alone(&store), raised = open && bui_store_raise(store, NULL, opens, NULL) == BUS_OK;
            failed += !raised;
            disk_power_off(alone, "/machine/");
            bui_store_close(open ? store : NULL);
            if (!raised)
                continue;
            if (!open_alone(&store)) /* the operation that fails is one of these */
                assert_true(open_alone(&store));
            assert_int_equal(bui_store_meta(store)->opens, opens);
            bui_store_close(store);
        }
        disk_free(alone);
    }
    return failed;
}

static void a_store_that_could_not_be_made_is_made_again(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5000; seed += 1000) /* what a loss of power takes is drawn from it */
        assert_true(make_with_failures(seed) > 80);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)
#define SPOILING(name) cmocka_unit_test_setup_teardown(name, begin_spoiling, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(power_fails_between_commit_and_sending),
        TEST(power_fails_at_any_operation),
        TEST(power_fails_during_a_checkpoint),
        SPOILING(power_fails_between_commit_and_sending_and_spoils_neighbours),
        SPOILING(power_fails_at_any_operation_and_spoils_neighbours),
        SPOILING(power_fails_during_a_checkpoint_and_spoils_neighbours),
        SPOILING(power_fails_while_a_log_is_opened_and_spoils_neighbours),
        TEST(the_disk_is_full_in_a_batch),
        TEST(a_sync_fails_in_a_commit),
        TEST(a_process_dies_after_a_sync_has_failed),
        TEST(power_fails_in_a_replay),
        cmocka_unit_test(a_store_that_could_not_be_made_is_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
