/* SPDX-License-Identifier: MIT
 * bus_test_*: one process of a service, on a cluster of its own or beside another one; its opening, its end, and time. */
#include "testing/test_internal.h"

#include "base/error.h"
#include "base/version.h"
#include "shard/topics.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURNS_MOST 1000000     /* of steps without time passing: then something goes in circles */
#define START_MS 1767225600000 /* 2026-01-01T00:00:00Z */

/* ---- open and close */

static bus_status add_types(bus_test *test, bus_error *err)
{
    bus_status status = BUS_OK;
    for (const bus_route *route = test->service->routes; status == BUS_OK && route && route->topic; route++)
        if (route->type)
            status =
                bui_catalog_add(test->world->catalog, bus_type_schema(route->type), strlen(bus_type_schema(route->type)), err);
    for (const bus_emits *emits = test->service->emits; status == BUS_OK && emits && emits->type; emits++)
        status = bui_catalog_add(test->world->catalog, bus_type_schema(emits->type), strlen(bus_type_schema(emits->type)), err);
    return status;
}

static bus_status make_topics(bus_test *test, bus_error *err)
{
    bui_router *router = NULL;
    bui_topic_need *needs = NULL;
    size_t count = 0;
    bus_status status = bui_router_new(test->service, test->tiers, test->options.attempts, &router, err);
    if (status == BUS_OK)
        status = bui_topics_of(test->service->name, router, test->options.shards, &needs, &count, err);
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        status = bui_memory_topic(test->world->cluster, needs[i].name, needs[i].partitions);
        if (status == BUS_EXISTS)
            status = BUS_OK;
        else if (status != BUS_OK)
            bui_fail(err, status, "topic %s cannot be made", needs[i].name);
    }
    free(needs);
    bui_router_free(router);
    return status;
}

static bus_status make_directory(bus_test *test, const char *given, bus_error *err)
{
    if (given) {
        if ((size_t)snprintf(test->data, sizeof test->data, "%s", given) >= sizeof test->data)
            return bui_fail(err, BUS_INVALID, "the path of the data directory is too long");
        return BUS_OK;
    }
    const char *temporary = getenv("TMPDIR");
    if ((size_t)snprintf(test->data, sizeof test->data, "%s/bus-test-XXXXXX", temporary && *temporary ? temporary : "/tmp") >=
        sizeof test->data)
        return bui_fail(err, BUS_INVALID, "TMPDIR is too long");
    if (!mkdtemp(test->data))
        return bui_fail(err, BUS_IO, "no temporary directory can be made at %s", test->data);
    test->own_data = true;
    return BUS_OK;
}

/* The directory and what is in it, two levels: <data>/<service>/<files>. */
static void remove_directory(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char inner[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((size_t)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < sizeof inner && unlink(inner) != 0)
            remove_directory(inner);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* Starts the process and gives it every shard. */
static bus_status start(bus_test *test, bus_error *err)
{
    bus_status status = bui_host_open(&test->options, &test->host, err);
    int32_t *shards = status != BUS_OK ? NULL : calloc((size_t)test->options.shards, sizeof *shards);
    if (status == BUS_OK && !shards)
        status = bui_fail_nomem(err);
    for (int i = 0; status == BUS_OK && i < test->options.shards; i++)
        shards[i] = i;
    if (status == BUS_OK) {
        bui_memory_assign(bui_host_transport(test->host), shards, (size_t)test->options.shards);
        status = bus_test_run(test, err);
    }
    /* Without memory the group's word may have got lost. */
    for (int i = 0; status == BUS_OK && i < test->options.shards; i++)
        if (!bui_host_shard(test->host, i) || !bui_shard_attached(bui_host_shard(test->host, i)))
            status = bui_fail_nomem(err);
    free(shards);
    return status;
}

/* ---- the world of the services that run beside each other */

static void world_free(test_world *world)
{
    bui_memory_cluster_free(world->cluster);
    bui_catalog_free(world->catalog);
    free(world);
}

static test_world *world_new(int64_t start_ms)
{
    test_world *world = calloc(1, sizeof *world);
    if (!world)
        return NULL;
    bui_virtual_clock_init(&world->clock, start_ms ? start_ms : START_MS);
    world->cluster = bui_memory_cluster_new(&world->clock.clock);
    world->catalog = bui_catalog_new();
    if (world->cluster && world->catalog)
        return world;
    world_free(world);
    return NULL;
}

static void enter(bus_test *test)
{
    bus_test **last = &test->world->first;
    while (*last)
        last = &(*last)->next;
    *last = test;
}

/* The last one takes the world with it. */
static void leave(bus_test *test)
{
    bus_test **at = &test->world->first;
    while (*at && *at != test)
        at = &(*at)->next;
    if (*at)
        *at = test->next;
    if (!test->world->first)
        world_free(test->world);
}

static bus_status check(const bus_service *service, const bus_test_options *options, bus_error *err)
{
    if (options->shards < 0 || options->shards > 1000)
        return bui_fail(err, BUS_INVALID, "shards is %d: give 1 to 1000", options->shards);
    for (const bus_test *other = options->beside ? options->beside->world->first : NULL; other; other = other->next)
        if (strcmp(other->service->name, service->name) == 0)
            return bui_fail(err, BUS_INVALID, "service %s runs in this test already", service->name);
    return BUS_OK;
}

static bus_status set_up(bus_test *test, const bus_test_options *options, bus_error *err)
{
    int shards = options->shards ? options->shards : options->beside ? options->beside->options.shards : 1;
    test->own_config = options->config ? bui_config_copy(options->config) : bus_config_new();
    if (!test->own_config)
        return bui_fail_nomem(err);
    bus_status status = bus_config_declare(test->own_config, test->service, err);
    if (status != BUS_OK)
        return status;
    snprintf(test->tiers, sizeof test->tiers, "%s", bui_config_text(test->own_config, "retry.tiers"));
    test->options = (bui_host_options){ .service = test->service,
                                        .data = test->data,
                                        .shards = shards,
                                        .retry_tiers = test->tiers,
                                        .attempts = (int)bui_config_int(test->own_config, "retry.attempts"),
                                        .cluster = test->world->cluster,
                                        .clock = &test->world->clock.clock,
                                        .catalog = test->world->catalog,
                                        .config = test->own_config };
    bui_limits_of(test->own_config, &test->options.limits);
    test->options.limits.linger_us = 0; /* time passes only when the test moves it */
    status = make_directory(test, options->data, err);
    if (status == BUS_OK)
        status = make_topics(test, err);
    if (status == BUS_OK)
        status = add_types(test, err);
    return status != BUS_OK ? status : start(test, err);
}

bus_status bus_test_open_for(int headers, const bus_service *service, const bus_test_options *given, bus_test **out,
                             bus_error *err)
{
    static const bus_test_options defaults;
    const bus_test_options *options = given ? given : &defaults;
    bus_status status = bui_version_check(headers, err);
    if (status == BUS_OK)
        status = check(service, options, err);
    if (status != BUS_OK)
        return status;
    bus_test *test = calloc(1, sizeof *test);
    test_world *world = !test ? NULL : options->beside ? options->beside->world : world_new(options->start_ms);
    if (!world) {
        free(test);
        return bui_fail_nomem(err);
    }
    bui_arena_init(&test->arena, 0);
    test->service = service;
    test->world = world;
    enter(test);
    status = set_up(test, options, err);
    if (status != BUS_OK)
        bus_test_close(test);
    else
        *out = test;
    return status;
}

void bus_test_close(bus_test *test)
{
    if (!test)
        return;
    bui_host_close(test->host);
    leave(test);
    bus_config_free(test->own_config);
    bui_arena_free(&test->arena);
    if (test->own_data)
        remove_directory(test->data);
    free(test);
}

bus_status bus_test_restart(bus_test *test, bus_error *err)
{
    bui_host_close(test->host);
    test->host = NULL;
    return start(test, err);
}

/* ---- time */

static int64_t now_us(const bus_test *test)
{
    return test->world->clock.mono_us;
}

static int64_t due_us(const bus_test *test)
{
    int64_t due = INT64_MAX;
    for (const bus_test *each = test->world->first; each; each = each->next) {
        int64_t at = each->host ? bui_host_due(each->host) : INT64_MAX;
        due = at < due ? at : due;
    }
    return due;
}

static void step_all(bus_test *test)
{
    for (bus_test *each = test->world->first; each; each = each->next) {
        if (!each->host)
            continue;
        bui_host_group(each->host);
        for (int i = 0; i < each->options.shards; i++)
            bui_host_step(each->host, i);
    }
}

/* Why a shard does not run, of this service or of one beside it. */
static bus_status failure_of(const bus_test *test, bus_error *err)
{
    for (const bus_test *each = test->world->first; each; each = each->next)
        for (int i = 0; each->host && i < each->options.shards; i++) {
            bus_status status = bui_host_failure(each->host, i, err);
            if (status != BUS_OK && each != test)
                bui_fail_in(err, "service %s beside it", each->service->name);
            if (status != BUS_OK)
                return status;
        }
    return BUS_OK;
}

bus_status bus_test_run(bus_test *test, bus_error *err)
{
    int turn = 0;
    do
        step_all(test);
    while (due_us(test) <= now_us(test) && ++turn < TURNS_MOST);
    if (turn == TURNS_MOST)
        return bui_fail(err, BUS_BUG,
                        "service %s has not come to rest after %d turns: do its events cause each other in a circle?",
                        test->service->name, TURNS_MOST);
    return failure_of(test, err);
}

bus_status bus_test_advance(bus_test *test, int64_t ms, bus_error *err)
{
    if (ms < 0)
        return bui_fail(err, BUS_INVALID, "time does not go back: %lld ms", (long long)ms);
    int64_t target = now_us(test) + ms * 1000;
    bus_status status = bus_test_run(test, err);
    while (status == BUS_OK && now_us(test) < target) {
        int64_t due = due_us(test);
        bui_virtual_clock_advance(&test->world->clock, (due < target ? due : target) - now_us(test));
        status = bus_test_run(test, err);
    }
    return status;
}
