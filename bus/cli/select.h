/* SPDX-License-Identifier: MIT
 * Select: which dead letters a command line means; shared by the dlq subcommands. */
#ifndef BUI_CLI_SELECT_H
#define BUI_CLI_SELECT_H

#include "cli/cli.h"
#include "kafka/topic_reader.h"
#include "ops/dlq.h"

/* Options that every one of them has, to be put in its table. */
#define CLI_SELECT_OPTIONS \
    { "service", 's', "NAME", "only dead letters of this service; may be repeated" }, \
        { "type", 't', "NAME", "only events of this type" }, \
        { "error", 'e', "TEXT", "only dead letters whose error contains TEXT" }, \
        { "key", 'k', "KEY", "only events of this key" }, { "topic", 0, "TOPIC", "only events that came from TOPIC" }, \
        { "since", 0, "TIME", "only dead letters that last failed then or later (@-1h)" }, \
    { \
        "until", 0, "TIME", "only dead letters that last failed before then" \
    }

/* Fills the filter from the options. False after having said what is wrong. */
bool cli_select_filter(const cli *c, bui_dead_filter *out);
/* Opens the dead letters of --service and of the operand `service` (NULL: none), or of all. */
bus_status cli_select_open(const cli *c, const char *service, bui_dlq **out, bus_error *err);
/* Opens those alone that the operands name. */
bus_status cli_select_find(const cli *c, bui_dlq **out, bus_error *err);
cli_colour cli_letter_colour(bui_deadletter_state state);

/* What to know of a range that was read: how much of it is deleted, and what its times took. Notes on stderr. */
void cli_range_notes(const cli *c, const bui_range *range, int cut, int64_t outside);

#endif
