/* SPDX-License-Identifier: MIT
 * Runner: opening, running and closing a bus handle. */
#include "service/runner.h"
#include "base/error.h"
#include "base/log.h"
#include "base/log_line.h"
#include "base/version.h"
#include "base/wait.h"
#include "service/announce.h"
#include "service/publisher.h"
#include "service/pool.h"
#include "service/replies.h"
#include "service/worker.h"
#include "service/status.h"
#include "store/statistics.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- open */

static bus_status check_types(bus *self, bus_error *err)
{
    const bus_service *service = self->service;
    for (const bus_route *route = service->routes; route && route->topic; route++) {
        if (!route->type)
            continue;
        bus_status status = bui_catalog_add(self->catalog, route->type->json, strlen(route->type->json), err);
        if (status != BUS_OK)
            return bui_fail_in(err, "route %s, type %s", route->topic, route->type->name);
    }
    for (const bus_emits *emits = service->emits; emits && emits->type; emits++) {
        bus_status status = bui_catalog_add(self->catalog, emits->type->json, strlen(emits->type->json), err);
        if (status != BUS_OK)
            return bui_fail_in(err, "emitted type %s", emits->type->name);
    }
    return BUS_OK;
}

/* ---- the schema registry */

/* Shards sleep while a topic is paused for an unknown schema. */
static void registry_news(void *opaque)
{
    bus *self = opaque;
    pthread_rwlock_rdlock(&self->workers_lock);
    for (int i = 0; self->workers && i < self->shards; i++)
        bui_worker_wake(&self->workers[i]);
    pthread_rwlock_unlock(&self->workers_lock);
}

static void registry_refused(const bus_error *why, void *opaque)
{
    bui_end(opaque, BUS_REFUSED, why);
}

static bus_status open_registry_cache(bus *self, bus_error *err)
{
    bui_registry_cache_options options = { .config = self->config,
                                           .where = self->name,
                                           .catalog = self->catalog,
                                           .news = registry_news,
                                           .refused = registry_refused,
                                           .opaque = self };
    bus_status status = bui_registry_cache_open(&options, &self->registry_cache, err);
    const bus_emits *emits = self->service ? self->service->emits : NULL;
    for (; status == BUS_OK && emits && emits->type; emits++)
        status =
            bui_registry_cache_expect(self->registry_cache, bui_router_topic_of(self->router, emits->type), emits->type, err);
    return status;
}

static bool prepares(const bus_service *service)
{
    for (const bus_route *route = service->routes; route && route->topic; route++)
        if (route->prepare)
            return true;
    return false;
}

static bus_status open_service(bus *self, bus_error *err)
{
    bus_config *config = self->config;
    bus_status status = bui_router_new(self->service, bui_config_text(config, "retry.tiers"),
                                       (int)bui_config_int(config, "retry.attempts"), &self->router, err);
    if (status == BUS_OK)
        status = check_types(self, err);
    if (status != BUS_OK)
        return status;
    bui_limits_of(config, &self->limits);
    self->limits.keys = self->keys;
    if (asprintf(&self->directory, "%s/%s", bui_config_text(config, "data.dir"), self->name) < 0) {
        self->directory = NULL;
        return bui_fail_nomem(err);
    }
    status = bui_slot_take(self->directory, self->name, &self->slot, err);
    if (status == BUS_OK && prepares(self->service))
        status = bui_threads_open((int)bui_config_int(config, "prepare.threads"), &self->pool, err);
    return status;
}

static bus_status start_thread(pthread_t *thread, bool *started, void *(*main)(void *), bus *self, bus_error *err)
{
    int failed = pthread_create(thread, NULL, main, self);
    *started = !failed;
    return failed ? bui_fail(err, BUS_IO, "cannot start a thread: %s; raise ulimit -u", strerror(failed)) : BUS_OK;
}

static bus_status start(bus *self, bus_error *err)
{
    bus_status status = bui_follower_open(self, &self->follower, err);
    if (status == BUS_OK)
        status = start_thread(&self->watchdog, &self->watchdog_started, bui_watchdog_main, self, err);
    if (status == BUS_OK)
        status = start_thread(&self->control, &self->control_started, bui_control_main, self, err);
    return status;
}

static void init_locks(bus *self)
{
    pthread_mutex_init(&self->state_lock, NULL);
    bui_cond_init(&self->state_changed);
    /* A stream of bus_transact must not keep the control thread from opening or closing a shard. */
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&self->workers_lock, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    pthread_mutex_init(&self->publisher_lock, NULL);
    pthread_mutex_init(&self->replies_lock, NULL);
    pthread_mutex_init(&self->status_lock, NULL);
    bui_completions_init(&self->completions);
}

bus_status bui_open_with(const bus_service *service, const bus_config *config, bool init, bui_accept accept, bus **out,
                         bus_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, bui_statistics_off);
    bus *self = calloc(1, sizeof *self);
    if (!self)
        return bui_fail_nomem(err);
    init_locks(self);
    self->service = service;
    self->name = service && service->name ? service->name : "publisher";
    bui_log_program(self->name);
    self->clock = bui_clock_real();
    self->init = init;
    self->accept = accept;
    self->started_ms = self->clock->wall_ms(self->clock);
    bui_gauge_set(&self->metrics.started_ms, self->started_ms);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->config = bui_config_copy(config);
    self->catalog = bui_catalog_new();
    bus_status status = BUS_OK;
    if (self->stop_fd < 0 || self->ended_fd < 0)
        status = bui_fail(err, BUS_IO, "cannot make an event descriptor: %s; raise ulimit -n", strerror(errno));
    else if (!self->config || !self->catalog)
        status = bui_fail_nomem(err);
    if (status == BUS_OK)
        status = bus_config_declare(self->config, service, err);
    if (status == BUS_OK)
        status = bui_keys_of(self->config, &self->keys, err);
    if (status == BUS_OK) {
        self->drain_us = bui_config_int(self->config, "drain.timeout.ms") * 1000;
        if (service)
            status = open_service(self, err);
    }
    if (status == BUS_OK)
        status = open_registry_cache(self, err);
    if (status == BUS_OK && service)
        status = start(self, err);
    if (status != BUS_OK) {
        bus_close(self);
        return status;
    }
    *out = self;
    return BUS_OK;
}

bus_status bus_open_for(int headers, const bus_service *service, const bus_config *config, bus **out, bus_error *err)
{
    bus_status status = bui_version_check(headers, err);
    return status == BUS_OK ? bui_open_with(service, config, false, BUI_ACCEPT_NOTHING, out, err) : status;
}

/* ---- run, close */

bus_status bus_run(bus *self, bus_error *err)
{
    /* Without a service nothing but bus_stop ends it. */
    struct pollfd end = { .fd = self->service ? self->ended_fd : self->stop_fd, .events = POLLIN };
    while (poll(&end, 1, -1) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&self->state_lock);
    bus_status status = self->failure;
    if (status != BUS_OK && err)
        *err = self->failure_err;
    pthread_mutex_unlock(&self->state_lock);
    return status;
}

void bus_close(bus *self)
{
    if (!self)
        return;
    bus_stop(self);
    if (self->control_started)
        pthread_join(self->control, NULL);
    if (self->watchdog_started)
        pthread_join(self->watchdog, NULL);
    bui_status_close(self->status_port);
    bui_follower_close(self->follower);
    bui_replies_close(self->replies);
    bui_publisher_close(self->publisher);
    if (self->leaked) {
        /* A handler that never returns still uses all of this; only the end of the process frees it. */
        bui_log(BUS_ERROR, self->name, "close_incomplete", "closed with a handler still running; end the process");
        return;
    }
    bui_registry_cache_close(self->registry_cache);
    bui_threads_close(self->pool);
    bui_completions_free(&self->completions);
    bui_crew_free(self->crew);
    bui_workers_free(self->workers, self->shards);
    bui_slot_free(self->slot);
    bui_router_free(self->router);
    bui_catalog_free(self->catalog);
    bui_keys_free(self->keys);
    bus_config_free(self->config);
    if (self->stop_fd >= 0)
        close(self->stop_fd);
    if (self->ended_fd >= 0)
        close(self->ended_fd);
    free(self->partitions);
    free(self->directory);
    pthread_mutex_destroy(&self->status_lock);
    pthread_mutex_destroy(&self->replies_lock);
    pthread_mutex_destroy(&self->publisher_lock);
    pthread_rwlock_destroy(&self->workers_lock);
    pthread_cond_destroy(&self->state_changed);
    pthread_mutex_destroy(&self->state_lock);
    free(self);
}

const bus_config *bus_config_of(const bus *self)
{
    return self->config;
}

int bus_fd(bus *self)
{
    return bui_completions_fd(&self->completions);
}

int bus_dispatch(bus *self)
{
    return bui_completions_dispatch(&self->completions);
}
