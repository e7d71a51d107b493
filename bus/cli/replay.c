/* SPDX-License-Identifier: MIT
 * bus replay: copies a past range to one service, or to another topic. */
#include "cli/cli.h"
#include "base/error.h"
#include "base/id.h"
#include "cli/select.h"
#include "base/clock.h"
#include "ops/dlq.h"
#include "ops/range.h"
#include "ops/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const cli_option options[] = {
    { "to-service", 0, "NAME", "only this service sees the copies; it must read SOURCE" },
    { "to-topic", 0, "TOPIC", "copies go to TOPIC, for all who read it" },
    { "from", 0, "POINT", "begin here: an offset, a time (@-1h), start" },
    { "to", 0, "POINT", "end before this" },
    { "in-order", 0, NULL, "assume that times rise: stop at the first event past --to" },
    { "partition", 'p', "N", "only this partition" },
    { "key", 'k', "KEY", "only events of this key" },
    { "type", 't', "NAME", "only events of this type" },
    { "rate", 0, "N[/s]", "send at most N events a second" },
    { "reason", 'r', "TEXT", "why; kept with the copies to a service" },
    { "max-failures", 0, "N", "to a service: end the run in a shard after N copies failed there (1; 0: no limit)" },
    { "wait", 'w', "TIME", "to a service: how long to wait until it has taken all copies (10s; 0: do not wait)" },
    { "dry-run", 0, NULL, "read and count, send nothing" },
    { NULL, 0, NULL, NULL }
};

static bool parse_rate(const cli *c, int64_t *out)
{
    const char *text = cli_value(c, "rate");
    char *end;
    if (!text)
        return true;
    long long rate = strtoll(text, &end, 10);
    if (end == text || rate < 1 || rate > 100000000 || (*end && strcmp(end, "/s") != 0)) {
        cli_failf(c, CLI_USAGE, "--rate %s: it is a number of events a second, such as 500 or 500/s", text);
        return false;
    }
    *out = rate;
    return true;
}

static int parse(const cli *c, bui_replay *replay, int64_t *wait_ms)
{
    bus_error err = { 0 };
    const char *from = cli_value(c, "from"), *to = cli_value(c, "to");
    int64_t partition = -1;
    bus_status status = BUS_OK;
    replay->service = cli_value(c, "to-service");
    replay->topic = cli_value(c, "to-topic");
    if (!replay->service == !replay->topic)
        return cli_failf(c, CLI_USAGE, "say where to: --to-service NAME or --to-topic TOPIC");
    if (c->operands > 1 && (from || to))
        return cli_failf(c, CLI_USAGE, "give the range as %s or by --from and --to, not both", c->operand[1]);
    if (!cli_int(c, "partition", 0, INT32_MAX, &partition) || !parse_rate(c, &replay->rate))
        return CLI_USAGE;
    replay->source = (bui_range){
        .topic = c->operand[0], .partition = (int32_t)partition, .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 }
    };
    if (c->operands > 1)
        status = bui_range_parse(c->operand[1], cli_now(), &replay->source, &err);
    if (status == BUS_OK && from)
        status = bui_edge_parse(from, cli_now(), &replay->source.from, &err);
    if (status == BUS_OK && to)
        status = bui_edge_parse(to, cli_now(), &replay->source.to, &err);
    if (status == BUS_OK)
        status = bui_range_check(&replay->source, &err);
    if (status != BUS_OK)
        return cli_fail(c, &err);
    replay->source.in_order = cli_flag(c, "in-order");
    replay->type = cli_value(c, "type");
    replay->key = cli_value(c, "key");
    replay->key_len = replay->key ? strlen(replay->key) : 0;
    replay->reason = cli_value(c, "reason");
    replay->dry_run = cli_flag(c, "dry-run");
    int64_t most = 1;
    if (!cli_int(c, "max-failures", 0, 1000000, &most) || !cli_duration(c, "wait", wait_ms))
        return CLI_USAGE;
    replay->most_failures = (int)most;
    replay->timeout_ms = c->timeout_ms;
    return replay->reason && strlen(replay->reason) > 500 ? cli_failf(c, CLI_USAGE, "a reason has at most 500 bytes") : CLI_OK;
}

/* What they will meet, before any is sent. */
static void show(void *opaque, const bui_replay_plan *plan)
{
    const cli *c = opaque;
    for (size_t i = 0; i < bui_replay_plan_kinds(plan); i++) {
        const bui_plan_kind *kind = bui_replay_plan_kind(plan, i);
        cli_note(c, "%" PRId64 " of %s: %s", kind->records, kind->type, bui_meets_text(kind->meets));
    }
}

/* What came of the copies once the service has gone past them: how many dead letters the run has, the first one's reason. */
typedef struct aftermath {
    bool through;
    int64_t letters;
    char first[300];
} aftermath;

static void count_letters(const cli *c, const bui_replay *replay, aftermath *out)
{
    bui_dlq *dlq = NULL;
    bus_error ignored = { 0 };
    if (bui_dlq_open(c->config, &replay->service, 1, c->timeout_ms, replay->watch, &dlq, &ignored) != BUS_OK)
        return;
    for (size_t i = 0; i < bui_dead_count(bui_dlq_fold(dlq)); i++) {
        const bui_dead *dead = bui_dead_at(bui_dlq_fold(dlq), i);
        if (strcmp(dead->replay, replay->run) != 0)
            continue;
        if (!out->letters++)
            snprintf(out->first, sizeof out->first, "%s: %s", dead->error_class, dead->error_message);
    }
    bui_dlq_close(dlq);
}

static void wait_for_it(const cli *c, const bui_replay *replay, int64_t wait_ms, aftermath *out)
{
    const bui_clock *clock = bui_clock_real();
    int64_t until_us = clock->mono_us(clock) + wait_ms * 1000;
    struct timespec moment = { 0, 100000000 };
    while (!(out->through = bui_replay_left(c->config, replay->service, c->timeout_ms) == 0) &&
           clock->mono_us(clock) < until_us && !bui_watch_stop(replay->watch))
        nanosleep(&moment, NULL);
    count_letters(c, replay, out);
}

static int print(const cli *c, const bui_replay *replay, const bui_replay_result *result, const aftermath *after, int code)
{
    static const cli_column columns[] = { { "RUN", "run", CLI_TEXT },
                                          { "READ", "read", CLI_NUMBER },
                                          { "MATCHED", "matched", CLI_NUMBER },
                                          { "SENT", "sent", CLI_NUMBER },
                                          { "ACKNOWLEDGED", "acknowledged", CLI_NUMBER },
                                          { "FAILED", "failed", CLI_NUMBER },
                                          { "SKIPPED", "skipped", CLI_NUMBER },
                                          { "EARLY", "early", CLI_NUMBER },
                                          { "REFUSED", "refused", CLI_NUMBER },
                                          { "FORGED", "forged", CLI_NUMBER },
                                          { "LETTERS", "letters", CLI_NUMBER },
                                          { "FIRST", "first", CLI_TEXT },
                                          { "LAST", "last", CLI_TEXT },
                                          { NULL, "dry_run", CLI_TEXT } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    if (table) {
        cli_cell(table, replay->dry_run ? NULL : replay->run);
        cli_cell_int(table, result->read);
        cli_cell_int(table, result->matched);
        cli_cell_int(table, result->sent);
        cli_cell_int(table, result->acknowledged);
        cli_paint(table, result->acknowledged == result->sent ? CLI_GREEN : CLI_RED);
        cli_cell_int(table, result->failed);
        cli_paint(table, result->failed ? CLI_RED : CLI_PLAIN);
        cli_cell_int(table, result->read - result->matched);
        cli_cell_int(table, result->early);
        cli_cell_int(table, result->refused);
        cli_paint(table, result->refused ? CLI_RED : CLI_PLAIN);
        cli_cell_int(table, result->forged);
        cli_paint(table, result->forged ? CLI_RED : CLI_PLAIN);
        cli_cell_int(table, after->letters);
        cli_paint(table, after->letters ? CLI_RED : CLI_PLAIN);
        cli_cell_time(table, result->first);
        cli_cell_time(table, result->last);
        cli_cell_bool(table, replay->dry_run);
    }
    return cli_print(c, table, code);
}

static int run(cli *c)
{
    bui_replay replay = { 0 };
    bui_replay_result result;
    bus_error err = { 0 };
    cli_watch watch;
    char id[BUI_ID_TEXT], by[256], what[300];
    aftermath after = { 0 };
    int64_t wait_ms = 10000;
    int code = parse(c, &replay, &wait_ms);
    if (code != CLI_OK)
        return code;
    bui_id_random(id);
    cli_operator(by);
    replay.run = id;
    replay.by = by;
    snprintf(what, sizeof what, "%s %s", replay.dry_run ? "counting" : "replaying", replay.source.topic);
    cli_watch_begin(c, &watch, what);
    replay.watch = &watch.watch;
    replay.show = show;
    replay.opaque = c;
    bus_status status = bui_replay_run(c->config, &replay, &result, &err);
    bool waits = replay.service && result.acknowledged && wait_ms;
    if (waits)
        wait_for_it(c, &replay, wait_ms, &after);
    cli_watch_end(&watch);
    if (status == BUS_OK || result.read) {
        bool whole = result.acknowledged == result.matched - result.early && !after.letters && (after.through || !waits);
        whole = whole || (replay.dry_run && !result.refused && !result.forged && !result.large);
        code = !result.matched ? CLI_NOTHING : whole ? CLI_OK : CLI_PARTIAL;
        code = print(c, &replay, &result, &after, status == BUS_REFUSED ? CLI_REFUSED : code);
    }
    if (status != BUS_OK)
        return cli_fail(c, &err);
    if (result.failed)
        cli_failf(c, CLI_PARTIAL, "%" PRId64 " events could not be stored, the first because: %s", result.failed,
                  result.failure.text);
    if (result.forged)
        cli_failf(c, CLI_PARTIAL,
                  "%" PRId64
                  " records are not signed as hop.verify demands, and no copies of those were sent: this tool would sign them. "
                  "What a service refused as forged is among its dead letters (bus dlq list). The first: %s",
                  result.forged, result.forgery.text);
    cli_range_notes(c, &replay.source, result.cut, result.outside);
    if (result.large)
        cli_note(c, "%" PRId64 " copies are too large for their topic: raise its max.message.bytes", result.large);
    if (result.early)
        cli_note(c,
                 "%" PRId64 " events have not been reached by the service yet, which will handle them itself: no copies of "
                 "those were sent",
                 result.early);
    if (after.letters)
        cli_failf(c, CLI_PARTIAL,
                  "%" PRId64 " copies failed and are dead letters, the first because: %s; bus dlq list %s "
                  "--letters shows them%s",
                  after.letters, after.first, replay.service,
                  replay.most_failures ? "; the shards that had them ended the run" : "");
    if (waits && !after.through)
        cli_note(c, "the service has not taken all of them yet (is it running?): what failed later is in bus dlq list %s",
                 replay.service);
    if (code == CLI_NOTHING)
        cli_note(c, "nothing in that range matches");
    return code;
}

const cli_command cli_replay = {
    .name = "replay",
    .operands = "SOURCE [FROM:TO]",
    .least = 1,
    .most = 2,
    .summary = "copy a past range of a topic to one service or topic",
    .text = "To a service: copies go through <service>.redrive to the shard that owns each event. A copy runs only if its\n"
            "route allows it (.replay); what the handler emits for it is dropped unless the route says .replay_emits. An\n"
            "event that the service has not handled yet is not copied. A copy that fails becomes a dead letter of its own\n"
            "at once; it is not retried, and no other event waits for it. After --max-failures of them the run ends in\n"
            "that shard. Before it sends anything, the command shows which copies would run, be skipped or be refused,\n"
            "and which are too large.\n\n"
            "To a topic: everyone who reads it sees the copies, with their ids, keys and times; the header bus-orig says\n"
            "where each came from.\n\n"
            "Copies are signed with hop.key.file. So a record that hop.verify wants signed, and that is not signed, is\n"
            "counted (FORGED) and not copied. Each run has an id, which its copies carry and which is printed at the end.\n"
            "Ctrl-C stops the run and shows how far it got.",
    .options = options,
    .examples = "  bus replay inventory.events @-1h:end --to-service order --dry-run\n"
                "  bus replay inventory.events @-1h:end --to-service order --reason \"count fixed\"\n"
                "  bus replay order.events 1200:1300 -p 0 --to-topic order.sample",
    .run = run
};
