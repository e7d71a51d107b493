/* SPDX-License-Identifier: MIT
 * Heartbeat: its JSON. */
#include "service/heartbeat.h"
#include "base/clock.h"
#include <bus/type.h>
#include <bus/version.h>
#include <string.h>

static void member(bui_buf *out, const char *name, const char *value)
{
    bui_buf_printf(out, "\"%s\":", name);
    bui_buf_json(out, value, strlen(value));
    bui_buf_text(out, ",");
}

static void routes_of(const bus_route *route, bui_buf *out)
{
    static const char *const policies[] = {
        [BUS_REPLAY_REFUSE] = "refuse", [BUS_REPLAY_SKIP] = "skip", [BUS_REPLAY_RUN] = "run"
    };
    bool first = true;
    for (; route && route->topic; route++, first = false) {
        bui_buf_text(out, first ? "{" : ",{");
        member(out, "topic", route->topic);
        if (route->type)
            member(out, "type", bus_type_name(route->type));
        else
            bui_buf_text(out, "\"type\":null,");
        bui_buf_printf(out, "\"tombstone\":%s,\"replay\":\"%s\"}", route->tombstone ? "true" : "false",
                       route->replay >= BUS_REPLAY_REFUSE && route->replay <= BUS_REPLAY_RUN ? policies[route->replay]
                                                                                             : "refuse");
    }
}

void bui_heartbeat_json(const bui_heartbeat *beat, bui_buf *out)
{
    char time[32];
    bui_buf_text(out, "{");
    member(out, "service", beat->service);
    member(out, "service_version", beat->service_version ? beat->service_version : "");
    member(out, "instance", beat->instance);
    member(out, "host", beat->host);
    bui_buf_printf(out, "\"pid\":%d,", beat->pid);
    member(out, "version", BUS_VERSION);
    member(out, "state", beat->state);
    member(out, "why", beat->why);
    member(out, "started", bui_time_text(beat->started_ms, time));
    member(out, "at", bui_time_text(beat->at_ms, time));
    bui_buf_printf(out, "\"shard_count\":%d,\"shards\":[", beat->shard_count);
    for (size_t i = 0; i < beat->held; i++)
        bui_buf_printf(out, "%s%d", i ? "," : "", beat->shards[i]);
    bui_buf_text(out, "],\"topics\":");
    bui_topics_json(beat->topics, beat->topic_count, out);
    bui_buf_text(out, ",\"routes\":[");
    routes_of(beat->routes, out);
    bui_buf_text(out, "]}");
}
