/* SPDX-License-Identifier: MIT
 * bus rebuild: a service's program rebuilds its stores from its topics; they are compared with the old ones and, if asked for,
 * replace them. */
#include "cli/cli.h"
#include "base/arena.h"
#include "base/error.h"
#include "cli/child.h"
#include "ops/compare.h"
#include "store/store.h"
#include "store/swap.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    { "program", 0, "PATH", "the service's program, with arguments if needed" },
    { "into", 0, "DIR", "build in DIR (default: a new directory in data.dir)" },
    { "replace", 0, NULL, "if nothing differs, put the new stores in the place of the old ones, which are kept" },
    { "force", 0, NULL, "with --replace: replace even if something differs" },
    { "incomplete", 0, NULL, "go on even if the topics do not hold all that the old stores knew; what is missing is logged" },
    { NULL, 0, NULL, NULL }
};

typedef struct rebuilt {
    int64_t shard, records, kept, expired, letters;
    const char *store;
    char old[512]; /* where the service looks for its store; there may be none */
    bui_comparison comparison;
    bool compared, replaced;
    char aside[512];
} rebuilt;

typedef struct job {
    cli *c;
    json_t *report;
    bui_arena arena;
    rebuilt *shards;
    size_t count, differing;
    int64_t letters; /* that differ from their topic */
} job;

/* Where the program keeps its data: as given to it, else as this command has it. `kept` is where a piece of --program is copied to. */
static const char *data_directory(const cli *c, char kept[400])
{
    const char *found = bui_config_text(c->config, "data.dir");
    for (const char *at = cli_value(c, "program"); at && (at = strstr(at, " --data.dir=")); at++) {
        snprintf(kept, 400, "%.*s", (int)strcspn(at + 12, " \t\n"), at + 12);
        found = kept;
    }
    for (int i = 0; i < c->operands; i++)
        if (!strncmp(c->operand[i], "--data.dir=", 11))
            found = c->operand[i] + 11;
    return found;
}

static bus_status read_report(job *j, const char *name, const bui_buf *text, bus_error *err)
{
    json_error_t wrong;
    json_t *item;
    char kept[400];
    size_t i;
    j->report = json_loadb((const char *)text->data, text->len, 0, &wrong);
    json_t *list = json_is_array(j->report) ? j->report : json_object_get(j->report, "shards");
    if (!json_is_array(list))
        return bui_fail(err, BUS_CORRUPT, "the program printed no report: is it a service of this bus?");
    if (!(j->shards = calloc(json_array_size(list) + 1, sizeof *j->shards)))
        return bui_fail_nomem(err);
    json_array_foreach(list, i, item)
    {
        rebuilt *at = &j->shards[j->count++];
        const char *store = json_string_value(json_object_get(item, "store")),
                   *place = json_string_value(json_object_get(item, "place"));
        at->shard = json_integer_value(json_object_get(item, "shard"));
        at->records = json_integer_value(json_object_get(item, "records"));
        at->kept = json_integer_value(json_object_get(item, "kept"));
        at->expired = json_integer_value(json_object_get(item, "expired"));
        at->letters = json_integer_value(json_object_get(item, "letters"));
        at->store = store;
        j->letters += at->letters;
        if (place)
            snprintf(at->old, sizeof at->old, "%s", place);
        else /* from before programs said so */
            snprintf(at->old, sizeof at->old, "%s/%s/%" PRId64 ".db", data_directory(j->c, kept), name, at->shard);
        if (!store)
            return bui_fail(err, BUS_CORRUPT, "the program's report names no store for shard %" PRId64, at->shard);
    }
    return BUS_OK;
}

static bus_status run_program(job *j, const char *into, bui_buf *text, int *code, bus_error *err)
{
    const char *added[] = { "--rebuild", "--into", into, "--output", "json", "--incomplete" };
    size_t count = sizeof added / sizeof added[0] - !cli_flag(j->c, "incomplete");
    cli_child child;
    bus_status status = cli_child_begin(j->c, cli_value(j->c, "program"), &child, err);
    if (status != BUS_OK)
        return status;
    for (int i = 0; status == BUS_OK && i < j->c->operands; i++)
        status = cli_child_add(&child, j->c->operand[i], err);
    for (size_t i = 0; status == BUS_OK && i < count; i++)
        status = cli_child_add(&child, added[i], err);
    if (status == BUS_OK)
        status = cli_child_run(&child, text, code, err);
    cli_child_free(&child);
    return status;
}

static bus_status compare(job *j, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < j->count; i++) {
        rebuilt *at = &j->shards[i];
        if (access(at->old, F_OK) != 0 || bui_store_unclaimed(at->old))
            continue; /* the old store is lost: that may be why it was rebuilt. A start that was refused since has left an empty one */
        status = bui_compare(at->old, at->store, &j->arena, &at->comparison, err);
        at->compared = status == BUS_OK;
        j->differing += at->comparison.differing;
    }
    return status;
}

static bus_status replace(job *j, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < j->count; i++) {
        rebuilt *at = &j->shards[i];
        status = bui_store_swap(at->store, at->old, cli_now(), at->aside, err);
        at->replaced = status == BUS_OK;
    }
    return status;
}

/* What the build left beside stores that have moved away; a directory that still holds anything else stays. */
static void remove_build(const job *j, const char *into)
{
    static const char *const rests[] = { "lock", "want", "running" };
    for (size_t i = 0; i < j->count; i++)
        for (size_t k = 0; k < sizeof rests / sizeof rests[0]; k++) {
            char path[600];
            snprintf(path, sizeof path, "%s/%" PRId64 ".%s", into, j->shards[i].shard, rests[k]);
            unlink(path);
        }
    rmdir(into);
}

static cli_table *tables_of(const job *j)
{
    static const cli_column columns[] = { { "SHARD", "shard", CLI_NUMBER },       { "TABLE", "table", CLI_TEXT },
                                          { "RESULT", "result", CLI_TEXT },       { "OLD ROWS", "old_rows", CLI_NUMBER },
                                          { "NEW ROWS", "new_rows", CLI_NUMBER }, { "OLD HASH", "old_hash", CLI_TEXT },
                                          { "NEW HASH", "new_hash", CLI_TEXT } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < j->count; i++)
        for (size_t k = 0; k < j->shards[i].comparison.count; k++) {
            const bui_table_comparison *at = &j->shards[i].comparison.table[k];
            cli_cell_int(table, j->shards[i].shard);
            cli_cell(table, at->name);
            cli_cell(table, bui_table_verdict_name(at->verdict));
            cli_paint(table, bui_table_differs(at) ? CLI_RED : CLI_GREEN);
            cli_cell_int(table, at->old_rows);
            cli_cell_int(table, at->new_rows);
            cli_cellf(table, "%016" PRIx64, at->old_hash);
            cli_cellf(table, "%016" PRIx64, at->new_hash);
        }
    return table;
}

/* The rows that differ, at most BUI_COMPARE_ROWS a side and table. */
static cli_table *rows_of(const job *j)
{
    static const cli_column columns[] = { { "SHARD", "shard", CLI_NUMBER },
                                          { "TABLE", "table", CLI_TEXT },
                                          { "ONLY IN", "only_in", CLI_TEXT },
                                          { "ROW", "row", CLI_LONG } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < j->count; i++)
        for (size_t k = 0; k < j->shards[i].comparison.count; k++) {
            const bui_table_comparison *at = &j->shards[i].comparison.table[k];
            for (int side = 0; side < 2; side++)
                for (int r = 0; r < (side ? at->only_new_count : at->only_old_count); r++) {
                    cli_cell_int(table, j->shards[i].shard);
                    cli_cell(table, at->name);
                    cli_cell(table, side ? "new" : "old");
                    cli_cell(table, side ? at->only_new[r] : at->only_old[r]);
                }
        }
    return table;
}

static cli_table *stores_of(const job *j)
{
    static const cli_column columns[] = { { "SHARD", "shard", CLI_NUMBER },     { "RECORDS", "records", CLI_NUMBER },
                                          { "TO SEND", "to_send", CLI_NUMBER }, { "EXPIRED", "expired", CLI_NUMBER },
                                          { "COMPARED", "compared", CLI_TEXT }, { "SAME", "same", CLI_TEXT },
                                          { "REPLACED", "replaced", CLI_TEXT }, { "NEW STORE", "store", CLI_LONG },
                                          { "OLD STORE", "old", CLI_LONG } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < j->count; i++) {
        const rebuilt *at = &j->shards[i];
        cli_cell_int(table, at->shard);
        cli_cell_int(table, at->records);
        cli_cell_int(table, at->kept);
        cli_cell_int(table, at->expired);
        cli_cell_bool(table, at->compared);
        if (at->compared)
            cli_cell_bool(table, !at->comparison.differing);
        else
            cli_cell(table, NULL);
        cli_cell_bool(table, at->replaced);
        cli_cell(table, at->replaced ? at->old : at->store);
        cli_cell(table, at->replaced ? (*at->aside ? at->aside : NULL) : at->compared ? at->old : NULL);
    }
    return table;
}

static int print(const job *j, int code)
{
    cli_table *tables[] = { stores_of(j), tables_of(j), rows_of(j) };
    static const char *const names[] = { "{\"stores\":", ",\n\"tables\":", ",\n\"rows\":" };
    bui_buf out;
    bui_buf_init(&out, 0);
    for (size_t i = 0; i < 3; i++) {
        if (!tables[i])
            out.failed = true;
        else if (j->c->json) {
            bui_buf_text(&out, names[i]);
            cli_table_json(tables[i], &out);
        } else if (cli_table_rows(tables[i])) {
            bui_buf_text(&out, i ? "\n" : "");
            cli_table_text(tables[i], j->c->colour, j->c->columns, &out);
        }
        cli_table_free(tables[i]);
    }
    if (j->c->json)
        bui_buf_printf(&out, ",\n\"differing_tables\":%zu,\n\"differing_letters\":%" PRId64 "}\n", j->differing, j->letters);
    return cli_flush(j->c, &out, code);
}

static int run(cli *c)
{
    job j = { .c = c };
    bus_error err = { 0 };
    bui_buf text;
    char fresh[512], name[64], kept[400];
    const char *into = cli_value(c, "into");
    int child_code = 0, code;
    if (!cli_value(c, "program"))
        return cli_failf(c, CLI_USAGE, "say which: --program PATH of the service's program");
    if (!into) {
        snprintf(fresh, sizeof fresh, "%s/rebuild-%" PRId64, data_directory(c, kept), cli_now());
        into = fresh;
    }
    bui_buf_init(&text, 16 << 20);
    bui_arena_init(&j.arena, 0);
    bus_status status = cli_child_name(c, cli_value(c, "program"), name, &err);
    if (status == BUS_OK)
        cli_note(c, "rebuilding %s into %s", name, into);
    if (status == BUS_OK)
        status = run_program(&j, into, &text, &child_code, &err);
    if (status == BUS_OK && child_code != 0) {
        /* It has said why on stderr, and its exit codes are ours. */
        code = child_code;
        goto out;
    }
    if (status == BUS_OK)
        status = read_report(&j, name, &text, &err);
    if (status == BUS_OK)
        status = compare(&j, &err);
    bool differs = j.differing || (j.letters && !cli_flag(c, "incomplete"));
    bool replaces = cli_flag(c, "replace") && (!differs || cli_flag(c, "force"));
    if (status == BUS_OK && replaces)
        status = replace(&j, &err);
    if (status == BUS_OK && replaces && into == fresh)
        remove_build(&j, into);
    code = differs ? CLI_PARTIAL : CLI_OK;
    if (j.count)
        code = print(&j, code);
    if (status != BUS_OK)
        code = cli_fail(c, &err);
    else if (differs)
        cli_note(c, "%zu tables differ, %" PRId64 " dead letters differ from their topic%s", j.differing, j.letters,
                 replaces || !cli_flag(c, "replace")
                     ? ""
                     : ": nothing was replaced. Find out why; to use the new stores anyway: --replace --force");
out:
    json_decref(j.report);
    free(j.shards);
    bui_arena_free(&j.arena);
    bui_buf_free(&text);
    return code;
}

const cli_command cli_rebuild = {
    .name = "rebuild",
    .operands = "[-- ARGUMENT...]",
    .least = 0,
    .most = -1,
    .summary = "rebuild a service's stores from its topics, and compare them",
    .text = "Stop the service first. The service's own program, run with --rebuild, reads its inputs from their start,\n"
            "through its handlers, into new stores. Then every table of the service, and what waits in the library's\n"
            "tables (keys, parked events, dead letters, schedules), is compared with the old store: number of rows, a\n"
            "hash of the content, and the rows that differ. Columns that only the new store has are left out. Exit code 3\n"
            "if any differs, or if a dead letter is not what the dead-letter topic last said of it (then an event ran with\n"
            "another result than before).\n\n"
            "Without --replace old and new stores stay where they are. With --replace the new stores take the place of\n"
            "the old ones if nothing differs, or with --force. It refuses, and says why, where the topics do not hold\n"
            "everything (a log has lost its start, bus_transact was used); --incomplete accepts that.\n\n"
            "TO SEND counts the outbox rows and the scheduled events that will leave when the service starts; EXPIRED the\n"
            "rows that are assumed to be sent, because retention has deleted that part of their topic. ARGUMENTs go to\n"
            "the program.",
    .options = options,
    .examples = "  bus rebuild --program build/release/bin/inventory -- --data.dir=/var/lib/shop\n"
                "  bus rebuild --program build/release/bin/inventory --replace -o json",
    .run = run
};
