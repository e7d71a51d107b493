/* SPDX-License-Identifier: MIT
 * A database and a log that do not belong together are refused, at whatever moments they were copied; what a process that died has left, never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/failpoint.h"
#include "support/temp_store.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS 60 /* each on a page of its own, changed in place: a page that is missing leaves no other trace */
#define COMMITS 400
#define MOMENTS 600
#define PAGE 4096

typedef struct bytes {
    char *at;
    size_t len;
} bytes;
typedef struct moment {
    bytes file, log;
    int commits, life;
    bool within, moved;
} moment; /* within a commit or a checkpoint */
typedef struct rig {
    temp_store temp;
    moment at[MOMENTS];
    int moments, commits, life;
    int64_t sum[COMMITS + 1]; /* of the rows after each commit */
    uint64_t seed;
    int accepted, refused;
    char what[200];
} rig;

static const bus_migration migrations[] = {
    { "t", "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body BLOB NOT NULL)" }, { 0 }
};

static int dice(rig *r, int sides)
{
    r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((r->seed >> 33) % (uint64_t)sides);
}

static bytes bytes_of(const char *path, const char *suffix)
{
    char name[300];
    bytes out = { malloc(4 << 20), 0 };
    snprintf(name, sizeof name, "%s%s", path, suffix);
    FILE *file = fopen(name, "rb");
    if (file) {
        out.len = fread(out.at, 1, 4 << 20, file);
        fclose(file);
    }
    out.at = realloc(out.at, out.len + 1);
    return out;
}

static void look(rig *r, bool within)
{
    if (r->moments < MOMENTS)
        r->at[r->moments++] =
            (moment){ bytes_of(r->temp.path, ""), bytes_of(r->temp.path, "-wal"), r->commits, r->life, within, false };
}

#ifdef BUS_FAILPOINTS
static void at_failpoint(const char *name, void *opaque)
{
    rig *r = opaque;
    if (strncmp(name, "store_", 6) != 0)
        return;
    look(r, true);
    r->at[r->moments - 1].moved = strcmp(name, "store_checkpoint_moved") == 0;
}
#endif

static void write_all(const char *path, const char *suffix, const bytes *what)
{
    char name[300];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600); /* the same file, where there is one */
    assert_true(fd >= 0);
    assert_int_equal(write(fd, what->at, what->len), (ssize_t)what->len);
    (void)close(fd);
}

static int64_t sum_of(temp_store *temp)
{
    return temp_store_number(temp, "SELECT sum(n * (id * id * 31 + 7)) FROM t");
}

static void commit(rig *r)
{
    char sql[200];
    bui_store *store = r->temp.store;
    OK_(bui_store_begin(store, &r->temp.err), r->temp.err);
    snprintf(sql, sizeof sql, "UPDATE t SET n = %d WHERE id = 0 OR id %% %d = %d", r->commits + 1, 2 + dice(r, 20), dice(r, 2));
    assert_int_equal(sqlite3_exec(bui_store_db(store), sql, NULL, NULL, NULL), SQLITE_OK);
    if (dice(r, 9) == 0)
        OK_(bui_store_grow(store, &r->temp.err), r->temp.err);
    r->sum[++r->commits] = sum_of(&r->temp); /* it counts from the moment that it may be there */
    OK_(bui_store_commit(store, &r->temp.err), r->temp.err);
}

static void begin(rig *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    temp_store_init(&r->temp);
    r->temp.options.migrations = migrations;
    r->seed = seed;
    bui_store *store = temp_store_open(&r->temp);
    OK_(bui_store_raise(store, NULL, 0, &r->temp.err), r->temp.err);
    OK_(bui_store_begin(store, &r->temp.err), r->temp.err);
    assert_int_equal(sqlite3_exec(bui_store_db(store),
                                  "WITH n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 59)"
                                  " INSERT INTO t SELECT n, 0, randomblob(3000) FROM n",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    OK_(bui_store_commit(store, &r->temp.err), r->temp.err);
}

static void finish(rig *r)
{
    for (int i = 0; i < r->moments; i++) {
        free(r->at[i].file.at);
        free(r->at[i].log.at);
    }
    temp_store_remove(&r->temp);
}

/* Commits, checkpoints of both kinds, readers in their way, ends of all kinds. */
static void live(rig *r, bool readers)
{
    sqlite3 *reader = NULL;
    for (int i = 0; i < COMMITS - 1 && r->moments < MOMENTS - 20; i++) {
        commit(r);
        look(r, false);
        if (readers && !reader && dice(r, 12) == 0) {
            OK_(bui_store_reader(r->temp.path, &reader, &r->temp.err), r->temp.err);
            assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
        } else if (reader && dice(r, 3) == 0) {
            sqlite3_close(reader);
            reader = NULL;
        }
        if (dice(r, 6) == 0)
            OK_(bui_store_checkpoint(r->temp.store, dice(r, 2) ? 1 : bui_store_wal_bytes(r->temp.store) / 2, &r->temp.err),
                r->temp.err);
        if (dice(r, 25) == 0) {
            sqlite3_close(reader);
            reader = NULL;
            if (dice(r, 2))
                OK_(bui_store_rest(r->temp.store, &r->temp.err), r->temp.err);
            r->life++;
            temp_store_reopen(&r->temp);
            OK_(bui_store_raise(r->temp.store, NULL, 0, &r->temp.err), r->temp.err);
        }
        look(r, false);
    }
    sqlite3_close(reader);
    temp_store_close(&r->temp);
}

/* Opens such a pair: what is accepted is what was committed once. In the same file, or as another. -1: refused. */
static int try(rig *r, const bytes *file, const bytes *log, bool same)
{
    char name[300];
    if (!same)
        (void)unlink(r->temp.path);
    snprintf(name, sizeof name, "%s-shm", r->temp.path);
    (void)unlink(name);
    write_all(r->temp.path, "", file);
    write_all(r->temp.path, "-wal", log);
    bus_status status = bui_store_open(&r->temp.options, &r->temp.store, &r->temp.err);
    if (status != BUS_OK) {
        r->refused++;
        if (status != BUS_REFUSED && status != BUS_CORRUPT)
            fail_msg("%s: %s", r->what, r->temp.err.text);
        return -1;
    }
    if (bui_store_meta(r->temp.store)->fresh) { /* its tables were in a log that is gone: nobody takes it for the store */
        temp_store_close(&r->temp);
        return -1;
    }
    int commits = (int)temp_store_number(&r->temp, "SELECT n FROM t WHERE id = 0");
    if (commits < 0 || commits > COMMITS || sum_of(&r->temp) != r->sum[commits])
        fail_msg("%s: accepted, and holds no commit's rows (%d)", r->what, commits);
    temp_store_close(&r->temp);
    r->accepted++;
    return commits;
}

static bytes joined(const bytes *front, const bytes *back, size_t at)
{
    bytes out = { malloc(front->len + back->len + 1), 0 };
    out.len = at < front->len ? at : front->len;
    memcpy(out.at, front->at, out.len);
    if (back->len > out.len) {
        memcpy(out.at + out.len, back->at + out.len, back->len - out.len);
        out.len = back->len;
    }
    return out;
}

static void run(rig *r, uint64_t seed, bool readers)
{
    begin(r, seed);
#ifdef BUS_FAILPOINTS
    bui_failpoint_to(at_failpoint, r);
#endif
    live(r, readers);
#ifdef BUS_FAILPOINTS
    bui_failpoint_to(NULL, NULL);
#endif
}

static void what_a_death_left_is_never_refused(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    for (uint64_t seed = 1; seed < 3; seed++) {
        run(r, seed, true);
        for (int i = 0; i < r->moments; i++) {
            int commits = try(r, &r->at[i].file, &r->at[i].log, true);
            if (commits != r->at[i].commits && commits != r->at[i].commits - 1)
                fail_msg("seed %d, moment %d: %d of %d commits: %s", (int)seed, i, commits, r->at[i].commits, r->temp.err.text);
        }
        finish(r);
    }
    free(r);
}

/* The one at one moment, the other at another; before and after, and long after. A log that was copied before the database lacks what a
 * checkpoint may have moved since, of which nothing tells until it has moved all; nor does anything without a log (docs/protocol.md, What is open). */
static void two_moments_are_refused_or_agree(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    for (uint64_t seed = 1; seed < 3; seed++) {
        bool readers = seed % 2;
        run(r, seed, readers);
        for (int n = 0; n < 700; n++) {
            int i = dice(r, r->moments), near = i - 40 + dice(r, 80), k = dice(r, 3) ? near : dice(r, r->moments);
            k = k < 0 ? 0 : k >= r->moments ? r->moments - 1 : k;
            if (k != i && (r->at[k].within || ((k < i || !r->at[k].log.len) && (readers || r->at[i].within))))
                continue;
            snprintf(r->what, sizeof r->what, "seed %d, the file of moment %d (%d), the log of %d (%d)", (int)seed, i,
                     r->at[i].commits, k, r->at[k].commits);
            (void)try(r, &r->at[i].file, &r->at[k].log, false);
        }
        print_message("%d refused, %d accepted\n", r->refused, r->accepted);
        assert_in_range(r->refused, 10, 1400);
        assert_in_range(r->accepted, 10, 1400);
        finish(r);
    }
    free(r);
}

/* A file is read from its start to its end, and what is read later may be of a later moment: of the database first, then of the log. */
static void a_copy_takes_time(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    for (uint64_t seed = 1; seed < 3; seed++) {
        run(r, seed, true);
        for (int n = 0; n < 700; n++) {
            int when[4] = { dice(r, r->moments) };
            for (int i = 1; i < 4; i++) {
                when[i] = when[i - 1] + (dice(r, 3) ? dice(r, 12) : 0);
                when[i] = when[i] < r->moments ? when[i] : r->moments - 1;
            }
            const moment *from = &r->at[when[2]], *to = &r->at[when[3]];
            /* Cut off while it was read, or read at the end of a checkpoint, between its two commits: nothing tells. */
            if (!from->log.len || to->log.len < from->log.len || from->life != to->life || from->within || to->within)
                continue;
            snprintf(r->what, sizeof r->what, "seed %d, the file of moments %d (%d) and %d (%d), the log of %d (%d) and %d (%d)",
                     (int)seed, when[0], r->at[when[0]].commits, when[1], r->at[when[1]].commits, when[2], r->at[when[2]].commits,
                     when[3], r->at[when[3]].commits);
            bytes file = joined(&r->at[when[0]].file, &r->at[when[1]].file, (size_t)PAGE * (size_t)(2 + dice(r, 60)));
            bytes log = joined(&r->at[when[2]].log, &r->at[when[3]].log, 32 + (size_t)(PAGE + 24) * (size_t)(40 + dice(r, 40)));
            (void)try(r, &file, &log, false);
            free(file.at);
            free(log.at);
        }
        print_message("%d refused, %d accepted\n", r->refused, r->accepted);
        assert_in_range(r->refused, 10, 1400);
        finish(r);
    }
    free(r);
}

/* Copied while a checkpoint moves pages, which it does in their order: the first are there, the others are not yet. The log is read later. */
static void a_checkpoint_takes_time(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    for (uint64_t seed = 1; seed < 3; seed++) {
        run(r, seed, false);
        for (int i = 1; i < r->moments; i++) {
            int k = i + 1 + dice(r, 12);
            if (!r->at[i].moved || k >= r->moments || r->at[k].within || !r->at[k].log.len)
                continue;
            for (int n = 0; n < 4; n++) {
                bytes file = joined(&r->at[i].file, &r->at[i - 1].file, (size_t)PAGE * (size_t)(2 + dice(r, 60)));
                snprintf(r->what, sizeof r->what, "seed %d, half moved at moment %d, the log of %d", (int)seed, i, k);
                (void)try(r, &file, &r->at[k].log, false);
                free(file.at);
            }
        }
        finish(r);
    }
    free(r);
}

/* ---- copies, and files that go */

static void zero_a_page(rig *r, int page)
{
    static const char zeros[PAGE];
    int fd = open(r->temp.path, O_WRONLY);
    assert_int_equal(pwrite(fd, zeros, PAGE, (off_t)PAGE * page), PAGE);
    (void)close(fd);
}

static void a_copy_is_checked_whole(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    char other[300];
    begin(r, 1);
    OK_(bui_store_checkpoint(r->temp.store, 1, &r->temp.err), r->temp.err);
    OK_(bui_store_verify(r->temp.store, &r->temp.err), r->temp.err);
    int page = (int)temp_store_number(&r->temp, "PRAGMA page_count") - 3;
    temp_store_close(&r->temp);
    zero_a_page(r, page);
    temp_store_open(&r->temp); /* its own file: no start is late for that */
    assert_int_equal(bui_store_verify(r->temp.store, &r->temp.err), BUS_CORRUPT);
    assert_non_null(strstr(r->temp.err.text, "is damaged"));
    temp_store_close(&r->temp);
    bytes copy = bytes_of(r->temp.path, "");
    snprintf(other, sizeof other, "%s.copy", r->temp.path);
    write_all(other, "", &copy);
    assert_int_equal(rename(other, r->temp.path), 0);
    free(copy.at);
    assert_int_equal(bui_store_open(&r->temp.options, &r->temp.store, &r->temp.err), BUS_CORRUPT);
    assert_non_null(strstr(r->temp.err.text, "bus rebuild"));
    finish(r);
    free(r);
}

static void gone(rig *r, const char *suffix)
{
    char name[300], aside[310];
    snprintf(name, sizeof name, "%s%s", r->temp.path, suffix);
    snprintf(aside, sizeof aside, "%s.aside", name);
    OK_(bui_store_gone(r->temp.store, &r->temp.err), r->temp.err);
    assert_int_equal(rename(name, aside), 0);
    assert_int_equal(bui_store_gone(r->temp.store, &r->temp.err), BUS_REFUSED);
    assert_non_null(strstr(r->temp.err.text, name));
    bytes copy = bytes_of(aside, "");
    write_all(name, "", &copy);
    free(copy.at);
    assert_int_equal(bui_store_gone(r->temp.store, &r->temp.err), BUS_REFUSED);
    assert_int_equal(rename(aside, name), 0);
    OK_(bui_store_gone(r->temp.store, &r->temp.err), r->temp.err);
}

static void a_file_that_is_removed_is_missed(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    begin(r, 1);
    gone(r, "");
    gone(r, "-wal");
    finish(r);
    free(r);
}

/* An older version's store has no numbers: they begin where it is upgraded. */
static void an_upgraded_store_is_numbered(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    begin(r, 1);
    temp_store_close(&r->temp);
    temp_store_meddle(
        &r->temp,
        "ALTER TABLE bus_meta DROP COLUMN seal; ALTER TABLE bus_meta DROP COLUMN file; UPDATE bus_meta SET version = 10");
    temp_store_open(&r->temp);
    OK_(bui_store_raise(r->temp.store, NULL, 0, &r->temp.err), r->temp.err);
    assert_int_equal(temp_store_number(&r->temp, "SELECT seal FROM bus_meta"), 1);
    look(r, false);
    for (int i = 0; i < 3; i++) {
        commit(r);
        OK_(bui_store_checkpoint(r->temp.store, 1, &r->temp.err), r->temp.err);
    }
    commit(r);
    look(r, false);
    temp_store_close(&r->temp);
    assert_int_equal(try(r, &r->at[0].file, &r->at[0].log, true), 0);
    assert_int_equal(try(r, &r->at[0].file, &r->at[1].log, false), -1);
    assert_int_equal(try(r, &r->at[1].file, &r->at[1].log, false), 4);
    finish(r);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_death_left_is_never_refused),
        cmocka_unit_test(two_moments_are_refused_or_agree),
        cmocka_unit_test(a_copy_takes_time),
        cmocka_unit_test(a_checkpoint_takes_time),
        cmocka_unit_test(a_copy_is_checked_whole),
        cmocka_unit_test(a_file_that_is_removed_is_missed),
        cmocka_unit_test(an_upgraded_store_is_numbered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
