/* SPDX-License-Identifier: MIT
 * Rebuild, before anything is made: do the topics hold everything, and is the service stopped? If something is missing the
 * rebuild is refused, unless the operator gives it up (--incomplete). */
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "rebuild/rebuild_internal.h"
#include "shard/topics.h"
#include "store/store.h"
#include "store/swap.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Something that the topics do not tell. */
BUS_PRINTF(3, 4) static bus_status lacks(const rebuild *r, bus_error *err, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!r->incomplete)
        return bui_fail(
            err, BUS_REFUSED,
            "%s. So the store cannot be rebuilt completely. Put the newest copy of the store in its place, if the service has not run since the copy was made; or accept what is missing: rebuild with --incomplete",
            what);
    bui_log(BUS_ERROR, "rebuild", "incomplete", "%s; given up (--incomplete)", what);
    return BUS_OK;
}

static bus_status find_partitions(rebuild *r, bus_error *err)
{
    size_t count;
    const bui_input *inputs = bui_router_inputs(r->router, &count);
    r->partitions = calloc(count, sizeof *r->partitions);
    const char **names = calloc(count, sizeof *names);
    bus_status status = r->partitions && names ? BUS_OK : bui_fail_nomem(err);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        names[i] = inputs[i].topic;
        status = r->metadata->ops->partitions(r->metadata, inputs[i].topic, r->timeout_ms, &r->partitions[i], err);
        if (status == BUS_OK && inputs[i].start == BUS_FROM_END)
            status = lacks(r, err,
                           "%s reads %s from where its end was when it first started; that place is no longer known: all "
                           "of the log would be read",
                           r->service->name, inputs[i].topic);
    }
    if (status == BUS_OK)
        status = bui_kafka_lag_read(r->config, "rebuild", r->service->name, names, count, false, r->timeout_ms, &r->marks,
                                    &r->mark_count, err);
    free(names);
    if (status == BUS_OK)
        r->shards = r->partitions[0]; /* the lead topic is the first input */
    bui_topic_need lead = { .role = BUI_TOPIC_LEAD };
    snprintf(lead.name, sizeof lead.name, "%s", bui_router_lead(r->router));
    if (status == BUS_OK && bui_config_is_set(r->config, "shards"))
        status = bui_topic_fits(&lead, r->service->name, r->shards, (int)bui_config_int(r->config, "shards"), err);
    return status;
}

const bui_input *bui_rebuild_input(const rebuild *r, const char *topic)
{
    size_t count;
    const bui_input *inputs = bui_router_inputs(r->router, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(inputs[i].topic, topic) == 0)
            return &inputs[i];
    return NULL;
}

static bus_status check_logs(const rebuild *r, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; i < r->mark_count && status == BUS_OK; i++) {
        const bui_kafka_lag *mark = &r->marks[i];
        const bui_input *input = bui_rebuild_input(r, mark->topic);
        if (input && !input->retry_tier && mark->low > 0)
            status = lacks(r, err, "%s/%" PRId32 " begins at offset %" PRId64 ": its first records were deleted by retention",
                           mark->topic, mark->partition, mark->low);
    }
    return status;
}

bool bui_rebuild_identity(const rebuild *r, int p, char id[37], int64_t *opens, bool *transacted)
{
    const char *lead = bui_router_lead(r->router);
    for (size_t i = 0; i < r->mark_count; i++)
        if (r->marks[i].partition == p && strcmp(r->marks[i].topic, lead) == 0) {
            *transacted = strstr(r->marks[i].metadata, " transacted") != NULL;
            return sscanf(r->marks[i].metadata, "%36[0-9a-fA-F-] %" SCNd64, id, opens) == 2;
        }
    *transacted = false;
    return false;
}

/* bus_transact wrote what is in no topic. The group's commits say so, too: the file may be lost. */
static bus_status check_transacted(const rebuild *r, int shard, bus_error *err)
{
    char path[512], id[37];
    int64_t opens;
    bool transacted;
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    bui_rebuild_identity(r, shard, id, &opens, &transacted);
    snprintf(path, sizeof path, "%s/%d.db", r->home, shard);
    if (access(path, F_OK) == 0 && bui_store_reader(path, &db, NULL) == BUS_OK &&
        sqlite3_prepare_v2(db, "SELECT transacted FROM bus_meta", -1, &ask, NULL) == SQLITE_OK && sqlite3_step(ask) == SQLITE_ROW)
        transacted |= sqlite3_column_int(ask, 0) != 0;
    sqlite3_finalize(ask);
    sqlite3_close(db);
    return transacted ? lacks(r, err, "bus_transact wrote into %s, and no topic shows that", path) : BUS_OK;
}

static bus_status lock_all(rebuild *r, bus_error *err)
{
    r->locks = calloc((size_t)r->shards, sizeof(bui_lock *));
    if (!r->locks)
        return bui_fail_nomem(err);
    for (int p = 0; p < r->shards; p++) {
        char base[512];
        snprintf(base, sizeof base, "%s/%d", r->home, p);
        bus_status status = bui_lock_take(base, &r->locks[p], NULL, err);
        if (status == BUS_LOCKED)
            return bui_fail(err, BUS_REFUSED, "shard %d of %s is open in a running process: stop the service first", p,
                            r->service->name);
        snprintf(base + strlen(base), sizeof base - strlen(base), ".db");
        if (status == BUS_OK)
            status = bui_store_swap_finish(base, err);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

bus_status bui_rebuild_check(rebuild *r, bus_error *err)
{
    bus_status status = find_partitions(r, err);
    if (status == BUS_OK)
        status = lock_all(r, err);
    if (status == BUS_OK)
        status = check_logs(r, err);
    for (int p = 0; p < r->shards && status == BUS_OK; p++)
        status = check_transacted(r, p, err);
    return status;
}
