/* SPDX-License-Identifier: MIT
 * Dead letters: a letter's round and state as one number, which only rises; so records that were sent twice say nothing new. */
#include "rebuild/deadletters.h"
#include "base/error.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOLD_MOST 10 /* dead letters in the log */
#define STATES 8

static intptr_t place_of(int round, int state)
{
    return (intptr_t)round * STATES + state;
}

static bool is_over(intptr_t place)
{
    return place % STATES == BUI_DEADLETTER_RESOLVED || place % STATES == BUI_DEADLETTER_DISCARDED;
}

bool bui_deadletters_note(bui_map *told, const bui_envelope *envelope)
{
    intptr_t now = place_of(envelope->letter_round, (int)envelope->letter);
    if (!envelope->letter || (intptr_t)bui_map_get(told, envelope->letter_id.at, envelope->letter_id.len) >= now)
        return true;
    return bui_map_put(told, envelope->letter_id.at, envelope->letter_id.len, (void *)now);
}

static bool differs(intptr_t topic, intptr_t store, bool cut, bool forgets)
{
    if (!store) /* its failure is in no topic any more, or it was over long ago */
        return !(cut && topic % STATES == BUI_DEADLETTER_RESOLVED) && !(forgets && is_over(topic));
    return store != topic && (store < topic || is_over(topic));
}

static void text_of(intptr_t place, char out[60])
{
    if (place)
        snprintf(out, 60, "round %d %s", (int)(place / STATES),
                 bui_deadletter_state_name((bui_deadletter_state)(place % STATES)));
    else
        snprintf(out, 60, "no such dead letter");
}

static void tell(const char *path, const void *id, size_t len, intptr_t topic, intptr_t store)
{
    char there[60], here[60];
    text_of(topic, there);
    text_of(store, here);
    bui_log(BUS_ERROR, "rebuild", "letter_differs", "dead letter %.*s: %s in its topic, %s in %s", (int)len, (const char *)id,
            there, here, path);
}

bus_status bui_deadletters_compare(const bui_map *told, bool cut, bui_store *store, int64_t *differing, bus_error *err)
{
    sqlite3_stmt *ask = NULL, *forgotten = NULL;
    sqlite3 *db = bui_store_db(store);
    int rc = sqlite3_prepare_v2(db, "SELECT round, state FROM bus_letter WHERE id = ?1", -1, &ask, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "SELECT 1 FROM bus_letter_forgotten", -1, &forgotten, NULL);
    bool forgets = rc == SQLITE_OK && sqlite3_step(forgotten) == SQLITE_ROW;
    size_t at = 0, len;
    const void *id;
    void *value;
    *differing = 0;
    while (rc == SQLITE_OK && bui_map_next(told, &at, &id, &len, &value)) {
        intptr_t topic = (intptr_t)value, here = 0;
        sqlite3_bind_text(ask, 1, id, (int)len, SQLITE_STATIC);
        rc = sqlite3_step(ask);
        if (rc == SQLITE_ROW)
            here = place_of(sqlite3_column_int(ask, 0), sqlite3_column_int(ask, 1));
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
        sqlite3_reset(ask);
        if (rc == SQLITE_OK && differs(topic, here, cut, forgets) && ++*differing <= TOLD_MOST)
            tell(bui_store_path(store), id, len, topic, here);
    }
    bus_status status = rc == SQLITE_OK ? BUS_OK : bui_fail(err, BUS_STORE, "%s: %s", bui_store_path(store), sqlite3_errmsg(db));
    sqlite3_finalize(ask);
    sqlite3_finalize(forgotten);
    if (*differing > TOLD_MOST)
        bui_log(BUS_ERROR, "rebuild", "letter_differs", "and %" PRId64 " more", *differing - TOLD_MOST);
    return status;
}
