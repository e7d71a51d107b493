/* SPDX-License-Identifier: MIT
 * Rebuild: shard by shard a fresh store is made in a directory of its own by the replay transport; then it gets the old store's
 * identity, loses the emitted events that Kafka already has, and takes its place. */
#include "service/rebuild.h"
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "kafka/reader.h"
#include "kafka/transport.h"
#include "service/leftover.h"
#include "service/replay.h"
#include "service/runner.h"
#include "shard/shard.h"
#include "store/lock.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STANDSTILL_US (INT64_C(24) * 3600 * 1000 * 1000) /* of virtual time without a record taken: it waits for ever */

typedef struct rebuild {
    const bus_service *service;
    const bus_config *config;
    bus_rebuild_report *report;
    char home[400], build[460];     /* where the stores are, where the new ones are made */
    bool in_place;
    int64_t at_ms;
    int timeout_ms;
    bus_router *router;
    bus_catalog *catalog;
    bus_asker *asker;
    bus_transport *metadata;
    int shards;
    int32_t *partitions;            /* of each input */
    bus_lock **locks;
    bus_kafka_lag *marks;           /* of every partition of every input, sorted by topic, partition */
    size_t mark_count;
} rebuild;

/* ---- before anything is made */

static bus_status find_partitions(rebuild *r, bus_error *err)
{
    size_t count;
    const bus_input *inputs = bus_router_inputs(r->router, &count);
    r->partitions = calloc(count, sizeof *r->partitions);
    const char **names = calloc(count, sizeof *names);
    bus_status status = r->partitions && names ? BUS_OK : bus_fail_nomem(err);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        names[i] = inputs[i].topic;
        status = r->metadata->ops->partitions(r->metadata, inputs[i].topic, r->timeout_ms, &r->partitions[i], err);
        if (status == BUS_OK && inputs[i].start == BUS_FROM_END)
            status = bus_fail(err, BUS_REFUSED, "%s reads %s from where its end was when it first started; that place is not known any "
                              "more, so its store cannot be made again from topics", r->service->name, inputs[i].topic);
    }
    if (status == BUS_OK)
        status = bus_kafka_lag_read(r->config, "rebuild", r->service->name, names, count, false, r->timeout_ms, &r->marks,
                                    &r->mark_count, err);
    free(names);
    if (status == BUS_OK)
        r->shards = r->partitions[0]; /* the lead topic is the first input */
    return status;
}

static const bus_input *input_named(const rebuild *r, const char *topic)
{
    size_t count;
    const bus_input *inputs = bus_router_inputs(r->router, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(inputs[i].topic, topic) == 0)
            return &inputs[i];
    return NULL;
}

static bus_status check_logs(const rebuild *r, bus_error *err)
{
    for (size_t i = 0; i < r->mark_count; i++) {
        const bus_kafka_lag *mark = &r->marks[i];
        const bus_input *input = input_named(r, mark->topic);
        if (input && !input->retry_tier && mark->low > 0)
            return bus_fail(err, BUS_REFUSED, "%s/%" PRId32 " begins at offset %" PRId64 ": its first records were deleted by retention, so the "
                            "store cannot be made again from topics. Restore a copy of the store instead", mark->topic, mark->partition,
                            mark->low);
    }
    return BUS_OK;
}

/* bus_transact wrote what no topic tells. A store that cannot be read tells nothing: that is why it is rebuilt. */
static bus_status check_old_store(const rebuild *r, int shard, bus_error *err)
{
    char path[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    snprintf(path, sizeof path, "%s/%d.db", r->home, shard);
    bool transacted = false;
    if (access(path, F_OK) != 0)
        return BUS_OK;
    if (bus_store_reader(path, &db, NULL) == BUS_OK &&
        sqlite3_prepare_v2(db, "SELECT transacted FROM bus_meta", -1, &ask, NULL) == SQLITE_OK && sqlite3_step(ask) == SQLITE_ROW)
        transacted = sqlite3_column_int(ask, 0) != 0;
    sqlite3_finalize(ask);
    sqlite3_close(db);
    if (transacted)
        return bus_fail(err, BUS_REFUSED, "%s holds what bus_transact wrote, and no topic tells of that: it cannot be made again from topics. "
                        "Restore a copy of the store instead", path);
    return BUS_OK;
}

static bus_status lock_all(rebuild *r, bus_error *err)
{
    r->locks = calloc((size_t)r->shards, sizeof(bus_lock *));
    if (!r->locks)
        return bus_fail_nomem(err);
    for (int p = 0; p < r->shards; p++) {
        char base[512];
        snprintf(base, sizeof base, "%s/%d", r->home, p);
        bus_status status = bus_lock_take(base, &r->locks[p], NULL, err);
        if (status == BUS_LOCKED)
            return bus_fail(err, BUS_REFUSED, "shard %d of %s is open in a running process: stop the service first", p, r->service->name);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

static bus_status learn_schemas(rebuild *r, bus_error *err)
{
    bus_range all = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .from = { BUS_EDGE_START, 0 }, .to = { BUS_EDGE_END, 0 } };
    bus_kafka_reader *reader;
    for (const bus_route *route = r->service->routes; route && route->topic; route++)
        if (route->type && bus_catalog_add(r->catalog, route->type->json, strlen(route->type->json), err) != BUS_OK)
            return err->status;
    for (const bus_emits *emits = r->service->emits; emits && emits->type; emits++)
        if (bus_catalog_add(r->catalog, emits->type->json, strlen(emits->type->json), err) != BUS_OK)
            return err->status;
    bus_status status = bus_kafka_reader_open(r->config, "rebuild", &all, 1, BUS_READ_ANY, r->timeout_ms, &reader, err);
    if (status == BUS_MISSING)
        return BUS_OK;
    if (status != BUS_OK)
        return status;
    const bus_record *record;
    while ((status = bus_kafka_reader_next(reader, r->timeout_ms, &record, err)) == BUS_OK)
        if (record->value)
            bus_catalog_add(r->catalog, record->value, record->value_len, NULL); /* what is no schema helps nobody here either */
    bus_kafka_reader_close(reader);
    return status == BUS_CLOSED ? BUS_OK : status;
}

/* ---- one shard: replaying */

static bool idle(const bus_shard *shard)
{
    return bus_gauge_read(&bus_shard_metrics_of(shard)->outbox_rows) == 0;
}

/* Steps until every record has been taken and worked through. While the shard only waits (a retry that is due later, a pause) its
 * clock is moved on. */
static bus_status work(rebuild *r, bus_shard *shard, bus_replay *replay, bus_virtual_clock *clock, bus_error *err)
{
    int64_t seen = -1, moved_us = clock->mono_us, after, acked;
    int quiet = 0; /* steps in a row that had nothing to do */
    for (;;) {
        int64_t wait_us = bus_shard_step(shard, NULL);
        bus_status status = bus_shard_failure(shard, err);
        if (status == BUS_OK)
            status = bus_replay_failure(replay, err);
        if (status != BUS_OK)
            return status;
        int64_t taken = bus_replay_records(replay, &after, &acked);
        if (taken != seen) {
            seen = taken;
            moved_us = clock->mono_us;
            quiet = 0;
            continue;
        }
        if (wait_us <= 0)
            continue;
        quiet++;
        if (bus_replay_at_turn(replay) && quiet > 1 && idle(shard)) {
            bus_replay_turn(replay);
            quiet = 0;
        } else if (bus_replay_ended(replay) && quiet > 1) {
            /* What fell due since the last record (a retry, a schedule) had its turn in the old store, too. */
            if (wait_us / 1000 >= r->at_ms - clock->clock.wall_ms(&clock->clock))
                return BUS_OK;
            bus_virtual_clock_advance(clock, wait_us);
        } else if (quiet > 1) {
            if (clock->mono_us - moved_us > STANDSTILL_US || wait_us == INT64_MAX)
                return bus_fail(err, BUS_TIMEOUT, "shard %d of %s waits for something that does not come after %" PRId64 " records (a paused "
                                "dependency, an unknown schema): see the log", bus_shard_index(shard), r->service->name, taken);
            bus_virtual_clock_advance(clock, wait_us);
        }
    }
}

static bus_status replay_shard(rebuild *r, int p, const bus_kafka_lag *marks, const bool *skipped, size_t count, bus_rebuilt *out,
                               bus_error *err)
{
    bus_virtual_clock clock;
    bus_virtual_clock_init(&clock, 0);
    bus_replay *replay = NULL;
    bus_shard *shard = NULL;
    bus_lock *want = NULL;
    bus_lane_spec *lanes = NULL;
    bus_replay_options how = { .config = r->config, .where = "rebuild", .marks = marks, .skipped = skipped, .count = count,
                               .metadata = r->metadata, .clock = &clock, .timeout_ms = r->timeout_ms };
    bus_status status = bus_replay_open(&how, &replay, err);
    if (status != BUS_OK)
        return status;
    bus_shard_options options = {
        .service = r->service, .router = r->router, .index = p, .count = r->shards, .directory = r->build,
        .transport = bus_replay_transport(replay), .clock = &clock.clock, .catalog = r->catalog, .ids = bus_asker_ids(r->asker),
        .cache_bytes = bus_config_int(r->config, "store.cache.bytes"), .init = true,
    };
    bus_limits_of(r->config, &options.limits);
    options.limits.outbox_bytes = INT64_MAX; /* held rows must not stop the replay */
    options.limits.reject_percent = 0;       /* nor failures that were all right the first time */
    options.limits.retry_grace_ms = 0;       /* retry records are not read: time alone brings events back */
    status = bus_shard_open(&options, &want, &shard, err);
    bus_lock_free(want);
    if (status == BUS_OK)
        status = bus_shard_claim(shard, r->partitions, err);
    if (status == BUS_OK) {
        size_t n = bus_shard_lane_count(shard);
        lanes = calloc(n + 1, sizeof *lanes);
        status = lanes ? BUS_OK : bus_fail_nomem(err);
        if (status == BUS_OK) {
            bus_shard_lane_specs(shard, lanes);
            status = options.transport->ops->assign(options.transport, lanes, n, err);
        }
    }
    if (status == BUS_OK) {
        bus_shard_attach(shard, lanes);
        status = work(r, shard, replay, &clock, err);
        bus_shard_detach(shard);
    }
    out->records = bus_replay_records(replay, &out->after_commit, &out->dropped);
    bus_shard_close(shard);
    bus_replay_close(replay);
    free(lanes);
    return status;
}

/* ---- one shard: its outbox and identity */

/* The identity that the group's commits name: "<store id> <opens>" on the lead partition. */
static bool committed_identity(const bus_kafka_lag *marks, size_t count, const char *lead, char id[37], int64_t *opens)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(marks[i].topic, lead) == 0)
            return sscanf(marks[i].metadata, "%36[0-9a-fA-F-] %" SCNd64, id, opens) == 2;
    return false;
}

static bus_status settle_store(rebuild *r, int p, const bus_kafka_lag *marks, size_t count, bus_rebuilt *out, bus_error *err)
{
    bus_store *store = NULL;
    char id[37];
    int64_t opens;
    bus_store_options options = { .path = out->store, .service = r->service->name, .shard = p, .shards = r->shards,
                                  .migrations = r->service->migrations };
    bus_status status = bus_store_open(&options, &store, err);
    if (status != BUS_OK)
        return status;
    int64_t known = 0;
    status = bus_leftover_clear(store, r->config, r->timeout_ms, &known, err);
    out->dropped += known;
    bool committed = committed_identity(marks, count, bus_router_lead(r->router), id, &opens);
    if (status == BUS_OK)
        status = bus_store_raise(store, committed ? id : NULL, committed ? opens + 1 : 0, err);
    if (status == BUS_OK)
        status = bus_store_forget_former(store, err);
    if (status == BUS_OK)
        status = bus_leftover_renumber(store, err);
    out->kept = bus_outbox_depth_of(store).rows;
    if (status == BUS_OK)
        status = bus_store_checkpoint(store, 0, err);
    bus_store_close(store);
    return status;
}

static bus_status rebuild_shard(rebuild *r, int p, bus_error *err)
{
    bus_rebuilt *out = &r->report->shard[p];
    out->shard = p;
    snprintf(out->store, sizeof out->store, "%s/%d.db", r->build, p);
    if (access(out->store, F_OK) == 0)
        return bus_fail(err, BUS_REFUSED, "%s is there already: rebuild into an empty directory", out->store);
    bus_kafka_lag *marks = calloc(r->mark_count + 1, sizeof *marks);
    bool *skipped = calloc(r->mark_count + 1, sizeof *skipped);
    size_t count = 0;
    bus_status status = marks && skipped ? BUS_OK : bus_fail_nomem(err);
    for (size_t i = 0; i < r->mark_count && status == BUS_OK; i++) {
        if (r->marks[i].partition % r->shards != p)
            continue;
        const bus_input *input = input_named(r, r->marks[i].topic);
        skipped[count] = input && input->retry_tier;
        marks[count++] = r->marks[i];
    }
    if (status == BUS_OK)
        status = replay_shard(r, p, marks, skipped, count, out, err);
    if (status == BUS_OK)
        status = settle_store(r, p, marks, count, out, err);
    if (status == BUS_OK)
        bus_log(BUS_INFO, "rebuild", "shard_rebuilt", "shard %d of %s: %" PRId64 " records, %" PRId64 " events left to send", p,
                r->service->name, out->records, out->kept);
    free(marks);
    free(skipped);
    return status;
}

/* ---- in its place */

static bus_status move(const char *from, const char *to, bool must, bus_error *err)
{
    if (rename(from, to) == 0 || (!must && errno == ENOENT))
        return BUS_OK;
    return bus_fail(err, BUS_IO, "cannot move %s to %s: %s", from, to, strerror(errno));
}

static bus_status take_place(rebuild *r, int p, bus_error *err)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    bus_rebuilt *out = &r->report->shard[p];
    char home[460];
    snprintf(home, sizeof home, "%s/%d.db", r->home, p);
    if (access(home, F_OK) == 0)
        snprintf(out->old, sizeof out->old, "%s.replaced-%" PRId64, home, r->at_ms);
    bus_status status = BUS_OK;
    for (int i = 0; i < 3 && status == BUS_OK; i++) {
        char from[600], to[600];
        snprintf(from, sizeof from, "%s%s", home, suffixes[i]);
        snprintf(to, sizeof to, "%s.replaced-%" PRId64 "%s", home, r->at_ms, suffixes[i]);
        status = move(from, to, false, err);
        if (status != BUS_OK)
            return status;
        snprintf(from, sizeof from, "%s%s", out->store, suffixes[i]);
        snprintf(to, sizeof to, "%s%s", home, suffixes[i]);
        status = move(from, to, i == 0, err);
    }
    snprintf(out->store, sizeof out->store, "%s", home);
    return status;
}

/* What the shards left beside the stores (lock files, crash notes) goes with the directory. */
static void remove_build(const rebuild *r)
{
    static const char *const names[] = { "lock", "want", "running", "db", "db-wal", "db-shm" };
    for (int p = 0; p < r->shards; p++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char path[512];
            snprintf(path, sizeof path, "%s/%d.%s", r->build, p, names[i]);
            unlink(path);
        }
    }
    rmdir(r->build);
}

/* ---- all */

static bus_status prepare(rebuild *r, bus_error *err)
{
    bus_status status = bus_router_new(r->service, bus_config_text(r->config, "retry.tiers"),
                                       (int)bus_config_int(r->config, "retry.attempts"), &r->router, err);
    if (status == BUS_OK)
        status = bus_kafka_transport_open(r->config, "rebuild", &r->metadata, err);
    if (status == BUS_OK)
        status = find_partitions(r, err);
    if (status == BUS_OK)
        status = lock_all(r, err);
    if (status == BUS_OK)
        status = check_logs(r, err);
    for (int p = 0; p < r->shards && status == BUS_OK; p++)
        status = check_old_store(r, p, err);
    if (status == BUS_OK && !(r->catalog = bus_catalog_new()))
        status = bus_fail_nomem(err);
    if (status == BUS_OK)
        status = learn_schemas(r, err);
    bus_asker_options registry = { .config = r->config, .where = "rebuild", .catalog = r->catalog, .patient = true };
    if (status == BUS_OK)
        status = bus_asker_open(&registry, &r->asker, err);
    if (status == BUS_OK && mkdir(r->build, 0700) != 0 && (errno != EEXIST || r->in_place))
        status = bus_fail(err, BUS_IO, "cannot make %s: %s", r->build, strerror(errno));
    if (status == BUS_OK && !(r->report->shard = calloc((size_t)r->shards, sizeof(bus_rebuilt))))
        status = bus_fail_nomem(err);
    return status;
}

bus_status bus_rebuild(const bus_rebuild_options *options, bus_rebuild_report *out, bus_error *err)
{
    bus_rebuild_report report = { 0 };
    rebuild r = { .service = options->service, .config = options->config, .report = &report, .in_place = !options->into,
                  .at_ms = bus_clock_real()->wall_ms(bus_clock_real()),
                  .timeout_ms = (int)bus_config_int(options->config, "broker.timeout.ms") };
    bus_slot *slot = NULL;
    int home = snprintf(r.home, sizeof r.home, "%s/%s", bus_config_text(r.config, "data.dir"), r.service->name);
    int build = options->into ? snprintf(r.build, sizeof r.build, "%s", options->into)
                              : snprintf(r.build, sizeof r.build, "%s/rebuild-%" PRId64, r.home, r.at_ms);
    if (home >= (int)sizeof r.home || build >= (int)sizeof r.build)
        return bus_fail(err, BUS_INVALID, "the path of the data directory or of --into is too long");
    bus_status status = bus_slot_take(r.home, r.service->name, &slot, err); /* makes the directory */
    if (status == BUS_OK)
        status = prepare(&r, err);
    bool made = status == BUS_OK;
    for (int p = 0; p < r.shards && status == BUS_OK; p++, report.count++)
        status = rebuild_shard(&r, p, err);
    for (int p = 0; p < r.shards && status == BUS_OK && r.in_place; p++)
        status = take_place(&r, p, err);
    if (made && r.in_place)
        remove_build(&r);
    for (int p = 0; r.locks && p < r.shards; p++)
        bus_lock_free(r.locks[p]);
    free(r.locks);
    if (r.metadata)
        r.metadata->ops->free(r.metadata);
    bus_asker_close(r.asker);
    bus_catalog_free(r.catalog);
    bus_router_free(r.router);
    bus_slot_free(slot);
    free(r.partitions);
    free(r.marks);
    if (status == BUS_OK)
        *out = report;
    else
        bus_rebuild_report_free(&report);
    return status;
}

void bus_rebuild_report_free(bus_rebuild_report *report)
{
    free(report->shard);
    *report = (bus_rebuild_report){ 0 };
}

void bus_rebuild_text(const bus_rebuild_report *report, bool json, bus_buf *out)
{
    bus_buf_text(out, json ? "{\"shards\":[" : "");
    for (int i = 0; i < report->count; i++) {
        const bus_rebuilt *shard = &report->shard[i];
        if (!json) {
            bus_buf_printf(out, "shard %d: %" PRId64 " records (%" PRId64 " after the last commit), %" PRId64 " emitted events were sent before, "
                           "%" PRId64 " are left to send\n  new store: %s\n", shard->shard, shard->records, shard->after_commit,
                           shard->dropped, shard->kept, shard->store);
            if (*shard->old)
                bus_buf_printf(out, "  old store: %s\n", shard->old);
            continue;
        }
        bus_buf_printf(out, "%s{\"shard\":%d,\"records\":%" PRId64 ",\"after_commit\":%" PRId64 ",\"dropped\":%" PRId64 ",\"kept\":%" PRId64
                       ",\"store\":", i ? "," : "", shard->shard, shard->records, shard->after_commit, shard->dropped, shard->kept);
        bus_buf_json(out, shard->store, strlen(shard->store));
        bus_buf_text(out, ",\"old\":");
        bus_buf_json(out, shard->old, strlen(shard->old));
        bus_buf_text(out, "}");
    }
    bus_buf_text(out, json ? "]}\n" : "");
}
