/* SPDX-License-Identifier: MIT
 * Router: a service's declarations, checked and indexed once. */
#include "shard/router.h"

#include "base/arena.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include <bus/type.h>
#include <stdlib.h>
#include <string.h>

struct bui_router {
    const bus_service *service;
    bui_arena arena;
    bui_map routes; /* topic 0x1F type -> route; a raw route has type "", a tombstone route type 0x01 */
    bui_input *input;
    size_t inputs, first_tier, tiers;
    bui_output *output;
    size_t outputs;
    const char *dlq, *lead, *events;
    int attempts;
};

#define MOST_TOPIC 249 /* Kafka's bound (org.apache.kafka.common.internals.Topic) */
#define MOST_TIERS 16

static bool topic_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > MOST_TOPIC || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static bool service_ok(const char *name)
{
    if (!name || !(name[0] >= 'a' && name[0] <= 'z'))
        return false;
    size_t n = strlen(name);
    return n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static const char *join(bui_router *router, const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    char *out = bui_arena_alloc(&router->arena, n + m + 1);
    if (out) {
        memcpy(out, a, n);
        memcpy(out + n, b, m + 1);
    }
    return out;
}

/* The map's key of a route. */
static size_t route_key(char *out, size_t cap, const char *topic, const char *type, size_t type_len)
{
    size_t n = strlen(topic);
    if (n + 1 + type_len > cap)
        return 0;
    memcpy(out, topic, n);
    out[n] = 0x1f;
    if (type_len)
        memcpy(out + n + 1, type, type_len);
    return n + 1 + type_len;
}

static bui_input *add_input(bui_router *router, const char *topic)
{
    for (size_t i = 0; i < router->inputs; i++)
        if (strcmp(router->input[i].topic, topic) == 0)
            return &router->input[i];
    if (!bui_array_one_more(&router->input, router->inputs, sizeof *router->input))
        return NULL;
    router->input[router->inputs] = (bui_input){ .topic = topic };
    return &router->input[router->inputs++];
}

static bus_status add_output(bui_router *router, const char *topic, bus_error *err)
{
    for (size_t i = 0; i < router->outputs; i++)
        if (strcmp(router->output[i].topic, topic) == 0)
            return BUS_OK;
    if (!bui_array_one_more(&router->output, router->outputs, sizeof *router->output))
        return bui_fail_nomem(err);
    router->output[router->outputs++] = (bui_output){ topic };
    return BUS_OK;
}

static const char *kind_of(const bus_route *route, size_t *len)
{
    const char *kind = route->tombstone ? "\x01" : route->type ? bus_type_name(route->type) : "";
    *len = strlen(kind);
    return kind;
}

static bus_status add_route(bui_router *router, const bus_route *route, bus_error *err)
{
    const char *name = router->service->name;
    size_t len;
    const char *kind = kind_of(route, &len);
    const char *shown = route->tombstone ? "tombstones" : route->type ? kind : "raw";
    if (!topic_ok(route->topic))
        return bui_fail(err, BUS_INVALID,
                        "service %s: '%.60s' is not a topic name: use letters, digits, '.', '_' and '-', at most %d", name,
                        route->topic, MOST_TOPIC);
    if (!route->handler)
        return bui_fail(err, BUS_INVALID, "service %s: the route of %s on %s has no handler", name, shown, route->topic);
    if (route->attempts < 0)
        return bui_fail(err, BUS_INVALID,
                        "service %s: the route of %s on %s has attempts %d: use 1 or more, or 0 for the default", name, shown,
                        route->topic, route->attempts);
    bool known = false;
    for (size_t i = 0; i < router->inputs; i++)
        known |= strcmp(router->input[i].topic, route->topic) == 0;
    bui_input *input = add_input(router, route->topic);
    if (!input)
        return bui_fail_nomem(err);
    if (known && (input->start != route->start || input->compacted != route->compacted))
        return bui_fail(err, BUS_INVALID,
                        "service %s: routes of topic %s disagree on `start` or `compacted`: a topic has one of each", name,
                        route->topic);
    input->start = route->start;
    input->compacted = route->compacted;

    char key[MOST_TOPIC + 300];
    size_t n = route_key(key, sizeof key, route->topic, kind, len);
    if (n == 0)
        return bui_fail(err, BUS_INVALID, "service %s: the type name on %s is too long", name, route->topic);
    if (bui_map_get(&router->routes, key, n))
        return bui_fail(err, BUS_INVALID, "service %s: two routes for %s on %s: one event has one handler; let it call both",
                        name, shown, route->topic);
    if (!bui_map_put(&router->routes, key, n, (void *)(uintptr_t)route))
        return bui_fail_nomem(err);
    return BUS_OK;
}

static bus_status add_tiers(bui_router *router, const char *text, bus_error *err)
{
    const char *name = router->service->name;
    router->first_tier = router->inputs;
    int64_t last = 0;
    for (const char *at = text ? text : ""; *at;) {
        char word[24];
        size_t n = strcspn(at, ",");
        while (n && at[0] == ' ')
            at++, n--;
        if (n == 0 || n >= sizeof word)
            return bui_fail(err, BUS_INVALID, "retry.tiers: '%.60s' is not a list of delays such as 1s,30s,10m", text);
        memcpy(word, at, n);
        word[n] = 0;
        int64_t delay;
        if (!bui_duration_parse(word, &delay) || delay <= last)
            return bui_fail(err, BUS_INVALID, "retry.tiers: '%.60s': each delay must be a duration longer than the one before",
                            text);
        if (router->tiers == MOST_TIERS)
            return bui_fail(err, BUS_INVALID, "retry.tiers: more than %d delays", MOST_TIERS);
        const char *prefix = join(router, name, ".retry.");
        const char *topic = prefix ? join(router, prefix, word) : NULL;
        bui_input *input = topic ? add_input(router, topic) : NULL;
        if (!input)
            return bui_fail_nomem(err);
        input->retry_tier = true;
        input->delay_ms = last = delay;
        router->tiers++;
        at += n;
        at += *at == ',';
    }
    return BUS_OK;
}

static bus_status check_emits(bui_router *router, bus_error *err)
{
    for (const bus_emits *emits = router->service->emits; emits && emits->type; emits++) {
        const char *topic = emits->topic ? emits->topic : router->events;
        if (!topic_ok(topic))
            return bui_fail(err, BUS_INVALID, "service %s: emits %s to '%.60s', which is not a topic name", router->service->name,
                            bus_type_name(emits->type), topic);
        bus_status status = add_output(router, topic, err);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

/* It stands in labels, lines and tables. */
static bus_status check_version(const bus_service *service, bus_error *err)
{
    const char *version = service->version ? service->version : "";
    size_t len = strspn(version, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+-_~");
    if (!version[len] && len < 32)
        return BUS_OK;
    return bui_fail(err, BUS_INVALID, "service %s: the version \"%.40s\" is not 1 to 31 characters of A-Z a-z 0-9 . + - _ ~",
                    service->name, version);
}

bus_status bui_router_new(const bus_service *service, const char *retry_tiers, int attempts, bui_router **out, bus_error *err)
{
    if (!service_ok(service->name))
        return bui_fail(err, BUS_INVALID,
                        "service name '%.80s': use a lower-case letter, then letters, digits and '-', at most 63",
                        service->name ? service->name : "");
    bui_router *router = calloc(1, sizeof *router);
    if (!router)
        return bui_fail_nomem(err);
    bus_status status = check_version(service, err);
    router->service = service;
    router->attempts = attempts > 0 ? attempts : 1;
    bui_arena_init(&router->arena, 0);
    bui_map_init(&router->routes);
    router->dlq = join(router, service->name, ".dlq");
    router->lead = join(router, service->name, ".redrive");
    router->events = join(router, service->name, ".events");
    if (status != BUS_OK)
        goto out;
    bui_input *lead = router->lead ? add_input(router, router->lead) : NULL;
    if (!lead || !router->dlq || !router->events) {
        status = bui_fail_nomem(err);
        goto out;
    }
    lead->lead = true;
    for (const bus_route *route = service->routes; route && route->topic; route++) {
        if (strcmp(route->topic, router->lead) == 0) {
            status = bui_fail(err, BUS_INVALID, "service %s: %s is the bus's own lead topic and takes no route", service->name,
                              route->topic);
            goto out;
        }
        status = add_route(router, route, err);
        if (status != BUS_OK)
            goto out;
    }
    status = add_tiers(router, retry_tiers, err);
    if (status == BUS_OK)
        status = check_emits(router, err);
    if (status != BUS_OK)
        goto out;
    *out = router;
    router = NULL;
out:
    bui_router_free(router);
    return status;
}

void bui_router_free(bui_router *router)
{
    if (!router)
        return;
    bui_map_free(&router->routes, NULL);
    free(router->input);
    free(router->output);
    bui_arena_free(&router->arena);
    free(router);
}

const bui_input *bui_router_inputs(const bui_router *router, size_t *count)
{
    *count = router->inputs;
    return router->input;
}

const bui_output *bui_router_outputs(const bui_router *router, size_t *count)
{
    *count = router->outputs;
    return router->output;
}

const char *bui_router_dlq(const bui_router *router)
{
    return router->dlq;
}
const char *bui_router_lead(const bui_router *router)
{
    return router->lead;
}

const bui_input *bui_router_tier(const bui_router *router, int retry)
{
    if (router->tiers == 0)
        return NULL;
    size_t i = retry < 1 ? 0 : (size_t)retry - 1;
    return &router->input[router->first_tier + (i < router->tiers ? i : router->tiers - 1)];
}

const bus_route *bui_router_find(const bui_router *router, const char *topic, const char *type, size_t type_len, bool tombstone)
{
    char key[MOST_TOPIC + 300];
    size_t n = tombstone ? route_key(key, sizeof key, topic, "\x01", 1) : route_key(key, sizeof key, topic, type, type_len);
    const bus_route *route = n ? bui_map_get(&router->routes, key, n) : NULL;
    if (route || tombstone)
        return route;
    n = route_key(key, sizeof key, topic, "", 0);
    return n ? bui_map_get(&router->routes, key, n) : NULL;
}

const char *bui_router_scope(const bui_router *router, const bus_route *route)
{
    (void)router;
    return route->scope ? route->scope : route->topic;
}

int bui_router_attempts(const bui_router *router, const bus_route *route)
{
    return route->attempts ? route->attempts : router->attempts;
}

const char *bui_router_topic_of(const bui_router *router, const bus_type *type)
{
    for (const bus_emits *emits = router->service->emits; emits && emits->type; emits++)
        if (emits->type == type || strcmp(bus_type_name(emits->type), bus_type_name(type)) == 0)
            return emits->topic ? emits->topic : router->events;
    return NULL;
}
