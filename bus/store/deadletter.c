/* SPDX-License-Identifier: MIT
 * Dead letter: what this shard knows of its dead letters; their bytes are in the dead-letter topic. */
#include "base/error.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

static bool is_open(int state)
{
    return state == 1 || state == 2; /* open and redriven, of bui_deadletter_state */
}

/* Does it hold its event back? A copy's does not. */
static bool holds_back(const bui_deadletter *letter)
{
    return is_open(letter->state) && !letter->replay[0];
}

static bus_status count(bui_store *store, bus_error *err)
{
    bui_tables_letter *letters = &store->letters;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_COUNT, err);
    if (!stmt)
        return err->status;
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW) {
        letters->open = sqlite3_column_int64(stmt, 0);
        letters->older = sqlite3_column_int64(stmt, 1);
        letters->held_back = sqlite3_column_int64(stmt, 2);
        letters->settled = sqlite3_column_int64(stmt, 3);
    } else {
        status = bui_store_fail(store, rc, "counting letters", err);
    }
    sqlite3_reset(stmt);
    return status;
}

/* Between transactions. If it fails, the former one stays: it is as true, and says "maybe" more often. */
static bus_status fill(bui_store *store, bus_error *err)
{
    bui_open_letters fresh = { 0 };
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_HELD_BACK, err);
    if (!stmt)
        return err->status;
    if (!bui_open_letters_make(&fresh, store->letters.held_back))
        return bui_fail_nomem(err);
    int rc;
    while ((rc = bui_step(store, stmt)) == SQLITE_ROW)
        (void)bui_open_letters_add(&fresh, bui_column_text(stmt, 0), NULL);
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, "listing open dead letters", err);
    sqlite3_reset(stmt);
    bui_open_letters_free(status == BUS_OK ? &store->letters.maybe : &fresh);
    if (status == BUS_OK)
        store->letters.maybe = fresh;
    return status;
}

static bus_status load(bui_store *store, bus_error *err)
{
    bus_status status = count(store, err);
    return status == BUS_OK && store->letters.held_back ? fill(store, err) : status;
}

static void ended(bui_store *store, bool committed)
{
    bus_error err;
    if (committed && bui_open_letters_small(&store->letters.maybe, store->letters.held_back))
        (void)fill(store, &err);
}

static void free_all(bui_store *store)
{
    bui_open_letters_free(&store->letters.maybe);
}

bool bui_deadletter_maybe(const bui_store *store, const char *event_id)
{
    return store->letters.held_back > 0 && bui_open_letters_maybe(&store->letters.maybe, event_id);
}

bus_status bui_deadletter_get(bui_store *store, const char *id, bui_deadletter *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_GET, err);
    if (!stmt)
        return err->status;
    bui_bind_text(stmt, 1, id);
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    const char *scope = NULL;
    if (rc == SQLITE_DONE)
        status = bui_fail(err, BUS_MISSING, "%s: there is no dead letter %.40s", store->path, id);
    else if (rc != SQLITE_ROW)
        status = bui_store_fail(store, rc, "reading a dead letter", err);
    else if (!(scope = bui_store_intern(store, bui_column_text(stmt, 1))))
        status = bui_fail_nomem(err);
    if (status == BUS_OK) {
        memset(out, 0, sizeof *out);
        snprintf(out->id, sizeof out->id, "%s", id);
        snprintf(out->event_id, sizeof out->event_id, "%s", bui_column_text(stmt, 0));
        out->scope = scope;
        out->key_id = sqlite3_column_int64(stmt, 2);
        out->round = sqlite3_column_int(stmt, 3);
        out->state = sqlite3_column_int(stmt, 4);
        out->first_failed = sqlite3_column_int64(stmt, 5);
        out->partition = sqlite3_column_int(stmt, 6);
        snprintf(out->replay, sizeof out->replay, "%s", bui_column_text(stmt, 7));
    }
    sqlite3_reset(stmt);
    return status;
}

/* In memory, before the row is written: what fails is undone with the transaction. */
static bool counted(bui_store *store, const bui_deadletter *former, const bui_deadletter *letter)
{
    bui_tables_letter *letters = &store->letters;
    int opens = is_open(letter->state) - (former && is_open(former->state));
    bool held = former && holds_back(former), holds = holds_back(letter);
    if (holds && !letters->maybe.cells && !bui_open_letters_make(&letters->maybe, 1))
        return false;
    if (!bui_note(store, &letters->open, sizeof letters->open) || !bui_note(store, &letters->older, sizeof letters->older) ||
        !bui_note(store, &letters->settled, sizeof letters->settled) ||
        !bui_note(store, &letters->held_back, sizeof letters->held_back) ||
        (held && !bui_open_letters_remove(&letters->maybe, former->event_id, &store->undo_log)) ||
        (holds && !bui_open_letters_add(&letters->maybe, letter->event_id, &store->undo_log)))
        return false;
    letters->open += opens;
    letters->older += former && former->partition < 0 ? opens : 0;
    letters->settled += former ? -opens : !is_open(letter->state);
    letters->held_back += holds - held;
    return true;
}

bus_status bui_deadletter_put(bui_store *store, const bui_deadletter *letter, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    bui_deadletter former;
    bus_status status = bui_deadletter_get(store, letter->id, &former, err);
    if (status != BUS_OK && status != BUS_MISSING)
        return status;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_PUT, err);
    if (!stmt)
        return err->status;
    if (!counted(store, status == BUS_OK ? &former : NULL, letter))
        return bui_fail_nomem(err);
    bui_bind_text(stmt, 1, letter->id);
    bui_bind_text(stmt, 2, letter->event_id);
    bui_bind_text(stmt, 3, letter->scope ? letter->scope : "");
    sqlite3_bind_int64(stmt, 4, letter->key_id);
    sqlite3_bind_int(stmt, 5, letter->round);
    sqlite3_bind_int(stmt, 6, letter->state);
    sqlite3_bind_int64(stmt, 7, letter->first_failed);
    sqlite3_bind_int64(stmt, 8, store->now_ms);
    sqlite3_bind_int(stmt, 9, letter->partition);
    bui_bind_text(stmt, 10, letter->replay);
    return bui_run_statement(store, stmt, "writing a dead letter", err);
}

int64_t bui_deadletter_open_count(const bui_store *store)
{
    return store->letters.open;
}

int64_t bui_deadletter_settled_count(const bui_store *store)
{
    return store->letters.settled;
}

int64_t bui_deadletter_older_count(const bui_store *store)
{
    return store->letters.older;
}

int64_t bui_deadletter_failures(bui_store *store, const char *run)
{
    bus_error err;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_FAILURES, &err);
    if (!stmt) {
        bui_store_doom(store, &err);
        return 0;
    }
    bui_bind_text(stmt, 1, run);
    int rc = bui_step(store, stmt);
    int64_t count = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    if (rc != SQLITE_ROW) {
        bui_store_fail(store, rc, "counting the dead letters of a run", &err);
        bui_store_doom(store, &err);
    }
    sqlite3_reset(stmt);
    return count;
}

/* ---- why they are open */

bus_status bui_deadletter_cause_put(bui_store *store, const char *id, const bui_deadletter_cause *cause, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_CAUSE_PUT, err);
    if (!stmt)
        return err->status;
    bui_bind_text(stmt, 1, id);
    bui_bind_text(stmt, 2, cause->orig);
    sqlite3_bind_int(stmt, 3, cause->attempts);
    bui_bind_text(stmt, 4, cause->class);
    bui_bind_text(stmt, 5, cause->reason);
    return bui_run_statement(store, stmt, "writing a dead letter", err);
}

bus_status bui_deadletter_cause_get(bui_store *store, const char *id, bui_arena *arena, bui_deadletter_cause *out, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_CAUSE_GET, err);
    if (!stmt)
        return err->status;
    bui_bind_text(stmt, 1, id);
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    const void *orig = NULL, *class = NULL, *reason = NULL;
    size_t len;
    if (rc == SQLITE_DONE)
        status = bui_fail(err, BUS_MISSING, "%s: there is no dead letter %.40s", store->path, id);
    else if (rc != SQLITE_ROW)
        status = bui_store_fail(store, rc, "reading a dead letter", err);
    else if (!bui_column_copy(stmt, 0, arena, &orig, &len) || !bui_column_copy(stmt, 2, arena, &class, &len) ||
             !bui_column_copy(stmt, 3, arena, &reason, &len))
        status = bui_fail_nomem(err);
    else
        *out = (bui_deadletter_cause){ orig, class, reason, sqlite3_column_int(stmt, 1), sqlite3_column_int64(stmt, 4) };
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_deadletter_oldest(bui_store *store, int64_t *out, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_OLDEST, err);
    if (!stmt)
        return err->status;
    int rc = bui_step(store, stmt);
    bus_status status = rc == SQLITE_ROW ? BUS_OK : bui_store_fail(store, rc, "looking for the oldest dead letter", err);
    *out = rc == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL ? sqlite3_column_int64(stmt, 0) : INT64_MAX;
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_deadletters_between(bui_store *store, int64_t from_ms, int64_t to_ms, bui_deadletter_each each, void *opaque,
                                   bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DEADLETTER_BETWEEN, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, from_ms);
    sqlite3_bind_int64(stmt, 2, to_ms);
    int rc;
    while ((rc = bui_step(store, stmt)) == SQLITE_ROW && each(bui_column_text(stmt, 0), sqlite3_column_int(stmt, 1), opaque))
        ;
    bus_status status =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, "listing open dead letters", err);
    sqlite3_reset(stmt);
    return status;
}

/* ---- what is settled for long */

#define FORGET_MOST 10000 /* at a time */

static bus_status ask(bui_store *store, bui_statement which, int64_t a, int64_t b, int64_t *first, int64_t *second,
                      bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, which, err);
    if (!stmt)
        return err->status;
    if (which == BUI_SQL_DEADLETTER_OLD) {
        sqlite3_bind_int64(stmt, 1, a);
        sqlite3_bind_int64(stmt, 2, b);
    }
    int rc = bui_step(store, stmt);
    bool row = rc == SQLITE_ROW;
    *first = row ? sqlite3_column_int64(stmt, 0) : 0;
    if (second)
        *second = row ? sqlite3_column_int64(stmt, 1) : 0;
    bus_status status = row || rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, "looking for old dead letters", err);
    sqlite3_reset(stmt);
    return status;
}

/* The `most` oldest of those settled up to `until_ms`. */
static bus_status forget(bui_store *store, int64_t until_ms, int64_t most, int64_t *gone, bus_error *err)
{
    int64_t round = 0;
    bus_status status = ask(store, BUI_SQL_DEADLETTER_OLD, until_ms, most, gone, &round, err);
    if (status != BUS_OK || *gone == 0)
        return status;
    sqlite3_stmt *keep = bui_statement_of(store, BUI_SQL_DEADLETTER_FORGOTTEN_PUT, err);
    sqlite3_stmt *delete = keep ? bui_statement_of(store, BUI_SQL_DEADLETTER_FORGET, err) : NULL;
    if (!delete)
        return err->status;
    sqlite3_bind_int64(keep, 1, round);
    status = bui_run_statement(store, keep, "forgetting letters", err);
    if (status != BUS_OK)
        return status;
    if (!bui_note(store, &store->letters.settled, sizeof store->letters.settled))
        return bui_fail_nomem(err);
    store->letters.settled -= *gone;
    sqlite3_bind_int64(delete, 1, until_ms);
    sqlite3_bind_int64(delete, 2, most);
    return bui_run_statement(store, delete, "forgetting letters", err);
}

bus_status bui_deadletter_expire(bui_store *store, int64_t before_ms, int64_t most, int64_t *gone, bool *more, bus_error *err)
{
    int64_t old = 0, over = 0;
    bus_status status = forget(store, before_ms - 1, FORGET_MOST, &old, err);
    int64_t many = store->letters.settled - most;
    if (status == BUS_OK && many > 0)
        status = forget(store, INT64_MAX, many < FORGET_MOST ? many : FORGET_MOST, &over, err);
    *gone = old + over;
    *more = old == FORGET_MOST || over == FORGET_MOST;
    return status;
}

bus_status bui_deadletter_first_round(bui_store *store, int *out, bus_error *err)
{
    int64_t round = 0;
    bus_status status = ask(store, BUI_SQL_DEADLETTER_FORGOTTEN_GET, 0, 0, &round, NULL, err);
    *out = (int)round + 1;
    return status;
}

const bui_group bui_group_letter = { .load = load, .ended = ended, .free = free_all };
