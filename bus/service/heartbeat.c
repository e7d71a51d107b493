/* SPDX-License-Identifier: MIT
 * Heartbeat: its JSON. */
#include "service/heartbeat.h"
#include "base/clock.h"
#include <bus/type.h>
#include <string.h>

static void member(bus_buf *out, const char *name, const char *value)
{
    bus_buf_printf(out, "\"%s\":", name);
    bus_buf_json(out, value, strlen(value));
    bus_buf_text(out, ",");
}

static void routes_of(const bus_route *route, bus_buf *out)
{
    static const char *const policies[] = { [BUS_REPLAY_REFUSE] = "refuse", [BUS_REPLAY_SKIP] = "skip", [BUS_REPLAY_RUN] = "run" };
    bool first = true;
    for (; route && route->topic; route++, first = false) {
        bus_buf_text(out, first ? "{" : ",{");
        member(out, "topic", route->topic);
        if (route->type)
            member(out, "type", bus_type_name(route->type));
        else
            bus_buf_text(out, "\"type\":null,");
        bus_buf_printf(out, "\"tombstone\":%s,\"replay\":\"%s\"}", route->tombstone ? "true" : "false",
                       route->replay >= BUS_REPLAY_REFUSE && route->replay <= BUS_REPLAY_RUN ? policies[route->replay] : "refuse");
    }
}

void bus_heartbeat_json(const bus_heartbeat *beat, bus_buf *out)
{
    char time[32];
    bus_buf_text(out, "{");
    member(out, "service", beat->service);
    member(out, "instance", beat->instance);
    member(out, "host", beat->host);
    bus_buf_printf(out, "\"pid\":%d,", beat->pid);
    member(out, "version", BUS_VERSION);
    member(out, "state", beat->state);
    member(out, "why", beat->why);
    member(out, "started", bus_time_text(beat->started_ms, time));
    member(out, "at", bus_time_text(beat->at_ms, time));
    bus_buf_printf(out, "\"shard_count\":%d,\"shards\":[", beat->shard_count);
    for (size_t i = 0; i < beat->held; i++)
        bus_buf_printf(out, "%s%d", i ? "," : "", beat->shards[i]);
    bus_buf_text(out, "],\"topics\":");
    bus_topics_json(beat->topics, beat->topic_count, out);
    bus_buf_text(out, ",\"routes\":[");
    routes_of(beat->routes, out);
    bus_buf_text(out, "]}");
}
