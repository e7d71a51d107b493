/* SPDX-License-Identifier: MIT
 * bus schema check, register: whether a schema may follow those before it, by the bus's rules and by the registry's. */
#include "cli/cli.h"
#include "base/error.h"
#include "cli/translate.h"
#include "codec/compatibility.h"
#include "ops/schemas.h"
#include "registry/registry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct weighing {
    cli *c;
    bool put;                /* register what is good */
    const char *against;     /* a file instead of what was announced */
    const char *destination; /* the topic that names the registry's subject */
    bui_compatibility level;
    bui_catalog *topic, *files; /* what is on bus.schemas, and what was read from files */
    bui_registry *registry;     /* NULL: not asked */
    bui_kafka_publisher *publisher;
    cli_table *table;
    bool all_good;
} weighing;

/* One schema and what was said of it. */
typedef struct verdict {
    const bui_schema *schema;
    bool good, known;
    bus_error why;
    char *subject; /* the registry's part */
    const char *word;
    bui_registry_level level;
    uint32_t id;
    bus_error registry_why;
} verdict;

/* ---- by the bus's rules: against that file, else the versions of its name on the topic */

static bus_status follows_file(weighing *w, const bui_schema *schema, bus_error *err)
{
    const bui_schema *before = NULL;
    bus_status status = bui_schemas_file(w->against, NULL, 0, w->files, &before, err);
    return status == BUS_OK ? bui_compatible(w->level, schema, &before, 1, err) : status;
}

static bus_status follows_topic(weighing *w, const bui_schema *schema, bool *known, bus_error *err)
{
    const bui_schema *other, **before = calloc(bui_catalog_version(w->topic) + 1, sizeof *before);
    size_t count = 0;
    if (!before)
        return bui_fail_nomem(err);
    for (size_t i = 0; (other = bui_catalog_at(w->topic, i)); i++) {
        if (strcmp(bui_schema_name(other), bui_schema_name(schema)) != 0)
            continue;
        *known = *known || strcmp(bui_schema_json(other, NULL), bui_schema_json(schema, NULL)) == 0;
        before[count++] = other;
    }
    bus_status status = *known ? BUS_OK : bui_compatible(w->level, schema, before, count, err);
    free(before);
    return status;
}

static bus_status announce(weighing *w, const bui_schema *schema, bus_error *err)
{
    bus_status status = BUS_OK;
    if (!w->publisher)
        status = bui_kafka_publisher_open(w->c->config, "bus-schema", NULL, NULL, &w->publisher, err);
    if (status == BUS_OK)
        status = bui_schemas_announce(w->publisher, schema, NULL, NULL, err);
    return status == BUS_OK ? bui_kafka_publisher_flush(w->publisher, w->c->timeout_ms, err) : status;
}

/* ---- by the registry's */

static bus_status ask_registry(weighing *w, verdict *v, bus_error *err)
{
    if (!(v->subject = bui_registry_subject(w->registry, w->destination ? w->destination : "", bui_schema_name(v->schema))))
        return bui_fail_nomem(err);
    if (w->put && !v->good) {
        v->word = "not asked";
        return BUS_OK;
    }
    const char *json = bui_schema_json(v->schema, NULL);
    bus_status status = w->put ? bui_registry_register(w->registry, v->subject, json, &v->id, &v->registry_why)
                               : bui_registry_compatible(w->registry, v->subject, json, &v->registry_why);
    v->word = status == BUS_OK ? w->put ? "registered" : "good" : status == BUS_MISSING ? "new" : "refused";
    if (status != BUS_OK && status != BUS_SCHEMA && (status != BUS_MISSING || w->put)) {
        *err = v->registry_why;
        return status;
    }
    return bui_registry_level_of(w->registry, v->subject, &v->level, err);
}

/* ---- both */

static void tell(weighing *w, const char *file, const verdict *v)
{
    bool refused = v->registry_why.status == BUS_SCHEMA;
    cli_table *table = w->table;
    cli_cell(table, file);
    cli_cell(table, bui_schema_name(v->schema));
    cli_cellf(table, "%016" PRIx64, bui_schema_fingerprint(v->schema));
    cli_cell(table, !v->good ? "refused" : refused && w->put ? "not put" : v->known ? "known" : w->put ? "registered" : "good");
    cli_paint(table, !v->good ? CLI_RED : refused && w->put ? CLI_YELLOW : CLI_GREEN);
    cli_cell(table, v->good ? NULL : v->why.text);
    w->all_good = w->all_good && v->good && !refused;
    if (!w->registry)
        return;
    cli_cell(table, v->subject);
    cli_cell(table, v->word);
    cli_paint(table, refused ? CLI_RED : v->good || !w->put ? CLI_GREEN : CLI_YELLOW);
    cli_cell(table, *v->level.text ? v->level.text : NULL);
    if (v->id)
        cli_cell_int(table, v->id);
    else
        cli_cell(table, NULL);
    cli_cell(table, refused ? v->registry_why.text : NULL);
}

static bus_status weigh_file(weighing *w, const char *file, bus_error *err)
{
    verdict v = { .schema = NULL };
    bus_status status =
        bui_schemas_file(file, (const char *const *)w->c->operand, (size_t)w->c->operands, w->files, &v.schema, err);
    if (status != BUS_OK)
        return status;
    status = w->against ? follows_file(w, v.schema, &v.why) : follows_topic(w, v.schema, &v.known, &v.why);
    v.good = status == BUS_OK;
    if (!v.good && status != BUS_SCHEMA) {
        *err = v.why;
        return status;
    }
    status = w->registry ? ask_registry(w, &v, err) : BUS_OK;
    /* Last, so that nothing is announced that the registry refuses. */
    if (status == BUS_OK && w->put && v.good && !v.known && v.registry_why.status != BUS_SCHEMA)
        status = announce(w, v.schema, err);
    if (status == BUS_OK)
        tell(w, file, &v);
    free(v.subject);
    return status;
}

static bus_status weigh_all(weighing *w, bus_error *err)
{
    static const cli_column columns[] = { { "FILE", "file", CLI_LONG },
                                          { "NAME", "name", CLI_LONG },
                                          { "FINGERPRINT", "fingerprint", CLI_TEXT },
                                          { "RESULT", "result", CLI_TEXT },
                                          { "WHY", "why", CLI_LONG },
                                          { "SUBJECT", "subject", CLI_LONG },
                                          { "REGISTRY", "registry", CLI_TEXT },
                                          { "LEVEL", "registry_level", CLI_TEXT },
                                          { "ID", "registry_id", CLI_NUMBER },
                                          { "REGISTRY'S WHY", "registry_why", CLI_LONG } };
    cli *c = w->c;
    bus_status status = w->against ? BUS_OK : bui_registry_open(c->config, NULL, NULL, &w->registry, err);
    if (status == BUS_OK && w->registry && !w->destination &&
        strcmp(bui_config_text(c->config, "registry.subject"), "record") != 0)
        status =
            bui_fail(err, BUS_INVALID,
                     "registry.url is set, and by registry.subject = %s a subject depends on the topic: give it with --topic",
                     bui_config_text(c->config, "registry.subject"));
    if (status != BUS_OK)
        return status;
    w->topic = bui_catalog_new();
    w->files = bui_catalog_new();
    w->table = cli_table_new(columns, w->registry ? 10 : 5);
    if (!w->topic || !w->files || !w->table)
        return bui_fail_nomem(err);
    if (w->put)
        status = bui_schemas_ready(c->config, c->timeout_ms, err);
    if (status == BUS_OK && !w->against)
        status = cli_schemas_load(c, w->topic, NULL, err);
    for (int i = 0; status == BUS_OK && i < c->operands; i++)
        status = weigh_file(w, c->operand[i], err);
    return status;
}

static int weigh(cli *c, bool put)
{
    weighing w = { .c = c,
                   .put = put,
                   .against = put ? NULL : cli_value(c, "against"),
                   .destination = cli_value(c, "topic"),
                   .all_good = true };
    bus_error err = { 0 };
    const char *level = cli_value(c, "compatibility");
    if (!bui_compatibility_of(level ? level : bui_config_text(c->config, "schema.compatibility"), &w.level))
        return cli_failf(c, CLI_USAGE, "there is no level \"%s\": none, backward, forward, full, or one with -transitive", level);
    bus_status status = weigh_all(&w, &err);
    bui_kafka_publisher_close(w.publisher, 0);
    bui_registry_close(w.registry);
    bui_catalog_free(w.topic);
    bui_catalog_free(w.files);
    if (status == BUS_OK)
        return cli_print(c, w.table, w.all_good ? CLI_OK : put ? CLI_REFUSED : CLI_PARTIAL);
    cli_table_free(w.table);
    return cli_fail(c, &err);
}

static int run_check(cli *c)
{
    return weigh(c, false);
}

static int run_register(cli *c)
{
    return weigh(c, true);
}

#define LEVEL \
    { \
        "compatibility", 0, "LEVEL", \
            "none, backward, forward, full, or one with -transitive (default: property schema.compatibility)" \
    }
#define TOPIC \
    { \
        "topic", 0, "TOPIC", "the topic it is written to; names the subject in the registry (property registry.subject)" \
    }

static const cli_option check_options[] = {
    LEVEL, TOPIC, { "against", 0, "FILE", "compare with this schema, without a broker or a registry" }, { NULL, 0, NULL, NULL }
};
static const cli_option register_options[] = { LEVEL, TOPIC, { NULL, 0, NULL, NULL } };

const cli_command cli_schema_check = {
    .name = "schema check",
    .operands = "FILE...",
    .least = 1,
    .most = -1,
    .summary = "check whether schemas may follow the announced ones",
    .text = "backward: the new one reads what the last one wrote; forward: the last one reads what the new one writes;\n"
            "full: both; -transitive: the same with all versions, not only the last. With registry.url set the registry\n"
            "is asked as well; it uses its own level. Exit code 3 if either says no.\n\n"
            "FILEs may refer to each other's types, and to those in other .avsc files of their folder.",
    .options = check_options,
    .examples = "  bus schema check schemas/*.avsc\n  bus schema check new.avsc --against old.avsc --compatibility full\n"
                "  bus schema check new.avsc --topic order.events --config registry.conf",
    .run = run_check
};

const cli_command cli_schema_register = {
    .name = "schema register",
    .operands = "FILE...",
    .least = 1,
    .most = -1,
    .summary = "announce schemas that may follow those on bus.schemas",
    .text = "Services do this when they start; the command is for events of other programs. With registry.url set the\n"
            "schemas go into the registry as well, and there first. Exit code 5 if a schema may not follow the last one;\n"
            "then it goes to neither.\n\n"
            "FILEs may refer to each other's types, and to those in other .avsc files of their folder. Each schema is\n"
            "written with all the types it refers to.",
    .options = register_options,
    .examples = "  bus schema register partner.Invoice.avsc",
    .run = run_register
};
