/* SPDX-License-Identifier: MIT
 * Range: reads the part of a topic that an operator names, "@-1h:end", "120:180", into the reader's edges. */
#ifndef BUI_OPS_RANGE_H
#define BUI_OPS_RANGE_H

#include "kafka/topic_reader.h"

/* Parses one edge: "start", "end", an offset ("120"), or a time: '@' with what bui_time_parse takes ("@-1h",
 * "@2026-11-21T05:00:00Z", "@1795000000000"), RFC 3339 also without the '@'. BUS_INVALID with what is allowed. Pure. */
bus_status bui_edge_parse(const char *text, int64_t now_ms, bui_edge *out, bus_error *err);

/* Parses "FROM:TO" into the range's edges, nothing else of it; an empty side is the start or the end. Colons inside times are
 * understood. BUS_INVALID too where the range is the wrong way round. Pure. */
bus_status bui_range_parse(const char *text, int64_t now_ms, bui_range *range, bus_error *err);

/* BUS_INVALID if `to` comes before `from`, as far as that shows without the topic. */
bus_status bui_range_check(const bui_range *range, bus_error *err);

#endif
