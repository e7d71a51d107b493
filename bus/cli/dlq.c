/* SPDX-License-Identifier: MIT
 * bus dlq list, bus dlq show: what failed, why, how often. */
#include "cli/cli.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/render.h"
#include "cli/select.h"
#include "cli/translate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTIVE (1u << BUI_DEADLETTER_OPEN | 1u << BUI_DEADLETTER_REDRIVEN)

/* ---- list */

static const cli_option list_options[] = {
    { "group-by", 'g', "WORDS", "some of service, type, topic, error, joined by commas (service,type,error)" },
    { "letters", 'l', NULL, "each dead letter on its own line" },
    { "state", 0, "WORDS", "some of open, redriven, resolved, discarded, or all (open,redriven)" },
    CLI_SELECT_OPTIONS,
    { NULL, 0, NULL, NULL }
};

/* Reads "a,b" as bits: 1 << place of each word in `words`. -1: an unknown word, which has been reported. */
static int64_t parse_words(const cli *c, const char *option, const char *text, const char *const *words)
{
    int64_t bits = 0;
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, ","), i = 0;
        while (words[i] && (strlen(words[i]) != len || strncmp(words[i], at, len) != 0))
            i++;
        if (!words[i]) {
            cli_failf(c, CLI_USAGE, "--%s %s: it does not know \"%.*s\"; see --help", option, text, (int)len, at);
            return -1;
        }
        bits |= INT64_C(1) << i;
        at += len + (at[len] == ',');
    }
    return bits;
}

static cli_table *letters_table(const bui_dead_fold *fold, const bui_dead_filter *filter)
{
    static const cli_column columns[] = { { "ID", "id", CLI_TEXT },
                                          { "SERVICE", "service", CLI_TEXT },
                                          { "STATE", "state", CLI_TEXT },
                                          { "ROUND", "round", CLI_NUMBER },
                                          { "HELD", "held", CLI_TEXT },
                                          { "TYPE", "type", CLI_LONG },
                                          { "KEY", "key", CLI_LONG },
                                          { "ATTEMPTS", "attempts", CLI_NUMBER },
                                          { "LAST FAILED", "last_failed", CLI_TEXT },
                                          { NULL, "first_failed", CLI_TEXT },
                                          { NULL, "topic", CLI_TEXT },
                                          { NULL, "partition", CLI_NUMBER },
                                          { NULL, "offset", CLI_NUMBER },
                                          { NULL, "error_class", CLI_TEXT },
                                          { "ERROR", "error", CLI_LONG } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < bui_dead_count(fold); i++) {
        const bui_dead *dead = bui_dead_at(fold, i);
        if (!bui_dead_matches(dead, filter))
            continue;
        cli_cell(table, dead->id);
        cli_cell(table, dead->service);
        cli_cell(table, bui_deadletter_state_name(dead->state));
        cli_paint(table, cli_letter_colour(dead->state));
        cli_cell_int(table, dead->round);
        cli_cell_bool(table, bui_dead_holds(dead));
        cli_cell(table, *dead->type ? dead->type : NULL);
        cli_cell_bytes(table, dead->key, dead->key_len);
        cli_cell_int(table, dead->attempts);
        cli_cell_time(table, dead->last_failed);
        cli_cell_time(table, dead->first_failed);
        cli_cell(table, *dead->topic ? dead->topic : NULL);
        cli_cell_int(table, dead->partition);
        cli_cell_int(table, dead->offset);
        cli_cell(table, dead->error_class);
        cli_cell(table, dead->error_message);
    }
    return table;
}

static cli_table *groups_table(unsigned by, const bui_dead_group *groups, size_t count)
{
    static cli_column columns[12];
    size_t n = 0;
    if (by & BUI_GROUP_BY_SERVICE)
        columns[n++] = (cli_column){ "SERVICE", "service", CLI_TEXT };
    if (by & BUI_GROUP_BY_TOPIC)
        columns[n++] = (cli_column){ "TOPIC", "topic", CLI_LONG };
    if (by & BUI_GROUP_BY_TYPE)
        columns[n++] = (cli_column){ "TYPE", "type", CLI_LONG };
    static const cli_column counts[] = { { "LETTERS", "letters", CLI_NUMBER }, { "OPEN", "open", CLI_NUMBER },
                                         { "HELD", "held", CLI_NUMBER },       { "REDRIVEN", "redriven", CLI_NUMBER },
                                         { "DONE", "done", CLI_NUMBER },       { "FIRST", "first", CLI_TEXT },
                                         { "LAST", "last", CLI_TEXT } };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        columns[n++] = counts[i];
    if (by & BUI_GROUP_BY_ERROR)
        columns[n++] = (cli_column){ "ERROR", "error", CLI_LONG };
    cli_table *table = cli_table_new(columns, n);
    for (size_t i = 0; table && i < count; i++) {
        const bui_dead_group *group = &groups[i];
        if (group->service)
            cli_cell(table, group->service);
        if (group->topic)
            cli_cell(table, group->topic);
        if (group->type)
            cli_cell(table, *group->type ? group->type : NULL);
        cli_cell_int(table, group->letters);
        cli_cell_int(table, group->by_state[BUI_DEADLETTER_OPEN]);
        if (group->by_state[BUI_DEADLETTER_OPEN])
            cli_paint(table, CLI_RED);
        cli_cell_int(table, group->held);
        cli_cell_int(table, group->by_state[BUI_DEADLETTER_REDRIVEN]);
        cli_cell_int(table, group->by_state[BUI_DEADLETTER_RESOLVED] + group->by_state[BUI_DEADLETTER_DISCARDED]);
        cli_cell_time(table, group->first);
        cli_cell_time(table, group->last);
        if (group->error)
            cli_cell(table, group->error);
    }
    return table;
}

static int print_list(const cli *c, bui_dlq *dlq, const bui_dead_filter *filter, unsigned by)
{
    bus_error err = { 0 };
    bui_dead_fold *fold = bui_dlq_fold(dlq);
    bui_dead_group *groups = NULL;
    size_t count = 0;
    cli_table *table;
    if (cli_flag(c, "letters")) {
        table = letters_table(fold, filter);
    } else {
        if (bui_dead_group_by(fold, by, filter, &groups, &count, &err) != BUS_OK)
            return cli_fail(c, &err);
        table = groups_table(by, groups, count);
    }
    size_t rows = table ? cli_table_rows(table) : 0;
    int code = cli_print(c, table, table && !rows ? CLI_NOTHING : CLI_OK);
    if (code == CLI_NOTHING)
        cli_note(c, "no dead letter matches (%zu service%s, %zu dead letters of any state)", bui_dlq_services(dlq),
                 bui_dlq_services(dlq) == 1 ? "" : "s", bui_dead_count(fold));
    if (bui_dead_forged(fold))
        cli_note(c,
                 "%zu records of these topics are not signed by their service (hop.verify), or name a round that their dead "
                 "letter does not have: skipped; somebody else writes there",
                 bui_dead_forged(fold));
    if (bui_dead_copied(fold))
        cli_note(c,
                 "%zu records of these topics were copied there from other topics: skipped. Dead letters are redriven where "
                 "their service wrote them",
                 bui_dead_copied(fold));
    if (bui_dead_foreign(fold))
        cli_note(c, "%zu records of these topics are not dead letters of this bus: bus consume shows them",
                 bui_dead_foreign(fold));
    free(groups);
    return code;
}

static int run_list(cli *c)
{
    static const char *const by_words[] = { "service", "type", "error", "topic", NULL };
    static const char *const state_words[] = { "all", "open", "redriven", "resolved", "discarded", NULL };
    const char *group_by = cli_value(c, "group-by"), *state = cli_value(c, "state");
    bui_dead_filter filter;
    bus_error err = { 0 };
    bui_dlq *dlq = NULL;
    int64_t by = BUI_GROUP_BY_SERVICE | BUI_GROUP_BY_TYPE | BUI_GROUP_BY_ERROR, states = ACTIVE;
    if (!cli_select_filter(c, &filter))
        return CLI_USAGE;
    if ((group_by && (by = parse_words(c, "group-by", group_by, by_words)) < 0) ||
        (state && (states = parse_words(c, "state", state, state_words)) < 0))
        return CLI_USAGE;
    filter.states = states & 1 ? 0 : (unsigned)states;
    if (cli_select_open(c, c->operands ? c->operand[0] : NULL, &dlq, &err) != BUS_OK)
        return cli_fail(c, &err);
    int code = print_list(c, dlq, &filter, (unsigned)by);
    bui_dlq_close(dlq);
    return code;
}

const cli_command cli_dlq_list = {
    .name = "dlq list",
    .operands = "[SERVICE]",
    .least = 0,
    .most = 1,
    .summary = "count the dead letters by service, type and error",
    .text = "Reads <service>.dlq, of all services if you name none, and shows what each dead letter is now: open (waits\n"
            "for you), redriven (sent to the service again, outcome not known yet), resolved (handled after a redrive) or\n"
            "discarded (given up). LETTERS counts those shown, DONE the resolved and discarded ones, HELD those that\n"
            "later events of their key wait for. In errors, words with digits are shown as #, so that similar errors form\n"
            "one group.",
    .options = list_options,
    .examples = "  bus dlq list                          everything that is open\n"
                "  bus dlq list payment --letters        one line for each, with its id\n"
                "  bus dlq list -g type --since @-1h     what failed in the last hour, by type\n"
                "  bus dlq list --state all -o json",
    .run = run_list
};

/* ---- show */

static const cli_option show_options[] = {
    { "service", 's', "NAME", "only this service; may be repeated" },
    { "schema", 0, "FILE",
      "decode with this .avsc too; may be repeated. Types that it refers to are searched in the other files "
      "and in its folder" },
    CLI_JSON_OPTION,
    { "raw", 0, NULL, "do not decode" },
    { NULL, 0, NULL, NULL }
};

typedef struct showing {
    const cli *c;
    bui_translator *translator;
    bui_buf *out;
    bool found;
} showing;

static void history_json(const bui_dead *dead, bui_buf *out)
{
    char time[32];
    bui_buf_text(out, ",\"history\":[");
    for (const bui_dead_change *change = dead->changes; change; change = change->next) {
        bui_buf_printf(out, "%s{\"at\":\"%s\",\"state\":\"%s\",\"round\":%d", change == dead->changes ? "" : ",",
                       bui_time_text(change->at, time), bui_deadletter_state_name(change->state), change->round);
        const char *texts[][2] = { { "error", change->error }, { "reason", change->reason }, { "by", change->by } };
        for (size_t i = 0; i < 3; i++)
            if (*texts[i][1]) {
                bui_buf_printf(out, ",\"%s\":", texts[i][0]);
                bui_buf_json(out, texts[i][1], strlen(texts[i][1]));
            }
        bui_buf_byte(out, '}');
    }
    bui_buf_byte(out, ']');
}

static void letter_json(const bui_dead *dead, bui_buf *out)
{
    char time[32];
    const char *texts[][2] = { { "id", dead->id },
                               { "service", dead->service },
                               { "state", bui_deadletter_state_name(dead->state) },
                               { "type", dead->type },
                               { "event_id", dead->event_id },
                               { "error_class", dead->error_class },
                               { "error", dead->error_message } };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bui_buf_printf(out, "%s\"%s\":", i ? "," : "{", texts[i][0]);
        bui_buf_json(out, texts[i][1], strlen(texts[i][1]));
    }
    bui_buf_printf(out, ",\"round\":%d,\"held\":%s,\"attempts\":%" PRId64 ",\"shard\":%" PRId32, dead->round,
                   bui_dead_holds(dead) ? "true" : "false", dead->attempts, dead->shard);
    bui_buf_printf(out, ",\"first_failed\":\"%s\"", bui_time_text(dead->first_failed, time));
    bui_buf_printf(out, ",\"last_failed\":\"%s\",\"original\":{\"topic\":", bui_time_text(dead->last_failed, time));
    bui_buf_json(out, dead->topic, strlen(dead->topic));
    bui_buf_printf(out, ",\"partition\":%" PRId32 ",\"offset\":%" PRId64 "},\"replay\":", dead->partition, dead->offset);
    if (*dead->replay)
        bui_buf_json(out, dead->replay, strlen(dead->replay));
    else
        bui_buf_text(out, "null");
    history_json(dead, out);
}

static const char *advice(const bui_dead *dead)
{
    if (dead->state == BUI_DEADLETTER_REDRIVEN)
        return "it is on its way through the service again: look again in a moment";
    if (dead->state != BUI_DEADLETTER_OPEN)
        return "nothing is left to do";
    return bui_dead_holds(dead)
               ? "redrive it once the cause is gone, or discard it; later events of its key wait until then"
               : "redrive it once the cause is gone, or discard it; later events of its key have gone on without it";
}

static void letter_text(const cli *c, const bui_dead *dead, bui_buf *out)
{
    char first[32], last[32], time[32];
    bui_buf_printf(out, "%sletter %s%s\n", cli_colour_start(CLI_BOLD, c->colour), dead->id, cli_colour_end(c->colour));
    bui_buf_printf(out, "  service   %s, shard %" PRId32 "\n", dead->service, dead->shard);
    bui_buf_printf(out, "  state     %s%s%s, round %d%s\n", cli_colour_start(cli_letter_colour(dead->state), c->colour),
                   bui_deadletter_state_name(dead->state), cli_colour_end(c->colour), dead->round,
                   bui_dead_holds(dead) ? ", holds its key" : "");
    bui_buf_text(out, "  event     ");
    cli_clean(out, dead->type, strlen(dead->type));
    bui_buf_byte(out, ' ');
    cli_clean(out, dead->event_id, strlen(dead->event_id));
    if (*dead->replay) {
        bui_buf_text(out, "\n  a copy    sent by bus replay, run ");
        cli_clean(out, dead->replay, strlen(dead->replay));
    }
    bui_buf_text(out, "\n  from      ");
    cli_clean(out, dead->topic, strlen(dead->topic));
    bui_buf_printf(out, "/%" PRId32 " @ %" PRId64 "\n  attempts  %" PRId64 ", first failed %s, last %s\n  error     ",
                   dead->partition, dead->offset, dead->attempts, bui_time_text(dead->first_failed, first),
                   bui_time_text(dead->last_failed, last));
    cli_clean(out, dead->error_class, strlen(dead->error_class));
    bui_buf_text(out, ": ");
    cli_clean(out, dead->error_message, strlen(dead->error_message));
    bui_buf_text(out, "\n  history\n");
    for (const bui_dead_change *change = dead->changes; change; change = change->next) {
        bui_buf_printf(out, "    %s  %s, round %d", bui_time_text(change->at, time), bui_deadletter_state_name(change->state),
                       change->round);
        const char *texts[][2] = { { "  ", change->error }, { "  by ", change->by }, { ": ", change->reason } };
        for (size_t i = 0; i < 3; i++)
            if (*texts[i][1]) {
                bui_buf_text(out, texts[i][0]);
                cli_clean(out, texts[i][1], strlen(texts[i][1]));
            }
        bui_buf_byte(out, '\n');
    }
    bui_buf_printf(out, "  to do     %s\n", advice(dead));
    if (bui_dead_is_open(dead))
        bui_buf_printf(out, "            bus dlq redrive %s\n            bus dlq discard %s --reason TEXT\n", dead->id, dead->id);
}

static bus_status show_record(void *opaque, bui_dead *dead, const bui_record *record, bus_error *err)
{
    showing *s = opaque;
    (void)err;
    (void)dead;
    s->found = true;
    if (s->c->json) {
        bui_buf_text(s->out, ",\"record\":");
        cli_record_json(record, s->translator, s->out);
        if (bui_buf_ok(s->out))
            s->out->len--; /* its newline: the object goes on */
    } else {
        cli_record_text(record, s->translator, s->c->colour, s->out);
    }
    return BUS_OK;
}

static int show(cli *c, bui_dlq *dlq, bui_dead *dead)
{
    bui_buf out;
    bus_error err = { 0 };
    showing s = { .c = c, .out = &out };
    bui_buf_init(&out, 0);
    bus_status status = cli_translator_load(c, &s.translator, &err);
    if (status == BUS_OK) {
        if (c->json)
            letter_json(dead, &out);
        else
            letter_text(c, dead, &out);
        status = bui_dlq_records(dlq, &dead, 1, show_record, &s, NULL, &err);
    }
    if (status == BUS_OK && c->json)
        bui_buf_text(&out, "}\n");
    bui_translator_close(s.translator);
    if (status != BUS_OK) {
        bui_buf_free(&out);
        return cli_fail(c, &err);
    }
    if (!s.found)
        cli_note(c, "the record itself has expired from %s.dlq", dead->service);
    return cli_flush(c, &out, CLI_OK);
}

static int run_show(cli *c)
{
    bus_error err = { 0 };
    bui_dlq *dlq = NULL;
    size_t matches;
    if (cli_select_find(c, &dlq, &err) != BUS_OK)
        return cli_fail(c, &err);
    bui_dead *dead = bui_dead_find(bui_dlq_fold(dlq), c->operand[0], &matches);
    int code = dead      ? show(c, dlq, dead)
               : matches ? cli_failf(c, CLI_USAGE, "%zu dead letters begin with %s: write more of the id", matches, c->operand[0])
                         : cli_failf(c, CLI_NOTHING, "no dead letter %s; bus dlq list --letters --state all shows their ids",
                                     c->operand[0]);
    bui_dlq_close(dlq);
    return code;
}

const cli_command cli_dlq_show = {
    .name = "dlq show",
    .operands = "ID",
    .least = 1,
    .most = 1,
    .summary = "show all of one dead letter",
    .text = "Shows where the event came from, each error and each command about it, its headers and value, and what you\n"
            "can do. The beginning of an id is enough if no other id begins with it.",
    .options = show_options,
    .examples = "  bus dlq show 3f1c9a52\n  bus dlq show 3f1c9a52 -o json | jq .record.value",
    .run = run_show
};
