/* SPDX-License-Identifier: MIT
 * Publication: what a caller may ask to be published. */
#include "codec/publication.h"

#include "base/error.h"
#include "codec/envelope.h"
#include <string.h>

static bool reserved(const bus_publication *from, const char *name)
{
    return from->type ? bui_header_reserved(name) : strncmp(name, "bus-", 4) == 0 || strncmp(name, "__dlq.", 6) == 0;
}

bus_status bui_publication_check(const bus_publication *from, const char *call, bool free, bus_error *err)
{
    if (!from || !from->topic)
        return bui_fail(err, BUS_INVALID, "%s needs a topic", call);
    if (!from->type != !from->body || !!from->type + !!from->value.at + from->tombstone != 1)
        return bui_fail(err, BUS_INVALID, "%s to %s: give a type and its body, or a value, or say tombstone: one of the three",
                        call, from->topic);
    if (from->has_partition && from->partition < 0)
        return bui_fail(err, BUS_INVALID, "%s to %s, partition %d: partitions begin at 0", call, from->topic,
                        (int)from->partition);
    if (from->time_ms < 0)
        return bui_fail(err, BUS_INVALID, "%s to %s: Kafka takes no record of before 1970 (time_ms %lld)", call, from->topic,
                        (long long)from->time_ms);
    if (free)
        return BUS_OK;
    if (from->type && from->header_count > BUI_OWN_HEADERS)
        return bui_fail(err, BUS_INVALID, "%s to %s with %zu headers of its own; %d are allowed", call, from->topic,
                        from->header_count, BUI_OWN_HEADERS);
    /* Refused, not left out: the caller says here what the whole record is, and learns of it at once. */
    for (size_t i = 0; i < from->header_count; i++)
        if (reserved(from, from->headers[i].name))
            return bui_fail(err, BUS_INVALID, "%s to %s: header %.80s is the bus's own to write: leave out those named %s", call,
                            from->topic, from->headers[i].name,
                            from->type ? "bus-*, __dlq.*, ce_*, content-type and __value_schema_id" : "bus-* and __dlq.*");
    return BUS_OK;
}
