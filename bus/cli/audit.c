/* SPDX-License-Identifier: MIT
 * bus audit: do stores and topics agree, and do the services' invariants hold? */
#include "cli/cli.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "cli/child.h"
#include "ops/audit.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AGAIN_MS 2000

static const cli_option options[] = {
    { "program", 0, "PATH", "audit this program's service; may be repeated" },
    { "service", 0, "NAME", "audit the service of this name; may be repeated (default: all that have stores)" },
    { "data", 'd', "DIR", "where the stores are (property data.dir)" },
    { "invariants", 0, "FILE", "a file of SQL queries that must find nothing; may be repeated. docs/bus.1 names the tables" },
    { "watch", 'w', NULL, "look again at what was found, until it is gone or --within has passed" },
    { "within", 0, "TIME", "how long what was found may be in flight, with --watch (default 30s)" },
    { NULL, 0, NULL, NULL }
};

typedef struct job {
    cli *c;
    const char *data;
    char **path;
    size_t paths, path_cap;
    /* of one look */
    int64_t began_us;
    cli_table *findings, *totals;
    int64_t violated, in_flight, noted;
    /* of all of them, with --watch */
    bool watches;
    int64_t within_us;
    bui_map first; /* rule, where and id of a finding -> when the look began that found it first */
} job;

/* ---- which stores */

static bus_status add_store(job *j, const char *service, const char *file, bus_error *err)
{
    size_t cap = strlen(j->data) + strlen(service) + strlen(file) + 3;
    if (!bui_array_room(&j->path, &j->path_cap, j->paths + 1, sizeof *j->path, 16))
        return bui_fail_nomem(err);
    char *path = malloc(cap);
    if (!path)
        return bui_fail_nomem(err);
    snprintf(path, cap, "%s/%s/%s", j->data, service, file);
    j->path[j->paths++] = path;
    return BUS_OK;
}

/* <data>/<service>/<shard>.db and nothing else: a rebuilt store's predecessor lies beside it under another name. */
static bool is_store(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && !strcmp(name + digits, ".db");
}

static bus_status add_service(job *j, const char *service, bool named, bus_error *err)
{
    char directory[4096];
    size_t before = j->paths;
    bus_status status = BUS_OK;
    const struct dirent *entry;
    snprintf(directory, sizeof directory, "%s/%s", j->data, service);
    DIR *dir = opendir(directory);
    if (!dir && named)
        return bui_fail(err, BUS_MISSING, "%s: %s; name the data directory with --data", directory, strerror(errno));
    while (status == BUS_OK && dir && (entry = readdir(dir)))
        if (is_store(entry->d_name))
            status = add_store(j, service, entry->d_name, err);
    if (dir)
        closedir(dir);
    if (status == BUS_OK && named && j->paths == before)
        status = bui_fail(err, BUS_MISSING, "%s holds no store of %s; name the data directory with --data", directory, service);
    return status;
}

static bus_status add_all(job *j, bus_error *err)
{
    bus_status status = BUS_OK;
    const struct dirent *entry;
    DIR *dir = opendir(j->data);
    if (!dir)
        return bui_fail(err, BUS_MISSING, "%s: %s; name the data directory with --data", j->data, strerror(errno));
    while (status == BUS_OK && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, "rebuild-", 8) != 0)
            status = add_service(j, entry->d_name, false, err);
    closedir(dir);
    if (status == BUS_OK && !j->paths)
        status = bui_fail(err, BUS_MISSING, "%s holds no stores; name the data directory with --data", j->data);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bus_status find_stores(job *j, bus_error *err)
{
    const char *item;
    char name[64];
    bus_status status = BUS_OK;
    for (int i = 0; status == BUS_OK && (item = cli_nth(j->c, "program", i)); i++) {
        status = cli_child_name(j->c, item, name, err);
        if (status == BUS_OK)
            status = add_service(j, name, true, err);
    }
    for (int i = 0; status == BUS_OK && (item = cli_nth(j->c, "service", i)); i++)
        status = add_service(j, item, true, err);
    if (status == BUS_OK && !cli_value(j->c, "program") && !cli_value(j->c, "service"))
        status = add_all(j, err);
    if (j->paths)
        qsort(j->path, j->paths, sizeof *j->path, by_name);
    size_t kept = 0; /* named twice, by program and by name */
    for (size_t i = 0; i < j->paths; i++) {
        if (kept && !strcmp(j->path[kept - 1], j->path[i]))
            free(j->path[i]);
        else
            j->path[kept++] = j->path[i];
    }
    j->paths = kept;
    return status;
}

/* ---- one look */

/* May it be on its way still, found first less than --within ago? -1: no memory. */
static int flies(job *j, const bui_finding *finding)
{
    if (!j->watches)
        return 0;
    bui_buf key;
    bui_buf_init(&key, 0);
    bui_buf_printf(&key, "%s\t%s\t%s", finding->rule, finding->where, finding->id);
    bool ok = bui_buf_ok(&key);
    intptr_t first = ok ? (intptr_t)bui_map_get(&j->first, key.data, key.len) : 0;
    if (ok && !first) {
        first = (intptr_t)j->began_us;
        ok = bui_map_put(&j->first, key.data, key.len, (void *)first);
    }
    bui_buf_free(&key);
    return !ok ? -1 : j->began_us - first < j->within_us;
}

static bool found(void *opaque, const bui_finding *finding)
{
    job *j = opaque;
    bool violates = finding->weight == BUI_AUDIT_VIOLATED;
    int flying = violates ? flies(j, finding) : 0;
    if (flying < 0)
        return false;
    (*(!violates ? &j->noted : flying ? &j->in_flight : &j->violated))++;
    cli_cell(j->findings, !violates ? "noted" : flying ? "in flight" : "violated");
    cli_paint(j->findings, violates && !flying ? CLI_RED : CLI_YELLOW);
    cli_cell(j->findings, finding->rule);
    cli_cell(j->findings, finding->where);
    cli_cell(j->findings, finding->id);
    cli_cell(j->findings, finding->text);
    return true;
}

static bool total(void *opaque, const bui_audit_total *sum)
{
    cli_table *table = ((job *)opaque)->totals;
    cli_cell(table, sum->service);
    cli_cell(table, sum->topic);
    cli_cell_int(table, sum->records);
    cli_cell_int(table, sum->processed);
    cli_cell_int(table, sum->waiting);
    cli_cell_int(table, sum->dead);
    cli_cell_int(table, sum->copies);
    cli_cell_int(table, sum->unread);
    return true;
}

static bus_status read_text(const char *path, char **out, bus_error *err)
{
    char chunk[4096];
    size_t n;
    bui_buf text;
    FILE *file = fopen(path, "rb");
    if (!file)
        return bui_fail(err, BUS_IO, "%s: %s", path, strerror(errno));
    bui_buf_init(&text, 1 << 20);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        bui_buf_add(&text, chunk, n);
    bool whole = !ferror(file) && bui_buf_ok(&text);
    fclose(file);
    char *taken = whole ? bui_buf_take(&text) : NULL;
    bui_buf_free(&text);
    if (!taken)
        return bui_fail(err, BUS_IO, "%s cannot be read, or is over 1 MiB", path);
    *out = taken;
    return BUS_OK;
}

static bus_status declared(job *j, bui_audit *audit, bus_error *err)
{
    const char *file;
    bus_status status = BUS_OK;
    for (int i = 0; status == BUS_OK && (file = cli_nth(j->c, "invariants", i)); i++) {
        char *text = NULL;
        status = read_text(file, &text, err);
        if (status == BUS_OK)
            status = bui_audit_invariants(audit, file, text, found, j, err);
        free(text);
    }
    return status;
}

static bus_status look(job *j, bus_error *err)
{
    static const cli_column finding_columns[] = { { "STATE", "state", CLI_TEXT },
                                                  { "RULE", "rule", CLI_TEXT },
                                                  { "WHERE", "where", CLI_LONG },
                                                  { "ID", "id", CLI_TEXT },
                                                  { "WHAT", "what", CLI_LONG } };
    static const cli_column total_columns[] = { { "SERVICE", "service", CLI_TEXT },   { "TOPIC", "topic", CLI_LONG },
                                                { "RECORDS", "records", CLI_NUMBER }, { "PROCESSED", "processed", CLI_NUMBER },
                                                { "WAITING", "waiting", CLI_NUMBER }, { "DEAD", "dead", CLI_NUMBER },
                                                { "COPIES", "copies", CLI_NUMBER },   { "UNREAD", "unread", CLI_NUMBER } };
    bui_audit_sources sources = { .paths = (const char *const *)j->path,
                                  .count = j->paths,
                                  .tables = cli_value(j->c, "invariants") != NULL,
                                  .timeout_ms = j->c->timeout_ms };
    bui_audit *audit = NULL;
    cli_watch watch;
    cli_table_free(j->findings);
    cli_table_free(j->totals);
    j->violated = j->in_flight = j->noted = 0;
    j->findings = cli_table_new(finding_columns, sizeof finding_columns / sizeof *finding_columns);
    j->totals = cli_table_new(total_columns, sizeof total_columns / sizeof *total_columns);
    if (!j->findings || !j->totals)
        return bui_fail_nomem(err);
    cli_watch_begin(j->c, &watch, "auditing");
    bus_status status = bui_audit_look(j->c->config, &sources, &watch.watch, &audit, err);
    if (status == BUS_OK)
        status = bui_audit_rules(audit, found, j, err);
    if (status == BUS_OK)
        status = declared(j, audit, err);
    if (status == BUS_OK)
        status = bui_audit_totals(audit, total, j, err);
    if (status == BUS_OK && bui_audit_forged(audit))
        cli_note(j->c, "%" PRId64 " records are not signed as hop.verify demands: what they claim is ignored here",
                 bui_audit_forged(audit));
    bui_audit_free(audit);
    cli_watch_end(&watch);
    return status;
}

static void rest(int64_t ms)
{
    for (; ms > 0 && !cli_interrupted(); ms -= 100)
        nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
}

static int print(job *j, int looks, int code)
{
    bui_buf out;
    bui_buf_init(&out, 0);
    if (j->c->json) {
        bui_buf_text(&out, "{\"findings\":");
        cli_table_json(j->findings, &out);
        bui_buf_text(&out, ",\n\"totals\":");
        cli_table_json(j->totals, &out);
        bui_buf_printf(
            &out, ",\n\"violations\":%" PRId64 ",\"in_flight\":%" PRId64 ",\"notes\":%" PRId64 ",\"stores\":%zu,\"looks\":%d}\n",
            j->violated, j->in_flight, j->noted, j->paths, looks);
    } else {
        cli_table_text(j->totals, j->c->colour, j->c->columns, &out);
        if (cli_table_rows(j->findings))
            bui_buf_byte(&out, '\n');
        cli_table_text(j->findings, j->c->colour, j->c->columns, &out);
        bui_buf_printf(&out, "%" PRId64 " violation%s in %zu store%s\n", j->violated, j->violated == 1 ? "" : "s", j->paths,
                       j->paths == 1 ? "" : "s");
    }
    return cli_flush(j->c, &out, code);
}

static int run(cli *c)
{
    job j = { .c = c, .data = cli_value(c, "data") };
    bus_error err = { 0 };
    int64_t within = 30000, first = 0;
    int looks = 0, code;
    const bui_clock *clock = bui_clock_real();
    if (!cli_duration(c, "within", &within))
        return CLI_USAGE;
    if (!j.data)
        j.data = bui_config_text(c->config, "data.dir");
    j.watches = cli_flag(c, "watch");
    j.within_us = within * 1000;
    bui_map_init(&j.first);
    bus_status status = find_stores(&j, &err);
    j.began_us = clock->mono_us(clock);
    int64_t deadline = j.began_us + j.within_us;
    while (status == BUS_OK) {
        status = look(&j, &err);
        int64_t open = j.violated + j.in_flight;
        first = looks++ ? first : open;
        /* The last look begins when the time is over: one that takes long must not make violations of what it saw on its way. */
        if (status != BUS_OK || !open || !j.watches || j.began_us >= deadline || cli_interrupted())
            break;
        rest(AGAIN_MS);
        j.began_us = clock->mono_us(clock);
    }
    if (status != BUS_OK) {
        code = cli_fail(c, &err);
    } else {
        code = print(&j, looks, cli_interrupted() ? CLI_INTERRUPTED : j.violated ? CLI_PARTIAL : CLI_OK);
        if (first > j.violated)
            cli_note(c, "%" PRId64 " were in flight at the first look", first - j.violated);
        if (j.in_flight)
            cli_note(c, "%" PRId64 " in flight at the last look: younger than --within, and not counted as violations",
                     j.in_flight);
    }
    cli_table_free(j.findings);
    cli_table_free(j.totals);
    for (size_t i = 0; i < j.paths; i++)
        free(j.path[i]);
    free(j.path);
    bui_map_free(&j.first, NULL);
    return code;
}

const cli_command cli_audit = {
    .name = "audit",
    .operands = "",
    .least = 0,
    .most = 0,
    .summary = "check that stores and topics agree, and invariants hold",
    .text = "Reads the stores, without writing to them, and their topics from the start. The services may run. Exit code\n"
            "3 if a rule is violated. The rules: each event that a store has sent is in its topic, and each event in the\n"
            "topic was committed; each sequence number names one event, in order; no event was committed twice; each\n"
            "record read was processed, waits, is a dead letter or is a copy; the store and the dead-letter topic agree\n"
            "about dead letters; the topics still hold what the store read of them; each event that was sent has its\n"
            "cause, and nothing that waits has taken effect; the store is not an older copy.\n\n"
            "UNREAD counts the records that the service has not read yet, COPIES those that it dropped as copies. Where\n"
            "somebody has reset offsets by hand, the events that were skipped or committed twice by that are shown.\n\n"
            "An --invariants FILE holds SQL queries, each after a line \"-- name: what must hold\". Each row that a query\n"
            "finds is a violation.\n\n"
            "While services run, events are on their way and sums over services change: use --watch. It looks again, and\n"
            "counts as violations only what it still finds after --within. What is younger than that at the last look is\n"
            "shown as in flight. Check invariants over several services when they are quiet.",
    .options = options,
    .examples = "  bus audit --data /var/lib/shop\n"
                "  bus audit --service inventory --invariants services/inventory/invariants.sql\n"
                "  bus audit --watch --within 10s -o json     while services run",
    .run = run
};
