/* SPDX-License-Identifier: MIT
 * The test host: group events to shards, one step at a time. */
#include "testing/test_host.h"

#include "base/error.h"
#include "store/lock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_US 200000 /* opening and claiming again what could not be had */

typedef struct host_worker {
    bui_host *host;
    bui_shard *shard; /* NULL: not open */
    bui_lock *want;
    bool ours; /* by the group's last word */
    bool claimed;
    bool woken;
    int64_t due;       /* mono_us of the next step; INT64_MAX: when woken */
    int64_t retry_at;  /* mono_us of the next attempt to open or claim */
    bus_error failure; /* of opening or claiming; status BUS_OK: none */
    bool refused;      /* for good */
} host_worker;

struct bui_host {
    bui_host_options options;
    char directory[512];
    bui_router *router;
    bui_transport *transport;
    int32_t *partitions; /* of each input */
    bool known;          /* `partitions` is filled */
    bool open_work;      /* some worker is to be opened or claimed */
    bool join_again;     /* a shard has halted for a reason that may pass */
    host_worker worker[];
};

static int64_t now_us(const bui_host *host)
{
    return host->options.clock->mono_us(host->options.clock);
}

static void on_wake(void *opaque)
{
    ((host_worker *)opaque)->woken = true;
}

bus_status bui_host_open(const bui_host_options *options, bui_host **out, bus_error *err)
{
    size_t inputs;
    bui_host *host = calloc(1, sizeof *host + (size_t)options->shards * sizeof(host_worker));
    if (!host)
        return bui_fail_nomem(err);
    host->options = *options;
    for (int i = 0; i < options->shards; i++)
        host->worker[i] = (host_worker){ .host = host, .due = INT64_MAX };
    snprintf(host->directory, sizeof host->directory, "%s/%s", options->data, options->service->name);
    bus_status status = bui_router_new(options->service, options->retry_tiers ? options->retry_tiers : "1s,30s,10m",
                                       options->attempts ? options->attempts : 5, &host->router, err);
    if (status != BUS_OK)
        goto out;
    bui_router_inputs(host->router, &inputs);
    host->partitions = calloc(inputs, sizeof *host->partitions);
    host->transport = bui_memory_client(options->cluster);
    if (!host->partitions || !host->transport) {
        status = bui_fail_nomem(err);
        goto out;
    }
    status = host->transport->ops->join(
        host->transport, &(bui_membership){ options->service->name, bui_router_lead(host->router), NULL, 10000, 0 }, err);
out:
    if (status != BUS_OK)
        bui_host_close(host);
    else
        *out = host;
    return status;
}

/* Ends deliveries everywhere: lanes are replaced as a whole. */
static void detach_all(bui_host *host)
{
    for (int i = 0; i < host->options.shards; i++)
        if (host->worker[i].shard && bui_shard_attached(host->worker[i].shard))
            bui_shard_detach(host->worker[i].shard);
    host->transport->ops->assign(host->transport, NULL, 0, NULL);
}

static void worker_close(host_worker *worker)
{
    bui_shard_close(worker->shard);
    worker->shard = NULL;
    worker->claimed = false;
    worker->due = INT64_MAX;
}

void bui_host_close(bui_host *host)
{
    if (!host)
        return;
    if (host->transport)
        detach_all(host);
    for (int i = 0; i < host->options.shards; i++) {
        worker_close(&host->worker[i]);
        bui_lock_free(host->worker[i].want);
    }
    if (host->transport) {
        host->transport->ops->leave(host->transport, 0);
        host->transport->ops->free(host->transport);
    }
    bui_router_free(host->router);
    free(host->partitions);
    free(host);
}

/* The partition counts of all inputs, once. */
static bus_status learn(bui_host *host, bus_error *err)
{
    size_t count;
    const bui_input *inputs = bui_router_inputs(host->router, &count);
    bus_status status = BUS_OK;
    for (size_t i = 0; !host->known && status == BUS_OK && i < count; i++)
        status = host->transport->ops->partitions(host->transport, inputs[i].topic, 0, &host->partitions[i], err);
    host->known = host->known || status == BUS_OK;
    return status;
}

static bus_status worker_open(host_worker *worker, int index)
{
    bui_host *host = worker->host;
    const bui_host_options *o = &host->options;
    if (worker->shard)
        return BUS_OK;
    bui_shard_options options = { .service = o->service,
                                  .router = host->router,
                                  .index = index,
                                  .count = o->shards,
                                  .directory = host->directory,
                                  .transport = host->transport,
                                  .clock = o->clock,
                                  .catalog = o->catalog,
                                  .pool = o->pool,
                                  .limits = o->limits,
                                  .config = o->config,
                                  .vfs = o->vfs,
                                  .synchronous = o->synchronous,
                                  .init = o->init,
                                  .accept = o->accept,
                                  .wake = on_wake,
                                  .wake_opaque = worker };
    bus_status status = bui_shard_open(&options, &worker->want, &worker->shard, &worker->failure);
    if (status == BUS_OK) {
        bui_lock_free(worker->want);
        worker->want = NULL;
    }
    return status;
}

/* Does a claim or a shard that failed so go on by itself? */
static bool passes(bus_status status)
{
    return status == BUS_BROKER || status == BUS_TIMEOUT || status == BUS_LOCKED;
}

/* Opens and claims what is ours and not yet so; true if any became ready. */
static bool take_workers(bui_host *host)
{
    bool ready = false;
    host->open_work = false;
    for (int i = 0; i < host->options.shards; i++) {
        host_worker *worker = &host->worker[i];
        if (!worker->ours || worker->claimed || worker->refused)
            continue;
        host->open_work = true;
        if (worker->retry_at > now_us(host))
            continue;
        worker->failure = (bus_error){ .status = BUS_OK };
        bus_status status = learn(host, &worker->failure);
        if (status == BUS_OK)
            status = worker_open(worker, i);
        if (status == BUS_OK)
            status = bui_shard_claim(worker->shard, host->partitions, &worker->failure);
        worker->refused = status != BUS_OK && !passes(status);
        worker->retry_at = status != BUS_OK ? now_us(host) + RETRY_US : 0;
        worker->claimed = status == BUS_OK;
        ready = ready || status == BUS_OK;
    }
    return ready;
}

/* Gives every claimed shard its lanes. */
static void attach_all(bui_host *host)
{
    size_t count = 0, at = 0;
    detach_all(host);
    for (int i = 0; i < host->options.shards; i++)
        if (host->worker[i].claimed)
            count += bui_shard_lane_count(host->worker[i].shard);
    bui_lane_spec *specs = calloc(count + 1, sizeof *specs);
    for (int i = 0; specs && i < host->options.shards; i++)
        if (host->worker[i].claimed) {
            bui_shard_lane_specs(host->worker[i].shard, specs + at);
            at += bui_shard_lane_count(host->worker[i].shard);
        }
    bus_error err = { .status = BUS_NOMEM };
    bus_status status = specs ? host->transport->ops->assign(host->transport, specs, count, &err) : BUS_NOMEM;
    at = 0;
    for (int i = 0; i < host->options.shards; i++) {
        host_worker *worker = &host->worker[i];
        if (!worker->claimed)
            continue;
        if (status != BUS_OK) { /* claimed again after a while */
            worker->claimed = false;
            worker->failure = err;
            worker->retry_at = now_us(host) + RETRY_US;
            host->open_work = true;
            continue;
        }
        bui_shard_attach(worker->shard, specs + at);
        at += bui_shard_lane_count(worker->shard);
        worker->woken = true;
    }
    free(specs);
}

/* A shard whose halt may pass makes the process join again: all are claimed again, that one after a while. */
static void join_again(bui_host *host)
{
    host->join_again = false;
    detach_all(host);
    for (int i = 0; i < host->options.shards; i++) {
        host_worker *worker = &host->worker[i];
        worker->claimed = false;
        if (!worker->shard || !passes(bui_shard_failure(worker->shard, &worker->failure)))
            continue;
        worker_close(worker);
        worker->retry_at = now_us(host) + RETRY_US;
    }
    host->open_work = true;
}

/* Shards that come back stay open; those that do not are closed. Each is claimed again: its commits may have been moved. */
static void on_assigned(bui_host *host, const int32_t *shards, size_t count)
{
    for (int i = 0; i < host->options.shards; i++) {
        host_worker *worker = &host->worker[i];
        worker->ours = false;
        for (size_t s = 0; s < count; s++)
            worker->ours = worker->ours || shards[s] == i;
        worker->claimed = false;
        worker->refused = false;
        worker->retry_at = 0;
        if (!worker->ours) {
            worker_close(worker);
            bui_lock_free(worker->want);
            worker->want = NULL;
            worker->failure = (bus_error){ .status = BUS_OK };
        }
    }
    host->open_work = true;
}

void bui_host_group(bui_host *host)
{
    bui_group_event event;
    for (host->transport->ops->poll(host->transport, 0, &event); event.kind != BUI_GROUP_NONE;
         host->transport->ops->poll(host->transport, 0, &event)) {
        detach_all(host);
        if (event.kind == BUI_GROUP_ASSIGNED) {
            on_assigned(host, event.shards, event.count);
            continue;
        }
        /* revoked or lost: stores stay open until the next assignment, or until another process asks */
        for (int i = 0; i < host->options.shards; i++)
            host->worker[i].ours = host->worker[i].claimed = false;
        host->open_work = false;
    }
    for (int i = 0; i < host->options.shards; i++)
        if (host->worker[i].shard && !host->worker[i].ours && bui_shard_wanted(host->worker[i].shard))
            worker_close(&host->worker[i]);
    for (int i = 0; i < host->options.shards; i++)
        if (host->worker[i].shard && host->worker[i].claimed && bui_shard_wants_sizes(host->worker[i].shard))
            (void)bui_shard_learn_sizes(host->worker[i].shard, 0, NULL);
    for (int i = 0; i < host->options.shards; i++)
        if (host->worker[i].shard && host->worker[i].claimed && bui_shard_wants_letters(host->worker[i].shard))
            bui_shard_find_letters(host->worker[i].shard, 0);
    if (host->join_again)
        join_again(host);
    if (host->open_work && take_workers(host))
        attach_all(host);
}

bool bui_host_step(bui_host *host, int shard)
{
    host_worker *worker = &host->worker[shard];
    if (!worker->shard || (!worker->woken && worker->due > now_us(host)))
        return false;
    worker->woken = false;
    int64_t wait = bui_shard_step(worker->shard, NULL);
    worker->due = wait == INT64_MAX ? INT64_MAX : now_us(host) + wait;
    host->join_again |= passes(bui_shard_failure(worker->shard, NULL));
    return true;
}

int64_t bui_host_due(const bui_host *host)
{
    int64_t due = host->join_again ? 0 : INT64_MAX;
    for (int i = 0; i < host->options.shards; i++) {
        const host_worker *worker = &host->worker[i];
        int64_t at = worker->shard ? (worker->woken ? 0 : worker->due) : INT64_MAX;
        if (worker->ours && !worker->claimed && !worker->refused && worker->retry_at < at)
            at = worker->retry_at;
        due = at < due ? at : due;
    }
    return due;
}

bui_shard *bui_host_shard(bui_host *host, int shard)
{
    return host->worker[shard].shard;
}

bui_transport *bui_host_transport(bui_host *host)
{
    return host->transport;
}

bus_status bui_host_failure(const bui_host *host, int shard, bus_error *err)
{
    const host_worker *worker = &host->worker[shard];
    if (worker->failure.status && !worker->claimed) {
        if (err)
            *err = worker->failure;
        return worker->failure.status;
    }
    return worker->shard ? bui_shard_failure(worker->shard, err) : BUS_OK;
}
