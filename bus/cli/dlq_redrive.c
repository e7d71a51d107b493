/* SPDX-License-Identifier: MIT
 * bus dlq redrive, bus dlq discard: an operator's command about dead letters, and its outcome. */
#include "cli/cli.h"
#include "base/error.h"
#include "cli/select.h"
#include "ops/redrive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = { { "all", 'a', NULL, "every open dead letter that the options below select" },
                                      CLI_SELECT_OPTIONS,
                                      { "dry-run", 0, NULL, "show what would be sent, send nothing" },
                                      { "reason", 'r', "TEXT", "why; kept with the dead letter (discard needs it)" },
                                      { "yes", 'y', NULL, "do not ask for confirmation" },
                                      { "wait", 'w', "TIME", "how long to wait for the outcome (10s; 0: only send)" },
                                      { NULL, 0, NULL, NULL } };

typedef struct job {
    cli *c;
    bui_command_kind kind;
    bui_dlq *dlq;
    bui_deadletter_outcome *outcomes;
    size_t count, final; /* so many of them are known to be final */
    int64_t wait_ms;
} job;

static int select_by_id(job *j)
{
    for (int i = 0; i < j->c->operands; i++) {
        size_t matches;
        const char *id = j->c->operand[i];
        bui_dead *dead = bui_dead_find(bui_dlq_fold(j->dlq), id, &matches);
        if (!dead)
            return matches ? cli_failf(j->c, CLI_USAGE, "%zu dead letters begin with %s: write more of the id", matches, id)
                           : cli_failf(j->c, CLI_NOTHING, "no dead letter %s; bus dlq list --letters --state all shows their ids",
                                       id);
        bool twice = false;
        for (size_t k = 0; k < j->count; k++)
            twice |= j->outcomes[k].dead == dead;
        if (!twice)
            j->outcomes[j->count++].dead = dead;
    }
    return CLI_OK;
}

static int select_all(job *j)
{
    bui_dead_filter filter;
    if (!cli_select_filter(j->c, &filter))
        return CLI_USAGE;
    filter.states = 1u << BUI_DEADLETTER_OPEN;
    for (size_t i = 0; i < bui_dead_count(bui_dlq_fold(j->dlq)); i++) {
        bui_dead *dead = bui_dead_at(bui_dlq_fold(j->dlq), i);
        if (bui_dead_matches(dead, &filter))
            j->outcomes[j->count++].dead = dead;
    }
    return j->count ? CLI_OK : cli_failf(j->c, CLI_NOTHING, "no open dead letter matches");
}

static cli_table *table_of(const job *j, bool dry)
{
    static const cli_column columns[] = { { "ID", "id", CLI_TEXT },         { "SERVICE", "service", CLI_TEXT },
                                          { "TYPE", "type", CLI_LONG },     { "KEY", "key", CLI_LONG },
                                          { "ROUND", "round", CLI_NUMBER }, { "OUTCOME", "outcome", CLI_TEXT },
                                          { "WHY", "why", CLI_LONG } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < j->count; i++) {
        const bui_deadletter_outcome *outcome = &j->outcomes[i];
        const bui_dead *dead = outcome->dead;
        bool again = outcome->sent && dead->round > outcome->round;
        const char *word = !dry ? bui_outcome_word(outcome, j->kind) : bui_dead_is_open(dead) ? "would be sent" : "not open";
        cli_cell(table, dead->id);
        cli_cell(table, dead->service);
        cli_cell(table, *dead->type ? dead->type : NULL);
        cli_cell_bytes(table, dead->key, dead->key_len);
        cli_cell_int(table, dry ? dead->round : outcome->round);
        cli_cell(table, word);
        cli_paint(table, again || !strcmp(word, "not sent")                        ? CLI_RED
                         : !strcmp(word, "resolved") || !strcmp(word, "discarded") ? CLI_GREEN
                                                                                   : CLI_YELLOW);
        cli_cell(table, again ? dead->error_message : dry || outcome->sent ? "" : outcome->text);
    }
    return table;
}

/* 0 all as asked; 3 some not; 5 none was open any more. */
static int code_of(const job *j)
{
    size_t good = 0, refused = 0;
    for (size_t i = 0; i < j->count; i++) {
        const bui_deadletter_outcome *outcome = &j->outcomes[i];
        const char *word = bui_outcome_word(outcome, j->kind);
        bool taken = outcome->sent && (!strcmp(word, "resolved") || !strcmp(word, "discarded") || !strcmp(word, "accepted"));
        good += taken || (outcome->sent && !j->wait_ms);
        refused += outcome->status == BUS_REFUSED;
    }
    return good == j->count ? CLI_OK : refused == j->count ? CLI_REFUSED : CLI_PARTIAL;
}

static bool enough(void *opaque)
{
    job *j = opaque;
    return bui_outcomes_final(j->outcomes, j->count, &j->final);
}

static bool confirmed(const job *j)
{
    char answer[16] = "";
    if (cli_flag(j->c, "yes") || j->c->operands)
        return true;
    if (!isatty(STDIN_FILENO)) {
        cli_failf(j->c, CLI_REFUSED,
                  "%zu dead letters match, and there is no terminal to ask on: give --yes, or see them first "
                  "with --dry-run",
                  j->count);
        return false;
    }
    fprintf(stderr, "%s %zu dead letters? [y/N]  ", bui_command_name(j->kind), j->count);
    if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
        cli_failf(j->c, CLI_REFUSED, "nothing was sent");
        return false;
    }
    return true;
}

static int send_and_wait(job *j)
{
    cli *c = j->c;
    char by[256];
    bus_error err = { 0 };
    cli_watch watch;
    cli_operator(by);
    cli_watch_begin(c, &watch, "sending commands");
    bus_status status = bui_redrive(j->dlq, c->config, j->kind, cli_value(c, "reason"), by, j->outcomes, j->count, c->timeout_ms,
                                    &watch.watch, &err);
    cli_watch_end(&watch);
    const char *stopped = NULL;
    for (size_t i = 0; i < j->count; i++)
        stopped = j->outcomes[i].sent && j->outcomes[i].stopped ? j->outcomes[i].dead->service : stopped;
    if (status == BUS_OK && j->wait_ms) {
        cli_watch_begin(c, &watch, "waiting for the outcome");
        status = bui_dlq_follow(j->dlq, j->wait_ms, enough, j, &watch.watch, &err);
        cli_watch_end(&watch);
    }
    int code = cli_print(c, table_of(j, false), code_of(j));
    if (stopped && !enough(j))
        cli_note(c, "no process of %s runs: the commands wait in %s.redrive until one does", stopped, stopped);
    else if (status == BUS_OK && j->wait_ms && !enough(j))
        cli_note(c,
                 "not every dead letter has its outcome yet; see bus dlq list --letters --state all (is the service running?)");
    return status == BUS_OK ? code : cli_fail(c, &err);
}

static int run(cli *c, bui_command_kind kind)
{
    job j = { .c = c, .kind = kind, .wait_ms = 10000 };
    bus_error err = { 0 };
    bool all = cli_flag(c, "all");
    const char *reason = cli_value(c, "reason");
    int code;
    if (all == (c->operands > 0))
        return cli_failf(c, CLI_USAGE, "%s; see --help",
                         all ? "name dead letters or say --all, not both" : "name a dead letter, or say --all");
    if (kind == BUI_COMMAND_DISCARD && (!reason || !*reason))
        return cli_failf(c, CLI_USAGE, "say why: --reason TEXT is kept with the dead letter");
    if (reason && strlen(reason) > 500)
        return cli_failf(c, CLI_USAGE, "a reason has at most 500 bytes");
    if (!cli_duration(c, "wait", &j.wait_ms))
        return CLI_USAGE;
    if ((all ? cli_select_open(c, NULL, &j.dlq, &err) : cli_select_find(c, &j.dlq, &err)) != BUS_OK)
        return cli_fail(c, &err);
    j.outcomes = calloc(bui_dead_count(bui_dlq_fold(j.dlq)) + (size_t)c->operands + 1, sizeof *j.outcomes);
    if (!j.outcomes) {
        code = cli_failf(c, CLI_ERROR, "no memory");
        goto out;
    }
    code = all ? select_all(&j) : select_by_id(&j);
    if (code != CLI_OK)
        goto out;
    if (cli_flag(c, "dry-run"))
        code = cli_print(c, table_of(&j, true), CLI_OK);
    else
        code = confirmed(&j) ? send_and_wait(&j) : CLI_REFUSED;
out:
    free(j.outcomes);
    bui_dlq_close(j.dlq);
    return code;
}

static int run_redrive(cli *c)
{
    return run(c, BUI_COMMAND_REDRIVE);
}

static int run_discard(cli *c)
{
    return run(c, BUI_COMMAND_DISCARD);
}

const cli_command cli_dlq_redrive = {
    .name = "dlq redrive",
    .operands = "[ID...]",
    .least = 0,
    .most = -1,
    .summary = "send dead letters to their service again",
    .text = "A redriven event runs as if it had just arrived: in its key's order, once, with all its attempts. First\n"
            "remove the cause. If another event removes it, wait until the service has handled that event: bus lag\n"
            "SERVICE --max 0.\n\n"
            "OUTCOME is read from <service>.dlq: resolved (handled), failed again (the dead letter is open again, at the\n"
            "next round), accepted (the service has the command, the event still waits) or sent (the service has not\n"
            "taken the command yet). A dead letter that is no longer open is answered \"already\": repeating a command does\n"
            "no harm. If no process of the service runs, a note says so. If its consumer group does not exist (was it\n"
            "renamed?), nothing is sent. A dead letter of a copy that bus replay sent stays a copy: what it emits is\n"
            "dropped again.",
    .options = options,
    .examples = "  bus dlq redrive 3f1c9a52\n"
                "  bus dlq redrive --all --type payment.TakePayment --error timeout --dry-run\n"
                "  bus dlq redrive --all -s payment --since @-2h --yes -r \"provider is back\"",
    .run = run_redrive
};

const cli_command cli_dlq_discard = {
    .name = "dlq discard",
    .operands = "[ID...]",
    .least = 0,
    .most = -1,
    .summary = "give up dead letters for good",
    .text = "The event will not be handled. If its key waits for it, the later events of the key go on. The reason, and\n"
            "who gave it, are kept with the dead letter.",
    .options = options,
    .examples = "  bus dlq discard 3f1c9a52 --reason \"test order, never paid\"\n"
                "  bus dlq discard --all --error \"unknown item\" --dry-run -r \"items withdrawn\"",
    .run = run_discard
};
