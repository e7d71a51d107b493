/* SPDX-License-Identifier: MIT
 * Look: what an earlier process sent without hearing the answer is found at the ends of its destinations, and not sent again.
 * Readers of the bus would drop it; others should not have to. What cannot be found out in time is sent. */
#include "shard/internal.h"
#include "shard/landed.h"

#include "base/error.h"

#define LOOK_RECORDS 100000 /* back from the end of a destination */
#define LOOK_SLACK_MS 60000 /* by so much clocks may differ: a topic's timestamps may be its broker's */
#define ACKED_ROWS 10000    /* acknowledged and not yet deleted, beside those that were out */

static bool meet(const bui_record *record, void *landed)
{
    return bui_landed_meet(landed, record);
}

/* What could not be looked at is named, one of them. */
static void tell_unseen(const bui_shard *shard, const bui_look *places, size_t count)
{
    size_t unseen = 0, first = 0;
    for (size_t i = count; i-- > 0;)
        if (places[i].status != BUS_OK) {
            unseen++;
            first = i;
        }
    const char *todo = unseen && places[first].status == BUS_MISSING ? "Create the topic again, with the partitions that it had"
                                                                     : "Grant READ on the topics";
    if (unseen)
        bui_log(BUS_WARN, shard->where, "look",
                "%zu of %zu destinations with unacknowledged rows could not be read (%s/%d: %s): those rows are "
                "sent, and a reader that does not go by bus-hop may see them twice. %s",
                unseen, count, places[first].topic, places[first].partition, bus_status_name(places[first].status), todo);
}

void bui_relay_look(bui_shard *shard)
{
    bui_transport *transport = shard->options.transport;
    const bui_limits *limits = &shard->options.limits;
    bui_outbox_depth depth = bui_outbox_depth_of(shard->store);
    bus_error err = { 0 };
    bui_look *places;
    size_t gone = 0;
    if (!depth.rows || !limits->look_ms || !transport->ops->look)
        return;
    bui_landed *landed = bui_landed_new(shard->store, (size_t)limits->in_flight + ACKED_ROWS, &err);
    size_t count = landed ? bui_landed_places(landed, &places) : 0;
    for (size_t i = 0; i < count; i++)
        places[i].since_ms -= LOOK_SLACK_MS;
    bus_status status =
        landed ? transport->ops->look(transport, places, count, LOOK_RECORDS, (int)limits->look_ms, meet, landed, &err)
               : BUS_NOMEM;
    if (status == BUS_OK) {
        tell_unseen(shard, places, count);
        status = bui_landed_delete(landed, &gone, &err);
    }
    bui_landed_free(landed);
    bui_count(&shard->metrics.landed, gone);
    if (status != BUS_OK)
        bui_log(BUS_WARN, shard->where, "look",
                "it could not be found out which of %lld unacknowledged rows are in Kafka "
                "already: %s. They are "
                "sent, and a reader that does not go by bus-hop may see them twice",
                (long long)depth.rows, err.text);
    else if (gone)
        bui_log(BUS_INFO, shard->where, "look", "%zu of %lld unacknowledged rows are in Kafka already and are not sent again",
                gone, (long long)depth.rows);
}
