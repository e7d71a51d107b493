/* SPDX-License-Identifier: MIT
 * bus outbox list, show, retry, discard: rows that Kafka refuses, and what to do about them. */
#include "cli/cli.h"
#include "base/array.h"
#include "base/error.h"
#include "cli/render.h"
#include "cli/translate.h"
#include "ops/refused.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_OPTION \
    { \
        "data", 'd', "DIR", "where the stores are (property data.dir)" \
    }

static const char *data_of(const cli *c)
{
    const char *data = cli_value(c, "data");
    return data ? data : bui_config_text(c->config, "data.dir");
}

/* ---- list */

static const cli_option list_options[] = { DATA_OPTION, { NULL, 0, NULL, NULL } };

static bool list_row(void *opaque, const bui_refused_row *row)
{
    cli_table *table = opaque;
    cli_cell(table, row->name);
    cli_cell(table, row->waits ? "waits" : "passed by");
    cli_paint(table, row->waits ? CLI_RED : CLI_YELLOW);
    cli_cell_int(table, row->behind);
    cli_cell(table, row->record.topic);
    cli_cell_int(table, row->record.partition);
    cli_cell_bytes(table, row->record.key, row->record.key_len);
    cli_cell_int(table, row->size);
    cli_cell_time(table, row->made);
    cli_cell(table, row->event_id);
    cli_cell(table, row->error);
    return true;
}

static int run_list(cli *c)
{
    static const cli_column columns[] = { { "ROW", "row", CLI_TEXT },          { "STATE", "state", CLI_TEXT },
                                          { "BEHIND", "behind", CLI_NUMBER },  { "TOPIC", "topic", CLI_LONG },
                                          { "PART", "partition", CLI_NUMBER }, { "KEY", "key", CLI_LONG },
                                          { "BYTES", "bytes", CLI_NUMBER },    { "SINCE", "since", CLI_TEXT },
                                          { NULL, "event_id", CLI_TEXT },      { "ERROR", "error", CLI_LONG } };
    bus_error err = { 0 };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    bus_status status = table ? bui_refused_read(data_of(c), c->operand[0], list_row, table, &err) : bui_fail_nomem(&err);
    if (status != BUS_OK) {
        cli_table_free(table);
        return cli_fail(c, &err);
    }
    bool none = !cli_table_rows(table);
    int code = cli_print(c, table, none ? CLI_NOTHING : CLI_OK);
    if (none)
        cli_note(c, "Kafka refuses no row of %s", c->operand[0]);
    return code;
}

const cli_command cli_outbox_list = {
    .name = "outbox list",
    .operands = "SERVICE",
    .least = 1,
    .most = 1,
    .summary = "list the outbox rows that Kafka refuses",
    .text = "Reads the service's stores; the service may run. A row that Kafka refuses, because it is too large for its\n"
            "topic for example, stays in the outbox until you retry or discard it. With outbox.refused=wait the later\n"
            "rows to that partition wait; BEHIND counts them. BYTES is the size as a broker counts it. Exit code 4 if\n"
            "there is none.",
    .options = list_options,
    .examples = "  bus outbox list order --data /var/lib/shop\n"
                "  bus outbox list order -o json",
    .run = run_list
};

/* ---- show */

static const cli_option show_options[] = { DATA_OPTION,
                                           { "schema", 0, "FILE", "decode with this .avsc too; may be repeated" },
                                           CLI_JSON_OPTION,
                                           { "raw", 0, NULL, "do not decode" },
                                           { NULL, 0, NULL, NULL } };

typedef struct showing {
    const cli *c;
    bui_translator *translator;
    bui_buf out;
    size_t found;
} showing;

static bool is_named(const bui_refused_row *row, const char *name)
{
    size_t len = strlen(name);
    return strncmp(row->name, name, len) == 0 && (row->name[len] == 0 || row->name[len] == '@');
}

static bool show_row(void *opaque, const bui_refused_row *row)
{
    showing *s = opaque;
    if (!is_named(row, s->c->operand[1]))
        return true;
    s->found++;
    if (s->c->json) {
        bui_buf_printf(&s->out,
                       "{\"row\":\"%s\",\"state\":\"%s\",\"behind\":%" PRId64 ",\"bytes\":%" PRId64 ",\"seq\":%" PRId64
                       ",\"error\":",
                       row->name, row->waits ? "waits" : "passed by", row->behind, row->size, row->seq);
        bui_buf_json(&s->out, row->error, strlen(row->error));
        bui_buf_text(&s->out, ",\"record\":");
        cli_record_json(&row->record, s->translator, &s->out);
        if (bui_buf_ok(&s->out))
            s->out.len--; /* its newline: the object goes on */
        bui_buf_text(&s->out, "}\n");
        return true;
    }
    bui_buf_printf(&s->out, "row %s, %" PRId64 " bytes as a broker counts, %s", row->name, row->size,
                   row->waits ? "later rows wait behind it" : "later rows were sent");
    bui_buf_text(&s->out, "\n  error     ");
    cli_clean(&s->out, row->error, strlen(row->error));
    bui_buf_printf(&s->out,
                   "\n  to do     remove the cause (raise the topic's max.message.bytes, say), then\n            bus "
                   "outbox retry %s %s\n"
                   "            bus outbox discard %s %s --reason TEXT\n",
                   s->c->operand[0], row->name, s->c->operand[0], row->name);
    cli_record_text(&row->record, s->translator, s->c->colour, &s->out);
    return true;
}

static int run_show(cli *c)
{
    bus_error err = { 0 };
    showing s = { .c = c };
    bui_buf_init(&s.out, 0);
    bus_status status = cli_translator_load(c, &s.translator, &err);
    if (status == BUS_OK)
        status = bui_refused_read(data_of(c), c->operand[0], show_row, &s, &err);
    bui_translator_close(s.translator);
    if (status != BUS_OK || !s.found) {
        bui_buf_free(&s.out);
        return status != BUS_OK ? cli_fail(c, &err)
                                : cli_failf(c, CLI_NOTHING, "Kafka refuses no row %s of %s; bus outbox list shows them",
                                            c->operand[1], c->operand[0]);
    }
    return cli_flush(c, &s.out, CLI_OK);
}

const cli_command cli_outbox_show = { .name = "outbox show",
                                      .operands = "SERVICE ROW",
                                      .least = 2,
                                      .most = 2,
                                      .summary = "show a refused row: its event, why, what to do",
                                      .text = "ROW is what bus outbox list shows; you may leave out the part after the @.",
                                      .options = show_options,
                                      .examples = "  bus outbox show order 0/1234",
                                      .run = run_show };

/* ---- retry, discard */

static const cli_option decide_options[] = { { "all", 0, NULL, "every refused row of the service" },
                                             DATA_OPTION,
                                             { "reason", 'r', "TEXT", "why; kept with the row (discard needs it)" },
                                             { "wait", 0, "TIME", "how long to wait for the outcome (10s; 0: only send)" },
                                             { NULL, 0, NULL, NULL } };

typedef struct job {
    const cli *c;
    bui_decision *decision;
    size_t count, cap;
    bool failed;
} job;

static bool take_row(void *opaque, const bui_refused_row *row)
{
    job *j = opaque;
    bool wanted = cli_flag(j->c, "all");
    for (int i = 1; i < j->c->operands; i++)
        wanted |= is_named(row, j->c->operand[i]);
    if (!wanted)
        return true;
    if ((j->failed = !bui_array_room(&j->decision, &j->cap, j->count + 1, sizeof *j->decision, 16)))
        return false;
    bui_decision *decision = &j->decision[j->count++];
    *decision = (bui_decision){ .status = BUS_CANCELLED, .end = BUI_DECISION_SENT };
    snprintf(decision->name, sizeof decision->name, "%s", row->name);
    return true;
}

static const char *word_of(const bui_decision *decision, bui_command_kind kind)
{
    if (decision->status != BUS_OK)
        return "not sent";
    switch (decision->end) {
    case BUI_DECISION_LEFT: return kind == BUI_COMMAND_ROW_RETRY ? "left" : "was sent";
    case BUI_DECISION_GIVEN_UP: return kind == BUI_COMMAND_ROW_RETRY ? "was discarded" : "discarded";
    case BUI_DECISION_AGAIN: return "refused again";
    case BUI_DECISION_TAKEN: return "on its way";
    default: return "sent";
    }
}

static int print(const job *j, bui_command_kind kind, bool waited)
{
    static const cli_column columns[] = { { "ROW", "row", CLI_TEXT },
                                          { "OUTCOME", "outcome", CLI_TEXT },
                                          { "WHY", "why", CLI_LONG } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    size_t good = 0;
    int wanted = kind == BUI_COMMAND_ROW_RETRY ? BUI_DECISION_LEFT : BUI_DECISION_GIVEN_UP;
    for (size_t i = 0; table && i < j->count; i++) {
        const bui_decision *decision = &j->decision[i];
        good += decision->status == BUS_OK && ((int)decision->end == wanted || !waited);
        cli_cell(table, decision->name);
        cli_cell(table, word_of(decision, kind));
        cli_paint(table, (int)decision->end == wanted ? CLI_GREEN : CLI_YELLOW);
        cli_cell(table, decision->text);
    }
    return cli_print(j->c, table, good == j->count ? CLI_OK : CLI_PARTIAL);
}

static int run_decide(cli *c, bui_command_kind kind)
{
    job j = { .c = c };
    bus_error err = { 0 };
    char by[256];
    int64_t wait_ms = 10000;
    int code;
    cli_watch watch;
    const char *reason = cli_value(c, "reason");
    if (cli_flag(c, "all") == (c->operands > 1))
        return cli_failf(c, CLI_USAGE, "name rows, or say --all, not both; bus outbox list shows them");
    if (kind == BUI_COMMAND_ROW_DISCARD && (!reason || !*reason))
        return cli_failf(c, CLI_USAGE, "say why: --reason TEXT is kept with the row's number");
    if (reason && strlen(reason) > 500)
        return cli_failf(c, CLI_USAGE, "a reason has at most 500 bytes");
    if (!cli_duration(c, "wait", &wait_ms))
        return CLI_USAGE;
    cli_operator(by);
    bus_status status = bui_refused_read(data_of(c), c->operand[0], take_row, &j, &err);
    if (status == BUS_OK && j.failed)
        status = bui_fail_nomem(&err);
    if (status == BUS_OK && !j.count) {
        free(j.decision);
        return cli_failf(c, CLI_NOTHING, "Kafka refuses no such row of %s; bus outbox list shows them", c->operand[0]);
    }
    cli_watch_begin(c, &watch, "waiting for the outcome");
    if (status == BUS_OK)
        status = bui_refused_decide(c->config, data_of(c), c->operand[0], kind, reason, by, j.decision, j.count, c->timeout_ms,
                                    wait_ms, &watch.watch, &err);
    cli_watch_end(&watch);
    code = status == BUS_OK ? print(&j, kind, wait_ms > 0) : cli_fail(c, &err);
    if (status == BUS_OK && code == CLI_PARTIAL)
        cli_note(
            c,
            kind == BUI_COMMAND_ROW_RETRY
                ? "not every row was sent; see bus outbox list (is the service running?)"
                : "not every row was discarded; what was sent before is on its topic (see bus outbox list; is the service running?)");
    free(j.decision);
    return code;
}

static int run_retry(cli *c)
{
    return run_decide(c, BUI_COMMAND_ROW_RETRY);
}

static int run_discard(cli *c)
{
    return run_decide(c, BUI_COMMAND_ROW_DISCARD);
}

const cli_command cli_outbox_retry = {
    .name = "outbox retry",
    .operands = "SERVICE [ROW...]",
    .least = 1,
    .most = -1,
    .summary = "send refused rows again",
    .text = "First remove the cause: raise the topic's max.message.bytes, for example. The command goes to the service on\n"
            "<service>.redrive; if the service does not run, it takes the command at its next start. The rows that waited\n"
            "follow, in order. A row that Kafka refuses again stays in the outbox.",
    .options = decide_options,
    .examples = "  bus outbox retry order 0/1234\n"
                "  bus outbox retry order --all",
    .run = run_retry
};

const cli_command cli_outbox_discard = {
    .name = "outbox discard",
    .operands = "SERVICE [ROW...]",
    .least = 1,
    .most = -1,
    .summary = "give up refused rows for good",
    .text = "The event will not be sent. The rows that waited behind it will be, and their receivers report a gap of one.\n"
            "Who discarded it, and why, is kept in the store and logged, and bus audit shows it.",
    .options = decide_options,
    .examples = "  bus outbox discard order 0/1234 --reason \"a test order with a 2 MB note\"",
    .run = run_discard
};
