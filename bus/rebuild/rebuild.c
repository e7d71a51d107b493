/* SPDX-License-Identifier: MIT
 * Rebuild: shard by shard a new store is made in a separate directory, see rebuild_shard.c; when all are made they take their
 * places. */
#include "base/clock.h"
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "kafka/topic_reader.h"
#include "kafka/transport.h"
#include "rebuild/rebuild_internal.h"
#include "shard/admit.h"
#include "shard/topics.h"
#include "store/slot.h"
#include "store/swap.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bus_status learn_schemas(rebuild *r, bus_error *err)
{
    bui_range all = { .topic = BUI_SCHEMAS_TOPIC, .partition = -1, .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 } };
    bui_kafka_reader *reader;
    for (const bus_route *route = r->service->routes; route && route->topic; route++)
        if (route->type && bui_catalog_add(r->catalog, route->type->json, strlen(route->type->json), err) != BUS_OK)
            return err->status;
    for (const bus_emits *emits = r->service->emits; emits && emits->type; emits++)
        if (bui_catalog_add(r->catalog, emits->type->json, strlen(emits->type->json), err) != BUS_OK)
            return err->status;
    bus_status status = bui_kafka_reader_open(r->config, "rebuild", &all, 1, BUI_READ_ANY, r->timeout_ms, &reader, err);
    if (status == BUS_MISSING)
        return BUS_OK;
    if (status != BUS_OK)
        return status;
    const bui_record *record;
    bui_admission admission;
    bui_refusals refused = { 0 };
    bui_admission_init(&admission, r->config, r->catalog, r->keys);
    while ((status = bui_kafka_reader_next(reader, r->timeout_ms, &record, err)) == BUS_OK) {
        bus_error why = { 0 };
        if (record->value && bui_admission_take(&admission, record, &why) != BUS_OK)
            bui_refusals_add(&refused, record, &why);
    }
    bui_admission_free(&admission);
    bui_kafka_reader_close(reader);
    if (refused.count)
        bui_log(admission.closed ? BUS_DEBUG : BUS_ERROR, "rebuild", "schemas_refused",
                "%" PRIu64 " announcements are refused, as the service would refuse them. The first: %s", refused.count,
                refused.first.text);
    return status == BUS_CLOSED ? BUS_OK : status;
}

/* ---- in its place */

static bus_status take_place(rebuild *r, int p, bus_error *err)
{
    bui_rebuilt *out = &r->report->shard[p];
    char home[460];
    snprintf(home, sizeof home, "%s/%d.db", r->home, p);
    bus_status status = bui_store_swap_held(out->store, home, r->at_ms, out->old, err);
    if (status == BUS_OK)
        snprintf(out->store, sizeof out->store, "%s", home);
    return status;
}

/* Where they do, the run of an event went another way than it had: what stands in its tables is not what stood there. */
static bus_status check_letters(const rebuild *r, bus_error *err)
{
    int64_t differing = 0;
    for (int p = 0; p < r->shards; p++)
        differing += r->report->shard[p].letters;
    if (!differing || (!r->in_place && !r->incomplete))
        return BUS_OK;
    if (!r->incomplete)
        return bui_fail(err, BUS_REFUSED,
                        "%" PRId64 " dead letters differ from their topic, see the log: nothing was replaced. "
                        "Find out why (--into DIR "
                        "leaves the new stores there); or accept that: --incomplete",
                        differing);
    bui_log(BUS_ERROR, "rebuild", "incomplete", "%" PRId64 " dead letters differ from their topic; given up (--incomplete)",
            differing);
    return BUS_OK;
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
    bus_status status = bui_router_new(r->service, bui_config_text(r->config, "retry.tiers"),
                                       (int)bui_config_int(r->config, "retry.attempts"), &r->router, err);
    if (status == BUS_OK)
        status = bui_kafka_transport_open(r->config, "rebuild", &r->metadata, err);
    if (status == BUS_OK)
        status = bui_rebuild_check(r, err);
    if (status == BUS_OK && !(r->catalog = bui_catalog_new()))
        status = bui_fail_nomem(err);
    if (status == BUS_OK)
        status = bui_keys_of(r->config, &r->keys, err);
    if (status == BUS_OK)
        status = learn_schemas(r, err);
    bui_registry_cache_options registry = { .config = r->config, .where = "rebuild", .catalog = r->catalog, .patient = true };
    if (status == BUS_OK)
        status = bui_registry_cache_open(&registry, &r->registry_cache, err);
    if (status == BUS_OK && mkdir(r->build, 0700) != 0 && (errno != EEXIST || r->in_place))
        status = bui_fail(err, BUS_IO, "cannot create %s: %s", r->build, strerror(errno));
    if (status == BUS_OK && !(r->report->shard = calloc((size_t)r->shards, sizeof(bui_rebuilt))))
        status = bui_fail_nomem(err);
    return status;
}

bus_status bui_rebuild(const bui_rebuild_options *options, bui_rebuild_report *out, bus_error *err)
{
    bui_rebuild_report report = { 0 };
    rebuild r = { .service = options->service,
                  .config = options->config,
                  .report = &report,
                  .in_place = !options->into,
                  .incomplete = options->incomplete,
                  .at_ms = bui_clock_real()->wall_ms(bui_clock_real()),
                  .timeout_ms = (int)bui_config_int(options->config, "broker.timeout.ms") };
    bui_slot *slot = NULL;
    int home = snprintf(r.home, sizeof r.home, "%s/%s", bui_config_text(r.config, "data.dir"), r.service->name);
    int build = options->into ? snprintf(r.build, sizeof r.build, "%s", options->into)
                              : snprintf(r.build, sizeof r.build, "%s/rebuild-%" PRId64, r.home, r.at_ms);
    if (home >= (int)sizeof r.home || build >= (int)sizeof r.build)
        return bui_fail(err, BUS_INVALID, "the path of the data directory or of --into is too long");
    bus_status status = bui_slot_take(r.home, r.service->name, &slot, err); /* makes the directory */
    if (status == BUS_OK)
        status = prepare(&r, err);
    bool made = status == BUS_OK;
    char path[512];
    bui_kafka_logs logs;
    bui_kafka_logs_init(&logs, r.config, r.timeout_ms);
    r.logs = &logs.logs;
    snprintf(path, sizeof path, "%s/sent.db", r.build);
    if (status == BUS_OK)
        status = bui_sent_open(r.logs, r.service->name, r.keys, path, &r.sent, err);
    for (int p = 0; p < r.shards && status == BUS_OK; p++, report.count++)
        status = bui_rebuild_shard(&r, p, err);
    if (status == BUS_OK)
        status = check_letters(&r, err);
    for (int p = 0; p < r.shards && status == BUS_OK && r.in_place; p++)
        status = take_place(&r, p, err);
    bui_sent_close(r.sent);
    if (made && r.in_place)
        remove_build(&r);
    for (int p = 0; r.locks && p < r.shards; p++)
        bui_lock_free(r.locks[p]);
    free(r.locks);
    if (r.metadata)
        r.metadata->ops->free(r.metadata);
    bui_registry_cache_close(r.registry_cache);
    bui_catalog_free(r.catalog);
    bui_keys_free(r.keys);
    bui_router_free(r.router);
    bui_slot_free(slot);
    free(r.partitions);
    free(r.marks);
    if (status == BUS_OK)
        *out = report;
    else
        bui_rebuild_report_free(&report);
    return status;
}

void bui_rebuild_report_free(bui_rebuild_report *report)
{
    free(report->shard);
    *report = (bui_rebuild_report){ 0 };
}

void bui_rebuild_text(const bui_rebuild_report *report, bool json, bui_buf *out)
{
    bui_buf_text(out, json ? "{\"shards\":[" : "");
    for (int i = 0; i < report->count; i++) {
        const bui_rebuilt *shard = &report->shard[i];
        if (!json) {
            bui_buf_printf(
                out,
                "shard %d: %" PRId64 " records (%" PRId64 " after the last commit), %" PRId64 " emitted events were sent before, "
                "%" PRId64 " are no longer in their topics and assumed sent, %" PRId64 " are left to send\n  new "
                "store: %s\n",
                shard->shard, shard->records, shard->after_commit, shard->dropped, shard->expired, shard->kept, shard->store);
            if (shard->letters)
                bui_buf_printf(out, "  %" PRId64 " dead letters differ from their topic\n", shard->letters);
            if (*shard->old)
                bui_buf_printf(out, "  old store: %s\n", shard->old);
            continue;
        }
        bui_buf_printf(out,
                       "%s{\"shard\":%d,\"records\":%" PRId64 ",\"after_commit\":%" PRId64 ",\"dropped\":%" PRId64
                       ",\"expired\":%" PRId64 ",\"kept\":%" PRId64 ",\"letters\":%" PRId64 ",\"store\":",
                       i ? "," : "", shard->shard, shard->records, shard->after_commit, shard->dropped, shard->expired,
                       shard->kept, shard->letters);
        bui_buf_json(out, shard->store, strlen(shard->store));
        bui_buf_text(out, ",\"old\":");
        bui_buf_json(out, shard->old, strlen(shard->old));
        bui_buf_text(out, ",\"place\":");
        bui_buf_json(out, shard->place, strlen(shard->place));
        bui_buf_text(out, "}");
    }
    bui_buf_text(out, json ? "]}\n" : "");
}
