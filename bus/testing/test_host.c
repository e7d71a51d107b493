/* SPDX-License-Identifier: MIT
 * The test host: group events to shards, one step at a time. */
#include "testing/test_host.h"

#include "base/error.h"
#include "store/lock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_US 200000 /* opening and claiming again what could not be had */

typedef struct host_seat {
    bus_host *host;
    bus_shard *shard;      /* NULL: not open */
    bus_lock *want;
    bool ours;             /* by the group's last word */
    bool claimed;
    bool woken;
    int64_t due;           /* mono_us of the next step; INT64_MAX: when woken */
    int64_t retry_at;      /* mono_us of the next attempt to open or claim */
    bus_error failure;     /* of opening or claiming; status BUS_OK: none */
    bool refused;          /* for good */
} host_seat;

struct bus_host {
    bus_host_options options;
    char directory[512];
    bus_router *router;
    bus_transport *transport;
    int32_t *partitions;   /* of each input */
    bool known;            /* `partitions` is filled */
    bool open_work;        /* some seat is to be opened or claimed */
    bool join_again;       /* a shard has halted for a reason that may pass */
    host_seat seat[];
};

static int64_t now_us(const bus_host *host)
{
    return host->options.clock->mono_us(host->options.clock);
}

static void on_wake(void *opaque)
{
    ((host_seat *)opaque)->woken = true;
}

bus_status bus_host_open(const bus_host_options *options, bus_host **out, bus_error *err)
{
    size_t inputs;
    bus_host *host = calloc(1, sizeof *host + (size_t)options->shards * sizeof(host_seat));
    if (!host)
        return bus_fail_nomem(err);
    host->options = *options;
    for (int i = 0; i < options->shards; i++)
        host->seat[i] = (host_seat){ .host = host, .due = INT64_MAX };
    snprintf(host->directory, sizeof host->directory, "%s/%s", options->data, options->service->name);
    bus_status status = bus_router_new(options->service, options->retry_tiers ? options->retry_tiers : "1s,30s,10m",
                                       options->attempts ? options->attempts : 5, &host->router, err);
    if (status)
        goto out;
    bus_router_inputs(host->router, &inputs);
    host->partitions = calloc(inputs, sizeof *host->partitions);
    host->transport = bus_memory_client(options->cluster);
    if (!host->partitions || !host->transport) {
        status = bus_fail_nomem(err);
        goto out;
    }
    status = host->transport->ops->join(host->transport, &(bus_membership){ options->service->name, bus_router_lead(host->router),
                                                                            NULL, 10000 }, err);
out:
    if (status)
        bus_host_close(host);
    else
        *out = host;
    return status;
}

/* Ends deliveries everywhere: lanes are replaced as a whole. */
static void detach_all(bus_host *host)
{
    for (int i = 0; i < host->options.shards; i++)
        if (host->seat[i].shard && bus_shard_attached(host->seat[i].shard))
            bus_shard_detach(host->seat[i].shard);
    host->transport->ops->assign(host->transport, NULL, 0, NULL);
}

static void seat_close(host_seat *seat)
{
    bus_shard_close(seat->shard);
    seat->shard = NULL;
    seat->claimed = false;
    seat->due = INT64_MAX;
}

void bus_host_close(bus_host *host)
{
    if (!host)
        return;
    if (host->transport)
        detach_all(host);
    for (int i = 0; i < host->options.shards; i++) {
        seat_close(&host->seat[i]);
        bus_lock_free(host->seat[i].want);
    }
    if (host->transport) {
        host->transport->ops->leave(host->transport, 0);
        host->transport->ops->free(host->transport);
    }
    bus_router_free(host->router);
    free(host->partitions);
    free(host);
}

/* The partition counts of all inputs, once. */
static bus_status learn(bus_host *host, bus_error *err)
{
    size_t count;
    const bus_input *inputs = bus_router_inputs(host->router, &count);
    bus_status status = BUS_OK;
    for (size_t i = 0; !host->known && !status && i < count; i++)
        status = host->transport->ops->partitions(host->transport, inputs[i].topic, 0, &host->partitions[i], err);
    host->known = host->known || !status;
    return status;
}

static bus_status seat_open(host_seat *seat, int index)
{
    bus_host *host = seat->host;
    const bus_host_options *o = &host->options;
    if (seat->shard)
        return BUS_OK;
    bus_shard_options options = {
        .service = o->service, .router = host->router, .index = index, .count = o->shards, .directory = host->directory,
        .transport = host->transport, .clock = o->clock, .catalog = o->catalog, .pool = o->pool, .limits = o->limits, .vfs = o->vfs,
        .synchronous = o->synchronous, .init = o->init, .accept = o->accept, .wake = on_wake, .wake_opaque = seat };
    bus_status status = bus_shard_open(&options, &seat->want, &seat->shard, &seat->failure);
    if (!status) {
        bus_lock_free(seat->want);
        seat->want = NULL;
    }
    return status;
}

/* Does a claim or a shard that failed so go on by itself? */
static bool passes(bus_status status)
{
    return status == BUS_BROKER || status == BUS_TIMEOUT || status == BUS_LOCKED;
}

/* Opens and claims what is ours and not yet so; true if any became ready. */
static bool take_seats(bus_host *host)
{
    bool ready = false;
    host->open_work = false;
    for (int i = 0; i < host->options.shards; i++) {
        host_seat *seat = &host->seat[i];
        if (!seat->ours || seat->claimed || seat->refused)
            continue;
        host->open_work = true;
        if (seat->retry_at > now_us(host))
            continue;
        seat->failure = (bus_error){ .status = BUS_OK };
        bus_status status = learn(host, &seat->failure);
        if (!status)
            status = seat_open(seat, i);
        if (!status)
            status = bus_shard_claim(seat->shard, host->partitions, &seat->failure);
        seat->refused = status && !passes(status);
        seat->retry_at = status ? now_us(host) + RETRY_US : 0;
        seat->claimed = !status;
        ready = ready || !status;
    }
    return ready;
}

/* Gives every claimed shard its lanes. */
static void attach_all(bus_host *host)
{
    size_t count = 0, at = 0;
    detach_all(host);
    for (int i = 0; i < host->options.shards; i++)
        if (host->seat[i].claimed)
            count += bus_shard_lane_count(host->seat[i].shard);
    bus_lane_spec *specs = calloc(count + 1, sizeof *specs);
    for (int i = 0; specs && i < host->options.shards; i++)
        if (host->seat[i].claimed) {
            bus_shard_lane_specs(host->seat[i].shard, specs + at);
            at += bus_shard_lane_count(host->seat[i].shard);
        }
    bus_error err = { .status = BUS_NOMEM };
    bus_status status = specs ? host->transport->ops->assign(host->transport, specs, count, &err) : BUS_NOMEM;
    at = 0;
    for (int i = 0; i < host->options.shards; i++) {
        host_seat *seat = &host->seat[i];
        if (!seat->claimed)
            continue;
        if (status) { /* claimed anew after a while */
            seat->claimed = false;
            seat->failure = err;
            seat->retry_at = now_us(host) + RETRY_US;
            host->open_work = true;
            continue;
        }
        bus_shard_attach(seat->shard, specs + at);
        at += bus_shard_lane_count(seat->shard);
        seat->woken = true;
    }
    free(specs);
}

/* A shard whose halt may pass makes the process join anew: all are claimed again, that one after a while. */
static void join_again(bus_host *host)
{
    host->join_again = false;
    detach_all(host);
    for (int i = 0; i < host->options.shards; i++) {
        host_seat *seat = &host->seat[i];
        seat->claimed = false;
        if (!seat->shard || !passes(bus_shard_failure(seat->shard, &seat->failure)))
            continue;
        seat_close(seat);
        seat->retry_at = now_us(host) + RETRY_US;
    }
    host->open_work = true;
}

/* Shards that come back stay open; those that do not are closed. Each is claimed anew: its commits may have been moved. */
static void on_assigned(bus_host *host, const int32_t *shards, size_t count)
{
    for (int i = 0; i < host->options.shards; i++) {
        host_seat *seat = &host->seat[i];
        seat->ours = false;
        for (size_t s = 0; s < count; s++)
            seat->ours = seat->ours || shards[s] == i;
        seat->claimed = false;
        seat->refused = false;
        seat->retry_at = 0;
        if (!seat->ours) {
            seat_close(seat);
            bus_lock_free(seat->want);
            seat->want = NULL;
            seat->failure = (bus_error){ .status = BUS_OK };
        }
    }
    host->open_work = true;
}

void bus_host_group(bus_host *host)
{
    bus_group_event event;
    for (host->transport->ops->poll(host->transport, 0, &event); event.kind != BUS_GROUP_NONE;
         host->transport->ops->poll(host->transport, 0, &event)) {
        detach_all(host);
        if (event.kind == BUS_GROUP_ASSIGNED) {
            on_assigned(host, event.shards, event.count);
            continue;
        }
        /* revoked or lost: stores stay open until the next assignment, or until another process asks */
        for (int i = 0; i < host->options.shards; i++)
            host->seat[i].ours = host->seat[i].claimed = false;
        host->open_work = false;
    }
    for (int i = 0; i < host->options.shards; i++)
        if (host->seat[i].shard && !host->seat[i].ours && bus_shard_wanted(host->seat[i].shard))
            seat_close(&host->seat[i]);
    for (int i = 0; i < host->options.shards; i++)
        if (host->seat[i].shard && host->seat[i].claimed && bus_shard_wants_sizes(host->seat[i].shard))
            (void)bus_shard_learn_sizes(host->seat[i].shard, 0, NULL);
    for (int i = 0; i < host->options.shards; i++)
        if (host->seat[i].shard && host->seat[i].claimed && bus_shard_wants_letters(host->seat[i].shard))
            bus_shard_find_letters(host->seat[i].shard, 0);
    if (host->join_again)
        join_again(host);
    if (host->open_work && take_seats(host))
        attach_all(host);
}

bool bus_host_step(bus_host *host, int shard)
{
    host_seat *seat = &host->seat[shard];
    if (!seat->shard || (!seat->woken && seat->due > now_us(host)))
        return false;
    seat->woken = false;
    int64_t wait = bus_shard_step(seat->shard, NULL);
    seat->due = wait == INT64_MAX ? INT64_MAX : now_us(host) + wait;
    host->join_again |= passes(bus_shard_failure(seat->shard, NULL));
    return true;
}

int64_t bus_host_due(const bus_host *host)
{
    int64_t due = host->join_again ? 0 : INT64_MAX;
    for (int i = 0; i < host->options.shards; i++) {
        const host_seat *seat = &host->seat[i];
        int64_t at = seat->shard ? (seat->woken ? 0 : seat->due) : INT64_MAX;
        if (seat->ours && !seat->claimed && !seat->refused && seat->retry_at < at)
            at = seat->retry_at;
        due = at < due ? at : due;
    }
    return due;
}

bus_shard *bus_host_shard(bus_host *host, int shard)
{
    return host->seat[shard].shard;
}

bus_transport *bus_host_transport(bus_host *host)
{
    return host->transport;
}

bus_status bus_host_failure(const bus_host *host, int shard, bus_error *err)
{
    const host_seat *seat = &host->seat[shard];
    if (seat->failure.status && !seat->claimed) {
        if (err)
            *err = seat->failure;
        return seat->failure.status;
    }
    return seat->shard ? bus_shard_failure(seat->shard, err) : BUS_OK;
}
