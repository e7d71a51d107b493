/* SPDX-License-Identifier: MIT
 * Audit, declared: what must hold by the services' own SQL. */
#include "base/clock.h"
#include "base/error.h"
#include "ops/audit_database.h"

#include <stdlib.h>
#include <string.h>

/* The name in "-- name: text", or NULL: another comment, as that of a licence. Ends it with a zero. */
static char *named(char *line)
{
    char *colon;
    if (strncmp(line, "-- ", 3) != 0 || !(colon = strchr(line, ':')))
        return NULL;
    for (const char *at = line + 3; at < colon; at++)
        if (!(*at >= 'a' && *at <= 'z') && !(*at >= '0' && *at <= '9') && *at != '_')
            return NULL;
    *colon = 0;
    return line + 3;
}

static int deny_writes(void *opaque, int action, const char *a, const char *b, const char *database, const char *trigger)
{
    (void)opaque, (void)a, (void)b, (void)database, (void)trigger;
    bool reads = action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION || action == SQLITE_RECURSIVE;
    return reads ? SQLITE_OK : SQLITE_DENY;
}

static bus_status one_invariant(bui_audit *audit, const char *file, const char *name, const char **sql, int line,
                                bui_audit_found_fn found, void *opaque, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    if (sqlite3_prepare_v2(audit->db, *sql, -1, &stmt, sql) != SQLITE_OK)
        return bui_fail(err, BUS_INVALID, "%s:%d: %s: %s", file, line, name, sqlite3_errmsg(audit->db));
    if (!stmt)
        return bui_fail(err, BUS_INVALID, "%s:%d: no query follows -- %s:", file, line, name);
    int rc = SQLITE_DONE;
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(stmt, 0);
        const char *text = sqlite3_column_count(stmt) > 1 ? (const char *)sqlite3_column_text(stmt, 1) : NULL;
        bui_finding finding = { BUI_AUDIT_VIOLATED, name, file, id ? id : "NULL",
                                text ? text : "breaks what the service declares" };
        status = found(opaque, &finding) ? BUS_OK : bui_fail_nomem(err);
    }
    if (status == BUS_OK && rc == SQLITE_INTERRUPT)
        status = bui_fail(err, BUS_CANCELLED, "%s:%d: interrupted within %s", file, line, name);
    else if (status == BUS_OK && rc != SQLITE_DONE)
        status = bui_fail(err, BUS_INVALID, "%s:%d: %s: %s", file, line, name, sqlite3_errmsg(audit->db));
    sqlite3_finalize(stmt);
    return status;
}

static bus_status set_clock(bui_audit *audit, bus_error *err)
{
    const bui_clock *clock = bui_clock_real();
    char *sql = sqlite3_mprintf("DELETE FROM clock; INSERT INTO clock VALUES (%lld)", (long long)clock->wall_ms(clock));
    bus_status status = sql ? bui_audit_db_run(audit, sql, "setting the clock", err) : bui_fail_nomem(err);
    sqlite3_free(sql);
    return status;
}

bus_status bui_audit_invariants(bui_audit *audit, const char *file, const char *text, bui_audit_found_fn found, void *opaque,
                                bus_error *err)
{
    char *copy = strdup(text), *at = copy;
    bus_status status = copy ? set_clock(audit, err) : bui_fail_nomem(err);
    int line = 1, count = 0;
    sqlite3_set_authorizer(audit->db, deny_writes, NULL); /* the text is data, as the stores are */
    while (status == BUS_OK && *at) {
        char *end = strchr(at, '\n'), *name = NULL;
        if (end) {
            *end = 0;
            name = named(at);
            if (!name)
                *end = '\n';
        }
        if (!name) {
            if (at[0] != '\n' && strncmp(at, "--", 2) != 0)
                status = bui_fail(err, BUS_INVALID,
                                  "%s:%d: a query needs a line \"-- name: what must hold\" before it, the name of a-z, 0-9 and _",
                                  file, line);
            at = end ? end + 1 : at + strlen(at);
            line++;
            continue;
        }
        const char *sql = end + 1;
        status = one_invariant(audit, file, name, &sql, line, found, opaque, err);
        count++;
        line++;
        for (const char *c = end + 1; c < sql; c++)
            line += *c == '\n';
        at = copy + (sql - copy);
        if (status == BUS_OK && *at == '\n') {
            at++;
            line++;
        }
    }
    sqlite3_set_authorizer(audit->db, NULL, NULL);
    if (status == BUS_OK && !count)
        status = bui_fail(err, BUS_INVALID, "%s holds no invariant", file);
    free(copy);
    return status;
}
