/* SPDX-License-Identifier: MIT
 * Range: parses and checks the part of a topic that an operator names. */
#include "ops/range.h"
#include "base/clock.h"
#include "base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_offset(const char *text, int64_t *out)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *out = value;
    return true;
}

bus_status bui_edge_parse(const char *text, int64_t now_ms, bui_edge *out, bus_error *err)
{
    int64_t value;
    if (!strcmp(text, "start") || !strcmp(text, "@start")) {
        *out = (bui_edge){ BUI_EDGE_START, 0 };
        return BUS_OK;
    }
    if (!strcmp(text, "end") || !strcmp(text, "@end")) {
        *out = (bui_edge){ BUI_EDGE_END, 0 };
        return BUS_OK;
    }
    if (parse_offset(text, &value)) {
        *out = (bui_edge){ BUI_EDGE_OFFSET, value };
        return BUS_OK;
    }
    if (bui_time_is_old(text))
        return bui_fail(err, BUS_INVALID,
                        "\"%.60s\" is a time in 1970 to 1973, because times are in milliseconds since the "
                        "epoch: write @%.60s000 if "
                        "it is in seconds, a date (@2026-11-21T05:00:00Z), or the bare number for an offset",
                        text, text + 1);
    /* bui_time_parse knows relative times with their '@' only, absolute ones without it: offer it both. A bare negative number
     * would be a time before 1970, and is a slip for an offset. */
    bool slip = text[0] == '-' && !text[1 + strspn(text + 1, "0123456789")];
    if (!slip && (bui_time_parse(text, now_ms, &value) || (text[0] == '@' && bui_time_parse(text + 1, now_ms, &value)))) {
        *out = (bui_edge){ BUI_EDGE_TIME, value };
        return BUS_OK;
    }
    return bui_fail(err, BUS_INVALID,
                    "\"%.60s\" is not a place in a topic: give an offset (120), a time (@-1h, "
                    "@2026-11-21T05:00:00Z), start or end",
                    text);
}

bus_status bui_range_check(const bui_range *range, bus_error *err)
{
    const bui_edge *a = &range->from, *b = &range->to;
    bool comparable = a->kind == b->kind && (a->kind == BUI_EDGE_TIME || a->kind == BUI_EDGE_OFFSET);
    if ((comparable && a->at > b->at) || (a->kind == BUI_EDGE_END && b->kind != BUI_EDGE_END && b->kind != BUI_EDGE_NEVER))
        return bui_fail(err, BUS_INVALID, "the range ends before it begins: swap its two sides");
    if (b->kind == BUI_EDGE_START)
        return bui_fail(err, BUS_INVALID, "a range that ends at the start of the topic is empty");
    return BUS_OK;
}

static bus_status parse_side(const char *text, size_t len, bui_edge_kind empty, int64_t now_ms, bui_edge *out)
{
    char side[64];
    if (len == 0) {
        *out = (bui_edge){ empty, 0 };
        return BUS_OK;
    }
    if (len >= sizeof side)
        return BUS_INVALID;
    memcpy(side, text, len);
    side[len] = 0;
    return bui_edge_parse(side, now_ms, out, NULL);
}

/* Is a side a time that nobody means? Then that is what to say. */
static bool old_side(const char *text, int64_t now_ms, bus_error *err)
{
    char side[64];
    bui_edge edge;
    for (const char *at = text; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
        snprintf(side, sizeof side, "%.*s", (int)strcspn(at, ":"), at);
        if (side[0] == '@' && bui_time_is_old(side))
            return bui_edge_parse(side, now_ms, &edge, err) != BUS_OK;
    }
    return false;
}

bus_status bui_range_parse(const char *text, int64_t now_ms, bui_range *range, bus_error *err)
{
    bui_range parsed = *range;
    /* Times hold colons themselves, so the colon that separates is the one with something readable on both sides. */
    for (const char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':')) {
        if (parse_side(text, (size_t)(colon - text), BUI_EDGE_START, now_ms, &parsed.from) == BUS_OK &&
            parse_side(colon + 1, strlen(colon + 1), BUI_EDGE_END, now_ms, &parsed.to) == BUS_OK) {
            bus_status status = bui_range_check(&parsed, err);
            if (status == BUS_OK)
                *range = parsed;
            return status;
        }
    }
    if (old_side(text, now_ms, err))
        return BUS_INVALID;
    return bui_fail(err, BUS_INVALID,
                    "\"%.60s\" is not a range: write FROM:TO, each an offset (120), a time (@-1h, "
                    "@2026-11-21T05:00:00Z), start, end or nothing",
                    text);
}
