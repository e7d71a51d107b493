/* SPDX-License-Identifier: MIT
 * Dlq: the places of each topic's records, and the files that they are kept in. */
#include "base/error.h"
#include "ops/dlq_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* False: nothing is kept. */
static bool file_of(const bui_dlq *dlq, size_t topic, char *out, size_t cap)
{
    const char *set = bui_config_text(dlq->config, "cache.dir"), *home = getenv("XDG_CACHE_HOME");
    const char *servers = bui_config_text(dlq->config, "bootstrap.servers"), *below = "/bus";
    if (set && !strcmp(set, "none"))
        return false;
    if (set && *set) {
        home = set;
        below = "";
    } else if (!home || *home != '/') {
        home = getenv("HOME");
        below = "/.cache/bus";
    }
    if (!home || *home != '/')
        return false;
    int len = snprintf(out, cap, "%s%s/%016llx-%s", home, below,
                       (unsigned long long)bui_hash(servers, servers ? strlen(servers) : 0, 1), dlq->topics[topic]);
    return len > 0 && (size_t)len < cap;
}

bus_status bui_dlq_places_new(bui_dlq *dlq, bus_error *err)
{
    dlq->places = calloc(dlq->topic_count + 1, sizeof(bui_places *));
    if (!dlq->places)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < dlq->topic_count; i++) {
        dlq->places[i] = bui_places_new();
        if (!dlq->places[i])
            return bui_fail_nomem(err);
    }
    return BUS_OK;
}

void bui_dlq_places_free(bui_dlq *dlq)
{
    for (size_t i = 0; dlq->places && i < dlq->topic_count; i++)
        bui_places_free(dlq->places[i]);
    free(dlq->places);
    dlq->places = NULL;
}

void bui_dlq_places_save(const bui_dlq *dlq)
{
    char file[4096];
    for (size_t i = 0; i < dlq->topic_count; i++)
        if (file_of(dlq, i, file, sizeof file))
            bui_places_save(dlq->places[i], file);
}

bus_status bui_dlq_places_load(bui_dlq *dlq, bus_error *err)
{
    char file[4096];
    bus_status status = BUS_OK;
    for (size_t i = 0; i < dlq->topic_count && status == BUS_OK; i++)
        if (file_of(dlq, i, file, sizeof file))
            status = bui_places_load(dlq->places[i], file, err);
    return status;
}

bui_places *bui_dlq_places_of(const bui_dlq *dlq, const char *topic)
{
    size_t at = 0;
    while (at + 1 < dlq->topic_count && strcmp(dlq->topics[at], topic) != 0)
        at++;
    return dlq->places[at];
}
