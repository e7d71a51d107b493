/* SPDX-License-Identifier: MIT
 * Rebuild of one shard: a new store is made on the rerun transport, then it gets the old store's identity and loses the
 * emitted events that Kafka already has. */
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "rebuild/history.h"
#include "rebuild/rebuild_outbox.h"
#include "rebuild/rebuild_internal.h"
#include "rebuild/rerun.h"
#include "shard/shard.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTLE_MS 1000 /* after the end: what is to be done now is looked for again a few times */
#define STANDSTILL_US (INT64_C(24) * 3600 * 1000 * 1000) /* of virtual time without a record taken: it waits without end */

/* ---- replaying */

/* The shard has nothing more to do now: the clock moves on to what comes next, a record or what falls due. True: nothing comes. */
static bus_status move_on(rebuild *r, bui_shard *shard, bui_rerun *replay, bui_virtual_clock *clock, int64_t wait_us,
                          int64_t moved_us, bool *ended, bus_error *err)
{
    int64_t now = clock->clock.wall_ms(&clock->clock), next = bui_rerun_next_ms(replay), after, end = r->at_ms + SETTLE_MS;
    if (next != INT64_MAX && next > now) {
        int64_t until_us = (next - now) * 1000;
        bui_virtual_clock_advance(clock, wait_us < until_us ? wait_us : until_us);
        return BUS_OK;
    }
    /* What fell due since the last record (a retry, a schedule) runs first. */
    *ended = next == INT64_MAX && bui_rerun_ended(replay) && now >= end;
    if (*ended)
        return BUS_OK;
    if (next == INT64_MAX && now < end && wait_us > (end - now) * 1000)
        wait_us = (end - now) * 1000;
    if (next != INT64_MAX && (clock->mono_us - moved_us > STANDSTILL_US || wait_us == INT64_MAX))
        return bui_fail(err, BUS_TIMEOUT,
                        "shard %d of %s waits for something that does not come after %" PRId64 " records (a paused "
                        "dependency, an unknown schema): see the log",
                        bui_shard_index(shard), r->service->name, bui_rerun_records(replay, &after));
    bui_virtual_clock_advance(clock, wait_us);
    return BUS_OK;
}

/* Rows of the outbox from this id on are of events that the group had not committed. */
static bus_status note_commit_point(const char *path, int64_t *commit_point, bus_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    bus_status status = bui_store_reader(path, &db, err);
    if (status != BUS_OK)
        return status;
    if (sqlite3_prepare_v2(db, "SELECT ifnull(max(id), 0) + 1 FROM bus_outbox", -1, &ask, NULL) == SQLITE_OK &&
        sqlite3_step(ask) == SQLITE_ROW)
        *commit_point = sqlite3_column_int64(ask, 0);
    else
        status = bui_fail(err, BUS_STORE, "%s: %s", path, sqlite3_errmsg(db));
    sqlite3_finalize(ask);
    sqlite3_close(db);
    return status;
}

/* Steps until every record has been taken and worked through. */
static bus_status work(rebuild *r, bui_shard *shard, bui_rerun *replay, bui_virtual_clock *clock, int64_t *commit_point,
                       bus_error *err)
{
    int64_t seen = -1, moved_us = clock->mono_us, after;
    int quiet = 0; /* steps in a row that had nothing to do */
    for (bool ended = false; !ended;) {
        int64_t wait_us = bui_shard_step(shard, NULL);
        bus_status status = bui_shard_failure(shard, err);
        if (status == BUS_OK)
            status = bui_rerun_failure(replay, err);
        int64_t taken = bui_rerun_records(replay, &after);
        if (taken != seen)
            moved_us = clock->mono_us;
        quiet = taken != seen || wait_us <= 0 ? 0 : quiet + 1;
        seen = taken;
        if (status == BUS_OK && quiet > 1) {
            quiet = 0;
            if (bui_rerun_next_ms(replay) == INT64_MAX && bui_rerun_at_commit(replay)) {
                status = note_commit_point(bui_shard_store_path(shard), commit_point, err);
                bui_rerun_pass_commit(replay);
            } else {
                status = move_on(r, shard, replay, clock, wait_us, moved_us, &ended, err);
            }
        }
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

static bus_status replay_shard(rebuild *r, int p, bui_history *history, const bui_kafka_lag *marks, const bool *skipped,
                               size_t count, int64_t *commit_point, bui_rebuilt *out, bus_error *err)
{
    bui_virtual_clock clock;
    bui_virtual_clock_init(&clock, 0);
    bui_rerun *replay = NULL;
    bui_shard *shard = NULL;
    bui_lock *want = NULL;
    bui_lane_spec *lanes = NULL;
    bui_rerun_options how = {
        .logs = r->logs, .marks = marks, .skipped = skipped, .count = count, .metadata = r->metadata, .clock = &clock
    };
    bus_status status = bui_rerun_open(&how, &replay, err);
    if (status != BUS_OK)
        return status;
    bui_shard_options options = {
        .service = r->service,
        .router = r->router,
        .index = p,
        .count = r->shards,
        .directory = r->build,
        .transport = bui_rerun_transport(replay),
        .clock = &clock.clock,
        .catalog = r->catalog,
        .ids = bui_registry_cache_ids(r->registry_cache),
        .config = r->config,
        .cache_bytes = bui_config_int(r->config, "store.cache.bytes"),
        .secure_delete = bui_config_text(r->config, "store.secure.delete"),
        .init = true,
        .fates = bui_history_fates(history),
        .synchronous = "OFF", /* after a crash it is made again */
    };
    bui_limits_of(r->config, &options.limits);
    options.limits.keys = r->keys;
    options.limits.outbox_bytes = INT64_MAX; /* held rows must not stop the replay */
    options.limits.reject_percent = 0;       /* nor failures that were all right the first time */
    options.limits.retry_grace_ms = 0;       /* retry records are not read: time alone brings events back */
    status = bui_shard_open(&options, &want, &shard, err);
    bui_lock_free(want);
    if (status == BUS_OK)
        status = bui_shard_claim(shard, r->partitions, err);
    if (status == BUS_OK) {
        size_t n = bui_shard_lane_count(shard);
        lanes = calloc(n + 1, sizeof *lanes);
        status = lanes ? BUS_OK : bui_fail_nomem(err);
        if (status == BUS_OK) {
            bui_shard_lane_specs(shard, lanes);
            status = options.transport->ops->assign(options.transport, lanes, n, err);
        }
    }
    if (status == BUS_OK) {
        bui_shard_attach(shard, lanes);
        status = work(r, shard, replay, &clock, commit_point, err);
        bui_shard_detach(shard);
    }
    out->records = bui_rerun_records(replay, &out->after_commit);
    bui_shard_close(shard);
    bui_rerun_close(replay);
    free(lanes);
    return status;
}

/* ---- its outbox and identity */

/* Plans that are due leave when the service starts, as what is in the outbox does. */
static bus_status count_due(const rebuild *r, bui_store *store, int64_t *count, bus_error *err)
{
    sqlite3_stmt *ask = NULL;
    sqlite3 *db = bui_store_db(store);
    bool ok = sqlite3_prepare_v2(db, "SELECT count(*) FROM bus_schedule WHERE due <= ?1", -1, &ask, NULL) == SQLITE_OK;
    if (ok)
        sqlite3_bind_int64(ask, 1, r->at_ms);
    ok = ok && sqlite3_step(ask) == SQLITE_ROW;
    *count = ok ? sqlite3_column_int64(ask, 0) : 0;
    bus_status status = ok ? BUS_OK : bui_fail(err, BUS_STORE, "%s: %s", bui_store_path(store), sqlite3_errmsg(db));
    sqlite3_finalize(ask);
    return status;
}

static bus_status settle_store(rebuild *r, int p, const bui_history *history, int64_t commit_point, bui_rebuilt *out,
                               bus_error *err)
{
    bui_store *store = NULL;
    char id[37];
    int64_t opens, due = 0;
    bui_store_options options = {
        .path = out->store, .service = r->service->name, .shard = p, .shards = r->shards, .migrations = r->service->migrations
    };
    bus_status status = bui_store_open(&options, &store, err);
    if (status != BUS_OK)
        return status;
    bui_rebuild_outbox_count known = { 0 };
    status = bui_history_take_back(store, err);
    if (status == BUS_OK)
        status = bui_rebuild_outbox_clear(store, r->sent, history, commit_point, &known, err);
    if (status == BUS_OK)
        status = bui_history_letters(history, store, &out->letters, err);
    if (status == BUS_OK && bui_history_has_old(history))
        status = bui_rebuild_outbox_carry_discarded(store, out->place, err);
    out->dropped = known.sent;
    out->expired = known.expired;
    if (known.expired)
        bui_log(BUS_WARN, "rebuild", "taken_for_sent",
                "shard %d of %s: %" PRId64 " events of before the last commit are no "
                "longer in their topics (retention, compaction): assumed sent",
                p, r->service->name, known.expired);
    bool transacted, committed = bui_rebuild_identity(r, p, id, &opens, &transacted);
    if (status == BUS_OK)
        status = bui_store_raise(store, committed ? id : NULL, committed ? opens + 1 : 0, err);
    if (status == BUS_OK)
        status = bui_store_forget_former(store, err);
    if (status == BUS_OK)
        status = bui_rebuild_outbox_renumber(store, err);
    if (status == BUS_OK)
        status = count_due(r, store, &due, err);
    out->kept = bui_outbox_depth_of(store).rows + due;
    if (status == BUS_OK)
        status = bui_store_checkpoint(store, 0, err);
    bui_store_close(store);
    return status;
}

static bool at_least(sqlite3_stmt *ask, const bui_kafka_lag *mark)
{
    sqlite3_bind_text(ask, 1, mark->topic, -1, SQLITE_STATIC);
    sqlite3_bind_int(ask, 2, mark->partition);
    bool ok = sqlite3_step(ask) == SQLITE_ROW && sqlite3_column_int64(ask, 0) >= mark->committed;
    sqlite3_reset(ask);
    return ok;
}

/* Is the store at its place the one that the group committed for last? An older copy, which is a reason to rebuild, still has what was
 * done since, and would bear false witness. */
static bool is_last(const rebuild *r, int p, const char *path, const bui_kafka_lag *marks, size_t count)
{
    char id[37], sql[200];
    int64_t opens;
    bool transacted;
    sqlite3 *db = NULL;
    sqlite3_stmt *meta = NULL, *position = NULL;
    if (access(path, F_OK) != 0 || bui_store_unclaimed(path) || !bui_rebuild_identity(r, p, id, &opens, &transacted) ||
        bui_store_reader(path, &db, NULL) != BUS_OK)
        return false;
    snprintf(sql, sizeof sql, "SELECT 1 FROM bus_meta WHERE store_id = '%s' AND opens >= %" PRId64, id, opens);
    bool last = sqlite3_prepare_v2(db, sql, -1, &meta, NULL) == SQLITE_OK && sqlite3_step(meta) == SQLITE_ROW &&
                sqlite3_prepare_v2(db, "SELECT next FROM bus_position WHERE topic = ?1 AND partition = ?2", -1, &position,
                                   NULL) == SQLITE_OK;
    for (size_t i = 0; i < count && last; i++)
        last = strncmp(marks[i].metadata, id, 36) != 0 || at_least(position, &marks[i]);
    sqlite3_finalize(meta);
    sqlite3_finalize(position);
    sqlite3_close(db);
    if (!last)
        bui_log(BUS_WARN, "rebuild", "old_store",
                "%s is damaged, or not the store that the group committed for last: what waited is taken from "
                "the topics alone",
                path);
    return last;
}

/* What may have been sent: the topics that the service declares; others are read when a row names them. */
static bus_status read_sent(rebuild *r, bus_error *err)
{
    size_t count;
    const bui_output *outputs = bui_router_outputs(r->router, &count);
    bus_status status = BUS_OK;
    for (size_t i = 0; i < count && status == BUS_OK; i++)
        status = bui_sent_read(r->sent, outputs[i].topic, -1, err);
    return status;
}

bus_status bui_rebuild_shard(rebuild *r, int p, bus_error *err)
{
    bui_rebuilt *out = &r->report->shard[p];
    out->shard = p;
    snprintf(out->store, sizeof out->store, "%s/%d.db", r->build, p);
    snprintf(out->place, sizeof out->place, "%s/%d.db", r->home, p);
    if (access(out->store, F_OK) == 0)
        return bui_fail(err, BUS_REFUSED, "%s is there already: rebuild into an empty directory", out->store);
    bui_kafka_lag *marks = calloc(r->mark_count + 1, sizeof *marks);
    bool *skipped = calloc(r->mark_count + 1, sizeof *skipped);
    size_t count = 0;
    bus_status status = marks && skipped ? BUS_OK : bui_fail_nomem(err);
    for (size_t i = 0; i < r->mark_count && status == BUS_OK; i++) {
        if (r->marks[i].partition % r->shards != p)
            continue;
        const bui_input *input = bui_rebuild_input(r, r->marks[i].topic);
        skipped[count] = input && input->retry_tier;
        marks[count++] = r->marks[i];
    }
    bui_history *history = NULL;
    int64_t commit_point = INT64_MAX;
    bui_history_options told = { .logs = r->logs,
                                 .router = r->router,
                                 .shard = p,
                                 .sent = r->sent,
                                 .keys = r->keys,
                                 .service = r->service->name,
                                 .old = status == BUS_OK && is_last(r, p, out->place, marks, count) ? out->place : NULL };
    if (status == BUS_OK)
        status = read_sent(r, err);
    if (status == BUS_OK)
        status = bui_history_open(&told, &history, err);
    if (status == BUS_OK)
        status = replay_shard(r, p, history, marks, skipped, count, &commit_point, out, err);
    if (status == BUS_OK)
        status = settle_store(r, p, history, commit_point, out, err);
    if (status == BUS_OK)
        bui_log(BUS_INFO, "rebuild", "shard_rebuilt", "shard %d of %s: %" PRId64 " records, %" PRId64 " events left to send", p,
                r->service->name, out->records, out->kept);
    bui_history_close(history);
    free(marks);
    free(skipped);
    return status;
}
