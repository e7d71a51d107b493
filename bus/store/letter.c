/* SPDX-License-Identifier: MIT
 * Letter: what this shard knows of its dead letters; their bytes are in the dead-letter topic. */
#include "base/error.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

static bool is_open(int state)
{
    return state == 1 || state == 2; /* open and redriven, of bus_letter_state */
}

static bus_status load(bus_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_COUNT, err);
    if (!stmt)
        return err->status;
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW) {
        store->letters_open = sqlite3_column_int64(stmt, 0);
        store->letters_older = sqlite3_column_int64(stmt, 1);
    } else {
        status = bus_store_fail(store, rc, "counting letters", err);
    }
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_letter_get(bus_store *store, const char *id, bus_letter *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_GET, err);
    if (!stmt)
        return err->status;
    bus_bind_text(stmt, 1, id);
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    const char *scope = NULL;
    if (rc == SQLITE_DONE)
        status = bus_fail(err, BUS_MISSING, "%s: there is no letter %.40s", store->path, id);
    else if (rc != SQLITE_ROW)
        status = bus_store_fail(store, rc, "reading a letter", err);
    else if (!(scope = bus_store_intern(store, bus_column_text(stmt, 1))))
        status = bus_fail_nomem(err);
    if (status == BUS_OK) {
        memset(out, 0, sizeof *out);
        snprintf(out->id, sizeof out->id, "%s", id);
        snprintf(out->event_id, sizeof out->event_id, "%s", bus_column_text(stmt, 0));
        out->scope = scope;
        out->key_id = sqlite3_column_int64(stmt, 2);
        out->round = sqlite3_column_int(stmt, 3);
        out->state = sqlite3_column_int(stmt, 4);
        out->first_failed = sqlite3_column_int64(stmt, 5);
        out->partition = sqlite3_column_int(stmt, 6);
        snprintf(out->replay, sizeof out->replay, "%s", bus_column_text(stmt, 7));
    }
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_letter_put(bus_store *store, const bus_letter *letter, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    bus_letter former;
    bus_status status = bus_letter_get(store, letter->id, &former, err);
    if (status != BUS_OK && status != BUS_MISSING)
        return status;
    int64_t change = is_open(letter->state) - (status == BUS_OK && is_open(former.state));
    bool older = status == BUS_OK && former.partition < 0;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_PUT, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->letters_open, sizeof store->letters_open) || !bus_note(store, &store->letters_older, sizeof store->letters_older))
        return bus_fail_nomem(err);
    bus_bind_text(stmt, 1, letter->id);
    bus_bind_text(stmt, 2, letter->event_id);
    bus_bind_text(stmt, 3, letter->scope ? letter->scope : "");
    sqlite3_bind_int64(stmt, 4, letter->key_id);
    sqlite3_bind_int(stmt, 5, letter->round);
    sqlite3_bind_int(stmt, 6, letter->state);
    sqlite3_bind_int64(stmt, 7, letter->first_failed);
    sqlite3_bind_int64(stmt, 8, store->now_ms);
    sqlite3_bind_int(stmt, 9, letter->partition);
    bus_bind_text(stmt, 10, letter->replay);
    status = bus_run_statement(store, stmt, "writing a letter", err);
    if (status == BUS_OK) {
        store->letters_open += change;
        store->letters_older += older ? change : 0;
    }
    return status;
}

int64_t bus_letter_open_count(const bus_store *store)
{
    return store->letters_open;
}

int64_t bus_letter_older_count(const bus_store *store)
{
    return store->letters_older;
}

int64_t bus_letter_failures(bus_store *store, const char *run)
{
    bus_error err;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_FAILURES, &err);
    if (!stmt) {
        bus_store_doom(store, &err);
        return 0;
    }
    bus_bind_text(stmt, 1, run);
    int rc = bus_step(store, stmt);
    int64_t count = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    if (rc != SQLITE_ROW) {
        bus_store_fail(store, rc, "counting the letters of a run", &err);
        bus_store_doom(store, &err);
    }
    sqlite3_reset(stmt);
    return count;
}

/* ---- why they are open */

bus_status bus_letter_cause_put(bus_store *store, const char *id, const bus_letter_cause *cause, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_CAUSE_PUT, err);
    if (!stmt)
        return err->status;
    bus_bind_text(stmt, 1, id);
    bus_bind_text(stmt, 2, cause->orig);
    sqlite3_bind_int(stmt, 3, cause->attempts);
    bus_bind_text(stmt, 4, cause->class);
    bus_bind_text(stmt, 5, cause->reason);
    return bus_run_statement(store, stmt, "writing a letter", err);
}

bus_status bus_letter_cause_get(bus_store *store, const char *id, bus_arena *arena, bus_letter_cause *out, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_CAUSE_GET, err);
    if (!stmt)
        return err->status;
    bus_bind_text(stmt, 1, id);
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    const void *orig = NULL, *class = NULL, *reason = NULL;
    size_t len;
    if (rc == SQLITE_DONE)
        status = bus_fail(err, BUS_MISSING, "%s: there is no letter %.40s", store->path, id);
    else if (rc != SQLITE_ROW)
        status = bus_store_fail(store, rc, "reading a letter", err);
    else if (!bus_column_copy(stmt, 0, arena, &orig, &len) || !bus_column_copy(stmt, 2, arena, &class, &len) ||
             !bus_column_copy(stmt, 3, arena, &reason, &len))
        status = bus_fail_nomem(err);
    else
        *out = (bus_letter_cause){ orig, class, reason, sqlite3_column_int(stmt, 1), sqlite3_column_int64(stmt, 4) };
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_letter_oldest(bus_store *store, int64_t *out, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_OLDEST, err);
    if (!stmt)
        return err->status;
    int rc = bus_step(store, stmt);
    bus_status status = rc == SQLITE_ROW ? BUS_OK : bus_store_fail(store, rc, "looking for the oldest letter", err);
    *out = rc == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL ? sqlite3_column_int64(stmt, 0) : INT64_MAX;
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_letters_between(bus_store *store, int64_t from_ms, int64_t to_ms, bus_letter_each each, void *opaque, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_BETWEEN, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, from_ms);
    sqlite3_bind_int64(stmt, 2, to_ms);
    int rc;
    while ((rc = bus_step(store, stmt)) == SQLITE_ROW && each(bus_column_text(stmt, 0), sqlite3_column_int(stmt, 1), opaque))
        ;
    bus_status status = rc == SQLITE_ROW || rc == SQLITE_DONE ? BUS_OK : bus_store_fail(store, rc, "listing open letters", err);
    sqlite3_reset(stmt);
    return status;
}

/* ---- what is settled for long */

#define FORGET_MOST 10000 /* at a time */

static bus_status ask(bus_store *store, bus_statement which, int64_t a, int64_t b, int64_t *first, int64_t *second, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, which, err);
    if (!stmt)
        return err->status;
    if (which == BUS_SQL_LETTER_OLD) {
        sqlite3_bind_int64(stmt, 1, a);
        sqlite3_bind_int64(stmt, 2, b);
    }
    int rc = bus_step(store, stmt);
    bool row = rc == SQLITE_ROW;
    *first = row ? sqlite3_column_int64(stmt, 0) : 0;
    if (second)
        *second = row ? sqlite3_column_int64(stmt, 1) : 0;
    bus_status status = row || rc == SQLITE_DONE ? BUS_OK : bus_store_fail(store, rc, "looking for old letters", err);
    sqlite3_reset(stmt);
    return status;
}

/* The `most` oldest of those settled up to `until_ms`. */
static bus_status forget(bus_store *store, int64_t until_ms, int64_t most, int64_t *gone, bus_error *err)
{
    int64_t round = 0;
    bus_status status = ask(store, BUS_SQL_LETTER_OLD, until_ms, most, gone, &round, err);
    if (status != BUS_OK || *gone == 0)
        return status;
    sqlite3_stmt *keep = bus_statement_of(store, BUS_SQL_LETTER_FORGOTTEN_PUT, err);
    sqlite3_stmt *delete = keep ? bus_statement_of(store, BUS_SQL_LETTER_FORGET, err) : NULL;
    if (!delete)
        return err->status;
    sqlite3_bind_int64(keep, 1, round);
    if ((status = bus_run_statement(store, keep, "forgetting letters", err)) != BUS_OK)
        return status;
    sqlite3_bind_int64(delete, 1, until_ms);
    sqlite3_bind_int64(delete, 2, most);
    return bus_run_statement(store, delete, "forgetting letters", err);
}

bus_status bus_letter_expire(bus_store *store, int64_t before_ms, int64_t most, int64_t *gone, bool *more, bus_error *err)
{
    int64_t old = 0, settled = 0, over = 0;
    bus_status status = forget(store, before_ms - 1, FORGET_MOST, &old, err);
    if (status == BUS_OK)
        status = ask(store, BUS_SQL_LETTER_SETTLED, 0, 0, &settled, NULL, err);
    if (status == BUS_OK && settled > most)
        status = forget(store, INT64_MAX, settled - most < FORGET_MOST ? settled - most : FORGET_MOST, &over, err);
    *gone = old + over;
    *more = old == FORGET_MOST || over == FORGET_MOST;
    return status;
}

bus_status bus_letter_first_round(bus_store *store, int *out, bus_error *err)
{
    int64_t round = 0;
    bus_status status = ask(store, BUS_SQL_LETTER_FORGOTTEN_GET, 0, 0, &round, NULL, err);
    *out = (int)round + 1;
    return status;
}

const bus_group bus_group_letter = { .load = load };
