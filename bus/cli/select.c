/* SPDX-License-Identifier: MIT
 * Select: command line to filter. */
#include "cli/select.h"

#include <inttypes.h>
#include <string.h>

bool cli_select_filter(const cli *c, bui_dead_filter *out)
{
    bui_dead_filter filter = {
        .type = cli_value(c, "type"), .error = cli_value(c, "error"), .topic = cli_value(c, "topic"), .key = cli_value(c, "key")
    };
    if (filter.key)
        filter.key_len = strlen(filter.key);
    if (!cli_time(c, "since", &filter.since) || !cli_time(c, "until", &filter.until))
        return false;
    *out = filter;
    return true;
}

static size_t services_of(const cli *c, const char *service, const char *out[CLI_GIVEN_MAX + 1])
{
    const char *name;
    size_t count = 0;
    if (service)
        out[count++] = service;
    for (int i = 0; (name = cli_nth(c, "service", i)); i++)
        out[count++] = name;
    return count;
}

bus_status cli_select_open(const cli *c, const char *service, bui_dlq **out, bus_error *err)
{
    const char *services[CLI_GIVEN_MAX + 1];
    size_t count = services_of(c, service, services);
    cli_watch watch;
    cli_watch_begin(c, &watch, "reading dead letters");
    bus_status status = bui_dlq_open(c->config, services, count, c->timeout_ms, &watch.watch, out, err);
    cli_watch_end(&watch);
    return status;
}

bus_status cli_select_find(const cli *c, bui_dlq **out, bus_error *err)
{
    const char *services[CLI_GIVEN_MAX + 1];
    size_t count = services_of(c, NULL, services);
    cli_watch watch;
    cli_watch_begin(c, &watch, "looking for dead letters");
    bus_status status = bui_dlq_find(c->config, services, count, (const char *const *)c->operand, (size_t)c->operands,
                                     c->timeout_ms, &watch.watch, out, err);
    cli_watch_end(&watch);
    return status;
}

cli_colour cli_letter_colour(bui_deadletter_state state)
{
    return state == BUI_DEADLETTER_OPEN       ? CLI_RED
           : state == BUI_DEADLETTER_REDRIVEN ? CLI_YELLOW
           : state == BUI_DEADLETTER_RESOLVED ? CLI_GREEN
                                              : CLI_DIM;
}

void cli_range_notes(const cli *c, const bui_range *range, int cut, int64_t outside)
{
    if (cut)
        cli_note(c, "what was asked for %s before the log does, on %d partition%s of %s: that part is deleted",
                 range->from.kind == BUI_EDGE_TIME ? "may begin" : "begins", cut, cut == 1 ? "" : "s", range->topic);
    if (outside)
        cli_note(
            c,
            "%" PRId64
            " events of %s were looked at and left out: by their own times they are outside the range. (Times that producers "
            "give need not rise, so all is looked at up to the end; --in-order stops at the first that is past it.)",
            outside, range->topic);
}
